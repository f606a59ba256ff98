"""Sentinel-1 ocean products (OCN) -> xarray.DataTree, lazily: wind (`owi`), swell (`osw`), radial velocity (`rvl`).

One netCDF file a swath or vignette, classic netCDF in the first years, netCDF-4 since. Its variables are told apart by prefix
only: `owiWindSpeed` becomes `wind_speed` of the group `owi`. Where there are several files (wave mode), each has a group of
its own: `/WV1_001/osw`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from extenso_nb.errors import DamagedProduct, ExtensoError, IncompleteProduct
from extenso_nb.readers import netcdf3

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["open_ocn"]

_FILE = re.compile(r"s1[a-z]-(?P<swath>[a-z]+\d?)-ocn-(?P<pol>hh|hv|vv|vh)-.*?(?P<number>\d{3})?")
_PREFIXES = {"owi": "wind", "osw": "swell", "rvl": "radial velocity"}
_DIMS = {"AzSize": "az", "RaSize": "ra", "IncSize": "inc", "Partitions": "partition"}
_NAMES = {"Lat": "latitude", "Lon": "longitude"}
_COORDS = {"latitude", "longitude", "k", "phi"}
_DEFAULT_FILL = 9.969209968386869e36
"""Of floats that nobody wrote, where a variable names no other."""
_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class _Stored:
    """A variable in a file."""

    container: Container
    member: str
    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]
    offset: int | None
    """In a classic file; None in HDF5."""

    def read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        """The numbers at an indexer of slices and arrays, in the byte order of the machine. Raises DamagedProduct."""

        def take(file: IO[bytes]) -> npt.NDArray[Any]:
            if self.offset is None:
                import h5py

                with h5py.File(file, "r") as tree:
                    values = tree[self.name][...]
            else:
                size = int(np.prod(self.shape)) * self.dtype.itemsize
                file.seek(self.offset)
                raw = file.read(size)
                if len(raw) != size:
                    raise ValueError(f"it ends within {self.name}")
                values = np.frombuffer(raw, self.dtype).reshape(self.shape)
            if values.shape != self.shape:
                raise ValueError(f"{self.name} is not what it was when the product was opened")
            return np.asarray(values)

        values = _using(self.container, self.member, take)
        return np.array(values[key], self.dtype.newbyteorder("="))


class _OcnArray(BackendArray):
    """Numbers of a variable; NaN for `fill` in floats where `masked`."""

    def __init__(self, stored: _Stored, fill: tuple[float, ...]) -> None:
        self.stored, self.fill = stored, fill
        self.shape = stored.shape
        self.dtype = stored.dtype.newbyteorder("=")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what an xarray indexer asks for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        values = self.stored.read(key)
        for fill in self.fill:
            values = np.where(values == values.dtype.type(fill), values.dtype.type(np.nan), values)
        return values


def _using(container: Container, member: str, use: Callable[[IO[bytes]], _Result]) -> _Result:
    """What `use` makes of a member as a file, open for that long; what goes wrong becomes DamagedProduct."""
    try:
        with container.open(member) as file:
            # h5py takes for the rest of a file that was cut what happens to lie in its buffer
            file.seek(container.size(member) - 1)
            if not file.read(1):
                raise ValueError("it is shorter than it was when the product was opened")
            file.seek(0)
            return use(file)
    except ExtensoError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).rstrip(".")
    raise DamagedProduct(f"{member} in {container.uri} cannot be read: {reason}.", member=member)


# --- opening ---------------------------------------------------------------------------------------------------------
def open_ocn(
    container: Container, facts: Mapping[str, Any], *, masked: bool, chunks: str | dict[str, int] | None
) -> dict[str, xr.Dataset]:
    """Groups of an ocean product, by path; nothing but headers is read.

    Parameters
    ----------
    container, facts
        The product, and what its manifest says.
    masked
        NaN for the fill values of floats. Integers (flags) stay as they are, their fill in the attribute `fill_value`.
    chunks
        None: lazy without dask; else as of `Dataset.chunk` (`"auto"`: whole variables).

    Raises
    ------
    IncompleteProduct
        It has no netCDF file.
    DamagedProduct
        One of them cannot be read.
    """
    members = [
        name
        for name in container.find("measurement/*.nc")
        if not container.is_empty(name) and _FILE.fullmatch(_stem(name)) is not None
    ]
    if not members:
        raise IncompleteProduct(f"{container.product_id} has no netCDF file in measurement/, or only empty ones.")
    groups: dict[str, xr.Dataset] = {}
    for member in members:
        label = ""
        if len(members) > 1:
            match = _FILE.fullmatch(_stem(member))
            assert match is not None
            label = f"/{match['swath'].upper()}_{match['number']}"
        attributes, variables = _using(container, member, lambda file, name=member: _header(container, name, file))  # type: ignore[misc]
        for prefix, what in _PREFIXES.items():
            own = [one for one in variables if one.name.startswith(prefix)]
            if own:
                groups[f"{label}/{prefix}"] = _group(prefix, what, own, attributes, masked, chunks)
    if not groups:
        raise DamagedProduct(f"{members[0]} in {container.uri} has no variables of wind, swell or radial velocity.")
    return groups


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0].lower()


def _header(container: Container, member: str, file: IO[bytes]) -> tuple[dict[str, Any], list[_Stored]]:
    if file.read(3) == b"CDF":
        file.seek(0)
        attributes, found = netcdf3.header(file)
        return attributes, [
            _Stored(container, member, v.name, v.dims, v.shape, np.dtype(v.dtype), v.attributes, v.offset)
            for v in found.values()
            if v.dtype != "S1"
        ]
    import h5py

    file.seek(0)
    with h5py.File(file, "r") as tree:
        stored = []
        for name, node in tree.items():
            if isinstance(node, h5py.Dataset) and node.dtype.kind in "iufb":
                dims = tuple(_dimension(node, at) for at in range(node.ndim))
                stored.append(_Stored(container, member, name, dims, node.shape, node.dtype, _attributes(node), None))
        return _attributes(tree), stored


def _dimension(node: Any, at: int) -> str:
    scales = node.dims[at]
    return str(scales[0].name).rpartition("/")[2] if len(scales) else f"{node.name.rpartition('/')[2]}_{at}"


_STRUCTURE = {
    "DIMENSION_LIST",
    "REFERENCE_LIST",
    "CLASS",
    "NAME",
    "_Netcdf4Dimid",
    "_NCProperties",
    "_Netcdf4Coordinates",
}


def _attributes(node: Any) -> dict[str, Any]:
    found = {}
    for name, value in node.attrs.items():
        if name in _STRUCTURE:
            continue
        single = value.ravel()[0] if isinstance(value, np.ndarray) and value.size == 1 else value
        found[name] = single.decode("utf-8", "replace") if isinstance(single, bytes) else single
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _dim(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return _DIMS.get(name) or _snake(name.removesuffix("Size"))


def _group(
    prefix: str,
    what: str,
    stored: list[_Stored],
    attributes: Mapping[str, Any],
    masked: bool,
    chunks: str | dict[str, int] | None,
) -> xr.Dataset:
    variables = {}
    dims = {_dim(dim) for one in stored for dim in one.dims}
    for one in stored:
        short = one.name.removeprefix(prefix)
        name = _NAMES.get(short) or _snake(short)
        own = tuple(_dim(dim) for dim in one.dims)
        if name in dims and own != (name,):
            name = f"{name}_"  # a variable must not be called as a dimension of others
        variables[name] = _variable(one, own, masked)
    found = xr.Dataset(
        variables, attrs={"long_name": what, **{name: _plain(value) for name, value in attributes.items()}}
    )
    found = found.set_coords([name for name in _COORDS if name in found])
    if chunks is None:
        return found
    return found.chunk(
        {} if isinstance(chunks, str) else {dim: size for dim, size in chunks.items() if dim in found.dims}
    )


def _variable(one: _Stored, dims: tuple[str, ...], masked: bool) -> xr.Variable:
    attributes = {name: _plain(value) for name, value in one.attributes.items()}
    fill = attributes.pop("_FillValue", None)
    attributes["original_name"] = one.name
    floating = one.dtype.kind == "f"
    fills: tuple[float, ...] = ()
    if floating and masked:
        fills = (_DEFAULT_FILL if fill is None else fill,)
    elif fill is not None:
        attributes["fill_value"] = fill
    variable = xr.Variable(dims, indexing.LazilyIndexedArray(_OcnArray(one, fills)), attributes)
    variable.encoding = {"source": one.container.uri, "access": "h5py" if one.offset is None else "netcdf3"}
    if fills:
        variable.encoding["_FillValue"] = one.dtype.type(np.nan)
    return variable


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.astype(value.dtype.newbyteorder("=")).tolist()
    return value.item() if isinstance(value, np.generic) else value
