"""The gate behind DPO: a saved policy must differ from the one it was trained from."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.errors import InputError, TrainingError
from data.recipes.recipe import RuntimeConfig
from data.store.store import Store
from tasks.optimize import CANARIES, check_policy
from tasks.running.loaded import LoadedModels
from tasks.stage import Context
from tests.models.training.training_rows import preferences

PAIRS = preferences(CANARIES)


@pytest.fixture
def context(tmp_path):
    runtime = RuntimeConfig(device="cpu")
    return Context(Store(tmp_path / "store"), runtime, LoadedModels("none", runtime))


def moved(policy, out, by):
    """The policy with every weight of its last norm multiplied by 1 + `by`, or made noise."""
    shutil.copytree(policy, out)
    weights = load_file(out / "model.safetensors")
    if by == "noise":
        torch.manual_seed(0)
        weights = {name: torch.randn_like(tensor) for name, tensor in weights.items()}
    else:
        weights["model.norm.weight"] *= 1 + by
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return out


def test_a_policy_that_was_saved_as_it_began_fails_the_task(context, policy_dir, tmp_path):
    same = moved(policy_dir, tmp_path / "same", 0)
    with pytest.raises(TrainingError, match="answers exactly as before its training"):
        check_policy(same, policy_dir, context, PAIRS, 96)


def test_a_small_step_passes_though_no_greedy_answer_changes(context, policy_dir, tmp_path):
    near = moved(policy_dir, tmp_path / "near", 1e-4)
    found = check_policy(near, policy_dir, context, PAIRS, 96)
    assert 0 < found["canary_change"] < 1
    assert (found["canary_answers"], found["canary_answers_changed"]) == (CANARIES, 0)


def test_changed_greedy_answers_are_counted(context, policy_dir, tmp_path):
    far = moved(policy_dir, tmp_path / "far", "noise")
    assert check_policy(far, policy_dir, context, PAIRS, 96)["canary_answers_changed"] == CANARIES


def test_a_policy_that_is_not_finite_fails_the_task(context, policy_dir, tmp_path):
    broken = moved(policy_dir, tmp_path / "broken", float("nan"))
    with pytest.raises(InputError, match="holds a NaN or an infinity"):
        check_policy(broken, policy_dir, context, PAIRS, 96)


def test_prompts_that_leave_no_room_are_not_asked(context, policy_dir, tmp_path):
    near = moved(policy_dir, tmp_path / "near", 1e-4)
    assert check_policy(near, policy_dir, context, PAIRS, 33)["canary_answers"] == 0
