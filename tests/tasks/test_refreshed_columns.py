"""What a prompt's reward is by columns against row by row, which it replaced."""

from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import CardinalityError
from data.recipes.methods import RefreshConfig
from data.recipes.recipe import MineConfig
from data.schemas import ANSWER_PAIRS
from tasks.mine import mine_pairs
from tasks.pair_answers import pair_mined
from tasks.refresh import prompt_rewards
from tests.tasks.oracle import refresh as oracle
from tests.tasks.oracle.answers import answered

CONFIGS = st.builds(
    RefreshConfig,
    share=st.just(0.5),
    reward=st.sampled_from(["mean", "min", "max", "chosen"]),
    baseline=st.sampled_from(["none", "initial"]),
)


def chosen_of(scores, draw):
    """Chosen completions of PREFERENCES, of those with a reward; one may be chosen twice."""
    known = [row for row in scores.to_pylist() if row["reward"] is not None]
    rows = draw(st.lists(st.sampled_from(known), max_size=8)) if known else []
    columns = {"prompt_id": "prompt_id", "chosen_id": "completion_id"}
    return pa.table(
        {name: pa.array([row[of] for row in rows], pa.string()) for name, of in columns.items()}
    )


@given(answered(), answered(), CONFIGS, st.data())
def test_the_reward_of_prompts_by_columns_as_row_by_row(now, before, config, data):
    (_, scores), (_, initial) = now, before
    preferences = chosen_of(scores, data.draw)
    found = prompt_rewards(scores, preferences, initial, config)
    wanted = oracle.prompt_rewards(scores, preferences, initial, config)
    assert {p: repr(x) for p, x in found.items()} == {p: repr(x) for p, x in wanted.items()}


def test_a_chosen_answer_without_a_score_is_refused():
    from tests.tasks.test_mine import tables

    preferences = pa.table({"prompt_id": ["p"], "chosen_id": ["p/9"]})
    _, scores = tables([1.0, 2.0])
    with pytest.raises(CardinalityError, match="'p/9': was chosen and has no score"):
        prompt_rewards(scores, preferences, scores, RefreshConfig(share=0.5, reward="chosen"))


@given(answered())
def test_pairs_for_a_judge_are_those_that_were_mined(tables):
    mined, _ = mine_pairs(*tables, MineConfig(), 0)
    rows = pair_mined.body(SimpleNamespace(table=lambda table: table), mined=mined).table
    assert rows.schema == ANSWER_PAIRS
    assert rows.to_pylist() == [
        {
            "prompt_id": row["prompt_id"],
            "left_id": row["best_id"],
            "right_id": row["worst_id"],
            "left": row["best_completion"],
            "right": row["worst_completion"],
        }
        for row in mined.to_pylist()
    ]
