"""A language model as judge: both orders, no preference of a place taken for one of an answer."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from data.recipes.recipe import RuntimeConfig
from models import pairwise_judge
from models.chat import load_tokenizer, render_completion
from models.logps import sequence_logps
from models.pairwise_judge import pairwise_log_odds
from tests.models.training.training_rows import conversations

RUNTIME = RuntimeConfig(device="cpu")
TALKS = conversations(8)
ITEMS = [
    (talk[:-1], talk[-1]["content"], other[-1]["content"])
    for talk, other in zip(TALKS[:4], TALKS[4:], strict=True)
]
SHORT = "{conversation}|{first}|{second}|"  # the tiny models know 256 positions


@pytest.fixture(autouse=True)
def short_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise_judge, "QUESTION", SHORT)


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
        asked = pairwise_judge.question(messages, first, second)
        assert asked[0]["content"] == f"[User]\n{messages[0]['content']}|{first}|{second}|"
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


def test_the_whole_question_reaches_the_judge(
    policy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the real wording
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi {x}"}]
    asked = pairwise_judge.question(messages, "{one}", "two")
    prompt, verdict = render_completion(load_tokenizer(policy_dir), asked, "A")
    text = load_tokenizer(policy_dir).decode(prompt)
    for part in ("Be brief.", "Hi {x}", "[Answer A]\n{one}", "[Answer B]\ntwo"):
        assert part in text
    assert len(verdict) == 2  # the letter and the end of turn
