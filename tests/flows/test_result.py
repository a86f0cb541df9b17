"""A flow that nobody has written: its measures and sections are drawn wherever results are."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from bench.collect import collect
from bench.jobs import Job, Places
from bench.report import bench_html, bench_markdown, bench_table
from bench.variants import Variant
from cli.explain import staged
from cli.main import main
from cli.runs import as_dict
from cli.use.policies_of import policy_of
from data.errors import InputError
from data.measures import Fact, Measure, Reference, RoundValue, Value, Verdict, Warned
from data.schemas import EVALUATION
from data.sections import (
    Answers,
    Cell,
    Chart,
    Column,
    Counts,
    Level,
    Part,
    Point,
    Row,
    Section,
    Series,
    Table,
    Text,
)
from data.store.artifacts import Artifact
from data.store.inventory import Runs
from data.store.store import Store
from data.summary import StageRecord, Summary, read_summary, write_summary
from flows.derived import contradictions
from flows.earlier import whole
from flows.recipe_files import load_recipe
from flows.result import Result
from flows.tracking import in_round, numbers
from reports.compare import comparison_text
from reports.index import index_html
from reports.prefect_ui import table_rows
from reports.report import report_text
from reports.status import format_status
from tests.reports import report_examples as examples
from tests.reports.test_report import Page, ours
from tests.repository import ROOT

EVIL = "<script>alert(1)</script>"


def sections(evaluation):
    """One of every kind."""
    answers = Answers(evaluation=evaluation, names=("before", "after"))
    table = Table(
        columns=[
            Column(title="language"),
            Column(title="recall", unit="share", bar=True),
            Column(title="seen", unit="count"),
        ],
        rows=[
            Row(cells=["Danish", Cell(value=0.81, ci95=(0.7, 0.9)), 1200]),
            Row(cells=["all", Cell(value=0.4, note="few", low=True), None], total=True),
        ],
    )
    series = [Series(name="error, step", points=[Point(x=0, value=2.0), Point(x=1, value=1.5)])]
    line = Chart(title="Error", series=series, labels=["1", "2"], axis="step", keys={"e": "first"})
    counts = Counts(
        title="Kept",
        levels=[
            Level(title="read", total=10, parts=[Part(name="kept", n=7), Part(name="odd", n=3)])
        ],
        text="Three were odd.",
        problem="One is missing.",
    )
    return [
        Section(name="note", title="Mind this", blocks=[Text(paragraphs=["A box."])], box=True),
        Section(name="languages", title="By language", hint="How to read it.", blocks=[table]),
        Section(name="error", title="The error", blocks=[line, line.model_copy()]),
        Section(name="bars", title="As bars", blocks=[line.model_copy(update={"style": "bars"})]),
        Section(name="kept", title="What was kept", blocks=[counts]),
        Section(name="read", title="Read them", blocks=[answers]),
        Section(name="said", title="In words", blocks=[Text(paragraphs=[EVIL, "Two."])]),
    ]


def invented(recall=0.71, rounds=(), evaluation=None):
    """What such a flow would return: recall as its headline, and a cost."""
    curve = [RoundValue(round=n, value=value) for n, value in enumerate(rounds)]
    return Result(
        headline="recall",
        measures={
            "recall": Measure(
                value=recall,
                ci95=(recall - 0.03, recall + 0.03),
                n=700,
                unit="share",
                better="higher",
                even=0.5,
                rounds=curve,
                parts={"Danish": Value(value=0.81, ci95=(0.7, 0.9), n=350)},
            ),
            "error": Measure(value=2.5, unit="metres", better="lower"),
            "prompts": Measure(value=1000, unit="count", adds_up=True),
            "tokens": Measure(value=5000, unit="count", adds_up=True, group="cost", about="Few."),
        },
        sections=sections(evaluation) if evaluation else (),
    )


def summary_of(result, name="new", finished="2026-11-21T05:10:12+00:00"):
    record = StageRecord.model_validate(examples.stage("embed", "table", 3.0, 9))
    summary = Summary(
        run=name,
        recipe="invented",
        seed=0,
        config_digest="sha256:1",
        run_digest="sha256:2",
        versions={},
        config={"recipe": "invented", "run": name},
        finished=finished,
        bootstrap=[record],
    )
    result.into(summary)
    return summary


@pytest.fixture
def stored(tmp_path):
    """A store with answers, and the summary of the flow that gave every kind of section."""
    store, known = Store(tmp_path / "store"), examples.aligned()
    examples.store_answers(store, known, examples.samples())
    record = known.rounds[2].stages[0]
    made = Reference(kind=record.kind, key=record.key, artifact=record.artifact)
    summary = summary_of(invented(evaluation=made))
    summary.bootstrap += known.bootstrap
    assert store.table(store.record(_artifact(record)).artifact).schema == EVALUATION
    return store, summary


def _artifact(record):
    return Artifact(kind=record.kind, key=record.key, digest=record.artifact)


def text(renderable):
    console = Console(width=120, file=StringIO())
    console.print(renderable)
    return console.file.getvalue().replace("\u202f", " ")


def test_its_summary_is_written_and_read(tmp_path, stored):
    write_summary(tmp_path / "summary.json", stored[1])
    assert read_summary(tmp_path / "summary.json") == stored[1]


def test_its_report_has_every_section_and_words_of_its_measures(stored):
    store, summary = stored
    shown = Page(report_text(summary, store))
    assert ours(shown) and shown.text.count(EVIL) == 1
    for said in (
        "Better", "71.0 % recall (95 % interval 68.0 to 74.0 %)",
        "Recall: 71.0 % (68.0 to 74.0 %), n = 700. No change would be 50.0 %",
        "Mind this A box.", "How to read it.", "Danish 81.0 % 70.0 to 90.0 %", "1,200",
        "40.0 % few", "read 10 7 kept 3 odd Three were odd. One is missing.",
        "before, score 0.20 It is 17 + 5 = 21.", "Error 2.50 error, metres", "Tokens: Few.",
        "the run",
    ):  # fmt: skip
        assert said in shown.text, said
    links = {value for name, value in shown.attributes if name == "href"}
    names = {"languages", "error", "bars", "kept", "read", "said", "cost", "provenance"}
    assert links == {f"#{name}" for name in names}
    assert "student" not in shown.text and "teacher" not in shown.text
    assert shown.tags.count("svg") == 1 + 2 + 1  # the table's bar, two lines, bars
    assert not summary.checked and "What should worry me?" not in shown.text


def test_what_the_flow_says_itself_is_said_as_it_is(stored):
    store, summary = stored
    told = replace(
        invented(),
        method="a new thing",
        verdict=Verdict(title="Found again", meaning=["It means this."]),
        facts=[Fact(title="Who", value="nobody", text="asked")],
        warnings=[Warned(section="gone", rule="odd", found="It is odd.", reason="Look.")],
    )
    summary = summary_of(told)
    shown = Page(report_text(summary, store)).text
    assert "Found again" in shown and "a new thing" in shown and "nobody asked" in shown
    assert "1 thing to check." in shown and "It is odd." in shown
    assert "Found again" not in text(format_status(summary))


def test_status_index_and_prefect_draw_it(stored, tmp_path, capsys):
    _, summary = stored
    shown = text(format_status(summary))
    assert "recall" in shown and "71.0 %" in shown and "2.50" in shown
    assert "Recall: 71.0 % (68.0 to 74.0 %)" in shown
    write_summary(tmp_path / "runs" / "new" / "summary.json", summary)
    assert main(["status", "--runs-dir", str(tmp_path / "runs")]) == 0
    assert "71.0" in capsys.readouterr().out
    assert main(["status", "new", "--runs-dir", str(tmp_path / "runs")]) == 0
    assert "It is better: the whole interval lies above" in capsys.readouterr().out
    found = as_dict(tmp_path / "runs" / "new", summary)
    assert found["headline"] == "recall" and found["win_rate"] is None
    assert found["measures"]["recall"]["value"] == 0.71
    page = Page(index_html(Runs({"new": summary}, {}))).text
    assert "71.0 % 68.0 to 74.0 % Better" in page and "invented, seed 0" in page
    assert table_rows(summary)[0] == {
        "measure": "recall", "value": "71.0\u202f%", "95 % interval": "68.0 to 74.0\u202f%",
    }  # fmt: skip


def test_two_of_it_are_compared_and_one_with_another_flow(stored):
    store, summary = stored
    other = summary_of(invented(0.5, rounds=(0.4, 0.45, 0.5)), "other")
    shown = Page(comparison_text(summary, other, store)).text
    assert "recall 71.0 % 68.0 to 74.0 % 50.0 % 47.0 to 53.0 %" in shown
    assert "answer" not in shown.split("What was measured")[1].split("Counts")[0]
    assert "tokens 5,000 5,000" in shown and "Round by round" in shown
    rounds = examples.aligned()
    shown = Page(comparison_text(summary, whole(rounds), store)).text
    assert "A: 71.0 % recall" in shown and "B: 71.2 % win rate over the base" in shown


def test_trackers_draw_its_measures():
    result = invented(rounds=(0.4, 0.6))
    assert numbers(result) == {0, 1}
    assert in_round(result, 1) == {
        "recall": 0.6,
        "recall/adopted": 1.0,
        "error": 2.5,
        "prompts": 1000.0,
        "cost/tokens": 5000.0,
    }


@pytest.fixture
def arms(tmp_path):
    """A bench of recalls by label, seed by seed, on runs that are there."""

    def make(by_label, measure=None, equal="prompts"):
        places, jobs = Places(str(tmp_path / "store"), tmp_path / "runs", equal, measure), []
        recipe = load_recipe(ROOT / "recipes" / "tunnel.yaml")
        for label, results in by_label.items():
            for seed, result in enumerate(results):
                run = f"{label}-s{seed}"
                mine = recipe.model_copy(update={"run": run})
                jobs.append(Job(label, seed, mine, baseline=label == next(iter(by_label))))
                write_summary(places.folder(jobs[-1]) / "summary.json", summary_of(result, run))
        about = {"name": "b", "command": "c", "seconds": 1.0, "workers": {"workers": "1"}}
        errors = dict.fromkeys(job.run for job in jobs)
        return collect([Variant(label, "f") for label in by_label], jobs, errors, places, **about)

    return make


def test_it_is_an_arm_of_the_bench_by_its_headline(arms):
    low, high = ([invented(v + n / 100) for n in range(3)] for v in (0.6, 0.7))
    high[2] = invented(0.725)
    bench = arms({"low": low, "high": high})
    assert bench.measure == "recall" and bench.recipes[1].difference.verdict == "better"
    assert bench.recipes[1].runs[0].prompts == 1000 and bench.recipes[1].win_rate is None
    table, page = text(bench_table(bench)), Page(bench_html(bench)).text
    assert "recall" in table and "better" in table
    assert "Recall less that of low" in page and "+10.2 points" in page.replace("+10.167", "+10.2")
    assert "| recall |" in bench_markdown(bench)


def test_less_of_what_should_be_low_is_better(arms):
    def errors(*values):
        made = []
        for value in values:
            result = invented()
            measures = dict(result.measures)
            measures["error"] = measures["error"].model_copy(update={"value": value})
            made.append(replace(result, measures=measures))
        return made

    bench = arms({"base": errors(3.0, 3.1, 3.2), "x": errors(2.0, 2.1, 2.25)}, measure="error")
    found = bench.recipes[1].difference
    assert found.verdict == "better" and found.mean == pytest.approx(-0.983, abs=1e-3)
    assert "points" not in bench_markdown(bench)
    single = arms({"base": errors(3.0), "x": errors(2.0)}, measure="error").recipes[1].difference
    assert single.ci95 is None and single.verdict == "no difference shown"


def test_a_measure_or_a_cost_that_is_missing_is_one_clear_line(arms):
    with pytest.raises(InputError, match="has no measure 'speed' to compare; it has recall, error"):
        arms({"base": [invented()], "x": [invented()]}, measure="speed")
    known = dict(invented().measures)
    uncounted = replace(invented(), measures={n: x for n, x in known.items() if n != "tokens"})
    bench = arms({"base": [invented()], "x": [uncounted]}, equal="tokens")
    (failure,) = bench.failures
    assert failure.run == "x-s0" and "has no measure 'tokens' to compare" in failure.error


def test_a_section_must_not_take_the_place_of_one_that_every_report_has():
    with pytest.raises(ValueError, match="choose another"):
        Section(name="cost", title="Cost")


def test_a_measure_that_the_rounds_do_not_give_is_a_contradiction(tmp_path):
    summary, store = whole(examples.aligned()), Store(tmp_path / "store")
    assert contradictions(store, summary) == []
    summary.measures["win_rate"].value = 0.9
    summary.measures["trained"].rounds[1].value += 1
    assert contradictions(store, summary) == [
        f"summary.json: measures.{name} is not what the rounds give"
        for name in ("win_rate", "trained")
    ]
    assert contradictions(store, summary_of(invented())) == []


def put_policy(store, name):
    """A folder in the store, as a training leaves it, and the record of its call."""

    def body(out):
        (out / "weights").write_text(name)
        return {}

    made = store.put("policy", {"stage": "optimize", "name": name}, body)
    return StageRecord(
        stage="train", name="train", cached=False, seconds=1.0, computed_seconds=1.0, round=1,
        kind=made.kind, key=made.key, artifact=made.digest,
    )  # fmt: skip


def test_its_policy_is_found_and_its_stages_are_parts_of_the_run(stored):
    store, summary = stored
    first, second = put_policy(store, "one"), put_policy(store, "two")
    second.round = 2
    summary.work = [first, second]
    summary.links = {"policy": second.artifact}
    assert [number for _, number, _ in summary.parts()] == [0, 1, 2]
    assert [call.round for call, _ in staged(summary)][-2:] == [1, 2]
    assert policy_of(store, summary).artifact.digest == second.artifact
    assert policy_of(store, summary, 1).artifact.digest == first.artifact
    curve = [RoundValue(round=1, value=0.6), RoundValue(round=2, value=0.5, kept=False)]
    summary.measures["recall"].rounds = curve
    assert policy_of(store, summary).round == 1 and not policy_of(store, summary, 2).adopted
    summary.work, summary.bootstrap = [], [*summary.bootstrap, second]
    assert policy_of(store, summary).artifact.digest == second.artifact
    with pytest.raises(InputError, match="has no round 7"):
        policy_of(store, summary, 7)
