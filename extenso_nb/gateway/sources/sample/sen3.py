"""What the name of a made-up Sentinel-3 product stands for: times, orbit, grid, weather; and how members are described."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from extenso_nb.gateway.sources.sample import netcdf, swath, world

__all__ = ["EPOCH", "Content", "Grid", "Member", "Scene", "angle", "degrees", "ramp", "rgb"]

Array = np.ndarray[Any, Any]

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""What time stamps count from, microseconds."""
_INCLINATION, _HEIGHT = 98.65, 814.5  # degrees, km
_ORBITS_A_CYCLE = 385
_FIRST_ORBIT = {"A": -27, "B": -3963}
_CLOUD_ALBEDO = ((400.0, 0.82), (900.0, 0.80), (1370.0, 0.35), (1610.0, 0.52), (2250.0, 0.34))


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the folder."""

    name: str
    ident: str
    """ID of its data object in the manifest."""
    title: str
    group: netcdf.Group
    measurement: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """Everything of a product but its manifest."""

    members: tuple[Member, ...]
    picture: Array
    """RGB, uint8, (rows, columns, 3)."""
    information: str
    """XML of what is particular to the instrument, for the manifest."""
    title: str
    ring: list[tuple[float, float]] = field(default_factory=list)
    """Closed footprint of (lon, lat)."""


@dataclass(frozen=True)
class Grid:
    """Pixels in rows along and columns across the track. The first column lies farthest to the right of the flight.

    `x` is the distance in km to the right of the ground track of each column, `y` the distance forward from the middle of
    the scene of each row.
    """

    path: swath.Swath
    x: Array
    y: Array
    when: datetime
    cover: float

    @cached_property
    def places(self) -> tuple[Array, Array]:
        """Longitude and latitude of the pixels' centres, degrees, (rows, columns)."""
        return self.path.place(self.y[:, None], self.x[None, :] - self.path.offset)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y), len(self.x)

    @cached_property
    def ring(self) -> list[tuple[float, float]]:
        """Outline around the pixels' outer edges."""
        half_y, half_x = abs(self.y[1] - self.y[0]) / 2, abs(self.x[1] - self.x[0]) / 2
        along = (float(self.y[0] - half_y), float(self.y[-1] + half_y))
        across = (float(self.x[0] + half_x - self.path.offset), float(self.x[-1] - half_x - self.path.offset))
        return self.path.outline(along, across)

    @cached_property
    def sun(self) -> tuple[Array, Array]:
        """Zenith and azimuth of the sun, degrees."""
        late = self.y / swath.GROUND_SPEED / 240.0  # four minutes turn the Earth by a degree
        lon, lat = self.places
        return swath.sun(lon + late[:, None], lat, self.when)

    @cached_property
    def view(self) -> tuple[Array, Array]:
        """Zenith and azimuth of the satellite, degrees."""
        zenith, azimuth = self.path.view(self.x - self.path.offset)
        return np.broadcast_to(zenith, self.shape), np.broadcast_to(azimuth, self.shape)

    @cached_property
    def opacity(self) -> Array:
        """Cloud, 0 to 1."""
        return np.asarray(world.cloud(*self.places, self.when, self.cover))

    @property
    def cloudy(self) -> Array:
        """Where cloud hides more than half."""
        return self.opacity > 0.5

    @cached_property
    def land(self) -> Array:
        """Where there is more land than water."""
        return np.asarray(world.land(*self.places) > 0.5)

    @cached_property
    def fresh(self) -> Array:
        """Water that is not the sea."""
        return np.asarray(~self.land & (world.ground(*self.places).inland > 0))

    @cached_property
    def coast(self) -> Array:
        """Land with water beside it."""
        wet = np.pad(~self.land, 1, mode="edge")
        return np.asarray(self.land & (wet[:-2, 1:-1] | wet[2:, 1:-1] | wet[1:-1, :-2] | wet[1:-1, 2:]))

    @cached_property
    def height(self) -> Array:
        """Metres."""
        return np.asarray(world.height(*self.places), dtype=np.float64)

    def reflectance(self, wavelength: float) -> Array:
        """Ground and cloud from above, 0 to 1. The made-up world has no air: nothing is scattered on the way."""
        ground = np.asarray(world.reflectance(*self.places, self.when, wavelength), dtype=np.float64)
        albedo = float(np.interp(wavelength, [nm for nm, _ in _CLOUD_ALBEDO], [share for _, share in _CLOUD_ALBEDO]))
        return ground + self.opacity * (albedo - ground)

    def temperature(self) -> Array:
        """K of ground and, where it is opaque, cloud."""
        return np.asarray(world.temperature(*self.places, self.when), dtype=np.float64) - 35.0 * self.opacity

    def share(self, where: Array) -> str:
        """Per cent of the pixels, as the manifest writes it."""
        return f"{100.0 * np.count_nonzero(where) / where.size:.6f}"


@dataclass(frozen=True)
class Scene:
    """One product, by its name, whose fields have fixed places.

    ``S3A_OL_1_EFR____<start>_<stop>_<created>_DDDD_CCC_RRR_FFFF_<centre>_O_NT_NNN``
    """

    product_id: str
    lon0: float
    lat0: float
    cover: float

    @property
    def unit(self) -> str:
        """A, B, C."""
        return self.product_id[2]

    @property
    def product_type(self) -> str:
        """Eleven characters: OL_1_EFR___."""
        return self.product_id[4:15]

    @property
    def start(self) -> datetime:
        """Of the first row."""
        return _time(self.product_id[16:31])

    @property
    def stop(self) -> datetime:
        """Of the last row."""
        return _time(self.product_id[32:47])

    @property
    def created(self) -> datetime:
        """When the product was made."""
        return _time(self.product_id[48:63])

    @property
    def duration(self) -> int:
        """Seconds, as the name says."""
        return int(self.product_id[64:68])

    @property
    def cycle(self) -> int:
        """Cycle of 385 orbits."""
        return int(self.product_id[69:72])

    @property
    def relative_orbit(self) -> int:
        """1 to 385."""
        return int(self.product_id[73:76])

    @property
    def frame(self) -> int:
        """Along-track coordinate, seconds after the ascending node; 0 where the name has none."""
        text = self.product_id[77:81]
        return int(text) if text.isdigit() else 0

    @property
    def centre(self) -> str:
        """Where it was processed, three characters."""
        return self.product_id[82:85]

    @property
    def timeliness(self) -> str:
        """NR, ST or NT."""
        return self.product_id[88:90]

    @property
    def collection(self) -> str:
        """Baseline collection, three characters."""
        return self.product_id[91:94]

    @property
    def orbit(self) -> int:
        """Absolute orbit, counted from cycle and relative orbit as the real manifests of 2021 and later have it."""
        return (self.cycle - 1) * _ORBITS_A_CYCLE + self.relative_orbit + _FIRST_ORBIT.get(self.unit, 0)

    @property
    def seconds(self) -> float:
        """Time from the first to the last row; at least one, so that a name with start = stop still has a shape."""
        return max((self.stop - self.start).total_seconds(), 1.0)

    @property
    def middle(self) -> datetime:
        """The time that weather and light are taken at."""
        return self.start + (self.stop - self.start) / 2

    def path(self, offset: float) -> swath.Swath:
        """The pass: southward in the morning, its ground track `offset` km east of the scene's middle."""
        turn = swath.heading(self.lat0, inclination=_INCLINATION, ascending=False)
        return swath.Swath((self.lon0, self.lat0), turn, height=_HEIGHT, offset=offset)

    def grid(self, x: Array, y: Array, offset: float) -> Grid:
        """Pixels at `x` and `y` km; see Grid."""
        return Grid(self.path(offset), x, y, self.middle, self.cover)

    def stamps(self, rows: int) -> Array:
        """Microseconds since 2000 of each row."""
        first = swath.epoch_microseconds(self.start, EPOCH)
        return first + np.rint(np.linspace(0.0, self.seconds * 1e6, rows)).astype(np.int64)

    def attributes(self, title: str, resolution: str, **more: Any) -> dict[str, Any]:
        """Global attributes of a member."""
        return {
            "absolute_orbit_number": np.uint32(self.orbit),
            **more,
            "comment": "made-up sample data of extenso-nb, no measurement",
            "contact": "extenso-nb",
            "creation_time": f"{self.created:%Y-%m-%dT%H:%M:%SZ}",
            "history": f"{self.created:%Y-%m-%dT%H:%M:%SZ}: extenso-nb sample archive",
            "institution": self.centre,
            "product_name": f"{self.product_id}.SEN3",
            "references": "S3 product data format specifications (names and structure only)",
            "resolution": resolution,
            "source": "extenso-nb sample archive",
            "start_time": f"{self.start:%Y-%m-%dT%H:%M:%S.%fZ}",
            "stop_time": f"{self.stop:%Y-%m-%dT%H:%M:%S.%fZ}",
            "title": title,
        }


def degrees(values: Array, dims: tuple[str, ...], name: str, long_name: str) -> netcdf.Variable:
    """Latitude or longitude as the products store it: int32 millionths of a degree."""
    limit = 90_000_000 if name == "latitude" else 180_000_000
    return netcdf.Variable(
        dims,
        netcdf.pack(values, "i4", scale=1e-6, fill=-(2**31)),
        {
            "_FillValue": np.int32(-(2**31)),
            "long_name": long_name,
            "scale_factor": np.float64(1e-6),
            "standard_name": name,
            "units": "degrees_north" if name == "latitude" else "degrees_east",
            "valid_max": np.int32(limit),
            "valid_min": np.int32(-limit),
        },
    )


def angle(values: Array, dims: tuple[str, ...], long_name: str, *, signed: bool) -> netcdf.Variable:
    """An angle at OLCI's tie points: millionths of a degree, zeniths unsigned."""
    kind = np.dtype("i4" if signed else "u4").type
    fill = -(2**31) if signed else 2**32 - 1
    return netcdf.Variable(
        dims,
        netcdf.pack(values, "i4" if signed else "u4", scale=1e-6, fill=fill),
        {
            "_FillValue": kind(fill),
            "coordinates": "latitude longitude",
            "long_name": long_name,
            "scale_factor": np.float64(1e-6),
            "units": "degrees",
            "valid_max": kind(180_000_000),
            "valid_min": kind(-180_000_000 if signed else 0),
        },
    )


def rgb(red: Array, green: Array, blue: Array) -> Array:
    """Reflectances as a picture: uint8, dark parts lifted."""
    stacked = np.stack([red, green, blue], axis=-1)
    return np.rint(255.0 * np.clip(stacked / 0.80, 0.0, 1.0) ** 0.45).astype(np.uint8)


def ramp(values: Array, low: float, high: float) -> Array:
    """Values as colours from violet over green to yellow, uint8 with a last axis of 3."""
    stops = np.linspace(0.0, 1.0, 5)
    colours = np.array([[52, 16, 92], [44, 86, 158], [46, 158, 116], [226, 186, 60], [206, 58, 36]], dtype=np.float64)
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.rint(np.stack([np.interp(share, stops, colours[:, i]) for i in range(3)], axis=-1)).astype(np.uint8)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
