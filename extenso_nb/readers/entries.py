"""Files and zips of unknown origin, opened without harm: no link followed, nothing waited for, no bomb unpacked.

Whoever can write into a directory of products could put a link, a pipe or a zip with a million members into it; and a
zip says of itself what it likes. Here stands what is looked at before anything is believed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from extenso_nb.errors import DamagedProduct, UnsupportedProduct

__all__ = ["MEMBERS_MAX", "check_names", "is_plain", "open_below", "open_regular", "too_tight", "unfit", "zip_entries"]

MEMBERS_MAX = 100_000
"""A product has at most some thousands of members; more is a home directory, or worse."""
_DIRECTORY_MAX = 64_000_000
"""Bytes of a zip's directory; 100,000 members with the long names of Sentinel-1 have a third of it."""
_RATIO_MAX, _RATIO_FREE = 100, 2_000_000_000
"""A zip may hold 2 GB, and beyond these 100 times its own size. Real products have 1 to 10 times; deflate can do 1,032."""
_NOT_PLAIN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_NAME_MAX, _PART_MAX, _DEPTH_MAX = 1_024, 255, 32
_END, _END64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q")  # APPNOTE.TXT 4.3.16 and 4.3.14
_CENTRAL = struct.Struct("<4s4B4H3I5H2I")  # 4.3.12
_LOCAL_SIZE, _LOCATOR_SIZE = 30, 20


# --- files -----------------------------------------------------------------------------------------------------------
def open_regular(path: str | os.PathLike[str], *, follow: bool = True, folder: int | None = None) -> BinaryIO:
    """A regular file, open for reading. Raises OSError; at once for a pipe, a socket or a device, which could keep us.

    Parameters
    ----------
    follow
        Whether `path` may be a link.
    folder
        Descriptor of the folder from which a relative `path` starts.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def open_below(root: str | os.PathLike[str], name: str) -> BinaryIO:
    """The regular file `name` below the folder `root`, reached without a link on the way. Raises OSError.

    What was looked at before may be a link by now; so each step starts from the folder that was opened before it.
    """
    *heads, last = name.split("/")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for head in heads:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(head, flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        return open_regular(last, follow=False, folder=folder)
    finally:
        os.close(folder)


# --- zips ------------------------------------------------------------------------------------------------------------
def zip_entries(file: BinaryIO, shown: str | Path) -> list[zipfile.ZipInfo]:
    """What the directory of a zip lists, in the order in which it does; names, sizes and places have been looked at.

    Raises
    ------
    zipfile.BadZipFile and the like
        As :mod:`zipfile` does, for what is no whole zip.
    DamagedProduct
        Members that lead out of it, are links or devices, have names that no disk takes, lie over each other, or are
        two of one name; a small zip that claims to hold very much.
    UnsupportedProduct
        More than `MEMBERS_MAX` members.
    """
    _count(file, shown)
    with zipfile.ZipFile(file) as archive:
        entries, end = archive.infolist(), archive.start_dir
    check_names((entry.orig_filename for entry in entries), shown)
    for entry in entries:
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DamagedProduct(
                f"{shown} has a member that is a link or device, not a file: {entry.filename!r}.", member=entry.filename
            )
    _check_sizes(entries, end, file.seek(0, os.SEEK_END), shown)
    return entries


def _count(file: BinaryIO, shown: str | Path) -> None:
    """Refuse a directory of too many members before :mod:`zipfile` reads it, which takes a kilobyte for each."""
    place = _directory(file)
    if place is None:
        return  # zipfile says what is wrong
    start, size = place
    at, count = start, 0
    while at + _CENTRAL.size <= start + size:
        file.seek(at)
        head = file.read(_CENTRAL.size)
        if len(head) < _CENTRAL.size or head[:4] != b"PK\x01\x02":
            return
        *_, name, extra, comment, _, _, _, _ = _CENTRAL.unpack(head)
        at += _CENTRAL.size + name + extra + comment
        count += 1
        if count > MEMBERS_MAX or at - start > _DIRECTORY_MAX:
            raise UnsupportedProduct(f"{shown} has more than {MEMBERS_MAX} members; this is not a product.")


def _directory(file: BinaryIO) -> tuple[int, int] | None:
    """Where the directory of a zip begins, and its length, as zipfile finds them; None where there is none."""
    end = file.seek(0, os.SEEK_END)
    before = max(end - _END.size - 0xFFFF, 0)
    file.seek(before)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06") if tail[-_END.size :][:4] != b"PK\x05\x06" else len(tail) - _END.size
    if at < 0 or at + _END.size > len(tail):
        return None
    size, place = int(_END.unpack_from(tail, at)[5]), before + at
    wide = place - _LOCATOR_SIZE - _END64.size
    if wide >= 0:
        file.seek(wide)
        record = file.read(_END64.size + 4)
        if record[:4] == b"PK\x06\x06" and record[_END64.size :] == b"PK\x06\x07":
            size, place = int(_END64.unpack_from(record)[8]), wide
    return (place - size, size) if size <= place else None


def is_plain(text: str) -> bool:
    """Whether a name can be told and written: no control characters, and no bytes that are not UTF-8."""
    return _NOT_PLAIN.search(text) is None


def unfit(name: str) -> str | None:
    """Why a name is not that of a member of a product, on any system; None when it may be one.

    One rule for what is delivered and for what is opened: a product that arrives can be read.
    """
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or not {"", ".", ".."}.isdisjoint(parts) or "\\" in name or name[1:2] == ":":
        return "leads out of it"
    if not is_plain(name) or len(name) > _NAME_MAX or len(parts) > _DEPTH_MAX or max(map(len, parts)) > _PART_MAX:
        return "has a name that no product has"
    return None


def check_names(names: Iterable[str], shown: str | Path) -> None:
    """Refuse names of members that no product has, and that would do harm where it is unpacked. Raises DamagedProduct."""
    seen: set[str] = set()
    for name in names:
        if why := unfit(name):
            raise DamagedProduct(f"{shown} has a member that {why}: {name[:200]!r}.", member=ascii(name[:200]))
        folded = name.casefold()
        if folded in seen and not name.endswith("/"):
            raise DamagedProduct(
                f"{shown} has two members named {name!r}, but for the case of letters.", member=name[:200]
            )
        seen.add(folded)


def too_tight(unpacked: int, packed: int) -> bool:
    """Whether so many bytes out of so few are more than any product holds: real ones inflate to ten times at most."""
    return unpacked > _RATIO_FREE + _RATIO_MAX * packed


def _check_sizes(entries: list[zipfile.ZipInfo], end: int, whole: int, shown: str | Path) -> None:
    """Members that share bytes, or inflate beyond reason, are how a small file becomes terabytes."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    limits = [*(entry.header_offset for entry in ordered[1:]), end]
    for entry, limit in zip(ordered, limits, strict=False):  # an empty zip has a limit all the same
        if entry.header_offset + _LOCAL_SIZE + entry.compress_size > limit:
            raise DamagedProduct(
                f"{shown}: {entry.filename} lies over the member after it, or beyond the end.", member=entry.filename
            )
    unpacked = sum(entry.file_size for entry in entries)
    if too_tight(unpacked, whole):
        raise DamagedProduct(
            f"{shown} claims to hold {unpacked:,} bytes in {whole:,}; no product is packed so tightly.",
            hint="If it is what it should be, unpack it, and open the folder.",
        )
