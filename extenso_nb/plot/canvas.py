"""What all pictures of products have in common: figure, title, limits by percentiles, scale bar, colour bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from extenso_nb import progress
from extenso_nb.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from xarray import DataArray, Dataset, DataTree

__all__ = [
    "GROUND",
    "Extent",
    "attributes",
    "axes_for",
    "colour_bar",
    "degrees",
    "headline",
    "label",
    "metres_per_degree",
    "new_figure",
    "scale_bar",
    "span",
    "tree_of",
]

Extent = tuple[float, float, float, float]
"""Left, right, bottom, top: the outer edges of the pixels."""

GROUND = "#d9dde1"
"""Of the axes; what is seen where there are no data."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own; in a notebook one of pyplot's, so that the cell shows it."""
    if progress.in_notebook():
        from matplotlib import pyplot as plt

        figure: Figure = plt.figure(figsize=(width, height), layout="constrained")
        return figure
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def axes_for(ax: Axes | None, ratio: float, *, width: float = 7.5, beside: float = 0.0) -> Axes:
    """The axes to draw on: those given, or of a new figure for a picture of this height / width.

    `beside` is the width in inches that the picture does not have (a colour bar).
    """
    if ax is None:
        height = min(max((width - beside) * ratio, 3.0), 9.0) + 0.6
        ax = new_figure(width, height).subplots()
    ax.set_facecolor(GROUND)
    return ax


def tree_of(source: DataTree | Dataset | DataArray) -> DataTree:
    """A tree, or a tree of the one group or array that is given."""
    import xarray as xr

    if isinstance(source, xr.DataTree):
        return source
    dataset = source.to_dataset(name=source.name or "values") if isinstance(source, xr.DataArray) else source
    return xr.DataTree(dataset=dataset)


# --- words -----------------------------------------------------------------------------------------------------------
def attributes(source: DataTree | Dataset | DataArray) -> dict[Any, Any]:
    """The attributes of the product that a tree, group or array is of: of the root, where it can be seen from there."""
    root = getattr(source, "root", None)
    return {**source.attrs, **root.attrs} if root is not None else dict(source.attrs)


def headline(ax: Axes, facts: dict[Any, Any], what: str, title: str | None) -> None:
    """The title: product, and in a second line time and what is seen. A title that is given takes the product's place."""
    name = str(facts.get("product_id", "")) if title is None else title
    time = str(facts.get("start_time") or facts.get("sensing_time") or "").replace("T", " ")[:19]
    second = ", ".join(part for part in (f"{time} UTC" if time else "", what) if part)
    ax.set_title(f"{name}\n{second}".strip().replace("$", r"\$"), fontsize=8)


def label(array: DataArray, *, name: str | None = None) -> str:
    """Long name and units of an array, for a colour bar."""
    words = str(name or array.attrs.get("long_name") or array.attrs.get("original_name") or array.name or "").strip()
    units = str(array.attrs.get("units", "")).strip()
    return (f"{words} ({units})" if units not in {"", "1"} else words).replace("$", r"\$")


# --- numbers ---------------------------------------------------------------------------------------------------------
def span(
    values: NDArray[Any], percent: tuple[float, float], limits: tuple[float, float] | None, name: str
) -> tuple[float, float]:
    """The values that are shown as the ends of a colour scale. Raises InputError where there is no valid value."""
    import numpy as np

    valid = values[np.isfinite(values)]
    if not valid.size:
        raise InputError(f"{name} has no valid value here.", hint="Look at another part, variable, or product.")
    low, high = (float(value) for value in (limits if limits is not None else np.percentile(valid, percent)))
    if limits is None and not high > low:
        half = max(abs(low) * 1e-3, 1e-6)
        return low - half, high + half
    return low, high


def colour_bar(ax: Axes, image: Any, values: NDArray[Any], text: str, *, ratio: float) -> None:
    """Beside a picture of this height / width and about as high, with pointed ends where values lie beyond the scale."""
    import numpy as np

    low, high = image.get_clim()
    under, over = bool(np.nanmin(values) < low), bool(np.nanmax(values) > high)
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((under, over), "neither")
    inches = ax.figure.get_figure(root=True).get_size_inches()
    width, height = ax.get_position(original=True).size * inches
    shrink = min(max(0.9 * (width - 1.0) * ratio / height, 0.15), 0.9)
    # A picture that is much narrower than its title stays in the middle, or the title would be cut off.
    beside = (1.0, 0.5) if (width - 1.0) * ratio < 1.5 * height else (0.5, 0.5)
    bar = ax.figure.colorbar(image, ax=ax, extend=extend, shrink=shrink, pad=0.02, aspect=30 * shrink, panchor=beside)
    bar.set_label(_broken(text, int(inches[1] / 0.08)), fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.ax.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=True)
    bar.ax.yaxis.get_offset_text().set(fontsize=8, horizontalalignment="left", x=0.0)


def _broken(text: str, width: int) -> str:
    """In lines of this many characters: names of gases are long."""
    import textwrap

    return "\n".join(textwrap.wrap(text, width)[:3])


# --- places ----------------------------------------------------------------------------------------------------------
def metres_per_degree(latitude: float) -> float:
    """Of longitude along a parallel of the WGS 84 ellipsoid."""
    from pyproj import Geod

    ellipsoid = Geod(ellps="WGS84")
    sine = math.sin(math.radians(latitude))
    radius = ellipsoid.a * math.cos(math.radians(latitude)) / math.sqrt(1 - ellipsoid.es * sine * sine)
    return math.radians(1.0) * radius


def degrees(ax: Axes, extent: Extent) -> None:
    """Axes of longitude and latitude, true to scale at the middle latitude."""
    left, right, bottom, top = extent
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_aspect(1 / max(math.cos(math.radians((bottom + top) / 2)), 0.05), adjustable="box")
    ax.tick_params(labelsize=8, colors="#555555")
    ax.xaxis.set_major_formatter(lambda value, _: _east(value))
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}°{'S' if value < 0 else 'N' if value else ''}")


def _east(longitude: float) -> str:
    value = (longitude + 180.0) % 360.0 - 180.0
    return f"{abs(value):g}°{'W' if value < 0 else 'E' if value else ''}"


def scale_bar(ax: Axes, extent: Extent, *, latitude: float | None = None) -> None:
    """A bar of a round length in the lower left corner.

    The axes are in metres, or in degrees where a `latitude` is given: the bar is as long as it says at this latitude. That is
    said beside it where other latitudes of the picture differ by more than a tenth.
    """
    left, right, bottom, top = extent
    unit = 1.0 if latitude is None else metres_per_degree(latitude)
    if unit < 1.0:  # all around a pole: no length is right
        return
    length = _round_length(abs(right - left) * unit / 4)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    if latitude is not None:
        ends = [metres_per_degree(min(max(at, -90.0), 90.0)) / unit for at in (bottom, top)]
        if max(abs(share - 1) for share in ends) > 0.1:
            text += f" at {abs(latitude):.0f}°{'S' if latitude < 0 else 'N'}"
    along = length / unit
    x0, y0 = left + 0.05 * (right - left), bottom + 0.05 * (top - bottom)
    back = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2.5}
    ax.plot([x0, x0 + along], [y0, y0], color="white", linewidth=5, solid_capstyle="butt", zorder=5)
    ax.plot([x0, x0 + along], [y0, y0], color="black", linewidth=2.5, solid_capstyle="butt", zorder=6, gid="scale bar")
    ax.text(x0 + along / 2, y0 + 0.02 * (top - bottom), text, ha="center", va="bottom", fontsize=8, bbox=back, zorder=6)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)


def _round_length(longest: float) -> float:
    """The longest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))
