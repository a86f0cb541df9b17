"""What chat, compare, export and serve refuse: one line, exit status 2, before any model loads."""

import socket
from importlib import util

import pytest

from models import engine_choice
from tests.cli.use.used import Place

TWICE = ["--rounds", "2,2"]
REFUSED = {
    "chat: no such run": (["chat", "nobody"], "no such run"),
    "chat: a path for a run": (["chat", "../tiny"], "is no name of a run"),
    "chat: no run named": (["chat"], "RUN"),
    "chat: no such round": (["chat", "tiny", "--rounds", "9"], "has no round 9"),
    "chat: one policy twice": (["chat", "tiny", *TWICE], "names one policy twice"),
    "chat: against itself": (["chat", "tiny", "--against", "tiny"], "is the same policy"),
    "chat: JSON of what": (["chat", "tiny", "--json"], "--json: goes with --prompt"),
    "chat: nothing asked": (["chat", "tiny", "--prompt", " "], "--prompt: is empty"),
    "chat: no text": (["chat", "tiny", "--prompt", "a\udcff"], "holds a lone surrogate"),
    "chat: too cold": (["chat", "tiny", "--temperature", "-1"], "--temperature"),
    "chat: no temperature": (["chat", "tiny", "--temperature", "nan"], "--temperature"),
    "chat: no room": (["chat", "tiny", "--max-tokens", "0"], "--max-tokens"),
    "chat: a seed below 0": (["chat", "tiny", "--seed", "-1"], "--seed"),
    "compare: without prompts": (["compare", "tiny"], "--prompts"),
    "compare: no such file": (["compare", "tiny", "--prompts", "no.jsonl"], "no such file"),
    "compare: none of them": (
        ["compare", "tiny", "--prompts", "no.jsonl", "--limit", "0"],
        "--limit",
    ),
    "compare: one policy twice": (
        ["compare", "tiny", "--prompts", "no.jsonl", *TWICE],
        "names one policy twice",
    ),
    "export: where to": (["export", "tiny"], "--to"),
    "export: no such run": (["export", "nobody", "--to", "out"], "no such run"),
    "export: the base": (["export", "tiny", "--to", "out", "--round", "0"], "0 is the base"),
    "export: no such round": (["export", "tiny", "--to", "out", "--round", "3"], "no round 3"),
    "export: no adapter": (["export", "tiny", "--to", "out", "--adapter"], "has no adapter"),
    "export: a round's student": (
        ["export", "tiny", "--to", "out", "--student", "--round", "1"],
        "without --adapter and --round",
    ),
    "export: no repository": (
        ["export", "tiny", "--to", "out", "--push", "tiny"],
        "is not OWNER/NAME",
    ),
    "export: offline": (
        ["export", "tiny", "--to", "out", "--push", "me/tiny"],
        "HF_HUB_OFFLINE is set",
    ),
    "export: public": (["export", "tiny", "--to", "out", "--public"], "--public: goes with --push"),
    "serve: no such run": (["serve", "nobody"], "no such run"),
    "serve: no port": (["serve", "tiny", "--port", "0"], "--port"),
    "serve: no such port": (["serve", "tiny", "--port", "70000"], "--port"),
    "serve: two policies": (["serve", "tiny", "--base", "--round", "1"], "goes without --round"),
}


@pytest.fixture
def place(tiny_run, tmp_path, monkeypatch):
    """The finished run, from another folder, with a space in its name."""
    (tmp_path / "another folder").mkdir()
    monkeypatch.chdir(tmp_path / "another folder")
    return Place(tiny_run)


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input(refuse, place, name, tmp_path):
    arguments, said = REFUSED[name]
    assert said in refuse(*arguments, *place.options)
    assert not list((tmp_path / "another folder").iterdir())


def test_prompts_that_leave_no_room_for_an_answer_are_named_by_their_line(refuse, place, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text('{"prompt": "short"}\n{"prompt": "%s"}\n' % ("word " * 200))
    line = refuse("compare", "tiny", "--prompts", str(path), *place.options)
    assert "long.jsonl line 2: " in line and "that base reads; shorten it" in line


def test_prompts_that_are_none(refuse, place, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"nothing": "?"}\n')
    assert "bad.jsonl line 1" in refuse("compare", "tiny", "--prompts", str(path), *place.options)


def test_a_result_that_cannot_be_written(refuse, place, tmp_path):
    path = tmp_path / "one.jsonl"
    path.write_text('{"prompt": "short"}\n')
    (tmp_path / "file").touch()
    out = ["--quiet", "--out", str(tmp_path / "file" / "out")]
    line = refuse("compare", "tiny", "--prompts", str(path), *out, *place.options)
    assert line.startswith("--out: ") and "cannot be written" in line


def test_a_store_without_the_runs_weights(refuse, place, tmp_path):
    line = refuse("chat", "tiny", "--runs-dir", str(place.runs), "--store", str(tmp_path / "no"))
    assert "name the run's store with --store" in line


def test_a_port_that_is_taken(refuse, place):
    pytest.importorskip("vllm")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refuse("serve", "tiny", "--port", str(port), *place.options)
    assert f"--port: {port} cannot be used" in line


def test_without_vllm(refuse, place, monkeypatch):
    known = util.find_spec
    monkeypatch.setattr(engine_choice, "find_spec", lambda n: None if n == "vllm" else known(n))
    assert "vLLM is not installed; install the extra" in refuse("serve", "tiny", *place.options)
