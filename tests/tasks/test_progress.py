"""What a run shows while it works: a screen on a terminal, lines in a pipe."""

import re
import time
from io import StringIO

import pytest
from rich.console import Console

from tasks.running import progress as module
from tasks.running.progress import Progress


def piped(quiet=False):
    return Console(file=StringIO(), width=80, quiet=quiet, highlight=False)


def terminal():
    return Console(file=StringIO(), width=80, force_terminal=True, color_system=None)


def stage(progress, label, cached=False, seconds=0.1, took=0.0, text="", address=""):
    progress.start(label, address, found=cached)
    progress.finish(label, cached=cached, seconds=seconds, took=took, text=text)


def a_round(progress, number):
    progress.round(number, 2)
    for title in ("base answers dev prompts", "select"):
        stage(progress, title, cached=True, took=3.0)
    stage(progress, "generate", seconds=4.0)
    stage(progress, "gate", seconds=0.1)
    progress.note("63 pairs of 63 prompts")
    progress.result("win rate 50.0%")


def lines(console):
    """What was printed, without what steers a terminal."""
    return re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", console.file.getvalue()).splitlines()


def test_a_pipe_gets_a_line_when_a_stage_begins_and_found_ones_in_one():
    console = piped()
    with Progress(console) as progress:
        a_round(progress, 1)
    shown = lines(console)
    assert shown[:6] == [
        "Round 1 of 2",
        "  2 stages found",
        "  generate",
        "  generate: 4.0 s",
        "  gate",
        "    63 pairs of 63 prompts",
    ]
    assert shown[6].startswith("    win rate 50.0%; 2 stages computed, 2 found, ")


def test_verbose_lists_every_stage_with_its_counts():
    console = piped()
    with Progress(console, verbose=True) as progress:
        progress.section("Preparing")
        stage(progress, "tokenizer", cached=True, text="602 vocabulary")
        stage(progress, "trunk", seconds=9.04, text="150 steps")
    rows = [line.split() for line in lines(console)]
    assert ["tokenizer", "found", "602", "vocabulary"] in rows
    assert ["trunk", "9.0", "s", "150", "steps"] in rows
    assert not [line for line in lines(console) if line.endswith("1 stage found")]


@pytest.mark.parametrize("console", [piped(), terminal()])
def test_what_a_stopped_run_has_left_is_told(console):
    with Progress(console) as progress:
        progress.section("Preparing")
        progress.start("targets")
        progress.finish("targets", cached=False, seconds=0.4, kept="47 of 72 shards were there")
    assert any("targets: 0.4 s; 47 of 72 shards were there" in line for line in lines(console))


def test_who_is_waited_for_is_told_once():
    console = piped()
    with Progress(console) as progress:
        for owner in ("one", "one", "another", "one"):
            progress.waiting(f"waiting for {owner}")
    assert [line.split()[-1] for line in lines(console)] == ["one", "another", "one"]


def test_quiet_shows_nothing():
    console = piped(quiet=True)
    with Progress(console) as progress:
        a_round(progress, 1)
    assert console.file.getvalue() == ""


def test_a_pipe_is_never_silent_for_long(monkeypatch):
    monkeypatch.setattr(module, "SILENCE", 0.05)
    console = piped()
    with Progress(console) as progress:
        progress.section("Preparing")
        progress.start("trunk", shard=2, shards=4)
        progress.update(512, 2048)
        time.sleep(1.2)  # a tick is a second
    (line,) = [line for line in lines(console) if line.startswith("  trunk: ")]
    assert "shard 2 of 4, 512 of 2,048" in line


def test_notes_are_wrapped_at_words_on_a_terminal_and_whole_in_a_pipe():
    text = "not in the recipe, so chosen by its models: " + "policy.learning_rate 0.0001, " * 4
    narrow, pipe = terminal(), piped()
    for console in (narrow, pipe):
        with Progress(console) as progress:
            progress.note(text.strip())
    assert lines(pipe) == [f"    {text.strip()}"]
    shown = [line for line in lines(narrow) if line.strip()]
    assert len(shown) > 1 and " ".join(shown).split() == text.split()
    assert all(line.startswith("    ") and len(line) <= 80 for line in shown)


def screen(progress):
    console = Console(file=StringIO(), width=80, color_system=None, force_terminal=True)
    console.print(progress._screen())
    return [line.rstrip() for line in lines(console)]


def test_a_terminal_shows_round_stage_shard_and_rate(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    progress = Progress(terminal())
    progress.round(1, 3)
    progress.start("generate", shard=2, shards=4)
    now[0] += 10
    progress.update(100, 200)
    head, bar, words = screen(progress)
    assert head == "  Round 1 of 3 · 10 s"
    assert "generate" in bar
    # 3/8 in ten seconds, so 5/8 in 17
    assert words == "    shard 2 of 4, 100 of 200, 10/s, about 17 s left, 10 s"


def test_shards_that_were_found_do_not_hurry_the_rate(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    progress = Progress(terminal())
    progress.round(1, 1)
    for shard in (1, 2):
        progress.start("generate", shard=shard, shards=4, found=True)
    progress.start("generate", shard=3, shards=4)
    now[0] += 10
    progress.update(1, 2)
    assert progress._stage.left() == pytest.approx(30)


def test_the_time_left_is_that_of_the_round_before(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    progress = Progress(terminal())
    progress.round(1, 3)
    stage(progress, "round 1 answers dev prompts", seconds=20, address="generate:dev")
    assert progress.time_left() is None
    stage(progress, "optimize", cached=True, took=100)  # as long as it once took
    progress.round(2, 3)
    assert progress.time_left() == pytest.approx(240)
    stage(progress, "round 2 answers dev prompts", seconds=30, address="generate:dev")
    assert progress.time_left() == pytest.approx(100 + 120)
    progress.start("optimize")
    now[0] += 60
    assert progress.time_left() == pytest.approx(40 + 120)


def test_an_earlier_run_tells_how_long_a_round_takes():
    progress = Progress(terminal())
    progress.expect({"generate": 5.0, "generate:dev": 2.0})
    progress.round(1, 2)
    assert progress.time_left() == pytest.approx(14)


def test_an_interruption_says_what_is_kept():
    console = piped()
    with pytest.raises(KeyboardInterrupt), Progress(console) as progress:
        a_round(progress, 1)
        progress.start("score", shard=3, shards=5)
        raise KeyboardInterrupt
    assert lines(console)[-1] == (
        "Kept: 4 stages of this run and 2 of 5 shards of 'score'. A training goes on from its "
        "last checkpoint."
    )


def test_a_latin_1_terminal_can_show_the_screen():
    progress = Progress(terminal())
    progress.round(1, 3)
    progress.start("optimize")
    for line in screen(progress):
        line.encode("latin-1")
