"""A Prefect server of our own waits for who writes to its database, and refuses nobody for it."""

import asyncio
import sqlite3
import threading
import time
from contextlib import closing

import httpx
import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.exc import OperationalError

from flows.server import Server, answers
from flows.server_database import PatientSqlite
from models.isolation import Child

HELD = 1.0  # seconds for which another writes: enough for the read that comes first


def writing(path):
    """The lock to write to a database, with something written."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS other (number INTEGER)")
    connection.execute("INSERT INTO other VALUES (1)")
    return connection


def free_later(connection):
    def free():
        time.sleep(HELD)
        with closing(connection):
            connection.execute("COMMIT")

    threading.Thread(target=free, daemon=True).start()


async def read_then_write(configuration, path):
    """What a request does that looks something up first, while another writes."""
    engine = await configuration.engine()
    session = await configuration.session(engine)
    async with session, configuration.begin_transaction(session):
        await session.execute(sa.text("SELECT count(*) FROM runs"))
        await session.execute(sa.text("INSERT INTO runs VALUES (1)"))
    await engine.dispose()


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE runs (number INTEGER)")
    return path


def meanwhile(kind, path):
    free_later(writing(path))
    asyncio.run(read_then_write(kind(connection_url=f"sqlite+aiosqlite:///{path}"), path))


def test_a_transaction_waits_for_who_writes(database):
    meanwhile(PatientSqlite, database)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_prefects_own_is_refused(database):
    """Else `PatientSqlite` may go."""
    with pytest.raises(OperationalError, match="locked"):
        meanwhile(AioSqliteConfiguration, database)


def test_a_flow_run_begins_while_another_writes(tmp_path):
    home = {"PREFECT_HOME": str(tmp_path)}
    with closing(Child(Server, tmp_path / "server.log", environment=home)) as server:
        url = server.call("url")
        assert answers(url, 120, server)
        flow = httpx.post(f"{url}/flows/", json={"name": "some"}, timeout=60).json()["id"]
        free_later(writing(tmp_path / "prefect.db"))
        asked = {"flow_id": flow, "state": {"type": "PENDING"}}
        assert httpx.post(f"{url}/flow_runs/", json=asked, timeout=60).status_code == 201
