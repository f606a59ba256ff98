"""The ground as a polar orbiter sees it: heading, grid of a swath, outline, angles of sun and satellite."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

__all__ = ["EARTH_RADIUS", "GROUND_SPEED", "Swath", "epoch_microseconds", "heading", "sun", "sun_distance"]

EARTH_RADIUS = 6371.0
"""km, of the sphere that all this happens on."""
GROUND_SPEED = 6.7
"""km/s of the point below the satellite, for an orbit near 815 km."""
_ROTATION = 0.4651
"""km/s of the ground at the equator."""

Array = np.ndarray[Any, Any]


def heading(latitude: float, *, inclination: float, ascending: bool) -> float:
    """Direction of the ground track, degrees clockwise from north, with the turning Earth taken off.

    Spherical triangle of the orbit: ``sin(azimuth) = cos(inclination) / cos(latitude)``.
    """
    sine = np.cos(np.radians(inclination)) / np.cos(np.radians(latitude))
    sine = float(np.clip(sine, -1.0, 1.0))
    east = GROUND_SPEED * sine - _ROTATION * np.cos(np.radians(latitude))
    north = GROUND_SPEED * np.sqrt(1.0 - sine * sine) * (1.0 if ascending else -1.0)
    return float(np.degrees(np.arctan2(east, north)) % 360.0)


@dataclass(frozen=True, slots=True)
class Swath:
    """A great circle flown over `centre` (lon, lat) and what lies along and across it, all in km.

    `along` is positive forward from the centre, `across` to the right of the flight, `offset` the distance across
    between the ground track and the centre: the centre lies that far to the right of the point below the satellite.
    """

    centre: tuple[float, float]
    heading: float
    height: float = 815.0
    offset: float = 0.0

    def place(self, along: Any, across: Any) -> tuple[Array, Array]:
        """Longitude and latitude, degrees, of points (shapes broadcast)."""
        lon, lat = np.radians(self.centre)
        turn = np.radians(self.heading)
        up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        east = np.array([-np.sin(lon), np.cos(lon), 0.0])
        north = np.cross(up, east)
        forward = np.cos(turn) * north + np.sin(turn) * east
        right = np.cos(turn) * east - np.sin(turn) * north
        a, b = np.broadcast_arrays(
            np.asarray(along, dtype=np.float64) / EARTH_RADIUS, np.asarray(across, dtype=np.float64) / EARTH_RADIUS
        )
        point = [np.cos(b) * (np.cos(a) * up[i] + np.sin(a) * forward[i]) + np.sin(b) * right[i] for i in range(3)]
        return np.degrees(np.arctan2(point[1], point[0])), np.degrees(np.arcsin(np.clip(point[2], -1.0, 1.0)))

    def outline(
        self, along: tuple[float, float], across: tuple[float, float], steps: int = 12
    ) -> list[tuple[float, float]]:
        """Closed ring of (lon, lat) around a rectangle of the swath, `steps` pieces a side."""
        a0, a1 = along
        c0, c1 = across
        run = np.linspace(0.0, 1.0, steps, endpoint=False)
        one, nought = np.ones(steps), np.zeros(steps)
        a = np.concatenate([a0 + (a1 - a0) * run, a1 * one, a1 + (a0 - a1) * run, a0 * one])
        c = np.concatenate([c0 * one, c0 + (c1 - c0) * run, c1 + nought, c1 + (c0 - c1) * run])
        lon, lat = self.place(a, c)
        ring = [(float(x), float(y)) for x, y in zip(lon, lat, strict=True)]
        return [*ring, ring[0]]

    def view(self, across: Any) -> tuple[Array, Array]:
        """Zenith angle of the satellite seen from the ground, and its azimuth (-180..180), degrees.

        ``tan(zenith) = sin(c) / (cos(c) - R / (R + h))`` with c the arc to the point below the satellite.
        """
        arc = (np.asarray(across, dtype=np.float64) + self.offset) / EARTH_RADIUS
        ratio = EARTH_RADIUS / (EARTH_RADIUS + self.height)
        zenith = np.degrees(np.arctan2(np.sin(np.abs(arc)), np.cos(arc) - ratio))
        azimuth = np.where(arc > 0, self.heading - 90.0, self.heading + 90.0)
        return zenith, (azimuth + 180.0) % 360.0 - 180.0


def sun(lon: Any, lat: Any, when: datetime) -> tuple[Array, Array]:
    """Zenith angle and azimuth (-180..180, clockwise from north) of the sun, degrees.

    Declination and equation of time after Spencer (1971), good to about 0.1 degree.
    """
    day = _day_angle(when)
    declination = (
        0.006918 - 0.399912 * np.cos(day) + 0.070257 * np.sin(day)
        - 0.006758 * np.cos(2 * day) + 0.000907 * np.sin(2 * day)
        - 0.002697 * np.cos(3 * day) + 0.00148 * np.sin(3 * day)
    )  # fmt: skip
    equation = 229.18 * (
        0.000075 + 0.001868 * np.cos(day) - 0.032077 * np.sin(day)
        - 0.014615 * np.cos(2 * day) - 0.040849 * np.sin(2 * day)
    )  # fmt: skip
    utc = when.astimezone(UTC)
    minutes = utc.hour * 60 + utc.minute + utc.second / 60 + utc.microsecond / 6e7
    hour = np.radians((minutes + equation + 4.0 * np.asarray(lon, dtype=np.float64)) / 4.0 - 180.0)
    phi = np.radians(np.asarray(lat, dtype=np.float64))
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour)
    return np.degrees(np.arccos(np.clip(up, -1.0, 1.0))), np.degrees(np.arctan2(east, north))


def sun_distance(when: datetime) -> float:
    """Distance of the sun in astronomical units, to 0.0004: ``1 - 0.01672 cos(0.9856 deg (day - 4))``.

    The formula of the Landsat 7 handbook.
    """
    day = when.astimezone(UTC).timetuple().tm_yday
    return float(1.0 - 0.01672 * np.cos(np.radians(0.9856 * (day - 4))))


def _day_angle(when: datetime) -> float:
    utc = when.astimezone(UTC)
    return float(2 * np.pi * (utc.timetuple().tm_yday - 1 + utc.hour / 24) / 365.0)


def epoch_microseconds(when: datetime, epoch: datetime) -> int:
    """Whole microseconds from `epoch` to `when`; no leap seconds, as in the products."""
    delta = when - epoch
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds
