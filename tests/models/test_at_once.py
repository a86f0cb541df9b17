"""Requests on their way at once: what is paid for is kept, and nothing holds up an interrupt."""

import threading
import time

import pytest

from models.engines import at_once
from models.engines.at_once import ask_all


def test_every_question_is_asked_once_and_its_answer_has_its_place():
    asked, came = [], {}
    ask_all(lambda q: asked.append(q) or q * q, range(50), 8, came.__setitem__)
    assert came == {n: n * n for n in range(50)} and sorted(asked) == list(range(50))
    ask_all(lambda q: q, [], 8, came.__setitem__)


def test_after_an_error_nothing_is_asked_and_what_was_on_its_way_is_kept():
    asked, came, gone = [], {}, threading.Event()

    def ask(question):
        asked.append(question)
        if question == 0:
            gone.set()
            raise OSError("gone")
        gone.wait(10)
        time.sleep(0.1)
        return question

    with pytest.raises(OSError, match="gone"):
        ask_all(ask, range(100), 4, came.__setitem__)
    assert 1 <= len(came) == len(asked) - 1 < 20 and came == {n: n for n in asked if n}


def test_an_interrupt_waits_for_no_server_that_says_nothing(monkeypatch):
    monkeypatch.setattr(at_once, "GRACE", 0.3)
    came, silent = {}, threading.Event()

    def keep(place, answer):
        came[place] = answer
        if place == 0:
            raise KeyboardInterrupt

    def ask(question):
        if question == 1:
            time.sleep(0.1)
        if question == 2:
            silent.wait(60)
        return question

    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ask_all(ask, range(3), 3, keep)
    assert time.monotonic() - before < 10 and came == {0: 0, 1: 1}
    silent.set()
