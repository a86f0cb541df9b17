"""Prompts from Parquet: every type of text, any row groups, and nothing read that nobody wants."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.readers import rows
from data.readers.prompts import read_prompts

USER = [{"role": "user", "content": "Name two fruits."}]
SYSTEM = {"role": "system", "content": "Be brief."}


def test_messages_from_parquet_may_have_unused_fields(tmp_path):
    rows = [{"messages": [USER[0] | {"tool_calls": None}]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    assert read_prompts(tmp_path / "p.parquet")[0]["messages"].to_pylist() == [USER]


COLUMNS = {
    "a date beyond Python's": pa.array([2**62], pa.timestamp("us")),
    "nested nulls": pa.array([{"a": None}]),
    "bytes": pa.array([b"\xff"]),
    "decimal": pa.array(["1.5"]).cast(pa.decimal128(5, 2)),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_columns_that_nobody_reads_may_be_of_any_type(tmp_path, column):
    pq.write_table(pa.table({"prompt": ["a"], "created": column}), tmp_path / "p.parquet")
    assert read_prompts(tmp_path / "p.parquet")[1]["kept"] == 1


TEXT = pa.array(["a", "b", "a"])
KINDS = [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary(), pa.large_binary()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_texts_of_parquet_may_be_of_every_type_of_text(tmp_path, kind):
    user = pa.array(["user"] * 3)
    turns = pa.StructArray.from_arrays([user.cast(kind), TEXT.cast(kind)], ["role", "content"])
    listed = pa.LargeListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int64()), turns)
    nothing = pa.nulls(3)
    for name, column in (("prompt", TEXT.cast(kind)), ("messages", listed)):
        table = pa.table({name: column, "dataset": nothing})
        pq.write_table(table, tmp_path / "p.parquet")
        counts = read_prompts(tmp_path / "p.parquet")[1]
        assert counts == {"read": 3, "kept": 2, "duplicate": 1}


@pytest.mark.parametrize(("words", "parts"), [(1, 1), (2_000, 3)])
def test_parquet_is_read_in_parts_of_about_as_many_bytes(tmp_path, monkeypatch, words, parts):
    texts = [f"{i} " + "word" * words for i in range(3000)]
    pq.write_table(pa.table({"prompt": texts}), tmp_path / "p.parquet", compression="none")
    read, iterate = [], pq.ParquetFile.iter_batches
    monkeypatch.setattr(rows, "_BYTES", 2**23)
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda *given, **options: map(
            lambda part: read.append(len(part)) or part, iterate(*given, **options)
        ),
    )
    found = [*rows.read_rows(tmp_path / "p.parquet")]
    assert [row["prompt"] for _, row in found] == texts
    assert [place.split()[-1] for place, _ in found] == [str(n) for n in range(1, 3001)]
    assert len(read) == parts and sum(read) == 3000


@pytest.mark.parametrize("size", [1, 2, 3, 9])
@pytest.mark.parametrize("encoded", [True, False])
def test_parquet_of_several_row_groups(tmp_path, size, encoded):
    talks = [[{"role": "user", "content": f"q{i // 2}"}, SYSTEM] for i in range(7)]
    named = [{"tags": ["a", None, str(i)], "one": {"text": f"t{i}"}} for i in range(7)]
    table = pa.table({"messages": talks, "of": named, "n": [1, None, 3, 4, 5, 6, 7]})
    path = tmp_path / "p.parquet"
    pq.write_table(table, path, row_group_size=size, use_dictionary=encoded)
    assert [row for _, row in rows.read_rows(path)] == table.to_pylist()


def test_parquet_with_bytes_that_are_not_text_is_refused(tmp_path):
    data = pa.array([b"\xff\xfe"]).cast(pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 1, data.buffers())
    pq.write_table(pa.table({"prompt": broken}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p\.parquet: not a readable Parquet file"):
        read_prompts(tmp_path / "p.parquet")
