"""What a round hands on."""

import pytest

from cli.main import main
from data.store.artifacts import Artifact
from flows.loop.state import Agreement


def measured(agreement):
    digest = "sha256:" + "0" * 64
    return Artifact(kind="agreement", key=digest, digest=digest, meta={"agreement": agreement})


@pytest.mark.parametrize(
    ("before", "after", "adopted"),
    [(0.5, 0.5, True), (0.6, 0.5, False), (None, None, True), (0.5, None, True), (None, 0.5, True)],
)
def test_a_student_is_kept_unless_it_agrees_less(before, after, adopted):
    assert Agreement(measured(before), measured(after)).adopted == adopted


@pytest.mark.slow
def test_dev_answers_that_are_all_alike_end_no_run(prefect, tiny_recipe, write_recipe, tmp_path):
    """Greedy ones are: no pair of them tells a student from the teacher."""
    values = tiny_recipe | {"rounds": 1, "evaluate": {"temperature": 0}}
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    path = str(write_recipe(values))
    assert main(["align", path, "--quiet", *where]) == 0
    assert main(["status", "tiny", "--runs-dir", str(tmp_path / "runs")]) == 0
    assert main(["verify", *where]) == 0
