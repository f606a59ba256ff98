"""What CF and netCDF ask of attributes, where a product says it otherwise: units, standard names, flags, types, references.

Products use units that UDUNITS does not know (`deg`, `adimentional`, `dB`), standard names that CF does not have, flags of
another type than their variable, and names of variables that are in other files. `conform` says the same as CF says it, so that
what is opened is written by `to_netcdf` as it is. What is put into other words stays beside it, as `original_units` and the like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["STANDARD_NAMES", "UNITS", "conform", "writable"]

_ONE = (
    "-", "~", "adimensional", "adimensionnal", "adimentinoal", "adimentional", "digital_counts", "dimensionless",
    "fft power unit", "n/a", "na", "no unit", "none", "samples", "unitless",
)  # fmt: skip
UNITS = {
    **dict.fromkeys(_ONE, "1"),
    **dict.fromkeys(("deg", "degree (decimal)", "degrees (decimal)", "decimal degree", "decimal degrees"), "degree"),
    **dict.fromkeys(
        (f"{degree} clockwise from {line}" for degree in ("degree", "degrees") for line in ("range", "north")), "degree"
    ),
    "db": "0.1 lg(re 1)",
}
"""Units of products, lower case -> as UDUNITS spells them, where it does not know them; decibel is a tenth of log10 to it."""

STANDARD_NAMES: dict[str, str | None] = {
    "toa_upwelling_spectral_radiance": "toa_outgoing_radiance_per_unit_wavelength",
    "satellite_zenith_angle": "platform_zenith_angle",
    "satellite_azimuth_angle": "platform_azimuth_angle",
    "land_surface_temperature": "surface_temperature",
    "surface_temperature_standard_error": "surface_temperature standard_error",
    "atmosphere_mole_fraction_of_methane": "dry_atmosphere_mole_fraction_of_methane",
    "atmosphere_mole_content_of_sulfur_dioxide": None,
    "ultraviolet_aerosol_index": None,
    "unknown": None,
}
"""Standard names of products that CF does not have -> those that it has for the same; None: it has none."""

_UP = {"altitude", "height", "height_above_reference_ellipsoid", "height_above_mean_sea_level"}
_PLACES = {"latitude": "degrees_north", "longitude": "degrees_east"}
_PLAIN_DEGREES = {"", "deg", "degree", "degrees", "degree (decimal)", "degrees (decimal)", "decimal degrees"}
_VALID = ("valid_min", "valid_max", "valid_range")
_NAMES = ("bounds", "climatology", "grid_mapping")
_NAMES_BY_ROLE = ("cell_measures", "formula_terms")
_MEANING = re.compile(r"[^A-Za-z0-9_\-.+@]+")


def conform(groups: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """The groups of a tree, by path, with attributes that CF and netCDF can say; attributes are changed in place."""
    for dataset in groups.values():
        dataset.attrs = writable(dataset.attrs)
        corners = {str(item.attrs["bounds"]) for item in dataset.variables.values() if "bounds" in item.attrs}
        for name, item in dataset.variables.items():
            item.attrs = _attributes(str(name), item, dataset, described=str(name) not in corners)
            if item.dims == (name,) or name in corners:
                # xarray gives every float a fill value unless told otherwise; an axis has none, and corners that of their place
                item.encoding["_FillValue"] = None
    return dict(groups)


# --- what netCDF can hold --------------------------------------------------------------------------------------------
def writable(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as netCDF can hold them: text, numbers, and lists of either.

    None is left out, truth values become `"true"` and `"false"`, and what has parts (dict, lists of lists) JSON text.
    """
    return {str(name).replace("/", "_"): _writable(value) for name, value in attributes.items() if value is not None}


def _writable(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str) or (
        isinstance(value, int | float | np.number) and np.isreal(value) and not _too_large(value)
    ):
        return value
    if isinstance(value, np.ndarray):
        return value if value.ndim == 1 and value.dtype.kind in "iuf" and value.size else _writable(value.tolist())
    if isinstance(value, list | tuple):
        return _list([part for part in value if part is not None])
    return json.dumps(value, default=str) if isinstance(value, dict) else str(value)


def _too_large(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _list(parts: list[Any]) -> Any:
    """A list of texts or of numbers, as it is; JSON text for one that has parts or both."""
    if any(isinstance(part, dict | list | tuple | np.ndarray) for part in parts):
        return json.dumps(parts, default=str)
    simple = [_writable(part) for part in parts]
    if not simple:
        return ""
    texts = sum(isinstance(part, str) for part in simple)
    return simple if texts in {0, len(simple)} else json.dumps(parts, default=str)


# --- what CF asks of a variable --------------------------------------------------------------------------------------
def _attributes(name: str, item: xr.Variable, dataset: xr.Dataset, *, described: bool) -> dict[str, Any]:
    found = writable(item.attrs)
    _units(name, found)
    _standard_name(found)
    _types(item.dtype, found)
    _meanings(found)
    _references(found, {str(one) for one in dataset.variables})
    if name in {"x", "y"} and item.dims == (name,) and "spatial_ref" in dataset.variables:
        found.setdefault("standard_name", f"projection_{name}_coordinate")
    if found.get("standard_name") in _UP:
        found.setdefault("positive", "up")
    mapping = "grid_mapping_name" in found or "crs_wkt" in found
    if described and not mapping and not {"long_name", "standard_name"} & found.keys():
        found["long_name"] = re.sub(r"[_.]+", " ", name).strip() or name
    return found


def _replace(found: dict[str, Any], name: str, value: Any) -> None:
    """Another value for an attribute, or none; what the product says stays as `original_...`."""
    found.setdefault(f"original_{name}", found.pop(name))
    if value is not None:
        found[name] = value


def _units(name: str, found: dict[str, Any]) -> None:
    own = " ".join(str(found.get("units", "")).split())
    if name in _PLACES:
        if own.lower() in _PLAIN_DEGREES:
            if own:
                _replace(found, "units", None)
            found["units"] = _PLACES[name]
        found.setdefault("standard_name", name)
        return
    if "units" not in found:
        return
    known = UNITS.get(own.lower(), own)
    if own in {"degrees_north", "degrees_east"} and "direction" in f"{name} {found.get('long_name', '')}".lower():
        known = "degree"  # of a direction, which would make a latitude of it
    if own.startswith("Kg"):
        known = f"kg{own[2:]}"  # the only prefix of a unit that products write large
    if known != found["units"]:
        _replace(found, "units", known)


def _standard_name(found: dict[str, Any]) -> None:
    name, _, modifier = str(found.get("standard_name", "")).strip().partition(" ")
    if name in STANDARD_NAMES:
        known = STANDARD_NAMES[name]
        _replace(found, "standard_name", f"{known} {modifier}".strip() if known else None)


def _types(dtype: np.dtype[Any], found: dict[str, Any]) -> None:
    """Limits and flags in the type of the variable."""
    if dtype.kind not in "iuf":
        return
    for name in (*_VALID, "flag_values", "flag_masks"):
        if name not in found:
            continue
        try:
            numbers = np.atleast_1d(np.asarray(found[name])).astype(np.float64 if dtype.kind == "f" else object)
            typed = np.array([dtype.type(number) for number in numbers], dtype)
        except (TypeError, ValueError, OverflowError):
            _replace(found, name, None)
            continue
        several = np.ndim(found[name]) or name.startswith("flag") or len(typed) > 1
        found[name] = typed if several else typed[0]


def _meanings(found: dict[str, Any]) -> None:
    """One word a flag."""
    if "flag_meanings" not in found:
        return
    text = found["flag_meanings"]
    text = " ".join(map(str, text)) if isinstance(text, list) else str(text)
    count = next((len(found[name]) for name in ("flag_values", "flag_masks") if name in found), None)
    listed = [part for part in re.split(r"[,;]", text) if part.strip()]
    words = listed if "," in text and len(listed) == count else text.split()
    clean = [_MEANING.sub("_", re.sub(r"^\d+\s*[:=]\s*", "", word.strip())).strip("_") or "_" for word in words]
    if " ".join(clean) != found["flag_meanings"]:
        _replace(found, "flag_meanings", " ".join(clean))


def _references(found: dict[str, Any], there: set[str]) -> None:
    """Names of variables that are in the same group."""
    if "ancillary_variables" in found:
        named = [name for name in str(found["ancillary_variables"]).split() if name in there]
        if " ".join(named) != found["ancillary_variables"]:
            _replace(found, "ancillary_variables", " ".join(named) or None)
    for name in _NAMES:
        if name in found and str(found[name]) not in there:
            _replace(found, name, None)
    for name in _NAMES_BY_ROLE:
        if name in found and not {word for word in str(found[name]).split() if not word.endswith(":")} <= there:
            _replace(found, name, None)
