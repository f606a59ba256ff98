"""A gateway's database: SQLite for one process, PostgreSQL for several, which note here who lives and who does what."""

from __future__ import annotations

import functools
import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from extenso_nb.errors import DatabaseRefused, DatabaseUnavailable, InvalidRequest
from extenso_nb.gateway.tables import SCHEMA, facts, leases, meta, processes

__all__ = ["Database", "Process", "database_url", "plain_text", "sqlite_url"]

IDLE_SECONDS, LOCK_SECONDS = 20.0, 30.0
"""How long PostgreSQL lets a process stand still in a transaction, and others wait for what it holds."""

_READING = {"extenso_reading": True}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a gateway that several of them share."""

    id: str
    kind: str
    """`serve` or `worker`."""
    sources: str
    steps: str
    """The version of the workflows that it goes on with; empty when it only answers."""
    started: float
    seen: float
    silent: float
    """Seconds of silence after which it is dead."""


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, whatever stands in its path: plainly pasted together, `?` ends it and `%2F` is a slash."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def database_url(text: str) -> str:
    """The URL of a PostgreSQL database as SQLAlchemy takes it, from one as everybody writes it. Raises InvalidRequest."""
    hint = "Write it as postgresql://USER@HOST/DATABASE, with the password in EXTENSO_DATABASE or in ~/.pgpass."
    try:
        url = sa.make_url(text.strip())
        kind = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        url, kind = None, ""
    if url is None or kind not in {"postgresql", "postgres"} or not url.database:
        # Not the text itself: there may be a password in it.
        raise InvalidRequest("--database is not the address of a PostgreSQL database.", hint=hint)
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


class Database:
    """A gateway's database, in SQLite or PostgreSQL, and the processes that share it.

    Parameters
    ----------
    url
        SQLAlchemy URL: ``sqlite:////path/gateway.db``, ``postgresql+psycopg://...``.
    """

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, hide_parameters=True, **_engine_arguments(url))
        self.shared = self.engine.dialect.name != "sqlite"
        """Whether other processes may use the same tables now."""
        if self.shared:
            _prepare_postgresql(self.engine)
        else:
            _prepare_sqlite(self.engine)
        self._where = _where(self.engine.url)
        self._warned = -math.inf
        try:
            self._make_tables()
        except DatabaseRefused:
            self.close()
            raise
        except DatabaseUnavailable as error:
            self.close()
            said = str(getattr(error.__cause__, "orig", "") or error.__cause__).strip().partition("\n")[0]
            raise DatabaseUnavailable(
                f"The database {self._where} does not answer: {said}",
                hint="Check its address, user and password (--database, or EXTENSO_DATABASE), and that it runs.",
            ) from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._where}>"

    def _make_tables(self) -> None:
        """Make what is missing; others that start at the same moment wait. Raises DatabaseRefused, DatabaseUnavailable."""
        with self.alone("tables"), self._write() as connection:
            known = _known_schema(connection)
            if known > SCHEMA:
                raise DatabaseRefused(
                    f"The tables in {self._where} are of version {known}; this program knows those up to {SCHEMA}.",
                    hint="Start the newer extenso_nb that made them, or name another database.",
                )
            meta.create_all(connection)
            if known < SCHEMA:
                _add_columns(connection)
            _keep(connection, facts, name="schema", value=str(SCHEMA))
            connection.execute(facts.update().where(facts.c.name == "schema").values(value=str(SCHEMA)))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def patient(self, seconds: float = 900.0) -> Self:
        """The same store for work that nobody waits for: it tries again while the database is away, instead of raising."""
        return cast("Self", _Patient(self, seconds)) if self.shared else self

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """One process at a time does this; the others wait. A process that dies or stands still lets go of it."""
        if not self.shared:  # the lock of the data directory has seen to that
            yield
            return
        end = time.monotonic() + 180
        while True:
            with self._write() as connection:
                # Asked for again and again instead of waited for: whoever waits within a statement holds up the making
                # of an index, which may be what the other one does.
                if connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_lock_number(what)))):
                    connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '120s'"))
                    yield
                    return
            if time.monotonic() > end:
                raise DatabaseUnavailable(f"Another process is busy with the {what} of the database for too long.")
            time.sleep(0.1)

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._told(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        # One moment for all statements, as SQLite has it: rows must not vanish between a list and a look at each.
        options = _READING | ({"isolation_level": "REPEATABLE READ"} if self.shared else {})
        with self._told(), self.engine.connect().execution_options(**options) as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A database that does not answer, as an error of ours. What asks for nonsense stays what it is: a fault."""
        try:
            yield
        except (sa.exc.TimeoutError, sa.exc.DBAPIError) as error:
            if isinstance(error, sa.exc.DBAPIError) and not _passing(error):
                raise
            if time.monotonic() - self._warned > 10:
                self._warned = time.monotonic()
                said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
                _log.warning("the database %s does not answer: %s", self._where, said)
            raise DatabaseUnavailable("The gateway's database does not answer.") from error

    # --- the processes of one gateway --------------------------------------------------------------------------------
    def fact(self, name: str, value: str | None = None) -> str | None:
        """What is known under a name; the value is kept when nothing is."""
        with self._write() as connection:
            if value is not None:
                _keep(connection, facts, name=name, value=value)
            found = connection.scalar(sa.select(facts.c.value).where(facts.c.name == name))
            return None if found is None else str(found)

    def enter(self, process_id: str, *, kind: str, sources: str, steps: str, silent: float) -> None:
        """Note that a process has come, and lives until it is silent for so many seconds."""
        with self._write() as connection:
            now = self._clock(connection)
            row = {"kind": kind, "sources": sources, "steps": steps, "started": now, "seen": now, "silent": silent}
            _keep(connection, processes, id=process_id, **row)

    def beat(self, process_id: str) -> float | None:
        """Note that a process lives; the time by the database's clock, or None when it was taken for dead."""
        with self._write() as connection:
            now = self._clock(connection)
            this = processes.c.id == process_id
            return now if connection.execute(processes.update().where(this).values(seen=now)).rowcount == 1 else None

    def leave(self, process_id: str) -> None:
        """Note that a process ends."""
        with self._write() as connection:
            connection.execute(processes.delete().where(processes.c.id == process_id))

    def bury(self) -> list[Process]:
        """Take away the processes that were silent for too long; each is told to one caller only."""
        with self._write() as connection:
            late = processes.c.seen + processes.c.silent < self._clock(connection)
            # A row that is locked belongs to one that beats or is buried at this moment.
            rows = connection.execute(sa.select(processes).where(late).with_for_update(skip_locked=True)).mappings()
            found = [Process(**row) for row in rows]
            connection.execute(processes.delete().where(processes.c.id.in_([process.id for process in found])))
            return found

    def processes(self) -> list[Process]:
        """All processes that are not dead, the oldest first."""
        with self._read() as connection:
            rows = connection.execute(sa.select(processes).order_by(processes.c.started, processes.c.id)).mappings()
            return [Process(**row) for row in rows]

    def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take something for some seconds, or hold it for longer; False while another process has it.

        It runs out by itself: a process that stands still holds up no other.
        """
        with self._write() as connection:
            _keep(connection, leases, name=name, holder="", until=0.0)
            now = self._clock(connection)
            this = (leases.c.name == name) & ((leases.c.holder == holder) | (leases.c.until < now))
            changed = connection.execute(leases.update().where(this).values(holder=holder, until=now + seconds))
            return bool(changed.rowcount == 1)

    def release(self, name: str, holder: str) -> None:
        """Give back what was leased."""
        with self._write() as connection:
            this = (leases.c.name == name) & (leases.c.holder == holder)
            connection.execute(leases.update().where(this).values(until=0.0))

    def _clock(self, connection: sa.Connection) -> float:
        if not self.shared:
            return time.time()
        return float(connection.scalar(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))) or 0)


def _engine_arguments(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 30, "check_same_thread": False}}
    # 15 connections at most, and those of DBOS: a few processes fit into PostgreSQL's 100. A database that has vanished
    # without a word is noticed after half a minute instead of hours.
    network = {"connect_timeout": 10, "keepalives_idle": 20, "keepalives_interval": 5, "tcp_user_timeout": 30_000}
    sizes = {"pool_size": 5, "max_overflow": 10, "pool_timeout": 10}
    return {"pool_pre_ping": True, "connect_args": network | {"application_name": "extenso_nb"}, **sizes}


def _where(url: sa.URL) -> str:
    """A database as messages may show it: without user and password, and without what stands behind a `?`."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.database} at {url.host or 'localhost'}:{url.port or 5432}"


def _passing(error: sa.exc.DBAPIError) -> bool:
    """Whether asking later can help: no connection, a restart, a lock that was not given."""
    if error.connection_invalidated:
        return True
    if type(error.orig).__module__.startswith("psycopg"):
        # psycopg sorts by SQLSTATE: its OperationalError is the classes 08, 40, 53, 55, 57 and 58.
        return isinstance(error, sa.exc.OperationalError) or getattr(error.orig, "sqlstate", None) == "25P03"
    return isinstance(error, sa.exc.OperationalError) and "database is locked" in str(error.orig)


class _Patient:
    """A store whose calls are made again, for a while, as long as the database is away."""

    def __init__(self, store: Database, seconds: float) -> None:
        self._store = store
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        # What is entered with `with` cannot be done twice.
        return self._again(found) if callable(found) and name not in {"alone", "patient"} else found

    def _again(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def patiently(*arguments: Any, **named: Any) -> Any:
            end = time.monotonic() + self._seconds
            pause = 0.25
            while True:
                try:
                    return call(*arguments, **named)
                except DatabaseUnavailable:
                    if time.monotonic() > end:
                        raise
                time.sleep(pause)
                pause = min(pause * 2, 2.0)

        return patiently


def _prepare_postgresql(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            # A process that stands still in the middle of a transaction must not hold up the others for ever.
            cursor.execute(f"SET idle_in_transaction_session_timeout = {round(IDLE_SECONDS * 1000)}")
            cursor.execute(f"SET lock_timeout = {round(LOCK_SECONDS * 1000)}")
        connection.commit()  # what is only set in a transaction goes with it


def _lock_number(what: str) -> int:
    digest = hashlib.sha256(f"extenso_nb.{what}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _known_schema(connection: sa.Connection) -> int:
    """The version of the tables that are there; 0 for none, and for those from before there were versions."""
    if not sa.inspect(connection).has_table("facts"):
        return 0
    return int(connection.scalar(sa.select(facts.c.value).where(facts.c.name == "schema")) or 0)


def _add_columns(connection: sa.Connection) -> None:
    """Complete the tables of an older version."""
    for table in meta.sorted_tables:
        there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                told = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {told}"))


def _keep(connection: sa.Connection, table: sa.Table, **row: Any) -> None:
    """Insert a row; nothing happens when there is one with its key."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(make(table).values(**row).on_conflict_do_nothing())


def plain_text(text: str) -> str:
    """Text as PostgreSQL takes it: it has no character 0."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _prepare_sqlite(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL would forget the last transactions at a power cut: orders that were answered with 201, whose numbers
        # would then be those of others.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a transaction that reads first and writes later would fail with "database is locked"
        # instead of waiting, and two of them would both find the same quota free.
        reading = connection.get_execution_options().get("extenso_reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
