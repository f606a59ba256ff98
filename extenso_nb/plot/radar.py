"""Backscatter of Sentinel-1 images in dB, on the grid of the image: grey, or both polarisations as colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import ExtensoError, InputError, UnknownBand
from extenso_nb.plot import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from xarray import DataArray, Dataset, DataTree

__all__ = ["backscatter"]

_BATCH = 1 << 21
"""Pixels that are read at a time: 8 MB of float32, ten times as much with what is computed from them."""
_READERS = 8
"""Runs of lines that are read at a time: what is waited for are the disk, and answers of products at addresses."""
_STRIP = 16
"""Lines of a block of the file up to which single lines are read by themselves."""
_KINDS = {"sigma0": "sigma nought", "beta0": "beta nought", "gamma0": "gamma nought", "dn": "digital number squared"}


def backscatter(
    source: DataTree | Dataset | DataArray,
    bands: str | Sequence[str] | None = None,
    *,
    image: str | None = None,
    kind: str = "sigma0",
    looks: int = 2,
    percent: tuple[float, float] = (2.0, 98.0),
    limits: tuple[float, float] | None = None,
    max_pixels: int = 800,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Calibrated backscatter of a Sentinel-1 GRD or SLC image, dB: grey of one polarisation, false colours of two.

    Of two, red is the co-polarised (VV, HH), green the cross-polarised one (VH, HV), and blue their ratio, the difference in dB:
    water is blue, what grows green to yellow, built-up places pink to white. The image stays on its
    own grid, turned so that north is up to within the angle of the orbit; an arrow points to true north.

    What is read: where the file is stored line by line (all GRD and SLC but for COGs), `looks` neighbouring lines of each of at
    most `max_pixels` rows of the picture, whole; of a GRD of 16,700 lines 10 %. Of tiled files everything, a row of tiles
    at a time. Power is averaged over these lines and over as many pixels as make one of the picture, then made dB.
    Two million pixels at a time are in memory, whatever the size of the image.

    Parameters
    ----------
    source
        A product as `open_product` gives it, a group of it, or an array of pixels. What is calibrated already is drawn as it is.
    bands
        `"vv"`, or a pair such as `("vv", "vh")`; None takes two where there are two.
    image
        Of an SLC: the image or swath, such as `"IW2"`; None takes the first.
    kind
        `"sigma0"`, `"beta0"` or `"gamma0"`; `"dn"` for the numbers of the product squared, which need no calibration.
    looks
        Lines read for a row of the picture.
    percent, limits
        What the ends of the grey are, by percentiles or in dB; of false colours each channel is by its own percentiles.
    max_pixels
        Rows and columns of the picture at most.
    title
        None takes the product's identifier.
    ax
        Axes to draw on; a new figure when None.

    Raises
    ------
    UnknownBand
        The image has no such polarisation.
    InputError
        Not of Sentinel-1, or not one valid pixel.
    IncompleteProduct
        The product lacks the calibration of the image.
    """
    where, images = _chosen(source, image)
    names = _bands(images, bands)
    arrays = [_power(images[name], kind) for name in names]
    if len({array.shape for array in arrays}) > 1:
        raise InputError(f"{' and '.join(names)} differ in size.", hint="Draw one of them.")
    reduced = [_decibel(_reduced(array, max_pixels, max(1, looks))) for array in arrays]
    place = _placed(arrays[0])
    shown = [layer[:: place.down, :: place.across] for layer in reduced]
    height, width = arrays[0].shape
    extent = (0.0, width * place.across_metres, 0.0, height * place.down_metres)
    single = len(shown) == 1
    kind = str(arrays[0].attrs.get("calibration", kind))
    facts = canvas.attributes(source)
    ratio = extent[3] / extent[1]
    ax = canvas.axes_for(ax, ratio, beside=1.0 if single else 0.0)
    if single:
        low, high = canvas.span(shown[0], percent, limits, f"{facts.get('product_id', 'The image')}: {names[0]}")
        picture = ax.imshow(
            shown[0], extent=extent, origin="upper", interpolation="nearest", cmap="gray", vmin=low, vmax=high
        )
        canvas.colour_bar(ax, picture, shown[0], f"{_KINDS.get(kind, kind)}, {names[0].upper()} (dB)", ratio=ratio)
    else:
        colours, key = _colours(shown, names, percent)
        ax.imshow(colours, extent=extent, origin="upper", interpolation="nearest")
        ax.set_xlabel(f"{_KINDS.get(kind, kind)}: {key}", fontsize=8)
    ax.set_xticks([])
    ax.set_yticks([])
    if place.known:
        canvas.scale_bar(ax, extent)
        _north(ax, place.azimuth)
    what = " ".join(part for part in (where, *(name.upper() for name in names), kind) if part)
    canvas.headline(ax, facts, what if place.known else f"{what}, place unknown", title)
    return ax


# --- which -----------------------------------------------------------------------------------------------------------
def _chosen(source: Any, image: str | None) -> tuple[str, dict[str, DataArray]]:
    """What an SLC calls the swath (else nothing), and its arrays by polarisation."""
    import xarray as xr

    if isinstance(source, xr.DataArray):
        return "", {str(source.name or "values"): source}
    if isinstance(source, xr.Dataset):
        groups = {"": source}
    else:
        groups = {node.path.strip("/"): node.to_dataset() for node in source.subtree if node.data_vars}
    by_swath: dict[str, dict[str, DataArray]] = {}
    for path, dataset in groups.items():
        swath = "" if path.startswith("measurements") else path.partition("/")[0]
        for name, array in dataset.data_vars.items():
            if "radar" in array.encoding:
                by_swath.setdefault(swath, {})[str(name)] = array
    if not by_swath:
        raise InputError(
            f"{source.attrs.get('product_id', 'This')} has no Sentinel-1 images.",
            hint="Pass a GRD or SLC product as `open_product` gives it; of OCN products draw `swath_map`.",
        )
    wanted = next(iter(by_swath)) if image is None else image.strip("/").partition("/")[0]
    if wanted not in by_swath:
        raise UnknownBand(f"There is no image {image!r}; there are {', '.join(by_swath)}.", bands=list(by_swath))
    return wanted, by_swath[wanted]


def _bands(images: dict[str, DataArray], bands: str | Sequence[str] | None) -> list[str]:
    there = sorted(images, key=lambda name: (name[:1] != name[1:2], name))  # vv before vh
    if bands is None:
        return there[:2]
    names = [bands] if isinstance(bands, str) else list(bands)
    if not 1 <= len(names) <= 2:
        raise InputError(f"One or two polarisations are drawn; got {names}.")
    for name in names:
        if name not in images:
            raise UnknownBand(f"There is no {name!r} here; there are {', '.join(there)}.", bands=there)
    return names


def _power(array: DataArray, kind: str) -> DataArray:
    from extenso_nb.readers.calibration import calibrate, radar_of

    return array if kind == "dn" or radar_of(array).calibrated is not None else calibrate(array, kind)


# --- pixels ----------------------------------------------------------------------------------------------------------
def _reduced(array: DataArray, max_pixels: int, looks: int) -> NDArray[Any]:
    """Mean power, shape (rows, columns) of the picture, NaN where there is none."""
    import numpy as np

    from extenso_nb.readers.calibration import radar_of

    lines, pixels = array.shape
    down, along = (max(1, math.ceil(size / max_pixels)) for size in array.shape)
    rows, columns = math.ceil(lines / down), math.ceil(pixels / along)
    total, count = np.zeros((rows, columns)), np.zeros((rows, columns))
    numbers = radar_of(array).calibrated is None
    starts = np.arange(0, pixels, along)
    for batch in _batches(array, down, looks):
        values = _read(array, batch)
        if numbers:
            values = np.abs(values)
        values = values.astype(np.float64)
        if numbers:
            values **= 2
        elif array.attrs.get("units") == "dB":
            values = 10.0 ** (values / 10.0)
        valid = np.isfinite(values)
        at = np.concatenate([np.arange(part.start, part.stop) for part in batch]) // down
        np.add.at(total, at, np.add.reduceat(np.where(valid, values, 0.0), starts, axis=1))
        np.add.at(count, at, np.add.reduceat(valid.astype(np.float64), starts, axis=1))
    mean: NDArray[Any] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _batches(array: DataArray, down: int, looks: int) -> Iterator[list[slice]]:
    """The lines that are read, as runs of neighbours; as many at a time as `_BATCH` allows."""
    from extenso_nb.readers.calibration import radar_of

    lines, pixels = array.shape
    tile = radar_of(array).pixels.image.tile[0]
    if down == 1 or tile > _STRIP:
        height = max(1, _BATCH // pixels)
        height = max(1, height // tile) * tile if height >= tile else height
        for top in range(0, lines, height):
            yield [slice(top, min(top + height, lines))]
        return
    looks = min(looks, down)
    runs = [slice(top, min(top + looks, lines)) for top in range((down - looks) // 2, lines, down)]
    size = max(1, _BATCH // (looks * pixels))
    for first in range(0, len(runs), size):
        yield runs[first : first + size]


def _read(array: DataArray, runs: list[slice]) -> NDArray[Any]:
    """The lines of these runs, one below the other.

    Each run is a graph of its own: in a common one dask would read each chunk of 512 lines once, and whole.
    """
    import numpy as np

    def one(run: slice) -> NDArray[Any]:
        part = array.isel(line=run)
        return np.asarray(part.compute(scheduler="synchronous").values if array.chunks is not None else part.values)

    if len(runs) == 1:
        return np.asarray(array.isel(line=runs[0]).values)
    with ThreadPoolExecutor(_READERS) as pool:
        return np.concatenate(list(pool.map(one, runs)))


def _decibel(power: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.asarray(10.0 * np.log10(power, out=np.full(power.shape, np.nan), where=power > 0))


def _colours(
    layers: Sequence[NDArray[Any]], names: Sequence[str], percent: tuple[float, float]
) -> tuple[NDArray[Any], str]:
    """RGBA (line, pixel, 4) of co- and cross-polarised backscatter and their ratio, and what the colours mean."""
    import numpy as np

    co, cross = layers
    ratio = co - cross
    channels, words = [], []
    labels = (names[0].upper(), names[1].upper(), f"{names[0].upper()} - {names[1].upper()}")
    for colour, text, values in zip(("red", "green", "blue"), labels, (co, cross, ratio), strict=True):
        low, high = canvas.span(values, percent, None, text)
        channels.append(np.clip((values - low) / (high - low), 0, 1))
        words.append(f"{colour} {text} {low:.0f} to {high:.0f}")
    cube = np.stack(channels, axis=-1)
    valid = np.isfinite(cube).all(axis=-1)
    cube = np.where(valid[..., None], cube, 0.0)
    return np.concatenate([cube, valid[..., None]], axis=-1).astype("float32"), ", ".join(words) + " dB"


# --- places ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Place:
    """How an image is turned for north to be up, and how large its pixels are on the ground."""

    down: int = 1
    """-1 where the last line is the northern one."""
    across: int = 1
    """-1 where the last pixel is the western one."""
    down_metres: float = 1.0
    across_metres: float = 1.0
    azimuth: float = 0.0
    """Of what is up in the picture, degrees from north clockwise."""
    known: bool = False


def _placed(array: DataArray) -> _Place:
    """From the places of nine pixels on the ellipsoid; of an image without a geometry nothing is known."""
    import numpy as np
    from pyproj import Geod

    from extenso_nb.readers.geolocation import geolocate

    height, width = array.shape
    if min(height, width) < 3:
        return _Place()
    rows, columns = [0, height // 2, height - 1], [0, width // 2, width - 1]
    try:
        places = geolocate(array.isel(line=rows, pixel=columns)).compute()
    except ExtensoError:
        return _Place()
    lat, lon = (np.asarray(places[name].values) for name in ("latitude", "longitude"))
    geod = Geod(ellps="WGS84")
    along, _, wide = geod.inv(lon[1, 0], lat[1, 0], lon[1, 2], lat[1, 2])
    ahead, back, long = geod.inv(lon[0, 1], lat[0, 1], lon[2, 1], lat[2, 1])
    north_first = math.cos(math.radians(ahead)) < 0
    east_last = math.sin(math.radians(along)) > 0
    return _Place(
        down=1 if north_first else -1,
        across=1 if east_last else -1,
        down_metres=long / (height - 1),
        across_metres=wide / (width - 1),
        azimuth=back if north_first else ahead,
        known=True,
    )


def _north(ax: Axes, azimuth: float) -> None:
    """An arrow to true north in the upper right corner, where up is `azimuth`."""
    from matplotlib.patheffects import withStroke

    x, y = -math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))
    halo: list[Any] = [withStroke(linewidth=3, foreground="white")]
    tip, letter = (22 * x, 22 * y), (28 * x, 28 * y)  # points
    common: Any = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "zorder": 6,
        "ha": "center",
        "va": "center",
    }
    arrow = ax.annotate(
        "", (0.93, 0.86), tip, arrowprops={"arrowstyle": "<|-", "color": "black", "shrinkA": 0, "shrinkB": 0}, **common
    )
    arrow.set_gid("north")
    assert arrow.arrow_patch is not None
    arrow.arrow_patch.set_path_effects(halo)
    ax.annotate("N", (0.93, 0.86), letter, fontsize=9, fontweight="bold", path_effects=halo, **common)
