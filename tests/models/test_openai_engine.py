"""The engine for a served policy, against a loopback server that answers as vLLM's does.

The server generates with the transformers engine, so completions can be compared exactly.
"""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import InputError, ServerError, TrainingError
from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer, stop_ids
from models.engines import Engine, open_engine, patient
from models.engines.base import Sampling, make_output
from models.engines.transformers import TransformersEngine

SAMPLED = Sampling(k=3, temperature=1.0, top_p=0.9, max_tokens=12)
KEY = "the-key"


class Server(ThreadingHTTPServer):
    """A policy behind the requests that the engine makes of vLLM."""

    daemon_threads = True
    request_queue_size = 64  # all that the engine sends at once

    def __init__(self, policy: TransformersEngine) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.policy = policy
        self.lock = threading.Lock()
        self.takes_weights = True
        self.ignores_weights = False
        self.resets = 0
        self.failures: list[int] = []  # HTTP statuses to answer first; 0 breaks the connection

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/version":
            return 200, {"version": "0.32.0"}
        if path == "/v1/models":
            return 200, {"data": [{"id": "policy"}]}
        if path == "/collective_rpc" and self.takes_weights:
            assert body["method"] == "reload_weights"
            if not self.ignores_weights:
                self.policy.load(Path(body["kwargs"]["weights_path"]))
            return 200, {"results": []}
        if path == "/reset_prefix_cache":
            self.resets += 1
            return 200, None
        if path == "/v1/completions" and body["model"] == "policy":
            return 200, {"choices": [self.complete(body)]}
        return 404, {"detail": "Not Found"}

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["prompt"]
        if "prompt_logprobs" in body:
            values = self.policy.logprobs([prompt[:1]], [prompt[1:]])[0]
            pairs = zip(prompt[1:], values, strict=True)
            return {"prompt_logprobs": [None] + [{str(t): {"logprob": v}} for t, v in pairs]}
        uniform = torch.Generator().manual_seed(body["seed"] % 2**32)
        seed = int(torch.randint(2**31, (1,), generator=uniform))
        sampling = Sampling(1, body["temperature"], body["top_p"], body["max_tokens"])
        return {"token_ids": self.policy.generate([prompt], [seed], sampling)[0][0].token_ids}


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply()

    def do_POST(self) -> None:
        self.reply()

    def reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            status, answer = 401, {"error": "Unauthorized"}
        elif self.path == "/v1/completions" and self.server.failures:
            status, answer = self.server.failures.pop(), {"error": "not now"}
            if not status:
                self.close_connection = True
                return
        else:
            with self.server.lock:
                status, answer = self.server.answer(self.path, json.loads(body or b"{}"))
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(
    transformers_engine: TransformersEngine, policy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    transformers_engine.load(policy_dir)
    server = Server(transformers_engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def opened(model_dir: Path) -> Engine:
    return open_engine("openai", model_dir, RuntimeConfig(), 128, seed=0)


def test_it_gives_what_the_server_generates_in_order(
    server: Server, policy_dir: Path, prompts: list[list[int]]
) -> None:
    engine = opened(policy_dir)
    assert (engine.name, engine.version) == ("openai", "0.32.0")
    seen: list[tuple[int, int]] = []
    outputs = engine.generate(prompts[:6], range(6), SAMPLED, lambda *step: seen.append(step))
    assert engine.generate(prompts[:6], range(6), SAMPLED) == outputs
    assert engine.generate(prompts[5:3:-1], [5, 4], SAMPLED) == outputs[5:3:-1]
    assert [len(row) for row in outputs] == [3] * 6
    assert len({output.text for row in outputs for output in row}) > 12
    assert seen[-1] == (6, 6)
    engine.close()


def test_words_that_end_an_answer_are_asked_for_and_cut_off(
    server: Server, policy_dir: Path, tmp_path: Path, prompts: list[list[int]]
) -> None:
    """The server here does not heed `stop`, so all of the cutting is the engine's."""
    asked: list[dict[str, Any]] = []
    complete = server.complete
    server.complete = lambda body: [asked.append(body), complete(body)][1]  # type: ignore
    free = opened(policy_dir).generate(prompts[:6], range(6), SAMPLED)
    assert not any("stop" in body for body in asked)
    shutil.copytree(policy_dir, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "chat_template.jinja"
    path.write_text('{#- ends at ["e"] -#}' + path.read_text())
    marked = opened(tmp_path).generate(prompts[:6], range(6), SAMPLED)
    assert asked[-1]["stop"] == ["e"]
    tokenizer = load_tokenizer(tmp_path)
    assert marked != free and marked == [
        [make_output(tokenizer, o.token_ids, stop_ids(tokenizer, tmp_path), ["e"]) for o in row]
        for row in free
    ]


def test_greedy_and_logprobs_are_those_of_the_policy(
    server: Server, policy_dir: Path, prompts: list[list[int]]
) -> None:
    engine = opened(policy_dir)
    greedy = Sampling(1, 0.0, 1.0, 12)
    outputs = engine.generate(prompts[:5], [0] * 5, greedy)
    assert outputs == server.policy.generate(prompts[:5], [0] * 5, greedy)
    completions = [output.token_ids for (output,) in outputs]
    expected = server.policy.logprobs(prompts[:5], completions)
    for got, values in zip(engine.logprobs(prompts[:5], completions), expected, strict=True):
        assert got == pytest.approx(values, abs=1e-4)
    engine.close()


def test_new_weights_are_handed_over_and_checked(
    server: Server, policy_dir: Path, other_policy_dir: Path, prompts: list[list[int]]
) -> None:
    engine = opened(policy_dir)
    greedy = Sampling(1, 0.0, 1.0, 12)
    before = engine.generate(prompts[:5], [0] * 5, greedy)
    resets = server.resets
    engine.load(other_policy_dir)
    assert server.resets == resets + 1
    assert engine.generate(prompts[:5], [0] * 5, greedy) != before
    server.ignores_weights = True
    with pytest.raises(TrainingError, match="still serves the old weights"):
        engine.load(policy_dir)
    engine.close()


def test_a_server_that_takes_no_weights_is_refused(server: Server, policy_dir: Path) -> None:
    server.takes_weights = False
    with pytest.raises(InputError, match=r"HTTP 404.*VLLM_SERVER_DEV_MODE=1"):
        opened(policy_dir)


def test_a_wrong_model_name_is_refused(
    server: Server, policy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "another")
    with pytest.raises(InputError, match="refuses a request"):
        opened(policy_dir)


def test_the_key_comes_from_the_environment_and_stays_out_of_messages(
    server: Server, policy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong-key")
    with pytest.raises(InputError, match="HTTP 401.*OPENAI_API_KEY") as caught:
        opened(policy_dir)
    assert "wrong-key" not in str(caught.value)


def test_it_asks_again_when_the_server_is_away_for_a_moment(
    server: Server, policy_dir: Path, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "LONGEST_PAUSE", 0.01)
    engine = opened(policy_dir)
    expected = engine.generate(prompts[:4], range(4), SAMPLED)
    server.failures = [0, 503, 0, 429, 502, 0]
    assert engine.generate(prompts[:4], range(4), SAMPLED) == expected
    assert server.failures == []
    engine.close()


@pytest.mark.parametrize(
    ("status", "says"), [(0, "does not answer ("), (503, "is busy or broken (HTTP 503: ")]
)
def test_a_server_that_stays_away_is_no_wrong_input(
    server: Server,
    policy_dir: Path,
    prompts: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    says: str,
) -> None:
    monkeypatch.setattr(patient, "LONGEST_PAUSE", 0.01)
    engine = opened(policy_dir)
    server.failures = [status] * 100
    with pytest.raises(ServerError) as caught:  # not InputError: the stage tries again
        engine.generate(prompts[:1], [0], Sampling(1, 0.0, 1.0, 4))
    assert str(caught.value).startswith("generate.engine: the server at http://127.0.0.1:")
    assert says in str(caught.value) and "run the same command again" in str(caught.value)
    assert caught.value.exit_code == 1
    assert len(server.failures) == 100 - patient.ATTEMPTS
    engine.close()


def test_without_a_server_it_says_what_to_set(
    policy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError, match="set OPENAI_BASE_URL"):
        opened(policy_dir)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(InputError, match="no server answers"):
        opened(policy_dir)
