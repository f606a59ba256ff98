"""Footprints on a land outline, and sheets of quicklooks: what a catalogue gives before anything is delivered."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import InputError
from extenso_nb.plot.canvas import new_figure
from extenso_nb.results import SearchResult

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from shapely import MultiPolygon

__all__ = ["cloud_colour", "footprints", "land", "quicklooks"]

_SEA, _LAND, _COAST = "#e8eef2", "#f7f5ef", "#a9a79e"
_RAMP = ("#08519c", "#3182bd", "#6baed6", "#bdd7e7", "#f2f5f7")
"""Clear to overcast: one hue getting paler, told apart also without colour vision; outlines stay dark."""
_PLAIN = "#2a9d7f"
"""Footprints of products that have no cloud figure."""


def cloud_colour(cloud: float | None) -> str:
    """The colour `#rrggbb` that footprints of a cloud cover (per cent) have on maps; a green where there is none."""
    if cloud is None or math.isnan(cloud):
        return _PLAIN
    place = min(max(cloud, 0.0), 100.0) / 100 * (len(_RAMP) - 1)
    low = min(int(place), len(_RAMP) - 2)
    pairs = zip(_channels(_RAMP[low]), _channels(_RAMP[low + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - low)):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


@cache
def land() -> MultiPolygon:
    """The land of the Earth, lon/lat, to 0.01 degrees: Natural Earth 1:110 million, public domain."""
    import shapely

    # By path, not by importing the widgets' package: this floor lies below theirs.
    packed = resources.files("extenso_nb").joinpath("widgets", "data", "land_110m.json.gz").read_bytes()
    outline = shapely.from_geojson(gzip.decompress(packed).decode("ascii"))
    assert isinstance(outline, shapely.MultiPolygon)
    return outline


# --- footprints ------------------------------------------------------------------------------------------------------
def footprints(result: SearchResult | GeoDataFrame, *, aoi: Any = None, ax: Axes | None = None) -> Axes:
    """Footprints on a land outline, coloured by cloud cover; the area of interest as a dashed line.

    Parameters
    ----------
    result
        A search result, or a GeoDataFrame with lon/lat footprints (any CRS; it is reprojected) and, if it has one, a
        column `cloud_cover` in per cent. Products without a footprint are counted in the title.
    aoi
        Anything that `extenso_nb.aoi.area` takes.
    ax
        Axes to draw on; a new figure when None.

    Returns
    -------
    Axes in degrees, its figure in `.figure`. An empty result gives the map alone.

    Raises
    ------
    AreaError
        When `aoi` is no area.
    """
    frame = result.gdf if isinstance(result, SearchResult) else result
    if frame.crs is not None and frame.crs.to_epsg() != 4326:
        frame = frame.to_crs(4326)
    outline = _area_geometry(aoi)
    drawn = [shape is not None and not shape.is_empty for shape in frame.geometry]
    shapes = frame.geometry[drawn]
    clouds = list(frame["cloud_cover"][drawn]) if "cloud_cover" in frame.columns else [None] * len(shapes)
    view = _view([*shapes, *([] if outline is None else [outline])])
    if ax is None:
        west, south, east, north = view
        stretch = max(math.cos(math.radians((south + north) / 2)), 0.05)
        ratio = (north - south) / ((east - west) * stretch)
        ax = new_figure(7.5, min(max(7.5 * ratio, 3.0), 9.0)).subplots()
    _draw_land(ax, view)
    # Large ones first: a small footprint inside a large one stays visible.
    order = sorted(range(len(shapes)), key=lambda at: -shapes.iloc[at].area)
    for at in order:
        _outline(ax, shapes.iloc[at], face=cloud_colour(clouds[at]), edge="#1b2a38", alpha=0.55)
        _mark_speck(ax, shapes.iloc[at], view, face=cloud_colour(clouds[at]), edge="#1b2a38", size=5)
    if outline is not None:
        _outline(ax, outline, face="none", edge="#c2410c", alpha=1.0, dashed=True)
        _mark_speck(ax, outline, view, face="none", edge="#c2410c", size=10)
    missing = len(frame) - len(shapes)
    ax.set_title(
        f"{len(shapes)} footprint{'s' * (len(shapes) != 1)}" + (f", {missing} without" if missing else ""), fontsize=10
    )
    _cloud_key(ax, clouds)
    return ax


def _area_geometry(aoi: Any) -> Any:
    if aoi is None:
        return None
    from extenso_nb.aoi import area

    return area(aoi).geometry


def _view(shapes: Sequence[Any]) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees around all shapes, with a margin; the world when there are none."""
    if not shapes:
        return -180.0, -60.0, 180.0, 80.0
    bounds = [shape.bounds for shape in shapes]
    west, south = min(box[0] for box in bounds), min(box[1] for box in bounds)
    east, north = max(box[2] for box in bounds), max(box[3] for box in bounds)
    margin = max(0.15 * max(east - west, north - south), 0.25)
    return max(west - margin, -180.0), max(south - margin, -90.0), min(east + margin, 180.0), min(north + margin, 90.0)


def _draw_land(ax: Axes, view: tuple[float, float, float, float]) -> None:
    import shapely

    west, south, east, north = view
    ax.set_facecolor(_SEA)
    # One degree more than is seen, so that the cut itself has no coast line.
    shown = shapely.clip_by_rect(land(), west - 1, south - 1, east + 1, north + 1)
    for part in shapely.get_parts(shown):
        if part.geom_type == "Polygon":
            _outline(ax, part, face=_LAND, edge=_COAST, alpha=1.0)
    ax.set_xlim(west, east)
    ax.set_ylim(south, north)
    ax.set_aspect(1 / max(math.cos(math.radians((south + north) / 2)), 0.05), adjustable="box")
    ax.tick_params(labelsize=8, colors="#555555")
    ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}°{'W' if value < 0 else 'E' if value else ''}")
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}°{'S' if value < 0 else 'N' if value else ''}")


def _outline(ax: Axes, shape: Any, *, face: str, edge: str, alpha: float, dashed: bool = False) -> None:
    """Draw a polygon (with holes), or each part of a collection; lines and points as markers."""
    import numpy as np
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for part in getattr(shape, "geoms", [shape]):
        if part.geom_type == "Polygon":
            rings = [np.asarray(ring.coords)[:, :2] for ring in (part.exterior, *part.interiors)]
            path = Path.make_compound_path(*(Path(ring, closed=True) for ring in rings))
            fill = face != "none"
            ax.add_patch(
                PathPatch(path, facecolor=face, edgecolor="none", alpha=alpha if fill else 0.0, linewidth=0, zorder=2)
            )
            ax.add_patch(
                PathPatch(
                    path, fill=False, edgecolor=edge, linewidth=0.8, linestyle="--" if dashed else "-", zorder=2.5
                )
            )
        else:
            points = np.asarray(part.coords)[:, :2] if hasattr(part, "coords") else np.empty((0, 2))
            ax.plot(points[:, 0], points[:, 1], "o-", color=edge, markersize=4, linewidth=0.8)


def _mark_speck(
    ax: Axes, shape: Any, view: tuple[float, float, float, float], *, face: str, edge: str, size: float
) -> None:
    """A ring around what is too small to be seen on this map: a scene of 5 km, say, on a map of Europe."""
    west, south, east, north = shape.bounds
    if max(east - west, north - south) < 0.012 * max(view[2] - view[0], view[3] - view[1]):
        ax.plot(
            (west + east) / 2,
            (south + north) / 2,
            "o",
            markersize=size,
            markerfacecolor=face,
            markeredgecolor=edge,
            markeredgewidth=0.8,
            zorder=2.6,
        )


def _cloud_key(ax: Axes, clouds: Sequence[float | None]) -> None:
    """A key with numbers, when any footprint has a cloud figure."""
    from matplotlib.patches import Patch

    known = [cloud for cloud in clouds if cloud is not None and not math.isnan(cloud)]
    keys = [
        Patch(facecolor=cloud_colour(step), edgecolor="#1b2a38", label=f"{step} %") for step in (0, 25, 50, 75, 100)
    ]
    if known:
        # Beside the map: on it, it would cover footprints.
        ax.legend(
            handles=keys, title="cloud", fontsize=7, title_fontsize=7, loc="lower left", bbox_to_anchor=(1.01, 0.0)
        )


# --- quicklooks ------------------------------------------------------------------------------------------------------
def quicklooks(
    pictures: SearchResult | Mapping[str, bytes] | Iterable[tuple[str, bytes]], *, columns: int = 4, limit: int = 24
) -> Figure:
    """A sheet of pictures with their names above.

    Parameters
    ----------
    pictures
        A search result (its thumbnails are fetched), or pairs of a label and the bytes of a JPEG or PNG.
    columns
        Pictures in a row.
    limit
        At most so many; the title says when there are more.

    Raises
    ------
    InputError
        When there is no picture, or bytes are none; the label is named.
    """
    import numpy as np

    pairs, count = _pairs(pictures, limit)
    if not pairs:
        raise InputError(
            "There is no picture to draw.", hint="Sentinel-5P products have none; draw `footprints` instead."
        )
    images = [_decoded(label, content) for label, content in pairs]
    columns = max(1, min(columns, len(pairs)))
    rows = math.ceil(len(pairs) / columns)
    figure = new_figure(2.2 * columns, 2.5 * rows + 0.3)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (label, _), image in zip(axes, pairs, images, strict=False):
        ax.imshow(image)
        ax.set_title(_wrapped(label), fontsize=6, family="monospace")
    figure.suptitle(f"{len(pairs)} of {count}" if count > len(pairs) else f"{count} products", fontsize=9)
    return figure


def _pairs(pictures: Any, limit: int) -> tuple[list[tuple[str, bytes]], int]:
    if isinstance(pictures, SearchResult):
        found = pictures.thumbnails(limit)
        return [(key, found[key]) for key in pictures.ids[:limit] if key in found], len(pictures)
    pairs = list(pictures.items()) if isinstance(pictures, Mapping) else list(pictures)
    return pairs[:limit], len(pairs)


def _decoded(label: str, content: bytes) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"The picture of {label} cannot be decoded: {error}", hint="Fetch it again.") from error


def _wrapped(label: str, width: int = 30) -> str:
    return "\n".join(label[at : at + width] for at in range(0, min(len(label), 3 * width), width)).replace("$", r"\$")
