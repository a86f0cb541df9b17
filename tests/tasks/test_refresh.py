"""OPTune's refresh: which prompts are answered again, and what is kept of the others."""

from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.recipes.methods import RefreshConfig
from data.schemas import PREFERENCES, SCORES
from tasks.refresh import _renewed, prompt_rewards, to_refresh


def scores(rewards):
    """SCORES of {prompt: rewards of its completions}."""
    rows = [
        {"completion_id": f"{prompt}/{i}", "prompt_id": prompt, "reward": reward}
        for prompt, values in rewards.items()
        for i, reward in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, SCORES)


def pairs(chosen):
    """PREFERENCES of {prompt: number of the chosen completion}; the rest does not matter here."""
    empty = dict.fromkeys(PREFERENCES.names)
    rows = [
        empty | {"pair_id": p, "prompt_id": p, "chosen_id": f"{p}/{i}", "rejected_id": "x"}
        for p, i in chosen.items()
    ]
    return pa.Table.from_pylist(rows, PREFERENCES)


KNOWN = scores({"a": [1.0, 4.0], "b": [2.0, 2.0], "c": [None, 3.0], "d": [None, None]})
FIRST = scores({"a": [2.0, 2.0], "b": [0.0, 0.0], "c": [3.0, 3.0]})


@pytest.mark.parametrize(
    "reward, expected",
    [
        ("mean", {"a": 2.5, "b": 2.0, "c": 3.0}),
        ("min", {"a": 1.0, "b": 2.0, "c": 3.0}),
        ("max", {"a": 4.0, "b": 2.0, "c": 3.0}),
        ("chosen", {"a": 1.0, "b": 2.0, "c": 3.0}),  # b and c have no pair: their mean
    ],
)
def test_the_reward_of_a_prompt(reward, expected):
    config = RefreshConfig(share=0.5, reward=reward)
    assert prompt_rewards(KNOWN, pairs({"a": 0}), FIRST, config) == expected


def test_the_baseline_is_what_the_first_round_got():
    config = RefreshConfig(share=0.5, baseline="initial")
    rewards = prompt_rewards(KNOWN, pairs({}), FIRST, config)
    assert rewards == {"a": 0.5, "b": 2.0, "c": 0.0}


REWARDS = st.dictionaries(st.integers(0, 99).map(str), st.floats(-5, 5), min_size=1, max_size=40)


@given(REWARDS, st.floats(0.01, 1.0), st.integers(0, 3))
def test_the_lowest_rewards_are_answered_again(rewards, share, seed):
    config = RefreshConfig(share=share)
    chosen = to_refresh(list(rewards), rewards, config, str(seed))
    assert len(chosen) == len(set(chosen)) == max(1, round(share * len(rewards)))
    kept = rewards.keys() - set(chosen)
    assert all(rewards[c] <= rewards[k] for c in chosen for k in kept)
    assert chosen == to_refresh(sorted(rewards, reverse=True), rewards, config, str(seed))


def test_a_prompt_without_a_reward_comes_first():
    assert to_refresh(["a", "b"], {"a": -9.0}, RefreshConfig(share=0.5), "0") == ["b"]


def test_the_control_takes_any_prompts_anew_in_every_round():
    config, prompts = RefreshConfig(share=0.3, by="random"), [str(i) for i in range(50)]
    lowest_first = {prompt: float(prompt) for prompt in prompts}
    drawn = to_refresh(prompts, lowest_first, config, "0/2")
    assert drawn == to_refresh(prompts, {}, config, "0/2")
    assert set(drawn) != set(to_refresh(prompts, {}, config, "0/3"))


@given(st.sets(st.integers(0, 20), min_size=1), st.data())
def test_every_prompt_keeps_its_latest_rows(asked, data):
    again = data.draw(st.sets(st.sampled_from(sorted(asked)), min_size=1))
    old = scores({str(i): [0.0, 0.0] for i in sorted(asked)})
    new = scores({str(i): [1.0] for i in sorted(again)})
    prompts = pa.table({"prompt_id": [str(i) for i in sorted(again)]})
    ctx = SimpleNamespace(table=lambda table: table)
    rows = _renewed(ctx, old, new, prompts).to_pylist()
    found = {i: [row["reward"] for row in rows if row["prompt_id"] == str(i)] for i in asked}
    assert found == {i: [1.0] if i in again else [0.0, 0.0] for i in asked}
