"""Two processes align by one recipe in one store at the same time."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.usefixtures("prefect"), pytest.mark.slow]


def stages(summary):
    return summary["bootstrap"] + [s for r in summary["rounds"] for s in r["stages"]]


def test_both_finish_with_equal_results_and_every_artifact_is_computed_once(
    tmp_path, tiny_recipe, write_recipe
):
    from prefect.settings import PREFECT_API_URL

    recipe = write_recipe(tiny_recipe)
    environment = os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value()}
    names = ("one", "two")
    runs = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "cli", "align", str(recipe), "--run", name),
                *("--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")),
                *("--set", "runtime.shard_prompts=5", "--set", "rounds=1"),
            ],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    messages = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], messages
    one, two = (
        json.loads((tmp_path / "runs" / name / "summary.json").read_text()) for name in names
    )
    assert [s["artifact"] for s in stages(one)] == [s["artifact"] for s in stages(two)]
    assert one["final"] == two["final"]
    computed = [s["key"] for s in stages(one) + stages(two) if not s["cached"]]
    assert sorted(computed) == sorted({s["key"] for s in stages(one)})
    assert list((tmp_path / "store" / "tmp").iterdir()) == []
    assert [p.name for p in (tmp_path / "store" / "locks").iterdir()] == ["store"]
