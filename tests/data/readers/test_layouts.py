"""Prompts in the layouts of public data sets, by tiny files and by real ones."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.readers.prompts import read_prompt_file, read_prompts
from data.recipes.prompts import PromptColumns
from tests.repository import SHARED

REAL = SHARED / "realdata"
ASKED = {"role": "user", "content": "Name a colour."}
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, ASKED]
SAID = {"role": "assistant", "content": "Red."}
SYSTEM = {"role": "system", "content": "Be brief."}
SHAREGPT = [
    {"from": "human", "value": "Hi"},
    {"from": "gpt", "value": "Hello."},
    {"from": "human", "value": "Name a colour."},
]
HH = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Name a colour."


@pytest.fixture
def read(tmp_path):
    def of(*rows, **columns):
        path = tmp_path / "p.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_prompt_file(path, columns=PromptColumns(**columns))

    return of


# (a row, the messages of its prompt, how it is recognised)
LAYOUTS = {
    "text": ({"prompt": "Name a colour."}, [ASKED], "prompt"),
    "messages": ({"messages": [*TALK, SAID]}, TALK, "messages"),
    "OpenAI's roles": (
        {"messages": [SYSTEM | {"role": "developer"}, ASKED]},
        [SYSTEM, ASKED],
        "messages",
    ),
    "ShareGPT": ({"conversations": SHAREGPT, "id": 3}, TALK, "ShareGPT"),
    "ShareGPT, answered": (
        {"conversations": [*SHAREGPT, {"from": "gpt", "value": "Red."}], "system": "Be brief."},
        [SYSTEM, *TALK],
        "ShareGPT",
    ),
    "conversations of roles": ({"conversations": [ASKED, SAID]}, [ASKED], "messages"),
    "HH": (
        {"chosen": f"{HH}\n\nAssistant: Red.", "rejected": f"{HH}\n\nAssistant: Seven."},
        TALK,
        "HH transcript",
    ),
    "HH, the prompt alone": ({"prompt": f"{HH}\n\nAssistant:"}, TALK, "HH transcript"),
    "HH, trimmed": (
        {"prompt": "Human: Name a colour.\n\nAssistant: Red."},
        [ASKED],
        "HH transcript",
    ),
    "talks": ({"chosen": [*TALK, SAID], "rejected": [*TALK, SAID]}, TALK, "chosen talk"),
    "Alpaca": (
        {"instruction": "Shorten.", "input": "A red rose.", "output": "A rose."},
        [{"role": "user", "content": "Shorten.\n\nA red rose."}],
        "instruction",
    ),
    "Alpaca, no input": (
        {"instruction": "Name a colour.", "input": "", "output": "Red."},
        [ASKED],
        "instruction",
    ),
    "Dolly": (
        {"instruction": "Which colour?", "context": "A red rose.", "response": "Red."},
        [{"role": "user", "content": "Which colour?\n\nA red rose."}],
        "instruction",
    ),
    "question": ({"question": "Name a colour.", "answer": "Red."}, [ASKED], "question"),
    "Orca": (
        {"system": "Be brief.", "question": "Name a colour.", "chosen": "Red.", "rejected": "7"},
        [SYSTEM, ASKED],
        "question",
    ),
    "input and output": ({"input": "Name a colour.", "output": "Red."}, [ASKED], "input"),
}


@pytest.mark.parametrize(("row", "messages", "layout"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_recognised(read, row, messages, layout):
    found = read(row)
    assert found.table["messages"].to_pylist() == [messages]
    assert found.layouts == {layout: 1}


def test_layouts_and_answers_that_were_left_out_are_counted(read):
    found = read(*(row for row, _, _ in LAYOUTS.values()))
    assert sum(found.layouts.values()) == len(LAYOUTS) and found.layouts["ShareGPT"] == 2
    assert found.counts["answer_dropped"] == 6


MAPPED = {
    "text": ({"prompt": "text"}, {"text": "Name a colour.", "prompt": "no"}, [ASKED]),
    "and what it is about": (
        {"prompt": "task", "input": "passage", "system": "rules"},
        {"task": "Shorten.", "passage": "A red rose.", "rules": "Be brief."},
        [SYSTEM, {"role": "user", "content": "Shorten.\n\nA red rose."}],
    ),
    "a talk": ({"messages": "talk"}, {"talk": SHAREGPT + [{"from": "gpt", "value": "R"}]}, TALK),
    "one of two": ({"prompt": "question"}, {"question": "Name a colour.", "instruction": "x"},
                   [ASKED]),
    "a transcript": ({"messages": "text"}, {"text": f"{HH}\n\nAssistant: Red."}, TALK),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "row", "messages"), MAPPED.values(), ids=MAPPED)
def test_a_recipe_says_which_column_is_which(read, columns, row, messages):
    assert read(row, **columns).table["messages"].to_pylist() == [messages]


def test_names_and_data_sets_come_from_mapped_columns(read):
    row = {"q": "Name a colour.", "subject": "art", "key": "7", "dataset": "no"}
    (found,) = read(row, prompt="q", dataset="subject", prompt_id="key").table.to_pylist()
    assert (found["dataset"], found["prompt_id"]) == ("art", "7")


def test_a_mapped_column_that_is_not_there_is_refused_with_those_that_are(read, tmp_path):
    with pytest.raises(InputError, match="no column 'q', which prompts.columns names for prompt"):
        read({"text": "a"}, prompt="q")
    pq.write_table(pa.table({"text": ["a"], "id": [1]}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match="; it has text, id$"):
        read_prompts(tmp_path / "p.parquet", columns=PromptColumns(prompt="q"))
    with pytest.raises(InputError, match=r"of its columns \(text, id\) say which does"):
        read_prompts(tmp_path / "p.parquet")


@pytest.mark.parametrize(
    "columns",
    [{"prompt": "a", "messages": "b"}, {"input": "a"}, {"system": "a"}],
)
def test_columns_that_contradict_each_other_are_refused(columns):
    with pytest.raises(ValueError, match="columns"):
        PromptColumns(**columns)


def test_a_saved_data_set_is_read_by_its_split(tmp_path):
    import datasets

    one = datasets.Dataset.from_dict({"question": ["a", "b"], "n": [1, 2]})
    folder = tmp_path / "saved"
    one.save_to_disk(folder)
    table, counts = read_prompts(folder)
    assert counts["kept"] == 2 and table["dataset"].to_pylist() == ["saved"] * 2
    with pytest.raises(InputError, match="one split without a name; leave ':test' out"):
        read_prompts(f"{folder}:test")
    both = datasets.DatasetDict({"train": one, "test": one.select([1])})
    both.save_to_disk(tmp_path / "both")
    with pytest.raises(InputError, match="holds the splits train, test; name one, as .*both:train"):
        read_prompts(tmp_path / "both")
    with pytest.raises(InputError, match="'dev' is none of them"):
        read_prompts(f"{tmp_path / 'both'}:dev")
    found = read_prompt_file(f"{tmp_path / 'both'}:test")
    assert [m[0]["content"] for m in found.table["messages"].to_pylist()] == ["b"]
    assert found.places[0].as_py().endswith("both:test row 1")
    datasets.DatasetDict({"only": one}).save_to_disk(tmp_path / "only")
    assert read_prompts(tmp_path / "only")[1]["kept"] == 2


def test_a_damaged_saved_data_set_is_an_input_error(tmp_path):
    import datasets

    datasets.Dataset.from_dict({"prompt": ["a"]}).save_to_disk(tmp_path / "saved")
    for file in (tmp_path / "saved").glob("*.arrow"):
        file.write_bytes(b"no arrow")
    with pytest.raises(InputError, match="not a readable saved data set") as error:
        read_prompts(tmp_path / "saved")
    assert "\n" not in str(error.value)


# (file, rows read, prompts kept, layout)
FILES = {
    "hh_rlhf/harmless-base_test.jsonl.gz": (2312, "HH transcript"),
    "gsm8k/test.jsonl.gz": (1319, "question"),
    "ifeval/input_data.jsonl.gz": (541, "prompt"),
    "pandalm/testset-v1.json.gz": (999, "instruction"),
    "self_instruct/seed_tasks.jsonl.gz": (175, "instruction"),
}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not beside the checkout")
@pytest.mark.parametrize(("file", "expected"), FILES.items(), ids=FILES)
def test_real_files_are_recognised(file, expected):
    found = read_prompt_file(REAL / file)
    assert found.layouts == {expected[1]: expected[0]}
    assert found.counts["read"] == expected[0] == found.counts["kept"] + found.counts["duplicate"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not beside the checkout")
def test_real_rows_are_one_prompt_in_every_layout_and_format(tmp_path):
    with gzip.open(REAL / "gsm8k/test.jsonl.gz", "rt") as file:
        questions = [json.loads(line)["question"] for line in file][:50]
    wanted = [[{"role": "user", "content": text}] for text in questions]
    turns = [[{"from": "human", "value": q}, {"from": "gpt", "value": "?"}] for q in questions]
    layouts = {
        "text": [{"prompt": q} for q in questions],
        "share": [{"conversations": talk} for talk in turns],
        "hh": [{"chosen": f"\n\nHuman: {q}\n\nAssistant: ?"} for q in questions],
        "alpaca": [{"instruction": q, "input": "", "output": "?"} for q in questions],
    }
    for name, rows in layouts.items():
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
        for suffix in ("parquet", "json"):
            table, _ = read_prompts(tmp_path / f"{name}.{suffix}")
            got = [[m | {"content": m["content"].strip()} for m in talk]
                   for talk in table["messages"].to_pylist()]  # fmt: skip
            assert got == [[m | {"content": m["content"].strip()} for m in one] for one in wanted]
