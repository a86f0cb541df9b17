"""Whole runs on the tiny models of the model tests."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.cli import main
from tests.models.conftest import (  # noqa: F401
    bert_reward_dir,
    llama_reward_dir,
    policy_dir,
    tokenizer,
)


@pytest.fixture(scope="session")
def prompts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [
        {"prompt": f"What is {i} plus {i % 7}?", "dataset": ("sums", "more")[i % 2]}
        for i in range(60)
    ]
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


@pytest.fixture(scope="session")
def tiny_run(
    prefect: None, tiny_recipe: dict[str, Any], write_recipe: Any, tmp_path_factory: Any
) -> Path:
    """A folder with the store and the runs of one finished run; damage only copies of it."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
    assert main(["align", str(write_recipe(tiny_recipe)), "--quiet", *where]) == 0
    return folder
