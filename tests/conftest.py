"""Fixtures of all tests: a private Prefect, and no way out to a hub."""

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import settings

from flows.server import set_defaults
from tests.repository import LONGEST, ROOT

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers share two cores
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
# What the command line sets before Prefect is there. With Prefect's own a server whose database is
# locked, on a busy machine, is not asked again, and the run says in a line that it goes on alone.
set_defaults()

# No test is timed: on a busy machine a single example may take long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

FIXTURES = ("once", "models", "encoders", "images", "runs", "commands", "environments")
pytest_plugins = [f"tests.fixtures.{name}" for name in FIXTURES]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def freeze() -> None:
    """Have later collections leave alone what is there now: modules, and the tests themselves.

    A training ends with a full collection, which takes longer than the training of a tiny model.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    freeze()


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """A Prefect server of the tests' own, with its database in a temporary folder."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for service in ("TRIGGERS", "EVENT_PERSISTER"):  # of automations; they never rest
                patch.setenv(f"PREFECT_SERVER_SERVICES_{service}_ENABLED", "false")
            stack.enter_context(prefect_test_harness(server_startup_timeout=120))
        # The heartbeat thread makes every flow last a second longer.
        stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        import flows.align  # noqa: F401  # what nearly every test of a run imports

        freeze()
        yield
