"""The worked example of docs/new_method.md is a method: one file and one recipe."""

import re

import pyarrow.compute as pc
import pytest
import yaml

from cli.main import main
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from tests.repository import ROOT


def block(language):
    text = (ROOT / "docs" / "new_method.md").read_text()
    return re.search(rf"```{language}\n(.*?)```", text, re.S)[1]


@pytest.fixture
def recipe(tiny_recipe, tmp_path):
    code = tmp_path / "cautious.py"
    code.write_text(block("python"))
    changes = yaml.safe_load(block("yaml"))
    changes["labels"] = changes["labels"].replace("cautious.py", str(code))
    return tiny_recipe | changes | {"rounds": 1}


def test_the_example_is_short_and_labels_as_it_says(
    without_prefect, recipe, write_recipe, tiny_copy
):
    assert len(block("python").splitlines()) < 60
    where = ["--store", str(tiny_copy / "store"), "--runs-dir", str(tiny_copy / "runs")]
    assert main(["align", str(write_recipe(recipe)), "--quiet", *where]) == 0
    summary = read_summary(tiny_copy / "runs" / "tiny" / "summary.json")
    (entry,) = summary.rounds
    assert entry.ledger.trained and entry.teacher_calls == entry.ledger.generated
    store = Store(str(tiny_copy / "store"))
    rewards = {
        record.stage: store.table(
            Artifact(kind=record.kind, key=record.key, digest=record.artifact)
        ).sort_by("completion_id")["reward"]
        for record in entry.stages
        if record.stage in ("score student", "score teacher", "both")
    }
    stricter = pc.min_element_wise(rewards["score student"], rewards["score teacher"])
    assert rewards["both"].equals(stricter)


def test_code_runs_only_where_the_user_trusts_it(refuse_change):
    assert "trust_remote_code" in refuse_change({"labels": "mine.py:label"})
    line = refuse_change({"labels": "mine.py:label", "runtime": {"trust_remote_code": True}})
    assert line.startswith("labels: no such file 'mine.py'")
