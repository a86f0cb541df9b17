"""Prompts, preferences and recorded files that cannot be used: file, line and remedy, at once."""

import csv
import gzip
import io
import json
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

USER = {"role": "user", "content": "Name two fruits."}
ANSWER = {"role": "assistant", "content": "Fig, lime."}


class Row(NamedTuple):
    """A second row of a JSONL file, behind a good one."""

    row: Any
    says: str


ROWS = [
    Row({}, "no column is known to hold a prompt"),
    Row({"text": "Hi"}, "of its columns (text) say which does: prompts.columns: {prompt: text}"),
    Row({"prompt": "Hi", "messages": [USER]}, "do not begin with the prompt"),
    Row({"prompt": None}, "'prompt' is null; write a prompt, or remove the row"),
    Row({"prompt": ""}, "prompt is empty; fill it or remove the row"),
    Row({"prompt": " \n\t"}, "prompt is empty"),
    Row({"prompt": 3}, "prompt must be text or a list of messages"),
    Row({"prompt": True}, "prompt must be text or a list of messages"),
    Row({"prompt": {"text": "Hi"}}, "prompt must be text or a list of messages"),
    Row({"prompt": "a\ud800"}, "prompt holds a lone surrogate; remove it"),
    Row({"messages": []}, "messages must be text or a list of messages"),
    Row({"messages": "Hi"}, "messages must be a list; name the field 'prompt' for text"),
    Row({"messages": ["Hi"]}, "messages must be text or a list of messages"),
    Row({"messages": [USER | {"role": "wizard"}]}, "the role 'wizard'; use system, user"),
    Row({"messages": [{"content": "Hi"}]}, "the role None"),
    Row({"messages": [{"role": "user"}]}, "messages content must be text, got NoneType"),
    Row({"messages": [USER | {"content": ""}]}, "messages content is empty"),
    Row({"messages": [USER | {"content": [{"type": "text"}]}]}, "content that is not text alone"),
    Row({"messages": [USER | {"content": "\udfff"}]}, "lone surrogate"),
    Row({"messages": [USER | {"tool_calls": ["x"]}]}, "a message with 'tool_calls'"),
    Row({"prompt": [USER, ANSWER]}, "must end with the user's message; drop the answer"),
    Row({"prompt": "Hi", "prompt_id": 7}, "prompt_id must be text, got int"),
    Row({"prompt": "Hi", "prompt_id": ""}, "prompt_id is empty"),
    Row({"prompt": "Hi", "prompt_id": "first"}, "prompt_id 'first' is that of another prompt"),
    Row({"prompt": "Hi", "dataset": ["x"]}, "dataset must be text, got list"),
    Row("Hi", "must be an object with named fields, got text"),
    Row(["Hi"], "must be an object with named fields, got a list"),
    Row(None, "must be an object with named fields, got null"),
    Row({"prompt": "word " * 80}, "prompts.max_tokens is 64; raise it or remove the prompt"),
    Row({"messages": [ANSWER, USER, {"role": "user", "content": "w " * 99}]}, "prompts.max_tokens"),
]  # fmt: skip


@pytest.fixture
def world(refuse_recipe):
    """Refuse a recipe that has everything from the embedded world but some prompts."""

    def run(prompts):
        recipe = {"run": "demo", "world": {}, "rounds": 1}
        recipe["prompts"] = {"per_round": 1, "dev_size": 2, "test_size": 2} | prompts
        return refuse_recipe(yaml.safe_dump(recipe))

    return run


@pytest.mark.parametrize("case", ROWS, ids=lambda case: f"{case.row!r:.40}")
def test_a_row(refuse_change, tmp_path, case):
    path = tmp_path / "p.jsonl"
    good = {"prompt": "good", "prompt_id": "first"}
    path.write_text("".join(json.dumps(row) + "\n" for row in (good, case.row)))
    sizes = {"prompts.dev_path": str(path), "prompts.test_path": None, "prompts.test_size": 2}
    line = refuse_change(sizes)
    assert line.startswith(f"{path} line 2: ") and case.says in line


class File(NamedTuple):
    name: str
    content: bytes
    says: str


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def not_text() -> pa.Table:
    data = pa.array([b"\xff\xfe"])
    return pa.table({"prompt": pa.Array.from_buffers(pa.string(), 1, data.buffers())})


GOOD = parquet(pa.table({"prompt": ["a", "b"]}))
FILES = [
    File("empty.jsonl", b"", "holds no prompts; give at least one"),
    File("blank.jsonl", b"\n \n", "holds no prompts"),
    File("cut.jsonl", b'{"prompt": "a"}\n{"prompt": \n', "cut.jsonl line 2: not JSON"),
    File("word.jsonl", b"{not json}\n", "word.jsonl line 1: not JSON"),
    File("nan.jsonl", b'{"prompt": NaN}', "nan.jsonl line 1: prompt must be text"),
    File("deep.jsonl", b"[" * 100_000, "deep.jsonl line 1: not usable JSON"),
    File("huge.jsonl", b'{"prompt": ' + b"9" * 5_000 + b"}", "line 1: not usable JSON"),
    File("latin.jsonl", b'{"prompt": "a"}\n{"prompt": "\xe9"}', "line 2: not UTF-8 text"),
    File("wide.jsonl", '{"prompt": "a"}'.encode("utf-16"), "line 1: not UTF-8 text"),
    File("zeros.jsonl", b"\x00" * 50, "line 1: not JSON"),
    File("array.jsonl", b'[{"prompt": "a"}]', "line 1: must be an object with named fields"),
    File("text.json", b'"a"', "must be a JSON array of objects, or one object per line"),
    File("number.json", b"[1]", "row 1: must be an object"),
    File("cut.json", b'[{"prompt": "a"}', "cut.json: not JSON"),
    File("head.csv", b"prompt\n", "holds no prompts"),
    File("other.csv", b"text\na\n", "line 2: no column is known to hold a prompt"),
    File("more.csv", b"prompt,dataset\na,b,c\n", "line 2: has more or fewer fields"),
    File("fewer.csv", b"prompt,dataset\na\n", "line 2: has more or fewer fields"),
    File("quote.csv", b'prompt\n"a\n', "line 2: not CSV"),
    File("blank.csv", b'prompt,dataset\n" ",x\n', "line 2: prompt is empty"),
    File("twice.csv", b"prompt,prompt\na,b\n", "has two columns named 'prompt'"),
    File("latin.csv", b"prompt\n\xe9\n", "line 2: not UTF-8 text"),
    File("p.parquet", b"PAR1 nothing", "not a readable Parquet file"),
    File("empty.parquet", b"", "not a readable Parquet file"),
    File("cut.parquet", GOOD[:-20], "not a readable Parquet file"),
    File("head.parquet", parquet(pa.table({"prompt": pa.array([], pa.string())})), "no prompts"),
    File("int.parquet", parquet(pa.table({"prompt": [1]})), "row 1: prompt must be text or"),
    File("null.parquet", parquet(pa.table({"prompt": ["a", None]})), "row 2: 'prompt' is null"),
    File("bytes.parquet", parquet(pa.table({"prompt": [b"\xff"]})), "not a readable Parquet"),
    File("text.parquet", parquet(not_text()), "not a readable Parquet file"),
    File("other.parquet", parquet(pa.table({"text": ["a"]})), "row 1: no column is"),
    File("p.jsonl.gz", b"not gzip", "cannot be read"),
    File("cut.jsonl.gz", gzip.compress(b'{"prompt": "a"}', mtime=0)[:-9], "cannot be read"),
    File("p.txt", b"a prompt", "unknown format; give a .jsonl, .json, .parquet, .csv file"),
    File("p", b"a prompt", "unknown format"),
    File("one.jsonl", b'{"prompt": "a"}', "1 prompt is too few to hold out 2 + 2"),
    File(
        "same.jsonl",
        b'{"prompt": "a"}\n' * 99,
        "1 prompt is too few to hold out 2 + 2; bring more",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_a_file(world, tmp_path, case):
    path = tmp_path / case.name
    path.write_bytes(case.content)
    line = world({"path": str(path)})
    assert case.says in line and (case.name in line or "prompts.path" in line)


class Paths(NamedTuple):
    prompts: dict[str, Any]
    says: str


PATHS = [
    Paths({"path": "missing.jsonl"}, "prompts.path: no such file 'missing.jsonl'; check the path"),
    Paths({"path": "./missing"}, "prompts.path: no such file './missing'"),
    Paths({"path": ""}, "prompts.path: no such file ''"),
    Paths({"path": "https://host/p.jsonl"}, "prompts.path: 'https://host/p.jsonl' is a URL"),
    Paths({"path": "s3://bucket/p"}, "'s3://bucket/p' is a URL, which is not read; download the"),
    Paths({"path": "GOOD", "test_path": "hf://a/b.csv"}, "prompts.test_path: 'hf://a/b.csv' is "),
    Paths({"path": "."}, "prompts.path: '.' is a folder; name a file in it"),
    Paths({"path": "nobody/nothing:test"}, "nobody/nothing: neither a file nor a data set"),
    Paths({"path": "GOOD", "dev_path": "d.csv"}, "prompts.dev_path: no such file 'd.csv'"),
    Paths({"path": "GOOD", "test_path": "."}, "prompts.test_path: '.' is a folder"),
    Paths({"path": "GOOD", "per_round": 90}, "1 rounds of 90 need 90 prompts, there are 56"),
    Paths({"path": "GOOD", "test_size": 58}, "60 prompts are too few to hold out 2 + 58"),
    Paths({"path": "GOOD", "dev_path": "GOOD"}, "0 prompts are too few to hold out 0 + 2"),
    Paths({"path": "GOOD", "dev_path": "GOOD"}, "name dev_path, test_path (60 are held out too)"),
    Paths({"path": "GOOD", "dev_path": "GOOD", "test_path": "GOOD"}, "there are 0 (60 are held"),
]  # fmt: skip


@pytest.mark.parametrize("case", PATHS, ids=lambda case: str(case.prompts))
def test_paths_and_numbers_of_prompts(world, prompts_file, case):
    prompts = {k: str(prompts_file) if v == "GOOD" else v for k, v in case.prompts.items()}
    assert case.says in world(prompts)


PAIR = {"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}
PREFERENCES = [
    Row({"chosen": "a", "rejected": "b"}, "the field 'prompt' is missing"),
    Row(PAIR | {"rejected": None}, "no pair of answers; a row has prompt, chosen and rejected"),
    Row(PAIR | {"chosen": [USER]}, "chosen must end with the assistant's message"),
    Row(PAIR | {"prompt": [ANSWER]}, "prompt must end with the user's message"),
    Row(PAIR | {"dataset": ["x"]}, "dataset must be text"),
    Row(7, "must be an object with named fields, got a number"),
]


@pytest.mark.parametrize("case", PREFERENCES, ids=lambda case: f"{case.row!r:.40}")
def test_a_row_of_earlier_preferences(refuse_change, tmp_path, case):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(PAIR) + "\n" + json.dumps(case.row) + "\n")
    line = refuse_change({"student.replay_path": str(path)})
    assert line.startswith(f"{path} line 2: ") and case.says in line


def test_files_of_earlier_preferences(refuse_change, tmp_path):
    assert "student.replay_path: no such file" in refuse_change({"student.replay_path": "a.jsonl"})
    path = tmp_path / "tied.jsonl"
    path.write_text(json.dumps(PAIR | {"rejected": "Hello!"}))
    line = refuse_change({"student.replay_path": str(path)})
    assert "holds no preferences (of its rows 1 have answers of which neither is better)" in line


class Logged(NamedTuple):
    rows: list[dict[str, Any]]
    changes: dict[str, Any]
    says: str


def recorded(prompt: str, sample: Any, reward: Any, **more: Any) -> dict[str, Any]:
    answer = f"{prompt} {sample}"
    return {"prompt": prompt, "sample": sample, "completion": answer, "reward": reward} | more


FINE = [recorded(f"p{i}", sample, sample) for i in range(8) for sample in range(2)]
LOGGED = [
    Logged([], {}, "logged.completions: the files hold no rows"),
    Logged(FINE, {"completions": "none.jsonl"}, "logged.completions: 'none.jsonl' does not exist"),
    Logged(FINE, {"completions": "/dev/null"}, "logged.completions: '/dev/null' holds no"),
    Logged(FINE, {"judgments": "none/*.csv"}, "logged.judgments: 'none/*.csv' holds no"),
    Logged(FINE, {"completions": []}, "logged.completions: the files hold no rows"),
    Logged(FINE, {"format": "alpaca_eval"}, "line 1: instruction must be text or a list"),
    Logged(FINE, {"held_out": 0.01}, "of the 0 prompts to hold out none has two completions"),
    Logged(FINE, {"held_out": 0.99}, "of the 0 prompts to learn from none has two completions"),
    Logged(FINE, {"fields": {"reward": "score"}}, "logged.judgments: none belongs to a completion"),
    Logged(FINE[::2], {}, "none has two completions that the judge tells apart"),
    Logged([*FINE, FINE[0]], {}, "line 17: sample 0 is there twice"),
    Logged([*FINE, recorded("p9", -1, 0.0)], {}, "line 17: sample must be a whole number from 0"),
    Logged([*FINE, recorded("p9", 0.5, 0.0)], {}, "line 17: sample must be a whole number from 0"),
    Logged([*FINE, recorded("p9", 0, "good")], {}, "line 17: reward must be a finite number"),
    Logged([*FINE, recorded("p9", 0, True)], {}, "line 17: reward must be a finite number"),
    Logged([*FINE, recorded("p9", 0, 10**400)], {}, "line 17: reward must be a finite number"),
    Logged([*FINE, recorded("p9", 0, 1, completion=3)], {}, "line 17: completion must be text"),
    Logged([*FINE, recorded("p9", 0, 1, completion="\ud800")], {}, "line 17: completion holds a"),
    Logged([*FINE, recorded("p9", 0, 1, finish_reason="eos")], {}, "must be 'stop' or 'length'"),
    Logged([*FINE, recorded("", 0, 1)], {}, "line 17: prompt is empty"),
    Logged([*FINE, {"completion": "a"}], {}, "line 17: prompt must be text or a list"),
    Logged([*FINE, recorded("p9", 0, 1, dataset=3)], {}, "line 17: dataset must be text, got int"),
]  # fmt: skip


@pytest.mark.parametrize("case", LOGGED, ids=lambda case: case.says[:50])
def test_recorded_completions(refuse_recipe, tmp_path, case):
    path = tmp_path / "logged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in case.rows))
    logged = {"completions": str(path)} | case.changes
    recipe = {"run": "a", "rounds": 1, "logged": logged, "student": {"model": "fresh"}}
    assert case.says in refuse_recipe(yaml.safe_dump(recipe))


def test_recorded_judgments_of_another_text(refuse_recipe, tmp_path):
    path, judged = tmp_path / "logged.jsonl", tmp_path / "judged.csv"
    path.write_text("".join(json.dumps(row) + "\n" for row in FINE))
    with judged.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerows([["prompt", "sample", "completion", "reward"], ["p0", 1, "other", 2]])
    logged = {"completions": str(path), "judgments": str(judged)}
    recipe = {"run": "a", "rounds": 1, "logged": logged, "student": {"model": "fresh"}}
    line = refuse_recipe(yaml.safe_dump(recipe))
    assert f"{judged} line 2: judges another text than sample 1" in line


def test_recorded_completions_with_rounds_or_an_oracle(refuse_recipe):
    recipe = {"run": "a", "logged": {"completions": "a.jsonl"}, "student": {"model": "fresh"}}
    assert "rounds: logged completions" in refuse_recipe(yaml.safe_dump(recipe | {"rounds": 2}))
    oracle = {"recipe": "logged"} | recipe | {"evaluate": {"judge": "oracle"}}
    assert "unknown key 'evaluate'" in refuse_recipe(yaml.safe_dump(oracle))
