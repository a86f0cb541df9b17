"""A policy that a vLLM server serves already, spoken to over its OpenAI-compatible API.

The loop changes the weights each round, so the server must take new ones: start `vllm serve` with
VLLM_SERVER_DEV_MODE=1, on a trusted network, where it can read the artifact store under the same
paths. Not one on a CPU for a model with tied embeddings: vLLM 0.32 keeps the old ones in its output
layer there (models/engines/vllm.py repairs its own). Which server it is:
models/engines/openai_server.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer, stop_ids
from models.engines import openai_server, patient
from models.engines.at_once import ask_all
from models.engines.base import (
    OnProgress,
    Output,
    Sampling,
    Served,
    canary_logprobs,
    check_lengths,
    hand_over,
    make_output,
    sample_seeds,
)
from models.engines.completions import complete
from models.templates import stop_marks

_CONCURRENT = 64  # requests on their way at once; the server batches them
_SECONDS = 600.0  # a request may wait behind all others
# A server takes what a request leaves open from the model's generation_config.json.
_PLAIN = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class OpenAIEngine:
    """Generation by a server that runs elsewhere; it is never started or stopped here."""

    name = "openai"

    def __init__(self, model_dir: Path, runtime: RuntimeConfig, max_model_len: int) -> None:
        there = openai_server.of_environment()
        self._url, self._root = there.url, there.root
        self._client = httpx.Client(
            headers=there.headers,
            timeout=_SECONDS,
            limits=httpx.Limits(max_connections=_CONCURRENT),
        )
        try:
            self.version, self._model = there.version(), openai_server.model()
            self._max_model_len = max_model_len
            self._tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
            self._marks = stop_marks(self._tokenizer)
            self._read(Path(model_dir))
            self._served = Served(Path(model_dir), canary_logprobs(self, self._tokenizer))
        except BaseException:
            self.close()
            raise

    def load(self, model_dir: Path) -> None:
        self._served = hand_over(self, self._tokenizer, self._read, self._served, Path(model_dir))

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        on_progress: OnProgress | None = None,
    ) -> list[list[Output]]:
        check_lengths([len(prompt) for prompt in prompts], self._max_model_len - 1)
        words = {"stop": list(self._marks)} if self._marks else {}
        requests = [
            {
                "prompt": list(prompt),
                "seed": seed,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_tokens": min(sampling.max_tokens, self._max_model_len - len(prompt)),
                "stop_token_ids": self._stop,
                "return_token_ids": True,
                **_PLAIN,
                **words,
            }
            for prompt, prompt_seed in zip(prompts, seeds, strict=True)
            for seed in sample_seeds(prompt_seed, sampling.k)
        ]
        found: dict[int, Output] = {}

        def came(place: int, choice: dict[str, Any]) -> None:
            ids = choice.get("token_ids")
            if ids is None:
                raise InputError(
                    f"generate.engine: the server at {self._url} returns no token ids; "
                    "use a vLLM server of version 0.11 or later"
                )
            found[place] = make_output(self._tokenizer, ids, self._stop, self._marks)
            if on_progress:
                on_progress(len(found) // sampling.k, len(prompts))

        ask_all(self._complete, requests, _CONCURRENT, came)
        outputs = [found[place] for place in range(len(requests))]
        return [outputs[i : i + sampling.k] for i in range(0, len(outputs), sampling.k)]

    def logprobs(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        pairs = list(zip(prompts, completions, strict=True))
        check_lengths([len(prompt) for prompt, _ in pairs], self._max_model_len - 1)
        check_lengths([len(p) + len(c) for p, c in pairs], self._max_model_len - 1, "sequence")
        asked = {"max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        requests = [{"prompt": [*prompt, *tail], **asked} for prompt, tail in pairs]
        choices: dict[int, dict[str, Any]] = {}
        ask_all(self._complete, requests, _CONCURRENT, choices.__setitem__)
        return [
            [
                entry[str(token)]["logprob"]
                for entry, token in zip(
                    choice["prompt_logprobs"][len(prompt) :], completion, strict=True
                )
            ]
            for choice, (prompt, completion) in zip(
                (choices[place] for place in range(len(pairs))), pairs, strict=True
            )
        ]

    def sleep(self) -> None:
        """The server's memory is its owner's."""

    def close(self) -> None:
        self._client.close()

    def _complete(self, request: dict[str, Any]) -> dict[str, Any]:
        body = {"model": self._model, **request}  # with its seed: asking twice gives the same
        return complete(self._client, self._url, body, "generate.engine")

    def _read(self, model_dir: Path) -> None:
        """Have the server read other weights from disk and forget what it cached of the old."""
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(model_dir.resolve())}}
        answer = patient.post(self._client, f"{self._root}/collective_rpc", body)
        if answer.is_success:
            answer = patient.post(self._client, f"{self._root}/reset_prefix_cache")
        if not answer.is_success:
            raise InputError(
                f"generate.engine: the server at {self._root} does not take new weights (HTTP "
                f"{answer.status_code}); start vllm serve with VLLM_SERVER_DEV_MODE=1 where it "
                f"can read '{model_dir}'"
            )
        self._stop = stop_ids(self._tokenizer, model_dir)
