"""A product as named members, wherever they lie: a folder, a zip (stored or deflated, ZIP64), a single netCDF file.

Here or far away: the zip or file at an http(s) or s3 address, the objects below an s3 prefix. A container is made once
(`opening`) and keeps no open file, so it can be pickled, and shared by threads. Members of a folder and stored members
of a zip are byte ranges of a file or object: `locate`. Deflated members are read whole (`read`, `open`), or, on this
machine, through GDAL's `/vsizip` (`gdal_path`).

What a zip says of itself is not trusted: see `entries`. `read` is bounded, so that a small file which claims to hold
gigabytes costs nothing, and what is no regular file is never opened.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import os
import struct
import tempfile
import warnings
import zlib
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple

from extenso_nb.errors import DamagedProduct, IncompleteProduct, ReaderError, UnsupportedProduct
from extenso_nb.readers.entries import open_below, open_regular
from extenso_nb.readers.sparse import SparseFile

if TYPE_CHECKING:
    from extenso_nb.readers.sparse import Sparse

__all__ = ["DEFLATED", "STORED", "Container", "Location", "Member", "SubFile", "stream"]

READ_LIMIT = 200_000_000
"""Bytes that `Container.read` returns at most, unless asked for more."""
OPEN_LIMIT = 8_000_000_000
"""Bytes that `Container.open` inflates into a temporary file at most, unless asked for more."""

STORED, DEFLATED = 0, 8
_LOCAL = struct.Struct("<4s5H3I2H")  # signature ... name length, extra length: 30 bytes, APPNOTE.TXT 4.3.7
_BLOCK = 1 << 16  # inflates to 66 MB at most
_FAR = 32_000_000  # of a large deflated member at an address, fetched at a time
_WARM_ALL, _WARM_HEAD, _WARM_THREADS = 16_000_000, 4_096, 16
_NAMES = 300  # a local header with its name, and what stands behind it


class Location(NamedTuple):
    """Where the bytes of a member lie as they are: `size` bytes from `offset` of the file `path`, or of a far object."""

    path: str | Sparse
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Member:
    """One member: how it lies in its zip or folder."""

    size: int
    header: int = 0  # offset of the local header
    method: int = STORED
    packed: int = 0  # bytes in the zip
    crc: int = 0
    raw_name: str = ""  # in a zip: the name there, root folder included; in a folder: what a link leads to


@dataclass(frozen=True)
class Container:
    """The members of one product. Made by `open_container`."""

    uri: str
    """Path or address of the folder or file; never a secret."""
    product_id: str
    """Name of the product: of its root folder or of the file, without extensions."""
    path: str = field(repr=False)
    """The folder that is the root of the product, or the zip or netCDF file."""
    kind: str
    """`folder`, `zip` or `file`."""
    _members: dict[str, Member] = field(repr=False)
    remote: Sparse | None = field(repr=False, default=None)
    """The zip or file, where it lies at an address."""
    _objects: dict[str, Sparse] = field(repr=False, default_factory=dict)
    """The members, where each is an object of its own at an address."""
    located: set[str] = field(repr=False, default_factory=set)
    """Members that were located while an index is made."""

    def __hash__(self) -> int:
        return hash((self.uri, self.product_id))

    def names(self) -> tuple[str, ...]:
        """Members relative to the root of the product, with `/`, sorted. Directories are not members."""
        return tuple(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def find(self, pattern: str) -> tuple[str, ...]:
        """Members whose name matches a shell pattern; `*` matches `/` too; case does not matter."""
        wanted = pattern.lower()
        return tuple(name for name in self._members if fnmatch.fnmatchcase(name.lower(), wanted))

    def part(self, names: Iterable[str]) -> Container:
        """The same product with those members alone, so that what goes to a worker is small. Raises IncompleteProduct."""
        return replace(self, _members={name: self._member(name) for name in names})

    def raw_name(self, name: str) -> str:
        """The name of a member in the zip, root folder included; in a folder that of the file, links resolved."""
        return self._member(name).raw_name or name

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked. Raises IncompleteProduct where there is no such member."""
        return self._member(name).size

    def is_empty(self, name: str) -> bool:
        """Whether the member is there, but has no bytes: a placeholder in a product cut down."""
        return self._member(name).size == 0

    def is_deflated(self, name: str) -> bool:
        """Whether the member is packed, so that none of its bytes can be sought."""
        return self._member(name).method != STORED

    def read(self, name: str, *, limit: int | None = READ_LIMIT) -> bytes:
        """All bytes of a small member, checked against its CRC in a zip.

        Parameters
        ----------
        name
            As in `names()`.
        limit
            Most bytes to return; None for no limit.

        Raises
        ------
        IncompleteProduct
            No such member.
        DamagedProduct
            The bytes are not there, or are not those the zip promises, or there are more than `limit`.
        """
        member = self._member(name)
        self._bound(name, member, limit)
        if self.kind == "zip":
            return b"".join(self._inflate(name, member))
        if (far := self._far(name)) is not None:
            return far.read(0, member.size)
        return self._read_file(name, limit)

    def head(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a member, or all where it has fewer; only those are read. Raises as `read` does."""
        if self.kind != "zip" and self._far(name) is None:
            with self._open_file(name) as file:
                return file.read(size)
        where = self.locate(name)
        if where is not None and not isinstance(where.path, str):
            return where.path.head(where.offset, min(size, where.size))
        if where is not None:
            with stream(where) as part:
                return part.read(size)
        blocks, length = [], 0
        for block in self._inflate(name, self._member(name)):
            blocks.append(block)
            length += len(block)
            if length >= size:
                break
        return b"".join(blocks)[:size]

    def locate(self, name: str) -> Location | None:
        """Where a member lies byte for byte; None for a deflated one. Raises as `read` does."""
        member = self._member(name)
        if self.remote is not None and self.remote.touched is not None:
            self.located.add(name)
        if self.kind != "zip":
            far = self._far(name)
            return Location(self._file(name) if far is None else far, 0, member.size)
        if member.method != STORED:
            return None
        start = self._start(name, member)
        return Location(self.path if self.remote is None else self.remote.part(start, member.size), start, member.size)

    def gdal_path(self, name: str) -> str:
        """The member as GDAL (and rasterio) opens it: a path, `/vsisubfile/` (stored) or `/vsizip/` (deflated).

        Raises UnsupportedProduct for what lies at an address: GDAL would know its secrets, and tell them.
        """
        where = self.locate(name)
        if self.remote is not None or self._objects:
            raise UnsupportedProduct(f"{name} in {self.uri} is not on this machine.", member=name)
        if where is None:
            return f"/vsizip/{{{self.path}}}/{self._member(name).raw_name}"
        if self.kind == "zip":
            return f"/vsisubfile/{where.offset}_{where.size},{where.path}"
        return str(where.path)

    def open(self, name: str, *, limit: int | None = OPEN_LIMIT) -> IO[bytes]:
        """A seekable binary file over a member, for h5py and the like; the caller closes it.

        Nothing is copied but for a deflated member: it is inflated into an unnamed temporary file (`limit` bytes).
        """
        where = self.locate(name)
        if where is not None:
            return stream(where)
        member = self._member(name)
        self._bound(name, member, limit)
        if self.remote is not None:
            warnings.warn(
                f"{name} in {self.uri} is deflated: all of its {member.packed:,} bytes are fetched to read any of them. "
                "A delivery of the gateway is stored as it is, and read by ranges.",
                stacklevel=2,
            )
        target = tempfile.TemporaryFile(prefix="extenso-")  # noqa: SIM115 - handed over
        try:
            for block in self._inflate(name, member):
                target.write(block)
        except BaseException:
            target.close()
            raise
        target.seek(0)
        return target

    def warm(self) -> None:
        """Fetch what opening is likely to read, side by side; nothing where it is here, or known from an index."""
        wanted: dict[int, tuple[Sparse, list[tuple[int, int]]]] = {}
        left = _WARM_ALL
        for name, member in self._members.items():
            far, start = (self._far(name), 0) if self.kind != "zip" else (self.remote, member.header)
            if far is None or far.indexed or name.lower().startswith(("support/", "html/", "preview/")):
                continue
            text = name.lower().endswith((".xml", ".safe")) and member.packed <= _WARM_ALL // 8
            length = min(member.packed if text else _WARM_HEAD, member.packed, left)
            left -= length
            wanted.setdefault(id(far), (far, []))[1].append((start, min(length + _NAMES, far.size - start)))
        if len(wanted) == 1:
            for far, ranges in wanted.values():
                far.learn(ranges)
        elif wanted:
            with ThreadPoolExecutor(_WARM_THREADS) as threads:
                list(threads.map(lambda pair: pair[0].learn(pair[1]), wanted.values()))

    # -- inside ------------------------------------------------------------------------------------------------------
    def _far(self, name: str) -> Sparse | None:
        """The object that a member is, where it is one at an address."""
        self._member(name)
        return self.remote if self.kind == "file" else self._objects.get(name)

    def _member(self, name: str) -> Member:
        try:
            return self._members[name]
        except KeyError:
            raise IncompleteProduct(f"{self.product_id} has no member {name!r}.", member=name) from None

    def _damaged(self, name: str, why: str) -> DamagedProduct:
        return DamagedProduct(f"{name} in {self.uri} cannot be read: {why}.", member=name)

    def _bound(self, name: str, member: Member, limit: int | None) -> None:
        if limit is not None and member.size > limit:
            raise DamagedProduct(
                f"{name} in {self.uri} is {member.size} bytes, more than the {limit} bytes that are read at once.",
                hint="Pass limit=None if the file is what it should be.",
                member=name,
            )

    def _file(self, name: str) -> str:
        return self.path if self.kind == "file" else os.path.join(self.path, *self.raw_name(name).split("/"))  # noqa: PTH118

    def _open_file(self, name: str) -> BinaryIO:
        """A member that is a file, as it lies there now: a link that took its place is not followed."""
        try:
            return open_regular(self.path) if self.kind == "file" else open_below(self.path, self.raw_name(name))
        except OSError as error:
            raise ReaderError(f"{name} in {self.uri} cannot be read: {error.strerror}.", member=name) from error

    def _read_file(self, name: str, limit: int | None) -> bytes:
        with self._open_file(name) as file:
            try:
                data = file.read() if limit is None else file.read(limit + 1)
            except OSError as error:
                raise ReaderError(f"{name} in {self.uri} cannot be read: {error.strerror}.", member=name) from error
        if limit is not None and len(data) > limit:
            self._bound(name, Member(len(data)), limit)
        return data

    def _start(self, name: str, member: Member) -> int:
        """Offset of a member's bytes. The extra field of the local header is often another than the directory's."""
        if self.remote is not None:
            end = self.remote.size
            header = self.remote.read(member.header, max(0, min(_LOCAL.size, end - member.header)))
        else:
            try:
                with open(self.path, "rb") as file:  # noqa: PTH123
                    end = file.seek(0, os.SEEK_END)
                    file.seek(min(member.header, end))
                    header = file.read(_LOCAL.size)
            except OSError as error:
                raise ReaderError(f"{self.uri} cannot be read: {error.strerror}.") from error
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise self._damaged(name, f"there is no member at byte {member.header}; the zip was changed or cut")
        *_, name_length, extra_length = _LOCAL.unpack(header)
        start = member.header + _LOCAL.size + name_length + extra_length
        if start + member.packed > end:
            raise self._damaged(name, f"it should end at byte {start + member.packed}, but the zip ends at byte {end}")
        return int(start)

    def _inflate(self, name: str, member: Member) -> Iterator[bytes]:
        """The bytes of a zip member in blocks, never more than the zip says; its CRC is checked at the end."""
        inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
        done = crc = 0
        with contextlib.closing(self._packed(name, member)) as blocks:
            for packed in blocks:
                try:
                    block = packed if inflater is None else inflater.decompress(packed, member.size - done)
                except zlib.error as error:
                    raise self._damaged(name, f"its compressed bytes are wrong ({error})") from error
                done += len(block)
                crc = zlib.crc32(block, crc)
                yield block
                if done >= member.size:
                    break
        if done != member.size or crc != member.crc:
            raise self._damaged(name, f"its {done} bytes do not match the size and checksum in the zip")

    def _packed(self, name: str, member: Member) -> Generator[bytes, None, None]:
        """The bytes of a zip member as they lie there, in blocks."""
        start, left = self._start(name, member), member.packed
        if self.remote is None:
            with open(self.path, "rb") as file:  # noqa: PTH123
                file.seek(start)
                while left:
                    block = file.read(min(_BLOCK, left))
                    if not block:
                        raise self._damaged(name, f"the zip ends at byte {file.tell()}")
                    left -= len(block)
                    yield block
            return
        small = member.packed <= _WARM_ALL // 8  # metadata, as a rule: remembered
        for at in range(start, start + left, _FAR):
            length = min(_FAR, start + left - at)
            whole = self.remote.read(at, length) if small else self.remote.fetch([(at, length)])[0]
            for place in range(0, length, _BLOCK):
                yield whole[place : place + _BLOCK]


def stream(where: Location) -> IO[bytes]:
    """A member that lies as it is, as a file that the caller closes. Raises OSError, and ReaderError for far ones."""
    if isinstance(where.path, str):
        return SubFile(*where)  # type: ignore[arg-type,return-value]  # RawIOBase is what IO[bytes] describes
    return SparseFile(where.path, where.offset, where.size)  # type: ignore[return-value]


class SubFile(io.RawIOBase):
    """`size` bytes from `offset` of a file as a file of its own: seekable, read-only, picklable."""

    def __init__(self, path: str, offset: int, size: int, *, descriptor: int | None = None, keep: Any = None) -> None:
        """Of `path`, or of an open `descriptor` (then it does not pickle); `keep` is held as long as the file."""
        super().__init__()
        self._where = Location(path, offset, size)
        self._kept = keep
        self._at = 0
        self._fd: int | None = None  # set by opening; `close` also runs when that fails
        if descriptor is not None:
            self._fd = os.dup(descriptor)
            return
        with open_regular(path) as file:
            self._fd = os.dup(file.fileno())

    def __reduce__(self) -> tuple[Any, ...]:
        return SubFile, tuple(self._where)

    def __repr__(self) -> str:
        return f"SubFile(path={self._where.path!r}, offset={self._where.offset}, size={self._where.size})"

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: D102
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._where.size}[whence]
        if base + offset < 0:
            raise OSError(f"cannot seek to {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        if self._fd is None:
            raise ValueError("I/O operation on closed file")
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._where.size - self._at))
        block = os.pread(self._fd, count, self._where.offset + self._at)
        view[: len(block)] = block
        self._at += len(block)
        return len(block)

    def close(self) -> None:  # noqa: D102
        fd, self._fd = getattr(self, "_fd", None), None
        if fd is not None:
            os.close(fd)
        super().close()
