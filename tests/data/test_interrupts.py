"""An interruption is not forgotten, and what is left of a process does not keep it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from data.interrupts import interruptible, stop_if_asked
from tests.repository import ROOT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_was_swallowed_is_raised_again(number):
    with interruptible():
        stop_if_asked()
        with pytest.raises(KeyboardInterrupt):  # as a library may catch it
            os.kill(os.getpid(), number)
            time.sleep(5)
        with pytest.raises(KeyboardInterrupt):
            stop_if_asked()
    with interruptible():  # the next command
        stop_if_asked()


def test_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) not in before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_process_that_was_interrupted_does_not_wait_for_what_a_library_has_left():
    code = (
        "import threading, time\n"
        "from cli import main\n"
        "def call(argv=None):\n"
        "    threading.Thread(target=time.sleep, args=[60]).start()\n"
        "    return 130\n"
        "main.main, main._LAST_SECONDS = call, 0.5\n"
        "main.process()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=30)
    assert done.returncode == 130
