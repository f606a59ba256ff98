"""Where a satellite is between the state vectors of its product.

Between these, 10 s apart, position and velocity are each a polynomial of degree 5 through the nearest six, independent of each
other. Usual cubic splines that take both together (Hermite) suit orbits whose velocity is the change of their position; in
products with the satellite's own orbit (`orbitSource` Downlink) the two disagree by 0.01 m/s, and such splines miss the
geolocation grid of the product by up to 2.8 m along the track where this one stays within 8 mm, the last digit of the times
in the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from extenso_nb.readers.ellipsoid import Floats

__all__ = ["Orbit"]

_STATES = 6  # state vectors that the polynomials of one interval go through


@dataclass(frozen=True)
class Orbit:
    """State vectors, Earth-fixed, and what lies between them."""

    seconds: Floats
    """After the epoch that the owner keeps; ascending."""
    position: Floats
    """(state, 3), m."""
    velocity: Floats
    """(state, 3), m/s."""

    @cached_property
    def _pieces(self) -> tuple[Floats, Floats, Floats]:
        """Of each interval: its middle, its scale (s), and coefficients (interval, power, 6) in (t - middle) / scale."""
        count = len(self.seconds)
        near = min(_STATES, count)
        known = np.concatenate([self.position, self.velocity], 1)
        middles, scales, tables = [], [], []
        for at in range(count - 1):
            first = min(max(0, at - near // 2 + 1), count - near)
            chosen = slice(first, first + near)
            middle = (self.seconds[at] + self.seconds[at + 1]) / 2
            scale = self.seconds[at + 1] - self.seconds[at]
            rows = ((self.seconds[chosen] - middle) / scale)[:, None] ** np.arange(near)
            middles.append(middle)
            scales.append(scale)
            tables.append(np.linalg.solve(rows, known[chosen]))
        return np.array(middles), np.array(scales), np.array(tables)

    @property
    def span(self) -> tuple[float, float]:
        """First and last moment that positions are given for: half an interval beyond the state vectors.

        Products of 2014 have theirs one second apart, the last one a third of a second before the last line.
        """
        first, last = self.seconds[1] - self.seconds[0], self.seconds[-1] - self.seconds[-2]
        return float(self.seconds[0] - first / 2), float(self.seconds[-1] + last / 2)

    def covers(self, first: float, last: float) -> bool:
        """Whether positions are given for both moments."""
        return len(self.seconds) >= 2 and self.span[0] <= first <= last <= self.span[1]

    def at(self, seconds: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Position (m), velocity (m/s) and acceleration (m/s2), shape (..., 3); NaN outside `span`."""
        t = np.asarray(seconds, np.float64)
        middles, scales, tables = self._pieces
        piece = np.clip(np.searchsorted(self.seconds, t) - 1, 0, len(middles) - 1)
        outside = ~((t >= self.span[0]) & (t <= self.span[1]))
        s = np.where(outside, np.nan, (t - middles[piece]) / scales[piece])[..., None]
        value = slope = np.zeros((*t.shape, 6))
        for power in range(tables.shape[1] - 1, -1, -1):  # Horner, and its derivative
            slope = slope * s + value
            value = value * s + tables[piece, power]
        return value[..., :3], value[..., 3:], slope[..., 3:] / scales[piece][..., None]
