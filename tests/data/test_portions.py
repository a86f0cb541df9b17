"""Tables of which rows are read as they are asked for, and the rows of some prompts at a time."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import tables
from data.errors import ArtifactError
from data.joins import gathered
from data.portions import Portions
from data.schemas import COMPLETIONS, SCORES
from data.store.store import Store
from data.table_file import TableFile
from data.tables import read_table, write_table, write_tables
from tasks.running.shards import Cut, Shard

GROUP = 7  # rows


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(tables, "_ROW_GROUP", GROUP)


def scores(prompts):
    """SCORES of answers to these prompts, in this order."""
    ids = [f"{prompt}/{row}" for row, prompt in enumerate(prompts)]
    return pa.table([ids, [str(p) for p in prompts], [0.5] * len(ids)], schema=SCORES)


PROMPTS = st.lists(st.integers(0, 9), max_size=40)
IN_ORDER = PROMPTS.map(sorted)


@pytest.fixture
def on_disk(tmp_path, small_groups):
    def write(table):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        write_table(path, table, SCORES)
        return TableFile(path, SCORES)

    return write


@given(PROMPTS, st.integers(0, 45), st.integers(0, 45), st.randoms())
def test_rows_of_a_file_are_those_of_the_whole_table(tmp_path_factory, prompts, start, n, draw):
    path = tmp_path_factory.mktemp("t") / "data.parquet"
    table = scores(prompts)
    pq.write_table(table, path, row_group_size=GROUP)
    file = TableFile(path, SCORES)
    assert len(file) == len(table)
    assert file.slice(start, n).equals(table.slice(min(start, len(table)), n))
    pieces = [table.slice(0, 5), table.slice(5)]
    places = [draw.randrange(len(table)) for _ in range(9)] if len(table) else []
    rows = np.array(places, np.int64)
    assert gathered(pa.concat_tables(pieces), rows).equals(table.take(pa.array(rows)))
    assert file.column("prompt_id").to_pylist() == table["prompt_id"].to_pylist()
    assert file.column("reward").to_pylist() == table["reward"].to_pylist()


@given(PROMPTS | IN_ORDER, PROMPTS | IN_ORDER, st.integers(1, 12), st.booleans())
def test_a_portion_has_the_rows_that_a_filter_by_its_prompts_finds(
    tmp_path_factory, cut, other, size, read
):
    """Against what shards did before they read their own rows alone."""
    ours, others = scores(cut), scores(other)
    given = [ours, others]
    if read:
        folder = tmp_path_factory.mktemp("t")
        for number, table in enumerate(given):
            pq.write_table(table, folder / str(number), row_group_size=GROUP)
        given = [TableFile(folder / str(number), SCORES) for number in range(2)]
    portions = Portions(given[0], size)
    of_others = portions.of(given[1])
    ids = ours["prompt_id"].unique()
    assert len(portions) == len(range(0, len(ids), size))
    for number in range(len(portions)):
        wanted = ids.slice(number * size, size)
        assert portions.prompts(number).equals(wanted)
        for found, table in ((portions.own[number], ours), (of_others[number], others)):
            assert found.equals(table.filter(pc.is_in(table["prompt_id"], wanted)))


def test_rows_are_gathered_from_more_text_than_one_array_holds():
    # A GiB of zeros, which three chunks share and hardly anyone reads.
    ends, zeros = np.arange(0, 2**30 + 1, 2**20, np.int32), np.zeros(2**30, np.uint8)
    text = pa.StringArray.from_buffers(1024, pa.py_buffer(ends), pa.py_buffer(zeros))
    table = pa.table({"text": pa.chunked_array([text] * 3), "row": range(3 * 1024)})
    rows = np.array([3000, 0, 1500, 0])
    with pytest.raises(pa.ArrowInvalid, match="offset overflow"):
        table.take(pa.array(rows))
    found = gathered(table, rows)
    assert found["row"].to_pylist() == rows.tolist()
    assert set(found["text"].to_pylist()) == {"\0" * 2**20}


def test_a_file_in_order_is_read_once(on_disk, monkeypatch):
    file = on_disk(scores(range(40)))
    read = []
    group = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda file, i, names: read.append(i) or group(file, i, names),
    )
    assert sum(map(len, Portions(file, 3))) == 40
    assert read == list(range(6))


def test_the_rows_of_tables_are_written_as_those_of_one(tmp_path, small_groups):
    whole = scores(range(30))
    draw = np.random.default_rng(0)
    ends = [0, *np.sort(draw.integers(0, 30, 5)).tolist(), 30]
    parts = [whole.slice(a, b - a) for a, b in zip(ends, ends[1:], strict=False)]
    write_tables(tmp_path / "parts", parts, SCORES)
    write_table(tmp_path / "whole", whole, SCORES)
    # As files were written before row groups were written one after the other.
    pq.write_table(
        whole, tmp_path / "before", compression="zstd", row_group_size=GROUP, version="2.6"
    )
    written = [(tmp_path / name).read_bytes() for name in ("parts", "whole", "before")]
    assert written[0] == written[1] == written[2]
    assert read_table(tmp_path / "parts", SCORES).equals(whole)


@pytest.mark.parametrize("damage", ["gone", "no Parquet", "another schema"])
def test_a_file_that_cannot_be_read_is_said_in_one_line(tmp_path, damage):
    path = tmp_path / "data.parquet"
    if damage == "no Parquet":
        path.write_bytes(b"PAR1 or not")
    if damage == "another schema":
        write_table(path, COMPLETIONS.empty_table(), COMPLETIONS)
    with pytest.raises(ArtifactError, match=str(path)):
        TableFile(path, SCORES)


def test_a_shard_reaches_another_process_by_name(tmp_path, small_groups):
    store = Store(tmp_path)
    table = scores([3, 3, 1, 2, 2, 1])

    def body(out):
        write_table(out / "data.parquet", table, SCORES)
        return {}

    artifact = store.put("scores", {"stage": "test"}, body)
    shard = Shard(Cut(store, artifact, 2), 1)
    there = pickle.loads(pickle.dumps(shard))
    assert there.name == shard.name
    assert there.table(artifact)["prompt_id"].to_pylist() == ["2", "2"]
    assert shard.table(artifact).equals(there.table(artifact))
