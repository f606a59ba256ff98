"""The index of a product: the bytes that opening it needs, each with its place in the zip or file.

Directory, headers, metadata, tables of tiles and chunks, small arrays: whatever was read while the product was opened once
and each array asked where its chunks lie, and nothing else. Who opens the product with its index reads these bytes from
the index and the same tree comes of it, without a request; pixels are then one range each. There is no second description
of the product that could disagree with it.

Format 1: the line `extenso-index 1`, then LZMA of: one line of JSON (`size` of the product, `sha256` where it is known,
`pieces`: gap to the end of the piece before, and length), and the bytes of the pieces, one after the other.
"""

from __future__ import annotations

import json
import lzma
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import DamagedProduct, ExtensoError, UnsupportedProduct
from extenso_nb.readers.sparse import Sparse
from extenso_nb.storage.ranged import plan

if TYPE_CHECKING:
    from extenso_nb.storage import Ranged

__all__ = ["LIMIT", "PACKED_LIMIT", "build", "load", "pieces_of"]

LIMIT = 96_000_000
"""Bytes of all pieces of an index at most: what needs more is not opened by one."""
PACKED_LIMIT = 24_000_000
"""Bytes of an index at most."""

_MAGIC = b"extenso-index 1\n"
_GAP = 64  # bytes between two pieces that are cheaper to hold than to name
_PIECES_MAX, _LINE_MAX = 2_000_000, 16_000_000
_IMAGES = (".jp2", ".tif", ".tiff")
_THREADS = 16
_FILTERS: list[dict[str, Any]] = [{"id": lzma.FILTER_LZMA2, "preset": 6}]


def build(source: Ranged, *, sha256: str | None = None) -> bytes:
    """The index of a zip or netCDF file.

    Parameters
    ----------
    source
        The product, in any of the places that are read by ranges.
    sha256
        Of the whole product, hexadecimal; written into the index, for who wants to know what it is of.

    Raises
    ------
    ReaderError
        Whatever opening the product raises.
    UnsupportedProduct
        A zip whose images are deflated: they have no byte that can be sought.
    """
    size = source.size
    sparse = Sparse(source, size)
    sparse.touched = []
    _open_all(sparse)
    pieces = pieces_of(sparse.touched, size)
    sparse.touched = None
    if sum(length for _, length in pieces) > LIMIT:
        raise UnsupportedProduct(f"Opening {source.shown} reads more than {LIMIT:,} bytes: it is not indexed.")
    return _packed(size, sha256, pieces, sparse.fetch(pieces))


def _open_all(sparse: Sparse) -> None:
    """Open the product as a user does, and ask every image and every netCDF file of it where its chunks lie."""
    from extenso_nb.readers import arrays, hdf5, open_container_as_tree
    from extenso_nb.readers.opening import open_object

    container = open_object(sparse)
    deflated = [name for name in container.find("*") if container.is_deflated(name) and not _is_text(name)]
    if deflated:
        raise UnsupportedProduct(
            f"{deflated[0]} in {sparse.shown} is deflated, and cannot be indexed.",
            hint="Zip the product without compression, as the gateway delivers it.",
            member=deflated[0],
        )
    try:
        open_container_as_tree(container, masked=True, scaled=True, chunks=None)
    except ExtensoError:
        # Without its metadata a product opens as it is stored only.
        open_container_as_tree(container, masked=True, scaled=False, chunks=None)
    located = [name for name in container.names() if name in container.located]
    images = [name for name in located if name.lower().endswith(_IMAGES)]
    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as threads:
        warnings.simplefilter("ignore")
        for name in located:
            if name.lower().endswith(".nc"):
                hdf5.survey(container, name)
        # Side by side: without a table in the file one tile leads to the next, a hundred round trips an image.
        list(threads.map(partial(arrays.survey, container), images))


def _is_text(name: str) -> bool:
    return not name.lower().endswith((*_IMAGES, ".nc"))


def pieces_of(touched: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """What was touched of an object, as start and length of the pieces that an index holds."""
    return plan(((start, min(length, size - start)) for start, length in touched), gap=_GAP, longest=max(1, size))


def _packed(size: int, sha256: str | None, pieces: list[tuple[int, int]], blocks: list[bytes]) -> bytes:
    gaps, before = [], 0
    for start, length in pieces:
        gaps += [start - before, length]
        before = start + length
    head = {"size": size, "sha256": sha256, "pieces": gaps}
    content = b"".join((json.dumps(head, separators=(",", ":")).encode(), b"\n", *blocks))
    return _MAGIC + lzma.compress(content, format=lzma.FORMAT_XZ, filters=_FILTERS)


def load(content: bytes, source: Ranged) -> Sparse:
    """An object of which is known what its index holds. `source` is not asked for anything.

    Raises DamagedProduct for what is no index. Whether it is that of the product its size tells, when it is first read.
    """
    try:
        return _loaded(content, source)
    except (ValueError, KeyError, TypeError, lzma.LZMAError, EOFError, RecursionError, OverflowError) as error:
        reason = str(error).rstrip(".")
    raise DamagedProduct(
        f"The index of {source.shown} cannot be used: {reason}.", hint="Open the product without it, or index it again."
    )


def _loaded(content: bytes, source: Ranged) -> Sparse:
    if not content.startswith(_MAGIC) or len(content) > PACKED_LIMIT:
        raise ValueError("it is not an index of format 1")
    inflater = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=200_000_000)
    plain = inflater.decompress(content[len(_MAGIC) :], LIMIT + 32_000_000)
    if not inflater.eof:
        raise ValueError("it is cut short, or too large")
    line, _, blocks = plain.partition(b"\n")
    if len(line) > _LINE_MAX:
        raise ValueError("it has more pieces than any")
    head = json.loads(line)
    size, gaps = int(head["size"]), [int(number) for number in head["pieces"]]
    if len(gaps) % 2 or len(gaps) > _PIECES_MAX or min(gaps, default=0) < 0:
        raise ValueError("its pieces are not what they should be")
    known, place, at = [], 0, 0
    for gap, length in zip(gaps[::2], gaps[1::2], strict=True):
        place += gap
        known.append((place, blocks[at : at + length]))
        place, at = place + length, at + length
    if at != len(blocks) or place > size:
        raise ValueError("its pieces do not fit")
    return Sparse(source, size, known)
