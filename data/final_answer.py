"""The answer at the end of a rationale: what follows its last marker."""

_AROUND = " \t.:;,!?*\"'()[]"


def final_answer(text: str, marker: str) -> str | None:
    """What follows the last `marker` in its line, or in the next where its own ends there, plainly
    written; None where it is not there.

    Case does not count. Without a marker it is the text's last word.
    """
    if not marker:
        words = text.split()
        return plain(words[-1]) if words else None
    _, found, after = text.casefold().rpartition(marker.casefold())
    lines = after.strip().splitlines() if found else []
    return plain(lines[0]) if lines else None


def plain(answer: str) -> str:
    """An answer without case, signs around it and white space that is repeated."""
    return " ".join(answer.casefold().split()).strip(_AROUND)


def is_right(text: str, marker: str, answer: str) -> bool:
    """Whether a rationale ends at this answer."""
    return final_answer(text, marker) == plain(answer)
