"""A tree, a deflated zip or a ready file as the bytes of one delivery, readable from any offset.

A zip whose members are all stored and a single file (``.nc``) are passed through unchanged. A folder, or a zip with
compressed members, becomes a stored zip: then every array of the product lies in the delivery as one plain range of
bytes. The layout is arithmetic on names and sizes (APPNOTE.TXT 6.3.10, sections 4.3 to 4.5), so the size is known
before a byte of data is read.

A zip wants the CRC-32 of a member before its data. For a folder nobody knows it then, so those members carry a data
descriptor after their data (flag bit 3); sizes stand in the local header all the same, as readers of streams like.
For a zip the CRCs come from its directory, and are proved while inflating.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from extenso_nb import products
from extenso_nb.errors import (
    ChecksumMismatch,
    DamagedProduct,
    InputError,
    SourceUnavailable,
    UnsupportedProduct,
)
from extenso_nb.gateway import ziprecords
from extenso_nb.readers.container import Container
from extenso_nb.readers.entries import open_below, open_regular
from extenso_nb.readers.opening import open_container

__all__ = ["Packed", "pack"]

BLOCK = 1 << 20
"""Bytes read at a time."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file below a product's folder. It is opened without following links: one could lead out of the product."""

    root: str
    name: str

    def __str__(self) -> str:
        return f"{self.root}/{self.name}"

    def open(self) -> BinaryIO:
        return open_below(self.root, self.name)


# --- what goes in ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Member:
    """One member of the zip to come. `name` is complete, root folder included."""

    name: str
    size: int
    time: ziprecords.DosTime
    crc: int | None
    """None: only known after reading."""
    source: _File | zipfile.ZipInfo
    status: os.stat_result | None = None
    """Of a file, when it was packed."""

    @property
    def raw_name(self) -> bytes:
        return self.name.encode("utf-8")

    @property
    def is_large(self) -> bool:
        return self.size >= ziprecords.ZIP64

    @property
    def flags(self) -> int:
        return (0 if self.name.isascii() else ziprecords.UTF8) | (ziprecords.DESCRIBED_AFTER if self.crc is None else 0)

    @property
    def trailer_size(self) -> int:
        if self.crc is not None:
            return 0
        return 24 if self.is_large else 16

    def header(self) -> bytes:
        return ziprecords.local_header(
            self.raw_name, flags=self.flags, time=self.time, crc=self.crc or 0, size=self.size
        )

    def trailer(self, crc: int) -> bytes:
        return b"" if self.crc is not None else ziprecords.descriptor(crc, self.size, wide=self.is_large)

    def entry(self, crc: int, offset: int) -> bytes:
        """The member's record in the central directory."""
        return ziprecords.entry(self.raw_name, flags=self.flags, time=self.time, crc=crc, size=self.size, offset=offset)


def _dos_time(moment: tuple[int, ...]) -> ziprecords.DosTime:
    year, month, day, hour, minute, second = moment[:6]
    if not 1980 <= year <= 2107:
        return (0x21, 0) if year < 1980 else (0xFF9F, 0xBF7D)
    return (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2


# --- its members -----------------------------------------------------------------------------------------------------
def _folder_members(container: Container, root: str) -> list[_Member]:
    return [
        _folder_member(_File(container.path, container.raw_name(name)), f"{root}/{name}") for name in container.names()
    ]


def _folder_member(file: _File, name: str) -> _Member:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnsupportedProduct(f"The name of {str(file)!r} is not UTF-8.", hint="Rename the file.") from error
    with file.open() as opened:
        status = os.fstat(opened.fileno())
    moment = _dos_time(time.gmtime(status.st_mtime)[:6])
    return _Member(name, status.st_size, moment, None if status.st_size else 0, file, status)


def _zip_members(container: Container, infos: list[zipfile.ZipInfo], root: str) -> list[_Member]:
    by_name = {info.filename: info for info in infos}
    found = ((name, by_name.get(container.raw_name(name))) for name in container.names())
    members = [
        _Member(f"{root}/{name}", info.file_size, _dos_time(info.date_time), info.CRC, info)
        for name, info in found
        if info is not None
    ]
    if len(members) < len(container.names()):
        raise ChecksumMismatch(f"{container.uri} changed while it was being looked at.")
    return members


# --- the delivery ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Packed:
    """The bytes of one delivery: `size` of them, the same from every `read`, or an error.

    Threads may read at the same time. Nothing is kept open between reads.
    """

    name: str
    """File name with extension: `<id>.SAFE.zip`, `<id>.SEN3.zip`, `<id>.nc`."""
    size: int
    """Bytes of the delivery."""
    payload: int
    """Bytes of the product's own files, unpacked: how much of a product there is."""
    ready: bool
    """Whether the file is passed through unchanged."""
    _read: Callable[[int], Iterator[bytes]] = field(repr=False)

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """The bytes from `offset` on, in blocks.

        Raises
        ------
        InputError
            `offset` lies outside the delivery.
        ChecksumMismatch
            A file of the product changed (size, time or bytes) since it was packed.
        DamagedProduct
            A compressed member does not give the bytes that its zip promises.
        SourceUnavailable
            The file system failed.
        """
        if not 0 <= offset <= self.size:
            raise InputError(f"Offset {offset} lies outside {self.name}, which has {self.size} bytes.")
        return self._read(offset)


def pack(src: str | os.PathLike[str], product_id: str) -> Packed:
    """The delivery of the product at `src`, laid out but not yet read.

    Parameters
    ----------
    src
        A product folder, a zip of one, or a single file.
    product_id
        Its identifier: names the delivery and the root folder inside the zip.

    Raises
    ------
    ReaderError
        No product there, or one with links that lead out of it.
    DamagedProduct
        A zip that is cut short or holds unsafe names.
    SourceUnavailable
        The file system refused.
    """
    path, identity = Path(src), products.parse(product_id)
    try:
        return _laid_out(path, identity)
    except zipfile.BadZipFile as error:
        raise DamagedProduct(f"{path} is not a complete zip: {error}.") from error
    except OSError as error:
        raise SourceUnavailable(f"{path} cannot be read: {error.strerror or error}.") from error


def _laid_out(path: Path, identity: products.ProductId) -> Packed:
    name, root = identity.archive_name, f"{identity.id}{identity.extension}"
    container = open_container(path)
    if (identity.extension == ".nc") != (container.kind == "file"):
        raise UnsupportedProduct(f"{path} is not the {identity.extension} that {name} is.", hint="Rename or remove it.")
    if container.kind == "folder":
        return _packed(path, None, _folder_members(container, root), name)
    with open_regular(path, follow=False) as file:
        status = os.fstat(file.fileno())
    if container.kind == "file":
        return _ready(path, status, name, status.st_size)
    with _unchanged(path, status) as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    if all(info.compress_type == zipfile.ZIP_STORED for info in infos):
        return _ready(path, status, name, sum(info.file_size for info in infos))
    return _packed(path, status, _zip_members(container, infos, root), name)


def _ready(path: Path, status: os.stat_result, name: str, payload: int) -> Packed:
    def read(offset: int) -> Iterator[bytes]:
        with _unchanged(path, status) as file:
            file.seek(offset)
            yield from _exactly(file, status.st_size - offset, path)
            _verify(path, os.fstat(file.fileno()), status)

    return Packed(name, status.st_size, payload, True, read)


def _packed(path: Path, status: os.stat_result | None, members: list[_Member], name: str) -> Packed:
    stream = _Stream(path, status, tuple(members))
    return Packed(name, stream.size, sum(member.size for member in members), False, stream.read)


class _Stream:
    """The bytes of a stored zip, from any offset."""

    def __init__(self, path: Path, status: os.stat_result | None, members: tuple[_Member, ...]) -> None:
        self.path = path
        self.status = status
        self.members = members
        self.starts: list[int] = []
        self._crcs: dict[int, int] = {i: member.crc for i, member in enumerate(members) if member.crc is not None}
        self._lock = threading.Lock()
        end = 0
        for member in members:
            self.starts.append(end)
            end += len(member.header()) + member.size + member.trailer_size
        self.directory_start = end
        # The lengths of the records do not depend on the CRCs.
        records = sum(len(member.entry(0, start)) for member, start in zip(members, self.starts, strict=True))
        self.size = end + records + len(ziprecords.end_records(len(members), records, end))

    def read(self, offset: int) -> Iterator[bytes]:
        """The bytes from `offset` on."""
        first = max(bisect_right(self.starts, offset) - 1, 0) if offset < self.directory_start else len(self.members)
        with self._archive() as archive:
            for index in range(first, len(self.members)):
                yield from self._member(index, max(offset - self.starts[index], 0), archive)
            if tail := self._directory(archive)[max(offset - self.directory_start, 0) :]:
                yield tail
            self._check_archive()

    def _archive(self) -> _Opened:
        return _Opened(self.path, self.status)

    def _check_archive(self) -> None:
        if self.status is not None:
            try:
                now = self.path.stat()
            except OSError as error:
                raise _gone(self.path, error) from error
            _verify(self.path, now, self.status)

    def _member(self, index: int, skip: int, archive: _Opened) -> Iterator[bytes]:
        """Header, data and descriptor of a member, without the first `skip` bytes."""
        member = self.members[index]
        header = member.header()
        if skip < len(header):
            yield header[skip:]
        skip = max(skip - len(header), 0)
        if skip < member.size:
            yield from self._data(index, skip, archive)
        skip = max(skip - member.size, 0)
        if skip < member.trailer_size:
            yield member.trailer(self._crc(index, archive))[skip:]

    def _data(self, index: int, skip: int, archive: _Opened) -> Iterator[bytes]:
        """The data of a member from `skip` on, its CRC proved or noted."""
        member = self.members[index]
        with self._open(member, archive) as file:
            known = self._crcs.get(index) if member.status is not None else None
            if skip and known is not None:  # noted before: no need to read the head again
                file.seek(skip)
                yield from _exactly(file, member.size - skip, member.name)
            else:
                yield from self._proved(index, file, skip)
            if member.status is not None:
                _verify(str(member.source), os.fstat(file.fileno()), member.status)

    def _proved(self, index: int, file: IO[bytes], skip: int) -> Iterator[bytes]:
        """The data from `skip` on, read from the start so that the CRC of the whole is known at its end."""
        member, crc, at = self.members[index], 0, 0
        for block in self._blocks(member, file):
            crc = zlib.crc32(block, crc)
            if at + len(block) > skip:
                yield block[max(skip - at, 0) :]
            at += len(block)
        with self._lock:
            known = self._crcs.setdefault(index, crc)
        if known != crc:
            if member.status is not None:
                raise ChecksumMismatch(f"{member.source} changed while it was read: other bytes than before.")
            raise self._damaged(member, "does not have the CRC that the zip promises")

    def _blocks(self, member: _Member, file: IO[bytes]) -> Iterator[bytes]:
        if member.status is not None:
            yield from _exactly(file, member.size, str(member.source))
            return
        left = member.size
        try:
            while left:
                block = file.read(min(BLOCK, left))
                if not block:
                    break
                left -= len(block)
                yield block
            excess = file.read(1)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise self._damaged(member, f"cannot be inflated ({error or type(error).__name__})") from error
        if left or excess:
            raise self._damaged(member, "does not have the size that the zip promises")

    def _damaged(self, member: _Member, why: str) -> DamagedProduct:
        self._check_archive()  # a zip replaced meanwhile is no damage: that is ChecksumMismatch
        return DamagedProduct(f"{member.name} in {self.path} {why}.")

    def _open(self, member: _Member, archive: _Opened) -> IO[bytes]:
        self._check_archive()
        if isinstance(member.source, zipfile.ZipInfo):
            return archive.open(member.source)
        assert member.status is not None
        return _unchanged(member.source, member.status)

    def _crc(self, index: int, archive: _Opened) -> int:
        if index not in self._crcs:
            for _ in self._data(index, 0, archive):
                pass
        return self._crcs[index]

    def _directory(self, archive: _Opened) -> bytes:
        records = [
            member.entry(self._crc(index, archive), start)
            for index, (member, start) in enumerate(zip(self.members, self.starts, strict=True))
        ]
        body = b"".join(records)
        return body + ziprecords.end_records(len(records), len(body), self.directory_start)


class _Opened:
    """The source zip during one read, opened when the first member is asked for; nothing for a folder."""

    def __init__(self, path: Path, status: os.stat_result | None) -> None:
        self.path, self.status = path, status
        self._file: BinaryIO | None = None
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()
        if self._file is not None:
            self._file.close()

    def open(self, info: zipfile.ZipInfo) -> IO[bytes]:
        assert self.status is not None
        try:
            if self._zip is None:
                self._file = _unchanged(self.path, self.status)
                self._zip = zipfile.ZipFile(self._file)
            return self._zip.open(info)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError) as error:
            raise DamagedProduct(f"{info.filename} in {self.path} cannot be opened: {error}") from error
        except OSError as error:
            raise _gone(self.path, error) from error


# --- files that must not change --------------------------------------------------------------------------------------
def _gone(path: Path | str, error: OSError) -> ChecksumMismatch | SourceUnavailable:
    if isinstance(error, FileNotFoundError):
        return ChecksumMismatch(f"{path} was removed while it was being delivered.")
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EINVAL}:
        return ChecksumMismatch(f"{path} became a link or something else while it was being delivered.")
    return SourceUnavailable(f"{path} cannot be read: {error.strerror}.")


def _unchanged(where: Path | _File, status: os.stat_result) -> BinaryIO:
    """The file, open, if it is the one of `status`; links are not followed."""
    try:
        file = where.open() if isinstance(where, _File) else open_regular(where, follow=False)
    except OSError as error:
        raise _gone(str(where), error) from error
    try:
        _verify(str(where), os.fstat(file.fileno()), status)
    except BaseException:
        file.close()
        raise
    return file


def _same(status: os.stat_result) -> tuple[int, ...]:
    # The inode too: size and time can be made those of any other file.
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def _verify(path: Path | str, now: os.stat_result, before: os.stat_result) -> None:
    if _same(now) != _same(before):
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now.st_mtime))
        raise ChecksumMismatch(f"{path} changed while it was being delivered (now {now.st_size} bytes of {since}).")


def _exactly(file: IO[bytes], size: int, path: Path | str) -> Iterator[bytes]:
    """`size` bytes; fewer, and the file was cut meanwhile."""
    while size:
        try:
            block = file.read(min(BLOCK, size))
        except OSError as error:
            raise SourceUnavailable(f"{path} cannot be read: {error.strerror}.") from error
        if not block:
            raise ChecksumMismatch(f"{path} was cut while it was being delivered.")
        size -= len(block)
        yield block
