"""Which check a product's bytes get while they stream past: zips and netCDF files are looked at, all else is counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from extenso_nb.errors import DamagedProduct
from extenso_nb.gateway.manifest import Finding
from extenso_nb.gateway.zipstream import ZipStream

__all__ = ["CheckedStream", "CountingStream", "NetcdfStream", "checking"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_HEAD = 64  # bytes: the superblock's end-of-file address is among them, whatever the version and width


class CheckedStream(Protocol):
    """Bytes on their way from a source to a storage. Feed them all, hand on all that comes out, finish.

    Nothing that lacks what `finish` gives is a whole product, and `finish` raises DamagedProduct unless it is one.
    """

    name: str
    restored: bool
    """Whether what comes out differs from what went in."""
    count_in: int
    count_out: int
    members: int
    """Files and folders of a zip so far."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """After the end: where the product is not as its manifest says. For the caller to judge."""

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Take the next bytes; gives what can be handed on. Raises DamagedProduct."""

    def finish(self) -> Iterator[bytes]:
        """Say that all bytes were fed; gives the rest. Raises DamagedProduct."""


def checking(name: str, *, hash_members: bool = False) -> CheckedStream:
    """The stream for a product of this file name. `hash_members`: compare the checksums of the manifest in a zip."""
    lower = name.lower()
    if lower.endswith(".zip"):
        return ZipStream(name, hash_members=hash_members)
    if lower.endswith(".nc"):
        return NetcdfStream(name)
    return CountingStream(name)


class CountingStream:
    """Passes and counts bytes of which nothing is known."""

    restored = False
    members = 0
    findings: tuple[Finding, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.count_in = self.count_out = 0

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Take and give the next bytes."""
        self.count_in += len(block)
        return self._out(block)

    def finish(self) -> Iterator[bytes]:
        """Nothing is left to give."""
        return self._out(b"")

    def _out(self, block: bytes) -> Iterator[bytes]:
        self.count_out += len(block)
        return iter((block,) if block else ())


class NetcdfStream(CountingStream):
    """Checks what a netCDF file says of itself in its first bytes: what it is, and, of HDF5, where it ends.

    The block that was fed last is held back, so that a file cut short never comes out whole. What a netCDF file of the
    classic kind says of its length is spread over its header, and is not looked at; checksums within HDF5 neither.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._head = self._held = b""

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Take the next bytes; gives those before. Raises DamagedProduct when this is no netCDF file."""
        self.count_in += len(block)
        self._head += block[: _HEAD - len(self._head)]
        self._check_signature()
        if not block:
            return self._out(b"")
        before, self._held = self._held, bytes(block)
        return self._out(before)

    def finish(self) -> Iterator[bytes]:
        """Say that all bytes were fed; gives the rest. Raises DamagedProduct unless it ends where it says."""
        self._check_signature()
        if len(self._head) < (len(_HDF5) if self._head[:1] == _HDF5[:1] else len(_CLASSIC[0])):
            raise self._damage(f"it has {self.count_in} bytes")
        if self._head.startswith(_HDF5):
            self._check_end()
        before, self._held = self._held, b""
        return self._out(before)

    def _check_signature(self) -> None:
        if not any(self._head.startswith(magic[: len(self._head)]) for magic in (_HDF5, *_CLASSIC)):
            raise self._damage(f"it begins with {self._head[:16]!r}")

    def _check_end(self) -> None:
        """HDF5 File Format Specification 3.0, section II.A: the end-of-file address of superblock versions 0 to 3."""
        head = self._head.ljust(_HEAD, b"\0")
        version = head[8]
        if version > 3:
            raise self._damage(f"its superblock is of version {version}, which is not known here")
        width = head[13] if version < 2 else head[9]
        if width not in {2, 4, 8}:
            raise self._damage(f"its addresses have {width} bytes")
        # Before the address stand two others: base, and free space (versions 0 and 1) or superblock extension.
        start = {0: 24, 1: 28}.get(version, 12) + 2 * width
        end = int.from_bytes(head[start : start + width], "little")
        if end > self.count_in:
            raise self._damage(f"it is cut short: {self.count_in} of its {end} bytes came")
        if end < self.count_in:
            raise self._damage(f"there are {self.count_in - end} bytes after its end, which is at byte {end}")
        if version == 3 and head[11] & 0x05:
            raise self._damage("it was not closed by the program that wrote it")

    def _damage(self, why: str) -> DamagedProduct:
        return DamagedProduct(f"{self.name} is not a whole netCDF file: {why}.")
