"""Child processes answer, carry exceptions over, and never outlive their parent."""

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from models.isolation import Child, ChildDiedError, run_isolated
from tests.repository import ROOT


def double(number: int, on_progress=None) -> int:
    if on_progress:
        on_progress(1, 2)
        on_progress(2, 2)
    return 2 * number


def refuse(_: int) -> None:
    raise InputError("policy.model: no such folder; name another")


def exit_hard(code: int) -> None:
    os._exit(code)


class Counter:
    """Keeps state between calls and can start a process of its own."""

    def __init__(self, start: int) -> None:
        self.value = start
        self.variable = os.environ.get("TSALIGN_TEST")

    def add(self, number: int) -> int:
        self.value += number
        return self.value

    def ids(self) -> tuple[int, int]:
        sleeper = subprocess.Popen(["sleep", "600"])
        return os.getpid(), sleeper.pid

    def seen(self) -> str | None:
        return self.variable


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ends(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not running(pid)


def test_on_a_cpu_the_work_is_done_here() -> None:
    seen: list[tuple[int, int]] = []
    done = run_isolated(double, 4, device="cpu", on_progress=lambda *step: seen.append(step))
    assert (done, seen) == (8, [(1, 2), (2, 2)])
    assert run_isolated(os.getpid, device="cpu") == os.getpid()


def test_on_a_gpu_the_work_is_done_in_a_child_and_reports_progress() -> None:
    seen: list[tuple[int, int]] = []
    done = run_isolated(double, 4, device="cuda", on_progress=lambda *step: seen.append(step))
    assert (done, seen) == (8, [(1, 2), (2, 2)])
    child = run_isolated(os.getpid, device="cuda")
    assert child != os.getpid()
    assert ends(child)


def test_an_exception_keeps_its_class_and_message_and_the_childs_traceback() -> None:
    with pytest.raises(InputError, match=r"^policy\.model: no such folder") as caught:
        run_isolated(refuse, 1, device="cuda")
    assert "in refuse" in caught.value.__notes__[0]


def test_a_child_that_dies_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(ChildDiedError, match="exit code 3"):
        run_isolated(exit_hard, 3, device="cuda")


def shout_and_exit(code: int) -> None:
    subprocess.run(["sh", "-c", "echo from below; echo the reason >&2"], check=True)
    os._exit(code)


def shout_and_fail(_: int) -> None:
    sys.stderr.write("what led to it\n")
    raise ValueError("no")


def test_what_a_child_prints_is_no_noise_but_a_note_of_its_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ChildDiedError) as died:
        run_isolated(shout_and_exit, 3, device="cuda")
    assert "from below\nthe reason\n" in died.value.__notes__[0]
    with pytest.raises(ValueError) as failed:
        run_isolated(shout_and_fail, 3, device="cuda")
    assert "what led to it" in failed.value.__notes__[-1]
    assert capfd.readouterr() == ("", "")


def test_state_stays_in_the_child_and_its_group_ends_with_close() -> None:
    child = Child(Counter, 5, environment={"TSALIGN_TEST": "yes"})
    try:
        assert [child.call("add", 1), child.call("add", 2)] == [6, 8]
        assert child.call("seen") == "yes"
        assert "TSALIGN_TEST" not in os.environ
        pid, grandchild = child.call("ids")
        assert pid == child.pid
        assert running(grandchild)
    finally:
        child.close()
    assert ends(pid)
    assert ends(grandchild)
    assert not child.alive


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_handle_has_no_copy_that_could_close_its_pipe(duplicate: Callable[[Child], Any]) -> None:
    child = Child(Counter, 5)
    try:
        with pytest.raises(TypeError, match="one owner"):
            duplicate(child)
        gc.collect()
        assert child.call("add", 1) == 6
    finally:
        child.close()


def test_the_child_outlives_the_thread_that_started_it() -> None:
    started: list[Child] = []
    thread = threading.Thread(target=lambda: started.append(Child(Counter, 1)))
    thread.start()
    thread.join()
    time.sleep(0.2)
    try:
        assert started[0].call("add", 1) == 2
    finally:
        started[0].close()


def test_an_interrupted_call_does_not_answer_the_next_one() -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    child = Child(Doubler)
    with pytest.raises(KeyboardInterrupt):
        child.call("double", 4, on_progress=interrupt)
    assert not child.alive


class Doubler:
    double = staticmethod(double)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_when_the_parent_is_killed(tmp_path: Path, by: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from models.isolation import Child\n"
        "from tests_models_isolation import Counter\n"
        "if __name__ == '__main__':\n"
        "    print(*Child(Counter, 0).call('ids'), flush=True)\n"
        "    time.sleep(600)\n"
    )
    (tmp_path / "tests_models_isolation.py").write_text(Path(__file__).read_text())
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert parent.stdout is not None
    child, grandchild = map(int, parent.stdout.readline().split())
    assert running(child)
    assert running(grandchild)
    parent.send_signal(by)
    parent.wait(10)
    assert ends(child)
    assert ends(grandchild)


def test_a_forgotten_child_does_not_keep_the_parent_from_ending(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "from collections import Counter\n"
        "from models.isolation import Child\n"
        "if __name__ == '__main__':\n"
        "    kept = Child(Counter)\n"
        "    print(kept.pid, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    assert ends(int(done.stdout))
