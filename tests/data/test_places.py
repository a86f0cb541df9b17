"""One rule for where things are kept, and one run of a name at a time."""

import os
import socket
import subprocess
import sys

import pytest

from cli.main import parsed
from data.errors import InputError
from data.places import one_at_a_time, runs_folder, store_url
from tests.repository import ROOT


@pytest.mark.parametrize(
    ("given", "store", "runs", "expected"),
    [
        (None, None, None, (".tsalign/store", "runs")),
        (None, "/s", "/r", ("/s", "/r")),
        (None, "", "", (".tsalign/store", "runs")),
        ("x", "/s", "/r", ("x", "x")),
        ("~/x", "/s", "/r", ("/home/me/x", "/home/me/x")),
        (None, "~/s", "~/r", ("/home/me/s", "/home/me/r")),
    ],
)
def test_what_is_given_then_the_environment_then_here(monkeypatch, given, store, runs, expected):
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in (("TSALIGN_STORE", store), ("TSALIGN_RUNS", runs)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert (store_url(given), str(runs_folder(given))) == expected
    options = ["--store", given, "--runs-dir", given] if given else []
    args = parsed(["explain", "mine", *options]).keywords
    assert (args["store"], str(args["runs_dir"])) == expected


HOLD = """
import sys, pathlib
from data.places import one_at_a_time
with one_at_a_time(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_run_of_a_name_is_refused_and_one_after_a_kill_is_not(tmp_path):
    folder = tmp_path / "runs" / "mine"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    who = f"process {holder.pid} on {socket.gethostname()}"
    with pytest.raises(InputError, match="run mine is going on") as caught, one_at_a_time(folder):
        pass
    assert who in str(caught.value) and "--run" in str(caught.value)
    with one_at_a_time(tmp_path / "runs" / "other"):
        pass
    holder.kill()
    holder.wait()
    with one_at_a_time(folder):
        pass
    assert os.listdir(folder) == []
