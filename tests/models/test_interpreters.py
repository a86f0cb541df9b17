"""A child under another interpreter answers, fails and ends as one under this one does."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from data.errors import InputError
from models.interpreters import variables
from models.isolation import Child, ChildDiedError
from models.vllm_server import refusal
from tests.models.test_isolation import ends, running
from tests.repository import ROOT


@pytest.fixture
def evaluating(other_python: Path) -> Iterator[Child]:
    """A child that evaluates what it is told, by what every Python has."""
    child = Child(partial, eval, environment={"TSALIGN_TEST": "yes"}, python=other_python)
    yield child
    child.close()


def test_it_has_its_own_packages_and_two_of_ours(evaluating: Child, other_python: Path) -> None:
    def said(text: str) -> object:
        return evaluating.call("__call__", text)

    assert said("__import__('sys').prefix") == str(other_python.parents[1]) != sys.prefix
    assert said("__import__('os').getpid()") == evaluating.pid != os.getpid()
    assert said("__import__('os').environ['TSALIGN_TEST']") == "yes"
    assert "TSALIGN_TEST" not in os.environ
    place = "__import__('importlib.util').util.find_spec({!r})"
    assert said(f"{place.format('models.isolation')}.origin is not None")
    assert said(f"{place.format('data.errors')}.origin is not None")
    for mine in ("flows", "tests", "tasks"):  # neither from here nor from our PYTHONPATH
        assert said(f"{place.format(mine)} is None")
    loaded = said("sorted(__import__('sys').modules)")
    assert isinstance(loaded, list)
    assert not {"numpy", "pydantic", "torch", "transformers"} & set(loaded)
    assert {name for name in loaded if name.split(".")[0] in ("data", "models")} == {
        *("data", "models", "models.interpreters", "models.isolation", "models.today"),
    }


def test_what_is_to_run_there_needs_no_more_than_it_has(tmp_path: Path) -> None:
    """vLLM's side of ours, under a Python with no packages at all."""
    from tests.fixtures.environments import bare

    bare(tmp_path / "bare")
    child = Child(partial, refusal, python=tmp_path / "bare" / "bin" / "python")
    try:
        refused = child.call("__call__", ValueError("no such\narchitecture"), "m")
    finally:
        child.close()
    assert str(refused).startswith("vLLM cannot start with 'm': no such architecture; use")


def test_an_error_keeps_class_and_traceback_where_both_know_it(evaluating: Child) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        evaluating.call("__call__", "1 / 0")
    assert "in the child process:\nTraceback" in caught.value.__notes__[0]
    with pytest.raises(InputError, match=r"^a: b\b"):
        raising = "(_ for _ in ()).throw(__import__('data.errors').errors.InputError('a: b'))"
        evaluating.call("__call__", raising)
    assert evaluating.call("__call__", "1 + 1") == 2


@pytest.mark.parametrize(
    "error",
    ["__import__('numpy').linalg.LinAlgError('odd')", "type('LinAlgError', (OSError,), {})('odd')"],
)
def test_an_error_of_its_own_packages_comes_as_its_text(evaluating: Child, error: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        evaluating.call("__call__", f"(_ for _ in ()).throw({error})")
    assert type(caught.value) is RuntimeError
    assert str(caught.value) in ("LinAlgError: odd", "ValueError: 1")
    assert "in the child process:\nTraceback" in caught.value.__notes__[0]


def test_what_it_prints_is_a_note_of_its_end(
    other_python: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    child = Child(partial, eval, python=other_python)
    code = "print('the reason', flush=True) or __import__('os')._exit(3)"
    with pytest.raises(ChildDiedError, match="exit code 3") as died:
        child.call("__call__", code)
    assert "the reason\n" in died.value.__notes__[0]
    assert not child.alive
    with pytest.raises(ModuleNotFoundError, match="test_interpreters"):  # it knows no tests
        Child(partial, no_such, python=other_python)
    assert capfd.readouterr() == ("", "")


def no_such() -> None: ...


def test_its_group_and_its_folder_end_with_close(other_python: Path) -> None:
    before = folders()
    child = Child(subprocess.Popen, ["sleep", "600"], python=other_python)
    try:
        sleeper = child.call("__getattribute__", "pid")
        assert running(child.pid) and running(sleeper) and child.alive
        assert len(folders() - before) == 1
    finally:
        child.close()
        child.close()
    assert ends(child.pid) and ends(sleeper) and not child.alive
    assert folders() == before


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("tsalign-*"))


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_parent_is_killed(
    tmp_path: Path, other_python: Path, by: signal.Signals
) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "from pathlib import Path\n"
        "from models.isolation import Child\n"
        "child = Child(subprocess.Popen, ['sleep', '600'], python=Path(sys.argv[1]))\n"
        "print(child.pid, child.call('__getattribute__', 'pid'), flush=True)\n"
        "time.sleep(600)\n"
    )
    own = tmp_path / "temporary"
    own.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(script), str(other_python)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(own)},
    )
    assert parent.stdout is not None
    child, sleeper = map(int, parent.stdout.readline().split())
    assert running(child) and running(sleeper) and list(own.glob("tsalign-*"))
    parent.send_signal(by)
    parent.wait(10)
    parent.stdout.close()
    assert ends(child) and ends(sleeper)
    assert not list(own.glob("tsalign-*"))


def test_a_busy_child_ends_too(tmp_path: Path, other_python: Path) -> None:
    """One that does not look at its pipe when its parent dies."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from models.isolation import Child\n"
        "child = Child(partial, eval, python=Path(sys.argv[1]))\n"
        "print(child.pid, flush=True)\n"
        "child.call('__call__', \"__import__('time').sleep(600)\")\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script), str(other_python)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    assert ends(child)


def test_a_program_that_is_none_leaves_nothing(tmp_path: Path) -> None:
    before = folders()
    with pytest.raises(FileNotFoundError):
        Child(partial, eval, python=tmp_path / "none")
    assert folders() == before


def test_its_variables_are_those_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("VIRTUAL_ENV", "/ours")
    monkeypatch.setenv("PATH", "/usr/bin")
    found = variables(Path("/other/bin/python"))
    assert found["PATH"] == f"/other/bin{os.pathsep}/usr/bin"
    assert not {"PYTHONPATH", "VIRTUAL_ENV"} & set(found) and found["HOME"] == os.environ["HOME"]
