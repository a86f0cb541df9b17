"""The report's section on what a language model said: each verdict's cost is counted once."""

from data.sections import Table
from data.summary import StageRecord
from flows.loop.verdict_figures import section


def call(number, role, key, **counts):
    numbers = {"pairs": 8, "judged": 7, "unparsable": 1, "judge_calls": 16} | counts
    return StageRecord(
        stage=f"judge compares ({role})", name="ask", role=role, round=number, kind="verdicts",
        key=key, artifact=key, cached=False, seconds=1.0, computed_seconds=1.0, counts=numbers,
    )  # fmt: skip


def test_calls_that_were_found_again_cost_once_and_sides_are_told_apart():
    records = [
        call(1, "dev", "a"),
        call(1, "label", "b", left_addressing=3, right_addressing=1),
        call(2, "dev", "a"),
        call(2, "test by x", "c"),
    ]
    found = section(records)
    assert found is not None
    (table,) = found.blocks
    assert isinstance(table, Table)
    cells = [[getattr(cell, "value", cell) for cell in row.cells] for row in table.rows]
    assert [row[:2] for row in cells] == [
        ["1", "pairs of dev answers"],
        ["1", "pairs to learn from"],
        ["2", "policy against base"],
        ["", "in all"],
    ]
    assert "student's best 3, its worst 1" in cells[1]
    assert cells[-1][2:] == [24, 21, 0, 0, 3, 0, 0, "4", 48, 0, 0]


def test_calls_without_a_count_of_tokens_are_said():
    """The sums are not the whole cost then."""
    told, other = (
        section([call(1, "dev", "a", judge_uncounted_calls=3)]),
        section([call(1, "dev", "a")]),
    )
    assert told is not None and "Of 3 calls the server has not said the tokens" in told.hint
    assert other is not None and "has not said" not in other.hint


def test_without_a_language_model_there_is_no_section():
    assert section([]) is None
