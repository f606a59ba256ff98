"""Lazy arrays over the chunks of a Zarr folder: a window is read and decoded by zarr when it is computed.

An array is described by its document and the `Source` of its chunks; that pickles. zarr sees each array through a store that
has this one document and nothing else but its chunks, so that nothing in the folder can lead it anywhere else.
"""

from __future__ import annotations

import asyncio
import bz2
import json
import math
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from extenso_nb.errors import DamagedProduct, ExtensoError, IncompleteProduct, UnsupportedProduct
from extenso_nb.readers import cf
from extenso_nb.readers.zarr_metadata import Array, Source

__all__ = ["ZarrArray", "described"]

_Result = TypeVar("_Result")
_SLACK = 1_000_000
"""Bytes by which a chunk may be larger than its numbers: headers, checksums, what does not compress."""
_TEXT_MAX = 64_000_000
"""Bytes of a chunk of text, whose length the metadata do not say."""
_KINDS = "iufbcMmUSO"


class _Chunks(Store):
    """One array of a `Source` as the only thing in a store: its document and its chunks. Read-only."""

    def __init__(self, source: Source, array: Array, *, strict: bool) -> None:
        super().__init__(read_only=True)
        self._source, self._array, self._strict = source, array, strict
        self._document = json.dumps(array.document).encode()
        self._name = ".zarray" if array.format == 2 else "zarr.json"
        self.room: int | None = None
        """Bytes of a whole value at most; set when the type of the numbers is known."""
        self.whole: tuple[str, int] | None = None
        """Compressor that stands last, and bytes of a chunk before it; None where these are not known."""

    def __eq__(self, value: object) -> bool:
        return self is value

    __hash__ = object.__hash__

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """As of zarr: the value, or a part of it; None where there is none."""
        if key == self._name:
            return prototype.buffer.from_bytes(self._document)
        if key.rpartition("/")[2] in {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}:
            return None
        data = await asyncio.to_thread(self._read, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    def _read(self, key: str, part: ByteRequest | None) -> bytes | None:
        name, room = f"{self._array.path}/{key}", self.room or 0
        if part is None:
            data = self._source.get(name, 0, room + 1)
        elif isinstance(part, RangeByteRequest):
            data = self._source.get(name, part.start, min(part.end, part.start + room + 1))
        elif isinstance(part, OffsetByteRequest):
            data = self._source.get(name, part.offset, part.offset + room + 1)
        else:
            assert isinstance(part, SuffixByteRequest)
            data = self._source.get(name, -min(part.suffix, room + 1), None)
        if data is None:
            if self._strict:
                raise IncompleteProduct(f"{self._source.uri} has no {name}, which is a chunk.", member=name)
            return None
        if len(data) > room:
            raise self._damaged(name, f"it is larger than the {room:,} bytes that it can have")
        if not data:
            raise IncompleteProduct(f"{name} in {self._source.uri} has no bytes.", member=name)
        if part is None and self.whole is not None:
            self._check(name, data, *self.whole)
        return data

    def _check(self, name: str, data: bytes, compressor: str, size: int) -> None:
        """Refuse what the codec would not: a chunk that is cut, or that becomes larger than its numbers.

        Blosc reads beyond the end of a chunk that is cut, and gives what lies there in memory as numbers.
        """
        if compressor == "blosc" and int.from_bytes(data[12:16], "little") != len(data):  # cbytes of its header
            raise self._damaged(name, f"it has {len(data):,} bytes, which is not the length in its header")
        claimed = _inflated(compressor, data, size)
        if claimed is not None and claimed > size:
            raise self._damaged(name, f"it holds more than the {size:,} bytes of its numbers")

    def _damaged(self, name: str, why: str) -> DamagedProduct:
        return DamagedProduct(f"{name} in {self._source.uri} cannot be read: {why}.", member=name)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """As of zarr."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether it is the document; chunks are asked for by reading them."""
        return key == self._name

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    async def set(self, key: str, value: Buffer) -> None:
        """Not done: read-only."""
        raise PermissionError(key)

    async def delete(self, key: str) -> None:
        """Not done: read-only."""
        raise PermissionError(key)

    async def list(self) -> AsyncIterator[str]:
        """The document."""
        yield self._name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The document."""
        if self._name.startswith(prefix):
            yield self._name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The document."""
        if not prefix:
            yield self._name


def _inflated(compressor: str, data: bytes, size: int) -> int | None:
    """Bytes that a compressed chunk says, or is found, to hold: more than `size` is all that is asked. None: not known."""
    if compressor == "blosc" and len(data) >= 16:
        return int.from_bytes(data[4:8], "little")  # nbytes of the header of Blosc 1
    if compressor == "lz4" and len(data) >= 4:
        return int.from_bytes(data[:4], "little")  # as numcodecs writes it
    if compressor == "zstd":
        return _zstd_size(data)
    if compressor in {"zlib", "gzip"}:
        return _stream(zlib.decompressobj(zlib.MAX_WBITS | 32), data, size)
    if compressor == "bz2":
        return _stream(bz2.BZ2Decompressor(), data, size)
    return None


def _stream(inflater: Any, data: bytes, size: int) -> int | None:
    try:
        return len(inflater.decompress(data, size + 1))
    except (OSError, ValueError, zlib.error):
        return None  # wrong bytes: the codec says so


def _zstd_size(data: bytes) -> int | None:
    """Of the first frame (RFC 8878, 3.1.1.1); numcodecs writes it always."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 6:
        return None
    flags = data[4]
    length = (1 if flags & 0x20 else 0, 2, 4, 8)[flags >> 6]
    at = 5 + (0 if flags & 0x20 else 1) + (0, 1, 2, 4)[flags & 3]
    if not length or len(data) < at + length:
        return None
    return int.from_bytes(data[at : at + length], "little") + (256 if length == 2 else 0)


# --- arrays ----------------------------------------------------------------------------------------------------------
def _guarded(work: Callable[[], _Result], source: Source, path: str, what: str) -> _Result:
    """What `work` gives; errors of zarr and of its codecs, which are of any kind, become DamagedProduct."""
    try:
        return work()
    except (ExtensoError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - each codec raises what its library does
        reason = (" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")
    # Outside the handler, without cause: those of codecs do not all pickle, and a worker's error has to.
    raise DamagedProduct(f"{path} in {source.uri} {what}: {reason}.", member=path)


def _opened(source: Source, array: Array, *, strict: bool) -> Any:
    store = _Chunks(source, array, strict=strict)

    def work() -> Any:
        found = zarr.open_array(store, mode="r", zarr_format=2 if array.format == 2 else 3)
        if found.shape != array.shape:
            raise ValueError(f"its shape is {found.shape}")
        return found

    found = _guarded(work, source, array.path, "is not described as Zarr describes arrays")
    outer = found.shards or found.chunks
    size = math.prod(outer) * found.dtype.itemsize
    text = found.dtype.kind in "OT"
    # Filters (delta and the like) may give each number another type on the way, of 8 bytes at most.
    widest = _TEXT_MAX if text else math.prod(outer) * max(found.dtype.itemsize, 8)
    store.room = 2 * widest + _SLACK if text or found.shards else widest + widest // 8 + _SLACK
    compressor = _last_compressor(array.document, found)
    if compressor is not None and not text:
        store.whole = (compressor, widest if array.document.get("filters") else size)
    return found


def _last_compressor(document: dict[str, Any], found: Any) -> str | None:
    """The compressor that stands last in the row of codecs; None for shards, whose parts have each their own."""
    if found.shards is not None:
        return None
    if "node_type" not in document:
        return (document.get("compressor") or {}).get("id")
    names = [
        str(codec.get("name")).removeprefix("numcodecs.") for codec in document["codecs"] if isinstance(codec, dict)
    ]
    return next((name for name in reversed(names) if name not in {"crc32c", "bytes", "transpose"}), None)


def described(source: Source, array: Array) -> tuple[np.dtype[Any], Any]:
    """Type of the numbers of an array, and its fill value (None where it has none).

    Raises
    ------
    DamagedProduct
        The document is not as Zarr writes it.
    UnsupportedProduct
        The type is one that xarray has not: records, raw bytes.
    """
    found = _opened(source, array, strict=True)
    dtype = np.dtype(object) if found.dtype.kind == "T" else np.dtype(found.dtype)  # text of any length
    if dtype.kind not in _KINDS:
        raise UnsupportedProduct(
            f"{array.path} in {source.uri} is of the type {dtype}, which is not read.", member=array.path
        )
    return dtype, array.document.get("fill_value") if array.document.get("fill_value") is None else found.fill_value


class ZarrArray(BackendArray):
    """The values of an array, read window by window.

    Parameters
    ----------
    strict
        A chunk that is not there raises IncompleteProduct; else it is the fill value, as Zarr has it.

    Reading raises DamagedProduct where a chunk is cut or wrong, and what the source raises.
    """

    def __init__(
        self,
        source: Source,
        array: Array,
        dtype: np.dtype[Any],
        unpack: cf.Unpack | cf.Times | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.source = source.part(array.keys) if array.keys is not None and hasattr(source, "part") else source
        self.array = replace(array, attributes={}, keys=None)  # of no use to workers
        self.unpack, self.strict = unpack, strict
        self.shape = array.shape
        self.dtype = dtype if unpack is None else np.dtype(unpack.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what an xarray indexer asks for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        stored = _opened(self.source, self.array, strict=self.strict)

        def read() -> np.ndarray[Any, Any]:
            return np.asarray(stored.oindex[key])

        values = _guarded(read, self.source, self.array.path, "has a chunk that cannot be decoded")
        if values.dtype.kind == "T":
            values = values.astype(object)
        return values if self.unpack is None else self.unpack(values)
