"""A recipe that names a GGUF file: checked, then run, with one import for both."""

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import main
from tests.models.test_gguf import write_gguf

pytestmark = pytest.mark.skipif(find_spec("gguf") is None, reason="needs the package gguf")


@pytest.fixture
def gguf_path(policy_dir: Path, tmp_path: Path) -> Path:
    return write_gguf(policy_dir, tmp_path / "tiny.gguf", "Q8_0")


def test_check_and_align_share_one_import(
    tiny_recipe: dict[str, Any],
    gguf_path: Path,
    tmp_path: Path,
    without_prefect: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = copy.deepcopy(tiny_recipe) | {"rounds": 1}
    values["policy"]["model"] = str(gguf_path)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["check", str(path), *where]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "'tiny.gguf' is imported once: dequantised 8-bit weights (Q8_0)" in shown
    assert f"policy: {gguf_path}".replace(" ", "") in shown.replace(" ", "")
    assert "nothing but the imported model was written" in shown
    (made,) = (tmp_path / "store" / "imported").glob("*/*")
    stamp = (made / "artifact.json").stat().st_mtime_ns
    assert main(["align", str(path), "--quiet", *where]) == 0
    assert (made / "artifact.json").stat().st_mtime_ns == stamp
    assert main(["align", str(path), *where]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_file_that_is_cut_off_is_refused_in_one_line(
    tiny_recipe: dict[str, Any],
    gguf_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = copy.deepcopy(tiny_recipe)
    values["policy"]["model"] = str(gguf_path)
    gguf_path.write_bytes(gguf_path.read_bytes()[:-1000])
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(path), *where]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tsalign: error: policy.model: ") and "cut off" in line


def test_every_file_is_looked_at_before_one_is_imported(
    tiny_recipe: dict[str, Any],
    gguf_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = copy.deepcopy(tiny_recipe)
    values["policy"]["model"] = str(gguf_path)
    values["teacher"]["model"] = str(tmp_path / "none.gguf")
    values["evaluate"] = {"judge": [str(tmp_path / "empty.gguf"), "teacher"]}
    (tmp_path / "empty.gguf").touch()
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    for command in ("check", "align"):
        assert main([command, str(path), *where]) == 2
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith("tsalign: error: teacher.model: no such file")
        assert "evaluate.judge.0: " in second and "is no GGUF file" in second
        assert not (tmp_path / "store").exists()


def test_a_file_in_the_home_folder(
    tiny_recipe: dict[str, Any],
    gguf_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(gguf_path.parent))
    values = copy.deepcopy(tiny_recipe)
    values["policy"]["model"] = f"~/{gguf_path.name}"
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["check", str(path), *where]) == 0, capsys.readouterr().err
