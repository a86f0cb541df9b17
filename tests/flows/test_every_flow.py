"""Every flow of the table, on tiny models: its summary, report, status, explain, rerun and bench.

A flow that is added to the table needs a tiny recipe here; the first test says so.
"""

import json
import re
from math import isfinite
from pathlib import Path

import pytest
import yaml

from cli.main import main
from data.activity_schemas import ACTIVITY_TABLES
from data.schemas import TABLES
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import StageRecord, Summary, addresses, read_summary
from flows.planning.plan import planned
from flows.preflight.fitting import fitted
from flows.recipe_files import load_recipe
from flows.table import FLOWS
from reports.text import result_line, score, written
from tests.fixtures.compounds import CHEM
from tests.fixtures.encoders import INSTALLED
from tests.fixtures.images import PILLOW
from tests.fixtures.runs import alone, linked
from tests.flows.tiny_recipes import TINY

pytestmark = pytest.mark.usefixtures("prefect")

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def test_every_flow_has_a_tiny_recipe():
    absent = set() if INSTALLED else {"leaf"}  # extras, which CI has
    absent |= set() if CHEM else {"aurobind"}
    absent |= set() if PILLOW else {"vl2v"}
    missing, gone = sorted(FLOWS.keys() - TINY.keys() - absent), sorted(TINY.keys() - FLOWS.keys())
    assert not missing, (
        f"{missing} of flows/table.py: add to tests/flows/tiny_recipes.py a recipe that runs in "
        "seconds on the tiny models, and a stage of its first round to make again"
    )
    assert not gone, f"{gone} are in no table of flows any more: remove them from TINY"


def name_of(flow: str) -> str:
    """As `tsalign bench --name every` names the run of a flow."""
    return f"every-{flow}-s0"


def places(folder: Path) -> list[str]:
    return ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]


def align(flow: str, folder: Path, *more: str) -> int:
    changes = ("--set", "seed=0", "--run", name_of(flow))
    return main(["align", str(folder / f"{flow}.yaml"), *changes, *places(folder), *more])


def summary_of(flow: str, folder: Path) -> Summary:
    return read_summary(folder / "runs" / name_of(flow) / "summary.json")


@pytest.fixture(scope="module")
def every(prefect, once, finished_run, tiny_recipe):
    """A folder with a finished run of every flow, beside the finished run that all tests share."""

    def make(folder: Path) -> None:
        linked(finished_run, folder)
        for flow, tiny in TINY.items():
            values = tiny.recipe(tiny_recipe, folder) | {"run": flow}
            (folder / f"{flow}.yaml").write_text(yaml.safe_dump(values))
            assert align(flow, folder, "--quiet") == 0

    return once("every-flow", make)


@pytest.fixture(scope="module")
def afterwards(every):
    """All flows have run with Prefect; from here on commands go on without it."""
    with alone():
        yield


@pytest.fixture
def copy(afterwards, every, tmp_path):
    """This test's copy of all the runs."""
    for flow in TINY:
        (tmp_path / f"{flow}.yaml").write_bytes((every / f"{flow}.yaml").read_bytes())
    return linked(every, tmp_path)


@pytest.fixture(params=TINY)
def flow(request):
    return request.param


def test_the_summary_holds_a_headline_and_measures(every, flow):
    summary = summary_of(flow, every)
    assert summary.recipe == flow and summary.finished and summary.stopped is None
    assert summary.headline in summary.measures
    values = [m.value for m in summary.measures.values()]
    assert values and all(map(isfinite, values))
    for measure in summary.measures.values():
        if measure.rounds and measure.adds_up:
            assert measure.value == sum(one.value for one in measure.rounds)
    assert summary.links and summary.report and summary.sections
    store = Store(str(every / "store"))
    for record in summary.stages():
        assert record.name and store.verify(artifact(record)) is None


def artifact(record: StageRecord) -> Artifact:
    return Artifact(kind=record.kind, key=record.key, digest=record.artifact)


def test_the_report_draws_every_section(every, flow):
    summary = summary_of(flow, every)
    page = (every / "runs" / name_of(flow) / "report.html").read_text()
    for section in summary.sections:
        assert section.title in page and (section.box or f'id="{section.name}"' in page)


def test_status_shows_the_result_and_lists_the_run(every, flow, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    where = ["--runs-dir", str(every / "runs")]
    assert main(["status", name_of(flow), *where]) == 0
    said = result_line(summary_of(flow, every)).split()
    assert " ".join(said) in " ".join(capsys.readouterr().out.split())
    assert main(["status", *where]) == 0
    (line,) = (row for row in capsys.readouterr().out.splitlines() if name_of(flow) in row)
    assert line.split()[-1] == "finished"


def test_again_there_is_nothing_to_do(every, flow, capsys):
    assert align(flow, every) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert all(record.cached for record in summary_of(flow, every).stages())


def test_every_call_is_explained_by_its_address(every, flow, capsys):
    assert main(["explain", name_of(flow), *places(every)]) == 0
    records = list(summary_of(flow, every).stages())
    said = capsys.readouterr().out
    assert said.startswith(f"{name_of(flow)}: {len(records)} stages")
    assert all(record.stage in said for record in records)
    chosen = addresses(one for one in records if one.round)[-1]
    assert main(["explain", name_of(flow), "--stage", chosen, *places(every)]) == 0
    assert main(["explain", name_of(flow), "--stage", "no such", *places(every)]) == 2


def test_a_plan_walks_the_flow(every, flow, tmp_path):
    """Before a run it names all stages; after it, all are found."""
    recipe = fitted(load_recipe(str(every / f"{flow}.yaml"), ["seed=0"], run=name_of(flow)))
    made = [record.stage for record in summary_of(flow, every).stages()]
    known = recipe.counted_prompts().rows
    for folder, states in ((tmp_path, {"compute", "again"}), (every, {"found"})):
        plan = planned(recipe, str(folder / "store"), folder / "runs" / name_of(flow), known)
        assert plan.ends is None and [step.title for step in plan.steps] == made
        assert {step.state for step in plan.steps} <= states
        for step in plan.steps:  # what a training reads, if one is left
            assert not step.makes or step.pairs or step.answers or step.stage == "fresh_head"


def test_check_says_that_nothing_is_left(every, flow, capsys):
    changes = ["--set", "seed=0", "--run", name_of(flow)]
    assert main(["check", str(every / f"{flow}.yaml"), *changes, *places(every)]) == 0
    assert "Every stage is found" in capsys.readouterr().out


def test_a_stage_is_made_again_with_what_follows_and_nothing_else(copy, flow):
    before, again = summary_of(flow, copy), TINY[flow].again
    store = Store(str(copy / "store"))
    made: set[str] = set()
    for record in before.stages():
        read = set(DIGEST.findall(json.dumps(store.record(artifact(record)).key)))
        chosen = record.round == 1 and record.is_meant(again)
        if chosen or made & read:
            made.add(record.artifact)
    assert made, f"{again} is no stage of the first round"
    options = ["--round", "1", "--stage", again, "--quiet"]
    assert main(["rerun", name_of(flow), *options, *places(copy)]) == 0
    after = summary_of(flow, copy)
    computed = {record.artifact for record in after.stages() if not record.cached}
    assert computed == made
    assert after.measures == before.measures and after.links == before.links


def test_a_stage_that_the_flow_does_not_have_is_refused(every, flow, capsys):
    options = ["--round", "1", "--stage", "no such", *places(every)]
    assert main(["rerun", name_of(flow), *options]) == 2
    assert "has no stage 'no such'" in capsys.readouterr().err


def test_what_the_flow_has_trained_is_exported(every, flow, tmp_path, capsys):
    summary, to = summary_of(flow, every), tmp_path / "exported"
    trained = [name for name in ("policy", "student") if name in summary.links]
    code = main(["export", name_of(flow), "--to", str(to), *places(every)])
    assert code == (0 if trained else 2) and to.exists() == bool(trained)
    if trained:
        said = " ".join(capsys.readouterr().out.split())
        assert said.startswith("Exported") and f" {trained[0]} " in said.partition(" of ")[0] + " "
        result = summary.measures[summary.headline]
        forms = written(result.value, result.unit), score(result.value, 3)
        assert any(form in (to / "README.md").read_text() for form in forms)


def test_the_bench_compares_whatever_has_a_win_rate(copy, monkeypatch):
    """Of runs that are there: nothing is started. Each group has a judge of its own."""
    monkeypatch.setattr("bench.pool.Child", None)
    flows = [name for name in TINY if "win_rate" in summary_of(name, copy).measures]
    apart = ["opd", "adpa"]
    alike = [name for name in flows if name not in apart]
    assert {"ts-align", "optune", "tso", "best-of-n"} <= set(alike)
    for group in (alike, *([name] for name in apart)):
        variants = [f"{name}={copy / name}.yaml" for name in group]
        options = ["--seeds", "0,", "--name", "every", "--quiet", *places(copy)]
        assert main(["bench", *variants, *options]) == 0
        found = json.loads((copy / "runs" / "every" / "bench.json").read_text())
        assert [one["label"] for one in found["recipes"]] == group and not found["failures"]
        assert all(one["difference"] for one in found["recipes"][1:])


def test_every_kind_of_table_is_made_by_some_flow(every):
    """A schema that no flow writes is dead."""
    made = {record.kind for name in TINY for record in summary_of(name, every).stages()}
    elsewhere = {"judgments", "judged_pairs", "picks"}  # of logged files: test_logged_run.py
    elsewhere |= {"answer_pairs", "verdicts"}  # test_speaking_judges.py
    elsewhere |= {"prompt_columns"}  # test_reward_functions.py
    elsewhere |= {"followed"}  # test_instructions_run.py
    if not PILLOW:
        elsewhere |= {"image_prompts", "image_vectors", "recognised"}
    if not INSTALLED:
        elsewhere |= {"texts", "vectors", "relevance", "retrieved", "text_pairs"}
    if not CHEM:
        elsewhere |= ACTIVITY_TABLES.keys()
    assert TABLES.keys() - made <= elsewhere
