"""Conversations as users' files have them, checked and in one form: turns of `role` and `content`.

Text, lists of messages, ShareGPT's turns of `from` and `value`, and transcripts in the layout of
HH-RLHF ("\\n\\nHuman: ...\\n\\nAssistant: ...") are read.
"""

import json
import re
from typing import Any

from data.errors import InputError

ROLES = ("system", "user", "assistant")
_OTHER_ROLES = {
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant",
    "developer": "system",
}  # fmt: skip
Messages = list[dict[str, str]]

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
# A list of turns in a cell of a table that holds text alone: as JSON, or as Python prints it.
_LISTED = re.compile(
    r"""\s*\[\s*\{\s*["'](role|content|from|value)["']\s*:.*\}\s*\]\s*""", re.DOTALL
)
_TURN_KEYS = (
    re.compile(r"""["'](role|from)["']\s*:"""),
    re.compile(r"""["'](content|value)["']\s*:"""),
)


def as_messages(value: Any, place: str, field: str = "prompt") -> Messages:
    """Text or a list of messages, as checked messages that end with the user's turn.

    Turns of the system that say nothing are left out.
    """
    if isinstance(value, str):
        value = [{"role": "user", "content": check_text(value, place, field)}]
    messages = conversation(value, place, field)
    if not messages or messages[-1]["role"] != "user":
        raise InputError(f"{place}: {field} must end with the user's message; drop the answer")
    return messages


def conversation(value: Any, place: str, field: str) -> Messages:
    """A list of messages, checked; whoever speaks last. Raises InputError."""
    if not isinstance(value, list) or not value:
        raise InputError(f"{place}: {field} must be text or a list of messages")
    return [_message(item, place, field) for item in value if not silent_system(item)]


def transcript(value: Any) -> Any:
    """The turns of a text in HH-RLHF's layout, of which the last may be empty; else as it is."""
    if not is_transcript(value):
        return value
    parts = _TURN.split(value)[1:]
    return [
        {"role": _SPEAKERS[who], "content": text.strip()}
        for who, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def unwritten(value: Any, place: str, field: str) -> Any:
    """The messages of a cell that holds them as JSON, as CSV files do; else the value as it is.

    Raises:
        InputError: it holds messages as Python prints them, which would be read as a prompt's text.
    """
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    if not (_LISTED.fullmatch(value) and all(key.search(value) for key in _TURN_KEYS)):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise InputError(
            f"{place}: {field} holds messages as text that is no JSON; save the file as JSONL or "
            "Parquet, or write the lists with json.dumps"
        ) from None


def is_transcript(value: Any) -> bool:
    """Whether a text is in HH-RLHF's layout, the blank lines before it there or not."""
    if not isinstance(value, str):
        return False
    return value.startswith("\n\nHuman:") or (
        value.startswith("Human:") and "\n\nAssistant:" in value
    )


def role_of(item: Any) -> Any:
    """Who speaks in a turn, as this project calls it; what else stands there as it is."""
    said = item.get("role", item.get("from")) if isinstance(item, dict) else None
    return _OTHER_ROLES.get(said, said) if isinstance(said, str) else said


def content_in(item: dict[str, Any]) -> Any:
    """What a turn says; parts that are all text are joined."""
    return joined_text(item.get("value") if "from" in item else item.get("content"))


def silent_system(item: Any) -> bool:
    """Whether a message is a turn of the system without a word, as many data sets have."""
    if role_of(item) != "system":
        return False
    content = content_in(item)
    return content is None or (isinstance(content, str) and not content.strip())


def joined_text(content: Any) -> Any:
    """The text of content that is given in parts, if all of them are text; else as it is."""
    if isinstance(content, list) and content:
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
        if len(texts) == len(content):
            return "".join(texts)
    return content


def check_text(value: Any, place: str, field: str, blank: bool = False) -> str:
    """`value` if it is text that has UTF-8 and, unless `blank`, is not blank. Raises InputError."""
    if not isinstance(value, str):
        raise InputError(f"{place}: {field} must be text, got {type(value).__name__}")
    if not (blank or value.strip()):
        raise InputError(f"{place}: {field} is empty; fill it or remove the row")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{place}: {field} holds a lone surrogate; remove it") from None
    return value


def _message(item: Any, place: str, field: str) -> dict[str, str]:
    if not isinstance(item, dict):
        raise InputError(f"{place}: {field} must be text or a list of messages")
    if "role" in item and "from" in item:
        raise InputError(f"{place}: {field} has a turn with 'role' and 'from'; drop one of the two")
    known = ("from", "value", "weight") if "from" in item else ("role", "content")
    extra = [key for key, value in item.items() if key not in known and value]
    if extra:
        raise InputError(
            f"{place}: {field} has a message with {extra[0]!r}; only {known[0]} and {known[1]}"
        )
    role = role_of(item)
    if role not in ROLES:
        said = repr(item.get("role", item.get("from")))[:40]
        raise InputError(f"{place}: {field} has the role {said}; use {', '.join(ROLES)}")
    content = content_in(item)
    if isinstance(content, list):
        if any(isinstance(part, dict) and "image" in str(part.get("type")) for part in content):
            raise InputError(
                f"{place}: {field} holds an image, which this recipe does not see; remove the row "
                "(docs/vl2v.md says which recipe reads images)"
            )
        raise InputError(f"{place}: {field} has content that is not text alone; remove the row")
    return {"role": role, "content": check_text(content, place, f"{field} content")}
