"""Indexes of delivered products, made in a process of its own.

A product is read by HDF5 and GDAL for that, and a file that brings these down must not bring the gateway down, nor again
when the delivery is taken up. The process is started when there is something to index, takes one product at a time, and
ends by itself: when it has nothing to do for a while, and when the gateway is gone.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
import time
from typing import IO, Any

from extenso_nb.errors import ExtensoError
from extenso_nb.readers.opening import open_object
from extenso_nb.readers.sparse import Sparse
from extenso_nb.storage import FileObject, FolderStorage, Ranged, Storage, StoredObject

__all__ = ["Indexer"]

SECONDS = 300.0
"""How long an index may take; one of a Sentinel-2 product takes a second, out of a bucket some ten."""
IDLE_SECONDS = 30.0
_LENGTH = struct.Struct(">BQ")
_DONE, _NONE = 0, 1
_ARRAYS = (".jp2", ".tif", ".tiff", ".nc")

_log = logging.getLogger(__name__)


class Indexer:
    """Makes indexes one at a time; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def index(self, storage: Storage, key: str, sha256: str | None) -> bytes | None:
        """The index of a stored product; None for one that has none, with the reason in the log. Never raises."""
        try:
            source: Ranged = (
                FileObject(storage.path(key)) if isinstance(storage, FolderStorage) else StoredObject(storage, key)
            )
            if not _has_arrays(source):
                return None
            request = pickle.dumps((source, sha256))
            with self._lock:
                return self._asked(request, key)
        except Exception as error:  # noqa: BLE001 - the product is delivered without one as well
            _log.info("no index of %s: %s", key, error)
            return None

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            _gone(process)

    def _asked(self, request: bytes, key: str) -> bytes | None:
        # A process that was about to end by itself may take the first request with it.
        for attempt in (1, 2):
            process = self._running()
            try:
                assert process.stdin is not None
                process.stdin.write(_LENGTH.pack(_DONE, len(request)) + request)
                process.stdin.flush()
                status, answer = _answer(process, time.monotonic() + SECONDS)
            except (OSError, EOFError, TimeoutError) as error:
                self.close()
                if isinstance(error, TimeoutError) or attempt == 2:
                    _log.warning("no index of %s: the process that makes it ended (%s)", key, error)
                    return None
            else:
                if status == _DONE:
                    return answer
                _log.info("no index of %s: %s", key, answer.decode("utf-8", "replace"))
                return None
        return None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process


def _has_arrays(source: Ranged) -> bool:
    """Whether there is anything to read by ranges; only names are looked at, by Python alone."""
    container = open_object(Sparse(source, source.size))
    return any(name.lower().endswith(_ARRAYS) and container.size(name) for name in container.names())


def _answer(process: subprocess.Popen[bytes], end: float) -> tuple[int, bytes]:
    assert process.stdout is not None
    status, length = _LENGTH.unpack(_read(process.stdout, _LENGTH.size, end))
    return status, _read(process.stdout, length, end)


def _read(file: IO[bytes], length: int, end: float) -> bytes:
    found = bytearray()
    while len(found) < length:
        if not select.select([file], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError(f"it took more than {SECONDS:.0f} s")
        block = os.read(file.fileno(), min(1 << 20, length - len(found)))
        if not block:
            raise EOFError("it died")
        found += block
    return bytes(found)


def _gone(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # of what was not written any more
                continue
    process.wait(timeout=10)


# --- the process -----------------------------------------------------------------------------------------------------
def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are none for a while, or nobody is there to make them."""
    while select.select([requests], [], [], IDLE_SECONDS)[0]:
        try:
            _, length = _LENGTH.unpack(_read(requests, _LENGTH.size, time.monotonic() + SECONDS))
            asked = _read(requests, length, time.monotonic() + SECONDS)
            source, sha256 = pickle.loads(asked)  # noqa: S301 - from the gateway, by a pipe that nobody else has
        except EOFError:
            return
        status, answer = _made(source, sha256)
        answers.write(_LENGTH.pack(status, len(answer)) + answer)
        answers.flush()


def _made(source: Any, sha256: str | None) -> tuple[int, bytes]:
    from extenso_nb.readers.index import build

    try:
        return _DONE, build(source, sha256=sha256)
    except ExtensoError as error:
        return _NONE, error.message.encode()
    except Exception as error:  # noqa: BLE001 - it is the next product's turn
        return _NONE, f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")


if __name__ == "__main__":
    answering = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    os.nice(5)
    _serve(os.fdopen(os.dup(0), "rb", buffering=0), answering)
