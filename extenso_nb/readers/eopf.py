"""Products in ESA's EOPF Zarr format (Sentinel-1, -2 and -3) -> xarray.DataTree, lazily.

Groups and names are those of the store. What is added: CRS and transform as `spatial_ref` in groups on a map grid, from the
`proj:` attributes of their arrays; `band_id` and `common_name` of the bands; the attributes of a product at the root.

Numbers are packed as `readers.cf` has it, by what the store says: `scale_factor`, `add_offset`, and `_FillValue`,
`fill_value` or the fill value of Zarr, but for the 0 which Zarr writes unasked. EOPF keeps attributes of the packed numbers
beside arrays that it unpacked when it wrote them; then these are not unpacked again (`_already`).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import struct
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from extenso_nb.errors import AreaError, DamagedProduct, IncompleteProduct
from extenso_nb.readers import cf
from extenso_nb.readers.hdf5 import chunk_sizes, rechunk, to_tree
from extenso_nb.readers.identity import product_attributes
from extenso_nb.readers.zarr_arrays import ZarrArray, described
from extenso_nb.readers.zarr_metadata import Array, Group, Members, Source, groups, root_of

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["open_eopf"]

_AXIS_MAX = 50_000_000
_STRUCTURE = {"_ARRAY_DIMENSIONS", "_eopf_attrs", "coordinates", "dimensions", "dtype", "grid_mapping", "fill_value"}
_PREFIXES = ("proj:", "eopf_")
_COUNTS = {"digital_counts", "digital_number", "digital_numbers", "DN", "dn"}
_S2_BAND = re.compile(r"b(?P<number>\d\d|8a)$")
_OLCI_BAND = re.compile(r"oa(?P<number>\d\d)_(?:radiance|reflectance)$")
_RESOLUTION = re.compile(r"r(?P<metres>\d+)m$")
_POLARISATION = re.compile(r"_(?P<polarisation>HH|HV|VV|VH)(?:_|$)", re.IGNORECASE)
_S2_TYPES = {"S02MSIL1C": "S2MSI1C", "S02MSIL2A": "S2MSI2A"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    source: Source
    masked: bool
    scaled: bool
    chunks: str | dict[str, int] | None
    said: Mapping[str, Any]
    """`properties` of the STAC item at the root."""
    empty: bool
    """No array has a chunk, although they should."""


def open_eopf(
    src: Container | Source | str | os.PathLike[str],
    *,
    masked: bool = True,
    scaled: bool = True,
    chunks: str | dict[str, int] | None = "auto",
) -> xr.DataTree:
    """Open a product in EOPF Zarr format, version 2 or 3.

    Parameters
    ----------
    src
        A `.zarr` folder or a zip of one, as a path or container; or a `Source` of keys, such as an address, which needs
        consolidated metadata.
    masked, scaled, chunks
        As of `open_product`.

    Returns
    -------
    xarray.DataTree
        Groups as stored. A product without any chunk opens, with `chunk_note` at the root; reading its arrays raises
        IncompleteProduct. In any other, a chunk that is not there is the fill value, as Zarr has it; `chunk_note` of the
        variable counts them, where the files can be listed.

    Raises
    ------
    IncompleteProduct
        No metadata; or not consolidated, where the files cannot be listed.
    DamagedProduct
        Metadata, or the chunks of a coordinate, are not what Zarr writes.
    UnsupportedProduct
        A codec or type of number that is not read; several Zarr folders.
    """
    source = _source(src)
    found = groups(source)
    root = found[""]
    item = _object(root.attributes.get("stac_discovery")) or _object(root.attributes)
    arrays = [array for group in found.values() for array in group.arrays.values()]
    if not arrays:
        raise IncompleteProduct(f"{source.uri} has no arrays.")
    empty = any(array.files for array in arrays) and not any(array.stored is None or array.stored for array in arrays)
    wanted = _Wanted(source, masked, scaled, chunks, _object(item.get("properties")), empty)
    datasets = _datasets(wanted, found)
    datasets["/"] = datasets.get("/", xr.Dataset())
    datasets["/"].attrs = _root_attributes(wanted, item, datasets["/"].attrs)
    datasets["/"].encoding |= _kept(root.attributes)
    return to_tree(datasets, source.uri)


def _source(src: Container | Source | str | os.PathLike[str]) -> Source:
    from extenso_nb.readers.opening import open_container

    container = open_container(src) if isinstance(src, str | os.PathLike) else src
    return container if isinstance(container, Source) else Members(container, root_of(container))


# --- groups ----------------------------------------------------------------------------------------------------------
def _datasets(wanted: _Wanted, found: dict[str, Group]) -> dict[str, xr.Dataset]:
    """All groups by path. Their axes are read at once: each may be a request."""
    variables = {
        path: {name: _variable(wanted, item) for name, item in group.arrays.items()} for path, group in found.items()
    }
    axes = [(path, name) for path, items in variables.items() for name, item in items.items() if item.dims == (name,)]
    with ThreadPoolExecutor(8, thread_name_prefix="extenso-zarr") as pool:
        values = list(pool.map(lambda at: _axis(variables[at[0]][at[1]]), axes))
    absent: dict[str, list[str]] = {}
    for (path, name), read in zip(axes, values, strict=True):
        if read is None:
            absent.setdefault(path, []).append(name)
            del variables[path][name]
        else:
            variables[path][name] = read
    return {
        f"/{path}": _dataset(wanted, path, group, variables[path], absent.get(path, []))
        for path, group in found.items()
    }


def _axis(item: xr.Variable) -> xr.Variable | None:
    """A coordinate with its values; None where its chunks are not there. No values are made up for it."""
    try:
        return item.copy(data=np.asarray(item.values))
    except IncompleteProduct:
        return None


def _dataset(
    wanted: _Wanted, path: str, group: Group, variables: dict[str, xr.Variable], absent: list[str]
) -> xr.Dataset:
    attributes = _plain(group.attributes)
    if (match := _RESOLUTION.search(path)) is not None:
        attributes["nominal_resolution"] = f"{match['metres']} m"
    place, note = _place(wanted, group, variables)
    variables |= place
    absent = [name for name in absent if name not in variables]
    if absent:
        attributes["chunk_note"] = f"Without values, since their chunks are not stored: {', '.join(absent)}."
    if note:
        attributes["grid_note"] = note
    names = _coordinates(group, variables)
    for name, item in variables.items():
        if "spatial_ref" in variables and name not in names and {"y", "x"} <= set(item.dims):
            item.encoding["grid_mapping"] = "spatial_ref"
    try:
        coords = {name: variables[name] for name in names}
        dataset = xr.Dataset({name: item for name, item in variables.items() if name not in coords}, coords, attributes)
        return rechunk(dataset, wanted.chunks)
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
    raise DamagedProduct(f"The arrays of /{path} in {wanted.source.uri} do not fit together: {reason}.", member=path)


def _coordinates(group: Group, variables: Mapping[str, xr.Variable]) -> set[str]:
    """Dimensions, and what arrays of the group name as their coordinates."""
    named = {"spatial_ref", "latitude", "longitude"}
    for item in group.arrays.values():
        for text in (
            item.attributes.get("coordinates"),
            _object(item.attributes.get("_eopf_attrs")).get("coordinates"),
        ):
            named |= set(text.split()) if isinstance(text, str) else set(_texts(text))
    named |= {name for name, item in variables.items() if item.dims == (name,)}
    return named & variables.keys()


def _place(
    wanted: _Wanted, group: Group, variables: dict[str, xr.Variable]
) -> tuple[dict[str, xr.Variable], str | None]:
    """`spatial_ref` of a group on a map grid, and its axes where these are not stored; and a note where things disagree."""
    from pyproj.exceptions import CRSError

    from extenso_nb.readers.sentinel2 import spatial_ref

    if "spatial_ref" in variables:
        return {}, None
    said = next((item.attributes for item in group.arrays.values() if _crs(item.attributes)), {})
    crs = _crs(said) or (_crs(wanted.said) if {"x", "y"} <= variables.keys() else None)
    sizes = {dim: size for item in variables.values() for dim, size in item.sizes.items()}
    if crs is None or not {"x", "y"} <= sizes.keys():
        return {}, None
    transform, note = _transform(said), None
    found: dict[str, xr.Variable] = {}
    if transform is not None:
        axes = _axes(transform, sizes["y"], sizes["x"])
        found = {name: item for name, item in axes.items() if name not in variables}
        if any(not _same(variables[name], axes[name]) for name in axes if name in variables):
            note = "proj:transform and the coordinates x and y disagree; used are x and y."
            transform, found = None, {}
    for name in {"x", "y"} & variables.keys():
        variables[name].attrs |= _axis_attributes(name)
    try:
        return {**found, "spatial_ref": spatial_ref(crs, transform)}, note
    except CRSError:
        return found, f"{str(crs)[:40]!r}, which the store gives, is no coordinate reference system."


def _crs(attributes: Mapping[str, Any]) -> str | None:
    code, text = attributes.get("proj:epsg"), attributes.get("proj:code")
    if isinstance(code, int) and not isinstance(code, bool):
        return f"EPSG:{code}"
    wkt = attributes.get("proj:wkt2")
    return next((value for value in (text, wkt) if isinstance(value, str) and value), None)


def _transform(attributes: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The first six of an Affine; None for a grid that is turned or has none."""
    given = attributes.get("proj:transform")
    if not isinstance(given, list) or len(given) not in {6, 9}:
        return None
    try:
        parts = tuple(float(part) for part in given[:6])
    except (TypeError, ValueError, OverflowError):
        return None
    upright = parts[0] != 0 and parts[4] != 0 and parts[1] == parts[3] == 0
    return parts if upright and bool(np.isfinite(parts).all()) else None


def _axes(transform: tuple[float, ...], rows: int, columns: int) -> dict[str, xr.Variable]:
    """Pixel centres."""
    size_x, _, west, _, size_y, north = transform
    if rows * columns == 0 or max(rows, columns) > _AXIS_MAX:
        return {}
    return {
        "x": xr.Variable("x", west + size_x * (np.arange(columns) + 0.5), _axis_attributes("x")),
        "y": xr.Variable("y", north + size_y * (np.arange(rows) + 0.5), _axis_attributes("y")),
    }


def _axis_attributes(name: str) -> dict[str, str]:
    return {"units": "m", "standard_name": f"projection_{name}_coordinate", "axis": name.upper()}


def _same(stored: xr.Variable, computed: xr.Variable) -> bool:
    step = abs(float(computed.values[-1] - computed.values[0])) / max(1, computed.size - 1) or 1.0
    return stored.shape == computed.shape and bool(
        np.allclose(np.asarray(stored.values, dtype=np.float64), computed.values, rtol=0.0, atol=0.01 * step)
    )


# --- variables -------------------------------------------------------------------------------------------------------
def _variable(wanted: _Wanted, item: Array) -> xr.Variable:
    source = wanted.source
    dtype, fill = described(source, item)
    dims = _dims(item)
    is_axis = dims == (item.name,)
    if is_axis and item.shape[0] > _AXIS_MAX:
        raise DamagedProduct(f"{source.uri} has an axis {item.path} of {item.shape[0]} values; no product has that.")
    attributes = {**_plain(item.attributes), **_bands(wanted, item)}
    try:
        raw = attributes | _packing(item.attributes, dtype, fill)
        decoded = cf.decode(dtype, raw, masked=wanted.masked, scaled=wanted.scaled, integer=is_axis)
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error)[:200]
        raise DamagedProduct(
            f"The attributes of {item.path} in {source.uri} are wrong: {reason}.", member=item.path
        ) from None
    kept = {name: value for name, value in decoded.attributes.items() if name not in _STRUCTURE}
    if "fill_value" in decoded.attributes:  # of integers, as cf has it
        kept["fill_value"] = decoded.attributes["fill_value"]
    unpacked = isinstance(decoded.unpack, cf.Unpack) and (decoded.unpack.scale, decoded.unpack.offset) != (1.0, 0.0)
    if unpacked and str(kept.get("units")) in _COUNTS:
        kept["units"] = "1"
    if not is_axis and item.stored is not None and item.stored < item.files and not wanted.empty:
        absent = item.files - item.stored
        kept["chunk_note"] = f"{absent} of {item.files} chunks are not stored; Zarr has the fill value in their place."
    array = ZarrArray(source, item, dtype, decoded.unpack, strict=is_axis or wanted.empty)
    variable = xr.Variable(dims, indexing.LazilyIndexedArray(array), kept)
    sizes = chunk_sizes(item.shape, item.chunks)
    variable.encoding = {
        "source": source.uri,
        "access": "zarr",
        "preferred_chunks": dict(zip(dims, sizes, strict=True)),
        **decoded.encoding,
    }
    return variable


def _dims(item: Array) -> tuple[str, ...]:
    """Names of the dimensions, each different as xarray needs them (`bands`, `bands_2`); `dim_0` and so on without any."""
    given = item.attributes.get("_ARRAY_DIMENSIONS") if item.format == 2 else item.document.get("dimension_names")
    names = given if isinstance(given, list) and len(given) == len(item.shape) else [None] * len(item.shape)
    found: list[str] = []
    for place, name in enumerate(names):
        label = name if isinstance(name, str) and name else f"{item.name}_dim_{place}"
        count = 1
        while (label if count == 1 else f"{label}_{count}") in found:
            count += 1
        found.append(label if count == 1 else f"{label}_{count}")
    return tuple(found)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that are text, numbers or lists of them, without those that describe the store."""
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        if name in _STRUCTURE or name.startswith(_PREFIXES):
            continue
        if isinstance(value, str | int | float) or (
            isinstance(value, list) and value and all(isinstance(part, str | int | float) for part in value)
        ):
            found[name] = value
    meanings = found.get("flag_meanings")
    if isinstance(meanings, list):
        found["flag_meanings"] = " ".join("_".join(str(part).split()) for part in meanings)
    for name in ("unit", "data_units"):
        if name in found and "units" not in found:
            found["units"] = found.pop(name)
    if found.get("units") == "deg":
        found["units"] = "degree"
    return found


def _already(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> bool:
    """Whether the numbers were unpacked when they were written: floats, where `dtype` (that of the packed ones) is integer."""
    return dtype.kind == "f" and re.fullmatch(r"[<>|=]?[iu][1248]", str(attributes.get("dtype"))) is not None


def _packing(attributes: Mapping[str, Any], dtype: np.dtype[Any], fill: Any) -> dict[str, Any]:
    """Scale and "no value" as `cf.decode` reads them."""
    found: dict[str, Any] = {"scale_factor": 1.0, "add_offset": 0.0}
    fills: list[Any] = []
    if _already(attributes, dtype):
        found |= _unpacked_limits(attributes)
    else:
        found |= {name: attributes[name] for name in ("scale_factor", "add_offset") if name in attributes}
        fills = [
            _number(attributes[name], dtype)
            for name in ("_FillValue", "missing_value", "fill_value")
            if name in attributes
        ]
    if fill is not None and dtype.kind in "iuf" and fill != 0:
        fills.append(fill.item() if isinstance(fill, np.generic) else fill)
    numbers = [number for number in fills if isinstance(number, int | float) and number == number]  # noqa: PLR0124 - not NaN
    if numbers:
        found |= {"_FillValue": numbers[0], "missing_value": numbers[1:]}
    return found


def _unpacked_limits(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """`valid_min` and the like, which are given in packed numbers, as values."""
    try:
        scale, offset = float(attributes.get("scale_factor", 1.0)), float(attributes.get("add_offset", 0.0))
        limits = {name: attributes[name] for name in ("valid_min", "valid_max", "valid_range") if name in attributes}
        return {name: cf.plain(np.asarray(limit, dtype=np.float64) * scale + offset) for name, limit in limits.items()}
    except (TypeError, ValueError, OverflowError):
        return {}


def _number(value: Any, dtype: np.dtype[Any]) -> Any:
    """A fill value as a number: JSON has none for NaN, and xarray writes floats of Zarr 3 as base64."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return struct.unpack("<d", base64.b64decode(value, validate=True))[0] if dtype.kind == "f" else None
    except (binascii.Error, struct.error):
        return None


# --- bands -----------------------------------------------------------------------------------------------------------
def _bands(wanted: _Wanted, item: Array) -> dict[str, Any]:
    """By which names a variable is found, and what a band is."""
    steps = item.path.split("/")
    if "measurements" in steps:
        return _measured(wanted, steps)
    if item.name == "scl" and "flag_meanings" not in item.attributes:
        from extenso_nb.readers.sentinel2_metadata import SCENE_CLASSES

        classes = {"flag_values": list(SCENE_CLASSES), "flag_meanings": " ".join(SCENE_CLASSES.values())}
        return {"long_name": "scene classification", "band_id": "SCL", **classes}
    return {"band_id": item.name.upper()} if item.name in {"aot", "wvp", "cld", "snw", "tci"} else {}


def _measured(wanted: _Wanted, steps: list[str]) -> dict[str, Any]:
    from extenso_nb.readers import sentinel2_metadata, sentinel3_olci

    name = steps[-1]
    if "reflectance" in steps and (match := _S2_BAND.match(name)) is not None:
        band = f"B{match['number'].upper()}"
        if band in sentinel2_metadata.BANDS:
            common = sentinel2_metadata.BANDS[band].common_name
            return {"band_id": band, "common_name": common, **_wavelength(wanted, name)}
    if (match := _OLCI_BAND.match(name)) is not None and not {"orphan", "orphans"} & set(steps):
        band = f"Oa{match['number']}"
        _, _, label = sentinel3_olci.BANDS.get(band, (0.0, 0.0, None))
        return {"band_id": band, **({"common_name": label} if label else {}), **_wavelength(wanted, band.lower())}
    if name in {"grd", "slc"}:
        found = [match["polarisation"] for step in steps if (match := _POLARISATION.search(step)) is not None]
        return {"band_id": found[0].lower(), "polarisation": found[0].upper()} if found else {}
    return {}


def _wavelength(wanted: _Wanted, name: str) -> dict[str, Any]:
    """Centre and width in nm, of the STAC item: it gives some in nm, and some in micrometres."""
    listed = [*_objects(wanted.said.get("bands")), *_objects(wanted.said.get("eo:bands"))]
    band = next((entry for entry in listed if entry.get("name") == name), {})
    found: dict[str, Any] = {}
    for label, keys in (
        ("wavelength", ("center_wavelength", "eo:center_wavelength")),
        ("bandwidth", ("full_width_half_max", "eo:full_width_half_max")),
    ):
        number = next((band[key] for key in keys if isinstance(band.get(key), int | float)), 0)
        if 0 < number < 1e6:
            found[label] = round(number * (1000.0 if number < 10.0 else 1.0), 6)
    return found | {"wavelength_units": "nm"} if found else {}


# --- the product -----------------------------------------------------------------------------------------------------
def _root_attributes(wanted: _Wanted, item: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    from extenso_nb import products

    said, source = wanted.said, wanted.source
    identifier = products.strip(str(item.get("id") or ""))
    kind = _text(said, "product:type")
    platform = _text(said, "platform")
    attributes = {
        "product_type": _S2_TYPES.get(kind or "", kind),
        "platform": platform and platform[:-1].title() + platform[-1:].upper(),
        "instrument": (_text(said, "instrument") or _text(said, "instruments") or "").upper() or None,
        "processing_level": _text(said, "processing:level"),
        "sensor_mode": _text(said, "sar:instrument_mode"),
        "polarisation": " ".join(_texts(said.get("sar:polarizations"))) or None,
        "start_time": _moment(said, "start_datetime"),
        "stop_time": _moment(said, "end_datetime"),
        "orbit_number": _whole(said, "sat:absolute_orbit"),
        "relative_orbit_number": _whole(said, "sat:relative_orbit"),
        "orbit_direction": (_text(said, "sat:orbit_state") or "").lower() or None,
        "processing_baseline": _text(said, "eopf:baseline"),
        "cloud_cover": said.get("eo:cloud_cover") if isinstance(said.get("eo:cloud_cover"), int | float) else None,
        "footprint": _footprint(item.get("geometry")),
    }
    place = _Place(source.uri, source.product_id)
    named = product_attributes(place, {}, identifier=identifier, masked=wanted.masked, scaled=wanted.scaled)  # type: ignore[arg-type]
    # A name says in the words of the API what STAC says in its own: type, instrument, timeliness.
    found = {name: value for name, value in attributes.items() if value is not None}
    for name in ("product_type", "instrument", "platform", "processing_level", "sensor_mode", "polarisation"):
        if name in named:
            found.pop(name, None)
    kept = {name: value for name, value in given.items() if name in {"chunk_note", "grid_note"}}
    if wanted.empty:
        kept["chunk_note"] = (
            "No chunk of any array is stored: this product is metadata only, and reading its arrays fails."
        )
    return {
        **{name: value for name, value in named.items() if name != "history"},
        **found,
        **kept,
        "history": named["history"],
    }


@dataclass(frozen=True, slots=True)
class _Place:
    """The two things that `product_attributes` asks a container for."""

    uri: str
    product_id: str


def _kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The nested metadata of the store; no links, which could carry somebody's signature."""
    found = {name: _object(attributes.get(name)) for name in ("stac_discovery", "other_metadata")}
    item = {name: value for name, value in found["stac_discovery"].items() if name not in {"assets", "links"}}
    return {
        name: value for name, value in (("stac_discovery", item), ("other_metadata", found["other_metadata"])) if value
    }


def _footprint(geometry: Any) -> str | None:
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    from extenso_nb.aoi import valid_footprint

    if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return None
    try:
        return str(valid_footprint(shape(geometry)).wkt)
    except (AreaError, ShapelyError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        return None  # no reason to withhold the pixels


def _moment(said: Mapping[str, Any], name: str) -> str | None:
    """ISO, with `Z`."""
    text = _text(said, name)
    return text.replace("+00:00", "Z") if text and re.match(r"\d{4}-\d\d-\d\dT", text) else None


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) and value not in {"", "null", "None"} else None


def _whole(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> Iterable[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []
