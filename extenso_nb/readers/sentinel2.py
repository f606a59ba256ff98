"""Sentinel-2 L1C and L2A in SAFE layout (folder or zip) -> xarray.DataTree, lazily.

Groups: `/measurements/r10m|r20m|r60m` (reflectance, one variable a band), `/quality/r10m|r20m|r60m` (SCL, CLD, SNW, AOT, WVP,
TCI, where the product has them) and `/conditions/geometry` (angles of sun and view every 5 km).

Reflectance is ``(DN + offset) / quantification`` (Sentinel-2 Products Specification Document; offsets since processing
baseline 04.00). Both numbers, and those that mean "no data" and "saturated", are read from the metadata of the product,
the offset band by band: never from its date, its baseline or a constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from extenso_nb.errors import DamagedProduct, IncompleteProduct, ProductIdError, UnsupportedProduct
from extenso_nb.readers.arrays import Image, ImageArray, Packing, chunk_sizes, probe
from extenso_nb.readers.conventions import conform
from extenso_nb.readers.sentinel2_metadata import (
    BANDS,
    Product,
    Tile,
    product_metadata,
    tile_metadata,
)

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["open_sentinel2"]

_MEMBER = re.compile(
    r"(?:^|.*_)(?P<field>B\d\d|B8A|TCI|SCL|AOT|WVP|CLD|SNW|CLDPRB|SNWPRB)(?:_(?P<metres>10|20|60)m)?\.[^./]+$"
)
_ALIASES = {"CLDPRB": "CLD", "SNWPRB": "SNW"}
_TRUE_COLOUR = ["red", "green", "blue"]
_LONG_NAMES = {
    "SCL": "scene classification",
    "CLD": "cloud probability",
    "SNW": "snow probability",
    "AOT": "aerosol optical thickness at 550 nm",
    "WVP": "scene-average water vapour column",
    "TCI": "true colour image",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the caller asked for, and what is known of the product."""

    container: Container
    product: Product | None
    tile: Tile | None
    level: str
    masked: bool
    scaled: bool
    missing: tuple[str, ...] = field(default=())


def open_sentinel2(
    container: Container, *, masked: bool = True, scaled: bool = True, chunks: str | dict[str, int] | None = "auto"
) -> xr.DataTree:
    """Open a Sentinel-2 L1C or L2A product.

    Parameters
    ----------
    container
        The product.
    masked
        NaN for the numbers that mean "no data" and "saturated"; makes the bands float32.
    scaled
        Reflectance (units 1) in place of digital numbers; makes the bands float32. With both False: uint16 as stored.
    chunks
        `"auto"`: dask chunks of whole tiles near 2048 x 2048; None: lazy without dask; or as of `Dataset.chunk`.

    Raises
    ------
    IncompleteProduct
        No image can be read, or the product metadata that `scaled` needs are not there.
    UnsupportedProduct
        A product of several tiles (before December 2016), or not in SAFE layout.
    DamagedProduct
        Metadata or an image cannot be read.
    """
    product = product_metadata(container)
    tile = tile_metadata(container)
    level = _level(container, product, tile)
    images, empty = _images(container)
    missing = _missing(product, images, empty)
    if not any(key[0] in BANDS for key in images):
        raise IncompleteProduct(
            f"{container.product_id} has no image of any band: {len(missing) or 'all'} are missing or empty.",
            missing_members=list(missing),
        )
    if scaled and product is None:
        raise IncompleteProduct(
            f"{container.product_id} has no MTD_MSI{level}.xml, so that its quantification and offsets are not known.",
            hint="Fetch the whole product, or pass scaled=False for its digital numbers.",
            member=f"MTD_MSI{level}.xml",
        )
    wanted = _Wanted(container, product, tile, level, masked, scaled, missing)
    groups = {"/": xr.Dataset(attrs=_attributes(wanted))}
    for metres in (10, 20, 60):
        for branch, chosen in (("measurements", True), ("quality", False)):
            members = {name: at for (name, size), at in images.items() if size == metres and (name in BANDS) is chosen}
            if members:
                groups[f"/{branch}/r{metres}m"] = _group(wanted, metres, members, chunks)
    if tile is not None and tile.sun is not None:
        groups["/conditions/geometry"] = _geometry(tile)
    return xr.DataTree.from_dict(conform(groups))


# --- members ---------------------------------------------------------------------------------------------------------
def _level(container: Container, product: Product | None, tile: Tile | None) -> str:
    level = (product.level if product else None) or (tile.level if tile else None)
    if level is None:
        raise UnsupportedProduct(
            f"{container.uri} has neither MTD_MSIL1C.xml, MTD_MSIL2A.xml nor MTD_TL.xml; it is not in SAFE layout.",
            hint="Products laid out otherwise (AWS tiles, COGs) open file by file with rioxarray.",
        )
    return level


def _images(container: Container) -> tuple[dict[tuple[str, int], str], list[str]]:
    """Members that are images, by (field, metres), and those that are there without bytes."""
    found: dict[tuple[str, int], str] = {}
    empty: list[str] = []
    granules = {name.split("/")[1] for name in container.names() if name.startswith("GRANULE/") and name.count("/") > 1}
    if len(granules) > 1:
        raise UnsupportedProduct(
            f"{container.product_id} has {len(granules)} tiles; products of several tiles (before December 2016) are not read.",
            hint="Order the single-tile product of the same time, or open one image with rioxarray.",
        )
    for name in container.names():
        folders = name.split("/")[:-1]
        match = _MEMBER.match(PurePosixPath(name).name)
        if match is None or folders[:1] != ["GRANULE"] or not {"IMG_DATA", "QI_DATA"} & set(folders):
            continue
        label = _ALIASES.get(match["field"], match["field"])
        if ("QI_DATA" in folders) != (label in {"CLD", "SNW"}):
            continue  # masks per band lie in QI_DATA under names of bands
        if container.is_empty(name):
            empty.append(name)
            continue
        found[label, int(match["metres"] or _native(label))] = name
    return found, empty


def _native(label: str) -> int:
    return BANDS[label].metres if label in BANDS else 10 if label == "TCI" else 20


def _missing(product: Product | None, images: dict[tuple[str, int], str], empty: Iterable[str]) -> tuple[str, ...]:
    """Members that the metadata list and that are not there or empty, without extension as the metadata have them."""
    there = {PurePosixPath(name).stem for name in images.values()}
    listed = product.images if product else ()
    absent = {name for name in listed if PurePosixPath(name).name not in there and _MEMBER.match(f"{name}.jp2")}
    return tuple(sorted(absent | {str(PurePosixPath(name).with_suffix("")) for name in empty}))


# --- groups ----------------------------------------------------------------------------------------------------------
def _group(wanted: _Wanted, metres: int, members: dict[str, str], chunks: str | dict[str, int] | None) -> xr.Dataset:
    expected = wanted.tile.grid(metres) if wanted.tile else None
    images = {name: probe(wanted.container, member, expected) for name, member in sorted(members.items())}
    first = next(iter(images.values()))
    for image in images.values():
        if (image.height, image.width, image.transform, image.crs) != (
            first.height,
            first.width,
            first.transform,
            first.crs,
        ):
            raise DamagedProduct(
                f"{first.member} and {image.member} in {wanted.container.uri} do not lie on the same grid.",
                hint="They are of one resolution by name; open them one by one with rioxarray.",
            )
    crs = first.crs or (wanted.tile.crs if wanted.tile else None)
    if crs is None or first.transform[:2] == (1.0, 0.0):
        raise IncompleteProduct(f"{first.member} in {wanted.container.uri} says nowhere where on Earth it lies.")
    coords = _grid_coords(first.transform, first.height, first.width, crs)
    if wanted.tile is not None and wanted.tile.time is not None:
        coords["time"] = _time(wanted.tile.time)
    elif wanted.product is not None and wanted.product.start is not None:
        coords["time"] = _time(wanted.product.start)
    variables = {name: _variable(wanted, name, image) for name, image in images.items()}
    if "TCI" in variables:
        coords["band"] = xr.Variable("band", _TRUE_COLOUR, {"long_name": "colour"})
    dataset = xr.Dataset(variables, coords, _group_attributes(wanted, metres, first, expected))
    if chunks is None:
        return dataset
    return dataset.chunk(chunk_sizes(first) if isinstance(chunks, str) else chunks)


def _group_attributes(wanted: _Wanted, metres: int, image: Image, expected: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {"nominal_resolution": f"{metres} m"}
    if expected is not None and (image.transform, (image.height, image.width)) != expected[1:]:
        rows, columns = expected[2]
        attributes["grid_note"] = (
            f"The files have {image.height} x {image.width} pixels of {image.transform[0]:.10g} m from "
            f"({image.transform[2]:.10g}, {image.transform[5]:.10g}); the metadata of the product say {rows} x {columns} of "
            f"{expected[1][0]:.10g} m from ({expected[1][2]:.10g}, {expected[1][5]:.10g}). Used is what the files say."
        )
    missing = [name for name in wanted.missing if _metres(name) == metres]
    if missing:
        attributes["missing_members"] = missing
    return attributes


def _metres(name: str) -> int | None:
    match = _MEMBER.match(f"{PurePosixPath(name).name}.jp2")
    return int(match["metres"] or _native(_ALIASES.get(match["field"], match["field"]))) if match else None


def _grid_coords(transform: tuple[float, ...], height: int, width: int, crs: str) -> dict[str, xr.Variable]:
    """Pixel centres, and the scalar `spatial_ref` as rioxarray and odc-geo read it."""
    size_x, _, west, _, size_y, north = transform
    along = {
        "units": "m",
        "standard_name": "projection_x_coordinate",
        "long_name": "easting of pixel centre",
        "axis": "X",
    }
    down = {
        "units": "m",
        "standard_name": "projection_y_coordinate",
        "long_name": "northing of pixel centre",
        "axis": "Y",
    }
    return {
        "x": xr.Variable("x", west + size_x * (np.arange(width) + 0.5), along),
        "y": xr.Variable("y", north + size_y * (np.arange(height) + 0.5), down),
        "spatial_ref": _spatial_ref(crs, transform),
    }


def _spatial_ref(crs: str, transform: tuple[float, ...] | None = None) -> xr.Variable:
    from pyproj import CRS

    system = CRS.from_user_input(crs)
    attributes = dict(system.to_cf())
    attributes["spatial_ref"] = attributes["crs_wkt"]
    if transform is not None:
        size_x, skew_x, west, skew_y, size_y, north = transform
        attributes["GeoTransform"] = " ".join(
            repr(float(part)) for part in (west, size_x, skew_x, north, skew_y, size_y)
        )
    return xr.Variable((), np.int64(0), attributes)


def _time(text: str) -> xr.Variable:
    moment = np.datetime64(text.removesuffix("Z"), "ns")
    return xr.Variable((), moment, {"standard_name": "time", "long_name": "sensing time of the tile"})


# --- variables -------------------------------------------------------------------------------------------------------
def _variable(wanted: _Wanted, name: str, image: Image) -> xr.Variable:
    if name in BANDS:
        attributes, packing = _band(wanted, name)
    elif name in {"AOT", "WVP"}:
        attributes, packing = _column(wanted, name)
    else:
        attributes, packing = _plain(wanted, name), None
    bands = 3 if name == "TCI" else 1
    if image.bands != bands:
        raise DamagedProduct(f"{image.member} in {image.source} has {image.bands} layers in place of {bands}.")
    array = ImageArray(image, packing)
    dims = ("y", "x") if image.bands == 1 else ("band", "y", "x")
    variable = xr.Variable(dims, indexing.LazilyIndexedArray(array), attributes)
    variable.encoding = _encoding(image, packing, wanted)
    return variable


def _encoding(image: Image, packing: Packing | None, wanted: _Wanted) -> dict[str, Any]:
    """How the file packs the values, and how they are read."""
    encoding: dict[str, Any] = {
        "source": image.source,
        "access": image.access,
        "grid_mapping": "spatial_ref",
        "preferred_chunks": {**({"band": image.bands} if image.bands > 1 else {}), **chunk_sizes(image)},
    }
    if packing is not None and wanted.masked:
        # Under a key of its own, where writing does not find it unasked. xr.concat keeps the encoding of its first array:
        # dates without and with an offset, packed by one offset, come back from netCDF 6.5536 too high or as holes; and
        # rioxarray writes a group to GeoTIFF unpacked but with the tags of the packing.
        stored: dict[str, Any] = {"dtype": image.dtype, "_FillValue": packing.invalid[0]}
        if wanted.scaled:
            scale = 1.0 / packing.quantification
            stored |= {"scale_factor": scale, "add_offset": packing.offset * scale}
        encoding |= {"_FillValue": np.float32(np.nan), "packing": stored}
    return encoding


def _packing(wanted: _Wanted, offset: float, quantification: float, invalid: tuple[int, ...]) -> Packing | None:
    if not wanted.masked and not wanted.scaled:
        return None
    return Packing(
        offset=offset if wanted.scaled else 0.0,
        quantification=quantification if wanted.scaled else 1.0,
        invalid=invalid if wanted.masked else (),
    )


def _band(wanted: _Wanted, name: str) -> tuple[dict[str, Any], Packing | None]:
    band, product = BANDS[name], wanted.product
    surface = wanted.level == "L2A"
    attributes: dict[str, Any] = {
        "long_name": f"{'surface' if surface else 'top-of-atmosphere'} reflectance in band {name}",
        "standard_name": f"{'surface' if surface else 'toa'}_bidirectional_reflectance",
        "units": "1",
        "band_id": name,
        "common_name": band.common_name,
    }
    if not wanted.scaled:
        attributes["long_name"] = f"digital number of {attributes['long_name']}"
        del attributes["standard_name"]
    if product is None:
        attributes["quantification_note"] = "unknown: the product has no MTD_MSI*.xml"
        return attributes, _packing(wanted, 0.0, 1.0, (0, 65535))
    if name in product.wavelengths:
        central, width = product.wavelengths[name]
        attributes |= {"wavelength": central, "bandwidth": width, "wavelength_units": "nm"}
    if not wanted.scaled:
        return attributes, _packing(wanted, 0.0, 1.0, product.invalid)
    offset, quantification = product.offset(name), product.quantification("reflectance")
    attributes |= {"quantification_value": quantification, "digital_number_offset": offset}
    return attributes, _packing(wanted, offset, quantification, product.invalid)


def _column(wanted: _Wanted, name: str) -> tuple[dict[str, Any], Packing | None]:
    units = "1" if name == "AOT" else "cm"
    attributes: dict[str, Any] = {"long_name": _LONG_NAMES[name], "units": units, "band_id": name}
    if not wanted.scaled:
        attributes |= {"long_name": f"digital number of {attributes['long_name']}", "units": "1"}
        invalid = wanted.product.invalid[:1] if wanted.product else (0,)
        return attributes, _packing(wanted, 0.0, 1.0, invalid)
    assert wanted.product is not None, "scaled needs product metadata, see open_sentinel2"
    quantification = wanted.product.quantification(name)
    attributes["quantification_value"] = quantification
    return attributes, _packing(wanted, 0.0, quantification, wanted.product.invalid[:1])


def _plain(wanted: _Wanted, name: str) -> dict[str, Any]:
    """Attributes of what is stored as it is: classes, percent, colours."""
    attributes: dict[str, Any] = {"long_name": _LONG_NAMES[name], "band_id": name}
    if name == "SCL":
        from extenso_nb.readers.sentinel2_metadata import SCENE_CLASSES

        classes = (wanted.product.classes if wanted.product else None) or SCENE_CLASSES
        attributes |= {
            "flag_values": np.array(list(classes), dtype=np.uint8),
            "flag_meanings": " ".join(classes.values()),
        }
    elif name in {"CLD", "SNW"}:
        attributes["units"] = "percent"
    return attributes


# --- conditions ------------------------------------------------------------------------------------------------------
def _geometry(tile: Tile) -> xr.Dataset:
    """Angles at the nodes of the 5 km grid, whose first node is the upper left corner of the tile."""
    assert tile.sun is not None
    step_y, step_x = tile.angle_step
    rows, columns = tile.sun.shape[1:]
    coords: dict[str, Any] = {"angle": ("angle", ["zenith", "azimuth"])}
    if tile.corner is not None:
        x, y = tile.corner
        along, down = ({"units": "m", "standard_name": f"projection_{axis}_coordinate"} for axis in "xy")
        coords["x"] = xr.Variable("x", x + step_x * np.arange(columns), along | {"long_name": "easting of node"})
        coords["y"] = xr.Variable("y", y - step_y * np.arange(rows), down | {"long_name": "northing of node"})
    if tile.crs is not None:
        coords["spatial_ref"] = _spatial_ref(tile.crs)
    degrees = {"units": "degree"}
    variables: dict[str, Any] = {
        "sun_angles": (("angle", "y", "x"), tile.sun, {"long_name": "zenith and azimuth of the sun", **degrees})
    }
    if tile.view is not None:
        coords["band"] = ("band", list(tile.view_bands))
        coords["detector"] = ("detector", np.array(tile.view_detectors, dtype=np.int64))
        variables["viewing_incidence_angles"] = (
            ("band", "detector", "angle", "y", "x"),
            tile.view,
            {"long_name": "zenith and azimuth of the line of sight, per band and detector", **degrees},
        )
    dataset = xr.Dataset(variables, coords)
    for array in dataset.data_vars.values() if tile.crs is not None else ():
        array.encoding["grid_mapping"] = "spatial_ref"
    return dataset


def _from_identifier(identifier: str) -> dict[str, Any]:
    """What the name of the product says, for products without the file that says it better."""
    from extenso_nb import products

    try:
        parsed = products.parse(identifier)
    except ProductIdError:
        return {}
    return {
        "platform": parsed.platform,
        "start_time": parsed.start.isoformat().replace("+00:00", "Z"),
        "relative_orbit_number": parsed.relative_orbit_number,
        "processing_baseline": parsed.processing_baseline,
        "tile_id": parsed.tile_id,
    }


def _attributes(wanted: _Wanted) -> dict[str, Any]:
    from extenso_nb._version import __version__

    container, product, tile = wanted.container, wanted.product, wanted.tile
    attributes: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "product_id": container.product_id,
        "product_type": f"S2MSI{wanted.level.removeprefix('L')}",
        "processing_level": wanted.level,
        "instrument": "MSI",
        "source_uri": container.uri,
    }
    attributes |= _from_identifier(container.product_id)
    if product is not None:
        attributes |= {name: value for name, value in product.attributes.items() if value is not None}
    if tile is not None:
        attributes |= {name: value for name, value in tile.attributes.items() if value is not None}
    if wanted.missing:
        attributes["missing_members"] = list(wanted.missing)
    attributes["history"] = (
        f"opened by extenso_nb {__version__}: open_product(masked={wanted.masked}, scaled={wanted.scaled})"
    )
    return {name: value for name, value in attributes.items() if value is not None}
