"""Where on Earth a radar pixel lies, and the way back: slant range and zero Doppler on the WGS 84 ellipsoid.

A pixel is seen at the moment when the satellite passes it abeam (zero Doppler) at its slant range. Which point of the circle of
this range it is depends on its height, so heights (m above the ellipsoid) are an input everywhere.

    forward:   |P - S(t)| = R,  V(t) . (P - S(t)) = 0,  height(P) = h     for P
    backward:  V(t) . (P - S(t)) = 0  for t,  then R = |P - S(t)|

(Small & Schubert, Guide to Sentinel-1 Geocoding, UZH-S1-GC-AD.) Where the satellite is between its state vectors: `orbit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from extenso_nb.errors import DamagedProduct, IncompleteProduct
from extenso_nb.readers.ellipsoid import Floats, foot, geodetic, normal, to_ecef, to_geodetic
from extenso_nb.readers.interpolation import layered, stacked
from extenso_nb.readers.orbit import Orbit
from extenso_nb.readers.sentinel1_metadata import Annotation, Burst

__all__ = ["LIGHT", "TOLERANCE", "Geometry", "seconds_after"]

LIGHT = 299_792_458.0
"""m/s"""
TOLERANCE = 0.001
"""Metres that a value interpolated between exact solutions may be off; checked where it is used."""


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray((a * b).sum(-1))


def _unit(a: Floats) -> Floats:
    return np.asarray(a / np.linalg.norm(a, axis=-1, keepdims=True))


# --- image -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Geometry:
    """Geometry of one image: lines and pixels (fractions allowed, centres are whole) and places on Earth.

    Made by `Geometry.of` from an annotation. Times are seconds after its first line.
    """

    orbit: Orbit = field(repr=False)
    lines: int
    samples: int
    interval: float
    """Seconds between lines."""
    near_range: float
    """Slant range of the first sample, m; unused where there is a `conversion`."""
    range_step: float
    """Slant range from sample to sample, m; unused where there is a `conversion`."""
    spacing: float
    """Ground range from sample to sample, m."""
    records: Floats | None = field(repr=False)
    """Times of the records of ground to slant range; None for slant range images."""
    origins: Floats | None = field(repr=False)
    """Their ground range origins, m."""
    polynomials: Floats | None = field(repr=False)
    """(record, power): slant range (m) by ground range (m)."""
    reference_delay: float | None
    """Two-way time for which the line times hold, s; see `_reference_delay`."""
    lines_per_burst: int
    burst_times: Floats = field(repr=False)
    """Times of the first lines of the bursts; one, 0, where there are no bursts."""
    burst_lines: npt.NDArray[np.int64] = field(repr=False)
    """(burst, 2): first and last line of a burst that have valid samples."""

    @classmethod
    def of(cls, annotation: Annotation) -> Geometry:
        """The geometry that an annotation tells. Raises IncompleteProduct where its orbit does not cover the image."""
        epoch = annotation.first_line_time
        conversion = annotation.conversion if annotation.ground_range else None
        if annotation.ground_range and conversion is None:
            raise IncompleteProduct(
                f"{annotation.member} has no coordinateConversion, without which ground range is not known.",
                member=annotation.member,
            )
        order = np.argsort(annotation.orbit_time)
        orbit = Orbit(
            seconds_after(epoch, annotation.orbit_time[order]),
            annotation.orbit_position[order],
            annotation.orbit_velocity[order],
        )
        bursts, per_burst = annotation.bursts, annotation.lines_per_burst
        starts = np.array([burst.azimuth_time for burst in bursts], "datetime64[ns]") if bursts else np.array([epoch])
        times = seconds_after(epoch, starts)
        length = (per_burst if bursts else annotation.lines) * annotation.azimuth_time_interval
        if not orbit.covers(times.min(), times.max() + length):
            raise IncompleteProduct(
                f"{annotation.member} has {len(orbit.seconds)} orbit state vectors, which do not cover the image.",
                member=annotation.member,
            )
        made = cls(
            orbit=orbit,
            lines=annotation.lines,
            samples=annotation.samples,
            interval=annotation.azimuth_time_interval,
            near_range=annotation.slant_range_time * LIGHT / 2,
            range_step=LIGHT / 2 / annotation.range_sampling_rate,
            spacing=annotation.range_pixel_spacing,
            records=seconds_after(epoch, conversion.azimuth_time) if conversion else None,
            origins=conversion.gr0 if conversion else None,
            polynomials=conversion.grsr if conversion else None,
            reference_delay=None,
            lines_per_burst=per_burst if bursts else annotation.lines,
            burst_times=times,
            burst_lines=_valid_lines(bursts, annotation.lines),
        )
        made._check(annotation.member)
        return made._referred(annotation)

    def _check(self, member: str) -> None:
        """Raise DamagedProduct where the numbers are none of an orbit, bursts and ranges."""
        wrong = None
        if not np.all(np.diff(self.orbit.seconds) > 1e-3):
            wrong = "orbit state vectors at the same time"
        elif not np.all(np.diff(self.burst_times) > 0):
            wrong = "bursts that do not follow each other"
        elif np.any(np.abs(np.linalg.norm(self.orbit.position, axis=1) / 7.07e6 - 1) > 0.2):
            wrong = "orbit state vectors that are none of a satellite"
        elif np.any(np.abs(np.linalg.norm(self.orbit.velocity, axis=1) / 7.6e3 - 1) > 0.3):
            wrong = "orbit velocities that are none of a satellite"
        elif self.polynomials is not None:
            assert self.origins is not None
            records = np.arange(len(self.origins))[:, None]
            ground = np.linspace(-3, self.samples + 2, 65) * self.spacing - self.origins[:, None]
            slant = self._slant(records, ground)
            if not np.all(np.diff(slant, axis=1) > 0) or slant.min() < 1e5 or slant.max() > 1e7:
                wrong = "a coordinateConversion whose slant ranges are none"
        elif not 1e5 < self.near_range < self.near_range + self.range_step * self.samples < 1e7:
            wrong = "slant ranges that are none"
        if wrong:
            raise DamagedProduct(f"{member} has {wrong}.", member=member)

    def _referred(self, annotation: Annotation) -> Geometry:
        from dataclasses import replace

        return replace(self, reference_delay=_reference_delay(self, annotation))

    # -- lines, pixels <-> time, slant range -------------------------------------------------------------------------
    def burst_of(self, line: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Number of the burst that a line is stored in."""
        found = np.floor((np.asarray(line, np.float64) + 0.5) / self.lines_per_burst)
        return np.asarray(np.clip(np.nan_to_num(found), 0, len(self.burst_times) - 1), np.int64)

    def line_time(self, line: npt.ArrayLike) -> Floats:
        """Seconds after the first line, as the annotation counts them: the same for all pixels of a line."""
        burst = self.burst_of(line)
        return np.asarray(
            self.burst_times[burst] + (np.asarray(line, np.float64) - burst * self.lines_per_burst) * self.interval
        )

    def slant_range(self, line: npt.ArrayLike, pixel: npt.ArrayLike) -> Floats:
        """Metres.

        Ground range images: by the record that is nearest in time, which reproduces the slant ranges that the products
        annotate (IPF 3.x) to 1e-9 m; interpolating between records misses them by up to 11 m.
        """
        line, pixel = np.broadcast_arrays(np.asarray(line, np.float64), np.asarray(pixel, np.float64))
        if self.records is None:
            return self.near_range + pixel * self.range_step
        assert self.origins is not None
        record = self._record(self.line_time(line))
        return self._slant(record, pixel * self.spacing - self.origins[record])

    def _record(self, seconds: Floats) -> npt.NDArray[np.int64]:
        assert self.records is not None
        return np.asarray(np.searchsorted((self.records[1:] + self.records[:-1]) / 2, seconds), np.int64)

    def _slant(self, record: npt.NDArray[np.int64], ground: Floats) -> Floats:
        """Slant range at ground ranges after the record's origin."""
        assert self.polynomials is not None
        value = np.zeros(ground.shape)
        for power in range(self.polynomials.shape[1] - 1, -1, -1):
            value = value * ground + self.polynomials[record, power]
        return value

    def time(self, line: npt.ArrayLike, slant_range: npt.ArrayLike) -> Floats:
        """Zero-Doppler time, seconds after the first line: that of the line, and what depends on the pixel."""
        return self.line_time(line) + self._late(np.asarray(slant_range, np.float64))

    def _late(self, slant_range: Floats) -> Floats:
        if self.reference_delay is None:
            return np.zeros(slant_range.shape)
        return np.asarray((2 * slant_range / LIGHT - self.reference_delay) / 2)

    def _pixel(self, seconds: Floats, slant_range: Floats, clamp: bool) -> Floats:
        """Pixel of a slant range in the line of that time; NaN (or the edge) more than two pixels outside the image."""
        if self.records is None:
            pixel = (slant_range - self.near_range) / self.range_step
        else:
            pixel = self._ground_pixel(seconds, slant_range, clamp)
        if clamp:
            return np.clip(pixel, -2, self.samples + 1)
        return np.where((pixel >= -2) & (pixel <= self.samples + 1), pixel, np.nan)

    def _ground_pixel(self, seconds: Floats, slant_range: Floats, clamp: bool) -> Floats:
        """The inverse of `_slant`: from a table, then by Newton; for the srgrCoefficients are off by up to 40 m (IPF 2.36)."""
        assert self.origins is not None
        assert self.polynomials is not None
        nodes = np.linspace(-3, self.samples + 2, 65) * self.spacing
        record = self._record(seconds)
        pixel = np.full(slant_range.shape, np.nan)
        for number in np.unique(record):
            here = record == number
            slant = np.polynomial.Polynomial(self.polynomials[number])
            slope = slant.deriv()
            ground = nodes - self.origins[number]
            of = slant_range[here]
            guess = np.interp(of, slant(ground), ground, *(() if clamp else (np.nan, np.nan)))
            for _ in range(0 if clamp else 2):
                guess = guess - (slant(guess) - of) / slope(guess)
            pixel[here] = (guess + self.origins[number]) / self.spacing
        return pixel

    def _line(self, seconds: Floats, clamp: bool) -> Floats:
        """Line of a time as `line_time` counts; of overlapping bursts the one whose middle is nearer; NaN (the edge) outside."""
        middle = self.burst_times + self.burst_lines.mean(1) * self.interval
        burst = np.searchsorted((middle[1:] + middle[:-1]) / 2, np.nan_to_num(seconds))
        within = (seconds - self.burst_times[burst]) / self.interval
        margin = 2 if len(self.burst_times) == 1 else 0
        first, last = self.burst_lines[burst, 0], self.burst_lines[burst, 1]
        if clamp:
            return np.asarray(np.clip(within, first - margin, last + margin) + burst * self.lines_per_burst)
        inside = (within >= first - margin) & (within <= last + margin)
        return np.where(inside, within + burst * self.lines_per_burst, np.nan)

    # -- places ------------------------------------------------------------------------------------------------------
    def locate(self, line: npt.ArrayLike, pixel: npt.ArrayLike, height: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Latitude, longitude and incidence (degrees) of lines and pixels at heights (m above the ellipsoid).

        The incidence is that on the ellipsoid: between the line of sight and the normal. Shapes are broadcast.
        """
        distance = self.slant_range(line, pixel)
        seconds, distance, height = np.broadcast_arrays(
            self.time(line, distance), distance, np.asarray(height, np.float64)
        )
        return self.solve(seconds, distance, height)

    def solve(self, seconds: Floats, slant_range: Floats, height: Floats) -> tuple[Floats, Floats, Floats]:
        """As `locate`, by zero-Doppler time and slant range. NaN where nothing of that height lies at that range."""
        position, velocity, _ = self.orbit.at(seconds)
        along = _unit(velocity)
        down = _unit(-position + along * _dot(position, along)[..., None])
        right = np.cross(down, along)
        over = _dot(position, down)  # negative: the satellite is above
        radius = np.linalg.norm(foot(position), axis=-1) + height
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = (radius**2 - _dot(position, position) - slant_range**2) / (2 * slant_range * over)
            look = np.arccos(np.where(np.abs(cosine) <= 1, cosine, np.nan))
        point = position
        for _ in range(6):  # Newton; the sphere's answer is some kilometres off, each step squares the relative error
            sin, cos = np.sin(look)[..., None], np.cos(look)[..., None]
            point = position + slant_range[..., None] * (cos * down + sin * right)
            swing = slant_range[..., None] * (cos * right - sin * down)
            phi, above = geodetic(point)
            off = above - height
            p = np.hypot(point[..., 0], point[..., 1])
            cos_phi = np.cos(phi) / p
            climb = (point[..., 0] * swing[..., 0] + point[..., 1] * swing[..., 1]) * cos_phi
            climb += np.sin(phi) * swing[..., 2]
            look = look - off / climb
            if not np.any(np.abs(off) > 1e-4):  # this step still removes it
                break
        point = position + slant_range[..., None] * (np.cos(look)[..., None] * down + np.sin(look)[..., None] * right)
        latitude, longitude, _ = to_geodetic(point)
        upright = _dot(normal(point), position - point) / slant_range
        return latitude, longitude, np.degrees(np.arccos(np.clip(upright, -1, 1)))

    def look_back(
        self, latitude: npt.ArrayLike, longitude: npt.ArrayLike, height: npt.ArrayLike
    ) -> tuple[Floats, Floats]:
        """Zero-Doppler time (s after the first line) and slant range (m) of places; NaN where the orbit does not pass them."""
        point = to_ecef(latitude, longitude, height)
        centre = (self.burst_times[0] + self.line_time(self.lines - 1)) / 2
        seconds = np.full(point.shape[:-1], centre)
        low, high = self.orbit.span
        for _ in range(8):
            position, velocity, acceleration = self.orbit.at(seconds)
            sight = point - position
            off = _dot(velocity, sight)
            step = off / (_dot(acceleration, sight) - _dot(velocity, velocity))
            seconds = np.clip(seconds - step, low, high)
            if not np.any(np.abs(step) > 1e-7):
                break
        position, velocity, _ = self.orbit.at(seconds)
        sight = point - position
        distance = np.linalg.norm(sight, axis=-1)
        abeam = np.abs(_dot(_unit(velocity), sight)) < 1e-3  # m
        right = _dot(np.cross(position, velocity), sight) < 0  # the radar looks to the right
        seen = abeam & right
        return np.where(seen, seconds, np.nan), np.where(seen, distance, np.nan)

    def place(self, seconds: Floats, slant_range: Floats, *, clamp: bool = False) -> tuple[Floats, Floats]:
        """Line and pixel of zero-Doppler times and slant ranges.

        NaN outside the image (and the valid lines of bursts); with `clamp` its edge, within some hundredths of a pixel.
        """
        counted = seconds - self._late(slant_range)
        line = self._line(counted, clamp)
        return line, np.where(np.isnan(line), np.nan, self._pixel(counted, slant_range, clamp))

    def find(self, latitude: npt.ArrayLike, longitude: npt.ArrayLike, height: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Line and pixel of places (degrees, m above the ellipsoid): the inverse of `locate`. NaN outside the image."""
        return self.place(*self.look_back(latitude, longitude, height))

    # -- many pixels -------------------------------------------------------------------------------------------------
    def spread(self, line: Floats, pixel: Floats, height: float | Floats) -> tuple[Floats, Floats, Floats]:
        """`locate` for a raster of lines and pixels (both 1-D) at one height, or at heights (line, pixel).

        Solved exactly at few nodes and interpolated by polynomials in between; within 1 mm, which is checked at points
        between the nodes, or else solved at every pixel.
        """
        out = tuple(np.empty((len(line), len(pixel))) for _ in range(3))
        for rows in self._smooth(line):
            above = height if np.ndim(height) == 0 else np.asarray(height)[rows]
            parts = self._interpolated(line[rows], pixel, np.asarray(above, np.float64))
            if parts is None:
                parts = self.locate(line[rows][:, None], pixel, above)
            for target, part in zip(out, parts, strict=True):
                target[rows] = part
        return out[0], out[1], out[2]

    def columns(
        self, line: Floats, pixel: Floats, limits: tuple[float, float], convert: Callable[[Floats, Floats], Any]
    ) -> Callable[[Floats], Floats]:
        """Where a raster of pixels lies at heights (line, pixel) that are not known yet, within limits, as (2, line, pixel).

        `convert` makes coordinates (down, along; m or degrees) of latitudes and longitudes. Within 1 cm.
        """
        pieces = []
        middle = float(self.locate(line[len(line) // 2], pixel[len(pixel) // 2], 0.0)[1])
        for rows in self._smooth(line):
            some = line[rows]

            def exact(a: Floats, b: Floats, level: Any) -> Floats:
                latitude, longitude, _ = self.locate(a[:, None], b, level)
                return np.stack(convert(latitude, _near(longitude, middle)))

            def wrong(found: Floats, right: Floats) -> float:
                apart = np.abs(found - right).max()
                return float(apart if np.abs(right).max() > 360 else apart * 111_320)

            found = (
                layered(exact, wrong, some, pixel, limits, 10 * TOLERANCE) if len(some) * len(pixel) > 2000 else None
            )
            if found is None:

                def found(height: Floats, some: Floats = some, exact: Any = exact) -> Floats:
                    return np.asarray(exact(some, pixel, height))

            pieces.append((rows, found))

        def at(height: Floats) -> Floats:
            out = np.empty((2, *height.shape))
            for rows, piece in pieces:
                out[:, rows] = piece(height[rows])
            return out

        return at

    def _smooth(self, line: Floats) -> Iterator[npt.NDArray[np.int64]]:
        """Rows of one burst and one record: within these, everything is smooth."""
        piece = self.burst_of(line)
        if self.records is not None:
            piece = piece * (len(self.records) + 1) + self._record(self.line_time(line))
        for number in np.unique(piece):
            yield np.flatnonzero(piece == number)

    def _interpolated(self, line: Floats, pixel: Floats, height: Floats) -> Sequence[Floats] | None:
        if len(line) * len(pixel) < 2000:
            return None

        def exact(a: Floats, b: Floats, level: float) -> Floats:
            latitude, longitude, incidence = self.locate(a[:, None], b, level)
            return np.stack([latitude, _near(longitude, middle), incidence])

        def wrong(found: Floats, right: Floats) -> float:
            metres = 111_320 * np.hypot(found[0] - right[0], (found[1] - right[1]) * np.cos(np.radians(right[0])))
            return float(max(np.max(metres), np.max(np.abs(found[2] - right[2])) * 1e3))  # incidence: 1e-6 degrees

        middle = float(self.locate(line[len(line) // 2], pixel[len(pixel) // 2], 0.0)[1])
        found = stacked(exact, wrong, line, pixel, height, TOLERANCE)
        if found is None:
            return None
        return found[0], (found[1] + 180) % 360 - 180, found[2]


def _near(longitude: Floats, middle: float) -> Floats:
    """Longitudes without the step at the antimeridian: within 180 degrees of the one in the middle."""
    return np.asarray(middle + (longitude - middle + 180) % 360 - 180)


def seconds_after(epoch: np.datetime64, times: npt.NDArray[np.datetime64]) -> Floats:
    """Differences of times as seconds; exact to the nanosecond."""
    return np.asarray((np.asarray(times, "datetime64[ns]") - epoch) / np.timedelta64(1, "ns") * 1e-9)


def _valid_lines(bursts: Sequence[Burst], lines: int) -> npt.NDArray[np.int64]:
    if not bursts:
        return np.array([[0, lines - 1]], np.int64)
    limits = []
    for burst in bursts:
        valid = np.flatnonzero(burst.first_valid >= 0)
        limits.append((valid[0], valid[-1]) if len(valid) else (0, -1))
    return np.array(limits, np.int64)


def _reference_delay(geometry: Geometry, annotation: Annotation) -> float | None:
    """The two-way delay for which line times are zero-Doppler times.

    The processor takes all pixels of a line as received at one moment, corrected for the delay of one range. A pixel at
    another range is seen half the difference of the delays later (the "residual bistatic delay"). The geolocation grid has
    times with this in them: time = time of the line + (delay - reference) / 2. The reference is found from the grid; where
    the grid does not follow this law (older or foreign processors), the times of the lines hold as they are.
    """
    grid = annotation.grid
    if not grid:
        return None
    seconds = seconds_after(annotation.first_line_time, grid["azimuth_time"])
    line = np.broadcast_to(grid["line"][:, None], seconds.shape).astype(np.float64)
    if len(geometry.burst_times) > 1:
        # the last row is the last line of the last burst; every other one the first line of a burst
        line = np.minimum(line, geometry.lines - 1)
    late = seconds - geometry.line_time(line)
    reference = grid["slant_range_time"] - 2 * late
    found = float(np.median(reference))
    # IPF 2.36 has bursts whose row in the grid is one line off
    return found if np.quantile(np.abs(reference - found), 0.7) < 10e-6 else None
