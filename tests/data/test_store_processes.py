"""Several processes on one store, and processes that die."""

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.store import Store

KEY = {"stage": "score", "version": 1}


class Writing:
    """A stage body that writes one file."""

    def __init__(self, text="weights"):
        self.text = text

    def __call__(self, out):
        (out / "extra.txt").write_text(self.text)
        return {}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def leftovers(store):
    return list((store.root / "tmp").iterdir())


def test_of_two_at_once_both_get_the_first(store):
    """The slower one finds the place taken when it wants to publish."""
    inside = threading.Event()
    published = threading.Event()
    results = {}

    def slow(out):
        inside.set()
        published.wait(10)
        return Writing("slow")(out)

    thread = threading.Thread(
        target=lambda: results.update(slow=store.put("thing", KEY, slow)), daemon=True
    )
    thread.start()
    assert inside.wait(10)
    results["fast"] = Store(store.root).put("thing", KEY, Writing("fast"))
    published.set()
    thread.join(10)
    assert results["slow"] == results["fast"]
    assert (store.path(results["slow"]) / "extra.txt").read_text() == "fast"
    assert leftovers(store) == []


def _put(root, start, queue):
    start.wait()
    queue.put(Store(root).put("thing", KEY, Writing(str(os.getpid()))).digest)


def test_processes_racing_for_one_key_agree(tmp_path):
    context = multiprocessing.get_context("fork")
    start, queue = context.Event(), context.Queue()
    racers = [context.Process(target=_put, args=(tmp_path, start, queue)) for _ in range(4)]
    for racer in racers:
        racer.start()
    start.set()
    digests = {queue.get(timeout=60) for _ in racers}
    for racer in racers:
        racer.join()
    found = Store(tmp_path).find("thing", KEY)
    assert found is not None
    assert digests == {found.digest}


KILLED = """
import os, signal, sys
from data.store import Store
def body(out):
    (out / "half").write_text("x")
    print(out, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
Store(sys.argv[1]).put("thing", {"a": 1}, body)
"""


def test_what_a_killed_process_left_is_removed_and_never_found(store):
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(store.root)], cwd=root, capture_output=True, text=True
    )
    left = Path(killed.stdout.strip())
    assert (left / "half").exists()
    assert store.find("thing", {"a": 1}) is None
    store.put("thing", {"a": 1}, Writing())
    assert not left.exists()


def test_folders_of_live_processes_and_other_hosts_are_kept(store):
    mine = store._temporary()
    other = store.root / "tmp" / "otherhost-1-0-abc"
    other.mkdir()
    Store(store.root).put("thing", KEY, Writing())
    assert mine.exists()
    assert other.exists()
