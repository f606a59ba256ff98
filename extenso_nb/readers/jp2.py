"""JPEG 2000 files: what the main header says (size, tiles, samples, the place on Earth of the GML box), and where tiles lie.

Only the first kilobytes are needed, so that opening a product reads neither pixels nor, in a deflated zip, whole members
(GDAL steps over the codestream to look for boxes behind it, and so inflates all of it). The boxes are those of ISO/IEC
15444-1 annex I, the SIZ marker that of annex A.5.1, the GML that of OGC 08-085 (GMLJP2) as ESA writes it.
"""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["HEAD", "Codestream", "Header", "header"]

HEAD = 16_384
"""Bytes that `header` wants; those of ESA's files have the codestream begin within the first 3 kB."""

_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_SIZ = struct.Struct(">HHHH8IH")  # SOC, SIZ, length, capabilities, sizes and offsets of image and tiles, components
_GRID = re.compile(rb"<(?:\w+:)?RectifiedGrid\b.*?</(?:\w+:)?RectifiedGrid>", re.DOTALL)
_EPSG = re.compile(rb"EPSG:[\d.]*:(\d{4,6})\"")
_POS = re.compile(rb"<(?:\w+:)?pos\b[^>]*>([^<]+)<")
_VECTOR = re.compile(rb"<(?:\w+:)?offsetVector\b[^>]*>([^<]+)<")


@dataclass(frozen=True, slots=True)
class Header:
    """What the beginning of a JPEG 2000 file says."""

    height: int
    width: int
    tile: tuple[int, int]
    """Rows and columns of a tile, no larger than the image."""
    components: int
    dtype: str
    """`uint8` or `uint16`."""
    epsg: int | None
    """Code of the GML box, or None where there is no box that is understood."""
    transform: tuple[float, ...] | None
    """(x size, 0, west edge, 0, -y size, north edge) in the CRS; GML gives the centre of the first pixel."""


def header(head: bytes) -> Header | None:
    """The header at the beginning of `head`; None for what is no JPEG 2000 file, or one of another kind than ESA's."""
    start = _codestream(head)
    if start is None or len(head) < start + _SIZ.size:
        return None
    soc, siz, _, _, x1, y1, x0, y0, tile_x, tile_y, tile_x0, tile_y0, components = _SIZ.unpack_from(head, start)
    if (soc, siz) != (0xFF4F, 0xFF51) or (x0, y0, tile_x0, tile_y0) != (0, 0, 0, 0) or 0 in (x1, y1, tile_x, tile_y):
        return None
    samples = head[start + _SIZ.size : start + _SIZ.size + 3 * components]
    if len(samples) < 3 * components or len(set(zip(*[iter(samples)] * 3, strict=True))) != 1:
        return None
    depth, step_x, step_y = samples[:3]
    if depth > 15 or (step_x, step_y) != (1, 1):  # signed or more than 16 bits, or components of differing size
        return None
    epsg, transform = _place(head[:start])
    return Header(
        height=y1,
        width=x1,
        tile=(min(tile_y, y1), min(tile_x, x1)),
        components=components,
        dtype="uint8" if depth < 8 else "uint16",
        epsg=epsg,
        transform=transform,
    )


def _codestream(head: bytes) -> int | None:
    """Offset of the codestream, found from box to box."""
    if not head.startswith(_SIGNATURE):
        return None
    at = 0
    while at + 16 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, at)
        body = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, body)
            body += 8
        if kind == b"jp2c":
            return body
        if length < 8:
            return None
        at += length
    return None


def _place(boxes: bytes) -> tuple[int | None, tuple[float, ...] | None]:
    grid = _GRID.search(boxes)
    if grid is None:
        return None, None
    text = grid.group()
    epsg, origin, vectors = _EPSG.search(text), _POS.search(text), _VECTOR.findall(text)
    if epsg is None or origin is None or len(vectors) != 2:
        return None, None
    try:
        (x, y), (dx, zero_1), (zero_2, dy) = ([float(part) for part in item.split()] for item in (origin[1], *vectors))
    except ValueError:
        return None, None
    if (zero_1, zero_2) != (0.0, 0.0):
        return None, None
    return int(epsg[1]), (dx, 0.0, x - dx / 2, 0.0, dy, y - dy / 2)


# --- where tiles lie -------------------------------------------------------------------------------------------------
_SOT, _SOD, _EOC, _TLM, _PPM, _PLM = 0xFF90, 0xFF93, 0xFFD9, 0xFF55, 0xFF60, 0xFF57
_PART = struct.Struct(">HHHIBB")  # SOT, its length, tile, bytes of the tile-part, number, count: annex A.4.2
_MAIN_MAX = 4_000_000  # of a main header

Range = tuple[int, int]


class Codestream:
    """The tile-parts of a JPEG 2000 file, found from one to the next as far as needed, or by TLM where the file has it.

    `cut` makes a codestream of the main header and some tiles: a decoder takes it for the whole file, reads these tiles,
    and fails for the others. Annex A of ISO/IEC 15444-1.

    Parameters
    ----------
    read
        Gives a number of bytes from an offset of the file.
    size
        Bytes of the file.

    Raises
    ------
    ValueError
        No codestream of a kind that can be cut: the caller reads the whole file.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read, self._size = read, size
        self._lock = threading.Lock()
        self._parts: dict[int, list[Range]] = {}
        self._spread = False  # whether tiles have several parts
        begin, main = self._main()
        self.head = begin + len(main)
        """Bytes before the first tile-part."""
        self._tlm = [entry for kind, body in _segments(main) if kind == _TLM for entry in _lengths(body)]
        if any(kind == _PPM for kind, _ in _segments(main)):
            raise ValueError("its packet headers stand in its main header")
        kept = [_raw(kind, body) for kind, body in _segments(main) if kind not in {_TLM, _PLM}]
        self._header = main[:2] + b"".join(kept)
        self._next = self.head
        _, _, _, _, x1, y1, _, _, tile_x, tile_y, _, _, _ = _SIZ.unpack_from(main)
        self.columns, self.rows = -(-x1 // tile_x), -(-y1 // tile_y)
        if self._tlm:
            self._by_table()

    def _main(self) -> tuple[int, bytes]:
        """Where the codestream begins, and its main header."""
        length, before = HEAD, -1
        while True:
            data = self._read(0, min(length, self._size))
            if before >= 0 and len(data) < min(length, self._size):
                raise ValueError("it ends within its main header")
            begin = _codestream(data)
            if begin is None:
                raise ValueError("it has no codestream")
            at = begin + 2
            while at + 4 <= len(data):
                kind, size = struct.unpack_from(">HH", data, at)
                if kind == _SOT:
                    return begin, data[begin:at]
                if not 0xFF00 < kind <= 0xFFFF or size < 2:
                    raise ValueError("its main header is wrong")
                at += 2 + size
            if len(data) >= min(self._size, _MAIN_MAX):
                raise ValueError("it ends within its main header")
            # Once more as it is: the first time only what an index has may have come.
            length, before = (length if before < 0 else length * 8), len(data)

    def _by_table(self) -> None:
        at = self.head
        for tile, length in self._tlm:
            if length < _PART.size or at + length > self._size:
                self._parts, self._tlm = {}, []
                return
            self._parts.setdefault(tile, []).append((at, length))
            at += length
        self._next = self._size

    def ranges(self, tiles: Sequence[int]) -> list[Range]:
        """Where the tile-parts of some tiles lie. Raises ValueError where there are none of one."""
        with self._lock:
            while any(tile not in self._parts for tile in tiles) and self._step():
                pass
            # A tile's further parts may stand anywhere behind its first: only a walk to the end finds all.
            while self._spread and self._step():
                pass
            absent = [tile for tile in tiles if tile not in self._parts]
            if absent:
                raise ValueError(f"it has no tile {absent[0]}")
            return sorted(part for tile in tiles for part in self._parts[tile])

    def walk(self) -> None:
        """Find all tile-parts."""
        with self._lock:
            while self._step():
                pass

    def _step(self) -> bool:
        """Find the next tile-part; False at the end."""
        at = self._next
        if at + _PART.size > self._size:
            return False
        kind, size, tile, length, _, count = _PART.unpack(self._read(at, _PART.size))
        if kind != _SOT or size != 10:
            if kind == _EOC:
                self._next = self._size
                return False
            raise ValueError(f"there is no tile-part at byte {at}")
        length = length or self._size - at
        if length < _PART.size or at + length > self._size:
            raise ValueError(f"it ends within tile {tile}")
        self._parts.setdefault(tile, []).append((at, length))
        self._spread = self._spread or count != 1
        self._next = at + length
        return True

    def cut(self, parts: Sequence[bytes], tiles: Sequence[int]) -> bytes:
        """A codestream of these tile-parts. Raises ValueError where they are not those of `tiles`."""
        found = {_PART.unpack_from(part)[2] for part in parts if len(part) >= _PART.size and part[:2] == b"\xff\x90"}
        whole = all(_PART.unpack_from(part)[3] in {0, len(part)} for part in parts if len(part) >= _PART.size)
        if found != set(tiles) or not whole:
            raise ValueError("its tiles are not where its main header has them")
        return b"".join((self._header, *parts, b"\xff\xd9"))

    def forget_table(self) -> None:
        """Go by the tile-parts themselves rather than by TLM, which was wrong; nothing happens where it was not used."""
        with self._lock:
            if self._tlm:
                self._tlm, self._parts, self._next = [], {}, self.head


def _segments(main: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while at + 4 <= len(main):
        kind, size = struct.unpack_from(">HH", main, at)
        yield kind, main[at + 4 : at + 2 + size]
        at += 2 + size


def _raw(kind: int, body: bytes) -> bytes:
    return struct.pack(">HH", kind, len(body) + 2) + body


def _lengths(body: bytes) -> Iterator[tuple[int, int]]:
    """Tile and length of each tile-part that a TLM segment lists (annex A.7.1)."""
    if len(body) < 2:
        return
    tile_size, length_size = (body[1] >> 4) & 3, 4 if body[1] & 0x40 else 2
    step = tile_size + length_size
    for number, at in enumerate(range(2, len(body) - step + 1, step)):
        # Without numbers the tiles stand in order, one part each; over several segments the count would go on, and
        # then what is read is not the tile that is wanted, and the table is left aside.
        tile = int.from_bytes(body[at : at + tile_size], "big") if tile_size else number
        yield tile, int.from_bytes(body[at + tile_size : at + step], "big")
