"""Maps of swaths on longitude and latitude: gases of Sentinel-5P, temperatures of SLSTR, what else has places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import IncompleteProduct, InputError, UnknownBand
from extenso_nb.plot import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from xarray import DataArray, Dataset, DataTree

__all__ = ["SWATH_MAX", "Gridded", "finish", "found", "gridded", "swath_map"]

SWATH_MAX = 1_000_000
"""Pixels of a swath that are put on a grid, 0.5 kB each while it is made; of larger ones every n-th line and column."""
_LOOK = 8
"""Every so-manieth place of a larger swath says which part of it lies within bounds."""

Bounds = tuple[float, float, float, float]
_USUAL = ("LST", "S8", "sea_surface_temperature", "owi/wind_speed", "GIFAPAR", "CHL_NN", "CHL_OC4ME", "AOD_550")
"""What is shown of a product of which nothing is named; of Sentinel-5P the first quantity of its group PRODUCT."""
_NO_QUANTITY = ("_precision", "_flag", "_flags", "_uncertainty", "_trueness")
_WARM = frozenset({"K", "kelvin", "degC"})


def swath_map(
    source: DataTree | Dataset | DataArray,
    variable: str | None = None,
    *,
    qa: float | None = None,
    bounds: Bounds | None = None,
    limits: tuple[float, float] | None = None,
    percent: tuple[float, float] = (2.0, 98.0),
    cmap: str | None = None,
    max_pixels: int = 1000,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A map of one quantity of a swath on longitude and latitude, with colour bar and scale bar.

    Each pixel of the picture is the pixel of the swath that its centre lies in (`readers.regrid`, nearest). What has no value
    is transparent.

    Parameters
    ----------
    source
        A product as `open_product` gives it, a group of it, or an array of it.
    variable
        Its name, with the group before it where several have it: `"S8"`, `"PRODUCT/qa_value"`, `"oblique/1km/S8"`. None takes
        the first quantity of a Sentinel-5P product, the brightness temperature S8 or the temperature of SLSTR.
    qa
        Of Sentinel-5P: draw pixels of at least this quality (0 to 1), compared by whole percent. None is 0.5 where there is a
        quality; NO2 without clouds takes 0.75; 0 draws everything.
    bounds
        (west, south, east, north), degrees; all there is without it. East before west crosses the antimeridian.
    limits
        Values at the ends of the colours; None takes them from what is drawn, by `percent`.
    percent
        Percentiles.
    cmap
        A colour map of matplotlib; None takes `inferno` for temperatures and `viridis` for all else, which have the same order
        for those who do not see colours.
    max_pixels
        Of the longer side of the picture. Where more than a million pixels of the swath lie within `bounds`, every n-th line
        and column of them is drawn.
    title
        None takes the product's identifier.
    ax
        Axes to draw on; a new figure when None.

    Raises
    ------
    UnknownBand
        The product has no such variable.
    InputError
        Nothing to see within `bounds` or of that quality, or a variable without places.
    """
    facts, tree = canvas.attributes(source), canvas.tree_of(source)
    array = found(tree, variable if variable is not None else _usual(tree))
    percent_good = _quality(tree, array)
    if qa is None and percent_good is not None:
        qa = 0.5
    elif qa is not None and percent_good is None:
        raise InputError(
            f"{array.name} has no quality (qa_percent) that qa={qa} could choose by.", hint="Leave qa out."
        )
    corners = _corners(tree, array)
    made = gridded([array], bounds=bounds, max_pixels=max_pixels, corners=corners, quality=percent_good, qa=qa)
    (layer,) = made.layers
    values = layer.values.astype("float64")
    name = f"{facts.get('product_id', 'The product')}: {array.name}" + (f" with qa >= {qa:g}" if qa else "")
    low, high = canvas.span(values, percent, limits, name)
    ax = canvas.axes_for(ax, made.ratio, beside=1.0)
    image = ax.imshow(
        values,
        extent=made.extent,
        origin="lower",
        interpolation="nearest",
        cmap=cmap or ("inferno" if array.attrs.get("units") in _WARM else "viridis"),
        vmin=low,
        vmax=high,
    )
    finish(ax, made)
    canvas.colour_bar(ax, image, values, canvas.label(array), ratio=made.ratio)
    canvas.headline(ax, facts, str(array.name) + (f", qa ≥ {qa:g}" if qa else ""), title)
    return ax


# --- which -----------------------------------------------------------------------------------------------------------
def found(tree: DataTree, name: str, *, reflectance: bool = False) -> DataArray:
    """A variable by name, or by group and name; of groups in groups `reflectance` first where that is asked for.

    Raises UnknownBand; IncompleteProduct where its file is missing.
    """
    places = _places(tree, name)
    if reflectance:
        places.sort(key=lambda node: node.name != "reflectance")
    *groups, wanted = name.strip("/").split("/")
    if places:
        return places[0].to_dataset()[wanted]
    if groups:
        raise UnknownBand(f"{tree.attrs.get('product_id', 'The product')} has no {name!r}.", bands=[])
    from extenso_nb.readers import band

    return band(tree, wanted)


def _places(tree: DataTree, name: str) -> list[DataTree]:
    """The groups that have a variable by a name with or without groups before it."""
    *groups, wanted = name.strip("/").split("/")
    return [
        node
        for node in tree.subtree
        if wanted in node.data_vars and set(groups) <= set(node.path.split("/")) and node.data_vars[wanted].ndim >= 2
    ]


def _usual(tree: DataTree) -> str:
    if len(tree.data_vars) == 1 and not tree.children:
        return str(next(iter(tree.data_vars)))
    group = tree["PRODUCT"] if "PRODUCT" in tree.children else tree
    if group.name == "PRODUCT" or "qa_percent" in group.data_vars:
        for name, array in group.data_vars.items():
            on_swath = array.dims[:2] == ("scanline", "ground_pixel") and array.ndim == 2
            quality = str(name).startswith(("qa_", "delta_time")) or str(name).endswith(_NO_QUANTITY)
            if on_swath and array.dtype.kind == "f" and not quality:
                return str(name)
    for name in _USUAL:
        if _places(tree, name):
            return name
    known, missing = tree.attrs.get("product_id", "The tree"), tree.attrs.get("missing_members")
    if missing is not None and len(missing):
        raise IncompleteProduct(f"{known} holds nothing that is usually mapped; it lacks {', '.join(missing[:3])}.")
    raise InputError(
        f"{known} has nothing of which this package knows that it is usually mapped.",
        hint='Name the variable: swath_map(tree, "group/name"). Tracks of altimeters are no maps.',
    )


def _quality(tree: DataTree, array: DataArray) -> DataArray | None:
    """The quality of the pixels that an array is of, where the product gives one."""
    for node in tree.root.subtree:
        if "qa_percent" in node.data_vars and set(node.data_vars["qa_percent"].dims) <= set(array.dims):
            return node.data_vars["qa_percent"]
    return None


def _corners(tree: DataTree, array: DataArray) -> dict[str, DataArray]:
    """The corners of the pixels that an array is of, where the product gives them; they do not go with an array."""
    names = ("latitude_bounds", "longitude_bounds")
    if "latitude" not in array.coords:
        return {}
    for node in tree.root.subtree:
        found = {name: node.coords[name] for name in names if name in node.coords}
        if len(found) == 2 and all(item.dims[:2] == array["latitude"].dims for item in found.values()):
            return {name: item.drop_vars(list(item.coords)) for name, item in found.items()}
    return {}


# --- on a grid -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Gridded:
    """Layers (latitude, longitude), northward, and where they lie."""

    layers: list[DataArray]
    extent: canvas.Extent

    @property
    def latitude(self) -> float:
        """Of the middle."""
        return (self.extent[2] + self.extent[3]) / 2

    @property
    def ratio(self) -> float:
        """Height / width of the picture."""
        left, right, bottom, top = self.extent
        return (top - bottom) / ((right - left) * max(math.cos(math.radians(self.latitude)), 0.05))


def gridded(
    arrays: Sequence[DataArray],
    *,
    bounds: Bounds | None,
    max_pixels: int,
    corners: dict[str, DataArray] | None = None,
    quality: DataArray | None = None,
    qa: float | None = None,
) -> Gridded:
    """Arrays of one swath on a grid whose cells are squares on the ground at the middle latitude.

    The arrays have the coordinates `latitude` and `longitude`, of the swath or of a grid already; `corners` are the
    `latitude_bounds` and `longitude_bounds` that a product gives. Raises InputError where they have none, or where nothing lies
    within `bounds`.
    """
    import xarray as xr

    from extenso_nb.readers.regrid import regrid

    first = arrays[0]
    if not {"latitude", "longitude"} <= set(first.coords):
        raise InputError(
            f"{first.name} has no latitude and longitude.", hint="A variable that lies on the swath can be mapped."
        )
    if first["latitude"].ndim == first["longitude"].ndim == 1 and {"latitude", "longitude"} <= set(first.dims):
        return _on_grid(arrays, bounds, max_pixels)
    if first["latitude"].ndim != 2 or set(first.dims) != set(first["latitude"].dims):
        raise InputError(
            f"{first.name} has the dimensions {', '.join(map(str, first.dims))}, of which no map can be drawn.",
            hint="Select one layer of it first, or take a variable that lies on the swath.",
        )
    dims = first["latitude"].dims
    if bounds is not None:
        part = _within(first, bounds)
        arrays = [array.isel(part) for array in arrays]
        quality = quality.isel(part) if quality is not None else None
        corners = {name: array.isel(part) for name, array in (corners or {}).items()}
        first = arrays[0]
    step = max(1, math.ceil(math.sqrt(first.size / SWATH_MAX)))
    parts = {str(array.name): _thinned(array, dims, step) for array in arrays}
    names = list(parts)
    if quality is not None:
        parts["qa_percent"] = _thinned(quality, dims, step)
    # Of thinned places the corners are those half-way to the next that is left, so that no gaps open.
    swath = xr.Dataset(parts).assign_coords(corners if corners and step == 1 else {})
    box = bounds if bounds is not None else _around(swath["longitude"].values, swath["latitude"].values)
    west, south, east, north = box
    while east <= west:
        east += 360.0
    flat = max(math.cos(math.radians((south + north) / 2)), 0.05)
    # A picture of few pixels gets cells no smaller than a quarter of them: they show the shape of the pixels all the same.
    cells = min(max_pixels, 4 * max(swath["latitude"].shape))
    size = max(north - south, (east - west) * flat) / cells
    made = regrid(
        swath, names, resolution=(size / flat, size), bounds=(west, south, east, north), method="nearest", qa=qa
    )
    rows, columns = made.sizes["latitude"], made.sizes["longitude"]
    return Gridded([made[name] for name in names], (west, west + columns * size / flat, south, south + rows * size))


def _within(array: DataArray, bounds: Bounds) -> dict[Any, slice]:
    """Lines and columns outside which nothing of a swath lies within bounds. Raises InputError where nothing does."""
    import numpy as np

    step = _LOOK if array.size > SWATH_MAX else 1
    looked = {dim: slice(None, None, step) for dim in array["latitude"].dims}
    lat, lon = (np.asarray(array[name].isel(looked).values, np.float64) for name in ("latitude", "longitude"))
    west, south, east, north = bounds
    flat = np.cos(np.radians(lat))
    gaps = [0.0]
    for axis in (0, 1):
        across = (np.diff(lon, axis=axis) + 180.0) % 360.0 - 180.0
        between = np.hypot(np.diff(lat, axis=axis), across * np.delete(flat, 0, axis=axis))
        gaps.append(float(np.nanmax(between, initial=0.0)))
    margin = 2 * max(
        gaps
    )  # degrees on the ground: what lies between the places that were looked at, and their neighbours
    wide = margin / np.maximum(flat, 1e-3)
    inside = (lat >= south - margin) & (lat <= north + margin)
    turned = (lon - west + wide) % 360.0
    inside &= turned <= (east - west) % 360.0 + 2 * wide if east - west < 360.0 else True
    if not inside.any():
        raise InputError(f"{array.name} has nothing within {bounds}.", hint="Pass larger bounds, or none.")
    found = {}
    for axis, dim in enumerate(array["latitude"].dims):
        used = np.flatnonzero(inside.any(axis=1 - axis))
        found[dim] = slice(max(int(used[0]) - 1, 0) * step, (int(used[-1]) + 2) * step)
    return found


def _thinned(array: DataArray, dims: tuple[Any, ...], step: int) -> DataArray:
    return array if step == 1 else array.isel(dict.fromkeys(dims, slice(step // 2, None, step)))


def _around(longitude: NDArray[Any], latitude: NDArray[Any]) -> Bounds:
    """West, south, east, north of places, by the widest meridian strip that none is in; with half a pixel around them."""
    import numpy as np

    good = np.isfinite(longitude) & np.isfinite(latitude)
    if not good.any():
        raise InputError("No pixel has a place.", hint="Look at another product.")
    lat = latitude[good]
    margin = float(np.ptp(lat)) / max(latitude.shape)
    south, north = max(float(lat.min()) - margin, -90.0), min(float(lat.max()) + margin, 90.0)
    lon = np.unique(np.round(longitude[good] % 360.0, 3))
    gaps = np.diff(lon, append=lon[0] + 360.0)
    widest = int(np.argmax(gaps))
    if gaps[widest] < 10.0:
        return -180.0, south, 180.0, north
    west = float(lon[(widest + 1) % len(lon)])
    east = float(lon[widest])
    east += 360.0 * (east < west)
    turn = -360.0 if west >= 180.0 else 0.0
    margin /= max(math.cos(math.radians((south + north) / 2)), 0.05)
    return west + turn - margin, south, east + turn + margin, north


def _on_grid(arrays: Sequence[DataArray], bounds: Bounds | None, max_pixels: int) -> Gridded:
    """What lies on longitude and latitude already, thinned out."""
    import numpy as np

    made = []
    for array in arrays:
        part = array.sortby("latitude").sortby("longitude")
        if bounds is not None:
            west, south, east, north = bounds
            part = part.sel(latitude=slice(south, north), longitude=slice(west, east))
        step = max(1, math.ceil(max(part.shape, default=1) / max_pixels))
        part = part.isel(latitude=slice(step // 2, None, step), longitude=slice(step // 2, None, step))
        if min(part.sizes["latitude"], part.sizes["longitude"]) < 2:
            raise InputError(f"{array.name} has nothing within {bounds}.", hint="Pass larger bounds, or none.")
        made.append(part.transpose("latitude", "longitude").compute())
    x, y = (np.asarray(made[0][name].values, np.float64) for name in ("longitude", "latitude"))
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    return Gridded(made, (float(x[0] - half_x), float(x[-1] + half_x), float(y[0] - half_y), float(y[-1] + half_y)))


def finish(ax: Axes, made: Gridded) -> None:
    """Degrees, coast lines where the map is wide enough for those there are, and the scale bar."""
    canvas.degrees(ax, made.extent)
    left, right, bottom, top = made.extent
    if max(right - left, top - bottom) > 8.0:
        _coast(ax, made.extent)
    canvas.scale_bar(ax, made.extent, latitude=made.latitude)
    ax.set_ylim(max(bottom, -90.0), min(top, 90.0))  # the last row of cells may reach beyond a pole


def _coast(ax: Axes, extent: canvas.Extent) -> None:
    import numpy as np
    import shapely

    from extenso_nb.plot.catalogue import land

    left, right, bottom, top = extent
    for turn in (-360.0, 0.0, 360.0):
        if left > turn + 180.0 or right < turn - 180.0:
            continue
        window = (left - turn - 1, bottom - 1, right - turn + 1, top + 1)
        for part in shapely.get_parts(shapely.clip_by_rect(land().boundary, *window)):
            for line in shapely.get_parts(part):
                places = np.asarray(line.coords)
                ax.plot(places[:, 0] + turn, places[:, 1], color="white", linewidth=1.6, alpha=0.6, zorder=3)
                ax.plot(places[:, 0] + turn, places[:, 1], color="#1b2a38", linewidth=0.7, zorder=3.1)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
