"""A disk that is full while a stage writes: one line, nothing lost, and on when there is space."""

import json
import os
import subprocess

import pytest

from cli.main import main
from data.store.artifacts import Artifact
from data.store.store import Store

pytestmark = [pytest.mark.usefixtures("prefect"), pytest.mark.slow]

STEP = 60_000  # bytes of space an attempt has; as much again where that was not enough


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB; where none can be mounted, the test has nothing to run on."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs the rights of root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def leave(folder, space):
    """Fill the disk but for `space` bytes."""
    ballast = folder / "ballast"
    ballast.unlink(missing_ok=True)
    state = os.statvfs(folder)
    filling = state.f_bavail * state.f_frsize - space
    if filling > 0:
        ballast.write_bytes(bytes(filling))


def stages(folder):
    summary = json.loads((folder / "tiny" / "summary.json").read_text())
    return summary["bootstrap"] + [s for r in summary["rounds"] for s in r["stages"]]


def test_every_stage_that_meets_a_full_disk_says_so_and_the_run_goes_on_later(
    small_disk, tmp_path, tiny_recipe, write_recipe, capsys
):
    recipe, store = write_recipe(tiny_recipe), small_disk / "store"
    arguments = ["align", str(recipe), "--quiet", "--runs-dir", str(tmp_path / "runs")]
    failed_at, space, code = [-1], STEP, 2
    while code:
        leave(small_disk, space)
        code = main([*arguments, "--store", str(store)])
        if code:
            error = capsys.readouterr().err
            assert "no space left; free some and run again" in error and error.count("\n") == 1
            whole = Store(store)
            for record in store.glob("*/??/*/artifact.json"):
                found = json.loads(record.read_text())["artifact"]
                whole.verify(Artifact.model_validate(found))
            failed_at.append(sum(1 for _ in store.glob("*/??/*/artifact.json")))
            assert failed_at[-1] >= failed_at[-2], "something finished was lost"
            space = space + STEP if failed_at[-1] == failed_at[-2] else STEP
            assert list((store / "tmp").iterdir()) == []
    assert len(set(failed_at)) >= 8
    calm = main([*arguments[:-1], str(tmp_path / "calm"), "--store", str(tmp_path / "store")])
    assert calm == 0
    digests = [s["artifact"] for s in stages(tmp_path / "runs")]
    assert digests == [s["artifact"] for s in stages(tmp_path / "calm")]
