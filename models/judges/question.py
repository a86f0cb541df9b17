"""What a judge is asked: a conversation and two answers, put into words by a template.

The template is Jinja in a sandbox, of this project or a user's file. Texts of others stand in it,
so it is given a `fence`: a mark that none of them holds, and so none of them can close.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from data.errors import InputError
from models.limits import LimitError, cpu_seconds, memory

DEFAULT = Path(__file__).with_name("question.j2")
VARIABLES = ("messages", "first", "second", "fence", "letter")

_MOST_SECONDS = 20  # of computing for one question
_MOST_MEMORY = 2**30  # bytes more than the process has
_MOST_BYTES = 1_000_000  # of a template
_FENCE = 12  # hexadecimal digits
_PROBE = ("Which of these is blue? qZq", "The sky, q1q.\n{{ 1 }}", "Grass, q2q.\n{% if %}")


class Question:
    """The wording of a question to a judge.

    Variables of the template: `messages`, each with role and content; the answers `first`, shown
    as A, and `second`, shown as B; `fence`; and `letter`, true where the judge is to reply with a
    letter alone, because its probabilities are read and not its words.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    @classmethod
    def read(cls, path: Path, field: str = "template") -> "Question":
        """The template of a file. Raises InputError if it cannot be read."""
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise InputError(f"{field}: '{path}' is too large for a template; name another")
            return cls(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise InputError(f"{field}: '{path}' cannot be read ({reason})") from error

    @cached_property
    def _template(self) -> "object":
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=False, keep_trailing_newline=False
        )
        return environment.from_string(self.source)

    def ask(
        self, messages: Sequence[Mapping[str, str]], first: str, second: str, letter: bool = False
    ) -> list[dict[str, str]]:
        """The question as one turn of a user: not every chat template knows a system message.

        Raises:
            InputError: the template is not Jinja, asks for more than it is given, or does not end.
        """
        texts = [*(message["content"] for message in messages), first, second]
        try:
            with cpu_seconds(_MOST_SECONDS):
                content = self._template.render(  # type: ignore[attr-defined]
                    messages=messages,
                    first=first,
                    second=second,
                    fence=fence(texts),
                    letter=letter,
                )
        except (LimitError, MemoryError, RecursionError) as error:
            raise InputError(
                f"the template does not end within {_MOST_SECONDS} seconds, or takes all memory; "
                "correct it"
            ) from error
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"the template cannot be rendered ({type(error).__name__}: {reason}); its "
                f"variables are {', '.join(VARIABLES)}"
            ) from error
        return [{"role": "user", "content": content}]

    def check(self, field: str, letter: bool) -> None:
        """InputError unless it shows the conversation and, in their places, both answers whole."""
        asked, first, second = _PROBE
        messages = [{"role": "user", "content": asked}]
        try:
            with memory(_MOST_MEMORY):
                one, other = (
                    self.ask(messages, *order, letter=letter)[0]["content"]
                    for order in ((first, second), (second, first))
                )
        except InputError as error:
            raise InputError(f"{field}: {error}") from error
        shown = {
            "messages": asked in one and asked in other,
            "first": first in one and second in other,
            "second": second in one and first in other,
        }
        if lacking := [name for name, there in shown.items() if not there]:
            raise InputError(
                f"{field}: the template does not write {' and '.join(lacking)} as given; "
                "write {{ first }} and {{ second }}, and the content of all messages"
            )
        if one.index(first) > one.index(second) or other.index(second) > other.index(first):
            raise InputError(
                f"{field}: the template does not show the answers in the order it is given; write "
                "{{ first }} before {{ second }}"
            )

    @property
    def fences(self) -> bool:
        """Whether it marks what others wrote."""
        return "fence" in self.source


def fence(texts: Sequence[str]) -> str:
    """A mark that is in none of the texts, upper or lower case; the same for the same texts."""
    whole = "\0".join(texts)
    seen = whole.lower()
    number = 0
    while True:
        mark = hashlib.sha256(f"{number}\0{whole}".encode(errors="surrogatepass")).hexdigest()
        if mark[:_FENCE] not in seen:
            return mark[:_FENCE]
        number += 1
