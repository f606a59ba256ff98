"""A stored zip that nobody has written yet: its bytes from any offset, made of members that lie elsewhere.

The layout is arithmetic on names and sizes (APPNOTE.TXT 6.3.10, sections 4.3 to 4.5), so the size is known before a byte
of data is read, and every reading gives the same bytes.

A zip wants the CRC-32 of a member before its data. Where nobody knows it then, the member carries a data descriptor
after its data (flag bit 3); sizes stand in the local header all the same, as readers of streams like. The CRC is noted
once a member was read; where a reading breaks off within one, what was computed so far is kept, and a reading that goes
on from there goes on with it. Only a reading that starts behind members of which nothing is known has to read those, for
the directory at the end: it costs the bytes before its offset once more.
"""

from __future__ import annotations

import threading
import zlib
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Protocol

from extenso_nb.checksums import Hasher, hasher
from extenso_nb.errors import ExtensoError
from extenso_nb.gateway import ziprecords

__all__ = ["Member", "Opened", "StoredZip", "dos_time"]


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the zip to come."""

    name: str
    """Complete, root folder included."""
    size: int
    """Bytes."""
    time: ziprecords.DosTime
    crc: int | None = None
    """CRC-32; None: only known after reading."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Further ones that the data must have: algorithm of `extenso_nb.checksums` -> hex, in lower case."""

    @property
    def raw_name(self) -> bytes:
        """As it stands in the zip."""
        return self.name.encode("utf-8")

    @property
    def is_large(self) -> bool:
        """Whether its size needs 64 bits."""
        return self.size >= ziprecords.ZIP64

    @property
    def flags(self) -> int:
        """Of the zip's records."""
        return (0 if self.name.isascii() else ziprecords.UTF8) | (ziprecords.DESCRIBED_AFTER if self.crc is None else 0)

    @property
    def trailer_size(self) -> int:
        """Bytes after the data."""
        if self.crc is not None:
            return 0
        return 24 if self.is_large else 16

    def header(self) -> bytes:
        """What stands before the data."""
        return ziprecords.local_header(
            self.raw_name, flags=self.flags, time=self.time, crc=self.crc or 0, size=self.size
        )

    def trailer(self, crc: int) -> bytes:
        """What stands after the data."""
        return b"" if self.crc is not None else ziprecords.descriptor(crc, self.size, wide=self.is_large)

    def entry(self, crc: int, offset: int) -> bytes:
        """The member's record in the central directory."""
        return ziprecords.entry(self.raw_name, flags=self.flags, time=self.time, crc=crc, size=self.size, offset=offset)


class Opened(Protocol):
    """The data of the members, for the time of one reading. Members are known by their number."""

    def blocks(self, index: int, start: int) -> Generator[bytes, None, None]:
        """The data of a member from a byte on: to its end, exactly, or an error."""

    def starts_anywhere(self, index: int) -> bool:
        """Whether `blocks` can start elsewhere than at the beginning."""

    def differs(self, index: int, what: str) -> ExtensoError:
        """The error for data that do not have the checksum (`what`, in words) which they must have."""

    def finish(self) -> None:
        """Called when all was read; raises when what was read is not to be relied on."""


class _Proof:
    """The checksums of the beginning of a member."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        self.at, self.crc = 0, 0
        self.hashers: dict[str, Hasher] = {name: hasher(name) for name in algorithms}

    def feed(self, block: bytes) -> None:
        self.crc = zlib.crc32(block, self.crc)
        for one in self.hashers.values():
            one.update(block)
        self.at += len(block)


class StoredZip:
    """The bytes of a stored zip, from any offset. Threads may read at the same time.

    Parameters
    ----------
    members
        In the order of the zip.
    opened
        Opens what gives their data; called once a reading.
    """

    def __init__(self, members: Sequence[Member], opened: Callable[[], AbstractContextManager[Opened]]) -> None:
        self.members = tuple(members)
        self.starts: list[int] = []
        self._opened = opened
        self._crcs: dict[int, int] = {i: member.crc for i, member in enumerate(members) if member.crc is not None}
        self._broken_off: dict[int, _Proof] = {}
        self._lock = threading.Lock()
        end = 0
        for member in self.members:
            self.starts.append(end)
            end += len(member.header()) + member.size + member.trailer_size
        self.directory_start = end
        # The lengths of the records do not depend on the CRCs.
        records = sum(len(member.entry(0, start)) for member, start in zip(self.members, self.starts, strict=True))
        self.size = end + records + len(ziprecords.end_records(len(self.members), records, end))

    def read(self, offset: int) -> Iterator[bytes]:
        """The bytes from `offset` on. Raises what `opened` and what it opens raise."""
        first = max(bisect_right(self.starts, offset) - 1, 0) if offset < self.directory_start else len(self.members)
        with self._opened() as opened:
            for index in range(first, len(self.members)):
                yield from self._member(index, max(offset - self.starts[index], 0), opened)
            if tail := self._directory(opened)[max(offset - self.directory_start, 0) :]:
                yield tail
            opened.finish()

    def _member(self, index: int, skip: int, opened: Opened) -> Iterator[bytes]:
        """Header, data and descriptor of a member, without the first `skip` bytes."""
        member = self.members[index]
        header = member.header()
        if skip < len(header):
            yield header[skip:]
        skip = max(skip - len(header), 0)
        if skip < member.size:
            yield from self._data(index, skip, opened)
        skip = max(skip - member.size, 0)
        if skip < member.trailer_size:
            yield member.trailer(self._crc(index, opened))[skip:]

    def _data(self, index: int, skip: int, opened: Opened) -> Iterator[bytes]:
        """The data of a member from `skip` on, its checksums proved or noted."""
        anywhere = skip > 0 and opened.starts_anywhere(index)
        with self._lock:
            proof = self._broken_off.pop(index, None)
            known = index in self._crcs
        if anywhere and proof is not None and proof.at <= skip and not (known and proof.at < skip):
            yield from self._proved(index, proof, skip, opened)
        elif anywhere and known:  # no need to read the head again
            yield from opened.blocks(index, skip)
        else:
            yield from self._proved(index, _Proof(list(self.members[index].checksums)), skip, opened)

    def _proved(self, index: int, proof: _Proof, skip: int, opened: Opened) -> Iterator[bytes]:
        """The data from `skip` on, read from where the proof has got to, so that at its end it is one of the whole."""
        try:
            with closing(opened.blocks(index, proof.at)) as blocks:
                for block in blocks:
                    at = proof.at
                    proof.feed(block)
                    if proof.at > skip:
                        yield block[max(skip - at, 0) :]
        finally:
            if 0 < proof.at < self.members[index].size:
                with self._lock:
                    self._broken_off[index] = proof
        self._conclude(index, proof, opened)

    def _conclude(self, index: int, proof: _Proof, opened: Opened) -> None:
        for name, wanted in self.members[index].checksums.items():
            if (made := proof.hashers[name].hexdigest()) != wanted:
                raise opened.differs(index, f"its {name} is {made}, {wanted} was announced")
        with self._lock:
            known = self._crcs.setdefault(index, proof.crc)
        if known != proof.crc:
            raise opened.differs(index, f"its CRC is {proof.crc:08x} and not {known:08x}")

    def _crc(self, index: int, opened: Opened) -> int:
        if not self.members[index].size:
            return 0
        if index not in self._crcs:
            for _ in self._data(index, 0, opened):
                pass
        return self._crcs[index]

    def _directory(self, opened: Opened) -> bytes:
        records = [
            member.entry(self._crc(index, opened), start)
            for index, (member, start) in enumerate(zip(self.members, self.starts, strict=True))
        ]
        body = b"".join(records)
        return body + ziprecords.end_records(len(records), len(body), self.directory_start)


def dos_time(moment: Sequence[int]) -> ziprecords.DosTime:
    """Year, month, day, hour, minute and second as a zip has them; the nearest that it can have."""
    year, month, day, hour, minute, second = moment[:6]
    if not 1980 <= year <= 2107:
        return (0x21, 0) if year < 1980 else (0xFF9F, 0xBF7D)
    return (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2
