"""Farmland of the made-up world: parcels, crops and how they stand through the year."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from extenso_nb.gateway.sources.sample.noise import Array, Floats, hash_of, unit

__all__ = ["CROPS", "Fields", "bloom", "parcels"]

CROPS = ("meadow", "wheat", "rapeseed", "maize", "sunflower", "vineyard", "fallow", "rice")
_DAYS = (91, 121, 136, 152, 167, 182, 213)
"""Days of the year of the knots below: 1 April to 1 August."""
# Green cover by crop and day, then dry cover; the rest is bare soil, or water for rice.
_GREEN = np.array(
    [
        (0.55, 0.80, 0.85, 0.80, 0.68, 0.55, 0.42),
        (0.70, 0.92, 0.95, 0.80, 0.42, 0.10, 0.02),
        (0.85, 0.80, 0.88, 0.78, 0.45, 0.12, 0.02),
        (0.02, 0.04, 0.15, 0.42, 0.75, 0.92, 0.95),
        (0.02, 0.05, 0.22, 0.50, 0.80, 0.90, 0.70),
        (0.12, 0.25, 0.38, 0.46, 0.52, 0.54, 0.52),
        (0.08, 0.12, 0.14, 0.10, 0.06, 0.05, 0.04),
        (0.03, 0.03, 0.08, 0.25, 0.55, 0.82, 0.92),
    ]
)
_DRY = np.array(
    [
        (0.30, 0.12, 0.08, 0.12, 0.22, 0.34, 0.48),
        (0.02, 0.02, 0.03, 0.16, 0.52, 0.85, 0.70),
        (0.04, 0.03, 0.04, 0.16, 0.48, 0.76, 0.60),
        (0.08, 0.05, 0.04, 0.02, 0.02, 0.02, 0.02),
        (0.10, 0.05, 0.03, 0.02, 0.02, 0.02, 0.12),
        (0.12, 0.10, 0.10, 0.12, 0.15, 0.18, 0.20),
        (0.40, 0.32, 0.30, 0.34, 0.40, 0.42, 0.42),
        (0.10, 0.04, 0.03, 0.02, 0.02, 0.03, 0.04),
    ]
)


def _curves(when: datetime) -> tuple[Array, Array]:
    """Green and dry cover by crop and eighth of earliness (-7 to +7 days)."""
    day = when.timetuple().tm_yday
    shifts = np.linspace(-7, 7, 8)
    green = [[np.interp(day + s, _DAYS, row) for s in shifts] for row in _GREEN]
    dry = [[np.interp(day + s, _DAYS, row) for s in shifts] for row in _DRY]
    return np.asarray(green, np.float32), np.asarray(dry, np.float32)


@dataclass(frozen=True, slots=True)
class Fields:
    """Parcels: all arrays have the shape of the places asked for."""

    share: Array
    """How much of the place is farmland, 0 to 1."""
    parcel: npt.NDArray[np.uint32]
    """A number of the parcel, the same all over it."""
    crop: npt.NDArray[np.uint8]
    """Index into CROPS."""
    edge: Array
    """Distance to the edge of the parcel, km."""

    def cover(self, when: datetime) -> tuple[Array, Array, Array]:
        """Green, dry and flooded cover of the parcel at a date, each 0 to 1."""
        green, dry = _curves(when)
        early = ((self.parcel >> np.uint32(5)) & np.uint32(7)).astype(np.intp)
        g, d = green[self.crop, early], dry[self.crop, early]
        wet = np.where(self.crop == CROPS.index("rice"), np.maximum(0.92 - g, 0) * 0.9, 0)
        return g, d, np.asarray(wet, np.float32)


def parcels(x: Floats, y: Floats) -> tuple[npt.NDArray[np.uint32], Array]:
    """Parcels: rectangles, turned district by district. Number and distance to the edge (km)."""
    size = 1.7
    gx, gy = np.floor(x / size).astype(np.int32), np.floor(y / size).astype(np.int32)
    nearest = np.full(x.shape, np.inf, np.float32)
    district = np.zeros(x.shape, np.uint32)
    for di in (0, 1):
        for dj in (0, 1):
            bits = hash_of(gx + np.int32(di), gy + np.int32(dj))
            sx = (gx + di + 0.7 * (unit(bits) - 0.5)) * size
            sy = (gy + dj + 0.7 * (unit(bits, 16) - 0.5)) * size
            away = ((x - sx) ** 2 + (y - sy) ** 2).astype(np.float32)
            closer = away < nearest
            nearest = np.where(closer, away, nearest)
            district = np.where(closer, bits, district)
    turn = unit(district, 3) * np.float32(math.pi)
    c, s = np.cos(turn), np.sin(turn)
    width = 0.09 + 0.20 * unit(district, 7)
    u = (x * c + y * s) / width
    strip = np.floor(u).astype(np.int32)
    bits = hash_of(district.astype(np.int32), strip)
    length = 0.18 + 0.42 * unit(bits, 4)
    v = (y * c - x * s) / length + unit(bits, 12)
    row = np.floor(v).astype(np.int32)
    parcel = hash_of(bits.astype(np.int32), row)
    fu, fv = (u - strip).astype(np.float32), (v - row).astype(np.float32)
    edge = np.minimum(np.minimum(fu, 1 - fu) * width, np.minimum(fv, 1 - fv) * length)
    return parcel, np.asarray(edge, np.float32)


def bloom(when: datetime) -> float:
    """How far rapeseed flowers, 0 to 1: from mid April to mid May."""
    return float(np.interp(when.timetuple().tm_yday, (100, 112, 128, 145), (0, 0.9, 0.8, 0)))
