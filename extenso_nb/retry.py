"""The arithmetic of waiting, as data that can print its own schedule. The loops live with their owners."""

from __future__ import annotations

import email.utils
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

__all__ = ["DELIVERY", "POLL", "REQUEST", "Retry", "retry_after_seconds"]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try, and how long to wait in between.

    The wait after attempt *n* (from 1) is ``first * factor ** (n - 1)``, at most `longest`, made uneven by
    ± `jitter`, so that many clients do not come back at the same moment.
    """

    attempts: int | None = 5
    """Tries in all, the first one included; None means without end (for polling)."""
    first: float = 0.5
    """Seconds before the second try."""
    factor: float = 2.0
    longest: float = 30.0
    """Seconds of the longest wait."""
    jitter: float = 0.1
    """Share of the wait that is drawn by chance; 0 to 1."""

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts must be 1 or more, or None for no end; got {self.attempts}.")
        finite = math.isfinite(self.first + self.factor + self.longest)
        if not finite or self.first < 0 or self.factor < 1 or self.longest < 0 or not 0 <= self.jitter <= 1:
            raise ValueError(f"waits must not be negative, factor not below 1, jitter within 0..1; got {self!r}.")

    def patch(self, **changes: Any) -> Retry:
        """A copy with other values."""
        return replace(self, **changes)

    def wait(self, attempt: int, *, retry_after: float | None = None, chance: float | None = None) -> float | None:
        """Seconds to wait after a failed attempt, or None when it was the last one.

        Parameters
        ----------
        attempt
            The number of the attempt that failed, from 1.
        retry_after
            What the server asked for. It is obeyed even where it is longer than `longest`.
        chance
            A number within 0..1 instead of a random one; 0.5 gives the plain wait.
        """
        if self.attempts is not None and attempt >= self.attempts:
            return None
        try:
            plain = min(self.first * float(self.factor) ** (attempt - 1), self.longest)
        except OverflowError:  # factor ** 10,000; polls do get that far
            plain = self.longest if self.first else 0.0
        if retry_after is not None and math.isfinite(retry_after):
            return max(retry_after, 0.0)
        share = random.random() if chance is None else chance  # noqa: S311 - jitter, not a secret
        return plain * (1 + self.jitter * (2 * share - 1))

    def schedule(self, limit: int = 12) -> Iterator[float]:
        """The plain waits, without chance; at most `limit` of them."""
        for attempt in range(1, limit + 1):
            seconds = self.wait(attempt, chance=0.5)
            if seconds is None:
                return
            yield seconds

    def __str__(self) -> str:
        waits = ", ".join(_spoken(seconds) for seconds in self.schedule(8))
        if self.attempts is None:
            return f"without end, waiting {waits} ..."
        return f"{self.attempts} tries" + (f", waiting {waits}" if waits else "")


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 7200 else f"{seconds / 3600:g} h"


REQUEST = Retry(attempts=5, first=0.3, factor=2, longest=10)
"""One request of the client: over in less than 5 s of waiting, short enough for someone who looks at the screen."""
DELIVERY = Retry(attempts=30, first=5, factor=4, longest=3600)
"""A delivery: 5 s, 20 s, 80 s, 5 min, 21 min, then every hour; a source that is down for a day loses nothing."""
POLL = Retry(attempts=None, first=0.2, factor=1.5, longest=5, jitter=0.05)
"""Looking whether an order is done: quick at first (the sample archive), never more than 5 s late."""


def retry_after_seconds(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds of a `Retry-After` header: a number or an HTTP date (RFC 9110, 10.2.3). None when it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - (now or datetime.now(UTC))).total_seconds(), 0.0)
