"""What a model's files ask for that decides its results besides their bytes."""

import json
from pathlib import Path

from models import today

DATE, CODE = "date", "code"
_TEMPLATES = ("chat_template*", "tokenizer_config.json", "additional_chat_templates/*")


def asks(folder: Path) -> list[str]:
    """ "date" if a chat template prints the day's, "code" if there is Python code of its own.

    Either is found as text in the files that transformers reads it from.
    """
    found = []
    if any(today.ASKS in _text(file) for name in _TEMPLATES for file in folder.glob(name)):
        found.append(DATE)
    if any('"auto_map"' in _text(file) for file in folder.glob("*config.json")):
        found.append(CODE)
    return found


def foreign_code(folder: Path) -> str | None:
    """The first file whose auto_map names code of another repository, which lies in no folder."""
    for file in sorted(folder.glob("*config.json")):
        try:
            named = json.loads(_text(file)).get("auto_map")
        except (ValueError, AttributeError):  # preflight says what is wrong with it
            continue
        if "--" in json.dumps(named):
            return file.name
    return None


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""
