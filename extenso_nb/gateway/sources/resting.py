"""A source that failed several times in a row is let rest, so that nobody waits for what does not answer."""

from __future__ import annotations

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
        self._trying = False
        self._last = ""

    def left(self) -> float:
        """Seconds of the rest that are left; 0 or less while it is at work."""
        with self._lock:
            return self._until - time.monotonic()

    def enter(self) -> None:
        """Raise SourceUnavailable while it rests, and while one call sees whether it is well again."""
        with self._lock:
            left = self._until - time.monotonic()
            if left <= 0 and not (self._rest and self._trying):
                self._trying = self._rest > 0
                return
            seconds = max(left, 1.0)
        when = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%H:%M:%S")
        raise SourceUnavailable(
            f"{self._name} failed {FAILURES} times in a row and is let rest until {when} UTC; the last time: {self._last}",
            source=self._name,
            retry_after=round(seconds, 1),
            rests=True,
        )

    def leave(self) -> None:
        """Whoever entered is done, in whatever way."""
        with self._lock:
            self._trying = False

    def well(self) -> None:
        """It answered."""
        with self._lock:
            self._failures, self._rest, self._until = 0, 0.0, 0.0

    def failed(self, error: SourceUnavailable) -> None:
        """It did not; what it answers that is well, to what was wrong, does not count."""
        if error.details.get("cannot") or error.details.get("login") or error.details.get("status") in _OWN_FAULT:
            return
        with self._lock:
            self._failures += 1
            self._last = error.message
            if self._failures >= FAILURES or self._rest:
                self._rest = min(max(2 * self._rest, FIRST_REST), LONGEST_REST)
                self._until = time.monotonic() + self._rest


class Resting:
    """A source of the archive with circuit breakers around it. Threads share it.

    While it rests every call raises SourceUnavailable at once, with `retry_after` in `details`; then one call is let
    through, and the others wait for how that goes. Catalogue and bytes rest apart: they are different machines there.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name, self.limits, self.profile = source.name, limits_of(source), profile_of(source)
        self._catalogue, self._bytes = _Breaker(source.name), _Breaker(source.name)
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
        return self._tried(lambda: self.source.quicklook(product_id))

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
            self._bytes.enter()
        return checked[1]

    def _tried(self, call: Callable[[], T]) -> T:
        self._catalogue.enter()
        try:
            found = call()
        except SourceUnavailable as error:
            self._catalogue.failed(error)
            raise
        except ExtensoError:
            self._catalogue.well()  # an answer, too
            raise
        else:
            self._catalogue.well()
            return found
        finally:
            self._catalogue.leave()

    def _read(self, content: Content, offset: int) -> Iterator[bytes]:
        self._bytes.enter()
        try:
            for block in content.read(offset):
                self._bytes.well()
                yield block
        except SourceUnavailable as error:
            self._bytes.failed(error)
            raise
        else:
            self._bytes.well()
        finally:
            self._bytes.leave()
