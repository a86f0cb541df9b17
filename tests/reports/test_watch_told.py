"""The monitor in words and figures, from made-up rounds."""

from data.ledger import Ledger
from data.monitor import Rated, Signal, Watch
from data.summary import Round, StudentSummary
from flows.loop.rules import warnings
from flows.loop.watch_told import found, section, sentences


def entry(number, *, alarm=False, returned_to=None):
    training = [
        Signal(name="likelihood", value=30.0 + (9 * (step > 8) if alarm else 0), step=step,
               limit=33.0 if step > 4 else None, off=alarm and step > 8, law=step > 4)
        for step in (1, 2, 4, 8, 16, 32)
    ]  # fmt: skip
    raters = {"teacher": Rated(win_rate=0.7, error=0.01, n=200)}
    raters |= {"student": Rated(win_rate=0.6, error=0.02, n=200)}
    signals = [training[-1], Signal(name="teacher", value=0.3, limit=0.52, error=0.03)]
    return Round(
        round=number, ledger=Ledger(), teacher_calls=0, swap_rate=0.0, student=StudentSummary(),
        adopted=not alarm,
        watch=Watch(round=number, steps=32 * number, raters=raters, training=training,
                    signals=signals, alarm=alarm, returned_to=returned_to),
    )  # fmt: skip


def test_the_alarm_is_the_first_warning_and_says_what_and_where():
    (warned,) = warnings({}, [entry(1), entry(2, alarm=True)])
    assert (warned.rule, warned.section, warned.rounds) == ("alarm", "monitor", [2])
    assert warned.found == (
        "Round 2 (not adopted): the chosen answers became less likely in training than its early "
        "steps promised (39.0 at step 32, limit 33.0)."
    )


def test_an_end_says_where_the_run_went_back_to():
    assert found(entry(2, alarm=True, returned_to=1)).endswith("went back to round 1")
    assert found(entry(2, alarm=True, returned_to=0)).endswith("went back to the base policy")
    assert found(entry(1)) == ""


def test_the_section_draws_the_training_that_raised_the_alarm_and_both_raters():
    told = section([entry(1), entry(2, alarm=True), entry(3)])
    table, training, raters = told.blocks
    assert [row.cells[0] for row in table.rows] == ["1", "1", "2", "2", "3", "3"]
    assert [row.cells[-1] for row in table.rows] == ["", "", "off", "", "", ""]
    assert training.title == "Likelihood of the chosen answers, round 2"
    measured, most = training.series
    assert [point.hollow for point in measured.points] == [False] * 4 + [True] * 2
    assert [point.x for point in most.points] == [3, 4, 5]
    assert raters.labels == ["base", "1", "2", "3"]
    assert [point.value for point in raters.series[1].points] == [0.5, 0.6, 0.6, 0.6]


def test_without_an_alarm_the_last_training_is_drawn():
    assert section([entry(1), entry(2)]).blocks[1].title.endswith("round 2")


def test_rounds_that_nobody_watched_have_no_section_and_no_line():
    unwatched = entry(1).model_copy(update={"watch": None})
    assert section([unwatched]) is None and sentences([unwatched]) == []


def test_a_line_for_the_terminal():
    assert sentences([entry(1), entry(2)]) == ["Monitor: no alarm in 2 rounds."]
    said = sentences([entry(1), entry(2, alarm=True)])
    assert said == ["Monitor: alarm in round 2; see the warning."]
