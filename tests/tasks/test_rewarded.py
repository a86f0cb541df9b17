"""Reward functions called on rows: TRL's form, sums, and rows that fail."""

from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from tasks.running import reward_functions
from tasks.running.outside import Code, Shipped
from tasks.running.reward_functions import Row, rewarded

CODE = """
import asyncio

def length(prompts, completions, **kwargs):
    return [len(c[0]["content"]) for c in completions]

def says(prompts, completions, value, **kwargs):
    return value

def odd(prompts, completions):
    return [1 / (len(c[0]["content"]) % 2) for c in completions]

def never(prompts, completions, **kwargs):
    raise RuntimeError("out of order")

def as_text(prompts, completions, **kwargs):
    return [float("yes" in c.lower()) for c in completions]

def short(prompts, completions, **kwargs):
    return [1.0]

def nothing(prompts, completions):
    [1.0 for _ in completions]

def one(prompts, completions):
    return 1.0

def by_id(prompts, completions):
    return dict.fromkeys(range(len(completions)), 1.0)

def leaves(prompts, completions, **kwargs):
    if any(c[0]["content"] == "aa" for c in completions):
        raise SystemExit(3)
    return [1.0] * len(completions)

async def later(prompts, completions, **kwargs):
    await asyncio.sleep(0)
    return [len(c[0]["content"]) for c in completions]

def sees(prompts, completions, style="none", **kwargs):
    assert [p[-1] for p in prompts] == [{"role": "user", "content": "Q"}] * len(prompts)
    assert all(c == [{"role": "assistant", "content": c[0]["content"]}] for c in completions)
    prompts.clear()
    assert not kwargs
    return [1.0 if style == "none" else 2.0 if s is None else 3.0 for s, c in zip(
        style if style != "none" else completions, completions)]
"""


@pytest.fixture(scope="module")
def function(tmp_path_factory):
    path = tmp_path_factory.mktemp("code") / "functions_of_test.py"
    path.write_text(CODE)
    return lambda name: Code(path=str(path), digest="", field="teacher.model", name=name)


def row(text, **columns):
    return Row([{"role": "user", "content": "Q"}], text, columns)


ROWS = [row("a" * n, value=n) for n in range(1, 6)]


def test_a_weighted_sum(function):
    rows = [row("four", value=10.0), row("twelve words", value=-2)]
    found = rewarded([function("length"), function("says")], [0.5, 2.0], rows, frozenset({"value"}))
    assert found.rewards == [22.0, 2.0]
    assert found.counts == {
        "failed:length": 0, "without:length": 0, "judged:length": 2, "total:length": 16.0,
        "why:length": "",
        "failed:says": 0, "without:says": 0, "judged:says": 2, "total:says": 8.0, "why:says": "",
    }  # fmt: skip


def test_one_row_that_fails_costs_that_row_alone(function):
    found = rewarded([function("odd")], [1.0], ROWS)
    assert found.rewards == [1.0, None, 1.0, None, 1.0]
    assert found.counts["failed:odd"] == 2 and found.counts["judged:odd"] == 3
    assert found.counts["why:odd"].startswith("ZeroDivisionError: ")


@pytest.mark.parametrize("value", [nan, inf, "1", "no", [], {}])
def test_no_number_is_a_failure(function, value):
    rows = [row("x", value=value), row("x", value=1.0)]
    found = rewarded([function("says")], [1.0], rows)
    assert found.rewards == [None, 1.0] and found.counts["failed:says"] == 1
    assert found.counts["why:says"]


def test_none_leaves_the_function_out_of_the_sum_as_in_trl(function):
    rows = [row("abc", value=None), row("abc", value=1.0)]
    found = rewarded([function("says"), function("length")], [1.0, 1.0], rows)
    assert found.rewards == [3.0, 4.0]
    assert found.counts["without:says"] == 1 and found.counts["failed:says"] == 0
    alone = rewarded([function("says")], [1.0], rows)
    assert alone.rewards == [None, 1.0]


def test_a_failure_leaves_no_sum(function):
    rows = [row("abc", value=nan), row("abc", value=1.0)]
    assert rewarded([function("says"), function("length")], [1, 1], rows).rewards == [None, 4.0]


def test_a_function_that_fails_on_every_answer(function):
    with pytest.raises(InputError) as failed:
        rewarded([function("length"), function("never")], [1.0, 1.0], ROWS)
    said = str(failed.value)
    assert said.startswith(
        "teacher.model: never fails on every answer (RuntimeError: out of order)"
    )
    assert rewarded([function("never")], [1.0], ROWS, few=True).rewards == [None] * 5


def test_a_function_for_texts_is_told_what_it_gets(function):
    with pytest.raises(InputError, match=r"completion\[0\]\['content'\] is the text"):
        rewarded([function("as_text")], [1.0], [row("a"), row("b")])


def test_a_function_that_applies_to_no_answer(function):
    rows = [row("abc", value=None)] * 2
    with pytest.raises(InputError, match="gave None for every answer"):
        rewarded([function("says")], [1.0], rows)


def test_too_few_rewards_are_a_failure_of_the_batch(function):
    """One by one it gives one each, as would one that gives the mean of a batch."""
    with pytest.raises(InputError, match="gave 1 rewards for 5 answers"):
        rewarded([function("short")], [1.0], ROWS)
    found = rewarded([function("short"), function("length")], [1.0, 1.0], ROWS, few=True)
    assert found.rewards == [None] * 5 and found.counts["failed:short"] == 5


@pytest.mark.parametrize(
    "name, kind", [("nothing", "NoneType"), ("one", "float"), ("by_id", "dict")]
)
def test_what_is_no_list_is_a_failure_of_the_batch(function, name, kind):
    with pytest.raises(InputError, match=rf"\(gave {kind}, which is no list of rewards\); correct"):
        rewarded([function(name)], [1.0], ROWS)


def test_ending_the_process_costs_that_row_alone(function):
    found = rewarded([function("leaves")], [1.0], ROWS)
    assert found.counts["failed:leaves"] == 1 and found.rewards.count(None) == 1
    assert found.counts["why:leaves"] == "SystemExit: 3"


def test_async_functions(function):
    assert rewarded([function("later")], [1.0], ROWS).rewards == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_what_a_function_sees(function):
    """Message lists of its own; a column with a default only where any prompt has it."""
    rows = [row("x"), row("y", style="plain")]
    assert rewarded([function("sees")], [1.0], rows).rewards == [1.0, 1.0]
    present = frozenset({"style"})
    assert rewarded([function("sees")], [1.0], rows, present).rewards == [2.0, 3.0]
    assert rows[0].messages == [{"role": "user", "content": "Q"}]


def test_shipped_ones_by_name():
    band = Shipped(path="length-band", digest="length-band 1", field="teacher.model")
    exact = Shipped(path="exact-answer", digest="exact-answer 1", field="teacher.model")
    rows = [row("word " * 10, answer="4"), row("It is 4. " * 10, answer="#### 4")]
    assert rewarded([band, exact], [1.0, 2.0], rows).rewards == [0.5, 3.0]


def test_two_functions_of_one_name_are_told_apart(function, tmp_path):
    other = tmp_path / "other_functions.py"
    other.write_text("def length(prompts, completions):\n    return [0.0 for c in completions]\n")
    two = Code(path=str(other), digest="", field="teacher.model.1", name="length")
    found = rewarded([function("length"), two], [1.0, 1.0], ROWS)
    assert found.counts["total:length 1"] == 15 and found.counts["total:length 2"] == 0


VALUES = st.lists(st.one_of(st.none(), st.just(nan), st.floats(-1e6, 1e6)), min_size=1)


@given(VALUES, st.integers(1, 7))
def test_rewards_do_not_depend_on_the_batches(function, values, size):
    rows = [row("x" * place, value=value) for place, value in enumerate(values)]
    both = [function("says"), function("odd")]
    whole = rewarded(both, [0.5, 1.0], rows, few=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reward_functions, "BATCH", size)
        parts = rewarded(both, [0.5, 1.0], rows, few=True)
    assert whole == parts
    for name in ("says", "odd"):
        counts = [whole.counts[f"{what}:{name}"] for what in ("failed", "without", "judged")]
        assert sum(counts) == len(rows)


def test_a_file_that_cannot_be_imported_is_no_failure_of_a_row(tmp_path):
    path = Path(tmp_path / "broken_functions.py")
    path.write_text("import nothing_of_that_name\ndef f(prompts, completions): ...\n")
    code = Code(path=str(path), digest="", field="teacher.model", name="f")
    with pytest.raises(InputError, match=r"teacher.model: .* cannot be imported"):
        rewarded([code], [1.0], ROWS)
