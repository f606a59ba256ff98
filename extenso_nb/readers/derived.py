"""Arrays that are computed from others window by window, when they are read: angles between tie points, reflectance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["Axis", "Derived", "Reflectance", "TieAngle", "TieValue", "derived", "light"]

Array = np.ndarray[Any, Any]


class Derived(BackendArray):
    """A two-dimensional array whose windows `compute(rows, columns)` makes, from contiguous slices; float32.

    `compute` is made of lazy variables, so that the array pickles as they do.
    """

    def __init__(self, shape: tuple[int, int], compute: Callable[[slice, slice], Array]) -> None:
        self.shape, self.compute, self.dtype = shape, compute, np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Compute what an xarray indexer asks for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> Array:
        spans, picks = [], []
        for part, size in zip(key, self.shape, strict=True):
            picked = range(*part.indices(size)) if isinstance(part, slice) else range(int(part), int(part) + 1)
            low, high = (min(picked[0], picked[-1]), max(picked[0], picked[-1]) + 1) if picked else (0, 0)
            spans.append(slice(low, high))
            picks.append(np.asarray(picked, dtype=np.int64) - low if isinstance(part, slice) else 0)
        rows, columns = spans
        if rows.stop == rows.start or columns.stop == columns.start:
            block = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        else:
            block = self.compute(rows, columns).astype(np.float32)
        return np.asarray(block[picks[0]][..., picks[1]])


def derived(
    shape: tuple[int, int],
    dims: tuple[str, ...],
    compute: Callable[[slice, slice], Array],
    attributes: dict[str, Any],
    like: xr.Variable,
) -> xr.Variable:
    """A lazy variable of `Derived` values, in chunks as those of `like`."""
    result = xr.Variable(dims, indexing.LazilyIndexedArray(Derived(shape, compute)), attributes)
    sizes = like.encoding.get("preferred_chunks", {})
    result.encoding = {
        "source": like.encoding.get("source"),
        "access": "computed",
        "preferred_chunks": {dim: sizes[dim] for dim in dims if dim in sizes},
        "_FillValue": np.float32(np.nan),
    }
    return result


def light(variable: xr.Variable) -> xr.Variable:
    """A lazy variable without attributes, which a computation does not need and a worker should not be sent."""
    return xr.Variable(variable.dims, variable._data)  # noqa: SLF001 - `.data` and `.copy` would read it


# --- tie points ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Axis:
    """Where image rows or columns lie among the tie points: ``tie = scale * image + offset``."""

    scale: float
    offset: float

    def among(self, image: slice, size: int) -> tuple[slice, Array, Array, Array]:
        """Tie points needed for some image pixels: their slice, the lower and upper neighbour in it, the weight of the upper.

        Beyond the outer tie points it is their value.
        """
        at = np.clip(self.scale * np.arange(image.start, image.stop) + self.offset, 0, size - 1)
        low = np.minimum(np.floor(at).astype(np.int64), max(size - 2, 0))
        high = np.minimum(low + 1, size - 1)
        first = int(low.min())
        return slice(first, int(high.max()) + 1), low - first, high - first, at - low


@dataclass(frozen=True, slots=True)
class TieValue:
    """A number between tie points, linear along both axes."""

    values: xr.Variable
    rows: Axis
    columns: Axis

    def __call__(self, rows: slice, columns: slice) -> Array:
        """Values of a window of the image."""
        return _between((self.values,), self.rows, self.columns, rows, columns, lambda parts: parts)[0]


@dataclass(frozen=True, slots=True)
class TieAngle:
    """Zenith or azimuth of a direction between tie points, degrees: its unit vector is interpolated, not its angles.

    An azimuth of 359 and one of 1 have 0 between them, and at the zenith no azimuth is lost.
    """

    zenith: xr.Variable
    azimuth: xr.Variable
    rows: Axis
    columns: Axis
    part: Literal["zenith", "azimuth"]

    def __call__(self, rows: slice, columns: slice) -> Array:
        """Angles of a window of the image; azimuths from -180 to 180."""
        x, y, z = _between((self.zenith, self.azimuth), self.rows, self.columns, rows, columns, _vectors)
        if self.part == "zenith":
            return np.degrees(np.arctan2(np.hypot(x, y), z))
        return np.degrees(np.arctan2(y, x))


def _vectors(angles: tuple[Array, ...]) -> tuple[Array, ...]:
    zenith, azimuth = (np.radians(part) for part in angles)
    return np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)


def _between(
    variables: tuple[xr.Variable, ...],
    row_axis: Axis,
    column_axis: Axis,
    rows: slice,
    columns: slice,
    prepare: Callable[[tuple[Array, ...]], tuple[Array, ...]],
) -> list[Array]:
    """Bilinear between the tie points around each pixel of a window; those without a value have no weight.

    The oblique view of SLSTR has tie points beyond its edge that were not seen. The pixels before the edge would be lost with
    them, up to 16 km.
    """
    size_y, size_x = variables[0].shape
    need_y, above, below, down = row_axis.among(rows, size_y)
    need_x, left, right, along = column_axis.among(columns, size_x)

    def spread(tie: Array) -> Array:
        across = tie[:, left] * (1.0 - along) + tie[:, right] * along
        return np.asarray(across[above] * (1.0 - down)[:, None] + across[below] * down[:, None])

    ties = prepare(tuple(np.asarray(variable[need_y, need_x].values, dtype=np.float64) for variable in variables))
    seen = np.logical_and.reduce([np.isfinite(tie) for tie in ties])
    if seen.all():
        return [spread(tie) for tie in ties]
    weight = spread(seen.astype(np.float64))
    weight[weight <= 0.0] = np.nan
    return [spread(np.where(seen, tie, 0.0)) / weight for tie in ties]


# --- reflectance -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Reflectance:
    """``pi * L / (E0 * cos(zenith of the sun))``, with E0 of the detector that saw the pixel.

    NaN where there is no radiance, where no detector is named, and where the sun is at or below the horizon.
    """

    radiance: xr.Variable
    """As values, NaN where there is none, in the unit of E0 per steradian."""
    sun: TieAngle
    detector: xr.Variable
    """As stored: an index, or a number that is none."""
    irradiance: xr.Variable
    """Per detector."""

    def __call__(self, rows: slice, columns: slice) -> Array:
        """Reflectance of a window."""
        radiance = np.asarray(self.radiance[rows, columns].values, dtype=np.float64)
        detector = np.asarray(self.detector[rows, columns].values).astype(np.int64)
        flux = np.asarray(self.irradiance.values, dtype=np.float64).ravel()
        known = (detector >= 0) & (detector < len(flux))
        light_in = np.where(known, flux[np.where(known, detector, 0)], np.nan)
        height = np.cos(np.radians(self.sun(rows, columns)))
        light_in = np.where((light_in > 0) & (height > 0), light_in * height, np.nan)
        return np.asarray(np.pi * radiance / light_in)
