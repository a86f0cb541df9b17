"""Which prompts are held out, and which of the others may be trained on.

Decontamination follows appendix C of Brown et al. 2020 (GPT-3): a prompt is out that shares eight
words in a row with a held-out one, unless so many prompts have these words that they are a template
(there: more than ten documents; here more than that and than one in a hundred of the source, so
that a large pool may hold a question often and is found out nonetheless).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.errors import InputError
from data.readers.messages import Messages
from data.readers.prompts import content_of, conversations, prompt_id
from data.recipes.prompts import Decontaminate

GRAM = 8  # words
_TEMPLATE, _ONE_IN = 10, 100  # prompts that may share eight words: so many, or one in so many
_WORD = re.compile(r"\w+")
_AT_A_TIME = 1024

Ints = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
# One odd number of 64 bits for each place of a word among eight: the hash of the words is the sum
# of the words' numbers times these, and two that differ are equal by a chance of 2^-64.
_FACTORS: Ints = np.random.default_rng(8).integers(2**63, 2**64, GRAM, np.uint64) | np.uint64(1)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The prompts of all tables, each once; where two have one id, the later gets another."""
    kept = [others(table, tables[:number]) for number, table in enumerate(tables)]
    return pa.concat_tables(kept).combine_chunks()


def others(table: pa.Table, earlier: Sequence[pa.Table]) -> pa.Table:
    """The prompts that no earlier table has; one whose id is taken gets one by its content."""
    if not earlier:
        return table
    seen = _contents(earlier)
    ids = {name for one in earlier for name in one["prompt_id"].to_pylist()}
    contents = [content_of(messages) for messages in conversations(table)]
    left = table.filter(pa.array([content not in seen for content in contents], pa.bool_()))
    names = left["prompt_id"].to_pylist()
    if ids.isdisjoint(names):
        return left
    renamed = [
        prompt_id(messages) if name in ids else name
        for name, messages in zip(names, conversations(left), strict=True)
    ]
    place = left.schema.get_field_index("prompt_id")
    return left.set_column(place, left.schema.field(place), pa.array(renamed, pa.string()))


def split_prompts(
    pools: Sequence[pa.Table], dev_size: int, test_size: int, seed: int
) -> dict[str, pa.Table]:
    """The held-out parts "test" and "dev" of the prompts of disjoint tables.

    Each prompt has a rank that follows from the seed and its own text alone; the lowest are tested
    on, the next are dev prompts. So where files grow and the sizes stay, a prompt only ever moves
    from test to dev and from dev to the pool: none that was trained on is held out later, and none
    that chose a policy (dev) is tested on.

    Raises:
        InputError: fewer prompts than the held-out parts take.
    """
    number = sum(map(len, pools))
    if number <= dev_size + test_size:
        there = "1 prompt is" if number == 1 else f"{number} prompts are"
        raise InputError(
            f"prompts.path: {there} too few to hold out {dev_size} + {test_size}; "
            "bring more, lower prompts.dev_size and prompts.test_size, or name dev_path, test_path"
        )
    ranks = (_rank(messages, seed) for pool in pools for messages in conversations(pool))
    digests = np.fromiter(ranks, dtype="S32", count=number)
    order = np.argsort(digests, kind="stable")
    whole = pa.concat_tables(pools)
    bounds = {"test": order[:test_size], "dev": order[test_size : test_size + dev_size]}
    return {part: whole.take(pa.array(np.sort(rows))) for part, rows in bounds.items()}


def _rank(messages: Messages, seed: int) -> str:
    return hashlib.sha256(f"{seed} {_normal(messages)}".encode()).hexdigest()[:32]


def without_prompts(pool: pa.Table, held_out: Iterable[pa.Table]) -> pa.Table:
    """The prompts of `pool` whose content is in none of the `held_out` tables."""
    return decontaminated(pool, list(held_out), "none")[0]


def decontaminated(
    pool: pa.Table, held_out: Sequence[pa.Table], rule: Decontaminate
) -> tuple[pa.Table, dict[str, int]]:
    """The prompts that may be trained on, and how many are not, by the first rule that says so.

    Counts: `held_out`, the text of a held-out prompt but for white space around messages; `exact`,
    but for case and all white space; `8gram`, eight words in a row of one, in any turn but the
    system's, which are no template (see above). A prompt of fewer words is found by `exact` alone,
    and so is text without spaces between words. The texts are compared and not the ids: two files
    may give one prompt different ids.
    """
    if not any(map(len, held_out)):
        rules = {"none": [], "exact": ["exact"], "8gram": ["exact", "8gram"]}[rule]
        return pool, dict.fromkeys(["held_out", *rules], 0)
    gone = _contents(held_out)
    taken = np.array([content_of(messages) in gone for messages in conversations(pool)], bool)
    counts = {"held_out": int(taken.sum())}
    if rule != "none":
        normal = {_normal(messages) for table in held_out for messages in conversations(table)}
        found = (_normal(messages) in normal for messages in conversations(pool))
        exact = np.fromiter(found, bool, len(pool)) & ~taken
        counts["exact"] = int(exact.sum())
        taken |= exact
    if rule == "8gram":
        shared = _sharing(pool, held_out, taken)
        counts["8gram"] = int(shared.sum())
        taken |= shared
    return pool.filter(pa.array(~taken)), counts


def _contents(tables: Iterable[pa.Table]) -> set[str]:
    return {content_of(messages) for table in tables for messages in conversations(table)}


def _normal(messages: Messages) -> str:
    """Equal for prompts that differ in case and white space alone."""
    return "\n".join(f"{m['role']} {' '.join(m['content'].casefold().split())}" for m in messages)


def _sharing(
    pool: pa.Table, held_out: Sequence[pa.Table], taken: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which prompts, less those taken already, share eight words in a row with a held-out one."""
    words: dict[str, int] = {}
    parts = [_grams(talks, words, learn=True)[1] for talks in _batches(held_out)]
    known = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)
    most = max(_TEMPLATE, len(pool) // _ONE_IN)
    shared = np.zeros(len(pool), bool)
    if not len(known):
        return shared
    number = np.zeros(len(known), np.int64)  # of prompts of the pool that have them
    hits: list[tuple[Indices, Indices]] = []
    start = 0
    for talks in _batches([pool]):
        owners, grams = _grams(talks, words, learn=False)
        places = np.minimum(np.searchsorted(known, grams), len(known) - 1)
        keep = (known[places] == grams) & ~taken[start + owners]
        pairs = np.unique(np.stack([start + owners[keep], places[keep]]), axis=1)
        np.add.at(number, pairs[1], 1)
        rare = number[pairs[1]] <= most  # what is a template by now need not be kept
        hits.append((pairs[0][rare], pairs[1][rare]))
        start += len(talks)
    for rows, places in hits:
        shared[rows[number[places] <= most]] = True
    return shared


def _batches(tables: Iterable[pa.Table]) -> Iterator[list[Messages]]:
    for table in tables:
        left = conversations(table)
        while part := list(islice(left, _AT_A_TIME)):
            yield part


def _grams(talks: list[Messages], words: dict[str, int], learn: bool) -> tuple[Indices, Ints]:
    """For all eight words in a row of every turn: which of the talks they are in, and their hash.

    Words are numbered from 1 in `words`; one that is not there and not to be learnt ends a row, as
    the end of a turn does.
    """
    ids: list[int] = []
    ends = [0]
    for talk in talks:
        for message in talk:
            if message["role"] != "system":
                found = _WORD.findall(message["content"].casefold())
                if learn:
                    ids += [words.setdefault(word, len(words) + 1) for word in found]
                else:
                    ids += [words.get(word, 0) for word in found]
                ids.append(0)
        ends.append(len(ids))
    numbers = np.array(ids, np.uint64)
    count = max(0, len(numbers) - GRAM + 1)
    hashes = np.zeros(count, np.uint64)
    whole = np.ones(count, bool)
    for place in range(GRAM):
        part = numbers[place : place + count]
        hashes += part * _FACTORS[place]
        whole &= part != 0
    starts = np.flatnonzero(whole)
    owners = np.searchsorted(np.array(ends), starts, side="right") - 1
    return owners, hashes[starts]


def drawn(
    sizes: Sequence[int], weights: Sequence[float], size: int, round_number: int, seed: int
) -> list[Indices]:
    """Rows of each source for round `round_number` (from 1), which never shares one with another.

    A source of weight w comes up w times as often as one of weight 1, evenly spread, in an order of
    its own by the seed; where one is used up, the others go on in their shares. At most one prompt
    more or less than its share is drawn of a source up to any round, until one is used up.

    Raises:
        InputError: too few prompts are left.
    """
    turns = [(np.arange(n) + 0.5) / weight for n, weight in zip(sizes, weights, strict=True)]
    source = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((source, np.concatenate(turns)))
    part = source[order[(round_number - 1) * size : round_number * size]]
    if len(part) < size:
        raise InputError(
            f"prompts.per_round: round {round_number} needs {round_number * size} prompts in all, "
            f"the sources have {sum(sizes)}; lower prompts.per_round or rounds, or bring more"
        )
    before = source[order[: (round_number - 1) * size]]
    rows = []
    for number, n in enumerate(sizes):
        first = int(np.sum(before == number))
        shuffled = np.random.default_rng([seed, number]).permutation(n)
        rows.append(np.sort(shuffled[first : first + int(np.sum(part == number))]))
    return rows
