"""`make install` says little on the terminal, keeps all of pip's words, and ends when told to."""

import os
import signal
import subprocess
import time

import pytest

from tests.repository import ROOT

SCRIPT = ROOT / "requirements" / "install.sh"
# A Python whose pip says what pip says, and fails or takes its time where it is asked to.
PYTHON = """#!/bin/sh
case "$*" in
*"-m pip"*" -r "*)
    echo "Collecting torch==2.13.0+cpu"
    [ -z "$SLEEPS" ] || exec sleep 60
    if [ -n "$FAILS" ]; then
        echo "ERROR: No matching distribution found for torch==2.13.0+cpu" >&2
        exit 1
    fi
    echo "Installing collected packages: torch" ;;
esac
"""


@pytest.fixture
def install(tmp_path):
    venv, lock = tmp_path / "a venv", tmp_path / "cpu.lock"
    python = venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    lock.write_text("# locked\ntorch==2.13.0+cpu\nnumpy==2.0\n")

    def start(**environment):
        return subprocess.Popen(
            ["sh", SCRIPT, python, venv, lock],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start, venv / "install.log"


def test_pips_words_are_in_a_log(install):
    start, log = install
    run = start()
    out, error = run.communicate(timeout=60)
    assert run.returncode == 0 and error == ""
    assert out.splitlines()[0].startswith("Installing 2 packages of ")
    assert out.splitlines()[-1] == "Installed." and "Collecting" not in out
    assert "Collecting torch" in log.read_text()


def test_a_failure_shows_its_end_and_the_remedy(install):
    start, _ = install
    run = start(FAILS="1")
    out, error = run.communicate(timeout=60)
    assert run.returncode == 2 and "Installed" not in out
    assert "No matching distribution" in error and "PIP_EXTRA_INDEX_URL" in error


def test_it_ends_with_its_pip_when_told_to(install):
    start, log = install
    run = start(SLEEPS="1")
    for _ in range(100):
        if log.exists() and "Collecting" in log.read_text():
            break
        time.sleep(0.1)
    os.kill(run.pid, signal.SIGTERM)
    # Whoever holds the pipe's other end, such as a pip that lives on, would keep this waiting.
    run.communicate(timeout=20)
    assert run.returncode == 130
