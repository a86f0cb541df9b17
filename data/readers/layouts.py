"""Where the prompt of a row is: by the columns that public data sets have, or as a recipe says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from data.errors import InputError
from data.readers.messages import (
    as_messages,
    conversation,
    is_transcript,
    role_of,
    silent_system,
    transcript,
    unwritten,
)
from data.recipes.prompts import PromptColumns

# Columns that hold a prompt in data sets of others, where there is no `prompt` or `messages`.
_TASKS = ("instruction", "question")
_ABOUT = ("input", "context")  # what an instruction or question is about: Alpaca's, Dolly's
_SYSTEM = ("system", "system_prompt")
_OF_PROMPTS = ("prompt", "messages", "conversations", *_TASKS, *_ABOUT, *_SYSTEM)
COLUMNS = (*_OF_PROMPTS, "chosen", "prompt_id", "dataset", "source")


_AS_NAMED = PromptColumns()


class Asked(NamedTuple):
    """What a row asks."""

    layout: str  # for people: "messages", "ShareGPT", ...
    column: str  # for messages about it
    value: Any  # text, or messages
    whole: bool = False  # a talk, of which a last answer is no part of the prompt


def asked(row: Mapping[str, Any], place: str, others: Callable[[], Sequence[str]]) -> Asked:
    """The prompt of a row, unchecked.

    `prompt` and `messages` are this project's own names, and go before all others. Without them a
    row has `conversations` (ShareGPT), `instruction` or `question` (an `input` or `context` follows
    the prompt), a talk in `chosen` (HH-RLHF), or else `input`. A column `system` beside a name that
    is not our own is what the system says first.

    Args:
        others: The names of all columns, of which `row` may have only those that are known.

    Raises:
        InputError: no column is known to hold a prompt, or several may.
    """
    if _there(row, "prompt") or _there(row, "messages"):
        return _own(row, place)
    found = list(_of_others(row, place))
    if not found and _there(row, "input"):
        found = [Asked("input", "input", row["input"])]
    if not found:
        if empty := [name for name in _OF_PROMPTS if name in row and row[name] is None]:
            raise InputError(f"{place}: {empty[0]!r} is null; write a prompt, or remove the row")
        names = list(others())
        listed = f"of its columns ({', '.join(names)[:200]}) say which does" if names else "say how"
        column = next((name for name in names if name not in COLUMNS), "COLUMN")
        raise InputError(
            f"{place}: no column is known to hold a prompt; {listed}: "
            f"prompts.columns: {{prompt: {column}}}"
        )
    if len(found) > 1:
        names = [one.column for one in found]
        raise InputError(
            f"{place}: {' and '.join(map(repr, names))} may each hold the prompt; say which does: "
            f"prompts.columns: {{{_field(found[0])}: {names[0]}}}"
        )
    one = found[0]
    said = next((row[name] for name in _SYSTEM if row.get(name)), None)
    return one._replace(value=_after_system(said, one.value, place, one.column))


def mapped(
    row: dict[str, Any], columns: PromptColumns, place: str, others: Callable[[], Sequence[str]]
) -> dict[str, Any]:
    """The row under this project's names, where the recipe says which columns they are.

    Raises:
        InputError: the row has no such column.
    """
    if columns == _AS_NAMED:
        return row
    named = columns.named()
    for field, column in named.items():
        if column not in row:
            has = ", ".join(others())[:200] or "none"
            raise InputError(
                f"{place}: has no column {column!r}, which prompts.columns names for {field}; "
                f"it has {has}"
            )
    given = {field: row[column] for field, column in named.items()}
    name = "prompt" if columns.prompt else "messages" if columns.messages else None
    if name is None:
        return row | given
    value = with_input(unwritten(given[name], place, named[name]), given.get("input"))
    if is_transcript(value):
        name, value = "messages", transcript(value)
    value = _after_system(given.get("system"), value, place, name)
    kept = {key: row[key] for key in row if key not in (*_OF_PROMPTS, "chosen")}
    ids = {key: given[key] for key in ("dataset", "prompt_id") if key in given}
    return kept | ids | {name: value}


def with_input(prompt: Any, about: Any) -> Any:
    """A prompt of text and what it is about, if anything."""
    if not (isinstance(prompt, str) and isinstance(about, str) and about.strip()):
        return prompt
    return f"{prompt}\n\n{about}" if prompt.strip() else about


def _there(row: Mapping[str, Any], name: str) -> bool:
    return row.get(name) is not None


def _own(row: Mapping[str, Any], place: str) -> Asked:
    """`prompt`, `messages`, or both where the talk begins with the prompt.

    `messages` is the whole talk where a `prompt` stands beside it, as in ultrafeedback_binarized
    and ultrachat.
    """
    prompt, messages = (unwritten(row.get(name), place, name) for name in ("prompt", "messages"))
    if prompt is None:
        if isinstance(messages, str) and not is_transcript(messages):
            raise InputError(f"{place}: messages must be a list; name the field 'prompt' for text")
        return Asked("messages", "messages", transcript(messages), whole=True)
    if messages is not None:
        _check_beginning(as_messages(prompt, place), messages, place)
    elif is_transcript(prompt):
        return Asked("HH transcript", "prompt", transcript(prompt), whole=True)
    return Asked("prompt", "prompt", prompt)


def _of_others(row: Mapping[str, Any], place: str) -> list[Asked]:
    """Every column of another layout that may hold the prompt."""
    found = []
    talk = unwritten(row.get("conversations"), place, "conversations")
    if talk is not None:
        turns = isinstance(talk, list) and any(isinstance(t, dict) and "from" in t for t in talk)
        found.append(Asked("ShareGPT" if turns else "messages", "conversations", talk, whole=True))
    about = next((row[name] for name in _ABOUT if row.get(name)), None)
    tasks = [name for name in _TASKS if row.get(name)] or [n for n in _TASKS if _there(row, n)]
    for name in tasks:
        found.append(Asked(name, name, with_input(row[name], about)))
    chosen = row.get("chosen")
    if is_transcript(chosen):
        found.append(Asked("HH transcript", "chosen", transcript(chosen), whole=True))
    elif isinstance(chosen, list) and len(chosen) > 1 and not tasks:
        found.append(Asked("chosen talk", "chosen", chosen, whole=True))
    return found


def _field(one: Asked) -> str:
    return "messages" if one.whole else "prompt"


def _after_system(said: Any, value: Any, place: str, column: str) -> Any:
    """A prompt behind what a column of its own has the system say, if it says nothing itself."""
    turn = {"role": "system", "content": said}
    if silent_system(turn):
        return value
    if isinstance(value, str):
        value = as_messages(value, place, column)
    if not isinstance(value, list):
        return value
    talks = any(role_of(item) == "system" and not silent_system(item) for item in value)
    return value if talks else [turn, *value]


def _check_beginning(prompt: list[dict[str, str]], messages: Any, place: str) -> None:
    """InputError unless the talk begins with the prompt, but for what the system says first."""
    talk = conversation(messages, place, "messages") if isinstance(messages, list) else []
    if prompt[0]["role"] != "system" and talk and talk[0]["role"] == "system":
        raise InputError(
            f"{place}: messages has a turn of the system that prompt has not; drop the field "
            "'prompt' to use it, or 'messages' to leave it out"
        )
    if _trimmed(talk[: len(prompt)]) != _trimmed(prompt):
        raise InputError(
            f"{place}: has a 'prompt' and 'messages' that do not begin with the prompt; drop one "
            "of the two"
        )


def _trimmed(messages: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"].strip()) for message in messages]
