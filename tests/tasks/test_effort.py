"""What work takes: of this process and of those it starts."""

import os
import subprocess
import sys

import pytest

from tasks.running.effort import Effort, age, core_seconds, family

MEGABYTES = 1024 * 1024
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
SPIN = "import time\nwhile time.process_time() < 0.3: pass"


def test_a_child_that_has_ended_is_counted():
    effort = Effort.begin()
    subprocess.run([sys.executable, "-S", "-c", SPIN], check=True)
    assert effort.end().cores >= 0.25
    assert effort.seconds > 0


def test_a_child_that_lives_is_family_until_it_ends():
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= set(family())
    finally:
        child.communicate(b"\n")
    assert child.pid not in family()


def test_the_peak_is_that_of_the_work_alone():
    block = bytearray(200 * MEGABYTES)
    block[::4096] = b"x" * len(block[::4096])  # touched, so that it is in memory
    with_block = Effort.begin().end().memory
    del block
    without = Effort.begin().end().memory
    assert 150 * MEGABYTES < with_block - without < 250 * MEGABYTES


def test_a_process_has_an_age_and_has_computed():
    assert age() > 0 and core_seconds() > 0
