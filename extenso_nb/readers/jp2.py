"""The main header of a JPEG 2000 file: size, tiles, sample type, and the place on Earth that its GML box gives.

Only the first kilobytes are needed, so that opening a product reads neither pixels nor, in a deflated zip, whole members
(GDAL steps over the codestream to look for boxes behind it, and so inflates all of it). The boxes are those of ISO/IEC
15444-1 annex I, the SIZ marker that of annex A.5.1, the GML that of OGC 08-085 (GMLJP2) as ESA writes it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

__all__ = ["HEAD", "Header", "header"]

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
