"""A policy behind vLLM's server: the same answers, on loopback, and nothing left when it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from cli.main import main
from cli.use.policies_of import policy_of
from cli.use.serve import longest
from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer, render_prompt
from models.engines.base import Sampling
from models.engines.transformers import TransformersEngine
from tests.cli.use.used import Place
from tests.repository import ROOT

WAIT = 300  # seconds for vLLM to start on a busy machine
MESSAGES = [{"role": "user", "content": "What is 3 plus 4?"}]


@pytest.fixture(scope="module")
def place(tiny_run):
    return Place(tiny_run)


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def server(place, port, tmp_path):
    pytest.importorskip("vllm")
    log = tmp_path / "a log.txt"
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "serve", "tiny", "--port", str(port), "--log", str(log)]
        + place.options,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def ready(process):
    """What it prints until the server answers."""
    lines = []
    while not lines or "answers at" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], lines
    return "".join(lines)


def greedy(place):
    """Token ids of the likeliest answer by the run's own engine."""
    policy = policy_of(place.store, place.summary())
    prompt = render_prompt(load_tokenizer(policy.path), MESSAGES)
    engine = TransformersEngine(policy.path, RuntimeConfig(), 256)
    return engine.generate([prompt], [0], Sampling(1, 0.0, 1.0, 12))[0][0].token_ids


def gone(processes):
    """Those that are left after some seconds; zombies of others do not count."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    return [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(2 * WAIT)
@pytest.mark.parametrize(
    "end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name
)
def test_it_answers_on_loopback_and_leaves_nothing(server, place, port, end):
    said = ready(server)
    assert f"tsalign/tiny answers at http://127.0.0.1:{port}/v1" in said
    request = {"model": "tsalign/tiny", "messages": MESSAGES, "temperature": 0, "max_tokens": 12}
    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json=request | {"return_token_ids": True},
        timeout=60,
        trust_env=False,
    )
    assert answer.json()["choices"][0]["token_ids"] == greedy(place)
    below = psutil.Process(server.pid).children(recursive=True)
    assert len(below) >= 3  # the child, the server and its engine
    hosts = {
        c.laddr.ip
        for one in below
        for c in one.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    }
    assert hosts == {"127.0.0.1"}
    server.send_signal(end)
    rest = server.stdout.read()
    if end == signal.SIGKILL:
        assert server.wait(30) == -signal.SIGKILL
    else:
        assert server.wait(30) == 0 and rest.rstrip().endswith("Stopped.")
    assert not gone(below)


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(2 * WAIT)
def test_a_server_that_cannot_start_is_one_line(place, port, tmp_path, capsys, monkeypatch):
    pytest.importorskip("vllm")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "not a number")
    log = tmp_path / "log.txt"
    started = time.monotonic()
    code = main(["serve", "tiny", "--port", str(port), "--log", str(log), *place.options])
    line = capsys.readouterr().err
    assert code == 1 and line.count("\n") == 1 and time.monotonic() - started < WAIT
    assert re.search(r"vLLM ended with exit status \d+ \(\w+: .*\); see .*log.txt", line)


def test_the_longest_request(place):
    policy = policy_of(place.store, place.summary())
    assert longest(policy, None) == 256  # all that the model reads
    assert longest(policy, 100) == 100
    with pytest.raises(InputError, match="--max-length: the model reads 256 tokens, not 300"):
        longest(policy, 300)


def test_a_log_that_cannot_be_written(place, port, tmp_path, capsys):
    pytest.importorskip("vllm")
    call = ["serve", "tiny", "--port", str(port), "--log", str(tmp_path), *place.options]
    assert main(call) == 2
    assert "cannot be written" in capsys.readouterr().err
