"""A made-up world for the sample archive: land, fields, weather and gases as functions of place and time.

Numbers only, drawn from a fixed seed: the same place and time give the same values. Coasts, rivers and towns follow a few
hand-set points near real places, so that pictures lie sensibly on a map; everything finer is noise. Nothing here is a
measurement. All functions take longitude and latitude (degrees) as arrays of any one shape and keep that shape; detail finer
than the spacing of a two-dimensional array is left out.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from extenso_nb.gateway.sources.sample.noise import Array, Floats, fbm, hash_of, on_lattice, smooth, unit
from extenso_nb.gateway.sources.sample.parcels import CROPS, Fields, bloom, parcels
from extenso_nb.gateway.sources.sample.places import (
    BASE_HEIGHTS,
    COASTS,
    RIVERS,
    TOWNS,
)
from extenso_nb.gateway.sources.sample.spectra import SIGMA0_DB, WARMTH, spectrum

__all__ = [
    "AREAS",
    "Area",
    "Fields",
    "Ground",
    "backscatter",
    "cloud",
    "column",
    "fields",
    "ground",
    "height",
    "land",
    "reflectance",
    "temperature",
]

EARTH_KM = 111.195
"""Kilometres in a degree of latitude on a sphere."""


@dataclass(frozen=True, slots=True)
class Area:
    """One of the three places that the archive shows."""

    name: str
    title: str
    lon: float
    lat: float
    """Centre of what the fine sensors see, degrees."""
    mgrs: str
    """Tile of the Sentinel-2 grid."""


AREAS: dict[str, Area] = {
    area.name: area
    for area in (
        Area("camargue", "Delta coast of the Camargue", 4.725, 43.405, "31TFJ"),
        Area("lauragais", "Fields and river south of Toulouse", 1.40, 43.42, "31TCJ"),
        Area("lofoten", "Islands of Lofoten", 13.698, 68.226, "33WVR"),
    )
}


# --- public functions ------------------------------------------------------------------------------------------------
def land(lon: npt.ArrayLike, lat: npt.ArrayLike) -> Array:
    """Share of land, 0 (sea, lagoon or river) to 1, with a soft edge."""
    return ground(lon, lat).land


def height(lon: npt.ArrayLike, lat: npt.ArrayLike) -> Array:
    """Height above the sea in metres; 0 over the sea."""
    return ground(lon, lat).height


def fields(lon: npt.ArrayLike, lat: npt.ArrayLike) -> Fields:
    """Parcels of farmland: where, which crop, how far from the edge."""
    return ground(lon, lat).fields


def reflectance(lon: npt.ArrayLike, lat: npt.ArrayLike, when: datetime, wavelength_nm: float) -> Array:
    """Surface reflectance without cloud, 0 to 1, at a wavelength of 400 to 2400 nm."""
    return ground(lon, lat).reflectance(when, wavelength_nm)


def cloud(lon: npt.ArrayLike, lat: npt.ArrayLike, when: datetime, cover: float) -> Array:
    """Opacity of cloud, 0 to 1; the share of the array above 0.5 is `cover` (0 to 1) to within a pixel."""
    return ground(lon, lat).cloud(when, cover)


def temperature(lon: npt.ArrayLike, lat: npt.ArrayLike, when: datetime) -> Array:
    """Skin temperature of land and sea in K, by sun height, season, height and ground."""
    return ground(lon, lat).temperature(when)


def backscatter(lon: npt.ArrayLike, lat: npt.ArrayLike, when: datetime, pol: str) -> Array:
    """Radar backscatter sigma0 (linear power) at C band with speckle of 4.4 looks; `pol` is VV, VH, HH or HV."""
    return ground(lon, lat).backscatter(when, pol)


def column(lon: npt.ArrayLike, lat: npt.ArrayLike, when: datetime, gas: str) -> Array:
    """Column of a trace gas in mol/m2; CH4 as a mixing ratio in ppb (1e-9), AER_AI as the index (1).

    `gas` is NO2, SO2, HCHO, CO, O3, CH4 or AER_AI; others raise KeyError.
    """
    return ground(lon, lat).column(when, gas)


_cache: OrderedDict[bytes, Ground] = OrderedDict()
_cache_lock = threading.Lock()


def ground(lon: npt.ArrayLike, lat: npt.ArrayLike) -> Ground:
    """All that stays the same at these places; the last few are kept, so that many dates or bands cost little."""
    east, north = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    digest = hashlib.blake2b(np.ascontiguousarray(east).data, digest_size=16)
    digest.update(np.ascontiguousarray(north).data)
    key = digest.digest() + repr(east.shape).encode()
    with _cache_lock:
        found = _cache.pop(key, None) or Ground(east, north)
        _cache[key] = found
        while len(_cache) > 8:
            _cache.popitem(last=False)
    return found


# --- coarse layers ---------------------------------------------------------------------------------------------------
def _segment_km(lon: Floats, lat: Floats, a: tuple[float, float], b: tuple[float, float]) -> Floats:
    """Squared distance (km2) from points to a segment, on a plane around the segment."""
    scale = math.cos(math.radians((a[1] + b[1]) / 2))
    px, py = (lon - a[0]) * scale, lat - a[1]
    vx, vy = (b[0] - a[0]) * scale, b[1] - a[1]
    t = np.clip((px * vx + py * vy) / max(vx * vx + vy * vy, 1e-12), 0, 1)
    return np.asarray(((px - t * vx) ** 2 + (py - t * vy) ** 2) * EARTH_KM**2)


def _inland_km(lon: Floats, lat: Floats) -> Floats:
    """Distance to the hand-set coasts, km: positive on land, negative at sea."""
    nearest = np.full(lon.shape, 4e6)
    inside = np.zeros(lon.shape, bool)
    for ring in COASTS:
        here = np.zeros(lon.shape, bool)
        for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
            nearest = np.minimum(nearest, _segment_km(lon, lat, a, b))
            if a[1] != b[1]:
                crossing = (lat >= min(a[1], b[1])) & (lat < max(a[1], b[1]))
                here ^= crossing & (lon < a[0] + (lat - a[1]) * (b[0] - a[0]) / (b[1] - a[1]))
        inside |= here
    distance = np.sqrt(nearest)
    return np.asarray(np.where(inside, distance, -distance))


def _base(lon: Floats, lat: Floats) -> Floats:
    """Height (m) that the relief reaches around a place, from hand-set points by inverse distance."""
    total, weights = np.zeros(lon.shape), np.zeros(lon.shape)
    for east, north, metres in BASE_HEIGHTS:
        away = ((lon - east) * np.cos(np.radians(lat))) ** 2 + (lat - north) ** 2
        weight = 1 / (away + 0.01) ** 2
        total += weight * metres
        weights += weight
    return np.asarray(total / weights)


def _town_field(lon: Floats, lat: Floats, spread: float) -> Floats:
    """Sum over towns of their weight, falling off with distance; `spread` widens all."""
    out = np.zeros(lon.shape)
    for east, north, weight in TOWNS:
        x, y = (lon - east) * np.cos(np.radians(lat)) * EARTH_KM, (lat - north) * EARTH_KM
        radius = spread * (1.0 + 3.2 * math.sqrt(weight))
        out += min(1.0, 0.35 + weight) * np.exp(-(x * x + y * y) / (2 * radius * radius))
    return out


# --- the ground ------------------------------------------------------------------------------------------------------
class Ground:
    """What lies at the places given, and how it looks at any time. Arrays keep the shape of the places.

    Parameters
    ----------
    lon, lat
        Degrees, float64, of one shape.
    """

    def __init__(self, lon: Floats, lat: Floats) -> None:
        self.lon, self.lat = lon, lat
        self.x = lon * np.cos(np.radians(lat)) * EARTH_KM
        self.y = lat * EARTH_KM
        self.spacing = self._spacing()
        self._kept: tuple[datetime, dict[str, Array]] | None = None
        self._lock = threading.Lock()

    def _spacing(self) -> float:
        """Distance between neighbours in km; 0.01 where the shape does not tell."""
        if self.lon.ndim != 2 or min(self.lon.shape) < 2:
            return 0.01
        i, j = self.lon.shape[0] // 2, self.lon.shape[1] // 2
        step = np.hypot(self.x[i, j] - self.x[i, j - 1], self.y[i, j] - self.y[i, j - 1])
        return float(step) if np.isfinite(step) else 0.01

    @property
    def _middle(self) -> tuple[float, float]:
        """Longitude and latitude that the sun is taken for."""
        return (float(self.lon.mean()), float(self.lat.mean())) if self.lon.size else (0.0, 0.0)

    def _fbm(self, wave: float, octaves: int, seed: int, *, fall: float = 0.5) -> Array:
        return fbm(self.x, self.y, wave, octaves, seed, self.spacing, fall=fall)

    @cached_property
    def inland(self) -> Array:
        """Distance to the sea, km, negative at sea, with bays and islets of noise."""
        far = on_lattice(_inland_km, self.lon, self.lat)
        wild = np.where(self.lat > 60, np.float32(14.0), np.float32(5.0))
        wander = (self._fbm(9.0, 4, 11) - 0.5) * wild + (self._fbm(0.6, 4, 12) - 0.5) * 0.5
        if self.lat.size and self.lat.max() > 60:  # fjords
            wander += (self._fbm(40.0, 2, 13) - 0.5) * np.where(self.lat > 60, np.float32(12), np.float32(0))
        return np.asarray(far + wander, np.float32)

    @cached_property
    def _plain(self) -> Array:
        """Height that the relief can reach, m."""
        return on_lattice(_base, self.lon, self.lat)

    @cached_property
    def height(self) -> Array:
        """Metres above the sea; 0 over the sea."""
        rough = 1 - np.abs(2 * self._fbm(7.0, 8, 21, fall=0.48) - 1) * 2.4
        hills = self._fbm(14.0, 6, 22)
        relief = np.clip(0.55 * np.clip(rough, 0, 1) ** 2 + 0.75 * (hills - 0.25), 0.02, None)
        rise = smooth(self.inland, 0.0, 2.2)
        return np.asarray(np.maximum(self._plain * relief * rise + np.clip(self.inland, 0, 1) * 2, 0), np.float32)

    @cached_property
    def river(self) -> Array:
        """Share of river, 0 to 1."""
        out = np.zeros(self.lon.shape, np.float32)
        lon = self.lon + ((self._fbm(4.0, 3, 31) - 0.5) * 0.055).astype(np.float64)
        lat = self.lat + ((self._fbm(4.0, 3, 32) - 0.5) * 0.040).astype(np.float64)
        if not self.lon.size:
            return out
        box = (self.lon.min() - 0.05, self.lat.min() - 0.05, self.lon.max() + 0.05, self.lat.max() + 0.05)
        for width, line in RIVERS:
            if width < self.spacing / 4:
                continue
            for a, b in pairwise(line):
                if max(a[0], b[0]) < box[0] or min(a[0], b[0]) > box[2]:
                    continue
                if max(a[1], b[1]) < box[1] or min(a[1], b[1]) > box[3]:
                    continue
                away = np.sqrt(_segment_km(lon, lat, a, b))
                soft = max(0.012, self.spacing)
                out = np.maximum(out, 1 - smooth(away, width / 2 - soft / 2, width / 2 + soft / 2))
        return np.asarray(out * smooth(self.inland, -0.3, 0.0), np.float32)

    @cached_property
    def lagoon(self) -> Array:
        """Share of shallow standing water behind a low coast, 0 to 1."""
        low = (1 - smooth(self._plain, 15, 40)) * (1 - smooth(self.inland, 9.0, 16.0)) * smooth(self.inland, 0.5, 0.9)
        pools = self._fbm(5.5, 6, 41)
        return np.asarray(smooth(pools, 0.575, 0.59) * low, np.float32)

    @cached_property
    def land(self) -> Array:
        """Share of land, 0 to 1."""
        soft = max(0.012, self.spacing / 2)
        dry = smooth(self.inland, -soft, soft)
        return np.asarray(dry * (1 - self.river) * (1 - self.lagoon), np.float32)

    @cached_property
    def slope(self) -> tuple[Array, Array]:
        """Rise to the east and to the north, m per m; 0 where the shape does not tell."""
        zero = np.zeros(self.lon.shape, np.float32)
        if self.lon.ndim != 2 or min(self.lon.shape) < 3:
            return zero, zero
        scale = np.float32(1000 * self.spacing)
        down, right = np.gradient(self.height)
        northward = -1.0 if self.lat[-1, 0] < self.lat[0, 0] else 1.0
        eastward = 1.0 if self.lon[0, -1] > self.lon[0, 0] else -1.0
        return np.asarray(right * eastward / scale, np.float32), np.asarray(down * northward / scale, np.float32)

    @cached_property
    def built(self) -> Array:
        """Share of buildings, 0 to 1: towns, and villages strewn over the plain."""
        town = on_lattice(lambda lon, lat: _town_field(lon, lat, 0.8), self.lon, self.lat)
        ragged = self._fbm(1.2, 4, 51)
        return np.asarray(
            smooth(town * (0.45 + 1.1 * ragged) + self._villages * ragged**2 * 1.6, 0.30, 0.42), np.float32
        )

    @cached_property
    def _villages(self) -> Array:
        size = 4.2
        gx, gy = np.floor(self.x / size).astype(np.int32), np.floor(self.y / size).astype(np.int32)
        bits = hash_of(gx, gy, np.full_like(gx, 77))
        cx, cy = (gx + 0.2 + 0.6 * unit(bits)) * size, (gy + 0.2 + 0.6 * unit(bits, 16)) * size
        radius = 0.10 + 0.30 * unit(bits, 9)
        there = (unit(bits, 5) < 0.6) & (self._plain < 700)
        away = np.hypot(self.x - cx, self.y - cy) / radius
        return np.asarray(np.where(there, 1.4 * np.exp(-away * away / 2), 0), np.float32)

    @cached_property
    def fields(self) -> Fields:
        """Parcels of farmland."""
        parcel, edge = parcels(self.x, self.y)
        lot = unit(parcel, 16)
        inland = np.searchsorted((0.22, 0.52, 0.58, 0.76, 0.92, 0.96, 2.0), lot).astype(np.uint8)
        delta = np.choose(np.searchsorted((0.34, 0.50, 0.60, 0.70), lot), (7, 0, 1, 5, 0)).astype(np.uint8)
        crop = np.where(self._plain < 40, delta, inland)
        crop = np.where(self.lat > 58, np.uint8(0), crop).astype(np.uint8)
        flat = 1 - smooth(self.height, 260, 420)
        if self.lat.size and self.lat.max() > 58:
            flat = np.where(self.lat > 58, 1 - smooth(self.height, 25, 60), flat)
        free = np.clip(self.land - self.woods - self.built * self.land, 0, 1)
        share = flat * free * smooth(self.inland, 0.35, 0.6)
        wild = smooth(self._fbm(3.0, 4, 61), 0.55, 0.60) * np.where(self._plain < 40, np.float32(1), np.float32(0.15))
        return Fields(np.asarray(share * (1 - wild), np.float32), parcel, crop, edge)

    @cached_property
    def woods(self) -> Array:
        """Share of forest, 0 to 1."""
        lean = 0.10 * smooth(self.height, 150, 500) - 0.10 * (1 - smooth(self._plain, 20, 60))
        line = np.where(self.lat > 60, np.float32(260), np.float32(1900))
        grown = smooth(0.75 * self._fbm(2.4, 7, 71, fall=0.6) + 0.25 * self._fbm(0.3, 3, 73) + lean, 0.565, 0.585) * (
            1 - smooth(self.height / line, 0.8, 1.1)
        )
        along = smooth(self.river_bank, 0.2, 0.6) * smooth(self._fbm(0.8, 3, 72), 0.48, 0.56)
        return np.asarray(np.maximum(grown, along) * (1 - self.built) * self.land, np.float32)

    @cached_property
    def river_bank(self) -> Array:
        """1 beside a river, falling to 0 within some hundred metres; by blurring, so only for two dimensions."""
        if self.lon.ndim != 2 or self.spacing > 0.1 or not self.river.any():
            return np.zeros(self.lon.shape, np.float32)
        reach = max(1, round(0.12 / self.spacing))
        out = self.river
        for axis in (0, 1):
            padded = np.pad(out, [(reach + 1, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            sums = np.cumsum(padded, axis=axis, dtype=np.float64)
            size, full = out.shape[axis], 2 * reach + 1
            out = ((sums.take(range(full, full + size), axis) - sums.take(range(size), axis)) / full).astype(np.float32)
        return np.clip(out * 3, 0, 1)

    @cached_property
    def _patches(self) -> dict[str, Array]:
        """Noise that gives bare rock, shoals, silt and snow their ragged edges, each 0 to 1."""
        return {
            "rock": self._fbm(0.9, 4, 91),
            "shoal": self._fbm(0.9, 4, 95),
            "drift": self._fbm(4.0, 5, 96),
            "murk": self._fbm(2.0, 3, 97),
            "snow": self._fbm(0.9, 5, 98),
        }

    @cached_property
    def grain(self) -> Array:
        """Fine light and dark of any surface, around 1."""
        rows = np.float32(0.10) * (self._fbm(0.16, 3, 81) - 0.5)
        return np.asarray(1 + rows + 0.28 * (self._fbm(1.6, 3, 82) - 0.5), np.float32)

    # --- at a date ---------------------------------------------------------------------------------------------------
    def kinds(self, when: datetime) -> dict[str, Array]:
        """Share of each kind of ground (the names of the spectra); they add up to 1 at each place."""
        with self._lock:
            if self._kept is None or self._kept[0].date() != when.date():
                self._kept = (when, self._kinds(when))
            return self._kept[1]

    def _kinds(self, when: datetime) -> dict[str, Array]:
        shares: dict[str, Array] = {}
        self._farm(when, shares)
        solid = self.land - self.fields.share - self.woods
        solid = np.clip(solid, 0, 1)
        yards = np.float32(0.45) + np.float32(0.55) * smooth(self._fbm(0.11, 2, 52), 0.35, 0.6)
        town = np.minimum(self.built * self.land, solid) * yards
        rest = solid - town
        sandy = np.where(self._plain < 200, np.float32(1), np.float32(0.35)) * (1 - smooth(self.inland, 0.05, 0.20))
        sand = rest * sandy
        steep = np.hypot(*self.slope)
        rocky = smooth(steep + 0.0004 * self.height + 0.4 * (self._patches["rock"] - 0.5), 0.42, 0.75)
        rock = (rest - sand) * rocky
        heath = rest - sand - rock
        marsh = heath * np.where(self._plain < 40, smooth(self._fbm(1.1, 6, 62), 0.42, 0.62) * np.float32(0.65), 0)
        shares["silt"], shares["sand"] = shares["silt"] + marsh * 0.6, sand + marsh * 0.4
        heath = heath - marsh
        lush = np.where(self.lat > 60, self._lush_north(when), np.float32(0.30))
        shares["heath"], shares["green"] = heath * (1 - lush), shares["green"] + heath * lush
        shares |= {"town": town, "rock": rock, "trees": self.woods}
        self._water(shares)
        snow = self._snow(when) * self.land
        for kind in shares:
            shares[kind] = np.asarray(shares[kind] * (1 - snow), np.float32)
        return shares | {"snow": np.asarray(snow, np.float32)}

    @staticmethod
    def _lush_north(when: datetime) -> np.float32:
        return np.float32(np.interp(when.timetuple().tm_yday, (121, 152, 182), (0.12, 0.40, 0.68)))

    def _farm(self, when: datetime, shares: dict[str, Array]) -> None:
        parts = self.fields
        green, dry, wet = parts.cover(when)
        if self.spacing > 0.15:  # parcels are smaller than a sample: mix them
            blend = np.float32(min(1.0, 0.15 / self.spacing))
            green, dry, wet = (blend * part + (1 - blend) * np.float32(part.mean()) for part in (green, dry, wet))
        hedge = (1 - smooth(parts.edge, 0.004, 0.014)) * np.float32(0.8 if self.spacing < 0.05 else 0.1)
        share = parts.share * (1 - hedge)
        flower = np.where(parts.crop == CROPS.index("rapeseed"), np.float32(bloom(when)), np.float32(0))
        shares["flower"] = share * green * flower
        shares["green"] = share * green * (1 - flower) + parts.share * hedge * 0.5
        shares["dry"] = share * dry
        shares["silt"] = share * wet
        shares["soil"] = np.clip(share * (1 - green - dry - wet), 0, 1) + parts.share * hedge * 0.5

    def _water(self, shares: dict[str, Array]) -> None:
        water = 1 - self.land
        fresh = np.clip(self.river + self.lagoon * (self.inland > 0), 0, 1) * water
        salt = water - fresh
        depth = np.clip(-self.inland, 0, None)
        shoal = salt * np.exp(-depth / 0.45) * (0.55 + 0.6 * self._patches["shoal"])
        drift = smooth(self._patches["drift"], 0.46, 0.66) * np.exp(-depth / 3.0)
        silty = salt * np.clip(drift * np.where(self._plain < 60, np.float32(0.75), np.float32(0.15)), 0, 1)
        shoal = np.clip(np.minimum(shoal, salt - silty), 0, 1)
        murk = np.float32(0.55) + np.float32(0.35) * self._patches["murk"]
        shares["silt"] = shares["silt"] + silty + fresh * murk
        shares["shoal"] = np.asarray(shoal, np.float32)
        shares["sea"] = np.asarray(np.clip(salt - silty - shoal, 0, 1) + fresh * (1 - murk), np.float32)

    def _snow(self, when: datetime) -> Array:
        day = when.timetuple().tm_yday
        north = np.interp(day, (91, 121, 152, 182), (40, 190, 420, 720))
        south = np.interp(day, (91, 121, 152, 182), (1400, 1700, 2100, 2700))
        line = np.where(self.lat > 60, np.float32(north), np.float32(south))
        patchy = self.height + 420 * (self._patches["snow"] - 0.5) + 260 * self.slope[1].clip(-1, 1) * -1
        return smooth(patchy - line, -70, 70)

    def shade(self, when: datetime) -> Array:
        """Light of the sun on the slope against that on level ground, 0.2 to 1.7."""
        zenith, azimuth = sun(when, *self._middle)
        tilt = math.tan(math.radians(min(zenith, 80.0)))
        east, north = self.slope
        a = math.radians(azimuth)
        facing = 1 - np.float32(tilt * math.sin(a)) * east - np.float32(tilt * math.cos(a)) * north
        return np.asarray(np.clip(facing / np.sqrt(1 + east**2 + north**2), 0.2, 1.7), np.float32)

    def reflectance(self, when: datetime, wavelength_nm: float) -> Array:
        """Surface reflectance without cloud, 0 to 1."""
        out = np.zeros(self.lon.shape, np.float32)
        for kind, share in self.kinds(when).items():
            out += share * spectrum(kind, wavelength_nm)
        lit = self._lit(when)
        out *= lit
        return np.asarray(np.clip(out, 0.0005, 1.0), np.float32)

    def _lit(self, when: datetime) -> Array:
        key = when.isoformat()
        kept: tuple[str, Array] | None = getattr(self, "_light", None)
        if kept is None or kept[0] != key:
            tint = 0.82 + 0.36 * unit(self.fields.parcel, 8)
            parcels = 1 + (tint - 1) * self.fields.share * np.float32(min(1.0, 0.15 / self.spacing))
            rough = 1 + (self.grain - 1) * (0.15 + 0.85 * self.land)
            light = np.asarray(rough * parcels * (1 + (self.shade(when) - 1) * self.land), np.float32)
            self._light = kept = (key, light)
        return kept[1]

    def cloud(self, when: datetime, cover: float) -> Array:
        """Opacity of cloud, 0 to 1; the share above 0.5 is `cover`."""
        if cover <= 0 or not self.lon.size:
            return np.zeros(self.lon.shape, np.float32)
        thick = self._sky(when)
        limit = float(np.quantile(thick, 1 - min(cover, 1.0)))
        if cover >= 1:
            limit -= 0.06
        deep = thick - np.float32(limit)
        thin = smooth(deep, -0.055, 0.055)
        t = np.where(deep >= 0, 1 - 0.5 * np.exp(np.minimum(-deep, 0) / np.float32(0.045)), np.minimum(thin, 0.5))
        # A value on the limit counts as cloud, one below it not: keeps the figure true to the pixel.
        return np.asarray(np.where(thick >= limit, np.maximum(t, 0.5001), np.minimum(t, 0.4999)), np.float32)

    def _sky(self, when: datetime) -> Array:
        seed = int(when.timestamp()) // 60 % 251
        wide = float(np.ptp(self.y)) if self.lon.size > 1 else 10.0
        wave = max(3.2, wide / 3)
        warp = (self._fbm(wave, 2, seed + 3) - 0.5) * 0.5 * wave
        x, y = self.x + warp, self.y - 0.6 * warp
        billows = 1 - np.abs(2 * fbm(x, y, wave / 2, 6, seed + 5, self.spacing) - 1)
        return np.asarray(0.72 * fbm(x, y, wave, 8, seed, self.spacing, fall=0.55) + 0.28 * billows, np.float32)

    def temperature(self, when: datetime) -> Array:
        """Skin temperature, K."""
        day = when.timetuple().tm_yday
        season = math.sin((day - 115) / 365 * 2 * math.pi)
        latitude = np.abs(self.lat).astype(np.float32)
        sea = 293.5 - 0.42 * (latitude - 40) + np.float32(3.5 * season) * np.sign(self.lat).astype(np.float32)
        sea += 1.2 * (self._fbm(60, 5, 99) - 0.5)
        zenith, _ = sun(when, *self._middle)
        strength = np.float32(max(math.cos(math.radians(min(zenith, 90.0))), -0.15) * 1.15)
        warm = np.zeros(self.lon.shape, np.float32)
        for kind, share in self.kinds(when).items():
            warm += share * np.float32(WARMTH[kind])
        night = np.float32(-5.0) * self.land * np.float32(max(0.0, 0.3 - float(strength)))
        return np.asarray(sea + warm * strength + night - 0.0058 * self.height, np.float32)

    def backscatter(self, when: datetime, pol: str) -> Array:
        """Sigma0, linear, with speckle."""
        which = {"VV": 0, "HH": 0, "VH": 1, "HV": 1}[pol]
        out = np.zeros(self.lon.shape, np.float32)
        for kind, share in self.kinds(when).items():
            out += share * np.float32(10 ** (SIGMA0_DB[kind][which] / 10))
        wind = 1 + 1.6 * (self._fbm(3.0, 5, int(when.timestamp()) // 3600 % 199) - 0.35)
        out *= 1 + (np.clip(wind, 0.25, 3) - 1) * (1 - self.land)
        out *= 1 + (0.7 + 0.6 * unit(self.fields.parcel, 9) - 1) * self.fields.share
        out *= np.clip(1 - 1.4 * self.slope[0], 0.15, 4) ** np.float32(0.8)
        seed = hashlib.blake2b(f"{when.isoformat()} {pol}".encode(), digest_size=8).digest()
        chance = np.random.Generator(np.random.PCG64(int.from_bytes(seed, "big")))
        speckle = chance.standard_gamma(4.4, self.lon.shape, np.float32) / np.float32(4.4)
        return np.asarray(out * speckle, np.float32)

    def column(self, when: datetime, gas: str) -> Array:
        """Column of a trace gas, mol/m2 (CH4 ppb, AER_AI index)."""
        drift = int(when.timestamp()) // 86400 % 173
        air = self._fbm(400, 5, 100 + drift)
        town = on_lattice(lambda lon, lat: _town_field(lon - 0.05, lat - 0.03, 7.0), self.lon, self.lat)
        thin = np.exp(-self.height / 8000)
        lat = self.lat.astype(np.float32)
        table: dict[str, Callable[[], npt.NDArray[np.floating]]] = {
            "NO2": lambda: 1.1e-5 * (0.6 + 0.8 * air) + 1.3e-4 * town * (0.6 + 0.8 * air),
            "SO2": lambda: 4e-5 * (air - 0.3) + 2.0e-4 * town * air,
            "HCHO": lambda: 5e-5 + 9e-5 * air * (0.4 + 0.6 * self.woods) + 6e-5 * town,
            "CO": lambda: (0.031 + 0.010 * air + 0.004 * town) * thin,
            "O3": lambda: 0.135 + 0.0006 * (lat - 40) + 0.02 * (air - 0.5),
            "CH4": lambda: 1868 + 30 * (air - 0.5) + 8 * town - 0.35 * (lat - 40),
            "AER_AI": lambda: -1.2 + 2.2 * air + 0.4 * town,
        }
        return np.asarray(table[gas](), np.float32)


def sun(when: datetime, lon: float, lat: float) -> tuple[float, float]:
    """Zenith and azimuth (clockwise from north) of the sun in degrees, to about half a degree.

    Low-precision formulae of declination and hour angle with the equation of time after Spencer (1971).
    """
    day = when.timetuple().tm_yday - 1 + (when.hour + when.minute / 60 + when.second / 3600) / 24
    g = 2 * math.pi * day / 365
    declination = (
        0.006918 - 0.399912 * math.cos(g) + 0.070257 * math.sin(g) - 0.006758 * math.cos(2 * g)
        + 0.000907 * math.sin(2 * g) - 0.002697 * math.cos(3 * g) + 0.00148 * math.sin(3 * g)
    )  # fmt: skip
    minutes = 229.18 * (
        0.000075
        + 0.001868 * math.cos(g)
        - 0.032077 * math.sin(g)
        - 0.014615 * math.cos(2 * g)
        - 0.040849 * math.sin(2 * g)
    )
    hours = when.hour + when.minute / 60 + when.second / 3600 + minutes / 60 + lon / 15
    hour_angle, phi = math.radians(15 * (hours - 12)), math.radians(lat)
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour_angle)
    east = -math.cos(declination) * math.sin(hour_angle)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(hour_angle)
    return math.degrees(math.acos(max(-1.0, min(1.0, up)))), math.degrees(math.atan2(east, north)) % 360
