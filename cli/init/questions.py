"""`tsalign init`: what the flags do not say is asked on a terminal; then the recipe is written."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from typer import prompt

from cli.init.methods import METHODS
from cli.init.starter import Answers, Draft, check_placed, drafted, is_folder, missing
from data.errors import InputError
from data.recipes.prompts import PromptsConfig
from data.recipes.recipe import RUN_NAME
from data.reward_functions import SHIPPED
from data.source_code import file_and_function
from flows.preflight.folders import model_path
from flows.preflight.labels import check_code
from flows.preflight.prompts import named_file, read_files

_KINDS = {
    "policy": "the model to align",
    "teacher": "who judges: a reward model, a reward function or a language model",
    "student": "a small reward model or encoder that screens",
    "smaller": "a smaller or weaker model that answers too",
    "prompts": "a file of prompts",
}
_TEACHES = "a larger language model with the policy's vocabulary"
_FORMS = {
    "prompts": "JSONL, Parquet, CSV or a datasets id",
    "teacher": f"folder or hub id, FILE.py:FUNCTION, {', '.join(SHIPPED)} or openai",
}


def write_recipe(answers: Answers, method: str | None, out: Path | None, ask: bool) -> int:
    """Complete the answers, write the recipe, and say what was derived.

    Raises:
        InputError: a flag is missing where nobody can be asked, something named cannot be used, or
            the file is there already.
    """
    answers = replace(answers, method=method or "ts-align")
    if out is not None or answers.run:
        _absent(out or Path(f"{answers.run}.yaml"))  # before any question
    if method or answers.world or not ask:
        check_placed(answers)
    if ask:
        answers = asked(answers, method, out)
    check_placed(answers)
    if lacking := missing(answers):
        name = lacking[0]
        raise InputError(
            f"--{name} is missing: {answers.method} needs {_kind(answers, name)}; name it, or give "
            "--world for a recipe without models of your own"
        )
    if answers.run is None and out is not None:
        answers = replace(answers, run=_run_name(out))
    draft = drafted(answers)
    path = out or Path(f"{draft.recipe.run}.yaml")
    written(path, draft.text)
    show(draft, path)
    return 0


def written(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises InputError."""
    _absent(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"--out: '{path}' cannot be written ({error.strerror})") from error


def _run_name(path: Path) -> str | None:
    """The file's name without what a run's name may not have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:64] or None


def _kind(answers: Answers, name: str) -> str:
    return _TEACHES if name == "teacher" and METHODS[answers.method].distils else _KINDS[name]


def _question(answers: Answers, name: str) -> str:
    kind = _kind(answers, name)
    form = _FORMS.get(name) if kind != _TEACHES else None
    return f"{name.capitalize()}: {kind} ({form or 'folder or hub id'})"


def _absent(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise InputError(f"--out: '{path}' is there already and stays; name another file")


def on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def asked(answers: Answers, method: str | None, out: Path | None = None) -> Answers:
    """The answers with what is open asked for, one question after the other."""
    console = Console(highlight=False)
    if method is None:
        for name, offered in METHODS.items():
            console.print(f"  {name:<9} {offered.about}", markup=False)
        answers = replace(answers, method=_until_good("Method", _method, "ts-align"))
    for name in missing(answers):
        check = {"prompts": _prompts, "teacher": _teacher}.get(name, _model)
        if _kind(answers, name) == _TEACHES:
            check = _model
        given: dict[str, Any] = {name: _until_good(_question(answers, name), check)}
        answers = replace(answers, **given)
    if answers.world:
        return answers
    if answers.test_prompts is None:
        question = "Held-out prompts (a file, or nothing to hold some out)"
        answers = replace(answers, test_prompts=_until_good(question, _prompts, "") or None)
    if answers.run is None:
        answers = replace(answers, run=_until_good("Name of the run", _free(out), _new_name(out)))
    return answers


def _until_good(question: str, check: Callable[[str], None], default: str | None = None) -> str:
    while True:
        answer: str = prompt(question, default=default, show_default=bool(default)).strip()
        try:
            if answer or default is None:
                check(answer)
            return answer
        except InputError as error:
            sys.stderr.write(f"  {error}\n")


def _method(name: str) -> None:
    if name not in METHODS:
        raise InputError(f"there is no method {name!r}; choose {', '.join(METHODS)}")


def _model(name: str) -> None:
    model_path("model", name)


def _teacher(name: str) -> None:
    if found := file_and_function(name):
        check_code("teacher", *found)
    elif is_folder(name):
        _model(name)


def _prompts(name: str) -> None:
    """Read now: a file without a prompt must not cost the answers to the other questions."""
    named_file("prompts", name)
    read_files(PromptsConfig(path=name))


def _free(out: Path | None) -> Callable[[str], None]:
    """A check of a run's name: it can be one, and its recipe is not there yet."""

    def check(name: str) -> None:
        if not re.fullmatch(RUN_NAME, name):
            raise InputError(f"{name!r} cannot name a run; use letters, digits, '.', '_' and '-'")
        if out is None and os.path.lexists(f"{name}.yaml"):
            raise InputError(f"'{name}.yaml' is there already and stays; choose another name")

    return check


def _new_name(out: Path | None) -> str:
    """What is offered as the run's name: one whose recipe is not there yet."""
    if out is not None:
        return _run_name(out) or "mine"
    names = ("mine", *(f"mine-{number}" for number in range(2, 100)))
    return next((name for name in names if not os.path.lexists(f"{name}.yaml")), "mine")


def show(draft: Draft, path: Path) -> None:
    """Say what was written and derived, and what comes next."""
    console = Console(highlight=False, markup=False)
    console.print(f"Wrote {path}.", soft_wrap=True)
    if draft.derived:
        console.print("Derived from what is here; the file has the reasons:")
        table = Table.grid(padding=(0, 2, 0, 2))
        for name, value in draft.derived.items():
            if not isinstance(value, list):
                table.add_row(name, str(value), draft.reasons.get(name, ""))
        console.print(table)
    name = f"'{path}'" if " " in str(path) else str(path)
    console.print("Next:")
    console.print(f"  tsalign check {name}   what it will read and do", soft_wrap=True)
    console.print(f"  tsalign align {name}", soft_wrap=True)
