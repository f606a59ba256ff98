"""A source that failed several times in a row is let rest, so that nobody waits for what does not answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from extenso_nb.errors import ExtensoError, SourceUnavailable
from extenso_nb.gateway.sources import Content, Hits, Source, lacking, limits_of, profile_of
from extenso_nb.models import Product
from extenso_nb.query import Query

__all__ = ["Resting"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

FAILURES = 3
"""So many failures in a row, and it rests."""
FIRST_REST, LONGEST_REST = 30.0, 900.0
"""Seconds of the first rest; each one that follows without a success is twice as long, up to the longest."""
CHECKED_SECONDS = 60.0
"""How long it is believed how the source was: everybody may ask for /health, and each look is a request there."""
_OWN_FAULT = frozenset({400, 401, 403, 404, 410, 413, 414, 422, 429})
"""Answers of a source that is well: what was asked, or who asked, is not."""


class _Breaker:
    """Counts failures in a row; lets nothing through for a while after too many, then one call to see."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._failures = 0
        self._rest = 0.0
        self._until = 0.0
        self._probe = 0
        self._entered = 0
        self._last = ""

    def left(self) -> float:
        """Seconds of the rest that are left; 0 or less while it is at work."""
        with self._lock:
            return self._until - time.monotonic()

    def enter(self) -> int:
        """A number for this call. Raises SourceUnavailable while it rests, and while one call sees whether it is well."""
        with self._lock:
            if self._until <= time.monotonic() and not self._probe:
                self._entered += 1
                if self._rest:
                    self._probe = self._entered
                return self._entered
        raise self.refusal()

    def refusal(self) -> SourceUnavailable:
        """What is said while it rests."""
        with self._lock:
            seconds, last = max(self._until - time.monotonic(), 1.0), self._last
        when = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%H:%M:%S")
        return SourceUnavailable(
            f"{self._name} failed {FAILURES} times in a row and is let rest until {when} UTC; the last time: {last}",
            source=self._name,
            retry_after=round(seconds, 1),
            rests=True,
        )

    def leave(self, call: int) -> None:
        """A call is done, in whatever way."""
        with self._lock:
            if self._probe == call:
                self._probe = 0

    def well(self) -> None:
        """It answered."""
        with self._lock:
            self._failures, self._rest, self._until, self._probe = 0, 0.0, 0.0, 0

    def failed(self, call: int, error: SourceUnavailable) -> None:
        """A call did not; what it answers that is well, to what was wrong, does not count."""
        if error.details.get("cannot") or error.details.get("login") or error.details.get("status") in _OWN_FAULT:
            return
        with self._lock:
            if self._until > time.monotonic() or (self._rest and self._probe != call):
                return  # it was let through before the rest began: what it met is what the others met
            self._failures += 1
            self._last = error.message
            if self._failures >= FAILURES or self._rest:
                self._rest = min(max(2 * self._rest, FIRST_REST), LONGEST_REST)
                self._until = time.monotonic() + self._rest


class Resting:
    """A source of the archive with circuit breakers around it. Threads share it.

    While it rests every call raises SourceUnavailable at once, with `retry_after` in `details`; then one call is let
    through, and the others wait for how that goes. Catalogue, bytes and pictures rest apart: they are different machines.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name, self.limits, self.profile = source.name, limits_of(source), profile_of(source)
        self._catalogue, self._bytes, self._pictures = (_Breaker(source.name) for _ in range(3))
        self._checked: tuple[float, int | SourceUnavailable | None] | None = None

    def __repr__(self) -> str:
        return f"<Resting {self.source!r}>"

    def lacks(self) -> str | None:
        """What the source lacks before it can deliver: see `lacking`."""
        return lacking(self.source)

    def close(self) -> None:
        """Close the source, where it can be."""
        close = getattr(self.source, "close", None)
        if callable(close):
            close()

    @property
    def rests_until(self) -> datetime | None:
        """When it is tried again; None while it is at work."""
        left = max(self._catalogue.left(), self._bytes.left())
        return datetime.now(UTC) + timedelta(seconds=left) if left > 0 else None

    # -- the protocol ------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """As the source's."""
        return self._tried(lambda: self.source.search(collection, query, start=start, rows=rows, orderby=orderby))

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """As the source's."""
        return self._tried(lambda: self.source.find(product_ids))

    def warm_up(self, product_id: str) -> str | None:
        """As the source's."""
        return self._tried(lambda: self.source.warm_up(product_id))

    def open(self, product_id: str) -> Content:
        """As the source's; what fails while it is read counts for the bytes."""
        content = self._tried(lambda: self.source.open(product_id))
        return replace(content, read=lambda offset: self._read(content, offset))

    def quicklook(self, product_id: str) -> bytes:
        """As the source's."""
        return self._tried(lambda: self.source.quicklook(product_id), self._pictures)

    def check(self) -> int | None:
        """As the source's, and believed for a minute."""
        checked = self._checked
        if checked is None or time.monotonic() - checked[0] > CHECKED_SECONDS or self._catalogue.left() > 0:
            found: int | SourceUnavailable | None
            try:
                found = self._tried(self.source.check)
            except SourceUnavailable as error:
                found = error
            checked = self._checked = (time.monotonic(), found)
        if isinstance(checked[1], SourceUnavailable):
            raise SourceUnavailable(checked[1].message, hint=checked[1].hint, **checked[1].details)
        if self._bytes.left() > 0:
            raise self._bytes.refusal()
        return checked[1]

    def _tried(self, call: Callable[[], T], breaker: _Breaker | None = None) -> T:
        breaker = breaker or self._catalogue
        number = breaker.enter()
        try:
            found = call()
        except SourceUnavailable as error:
            breaker.failed(number, error)
            raise
        except ExtensoError:
            breaker.well()  # an answer, too
            raise
        except Exception as error:  # noqa: BLE001 - an answer that nobody thought of; the other sources are asked all the same
            _log.exception("source %s failed", self.name)
            failure = SourceUnavailable(
                f"{self.name} gave an answer that could not be dealt with ({type(error).__name__}).",
                hint="The gateway's log says more; please report it.",
                source=self.name,
            )
            breaker.failed(number, failure)
            raise failure from None
        else:
            breaker.well()
            return found
        finally:
            breaker.leave(number)

    def _read(self, content: Content, offset: int) -> Iterator[bytes]:
        number = self._bytes.enter()
        try:
            for block in content.read(offset):
                self._bytes.well()
                yield block
        except SourceUnavailable as error:
            self._bytes.failed(number, error)
            raise
        else:
            self._bytes.well()
        finally:
            self._bytes.leave(number)
