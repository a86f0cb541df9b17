"""SQLite of a Prefect server of our own: who means to write waits for the lock, and is not refused.

Prefect begins its transactions as readers. One that reads and then writes is refused at once, in
spite of its 60 seconds of patience, if another has written in between (SQLITE_BUSY_SNAPSHOT); the
client gets a 503 and asks again two seconds later. That meets the start of a round whose
predecessor was found in the store, for the server is still writing that one's task runs down.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.server.utilities.database import get_dialect
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class PatientSqlite(AioSqliteConfiguration):
    """Every transaction holds the lock to write from its beginning."""

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncIterator[AsyncSessionTransaction]:
        """A transaction of a session, begun when no other writes; `with_for_update` or not."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def use_patient_sqlite() -> None:
    """Have the server of this process use it, unless its database is another than SQLite."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if get_dialect(url).name == "sqlite":
        set_database_config(PatientSqlite(connection_url=url))
