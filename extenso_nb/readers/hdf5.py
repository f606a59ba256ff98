"""Lazy arrays over the variables of HDF5 (netCDF-4) members, wherever they lie: folder, stored or deflated zip, single file.

No handle is kept: each read opens the file, reads its window, and closes it (1 ms), so that what is left is a description
of the variable (file, path, shape, type), which pickles into workers. h5py lets one thread at a time into the HDF5 library.

Members of a folder and stored members of a zip are read in place; at an address their chunks are fetched side by side.
Deflated members are inflated once a process: see `spool`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from extenso_nb.errors import DamagedProduct, ExtensoError, IncompleteProduct, ReaderError, UnsupportedProduct
from extenso_nb.readers import cf, hdf5_chunks
from extenso_nb.readers.sparse import SparseFile
from extenso_nb.readers.spool import spooled

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container, Location

__all__ = [
    "CHUNK",
    "File",
    "Group",
    "Stored",
    "StoredArray",
    "chunk_sizes",
    "global_attributes",
    "open_file",
    "read_group",
    "rechunk",
    "survey",
    "to_tree",
    "variable",
]

Array = np.ndarray[Any, Any]
Ahead = Callable[[Any], list[tuple[int, int]]]

CHUNK = 2048 * 2048
"""Numbers that a chunk of `chunks="auto"` comes near to: 17 MB of float32."""
_NETCDF3 = b"CDF"
_SMALL = 16_384  # bytes of a variable that an index holds itself
_AXIS_MAX = 50_000_000  # axes are read at opening; the longest of a product have a million values
_DEPTH = 20  # of groups in groups; METADATA of Sentinel-5P has 9


# --- where the bytes are ---------------------------------------------------------------------------------------------
class _Stream(io.RawIOBase):
    """The bytes of a member for h5py, at a position of its own.

    A read that comes back short is an error here: h5py would take what happens to be in its buffer for the rest.
    """

    def __init__(self, descriptor: int, offset: int, size: int, owner: Any) -> None:
        super().__init__()
        self._descriptor, self._offset, self._size, self._at = descriptor, offset, size, 0
        self._owner = owner  # keeps the descriptor open: a _Spool, or None where it is ours to close

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._at)
        done = 0
        while done < wanted:
            block = os.pread(self._descriptor, wanted - done, self._offset + self._at)
            if not block:
                break
            view[done : done + len(block)] = block
            done += len(block)
            self._at += len(block)
        if done < len(view):
            raise OSError(errno.EIO, f"the file ends at byte {self._at}, where it should go on")
        return done

    def close(self) -> None:
        if not self.closed and self._owner is None:
            os.close(self._descriptor)
        super().close()


@dataclass(frozen=True, slots=True)
class File:
    """An HDF5 member of a product: what it takes to open it, in this process or another one."""

    member: str
    source: str
    """The product that it is part of, for messages."""
    where: Location | None
    """Its bytes, where they lie as they are."""
    container: Container | None = field(repr=False, default=None)
    """The zip of a deflated member."""

    @contextlib.contextmanager
    def open(self, ahead: Ahead | None = None) -> Iterator[Any]:
        """The file as h5py opens it, for the length of a `with`. Raises DamagedProduct or ReaderError for it."""
        import h5py

        # Through a stream of our own for plain files too: HDF5 refuses to open a file with other locking than some other
        # reader in the process has it open with, and locks fail on some read-only mounts.
        with self._stream() as stream, h5py.File(stream, "r") as handle:
            if ahead is not None and isinstance(stream, SparseFile):
                stream.preload(ahead(handle))
            yield handle

    def _stream(self) -> io.RawIOBase:
        if self.where is not None:
            path, offset, size = self.where
            if not isinstance(path, str):
                return SparseFile(path, offset, size)
            return _Stream(os.open(path, os.O_RDONLY | os.O_CLOEXEC), offset, size, None)
        assert self.container is not None
        spool = spooled(self.container, self.member)
        return _Stream(spool.file.fileno(), 0, spool.size, spool)

    def use(self, work: Callable[[Any], Any], *, ahead: Ahead | None = None) -> Any:
        """What `work` makes of the open h5py.File.

        Parameters
        ----------
        work
            Is given the file.
        ahead
            Is given the file before `work`: the ranges of bytes that `work` will read, which are fetched side by side where
            the file lies at an address.

        Raises
        ------
        ReaderError
            The file is gone, or may not be read.
        DamagedProduct
            It is cut, or HDF5 cannot read it.
        """
        try:
            with self.open(ahead) as handle:
                return work(handle)
        except ExtensoError:
            raise
        except (FileNotFoundError, PermissionError) as error:
            failure: ExtensoError = ReaderError(
                f"{self.member} in {self.source} cannot be read: {error.strerror or 'it is gone'}.", member=self.member
            )
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            failure = DamagedProduct(
                f"{self.member} in {self.source} cannot be read as netCDF-4: {_reason(error)}", member=self.member
            )
        # Outside the handler, without cause: those of h5py do not all pickle, and a worker's error has to.
        raise failure


def _reason(error: BaseException) -> str:
    text = " ".join(str(part) for part in error.args) or type(error).__name__
    return text.strip().rstrip(".") + "."


def open_file(container: Container, member: str) -> File:
    """The HDF5 member of a container.

    Raises
    ------
    IncompleteProduct
        The member is missing or has no bytes.
    UnsupportedProduct
        It is netCDF of the classic kind (versions 1 to 3).
    DamagedProduct
        The container says that it lies where it cannot.
    """
    if container.is_empty(member):
        raise IncompleteProduct(f"{member} in {container.uri} has no bytes.", member=member)
    if container.head(member, 3) == _NETCDF3:
        raise UnsupportedProduct(
            f"{member} in {container.uri} is a classic netCDF file (version 3), as SNAP and others export; "
            "products of Sentinel-3 and -5P are netCDF-4.",
            hint='Open it with xarray.open_dataset(path, engine="scipy").',
            member=member,
        )
    where = container.locate(member)
    return File(member, container.uri, where, None if where is not None else container)


def global_attributes(container: Container, member: str) -> dict[str, Any]:
    """Attributes of the root group of an HDF5 member, as Python has them. Raises as `open_file` and `File.use` do."""
    found: dict[str, Any] = open_file(container, member).use(lambda handle: cf.plain_attributes(_attributes(handle)))
    return found


# --- what is in a file -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Stored:
    """One variable of a file, or one field of a variable of records."""

    file: File
    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """Of the numbers; object for text."""
    chunks: tuple[int, ...] | None
    attributes: dict[str, Any] = field(repr=False)
    part: str | None = None
    """Name of the field in a record."""
    letters: bool = False
    """Text as single bytes, whose last dimension (not among `dims`) makes up the words."""

    @property
    def name(self) -> str:
        """Without the groups."""
        return self.path.rpartition("/")[2]

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.dtype.kind == "O"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a file, read without any of its arrays."""

    attributes: dict[str, Any]
    """As Python has them."""
    sizes: dict[str, int]
    """Dimensions that the variables of this group have."""
    variables: dict[str, Stored]
    groups: dict[str, Group]
    unread: tuple[str, ...] = ()
    """Variables of types that numpy has not: lists of changing length, references."""


def read_group(container: Container, member: str) -> Group:
    """The root group of an HDF5 member, and all below it. Raises as `open_file` and `File.use` do."""
    import h5netcdf

    file = open_file(container, member)

    def describe(handle: Any) -> Group:
        _check_links(file, handle)
        with h5netcdf.File(handle, "r", phony_dims="sort") as netcdf:
            return _group(file, handle, netcdf, "/")

    found: Group = file.use(describe)
    return found


def _group(file: File, handle: Any, node: Any, path: str) -> Group:
    raw = handle[path]
    variables: dict[str, Stored] = {}
    unread = []
    for name in node.variables:
        parts = _stored(file, raw[name], _distinct(node.variables[name].dimensions))
        variables |= parts
        if not parts:
            unread.append(name)
    sizes = {dim: size for item in variables.values() for dim, size in zip(item.dims, item.shape, strict=True)}
    groups = {name: _group(file, handle, child, f"{path.rstrip('/')}/{name}") for name, child in node.groups.items()}
    return Group(cf.plain_attributes(_attributes(raw)), sizes, variables, groups, tuple(unread))


def _distinct(dims: Iterable[str]) -> tuple[str, ...]:
    """Dimensions of a square matrix have one name in netCDF, and cannot in xarray: `bands`, `bands_2`."""
    found: list[str] = []
    for dim in dims:
        count = sum(1 for known in found if known == dim or known.startswith(f"{dim}_"))
        found.append(f"{dim}_{count + 1}" if dim in found else dim)
    return tuple(found)


def _check_links(file: File, node: Any, depth: int = 0) -> None:
    """What an HDF5 file says of itself is not trusted: its links and raw data could lead to any file of the reader's."""
    import h5py

    if depth > _DEPTH:
        raise DamagedProduct(f"{file.member} in {file.source} has groups that hold themselves.", member=file.member)
    for name in node:
        link = node.get(name, getlink=True)
        item = None if isinstance(link, h5py.ExternalLink) else node.get(name)
        if item is None or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
            raise DamagedProduct(
                f"{file.member} in {file.source} has a variable that lies outside of it: {name!r}.", member=file.member
            )
        if isinstance(item, h5py.Group):
            _check_links(file, item, depth + 1)


def _attributes(node: Any) -> dict[str, Any]:
    """Attributes without those that are references into the file, or of types that numpy has not."""
    import h5py

    found = {}
    for name in node.attrs:
        if name not in cf.STRUCTURE:
            with contextlib.suppress(TypeError):  # of a type that numpy has not
                found[name] = node.attrs[name]
    return {
        name: value
        for name, value in found.items()
        if not isinstance(value, h5py.Reference)
        and not (isinstance(value, np.ndarray) and h5py.check_ref_dtype(value.dtype))
    }


def _stored(file: File, node: Any, dims: tuple[str, ...]) -> dict[str, Stored]:
    """A variable by name; each field of records for itself; nothing for types that are not read."""
    import h5py

    name, dtype = node.name.rpartition("/")[2], _type(node)
    if dtype is None:
        return {}
    if tuple(dims) == (name,) and node.size > _AXIS_MAX:
        raise DamagedProduct(
            f"{file.member} in {file.source} has an axis {name} of {node.size} values; no product has that.",
            member=file.member,
        )
    attributes, text = _attributes(node), h5py.check_string_dtype(dtype) is not None
    given: dict[str, Any] = {"file": file, "path": node.name, "attributes": attributes}
    shaped: dict[str, Any] = {"dims": tuple(dims), "shape": node.shape, "chunks": node.chunks}
    if text and dtype.kind == "S" and dtype.itemsize == 1 and node.ndim and node.shape[-1] > 1:
        shaped = {"dims": tuple(dims[:-1]), "shape": node.shape[:-1], "chunks": node.chunks and node.chunks[:-1]}
        return {name: Stored(**given, **shaped, dtype=np.dtype(object), letters=True)}
    members = h5py.check_enum_dtype(dtype)
    if members is not None and "flag_values" not in attributes:
        attributes |= {"flag_values": list(members.values()), "flag_meanings": " ".join(members)}
    if text or dtype.kind in "iufb":
        return {name: Stored(**given, **shaped, dtype=np.dtype(object) if text else np.dtype(dtype.str))}
    return {
        f"{name}.{part}": Stored(**given, **shaped, dtype=_part(dtype[part]), part=part)
        for part in dtype.names or ()
        if dtype[part].shape == () and (dtype[part].kind in "iuf" or h5py.check_string_dtype(dtype[part]) is not None)
    }


def _type(node: Any) -> Any:
    """The type of a variable's numbers; None for one without numbers, or whose type is a reference or none of numpy's."""
    import h5py

    try:
        dtype = node.dtype
    except TypeError:
        return None
    return None if node.shape is None or h5py.check_ref_dtype(dtype) is not None else dtype


def _part(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(dtype.str) if dtype.kind in "iuf" else np.dtype(object)


def survey(container: Container, member: str) -> None:
    """Read what any later window of any variable needs, but the values: so that an index has it; of small ones these too.

    Each variable is looked up in a file newly opened, as reading it does: HDF5 keeps what it has read. Classic netCDF files
    are left out. Raises as `File.use` does.
    """
    if container.head(member, 3) == _NETCDF3:
        return
    names: list[str] = []

    def listed(handle: Any) -> None:
        import h5py

        handle.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)

    open_file(container, member).use(listed)
    for name in names:
        open_file(container, member).use(partial(_look, container, member, name))


def _look(container: Container, member: str, name: str, handle: Any) -> None:
    node = handle[name]
    ranges = hdf5_chunks.all_of(node)
    where = container.locate(member)
    if where is None or isinstance(where.path, str) or sum(length for _, length in ranges) > _SMALL:
        return
    for start, length in ranges:
        where.path.note(where.offset + start, length)
    if node.size and _type(node) is not None:
        _ = node[(0,) * node.ndim]  # text of changing length lies elsewhere


# --- arrays ----------------------------------------------------------------------------------------------------------
class StoredArray(BackendArray):
    """The values of a `Stored`, read window by window. Reading raises as `File.use` does."""

    def __init__(self, stored: Stored, unpack: cf.Unpack | cf.Times | None = None) -> None:
        self.stored, self.unpack = replace(stored, attributes={}), unpack  # of no use to workers
        self.shape = stored.shape
        self.dtype = stored.dtype if unpack is None else np.dtype(unpack.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what an xarray indexer asks for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read)

    def _read(self, key: tuple[Any, ...]) -> Array:
        stored = self.stored

        def read(handle: Any) -> Array:
            node = handle[stored.path]
            if node.shape[: len(stored.shape)] != stored.shape:
                raise DamagedProduct(
                    f"{stored.file.member} in {stored.file.source} is not what it was when the product was opened.",
                    hint="Open the product again.",
                    member=stored.file.member,
                )
            view = node if stored.part is None else node.fields(stored.part)
            return np.asarray(view[(*key, slice(None))] if stored.letters else view[key])

        values: Array = stored.file.use(read, ahead=lambda handle: hdf5_chunks.touched(handle[stored.path], key))
        if stored.is_text:
            return _text(values, joined=stored.letters)
        return values if self.unpack is None else self.unpack(values)


def _text(values: Array, *, joined: bool) -> Array:
    if joined:
        values = np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0]
    words = np.empty(values.shape, dtype=object)
    for at in np.ndindex(values.shape):
        word: Any = values[at]
        words[at] = word.decode("utf-8", "replace").rstrip("\0") if isinstance(word, bytes) else str(word)
    return words


def variable(
    stored: Stored, *, masked: bool = True, scaled: bool = True, integer: bool = False, drop: tuple[str, ...] = ()
) -> xr.Variable:
    """A lazy variable.

    Parameters
    ----------
    stored
        As read from the file.
    masked, scaled
        As of `open_product`.
    integer
        See `cf.decode`.
    drop
        Dimensions of size 1 to leave out (the `time` of Sentinel-5P).
    """
    decoded = cf.decode(stored.dtype, stored.attributes, masked=masked, scaled=scaled, integer=integer)
    attributes = {name: value for name, value in decoded.attributes.items() if name != "coordinates"}
    data = indexing.LazilyIndexedArray(StoredArray(stored, decoded.unpack))
    result = xr.Variable(stored.dims, data, attributes)
    sizes = chunk_sizes(stored.shape, stored.chunks)
    result.encoding = {
        "source": stored.file.source,
        "access": "hdf5",
        "preferred_chunks": dict(zip(stored.dims, sizes, strict=True)),
        **decoded.encoding,
    }
    dropped = {dim: 0 for dim, size in zip(stored.dims, stored.shape, strict=True) if dim in drop and size == 1}
    if dropped:
        encoding = dict(result.encoding)
        encoding["preferred_chunks"] = {
            dim: size for dim, size in encoding["preferred_chunks"].items() if dim not in dropped
        }
        result = result.isel(dropped)
        result.encoding = encoding
    return result


def chunk_sizes(shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> tuple[int, ...]:
    """Sizes of a dask chunk: whole multiples of the file's own, near `CHUNK` numbers; the last dimensions grow first."""
    if not shape:
        return ()
    own = [
        max(1, min(size, part))
        for size, part in zip(shape, chunks or (*[1] * (len(shape) - 1), shape[-1]), strict=True)
    ]
    sizes = list(own)
    for axis in reversed(range(len(shape))):
        room = CHUNK // max(1, int(np.prod(sizes)))
        sizes[axis] = max(1, min(shape[axis], own[axis] * max(1, room)))
    return tuple(sizes)


def rechunk(dataset: xr.Dataset, chunks: str | dict[str, int] | None) -> xr.Dataset:
    """A dataset of lazy variables as dask arrays: `"auto"` by the `preferred_chunks` of each, None as it is, or sizes.

    Text stays as it is: dask knows nothing of its size.
    """
    if chunks is None:
        return dataset
    if isinstance(chunks, dict):
        return dataset.chunk({dim: size for dim, size in chunks.items() if dim in dataset.dims})
    parts = {
        name: item if name in dataset.xindexes or not _worth(item) else item.chunk(_preferred(item))
        for name, item in dataset.variables.items()
    }
    coords = {name: parts.pop(name) for name in dataset.coords}
    return xr.Dataset(parts, coords, dataset.attrs)


def to_tree(groups: Mapping[str, xr.Dataset], uri: str) -> xr.DataTree:
    """Groups by path as a tree. Raises DamagedProduct where a dimension has one size in a group and another one below it."""
    try:
        return xr.DataTree.from_dict(dict(groups))
    except ValueError as error:
        reason = str(error).splitlines()[0]
    raise DamagedProduct(
        f"The groups of {uri} do not fit together: {reason}.", hint="Open them one by one with xarray."
    )


def _worth(item: xr.Variable) -> bool:
    """Numbers of some dimension; dask does not know the size of text."""
    return item.ndim > 0 and item.dtype != object


def _preferred(item: xr.Variable) -> dict[Any, int]:
    sizes: dict[Any, int] = item.encoding.get("preferred_chunks", {})
    return sizes
