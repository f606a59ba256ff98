"""Pixels of a swath -> a regular grid of longitude and latitude: by area (gases, temperatures) or nearest (maps, flags).

A pixel is the quadrilateral of its four corners, its edges straight between them in longitude and the *sine* of latitude, where
equal areas are equal areas of the sphere. The area that a pixel and a cell of the grid have in common is exact: with
``x(y)`` along each edge, Green's theorem gives it as the sum over the edges of the integral of ``clamp(x(y), west, east) dy``
between the latitudes of the cell. Pixels over the antimeridian are taken on both sides; pixels around a pole reach up to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from extenso_nb.errors import InputError
from extenso_nb.readers.conventions import conform

__all__ = ["Grid", "overlaps", "regrid"]

Array = np.ndarray[Any, Any]
Bounds = tuple[float, float, float, float]

_CELLS_MAX = 200_000_000
_BLOCK = 200_000  # pixel-cell pairs that are worked on at once: stays in the cache of a processor
_LEAST = 1e-9  # share of a cell below which nothing covers it


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of equal degrees. East may be beyond 180: 170 to 190 crosses the antimeridian."""

    west: float
    south: float
    columns: int
    rows: int
    dx: float
    dy: float

    @property
    def longitude(self) -> Array:
        """Centres, degrees."""
        return np.asarray(self.west + self.dx * (np.arange(self.columns) + 0.5))

    @property
    def latitude(self) -> Array:
        """Centres, degrees, northward."""
        return np.asarray(self.south + self.dy * (np.arange(self.rows) + 0.5))

    @property
    def sines(self) -> Array:
        """Sines of the latitudes of the edges, (rows + 1)."""
        edges = np.clip(self.south + self.dy * np.arange(self.rows + 1), -90.0, 90.0)
        return np.asarray(np.sin(np.radians(edges)))

    @classmethod
    def of(cls, resolution: float | tuple[float, float], bounds: Bounds) -> Grid:
        """Cells from the south-west corner of `bounds` (west, south, east, north). Raises InputError where there are none."""
        dx, dy = _steps(resolution)
        west, south, east, north = (float(value) for value in bounds)
        if (
            not all(map(math.isfinite, (west, south, east, north)))
            or not -90 <= south < north <= 90
            or not -360 <= west <= 360
            or not -360 <= east <= 720
        ):
            raise InputError(f"bounds={bounds} are no area.", hint="Pass (west, south, east, north) in degrees.")
        while east <= west:
            east += 360.0
        if east - west > 360.0:
            raise InputError(f"bounds={bounds} go round the Earth more than once.")
        columns, rows = (
            max(1, round(span / step, 6).__ceil__()) for span, step in ((east - west, dx), (north - south, dy))
        )
        if columns * rows > _CELLS_MAX:
            raise InputError(
                f"{rows} x {columns} cells are too many.", hint="Pass smaller bounds or a larger resolution."
            )
        return cls(west, south, columns, rows, dx, dy)


def _steps(resolution: float | tuple[float, float]) -> tuple[float, float]:
    dx, dy = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    if not (math.isfinite(dx) and math.isfinite(dy) and dx > 0 and dy > 0):
        raise InputError(f"resolution={resolution} is no size of a cell.", hint="Pass degrees, such as 0.1.")
    return float(dx), float(dy)


# --- pixels as polygons ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Polygons:
    """Corners, (pixel, corner), counter-clockwise or not: x in degrees without a jump at 180, y the sine of latitude."""

    index: Array
    """Which pixel."""
    x: Array
    y: Array

    def placed(self, grid: Grid) -> Iterator[_Polygons]:
        """On the turn of the Earth that begins at the grid's west; once more for what goes on beyond its end."""
        low = self.x.min(axis=1)
        x = self.x - 360.0 * np.floor((low - grid.west) / 360.0)[:, None]
        yield _Polygons(self.index, x, self.y)
        beyond = x.max(axis=1) > grid.west + 360.0
        if beyond.any():
            yield _Polygons(self.index[beyond], x[beyond] - 360.0, self.y[beyond])


def _polygons(longitude: Array, latitude: Array) -> list[_Polygons]:
    """Pixels from corners (pixel, 4) in degrees, without those that have no place: the plain ones, and those around a pole."""
    good = np.isfinite(longitude).all(axis=1) & np.isfinite(latitude).all(axis=1)
    index = np.flatnonzero(good)
    lon, lat = longitude[good].astype(np.float64), latitude[good].astype(np.float64)
    steps = (np.roll(lon, -1, axis=1) - lon + 180.0) % 360.0 - 180.0
    x = lon[:, :1] + np.concatenate([np.zeros((len(lon), 1)), np.cumsum(steps[:, :-1], axis=1)], axis=1)
    y = np.sin(np.radians(lat))
    turn = np.rint(steps.sum(axis=1) / 360.0)
    plain = turn == 0
    found = [_Polygons(index[plain], x[plain], y[plain])]
    if not plain.all():
        x, y, turn = x[~plain], y[~plain], turn[~plain]
        pole = np.sign(y.mean(axis=1, keepdims=True))
        last = x[:, :1] + 360.0 * turn[:, None]
        around = np.concatenate([x, last, last, x[:, :1]], axis=1), np.concatenate([y, y[:, :1], pole, pole], axis=1)
        found.append(_Polygons(index[~plain], *around))
    return found


def _between(polygons: _Polygons, grid: Grid) -> tuple[Array, Array, Array, Array]:
    """First and one after the last column and row of the cells that a pixel may touch."""
    lat = np.degrees(np.arcsin(np.clip(polygons.y, -1.0, 1.0)))
    left = np.floor((polygons.x.min(axis=1) - grid.west) / grid.dx)
    right = np.ceil((polygons.x.max(axis=1) - grid.west) / grid.dx)
    # the arc sine is off by 1e-9 degrees near the poles; a cell too many costs nothing
    low = np.floor((lat.min(axis=1) - grid.south) / grid.dy - 1e-6)
    high = np.ceil((lat.max(axis=1) - grid.south) / grid.dy + 1e-6)
    limits = ((left, grid.columns), (right, grid.columns), (low, grid.rows), (high, grid.rows))
    first, last, bottom, top = (np.clip(values, 0, size).astype(np.int64) for values, size in limits)
    return first, last, bottom, top


def _pairs(first: Array, last: Array, bottom: Array, top: Array) -> Iterator[tuple[Array, Array, Array]]:
    """(pixel, row, column) of all cells between, in blocks."""
    width = np.maximum(last - first, 0)
    counts = width * np.maximum(top - bottom, 0)
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK, side="right")))
        part = counts[start:stop]
        pixel = np.repeat(np.arange(start, stop), part)
        number = np.arange(part.sum()) - np.repeat(ends[start:stop] - part - done, part)
        yield pixel, bottom[pixel] + number // width[pixel], first[pixel] + number % width[pixel]
        start = stop


def _common(x: Array, y: Array, width: float, low: Array, high: Array) -> Array:
    """Signed area of polygons (pair, corner) and the cells from x = 0 to `width` between y = `low` and `high`."""
    total = np.zeros(len(x))
    for here in range(x.shape[1]):
        there = (here + 1) % x.shape[1]
        xa, ya, xb, yb = x[:, here], y[:, here], x[:, there], y[:, there]
        ya_in, yb_in = np.clip(ya, low, high), np.clip(yb, low, high)
        rise = yb - ya
        slope = np.divide(xb - xa, rise, out=np.zeros_like(rise), where=rise != 0.0)
        one, two = xa + slope * (ya_in - ya), xa + slope * (yb_in - ya)
        left, right = np.minimum(one, two), np.maximum(one, two)
        span = right - left
        inner, outer = np.clip(left, 0.0, width), np.clip(right, 0.0, width)
        steep = span <= 1e-7 * width
        area = (outer - inner) * (outer + inner) / 2 + width * (np.maximum(right, width) - np.maximum(left, width))
        mean = np.divide(area, span, out=(inner + outer) / 2, where=~steep)
        total += mean * (yb_in - ya_in)
    return total


def overlaps(longitude: Array, latitude: Array, grid: Grid) -> tuple[Array, Array, Array]:
    """What pixels and cells have in common.

    Parameters
    ----------
    longitude, latitude
        Corners, (pixel, 4), degrees, around the pixel in either sense; NaN where there is no pixel.
    grid
        The cells.

    Returns
    -------
    pixel, cell, share
        Index of the pixel, flat index of the cell (row * columns + column), and the share of the cell's area that the
        pixel covers, 0 to 1; one each for every pixel and cell that overlap.
    """
    sines = grid.sines
    heights = np.diff(sines)
    pixels, cells, shares = [], [], []
    for shape in _polygons(longitude, latitude):
        for part in shape.placed(grid):
            for number, row, column in _pairs(*_between(part, grid)):
                x = part.x[number] - (grid.west + grid.dx * column)[:, None]
                area = np.abs(_common(x, part.y[number], grid.dx, sines[row], sines[row + 1]))
                share = area / (grid.dx * heights[row])
                real = share > _LEAST
                pixels.append(part.index[number[real]])
                cells.append((row * grid.columns + column)[real])
                shares.append(share[real])
    if not pixels:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    return np.concatenate(pixels), np.concatenate(cells), np.concatenate(shares)


def _nearest(longitude: Array, latitude: Array, grid: Grid) -> Array:
    """The pixel that holds the centre of each cell, (rows, columns); -1 where there is none."""
    found = np.full(grid.rows * grid.columns, -1, dtype=np.int64)
    # centres of cells as corners of cells half a cell further on: those within the bounds of a pixel are candidates
    half = Grid(grid.west - grid.dx / 2, grid.south - grid.dy / 2, grid.columns, grid.rows, grid.dx, grid.dy)
    sine_of = np.sin(np.radians(grid.latitude))
    for shape in _polygons(longitude, latitude):
        for part in shape.placed(half):
            first, last, bottom, top = _between(part, half)
            for number, row, column in _pairs(
                first, np.minimum(last, grid.columns), bottom, np.minimum(top, grid.rows)
            ):
                inside = _holds(part.x[number], part.y[number], (grid.west + grid.dx * (column + 0.5)), sine_of[row])
                found[(row * grid.columns + column)[inside]] = part.index[number[inside]]
    return found.reshape(grid.rows, grid.columns)


def _holds(x: Array, y: Array, px: Array, py: Array) -> Array:
    """Whether polygons (pair, corner) hold points, by the number of edges to the east of them."""
    odd = np.zeros(len(x), dtype=bool)
    for here in range(x.shape[1]):
        there = (here + 1) % x.shape[1]
        xa, ya, xb, yb = x[:, here], y[:, here], x[:, there], y[:, there]
        crosses = (ya > py) != (yb > py)
        rise = np.where(yb == ya, 1.0, yb - ya)
        odd ^= crosses & (px < xa + (py - ya) * (xb - xa) / rise)
    return odd


# --- arrays ----------------------------------------------------------------------------------------------------------
def regrid(
    source: xr.DataTree | xr.Dataset | xr.DataArray,
    variables: str | Sequence[str] | None = None,
    *,
    resolution: float | tuple[float, float] = 0.1,
    bounds: Bounds | None = None,
    method: Literal["area", "nearest"] = "area",
    qa: float | None = None,
) -> xr.Dataset:
    """Bring variables of a swath onto a regular grid of longitude and latitude. Reads them.

    Parameters
    ----------
    source
        A tree of Sentinel-5P (its group `PRODUCT` is taken), any group of a tree as a dataset, or one array of it. Pixels have
        the corners `latitude_bounds` and `longitude_bounds`, else corners half-way between the centres.
    variables
        Names; all floating-point variables on the swath without them.
    resolution
        Of the grid, degrees; or (degrees of longitude, degrees of latitude).
    bounds
        (west, south, east, north), degrees; where the data are without it. East before west crosses the antimeridian.
    method
        `"area"`: the mean over what pixels cover of a cell, weighted by area. `"nearest"`: the pixel at the centre of the cell,
        for maps and flags.
    qa
        Leave out pixels whose quality is below (Sentinel-5P; see `sentinel5p.good`).

    Returns
    -------
    xarray.Dataset
        (latitude, longitude), NaN where no pixel is. By area also `<name>_weight`, the share of the cell that pixels with a
        value cover (above 1 where they overlap), and `<name>_count`, how many do. Several orbits make one mean as
        ``sum(value * weight) / sum(weight)``.

    Raises
    ------
    InputError
        No latitude and longitude, no such variable, flags by area, or an impossible grid.
    """
    if method not in {"area", "nearest"}:
        raise InputError(f"method={method!r} is not known.", hint='Pass "area" or "nearest".')
    dataset = _swath(source)
    latitude, longitude = _places(dataset)
    dims = latitude.dims
    names = _names(dataset, variables, dims, method)
    lon, lat = _corners(dataset, longitude, latitude)
    grid = Grid.of(resolution, bounds if bounds is not None else _extent(lon, lat, resolution))
    keep = _kept(source, dataset, qa, dims)
    result: dict[str, xr.Variable] = {}
    if method == "nearest":
        index = _nearest(lon, lat, grid)
        for name in names:
            result[name] = _sampled(dataset[name], dims, index, keep)
    else:
        pixel, cell, share = overlaps(lon, lat, grid)
        for name in names:
            result |= _averaged(dataset[name], dims, (pixel, cell, share), keep, grid)
    return _on_grid(result, grid, dataset.attrs)


def _swath(source: xr.DataTree | xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(source, xr.DataArray):
        return source.to_dataset(name=source.name or "values")
    if isinstance(source, xr.DataTree):
        return (source["PRODUCT"] if "PRODUCT" in source.children else source).to_dataset()
    return source


def _places(dataset: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    found = []
    for word in ("latitude", "longitude"):
        named = [item for name, item in dataset.variables.items() if name == word]
        named += [item for item in dataset.variables.values() if item.attrs.get("standard_name") == word]
        plane = [item for item in named if item.ndim == 2]
        if not plane:
            raise InputError(
                f"There is no {word} of the pixels.",
                hint="Pass a group that has it, such as tree['measurements'].to_dataset().",
            )
        found.append(xr.DataArray(plane[0]))
    if found[0].dims != found[1].dims:
        raise InputError("Latitude and longitude do not have the same dimensions.")
    return found[0], found[1]


def _names(dataset: xr.Dataset, variables: str | Sequence[str] | None, dims: tuple[Any, ...], method: str) -> list[str]:
    if variables is None:
        names = [
            str(name)
            for name, item in dataset.data_vars.items()
            if set(dims) <= set(item.dims) and item.dtype.kind == "f"
        ]
    else:
        names = [variables] if isinstance(variables, str) else list(variables)
    if not names:
        raise InputError("There is nothing to regrid.", hint="Name the variables.")
    for name in names:
        if name not in dataset.variables or not set(dims) <= set(dataset[name].dims):
            there = [str(known) for known, item in dataset.data_vars.items() if set(dims) <= set(item.dims)]
            raise InputError(
                f"There is no {name!r} on the swath.", hint=f"There are {', '.join(there)}.", variables=there
            )
        array = dataset[name]
        if method == "area" and (array.dtype.kind not in "iuf" or {"flag_masks", "flag_values"} & array.attrs.keys()):
            raise InputError(f"{name} is no number that has a mean.", hint='Pass method="nearest".')
    return names


def _corners(dataset: xr.Dataset, longitude: xr.DataArray, latitude: xr.DataArray) -> tuple[Array, Array]:
    """(pixel, 4), degrees."""
    names = ("longitude_bounds", "latitude_bounds")
    if all(name in dataset.variables and dataset[name].dims[:2] == latitude.dims for name in names):
        lon, lat = (np.asarray(dataset[name].values, dtype=np.float64).reshape(-1, 4) for name in names)
        return lon, lat
    return _between_centres(np.asarray(longitude.values, np.float64), np.asarray(latitude.values, np.float64))


def _between_centres(lon: Array, lat: Array) -> tuple[Array, Array]:
    """Corners half-way between the centres, and as far beyond the outer ones; on the sphere, so that nothing jumps."""
    if min(lon.shape) < 2:
        raise InputError("The swath has a single row or column, so that its pixels have no size.")
    lon, lat = np.radians(lon), np.radians(lat)
    places = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    for axis in (0, 1):
        ahead, behind = (np.take(places, at, axis=axis) for at in ([0], [1]))
        before_last, last = (np.take(places, at, axis=axis) for at in ([-2], [-1]))
        places = np.concatenate([2 * ahead - behind, places, 2 * last - before_last], axis=axis)
        places = (
            np.take(places, range(places.shape[axis] - 1), axis=axis)
            + np.take(places, range(1, places.shape[axis]), axis=axis)
        ) / 2
    corner_lon = np.degrees(np.arctan2(places[..., 1], places[..., 0]))
    corner_lat = np.degrees(np.arctan2(places[..., 2], np.hypot(places[..., 0], places[..., 1])))
    around = (
        (slice(None, -1), slice(None, -1)),
        (slice(None, -1), slice(1, None)),
        (slice(1, None), slice(1, None)),
        (slice(1, None), slice(None, -1)),
    )
    return tuple(np.stack([values[at] for at in around], axis=-1).reshape(-1, 4) for values in (corner_lon, corner_lat))  # type: ignore[return-value]


def _extent(lon: Array, lat: Array, resolution: float | tuple[float, float]) -> Bounds:
    """Where the data are, on whole multiples of the resolution; all longitudes where they cross the antimeridian."""
    dx, dy = _steps(resolution)
    good = np.isfinite(lon).all(axis=1) & np.isfinite(lat).all(axis=1)
    if not good.any():
        raise InputError("No pixel has a place.")
    lon, lat = lon[good], lat[good]
    south, north = np.floor(lat.min() / dy) * dy, np.ceil(lat.max() / dy) * dy
    crosses = (np.ptp(lon, axis=1) > 180.0).any()
    if crosses:
        return -180.0, max(-90.0, float(south)), 180.0, min(90.0, float(north))
    west, east = np.floor(lon.min() / dx) * dx, np.ceil(lon.max() / dx) * dx
    return float(west), max(-90.0, float(south)), float(east), min(90.0, float(north))


def _kept(source: Any, dataset: xr.Dataset, qa: float | None, dims: tuple[Any, ...]) -> Array | None:
    if qa is None:
        return None
    from extenso_nb.readers.sentinel5p import good

    return np.asarray(
        good(dataset if not isinstance(source, xr.DataTree) else source, qa).transpose(*dims).values
    ).ravel()


def _rows(array: xr.DataArray, dims: tuple[Any, ...]) -> tuple[Array, tuple[Any, ...], tuple[int, ...]]:
    """Values as (pixel, rest), and dimensions and shape of the rest."""
    array = array.transpose(*dims, ...)
    rest = array.dims[2:]
    values = np.asarray(array.values)
    return values.reshape(values.shape[0] * values.shape[1], -1), rest, values.shape[2:]


def _averaged(
    array: xr.DataArray, dims: tuple[Any, ...], pairs: tuple[Array, Array, Array], keep: Array | None, grid: Grid
) -> dict[str, xr.Variable]:
    pixel, cell, share = pairs
    values, rest, shape = _rows(array, dims)
    size = grid.rows * grid.columns
    means, weights, counts = (np.zeros((size, values.shape[1]), kind) for kind in (np.float32, np.float32, np.int32))
    for layer in range(values.shape[1]):
        numbers = values[:, layer].astype(np.float64)
        valid = np.isfinite(numbers) if keep is None else np.isfinite(numbers) & keep
        used = valid[pixel]
        at, part = cell[used], share[used]
        weight = np.bincount(at, weights=part, minlength=size)
        total = np.bincount(at, weights=part * numbers[pixel[used]], minlength=size)
        means[:, layer] = np.divide(total, weight, out=np.full(size, np.nan), where=weight > _LEAST)
        weights[:, layer] = weight
        counts[:, layer] = np.bincount(at, minlength=size)
    name = str(array.name)
    kept = {key: value for key, value in array.attrs.items() if key not in {"ancillary_variables", "bounds"}}
    places = ("latitude", "longitude", *rest)

    def shaped(numbers: Array, attributes: dict[str, Any]) -> xr.Variable:
        return xr.Variable(places, numbers.reshape(grid.rows, grid.columns, *shape), attributes)

    return {
        name: shaped(
            means, {**kept, "cell_methods": "area: mean", "ancillary_variables": f"{name}_weight {name}_count"}
        ),
        f"{name}_weight": shaped(
            weights, {"units": "1", "long_name": f"share of the cell that pixels with {name} cover"}
        ),
        f"{name}_count": shaped(counts, {"units": "1", "long_name": f"number of pixels with {name} in the cell"}),
    }


def _sampled(array: xr.DataArray, dims: tuple[Any, ...], index: Array, keep: Array | None) -> xr.Variable:
    values, rest, shape = _rows(array, dims)
    there = index >= 0 if keep is None else (index >= 0) & keep[np.maximum(index, 0)]
    picked = values[np.maximum(index, 0)]
    attributes = {key: value for key, value in array.attrs.items() if key not in {"ancillary_variables", "bounds"}}
    if values.dtype.kind == "f":
        picked = np.where(there[..., None], picked, np.array(np.nan, values.dtype))
    elif values.dtype.kind == "M":
        picked = np.where(there[..., None], picked, np.datetime64("NaT", "ns"))
    else:
        fill = attributes.get("fill_value", 0)
        picked = np.where(there[..., None], picked, np.array(fill, values.dtype))
        attributes["fill_value"] = fill
    return xr.Variable(("latitude", "longitude", *rest), picked.reshape(*index.shape, *shape), attributes)


def _on_grid(variables: dict[str, xr.Variable], grid: Grid, attributes: dict[Any, Any]) -> xr.Dataset:
    import rioxarray  # noqa: F401 - the `.rio` by which the CRS is written

    coords = {
        "latitude": xr.Variable(
            "latitude", grid.latitude, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}
        ),
        "longitude": xr.Variable(
            "longitude", grid.longitude, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}
        ),
    }
    dataset = xr.Dataset(variables, coords, attributes)
    return conform({"/": dataset.rio.write_crs("EPSG:4326")})["/"]
