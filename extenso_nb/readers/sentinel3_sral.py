"""SRAL levels 1 and 2: how the variables of their files become groups, one for each rate and band.

Level 2: `/01` (1 Hz), `/20_ku`, `/20_c`, `/20_plrm_ku` (20 Hz; the names of ESA's EOPF); level 1: `/l1b_echo_sar_ku`,
`/l1b_echo_plrm`, `/l1b_echo_lrm` and the like. A variable is named as in the file without what names its group:
`range_ocean_20_ku` is `range_ocean` in `/20_ku`, `range_ocean_01_ku` is `range_ocean_ku` in `/01`. Rates do not share times: each
has a dimension of its own.
"""

from __future__ import annotations

import re

import xarray as xr

from extenso_nb.readers.hdf5 import Stored, variable
from extenso_nb.readers.sentinel3_product import Grids, Product, Variables, renamed

__all__ = ["arrange"]

_LEVEL_2 = re.compile(r"(?P<what>.+?)_(?P<rate>01|20)(?P<band>(?:_[a-z]+)*)$")
_LEVEL_1 = re.compile(r"(?P<what>.+?)_(?P<group>l1(?:a|bs|b)_echo_\w+)$")
_RICHEST = ("enhanced_measurement", "standard_measurement", "reduced_measurement")
"""Files of level 2: what is in a later one is in an earlier one, too, with the same values."""
_PLACES = {"lat": "latitude", "lon": "longitude"}


def arrange(product: Product, grids: Grids) -> None:
    """The groups of a SRAL product."""
    stems = [stem for stem in _RICHEST if stem in product.files]
    stems += [stem for stem in product.files if stem not in stems]
    stored: dict[str, Stored] = {}
    for stem in stems:
        for name, item in product.variables(stem).items():
            stored.setdefault(name, item)
    axes = {name: item for name, item in stored.items() if item.dims == (name,)}
    groups: dict[str, Variables] = {}
    places: dict[str, Variables] = {}
    for name, item in stored.items():
        if name in axes:
            continue
        group, label = _named(name)
        if label in _PLACES:
            places.setdefault(group, {})[_PLACES[label]] = variable(item)
        else:
            groups.setdefault(group, {})[label] = renamed(product.value(item), name)
    if not groups:  # tracks without measurements
        _tracks(grids, axes, places)
    for group, data in groups.items():
        at = places.get(group) or places.get(group.replace("_plrm", ""), {})
        used = {dim for item in data.values() for dim in item.dims}
        grids.add(f"/{group}", data, {**at, **_axes(axes, used)}, {"title": product.attribute(stems[0], "title")})


def _tracks(grids: Grids, axes: dict[str, Stored], places: dict[str, Variables]) -> None:
    """Times and places as they are, of a product whose measurements have been left out."""
    for group, data in places.items():
        used = {dim for item in data.values() for dim in item.dims}
        grids.add(f"/{group}", data, _axes(axes, used))
    for name, item in axes.items():
        group = _named(name)[0]
        if name.startswith("time_") and group not in places:
            times = variable(item)
            grids.add(f"/{group}", {"time": renamed(times, name)}, _axes(axes, {name}))


def _axes(axes: dict[str, Stored], used: set[object]) -> dict[str, xr.Variable]:
    return {name: variable(item, integer=True) for name, item in axes.items() if name in used}


def _named(name: str) -> tuple[str, str]:
    """Group of a variable, and its name there."""
    match = _LEVEL_1.match(name)
    if match is not None:
        return match["group"], match["what"]
    match = _LEVEL_2.match(name)
    if match is None:
        return "other", name
    if match["rate"] == "01":
        return "01", match["what"] + match["band"]
    return f"20{match['band']}", match["what"]
