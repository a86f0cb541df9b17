"""Talking to two policies: the same seed, each with its own side of the conversation."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from cli.main import main
from cli.use.chat import decoding_of, open_chat
from cli.use.policies_of import pair_of
from cli.use.talk import printable
from data.errors import InputError
from data.recipes.recipe import DecodingConfig, RuntimeConfig
from flows.recipe_files import recorded_recipe
from models.chat import load_tokenizer, render_prompt
from models.engines.base import Sampling
from models.engines.transformers import TransformersEngine
from tests.cli.use.used import Place, copied, none_adopted
from tests.repository import ROOT

QUESTION = [{"role": "user", "content": "What is 3 plus 4?"}]


@pytest.fixture(scope="module")
def place(tiny_run):
    return Place(tiny_run)


@pytest.fixture
def chat(place):
    policies = pair_of(place.store, place.runs, "tiny", None, None)
    made = open_chat(policies, decoding_of(recorded_recipe(place.summary())), seed=5)
    yield made
    made.close()


def generated(policy, messages, decoding, seed):
    """What the engine answers that the run itself was evaluated with."""
    engine = TransformersEngine(policy.path, RuntimeConfig(), 256)
    prompt = render_prompt(load_tokenizer(policy.path), messages)
    sampling = Sampling(1, decoding.temperature, decoding.top_p, decoding.max_tokens)
    return engine.generate([prompt], [seed], sampling)[0][0]


def test_answers_are_those_of_the_runs_engine_with_the_same_seed(chat):
    answers = chat.ask(QUESTION)
    for speaker, answer in zip(chat.speakers, answers, strict=True):
        wanted = generated(speaker.policy, QUESTION, chat.decoding, 5)
        assert (answer.text, answer.tokens) == (wanted.text, wanted.n_tokens)
    assert answers[0].text != answers[1].text


def test_the_decoding_is_that_of_the_evaluation_unless_said_otherwise(place):
    recipe = recorded_recipe(place.summary())
    assert decoding_of(recipe) == DecodingConfig(temperature=0.7, top_p=1.0, max_tokens=12)
    assert decoding_of(recipe, 0, 3).model_dump() == {
        "temperature": 0,
        "top_p": 1.0,
        "max_tokens": 3,
    }


def test_what_is_streamed_grows_into_the_answer(chat):
    grown = ([], [])
    answers = chat.ask(QUESTION, lambda place, text: grown[place].append(text))
    for texts, answer in zip(grown, answers, strict=True):
        assert len(texts) == answer.tokens
        assert all(answer.text.startswith(text) for text in texts)
        assert texts[-1].rstrip("\N{REPLACEMENT CHARACTER}") == answer.text.rstrip(
            "\N{REPLACEMENT CHARACTER}"
        )


def test_each_goes_on_from_its_own_answers_until_it_starts_anew(chat):
    first = chat.ask(QUESTION)
    again = [{"role": "user", "content": "And plus 5?"}]
    second = chat.ask(again)
    for speaker, said, answer in zip(chat.speakers, first, second, strict=True):
        talk = [*QUESTION, {"role": "assistant", "content": said.text}, *again]
        assert answer.text == generated(speaker.policy, talk, chat.decoding, 5).text
    chat.reset()
    assert chat.ask(QUESTION) == first
    chat.seed = 6
    chat.reset()
    assert chat.ask(QUESTION) != first


def test_a_conversation_that_has_become_too_long_stays_as_it_was(chat):
    chat.ask(QUESTION)
    before = [list(speaker.messages) for speaker in chat.speakers]
    with pytest.raises(InputError, match=r"tokens and base reads 256; start anew"):
        chat.ask([{"role": "user", "content": "word " * 300}])
    assert [speaker.messages for speaker in chat.speakers] == before


def test_interrupted_in_the_second_answer_it_stays_as_it_was(chat):
    def stop(place, text):
        if place == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chat.ask(QUESTION, stop)
    assert [speaker.messages for speaker in chat.speakers] == [[], []]


def test_one_json_object_with_all_that_decided_it(place, capsys):
    call = ["chat", "tiny", "--prompt", "Was ist 3 plus 4? é", "--json", "--seed", "7"]
    printed = []
    for _ in range(2):
        assert main([*call, "--temperature", "0.5", *place.options]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and printed[0].count("\n") == 1 and printed[0].isascii()
    said = json.loads(printed[0])
    assert said["prompt"] == "Was ist 3 plus 4? é" and said["seed"] == 7
    assert (said["temperature"], said["max_tokens"]) == (0.5, 12)
    assert [answer["name"] for answer in said["answers"]] == ["base", "round 2"]
    assert said["answers"][1]["digest"] == place.summary().links["policy"]


def test_a_session_over_pipes(place, capsys, monkeypatch):
    lines = "/help\n/next\nAnd then?\n/seed seven\n/seed 7\n/dance\n/reset\n\n/quit\nnot read\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert main(["chat", "tiny", "--rounds", "1,2", *place.options]) == 0
    out = capsys.readouterr().out
    assert "tiny: round 1 and round 2, temperature 0.7, seed 0." in out
    assert out.count("\nround 1: ") == out.count("\nround 2: ") == 2
    assert "Held-out prompt" in out and "What is " in out
    for said in ("takes a whole number", "Seed 7.", "No command /dance", "A new conversation."):
        assert said in out
    assert "not read" not in out


def test_a_policy_that_was_not_adopted_is_called_so(tiny_run, tmp_path, capsys):
    place = copied(tiny_run, tmp_path / "copy")
    place.change("refused", none_adopted)
    call = ["chat", "refused", "--rounds", "1", "--prompt", "Hello", *place.options]
    assert main(call) == 0
    printed = capsys.readouterr()
    assert "refused, round 1: this policy was not adopted" in printed.err
    assert printed.out.startswith("base: ")


def test_a_model_cannot_command_the_terminal():
    assert printable("a\x1b[2Jb\x07c\x9bd\u202ee\tf\n") == "a�[2Jb�c�d�e\tf\n"


def test_on_a_terminal_of_80_columns(place):
    """Both answers beside each other, as they grow."""
    arguments = ["chat", "tiny", "--rounds", "1,2", *place.options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as process:
        os.close(theirs)
        text = typed(ours, ["/next", "/quit"])
    os.close(ours)
    assert process.returncode == 0
    assert "loading round 1 and round 2" in text and "Held-out prompt" in text
    heads = [line for line in text.splitlines() if "round 1 " in line and "round 2 " in line]
    assert any(line.index("round 2 ") - line.index("round 1 ") >= 38 for line in heads)
    assert "tokens" in text


def typed(terminal, lines):
    """What is shown until the other end is closed; a line is typed at each prompt."""
    shown, answered = b"", 0
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # closed
            part = b""
        if not part:
            return shown.decode(errors="replace")
        shown += part
        while shown.count(b"> ") > answered and lines:
            os.write(terminal, f"{lines.pop(0)}\n".encode())
            answered += 1
