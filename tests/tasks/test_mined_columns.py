"""Mining by columns against mining row by row, which it replaced: the same rows, bit for bit."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import CardinalityError
from data.recipes.recipe import MineConfig
from data.schemas import COMPLETIONS, SCORES
from data.table_file import TableFile
from data.tables import write_table
from tasks import mine
from tests.tasks.oracle import mine as oracle
from tests.tasks.oracle.answers import answered, same

CONFIGS = st.builds(
    MineConfig,
    pairs=st.sampled_from(sorted(mine.RULES)),
    length_penalty=st.sampled_from([0.0, 0.1, 7.3]),
    min_margin=st.sampled_from([0.0, 0.2, 1.0]),
    drop_truncated=st.booleans(),
)


@given(answered(), CONFIGS, st.integers(0, 3))
def test_mined_by_columns_as_row_by_row(tables, config, seed):
    found, counts = mine.mine_pairs(*tables, config, seed)
    wanted, counted = oracle.mine_pairs(*tables, config, seed)
    assert same(found, wanted)
    assert counts == counted and list(counts) == list(counted)
    assert all(type(number) is int for number in counts.values())


@given(answered(), CONFIGS, st.integers(0, 3))
def test_it_does_not_matter_how_many_prompts_are_mined_at_a_time(tables, config, seed):
    whole, counts = mine.mine_pairs(*tables, config, seed)
    at_a_time, mine._AT_A_TIME = mine._AT_A_TIME, 2
    try:
        found, counted = mine.mine_pairs(*tables, config, seed)
    finally:
        mine._AT_A_TIME = at_a_time
    assert same(found, whole) and counts == counted


@given(answered(), CONFIGS)
def test_files_are_mined_as_tables_in_memory(tmp_path_factory, tables, config):
    folder, files = tmp_path_factory.mktemp("t"), []
    for table, schema in zip(tables, (COMPLETIONS, SCORES), strict=True):
        write_table(folder / str(len(files)), table, schema)
        files.append(TableFile(folder / str(len(files)), schema))
    found, counts = mine.mine_pairs(*files, config, 0)
    wanted, counted = mine.mine_pairs(*tables, config, 0)
    assert same(found, wanted) and counts == counted


@given(answered(most=6), st.sampled_from(["lost", "twice", "more", "other"]), st.booleans())
def test_tables_that_do_not_fit_are_refused_in_the_same_words(tables, damage, of_scores):
    both = list(tables)
    table = both[of_scores]
    if not len(table):
        return
    both[of_scores] = {
        "lost": lambda: table.slice(1),
        "twice": lambda: pa.concat_tables([table, table.slice(0, 1)]),
        "more": lambda: pa.concat_tables([table, _renamed(table.slice(0, 1))]),
        "other": lambda: pa.concat_tables([_renamed(table.slice(0, 1)), table.slice(1)]),
    }[damage]()
    said = []
    for one in (mine, oracle):
        with pytest.raises(CardinalityError) as refused:
            one.mine_pairs(*both, MineConfig(), 0)
        said.append(str(refused.value))
    assert said[0] == said[1]


def _renamed(table):
    place = table.column_names.index("completion_id")
    return table.set_column(place, "completion_id", pa.array(["another"] * len(table)))


def test_an_id_that_is_twice_in_both_tables_is_refused():
    ids = ["p/0", "p/1", "p/0"]
    rows = [
        {"completion_id": id_, "prompt_id": "p", "sample": 0, "completion": "a", "reward": 1.0}
        for id_ in ids
    ]
    tables = [pa.Table.from_pylist(rows, schema) for schema in (COMPLETIONS, SCORES)]
    with pytest.raises(CardinalityError, match="'p/0': occurs more than once"):
        mine.mine_pairs(*tables, MineConfig(), 0)


def test_white_space_is_what_python_strips():
    """Every character of Unicode alone is empty or not, as `str.strip` has it."""
    from tasks.candidates import usable

    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    table = pa.table({"completion": characters, "finish_reason": ["stop"] * len(characters)})
    owners = pa.array(range(len(characters)), pa.int32()).to_numpy()
    counts = dict.fromkeys(oracle.COUNTS, 0)
    kept = usable(table, owners, [owners], True, counts)
    assert [characters[row] for row in kept] == [one for one in characters if one.strip()]
