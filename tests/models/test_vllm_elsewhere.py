"""vLLM under another interpreter does all that it does under this one: samples, takes new weights,
reads as a teacher, scores as a reward model, refuses.

`TSALIGN_ENGINE_PYTHON` names an environment of vLLM alone to take in the place of one that shares
this one's packages.
"""

import os
import signal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.engines import Engine, open_engine
from models.engines.base import Sampling
from models.isolation import ChildDiedError
from models.rewards import load_scorer
from models.teacher import Teacher
from models.teacher_engines import open_teacher
from tests.models.conftest import MAX_MODEL_LEN
from tests.models.test_rewards import ITEMS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="an extra of vLLM"),
]
SAMPLED = Sampling(k=2, temperature=1.0, top_p=0.9, max_tokens=8)


@pytest.fixture(scope="module")
def there(other_python: Path) -> RuntimeConfig:
    own = os.environ.get("TSALIGN_ENGINE_PYTHON")
    return RuntimeConfig(device="cpu", engine_python=own or str(other_python))


@pytest.fixture(scope="module")
def engine(there: RuntimeConfig, policy_dir: Path):
    found = open_engine("vllm", policy_dir, there, MAX_MODEL_LEN, seed=0)
    yield found
    found.close()


def test_it_samples_as_here_and_is_handed_new_weights(
    engine: Engine,
    vllm_engine: Engine,
    prompts: list[list[int]],
    policy_dir: Path,
    other_policy_dir: Path,
) -> None:
    for folder in (policy_dir, other_policy_dir, policy_dir):
        engine.load(folder)
        vllm_engine.load(folder)
        found = engine.generate(prompts[:20], range(20), SAMPLED)
        assert found == vllm_engine.generate(prompts[:20], range(20), SAMPLED)
        pairs = prompts[:5], prompts[5:10]
        np.testing.assert_allclose(
            np.concatenate(engine.logprobs(*pairs)),
            np.concatenate(vllm_engine.logprobs(*pairs)),
            atol=1e-5,
        )


def test_it_starts_again_after_its_death(engine: Engine, prompts: list[list[int]]) -> None:
    expected = engine.generate(prompts[:4], [0] * 4, SAMPLED)
    os.kill(engine._child.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(ChildDiedError, match="out of memory"):
        engine._child.call("logprobs", [[5, 6]])  # type: ignore[attr-defined]
    assert engine.generate(prompts[:4], [0] * 4, SAMPLED) == expected


def test_a_teacher_reads_there(there: RuntimeConfig, policy_dir: Path) -> None:
    items = [([{"role": "user", "content": "Say it."}], f"It is {i}.") for i in range(4)]
    teacher = open_teacher("vllm", policy_dir, there, 64, 30)
    try:
        found = teacher.targets(items, 30, 1.0)
    finally:
        teacher.close()
    for ours, theirs in zip(Teacher(policy_dir, there).targets(items, 30, 1.0), found, strict=True):
        assert ours and theirs and ours.token_ids.tolist() == theirs.token_ids.tolist()
        np.testing.assert_allclose(ours.top_logps, theirs.top_logps, atol=1e-3)


def test_a_reward_model_scores_there(there: RuntimeConfig, llama_reward_dir: Path) -> None:
    scorer = load_scorer(llama_reward_dir, there, 200, backend="vllm")
    try:
        found = scorer.score(ITEMS)
    finally:
        scorer.close()
    ours = load_scorer(llama_reward_dir, there, 200).score(ITEMS)
    np.testing.assert_allclose(found, ours, atol=1e-4)


def test_what_it_cannot_run_is_one_line(there: RuntimeConfig, policy_dir: Path) -> None:
    with pytest.raises(InputError, match="vLLM cannot start with") as caught:
        open_engine("vllm", policy_dir, there, 100_000, seed=0)
    assert "\n" not in str(caught.value)
    assert "in the child process:\nTraceback" in caught.value.__notes__[0]
