"""Deflated members of zips, inflated once a process, into unnamed temporary files that the system removes with it.

They have no byte that can be sought. At most `SPOOL_LIMIT` bytes are kept together; what is being read stays.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import ReaderError

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["SPOOL_LIMIT", "Spool", "spooled"]

SPOOL_LIMIT = 4_000_000_000
"""Bytes of inflated members that a process keeps at most, unless a single one is larger."""

_SPOOL_FILES = 256  # open files; a process has 1024 as a rule, and SLSTR has 111 members


class Spool:
    """A deflated member, inflated into an unnamed temporary file."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.file: Any = None
        self.size = 0

    def __del__(self) -> None:
        if self.file is not None:
            self.file.close()


class _Spools:
    """The inflated members of this process; the least recently used go first.

    One that is being read stays until its last reader has let go of it: dropping it from here only ends its being found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spools: OrderedDict[tuple[Any, ...], Spool] = OrderedDict()

    def get(self, container: Container, member: str) -> Spool:
        key = (container.uri, _stamp(container), member)
        with self._lock:
            spool = self._spools.setdefault(key, Spool())
            self._spools.move_to_end(key)
        with spool.lock:
            if spool.file is None:
                try:
                    spool.file = container.open(member)
                except OSError as error:
                    raise ReaderError(
                        f"{member} in {container.uri} cannot be inflated into a temporary file: {error.strerror}.",
                        hint="Unzip the product, or set TMPDIR to a directory with room for it.",
                        member=member,
                    ) from error
                spool.size = container.size(member)
                self._trim(key)
        return spool

    def _trim(self, keep: tuple[Any, ...]) -> None:
        with self._lock:
            total = sum(spool.size for spool in self._spools.values())
            for key in list(self._spools):
                if total <= SPOOL_LIMIT and len(self._spools) <= _SPOOL_FILES:
                    break
                if key != keep and self._spools[key].size:
                    total -= self._spools.pop(key).size


_spools = _Spools()


def spooled(container: Container, member: str) -> Spool:
    """The inflated member; its file stays open as long as the spool is held. Raises ReaderError, DamagedProduct."""
    return _spools.get(container, member)


def _stamp(container: Container) -> tuple[object, int] | None:
    """What changes when a file is replaced by another one of the same name."""
    if container.remote is not None:
        return container.remote.source.stamp, container.remote.size
    try:
        state = os.stat(container.path)  # noqa: PTH116 - a str
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
