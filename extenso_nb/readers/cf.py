"""What the numbers of a netCDF variable stand for: CF attributes -> values, with one rounding and under our control.

Rules, for a variable as stored and the caller's `masked` and `scaled`:

- Packed numbers become ``DN * scale_factor + add_offset``, computed in float64 and rounded once: to float32 where it can tell
  all stored numbers apart, else to float64 (32-bit latitudes in millionths of a degree).
- `_FillValue` and `missing_value` become NaN. Floats without either that are the default fill of netCDF become NaN, too.
- Flags (`flag_masks`, `flag_values`) and 64-bit integers stay integers; what means "no value" among them is the attribute
  `fill_value`. Integers without scale and "no value" stay as they are, too.
- Times ("... since ...") become datetime64[ns], always, and text `str`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["STRUCTURE", "Decoded", "Times", "Unpack", "decode", "plain", "plain_attributes"]

Array = np.ndarray[Any, Any]

_DEFAULT_FILL = 9.969209968386869e36  # of float and double, NC_FILL_FLOAT of the netCDF library
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_NANOSECONDS = {
    **dict.fromkeys(("days", "day", "d"), 86_400_000_000_000),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3_600_000_000_000),
    **dict.fromkeys(("minutes", "minute", "min"), 60_000_000_000),
    **dict.fromkeys(("seconds", "second", "sec", "s"), 1_000_000_000),
    **dict.fromkeys(("milliseconds", "millisecond", "msec", "ms"), 1_000_000),
    **dict.fromkeys(("microseconds", "microsecond", "us"), 1_000),
    **dict.fromkeys(("nanoseconds", "nanosecond", "ns"), 1),
}
_SINCE = re.compile(
    r"(?P<unit>[a-z]+)\s+since\s+(?P<day>\d{4}-\d{1,2}-\d{1,2})"
    r"(?:[T ]\s*(?P<time>\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d*)?)?))?\s*(?:Z|UTC|\+00:?00)?$",
    re.IGNORECASE,
)
_CALENDARS = {"gregorian", "standard", "proleptic_gregorian"}
STRUCTURE = {
    "DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "DIMENSION_LABELS",
    "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict", "_nc4_non_coord_",
}  # fmt: skip
"""Attributes by which netCDF-4 keeps its dimensions in HDF5."""
_PACKING = {"scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned"}
_VALID = ("valid_min", "valid_max", "valid_range")


# --- attributes ------------------------------------------------------------------------------------------------------
def plain(value: Any) -> Any:
    """An attribute as Python has it: text, number, or list of them. JSON can write it, but for NaN and infinity."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        parts = [plain(part) for part in value.ravel()]
        return parts[0] if len(parts) == 1 else parts
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return ""  # h5py.Empty: an attribute of no length


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a group or variable without those by which netCDF-4 keeps its dimensions in HDF5."""
    return {name: plain(value) for name, value in attributes.items() if name not in STRUCTURE}


# --- numbers ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Unpack:
    """Stored numbers -> values: ``DN * scale + offset``, NaN where DN is one of `fills`, as `dtype`."""

    dtype: str
    scale: float = 1.0
    offset: float = 0.0
    fills: tuple[float, ...] = ()
    unsigned: bool = False
    """The stored numbers are signed by type only (`_Unsigned`)."""

    def __call__(self, stored: Array) -> Array:
        """Values of an array as stored, of the same shape."""
        if self.unsigned:
            stored = stored.astype(stored.dtype.newbyteorder("=")).view(f"u{stored.dtype.itemsize}")
        if self.scale == 1.0 and self.offset == 0.0:
            values = stored.astype(self.dtype)
        else:
            wide = stored.astype(np.float64)
            wide *= self.scale
            wide += self.offset
            values = wide.astype(self.dtype)
        for fill in self.fills:
            values[stored == stored.dtype.type(fill)] = np.nan
        return values


@dataclass(frozen=True, slots=True)
class Times:
    """Stored numbers -> datetime64[ns]; NaT where a number is one of `fills`, not finite, or beyond 1677 to 2262."""

    unit: int
    """Nanoseconds."""
    epoch: int
    """Nanoseconds since 1970."""
    fills: tuple[float, ...] = ()
    dtype: str = "datetime64[ns]"

    def __call__(self, stored: Array) -> Array:
        """Times of an array as stored, of the same shape."""
        lost = ~np.isfinite(stored)
        for fill in self.fills:
            lost |= stored == stored.dtype.type(fill)
        limit = (2**63 - 1 - abs(self.epoch)) // self.unit
        lost |= np.abs(stored.astype(np.float64)) >= float(limit)
        if stored.dtype.kind == "f":
            numbers = np.where(lost, 0.0, stored).astype(np.float64)
            whole = np.floor(numbers)
            nanoseconds = whole.astype(np.int64) * self.unit + np.rint((numbers - whole) * self.unit).astype(np.int64)
        else:
            nanoseconds = np.where(lost, 0, stored).astype(np.int64) * self.unit
        moments = np.asarray(nanoseconds + self.epoch, dtype=np.int64).view("datetime64[ns]")
        moments[lost] = np.datetime64("NaT")
        return moments


def _times(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Nanoseconds of the unit, and those of the epoch since 1970; None for what is no time."""
    match = _SINCE.match(str(attributes.get("units", "")).strip())
    if match is None or dtype.kind not in "iuf":
        return None
    unit = _NANOSECONDS.get(match["unit"].lower())
    if unit is None or str(attributes.get("calendar", "standard")).lower() not in _CALENDARS:
        return None
    year, month, day = (int(part) for part in match["day"].split("-"))
    hour, minute, second = (float(part) for part in f"{match['time'] or '0:0'}:0".split(":")[:3])
    try:
        midnight = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D").astype("datetime64[ns]").astype(np.int64)
    except ValueError:
        return None
    return unit, int(midnight) + round((hour * 3600 + minute * 60 + second) * 1e9)


# --- variables -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Decoded:
    """How a variable is read: what to do with its numbers, its attributes, and what of the file goes into `.encoding`."""

    unpack: Unpack | Times | None
    """None: as stored."""
    attributes: dict[str, Any]
    encoding: dict[str, Any]


def decode(
    dtype: np.dtype[Any],
    attributes: Mapping[str, Any],
    *,
    masked: bool = True,
    scaled: bool = True,
    integer: bool = False,
) -> Decoded:
    """How to read a variable.

    Parameters
    ----------
    dtype
        As stored.
    attributes
        As stored; see `plain_attributes`.
    masked, scaled
        As of `open_product`.
    integer
        Keep integers that have a fill value, whatever the attributes say: dimensions and indices.
    """
    raw = {name: value for name, value in attributes.items() if name not in STRUCTURE}
    kept = {name: plain(value) for name, value in raw.items() if name not in _PACKING}
    kind = np.dtype(f"u{dtype.itemsize}") if _is_unsigned(dtype, raw) else dtype
    for name in ("flag_masks", "flag_values"):
        if name in kept and kind.kind in "iu":
            kept[name] = _numbers(kept[name], kind)
    if dtype.kind not in "iuf":
        return Decoded(None, kept, {})
    fills = _fills(raw, kind)
    times = _times(kept, dtype)
    if times is not None:
        del kept["units"]
        kept.pop("calendar", None)
        for name in _VALID:
            kept.pop(name, None)
        return Decoded(Times(*times, fills=fills), kept, {})
    scale, offset = _scale(raw)
    flag = integer or bool({"flag_masks", "flag_values", "flag_meanings"} & kept.keys())
    if kind.kind in "iu" and (scale, offset) == (1.0, 0.0) and (flag or kind.itemsize == 8):
        if fills:
            kept["fill_value"] = int(fills[0])
        return Decoded(_as_stored(dtype, kind), kept, {})
    return _number(dtype, kind, kept, fills if masked else (), (scale, offset) if scaled else (1.0, 0.0), fills)


def _number(
    dtype: np.dtype[Any],
    kind: np.dtype[Any],
    kept: dict[str, Any],
    fills: tuple[float, ...],
    packing: tuple[float, float],
    all_fills: tuple[float, ...],
) -> Decoded:
    scale, offset = packing
    if (scale, offset) == (1.0, 0.0) and not fills:
        if all_fills and kind.kind in "iu":
            kept["fill_value"] = int(all_fills[0])
        return Decoded(_as_stored(dtype, kind), kept, {})
    target = np.dtype(_target(kind, scale, offset))
    for name in _VALID:
        if name in kept and scale != 1.0:
            numbers = np.atleast_1d(np.asarray(kept[name], dtype=np.float64)) * scale + offset
            kept[name] = plain(numbers.astype(target))
    stored: dict[str, Any] = {"dtype": kind.newbyteorder("=").name}
    if fills:
        stored["_FillValue"] = kind.type(fills[0])
    if (scale, offset) != (1.0, 0.0):
        stored |= {"scale_factor": scale, "add_offset": offset}
    encoding = {"_FillValue": target.type(np.nan), "packing": stored} if fills else {"packing": stored}
    return Decoded(Unpack(target.str, scale, offset, fills, kind.kind != dtype.kind), kept, encoding)


def _as_stored(dtype: np.dtype[Any], kind: np.dtype[Any]) -> Unpack | None:
    """No change but, where it is needed, of byte order and sign."""
    if kind.kind == dtype.kind and dtype.isnative:
        return None
    return Unpack(kind.newbyteorder("=").str, unsigned=kind.kind != dtype.kind)


def _target(kind: np.dtype[Any], scale: float, offset: float) -> type[np.floating[Any]]:
    """float32 where it has room for all stored numbers."""
    if kind.kind == "f":
        return np.float64 if kind.itemsize == 8 else np.float32
    limits = np.iinfo(kind)
    steps = max(abs(int(limits.min)), int(limits.max)) + abs(offset / scale)
    return np.float32 if steps < 2**24 else np.float64


def _is_unsigned(dtype: np.dtype[Any], raw: Mapping[str, Any]) -> bool:
    return dtype.kind == "i" and str(plain(raw.get("_Unsigned", "false"))).lower() == "true"


def _numbers(value: Any, kind: np.dtype[Any]) -> Array:
    """Flags in the type of the variable; a mask of the highest bit may be written as a negative number."""
    bits = 2 ** (8 * kind.itemsize) - 1
    numbers = [int(number) & bits for number in (value if isinstance(value, list) else [value])]
    return np.array(numbers, dtype=f"u{kind.itemsize}").astype(kind.newbyteorder("="))


def _fills(raw: Mapping[str, Any], kind: np.dtype[Any]) -> tuple[float, ...]:
    """The numbers that stand for "no value", `_FillValue` first, as numbers of the variable's type."""
    found: list[float] = []
    for name in ("_FillValue", "missing_value"):
        for number in np.atleast_1d(np.asarray(raw.get(name, []))).ravel():
            if np.asarray(number).dtype.kind not in "iuf" or (kind.kind in "iu" and not np.isfinite(number)):
                continue
            if kind.kind in "iu":
                limits = np.iinfo(kind)
                whole = int(number) + (2 ** (8 * kind.itemsize) if kind.kind == "u" and number < 0 else 0)
                value: float = whole
                if not limits.min <= whole <= limits.max:
                    continue  # a number that the type cannot have marks nothing
            else:
                value = float(number)
                if kind.itemsize == 4 and abs(value) > _FLOAT32_MAX:
                    continue
            if value not in found and not np.isnan(value):
                found.append(value)
    if not found and kind.kind == "f":
        found.append(_DEFAULT_FILL)
    return tuple(found)


def _scale(raw: Mapping[str, Any]) -> tuple[float, float]:
    scale, offset = (plain(raw.get(name, default)) for name, default in (("scale_factor", 1.0), ("add_offset", 0.0)))
    try:
        numbers = float(scale), float(offset)
    except (TypeError, ValueError):
        return 1.0, 0.0
    return numbers if np.isfinite(numbers).all() and numbers[0] != 0.0 else (1.0, 0.0)
