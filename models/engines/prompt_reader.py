"""The log-probabilities of what a server is sent: `prompt_logprobs`, which vLLM's completions give
beside those of OpenAI's API. Needs no tokenizer and no torch: prompts are token ids.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import numpy as np
import numpy.typing as npt

from data.errors import InputError
from models.engines import patient
from models.engines.at_once import ask_all
from models.engines.base import OnProgress
from models.engines.completions import complete
from models.engines.openai_server import of_teacher
from models.served import Served

_CONCURRENT = 64  # requests on their way at once; the server batches them
_SECONDS = 600.0  # a request may wait behind all others
_ROUNDING = 1e-3  # nats by which a log-probability may be above 0
_TOO_MANY = "max allowed"  # how vLLM says that it gives fewer


class Read(NamedTuple):
    """What a server says of T tokens, nats."""

    logps: npt.NDArray[np.float32]  # (T,) of the tokens themselves
    top_ids: npt.NDArray[np.int32]  # (T, k), the most likely first
    top_logps: npt.NDArray[np.float32]  # (T, k)


class PromptReader:
    """One model of a server. Raises InputError and ServerError as `complete` does."""

    def __init__(self, served: Served) -> None:
        self._served, self._server = served, of_teacher(served.url, served.field)
        self._client = httpx.Client(
            headers=self._server.headers,
            timeout=_SECONDS,
            limits=httpx.Limits(max_connections=_CONCURRENT),
        )

    def longest(self) -> int | None:
        """Tokens of a prompt with what is sampled, by the server; None: it does not say."""
        said = self._server.listed(silent=True).get(self._served.model, {}).get("max_model_len")
        return said if isinstance(said, int) else None

    def tokenized(self, text: str) -> list[int] | None:
        """Ids that the server's tokenizer gives of a text, no special ones; None: it is not asked.

        vLLM's servers have one; others need not.
        """
        body = {"model": self._served.model, "prompt": text, "add_special_tokens": False}
        try:
            answer = patient.post(self._client, f"{self._server.root}/tokenize", body)
            found = answer.json()["tokens"] if answer.is_success else None
        except (httpx.TransportError, ValueError, LookupError, TypeError):
            return None
        return found if isinstance(found, list) else None

    def check(self, k: int) -> None:
        """InputError unless the server gives the `k` most likely tokens of a prompt."""
        self.read([([0], [0])], k)

    def read(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        k: int,
        on_progress: OnProgress | None = None,
    ) -> list[Read]:
        """Of every pair of prompt and completion, token ids, what the model says of the completion.

        Args:
            k: Most likely tokens, at most as many as the vocabulary has.
        """
        requests = [
            {
                "model": self._served.model,
                "prompt": [*prompt, *completion],
                "max_tokens": 1,
                "temperature": 0,
                "prompt_logprobs": k,
            }
            for prompt, completion in pairs
        ]
        found: dict[int, Read] = {}

        def ask(place: int) -> Read:
            choice = self._choice(requests[place], k)
            completion = pairs[place][1]
            return self._read(choice, completion, k)

        def came(place: int, read: Read) -> None:
            found[place] = read
            if on_progress:
                on_progress(len(found), len(pairs))

        ask_all(ask, range(len(pairs)), _CONCURRENT, came)
        return [found[place] for place in range(len(pairs))]

    def close(self) -> None:
        self._client.close()

    def _choice(self, request: dict[str, Any], k: int) -> dict[str, Any]:
        try:
            return complete(self._client, self._served.url, request, self._served.field)
        except InputError as error:
            if _TOO_MANY not in str(error):
                raise
            raise InputError(
                f"{self._served.field}: the server at {self._served.url} gives fewer than {k} "
                f"log-probabilities of a token; start it with --max-logprobs {k}, or lower "
                "targets.k"
            ) from error

    def _read(self, choice: Mapping[str, Any], completion: Sequence[int], k: int) -> Read:
        entries = choice.get("prompt_logprobs")
        try:
            rows = [
                _row(entry, token, k)
                for entry, token in zip(entries[-len(completion) :], completion, strict=True)  # type: ignore[index]
            ]
        except (TypeError, ValueError, LookupError, AttributeError):
            raise InputError(
                f"{self._served.field}: the server at {self._served.url} gives no "
                "log-probabilities of prompts (prompt_logprobs); use one of vLLM (vllm serve)"
            ) from None
        logps = np.array([own for own, _, _ in rows], np.float32)
        top_ids = np.array([ids for _, ids, _ in rows], np.int32).reshape(-1, k)
        top_logps = np.array([values for _, _, values in rows], np.float32).reshape(-1, k)
        if (np.exp(top_logps.astype(np.float64)).sum(1) > np.exp(_ROUNDING)).any():
            raise InputError(
                f"{self._served.field}: the server at {self._served.url} gives logits in the place "
                "of log-probabilities; start it without --logprobs-mode"
            )
        return Read(logps, top_ids, top_logps)


def _row(
    entry: Mapping[str, Mapping[str, float]], token: int, k: int
) -> tuple[float, list[int], list[float]]:
    """Of a position: log-probability of its token, ids and log-probabilities of the k most likely.

    The server gives k + 1 where the token is none of these.
    """
    found = {int(name): float(one["logprob"]) for name, one in entry.items()}
    own = found[token]
    best = sorted(found, key=lambda name: -found[name])
    if len(best) > k:
        best.remove(token)
    if len(best) != k:
        raise ValueError(f"{len(best)} tokens in place of {k}")
    return own, best, [found[name] for name in best]
