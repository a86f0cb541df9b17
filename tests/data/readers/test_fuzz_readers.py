"""Whatever stands in a recipe or a data file: it is read, or refused with one line."""

import copy
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.readers import rows as rows_module
from data.readers.logged import read_logged
from data.readers.preferences import read_preferences
from data.readers.prompts import read_prompt_file
from data.recipes.recipe import LoggedConfig, RunRecipe
from data.schemas import COMPLETIONS, JUDGMENTS, PREFERENCES, PROMPTS
from flows.recipe_files import load_recipe
from tests.repository import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
TEXTS = [path.read_text() for path in RECIPES]


def read_or_refused(read, *arguments):
    """What `read` gives, or None if it refuses as it should."""
    try:
        return read(*arguments)
    except InputError as error:
        assert 0 < len(error.problems) <= 10
        assert all("\n" not in line and 0 < len(line) < 600 for line in error.problems)
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


# --- recipes ---

TOKENS = [":", "-", "{", "}", "[", "]", "&a", "*a", "<<", "!!", "|", ">", "'", '"', "#", "\t", "\n"]
TOKENS += ["!!int", "!!binary", "!!set", "1:30", "0x", "010", ".nan", "~", "yes", "---", "%YAML 9"]


@st.composite
def edited(draw, texts=TEXTS):
    """A recipe of this project with some of its characters replaced."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 30))
        text = text[:start] + draw(st.sampled_from(TOKENS) | st.text(max_size=4)) + text[end:]
    return text


@given(edited() | st.text(max_size=80))
@example("a: &a\n  <<: *a\n")
@example("? [a, b]\n: c\n")
@settings(max_examples=60)
def test_edited_text_of_a_recipe(folder, text):
    path = folder / "recipe.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    recipe = read_or_refused(load_recipe, path)
    assert recipe is None or isinstance(recipe, RunRecipe)


def paths(value, place=()):
    """The places of all values in a nested mapping."""
    found = [place] if place else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += paths(inner, (*place, name))
    return found


ODD = st.sampled_from(
    [None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.0, -0.5, 1e308, float("nan")]
    + [float("inf"), "", " ", "world", "fresh", "a\nb", "\x00", "é" * 300, [], [[]], {}, {"": {}}]
    + [{1: 2}, ["a", 1], {"model": {"model": "a"}}, "../..", "https://a:b@c"]
)
VALUES = [yaml.safe_load(text) for text in TEXTS]


@given(st.data())
@settings(max_examples=150)
def test_a_recipe_with_odd_values(folder, data):
    """Of the recipes here: a value replaced, removed, or put where it does not belong."""
    values = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(paths(values) or [("run",)]))
        parent = values
        for name in place[:-1]:
            parent = parent[name]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            parent[place[-1]] = copy.deepcopy(data.draw(ODD))
        elif action == "remove":
            del parent[place[-1]]
        else:
            parent[data.draw(st.text(max_size=8))] = copy.deepcopy(data.draw(ODD))
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    recipe = read_or_refused(load_recipe, path)
    assert recipe is None or isinstance(recipe, RunRecipe)


# --- data files ---


def prompts(path):
    found = read_prompt_file(path)
    assert found.table.schema == PROMPTS and len(found.places) == len(found.table)
    assert found.counts["read"] == found.counts["kept"] + found.counts["duplicate"]


def preferences(path):
    table, counts = read_preferences(path)
    assert table.schema == PREFERENCES
    assert counts["read"] == sum(n for name, n in counts.items() if name != "read")


def logged(path):
    found = read_logged(LoggedConfig(completions=str(path)))
    assert found.completions.schema == COMPLETIONS and found.judgments.schema == JUDGMENTS
    assert found.counts["judged"] <= found.counts["completions"]


def alpaca_eval(path):
    read_logged(LoggedConfig(completions=str(path), judgments=str(path), format="alpaca_eval"))


READERS = st.sampled_from([prompts, preferences, logged, alpaca_eval])
SUFFIXES = st.sampled_from([".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".csv.gz"])
MESSAGES = [{"role": "user", "content": "a"}]
GOOD = {
    prompts: {"prompt": "a", "prompt_id": "1", "dataset": "d"},
    preferences: {"prompt": "a", "chosen": "b", "rejected": "c"},
    logged: {"prompt": "a", "completion": "b", "sample": 0, "reward": 0.5, "finish_reason": "stop"},
    alpaca_eval: {"instruction": "a", "output": "b", "generator": "g", "generator_1": "g"}
    | {"generator_2": "h", "output_1": "b", "output_2": "c", "preference": 1.5},
}


@given(READERS, SUFFIXES, st.binary(max_size=200))
def test_any_bytes(folder, read, suffix, content):
    path = folder / f"rows{suffix}"
    path.write_bytes(content)
    read_or_refused(read, path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def test_an_unhashable_generator_is_refused(folder):
    path = folder / "rows.json"
    path.write_text(json.dumps([GOOD[alpaca_eval] | {"generator_1": [], "generator_2": ["h"]}]))
    with pytest.raises(InputError, match="generator_2 must be text, got list"):
        alpaca_eval(path)


@given(READERS, st.data())
@settings(max_examples=200)
def test_rows_with_odd_values(folder, read, data):
    """Good rows, some of whose fields are replaced, removed or renamed."""
    table = [dict(GOOD[read]) for _ in range(data.draw(st.integers(1, 3)))]
    for row in table:
        for name in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=2, unique=True)):
            odd = data.draw(JSON | st.just(MESSAGES) | st.just([{"role": "assistant"}]))
            row[data.draw(st.sampled_from([name, name + "s", "messages"]))] = odd
            if data.draw(st.booleans()):
                row.pop(name, None)
    path = folder / "rows.json"
    path.write_text(json.dumps(table))
    read_or_refused(read, path)


@given(READERS, st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4))
def test_a_damaged_parquet_file(folder, read, flips):
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD[read]]), path)
    content = bytearray(path.read_bytes())
    for position, value in flips:
        content[position % len(content)] = value
    path.write_bytes(content)
    read_or_refused(read, path)


TYPES = [pa.int64(), pa.float64(), pa.bool_(), pa.binary(), pa.date32(), pa.list_(pa.string())]


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("read", [prompts, preferences, logged, alpaca_eval])
def test_parquet_columns_of_other_types(tmp_path, read, kind):
    for name in GOOD[read]:
        columns = {key: [value] for key, value in GOOD[read].items()}
        columns[name] = pa.array([None], kind)
        pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
        read_or_refused(read, tmp_path / "rows.parquet")
        columns[name] = pa.array([b"1"]).cast(pa.binary()) if kind == pa.binary() else columns[name]
        pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
        read_or_refused(read, tmp_path / "rows.parquet")


def parquet_bombs():
    """Small files of much text: repeated in the pages, once in a dictionary, in nested lists."""
    text, parts = "a" * 5_000, [{"role": "user", "content": "a" * 900}]
    yield pa.table({"prompt": [text + str(i) for i in range(9)]}), {"use_dictionary": False}
    yield pa.table({"prompt": [text] * 2_000}), {}
    yield pa.table({"messages": [parts * 5_000, parts]}), {}


@pytest.mark.parametrize(("table", "options"), list(parquet_bombs()))
def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, table, options):
    monkeypatch.setattr(rows_module, "_LARGEST", 20_000)
    pq.write_table(table, tmp_path / "rows.parquet", compression="zstd", **options)
    assert (tmp_path / "rows.parquet").stat().st_size < 10_000
    with pytest.raises(InputError, match="holds more than 20000 bytes of text; split it"):
        read_prompt_file(tmp_path / "rows.parquet")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(rows_module, "_LARGEST", 1000)
    content = b'{"prompt": "' + b"a" * 1000 + b'"}'
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(InputError, match="holds more than 1000 bytes of text; split it"):
        read_prompt_file(tmp_path / name)
