"""The end of a wait that no timeout ends: an answer whose head comes byte by byte."""

from __future__ import annotations

import socket
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

__all__ = ["Streams", "Watch"]


class Streams:
    """The connections that there are, as httpcore has them. They are not kept from going away."""

    def __init__(self) -> None:
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()

    def add(self, stream: Any) -> None:
        """Know one more."""
        with self._lock:
            self._known.add(stream)

    def all(self) -> list[Any]:
        """Those that are left."""
        with self._lock:
            return list(self._known)


class Watch:
    """Ends the wait for an answer whose head does not end: a byte, or a 102, now and then keeps every timeout away.

    Which of the connections that are kept a request goes out on is not told. Where it did not make one for itself, all
    that there are end with it; what else is read over them is taken up again.
    """

    def __init__(self, seconds: float, streams: Streams) -> None:
        self.over = False
        self._streams = streams
        self._stream: Any = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def note(self, event: str, facts: Mapping[str, Any]) -> None:
        """Learn of the connection: the `trace` of httpcore."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = facts["return_value"]
            self._streams.add(self._stream)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.over = True
        for stream in self._streams.all() if self._stream is None else [self._stream]:
            connection = stream.get_extra_info("socket")
            if connection is not None:
                with suppress(OSError):
                    # Not that of an SSLSocket, which would change what the other thread is reading with.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
