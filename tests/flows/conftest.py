"""Whole runs on the tiny models of the model tests."""

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import yaml

from cli.main import main
from tests.models.conftest import (  # noqa: F401
    bert_reward_dir,
    llama_reward_dir,
    policy_dir,
    tokenizer,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def prompts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [
        {"prompt": f"What is {i} plus {i % 7}?", "dataset": ("sums", "more")[i % 2]}
        for i in range(60)
    ]
    rows += rows[:2]  # repeated, to be dropped and counted
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def tiny_recipe(
    policy_dir: Path,  # noqa: F811
    llama_reward_dir: Path,  # noqa: F811
    bert_reward_dir: Path,  # noqa: F811
    prompts_file: Path,
) -> dict[str, Any]:
    """Two rounds on models and prompts a user brings, in seconds."""
    return {
        "run": "tiny",
        "rounds": 2,
        "policy": {
            "model": str(policy_dir),
            "method": "full",
            "learning_rate": 1e-3,
            "batch_size": 8,
            "sft_weight": 0.1,
            "max_length": 96,
            "replay": "all",
        },
        "student": {"model": str(bert_reward_dir), "batch_size": 8, "max_length": 96, "epochs": 1},
        "teacher": {"model": str(llama_reward_dir)},
        "prompts": {
            "path": str(prompts_file),
            "per_round": 10,
            "dev_size": 6,
            "test_size": 20,
            "max_tokens": 64,
        },
        "generate": {"engine": "transformers", "k": 4, "max_tokens": 12},
        "mine": {"drop_truncated": False},
        "gate": {"min_win_rate": 0.0},
    }


@pytest.fixture(scope="session")
def write_recipe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    def write(values: dict[str, Any]) -> Path:
        path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


class Spent(NamedTuple):
    """What a new process printed on stderr, and what it cost: the least of two tries."""

    error: str
    seconds: float
    computing: float  # of these, on a processor: a busy machine does not double it


def in_new_process(code: str, *arguments: str, status: int = 0) -> Spent:
    spent = []
    for _ in range(2):
        start, before = time.monotonic(), os.times()
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT
        )
        after = os.times()
        assert done.returncode == status, done.stderr
        computing = sum(after[2:4]) - sum(before[2:4])  # user and system, of child processes
        spent.append(Spent(done.stderr, time.monotonic() - start, computing))
    return min(spent, key=lambda one: one.computing)


def refused_in_new_process(*arguments: str, without: set[str]) -> Spent:
    """A command that must be refused without loading any of these modules."""
    code = (
        "import sys\nfrom cli.main import main\nstatus = main(sys.argv[1:])\n"
        f"loaded = {without} & set(sys.modules)\nassert not loaded, loaded\nsys.exit(status)"
    )
    spent = in_new_process(code, *arguments, status=2)
    # On a busy machine a line says before what is being done.
    said = [line for line in spent.error.splitlines(True) if not line.startswith("Checking ")]
    spent = spent._replace(error="".join(said))
    assert spent.error.startswith("tsalign: error: ") and spent.error.count("\n") == 1
    return spent


@pytest.fixture
def refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run a command that must be refused; its one line, without the prefix.

    Nothing is written, and the flow is never reached: without Prefect, an answer takes seconds.
    """
    begun = SimpleNamespace(align=lambda *_, **__: pytest.fail("the flow was started"))
    monkeypatch.setitem(sys.modules, "flows.align", begun)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> str:
        capsys.readouterr()  # what the test's own preparation printed
        code = main(arguments)
        lines = capsys.readouterr().err.splitlines()
        assert code == 2
        assert len(lines) == 1 and lines[0].startswith("tsalign: error: "), lines
        return lines[0].removeprefix("tsalign: error: ")

    return run


@pytest.fixture
def refuse_recipe(refuse: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Align with a recipe, text or bytes, that must be refused."""

    def run(recipe: str | bytes, *arguments: str) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_bytes(recipe if isinstance(recipe, bytes) else recipe.encode())
        store, runs = tmp_path / "store", tmp_path / "runs"
        places = ("--store", str(store), "--runs-dir", str(runs))
        line = refuse("align", str(path), "--quiet", *places, *arguments)
        assert not store.exists() and not runs.exists()
        return line

    return run


@pytest.fixture
def refuse_change(
    refuse_recipe: Callable[..., str], tiny_recipe: dict[str, Any]
) -> Callable[[dict[str, Any]], str]:
    """Align with the tiny recipe after changes, by dotted field; None removes the field."""

    def run(changes: dict[str, Any]) -> str:
        values = copy.deepcopy(tiny_recipe)
        for dotted, value in changes.items():
            *sections, name = dotted.split(".")
            place = values
            for section in sections:
                place = place.setdefault(section, {})
            place[name] = value
            if value is None:
                del place[name]
        return refuse_recipe(yaml.safe_dump(values))

    return run


@pytest.fixture(scope="session")
def tiny_run(
    prefect: None, tiny_recipe: dict[str, Any], write_recipe: Any, tmp_path_factory: Any
) -> Path:
    """A folder with the store and the runs of one finished run; damage only copies of it."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
    assert main(["align", str(write_recipe(tiny_recipe)), "--quiet", *where]) == 0
    return folder
