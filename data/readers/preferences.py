"""Preferences from a user's file: what the student is reminded of while it learns new ones."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import InputError
from data.readers.prompts import (
    Messages,
    as_messages,
    check_text,
    content_of,
    joined_text,
    prompt_id,
)
from data.readers.rows import read_rows
from data.schemas import PREFERENCES


def read_preferences(path: str | Path) -> tuple[pa.Table, dict[str, int]]:
    """PREFERENCES of round 0, and counts: read = kept + tied.

    A row has `prompt` (text or messages), `chosen` and `rejected`, each text or a list of messages
    whose last one is the assistant's. Rows whose two answers are equal are dropped and counted.
    Raises InputError with file and line for anything else.
    """
    kept, read = [], 0
    for place, row in read_rows(path, ("prompt", "chosen", "rejected", "dataset")):
        read += 1
        preference = _preference(row, place, Path(path).name.split(".")[0], read)
        if preference["chosen"] != preference["rejected"]:
            kept.append(preference)
    if not kept:
        raise InputError(f"{path}: holds no preferences; give at least one")
    counts = {"read": read, "kept": len(kept), "tied": read - len(kept)}
    return pa.Table.from_pylist(kept, PREFERENCES), counts


def _preference(row: dict[str, Any], place: str, dataset: str, number: int) -> dict[str, Any]:
    if row.get("prompt") is None:
        raise InputError(f"{place}: the field 'prompt' is missing; add the prompt's text")
    messages = as_messages(row["prompt"], place)
    name = f"{prompt_id(messages)}-{number}"  # one prompt may have several pairs
    return {
        "pair_id": name,
        "prompt_id": name,
        "messages": messages,
        "dataset": check_text(row.get("dataset") or dataset, place, "dataset"),
        "chosen": answer_text(row.get("chosen"), messages, place, "chosen"),
        "rejected": answer_text(row.get("rejected"), messages, place, "rejected"),
        "chosen_id": f"{name}/chosen",
        "rejected_id": f"{name}/rejected",
        "chosen_model": "given",
        "rejected_model": "given",
        "source": "given",
        "margin": 0.0,
        "weight": 1.0,
        "swapped": False,
        "round": 0,
    }


def answer_text(value: Any, prompt: Messages, place: str, field: str) -> str:
    """The text of an answer: itself, or the last message of a talk that begins with the prompt."""
    if isinstance(value, list):
        if not value or not isinstance(value[-1], dict) or value[-1].get("role") != "assistant":
            raise InputError(f"{place}: {field} must end with the assistant's message")
        talk = as_messages(value[:-1], place, field) if value[:-1] else prompt
        if content_of(talk[-len(prompt) :]) != content_of(prompt):
            raise InputError(
                f"{place}: {field} is a talk of another prompt than 'prompt'; correct the row"
            )
        value = joined_text(value[-1].get("content"))
    return check_text(value, place, field)
