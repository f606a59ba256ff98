"""Sentinel-5P (TROPOMI) products, one netCDF-4 file each -> xarray.DataTree, lazily; level 2 and level 1B.

Groups as in the file. The dimension `time`, which is 1 long, is dropped; `time` is the moment of each scanline in its place.
`latitude`, `longitude` and the corners of the pixels are coordinates of every group on the swath.

The quality is in whole percent in the file. ``float32(k) * float32(0.01)`` is not ``float32(k / 100)`` for 30 of 101 numbers, so
that ``qa_value >= 0.8`` would lose those of exactly 80. `qa_value` is here the float32 nearest to k / 100, and `qa_percent` is k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from extenso_nb.errors import IncompleteProduct, InputError, UnsupportedProduct
from extenso_nb.readers import cf
from extenso_nb.readers.conventions import conform
from extenso_nb.readers.hdf5 import Group, Stored, read_group, rechunk, to_tree, variable
from extenso_nb.readers.identity import product_attributes

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["good", "open_sentinel5p", "to_units"]

_DROP = ("time",)
_QUALITY = "qa_value"
_GLOBALS = ("title", "institution", "references", "processor_version", "algorithm_version", "product_version",
            "spatial_resolution", "identifier_product_doi")  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Swath:
    """Where and when the pixels of a group and of those below it lie."""

    latitude: Stored
    longitude: Stored
    bounds: Mapping[str, Stored]
    """Corners by name: `latitude_bounds`, `longitude_bounds`."""
    times: Stored | None
    """Of the scanlines, with units that have a reference."""
    reference: Stored | None

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(dim for dim in self.latitude.dims if dim not in _DROP)


@dataclass(frozen=True, slots=True)
class _Wanted:
    masked: bool
    scaled: bool
    chunks: str | dict[str, int] | None


def open_sentinel5p(
    container: Container, *, masked: bool = True, scaled: bool = True, chunks: str | dict[str, int] | None = "auto"
) -> xr.DataTree:
    """Open a Sentinel-5P product.

    Parameters
    ----------
    container
        The product.
    masked, scaled, chunks
        As of `open_product`. Coordinates are always values.

    Raises
    ------
    IncompleteProduct
        No array can be read.
    UnsupportedProduct
        More than one netCDF file, or one of another kind.
    DamagedProduct
        The file cannot be read.
    """
    names = [name for name in container.names() if name.lower().endswith((".nc", ".nc4", ".h5"))] or container.names()
    if len(names) != 1:
        raise UnsupportedProduct(
            f"{container.uri} has {len(names)} files; a Sentinel-5P product is one netCDF file.",
            hint="Open the file by its own path.",
        )
    root = read_group(container, names[0])
    found: dict[str, xr.Dataset] = {}
    empty = _walk(root, "/", root, None, _Wanted(masked, scaled, chunks), found)
    if not any(dataset.variables for dataset in found.values()):
        raise IncompleteProduct(f"{container.uri} has no arrays.", member=names[0])
    found["/"].attrs = _attributes(container, root, masked=masked, scaled=scaled, missing=empty)
    if "/METADATA" in found:
        found["/METADATA"].attrs = root.attributes | found["/METADATA"].attrs
    return to_tree(conform(found), container.uri)


def _walk(
    group: Group, path: str, root: Group, above: _Swath | None, wanted: _Wanted, found: dict[str, xr.Dataset]
) -> list[str]:
    """All groups from `group` down as datasets, and the paths of those that should have arrays and have not."""
    swath = _swath(group, root) or above
    found[path] = _dataset(group, swath, wanted)
    holds = path.count("/") == 1 and path not in {"/", "/METADATA"}
    empty = [path] if holds and not _has_arrays(group) else []
    for name, child in group.groups.items():
        empty += _walk(child, f"{path.rstrip('/')}/{name}", root, swath, wanted, found)
    return empty


def _has_arrays(group: Group) -> bool:
    return bool(group.variables) or any(_has_arrays(child) for child in group.groups.values())


# --- places and times ------------------------------------------------------------------------------------------------
def _swath(group: Group, root: Group) -> _Swath | None:
    """The swath of level 2 (`PRODUCT` itself) or of level 1B (`GEODATA` and `OBSERVATIONS` in the group of a mode)."""
    places = next(
        (
            node.variables
            for node in (group, group.groups.get("GEODATA"))
            if node is not None and {"latitude", "longitude"} <= node.variables.keys()
        ),
        None,
    )
    if places is None or places["latitude"].dims != places["longitude"].dims or len(places["latitude"].dims) < 2:
        return None
    bounds = {
        f"{name}_bounds": corner
        for name in ("latitude", "longitude")
        if (corner := _corner(places[name], group, root)) is not None
    }
    nodes = [
        node for node in (group, group.groups.get("OBSERVATIONS"), group.groups.get("GEODATA")) if node is not None
    ]
    reference = _first(nodes, "time")
    return _Swath(places["latitude"], places["longitude"], bounds, _scanline_times(nodes, reference, root), reference)


def _first(nodes: list[Group], name: str) -> Stored | None:
    return next((node.variables[name] for node in nodes if name in node.variables), None)


def _corner(place: Stored, group: Group, root: Group) -> Stored | None:
    """The corners that `bounds` names, by path from the root, or by name near the place."""
    named = str(cf.plain(place.attributes.get("bounds", "")))
    for start, path in ((root, named.lstrip("/")), (group, f"SUPPORT_DATA/GEOLOCATIONS/{place.name}_bounds"),
                        (group, f"GEODATA/{place.name}_bounds"), (group, f"{place.name}_bounds")):  # fmt: skip
        corner = _at(start, path)
        if (
            corner is not None
            and corner.dims[: len(place.dims)] == place.dims
            and len(corner.dims) == len(place.dims) + 1
        ):
            return corner
    return None


def _at(group: Group, path: str) -> Stored | None:
    *steps, name = path.split("/")
    for step in steps:
        if step not in group.groups:
            return None
        group = group.groups[step]
    return group.variables.get(name)


def _scanline_times(nodes: list[Group], reference: Stored | None, root: Group) -> Stored | None:
    """`delta_time` with a reference in its units, which some processors write there and others leave to `time`."""
    delta = _first(nodes, "delta_time")
    if delta is None:
        return None
    units = str(cf.plain(delta.attributes.get("units", ""))).strip()
    if " since " not in units:
        moment = _reference(reference, root)
        if moment is None or not units:
            return None
        units = f"{units.split()[0]} since {moment}"
    return replace(delta, attributes={**delta.attributes, "units": units})


def _reference(reference: Stored | None, root: Group) -> str | None:
    if reference is not None and int(np.prod(reference.shape)) == 1:
        moment = variable(reference).values.ravel()[0]
        if isinstance(moment, np.datetime64) and not np.isnat(moment):
            return str(moment.astype("datetime64[ms]")).replace("T", " ")
    text = root.attributes.get("time_reference")
    return str(text).rstrip("Z").replace("T", " ") if text else None


# --- datasets --------------------------------------------------------------------------------------------------------
def _dataset(group: Group, swath: _Swath | None, wanted: _Wanted) -> xr.Dataset:
    coords: dict[str, xr.Variable] = {}
    data: dict[str, xr.Variable] = {}
    for name, stored in group.variables.items():
        if swath is not None and name == "time" and stored.shape == (1,):
            continue  # `time_reference`, see _places
        if stored.dims == (name,):
            coords[name] = variable(stored, integer=True)
        elif name == _QUALITY:
            data |= _quality(stored, wanted)
        else:
            data[name] = variable(stored, masked=wanted.masked, scaled=wanted.scaled, drop=_DROP)
    if swath is not None and any(set(swath.dims) <= set(item.dims) for item in data.values()):
        coords |= _places(swath)
    elif swath is not None and any(swath.dims[0] in item.dims for item in data.values()):
        coords |= {name: item for name, item in _places(swath).items() if item.dims in ((), swath.dims[:1])}
    for name in coords.keys() & data.keys():
        del data[name]
    sizes = {dim: size for item in data.values() for dim, size in item.sizes.items()}
    coords = {  # a group may have a dimension of its own under the name of one above it
        name: item
        for name, item in coords.items()
        if all(sizes.get(dim, size) == size for dim, size in item.sizes.items())
    }
    attributes = dict(group.attributes)
    if group.unread:
        attributes["unread_variables"] = list(group.unread)
    return rechunk(xr.Dataset(data, coords, attributes), wanted.chunks)


def _places(swath: _Swath) -> dict[str, xr.Variable]:
    found = {"latitude": variable(swath.latitude, drop=_DROP), "longitude": variable(swath.longitude, drop=_DROP)}
    for name, item in found.items():
        item.attrs.pop("bounds", None)
        if f"{name}_bounds" in swath.bounds:
            item.attrs["bounds"] = f"{name}_bounds"
    found |= {name: variable(corner, drop=_DROP) for name, corner in swath.bounds.items()}
    if swath.times is not None:
        times = variable(swath.times, drop=_DROP)
        if times.dtype.kind == "M" and times.dims == swath.dims[:1]:
            times.attrs = {"long_name": "time of the scanline", "standard_name": "time"}
            found["time"] = times
    if swath.reference is not None and swath.reference.shape == (1,):
        found["time_reference"] = variable(swath.reference, drop=_DROP)
    return found


def _quality(stored: Stored, wanted: _Wanted) -> dict[str, xr.Variable]:
    scale = cf.plain(stored.attributes.get("scale_factor", 1.0))
    percent = stored.dtype.kind == "u" and isinstance(scale, float) and math.isclose(scale, 0.01, rel_tol=1e-6)
    if not percent or not wanted.scaled:
        return {_QUALITY: variable(stored, masked=wanted.masked, scaled=wanted.scaled, drop=_DROP)}
    exact = replace(stored, attributes={**stored.attributes, "scale_factor": 0.01})
    whole = {name: value for name, value in stored.attributes.items() if name not in {"scale_factor", "add_offset"}}
    whole |= {"units": "percent", "long_name": "data quality value in whole percent, as stored"}
    return {
        _QUALITY: variable(exact, masked=wanted.masked, drop=_DROP),
        "qa_percent": variable(replace(stored, attributes=whole), drop=_DROP, integer=True),
    }


def _attributes(container: Container, root: Group, *, masked: bool, scaled: bool, missing: list[str]) -> dict[str, Any]:
    names = {"start_time": "time_coverage_start", "stop_time": "time_coverage_end", "orbit_number": "orbit"}
    said = {ours: root.attributes.get(theirs) for ours, theirs in names.items()}
    said |= {name: root.attributes.get(name) for name in _GLOBALS}
    said["missing_members"] = missing or None
    identifier = str(root.attributes.get("id") or "")
    return product_attributes(container, said, identifier=identifier, masked=masked, scaled=scaled)


# --- what to do with them --------------------------------------------------------------------------------------------
def good(source: xr.DataTree | xr.Dataset, qa: float = 0.5) -> xr.DataArray:
    """Where the quality is at least `qa` (0 to 1), compared as whole percent.

    Parameters
    ----------
    source
        A tree as `open_product` gives it, or its group `PRODUCT`.
    qa
        0.5, or 0.75 as recommended for tropospheric NO2 without clouds; see the readme of each product.

    Raises
    ------
    InputError
        There is no `qa_percent`, or `qa` is not from 0 to 1.
    """
    if not 0 <= qa <= 1:
        raise InputError(f"qa={qa} is not from 0 to 1.", hint="Pass 0.75, not 75.")
    dataset = source.to_dataset() if isinstance(source, xr.DataTree) else source
    if isinstance(source, xr.DataTree) and "PRODUCT" in source.children:
        dataset = source["PRODUCT"].to_dataset()
    if "qa_percent" not in dataset:
        raise InputError(
            "There is no qa_percent.", hint="Pass the tree of a Sentinel-5P level 2 product, opened with scaled=True."
        )
    percent = dataset["qa_percent"]
    fill = percent.attrs.get("fill_value", 255)
    found: xr.DataArray = (percent >= math.ceil(qa * 100 - 1e-6)) & (percent != fill)
    return found.rename("good")


_UNITS = {
    "moleculescm-2": "molecules_percm2", "moleccm-2": "molecules_percm2", "molecules/cm2": "molecules_percm2",
    "molec/cm2": "molecules_percm2", "moleculespercm2": "molecules_percm2",
    "du": "DU", "dobson": "DU", "dobsonunits": "DU",
}  # fmt: skip
"""Units without blanks and `^`, lower case -> how the products name them in `multiplication_factor_to_convert_to_...`."""
_RATIOS = {"ppbv": 1e-9, "ppb": 1e-9, "ppmv": 1e-6, "ppm": 1e-6, "1e-9": 1e-9, "1e-6": 1e-6, "1": 1.0}
_FACTOR = "multiplication_factor_to_convert_to_"


def to_units(array: xr.DataArray, units: str) -> xr.DataArray:
    """An array in other units, by the factors that the product itself gives.

    Parameters
    ----------
    array
        Of a product opened with `scaled=True`.
    units
        `"molecules cm-2"` or `"DU"` (Dobson units) where the product has the factor; `"ppbv"`, `"ppmv"` for mixing ratios;
        or what a factor is called, such as `"photons_percm2"`.

    Returns
    -------
    xarray.DataArray
        Of the same type, lazy where `array` is of dask.

    Raises
    ------
    InputError
        The product gives no factor to these units.
    """
    if "".join(units.split()).lower() == "".join(str(array.attrs.get("units", "")).split()).lower():
        return array
    factor = _factor(array, units)
    kind = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
    result: xr.DataArray = (array.astype(np.float64) * factor).astype(kind)
    result.attrs = {name: value for name, value in array.attrs.items() if not name.startswith(_FACTOR)} | {
        "units": units
    }
    return result


def _factor(array: xr.DataArray, units: str) -> float:
    there = {
        name.removeprefix(_FACTOR): float(value)
        for name, value in array.attrs.items()
        if str(name).startswith(_FACTOR) and isinstance(value, int | float)
    }
    wanted = "".join(units.split()).replace("^", "").lower()
    named = _UNITS.get(wanted, units.strip())
    if named in there:
        return there[named]
    own = "".join(str(array.attrs.get("units", "")).split()).lower()
    if wanted in _RATIOS and own in _RATIOS:
        return _RATIOS[own] / _RATIOS[wanted]
    reachable = sorted(there) + (sorted(set(_RATIOS) - {own}) if own in _RATIOS else [])
    raise InputError(
        f"{array.name or 'The array'} is in {array.attrs.get('units', 'no unit')}, and the product gives no factor to {units!r}.",
        hint=f"It gives those to {', '.join(reachable)}." if reachable else "Convert it by a factor of your own.",
        units=reachable,
    )
