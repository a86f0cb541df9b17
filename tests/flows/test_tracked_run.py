"""A run with trackers: curves of its trainings and rounds, and otherwise the same run."""

import importlib.util
import shutil

import pytest

from cli.main import main
from data.summary import read_summary
from flows.preflight import inputs as preflight
from models.training.trackers import MODULES
from tests.models.training.tracker_reading import tensorboard

INSTALLED = [name for name in MODULES if importlib.util.find_spec(name)]


def align(folder, recipe, name, write_recipe):
    where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
    assert main(["align", str(write_recipe(recipe)), "--run", name, *where]) == 0
    return read_summary(folder / "runs" / name / "summary.json")


@pytest.fixture(scope="module")
def tracked(without_prefect, tiny_recipe, write_recipe, tmp_path_factory):
    pytest.importorskip("tensorboard")
    folder = tmp_path_factory.mktemp("my tracked runs")
    recipe = tiny_recipe | {"runtime": {"trackers": INSTALLED}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETRC", "/dev/null")
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))
        return folder, recipe, align(folder, recipe, "tracked", write_recipe)


def test_the_artifacts_are_those_of_a_run_without_trackers(tracked, tiny_run):
    _, _, summary = tracked
    plain = read_summary(tiny_run / "runs" / "tiny" / "summary.json")
    found, expected = ([(s.stage, s.artifact) for s in x.stages()] for x in (summary, plain))
    assert found == expected
    assert summary.config_digest == plain.config_digest


def test_every_training_has_its_curve(tracked):
    folder, _, summary = tracked
    for number, entry in enumerate(summary.rounds, start=1):
        for stage in ("optimize", "distill"):
            place = folder / "runs" / "tracked" / "trackers"
            points = tensorboard(place, "tracked", f"round-{number}/{stage}")["train/loss"]
            (record,) = [one for one in entry.stages if one.stage == stage]
            assert [step for step, _ in points][-1] == record.counts["steps"]


def test_rounds_are_drawn_from_the_summary_with_the_base_as_round_0(tracked):
    folder, _, summary = tracked
    points = tensorboard(folder / "runs" / "tracked" / "trackers", "tracked", "rounds")
    rates = [(r.round, pytest.approx(r.policy.win_rate)) for r in summary.rounds]
    assert points["policy/win_rate"] == rates
    assert [step for step, _ in points["policy/mean_tokens"]] == [0, 1, 2]
    assert points["policy/kl_to_base"] == [
        (0, 0.0),
        *((r.round, pytest.approx(r.drift.kl_to_base)) for r in summary.rounds),
    ]
    (dataset, *_) = summary.rounds[0].policy.by_dataset
    assert {f"win_rate/{dataset}", "policy/win_rate_low", "policy/adopted"} <= set(points)
    assert points["pairs/trained"] == [(r.round, r.ledger.trained) for r in summary.rounds]
    assert {"policy/final_loss", "student/final_loss", "student/agreement"} <= set(points)


def test_a_run_that_finds_everything_draws_nothing_again(tracked, write_recipe):
    folder, recipe, _ = tracked
    (folder / "runs" / "tracked" / "report.html").unlink()  # something is left to do
    summary = align(folder, recipe, "tracked", write_recipe)
    assert all(record.cached for record in summary.stages())
    points = tensorboard(folder / "runs" / "tracked" / "trackers", "tracked", "rounds")
    assert [step for step, _ in points["policy/win_rate"]] == [1, 2]


def test_a_tracker_that_fails_is_one_line_of_the_run(
    tracked, write_recipe, capfd, tmp_path_factory
):
    """A file stands where its folder should be."""
    folder, recipe, summary = tracked
    place = folder / "runs" / "hindered" / "trackers"
    place.mkdir(parents=True)
    (place / "tensorboard").write_text("")
    shutil.copytree(folder / "store", folder / "other store")
    shutil.rmtree(folder / "other store" / "policy")
    recipe = recipe | {"runtime": {"trackers": ["tensorboard"]}}
    where = ["--store", str(folder / "other store"), "--runs-dir", str(folder / "runs")]
    assert main(["align", str(write_recipe(recipe)), "--run", "hindered", *where]) == 0
    hindered = read_summary(folder / "runs" / "hindered" / "summary.json")
    assert [s.artifact for s in hindered.stages()] == [s.artifact for s in summary.stages()]
    lines = [line for line in capfd.readouterr().err.splitlines() if "tensorboard" in line]
    assert len(lines) == 1 and "failed (" in lines[0] and "results are the same" in lines[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_tracker_that_is_not_installed_is_one_line(refuse_change, monkeypatch, name):
    monkeypatch.setattr(preflight, "find_spec", lambda module: None)
    line = refuse_change({"runtime.trackers": [name]})
    assert line == (
        f"runtime.trackers: {name} is not installed; `pip install {MODULES[name]}`, "
        f"or leave {name} out"
    )


def test_a_tracker_that_nobody_knows_is_one_line(refuse_change):
    line = refuse_change({"runtime.trackers": ["tensorbord"]})
    assert "runtime.trackers.0" in line and "'tensorboard'" in line
