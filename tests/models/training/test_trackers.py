"""Trackers draw what a training logs, once, wherever it runs, and change or end nothing."""

import importlib.util
import random
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.recipes.recipe import PolicyConfig, RuntimeConfig
from models.isolation import run_isolated
from models.training.dpo import train_dpo
from models.training.trackers import MODULES, Tracking, draw, same_random_numbers
from tests.models.training.tracker_reading import READ
from tests.models.training.training_rows import file_digests, preferences, reference

RUNTIME = RuntimeConfig(device="cpu", checkpoint_minutes=0)
CONFIG = PolicyConfig(
    method="full", epochs=2, batch_size=4, max_length=96, learning_rate=1e-3, sft_weight=0.1
)
STEPS = 12


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path_factory):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/dev/null")
    if not importlib.util.find_spec("trackio"):
        return
    # The library reads it once in a process.
    monkeypatch.setenv("TRACKIO_DIR", str(_trackio_dir(tmp_path_factory)))


def _trackio_dir(tmp_path_factory, known=[]):  # noqa: B006  one for all tests
    if not known:
        known.append(tmp_path_factory.mktemp("trackio"))
    return known[0]


@pytest.fixture(params=MODULES)
def tracker(request):
    pytest.importorskip(request.param, reason=f"{MODULES[request.param]} is not installed")
    return request.param


@pytest.fixture
def tracking(tracker, tmp_path):
    return Tracking(
        (tracker,), tmp_path / "my runs" / "trackers", tmp_path.name, 1, "optimize", "k"
    )


def train(policy, out, tracking, **other):
    return train_dpo(
        out,
        policy=policy,
        preferences=preferences(24),
        reference=reference(preferences(24)),
        config=CONFIG,
        runtime=RUNTIME,
        seed=1,
        tracking=tracking,
        **other,
    )


def drawn(tracking, title="round-1/optimize"):
    (tracker,) = tracking.trackers
    return READ[tracker](tracking.folder, tracking.run, title)


def losses(tracking):
    points = drawn(tracking)
    return dict(points.get("train/loss") or points["loss"])


@pytest.fixture(scope="module")
def undisturbed(policy_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "policy"
    return out, train(policy_dir, out, None)


def test_a_training_is_drawn_and_comes_out_the_same(policy_dir, tracking, undisturbed, tmp_path):
    out, expected = undisturbed
    meta = train(policy_dir, tmp_path / "policy", tracking)
    assert tracking.failures() == []
    assert meta == expected
    assert file_digests(tmp_path / "policy") == file_digests(out)
    found = losses(tracking)
    assert list(found) == list(range(1, STEPS + 1))
    assert list(found.values()) == pytest.approx(expected["losses"])
    names = {name.removeprefix("train/") for name in drawn(tracking)}
    assert {"rewards/chosen", "rewards/margins", "rewards/accuracies", "grad_norm"} <= names


def test_a_training_that_goes_on_draws_no_step_twice(policy_dir, tracking, undisturbed, tmp_path):
    class Killed(BaseException):
        pass

    def stop(step, _):
        if step == 7:
            raise Killed

    place = {"checkpoints": tmp_path / "checkpoints"}
    with pytest.raises(Killed):
        train(policy_dir, tmp_path / "a", tracking, on_progress=stop, **place)
    meta = train(policy_dir, tmp_path / "b", tracking, **place)
    assert 0 < meta["resumed_from_step"] < 7
    assert tracking.failures() == []
    points = drawn(tracking)
    points = points.get("train/loss") or points["loss"]
    assert [step for step, _ in points] == list(range(1, STEPS + 1))
    assert [loss for _, loss in points] == pytest.approx(undisturbed[1]["losses"])


def test_a_child_process_draws_too(policy_dir, tracking, undisturbed, tmp_path):
    out = tmp_path / "policy"
    run_isolated(train, policy_dir, out, tracking, device="cuda")  # the weights stay on the CPU
    assert tracking.failures() == []
    assert list(losses(tracking)) == list(range(1, STEPS + 1))
    assert file_digests(out) == file_digests(undisturbed[0])


def test_another_training_of_the_round_is_another_curve(tracking):
    (tracker,) = tracking.trackers
    other = replace(tracking, key="sha256:12345678")
    assert tracking.curve(tracker).title == "round-1/optimize"
    assert other.curve(tracker).title == "round-1/optimize-12345678"
    assert tracking.curve(tracker).title == "round-1/optimize"
    assert tracking.curve(tracker).id == tracking.curve(tracker).id != other.curve(tracker).id


def test_rounds_are_drawn_once_and_again_where_they_changed(tracker, tmp_path):
    tracking = Tracking((tracker,), tmp_path / "trackers", tmp_path.name, stage="rounds")
    first, second = {"policy/win_rate": 0.5}, {"policy/win_rate": 0.6, "pairs/trained": 10.0}
    draw(tracking, {0: {"policy/mean_tokens": 8.0}, 1: first})
    draw(tracking, {0: {"policy/mean_tokens": 8.0}, 1: first})
    time.sleep(1.1)  # TensorBoard orders its files by the second
    draw(tracking, {2: second})
    assert tracking.failures() == []
    points = drawn(tracking, "rounds")
    assert points["policy/win_rate"] == [(1, 0.5), (2, pytest.approx(0.6))]
    assert points["policy/mean_tokens"] == [(0, 8.0)]
    time.sleep(1.1)
    draw(tracking, {2: second | {"policy/win_rate": 0.7}})
    assert drawn(tracking, "rounds")["policy/win_rate"][-1] == (2, pytest.approx(0.7))


def test_a_tracker_that_cannot_write_ends_nothing(policy_dir, undisturbed, tmp_path):
    pytest.importorskip("tensorboard")
    folder = tmp_path / "trackers"
    folder.write_text("a file where the folder should be")
    tracking = Tracking(("tensorboard",), folder, "name", 1, "optimize", "k")
    assert train(policy_dir, tmp_path / "policy", tracking) == undisturbed[1]
    draw(tracking, {1: {"policy/win_rate": 0.5}})


def test_a_failure_is_told_once_and_the_tracker_left_out(policy_dir, undisturbed, tmp_path):
    pytest.importorskip("tensorboard")
    tracking = Tracking(("tensorboard",), tmp_path / "trackers", "name", 1, "optimize", "k")
    (tracking.folder / "tensorboard").mkdir(parents=True)
    (tracking.folder / "tensorboard" / "round-1").write_text("a file where the curve should be")
    assert train(policy_dir, tmp_path / "policy", tracking) == undisturbed[1]
    assert tracking.working() == []
    (line,) = tracking.failures()
    assert line.startswith("note: tensorboard failed (") and "\n" not in line
    assert tracking.failures() == [] and tracking.working() == []
    tracking.begin()
    assert tracking.working() == ["tensorboard"]


@pytest.mark.parametrize(
    ("tracker", "variables"),
    [
        (
            "wandb",
            {
                "WANDB_MODE": "online",
                "WANDB_API_KEY": "0" * 40,
                "WANDB_BASE_URL": "http://127.0.0.1:9",
                "WANDB_INIT_TIMEOUT": "3",
            },
        ),
        (
            "mlflow",
            {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        ),
    ],
)
def test_a_server_that_is_away_ends_nothing(
    policy_dir, undisturbed, tmp_path, monkeypatch, tracker, variables
):
    pytest.importorskip(tracker, reason=f"{MODULES[tracker]} is not installed")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracking = Tracking((tracker,), tmp_path / "trackers", "name", 1, "optimize", "k")
    assert train(policy_dir, tmp_path / "policy", tracking) == undisturbed[1]
    (line,) = tracking.failures()
    assert line.startswith(f"note: {tracker} failed (")
    assert file_digests(tmp_path / "policy") == file_digests(undisturbed[0])


def test_random_numbers_are_as_if_no_tracker_had_drawn_any():
    def numbers():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = numbers()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with same_random_numbers():
        numbers()
    assert numbers() == expected
