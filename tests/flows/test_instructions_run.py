"""Instructions as teacher and as judge: a tiny run on generated prompts, and what it tells."""

import json

import pytest

from cli.main import main
from data.instructed.prompts import draw
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary

pytest.importorskip("if_verifiable", reason="needs the extra `real`")


@pytest.fixture
def own(tiny_recipe, tmp_path):
    """The tiny recipe on generated prompts, trained and judged by the share followed."""
    for part, size in (("train", 40), ("dev", 6), ("test", 12)):
        rows = draw(0, part, size)
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tiny_recipe | {
        "rounds": 2,
        "teacher": {"model": "instructions"},
        "prompts": {
            "path": f"{tmp_path}/train.jsonl",
            "dev_path": f"{tmp_path}/dev.jsonl",
            "test_path": f"{tmp_path}/test.jsonl",
            "per_round": 10,
            "max_tokens": 240,
        },
        "policy": tiny_recipe["policy"] | {"max_length": 256},
        "student": tiny_recipe["student"] | {"max_length": 256},
        "evaluate": tiny_recipe.get("evaluate", {}) | {"judge": "instructions"},
    }


@pytest.fixture
def where(tmp_path):
    return ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]


def test_a_run_tells_how_instructions_are_followed(
    own, without_prefect, tmp_path, write_recipe, where
):
    assert main(["align", str(write_recipe(own)), *where]) == 0
    summary = read_summary(tmp_path / "runs" / own["run"] / "summary.json")
    entry = summary.rounds[-1]
    (record,) = [one for one in entry.stages if one.name == "follow"]
    assert record.measures and record.kind == "followed"
    artifact = Artifact(kind=record.kind, key=record.key, digest=record.artifact)
    rows = Store(str(tmp_path / "store")).table(artifact).to_pylist()
    asked = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    assert sorted(row["kind"] for row in rows) == sorted(
        kind for prompt in asked for kind in prompt["instruction_id_list"]
    )
    assert record.counts["instructions"] == len(rows)
    assert record.counts["with"] == 12 and record.counts["without"] == 0
    found = entry.instructions
    assert set(found.by_dataset) == {"everyday", "held-out kinds"}
    assert found.per_instruction.n == len(rows) and found.per_prompt.n == 12
    for name, one in found.by_dataset.items():
        here = [row for row in rows if row["dataset"] == name]
        assert one.base == pytest.approx(sum(row["base"] for row in here) / len(here))
        assert one.policy == pytest.approx(sum(row["policy"] for row in here) / len(here))
    gain = summary.measures["instruction_difference"]
    assert set(gain.parts) == {"everyday", "held-out kinds"} and gain.even == 0
    assert [one.round for one in gain.rounds] == [1, 2]
    told = next(one for one in summary.rounds if one.round == gain.round).instructions
    low, high = told.per_instruction.ci95
    assert gain.unit == "points" and gain.value == 100 * told.per_instruction.difference
    assert gain.ci95 == (100 * low, 100 * high)
    report = (tmp_path / "runs" / own["run"] / "report.html").read_text()
    assert "Are instructions followed?" in report and "held-out kinds, per prompt" in report
    assert main(["verify", own["run"], *where]) == 0
