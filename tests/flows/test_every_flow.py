"""Every flow of the table, on tiny models: its summary, report, status, explain, rerun and bench.

A flow that is added to the table needs a tiny recipe here; the first test says so.
"""

import json
import re
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from cli.main import main
from data.schemas import TABLES
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import StageRecord, Summary, addresses, read_summary
from flows.planning.plan import planned
from flows.preflight.fitting import fitted
from flows.recipe_files import load_recipe
from flows.table import FLOWS
from reports.text import result_line, score, written
from tests.fixtures.encoders import INSTALLED, save_encoder_teacher, save_texts, sections_over
from tests.fixtures.images import PILLOW, SMALL, images_of, save_clip, save_shapes
from tests.fixtures.models import chatml_tokenizer, save_policy
from tests.fixtures.runs import linked
from tests.flows.test_methods import OPTUNE

pytestmark = pytest.mark.usefixtures("prefect")

Values = dict[str, Any]
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Tiny(NamedTuple):
    """A recipe that runs in seconds, and a stage of its first round that is made again."""

    recipe: Callable[[Values, Path], Values]  # of the tiny recipe, and a folder for files
    again: str


def changed(changes: Values) -> Callable[[Values, Path], Values]:
    """The tiny recipe in one round, with other values in its sections; None removes one."""

    def recipe(tiny: Values, folder: Path) -> Values:
        values = tiny | {"rounds": 1}
        for name, value in changes.items():
            old = values.get(name)
            values[name] = old | value if isinstance(old, dict) and value else value
        return {name: value for name, value in values.items() if value is not None}

    return recipe


def best_of_n(tiny: Values, folder: Path) -> Values:
    wanted = {name: tiny[name] for name in ("prompts", "teacher", "generate", "gate")}
    policy = {k: v for k, v in tiny["policy"].items() if k not in ("sft_weight", "replay")}
    own = {"policy": policy, "pick": {"drop_truncated": False}, "rounds": 2}
    return wanted | {"recipe": "best-of-n"} | own


def opd(tiny: Values, folder: Path) -> Values:
    """A teacher of the policy's vocabulary, with other weights."""
    teacher = save_policy(chatml_tokenizer(), folder / "teacher", seed=1)
    policy = {k: v for k, v in tiny["policy"].items() if k not in ("sft_weight", "replay")}
    generate = tiny["generate"] | {"k": 1}
    own = {"policy": policy, "teacher": {"model": str(teacher)}, "generate": generate, "rounds": 2}
    return {"recipe": "opd", "prompts": tiny["prompts"]} | own | {"targets": {"k": 10}}


def adpa(tiny: Values, folder: Path) -> Values:
    """Pairs of a file, and a teacher of the student's vocabulary with other weights."""
    pairs = [
        {"prompt": f"How many is {i}?", "chosen": f"{i} yes.", "rejected": "I cannot say."}
        for i in range(12)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    reference = str(save_policy(chatml_tokenizer(), folder / "reference", seed=2))
    policy = {k: v for k, v in tiny["policy"].items() if k not in ("sft_weight", "replay")}
    trained = {k: v for k, v in policy.items() if k != "model"}
    own = {"policy": policy, "teacher": {"model": reference} | trained, "targets": {"k": 10}}
    own |= {"preferences": str(folder / "pairs.jsonl"), "generate": tiny["generate"] | {"k": 1}}
    return {"recipe": "adpa", "prompts": tiny["prompts"]} | own


def ddk(tiny: Values, folder: Path) -> Values:
    """Texts of three domains of different sizes, so that the smallest is drawn more than once."""
    teacher = save_policy(chatml_tokenizer(), folder / "ahead", seed=1)
    rows = [
        {"prompt": f"What is {i} {name} {i % 7}?", "completion": f"{name} {i}", "dataset": name}
        for name, number in (("plus", 20), ("minus", 12), ("times", 8))
        for i in range(number)
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    policy = {k: v for k, v in tiny["policy"].items() if k not in ("sft_weight", "replay")}
    texts = {"path": str(folder / "texts.jsonl"), "dev_size": 3, "test_size": 3, "noise": True}
    own = {"policy": policy, "teacher": {"model": str(teacher)}, "texts": texts, "rounds": 2}
    warm_up = {"datasets": ["plus"], "texts": 8}
    return {"recipe": "ddk", "steps": 2, "warm_up": warm_up, "targets": {"k": 10}} | own


def hacking(tiny: Values, folder: Path) -> Values:
    """Oracle, teacher and policy of one vocabulary; the teacher's answers, fixed."""
    shared = opd(tiny, folder)
    oracle = {"model": str(save_policy(chatml_tokenizer(), folder / "oracle", seed=2))}
    learns = {"method": "full", "learning_rate": 1e-3, "batch_size": 8}
    own = {
        "oracle": oracle | {"prompts": 12},
        "start": learns,
        "teacher": shared["teacher"] | learns,
    }
    return shared | {"recipe": "hacking"} | own


def tso(tiny: Values, folder: Path) -> Values:
    """Pairs of the policy's answers and of what people wrote."""
    people = [
        {"instruction": f"What is {i} plus {i % 7}?", "output": str(i + i % 7), "generator": "us"}
        for i in range(60)
    ]
    (folder / "people.json").write_text(json.dumps(people))
    cells = [
        {"name": "newest", "model": "policy"},
        {"name": "people", "path": str(folder / "people.json"), "human": True},
    ]
    method = {"recipe": "tso", "labels": "matrix", "matrix": {"cells": cells}, "mine": None}
    loss = {"losses": {"dual_clip": 1.0}, "replay": "none"}
    return changed(method | {"student": None, "policy": loss})(tiny, folder) | {
        "student": {"model": "none"},
        "mine": {"drop_truncated": False},
    }


def logged(tiny: Values, folder: Path) -> Values:
    """Every prompt's answers, judged by how many times they say yes."""
    rows = [
        {
            "prompt": f"Shall we try number {p}?",
            "completion": " ".join(["yes"] * s + ["no"] * (3 - s)) + ".",
            "sample": s,
            "reward": s / 3,
        }
        for p in range(16)
        for s in range(4)
    ]
    (folder / "logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    logs = {"completions": str(folder / "logs.jsonl"), "held_out": 0.5}
    return {"recipe": "logged", "logged": logs, "student": tiny["student"]}


def matrix(tiny: Values, folder: Path) -> Values:
    """Recorded answers of an older and a newer model."""
    cells = []
    for version, name in enumerate(("old", "new")):
        rows = [
            {"instruction": f"Why {p}?", "output": f"{name} says {p}.", "generator": name}
            for p in range(6)
        ]
        (folder / f"{name}.json").write_text(json.dumps(rows))
        cells.append({"name": name, "version": version, "path": str(folder / f"{name}.json")})
    return {"recipe": "matrix", "matrix": {"cells": cells}, "teacher": tiny["teacher"]}


def leaf(tiny: Values, folder: Path) -> Values:
    """Two layers of a random teacher, over texts of made-up topics."""
    folder = folder / "texts"  # others have a teacher in theirs
    folder.mkdir()
    save_encoder_teacher(folder)
    save_texts(folder)
    backbone = {"kind": "layers", "layers": [0, 3]}
    student = {"backbone": backbone, "epochs": 1, "batch_size": 8, "max_length": 64}
    return {
        "recipe": "leaf",
        "teacher": {"model": str(folder / "teacher")},
        "student": student,
        "runtime": {"shard_prompts": 100},
    } | sections_over(folder)


def vl2v(tiny: Values, folder: Path) -> Values:
    """Two styles of drawn shapes that are left out in turn, and a random CLIP."""
    folder = folder / "shapes"
    (folder / "clip").mkdir(parents=True)
    save_shapes(folder, each=6, of_teacher=1)
    return {
        "recipe": "vl2v",
        "images": images_of(folder, "benchmark"),
        "targets": ["night", "outline"],
        "teacher": {"kind": "folder", "model": str(save_clip(folder / "clip"))},
        "student": SMALL,
        "runtime": {"shard_prompts": 30},
    }


TINY = {
    "ts-align": Tiny(changed({}), "optimize"),
    "optune": Tiny(changed(OPTUNE | {"rounds": 1}), "reference"),
    "tso": Tiny(tso, "gate"),
    "best-of-n": Tiny(best_of_n, "fine_tune"),
    "opd": Tiny(opd, "targets"),
    "adpa": Tiny(adpa, "targets:reference"),
    "ddk": Tiny(ddk, "mixture"),
    "hacking": Tiny(hacking, "targets"),
    "logged": Tiny(logged, "distill"),
    "matrix": Tiny(matrix, "correct"),
}
if PILLOW:
    TINY["vl2v"] = Tiny(vl2v, "learn_vectors:distil")
if INSTALLED:
    TINY["leaf"] = Tiny(leaf, "regress")


def test_every_flow_has_a_tiny_recipe():
    absent = set() if INSTALLED else {"leaf"}  # extras, which CI has
    absent |= set() if PILLOW else {"vl2v"}
    missing, gone = sorted(FLOWS.keys() - TINY.keys() - absent), sorted(TINY.keys() - FLOWS.keys())
    assert not missing, (
        f"{missing} of flows/table.py: add to TINY in {__file__} a recipe that runs in seconds on "
        "the tiny models, and a stage of its first round to make again"
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


@pytest.fixture
def copy(every, tmp_path):
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
    assert TABLES.keys() - made <= elsewhere
