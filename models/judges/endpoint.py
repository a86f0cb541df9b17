"""A language model behind an OpenAI-compatible server (models/engines/openai_server.py), asked in
its chat format.

What a run pays for is kept as soon as it is there: a replies file remembers every reply, so that a
run that dies in the middle does not ask again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

from data.errors import InputError
from models.engines import openai_server as server
from models.engines import patient
from models.engines.at_once import ask_all

OnProgress = Callable[[int, int], None]
Ended = Literal["stop", "length", "too_long", "refused"]

_CONCURRENT = 16  # requests on their way at once
_SECONDS = 300.0  # for one reply
LONGER = 2  # times the tokens, for a reply that was cut off
# What servers call a question that is longer than the model reads, and one that a filter keeps out.
_TOO_LONG = ("context_length", "context length", "maximum context", "too long", "max_model_len")
_FILTERED = ("content_filter", "content_policy", "content management policy")


@dataclass(frozen=True)
class Reply:
    """What came back for one question, and what it cost, cut-off replies included.

    `ended`: "stop"; "length": still cut off when it was given more tokens; "too_long": the
    question is longer than the model reads; "refused": by a filter of the server.
    """

    text: str
    ended: Ended
    calls: int
    prompt_tokens: int
    completion_tokens: int
    uncounted: int = 0  # calls of which the server did not say the tokens


class ChatEndpoint:
    """A judge's server. `field` is the recipe's, for messages, which never hold the key."""

    def __init__(
        self,
        model: str,
        field: str,
        *,
        max_tokens: int,
        temperature: float | None = 0.0,
        attempts: int = 5,
        seconds: float = _SECONDS,
    ) -> None:
        there = server.of_environment(field)
        self._url = there.url
        self._field, self._model = field, model
        self._max_tokens, self._temperature, self._attempts = max_tokens, temperature, attempts
        self._limit = "max_tokens"  # or as newer models of OpenAI have it
        self._client = httpx.Client(
            headers=there.headers,
            timeout=seconds,
            limits=httpx.Limits(max_connections=_CONCURRENT),
        )

    def __enter__(self) -> "ChatEndpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def replies(
        self,
        questions: Sequence[list[dict[str, str]]],
        *,
        kept: Path | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Reply]:
        """A reply to each question, in order.

        Args:
            kept: A file of replies that are there already; new ones are added as they come.

        Raises:
            InputError: the server refuses the key or the request, or knows no such model, or what
                it answers is no chat completion.
            ServerError: it stays away or busy.
        """
        book = _Replies(kept)
        names = [self._name(question) for question in questions]
        waiting = {name: q for name, q in zip(names, questions, strict=True) if name not in book}
        done = len(questions) - len(waiting)
        keys = list(waiting)

        def came(place: int, reply: Reply) -> None:
            nonlocal done
            book.add(keys[place], reply)
            done += 1
            if on_progress:
                on_progress(done, len(questions))

        ask_all(self.reply, list(waiting.values()), _CONCURRENT, came)
        return [book[name] for name in names]

    def reply(self, question: list[dict[str, str]]) -> Reply:
        """The reply to one question, asked once more with more tokens if it was cut off."""
        first = self._ask(question, self._max_tokens)
        if first.ended != "length":
            return first
        second = self._ask(question, LONGER * self._max_tokens)
        better = second if second.ended == "stop" else first
        return Reply(
            better.text,
            better.ended,
            first.calls + second.calls,
            first.prompt_tokens + second.prompt_tokens,
            first.completion_tokens + second.completion_tokens,
            first.uncounted + second.uncounted,
        )

    def _ask(self, question: list[dict[str, str]], max_tokens: int) -> Reply:
        answer = self._answered(question, max_tokens)
        if answer.is_client_error and self._wants_other_limit(answer):
            self._limit = "max_completion_tokens"
            answer = self._answered(question, max_tokens)
        if answer.is_client_error and not patient.is_busy(answer):
            return self._refused(answer)
        if not answer.is_success:
            raise patient.away(self._field, self._url, answer, self._client)
        content = _completion(answer)
        if content is None:
            raise InputError(
                f"{self._field}: the server at {self._url} answers what is no chat completion: "
                f"'{patient.shown(answer.text, self._client)}'; check OPENAI_BASE_URL"
            )
        choice, usage = content["choices"][0], content.get("usage")
        ended = {"length": "length", "content_filter": "refused"}.get(choice["finish_reason"])
        counted = usage if isinstance(usage, dict) else {}
        return Reply(
            choice["message"].get("content") or "",
            ended or "stop",  # type: ignore[arg-type]
            1,
            int(counted.get("prompt_tokens") or 0),
            int(counted.get("completion_tokens") or 0),
            int(not counted),
        )

    def _answered(self, question: list[dict[str, str]], max_tokens: int) -> httpx.Response:
        """What the server answers; one that is cut in the middle is asked for again."""
        body: dict[str, Any] = {
            "model": self._model,
            "messages": question,
            self._limit: max_tokens,
        }
        if self._temperature is not None:
            body["temperature"] = self._temperature
        if self._temperature:
            body["seed"] = seed_of(question)
        whole: Retrying = Retrying(
            retry=retry_if_result(lambda a: a.is_success and _completion(a) is None),
            wait=wait_random_exponential(max=patient.LONGEST_PAUSE),
            stop=stop_after_attempt(self._attempts),
            retry_error_callback=lambda state: state.outcome.result(),  # type: ignore[union-attr]
        )
        url = f"{self._url}/chat/completions"
        try:
            answer: httpx.Response = whole(patient.post, self._client, url, body, self._attempts)
        except httpx.TransportError as error:
            raise patient.away(self._field, self._url, error, self._client) from error
        return answer

    def _wants_other_limit(self, answer: httpx.Response) -> bool:
        return self._limit == "max_tokens" and "max_completion_tokens" in answer.text

    def _refused(self, answer: httpx.Response) -> Reply:
        """A reply that says so, where the question is at fault. Raises InputError elsewhere."""
        said, status = answer.text.lower(), answer.status_code
        if status in (400, 413, 422):
            if status == 413 or any(word in said for word in _TOO_LONG):
                return Reply("", "too_long", 1, 0, 0)
            if any(word in said for word in _FILTERED):
                return Reply("", "refused", 1, 0, 0)
        whose = f"{self._field}: the server at {self._url}"
        if status in (401, 403):
            raise InputError(f"{whose} refuses the key (HTTP {status}); check OPENAI_API_KEY")
        shown = patient.shown(answer.text, self._client)
        if status == 404:
            raise InputError(
                f"{whose} has no model '{self._model}' or no chat completions (HTTP 404: {shown}); "
                "write openai:MODEL or set OPENAI_MODEL, and check OPENAI_BASE_URL"
            )
        raise InputError(f"{whose} refuses a request (HTTP {status}): {shown}")

    def _name(self, question: list[dict[str, str]]) -> str:
        asked = [self._model, self._url, question, self._max_tokens, self._temperature]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def seed_of(question: list[dict[str, str]]) -> int:
    """The seed of a verdict that is drawn: the same for the same question, wherever it stands."""
    return int(hashlib.sha256(json.dumps(question).encode()).hexdigest()[:7], 16)


def model_of(name: str, field: str) -> str:
    """The model to ask for of a judge "openai:MODEL" or "openai". Raises InputError."""
    return name.partition(":")[2] or server.model(field)


def _completion(answer: httpx.Response) -> dict[str, Any] | None:
    """The content of a chat completion; None: it is none, or not whole."""
    try:
        content = answer.json()
        choice = content["choices"][0]
        text = choice["message"].get("content")
        known = "finish_reason" in choice and (text is None or isinstance(text, str))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return content if known else None


class _Replies:
    """Replies by the name of their question, in memory and a line each in a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Reply] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            whole = path.read_bytes().rpartition(b"\n")[0]  # the last line may be cut off
            for line in whole.splitlines():
                name, reply = json.loads(line)
                self._known[name] = Reply(**reply)
            path.write_bytes(whole + b"\n" if whole else b"")

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> Reply:
        return self._known[name]

    def add(self, name: str, reply: Reply) -> None:
        if name in self._known:
            return
        self._known[name] = reply
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, asdict(reply)]) + "\n")
