"""A language model's likelihood as a reward: closed form, limits, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cli.main import main
from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from data.summary import read_summary
from models.implicit import ImplicitScorer
from models.logps import sequence_logps
from models.reward_files import IMPLICIT, check_headless, check_reward_model, compares
from models.rewards import load_scorer
from tests.models.training.training_rows import conversations

RUNTIME = RuntimeConfig(device="cpu", token_budget=300)
ITEMS = [(talk[:-1], talk[-1]["content"]) for talk in conversations(9)]


@pytest.fixture
def judge(policy_dir: Path, tmp_path: Path):
    """A copy of the tiny policy that rewards by its likelihood."""

    def make(reference: Path | None = None, **settings) -> Path:
        folder = Path(shutil.copytree(policy_dir, tmp_path / "judge"))
        (folder / IMPLICIT).write_text(json.dumps(settings))
        if reference:
            shutil.copytree(reference, folder / "reference")
        return folder

    return make


@pytest.mark.parametrize("per_token", [False, True])
def test_the_reward_is_beta_times_the_log_likelihood(judge, policy_dir, per_token) -> None:
    sums, tokens = sequence_logps(policy_dir, ITEMS, runtime=RUNTIME)
    scorer = load_scorer(judge(beta=0.5, per_token=per_token), RUNTIME, 200)
    assert isinstance(scorer, ImplicitScorer)
    expected = 0.5 * sums / (tokens if per_token else 1)
    np.testing.assert_allclose(scorer.score(ITEMS), expected, rtol=1e-5)


def test_a_reference_is_taken_off(judge, other_policy_dir, policy_dir) -> None:
    own, _ = sequence_logps(policy_dir, ITEMS, runtime=RUNTIME)
    other, _ = sequence_logps(other_policy_dir, ITEMS, runtime=RUNTIME)
    assert not np.allclose(own, other)
    scorer = load_scorer(judge(reference=other_policy_dir, beta=0.1), RUNTIME, 200)
    np.testing.assert_allclose(scorer.score(ITEMS), 0.1 * (own - other), rtol=1e-4)


def test_nothing_is_cut(judge) -> None:
    done = []
    scorer = load_scorer(judge(), RUNTIME, 60)
    items = [ITEMS[0], (ITEMS[1][0], "long " * 100)]
    rewards = scorer.score(items, on_progress=lambda *parts: done.append(parts))
    assert np.isfinite(rewards[0]) and np.isnan(rewards[1]) and done == [(1, 1)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"beta": 0}, "beta"), ({"beta": 1, "scale": 2}, "scale"), ({"per_token": "often"}, "per_to")],
)
def test_settings_that_mean_nothing_are_refused(judge, settings, said) -> None:
    with pytest.raises(InputError, match=said) as refused:
        check_reward_model(judge(**settings), "teacher.model")
    assert "\n" not in str(refused.value) and "write beta" in str(refused.value)


def test_a_reference_of_another_vocabulary_is_refused(judge, policy_dir, tmp_path) -> None:
    folder = judge(reference=policy_dir)
    config = folder / "reference" / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"vocab_size": values["vocab_size"] + 8}))
    with pytest.raises(InputError, match="reference"):
        check_reward_model(folder, "teacher.model")


def test_it_scores_and_does_not_compare_and_is_no_student(judge, policy_dir) -> None:
    folder = judge()
    assert compares(policy_dir) and not compares(folder)
    with pytest.raises(InputError, match="not trained here"):
        check_headless(folder, "student.model")


@pytest.mark.usefixtures("without_prefect")
def test_it_teaches_a_run(judge, tiny_recipe, write_recipe, tmp_path) -> None:
    teacher = {"model": str(judge(beta=0.1))}
    recipe = write_recipe(tiny_recipe | {"rounds": 1, "teacher": teacher})
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(recipe), "--quiet", *where]) == 0
    (found,) = read_summary(tmp_path / "runs" / "tiny" / "summary.json").rounds
    assert found.ledger.labelled > 0 and found.teacher_calls == 2 * found.ledger.mined
