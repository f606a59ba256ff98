"""Blocks made in a thread of their own, a little ahead of the one who takes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator

__all__ = ["ahead"]


class _Line:
    """Blocks between the thread that makes them and the one that takes them; both wait for the other."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._blocks: deque[bytes | memoryview] = deque()
        self._count = 0
        self._done = False
        self._left = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def make(self, blocks: Iterator[bytes | memoryview]) -> None:
        """Put all blocks into the line; stops when nobody waits for them any more."""
        try:
            for block in blocks:
                with self._changed:
                    while self._count and self._count + len(block) > self._most and not self._left:
                        self._changed.wait()
                    if self._left:
                        return
                    self._blocks.append(block)
                    self._count += len(block)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who takes the blocks
            self._failure = error
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def take(self) -> Iterator[bytes | memoryview]:
        while True:
            with self._changed:
                while not self._blocks and not self._done:
                    self._changed.wait()
                if not self._blocks:
                    break
                block = self._blocks.popleft()
                self._count -= len(block)
                self._changed.notify_all()
            yield block
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()


def ahead(blocks: Iterable[bytes | memoryview], *, most: int) -> Generator[bytes | memoryview, None, None]:
    """The same blocks, made in a thread of their own, at most about `most` bytes ahead.

    What `blocks` raises comes out here. When the taker stops early, `blocks` is closed before this returns, so that a
    connection that it holds is given back.
    """
    line = _Line(most)
    maker = threading.Thread(target=line.make, args=(iter(blocks),), name="extenso-ahead", daemon=True)
    maker.start()
    try:
        yield from line.take()
    finally:
        line.leave()
        maker.join()
