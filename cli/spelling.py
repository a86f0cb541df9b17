"""Signs that a terminal's encoding lacks, in ASCII: a Latin-1 locale has no arrow."""

import codecs

ERRORS = "tsalign-spelled"  # for the `errors` of a stream

_SPELLED = {
    "→": "->", "–": "-", "—": "-", "…": "...", "\u202f": " ", "“": '"', "”": '"', "’": "'",
    "≥": ">=", "≤": "<=", "×": "x", "±": "+-",
}  # fmt: skip


def _spell(error: UnicodeError) -> tuple[str, int]:
    """What stands for the signs that cannot be encoded; a question mark for any other."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_SPELLED.get(sign, "?") for sign in signs), error.end


codecs.register_error(ERRORS, _spell)
