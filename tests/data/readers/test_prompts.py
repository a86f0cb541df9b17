import csv
import gc
import gzip
import json
import os
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.readers.held_out import without_prompts
from data.readers.prompts import prompt_id, read_prompt_file, read_prompts
from data.readers.rows import read_rows
from data.recipes.prompts import PromptColumns
from data.schemas import PROMPTS

USER = [{"role": "user", "content": "Name two fruits."}]
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Name two fruits."},
]


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            content = "\n".join(json.dumps(row) for row in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def message(path):
    with pytest.raises(InputError) as error:
        read_prompts(path)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path.parent}/")


def test_text_and_messages_become_prompts_with_ids_from_their_content(file):
    table, counts = read_prompts(
        file("fruit.v1.jsonl", [{"prompt": "Name two fruits."}, {"messages": CHAT}])
    )
    assert table.schema == PROMPTS
    assert table.to_pylist() == [
        {"prompt_id": prompt_id(USER), "messages": USER, "dataset": "fruit"},
        {"prompt_id": prompt_id(CHAT), "messages": CHAT, "dataset": "fruit"},
    ]
    assert counts == {"read": 2, "kept": 2, "duplicate": 0}


def test_given_ids_and_dataset_names_are_kept(file):
    rows = [
        {"prompt": "a", "prompt_id": "1", "dataset": "x"},
        {"prompt": "b", "prompt_id": "2", "source": "y"},
        {"prompt": "c", "prompt_id": "3", "answer": 42},
    ]
    table, _ = read_prompts(file("p.jsonl", rows), dataset_name="mine")
    assert table["prompt_id"].to_pylist() == ["1", "2", "3"]
    assert table["dataset"].to_pylist() == ["x", "y", "mine"]


def test_repeated_prompts_are_dropped_and_counted(file):
    rows = [{"prompt": "a"}, {"prompt": "b"}, {"messages": [USER[0] | {"content": "a"}]}]
    table, counts = read_prompts(file("p.jsonl", rows))
    assert len(table) == 2
    assert counts == {"read": 3, "kept": 2, "duplicate": 1}


def test_white_space_around_a_message_makes_no_other_prompt(file):
    """Templates that trim show a model the same, which is neither read twice nor held out."""
    texts = ["a", "a\n", " a", "a b", "a  b"]
    table, counts = read_prompts(file("p.jsonl", [{"prompt": text} for text in texts]))
    assert [row[0]["content"] for row in table["messages"].to_pylist()] == ["a", "a b", "a  b"]
    assert table["prompt_id"].to_pylist()[0] == prompt_id([USER[0] | {"content": "a"}])
    assert counts == {"read": 5, "kept": 3, "duplicate": 2}
    held_out, _ = read_prompts(file("h.jsonl", [{"prompt": "a\t"}, {"prompt": "\na  b"}]))
    left = without_prompts(table, [held_out])
    assert [row[0]["content"] for row in left["messages"].to_pylist()] == ["a b"]


def test_every_format_gives_the_same_table(file, tmp_path):
    rows = [
        {"prompt": 'Say "hi",\nplease.', "prompt_id": "1", "dataset": "d"},
        {"prompt": "Grüße an 東京 \u2028 🙂", "prompt_id": "2", "dataset": "d"},
    ]
    paths = [
        file("p.jsonl", rows),
        file("p.json", json.dumps(rows)),
        file(
            "q.jsonl",
            b"\xef\xbb\xbf"
            + json.dumps(rows[0]).encode()
            + b"\r\n\n"
            + json.dumps(rows[1], ensure_ascii=False).encode(),
        ),
        file("p.json.gz", gzip.compress(json.dumps(rows).encode())),
    ]
    with open(tmp_path / "p.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, ["prompt", "prompt_id", "dataset"])
        writer.writeheader()
        writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    wanted = read_prompts(paths[0])[0]
    assert len(wanted) == 2
    for path in [*paths[1:], tmp_path / "p.csv", tmp_path / "p.parquet"]:
        assert read_prompts(path)[0].equals(wanted), path


def test_messages_in_the_cells_of_a_csv_file_are_read_from_json(tmp_path):
    """Read as the prompt's text they would be trained on, brackets and all."""
    path = tmp_path / "p.csv"
    for column in ("messages", "prompt", "conversations"):
        with path.open("w", newline="") as out:
            csv.writer(out).writerows([[column], [json.dumps(USER)]])
        assert read_prompts(path)[0]["messages"].to_pylist() == [USER]
    named = PromptColumns(messages="talk")
    path.write_text(path.read_text().replace("conversations", "talk"))
    assert read_prompts(path, columns=named)[0]["messages"].to_pylist() == [USER]


@pytest.mark.parametrize("text", ['[{"role": "admin"}]', '[{"role": 1, "content": 2}] as YAML?'])
def test_a_prompt_with_json_of_another_kind_is_text(file, text):
    table, _ = read_prompts(file("p.jsonl", [{"prompt": text}]))
    assert table["messages"].to_pylist() == [[{"role": "user", "content": text}]]


def test_a_folder_is_said_to_be_one(tmp_path):
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        list(read_rows(tmp_path))


def test_a_long_text_in_a_column_of_csv(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(f"prompt,document\nHi,{'x' * 200_000}\n")
    assert read_prompts(path)[1]["kept"] == 1


BAD_ROWS = {
    "no field": ({}, "no column is known to hold a prompt; say how: prompts.columns: {prompt:"),
    "other field": (
        {"id": 1, "text": "a"},
        "of its columns (id, text) say which does: prompts.columns: {prompt: id}",
    ),
    "both fields": ({"prompt": "a", "messages": USER}, "do not begin with the prompt"),
    "empty prompt": ({"prompt": ""}, "prompt is empty"),
    "blank prompt": ({"prompt": " \n"}, "prompt is empty"),
    "number": ({"prompt": 3}, "prompt must be text or a list of messages"),
    "object": ({"prompt": {"a": 1}}, "prompt must be text or a list of messages"),
    "no messages": ({"messages": []}, "messages must be text or a list of messages"),
    "text as messages": ({"messages": "hi"}, "messages must be a list"),
    "not a message": ({"messages": ["hi"]}, "messages must be text or a list of messages"),
    "role": ({"messages": [{"role": "bot", "content": "a"}]}, "the role 'bot'; use system, user"),
    "role a list": ({"messages": [{"role": [], "content": "a"}]}, "the role []"),
    "no content": ({"messages": [{"role": "user"}]}, "messages content must be text, got NoneType"),
    "empty content": ({"messages": [{"role": "user", "content": ""}]}, "content is empty"),
    "tool call": ({"messages": [USER[0] | {"tool_calls": ["x"]}]}, "a message with 'tool_calls'"),
    "ends with system": ({"messages": [*USER, CHAT[0]]}, "must end with the user's message"),
    "only an answer": ({"messages": CHAT[2:3]}, "messages has no turn of the user; add it"),
    "printed": ({"prompt": str(USER)}, "prompt holds messages as text that is no JSON; save"),
    "prompt with answer": (
        {"prompt": CHAT[:3]},
        "must end with the user's message; drop the answer",
    ),
    "another talk": ({"prompt": "a", "messages": CHAT}, "turn of the system that prompt has not"),
    "no turns": ({"conversations": []}, "conversations must be text or a list of messages"),
    "tool": ({"conversations": [{"from": "tool", "value": "a"}]}, "the role 'tool'; use system,"),
    "two ways": ({"messages": [USER[0] | {"from": "human"}]}, "'role' and 'from'; drop one"),
    "two tasks": (
        {"question": "a", "instruction": "b"},
        "'instruction' and 'question' may each hold the prompt; say which does: "
        "prompts.columns: {prompt: instruction}",
    ),
    "image": (
        {"messages": [USER[0] | {"content": [{"type": "image"}]}]},
        "holds an image, which this recipe does not see; remove the row",
    ),
    "surrogate": ({"prompt": "a\ud800"}, "prompt holds a lone surrogate"),
    "surrogate inside": ({"messages": [USER[0] | {"content": "\udfff"}]}, "lone surrogate"),
    "id a number": ({"prompt": "a", "prompt_id": 7}, "prompt_id must be text, got int"),
    "id empty": ({"prompt": "a", "prompt_id": ""}, "prompt_id is empty"),
    "id taken": ({"prompt": "a", "prompt_id": "first"}, "prompt_id 'first' is that of another"),
    "dataset a list": ({"prompt": "a", "dataset": ["x"]}, "dataset must be text, got list"),
}


@pytest.mark.parametrize(("row", "words"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_row_that_is_no_prompt_is_refused_with_its_line(file, row, words):
    found = message(file("p.jsonl", [{"prompt": "good", "prompt_id": "first"}, row]))
    assert found.startswith("p.jsonl line 2: ")
    assert words in found


BAD_FILES = {
    "e.jsonl": (b"", "e.jsonl: holds no prompts"),
    "b.jsonl": (b"\n  \n", "b.jsonl: holds no prompts"),
    "m.jsonl": (b'{"prompt": "a"}\n{"prompt": \n', "m.jsonl line 2: not JSON"),
    "n.jsonl": (b'{"prompt": NaN}', "n.jsonl line 1: prompt must be text"),
    "t.jsonl": (b'"just text"', "t.jsonl line 1: must be an object with named fields, got text"),
    "l.jsonl": (b"[1]", "got a list"),
    "d.jsonl": (b"[" * 100_000, "d.jsonl line 1: not usable JSON"),
    "u.jsonl": (b'{"prompt": "a"}\n{"prompt": "\xff"}', "u.jsonl line 2: not UTF-8 text"),
    "i.jsonl": (b'{"prompt": ' + b"9" * 5000 + b"}", "i.jsonl line 1: not usable JSON"),
    "o.json": (b'"a"', "o.json: must be a JSON array of objects, or one object per line"),
    "s.json": (b'{"prompt": "a"}\n{"prompt": \n', "s.json line 2: not JSON"),
    "x.json": (b"[1]", "x.json row 1: must be an object"),
    "h.csv": (b"prompt\n", "h.csv: holds no prompts"),
    "w.csv": (b'prompt,dataset\n"a,b\n', "w.csv line 2: not CSV"),
    "c.csv": (b"prompt,dataset\na,b,c\n", "c.csv line 2: has more or fewer fields"),
    "s.csv": (b"prompt,dataset\na\n", "s.csv line 2: has more or fewer fields"),
    "t.csv": (b"prompt;note\na;b\n", "t.csv: separates its fields by ';'; save it with commas"),
    "r.csv": (b"text\na\n", "r.csv line 2: no column is known to hold a prompt; of its columns"),
    "p.parquet": (b"PAR1 nothing", "p.parquet: not a readable Parquet file"),
    "g.jsonl.gz": (b"not gzip", "g.jsonl.gz: cannot be read"),
    "k.jsonl.gz": (gzip.compress(b'{"prompt": "a"}')[:-9], "k.jsonl.gz: cannot be read"),
    "p.txt": (b"a prompt", "p.txt: unknown format; give a .jsonl, .json, .parquet, .csv file"),
}


@pytest.mark.parametrize(("name", "bad"), BAD_FILES.items(), ids=BAD_FILES.keys())
def test_a_file_that_holds_no_prompts_is_refused(file, name, bad):
    gc.collect()  # or what earlier tests have left is finalised in the depth of a recursion
    content, words = bad
    assert words in message(file(name, content))


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    assert message(tmp_path / "p.jsonl") == "p.jsonl: no such file; check the path"
    (tmp_path / "q.jsonl").mkdir()
    assert message(tmp_path / "q.jsonl") == "q.jsonl: is a folder; name a file in it"


def test_rows_name_the_place_they_come_from(file):
    path = file("p.csv", 'prompt\n"two\nlines"\nb\n')
    assert [place.removeprefix(f"{path} ") for place, _ in read_rows(path)] == ["line 3", "line 4"]


def test_a_data_set_that_cannot_be_loaded_is_an_input_error(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="nobody/nothing: neither a file nor a data set") as error:
        read_prompts("nobody/nothing:test")
    assert "\n" not in str(error.value)


def test_json_lines_and_one_object_may_be_called_json(file):
    rows = [{"prompt": "a"}, {"prompt": "b"}]
    lines = "\n".join(json.dumps(row) for row in rows)
    assert read_prompts(file("p.json", lines))[0].equals(read_prompts(file("p.jsonl", lines))[0])
    pretty = read_prompts(file("p.json", json.dumps(rows[0], indent=1)))[0]
    assert pretty["messages"].to_pylist() == [[{"role": "user", "content": "a"}]]


PARTS = [{"type": "text", "text": "Name two"}, {"type": "text", "text": " fruits."}]
TALKS = {
    "ultrafeedback_binarized": {"prompt": "Name two fruits.", "messages": [*USER, CHAT[2]]},
    "ultrachat": {"prompt": "Name two fruits. ", "messages": [*USER, CHAT[2], CHAT[1], CHAT[2]]},
    "prompt of messages": {"prompt": USER, "messages": [*USER, CHAT[2]]},
    "demonstration": {"messages": [*USER, CHAT[2]]},
    "silent system": {"messages": [{"role": "system", "content": " "}, *USER]},
    "null system": {"messages": [{"role": "system", "content": None}, *USER]},
    "parts": {"messages": [{"role": "user", "content": PARTS}]},
}  # fmt: skip


@pytest.mark.parametrize("row", TALKS.values(), ids=TALKS.keys())
def test_layouts_of_public_data_sets_are_the_same_prompt(file, row):
    table, _ = read_prompts(file("p.jsonl", [row | {"score_chosen": 8.5, "chosen": [], "n": None}]))
    assert [m["content"].strip() for m in table["messages"].to_pylist()[0]] == ["Name two fruits."]


def test_what_is_left_out_of_rows_is_counted(file):
    silent = {"role": "system", "content": ""}
    rows = [{"messages": [silent, *USER]}, {"messages": [*CHAT, CHAT[2]]}, {"prompt": "a"}]
    table, counts = read_prompts(file("p.jsonl", rows))
    assert table["messages"].to_pylist()[:2] == [USER, CHAT]
    assert counts | {"empty_system": 1, "answer_dropped": 1} == counts and counts["kept"] == 3


def test_a_prompt_that_does_not_begin_the_messages_is_refused(file):
    found = message(file("p.jsonl", [{"prompt": "Name a tree.", "messages": [*USER, CHAT[2]]}]))
    assert "begin with the prompt; drop one of the two" in found


@pytest.mark.parametrize("name", ["allenai/tulu-2.5-preference-data", "org/name-v1.0:test_prefs"])
def test_an_id_with_a_dot_is_that_of_a_data_set(monkeypatch, name):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="neither a file nor a data set"):
        read_prompts(name)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.jsonl")
    assert "p.jsonl: is a pipe or a device, no file" in message(tmp_path / "p.jsonl")
    assert "File name too long" in message(tmp_path / ("p" * 300 + ".jsonl"))
    assert "null byte" in message(tmp_path / "p\0.jsonl")


def test_what_is_kept_of_many_prompts_is_little_more_than_their_text(file):
    # As texts and lists of Python, their places alone took as much again.
    rows = [{"prompt": f"{number} {'word ' * 20}"} for number in range(3000)]
    path = file("many.jsonl", rows)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        found = read_prompt_file(path)
        objects, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = pa.total_allocated_bytes() - before + objects
    texts = sum(len(row["prompt"]) for row in rows) + sum(len(p.as_py()) for p in found.places)
    assert kept < 2 * texts
    assert found.places[2999].as_py() == f"{path} line 3000"


def test_an_id_of_two_prompts_is_refused_with_both_places(file):
    rows = [{"prompt": f"question {number}", "prompt_id": f"q{number}"} for number in range(1500)]
    path = file("twice.jsonl", [*rows, {"prompt": "another", "prompt_id": "q7"}])
    with pytest.raises(InputError, match=rf"line 1501: prompt_id 'q7' .*{path.name} line 8\)"):
        read_prompt_file(path)
    path = file("twice.jsonl", [*rows[:3], {"prompt": "another", "prompt_id": "q1"}])
    with pytest.raises(InputError, match=rf"line 4: prompt_id 'q1' .*{path.name} line 2\)"):
        read_prompt_file(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.JSONL", b'{"prompt": "Hi"}\n'),
        ("p.JsonL.GZ", gzip.compress(b'{"prompt": "Hi"}\n', mtime=0)),
        ("p.CSV", b"prompt\nHi\n"),
        ("p.jsonl", b'{"prompt": "Hi", "score": NaN, "low": -Infinity}\n'),
        ("p.json", b'[{"prompt": "Hi", "score": NaN}]'),
        ("p.csv", b"prompt,note,note\nHi,1,2\n"),
    ],
)
def test_what_nobody_reads_and_how_a_suffix_is_written_do_not_matter(file, name, content):
    table, counts = read_prompts(file(name, content))
    assert table["messages"].to_pylist() == [[{"role": "user", "content": "Hi"}]]
    assert counts["kept"] == 1
