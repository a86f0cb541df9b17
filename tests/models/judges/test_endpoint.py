"""A judge behind an endpoint: what is asked again, what is refused at once, what it costs.

Against scripted replies; against a real vLLM server in test_vllm_judge.py.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.errors import InputError, ServerError
from models.engines import openai_server, patient
from models.judges import endpoint
from models.judges.endpoint import ChatEndpoint, Reply
from tests.models.judges.served import DROP, HARM, KEY, Proxy, completion, proxy_to

QUESTIONS = [[{"role": "user", "content": f"question {n}"}] for n in range(8)]


def echo(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    if path == "/v1/models":
        return 200, b'{"data": [{"id": "judge"}, {"id": "other"}]}'
    if path != "/v1/chat/completions":
        return 404, b"Not Found"
    return completion(f"{body['messages'][0]['content']}\nVerdict: A")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(patient, "LONGEST_PAUSE", 0.01)
    with proxy_to(echo) as proxy:
        monkeypatch.setenv("OPENAI_BASE_URL", proxy.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.delenv("OPENAI_MODEL", raising=False)
        yield proxy


def opened(**settings: Any) -> ChatEndpoint:
    return ChatEndpoint("judge", "teacher.model", **({"max_tokens": 16} | settings))


def test_replies_come_in_order_with_their_cost(proxy: Proxy) -> None:
    seen: list[tuple[int, int]] = []
    with opened() as judge:
        replies = judge.replies(QUESTIONS, on_progress=lambda *step: seen.append(step))
    assert replies == [
        Reply(f"question {n}\nVerdict: A", "stop", 1, 10, 3) for n in range(len(QUESTIONS))
    ]
    assert seen[-1] == (8, 8)
    body = proxy.asked[0]
    assert body["model"] == "judge" and body["max_tokens"] == 16
    assert body["temperature"] == 0 and "seed" not in body


def test_nothing_is_lost_whatever_goes_wrong_on_the_way(proxy: Proxy) -> None:
    proxy.harm, proxy.slow = list(HARM), 1.0
    with opened(seconds=0.5, attempts=8) as judge:
        replies = judge.replies(QUESTIONS)
    assert [reply.text for reply in replies] == [f"question {n}\nVerdict: A" for n in range(8)]
    assert proxy.harm == [] and len(proxy.passed) == 8


def test_a_server_that_is_gone_is_named_with_what_to_do(proxy: Proxy) -> None:
    proxy.harm = [DROP] * 2
    with opened(attempts=2) as judge, pytest.raises(ServerError) as caught:
        judge.reply(QUESTIONS[0])
    said = str(caught.value)
    assert said.startswith(f"teacher.model: the server at {proxy.url} does not answer (")
    assert "run the same command again" in said and KEY not in said


def test_equal_questions_are_asked_once(proxy: Proxy) -> None:
    with opened() as judge:
        replies = judge.replies([QUESTIONS[0], QUESTIONS[1], QUESTIONS[0]])
    assert replies[0] == replies[2] and len(proxy.asked) == 2


def test_what_has_been_said_is_not_asked_again(proxy: Proxy, tmp_path: Path) -> None:
    kept = tmp_path / "scratch" / "replies.jsonl"
    with opened(attempts=1) as judge:
        first = judge.replies(QUESTIONS[:3], kept=kept)
        proxy.harm = [500] * 100
        with pytest.raises(ServerError, match=r"^teacher.model: the server at .* \(HTTP 500: not"):
            judge.replies(QUESTIONS, kept=kept)
        proxy.harm = []
        kept.write_bytes(kept.read_bytes() + b'["cut off by a kill')
        before = len(proxy.asked)
        replies = judge.replies(QUESTIONS, kept=kept)
        assert replies[:3] == first and len(proxy.asked) - before == 5
        assert judge.replies(QUESTIONS, kept=kept) == replies and len(proxy.asked) - before == 5
    with opened(max_tokens=17) as other:  # another question altogether
        other.replies(QUESTIONS[:1], kept=kept)
    assert len(proxy.asked) - before == 6
    assert KEY not in kept.read_text()


def test_a_reply_that_is_cut_off_is_asked_for_once_more_with_more_tokens(proxy: Proxy) -> None:
    needed = {"question 0": 20, "question 1": 40}

    def short(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        text = body["messages"][0]["content"]
        enough = body["max_tokens"] >= needed[text]
        return completion("Verdict: A" if enough else "Well", "stop" if enough else "length")

    proxy.upstream = short
    with opened() as judge:
        long, longer = judge.replies(QUESTIONS[:2])
    assert long == Reply("Verdict: A", "stop", 2, 20, 6)
    assert longer == Reply("Well", "length", 2, 20, 6)


@pytest.mark.parametrize(
    ("status", "content", "ended"),
    [
        (400, '{"error": {"code": "context_length_exceeded"}}', "too_long"),
        (400, "This model's maximum context length is 4096 tokens.", "too_long"),
        (413, "Payload Too Large", "too_long"),
        (400, '{"error": {"code": "content_filter"}}', "refused"),
    ],
)
def test_a_question_at_fault_costs_no_other(
    proxy: Proxy, status: int, content: str, ended: str
) -> None:
    def upstream(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        if body["messages"] == QUESTIONS[1]:
            return status, content.encode()
        return echo(path, body)

    proxy.upstream = upstream
    with opened() as judge:
        replies = judge.replies(QUESTIONS)
    assert [reply.ended for reply in replies] == ["stop", ended] + 6 * ["stop"]


def test_a_filter_and_an_empty_reply_and_no_usage(proxy: Proxy) -> None:
    said = iter([completion(None, "content_filter"), completion(None), completion("x", usage=None)])
    proxy.upstream = lambda path, body: next(said)
    with opened() as judge:
        replies = [judge.reply(question) for question in QUESTIONS[:3]]
    assert [(r.text, r.ended, r.uncounted) for r in replies] == [
        ("", "refused", 0),
        ("", "stop", 0),
        ("x", "stop", 1),
    ]


def test_a_refused_key_ends_at_once_and_is_in_no_message(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-and-secret")
    for ask in (
        lambda: opened().replies(QUESTIONS),
        lambda: openai_server.check_listed("judge", "teacher.model"),
    ):
        with pytest.raises(
            InputError, match=r"teacher.model: .*HTTP 401.*OPENAI_API_KEY"
        ) as caught:
            ask()
        assert "sk-wrong" not in str(caught.value)
    assert proxy.asked == []


def test_a_model_that_is_not_there_ends_at_once(proxy: Proxy) -> None:
    proxy.upstream = lambda path, body: (404, b'{"message": "no judge"}')
    with opened() as judge, pytest.raises(InputError, match="no model 'judge'.*HTTP 404"):
        judge.replies(QUESTIONS)
    assert len(proxy.asked) <= len(QUESTIONS)  # none twice
    openai_server.check_listed("judge", "f")  # a server without a list
    proxy.upstream = echo
    openai_server.check_listed("judge", "f")
    with pytest.raises(InputError, match=r"^f: .*no model 'judgy' \(did you mean 'judge'\?\)"):
        openai_server.check_listed("judgy", "f")


def test_other_refusals_are_shown_without_the_key(proxy: Proxy) -> None:
    proxy.upstream = lambda path, body: (400, f"bad temperature {KEY}\nreally".encode())
    with opened() as judge, pytest.raises(InputError) as caught:
        judge.reply(QUESTIONS[0])
    assert "(HTTP 400): bad temperature *** really" in str(caught.value)


def test_what_is_no_chat_completion_is_said(proxy: Proxy) -> None:
    proxy.upstream = lambda path, body: (200, b"<html>log in</html>")
    with opened(attempts=3) as judge, pytest.raises(InputError, match="no chat completion.*log in"):
        judge.reply(QUESTIONS[0])
    assert len(proxy.asked) == 3


def test_models_that_know_another_limit_are_given_that(proxy: Proxy) -> None:
    def upstream(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        if "max_tokens" in body:
            return 400, b"Unsupported parameter: use 'max_completion_tokens' instead"
        return echo(path, body)

    proxy.upstream = upstream
    with opened() as judge:
        assert judge.reply(QUESTIONS[0]).ended == "stop"
        assert judge.reply(QUESTIONS[1]).ended == "stop"
    assert [("max_tokens" in body) for body in proxy.asked] == [True, False, False]


def test_drawn_verdicts_have_seeds_of_their_questions(proxy: Proxy) -> None:
    for temperature in (1.0, None):
        with opened(temperature=temperature) as judge:
            judge.replies(QUESTIONS[:2])
    seeds = [body.get("seed") for body in proxy.asked]
    assert seeds[2:] == [None, None] and len(set(seeds[:2])) == 2
    assert "temperature" not in proxy.asked[2]


def test_a_server_is_left_alone_as_long_as_it_asks() -> None:
    def wish(value: str) -> float | None:
        return patient.wished_pause(httpx.Response(429, headers={"Retry-After": value}))

    assert wish("7") == 7 and wish("0.5") == 0.5 and wish("-1") == 0
    assert wish("86400") == patient.LONGEST_WISH
    soon = wish(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True))
    assert soon is not None and 25 < soon <= 30
    assert wish("soon") is None and patient.wished_pause(httpx.Response(429)) is None


def test_the_model_is_named_or_the_servers(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint.model_of("openai:org/judge:7b", "f") == "org/judge:7b"
    assert endpoint.model_of("openai", "f") == "judge"
    monkeypatch.setenv("OPENAI_MODEL", "third")
    assert endpoint.model_of("openai", "f") == "third"
