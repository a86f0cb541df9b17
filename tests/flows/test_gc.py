"""`tsalign gc` on stores as small as they get; what it may remove is in test_inventory."""

import fsspec
import pytest

from data.inventory import places
from data.store import Store
from data.summary import write_summary
from flows.cli import main
from tests.data.test_inventory import put, run_of


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
    assert code == 2 and "summary.json" in printed
    assert len(places(store)) == 2


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
