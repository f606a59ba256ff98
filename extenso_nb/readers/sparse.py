"""An object of which some bytes are known: those that opening needs. Others are fetched when they are read.

The known bytes are an index: headers, directories, tables of chunks, small texts, each at its place in the object. What
opens a product reads through here, from the same offsets as in the whole object; so the tree is the same with an index
and without one, and what an index does not have costs a request, never a wrong answer.
"""

from __future__ import annotations

import io
import os
import threading
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extenso_nb.storage import Ranged

__all__ = ["BLOCK", "Sparse", "SparseFile"]

BLOCK = 32_768
"""Bytes that are fetched at least where nothing is known: opening without an index reads many small things."""
LEARNED = 1_024
"""Blocks that an object remembers: 32 MB."""

Piece = tuple[int, bytes]


class Sparse:
    """An object read by ranges, some of which are known. Threads share it; pickled, it keeps what is known."""

    def __init__(self, source: Ranged, size: int, known: Iterable[Piece] = ()) -> None:
        self.source, self.size = source, size
        pieces = sorted(known)
        self._starts = [start for start, _ in pieces]
        self._pieces = [data for _, data in pieces]
        self._learned: OrderedDict[int, bytes] = OrderedDict()
        self._parts: dict[tuple[int, int], Sparse] = {}
        self._lock = threading.Lock()
        self.touched: list[tuple[int, int]] | None = None
        """Start and length of each reading since this was set to a list: what an index is made of."""
        self.memory: dict[Any, Any] = {}
        """What readers worked out of the bytes, by a key of theirs; not pickled."""

    @property
    def shown(self) -> str:
        """Where it lies, without anything secret."""
        return self.source.shown

    @property
    def indexed(self) -> bool:
        """Whether bytes of it are known from an index."""
        return bool(self._pieces)

    def __repr__(self) -> str:
        return f"<Sparse {self.shown}: {sum(map(len, self._pieces)):,} of {self.size:,} bytes known>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.source, self.size, self._starts, [zlib.compress(data, 1) for data in self._pieces])

    def part(self, start: int, length: int) -> Sparse:
        """The same object with what is known of one range of it: what an array of one member carries along."""
        if self.touched is not None:
            return self
        with self._lock:
            if (start, length) not in self._parts:
                low, high = max(bisect_right(self._starts, start) - 1, 0), bisect_right(self._starts, start + length)
                known = zip(self._starts[low:high], self._pieces[low:high], strict=True)
                cut = [(max(at, start), data[max(0, start - at) : start + length - at]) for at, data in known]
                self._parts[start, length] = Sparse(self.source, self.size, [piece for piece in cut if piece[1]])
            return self._parts[start, length]

    def note(self, start: int, length: int) -> None:
        """Say that opening needs a range, though it was read otherwise."""
        if self.touched is not None:
            self.touched.append((start, length))

    def read(self, start: int, length: int) -> bytes:
        """Some bytes that opening needs. What is fetched for it is remembered, in blocks. Raises as `Ranged.read` does."""
        self.note(start, length)
        return self._read(start, length)

    def _read(self, start: int, length: int) -> bytes:
        known = self._known(start, length)
        if known is not None:
            return known
        first, last = start // BLOCK, (start + length - 1) // BLOCK
        with self._lock:
            blocks = {at: self._learned[at] for at in range(first, last + 1) if at in self._learned}
        blocks |= self._fetch_blocks([at for at in range(first, last + 1) if at not in blocks])
        whole = b"".join(blocks[at] for at in range(first, last + 1))
        return whole[start - first * BLOCK : start - first * BLOCK + length]

    def head(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`: as many as are known there, or all where none are.

        Who asks says what of it an index needs: see `note`.
        """
        at = bisect_right(self._starts, start) - 1
        if at >= 0 and self._starts[at] + len(self._pieces[at]) > start:
            return self._pieces[at][start - self._starts[at] :][:length]
        return self._read(start, length)

    def peek(self, start: int, length: int) -> bytes:
        """A few bytes, and nothing around them. Raises as `Ranged.read` does."""
        self.note(start, length)
        known = self._known(start, length)
        if known is None:
            with self._lock:
                block = self._learned.get(start // BLOCK)
            offset = start % BLOCK
            known = block[offset : offset + length] if block is not None and offset + length <= len(block) else None
        return self.source.read(start, length) if known is None else known

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of arrays, which nobody remembers: side by side, those that are known without a request."""
        for part in ranges:
            self.note(*part)  # an axis, say, whose values opening reads
        found = [self._known(start, length) for start, length in ranges]
        absent = [part for part, data in zip(ranges, found, strict=True) if data is None]
        fetched = iter(self.source.read_many(absent) if absent else [])
        return [next(fetched) if data is None else data for data in found]

    def learn(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch what will be read next, side by side rather than one after the other."""
        wanted: set[int] = set()
        for start, length in ranges:
            if length > 0 and self._known(start, length) is None:
                wanted |= set(range(start // BLOCK, (start + length - 1) // BLOCK + 1))
        with self._lock:
            absent = sorted(wanted - self._learned.keys())
        self._fetch_blocks(absent[: LEARNED // 2])

    def adopt(self, start: int, data: bytes) -> None:
        """Remember bytes that came along with an answer, as far as they are whole blocks (or the end)."""
        end = start + len(data)
        for at in range(-(-start // BLOCK), end // BLOCK + 1):
            block = data[at * BLOCK - start : (at + 1) * BLOCK - start]
            if len(block) == BLOCK or (block and at * BLOCK + len(block) == self.size):
                self._remember({at: block})

    def _known(self, start: int, length: int) -> bytes | None:
        at = bisect_right(self._starts, start) - 1
        if at < 0 or self._starts[at] + len(self._pieces[at]) < start + length:
            return None
        offset = start - self._starts[at]
        return self._pieces[at][offset : offset + length]

    def _fetch_blocks(self, numbers: list[int]) -> dict[int, bytes]:
        if not numbers:
            return {}
        ranges = [(at * BLOCK, min(BLOCK, self.size - at * BLOCK)) for at in numbers]
        found = dict(zip(numbers, self.source.read_many(ranges, gap=0), strict=True))
        self._remember(found)
        return found

    def _remember(self, blocks: dict[int, bytes]) -> None:
        with self._lock:
            self._learned.update(blocks)
            while len(self._learned) > LEARNED:
                self._learned.popitem(last=False)


def _rebuilt(source: Ranged, size: int, starts: list[int], packed: list[bytes]) -> Sparse:
    return Sparse(source, size, zip(starts, map(zlib.decompress, packed), strict=True))


class SparseFile(io.RawIOBase):
    """`size` bytes from `offset` of a `Sparse` as a file: seekable, read-only. `preload` fetches what will be read."""

    def __init__(self, sparse: Sparse, offset: int, size: int) -> None:
        super().__init__()
        self._sparse, self._offset, self._size, self._at = sparse, offset, size, 0
        self._starts: list[int] = []
        self._blocks: list[bytes] = []

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: D102
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(f"cannot seek to {base + offset}")
        self._at = base + offset
        return self._at

    def preload(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch ranges of the file side by side, for the readings that come next. Raises as `Sparse.fetch`."""
        from extenso_nb.storage.ranged import plan

        inside = [(start, min(length, self._size - start)) for start, length in ranges if start < self._size]
        wanted = plan(inside, gap=0, longest=1 << 62)
        blocks = self._sparse.fetch([(self._offset + start, length) for start, length in wanted])
        # in place: `share` hands them on
        self._starts[:], self._blocks[:] = [start for start, _ in wanted], blocks

    def share(self, other: SparseFile) -> None:
        """Read from what the other one has preloaded, and will."""
        self._starts, self._blocks = other._starts, other._blocks

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        if count:
            view[:count] = self._taken(self._at, count)
        self._at += count
        return count

    def _taken(self, start: int, length: int) -> bytes:
        at = bisect_right(self._starts, start) - 1
        if at >= 0 and self._starts[at] + len(self._blocks[at]) >= start + length:
            offset = start - self._starts[at]
            return self._blocks[at][offset : offset + length]
        return self._sparse.read(self._offset + start, length)
