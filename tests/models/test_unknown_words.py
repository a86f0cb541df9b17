"""A text that holds a token which a model lacks is not read, and all others are, as ever.

Tokens are often added to a tokenizer for another model of its family.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from data.recipes.recipe import RuntimeConfig
from models.logps import sequence_logps
from models.next_tokens import are_read
from models.reward_files import IMPLICIT
from models.rewards import load_scorer
from models.teacher import Teacher

RUNTIME = RuntimeConfig(device="cpu")
WORD = "<tool_call>"
QUESTION = {"role": "user", "content": "Sort these words: pear fig."}
ASKED = {"role": "user", "content": f"What is a {WORD}?"}
ITEMS = [([QUESTION], "fig pear"), ([QUESTION], f"fig {WORD}"), ([ASKED], "No idea.")]


@pytest.fixture
def knowing_more(request: pytest.FixtureRequest, tmp_path: Path):
    """A copy of a tiny model whose tokenizer has a word more than the model."""

    def make(name: str) -> Path:
        copy = Path(shutil.copytree(request.getfixturevalue(name), tmp_path / "model"))
        tokenizer = AutoTokenizer.from_pretrained(copy)
        tokenizer.add_tokens([WORD])
        tokenizer.save_pretrained(copy)
        assert len(tokenizer) > json.loads((copy / "config.json").read_text())["vocab_size"]
        return copy

    return make


def test_read_is_what_fits_and_is_known() -> None:
    assert are_read([[1, 2], [1, 9], [1, 2, 3], []], 2, 9).tolist() == [True, False, False, True]


@pytest.mark.parametrize("name", ["llama_reward_dir", "bert_reward_dir"])
def test_a_reward_model_gives_it_no_reward(knowing_more, request, name) -> None:
    rewards = load_scorer(knowing_more(name), RUNTIME, 200).score(ITEMS)
    expected = load_scorer(request.getfixturevalue(name), RUNTIME, 200).score(ITEMS[:1])
    assert np.isnan(rewards).tolist() == [False, True, True]
    np.testing.assert_allclose(rewards[:1], expected, atol=1e-6)


def test_a_likelihood_gives_it_no_reward(knowing_more) -> None:
    judge = knowing_more("policy_dir")
    (judge / IMPLICIT).write_text("{}")
    rewards = load_scorer(judge, RUNTIME, 200).score(ITEMS)
    assert np.isnan(rewards).tolist() == [False, True, True]


def test_it_has_no_log_probability(knowing_more, policy_dir) -> None:
    sums, _ = sequence_logps(knowing_more("policy_dir"), ITEMS, runtime=RUNTIME)
    expected, _ = sequence_logps(policy_dir, ITEMS[:1], runtime=RUNTIME)
    assert np.isnan(sums).tolist() == [False, True, True]
    np.testing.assert_allclose(sums[:1], expected, rtol=1e-6)


def test_a_teacher_has_no_targets_for_it(knowing_more) -> None:
    found = Teacher(knowing_more("policy_dir"), RUNTIME).targets(ITEMS, 3, 1.0)
    assert [one is None for one in found] == [False, True, True]
