"""A tree, a deflated zip or a ready file as the bytes of one delivery, readable from any offset.

A zip whose members are all stored and a single file (``.nc``) are passed through unchanged. A folder, or a zip with
compressed members, becomes a stored zip (see `storedzip`): then every array of the product lies in the delivery as one
plain range of bytes. For a folder nobody knows the CRCs before the data; for a zip they come from its directory, and are
proved while inflating.
"""

from __future__ import annotations

import errno
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, TypeAlias

from extenso_nb import products
from extenso_nb.errors import (
    ChecksumMismatch,
    DamagedProduct,
    InputError,
    SourceUnavailable,
    UnsupportedProduct,
)
from extenso_nb.gateway.storedzip import Member, Opened, StoredZip, dos_time
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


_InFolder: TypeAlias = tuple[_File, os.stat_result]
"""A file, and what it was when it was packed."""


# --- what goes in ----------------------------------------------------------------------------------------------------
def _folder_members(container: Container, root: str) -> list[tuple[Member, _InFolder]]:
    return [
        _folder_member(_File(container.path, container.raw_name(name)), f"{root}/{name}") for name in container.names()
    ]


def _folder_member(file: _File, name: str) -> tuple[Member, _InFolder]:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnsupportedProduct(f"The name of {str(file)!r} is not UTF-8.", hint="Rename the file.") from error
    with file.open() as opened:
        status = os.fstat(opened.fileno())
    moment = dos_time(time.gmtime(status.st_mtime))
    return Member(name, status.st_size, moment, None if status.st_size else 0), (file, status)


def _zip_members(container: Container, infos: list[zipfile.ZipInfo], root: str) -> list[tuple[Member, zipfile.ZipInfo]]:
    by_name = {info.filename: info for info in infos}
    found = ((name, by_name.get(container.raw_name(name))) for name in container.names())
    members = [
        (Member(f"{root}/{name}", info.file_size, dos_time(info.date_time), info.CRC), info)
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
        return _packed_folder(name, _folder_members(container, root))
    with open_regular(path, follow=False) as file:
        status = os.fstat(file.fileno())
    if container.kind == "file":
        return _ready(path, status, name, status.st_size)
    with _unchanged(path, status) as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    if all(info.compress_type == zipfile.ZIP_STORED for info in infos):
        return _ready(path, status, name, sum(info.file_size for info in infos))
    return _packed_zip(name, path, status, _zip_members(container, infos, root))


def _ready(path: Path, status: os.stat_result, name: str, payload: int) -> Packed:
    def read(offset: int) -> Iterator[bytes]:
        with _unchanged(path, status) as file:
            file.seek(offset)
            yield from _exactly(file, status.st_size - offset, path)
            _verify(path, os.fstat(file.fileno()), status)

    return Packed(name, status.st_size, payload, True, read)


def _packed(name: str, members: list[Member], opened: Callable[[], AbstractContextManager[Opened]]) -> Packed:
    stream = StoredZip(members, opened)
    return Packed(name, stream.size, sum(member.size for member in members), False, stream.read)


def _packed_folder(name: str, members: list[tuple[Member, _InFolder]]) -> Packed:
    files = [file for _, file in members]
    return _packed(name, [member for member, _ in members], lambda: _OpenedFolder(files))


def _packed_zip(name: str, path: Path, status: os.stat_result, members: list[tuple[Member, zipfile.ZipInfo]]) -> Packed:
    infos = [info for _, info in members]
    return _packed(name, [member for member, _ in members], lambda: _OpenedZip(path, status, infos))


# --- its members, during one reading ---------------------------------------------------------------------------------
class _OpenedFolder:
    """The files of a folder. None is open between two of them."""

    def __init__(self, files: list[_InFolder]) -> None:
        self.files = files

    def __enter__(self) -> _OpenedFolder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def blocks(self, index: int, start: int) -> Generator[bytes, None, None]:
        where, status = self.files[index]
        with _unchanged(where, status) as file:
            file.seek(start)
            yield from _exactly(file, status.st_size - start, str(where))
            _verify(str(where), os.fstat(file.fileno()), status)

    def starts_anywhere(self, index: int) -> bool:
        return True

    def differs(self, index: int, what: str) -> ChecksumMismatch:
        return ChecksumMismatch(f"{self.files[index][0]} changed while it was read: other bytes than before ({what}).")

    def finish(self) -> None:
        pass


class _OpenedZip:
    """The members of a zip, which is opened when the first one is asked for."""

    def __init__(self, path: Path, status: os.stat_result, infos: list[zipfile.ZipInfo]) -> None:
        self.path, self.status, self.infos = path, status, infos
        self._file: BinaryIO | None = None
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> _OpenedZip:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()
        if self._file is not None:
            self._file.close()

    def blocks(self, index: int, start: int) -> Generator[bytes, None, None]:
        assert not start, "what is deflated is read from its beginning"
        self.finish()
        info = self.infos[index]
        with self._open(info) as file:
            left = info.file_size
            try:
                while left:
                    block = file.read(min(BLOCK, left))
                    if not block:
                        break
                    left -= len(block)
                    yield block
                excess = file.read(1)
            except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
                raise self.differs(index, f"it cannot be inflated ({error or type(error).__name__})") from error
        if left or excess:
            raise self.differs(index, "it does not have the size that the zip promises")

    def starts_anywhere(self, index: int) -> bool:
        return False

    def differs(self, index: int, what: str) -> DamagedProduct:
        self.finish()  # a zip replaced meanwhile is no damage: that is ChecksumMismatch
        return DamagedProduct(f"{self.infos[index].filename} in {self.path} is damaged: {what}.")

    def finish(self) -> None:
        try:
            now = self.path.stat()
        except OSError as error:
            raise _gone(self.path, error) from error
        _verify(self.path, now, self.status)

    def _open(self, info: zipfile.ZipInfo) -> IO[bytes]:
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
