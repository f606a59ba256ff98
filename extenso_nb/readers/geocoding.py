"""Sentinel-1 images on a map grid: each pixel of the map is looked up in the image.

By range and zero Doppler (`range_doppler`): no image is warped by control points. Heights are metres above the WGS 84
ellipsoid; without any, the ellipsoid itself. What lies h metres higher than that is found h / tan(incidence) nearer to the
radar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from extenso_nb.errors import InputError
from extenso_nb.readers.calibration import axes
from extenso_nb.readers.conventions import conform
from extenso_nb.readers.ellipsoid import Floats
from extenso_nb.readers.geolocation import each_group, first_image, geometry_of, has_images
from extenso_nb.readers.interpolation import bilinear, stacked
from extenso_nb.readers.range_doppler import TOLERANCE, Geometry
from extenso_nb.readers.terrain import HIGHEST, LOWEST, Terrain, loaded, number, transformer

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

__all__ = ["geocode"]

_CHUNK = 1024
_MARGIN = 48
"""Pixels by which a chunk reads further than the places along its sides and within say."""
_FAST = 7500.0
"""m/s: what a time along the track is worth on the ground, at most."""


def geocode(
    data: Any,
    resolution: float | None = None,
    *,
    crs: str | int = "utm",
    bounds: tuple[float, float, float, float] | None = None,
    dem: float | xr.DataArray | None = None,
    like: Any = None,
    geometry: Geometry | None = None,
    chunks: int = _CHUNK,
) -> Any:
    """Sentinel-1 images on a map grid, lazily: each pixel of the map is looked up in the image, bilinear.

    Parameters
    ----------
    data
        A product as `open_product` or `calibrate` gives it, a group of it, or an array of pixels, whole or in part.
        Resampling averages nothing: for a map coarser than the image average first (`coarsen`), and pass `geometry`.
    resolution
        Size of a pixel of the map in units of its CRS; of GRD by default that of the image.
    crs
        `"utm"`: the UTM zone of the middle of the image (universal polar stereographic beyond 84 degrees); or what pyproj takes.
    bounds
        (west, south, east, north), degrees; by default what the image covers. Widened to whole pixels of the map.
    dem
        Heights above the WGS 84 ellipsoid, m: one number, or an array of a map; None: 0. Terrain is then where it is; without,
        it is off by its height / tan(incidence). (The shape of slopes stays in the brightness.)
    like
        An array or `odc.geo.geobox.GeoBox` whose grid to take, in place of `resolution`, `crs` and `bounds`.
    geometry
        Of the image (`geometry_of`), for arrays that were computed with and do not know it any more.
    chunks
        Rows and columns of a dask chunk.

    Returns
    -------
    as `data`
        (y, x), float32 (complex64 of complex pixels), NaN where the image (or the elevation model) has none; CRS and
        transform as rioxarray and odc-geo read them.

    Raises
    ------
    InputError
        Not pixels of a product, a grid that is none, or that lies outside the image.
    IncompleteProduct
        The product does not tell its geometry.
    """
    if isinstance(data, xr.DataTree):
        shared = like
        if shared is None:
            arrays = [first_image(node.to_dataset()) for node in data.subtree if has_images(node)]
            if not arrays:
                raise InputError(f"{data.attrs.get('product_id', 'The tree')} has no Sentinel-1 images.")
            shared = _grid(arrays, [geometry or geometry_of(array) for array in arrays], resolution, crs, bounds, dem)
        return each_group(
            data, lambda dataset: geocode(dataset, dem=dem, like=shared, geometry=geometry, chunks=chunks)
        )
    if isinstance(data, xr.Dataset):
        wanted = {
            name: array
            for name, array in data.data_vars.items()
            if "radar" in array.encoding or (geometry is not None and array.dims == ("line", "pixel"))
        }
        if not wanted:
            first_image(data)
        first = next(iter(wanted.values()))
        box = (
            like if like is not None else _grid([first], [geometry or geometry_of(first)], resolution, crs, bounds, dem)
        )
        made = {
            name: geocode(array, dem=dem, like=box, geometry=geometry, chunks=chunks) for name, array in wanted.items()
        }
        return xr.Dataset(made, attrs=data.attrs)
    own = geometry or geometry_of(data)
    box = _box(like) if like is not None else _grid([data], [own], resolution, crs, bounds, dem)
    return _geocoded(data, own, box, dem, chunks)


def _box(like: Any) -> GeoBox:
    from odc.geo.geobox import GeoBox

    if isinstance(like, GeoBox):
        box: GeoBox | None = like
    else:
        import odc.geo.xr  # noqa: F401 - `.odc`

        box = getattr(getattr(like, "odc", None), "geobox", None)
    if box is None or box.crs is None or not box.axis_aligned:
        raise InputError(
            "`like` has no grid with a CRS.", hint="Pass a geobox, or an array of a map that knows its CRS."
        )
    return box


def _grid(
    arrays: list[xr.DataArray],
    geometries: list[Geometry],
    resolution: float | None,
    crs: str | int,
    bounds: tuple[float, float, float, float] | None,
    dem: float | xr.DataArray | None,
) -> GeoBox:
    from odc.geo.geobox import GeoBox
    from odc.geo.geom import BoundingBox

    ground = resolution is None
    if resolution is None:
        if any(geometry.records is None for geometry in geometries):
            raise InputError(
                "Images in slant range have no size on the ground.", hint="Pass resolution=20, or another."
            )
        resolution = geometries[0].spacing
    if not (np.isfinite(resolution) and resolution > 0):
        raise InputError(f"resolution={resolution!r} is no size.")
    low, high = _limits(dem)
    outline = [_outline(array, geometry, low, high) for array, geometry in zip(arrays, geometries, strict=True)]
    latitude, longitude = (np.concatenate([part[at] for part in outline]) for at in (0, 1))
    middle = float(np.degrees(np.angle(np.mean(np.exp(1j * np.radians(longitude))))))
    system = _system(crs, float(latitude.mean()), middle)
    if ground and _is_geographic(system):
        raise InputError(f"{system} has degrees, and the image metres.", hint="Pass resolution=, in degrees.")
    if bounds is not None:
        latitude, longitude = _frame(bounds)
    along, down = transformer("EPSG:4326", system).transform(longitude, latitude)
    if _is_geographic(system):
        along = middle + (along - middle + 180) % 360 - 180  # over the antimeridian, not around the Earth
    if not (np.all(np.isfinite(along)) and np.all(np.isfinite(down))):
        raise InputError(f"{system} does not reach the image.", hint='Pass another CRS, or crs="utm".')
    edges = [np.floor(along.min() / resolution), np.floor(down.min() / resolution)]
    edges += [np.ceil(along.max() / resolution), np.ceil(down.max() / resolution)]
    if (edges[2] - edges[0]) * (edges[3] - edges[1]) > 1e10:
        raise InputError(
            f"A grid of {edges[2] - edges[0]:.0f} x {edges[3] - edges[1]:.0f} pixels is too large.",
            hint="The resolution is in units of the CRS: degrees, where that is geographic.",
        )
    west, south, east, north = (float(edge * resolution) for edge in edges)
    return GeoBox.from_bbox(BoundingBox(west, south, east, north, crs=system), resolution=resolution, tight=True)


def _is_geographic(system: str) -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(system).is_geographic)


def _limits(dem: float | xr.DataArray | None) -> tuple[float, float]:
    """Lowest and highest height there may be."""
    if dem is None or isinstance(dem, xr.DataArray):
        if dem is None:
            return 0.0, 0.0
        if dem.chunks is not None:
            return LOWEST, HIGHEST
        low, high = float(dem.min()), float(dem.max())
        if not np.isfinite(low):
            raise InputError("The elevation model has no heights.")
        return low, high
    return number(dem), number(dem)


def _outline(array: xr.DataArray, geometry: Geometry, low: float, high: float) -> tuple[Floats, Floats]:
    """Latitudes and longitudes around an image, at both heights."""
    line, pixel = axes(array)
    down, along = (np.linspace(part[0], part[-1], 21) for part in (line, pixel))
    lines = np.concatenate([down, down, np.full(21, down[0]), np.full(21, down[-1])])
    pixels = np.concatenate([np.full(21, along[0]), np.full(21, along[-1]), along, along])
    places = [geometry.locate(lines, pixels, height)[:2] for height in (low, high)]
    return tuple(np.concatenate([part[at] for part in places]) for at in (0, 1))  # type: ignore[return-value]


def _frame(bounds: tuple[float, float, float, float]) -> tuple[Floats, Floats]:
    west, south, east, north = map(float, bounds)
    if not (-90 <= south < north <= 90 and -180 <= west <= 180 and west < (east if east > west else east + 360)):
        raise InputError(f"bounds={bounds} are none.", hint="Pass (west, south, east, north) in degrees.")
    along = np.linspace(west, east if east > west else east + 360, 21)
    down = np.linspace(south, north, 21)
    latitude = np.concatenate([down, down, np.full(21, south), np.full(21, north)])
    longitude = np.concatenate([np.full(21, along[0]), np.full(21, along[-1]), along, along])
    return latitude, (longitude + 180) % 360 - 180


def _system(crs: str | int, latitude: float, longitude: float) -> str:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if crs == "utm":
        if abs(latitude) > 84:
            return "EPSG:32661" if latitude > 0 else "EPSG:32761"
        zone = int((longitude + 180) // 6) % 60 + 1
        return f"EPSG:{326 if latitude >= 0 else 327}{zone:02}"
    try:
        return str(CRS.from_user_input(crs).to_string())
    except CRSError as error:
        raise InputError(f"{crs!r} is no CRS.", hint='Pass "utm", or an EPSG code such as 4326.') from error


@dataclass(frozen=True, eq=False)
class _Warp:
    """Where the pixels of a part of a map lie in an image."""

    geometry: Geometry
    box: Any
    """The part of the map: `GeoBox`."""
    dem: float | Terrain

    def coordinates(self) -> tuple[Floats, Floats]:
        """Of the pixel centres: y, x."""
        rows, columns = self.box.shape
        size_x, _, west, _, size_y, north = tuple(self.box.affine)[:6]
        return north + size_y * (np.arange(rows) + 0.5), west + size_x * (np.arange(columns) + 0.5)

    def window(self) -> tuple[float, float, float, float] | None:
        """First and last line and pixel of the image that the part may need; None where the image is not near."""
        y, x = self.coordinates()
        low, high = self._levels(y, x)
        down, along = (np.unique(np.linspace(part[0], part[-1], min(len(part), 17))) for part in (y, x))
        # the edge of the image, too: between two places outside of it there may be one inside
        found = [
            self.geometry.place(*self._seen(down, along, height), clamp=True)
            for height in sorted({low, (low + high) / 2, high})
        ]
        line, pixel = (np.stack(part) for part in zip(*found, strict=True))
        if not np.isfinite(line).any():
            return None
        return float(np.nanmin(line)), float(np.nanmax(line)), float(np.nanmin(pixel)), float(np.nanmax(pixel))

    def _levels(self, y: Floats, x: Floats) -> tuple[float, float]:
        """Lowest and highest height that the part may have."""
        if not isinstance(self.dem, Terrain):
            return self.dem, self.dem
        if self.dem.values.chunks is not None:
            return LOWEST, HIGHEST  # not to be computed before its time
        nodes = loaded(self.dem.values)
        if not np.isfinite(nodes).any():
            return 0.0, 0.0
        return float(np.nanmin(nodes)), float(np.nanmax(nodes))

    def alone(self) -> _Warp:
        """With the heights of the part only, so that a task carries no others."""
        if not isinstance(self.dem, Terrain):
            return self
        down, along = (np.unique(np.linspace(part[0], part[-1], min(len(part), 17))) for part in self.coordinates())
        return replace(self, dem=self.dem.around(*self._on_map(down, along)))

    def _seen(self, y: Floats, x: Floats, height: float) -> Floats:
        """Zero-Doppler time and slant range of a raster of map coordinates: (2, y, x)."""
        along, down = np.meshgrid(x, y)
        longitude, latitude = transformer(str(self.box.crs), "EPSG:4326").transform(along, down)
        return np.stack(self.geometry.look_back(latitude, longitude, height))

    def places(self) -> tuple[Floats, Floats]:
        """Line and pixel of every pixel of the part; NaN outside the image."""
        y, x = self.coordinates()
        height = self._heights(y, x)

        def wrong(found: Floats, right: Floats) -> float:
            return float(max(np.max(np.abs(found[0] - right[0])) * _FAST, np.max(np.abs(found[1] - right[1]))))

        seen = stacked(self._seen, wrong, y, x, height, TOLERANCE) if len(y) * len(x) >= 2000 else None
        if seen is None:
            along, down = np.meshgrid(x, y)
            longitude, latitude = transformer(str(self.box.crs), "EPSG:4326").transform(along, down)
            seen = np.stack(self.geometry.look_back(latitude, longitude, height))
        if height.ndim:
            seen = np.where(np.isfinite(height), seen, np.nan)
        return self.geometry.place(seen[0], seen[1])

    def _heights(self, y: Floats, x: Floats) -> Floats:
        if not isinstance(self.dem, Terrain):
            return np.asarray(self.dem, np.float64)
        return self.dem.at(*self._on_map(y, x))

    def _on_map(self, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Coordinates, on the map of the heights, of a raster of coordinates: down, along."""
        assert isinstance(self.dem, Terrain)
        along, down = np.meshgrid(x, y)
        if str(self.box.crs) == self.dem.crs and not self.dem.geographic:
            return down, along
        longitude, latitude = transformer(str(self.box.crs), "EPSG:4326").transform(along, down)
        return self.dem.project(np.asarray(latitude), np.asarray(longitude))


def _geocoded(
    array: xr.DataArray, geometry: Geometry, box: GeoBox, dem: float | xr.DataArray | None, chunks: int
) -> xr.DataArray:
    import dask.array
    from odc.geo.xr import xr_coords

    blocks: Any = dask.array  # has no types
    terrain = Terrain.of(dem) if isinstance(dem, xr.DataArray) else _limits(dem)[0]
    line, pixel = axes(array)
    source = _Source(line[0], pixel[0], _step(line, "line"), _step(pixel, "pixel"), array.shape)
    tall, wide = ([slice(at, min(at + chunks, size)) for at in range(0, size, chunks)] for size in box.shape)
    rows = [[_part(array, _Warp(geometry, box[down, along], terrain), source) for along in wide] for down in tall]
    if all(part is None for row in rows for part in row):
        raise InputError(
            "The map and the image do not touch.", hint="Compare the bounds with the footprint of the product."
        )
    dtype = np.result_type(array.dtype, np.float32)
    parts = [
        [
            blocks.full(_size(down, along), np.nan, dtype, chunks=-1) if part is None else part
            for part, along in zip(row, wide, strict=True)
        ]
        for row, down in zip(rows, tall, strict=True)
    ]
    coords: dict[Any, Any] = dict(xr_coords(box))
    if "azimuth_time" in array.coords:
        time = array["azimuth_time"].values[len(line) // 2]
        coords["time"] = xr.Variable(
            (), time, {"standard_name": "time", "long_name": "time of the middle of the image"}
        )
    coords = dict(conform({"/": xr.Dataset(coords=coords)})["/"].variables)
    made = xr.DataArray(blocks.block(parts), coords, box.dimensions, str(array.name), dict(array.attrs))
    made.attrs["height"] = (
        "of the given elevation model" if isinstance(terrain, Terrain) else f"{terrain:g} m above the ellipsoid"
    )
    made.encoding = {"grid_mapping": "spatial_ref", "_FillValue": made.dtype.type(np.nan)}
    return made


@dataclass(frozen=True)
class _Source:
    """Which lines and pixels of its image an array has."""

    line: float
    pixel: float
    line_step: float
    pixel_step: float
    shape: tuple[int, ...]

    def index(self, line: Floats, pixel: Floats) -> tuple[Floats, Floats]:
        """Row and column of lines and pixels, with fractions."""
        return (line - self.line) / self.line_step, (pixel - self.pixel) / self.pixel_step


def _step(values: Floats, name: str) -> float:
    """The distance of lines (pixels), which must be the same between all."""
    if len(values) < 2:
        raise InputError(f"Between {len(values)} {name}s nothing can be interpolated.", hint="Pass a larger part.")
    step = float(values[1] - values[0])
    if not step or not np.allclose(np.diff(values), step, rtol=1e-6):
        raise InputError(f"The {name}s are not at equal distances.", hint="Select by slices.")
    return step


def _part(array: xr.DataArray, warp: _Warp, source: _Source) -> Any:
    """One chunk of the map, as a dask array; None where the image has nothing for it."""
    import dask
    import dask.array

    tools: Any = dask
    dtype = np.result_type(array.dtype, np.float32)
    warp = warp.alone()
    window = warp.window()
    shape = tuple(warp.box.shape)
    if window is not None:
        at = source.index(np.array(window[:2]), np.array(window[2:]))
        bounds = []
        for ends, size in zip(at, source.shape, strict=True):
            first, last = int(np.floor(ends.min())) - _MARGIN, int(np.ceil(ends.max())) + _MARGIN + 1
            bounds.append(slice(min(max(first, 0), size), max(min(last, size), 0)))
        rows, columns = bounds
        if rows.stop > rows.start and columns.stop > columns.start:
            part = array.variable[rows, columns]
            numbers = part.data if part.chunks is not None else part.drop_encoding()
            heights = None
            if isinstance(warp.dem, Terrain) and warp.dem.values.chunks is not None:
                heights, warp = warp.dem.values.data, replace(warp, dem=replace(warp.dem, values=None))
            made = tools.delayed(_resampled, pure=True)(numbers, heights, rows.start, columns.start, warp, source)
            return tools.array.from_delayed(made, shape, dtype)
    return None


def _size(down: slice, along: slice) -> tuple[int, int]:
    return down.stop - down.start, along.stop - along.start


def _resampled(numbers: Any, heights: Any, top: int, left: int, warp: _Warp, source: _Source) -> npt.NDArray[Any]:
    """Pixels of a part of a map from those of an image, of which row `top` and column `left` are the first that are there.

    `heights` are those of the terrain, where they had to be computed.
    """
    if heights is not None:
        assert isinstance(warp.dem, Terrain)
        warp = replace(warp, dem=replace(warp.dem, values=xr.Variable(("down", "along"), heights)))
    values = loaded(numbers) if isinstance(numbers, xr.Variable) else np.asarray(numbers)
    row, column = source.index(*warp.places())
    row, column = row - top, column - left
    with np.errstate(invalid="ignore"):
        there = (row + top <= source.shape[0] - 1) & (column + left <= source.shape[1] - 1) & (row + top >= 0)
        there &= column + left >= 0
        missed = there & ~((row >= 0) & (row <= values.shape[0] - 1) & (column >= 0) & (column <= values.shape[1] - 1))
    if missed.any():  # what would be NaN in the map, silently, though the image has it
        raise RuntimeError(f"{missed.sum()} pixels of a map chunk lie outside the window that was read for it")
    return bilinear(values, row, column)
