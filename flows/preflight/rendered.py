"""Which prompts must be rendered to know that a model can read them: a million take minutes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.readers.seen import Prompts, PromptTable
from data.readers.turns import Bools, Turns, holding, turns_of, with_a_sign

if TYPE_CHECKING:
    from models.special_text import Tokenizer

_WORTH = 16  # prompts of the same roles; for fewer a trial takes longer than to render them


def to_render(
    prompts: Prompts, tokenizer: "Tokenizer", limit: int | None = None, answer: str | None = None
) -> Prompts:
    """The prompts of which the chat template's frames do not tell that they are rendered whole,
    with this answer or else to be answered, and in `limit` tokens at most."""
    if not isinstance(prompts, PromptTable):
        return prompts
    known = [_known(turns, tokenizer, limit, answer) for turns in turns_of(prompts.table)]
    unknown = ~np.concatenate([*known, np.zeros(0, bool)])
    return PromptTable(prompts.table.filter(pa.array(unknown)), prompts.notes)


def _known(turns: Turns, tokenizer: "Tokenizer", limit: int | None, answer: str | None) -> Bools:
    """Of which prompts the frames tell it."""
    from models.special_text import special_texts
    from models.template_frames import frame

    known = np.zeros(len(turns.sizes), bool)
    size = turns.sums(pc.binary_length(turns.contents).to_numpy().astype(np.int64))
    # A BOS may be too short to count as special text.
    unless = special_texts(tokenizer) | set(filter(None, [tokenizer.bos_token]))
    names, roles = turns.coded_roles()
    for kind, rows in turns.groups(roles):
        if len(rows) < _WORTH:
            continue
        found = frame(tokenizer, tuple(names[code] for code in kind.tolist()), answer)
        if found is None:
            continue
        unless |= found.unless
        if limit is None:
            known[rows] = True
        elif found.tokens is not None:
            known[rows] = size[rows] + found.tokens <= limit
    plain = with_a_sign(turns.contents) & ~holding(turns.contents, unless)
    return known & ~turns.of_any(~plain)


def some_of_each_kind(prompts: Prompts) -> Prompts:
    """Of prompts with the same roles, and white space around the same texts, the first; few more
    where there are many."""
    if not isinstance(prompts, PromptTable):
        return prompts
    rows: list[int] = []
    for turns in turns_of(prompts.table):
        bare = pc.equal(turns.contents, pc.utf8_trim_whitespace(turns.contents))
        kinds = 2 * turns.coded_roles()[1] + bare.to_numpy(zero_copy_only=False)
        rows += [turns.first + int(same[0]) for _, same in turns.groups(kinds)]
    return PromptTable(prompts.table.take(pa.array(sorted(rows), pa.int64())))


def with_special(prompts: Prompts, tokenizers: Iterable["Tokenizer"]) -> Prompts:
    """The prompts that may hold text of a special token of one of these."""
    from models.special_text import special_texts

    if not isinstance(prompts, PromptTable):
        return prompts
    sought: set[str] = set().union(*map(special_texts, tokenizers))
    held = [turns.of_any(holding(turns.contents, sought)) for turns in turns_of(prompts.table)]
    return PromptTable(prompts.table.filter(pa.array(np.concatenate([*held, np.zeros(0, bool)]))))
