"""A zip that is checked while it streams past, and whose deflated members come out stored.

Nothing is kept but one record a member, nothing is read twice, and what comes out is handed on as it comes. The last
record of a zip says where its directory is, so nothing that lacks it is a zip: that record is held back until all that
stood before it was found to be right.

A zip is read here from its start, and by everybody else from its end. The two must never see different things. So
every byte must belong to exactly one record; local headers, data, descriptors and directory must say the same; and what
could be read in two ways is refused. Checked is more than `zipfile.testzip` does: that reads what the directory names
with the sizes it gives, and never looks at what lies between or behind.

As long as no member is deflated, what comes out is what went in, byte for byte. From the first deflated member on the
deflated ones are written as stored, with headers of their own, and so is the directory; members that were stored still
pass byte for byte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeAlias

from extenso_nb.errors import DamagedProduct
from extenso_nb.gateway import ziprecords
from extenso_nb.gateway.manifest import Arrived, Finding, Manifest, is_manifest
from extenso_nb.gateway.zipfeed import Cut, Held, Input, Tap
from extenso_nb.gateway.zipnames import Names, check_type, harmless, quoted
from extenso_nb.gateway.ziprecords import (
    CENTRAL,
    CENTRAL_SIGNATURE,
    DESCRIBED_AFTER,
    DESCRIPTOR_SIGNATURE,
    END,
    END64,
    END64_LOCATOR,
    END64_LOCATOR_SIGNATURE,
    END64_SIGNATURE,
    END_SIGNATURE,
    LOCAL,
    LOCAL_SIGNATURE,
    UTF8,
    ZIP64_FIELD,
    DosTime,
)
from extenso_nb.readers import entries

__all__ = ["ZipStream"]

BLOCK = 1 << 20
"""Bytes of a block that is handed on, at most."""
MEMBERS_MAX = 100_000
"""Members of a zip; a product has at most some thousands."""
NAME_MAX = 4096
"""Bytes of one name: what a path has on Linux."""

_PIECE = 1 << 18  # bytes inflated at a time: what zlib does not take of them is copied
_STORED, _DEFLATED = 0, 8
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_ENCRYPTED, _PATCHED, _STRONGLY, _MASKED = 0x0001, 0x0020, 0x0040, 0x2000
_LEVEL = 0x0006  # how well was deflated: says nothing of a stored member
_VERSION_MAX = 63  # of APPNOTE.TXT; from there on zipfile refuses
_UNICODE_PATH = 0x7075
_MARK, _MARK16 = 0xFFFFFFFF, 0xFFFF  # "see the ZIP64 field"

Steps: TypeAlias = Generator[bytes | None, None, Any]
"""What the parser yields: bytes to hand on, or None for "more input, please"."""


class _Header(NamedTuple):
    """A local header. Sizes and CRC are None where they are said to follow the data."""

    raw: bytes
    offset: int
    name: bytes
    shown: str
    flags: int
    method: int
    time: DosTime
    crc: int | None
    packed: int | None
    size: int | None
    extra: bytes
    """Without the ZIP64 field."""

    @property
    def described_after(self) -> bool:
        return bool(self.flags & DESCRIBED_AFTER)


@dataclass(slots=True)
class _Member:
    """What came, for comparison with the directory."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    start: int
    """Offset of its header in what comes out."""
    checksums: dict[str, str] = field(default_factory=dict)


class ZipStream:
    """Checks the zip `name` while its bytes pass.

    Parameters
    ----------
    name
        For messages.
    hash_members
        Compute the checksums that the product's manifest may want, and compare them. Else only sizes are compared.

    Notes
    -----
    ``feed`` and ``finish`` are to be iterated to the end; the blocks that they give, in order, are the zip that comes
    out. They hold at most 1 MB each, whatever the input inflates to; how much may come in all is for the caller to
    limit. Not for use by several threads at a time.
    """

    def __init__(self, name: str, *, hash_members: bool = False) -> None:
        self.name = name
        self.restored = False
        """Whether members were inflated, so that what comes out is not what went in."""
        self.count_in = self.count_out = 0
        self.members = 0
        self.manifest: str | None = None
        """The member that is the product's manifest, once it has passed."""
        self.findings: tuple[Finding, ...] = ()
        """After the end: where the product is not as its manifest says."""
        self._input = Input()
        self._names = Names()
        self._hash_members = hash_members
        self._algorithms: tuple[str, ...] = ("md5",) if hash_members else ()
        self._listing: Manifest | None = None
        self._by_offset: dict[int, _Member] = {}
        self._arrived: dict[str, Arrived] = {}
        self._steps: Steps = self._zip()
        self._failure: DamagedProduct | None = None
        self._whole = False

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Take the next bytes of the zip, as many as there are; gives what can be handed on.

        Raises
        ------
        DamagedProduct
            The zip is damaged, or of a kind that is not passed on; what, and where.
        """
        if self._failure is not None:
            raise self._failure
        if self._input.left or self._input.ended:
            raise RuntimeError("The blocks of the last feed were not taken, or there was a last one.")
        self._input.give(bytes(block))
        self.count_in += len(block)
        return self._advance()

    def finish(self) -> Iterator[bytes]:
        """Say that all bytes were fed; gives the rest. Raises DamagedProduct unless the zip was whole."""
        if self._input.left and self._failure is None:
            raise RuntimeError("The blocks of the last feed were not taken.")
        self._input.ended = True
        return self._advance()

    def _advance(self) -> Iterator[bytes]:
        if self._failure is not None:
            raise self._failure
        try:
            for step in self._steps:
                if step is None:
                    return
                if step:
                    self.count_out += len(step)
                    if entries.too_tight(self.count_out, self.count_in):
                        raise self._damage(
                            f"{self.count_out} bytes came out of {self.count_in}; no product is packed so tightly"
                        )
                    yield step
        except Cut:
            self._failure = self._damage(f"it is cut short after {self.count_in} bytes")
        except DamagedProduct as error:
            self._failure = error
        if self._failure is not None:
            raise self._failure
        # A parser that an unforeseen error ended gives nothing more; that must not look like the end.
        if not self._whole:
            raise RuntimeError(f"{self.name} was not looked at to its end.")

    def _damage(self, why: str) -> DamagedProduct:
        return DamagedProduct(f"{self.name} is not a whole zip: {why}.")

    def _refuse(self, why: str) -> NoReturn:
        raise self._damage(why)

    # --- the zip -----------------------------------------------------------------------------------------------------
    def _zip(self) -> Steps:
        start = yield from self._input.up_to(16)
        if start[:4] != LOCAL_SIGNATURE:
            self._refuse(ziprecords.what_it_is(start))
        self._input.back(start)
        while (signature := (yield from self._input.exactly(4))) == LOCAL_SIGNATURE:
            yield from self._member()
        if signature != CENTRAL_SIGNATURE:
            self._refuse(f"at byte {self._input.position - 4} there is neither a member nor the directory")
        yield from self._directory()
        self._whole = True

    def _member(self) -> Steps:
        """One member: header, data, descriptor."""
        header = yield from self._header()
        start = self.count_out
        tap = Tap(self._algorithms, keep=is_manifest(header.shown) and self.manifest is None)
        if header.method == _DEFLATED:
            self.restored = True
            crc, packed, size = yield from self._restored_member(header, tap)
            flags = header.flags & ~_LEVEL
        else:
            crc, packed, size = yield from self._stored_member(header, tap)
            flags = header.flags
        if size and header.shown.endswith("/"):
            self._refuse(f"{quoted(header.shown)} is a folder by its name, but has data")
        member = _Member(header.name, flags, header.method, crc, packed, size, start, tap.checksums())
        self._by_offset[header.offset] = member
        self.members += 1
        if not header.shown.endswith("/"):
            self._arrived[header.shown] = Arrived(size, member.checksums)
        if tap.keep:
            self._look_at_manifest(header.shown, tap.content())

    def _header(self) -> Generator[None, None, _Header]:
        """A local header, behind its signature."""
        offset = self._input.position - 4
        fixed = yield from self._input.exactly(LOCAL.size - 4)
        _, _, flags, method, clock, date, crc, packed, size, name_length, extra_length = LOCAL.unpack(
            LOCAL_SIGNATURE + fixed
        )
        name = yield from self._input.exactly(name_length)
        extra = yield from self._input.exactly(extra_length)
        shown = self._name(name, flags)
        self._check_kind(shown, flags, method)
        fields = list(ziprecords.fields(extra))
        size, packed = self._wide(shown, fields, [size, packed])
        after = bool(flags & DESCRIBED_AFTER)
        self._names.add(name, shown, self._refuse)
        self._check_unicode_path(shown, fields)
        if len(self._by_offset) >= MEMBERS_MAX:
            self._refuse(f"it has more than {MEMBERS_MAX} members")
        return _Header(
            LOCAL_SIGNATURE + fixed + name + extra,
            offset,
            name,
            shown,
            flags,
            method,
            (date, clock),
            None if after and not crc else crc,
            # Each may stand here or follow the data (Info-ZIP writes the size alone); 0 and the mark: it follows.
            None if after and packed in {0, _MARK} else packed,
            None if after and size in {0, _MARK} else size,
            ziprecords.without(extra, ZIP64_FIELD),
        )

    def _name(self, name: bytes, flags: int) -> str:
        if len(name) > NAME_MAX:
            self._refuse(f"a member has a name of {len(name)} bytes")
        try:
            return name.decode("utf-8" if flags & UTF8 else "cp437")
        except UnicodeDecodeError:
            self._refuse(f"the name {name[:80]!r} is not the UTF-8 that it is said to be")

    def _check_kind(self, shown: str, flags: int, method: int) -> None:
        if flags & (_ENCRYPTED | _STRONGLY | _MASKED) or method == 99:
            self._refuse(f"{quoted(shown)} is encrypted")
        if flags & _PATCHED:
            self._refuse(f"{quoted(shown)} is a patch to another file")
        if method not in {_STORED, _DEFLATED}:
            kind = _METHODS.get(method, "a method not known here")
            self._refuse(f"{quoted(shown)} is compressed with {kind} (method {method}); only Deflate is taken")

    def _wide(self, shown: str, fields: list[tuple[int, bytes]], values: list[int]) -> list[int]:
        """Values of 32 bits, those that are marked replaced by what the ZIP64 field has, in its order."""
        found = [data for tag, data in fields if tag == ZIP64_FIELD]
        if len(found) > 1:
            self._refuse(f"{quoted(shown)} has two ZIP64 fields")
        if not found:
            return values
        marked = [index for index, value in enumerate(values) if value == _MARK]
        if len(found[0]) < 8 * len(marked):
            self._refuse(f"the ZIP64 field of {quoted(shown)} is too short")
        wide = struct.unpack_from(f"<{len(marked)}Q", found[0])
        replaced = dict(zip(marked, wide, strict=True))
        return [replaced.get(index, value) for index, value in enumerate(values)]

    def _check_unicode_path(self, shown: str, fields: list[tuple[int, bytes]]) -> None:
        """A second name in an extra field must be the first one: some programs go by the one, some by the other."""
        for tag, data in fields:
            if tag == _UNICODE_PATH and data[5:] != shown.encode() and (shown.isascii() or not harmless(data[5:])):
                self._refuse(f"{quoted(shown)} has another name in its Unicode path field")

    # --- data --------------------------------------------------------------------------------------------------------
    def _stored_member(self, header: _Header, tap: Tap) -> Steps:
        """A member that passes byte for byte; returns CRC, packed size and size."""
        size = header.packed if header.size is None else header.size
        if header.packed not in {None, size}:
            self._refuse(f"{quoted(header.shown)} is stored, but has two sizes: {header.packed} and {header.size}")
        yield header.raw
        if size is None:
            return (yield from self._unsized(header, tap))
        crc, left = 0, size
        while left:
            piece = yield from self._input.some(min(left, BLOCK))
            left -= len(piece)
            crc = zlib.crc32(piece, crc)
            tap.see(piece)
            yield piece
        self._compare(header, crc, size, size)
        if header.described_after:
            yield (yield from self._descriptor(header, crc, size, size))
        return crc, size, size

    def _unsized(self, header: _Header, tap: Tap) -> Steps:
        """Stored data without a size in front: they end where a descriptor fits what came before it.

        It must have its signature, the CRC and the size of all data before, and a record after it. Should a member hold
        those bytes by chance, the directory has another size, and the zip is refused: never is another end passed on.
        Where no end is found all the rest of the zip was taken for data, so the last of it is held back as well.
        """
        crc, size, window, held = 0, 0, b"", Held(END.size + 0xFFFF)
        while True:
            try:
                window += yield from self._input.some(BLOCK - 32)
            except Cut:
                self._refuse(f"the end of {quoted(header.shown)}, stored without its size before it, was not found")
            at = done = 0
            while (at := window.find(DESCRIPTOR_SIGNATURE, at)) >= 0 and at + 28 <= len(window):
                if struct.unpack_from("<I", window, at + 8)[0] == (size + at) & 0xFFFFFFFF:
                    crc, done = zlib.crc32(memoryview(window)[done:at], crc), at
                    layout = ziprecords.fitting(window[at : at + 28], crc, size + at, size + at, signed_only=True)
                    if layout is not None:
                        self._input.back(window[at + len(layout) :])
                        tap.see(window[:at])
                        yield from held.release()
                        yield window[:at]
                        yield layout
                        self._compare(header, crc, size + at, size + at)
                        return crc, size + at, size + at
                at += 1
            keep = at if at >= 0 else max(len(window) - 3, done)
            crc = zlib.crc32(memoryview(window)[done:keep], crc)
            tap.see(window[:keep])
            yield from held.add(window[:keep])
            size += keep
            window = window[keep:]

    def _restored_member(self, header: _Header, tap: Tap) -> Steps:
        """A deflated member, written as a stored one; returns CRC, packed size and size."""
        flags = header.flags & ~_LEVEL
        # Of unknown size: 64 bits for whatever may come.
        wide = None if header.size is not None else True
        yield ziprecords.local_header(
            header.name,
            flags=flags,
            time=header.time,
            crc=header.crc or 0,
            size=header.size or 0,
            wide=wide,
            extra=self._fitting_extra(header),
        )
        crc, packed, size = yield from self._inflated(header, tap)
        self._compare(header, crc, packed, size)
        if header.described_after:
            yield from self._descriptor(header, crc, packed, size)
            yield ziprecords.descriptor(crc, size, wide=wide or size >= ziprecords.ZIP64)
        return crc, packed, size

    def _fitting_extra(self, header: _Header) -> bytes:
        if len(header.extra) > 0xFFFF - 32:
            self._refuse(f"the extra fields of {quoted(header.shown)} leave no room for a ZIP64 field")
        return header.extra

    def _inflated(self, header: _Header, tap: Tap) -> Steps:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        crc = packed = size = 0
        while not inflater.eof:
            most = _PIECE if header.packed is None else min(_PIECE, header.packed - packed)
            if not most:
                self._refuse(f"the compressed data of {quoted(header.shown)} do not end where they should")
            piece = yield from self._input.some(most)
            packed += len(piece)
            while True:
                # One more than may come: the first byte too many is seen, and not passed on.
                room = BLOCK if header.size is None else min(BLOCK, header.size - size + 1)
                try:
                    data = inflater.decompress(piece, room)
                except zlib.error as error:
                    self._refuse(f"{quoted(header.shown)} cannot be inflated ({error})")
                size += len(data)
                if header.size is not None and size > header.size:
                    self._refuse(
                        f"{quoted(header.shown)} inflates to more than the {header.size} bytes that it promises"
                    )
                crc = zlib.crc32(data, crc)
                tap.see(data)
                yield data
                piece = inflater.unconsumed_tail
                if inflater.eof or (not piece and len(data) < room):
                    break
        unused = inflater.unused_data
        self._input.back(unused)
        return crc, packed - len(unused), size

    def _compare(self, header: _Header, crc: int, packed: int, size: int) -> None:
        """The data against the header."""
        if header.packed not in {None, packed}:
            self._refuse(f"{quoted(header.shown)} has {packed} compressed bytes, and not {header.packed}")
        if header.size not in {None, size}:
            self._refuse(f"{quoted(header.shown)} has {size} bytes, and not {header.size}")
        if header.crc not in {None, crc}:
            self._refuse(f"the CRC of {quoted(header.shown)} is wrong")

    def _descriptor(self, header: _Header, crc: int, packed: int, size: int) -> Generator[None, None, bytes]:
        """The descriptor after the data, as it is: with signature or without, sizes of 32 bits or 64."""
        ahead = yield from self._input.up_to(28)
        layout = ziprecords.fitting(ahead, crc, packed, size)
        if layout is None:
            if len(ahead) < 28:
                raise Cut
            self._refuse(f"what follows the data of {quoted(header.shown)} does not have their CRC and sizes")
        self._input.back(ahead[len(layout) :])
        return layout

    # --- the directory -----------------------------------------------------------------------------------------------
    def _directory(self) -> Steps:
        """The directory and what ends it; its first signature has been taken."""
        start, out = self._input.position - 4, self.count_out
        count, tails = 0, (b"", b"")
        signature = CENTRAL_SIGNATURE
        while signature == CENTRAL_SIGNATURE:
            raw, written = yield from self._entry()
            count += 1
            tails = (raw[-END64_LOCATOR.size :], written[-END64_LOCATOR.size :])
            yield written
            signature = yield from self._input.exactly(4)
        if self._by_offset:
            self._refuse(f"{len(self._by_offset)} of its members are not in its directory")
        size = self._input.position - 4 - start
        end = yield from self._end(signature, (count, size, start), tails)
        written_size = self.count_out - out
        if (yield from self._input.up_to(1)):
            self._refuse(f"there are bytes after its end, which is at byte {self._input.position - 1}")
        self._conclude()
        record, comment = end
        self._check_comment(record, comment)
        if self.restored:
            record = ziprecords.end_records(count, written_size, out, comment)
            self._check_comment(record, comment)
        yield record

    def _entry(self) -> Generator[None, None, tuple[bytes, bytes]]:
        """One entry, behind its signature, compared with its member: as it is, and as it goes out."""
        fixed = CENTRAL_SIGNATURE + (yield from self._input.exactly(CENTRAL.size - 4))
        fields = CENTRAL.unpack(fixed)
        _, made_by, version, flags, method, clock, date, crc, packed, size = fields[:10]
        name = yield from self._input.exactly(fields[10])
        extra = yield from self._input.exactly(fields[11])
        comment = yield from self._input.exactly(fields[12])
        disk, internal, external, offset = fields[13:]
        shown = self._name(name, flags)
        self._check_kind(shown, flags, method)
        if ziprecords.is_corrupt(extra):
            self._refuse(f"the extra fields of {quoted(shown)} in the directory are corrupt")
        tagged, kept = list(ziprecords.fields(extra)), ziprecords.without(extra, ZIP64_FIELD)
        size, packed, offset = self._wide(shown, tagged, [size, packed, offset])
        member = self._by_offset.pop(offset, None)
        if member is None:
            self._refuse(f"the directory says that {quoted(shown)} is at byte {offset}, where it is not")
        self._check_entry(member, shown, name, (flags, method, crc, packed, size))
        self._check_unicode_path(shown, tagged)
        check_type(shown, external, made_by >> 8, self._refuse)
        if disk and (disk != _MARK16 or kept == extra):
            self._refuse(f"{quoted(shown)} is in another part of a zip in several parts")
        if version & 0xFF > _VERSION_MAX:
            self._refuse(f"{quoted(shown)} wants version {(version & 0xFF) / 10} of the format")
        raw = fixed + name + extra + comment
        if not self.restored:
            return raw, raw
        if len(kept) > 0xFFFF - 32:
            self._refuse(f"the extra fields of {quoted(shown)} leave no room for a ZIP64 field")
        written = ziprecords.entry(
            name,
            flags=member.flags,
            time=(date, clock),
            crc=crc,
            size=size,
            offset=member.start,
            made_by=made_by,
            version=version,
            attributes=(internal, external),
            extra=kept,
            comment=comment,
        )
        return raw, written

    def _check_entry(self, member: _Member, shown: str, name: bytes, said: tuple[int, int, int, int, int]) -> None:
        """The directory against the member."""
        flags, method, crc, packed, size = said
        compared = {
            "name": name == member.name and (name.isascii() or not (flags ^ member.flags) & UTF8),
            "method": method == member.method,
            "CRC": crc == member.crc,
            "compressed size": packed == member.packed,
            "size": size == member.size,
        }
        for what, same in compared.items():
            if not same:
                self._refuse(f"the directory has another {what} for {quoted(shown)} than the member itself")

    def _end(
        self, signature: bytes, said: tuple[int, int, int], tails: tuple[bytes, bytes]
    ) -> Generator[None, None, tuple[bytes, bytes]]:
        """The end records, of which the first signature has been taken: as they are, and the comment."""
        raw, wide = b"", signature == END64_SIGNATURE
        if wide:
            raw, signature = yield from self._end64(said)
        if signature != END_SIGNATURE:
            self._refuse(f"at byte {self._input.position - 4} its directory is followed by something else than its end")
        # Readers look for a ZIP64 record right before the end record. Bytes of an entry must not look like one.
        if tails[1].startswith(END64_LOCATOR_SIGNATURE) or (not wide and tails[0].startswith(END64_LOCATOR_SIGNATURE)):
            self._refuse("the end of its directory can be read in two ways")
        fixed = signature + (yield from self._input.exactly(END.size - 4))
        _, disk, first_disk, here, count, size, offset, comment_length = END.unpack(fixed)
        comment = yield from self._input.exactly(comment_length)
        if any(number not in {0, _MARK16 if wide else 0} for number in (disk, first_disk)):
            self._refuse("it is a part of a zip in several parts")
        true = (said[0], said[0], said[1], said[2])
        marks = (_MARK16, _MARK16, _MARK, _MARK)
        for value, right, mark in zip((here, count, size, offset), true, marks, strict=True):
            if value != right and not (wide and value == mark):
                self._refuse("its last record has other numbers for its directory than those of the directory")
        return raw + fixed + comment, comment

    def _check_comment(self, record: bytes, comment: bytes) -> None:
        """Readers look for the last signature of an end record: it must be that of the end record."""
        if comment and record.rfind(END_SIGNATURE) != len(record) - len(comment) - END.size:
            self._refuse("its comment can be taken for the end of another zip")

    def _end64(self, said: tuple[int, int, int]) -> Generator[None, None, tuple[bytes, bytes]]:
        """The two ZIP64 records, behind the first signature, and the signature after them."""
        position = self._input.position - 4
        first = END64_SIGNATURE + (yield from self._input.exactly(END64.size - 4))
        _, rest, _, _, disk, first_disk, here, count, size, offset = END64.unpack(first)
        second = yield from self._input.exactly(END64_LOCATOR.size)
        signature, locator_disk, place, disks = END64_LOCATOR.unpack(second)
        if signature != END64_LOCATOR_SIGNATURE or rest != END64.size - 12 or place != position:
            self._refuse("its ZIP64 end records do not fit together")
        if disk or first_disk or locator_disk or disks > 1:
            self._refuse("it is a part of a zip in several parts")
        if (here, count, size, offset) != (said[0], said[0], said[1], said[2]):
            self._refuse("its ZIP64 end record has other numbers for its directory than those of the directory")
        return first + second, (yield from self._input.exactly(4))

    # --- the manifest ------------------------------------------------------------------------------------------------
    def _look_at_manifest(self, name: str, content: bytes | None) -> None:
        self.manifest, self._listing = name, Manifest(name, content)
        if self._hash_members and self._listing.algorithms:
            self._algorithms = tuple(sorted(self._listing.algorithms))

    def _conclude(self) -> None:
        if self._listing is not None:
            self.findings = tuple(self._listing.compare(self._arrived, checksums=self._hash_members))
