"""A student and a teacher of the BERT family, without a chat template: what most users bring."""

import pytest

from cli.main import main
from data.summary import read_summary
from flows.preflight.inputs import check_inputs
from flows.table import recipe_from
from models.text_pairs import load_reader, reads_segments
from tests.models.test_text_pairs import save


@pytest.fixture
def values(tiny_recipe, tmp_path):
    models = {kind: str(save(kind, tmp_path / kind)) for kind in ("bert", "roberta")}
    student = tiny_recipe["student"] | {"model": models["bert"]}
    return tiny_recipe | {"rounds": 1, "student": student, "teacher": {"model": models["roberta"]}}


def test_they_are_accepted(values):
    assert check_inputs(recipe_from(values)) == []


@pytest.mark.slow
def test_they_judge_and_learn(prefect, values, write_recipe, tmp_path):
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(write_recipe(values)), "--quiet", *where]) == 0
    summary = read_summary(tmp_path / "runs/tiny/summary.json")
    assert summary.finished and summary.rounds[0].ledger.trained
    assert reads_segments(load_reader(tmp_path / "runs/tiny/student"))
