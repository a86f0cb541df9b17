"""What is held out stays apart from what is trained on, also when files grow."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.readers.held_out import GRAM, decontaminated, drawn, joined, others, split_prompts
from data.readers.prompts import content_of, prompt_id, read_prompts
from data.schemas import PROMPTS
from tests.repository import SHARED

REAL = SHARED / "realdata"


def table(texts, **more):
    talks = [[{"role": "user", "content": text}] for text in texts]
    rows = [{"prompt_id": prompt_id(t), "messages": t, "dataset": "d"} | more for t in talks]
    return pa.Table.from_pylist(rows, schema=PROMPTS)


def texts(prompts):
    return [talk[-1]["content"] for talk in prompts["messages"].to_pylist()]


# Splitting

TEXTS = st.text("abc ", min_size=1).filter(str.strip)
LONG = st.lists(TEXTS, unique_by=lambda text: " ".join(text.split()), min_size=7)


@given(LONG, st.integers(0, 2**32 - 1), st.data())
def test_as_a_file_grows_prompts_only_leave_the_held_out_parts(all_texts, seed, data):
    """From test to dev, from dev to the pool: none that was trained on is held out later."""
    before = data.draw(st.integers(6, len(all_texts)))
    order = data.draw(st.permutations(all_texts))  # what is new may come anywhere
    old = [text for text in order if text in all_texts[:before]]
    rank = {"test": 0, "dev": 1}
    parts = []
    for some in (old, order):
        found = split_prompts([table(some)], 2, 3, seed)
        parts.append({text: rank[part] for part in rank for text in texts(found[part])})
        assert (len(found["test"]), len(found["dev"])) == (3, 2)
    assert all(parts[1].get(text, 2) >= parts[0].get(text, 2) for text in old)


@given(LONG, st.integers(0, 2**32 - 1), st.data())
def test_a_prompts_part_is_the_same_in_any_order_and_number_of_files(all_texts, seed, data):
    cut = data.draw(st.integers(0, len(all_texts)))
    order = data.draw(st.permutations(all_texts))
    one = split_prompts([table(all_texts)], 2, 2, seed)
    two = split_prompts([table(order[:cut]), table(order[cut:])], 2, 2, seed)
    assert {p: set(texts(t)) for p, t in one.items()} == {p: set(texts(t)) for p, t in two.items()}


def test_another_seed_holds_out_others_and_too_few_are_refused():
    pool = table([f"prompt {i}" for i in range(200)])
    held = [set(texts(split_prompts([pool], 20, 20, seed)["test"])) for seed in range(2)]
    assert held[0] != held[1]
    with pytest.raises(InputError, match="200 prompts are too few to hold out 100 \\+ 100"):
        split_prompts([pool], 100, 100, 0)


# Decontamination


def grams(text):
    words = "".join(c if c.isalnum() or c == "_" else " " for c in text.casefold()).split()
    return {tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1)}


WORDY = st.lists(st.sampled_from("abcd"), min_size=1, max_size=14).map(" ".join)


@settings(max_examples=200)
@given(st.lists(WORDY, min_size=1, max_size=9, unique=True), st.lists(WORDY, max_size=4))
def test_exactly_those_that_share_eight_words_are_out(pool, held_out):
    """By another way of counting; no pool here is large enough for a template."""
    kept, counts = decontaminated(table(pool), [table(held_out)], "8gram")
    taken = {gram for text in held_out for gram in grams(text)}
    wanted = [text for text in pool if text not in held_out and not grams(text) & taken]
    assert texts(kept) == wanted
    assert sum(counts.values()) == len(pool) - len(kept)


TASK = "Write a short letter to the mayor of your town about a broken lamp"
RULES = {
    "8gram": ["a prompt of its own"],
    "exact": [f"Please: {TASK.lower()}, in rhyme", "a prompt of its own"],
    "none": [f"Please: {TASK.lower()}, in rhyme", TASK.upper(), "a prompt of its own"],
}


@pytest.mark.parametrize(("rule", "left"), RULES.items())
def test_each_rule_takes_out_what_it_says(rule, left):
    pool = table([f"Please: {TASK.lower()}, in rhyme", TASK.upper(), f" {TASK}\n"]
                 + ["a prompt of its own"])  # fmt: skip
    kept, counts = decontaminated(pool, [table([TASK])], rule)
    assert texts(kept) == left
    wanted = {"held_out": 1, "exact": 1, "8gram": 1}
    assert counts == {
        n: wanted[n] for n in list(wanted)[: 1 + ["none", "exact", "8gram"].index(rule)]
    }


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_taken_out_where_nothing_is_held_out(rule):
    pool, names = table([TASK, "another"]), ["held_out", "exact", "8gram"]
    for held_out in ([], [table([])]):
        kept, counts = decontaminated(pool, held_out, rule)
        assert kept == pool
        assert counts == dict.fromkeys(names[: 1 + ["none", "exact", "8gram"].index(rule)], 0)


LEAD = "Below is an instruction that describes a task, paired with its input. "


@pytest.mark.parametrize("number", [20, 3000])
def test_a_lead_in_that_prompts_share_is_a_template(number):
    pool = table([f"{LEAD}Count to {i}." for i in range(number)])
    held_out = table([f"{LEAD}Name the {i}th king." for i in range(5)])
    assert len(decontaminated(pool, [held_out], "8gram")[0]) == number


def test_a_question_that_a_large_pool_has_often_is_found_nonetheless():
    """Thirty variants of a held-out question among 3,000: more than ten, yet under 1 %."""
    variants = [f"{TASK}, version {i}" for i in range(30)]
    rest = [f"Prompt number {i}" for i in range(2970)]
    kept, counts = decontaminated(table(variants + rest), [table([TASK])], "8gram")
    assert texts(kept) == rest and counts["8gram"] == 30


def test_what_the_system_says_and_the_ends_of_turns_do_not_count():
    system = {"role": "system", "content": TASK}
    halves = [{"role": "user", "content": part} for part in (TASK[:30], TASK[30:])]
    rows = [[system, {"role": "user", "content": "a"}], halves]
    pool = pa.Table.from_pylist(
        [{"prompt_id": str(i), "messages": row, "dataset": "d"} for i, row in enumerate(rows)],
        schema=PROMPTS,
    )
    assert len(decontaminated(pool, [table([TASK])], "8gram")[0]) == 2


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not beside the checkout")
def test_real_prompts_lose_what_was_put_among_them():
    tested, _ = read_prompts(REAL / "gsm8k/test.jsonl.gz")
    trained, _ = read_prompts(REAL / "gsm8k/train.jsonl.gz")
    kept, counts = decontaminated(trained, [tested], "8gram")
    assert counts["held_out"] == 0 and counts["8gram"] < len(trained) * 0.2
    spoilt = [f"Solve this: {text.upper()}" for text in texts(tested)[:50]]
    mixed = pa.concat_tables([kept, table(spoilt)])
    again, counts = decontaminated(mixed, [tested], "8gram")
    assert not set(spoilt) & set(texts(again))


# Several sources


def test_a_prompt_of_two_files_is_the_first_ones_and_ids_stay_apart():
    one, two = table(["a", "b"], prompt_id="x"), table([" b", "c"], prompt_id="x")
    one = one.set_column(0, PROMPTS.field(0), pa.array(["x", "y"]))
    two = two.set_column(0, PROMPTS.field(0), pa.array(["z", "x"]))
    assert texts(others(two, [one])) == ["c"]
    both = joined([one, two])
    assert texts(both) == ["a", "b", "c"]
    named = content_of([{"role": "user", "content": "c"}])
    assert both["prompt_id"].to_pylist() == ["x", "y", named]


WEIGHTED = st.lists(
    st.tuples(st.integers(0, 60), st.floats(0.1, 10, allow_nan=False)), min_size=1, max_size=4
)


@settings(max_examples=200)
@given(WEIGHTED, st.integers(1, 20), st.integers(0, 99))
def test_rounds_have_their_shares_and_never_a_prompt_twice(sources, size, seed):
    sizes, weights = [n for n, _ in sources], [weight for _, weight in sources]
    seen: set[tuple[int, int]] = set()
    for number in range(1, sum(sizes) // size + 1):
        rows = drawn(sizes, weights, size, number, seed)
        found = {(source, int(row)) for source, part in enumerate(rows) for row in part}
        assert len(found) == size and not found & seen
        seen |= found
        taken = [sum(one == source for one, _ in seen) for source in range(len(sizes))]
        if all(n < had for n, had in zip(taken, sizes, strict=True)):
            shares = [weight / sum(weights) * len(seen) for weight in weights]
            # Of two sources each is at most one off its share; of more the errors add up.
            most = max(1, len(sizes) - 1)
            assert all(abs(n - share) <= most for n, share in zip(taken, shares, strict=True))
    with pytest.raises(InputError, match="the sources have"):
        drawn(sizes, weights, size, sum(sizes) // size + 1, seed)


def test_where_a_source_is_used_up_the_others_go_on_in_their_shares():
    rounds = [[len(part) for part in drawn([5, 100, 100], [2, 2, 1], 10, n, 0)] for n in (1, 2, 3)]
    assert rounds[0] == [4, 4, 2] and rounds[1][0] == 1 and rounds[2][0] == 0
    assert rounds[2][1] in (6, 7) and sum(rounds[2]) == 10


def test_the_same_prompts_are_drawn_again():
    first = [part.tolist() for part in drawn([30, 20], [3, 1], 8, 2, 7)]
    assert first == [part.tolist() for part in drawn([30, 20], [3, 1], 8, 2, 7)]
    assert first != [part.tolist() for part in drawn([30, 20], [3, 1], 8, 2, 8)]
