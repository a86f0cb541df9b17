"""Several processes on one store, and processes that die."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.errors import InputError, StoreFullError
from data.store.store import Store
from tests.repository import ROOT

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


def locks(store):
    return [path.name for path in (store.root / "locks").iterdir() if path.name != "store"]


def test_of_two_at_once_one_computes_and_the_other_waits_for_it(store):
    inside, go_on = threading.Event(), threading.Event()
    results, told = {}, []

    def slow(out):
        inside.set()
        assert go_on.wait(10)
        return Writing("slow")(out)

    def wait_told(owner):
        told.append(owner)
        go_on.set()

    thread = threading.Thread(target=lambda: results.update(slow=store.put("thing", KEY, slow)))
    thread.start()
    assert inside.wait(10)
    results["late"] = Store(store.root).put("thing", KEY, Writing("late"), on_wait=wait_told)
    thread.join(10)
    assert results["slow"] == results["late"]
    assert (store.path(results["slow"]) / "extra.txt").read_text() == "slow"
    assert told == [f"process {os.getpid()} on {socket.gethostname()}"]
    assert leftovers(store) == [] and locks(store) == []


def test_different_keys_do_not_wait_for_each_other(store):
    def inner(out):
        Store(store.root).put("thing", {"another": "key"}, Writing())
        return Writing()(out)

    store.put("thing", KEY, inner)
    assert store.find("thing", {"another": "key"})


def test_nothing_is_alone_beside_a_run_and_no_run_starts_beside_it(store):
    refused = pytest.raises(InputError, match="a run is using this store")
    with store.used(), Store(store.root).used(), refused, store.alone():
        pass
    with store.alone():
        pass


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
from data.store.store import Store
def body(out):
    (out / "half").write_text("x")
    print(out, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
Store(sys.argv[1]).put("thing", {"a": 1}, body)
"""


def test_what_a_killed_process_left_is_removed_and_never_found(store):
    root = ROOT
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(store.root)], cwd=root, capture_output=True, text=True
    )
    left = Path(killed.stdout.strip())
    assert (left / "half").exists()
    assert store.find("thing", {"a": 1}) is None
    store.put("thing", {"a": 1}, Writing())
    assert not left.exists()


HOLDING = """
import sys, time
from data.store.store import Store
def body(out):
    print("inside", flush=True)
    time.sleep(600)
Store(sys.argv[1]).put("thing", {"a": 1}, body)
"""


def test_the_lock_of_a_killed_process_is_taken_over_at_once(store):
    root = ROOT
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(store.root)], cwd=root, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"inside\n"
    told = []

    def kill(owner):
        told.append(owner)
        holder.send_signal(signal.SIGKILL)
        holder.wait()

    made = store.put("thing", {"a": 1}, Writing(), on_wait=kill)
    assert told == [f"process {holder.pid} on {socket.gethostname()}"]
    assert store.find("thing", {"a": 1}) == made
    assert leftovers(store) == [] and locks(store) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(122, "Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_named_and_leaves_the_store_as_it_was(store, error):
    kept = store.put("thing", {"b": 2}, Writing())

    def body(out):
        (out / "half").write_text("x")
        raise error

    with pytest.raises(StoreFullError, match="no space left; free some and run again"):
        store.put("thing", KEY, body)
    assert store.find("thing", KEY) is None and store.find("thing", {"b": 2}) == kept
    assert leftovers(store) == [] and locks(store) == []
    assert store.put("thing", KEY, Writing())


def test_folders_of_live_processes_and_other_hosts_are_kept(store):
    with store._temporary() as mine:
        other = store.root / "tmp" / "otherhost-1-0-abc"
        other.mkdir()
        Store(store.root).put("thing", KEY, Writing())
        assert mine.exists()
        assert other.exists()
