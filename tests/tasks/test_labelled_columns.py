"""Relabelling, the model matrix and the pick by columns against row by row, which they replaced."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import CardinalityError
from data.recipes.fine_tuning import PickConfig
from data.recipes.methods import CorrectionConfig, Matrix, Place
from data.recipes.recipe import MineConfig, RelabelConfig, TeacherConfig
from data.schemas import DEMONSTRATIONS
from data.tables import mapping
from tasks import matrix, mine, pick, relabel
from tests.tasks.oracle import matrix as matrix_oracle
from tests.tasks.oracle import pick as pick_oracle
from tests.tasks.oracle import relabel as oracle
from tests.tasks.oracle.answers import PROMPT_IDS, REWARDS, answered, prompts_of, same

PROMPTS = prompts_of(["z", "pq", "p", "P", "é", "\U0001f600", "\uffff", "0", "without answers"])
PLACES = [
    Place(name="old", version=0, scale=7),
    Place(name="new", version=1, scale=7),
    Place(name="small", version=1, scale=1),
    Place(name="people", human=True),
]
MARGINS = st.sampled_from([0.0, 0.3, 1.0])


def equal(found, wanted):
    (table, counts), (rows, counted) = found, wanted
    assert same(table, rows)
    assert counts == counted
    assert all(type(number) in (int, float, type(None)) for number in counts.values())


@st.composite
def mined(draw):
    """MINED with rewards, in an order of its own."""
    rule = draw(st.sampled_from(sorted(mine.RULES)))
    table, _ = mine.mine_pairs(*draw(answered()), MineConfig(pairs=rule), 0)
    order = draw(st.permutations(range(len(table))))
    return table.take(pa.array(order, pa.int64()))


@given(
    mined(),
    st.builds(
        TeacherConfig,
        on_disagreement=st.sampled_from(["swap", "drop"]),
        min_margin=MARGINS,
    ),
    st.data(),
)
def test_relabelled_by_columns_as_row_by_row(pairs, config, data):
    ids = pairs["best_id"].to_pylist() + pairs["worst_id"].to_pylist()
    rewards = {name: data.draw(REWARDS) for name in ids}
    equal(
        relabel.order_pairs(pairs, PROMPTS, rewards, config, 3),
        oracle.order_pairs(pairs, PROMPTS, rewards, config, 3),
    )
    own = {}
    for side in ("best", "worst"):
        own |= mapping(pairs, f"{side}_id", f"{side}_reward")
    best, worst = pairs["best_reward"], pairs["worst_reward"]
    equal(
        relabel.by_rewards(pairs, PROMPTS, best, worst, config, 3),
        oracle.order_pairs(pairs, PROMPTS, own, config, 3),
    )


def test_a_pair_of_no_prompt_is_refused():
    pairs, _ = mine.mine_pairs(*answers_of_two(), MineConfig(), 0)
    best, worst = pairs["best_reward"], pairs["worst_reward"]
    with pytest.raises(CardinalityError, match="'p': has a pair and is no prompt"):
        relabel.by_rewards(pairs, prompts_of(["q"]), best, worst, RelabelConfig(), 1)


def answers_of_two():
    from tests.tasks.test_mine import tables

    return tables([0.0, 1.0])


@st.composite
def cells(draw):
    """COMPLETIONS of every cell, whose ids are their own."""
    tables = []
    for place in PLACES:
        table, _ = draw(answered(most=12))
        ids = [f"{place.name}/{name}" for name in table["completion_id"].to_pylist()]
        tables.append(table.set_column(0, "completion_id", pa.array(ids, pa.string())))
    return tables


CONFIGS = st.builds(
    Matrix,
    positives=st.sampled_from(["maximal", "any", "human"]),
    axes=st.sets(st.sampled_from(["version", "scale", "both", "human"])).map(tuple),
    per_prompt=st.integers(0, 3),
)
OWN = st.sets(st.sampled_from(["old", "new"]))


@given(cells(), CONFIGS, st.booleans(), st.integers(0, 2), OWN, st.integers(1, 9))
def test_cells_are_paired_by_columns_as_row_by_row(tables, config, drop, seed, own, at_a_time):
    ids = PROMPTS["prompt_id"].to_pylist()
    before, matrix._AT_A_TIME = matrix._AT_A_TIME, at_a_time
    try:
        found = matrix.pair_cells(tables, PLACES, PROMPTS, config, drop, seed, own)
    finally:
        matrix._AT_A_TIME = before
    equal(found, matrix_oracle.pair_cells(tables, PLACES, ids, config, drop, seed, own))


@given(cells(), PROMPT_IDS, st.booleans())
def test_cells_that_do_not_fit_are_refused_in_the_same_words(tables, missing, twice):
    asked = PROMPTS.filter(pa.array([id_ != missing for id_ in PROMPTS["prompt_id"].to_pylist()]))
    if twice:
        asked, tables = PROMPTS, [*tables[:3], tables[0]]
    said = []
    for work, prompts in (
        (matrix.pair_cells, asked),
        (matrix_oracle.pair_cells, asked["prompt_id"].to_pylist()),
    ):
        try:
            work(tables, PLACES, prompts, Matrix(), True, 0)
            said.append(None)
        except CardinalityError as error:
            said.append(str(error))
    assert said[0] == said[1]


ODDS = st.none() | st.tuples(*[st.sampled_from([0.0, -0.0, 0.2, -0.2]) | st.floats(-2, 2)] * 2)


@given(
    cells(),
    st.lists(ODDS, min_size=50, max_size=50),
    st.builds(
        CorrectionConfig,
        on_reversed=st.sampled_from(["swap", "drop"]),
        on_unsure=st.sampled_from(["drop", "keep"]),
    ),
    MARGINS,
    st.booleans(),
)
def test_the_order_is_corrected_by_columns_as_row_by_row(tables, odds, config, margin, judged):
    pairs, _ = matrix.pair_cells(tables, PLACES, PROMPTS, Matrix(positives="any"), False, 0)
    said = (odds * (1 + len(pairs) // 50))[: len(pairs)] if judged else None
    equal(
        matrix.correct_pairs(pairs, PROMPTS, said, config, margin, 2),
        matrix_oracle.correct_pairs(pairs, PROMPTS, said, config, margin, 2),
    )


@given(answered(), st.booleans(), MARGINS, st.permutations(range(len(PROMPTS))))
def test_answers_are_picked_by_columns_as_row_by_row(tables, drop, margin, order):
    config = PickConfig(drop_truncated=drop, min_margin=margin)
    prompts = PROMPTS.take(pa.array(order[:-2]))
    rows, counted = pick_oracle.pick_rows(prompts, *tables, config)
    wanted = pa.Table.from_pylist(rows, DEMONSTRATIONS)
    equal(pick.pick_rows(prompts, *tables, config), (wanted, counted))
