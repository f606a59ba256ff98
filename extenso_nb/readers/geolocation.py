"""Places of Sentinel-1 pixels: latitude, longitude and incidence angle of each, by range, zero Doppler and height.

No image is warped by control points. Heights are metres above the WGS 84 ellipsoid; without any, the ellipsoid itself. What
lies h metres higher than that is found h / tan(incidence) nearer to the radar.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from extenso_nb.errors import IncompleteProduct, InputError
from extenso_nb.readers.calibration import Radar, axes, radar_of
from extenso_nb.readers.ellipsoid import Floats
from extenso_nb.readers.range_doppler import Geometry
from extenso_nb.readers.terrain import HIGHEST, LOWEST, Callback, HeightLike, Terrain, loaded, number

__all__ = ["each_group", "first_image", "geolocate", "geometry_of", "has_images"]

_BLOCK = 1 << 20  # pixels whose places are in memory at a time


def geometry_of(array: xr.DataArray) -> Geometry:
    """The geometry of the image that pixels are of.

    Raises InputError where they are not those of a product, IncompleteProduct where the product does not tell it.
    """
    return _geometry(radar_of(array))


def _geometry(radar: Radar) -> Geometry:
    if radar.geometry is None:
        raise IncompleteProduct(
            f"{radar.product_id} does not say where {radar.member} lies: "
            f"{radar.wanting or 'its annotation is missing or empty'}.",
            hint="Fetch the whole product; control points, where it has some, are in conditions/gcp.",
            member=radar.member,
        )
    return radar.geometry


_PLACES: dict[str, dict[str, str]] = {
    "latitude": {"units": "degrees_north", "standard_name": "latitude"},
    "longitude": {"units": "degrees_east", "standard_name": "longitude"},
    "incidence_angle": {"units": "degree", "long_name": "incidence angle, to the normal of the ellipsoid"},
}


class _Located(BackendArray):
    """One of `_PLACES`, made for the window that is asked for."""

    def __init__(self, geometry: Geometry, line: Floats, pixel: Floats, which: int, height: Any) -> None:
        self.geometry, self.line, self.pixel, self.which, self.height = geometry, line, pixel, which, height
        self.shape = (len(line), len(pixel))
        self.dtype = np.dtype(np.float32 if which == 2 else np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Compute what an xarray indexer asks for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        whole = tuple(np.atleast_1d(part) if not isinstance(part, slice) else part for part in key)
        rows, columns = self.line[whole[0]], self.pixel[whole[1]]
        out = np.empty((len(rows), len(columns)), self.dtype)
        step = max(1, _BLOCK // max(1, len(columns)))
        heights = loaded(self.height[whole]) if isinstance(self.height, xr.Variable) else self.height
        for top in range(0, len(rows), step):
            part = slice(top, top + step)
            above = heights[part] if isinstance(heights, np.ndarray) else heights
            out[part] = self._places(rows[part], columns, above)
        picked = tuple(0 if not isinstance(part, slice) and np.ndim(part) == 0 else slice(None) for part in key)
        return np.asarray(out[picked])

    def _places(self, line: Floats, pixel: Floats, height: Any) -> Floats:
        if callable(height) or isinstance(height, Terrain):
            height = _meet(self.geometry, line, pixel, height)
        return self.geometry.spread(line, pixel, height)[self.which]


def _meet(geometry: Geometry, line: Floats, pixel: Floats, terrain: Terrain | Callback) -> Floats:
    """Heights at which the circles of range of pixels meet the terrain: regula falsi (Illinois); NaN where it is not known.

    terrain(place at h) - h is not negative at the lowest height and not positive at the highest, so a height between is
    found always; where there are several (layover), one of them.
    """
    if isinstance(terrain, Terrain):
        convert: Callback = terrain.project
        rough: Callback = terrain.beyond
        exact: Callback = terrain.at
    else:
        convert = _as_they_are
        rough = exact = functools.partial(_asked, terrain)
    places = geometry.columns(line, pixel, (LOWEST, HIGHEST), convert)

    def miss(height: Floats) -> Floats:
        return np.asarray(np.nan_to_num(rough(*places(height))) - height)

    shape = (len(line), len(pixel))
    low, high = np.full(shape, LOWEST), np.full(shape, HIGHEST)
    below, above = miss(low), miss(high)
    last = np.zeros(shape)
    for turn in range(60):
        found = low + below / (below - above) * (high - low)
        off = miss(found)
        open_ = np.abs(off) > 0.01  # m
        if turn > 12:  # at the edge of what is known there may be a cliff, and nothing to meet
            open_ &= np.isfinite(exact(*places(found)))
        if not open_.any():
            break
        up = off > 0
        above = np.where(up & (last > 0), above / 2, np.where(up, above, off))
        below = np.where(~up & (last < 0), below / 2, np.where(up, off, below))
        low, high = np.where(up, found, low), np.where(up, high, found)
        last = np.sign(off)
    known = np.isfinite(exact(*places(found)))
    return np.where(known & (np.abs(off) < 1), found, np.nan)


def _as_they_are(latitude: Floats, longitude: Floats) -> tuple[Floats, Floats]:
    return latitude, longitude


def _asked(terrain: Callback, latitude: Floats, longitude: Floats) -> Floats:
    """Heights by a function of the user's."""
    heights = np.asarray(terrain(latitude, (longitude + 180) % 360 - 180), np.float64)
    if heights.shape != latitude.shape:
        raise InputError(
            f"The function of heights gave {heights.shape} for places of the shape {latitude.shape}.",
            hint="It takes and returns arrays: latitude and longitude, degrees; heights, m.",
        )
    return heights


def geolocate(data: Any, dem: HeightLike | None = None) -> Any:
    """Latitude, longitude and incidence angle of every pixel, lazily.

    Parameters
    ----------
    data
        A Sentinel-1 product as `open_product` gives it, a group of it, or an array of pixels, whole or in part.
    dem
        Heights above the WGS 84 ellipsoid, m: one number; an array over line and pixel; an array of a map, over y and x
        with a CRS or over latitude and longitude; or a function of latitude and longitude (arrays, degrees). None: 0. Elevation
        models mostly have heights above the geoid: add its height above the ellipsoid.

    Returns
    -------
    xarray.DataTree or xarray.Dataset
        `latitude`, `longitude` (float64) and `incidence_angle` (float32), degrees, (line, pixel); of a tree by group.
        NaN where the heights have none.

    Raises
    ------
    InputError
        Not pixels of a product, or heights of no known form.
    IncompleteProduct
        The product does not tell its geometry.
    """
    if isinstance(data, xr.DataTree):
        return each_group(data, lambda dataset: geolocate(dataset, dem))
    array = data if isinstance(data, xr.DataArray) else first_image(data)
    geometry = geometry_of(array)
    line, pixel = axes(array)
    height, text = _height(dem, array)
    chunks = array.variable.chunks
    variables = {}
    for which, (name, notes) in enumerate(_PLACES.items()):
        lazy = indexing.LazilyIndexedArray(_Located(geometry, line, pixel, which, height))
        variable = xr.Variable(array.dims, lazy, {**notes, "height": text})
        variables[name] = variable if chunks is None else variable.chunk(dict(zip(array.dims, chunks, strict=True)))
    return xr.Dataset(variables, array.coords)


def _height(dem: HeightLike | None, array: xr.DataArray) -> tuple[Any, str]:
    """What `_Located` takes for heights, and how to say it."""
    if dem is None:
        return 0.0, "0 m above the ellipsoid"
    if isinstance(dem, xr.DataArray):
        if set(dem.dims) == {"line", "pixel"}:
            dem = dem.transpose("line", "pixel")
            same = all(name not in dem.coords or np.array_equal(dem[name], array[name]) for name in ("line", "pixel"))
            if dem.shape != array.shape or not same:
                raise InputError("The heights are not those of these lines and pixels.", hint="Select both alike.")
            return dem.variable, "as given for each pixel"
        return Terrain.of(dem), "of the given elevation model"
    if callable(dem):
        return dem, "of the given function"
    return number(dem), f"{float(dem):g} m above the ellipsoid"


def first_image(dataset: xr.Dataset) -> xr.DataArray:
    """The first image of a group. Raises InputError where it has none."""
    for array in dataset.data_vars.values():
        if "radar" in array.encoding:
            return array
    raise InputError(
        f"None of {', '.join(map(str, dataset.data_vars)) or 'its variables'} knows which Sentinel-1 image it is of.",
        hint="Pass what `open_product` or `calibrate` gives, or a part of it.",
    )


def each_group(tree: xr.DataTree, make: Callable[[xr.Dataset], xr.Dataset]) -> xr.DataTree:
    """A tree of what is made of each group that has images, by their paths below it. Raises InputError where none has."""
    top = tree.path.rstrip("/")
    made = {
        node.path.removeprefix(top) or "/": make(node.to_dataset())
        for node in tree.subtree
        if any("radar" in array.encoding for array in node.data_vars.values())
    }
    if not made:
        raise InputError(f"{tree.attrs.get('product_id', 'The tree')} has no Sentinel-1 images.")
    return xr.DataTree.from_dict({"/": made.pop("/", xr.Dataset()).assign_attrs(tree.attrs), **made})


def has_images(node: xr.DataTree) -> bool:
    """Whether a group has images that know what they are of."""
    return any("radar" in array.encoding for array in node.data_vars.values())
