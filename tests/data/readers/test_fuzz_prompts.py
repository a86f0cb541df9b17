"""Whatever a file of prompts holds, it is prompts or an input error."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.readers.prompts import prompt_id, read_prompts
from data.schemas import PROMPTS
from data.store.digests import digest_of

SUFFIXES = st.sampled_from([".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".csv.gz"])
GOOD = [{"prompt": "a", "dataset": "x"}, {"prompt": "b", "dataset": "y"}]


def table_or_input_error(path):
    try:
        table, counts = read_prompts(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert table.schema == PROMPTS
        table.validate(full=True)
        assert counts["read"] == counts["kept"] + counts["duplicate"]


@given(st.binary(max_size=300), SUFFIXES)
def test_any_bytes_are_prompts_or_an_input_error(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("fuzz") / f"p{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    table_or_input_error(path)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4))
def test_a_damaged_parquet_file_is_prompts_or_an_input_error(tmp_path_factory, flips):
    path = tmp_path_factory.mktemp("fuzz") / "p.parquet"
    pq.write_table(pa.Table.from_pylist(GOOD), path)
    data = bytearray(path.read_bytes())
    for position, value in flips:
        data[position % len(data)] = value
    path.write_bytes(data)
    table_or_input_error(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["role", "content", "user", "from", "value"]), inner)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["prompt", "messages", "prompt_id", "dataset", "source", "conversations", "instruction"]
    + ["question", "input", "chosen", "system"]
)


@given(st.lists(st.dictionaries(KEYS, VALUES | st.just("user")), max_size=3))
def test_any_rows_are_prompts_or_an_input_error(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("fuzz") / "p.json"
    path.write_text(json.dumps(rows))
    table_or_input_error(path)


TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    }
)


@given(st.lists(TURN, max_size=4))
def test_the_id_of_a_prompt_is_the_digest_of_its_messages(messages):
    assert prompt_id(messages) == digest_of(messages).removeprefix("sha256:")[:16]
