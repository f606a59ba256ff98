"""SYN level 2: surface reflectance (SYN), vegetation (VGP, VG1, V10) and aerosol (AOD): how their files become groups.

SYN is on the grid of OLCI: `/measurements` has the bands of both instruments (`Oa01` .. `Oa21`, `S1N` .. `S6O`, nadir and
oblique) and the aerosol, `/quality` errors and flags. VGP, VG1 and V10 are on a grid of latitude and longitude:
`/measurements`, `/quality` (status), and on a coarser grid `/conditions/geometry` and `/conditions/atmosphere`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import xarray as xr

from extenso_nb.readers.hdf5 import Stored, variable
from extenso_nb.readers.sentinel3_olci import BANDS
from extenso_nb.readers.sentinel3_product import Grids, Product, Variables, each_file, renamed, row_time, split

__all__ = ["arrange_aerosol", "arrange_swath", "arrange_vegetation"]

_BAND = re.compile(r"(?:SDR_)?(?P<band>Oa\d\d|S\d[NO])(?P<rest>_err)?$")
_VEGETATION: dict[str, tuple[str, str, float]] = {
    "B0": ("B0", "blue", 450.0), "B2": ("B2", "red", 645.0), "B3": ("B3", "nir", 834.5), "MIR": ("MIR", "swir16", 1665.0),
}  # fmt: skip
"""Band -> its name, common name, and centre in nm, those of SPOT VEGETATION."""
_ANGLES = {"saa", "sza", "vaa", "vza"}
_AIR = {"ag", "og", "wvg"}
_IMAGE = ("rows", "columns")


def arrange_swath(product: Product, grids: Grids) -> None:
    """The groups of SY_2_SYN."""
    places: dict[str, xr.Variable | None] = {
        ours: product.coordinate("geolocation", theirs)
        for ours, theirs in (("latitude", "lat"), ("longitude", "lon"), ("altitude", "alt"))
    }
    stamps = product.coordinate("time", "time_stamp")
    places["time"] = row_time(stamps if stamps is not None else product.coordinate("time", "time"))
    measured: Variables = {}
    quality: Variables = {}
    others = []
    for stem in product.files:
        if stem.startswith("tiepoints") or "removed_pixel" in stem:
            others.append(stem)
        elif stem not in {"geolocation", "time"}:
            for name, stored in product.variables(stem).items():
                item, match = product.value(stored), _BAND.match(name)
                flags = bool({"flag_masks", "flag_values", "flag_meanings"} & item.attrs.keys()) or stem == "flags"
                label = f"{match['band']}{match['rest'] or ''}" if match else name
                wavelength, width, common = BANDS.get(label, (None, None, None))
                said = (
                    {"band_id": label, "wavelength": wavelength, "bandwidth": width, "common_name": common}
                    if match
                    else {}
                )
                target = quality if flags or name.endswith("_err") else measured
                target[label] = renamed(item, name, **said)
    said_of_all = {"nominal_resolution": "300 m"}
    grids.add("/measurements", measured, places, said_of_all)
    grids.add("/quality", quality, places, said_of_all)
    each_file(product, grids, others, prefix="/conditions")


def arrange_vegetation(product: Product, grids: Grids) -> None:
    """The groups of SY_2_VGP, SY_2_VG1 and SY_2_V10."""
    groups: dict[str, Variables] = {}
    coords: dict[str, dict[str, xr.Variable]] = {}
    for stem in product.files:
        lower = stem.lower()
        target = "/measurements"
        if lower in _ANGLES:
            target = "/conditions/geometry"
        elif lower in _AIR:
            target = "/conditions/atmosphere"
        for name, stored in product.variables(stem).items():
            if stored.dims == (name,) or name == "crs":
                coords.setdefault(target, {}).setdefault(
                    "spatial_ref" if name == "crs" else name, _coordinate(name, stored)
                )
                continue
            item = product.value(stored)
            flags = bool({"flag_masks", "flag_values", "flag_meanings"} & item.attrs.keys()) or lower == "sm"
            where = "/quality" if flags else target
            label, common, centre = _VEGETATION.get(name, (name, None, None))
            said = {"band_id": label, "common_name": common, "wavelength": centre} if common else {}
            item.attrs.pop("grid_mapping", None)
            item.encoding["grid_mapping"] = "spatial_ref"
            groups.setdefault(where, {})[label] = renamed(item, name, **said)
            if where != target:
                coords.setdefault(where, coords.setdefault(target, {}))
    for path, data in groups.items():
        grids.add(path, data, _with_crs(coords.get(path, {})), {"nominal_resolution": "1000 m"})


def _coordinate(name: str, stored: Stored) -> xr.Variable:
    item = variable(stored, integer=True)
    return xr.Variable((), 0, item.attrs) if name == "crs" else item


def _with_crs(coords: Mapping[str, xr.Variable]) -> dict[str, xr.Variable]:
    """The grid is WGS 84, whatever the `crs` of the file is written like."""
    from pyproj import CRS

    attributes: dict[str, Any] = dict(CRS.from_epsg(4326).to_cf())
    attributes["spatial_ref"] = attributes["crs_wkt"]
    return {**coords, "spatial_ref": xr.Variable((), 0, attributes)}


def arrange_aerosol(product: Product, grids: Grids) -> None:
    """The groups of SY_2_AOD and SL_2_AOD, one file."""
    if len(product.files) != 1:
        each_file(product, grids)
        return
    stem = next(iter(product.files))
    data, coords = split(product, product.variables(stem))
    quality = {
        name: item
        for name, item in data.items()
        if name.endswith(("_uncertainty", "_unc", "_err")) or {"flag_masks", "flag_meanings"} & item.attrs.keys()
    }
    measured = {name: item for name, item in data.items() if name not in quality}
    grids.add("/measurements", measured, coords, {"title": product.attribute(stem, "title")})
    grids.add("/quality", quality, coords)
