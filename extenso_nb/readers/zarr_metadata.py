"""What a Zarr folder says of itself: its groups and arrays, from its JSON documents; versions 2 and 3, consolidated or not.

No document is believed: they are bounded, paths that lead out of the folder are refused, and so are codecs other than those
listed here. One of those that Zarr knows would run code out of the chunks (`pickle`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from extenso_nb.errors import DamagedProduct, IncompleteProduct, UnsupportedProduct
from extenso_nb.readers.entries import unfit

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["Array", "Group", "Members", "Source", "groups", "is_zarr", "root_of"]

_MARKERS = (".zgroup", ".zmetadata", "zarr.json", ".zarray")
_DOCUMENT_MAX, _MARKS_MAX = 32_000_000, 1_000_000
"""Bytes of a document, and `{`, `[` and `,` in it: the consolidated one of Sentinel-2 has 0.4 MB and 9,000."""
_NODES_MAX = 20_000
_CHUNK_MAX = 2**31
"""Bytes of a chunk as it lies in memory: what Blosc can hold."""
_CHUNKS_MAX = 10_000_000
_NUMBERS_MAX = 2**53
_CODECS = frozenset(
    {
        "blosc", "zstd", "zlib", "gzip", "bz2", "lz4",  # compressors
        "shuffle", "delta", "fixedscaleoffset", "bitround", "quantize", "crc32", "crc32c", "adler32", "fletcher32",
        "vlen-utf8", "bytes", "transpose", "sharding_indexed",
    }
)  # fmt: skip


# --- where the bytes are ---------------------------------------------------------------------------------------------
@runtime_checkable
class Source(Protocol):
    """A Zarr folder as keys with bytes, wherever it lies. It has to pickle.

    One that can list its keys has `names()`, too, and may have `part(keys)`: the same with those keys alone, which is all that
    an array takes to a worker. An address has no such list: it needs consolidated metadata.
    """

    @property
    def uri(self) -> str:
        """For messages and attributes; never a secret."""
        ...

    @property
    def product_id(self) -> str:
        """Name of the product, as far as the place says it."""
        ...

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes | None:
        """`value[start:end]` as Python slices it, -n for the last n bytes; None where there is no such key.

        A key is a name relative to the folder, of plain characters, which leads nowhere else; an address has to quote it.
        Anything else that fails raises an error of this package: no key is taken for missing because it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Members:
    """The Zarr folder in a container, as a `Source`: a folder, or a zip (stored or deflated)."""

    container: Container
    root: str = ""
    """Within the container, with its slash."""

    @property
    def uri(self) -> str:
        """That of the container."""
        return self.container.uri

    @property
    def product_id(self) -> str:
        """Name of the folder, or that of the container."""
        from extenso_nb import products

        return products.strip(self.root.rstrip("/")) if self.root else self.container.product_id

    def names(self) -> Iterator[str]:
        """All keys."""
        return (name[len(self.root) :] for name in self.container.names() if name.startswith(self.root))

    def part(self, keys: Iterable[str]) -> Members:
        """The same with those keys alone."""
        return Members(self.container.part(self.root + key for key in keys), self.root)

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes | None:
        """As of `Source`. Raises as `Container.read` does, and IncompleteProduct for a key without bytes."""
        name = self.root + key
        if name not in self.container:
            return None
        size = self.container.size(name)
        if size == 0:
            raise IncompleteProduct(f"{name} in {self.uri} has no bytes.", member=name)
        first, last, _ = slice(start, end).indices(size)
        if (first, last) == (0, size):
            return self.container.read(name, limit=size)  # checked against its CRC in a zip
        if first == 0:
            return self.container.head(name, last)
        if self.container.locate(name) is None:
            return self.container.read(name, limit=None)[first:last]
        with self.container.open(name) as file:
            file.seek(first)
            part = file.read(max(0, last - first))
        if len(part) != max(0, last - first):
            raise DamagedProduct(f"{name} in {self.uri} ends before byte {last}.", member=name)
        return part


def is_zarr(container: Container) -> bool:
    """Whether the container is a Zarr folder or holds some, by its files; or it is called one."""
    name = container.uri.lower().removesuffix(".zip")
    return name.endswith(".zarr") or bool(_roots(container))


def root_of(container: Container) -> str:
    """Where in the container the Zarr folder is: empty, or a name with its slash.

    Raises
    ------
    IncompleteProduct
        None of the files by which a Zarr folder is known is there.
    UnsupportedProduct
        There are several.
    """
    roots = _roots(container)
    if not roots:
        raise IncompleteProduct(
            f"{container.uri} has none of the files that make a Zarr folder: {', '.join(_MARKERS)}.", member=".zgroup"
        )
    if len(roots) > 1:
        names = [root.rstrip("/") for root in roots]
        raise UnsupportedProduct(
            f"{container.uri} holds {len(roots)} Zarr folders: {', '.join(names[:3])}.",
            hint="Open one of them by its own path.",
            products=names[:100],
        )
    return roots[0]


def _roots(container: Container) -> list[str]:
    if any(marker in container for marker in _MARKERS):
        return [""]
    found = set()
    for name in container.names():
        head, _, rest = name.partition("/")
        if rest in _MARKERS and head.lower().endswith(".zarr"):
            found.add(f"{head}/")
    return sorted(found)


# --- what is there ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Array:
    """One array, as its document describes it."""

    path: str
    format: int
    """2 or 3."""
    document: dict[str, Any] = field(repr=False)
    """`.zarray`, or `zarr.json` without the attributes."""
    attributes: dict[str, Any] = field(repr=False)
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    """What can be read for itself: the chunks, or those within a shard."""
    grid: tuple[int, ...]
    """Number of chunks, or shards, along each dimension."""
    keys: tuple[str, ...] | None = field(default=None, repr=False)
    """Those of the chunks, or shards, that are there; None where the keys cannot be listed."""

    @property
    def files(self) -> int:
        """Number of chunks, or shards, that the whole array has."""
        return math.prod(self.grid)

    @property
    def stored(self) -> int | None:
        """How many chunks, or shards, are there; None where the keys cannot be listed."""
        return None if self.keys is None else len(self.keys)

    @property
    def name(self) -> str:
        """Without the groups."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Group:
    """One group, without those below it."""

    attributes: dict[str, Any]
    arrays: dict[str, Array]


def groups(source: Source) -> dict[str, Group]:
    """All groups of a Zarr folder by path (the root is empty), each before those below it.

    Raises
    ------
    IncompleteProduct
        No metadata; or not consolidated, where the keys cannot be listed.
    DamagedProduct
        A document is no JSON, or not what Zarr writes; a path leads out of the folder.
    UnsupportedProduct
        A codec that is not read; a single array; more than any product has.
    """
    keys = list(source.names()) if hasattr(source, "names") else None
    documents = _documents(source, keys)
    if len(documents) > _NODES_MAX:
        raise UnsupportedProduct(f"{source.uri} has more than {_NODES_MAX} groups and arrays; this is not a product.")
    arrays = {path: _array(source, path, *documents[path]) for path in sorted(documents) if _is_array(documents[path])}
    if "" in arrays:
        raise UnsupportedProduct(f"{source.uri} is a single Zarr array, which no product is.")
    arrays = _keyed(arrays, keys)
    attributes = {path: found[1] for path, found in documents.items() if path not in arrays}
    for path in list(documents):
        for above in _above(path):
            if above in arrays:
                raise DamagedProduct(f"{source.uri} has an array within an array: {path}.", member=path)
            attributes.setdefault(above, {})
    found = {path: Group(attributes[path], {}) for path in sorted(attributes, key=lambda path: path.split("/"))}
    for path, item in arrays.items():
        found[_parent(path)].arrays[item.name] = item
    return found


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _above(path: str) -> Iterator[str]:
    while path:
        path = _parent(path)
        yield path


def _is_array(found: tuple[dict[str, Any] | None, dict[str, Any]]) -> bool:
    return found[0] is not None


# --- documents -------------------------------------------------------------------------------------------------------
def _documents(source: Source, keys: list[str] | None) -> dict[str, tuple[dict[str, Any] | None, dict[str, Any]]]:
    """Of each node by path: the document of an array (None for a group), and the attributes."""
    found = _read(source, "zarr.json")
    if found is not None:
        return _version_3(source, found, keys)
    found = _read(source, ".zmetadata")
    if found is not None:
        entries = found.get("metadata")
        if not isinstance(entries, dict):
            raise _wrong(source, ".zmetadata", "it has no 'metadata'")
        return _version_2(source, entries)
    wanted = [key for key in keys or () if key.rpartition("/")[2] in {".zarray", ".zattrs", ".zgroup"}]
    if not wanted:
        raise IncompleteProduct(
            f"{source.uri} has neither .zmetadata nor a zarr.json, and its files cannot be listed."
            if keys is None
            else f"{source.uri} has no Zarr metadata.",
            member=".zmetadata",
        )
    _few(source, wanted)
    return _version_2(source, {key: _read(source, key) for key in wanted})


def _version_2(source: Source, entries: Mapping[str, Any]) -> dict[str, tuple[dict[str, Any] | None, dict[str, Any]]]:
    arrays: dict[str, dict[str, Any]] = {}
    attributes: dict[str, dict[str, Any]] = {}
    nodes: set[str] = set()
    for key, entry in entries.items():
        path, _, kind = key.rpartition("/")
        if kind not in {".zarray", ".zattrs", ".zgroup"}:
            continue
        _check_path(source, path)
        if not isinstance(entry, dict):
            raise _wrong(source, key, "it is no JSON object")
        if kind == ".zattrs":
            attributes[path] = entry
            continue
        nodes.add(path)
        if kind == ".zarray":
            arrays[path] = entry
    return {path: (arrays.get(path), attributes.get(path, {})) for path in nodes | {""}}


def _version_3(
    source: Source, root: dict[str, Any], keys: list[str] | None
) -> dict[str, tuple[dict[str, Any] | None, dict[str, Any]]]:
    consolidated = root.get("consolidated_metadata")
    inline = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    entries: dict[str, Any] = {"": root}
    if isinstance(inline, dict):
        entries |= inline
    elif keys is not None:
        wanted = [key for key in keys if key.endswith("/zarr.json")]
        _few(source, wanted)
        entries |= {_parent(key): _read(source, key) for key in wanted}
    else:
        raise IncompleteProduct(
            f"The zarr.json of {source.uri} is not consolidated, and its files cannot be listed.", member="zarr.json"
        )
    found: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {}
    for path, entry in entries.items():
        _check_path(source, path)
        kind = entry.get("node_type") if isinstance(entry, dict) else None
        attributes = entry.get("attributes") or {} if isinstance(entry, dict) else None
        if kind not in ("array", "group") or entry.get("zarr_format") != 3 or not isinstance(attributes, dict):
            raise _wrong(source, f"{path}/zarr.json".lstrip("/"), "it describes neither a group nor an array")
        document = {name: part for name, part in entry.items() if name not in {"attributes", "consolidated_metadata"}}
        found[path] = (document if kind == "array" else None, attributes)
    return found


def _read(source: Source, key: str) -> dict[str, Any] | None:
    """A JSON document; None where there is none."""
    data = source.get(key, 0, _DOCUMENT_MAX + 1)
    if data is None:
        return None
    if len(data) > _DOCUMENT_MAX or sum(data.count(mark) for mark in (b"{", b"[", b",")) > _MARKS_MAX:
        raise _wrong(source, key, "it is larger than the metadata of any product")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _wrong(source, key, f"it is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise _wrong(source, key, "it is no JSON object")
    return found


def _wrong(source: Source, key: str, why: str) -> DamagedProduct:
    return DamagedProduct(f"{key} in {source.uri} cannot be read: {why}.", member=key)


def _few(source: Source, keys: list[str]) -> None:
    if len(keys) > 3 * _NODES_MAX:
        raise UnsupportedProduct(f"{source.uri} has more than {_NODES_MAX} groups and arrays; this is not a product.")


def _check_path(source: Source, path: str) -> None:
    if path and (why := unfit(path)):
        raise DamagedProduct(f"{source.uri} has a group that {why}: {path[:200]!r}.", member=ascii(path[:200]))


# --- arrays ----------------------------------------------------------------------------------------------------------
def _array(source: Source, path: str, document: dict[str, Any] | None, attributes: dict[str, Any]) -> Array:
    assert document is not None
    where = f"{path}/{'zarr.json' if 'node_type' in document else '.zarray'}".lstrip("/")
    shape = _sizes(source, where, document.get("shape"), 0)
    if "node_type" in document:
        version, outer, inner, codecs = 3, *_version_3_chunks(source, where, document)
    else:
        version, outer = 2, _sizes(source, where, document.get("chunks"), 1)
        inner, codecs = outer, [document.get("compressor"), *_listed(document.get("filters") or [])]
    for codec in codecs:
        label = codec.get("id", codec.get("name")) if isinstance(codec, dict) else codec
        if (codec is not None or version == 3) and str(label).removeprefix("numcodecs.") not in _CODECS:
            raise UnsupportedProduct(
                f"{path} in {source.uri} is stored by the codec {label!r}, which is not read.", member=path
            )
    if not len(shape) == len(outer) == len(inner):
        raise _wrong(source, where, "its chunks and its shape have not as many dimensions")
    cells = tuple(-(-size // part) for size, part in zip(shape, outer, strict=True))
    parts = math.prod(-(-size // part) for size, part in zip(shape, inner, strict=True))
    if math.prod(outer) > _CHUNK_MAX or parts > _CHUNKS_MAX or math.prod(shape) > _NUMBERS_MAX:
        raise UnsupportedProduct(
            f"{path} in {source.uri} has {parts:,} chunks of {math.prod(outer):,} numbers; no product has that.",
            member=path,
        )
    return Array(path, version, document, attributes, shape, inner, cells)


def _version_3_chunks(
    source: Source, where: str, document: dict[str, Any]
) -> tuple[tuple[int, ...], tuple[int, ...], list[Any]]:
    """Chunks as they are stored, the smallest part of one that is read for itself, and all codecs."""
    grid, codecs = document.get("chunk_grid"), document.get("codecs")
    configuration = grid.get("configuration") if isinstance(grid, dict) else None
    if not isinstance(configuration, dict) or not isinstance(codecs, list):
        raise _wrong(source, where, "it has no regular chunk grid, or no codecs")
    outer = inner = _sizes(source, where, configuration.get("chunk_shape"), 1)
    found = list(codecs)
    for codec in found:  # grows while it is read: shards in shards
        settings = codec.get("configuration") if isinstance(codec, dict) else None
        if not isinstance(settings, dict) or codec.get("name") != "sharding_indexed":
            continue
        inner = _sizes(source, where, settings.get("chunk_shape"), 1)
        found += [*_listed(settings.get("codecs")), *_listed(settings.get("index_codecs", []))]
    if document.get("storage_transformers"):
        raise UnsupportedProduct(f"{where} in {source.uri} has storage transformers, which are not read.", member=where)
    return outer, inner, found


def _listed(value: Any) -> list[Any]:
    """Codecs; what is no list is no codec that is known either."""
    return value if isinstance(value, list) else [value]


def _sizes(source: Source, where: str, value: Any, least: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > 16 or not all(type(size) is int and size >= least for size in value):
        raise _wrong(source, where, f"its shape or chunks are {str(value)[:100]}")
    return tuple(value)


def _keyed(arrays: dict[str, Array], keys: list[str] | None) -> dict[str, Array]:
    """The arrays with the keys of the chunks that are there."""
    if keys is None:
        return arrays
    found: dict[str, list[str]] = {path: [] for path in arrays}
    for key in keys:
        owner = next((above for above in _above(key) if above in found), None)
        if owner is not None and _is_chunk(arrays[owner], key[len(owner) + 1 :]):
            found[owner].append(key)
    return {path: replace(item, keys=tuple(found[path])) for path, item in arrays.items()}


def _is_chunk(item: Array, key: str) -> bool:
    """Whether a key below an array is that of a chunk; what else lies there is nobody's."""
    match = re.fullmatch(r"(?:c[./])?(\d+(?:[./]\d+)*)", key, re.ASCII)
    if not item.grid or match is None:
        return not item.grid and key in {"0", "c"}
    place = [int(part[:18]) for part in re.split(r"[./]", match[1])]
    return len(place) == len(item.grid) and all(at < count for at, count in zip(place, item.grid, strict=True))
