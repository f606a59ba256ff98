"""Several processes of one gateway: each says that it lives, and the living take up what the dead were at."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable

from extenso_nb.errors import DatabaseUnavailable
from extenso_nb.gateway.deliveries import Deliveries
from extenso_nb.gateway.store import Store

__all__ = ["BEATS", "SILENT_SECONDS", "Member", "process_id"]

SILENT_SECONDS = 30.0
"""A process that said nothing for so long, by the database's clock, is dead."""
BEATS = 6
"""How often it says so within that time."""

_SAID_AGAIN = 30.0
"""Seconds. DBOS says at each of its looks, five a second, that the database is away."""

_log = logging.getLogger(__name__)


class _Seldom(logging.Filter):
    """Lets each place in the code of DBOS complain about the database once in a while."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = (record.pathname, record.lineno), time.monotonic()
        if "OperationalError" not in record.getMessage() and "connection" not in record.getMessage():
            return True
        if now - self._said.get(place, -math.inf) < _SAID_AGAIN:
            return False
        self._said[place] = now
        return True


def process_id() -> str:
    """A name that no other process has, nor ever had."""
    return f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"


class Member:
    """One of the processes that share a gateway's database.

    Parameters
    ----------
    store
        The store that raises at once when the database is away: a heart that waits does not beat.
    deliveries
        Those of this process, begun under the name of this member.
    kind
        `serve` or `worker`.
    sources
        What this process was told to serve, for others to compare.
    buried
        Called in a thread when the others took this process for dead: it stood still, or was cut off, for too long. Its
        workflows are theirs by now; nothing that it still writes for them counts.
    silent
        Seconds of silence after which this process is dead to the others.
    """

    def __init__(
        self,
        store: Store,
        deliveries: Deliveries,
        *,
        kind: str,
        sources: str,
        buried: Callable[[Member], None],
        silent: float = SILENT_SECONDS,
    ) -> None:
        self.id = deliveries.executor_id
        self._store = store
        self._deliveries = deliveries
        self._kind, self._sources, self._silent = kind, sources, silent
        self._buried = buried
        self._stopped = threading.Event()
        self._steady: float | None = None
        self._last: float | None = None
        self._threads: list[threading.Thread] = []

    def __repr__(self) -> str:
        return f"<Member {self.id} {self._kind}>"

    def enter(self) -> None:
        """Say that this process has come; before it takes up any work, for what nobody living is at is taken over."""
        self._store.enter(
            self.id, kind=self._kind, sources=self._sources, steps=self._deliveries.steps, silent=self._silent
        )
        others = [other for other in self._store.processes() if other.id != self.id]
        for other in others:
            if other.sources != self._sources:
                _log.warning(
                    "process %s has other sources: %s; this one has %s", other.id, other.sources, self._sources
                )

    def start(self) -> None:
        """Beat, and look after the others; once the deliveries of this process have begun."""
        talker = logging.getLogger("dbos")
        if not any(isinstance(one, _Seldom) for one in talker.filters):
            talker.addFilter(_Seldom())
        for name, run in (("extenso-heart", self._beat), ("extenso-watch", self._watch)):
            thread = threading.Thread(target=run, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Say that this process ends: what it was at is taken over at once."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=5)
        with contextlib.suppress(DatabaseUnavailable):
            self._store.leave(self.id)

    def _beat(self) -> None:
        while not self._stopped.wait(self._silent / BEATS):
            try:
                now = self._store.beat(self.id)
                if now is None:
                    self._buried(self)
            except DatabaseUnavailable:
                self._last = self._steady = None
                continue
            except Exception:  # noqa: BLE001 - a heart that stops for a fault of ours kills a process that works
                _log.exception("the heartbeat failed")
                continue
            if now is None:
                self._last = self._steady = None
                continue
            # After a break of our own we know nothing of the silence of others: the database may have been away for
            # all of us, or the machine asleep. They get the whole time again.
            if self._last is None or now - self._last > self._silent / 2:
                self._steady = now
            self._last = now

    def _watch(self) -> None:
        # Not in the thread that beats: DBOS waits for a database that is away, for up to a minute.
        while not self._stopped.wait(self._silent / BEATS):
            try:
                self._look_after_others()
            except DatabaseUnavailable:
                continue
            except Exception:  # noqa: BLE001 - as above; the next look may be luckier
                _log.exception("the other processes could not be looked after")

    def _look_after_others(self) -> None:
        if self._has_watched():
            for dead in self._store.bury():
                _log.warning("%s %s has said nothing for %.0f s: it is dead", dead.kind, dead.id, dead.silent)
        for executor, count in self._deliveries.take_over(self._living).items():
            _log.warning("took over %d workflows of %s", count, executor)

    def _has_watched(self) -> bool:
        """Whether this process has seen the database, without a break, for as long as others may be silent."""
        now, last, steady = self._store.beat(self.id), self._last, self._steady
        if now is None or last is None or steady is None:
            return False
        # The first part for a process that wakes up: this thread may come before the one that notices.
        return now - last <= self._silent / 2 and now - steady >= self._silent

    def _living(self) -> set[str]:
        # Itself in any case: buried or not, it takes nothing over from threads of its own.
        return {process.id for process in self._store.processes()} | {self.id}
