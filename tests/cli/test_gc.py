"""`tsalign gc` on stores as small as they get; what it may remove is in test_inventory."""

import os

import fsspec
import pytest

from cli.main import main
from data.store.inventory import places
from data.store.store import Store
from data.summary import write_summary
from tests.data.store.test_inventory import put, run_of


@pytest.fixture
def store(tmp_path):
    """One artifact that a run refers to and one that none does."""
    store = Store(tmp_path / "store")
    put(store, 2)
    write_summary(tmp_path / "runs" / "a" / "summary.json", run_of([put(store, 1)]))
    return store


@pytest.fixture
def gc(tmp_path, store, capsys):
    def call(*arguments, runs=("runs",)):
        where = [part for name in runs for part in ("--runs-dir", str(tmp_path / name))]
        code = main(["gc", "--store", store.url, *where, *arguments])
        printed = capsys.readouterr()
        assert printed.err.count("\n") == (code != 0)
        return code, printed.out + printed.err

    return call


def test_a_dry_run_lists_and_removes_nothing(gc, store):
    code, printed = gc("--older-than", "0")
    assert code == 0 and "scores                     1" in printed and "add --delete" in printed
    assert len(places(store)) == 2


def test_delete_removes_what_was_listed(gc, store):
    code, printed = gc("--older-than", "0", "--delete")
    assert code == 0 and "removed" in printed
    assert len(places(store)) == 1
    assert "nothing" in gc("--older-than", "0", "--delete")[1]


def test_what_is_younger_than_a_week_stays(gc, store):
    assert "nothing" in gc("--delete")[1]
    assert len(places(store)) == 2


def test_beside_a_run_it_lists_but_does_not_delete(gc, store):
    with store.used():
        assert gc("--older-than", "0")[0] == 0
        code, printed = gc("--older-than", "0", "--delete")
    assert code == 2 and "a run is using this store" in printed
    assert len(places(store)) == 2


def test_without_a_run_to_go_by_it_refuses(gc, store, tmp_path):
    code, printed = gc("--older-than", "0", "--delete", runs=("elsewhere",))
    assert code == 2 and "elsewhere: no runs here" in printed
    (tmp_path / "runs" / "a" / "summary.json").write_text("{")
    code, printed = gc("--older-than", "0", "--delete")
    assert code == 2 and "summary.json" in printed and "nothing was removed" in printed
    assert len(places(store)) == 2
    code, printed = gc("--older-than", "0")
    assert code == 0 and "what it needs is unknown, nothing can be removed" in printed


def test_all_folders_of_runs_count(gc, store, tmp_path):
    write_summary(tmp_path / "more" / "b" / "summary.json", run_of([put(store, 2)]))
    assert "nothing" in gc("--older-than", "0", "--delete", runs=("runs", "more"))[1]
    assert len(places(store)) == 2


def test_a_store_at_a_url_and_one_that_is_not_there_are_refused(capsys, tmp_path):
    fsspec.filesystem("memory")
    assert main(["gc", "--store", "memory://bucket"]) == 2
    assert "local stores only" in capsys.readouterr().err
    assert main(["gc", "--store", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def broken(folder):
    """Runs whose summaries cannot be read, beside the good one."""
    for name in ("cut", "changed", "folder", "pipe", "loop"):
        (folder / name).mkdir()
    (folder / "cut" / "summary.json").write_text("{")
    text = (folder / "a" / "summary.json").read_text()
    (folder / "changed" / "summary.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    (folder / "folder" / "summary.json").mkdir()
    os.mkfifo(folder / "pipe" / "summary.json")
    (folder / "loop" / "summary.json").symlink_to("summary.json")
    (folder / "no run").write_text("")
    return ("cut", "changed", "folder", "pipe", "loop")


def test_a_broken_summary_hides_no_other_run(store, tmp_path, capsys):
    names = broken(tmp_path / "runs")
    where = ["--runs-dir", str(tmp_path / "runs")]
    assert main(["status", *where]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line.split()[0] for line in shown[2 : -len(names)]] == ["a"]  # below a head and a rule
    lines = {line.partition(":")[0]: line for line in shown[-len(names) :]}
    assert sorted(lines) == sorted(names)
    assert all("summary.json" in lines[name] for name in names)
    assert main(["verify", "--store", store.url, *where]) == 1
    printed = capsys.readouterr().out
    assert all(f"runs/{name}/summary.json: " in printed for name in names)
    assert "6 runs, 1 artifacts: 5 runs with damaged files" in printed
    assert main(["verify", "a", "--store", store.url, *where]) == 0


@pytest.mark.parametrize(
    "command",
    [
        "status NAME", "report NAME", "report --compare NAME a",
        "explain NAME", "verify NAME", "verify NAME --repair", "rerun NAME --round 1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["../a", "a/../a", "/a", "..", ".", "a/b", "~", ""])
def test_names_that_lead_elsewhere_are_refused(store, tmp_path, capsys, command, name):
    where = ["--runs-dir", str(tmp_path / "runs")]
    where += [] if command.startswith("status") else ["--store", store.url]
    if command.startswith("status") and not name:
        return  # all runs
    arguments = [name if part == "NAME" else part for part in command.split(" ")]
    assert main([*arguments, *where]) == 2
    assert "is no name of a run" in capsys.readouterr().err


def test_an_age_below_zero_is_refused(gc):
    code, printed = gc("--older-than", "-1", "--delete")
    assert code == 2 and "--older-than" in printed
