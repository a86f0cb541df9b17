"""Prefect keeps the books of a run, and a run does not end because its books cannot be kept.

Every call of Prefect goes through `Books`. Where it fails by itself, and not by what it was asked
to run, one line says so and the rest of the run goes on without it: results are in the store.

Prefect is loaded where it is used: the stages' versions, by which a finished run is known, are
read without it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect import Flow


class Watched:
    """A function that is run by Prefect, and what became of it whatever Prefect says."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.error: BaseException | None = None
        self.ended, self.result = False, None

        @wraps(function, updated=())
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.error = None  # of an earlier try
            try:
                self.result = function(*args, **kwargs)
            except BaseException as error:
                self.error = error
                raise
            self.ended = True
            return self.result

        self.call = watched


class Books:
    """Whether Prefect is asked at all, in a run."""

    def __init__(self, kept: bool = True) -> None:
        self.kept = kept

    def flow(self, flow: "Flow", *args: Any, **kwargs: Any) -> Any:
        """A flow called by Prefect; or its function alone, at most once in all."""
        watched, body = copy(flow), Watched(flow.fn)
        watched.fn = body.call
        return self.run(body, lambda: watched(*args, **kwargs), *args, **kwargs)

    def run(self, body: Watched, by_prefect: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        """What `by_prefect()` gives, which calls the body; without Prefect, what the body gives.

        Raises:
            Exception: the body's own.
        """
        if self.kept:
            try:
                return by_prefect()
            except Exception as error:
                if body.error is not None:
                    raise body.error from None
                self.close(error)
        return body.result if body.ended else body.call(*args, **kwargs)

    def note(self, publish: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Have something published that no result depends on."""
        if self.kept:
            try:
                publish(*args, **kwargs)
            except Exception as error:
                self.close(error)

    def close(self, error: Exception) -> None:
        """Keep no more books, for this reason."""
        from prefect.context import FlowRunContext
        from prefect.settings import get_current_settings

        self.kept = False
        if get_current_settings().client.max_retries:  # once, whoever notices first
            without_prefect(error)
        if FlowRunContext.get():
            _hang_up()


def _hang_up() -> None:
    """Neither wait for the server nor tell it anything any more.

    Prefect would try again for minutes to end a flow run, and as long for every event it still has
    when the process ends.
    """
    from prefect.context import SettingsContext, get_settings_context
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, PREFECT_LOGGING_TO_API_ENABLED

    context = get_settings_context()
    settings = context.settings.copy_with_update(
        updates={PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_LOGGING_TO_API_ENABLED: False}
    )
    # Until `restored`, or the end of the process.
    SettingsContext(profile=context.profile, settings=settings).__enter__()
    EventsWorker.set_client_override(NullEventsClient)
    services: dict[int, Any] = EventsWorker._instances  # type: ignore[misc]
    for service in list(services.values()):  # of events, and of log lines
        with service._queue.mutex:
            service._queue.queue.clear()


@contextmanager
def restored() -> Iterator[None]:
    """Prefect's settings are in the end as before, whatever happened to its server."""
    from prefect.events.worker import EventsWorker
    from prefect.settings import temporary_settings

    try:
        with temporary_settings():
            yield
    finally:
        EventsWorker.set_client_override(None)


def without_prefect(error: Exception | str) -> None:
    """The one line that says so."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    reason = (text.splitlines() or [""])[0][:200]
    sys.stderr.write(
        f"tsalign: Prefect does not answer ({reason}); going on without it, results are the same\n"
    )
