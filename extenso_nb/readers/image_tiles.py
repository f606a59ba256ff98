"""Which bytes of an image a window touches, and how a decoder gets them, where the image lies at an address."""

from __future__ import annotations

import contextlib
import io
import struct
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from extenso_nb.errors import DamagedProduct, ExtensoError
from extenso_nb.readers.container import Location, SubFile
from extenso_nb.readers.jp2 import Codestream
from extenso_nb.readers.sparse import Sparse, SparseFile
from extenso_nb.readers.spool import spooled

if TYPE_CHECKING:
    from extenso_nb.readers.arrays import Image, ImageFile

__all__ = ["Opener", "Window", "codestream", "is_jp2", "survey", "touched"]

Window = tuple[int, int, int, int]
"""Top, bottom, left, right, in pixels."""
_JP2 = b"\x00\x00\x00\x0cjP  "


# --- JPEG 2000 -------------------------------------------------------------------------------------------------------
def is_jp2(where: Location) -> bool:
    """Whether the bytes at an address are those of a JPEG 2000 file, by the first of them."""
    sparse = cast("Sparse", where.path)
    return sparse.head(where.offset, min(8, where.size))[:8] == _JP2


def _stream(where: Location) -> Codestream | None:
    """The codestream, as far as it is known; None where it is of a kind that cannot be cut."""
    sparse = cast("Sparse", where.path)
    key = ("codestream", where.offset)
    if key not in sparse.memory:
        seen = [False]

        def read(offset: int, length: int) -> bytes:
            if offset:
                return sparse.peek(where.offset + offset, length)
            # What an index has of the beginning is enough as a rule.
            first, seen[0] = not seen[0], True
            return sparse.head(where.offset, length) if first else sparse.read(where.offset, length)

        try:
            sparse.memory[key] = Codestream(read, where.size)
        except (ValueError, struct.error, ZeroDivisionError):
            sparse.memory[key] = None
    return cast("Codestream | None", sparse.memory[key])


def codestream(image: Image, window: Window) -> bytes | None:
    """The tiles that a window touches as a codestream; None where the whole file has to be read.

    Raises DamagedProduct where the file is cut or wrong.
    """
    where = image.where
    assert where is not None
    stream = _stream(where)
    if stream is None:
        return None
    top, bottom, left, right = window
    rows = range(top // image.tile[0], (bottom - 1) // image.tile[0] + 1)
    columns = range(left // image.tile[1], (right - 1) // image.tile[1] + 1)
    tiles = [row * stream.columns + column for row in rows for column in columns]
    try:
        return _cut(where, stream, tiles)
    except ValueError as error:
        # Another thread may have found it wrong meanwhile: tried again in any case.
        stream.forget_table()
        with contextlib.suppress(ValueError):
            return _cut(where, stream, tiles)
        reason = str(error)
    raise DamagedProduct(f"{image.member} in {image.source} cannot be read: {reason}.", member=image.member)


def _cut(where: Location, stream: Codestream, tiles: list[int]) -> bytes:
    ranges = stream.ranges(tiles)
    parts = cast("Sparse", where.path).fetch([(where.offset + start, length) for start, length in ranges])
    return stream.cut(parts, tiles)


def survey(where: Location) -> None:
    """Find all tiles of a JPEG 2000 file, so that an index has them."""
    sparse = cast("Sparse", where.path)
    sparse.memory.pop(("codestream", where.offset), None)
    stream = _stream(where)
    if stream is not None:
        sparse.note(where.offset, min(where.size, stream.head + 12))  # as far as the marker by which its end is known
        with contextlib.suppress(ValueError):  # it is cut: whoever reads that part is told
            stream.walk()


# --- TIFF, and what has to be read whole -----------------------------------------------------------------------------
def touched(dataset: Any, window: Window) -> list[tuple[int, int]]:
    """Ranges of bytes that a window of a TIFF reads, by the tables of GDAL; none of what is no TIFF."""
    if dataset.driver != "GTiff":
        return []
    top, bottom, left, right = window
    found = []
    planes = dataset.indexes if dataset.interleaving is not None and dataset.interleaving.name == "band" else (1,)
    for band in planes:
        high, wide = dataset.block_shapes[band - 1]
        for row in range(top // high, (bottom - 1) // high + 1):
            for column in range(left // wide, (right - 1) // wide + 1):
                place = dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band)
                size = dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=band)
                if place is not None and size is not None:
                    found.append((int(place), int(size)))
    return found


class Opener:
    """Gives GDAL an image member as a file, for one dataset: fetched by ranges, or inflated into a temporary file."""

    def __init__(self, file: ImageFile) -> None:
        self._file = file
        # A name of its own: GDAL remembers what it found under a name before.
        self.name = f"{uuid.uuid4().hex}.image"
        self._first: SparseFile | None = None
        self.failure: ExtensoError | None = None
        """What went wrong in reading: GDAL does not tell."""

    def __call__(self, path: str, mode: str = "rb", **_: Any) -> Any:
        """The member as a file; nothing else is there."""
        if not path.endswith(self.name) or mode not in {"r", "rb"}:
            raise FileNotFoundError(path)
        where = self._file.where
        if where is not None:
            made = SparseFile(cast("Sparse", where.path), where.offset, where.size)
            if self._first is None:
                self._first = made
            else:
                made.share(self._first)
            return _Told(made, self)
        assert self._file.container is not None
        spool = spooled(self._file.container, self._file.member)
        return SubFile("", 0, spool.size, descriptor=spool.file.fileno(), keep=spool)

    def preload(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch what the next readings need, side by side."""
        if self._first is not None:
            self._first.preload(ranges)


class _Told(io.RawIOBase):
    """A file whose failures are kept: what calls it turns them into something else."""

    def __init__(self, file: SparseFile, owner: Opener) -> None:
        super().__init__()
        self._file, self._owner = file, owner
        self.tell, self.seek = file.tell, file.seek  # type: ignore[method-assign]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return self._file.readinto(buffer)
        except ExtensoError as error:
            self._owner.failure = error
            raise OSError(str(error)) from error
