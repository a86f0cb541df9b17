"""A language model as judge: both orders, no preference of a place taken for one of an answer."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer, render_completion
from models.judges.letters import log_odds
from models.judges.question import Question
from models.logps import sequence_logps
from tests.models.training.training_rows import conversations

RUNTIME = RuntimeConfig(device="cpu")
TALKS = conversations(8)
ITEMS = [
    (talk[:-1], talk[-1]["content"], other[-1]["content"])
    for talk, other in zip(TALKS[:4], TALKS[4:], strict=True)
]
# The tiny models know 256 positions.
SHORT = Question(
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}|{% endfor %}{{ first }}|{{ second }}|"
)


def pairwise_log_odds(model_dir: Path, items: list, runtime: RuntimeConfig) -> np.ndarray:
    return log_odds(model_dir, items, question=SHORT, runtime=runtime)[0]


@pytest.fixture(scope="module")
def biased_dir(policy_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge that never looks at the answers: nothing is passed on from one token to another."""
    out = tmp_path_factory.mktemp("biased") / "judge"
    shutil.copytree(policy_dir, out)
    weights = load_file(out / "model.safetensors")
    for name, tensor in weights.items():
        if name.endswith("o_proj.weight"):
            weights[name] = tensor * 0
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return out


def test_a_judge_that_looks_at_the_place_alone_turns_with_the_order(biased_dir: Path) -> None:
    odds = pairwise_log_odds(biased_dir, ITEMS, runtime=RUNTIME)
    assert odds.shape == (4, 2) and (np.abs(odds) > 0.01).all()
    np.testing.assert_allclose(odds[:, 0], -odds[:, 1], rtol=1e-4)


def test_exchanging_the_answers_exchanges_orders_and_signs(policy_dir: Path) -> None:
    turned = [(messages, other, one) for messages, one, other in ITEMS]
    odds = pairwise_log_odds(policy_dir, ITEMS, runtime=RUNTIME)
    again = pairwise_log_odds(policy_dir, turned, runtime=RUNTIME)
    np.testing.assert_allclose(again, -odds[:, ::-1], rtol=1e-4, atol=1e-5)
    assert np.ptp(odds[:, 0]) > 0.01  # this judge does look at the answers


def test_the_odds_are_of_the_two_verdicts(policy_dir: Path) -> None:
    messages, one, other = ITEMS[0]
    for column, (first, second) in enumerate([(one, other), (other, one)]):
        asked = SHORT.ask(messages, first, second, letter=True)
        assert asked[0]["content"] == f"[user]{messages[0]['content']}|{first}|{second}|"
        (a, b), _ = sequence_logps(policy_dir, [(asked, "A"), (asked, "B")], runtime=RUNTIME)
        odds = pairwise_log_odds(policy_dir, ITEMS[:1], runtime=RUNTIME)
        assert odds[0, column] == pytest.approx((a - b) * (1, -1)[column], rel=1e-4, abs=1e-5)


def test_a_pair_longer_than_the_context_is_not_judged_and_not_cut(policy_dir: Path) -> None:
    long = [({"role": "user", "content": "Hi"},), "yes " * 200, "no"]
    odds = pairwise_log_odds(policy_dir, [tuple(long), *ITEMS], runtime=RUNTIME)
    assert np.isnan(odds[0]).all()
    alone = pairwise_log_odds(policy_dir, ITEMS, runtime=RUNTIME)
    np.testing.assert_allclose(odds[1:], alone, rtol=1e-4, atol=1e-5)
    assert np.isnan(pairwise_log_odds(policy_dir, [tuple(long)], runtime=RUNTIME)).all()


def test_nothing_to_judge_is_nothing(policy_dir: Path) -> None:
    assert pairwise_log_odds(policy_dir, [], runtime=RUNTIME).shape == (0, 2)


def test_tokens_are_counted_of_what_is_read(policy_dir: Path) -> None:
    long = ([{"role": "user", "content": "Hi"}], "yes " * 200, "no")
    _, tokens = log_odds(policy_dir, ITEMS[:1], question=SHORT, runtime=RUNTIME)
    _, both = log_odds(policy_dir, [ITEMS[0], long], question=SHORT, runtime=RUNTIME)
    messages, one, other = ITEMS[0]
    asked = [SHORT.ask(messages, *order) for order in ((one, other), (other, one))]
    tokenizer = load_tokenizer(policy_dir)
    expected = [
        sum(map(len, render_completion(tokenizer, q, letter))) for q in asked for letter in "AB"
    ]
    assert tokens == both == sum(expected)
