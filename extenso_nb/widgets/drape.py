"""Where the pixels of a quicklook lie on Earth, and the picture warped onto a Web Mercator map: geometry only, no network.

Rows and columns of quicklooks are those of the products. Sentinel-2 shows the whole tile, north up. Sentinel-1 is in radar
geometry: rows in time, columns away from the satellite, which looks to its right; seen from above that is a mirror image,
upside down on ascending passes and left-right on descending ones (`preview/map-overlay.kml` of a product says the same).
Sentinel-3 has rows in time and columns from the left of a satellite flying up the picture turned round: north up on
descending passes, turned by half a circle on ascending ones.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from extenso_nb.errors import InputError
from extenso_nb.models import Product

__all__ = ["SIDE", "joined", "nodes", "tile_corner", "warp"]

Floats = NDArray[np.float64]
SIDE = 512
"""Longer side of what goes to the browser, pixels."""
_MOST_PIXELS = 64_000_000
"""Of a picture that is still read: a few kB can unpack to any number."""
_CELLS = 16
"""The picture is warped in so many cells each way: edges of swaths are curved on a map."""
_MERCATOR = 85.05
_FAR = 30.0
"""Degrees of arc from its middle within which a scene is still laid on a flat map."""
_INCLINATION = {"S1": 98.18, "S3": 98.65}
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_TILE = 109_800.0


def nodes(product: Product) -> Floats:
    """Where the picture of a product lies: lon and lat of the corners of its cells, (17, 17, 2), first row first.

    Longitudes are without a jump, so beyond ±180 for what crosses the antimeridian. Raises InputError with the reason when
    it cannot be laid on a map.
    """
    if product.collection == "S5P":
        raise InputError(f"{product.id} has no quicklook.", hint="Sentinel-5P products come without one.")
    if product.footprint is None:
        raise InputError(f"{product.id} has no footprint.", hint="Look at the quicklook in its details.")
    shape = joined(product.footprint)
    if shape.geom_type != "Polygon":
        raise InputError(
            f"The footprint of {product.id} is in {len(shapely.get_parts(shape))} pieces; its quicklook fits none of them.",
            hint="Look at the quicklook in its details.",
        )
    found = (
        _upright(product.tile_id, shape) if product.collection == "S2" and product.tile_id else _swath(product, shape)
    )
    if np.abs(found[..., 1]).max() > _MERCATOR:
        raise InputError(
            f"{product.id} reaches beyond {_MERCATOR:.0f}° of latitude, where the map ends.",
            hint="Look at the quicklook in its details.",
        )
    return found


def joined(footprint: dict[str, Any]) -> Any:
    """A footprint in one piece: what is cut at the antimeridian is put together beyond 180° east."""
    shape = shapely.geometry.shape(footprint)
    parts = list(shapely.get_parts(shape))
    if len(parts) > 1 and shape.bounds[0] <= -179.999 and shape.bounds[2] >= 179.999:
        moved = [_moved(part, 360.0) if part.bounds[2] <= 0 else part for part in parts]
        whole = shapely.union_all(moved)
        if len(shapely.get_parts(whole)) == len(parts):
            # A hair wider, so that pieces that differ in the last digit on the seam become one.
            whole = shapely.union_all([part.buffer(1e-7, join_style="mitre") for part in moved])
            whole = whole.buffer(-1e-7, join_style="mitre")
        return shapely.simplify(whole, 1e-9)
    return parts[0] if len(parts) == 1 else shape


def _moved(shape: Any, by: float) -> Any:
    return shapely.transform(shape, lambda xy: xy + np.array([by, 0.0]))


# --- Sentinel-2 ------------------------------------------------------------------------------------------------------
def tile_corner(tile_id: str) -> tuple[int, float, float]:
    """EPSG code, and easting and northing of the upper left corner in m, of a tile such as 31TCJ.

    Tiles are the 100 km squares of MGRS, their corners moved outwards onto a grid of 60 m and 109.8 km wide. Raises InputError.
    """
    from pyproj import Transformer

    name = tile_id.upper().removeprefix("T")
    try:
        zone, band, column, row = (
            int(name[:2]),
            _BANDS.index(name[2]),
            _COLUMNS[int(name[:2]) % 3].index(name[3]),
            name[4:],
        )
        step = (_ROWS.index(row) - (5 if zone % 2 == 0 else 0)) % 20
        if not 1 <= zone <= 60 or len(row) != 1:
            raise ValueError(tile_id)
    except (ValueError, IndexError):
        raise InputError(f"{tile_id!r} is no tile of Sentinel-2.", hint="Such as 31TCJ.") from None
    south = band < _BANDS.index("N")
    epsg = (32700 if south else 32600) + zone
    west = 100_000.0 * (column + 1)
    to_lonlat = Transformer.from_crs(epsg, 4326, always_xy=True)
    tops = 100_000.0 * (step + 1) + 2_000_000.0 * np.arange(5)
    lat = to_lonlat.transform(np.full(5, west + 50_000), tops - 50_000)[1]
    # Rows are named anew every 2,000 km: the band says which one it is. The last band, X, is 12° high.
    middle = -80 + 8 * band + (6 if name[2] == "X" else 4)
    top = float(tops[int(np.argmin(np.abs(np.asarray(lat) - middle)))])
    equator = 10_000_000 if south else 0  # the grid of 60 m begins there
    return epsg, 60 * math.floor(west / 60), equator + 60 * math.ceil((top - equator) / 60)


def _upright(tile_id: str, shape: Any) -> Floats:
    """The whole tile; or the footprint, where that is a rectangle along the tile's own axes: a picture cut out of a tile."""
    from pyproj import Transformer

    epsg, left, top = tile_corner(tile_id)
    there = Transformer.from_crs(4326, epsg, always_xy=True)
    plane = shapely.transform(shape, lambda xy: np.column_stack(there.transform(xy[:, 0], xy[:, 1])))
    frame = (left, top - _TILE, left + _TILE, top)
    box = plane.bounds
    # A footprint cut at the edge of the swath is slanted, and never fills the box around it.
    if plane.area > 0.985 * shapely.box(*box).area:
        frame = box if plane.area < 0.9 * _TILE**2 else frame
    xs, ys = np.linspace(frame[0], frame[2], _CELLS + 1), np.linspace(frame[3], frame[1], _CELLS + 1)
    x, y = np.meshgrid(xs, ys)
    back = Transformer.from_crs(epsg, 4326, always_xy=True)
    return _continuous(np.stack(back.transform(x, y), axis=-1))


# --- swaths ----------------------------------------------------------------------------------------------------------
def _swath(product: Product, shape: Any) -> Floats:
    """Between the four sides of the footprint, which begin and end at its corners."""
    ring = _on_sphere(shapely.get_coordinates(shapely.geometry.polygon.orient(shape).exterior)[:-1])
    centre = ring.mean(axis=0)
    norm = float(np.linalg.norm(centre))
    far = 180.0 if norm < 1e-6 else math.degrees(math.acos(np.clip((ring @ centre / norm).min(), -1, 1)))
    if far > _FAR:
        raise InputError(
            f"{product.id} is {2 * far:,.0f}° long, too long to lie on a flat map.",
            hint="Look at the quicklook in its details.",
        )
    centre /= norm
    flat = _flat(ring, centre)
    if _turning(flat) < 0:
        ring, flat = ring[::-1], flat[::-1]
    at = _corners(flat)
    # Counter-clockwise from above. A mirror image goes the same way round from its first corner, any other goes back.
    order = _oriented(product, flat[at], centre, mirrored=product.collection == "S1")
    return _continuous(_lonlat(_patch([_side(ring, at, order[k], order[(k + 1) % 4]) for k in range(4)])))


def _on_sphere(lonlat: Floats) -> Floats:
    lon, lat = np.radians(lonlat[:, 0]), np.radians(lonlat[:, 1])
    points: Floats = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return points


def _lonlat(points: Floats) -> Floats:
    lon = np.degrees(np.arctan2(points[..., 1], points[..., 0]))
    return np.stack([lon, np.degrees(np.arcsin(np.clip(points[..., 2], -1, 1)))], axis=-1)


def _continuous(lonlat: Floats) -> Floats:
    """Longitudes without jumps, their middle within -180..180."""
    lon = lonlat[..., 0]
    lon = lon[0, 0] + (lon - lon[0, 0] + 180) % 360 - 180
    lon = lon - 360 * math.floor((float(lon.mean()) + 180) / 360)
    return np.stack([lon, lonlat[..., 1]], axis=-1)


def _flat(points: Floats, centre: Floats) -> Floats:
    """Degrees east and north of a point on the plane that touches the sphere there."""
    east = np.cross([0.0, 0.0, 1.0], centre)
    east /= max(float(np.linalg.norm(east)), 1e-12)
    flat: Floats = np.degrees(np.column_stack([points @ east, points @ np.cross(centre, east)]))
    return flat


def _turning(flat: Floats) -> float:
    x, y = flat[:, 0], flat[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _corners(flat: Floats) -> list[int]:
    """The four vertices of a ring (counter-clockwise) that span the largest quadrangle, in the order of the ring."""
    count = len(flat)
    if count < 4:
        raise InputError(
            "The footprint has three corners: no picture fits it.", hint="Look at the quicklook in its details."
        )
    best, found = -1.0, [0, 1, 2, 3]
    for first in range(count - 2):
        for third in range(first + 2, count):
            along = flat[third] - flat[first]
            off = along[0] * (flat[:, 1] - flat[first, 1]) - along[1] * (flat[:, 0] - flat[first, 0])
            inner, outer = np.arange(first + 1, third), np.r_[np.arange(third + 1, count), np.arange(first)]
            if not outer.size:
                continue
            second, fourth = int(inner[np.argmin(off[inner])]), int(outer[np.argmax(off[outer])])
            area = float(off[fourth] - off[second])
            if area > best * (1 + 1e-9):
                best, found = area, [first, second, third, fourth]
    return sorted(found)


def _oriented(product: Product, corners: Floats, centre: Floats, *, mirrored: bool) -> list[int]:
    """Which corners are upper left, upper right, lower right and lower left of the picture: rows go as the satellite flies."""
    latitude = math.asin(float(np.clip(centre[2], -1, 1)))
    ratio = math.cos(math.radians(_INCLINATION.get(product.collection, 98.2))) / max(math.cos(latitude), 1e-6)
    up = math.asin(max(-1.0, min(1.0, ratio)))
    # Azimuths of flight; where the catalogue does not say which pass it is, the slant of the footprint does.
    azimuths = {"ascending": [up], "descending": [math.pi - up]}.get(
        (product.orbit_direction or "").lower(), [up, math.pi - up]
    )
    step = 1 if mirrored else -1
    best, found = -math.inf, [0, 1, 2, 3]
    for start in range(4):
        order = [(start + step * k) % 4 for k in range(4)]
        rows = corners[order[2]] + corners[order[3]] - corners[order[0]] - corners[order[1]]
        for azimuth in azimuths:
            fit = float(rows @ [math.sin(azimuth), math.cos(azimuth)]) / float(np.linalg.norm(rows))
            if fit > best:
                best, found = fit, order
    return found


def _side(ring: Floats, at: list[int], first: int, last: int) -> Floats:
    """The ring from one corner to its neighbour, as points at equal distances, (17, 3)."""
    forwards = (last - first) % 4 == 1
    start, stop = (at[first], at[last]) if forwards else (at[last], at[first])
    count = len(ring)
    line = ring[(start + np.arange((stop - start) % count + 1)) % count]
    line = line if forwards else line[::-1]
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    wanted = np.linspace(0, way[-1], _CELLS + 1)
    points = np.column_stack([np.interp(wanted, way, line[:, axis]) for axis in range(3)])
    unit: Floats = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


def _patch(sides: list[Floats]) -> Floats:
    """The surface between four sides, clockwise in the picture from its upper left corner (Coons 1967), on the sphere."""
    top, right, bottom, left = sides[0], sides[1], sides[2][::-1], sides[3][::-1]
    u = np.linspace(0, 1, _CELLS + 1)[None, :, None]
    v = np.linspace(0, 1, _CELLS + 1)[:, None, None]
    corners = (1 - u) * (1 - v) * top[0] + u * (1 - v) * top[-1] + (1 - u) * v * bottom[0] + u * v * bottom[-1]
    surface = (1 - v) * top[None] + v * bottom[None] + (1 - u) * left[:, None] + u * right[:, None] - corners
    unit: Floats = surface / np.linalg.norm(surface, axis=-1, keepdims=True)
    return unit


# --- the picture -----------------------------------------------------------------------------------------------------
def read_picture(content: bytes, side: int) -> Any:
    """A picture from elsewhere, RGB, of at most so many pixels on its longer side. Raises OSError for what is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (side, side))
            if image.width * image.height > _MOST_PIXELS:
                raise OSError(f"{image.width} times {image.height} pixels are too many")
            picture = image.convert("RGB")
        picture.thumbnail((side, side))
    except OSError:
        raise
    except Exception as error:  # pillow raises SyntaxError, ValueError and more for pictures that are broken
        raise OSError(f"the picture is damaged ({error})") from error
    return picture


def warp(content: bytes, lonlat: Floats, keep: Any = None) -> tuple[bytes, list[list[float]]]:
    """A picture laid on the map: WEBP with the rest transparent, and its [[south, west], [north, east]].

    Parameters
    ----------
    content
        JPEG or PNG.
    lonlat
        As `nodes` gives them.
    keep
        The footprint in one piece, as `joined` gives it: what lies outside is transparent too.

    Raises OSError for what is no picture.
    """
    from PIL import Image

    picture = read_picture(content, 2 * SIDE)
    pixels = np.asarray(picture, dtype=np.float32)
    x, y = lonlat[..., 0], _northing(lonlat[..., 1])
    west, east, south, north = float(x.min()), float(x.max()), float(y.min()), float(y.max())
    scale = SIDE / max(east - west, north - south)
    width, height = max(1, round((east - west) * scale)), max(1, round((north - south) * scale))
    columns, rows = (x - west) / (east - west) * width, (north - y) / (north - south) * height
    canvas = np.zeros((height, width, 4), dtype=np.uint8)
    _paint(canvas, pixels, np.stack([columns, rows], axis=-1))
    if keep is not None:
        edge = shapely.transform(
            keep,
            lambda xy: np.column_stack(
                [(xy[:, 0] - west) / (east - west) * width, (north - _northing(xy[:, 1])) / (north - south) * height]
            ),
        )
        canvas[..., 3] = np.minimum(canvas[..., 3], _mask(edge, width, height))
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "WEBP", quality=80, method=4)
    low, high = (math.degrees(2 * math.atan(math.exp(math.radians(value))) - math.pi / 2) for value in (south, north))
    return buffer.getvalue(), [[low, west], [high, east]]


def _northing(latitude: Floats) -> Floats:
    """Of Web Mercator, in the degrees that longitudes have."""
    lat = np.radians(np.clip(latitude, -_MERCATOR, _MERCATOR))
    northing: Floats = np.degrees(np.log(np.tan(np.pi / 4 + lat / 2)))
    return northing


def _mask(shape: Any, width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    image = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for part in shapely.get_parts(shape):
        draw.polygon([tuple(point) for point in part.exterior.coords], fill=255, outline=255)
    return np.asarray(image)


def _paint(canvas: NDArray[np.uint8], pixels: NDArray[np.float32], at: Floats) -> None:
    """Cell by cell: the pixels of the map within it, brought back into the picture by the perspective of its four corners."""
    cells = at.shape[0] - 1
    height, width = canvas.shape[:2]
    high, wide = pixels.shape[:2]
    for row in range(cells):
        for column in range(cells):
            quad = at[[row, row, row + 1, row + 1], [column, column + 1, column + 1, column]]
            (x0, y0), (x1, y1) = np.floor(quad.min(axis=0)).astype(int), np.ceil(quad.max(axis=0)).astype(int)
            x, y = np.meshgrid(np.arange(max(x0, 0), min(x1, width)), np.arange(max(y0, 0), min(y1, height)))
            inverse = _perspective(quad)
            if x.size == 0 or inverse is None:
                continue
            a, b, c, d, e, f, g, h = inverse
            below = g * (x + 0.5) + h * (y + 0.5) + 1
            u, v = (a * (x + 0.5) + b * (y + 0.5) + c) / below, (d * (x + 0.5) + e * (y + 0.5) + f) / below
            inside = (u >= -1e-6) & (u <= 1 + 1e-6) & (v >= -1e-6) & (v <= 1 + 1e-6)
            values = _bilinear(
                pixels, (column + u[inside]) / cells * wide - 0.5, (row + v[inside]) / cells * high - 0.5
            )
            canvas[y[inside], x[inside], :3] = values
            canvas[y[inside], x[inside], 3] = 255


def _perspective(quad: Floats) -> Floats | None:
    """The eight numbers that bring a quadrangle (upper left, upper right, lower right, lower left) to the unit square."""
    rows, right = [], []
    for (x, y), (u, v) in zip(quad, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    try:
        found: Floats = np.linalg.solve(np.array(rows), np.array(right, dtype=np.float64))
    except np.linalg.LinAlgError:
        return None
    return found


def _bilinear(pixels: NDArray[np.float32], x: Floats, y: Floats) -> NDArray[np.uint8]:
    high, wide = pixels.shape[:2]
    x, y = np.clip(x, 0, wide - 1), np.clip(y, 0, high - 1)
    left, top = np.minimum(x.astype(int), max(wide - 2, 0)), np.minimum(y.astype(int), max(high - 2, 0))
    right, low = np.minimum(left + 1, wide - 1), np.minimum(top + 1, high - 1)
    dx, dy = (x - left)[:, None], (y - top)[:, None]
    upper = pixels[top, left] * (1 - dx) + pixels[top, right] * dx
    lower = pixels[low, left] * (1 - dx) + pixels[low, right] * dx
    found: NDArray[np.uint8] = np.clip(np.rint(upper * (1 - dy) + lower * dy), 0, 255).astype(np.uint8)
    return found
