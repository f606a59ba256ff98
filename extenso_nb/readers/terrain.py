"""Heights of terrain, metres above the WGS 84 ellipsoid: the forms they are given in, and what they are at places."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from extenso_nb.errors import InputError
from extenso_nb.readers.ellipsoid import Floats
from extenso_nb.readers.interpolation import bilinear

__all__ = ["HIGHEST", "LOWEST", "Callback", "HeightLike", "Terrain", "loaded", "number", "transformer"]

Callback = Callable[[Floats, Floats], Any]
"""A function of latitudes and longitudes, degrees: of heights, m, where the user gives it."""
HeightLike = float | xr.DataArray | Callback
"""A height, heights of a map (x and y, or longitude and latitude), or a function of latitude and longitude."""

LOWEST, HIGHEST = -500.0, 9000.0
"""Of all terrain, m above the ellipsoid."""


@dataclass(frozen=True, eq=False)
class Terrain:
    """Heights of a map, bilinear between its nodes; NaN beyond them."""

    values: Any
    """(down, along): a Variable; None while they are on their way."""
    down: Floats
    """Coordinates of the nodes, ascending: y, or latitude."""
    along: Floats
    crs: str
    geographic: bool

    @classmethod
    def of(cls, heights: xr.DataArray) -> Terrain:
        """From an array with one pair of map coordinates. Raises InputError."""
        from pyproj import CRS

        for y, x in (("y", "x"), ("latitude", "longitude"), ("lat", "lon")):
            if {y, x} <= set(heights.dims):
                break
        else:
            raise InputError(
                f"Heights with the dimensions {heights.dims} are none of a map.",
                hint="Pass heights over y and x (with a CRS), over latitude and longitude, or over line and pixel.",
            )
        heights = heights.squeeze(
            [dim for dim, size in heights.sizes.items() if size == 1 and dim not in {y, x}], drop=True
        )
        if set(heights.dims) != {y, x}:
            raise InputError(f"Heights have the dimensions {heights.dims}; wanted are {y} and {x} only.")
        import rioxarray  # noqa: F401 - `.rio`

        crs = heights.rio.crs or (None if y == "y" else "EPSG:4326")
        if crs is None:
            raise InputError("Heights over y and x have no CRS.", hint='Set one: heights.rio.write_crs("EPSG:32631").')
        if min(heights.shape) < 2 or not {y, x} <= set(heights.coords):
            raise InputError(
                f"Heights of {heights.shape[0]} x {heights.shape[1]} nodes, or without coordinates, are none."
            )
        heights = heights.transpose(y, x)
        for name in (y, x):
            if heights[name][0] > heights[name][-1]:
                heights = heights.isel({name: slice(None, None, -1)})
            if not np.all(np.diff(heights[name]) > 0):
                raise InputError(f"The coordinates {name} of the heights neither ascend nor descend.")
        system = CRS.from_user_input(crs)
        down, along = (heights[name].values.astype(np.float64) for name in (y, x))
        return cls(heights.variable, down, along, str(system.to_string()), bool(system.is_geographic))

    def around(self, down: Floats, along: Floats) -> Terrain:
        """The part that holds places in the coordinates of the map; nothing is read."""
        rows, columns = _enclosing(self.down, down), _enclosing(self.along, along)
        return replace(self, values=self.values[rows, columns], down=self.down[rows], along=self.along[columns])

    def project(self, latitude: Floats, longitude: Floats) -> tuple[Floats, Floats]:
        """Coordinates on the map: down, along."""
        if self.geographic:
            middle = (self.along[0] + self.along[-1]) / 2
            return latitude, middle + (longitude - middle + 180) % 360 - 180
        along, down = transformer("EPSG:4326", self.crs).transform(longitude, latitude)
        return np.asarray(down), np.asarray(along)

    def at(self, down: Floats, along: Floats) -> Floats:
        """Heights at coordinates of the map."""
        part = self.around(down, along)
        nodes = loaded(part.values).astype(np.float64)
        return bilinear(nodes, _position(part.down, down), _position(part.along, along))

    def beyond(self, down: Floats, along: Floats) -> Floats:
        """Heights, of the nearest edge where there are none, for those who look for the way to where there are."""
        return self.at(np.clip(down, self.down[0], self.down[-1]), np.clip(along, self.along[0], self.along[-1]))


def _enclosing(nodes: Floats, wanted: Floats) -> slice:
    """The nodes around coordinates, two at least."""
    known = wanted[np.isfinite(wanted)]
    low, high = (known.min(), known.max()) if known.size else (nodes[0], nodes[0])
    first = int(np.clip(np.searchsorted(nodes, low) - 2, 0, len(nodes) - 2))
    return slice(first, int(np.clip(np.searchsorted(nodes, high) + 2, first + 2, len(nodes))))


def _position(nodes: Floats, wanted: Floats) -> Floats:
    """Index, with fraction, of coordinates between nodes; NaN outside.

    What misses the first or last node by rounding only lies on it: else a map on the grid of its own heights had no edges.
    """
    nearest = np.clip(wanted, nodes[0], nodes[-1])
    with np.errstate(invalid="ignore"):
        wanted = np.where(np.abs(wanted - nearest) <= 1e-6 * (nodes[1] - nodes[0]), nearest, wanted)
    return np.interp(wanted, nodes, np.arange(len(nodes)), np.nan, np.nan)


def loaded(variable: xr.Variable) -> npt.NDArray[Any]:
    """Load a part of a variable, in this thread: dask's workers must not wait for each other."""
    import dask

    with dask.config.set(scheduler="synchronous"):
        return np.asarray(variable.values)


@functools.lru_cache(maxsize=64)  # looking one up takes up to a second; each thread has its own behind it
def transformer(source: str, target: str) -> Any:
    """The pyproj transformer between two CRSs, always x (longitude) first."""
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def number(dem: Any) -> float:
    """A height that is one number, m above the ellipsoid. Raises InputError where it is none."""
    try:
        height = float(dem)
    except (TypeError, ValueError):
        height = float("nan")
    if not LOWEST * 100 < height < HIGHEST * 100:
        raise InputError(f"{dem!r} is no height.", hint="Pass metres above the ellipsoid, an array or a function.")
    return height
