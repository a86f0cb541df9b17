"""The monitor in a run: what it leaves in summary and report, and what an alarm ends."""

import pytest

from cli.main import main
from data.monitor import Rated
from data.summary import read_summary
from flows.loop import watching
from flows.table import recipe_from

pytestmark = pytest.mark.usefixtures("without_prefect")


def summary_of(folder, run="tiny"):
    return read_summary(folder / "runs" / run / "summary.json")


def test_every_round_is_watched_and_nothing_it_asks_is_of_the_method(tiny_run):
    for entry in summary_of(tiny_run).rounds:
        assert entry.watch is not None and entry.watch.round == entry.round
        assert set(entry.watch.raters) >= {"teacher", "student"}
        assert entry.watch.margin is not None and entry.watch.training
        calls = [record for record in entry.stages if record.name == "watch"]
        calls += [record for record in entry.stages if record.role.startswith("watch ")]
        assert len(calls) == 3 and all(record.measures for record in calls)


def test_steps_are_counted_from_the_base(tiny_run):
    first, second = (entry.watch for entry in summary_of(tiny_run).rounds)
    assert first is not None and second is not None and 0 < first.steps < second.steps


def test_report_and_status_tell_of_it(tiny_run, capsys):
    summary = summary_of(tiny_run)
    section = next(one for one in summary.sections if one.name == "monitor")
    assert [block.kind for block in section.blocks] == ["table", "chart", "chart"]
    assert 'id="monitor"' in (tiny_run / "runs" / "tiny" / "report.html").read_text()
    main(["status", "tiny", "--runs-dir", str(tiny_run / "runs")])
    assert "Monitor: " in capsys.readouterr().out


@pytest.fixture
def alarmed(monkeypatch):
    """Round 2 raises the alarm, and the teacher is as sure of the first round as is said."""

    def patch(of_round_1):
        measured = watching.watched

        def watched(number, *args, **kwargs):
            rated = {"teacher": Rated(win_rate=of_round_1, error=0.01, n=6)}
            found = measured(number, *args, **kwargs)
            return found.model_copy(update={"alarm": number == 2, "raters": rated})

        monkeypatch.setattr(watching, "watched", watched)

    return patch


@pytest.mark.parametrize(("of_round_1", "best"), [(0.9, 1), (0.5, 0)])
def test_an_alarm_ends_the_run_with_the_best_policy_before_it(
    alarmed, tiny_copy, tiny_recipe, write_recipe, of_round_1, best, capsys
):
    alarmed(of_round_1)
    recipe = str(write_recipe(tiny_recipe | {"rounds": 3, "stop_when": "alarm", "run": "ended"}))
    where = ["--store", str(tiny_copy / "store"), "--runs-dir", str(tiny_copy / "runs")]
    assert main(["align", recipe, "--quiet", *where]) == 0
    summary = summary_of(tiny_copy, "ended")
    assert summary.finished and [entry.round for entry in summary.rounds] == [1, 2]
    assert [entry.adopted for entry in summary.rounds] == [best == 1, False]
    assert summary.rounds[1].watch.returned_to == best
    assert (summary.final.round if summary.final else 0) == best
    assert summary.warnings[0].rule == "alarm"
    back = "round 1" if best else "the base policy"
    assert f"the run ended here and went back to {back}" in summary.warnings[0].found
    policy = (tiny_copy / "runs" / "ended" / "policy").resolve()
    made = [record for record in summary.rounds[0].stages if record.name == "optimize"]
    assert (made[0].key.removeprefix("sha256:") in str(policy)) == (best == 1)
    assert main(["verify", *where]) == 0
    assert main(["align", recipe, *where]) == 0
    assert "nothing to do" in capsys.readouterr().out.lower()


def test_an_alarm_alone_ends_nothing(alarmed, tiny_copy, tiny_recipe, write_recipe):
    alarmed(0.9)
    recipe = str(write_recipe(tiny_recipe | {"run": "warned"}))
    where = ["--store", str(tiny_copy / "store"), "--runs-dir", str(tiny_copy / "runs")]
    assert main(["align", recipe, "--quiet", *where]) == 0
    summary = summary_of(tiny_copy, "warned")
    assert summary.rounds[1].adopted and summary.rounds[1].watch.returned_to is None
    assert summary.warnings[0].rule == "alarm" and summary.final.round == 2


def test_an_alarm_needs_a_monitor(tiny_recipe):
    values = tiny_recipe | {"stop_when": "alarm", "monitor": {"enabled": False}}
    with pytest.raises(ValueError, match=r"stop_when: 'alarm' needs the monitor"):
        recipe_from(values)


def test_nobody_watches_where_the_recipe_says_so(tiny_copy, tiny_recipe, write_recipe):
    values = tiny_recipe | {"monitor": {"enabled": False}, "run": "unwatched"}
    where = ["--store", str(tiny_copy / "store"), "--runs-dir", str(tiny_copy / "runs")]
    assert main(["align", str(write_recipe(values)), "--quiet", *where]) == 0
    summary = summary_of(tiny_copy, "unwatched")
    assert all(entry.watch is None for entry in summary.rounds)
    assert not any(one.name == "monitor" for one in summary.sections)
