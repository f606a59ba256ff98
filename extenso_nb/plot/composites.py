"""Colour composites of optical products: Sentinel-2 on its own grid, swaths on longitude and latitude."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import InputError, UnknownBand
from extenso_nb.plot import canvas, swaths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from xarray import DataArray, Dataset, DataTree

__all__ = ["BRIGHT", "rgb", "swath_rgb"]

BRIGHT = 0.3
"""Reflectance above the darkest that is shown as white: bright soil reaches it, cloud and snow go beyond."""
_NO_REFLECTANCE = 10.0
"""Spans from here on are of digital numbers (opened with scaled=False), of which 0.3 is nothing."""


def rgb(
    tree: DataTree,
    *,
    bands: Sequence[str] = ("B04", "B03", "B02"),
    limits: tuple[float, float] | None = None,
    percent: tuple[float, float] = (1.0, 99.0),
    gamma: float = 1.4,
    max_pixels: int = 1200,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""A colour composite of an opened Sentinel-2 product, with a scale bar.

    A value :math:`\rho` of band :math:`b` is shown as :math:`((\rho - lo_b) / span)^{1/\gamma}`, cut to 0..1. `lo` is the
    lower percentile of each band by itself for level 1C, which takes the blue haze off (dark-object subtraction, Chavez
    1988), and the lowest of the three for level 2A, which has none; `span` is the largest distance of a band's two
    percentiles, the same for the three bands, so that colours keep their balance. Of reflectance it is at most 0.3, for cloud
    is brighter than that and would leave the ground in the dark. Missing values are transparent.

    Parameters
    ----------
    tree
        As `open_product` gives it; the bands are looked for in `/measurements/r10m`, `r20m`, `r60m`, in this order, and
        all three must lie in one of these.
    bands
        Red, green and blue.
    limits
        `lo` and `lo + span` as reflectances, for all bands; None takes them from the values by `percent`.
    percent
        Percentiles of the values shown, of each band.
    gamma
        Above 1 brightens the dark.
    max_pixels
        The longer side is thinned out to at most so many pixels, before anything is read.
    title
        None takes the product's identifier.
    ax
        Axes to draw on; a new figure when None.

    Raises
    ------
    UnknownBand
        When no group holds the three bands; those there are are listed.
    InputError
        When there are not three bands, or not one valid pixel.
    """
    if len(bands) != 3:
        raise InputError(f"A colour composite takes three bands (red, green, blue); got {list(bands)}.")
    layers = _three_bands(tree, bands)
    step = max(1, math.ceil(max(layers[0].shape) / max_pixels))
    thinned = [layer[::step, ::step] for layer in layers]
    image = _stretched(
        thinned,
        limits=limits,
        percent=percent,
        gamma=gamma,
        # Level 2A has been corrected for the atmosphere; taking more off would only turn green into brown.
        haze=tree.attrs.get("processing_level") == "L1C",
        name=str(tree.attrs.get("product_id", "the product")),
    )
    extent, metres = _extent(layers[0])
    if ax is None:
        height, width = image.shape[:2]
        ax = canvas.new_figure(7.5, min(max(7.5 * height / width, 3.0), 11.0) + 0.5).subplots()
    ax.imshow(image, extent=extent, interpolation="nearest", origin="upper")
    ax.set_facecolor(canvas.GROUND)
    ax.set_xticks([])
    ax.set_yticks([])
    if metres:
        canvas.scale_bar(ax, extent)
    canvas.headline(ax, canvas.attributes(tree), " ".join(bands), title)
    return ax


def swath_rgb(
    source: DataTree | Dataset | DataArray,
    *,
    bands: Sequence[str] = ("Oa08", "Oa06", "Oa04"),
    bounds: tuple[float, float, float, float] | None = None,
    limits: tuple[float, float] | None = None,
    percent: tuple[float, float] = (1.0, 99.0),
    gamma: float = 1.4,
    max_pixels: int = 1000,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A colour composite of a swath on longitude and latitude: OLCI, or SLSTR with bands such as `("S3", "S2", "S1")`.

    Each pixel of the picture is the pixel of the swath that its centre lies in. Colours are as those of `rgb`: the haze is
    taken off level 1, and not off level 2.

    Parameters
    ----------
    source
        A product as `open_product` gives it, or a group of it. Reflectance is taken where the product, or the reader, has
        it; else what has the name.
    bands
        Red, green and blue.
    bounds
        (west, south, east, north), degrees; all there is without it. East before west crosses the antimeridian.
    limits, percent, gamma, title, ax
        As of `rgb`.
    max_pixels
        Of the longer side of the picture. Where more than a million pixels of the swath lie within `bounds`, every n-th line
        and column of them is drawn; these are in memory, and while they are read a chunk for each thread.

    Raises
    ------
    UnknownBand
        The product does not have a band; those there are are listed.
    InputError
        When there are not three bands, or nothing to see within `bounds`.
    """
    if len(bands) != 3:
        raise InputError(f"A colour composite takes three bands (red, green, blue); got {list(bands)}.")
    facts, tree = canvas.attributes(source), canvas.tree_of(source)
    layers = [swaths.found(tree, band, reflectance=True) for band in bands]
    if len({layer.shape for layer in layers}) > 1:
        raise InputError(f"{' '.join(bands)} do not lie on one grid.", hint="Pass bands of one resolution.")
    made = swaths.gridded(layers, bounds=bounds, max_pixels=max_pixels)
    image = _stretched(
        made.layers,
        limits=limits,
        percent=percent,
        gamma=gamma,
        haze=facts.get("processing_level") == "L1",
        name=str(facts.get("product_id", "the product")),
    )
    ax = canvas.axes_for(ax, made.ratio)
    ax.imshow(image, extent=made.extent, interpolation="nearest", origin="lower")
    swaths.finish(ax, made)
    canvas.headline(ax, facts, " ".join(bands), title)
    return ax


def _three_bands(tree: DataTree, bands: Sequence[str]) -> list[DataArray]:
    found: dict[str, list[str]] = {}
    for name in ("r10m", "r20m", "r60m"):
        path = f"measurements/{name}"
        try:
            group = tree[path]
        except KeyError:
            continue
        found[path] = [str(key) for key in group.data_vars]
        if all(band in group.data_vars for band in bands):
            return [group.data_vars[band] for band in bands]
    there = "; ".join(f"/{path}: {' '.join(names)}" for path, names in found.items()) or "no group /measurements/r*m"
    listed = sorted({name for names in found.values() for name in names})
    raise UnknownBand(f"No group holds all of {' '.join(bands)} ({there}).", bands=listed)


def _stretched(
    layers: Sequence[DataArray],
    *,
    limits: tuple[float, float] | None,
    percent: tuple[float, float],
    gamma: float,
    haze: bool,
    name: str,
) -> NDArray[Any]:
    """RGBA of shape (y, x, 4), float32 within 0..1; alpha 0 where any band is missing."""
    import numpy as np

    cube = np.stack([np.asarray(layer.values, dtype="float32") for layer in layers], axis=-1)
    valid = np.isfinite(cube).all(axis=-1)
    if not valid.any():
        raise InputError(f"{name} has no valid pixel in these bands.", hint="Look at another product, or at its mask.")
    low, high = limits if limits is not None else np.percentile(cube[valid], percent, axis=0)
    if limits is None and not haze:
        low = np.full(3, np.min(low))
    span = max(float(np.max(np.subtract(high, low))), 1e-6)
    if limits is None and span < _NO_REFLECTANCE:
        span = min(span, BRIGHT)
    shown = np.clip((np.where(valid[..., None], cube, low) - low) / span, 0, 1) ** (1 / gamma)
    return np.concatenate([shown, valid[..., None]], axis=-1).astype("float32")


def _extent(layer: DataArray) -> tuple[tuple[float, float, float, float], bool]:
    """Left, right, bottom, top of the pixels' outer edges, and whether these are metres (a projected CRS)."""
    y, x = (layer[dim].values if dim in layer.coords else None for dim in layer.dims[-2:])
    if x is None or y is None or len(x) < 2 or len(y) < 2:
        rows, columns = layer.shape[-2:]
        return (0.0, float(columns), float(rows), 0.0), False
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    degrees = max(abs(float(x[0])), abs(float(x[-1]))) <= 360 and max(abs(float(y[0])), abs(float(y[-1]))) <= 90
    return (float(x[0] - half_x), float(x[-1] + half_x), float(y[-1] + half_y), float(y[0] - half_y)), not degrees
