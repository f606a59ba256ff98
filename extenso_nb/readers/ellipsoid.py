"""The WGS 84 ellipsoid: degrees and metres above it to Earth-fixed coordinates, and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "foot", "geodetic", "normal", "to_ecef", "to_geodetic"]

Floats = npt.NDArray[np.float64]

_A, _B = 6_378_137.0, 6_356_752.314245179
"""Semi-axes of WGS 84, m."""
_E2 = 1 - (_B / _A) ** 2
_EP2 = (_A / _B) ** 2 - 1


def to_ecef(latitude: npt.ArrayLike, longitude: npt.ArrayLike, height: npt.ArrayLike) -> Floats:
    """Earth-fixed coordinates (m), shape (..., 3), of degrees and metres above the ellipsoid."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    sin, cos = np.sin(phi), np.cos(phi)
    across = _A / np.sqrt(1 - _E2 * sin * sin)
    above = np.asarray(height, np.float64)
    x, y, z = np.broadcast_arrays(
        (across + above) * cos * np.cos(lam),
        (across + above) * cos * np.sin(lam),
        (across * (1 - _E2) + above) * sin,
    )
    return np.stack([x, y, z], -1)


def to_geodetic(points: Floats) -> tuple[Floats, Floats, Floats]:
    """Latitude, longitude (degrees) and height (m) of Earth-fixed points, shape (..., 3). Bowring's formula: within 1e-6 m."""
    phi, height = geodetic(points)
    return np.degrees(phi), np.degrees(np.arctan2(points[..., 1], points[..., 0])), height


def geodetic(points: Floats) -> tuple[Floats, Floats]:
    """Latitude (radians) and height (m) of Earth-fixed points, shape (..., 3): what `to_geodetic` has without the longitude."""
    z, p = points[..., 2], np.hypot(points[..., 0], points[..., 1])
    # sine and cosine by division: no trigonometric function is needed
    r = np.hypot(z * _A, p * _B)
    sin, cos = z * _A / r, p * _B / r
    up, out = z + _EP2 * _B * sin**3, p - _E2 * _A * cos**3
    r = np.hypot(up, out)
    sin, cos = up / r, out / r
    return np.arctan2(up, out), p * cos + z * sin - _A * np.sqrt(1 - _E2 * sin * sin)


def normal(points: Floats) -> Floats:
    """Unit vectors up from the ellipsoid at Earth-fixed points."""
    phi, _ = geodetic(points)
    p = np.hypot(points[..., 0], points[..., 1])
    cos = np.cos(phi) / np.where(p > 0, p, 1.0)
    return np.stack([points[..., 0] * cos, points[..., 1] * cos, np.sin(phi)], -1)


def foot(position: Floats) -> Floats:
    """The point of the ellipsoid towards which a satellite's position points: a good enough radius of the Earth."""
    scale = np.sqrt((position[..., 0] ** 2 + position[..., 1] ** 2) / _A**2 + position[..., 2] ** 2 / _B**2)
    return np.asarray(position / scale[..., None])
