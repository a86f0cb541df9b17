"""A store that several users share, and containers that do not see each other's processes."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from data.store.store import Store
from tests.repository import ROOT

KEY = {"stage": "score"}
GROUP, USERS = 60_000, (60_001, 60_002)


def write(text):
    def body(out):
        (out / "extra.txt").write_text(text)
        (out / "folder").mkdir()
        (out / "folder" / "weights").write_text("w")
        return {}

    return body


def as_user(root, user, stage, text, answer):
    """In a process of its own, with the umask that most have."""
    os.setgroups([GROUP])
    os.setgid(user)
    os.setuid(user)
    os.umask(0o022)
    try:
        store = Store(root)
        with store.used():
            made = store.put("thing", {"stage": stage}, write(text))
            if text == "discard":
                store.discard(store.path(made))
        answer.put("")
    except Exception as error:
        answer.put(f"{type(error).__name__}: {error}")


def put(store, user, stage, text="text"):
    """What went wrong when the user asked for this artifact; nothing."""
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    process = context.Process(target=as_user, args=(store, user, stage, text, answer))
    process.start()
    said = answer.get(timeout=60)
    process.join()
    return said


@pytest.fixture
def parent():
    """A folder that other users reach too."""
    if os.geteuid() != 0:
        pytest.skip("taking other users' ids needs the rights of root")
    Store(tempfile.gettempdir() + "/none").find("thing", KEY)  # imports what other users cannot
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("made", ["by hand", "by the first run"])
def test_a_second_user_of_a_group_finds_makes_and_removes(parent, made):
    store = parent / "group" / "store"
    (store if made == "by hand" else store.parent).mkdir(parents=True)
    for folder in (store.parent, store):
        if folder.exists():
            os.chown(folder, USERS[0], GROUP)
            folder.chmod(0o2775)
    one, two = USERS
    for user, stage, text in ((one, "a", "x"), (two, "a", "y"), (two, "b", "z"), (one, "c", "w")):
        assert put(store, user, stage, text) == ""
    assert put(store, two, "c", "discard") == ""  # what the other has made
    texts = sorted(path.read_text() for path in store.glob("thing/*/*/extra.txt"))
    assert texts == ["x", "z"]
    assert not list((store / "tmp").iterdir())


def test_the_lock_of_another_user_from_before_can_be_held(parent):
    store = parent / "store"
    (store / "locks").mkdir(parents=True)
    (store / "locks" / "store").touch(0o644)
    for folder in (store, store / "locks"):
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2775)
    assert put(store, USERS[0], "a") == ""


def test_a_store_of_another_user_is_refused_in_one_line(parent):
    Store(parent / "store").put("thing", KEY, write("text"))
    said = put(parent / "store", USERS[0], "a")
    assert said.startswith("InputError: ") and "another user's; to share a store" in said


def test_a_private_store_stays_private(tmp_path):
    before = os.umask(0o022)
    try:
        store = Store(tmp_path / "store")
        made = store.put("thing", KEY, write("text"))
        assert not any(p.stat().st_mode & 0o020 for p in store.root.rglob("*"))
        assert store.path(made)
    finally:
        os.umask(before)


HOLD = """
import sys
from data.store.store import Store
def body(out):
    print(out, flush=True)
    sys.stdin.readline()
    (out / "extra.txt").write_text("whole")
    return {}
Store(sys.argv[1]).put("thing", {"held": 1}, body)
"""


def test_work_of_a_container_whose_processes_cannot_be_seen_is_kept(tmp_path):
    namespace = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("a PID namespace needs the rights of root")
    inside = subprocess.Popen(
        [*namespace, sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert inside.stdout and inside.stdin
    work = Path(inside.stdout.readline().strip())
    assert work.is_dir()
    store = Store(tmp_path)
    store.put("thing", KEY, write("text"))
    assert work.is_dir() and store.leftovers() == []
    inside.communicate("go on\n")
    assert inside.returncode == 0 and store.find("thing", {"held": 1})
