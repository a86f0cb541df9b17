"""Labelled pairs in the layouts of public data sets."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.readers.labelled_pairs import by_dataset, dataset_names, read_labelled_pairs
from tests.repository import SHARED

REAL = SHARED / "realdata"
TALK = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Name a colour."},
]


def said(text):
    return [*TALK, {"role": "assistant", "content": text}]


def write(folder, rows, name="mine.jsonl"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# (a row, its prompt's last text, both answers, the label)
LAYOUTS = {
    "texts": (
        {"prompt": "Name a colour.", "chosen": "Red.", "rejected": "Seven."},
        ("Name a colour.", "Red.", "Seven.", "first"),
    ),
    "talks beside a prompt": (
        {"prompt": "Name a colour.", "chosen": said("Red.")[2:], "rejected": said("Seven.")[2:]},
        ("Name a colour.", "Red.", "Seven.", "first"),
    ),
    "talks alone": (
        {"chosen": said("Red."), "rejected": said("Seven.")},
        ("Name a colour.", "Red.", "Seven.", "first"),
    ),
    "HH-RLHF": (
        {
            "chosen": "\n\nHuman: Name a colour.\n\nAssistant: Red.",
            "rejected": "\n\nHuman: Name a colour.\n\nAssistant: Seven.",
        },
        ("Name a colour.", "Red.", "Seven.", "first"),
    ),
    "own tables": (
        {"messages": TALK, "chosen": "Red.", "rejected": "Seven."},
        ("Name a colour.", "Red.", "Seven.", "first"),
    ),
    "LLMBar": (
        {"input": "Name a colour.", "output_1": "Seven.", "output_2": "Red.", "label": 2},
        ("Name a colour.", "Seven.", "Red.", "second"),
    ),
    "PandaLM": (
        {
            "instruction": "Shorten this.",
            "input": "A red, red rose.",
            "response1": "A rose.",
            "response2": True,
            "annotator1": 1,
            "annotator2": 0,
            "annotator3": 1,
        },
        ("Shorten this.\n\nA red, red rose.", "A rose.", "True", "first"),
    ),
    "annotators who differ": (
        {
            "instruction": "Name a colour.",
            "response1": "Red.",
            "response2": "Blue.",
            "annotator1": 1,
            "annotator2": 0,
            "annotator3": 2,
        },
        ("Name a colour.", "Red.", "Blue.", "tie"),
    ),
    "AlpacaEval": (
        {"instruction": "Name a colour.", "output_1": "7", "output_2": "Red.", "preference": 1.8},
        ("Name a colour.", "7", "Red.", "second"),
    ),
    "arena": (
        {"prompt": "Name a colour.", "answer_a": "7", "answer_b": "Red.", "winner": "model_b"},
        ("Name a colour.", "7", "Red.", "second"),
    ),
    "a tie by name": (
        {"prompt": "Name one.", "answer_a": "Blue", "answer_b": "Red.", "winner": "tie (bothbad)"},
        ("Name one.", "Blue", "Red.", "tie"),
    ),
}


@pytest.mark.parametrize(("row", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout(tmp_path, row, expected):
    (pair,), counts = read_labelled_pairs([write(tmp_path, [row])])
    assert (pair.messages[-1]["content"], pair.first, pair.second, pair.label) == expected
    assert counts == {"mine": {"read": 1, "pairs": 1, "same": 0, "empty": 0, "other": 0}}


def test_the_better_answer_comes_first(tmp_path):
    rows = [{"input": "a", "output_1": "x", "output_2": "y", "label": n} for n in (1, 2, "tie")]
    pairs, _ = read_labelled_pairs([write(tmp_path, rows)])
    assert [pair.answers for pair in pairs] == [("x", "y"), ("y", "x"), ("x", "y")]


def test_rows_that_cannot_be_used_are_counted(tmp_path):
    rows = [
        {"prompt": "a", "chosen": "x", "rejected": "y"},
        {"prompt": "a", "chosen": "x", "rejected": "x"},
        {"prompt": "a", "chosen": " ", "rejected": "x"},
        {"chosen": said("x"), "rejected": said("y")[1:]},
    ]
    pairs, counts = read_labelled_pairs([write(tmp_path, rows)])
    assert len(pairs) == 1
    assert counts == {"mine": {"read": 4, "pairs": 1, "same": 1, "empty": 1, "other": 1}}


def test_data_sets_by_column_and_by_file(tmp_path):
    table = pa.table({"prompt": ["a", "b"], "chosen": ["x", "x"], "rejected": ["y", "y"]})
    pq.write_table(table.append_column("subset", pa.array(["one", "two"])), tmp_path / "a.parquet")
    other = write(tmp_path, [{"prompt": "a", "chosen": "x", "rejected": "y"}], "three.jsonl")
    pairs, _ = read_labelled_pairs([tmp_path / "a.parquet", other])
    assert list(by_dataset(pairs)) == [("one", [0]), ("two", [1]), ("three", [2])]


def test_names_of_files_that_say_nothing_are_their_folders():
    paths = [Path("/x/Natural/dataset.json.gz"), Path("/x/Hard/dataset.json"), Path("/x/mine.csv")]
    assert dataset_names(paths) == ["Natural", "Hard", "mine"]
    assert dataset_names([Path("/x/a/pairs.csv"), Path("/x/b/pairs.csv")]) == ["a/pairs", "b/pairs"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a"}, "no pair of answers; a row has prompt, chosen and rejected, or two"),
        ({"chosen": "x", "rejected": "y"}, "the field 'prompt' is missing"),
        ({"output_1": "x", "output_2": "y", "label": 1}, "the field 'prompt' is missing"),
        ({"prompt": "a", "output_1": "x", "output_2": "y"}, "no label says which answer is better"),
        (
            {"prompt": "a", "output_1": "x", "output_2": "y", "label": 3},
            "label must be 1, 2 or tie, got '3'",
        ),
        ({"prompt": "a", "chosen": ["x"], "rejected": "y"}, "chosen must end with"),
        ({"prompt": "a", "output_1": {}, "output_2": "y", "label": 1}, "output_1 must be text"),
    ],
)
def test_a_row_that_is_none_is_one_line_with_its_place(tmp_path, row, message):
    path = write(tmp_path, [{"prompt": "a", "chosen": "x", "rejected": "y"}, row])
    with pytest.raises(InputError) as refused:
        read_labelled_pairs([path])
    assert str(refused.value).startswith(f"{path} line 2: ") and message in str(refused.value)


def test_a_file_without_a_pair_is_refused(tmp_path):
    path = write(tmp_path, [{"prompt": "a", "chosen": "x", "rejected": "x"}])
    with pytest.raises(InputError, match="holds no pair of two different answers"):
        read_labelled_pairs([path])


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not beside the checkout")
def test_real_data_has_the_counts_that_are_known():
    files = [REAL / "hh_rlhf" / "harmless-base_test.jsonl.gz"]
    files += sorted((REAL / "llmbar" / "LLMBar").rglob("dataset.json.gz"))
    files += [REAL / "pandalm" / "testset-v1.json.gz"]
    pairs, counts = read_labelled_pairs(files)
    hh = counts["harmless-base_test"]
    assert hh["read"] == 2312 and hh["other"] == 5, "2,307 share the dialogue's beginning"
    places = dict(by_dataset(pairs))["harmless-base_test"]
    longer = [len(a) > len(b) for a, b in (pairs[place].answers for place in places)]
    assert round(sum(longer) / len(longer), 2) == 0.44
    bar = {"Natural": 100, "GPTInst": 92, "GPTOut": 47, "Manual": 46, "Neighbor": 134}
    assert {name: counts[name]["pairs"] for name in bar} == bar
    assert counts["testset-v1"] == {"read": 999, "pairs": 945, "same": 0, "empty": 54, "other": 0}
