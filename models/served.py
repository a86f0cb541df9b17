"""Where a language model answers that is not loaded here; no library, so that all may name it."""

from typing import NamedTuple


class Served(NamedTuple):
    """A model behind an OpenAI-compatible server."""

    url: str  # without a last slash
    model: str  # as the server calls it
    field: str  # of the recipe, that names the server


KEY = "TEACHER_API_KEY"  # the variable that holds a teacher's server's key


def url_field(field: str) -> str:
    """The field that names the server of a model's: teacher.url, or "teacher of NAME"."""
    part, _, last = field.rpartition(".")
    return f"{part}.url" if last == "model" else field
