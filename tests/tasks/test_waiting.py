"""While something takes its time a terminal shows it at once, a pipe after a while."""

import time
from io import StringIO

from rich.console import Console

from tasks.running import waiting as module
from tasks.running.waiting import enough, waiting


def test_a_pipe_stays_silent_for_what_is_short():
    console = Console(file=StringIO())
    with waiting("Checking", console):
        pass
    assert console.file.getvalue() == ""


def test_a_pipe_hears_of_what_is_long_until_it_is_enough(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.5)
    console = Console(file=StringIO())
    with waiting("Checking", console):
        time.sleep(1.3)
        said = console.file.getvalue()
        enough()
        time.sleep(1.2)
    assert said.startswith("Checking (") and console.file.getvalue() == said


def test_a_terminal_shows_it_at_once_and_cleans_up():
    console = Console(file=StringIO(), force_terminal=True, width=80)
    with waiting("Checking", console):
        time.sleep(0.3)
        assert "Checking" in console.file.getvalue()
        with waiting("Loading", console):  # never two at a time
            time.sleep(0.3)
    assert "Loading" in console.file.getvalue() and not module._shown


def test_quiet_says_nothing(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    console = Console(file=StringIO(), quiet=True, force_terminal=True)
    with waiting("Checking", console):
        time.sleep(1.1)
    assert console.file.getvalue() == ""
