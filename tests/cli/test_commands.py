"""Every command: a help that a stranger understands, and one line for what is wrong."""

import shlex
import shutil
import subprocess
import sys

import pytest
import typer.main

from cli import commands
from cli.app import app
from cli.main import main, parsed
from data.store.locks import alone
from data.summary import write_summary
from tests.reports import report_examples as examples
from tests.repository import ROOT


def all_commands():
    """(words of the command, the command), groups' own commands included."""
    for name in commands.NAMES:
        __import__(f"cli.commands.{name}")
    for name, command in sorted(typer.main.get_command(app).commands.items()):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield (name,), command
        for below, made in sorted((inner or {}).items()):
            yield (name, below), made


COMMANDS = dict(all_commands())
IDS = [" ".join(words) for words in COMMANDS]


def call(*arguments, **environment):
    """A command in a new process, whose output is bytes, as a pipe gets them."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "COLUMNS": "80", **environment},
        capture_output=True,
    )


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_its_help_fits_eighty_columns_and_ends_with_an_example(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    example = " ".join(" ".join(lines).split())
    assert f"Example: tsalign {' '.join(words)}" in example


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_what_it_takes_is_said_in_sentences(words):
    command = COMMANDS[words]
    helps = [command.help] + [p.help for p in command.params if p.name != "help"]
    assert all(helps), [p.name for p in command.params if not p.help]
    assert [text for text in helps if not text.rstrip().endswith((".", ")"))] == []
    assert len(command.help.splitlines()[0]) <= 72


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_its_example_can_be_parsed(words):
    """The example in the help is one that works: every option in it exists."""
    example = COMMANDS[words].epilog.removeprefix("Example: tsalign ")
    assert callable(parsed(shlex.split(example)))


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_an_option_that_does_not_exist_is_one_line(words, capsys):
    assert main([*words, "--no-such-option"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tsalign: error: no such option: --no-such-option")
    assert line.endswith(f"see `tsalign {' '.join(words)} --help`")


def test_a_misspelt_command_is_answered_with_the_nearest(capsys):
    assert main(["algin", "recipe.yaml"]) == 2
    assert "'align'" in capsys.readouterr().err


def test_alone_it_says_how_to_start(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TSALIGN_RUNS", str(tmp_path / "my runs"))
    assert main([]) == 0
    assert "tsalign align" in capsys.readouterr().out


def test_alone_it_names_the_last_run(capsys, tiny_run, monkeypatch):
    monkeypatch.setenv("TSALIGN_RUNS", str(tiny_run / "runs"))
    assert main([]) == 0
    text = capsys.readouterr().out
    assert "Last run: tiny" in text and "tsalign open tiny" in text


def test_alone_it_says_that_a_run_is_going_on_before_and_after_its_first_summary(
    capsys, tiny_run, tmp_path, monkeypatch
):
    monkeypatch.setenv("TSALIGN_RUNS", str(tmp_path))
    (tmp_path / "new").mkdir()
    with alone(tmp_path / "new" / ".lock"):
        assert main([]) == 0
        assert "Last run: new. It is running." in capsys.readouterr().out
        shutil.copy(tiny_run / "runs" / "tiny" / "summary.json", tmp_path / "new")
        assert main([]) == 0
        text = capsys.readouterr().out
        assert "Last run: new. It is running." in text and "Its report" not in text


def test_the_help_of_all_is_printed_where_only_latin_1_can_be():
    done = call("--help", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0 and done.stderr == b""
    text = done.stdout.decode("latin-1")
    for name in commands.NAMES:
        assert name.replace("_", "-") in text


def test_the_shell_completes_runs_recipes_keys_and_stages(tmp_path):
    (tmp_path / "mine").mkdir()
    write_summary(tmp_path / "mine" / "summary.json", examples.aligned())

    def completed(typed):
        done = call(
            _TSALIGN_COMPLETE="complete_bash",
            COMP_WORDS=typed,
            COMP_CWORD=str(len(typed.split(" ")) - 1),
            TSALIGN_RUNS=str(tmp_path),
        )
        return done.stdout.decode().split()

    assert completed("tsalign status mi") == ["mine"]
    assert completed("tsalign align recipes/sma") == ["recipes/small.yaml"]
    assert "policy.beta=" in completed("tsalign align x --set policy.b")
    assert completed("tsalign explain mine --stage opt") == ["optimize"]
    assert completed("tsalign rerun mine --stage gen") == ["generate", "generate:dev"]
    assert completed("tsalign explain nobody --stage opt") == []


def test_a_round_that_a_run_has_not_is_refused_before_anything_is_looked_at(
    tiny_run, monkeypatch, capsys
):
    monkeypatch.setenv("TSALIGN_RUNS", str(tiny_run / "runs"))
    assert main(["rerun", "tiny", "--round", "9"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tsalign: error: --round: tiny has the rounds 1 to")
