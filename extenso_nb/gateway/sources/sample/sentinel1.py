"""Made-up Sentinel-1 IW GRDH products in the true format: a SAFE with two measurements and their annotation, in a stored zip.

A product is a part of a scene, 5.1 km wide, in the radar's own geometry: lines along the flight, pixels in ground range.
Orbit, slant ranges and geolocation grid are one geometry, and DN follow from `world.backscatter` by the LUTs in the product:
sigma0 = (DN^2 - noise) / sigmaNought^2.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from extenso_nb.gateway.sources.sample import sentinel1_metadata as metadata
from extenso_nb.gateway.sources.sample import world
from extenso_nb.gateway.sources.sample.noise import Floats
from extenso_nb.gateway.sources.sample.safe import Member, write_zip

if TYPE_CHECKING:
    from extenso_nb.gateway.sources.sample.plan import Spec

__all__ = ["LINES", "PIXELS", "Scene", "write"]

LINES = PIXELS = 512
SPACING = 10.0
"""Metres on the ground, along and across."""
_SEMI_MAJOR, _SEMI_MINOR = 6378137.0, 6356752.314245
"""WGS 84, m."""
_RADIUS = 7_071_000.0
"""Of the circular orbit, m."""
_RATE = 2 * math.pi / 5924.6 * 1.004
"""Angle a second in the Earth-fixed frame, rad."""
_INCIDENCE = math.radians(38.9)
_LIGHT = 299_792_458.0
_GRID_LINES, _GRID_PIXELS = 11, 21
_HEADING = {("descending", False): 193.5, ("ascending", False): 346.5, ("descending", True): 203.0}
"""Direction of flight at the scene, degrees, by direction and whether the scene lies in the far north."""
_DN_CONSTANT = 474.0


@dataclass(frozen=True)
class Scene:
    """Geometry and pixels of one product."""

    spec: Spec

    # --- geometry ----------------------------------------------------------------------------------------------------
    @property
    def heading(self) -> float:
        """Degrees clockwise from north."""
        return _HEADING[self.spec.direction, world.AREAS[self.spec.area].lat > 60]

    @cached_property
    def _frame(self) -> tuple[Floats, Floats, Floats, float, float]:
        """Unit vectors up to the satellite, along and right of its flight at mid time; angle to the target; its radius."""
        area = world.AREAS[self.spec.area]
        target = _ecef(np.array(area.lon), np.array(area.lat))
        radius = float(np.linalg.norm(target))
        up = target / radius
        east = np.array([-math.sin(math.radians(area.lon)), math.cos(math.radians(area.lon)), 0.0])
        north = np.cross(up, east)
        turn = math.radians(self.heading)
        along = math.cos(turn) * north + math.sin(turn) * east
        angle = _INCIDENCE - math.asin(radius / _RADIUS * math.sin(_INCIDENCE))
        right = np.cross(along, up)
        above = math.cos(angle) * up - math.sin(angle) * right
        return above, along, np.cross(along, above), angle, radius

    @property
    def line_seconds(self) -> float:
        """Time between lines."""
        *_, angle, radius = self._frame
        return SPACING / (_RATE * radius * math.cos(angle))

    def satellite(self, seconds: Floats) -> tuple[Floats, Floats]:
        """Position (m) and velocity (m/s), Earth-fixed, at seconds after the middle of the scene; shape (..., 3)."""
        above, along, *_ = self._frame
        turn = np.asarray(seconds)[..., None] * _RATE
        position = _RADIUS * (np.cos(turn) * above + np.sin(turn) * along)
        velocity = _RADIUS * _RATE * (np.cos(turn) * along - np.sin(turn) * above)
        return position, velocity

    def line_time(self, line: Floats) -> Floats:
        """Seconds after the middle of the scene."""
        return (np.asarray(line) - (LINES - 1) / 2) * self.line_seconds

    @cached_property
    def to_slant(self) -> Floats:
        """Polynomial (ascending powers) from ground range (m from the first pixel) to slant range (m)."""
        *_, angle, radius = self._frame
        ground = np.linspace(0, (PIXELS - 1) * SPACING, 50)
        turn = angle + (ground - ground[-1] / 2) / radius
        slant = np.sqrt(_RADIUS**2 + radius**2 - 2 * _RADIUS * radius * np.cos(turn))
        return np.asarray(np.polynomial.Polynomial.fit(ground, slant, 4).convert().coef, np.float64)

    @cached_property
    def to_ground(self) -> Floats:
        """Polynomial from slant range (m beyond the first pixel's) to ground range (m)."""
        ground = np.linspace(0, (PIXELS - 1) * SPACING, 50)
        slant = self.slant_range(ground / SPACING)
        return np.asarray(np.polynomial.Polynomial.fit(slant - slant[0], ground, 4).convert().coef, np.float64)

    def slant_range(self, pixel: Floats) -> Floats:
        """Metres."""
        return np.asarray(np.polynomial.polynomial.polyval(np.asarray(pixel) * SPACING, self.to_slant))

    @cached_property
    def grid(self) -> dict[str, Floats]:
        """Geolocation grid: line, pixel, lon, lat, incidence and elevation (degrees), each (_GRID_LINES, _GRID_PIXELS)."""
        line, pixel = np.meshgrid(
            np.rint(np.linspace(0, LINES - 1, _GRID_LINES)),
            np.rint(np.linspace(0, PIXELS - 1, _GRID_PIXELS)),
            indexing="ij",
        )
        position, _ = self.satellite(self.line_time(line))
        slant = self.slant_range(pixel)
        *_, right, _, _ = self._frame
        down = -position / _RADIUS
        look = np.full(slant.shape, math.radians(34.0))
        for _ in range(12):  # Newton: where the beam of this length ends on the ellipsoid
            point = position + slant[..., None] * (np.cos(look)[..., None] * down + np.sin(look)[..., None] * right)
            sway = slant[..., None] * (np.cos(look)[..., None] * right - np.sin(look)[..., None] * down)
            scale = np.array([1 / _SEMI_MAJOR**2, 1 / _SEMI_MAJOR**2, 1 / _SEMI_MINOR**2])
            miss = (point**2 * scale).sum(-1) - 1
            look = look - miss / (2 * point * sway * scale).sum(-1)
        normal = point * scale
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        back = (position - point) / slant[..., None]
        lon = np.degrees(np.arctan2(point[..., 1], point[..., 0]))
        lat = np.degrees(np.arctan2(normal[..., 2], np.hypot(normal[..., 0], normal[..., 1])))
        incidence = np.degrees(np.arccos((normal * back).sum(-1)))
        return {
            "line": line, "pixel": pixel, "lon": lon, "lat": lat, "incidence": incidence, "elevation": np.degrees(look),
        }  # fmt: skip

    @cached_property
    def places(self) -> tuple[Floats, Floats]:
        """Longitude and latitude of every pixel, from the grid in straight lines."""
        return _spread(self.grid, "lon"), _spread(self.grid, "lat")

    @cached_property
    def ground(self) -> world.Ground:
        """The world under the pixels; products of one pass direction share it."""
        return world.ground(*self.places)

    @cached_property
    def ring(self) -> list[tuple[float, float]]:
        """Closed footprint (lon, lat)."""
        lon, lat = self.grid["lon"], self.grid["lat"]
        corners = ((0, 0), (0, -1), (-1, -1), (-1, 0), (0, 0))
        return [(float(lon[c]), float(lat[c])) for c in corners]

    # --- radiometry --------------------------------------------------------------------------------------------------
    @cached_property
    def luts(self) -> dict[str, Floats]:
        """Calibration LUTs by pixel, at every fortieth pixel, as printed: the numbers DN are made with."""
        pixel = np.append(np.arange(0, PIXELS - 1, 40), PIXELS - 1).astype(float)
        tilt = np.radians(np.interp(pixel, self.grid["pixel"][0], self.grid["incidence"][_GRID_LINES // 2]))
        return {
            "pixel": pixel,
            "sigmaNought": _printed(_DN_CONSTANT / np.sqrt(np.sin(tilt))),
            "betaNought": np.full(pixel.shape, _DN_CONSTANT),
            "gamma": _printed(_DN_CONSTANT / np.sqrt(np.tan(tilt))),
            "dn": np.full(pixel.shape, _DN_CONSTANT),
        }

    def noise(self, pol: str) -> Floats:
        """Noise power (DN squared) at the pixels of the LUTs, as printed."""
        level = 900.0 if pol == "VV" else 620.0
        at = self.luts["pixel"] / PIXELS
        return _printed(level * (1 + 0.25 * (at - 0.45) ** 2 - 0.06 * at))

    def numbers(self, pol: str) -> npt.NDArray[np.uint16]:
        """Detected amplitudes."""
        sigma0 = self.ground.backscatter(self.spec.begin, pol)
        gain, noise = (
            np.interp(np.arange(PIXELS), self.luts["pixel"], lut) for lut in (self.luts["sigmaNought"], self.noise(pol))
        )
        return np.clip(np.rint(np.sqrt(sigma0 * gain**2 + noise)), 1, 65535).astype(np.uint16)


def _printed(values: Floats) -> Floats:
    """What is left of values after writing them with seven digits."""
    return np.array([float(f"{value:.6e}") for value in values])


def _ecef(lon: Floats, lat: Floats) -> Floats:
    """Earth-fixed coordinates (m) of points on the ellipsoid; shape (..., 3)."""
    x, y = np.radians(lon), np.radians(lat)
    flat = 1 - (_SEMI_MINOR / _SEMI_MAJOR) ** 2
    across = _SEMI_MAJOR / np.sqrt(1 - flat * np.sin(y) ** 2)
    return np.stack(
        [across * np.cos(y) * np.cos(x), across * np.cos(y) * np.sin(x), across * (1 - flat) * np.sin(y)], -1
    )


def _spread(grid: dict[str, Floats], name: str) -> Floats:
    """A layer of the grid at every pixel, linearly between nodes."""
    lines, pixels, values = grid["line"][:, 0], grid["pixel"][0], grid[name]
    wide = np.stack([np.interp(np.arange(PIXELS), pixels, row) for row in values])
    node = np.clip(np.searchsorted(lines, np.arange(LINES), side="right") - 1, 0, len(lines) - 2)
    share = ((np.arange(LINES) - lines[node]) / (lines[node + 1] - lines[node]))[:, None]
    return np.asarray(wide[node] * (1 - share) + wide[node + 1] * share)


# --- files -----------------------------------------------------------------------------------------------------------
def _tiff(numbers: npt.NDArray[np.uint16], grid: dict[str, Floats]) -> bytes:
    """Measurement: GeoTIFF in strips with the geolocation grid as ground control points."""
    from rasterio.control import GroundControlPoint
    from rasterio.io import MemoryFile

    parts = zip(*(grid[name].ravel().tolist() for name in ("line", "pixel", "lon", "lat")), strict=True)
    points = [
        GroundControlPoint(row=line, col=pixel, x=lon, y=lat, z=0.0, id=str(n + 1))
        for n, (line, pixel, lon, lat) in enumerate(parts)
    ]
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": LINES, "width": PIXELS, "count": 1, "dtype": "uint16", "blockysize": 16,
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile, gcps=points, crs="EPSG:4326") as target:
            target.write(numbers, 1)
        return bytes(memory.read())


def _png(picture: npt.NDArray[np.uint8], size: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).resize((size, size), Image.Resampling.BOX).save(out, "PNG")
    return out.getvalue()


def _picture(co: npt.NDArray[np.uint16], cross: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Red co-, green cross-polarised, blue their ratio; in the radar's geometry."""
    red, green = (part.reshape(LINES // 2, 2, PIXELS // 2, 2).astype(float).mean((1, 3)) for part in (co, cross))
    layers = np.stack([red / 300, green / 150, red / green / 3.4], -1)
    return np.asarray(np.rint(np.clip(layers, 0, 1) ** 0.85 * 255), np.uint8)


def write(directory: Path, spec: Spec) -> Path:
    """Draw the product that `spec` names.

    Returns
    -------
    Path
        ``<directory>/<id>.SAFE.zip``; the same bytes for the same spec.
    """
    scene = Scene(spec)
    numbers = {pol: scene.numbers(pol) for pol in ("VV", "VH")}
    first, last = (timedelta(seconds=float(scene.line_time(np.array(float(line))))) for line in (0, LINES - 1))
    middle = spec.begin + timedelta(milliseconds=500) - first  # the name has whole seconds, cut off
    members: list[Member] = []
    for image, (pol, values) in enumerate(numbers.items(), 1):
        facts = metadata.Facts(
            spec=spec,
            pol=pol,
            image=image,
            middle=middle,
            first=middle + first,
            last=middle + last,
            line_seconds=scene.line_seconds,
            lines=LINES,
            pixels=PIXELS,
            spacing=SPACING,
            heading=scene.heading,
            grid=scene.grid,
            grid_times=scene.line_time(scene.grid["line"]),
            slant_times=2 * scene.slant_range(scene.grid["pixel"]) / _LIGHT,
            to_slant=scene.to_slant,
            to_ground=scene.to_ground,
            orbit=_states(scene),
            luts=scene.luts,
            noise=scene.noise(pol),
            mean=float(values.mean()),
            deviation=float(values.std()),
        )
        members += metadata.annotation_files(facts)
        members.append(
            Member(
                f"measurement/{facts.name}.tiff",
                _tiff(values, scene.grid),
                facts.ident,
                rep="s1Level1MeasurementSchema",
            )
        )
    picture = _picture(numbers["VV"], numbers["VH"])
    members.append(
        Member("preview/quick-look.png", _png(picture, PIXELS // 2), "quicklook", rep="s1Level1QuickLookSchema")
    )
    members.append(Member("preview/thumbnail.png", _png(picture, 128), "thumbnail"))
    members.append(metadata.overlay(spec, scene.ring))
    text = metadata.manifest(spec, scene.ring, members, middle + first, middle + last)
    members.append(Member("manifest.safe", text.encode()))
    return write_zip(directory / f"{spec.id}.SAFE.zip", f"{spec.id}.SAFE", members, spec.created)


def _states(scene: Scene) -> list[tuple[float, Floats, Floats]]:
    """State vectors every ten seconds around the scene: seconds after its middle, position, velocity."""
    seconds = np.arange(-80.0, 80.0, 10.0)
    position, velocity = scene.satellite(seconds)
    return list(zip(seconds.tolist(), position, velocity, strict=True))
