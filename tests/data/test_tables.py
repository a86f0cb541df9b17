import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArtifactError, CardinalityError
from data.schemas import COMPLETIONS, SCORES
from data.tables import assert_same_ids, index_by, read_table, take_ids, write_table

ROWS = [
    {"completion_id": "p-0", "prompt_id": "p", "reward": 0.5},
    {"completion_id": "p-1", "prompt_id": "p", "reward": -1.0},
]


def scores(rows=ROWS):
    return pa.Table.from_pylist(rows, schema=SCORES)


def test_a_table_comes_back_as_it_was_written(tmp_path):
    write_table(tmp_path / "t.parquet", scores(), SCORES)
    assert read_table(tmp_path / "t.parquet", SCORES).to_pylist() == ROWS


@given(cuts=st.lists(st.integers(0, 40), max_size=5))
def test_equal_rows_give_equal_bytes_whatever_the_chunks(tmp_path_factory, cuts):
    folder = tmp_path_factory.mktemp("chunks")
    whole = scores([{**ROWS[0], "completion_id": f"p-{i}", "reward": float(i)} for i in range(40)])
    edges = [0, *sorted(cuts), 40]
    pieces = [whole.slice(a, b - a) for a, b in zip(edges, edges[1:], strict=False)]
    write_table(folder / "whole", whole, SCORES)
    write_table(folder / "pieces", pa.concat_tables(pieces), SCORES)
    assert (folder / "whole").read_bytes() == (folder / "pieces").read_bytes()


def test_pandas_leaves_no_trace_in_the_bytes(tmp_path):
    write_table(tmp_path / "plain", scores(), SCORES)
    through_pandas = pa.Table.from_pandas(scores().to_pandas(), schema=SCORES)
    assert through_pandas.schema.metadata  # the trace there would be
    write_table(tmp_path / "pandas", through_pandas, SCORES)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "pandas").read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns("reward"), "column 'reward' is missing"),
        (lambda t: t.append_column("x", pa.array([1, 2])), "column 'x' is not in the schema"),
        (
            lambda t: t.set_column(2, "reward", t["reward"].cast(pa.float32())),
            "column 'reward' is float, must be double",
        ),
        (lambda t: t.select(["prompt_id", "completion_id", "reward"]), "columns must come in"),
        (
            lambda t: t.set_column(1, "prompt_id", pa.array(["p", None])),
            "column 'prompt_id' holds a null",
        ),
        (
            lambda t: t.set_column(2, "reward", pa.array([0.0, float("nan")])),
            "column 'reward' holds a NaN",
        ),
    ],
)
def test_a_table_that_is_not_of_its_schema_is_not_written(tmp_path, change, words):
    with pytest.raises(ArtifactError, match=words):
        write_table(tmp_path / "t.parquet", change(scores()), SCORES)
    assert not (tmp_path / "t.parquet").exists()


def test_reading_under_another_schema_is_refused(tmp_path):
    write_table(tmp_path / "t.parquet", scores(), SCORES)
    with pytest.raises(ArtifactError, match="column 'sample' is missing"):
        read_table(tmp_path / "t.parquet", COMPLETIONS)


@given(data=st.binary(max_size=200), cut=st.integers(0, 3000))
def test_reading_damaged_bytes_is_an_artifact_error(tmp_path_factory, data, cut):
    path = tmp_path_factory.mktemp("damage") / "t.parquet"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="not a readable Parquet file"):
        read_table(path)
    write_table(path, scores(), SCORES)
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(ArtifactError, match="not a readable Parquet file"):
        read_table(path)


def test_reading_a_missing_table_says_so(tmp_path):
    with pytest.raises(ArtifactError, match="missing; run the stage again"):
        read_table(tmp_path / "t.parquet")


def test_rows_are_found_and_taken_by_id():
    assert index_by(scores(), "completion_id") == {"p-0": 0, "p-1": 1}
    taken = take_ids(scores(), "completion_id", ["p-1", "p-0", "p-1"])
    assert taken["reward"].to_pylist() == [-1.0, 0.5, -1.0]


def test_ids_that_do_not_match_one_to_one_are_refused():
    with pytest.raises(CardinalityError, match="prompt_id 'p': occurs more than once"):
        index_by(scores(), "prompt_id")
    with pytest.raises(CardinalityError, match="'p-9': not in the table"):
        take_ids(scores(), "completion_id", ["p-9"])
    with pytest.raises(CardinalityError, match="'p-1': missing from the second table"):
        assert_same_ids(scores(), scores(ROWS[:1]), "completion_id")
    with pytest.raises(CardinalityError, match="'p-1': missing from the first table"):
        assert_same_ids(scores(ROWS[:1]), scores(), "completion_id")
    assert_same_ids(scores(), scores(ROWS[::-1]), "completion_id")
