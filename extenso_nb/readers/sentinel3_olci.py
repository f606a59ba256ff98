"""OLCI level 1 (EFR, ERR) and level 2 (LFR, LRR, WFR, WRR): how their files become groups.

`/measurements` has one variable a band, named `Oa01` to `Oa21` (radiance at level 1, reflectance over water at level 2) or as
in the file; `/measurements/reflectance` (level 1) the reflectance at the top of the atmosphere,
``pi * L / (E0[detector] * cos(SZA))``, computed when it is read; `/quality` flags and uncertainties; `/conditions/geometry` and
`/conditions/meteorology` what is given at tie points; `/conditions/image` the same angles on the image.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import xarray as xr

from extenso_nb.readers.derived import Axis, Reflectance, TieAngle, derived, light
from extenso_nb.readers.hdf5 import variable
from extenso_nb.readers.sentinel3_product import Grids, Product, Variables, renamed, row_time, split

__all__ = ["BANDS", "arrange"]

BANDS: dict[str, tuple[float, float, str | None]] = {
    "Oa01": (400.0, 15.0, None),
    "Oa02": (412.5, 10.0, None),
    "Oa03": (442.5, 10.0, "coastal"),
    "Oa04": (490.0, 10.0, "blue"),
    "Oa05": (510.0, 10.0, None),
    "Oa06": (560.0, 10.0, "green"),
    "Oa07": (620.0, 10.0, None),
    "Oa08": (665.0, 10.0, "red"),
    "Oa09": (673.75, 7.5, None),
    "Oa10": (681.25, 7.5, None),
    "Oa11": (708.75, 10.0, "rededge071"),
    "Oa12": (753.75, 7.5, "rededge075"),
    "Oa13": (761.25, 2.5, None),
    "Oa14": (764.375, 3.75, None),
    "Oa15": (767.5, 2.5, None),
    "Oa16": (778.75, 15.0, "rededge078"),
    "Oa17": (865.0, 20.0, "nir"),
    "Oa18": (885.0, 10.0, None),
    "Oa19": (900.0, 10.0, None),
    "Oa20": (940.0, 20.0, "nir09"),
    "Oa21": (1020.0, 40.0, None),
}
"""Band -> centre and width, nm (Sentinel-3 OLCI), and common name (STAC EO)."""

_BAND = re.compile(r"(?P<band>Oa\d\d)_(?:radiance|reflectance)(?P<rest>_\w+)?$")
_ELSEWHERE = {
    "geo_coordinates", "time_coordinates", "tie_geo_coordinates", "tie_geometries", "tie_meteo", "instrument_data",
    "removed_pixels",
}  # fmt: skip
_IMAGE = ("rows", "columns")
_ANGLES: tuple[tuple[str, str, Literal["zenith", "azimuth"], str, str], ...] = (
    ("SZA", "sun", "zenith", "solar_zenith_angle", "zenith of the sun"),
    ("SAA", "sun", "azimuth", "solar_azimuth_angle", "azimuth of the sun"),
    ("OZA", "view", "zenith", "sensor_zenith_angle", "zenith of the line of sight"),
    ("OAA", "view", "azimuth", "sensor_azimuth_angle", "azimuth of the line of sight"),
)


def arrange(product: Product, grids: Grids) -> None:
    """The groups of an OLCI product."""
    places = _places(product)
    said = _said(product)
    measured, quality = _bands(product)
    grids.add("/measurements", measured, places, said)
    angles = _angles(product, next(iter((*measured.values(), *quality.values())), None))
    if product.product_type.startswith("OL_1"):
        sun = angles.get("SZA")
        grids.add("/measurements/reflectance", _reflectances(product, sun), places, said)
    grids.add("/quality", quality, places, said)
    _conditions(product, grids, angles, places)


def _places(product: Product) -> dict[str, xr.Variable | None]:
    found = {name: product.coordinate("geo_coordinates", name) for name in ("latitude", "longitude", "altitude")}
    return {**found, "time": row_time(product.coordinate("time_coordinates", "time_stamp"))}


def _said(product: Product) -> dict[str, Any]:
    full = product.product_type[5:8] in {"EFR", "LFR", "WFR"}
    stem = next((stem for stem in product.files if stem not in _ELSEWHERE), "")
    return {
        "nominal_resolution": "300 m" if full else "1200 m",
        "resolution": product.attribute(stem, "resolution"),
    }


def _bands(product: Product) -> tuple[Variables, Variables]:
    """Measurements, and flags with uncertainties."""
    measured: Variables = {}
    quality: Variables = {}
    for stem in product.files:
        if stem in _ELSEWHERE:
            continue
        for name, stored in product.variables(stem).items():
            item, match = product.value(stored), _BAND.match(name)
            uncertain = name.endswith(("_unc", "_err"))
            flags = bool({"flag_masks", "flag_values", "flag_meanings"} & item.attrs.keys())
            target = quality if uncertain or flags else measured
            if match is None:
                target[name] = item
            elif target is measured:
                target[match["band"]] = renamed(item, name, **_band_attributes(match["band"]))
            else:
                target[f"{match['band']}{match['rest'] or ''}"] = renamed(item, name)
    return measured, quality


def _band_attributes(band: str) -> dict[str, Any]:
    centre, width, common = BANDS.get(band, (None, None, None))
    units = "nm" if centre is not None else None
    return {"band_id": band, "common_name": common, "wavelength": centre, "bandwidth": width, "wavelength_units": units}


# --- angles and reflectance ------------------------------------------------------------------------------------------
def _angles(product: Product, image: xr.Variable | None) -> dict[str, TieAngle]:
    """The angles that the tie points have, on the image."""
    ties = {name: product.coordinate("tie_geometries", name) for name, *_ in _ANGLES}
    found: dict[str, TieAngle] = {}
    if image is None or image.dims != _IMAGE:
        return found
    for name, kind, part, *_ in _ANGLES:
        zenith, azimuth = (ties["SZA"], ties["SAA"]) if kind == "sun" else (ties["OZA"], ties["OAA"])
        if zenith is None or azimuth is None or zenith.ndim != 2 or zenith.shape != azimuth.shape:
            continue
        rows, columns = (
            Axis(
                1.0
                / float(product.attribute("tie_geometries", f"{way}_subsampling_factor") or _step(size, ties_there)),
                0.0,
            )
            for way, size, ties_there in zip(("al", "ac"), image.shape, zenith.shape, strict=True)
        )
        found[name] = TieAngle(light(zenith), light(azimuth), rows, columns, part)
    return found


def _step(pixels: int, ties: int) -> float:
    """Pixels between tie points, where the file does not say: they reach from the first to the last pixel."""
    return max(1.0, (pixels - 1) / max(ties - 1, 1))


def _reflectances(product: Product, sun: TieAngle | None) -> Variables:
    detector = product.stored("instrument_data", "detector_index")
    irradiance = product.stored("instrument_data", "solar_flux")
    if sun is None or detector is None or irradiance is None or detector.dims != _IMAGE:
        return {}
    flux, index = variable(irradiance), light(variable(detector, masked=False, integer=True))
    found: Variables = {}
    for number, band in enumerate(BANDS):
        stored = product.stored(f"{band}_radiance", f"{band}_radiance")
        if stored is None or stored.shape != detector.shape or number >= flux.shape[0]:
            continue
        radiance = variable(stored)
        attributes = {
            "long_name": f"top-of-atmosphere reflectance in band {band}",
            "standard_name": "toa_bidirectional_reflectance",
            "units": "1",
            **{key: value for key, value in _band_attributes(band).items() if value is not None},
        }
        compute = Reflectance(light(radiance), sun, index, light(flux[number]))
        found[band] = derived((stored.shape[0], stored.shape[1]), _IMAGE, compute, attributes, radiance)
    return found


# --- conditions ------------------------------------------------------------------------------------------------------
def _conditions(
    product: Product, grids: Grids, angles: dict[str, TieAngle], places: dict[str, xr.Variable | None]
) -> None:
    ties = {name: product.coordinate("tie_geo_coordinates", name) for name in ("latitude", "longitude")}
    steps = {
        name: product.attribute("tie_geometries", name) for name in ("al_subsampling_factor", "ac_subsampling_factor")
    }
    geometry = {name: item for name in product.variables("tie_geometries") if (item := product.coordinate("tie_geometries", name))
                is not None}  # fmt: skip
    grids.add("/conditions/geometry", geometry, ties, steps)
    weather, levels = split(product, product.variables("tie_meteo"))
    if "reference_pressure_level" in weather:
        levels["reference_pressure_level"] = weather.pop("reference_pressure_level")
    grids.add("/conditions/meteorology", weather, {**ties, **levels}, steps)
    image: Variables = {}
    instrument: Variables = {}
    for name, stored in product.variables("instrument_data").items():
        (image if stored.dims == _IMAGE else instrument)[name] = variable(stored, integer=name == "detector_index")
    like = next((item for item in (*image.values(), *_bands(product)[0].values()) if item.dims == _IMAGE), None)
    for name, _, _, standard, long in _ANGLES:
        if name in angles and like is not None:
            attributes = {"long_name": f"{long}, between the tie points", "standard_name": standard, "units": "degrees"}
            image[name] = derived((like.shape[0], like.shape[1]), _IMAGE, angles[name], attributes, like)
    grids.add("/conditions/image", image, places)
    grids.add("/conditions/instrument", instrument)
    removed, where = split(product, product.variables("removed_pixels"))
    grids.add("/conditions/orphans", removed, where)
