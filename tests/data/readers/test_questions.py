"""Questions of a user's file: what is read, how it is parted, and what is refused."""

import json

import pytest

from data.errors import InputError
from data.readers.questions import PARTS, parted_questions, read_questions
from data.recipes.tailoring import QuestionColumns, TasksConfig

COLUMNS = QuestionColumns()


@pytest.fixture
def file(tmp_path):
    def write(rows):
        path = tmp_path / "questions.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def rows(task, number):
    return [{"task": task, "question": f"{task} {i}?", "answer": f"a{i}"} for i in range(number)]


def test_rows_are_read_and_repeated_ones_counted(file):
    found = read_questions(file([*rows("s", 3), *rows("t", 2), *rows("s", 1)]), COLUMNS)
    assert found.counts == {"read": 6, "kept": 5, "duplicate": 1}
    assert found.table["dataset"].to_pylist() == ["s", "s", "s", "t", "t"]
    assert found.table["completion"][1].as_py() == "a1" and len(found.places) == 5


def test_parts_are_of_every_task_and_share_nothing(file):
    table = read_questions(file([*rows("s", 20), *rows("t", 9)]), COLUMNS).table
    config = TasksConfig(seeds=2, validation=5, test=4)
    parts = parted_questions(table, config, seed=0)
    sizes = {part: len(parts[part]) for part in PARTS}
    assert sizes == {"seeds": 4, "validation": 10, "test": 6}  # of t two are left
    names = [name for part in PARTS for name in parts[part]["prompt_id"].to_pylist()]
    assert len(set(names)) == len(names)
    assert parted_questions(table, config, seed=0) == parts
    assert parted_questions(table, config, seed=1) != parts


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"task": "s", "question": "Q?"}, "line 2: has no 'answer'.*tasks.columns.answer"),
        ({"task": "s", "question": " ", "answer": "1"}, "line 2.*question"),
        ({"question": "Q?", "answer": "1"}, "line 2: has no 'task'.*tasks.columns.task"),
        ({"task": "s", "question": "s 0?", "answer": "b"}, "line 2: asks what .*line 1 asks"),
    ],
)
def test_what_is_no_question_is_refused_by_its_line(file, bad, said):
    with pytest.raises(InputError, match=said):
        read_questions(file([*rows("s", 1), bad]), COLUMNS)


@pytest.mark.parametrize(
    ("answer", "marker", "said"),
    [
        ("New York", "", "cannot be told right from wrong, as answers are read as the last word"),
        ("one\ntwo", "answer:", "read as one line behind 'answer:'"),
        ("?!", "answer:", "cannot be told right from wrong"),
    ],
)
def test_an_answer_that_nothing_ends_at_is_refused(file, answer, marker, said):
    path = file([*rows("s", 1), {"task": "s", "question": "Q?", "answer": answer}])
    assert read_questions(path, COLUMNS).counts["kept"] == 2
    with pytest.raises(InputError, match="line 2: the answer .*" + said):
        read_questions(path, COLUMNS, marker)


def test_a_file_without_questions_and_a_small_task_are_refused(file):
    with pytest.raises(InputError, match="holds no question"):
        read_questions(file([]), COLUMNS)
    table = read_questions(file([*rows("s", 20), *rows("t", 7)]), COLUMNS).table
    with pytest.raises(InputError, match="the task 't' has 7 questions, of which none is left"):
        parted_questions(table, TasksConfig(seeds=2, validation=5, test=4), seed=0)
