"""Whatever is raised, a command ends in one line, and the rest is in a file that it names."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli import main as cli
from data.errors import InputError
from flows.problems import one_line
from tests.repository import ROOT

ERRORS = [
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    ValueError("first line\nsecond line"),
    UnicodeEncodeError("ascii", "ä", 0, 1, "not in range"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_that_no_one_has_foreseen_is_one_line(error, capsys, monkeypatch, tmp_path):
    def status(*_, **__):
        raise error

    monkeypatch.setattr("cli.runs.show_runs", status)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["status"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tsalign: error: {type(error).__name__}") and "second" not in line
    log = Path(line.rpartition("details in ")[2])
    assert log.parent == tmp_path and "Traceback" in log.read_text()


def test_the_error_of_a_run_is_in_its_folder_with_all_notes(tmp_path):
    with pytest.raises(cli.TsAlignError) as caught, one_line(tmp_path):
        error = OSError("it broke")
        error.add_note("678 lines of an engine")
        raise error
    assert str(caught.value) == f"OSError: it broke; details in {tmp_path}/error.log"
    assert caught.value.exit_code == 1
    assert "678 lines of an engine" in (tmp_path / "error.log").read_text()
    with pytest.raises(InputError, match="^mine$"), one_line(tmp_path):
        raise InputError("mine")


def test_nobody_reading_is_no_error():
    script = "import sys; from cli import main, runs; "
    script += "runs.show_runs = lambda *_, **__: print('x' * 10**6)\n"
    command = f"{sys.executable} -c \"{script}sys.exit(main.main(['status']))\"; echo $? >&2"
    done = subprocess.run(
        ["bash", "-c", f"({command}) | head -c 1"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == "141\n"


def test_a_failing_stage_is_one_line(tiny_copy, tiny_recipe, write_recipe, capfd, monkeypatch):
    def break_(*_, **__):
        raise ZeroDivisionError("in a training")

    monkeypatch.setattr("models.training.dpo.train_dpo", break_)
    places = ("--store", str(tiny_copy / "store"), "--runs-dir", str(tiny_copy / "runs"))
    changed = ("--set", "policy.beta=0.4", "--quiet")
    capfd.readouterr()
    assert cli.main(["align", str(write_recipe(tiny_recipe)), *changed, *places]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    log = tiny_copy / "runs" / "tiny" / "error.log"
    assert line == f"tsalign: error: ZeroDivisionError: in a training; details in {log}"
    assert "break_" in log.read_text()
