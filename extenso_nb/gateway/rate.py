"""How fast one asker may ask: a token bucket each, in the memory of this process."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from extenso_nb.errors import TooManyRequests

__all__ = ["BURST", "Rate", "address_key"]

BURST = 4
"""A bucket holds as much as comes in so many seconds."""
_MOST = 10_000
"""Askers that are remembered; who asked longest ago is forgotten first."""


class Rate:
    """A limit of requests per second, for each asker by itself.

    Parameters
    ----------
    per_second
        Requests per second in the long run.
    burst
        Requests at once; by default what comes in BURST seconds, 1 at least.
    """

    def __init__(
        self,
        per_second: float,
        *,
        burst: float | None = None,
        most: int = _MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (math.isfinite(per_second) and per_second > 0):
            raise ValueError(f"a rate is a number above 0, not {per_second!r}")
        self.per_second = per_second
        self.burst = max(per_second * BURST if burst is None else burst, 1.0)
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        # Who -> (what is in the bucket, when that was counted); who asked last is last.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, who: str) -> None:
        """Count one request. Raises TooManyRequests with the seconds after which there is room for one."""
        now = self._clock()
        with self._lock:
            held, counted = self._buckets.pop(who, (self.burst, now))
            held = min(held + max(now - counted, 0.0) * self.per_second, self.burst)
            room = held >= 1.0
            self._buckets[who] = (held - 1.0 if room else held, now)
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        if not room:
            raise TooManyRequests(
                f"More than {self.per_second:g} requests per second.", retry_after=(1.0 - held) / self.per_second
            )


def address_key(host: str | None) -> str:
    """What stands for a client's address: of IPv6 the /64, for whoever has one address of it has all."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
