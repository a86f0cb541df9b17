"""`instructions`: the share of a prompt's instructions that an answer follows (IFEval, strict)."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.instructed.checkers import checkers, followed

MOST_TAKEN = 0.3  # by the penalty
FEW_WORDS = 4  # an answer of fewer words gets nothing
SHORT = 20  # words under which an answer is taken for too short
GRAM = 4

Messages = list[dict[str, str]]


def instructions(
    prompts: Sequence[Messages],
    completions: Sequence[Messages],
    *,
    instruction_id_list: Sequence[Sequence[str] | None],
    kwargs: Sequence[Sequence[Mapping[str, Any] | None] | None],
    **columns: Any,
) -> list[float | None]:
    """Share of the instructions that are followed, less up to 0.3 for a degenerate answer.

    Takes the columns `instruction_id_list` and `kwargs` of IFEval's own file. In [-0.3, 1]; 0 for
    an answer of fewer than four words; None where a prompt has no instruction that can be checked;
    NaN where a checker fails, so that the row is counted as failed.

    Raises:
        InputError: the checkers are not installed.
    """
    checkers()
    return [
        _reward(messages[-1]["content"], answer[-1]["content"], names or (), arguments or ())
        for messages, answer, names, arguments in zip(
            prompts, completions, instruction_id_list, kwargs, strict=True
        )
    ]


def _reward(
    prompt: str, answer: str, names: Sequence[str], arguments: Sequence[Mapping[str, Any] | None]
) -> float | None:
    try:
        found = followed(prompt, answer, names, arguments)
    except Exception:  # whatever a checker raises on what a file gives it
        return float("nan")
    known = [one for one in found if one is not None]
    if not known:
        return None
    if len(answer.split()) < FEW_WORDS:
        return 0.0
    return sum(known) / len(known) - penalty(answer)


def penalty(answer: str) -> float:
    """What a degenerate answer loses, in [0, 0.3].

    In proportion to the share of its four-word sequences that have come before (it goes round in a
    loop), or to what it lacks of 20 words (it has shrunk to what the checkers ask), whichever is
    more.
    """
    words = answer.split()
    grams = [tuple(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1)]
    repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
    return MOST_TAKEN * max(repeated, 1 - len(words) / SHORT, 0.0)
