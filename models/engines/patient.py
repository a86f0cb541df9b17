"""Requests to a server that may be busy or away for a moment: asked again, and what it refuses.

What a server says is shown on one line and without the key, which some repeat.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_random_exponential,
)

from data.errors import ServerError

ATTEMPTS = 6
LONGEST_PAUSE = 20.0  # seconds; about a minute in all, as long as a proxy takes to come back
LONGEST_WISH = 120.0  # seconds that a server may ask to be left alone


def is_busy(answer: httpx.Response) -> bool:
    """Whether a server, or a proxy before it, may answer the same request later."""
    return answer.status_code in (408, 425, 429) or answer.is_server_error


def post(
    client: httpx.Client, url: str, body: dict[str, Any] | None = None, attempts: int = 0
) -> httpx.Response:
    """The answer, asked for again when the connection breaks or the server is busy.

    After the last attempt the answer as it is. What is asked must give the same twice.

    Raises:
        httpx.TransportError: no answer at any attempt.
    """
    patient: Retrying = Retrying(
        retry=retry_if_exception_type(httpx.TransportError) | retry_if_result(is_busy),
        wait=_pause,
        stop=stop_after_attempt(attempts or ATTEMPTS),
        retry_error_callback=_last_outcome,
    )
    answer: httpx.Response = patient(client.post, url, json=body)
    return answer


def away(
    whose: str, url: str, found: httpx.Response | httpx.TransportError, client: httpx.Client
) -> ServerError:
    """The error of a server that did not answer, or was busy, to the last attempt.

    Args:
        whose: The recipe's field that it answers for.
    """
    if isinstance(found, httpx.Response):
        said = f"is busy or broken (HTTP {found.status_code}: {shown(found.text, client)})"
    else:
        said = f"does not answer ({shown(str(found), client) or type(found).__name__})"
    return ServerError(
        f"{whose}: the server at {url} {said}; once it answers, run the same command again: it "
        "continues"
    )


def shown(text: str, client: httpx.Client) -> str:
    """What a server said, on one line and without the client's key."""
    key = client.headers.get("Authorization", "").removeprefix("Bearer ")
    return " ".join(text.split()).replace(key or "\0", "***")[:300]


def wished_pause(answer: httpx.Response) -> float | None:
    """Seconds that Retry-After asks for, a number or a date; None: it does not."""
    wish = answer.headers.get("Retry-After", "")
    try:
        return min(max(0.0, float(wish)), LONGEST_WISH)
    except ValueError:
        pass
    try:
        seconds = (parsedate_to_datetime(wish) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(0.0, seconds), LONGEST_WISH)


def _pause(attempts: RetryCallState) -> float:
    outcome = attempts.outcome
    wish = None if outcome is None or outcome.failed else wished_pause(outcome.result())
    return wait_random_exponential(max=LONGEST_PAUSE)(attempts) if wish is None else wish


def _last_outcome(attempts: RetryCallState) -> Any:
    """What the last attempt answered or raised; without it a RetryError would hide that."""
    assert attempts.outcome is not None
    return attempts.outcome.result()
