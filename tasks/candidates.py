"""Candidates: which of a prompt's completions can be in a pair or be picked."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Numbers = npt.NDArray[np.int64]
FATES = ("usable", "empty", "truncated", "unscored", "duplicate")  # of completions


def usable(
    answers: pa.Table,
    owners: npt.NDArray[np.int32],
    samples: Sequence[npt.NDArray[np.int32]],
    drop_truncated: bool,
    counts: dict[str, int],
) -> Numbers:
    """Row numbers of the candidates: no empty, unfinished, unscored or repeated completion.

    They come by their prompt and in the order of their samples; of completions of a prompt that
    are one text the first of these is the candidate. Adds to `counts` what became of each.

    Args:
        answers: Columns completion, finish_reason, and reward where answers have one.
        owners: The number of each answer's prompt.
        samples: What orders the answers of a prompt, the most important last.
    """
    text = answers["completion"].combine_chunks()
    # As `str.strip` has it: the same characters are white space (a test compares all).
    out = {"empty": pc.or_(pc.utf8_is_space(text), pc.equal(pc.binary_length(text), 0))}
    if drop_truncated:
        out["truncated"] = pc.fill_null(pc.equal(answers["finish_reason"], "length"), False)
    if "reward" in answers.column_names:  # answers of the model matrix have none at all
        out["unscored"] = pc.is_null(answers["reward"])
    left = np.ones(len(answers), bool)
    for fate, rows in out.items():
        found = left & np.asarray(rows)
        counts[fate] += int(found.sum())
        left &= ~found
    order = np.lexsort((*samples, owners))
    rows = order[left[order]]
    texts = text.take(pa.array(rows)).dictionary_encode()
    named = owners[rows].astype(np.int64) * len(texts.dictionary) + np.asarray(texts.indices)
    _, first = np.unique(named, return_index=True)
    counts["duplicate"] += len(rows) - len(first)
    counts["usable"] += len(first)
    kept: Numbers = rows[np.sort(first)]
    return kept
