"""The records of a zip, as numbers and bytes (APPNOTE.TXT 6.3.10, sections 4.3 to 4.5): written for stored members, and read.

What is written here has stored members only, so packed and unpacked size are one. Sizes and offsets that do not fit
into 32 bits go into ZIP64 fields.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = [
    "CENTRAL",
    "CENTRAL_SIGNATURE",
    "DESCRIBED_AFTER",
    "DESCRIPTOR_SIGNATURE",
    "END",
    "END64",
    "END64_LOCATOR",
    "END64_LOCATOR_SIGNATURE",
    "END64_SIGNATURE",
    "END_SIGNATURE",
    "LOCAL",
    "LOCAL_SIGNATURE",
    "UTF8",
    "ZIP64",
    "ZIP64_FIELD",
    "DosTime",
    "descriptor",
    "end_records",
    "entry",
    "fields",
    "fitting",
    "is_corrupt",
    "local_header",
    "what_it_is",
    "without",
]

LOCAL = struct.Struct("<4sHHHHHIIIHH")
"""Signature, version, flags, method, time, date, CRC, packed size, size, lengths of name and extra fields."""
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
"""Signature, made by, then as LOCAL; length of the comment, disk, internal and external attributes, offset."""
END64 = struct.Struct("<4sQHHIIQQQQ")
"""Signature, size of the rest, made by, version, two disks, two numbers of entries, size and offset of the directory."""
END64_LOCATOR = struct.Struct("<4sIQI")
"""Signature, disk, offset of the ZIP64 end record, number of disks."""
END = struct.Struct("<4sHHHHIIH")
"""Signature, two disks, two numbers of entries, size and offset of the directory, length of the comment."""

LOCAL_SIGNATURE, CENTRAL_SIGNATURE = b"PK\x03\x04", b"PK\x01\x02"
DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
END64_SIGNATURE, END64_LOCATOR_SIGNATURE, END_SIGNATURE = b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06"

ZIP64 = 0xFFFFFFFF
"""Sizes and offsets from here on go into the ZIP64 fields."""
MANY = 0xFFFF
"""From this number of members on the ZIP64 end record is needed."""
ZIP64_FIELD = 0x0001
"""Tag of the extra field with sizes and offset of 64 bits."""
DESCRIBED_AFTER, UTF8 = 0x0008, 0x0800
"""Flags: CRC and sizes follow the data; the name is UTF-8."""
MADE_BY_UNIX = 3 << 8 | 45
FILE_MODE = 0o100644 << 16
DosTime = tuple[int, int]
"""Date and time."""


def _wide_field(values: list[int]) -> bytes:
    return struct.pack(f"<HH{len(values)}Q", ZIP64_FIELD, 8 * len(values), *values) if values else b""


def local_header(
    name: bytes, *, flags: int, time: DosTime, crc: int, size: int, wide: bool | None = None, extra: bytes = b""
) -> bytes:
    """What stands before the data. `wide`: sizes of 64 bits; by default when `size` needs them."""
    wide = size >= ZIP64 if wide is None else wide
    extra = (_wide_field([size, size]) if wide else b"") + extra
    shown = 0xFFFFFFFF if wide else size
    fixed = LOCAL.pack(
        LOCAL_SIGNATURE, 45 if wide else 20, flags, 0, time[1], time[0], crc, shown, shown, len(name), len(extra)
    )
    return fixed + name + extra


def descriptor(crc: int, size: int, *, wide: bool) -> bytes:
    """What stands after the data when the CRC was not known before them."""
    return DESCRIPTOR_SIGNATURE + struct.pack("<IQQ" if wide else "<III", crc, size, size)


def entry(
    name: bytes,
    *,
    flags: int,
    time: DosTime,
    crc: int,
    size: int,
    offset: int,
    made_by: int = MADE_BY_UNIX,
    version: int = 20,
    attributes: tuple[int, int] = (0, FILE_MODE),
    extra: bytes = b"",
    comment: bytes = b"",
) -> bytes:
    """A member's record in the central directory. `attributes`: internal and external."""
    wide = [size] * 2 if size >= ZIP64 else []
    wide += [offset] if offset >= ZIP64 else []
    extra = _wide_field(wide) + extra
    shown = 0xFFFFFFFF if size >= ZIP64 else size
    fixed = CENTRAL.pack(
        CENTRAL_SIGNATURE,
        made_by,
        max(version, 45) if wide else version,
        flags,
        0,
        time[1],
        time[0],
        crc,
        shown,
        shown,
        len(name),
        len(extra),
        len(comment),
        0,
        *attributes,
        0xFFFFFFFF if offset >= ZIP64 else offset,
    )
    return fixed + name + extra + comment


def end_records(count: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    """The records after the central directory, which has `count` entries in `size` bytes and begins at `offset`."""
    wide = b""
    if count >= MANY or size >= ZIP64 or offset >= ZIP64:
        wide = END64.pack(END64_SIGNATURE, 44, MADE_BY_UNIX, 45, 0, 0, count, count, size, offset)
        wide += END64_LOCATOR.pack(END64_LOCATOR_SIGNATURE, 0, offset + size, 1)
    few = count if count < MANY else 0xFFFF
    narrow = [0xFFFFFFFF if value >= ZIP64 else value for value in (size, offset)]
    return wide + END.pack(END_SIGNATURE, 0, 0, few, few, *narrow, len(comment)) + comment


# --- what a reader asks of records ------------------------------------------------------------------------------------
MARK = 0xFFFFFFFF
"""Stands in a 32-bit field for "see the ZIP64 field"."""
SPLIT = (DESCRIPTOR_SIGNATURE, b"PK00")
"""With which a zip in parts begins, or what was meant to become one."""


def fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """The extra fields; what is no field (some pad with zeros) ends them."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if at + 4 + length > len(extra):
            return
        yield tag, extra[at + 4 : at + 4 + length]
        at += 4 + length


def is_corrupt(extra: bytes) -> bool:
    """Whether more is left after the extra fields than padding."""
    return len(extra) - sum(4 + len(data) for _, data in fields(extra)) >= 4


def without(extra: bytes, unwanted: int) -> bytes:
    """The extra fields but one kind."""
    return b"".join(struct.pack("<HH", tag, len(data)) + data for tag, data in fields(extra) if tag != unwanted)


def fitting(ahead: bytes, crc: int, packed: int, size: int, *, signed_only: bool = False) -> bytes | None:
    """The descriptor with which `ahead` begins, if it has these numbers and a record comes after it."""
    bodies = [struct.pack("<IQQ", crc, packed, size)]
    if packed <= MARK and size <= MARK:
        bodies.append(struct.pack("<III", crc, packed, size))
    layouts = [DESCRIPTOR_SIGNATURE + body for body in bodies] + ([] if signed_only else bodies)
    for layout in layouts:
        after = ahead[len(layout) : len(layout) + 4]
        if ahead.startswith(layout) and after in {LOCAL_SIGNATURE, CENTRAL_SIGNATURE}:
            return layout
    return None


def what_it_is(start: bytes) -> str:
    """What begins with these bytes, where a zip should."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith(SPLIT):
        return "it is a part of a zip in several parts"
    if start.startswith(END_SIGNATURE):
        return "it has no members"
    if LOCAL_SIGNATURE.startswith(start):
        return f"it is cut short after {len(start)} bytes"
    if text.startswith(b"<"):
        return f"it is HTML or XML, and begins with {start!r}"
    return f"it begins with {start!r}, and not with a member"
