"""SLSTR level 1 (RBT) and level 2 (LST, FRP, WST): how their files become groups.

Level 1 has two views on several grids: `/nadir/500m_a` (stripe A: S1 to S6), `500m_b`, `500m_c` (S4 to S6), `/nadir/1km` (S7 to
S9, F2), `/nadir/f1` (F1, a grid of its own), and the same below `/oblique`. A group has radiances (mW m-2 sr-1 nm-1) or
brightness temperatures (K) under the names of the channels, the exceptions and flags of its pixels, places and times as
coordinates, and

- `reflectance`: ``pi * L / (E0[detector] * cos(zenith of the sun))``, computed when it is read;
- `geometry`: angles between the tie points, also computed, and where exactly each pixel was seen (`cartesian_x`, `cartesian_y`);
- `indices` (scan, pixel, detector), `quality` (irradiance and others of the detectors), `orphans` (pixels without a place on
  the grid).

`/tie/nadir` and `/tie/oblique` have the angles at the tie points, `/tie/meteorology` the weather. All grids lie along the
ground track: metres to the right of it are ``x = (track_offset - column) * across``, and from the ascending node
``y = (start_offset + row) * along``, by which tie points are brought onto every grid.

Radiances are those of the product. ``adjusted`` applies the factors of EUMETSAT's notice, which is never done unasked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from extenso_nb.errors import InputError
from extenso_nb.readers.derived import Axis, Reflectance, TieAngle, derived, light
from extenso_nb.readers.hdf5 import Stored, variable
from extenso_nb.readers.sentinel3_product import (
    Grids,
    Product,
    Variables,
    each_file,
    renamed,
    resolution,
    row_time,
    split,
)

__all__ = ["ADJUSTMENTS", "CHANNELS", "adjusted", "arrange_fire", "arrange_level_1", "arrange_surface", "arrange_water"]

CHANNELS: dict[str, tuple[float, float, str | None]] = {
    "S1": (554.27, 19.26, "green"),
    "S2": (659.47, 19.25, "red"),
    "S3": (868.0, 20.6, "nir"),
    "S4": (1374.8, 20.8, "cirrus"),
    "S5": (1613.4, 60.68, "swir16"),
    "S6": (2255.7, 50.15, "swir22"),
    "S7": (3742.0, 398.0, None),
    "S8": (10854.0, 776.0, "lwir11"),
    "S9": (12022.5, 905.0, "lwir12"),
    "F1": (3742.0, 398.0, None),
    "F2": (10854.0, 776.0, None),
}
"""Channel -> centre and width, nm (Sentinel-3 SLSTR), and common name (STAC EO); the fire channels have none of their own."""

ADJUSTMENTS: dict[str, dict[str, float]] = {
    "nadir": {"S1": 0.97, "S2": 0.98, "S3": 0.98, "S5": 1.11, "S6": 1.13},
    "oblique": {"S1": 0.94, "S2": 0.95, "S3": 0.95, "S5": 1.04, "S6": 1.07},
}
"""Factors on the radiance that EUMETSAT recommends until the calibration is changed (notices S3.PN-SLSTR-L1.08 to L1.10)."""

_MEMBER = re.compile(r"(?P<stem>\w+)_(?P<grid>[abcift])(?P<view>[nox])$")
_GRIDS = {"a": "500m_a", "b": "500m_b", "c": "500m_c", "i": "1km", "f": "f1"}
_VIEWS = {"n": "nadir", "o": "oblique"}
_CHANNEL = re.compile(r"(?P<channel>[SF]\d)_(?P<kind>radiance|BT)$")
_IMAGE = ("rows", "columns")
_ORPHAN = re.compile(r"_orphan(?=_|$)")
_ANGLES: tuple[tuple[str, str, Literal["zenith", "azimuth"]], ...] = (
    ("solar", "solar_zenith_angle", "zenith"),
    ("solar", "solar_azimuth_angle", "azimuth"),
    ("sat", "sensor_zenith_angle", "zenith"),
    ("sat", "sensor_azimuth_angle", "azimuth"),
)


@dataclass(frozen=True, slots=True)
class _Place:
    """How a grid lies along the ground track."""

    track: float
    """Column on the ground track."""
    start: float
    """Row at the ascending node, negative."""
    across: float
    """Metres from column to column."""
    along: float

    def x(self, columns: int) -> xr.Variable:
        attributes = {"units": "m", "long_name": "distance to the right of the ground track, by the grid"}
        return xr.Variable("columns", (self.track - np.arange(columns)) * self.across, attributes)

    def y(self, rows: int) -> xr.Variable:
        attributes = {"units": "m", "long_name": "distance along the ground track from the ascending node, by the grid"}
        return xr.Variable("rows", (self.start + np.arange(rows)) * self.along, attributes)

    def among(self, ties: _Place) -> tuple[Axis, Axis]:
        """Where rows and columns lie among those of another grid."""
        down, side = self.along / ties.along, self.across / ties.across
        return Axis(down, self.start * down - ties.start), Axis(side, ties.track - self.track * side)


def _place(product: Product, stems: Iterable[str]) -> _Place | None:
    """Of the first file that tells."""
    for stem in stems:
        track, start = (product.attribute(stem, name) for name in ("track_offset", "start_offset"))
        steps = resolution(product.attribute(stem, "resolution"))
        if isinstance(track, int | float) and isinstance(start, int | float) and steps is not None:
            return _Place(float(track), float(start), *steps)
    return None


# --- level 1 ---------------------------------------------------------------------------------------------------------
def arrange_level_1(product: Product, grids: Grids) -> None:
    """The groups of SL_1_RBT."""
    sorted_stems: dict[tuple[str, str], dict[str, str]] = {}
    others = []
    for stem in product.files:
        match = _MEMBER.match(stem)
        if match is None:
            others.append(stem)
        else:
            sorted_stems.setdefault((match["view"], match["grid"]), {})[match["stem"]] = stem
    for view, view_name in _VIEWS.items():
        for grid, grid_name in _GRIDS.items():
            stems = sorted_stems.get((view, grid), {})
            if stems:
                times = sorted_stems.get(("n", grid), {}) | stems
                _Image(product, grids, f"/{view_name}/{grid_name}", view, grid, stems, times.get("time")).add()
    _ties(product, grids, "/tie")
    each_file(product, grids, others, prefix="/conditions")


@dataclass(frozen=True)
class _Image:
    """One grid in one view."""

    product: Product
    grids: Grids
    path: str
    view: str
    grid: str
    stems: Mapping[str, str]
    """What is in a file -> its stem: `S1_radiance` -> `S1_radiance_an`."""
    time_stem: str | None

    @property
    def suffix(self) -> str:
        return f"_{self.grid}{self.view}"

    def bare(self, name: str) -> str:
        """A variable's name without the grid and view."""
        return name.removesuffix(self.suffix)

    def add(self) -> None:
        """The group of the grid and those below it."""
        data, orphans = self._pixels()
        coords = self._coords(data)
        said = {"nominal_resolution": "500 m" if self.grid in "abc" else "1000 m"}
        self.grids.add(self.path, data, coords, said)
        like = next(iter(data.values()), None)
        angles = self._angles()
        geometry = self._geometry(like, angles)
        self.grids.add(f"{self.path}/reflectance", self._reflectances(angles), coords, said)
        self.grids.add(f"{self.path}/geometry", geometry, coords)
        self.grids.add(f"{self.path}/indices", self._whole("indices"), coords)
        self.grids.add(f"{self.path}/quality", self._apart(self._quality(), data))
        self.grids.add(f"{self.path}/orphans", self._apart(orphans, data))

    def _pixels(self) -> tuple[Variables, Variables]:
        """Channels, exceptions and flags on the grid, and all orphans."""
        data: Variables = {}
        orphans: Variables = {}
        for kind, stem in self.stems.items():
            if kind == "time" or "_quality" in kind:
                continue
            for name, stored in self.product.variables(stem).items():
                label = self.bare(name)
                if _ORPHAN.search(name):
                    orphans[self.bare(_ORPHAN.sub("", name))] = self._value(stored, self.bare(_ORPHAN.sub("", name)))
                elif kind not in {"geodetic", "cartesian", "indices"} and stored.dims == _IMAGE:
                    match = _CHANNEL.match(label)
                    data[match["channel"] if match else label] = self._value(stored, label)
        return {name: data[name] for name in sorted(data, key=_order)}, orphans

    def _value(self, stored: Stored, label: str) -> xr.Variable:
        item, match = self.product.value(stored), _CHANNEL.match(label)
        if match is None:
            return renamed(item, stored.name)
        return renamed(item, stored.name, view=_VIEWS[self.view], **_channel_attributes(match["channel"]))

    def _coords(self, data: Variables) -> dict[str, xr.Variable | None]:
        geodetic = self.stems.get("geodetic", "")
        found: dict[str, xr.Variable | None] = {
            name: self.product.coordinate(geodetic, f"{name}{self.suffix}")
            for name in ("latitude", "longitude", "elevation")
        }
        if self.time_stem is not None:
            found["time"] = row_time(self.product.coordinate(self.time_stem, f"time_stamp_{self.grid}"))
        place = _place(self.product, self.stems.values())
        like = next(iter(data.values()), None)
        times = found.get("time")
        if times is not None and like is not None and times.shape[0] != like.sizes["rows"]:
            del found["time"]  # the file of the nadir view, of another length
        if place is not None and like is not None:
            found |= {"y": place.y(like.sizes["rows"]), "x": place.x(like.sizes["columns"])}
        return found

    def _whole(self, kind: str) -> Variables:
        """The variables of a file that are on the grid."""
        stored = self.product.variables(self.stems.get(kind, ""))
        return {
            self.bare(name): renamed(self.product.value(item), name)
            for name, item in stored.items()
            if not _ORPHAN.search(name) and item.dims == _IMAGE
        }

    def _quality(self) -> Variables:
        return {
            self.bare(name): renamed(self.product.value(item), name)
            for kind, stem in self.stems.items()
            if "_quality" in kind
            for name, item in self.product.variables(stem).items()
        }

    def _apart(self, items: Variables, image: Variables) -> Variables:
        """Variables for a group below the grid's: a dimension of the same name and another size gets a name of its own."""
        sizes = {dim: size for item in image.values() for dim, size in item.sizes.items()}
        seen: dict[Any, int] = {}
        found: Variables = {}
        for name, item in items.items():
            names = {
                dim: f"{name}_{dim}" for dim, size in item.sizes.items() if sizes.get(dim, seen.get(dim, size)) != size
            }
            found[name] = _with_dims(item, names) if names else item
            seen |= {dim: size for dim, size in item.sizes.items() if dim not in names}
        return found

    # -- computed ----------------------------------------------------------------------------------------------------
    def _angles(self) -> dict[str, TieAngle]:
        image, ties = (
            _place(self.product, self.stems.values()),
            _place(self.product, (f"geometry_t{self.view}", "geodetic_tx")),
        )
        if image is None or ties is None:
            return {}
        rows, columns = image.among(ties)
        return dict(_tie_angles(self.product, self.view, rows, columns))

    def _geometry(self, like: xr.Variable | None, angles: Mapping[str, TieAngle]) -> Variables:
        found = {f"cartesian_{name}": item for name, item in self._whole("cartesian").items()}
        like = like if like is not None else next(iter(found.values()), None)
        return found | (_angle_variables(angles, like) if like is not None else {})

    def _reflectances(self, angles: Mapping[str, TieAngle]) -> Variables:
        sun, found = angles.get("solar_zenith_angle"), {}
        detector = self.product.stored(self.stems.get("indices", ""), f"detector{self.suffix}")
        if sun is None or detector is None:
            return {}
        index = light(_known_detector(detector))
        for channel in CHANNELS:
            stored = self.product.stored(self.stems.get(f"{channel}_radiance", ""), f"{channel}_radiance{self.suffix}")
            flux = self.product.stored(
                self.stems.get(f"{channel}_quality", ""), f"{channel}_solar_irradiance{self.suffix}"
            )
            if stored is None or flux is None or stored.shape != detector.shape:
                continue
            radiance = variable(stored)
            attributes = {
                "long_name": f"top-of-atmosphere reflectance in channel {channel}, {_VIEWS[self.view]} view",
                "standard_name": "toa_bidirectional_reflectance",
                "units": "1",
                "view": _VIEWS[self.view],
                **{key: value for key, value in _channel_attributes(channel).items() if value is not None},
            }
            compute = Reflectance(light(radiance), sun, index, light(variable(flux)))
            found[channel] = derived((stored.shape[0], stored.shape[1]), _IMAGE, compute, attributes, radiance)
        return found


def _known_detector(stored: Stored) -> xr.Variable:
    """Detectors as stored; the fill value is beyond the last detector, or negative, and so is none."""
    return variable(stored, masked=False, integer=True)


def _with_dims(item: xr.Variable, names: Mapping[Any, str]) -> xr.Variable:
    encoding = dict(item.encoding)
    preferred = encoding.get("preferred_chunks", {})
    result = xr.Variable([names.get(dim, dim) for dim in item.dims], item._data, item.attrs)  # noqa: SLF001 - stays lazy
    result.encoding = encoding | {"preferred_chunks": {names.get(dim, dim): size for dim, size in preferred.items()}}
    return result


def _channel_attributes(channel: str) -> dict[str, Any]:
    centre, width, common = CHANNELS.get(channel, (None, None, None))
    units = "nm" if centre is not None else None
    return {
        "band_id": channel,
        "common_name": common,
        "wavelength": centre,
        "bandwidth": width,
        "wavelength_units": units,
    }


def _order(name: str) -> tuple[int, str]:
    return (0 if name in CHANNELS else 1, name)


def _tie_angles(product: Product, view: str, rows: Axis, columns: Axis) -> Iterable[tuple[str, TieAngle]]:
    for body, name, part in _ANGLES:
        zenith, azimuth = (
            product.coordinate(f"geometry_t{view}", f"{body}_{which}_t{view}") for which in ("zenith", "azimuth")
        )
        if zenith is not None and azimuth is not None and zenith.ndim == 2 and zenith.shape == azimuth.shape:
            yield name, TieAngle(light(zenith), light(azimuth), rows, columns, part)


def _angle_variables(angles: Mapping[str, TieAngle], like: xr.Variable) -> Variables:
    return {
        name: derived(
            (like.sizes["rows"], like.sizes["columns"]),
            _IMAGE,
            angle,
            {
                "long_name": f"{name.replace('_', ' ')}, between the tie points",
                "standard_name": name,
                "units": "degrees",
            },
            like,
        )
        for name, angle in angles.items()
    }


# --- tie points ------------------------------------------------------------------------------------------------------
def _ties(
    product: Product, grids: Grids, path: str, *, geometry: str = "/{view}", weather: str = "/meteorology"
) -> None:
    places: dict[str, xr.Variable | None] = {
        name: product.coordinate("geodetic_tx", f"{name}_tx") for name in ("latitude", "longitude")
    }
    places |= {name: product.coordinate("cartesian_tx", f"{name}_tx") for name in ("x", "y")}
    for view, view_name in _VIEWS.items():
        angles = {
            name.removesuffix(f"_t{view}"): renamed(item, name)
            for name in product.variables(f"geometry_t{view}")
            if (item := product.coordinate(f"geometry_t{view}", name)) is not None
        }
        grids.add(path + geometry.format(view=view_name), angles, places)
    data, coords = split(product, product.variables("met_tx"))
    named = {name.removesuffix("_tx"): renamed(item, name) for name, item in data.items()}
    grids.add(path + weather, named, {**places, **coords})


# --- level 2 ---------------------------------------------------------------------------------------------------------
def arrange_surface(product: Product, grids: Grids) -> None:
    """The groups of SL_2_LST: the names of the level 1 groups do not fit what has a single grid, so they are as OLCI's."""
    suffix = "_in"
    places: dict[str, xr.Variable | None] = {
        name: product.coordinate("geodetic_in", f"{name}_in") for name in ("latitude", "longitude", "elevation")
    }
    places["time"] = row_time(product.coordinate("time_in", "time_stamp_i"))
    place = _place(product, (stem for stem in product.files if stem.endswith(suffix)))
    groups: dict[str, Variables] = {}
    targets = {
        "LST_in": "/measurements", "LST_ancillary_ds": "/conditions/auxiliary", "flags_in": "/quality",
        "indices_in": "/conditions/processing", "cartesian_in": "/conditions/image", "time_in": "/conditions/time",
    }  # fmt: skip
    for stem in product.files:
        if stem.startswith(("geodetic", "geometry", "met_", "cartesian_tx")):
            continue
        for name, stored in product.variables(stem).items():
            label, item = name.removesuffix(suffix), product.value(stored)
            target = targets.get(stem, f"/conditions/{stem}")
            if _ORPHAN.search(name):
                target, label = "/conditions/orphans", _ORPHAN.sub("", label)
            elif target == "/measurements" and (
                {"flag_masks", "flag_meanings"} & item.attrs.keys() or "uncertainty" in name
            ):
                target = "/quality"
            elif stem == "cartesian_in":
                label = f"cartesian_{label}"
            groups.setdefault(target, {})[label] = renamed(item, name)
    like = next((item for item in groups.get("/measurements", {}).values() if item.dims == _IMAGE), None)
    if place is not None and like is not None:
        places |= {"y": place.y(like.sizes["rows"]), "x": place.x(like.sizes["columns"])}
        ties = _place(product, ("geometry_tn", "geodetic_tx"))
        if ties is not None:
            angles = dict(_tie_angles(product, "n", *place.among(ties)))
            groups.setdefault("/conditions/image", {}).update(_angle_variables(angles, like))
    for path, data in groups.items():
        grids.add(path, data, places, {"nominal_resolution": "1000 m"})
    _ties(product, grids, "/conditions", geometry="/geometry")


def arrange_fire(product: Product, grids: Grids) -> None:
    """The groups of SL_2_FRP: one a file, with the places of its grid."""
    for stem in product.files:
        match = _MEMBER.match(stem)
        if match is not None and match["stem"] in {"geodetic", "cartesian", "geometry", "met"}:
            continue
        data, coords = split(product, product.variables(stem))
        grid = f"{match['grid']}{match['view']}" if match else "in"
        places = {
            name: product.coordinate(f"geodetic_{grid}", f"{name}_{grid}")
            for name in ("latitude", "longitude", "elevation")
        }
        fires = stem.startswith("FRP")
        grids.add(f"/{'measurements' if fires else 'conditions'}/{stem}", data, {**places, **coords})
    _ties(product, grids, "/conditions", geometry="/geometry_{view}")


def arrange_water(product: Product, grids: Grids) -> None:
    """The groups of SL_2_WST, one file of the form that GHRSST gives its level 2: one group, without its `time` of size 1."""
    stems = [stem for stem in product.files if "L2P" in stem]
    for stem in stems:
        stored = product.variables(stem)
        data: Variables = {}
        coords: Variables = {}
        for name, item in stored.items():
            place = name in {"lat", "lon"} or item.dims == (name,)
            drop = ("time",) if len(item.dims) > 1 or name == "time" else ()
            value = variable(
                item,
                masked=place or product.masked,
                scaled=place or product.scaled,
                integer=item.dims == (name,),
                drop=drop,
            )
            (coords if place else data)[{"lat": "latitude", "lon": "longitude"}.get(name, name)] = value
        path = "/measurements" if len(stems) == 1 else f"/measurements/{stem}"
        grids.add(path, data, coords, {"title": product.attribute(stem, "title"), "nominal_resolution": "1000 m"})
    each_file(product, grids, [stem for stem in product.files if stem not in stems], prefix="/conditions")


# --- options ---------------------------------------------------------------------------------------------------------
def adjusted(array: xr.DataArray) -> xr.DataArray:
    """A radiance or reflectance times the factor that EUMETSAT recommends for its channel and view (`ADJUSTMENTS`).

    Raises
    ------
    InputError
        It is not of a channel of SLSTR, or the factor has been applied.
    """
    channel, view = array.attrs.get("band_id"), array.attrs.get("view")
    if channel not in CHANNELS or view not in ADJUSTMENTS:
        raise InputError("This is no channel of SLSTR level 1.", hint='Pass one, such as tree["nadir/500m_a/S5"].')
    if "radiometric_adjustment" in array.attrs:
        raise InputError(f"{channel} has been adjusted already.")
    if array.attrs.get("units") == "K":
        raise InputError(f"{channel} is a temperature, for which there is no factor.")
    factor = ADJUSTMENTS[view].get(channel, 1.0)
    result: xr.DataArray = array * np.float32(factor)
    result.attrs = array.attrs | {"radiometric_adjustment": factor}
    return result
