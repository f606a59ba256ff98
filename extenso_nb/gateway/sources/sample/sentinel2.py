"""Made-up Sentinel-2 products in the true format: a SAFE of JPEG 2000 bands with its metadata, in a stored zip.

A product shows a part of its tile, 5.4 km wide, on the tile's own grid: size, corner and footprint in the metadata are those of
the pixels. What is drawn is the ground of `world`, with clouds and their shadows; Level-1C has a simple air above.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from extenso_nb.gateway.sources.sample import sentinel2_metadata as metadata
from extenso_nb.gateway.sources.sample import world
from extenso_nb.gateway.sources.sample.noise import Array
from extenso_nb.gateway.sources.sample.safe import Member, write_zip

if TYPE_CHECKING:
    from extenso_nb.gateway.sources.sample.plan import Spec

__all__ = ["PIXELS", "TILES", "Scene", "write"]

Words = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]

PIXELS = 540
"""Pixels of 10 m along each side."""
TILES: dict[str, tuple[int, int, int]] = {
    "31TCJ": (32631, 300000, 4900020),
    "31TFJ": (32631, 600000, 4900020),
    "33WVR": (32633, 399960, 7600020),
}
"""Tile -> EPSG code, easting and northing of its upper left corner, m."""

_CLOUD_HEIGHT = 1100.0
"""Metres above the ground, for the shadows."""


@lru_cache(maxsize=3)  # the three pixel sizes of one place: products of a place are drawn one after the other
def _ground(epsg: int, ulx: int, uly: int, step: int) -> world.Ground:
    """The world under the pixels of `step` m from this corner."""
    from pyproj import Transformer

    at = (np.arange(PIXELS * 10 // step) + 0.5) * step
    x, y = np.meshgrid(ulx + at, uly - at)
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)
    return world.Ground(lon, lat)


@dataclass(frozen=True)
class Scene:
    """What one product shows; arrays are (rows, columns), north up, at 10, 20 or 60 m."""

    spec: Spec

    @cached_property
    def tile(self) -> str:
        """Of the grid: 31TCJ."""
        return world.AREAS[self.spec.area].mgrs

    @property
    def epsg(self) -> int:
        """UTM zone."""
        return TILES[self.tile][0]

    @cached_property
    def corner(self) -> tuple[int, int]:
        """Easting and northing of the upper left corner, m: on the tile's 60 m grid."""
        from pyproj import Transformer

        area = world.AREAS[self.spec.area]
        epsg, ulx, uly = TILES[self.tile]
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(area.lon, area.lat)
        return ulx + 60 * round((x - PIXELS * 5 - ulx) / 60), uly - 60 * round((uly - y - PIXELS * 5) / 60)

    @cached_property
    def ring(self) -> list[tuple[float, float]]:
        """Closed footprint (lon, lat) of the pixels with data, clockwise from the upper left."""
        from pyproj import Transformer

        (ulx, uly), side = self.corner, PIXELS * 10
        top, low = (c * 10 for c in self._edge) if self.spec.edge else (0.0, 0.0)
        x = [ulx + top, ulx + side, ulx + side, ulx + low, ulx + top]
        y = [uly, uly, uly - side, uly - side, uly]
        lon, lat = Transformer.from_crs(self.epsg, 4326, always_xy=True).transform(x, y)
        return list(zip(map(float, lon), map(float, lat), strict=True))

    @property
    def _edge(self) -> tuple[float, float]:
        """Column (10 m) of the swath's edge at the top and the bottom row."""
        return 0.30 * PIXELS, 0.05 * PIXELS

    def ground(self, step: int) -> world.Ground:
        """The world under the pixels of `step` m."""
        return _ground(self.epsg, *self.corner, step)

    def outside(self, step: int) -> npt.NDArray[np.bool_]:
        """Pixels beyond the edge of the swath."""
        size = PIXELS * 10 // step
        if not self.spec.edge:
            return np.zeros((size, size), bool)
        top, low = (c * 10 / step for c in self._edge)
        row, column = np.arange(size)[:, None] + 0.5, np.arange(size)[None, :] + 0.5
        return np.asarray(column < top + (low - top) * row / size)

    @cached_property
    def sun(self) -> tuple[float, float]:
        """Zenith and azimuth at the middle, degrees."""
        area = world.AREAS[self.spec.area]
        return world.sun(self.spec.begin, area.lon, area.lat)

    # --- sky ---------------------------------------------------------------------------------------------------------
    @cached_property
    def opacity(self) -> dict[int, Array]:
        """Cloud, 0 to 1, by pixel size. The share above 0.5 at 20 m is what the metadata says."""
        at20 = self.ground(20).cloud(self.spec.begin, self.spec.cover)
        return {10: _twice(at20), 20: at20, 60: _mean(at20, 3)}

    @cached_property
    def shadow(self) -> dict[int, Array]:
        """Shadow of the clouds, 0 to 1, by pixel size: the cloud's own place moved away from the sun."""
        zenith, azimuth = self.sun
        reach = _CLOUD_HEIGHT * math.tan(math.radians(min(zenith, 75.0))) / 20
        right = round(-reach * math.sin(math.radians(azimuth)))
        down = round(reach * math.cos(math.radians(azimuth)))
        at20 = _moved(self.opacity[20], down, right) * (1 - self.opacity[20])
        return {10: _twice(at20), 20: at20, 60: _mean(at20, 3)}

    # --- what the instrument sees --------------------------------------------------------------------------------------
    def reflectance(self, band: metadata.Band, step: int) -> Array:
        """Reflectance of a band: at the surface for Level-2A, above the air for Level-1C."""
        nm = band.centre
        seen = self.ground(step).reflectance(self.spec.begin, nm)
        dim = np.float32(0.66 if nm < 520 else 0.74)
        seen = seen * (1 - dim * self.shadow[step])
        cloud = self.opacity[step]
        white = (0.26 + 0.56 * cloud * cloud) * np.float32(
            np.interp(nm, (400, 900, 1600, 2200), (1.0, 0.97, 0.60, 0.42))
        )
        if self.spec.product_type == "S2MSI1C":
            haze = np.float32(0.088 * (443 / nm) ** 4 + 0.012 * (443 / nm))
            clear = {"B09": 0.42, "B10": 0.004}.get(band.name, 0.96 - 0.5 * float(haze))
            white = white * np.float32({"B09": 0.75, "B10": 0.06}.get(band.name, 1.0))
            seen = seen * np.float32(clear) + np.float32(0.0008 if band.name == "B10" else haze)
        return np.asarray(seen * (1 - cloud) + white * cloud, np.float32)

    def numbers(self, band: metadata.Band, step: int) -> Words:
        """Digital numbers: 10000 reflectance + 1000; 0 outside the swath."""
        numbers: Words = np.asarray(np.clip(np.rint(self.reflectance(band, step) * 10000) + 1000, 1, 32767), np.uint16)
        numbers[self.outside(step)] = 0
        return numbers

    def colours(self, red: Words, green: Words, blue: Words) -> Bytes:
        """True colour, (3, rows, columns): 0 without data, else 1 to 255, bright parts held back."""
        light = np.stack([red, green, blue]).astype(np.float32)
        shown = (1 - np.exp((1000 - light) * np.float32(5.2e-4))) / np.float32(1 - math.exp(-5.2))
        return np.where(np.stack([red] * 3) == 0, 0, np.clip(np.rint(shown * 254), 0, 254) + 1).astype(np.uint8)

    @cached_property
    def classes(self) -> Bytes:
        """Scene classification at 20 m."""
        ground, cloud = self.ground(20), self.opacity[20]
        kinds = ground.kinds(self.spec.begin)
        red, infrared = (ground.reflectance(self.spec.begin, nm) for nm in (665, 842))
        out = np.where((infrared - red) / (infrared + red) > 0.4, 4, 5)
        out = np.where((infrared < 0.06) & (ground.land >= 0.5), 2, out)
        out = np.where(ground.land < 0.5, 6, out)
        out = np.where(kinds["silt"] > 0.75, 6, out)
        out = np.where(kinds["snow"] > 0.5, 11, out)
        out = np.where(self.shadow[20] > 0.35, 3, out)
        for above, value in ((0.3, 7), (0.5, 10), (0.6, 8), (0.8, 9)):
            out = np.where(cloud > above, value, out)
        return np.where(self.outside(20), 0, out).astype(np.uint8)

    @cached_property
    def shares(self) -> dict[int, float]:
        """Per cent of each class among the pixels with data; class 0 among all."""
        counts = np.bincount(self.classes.ravel(), minlength=12)
        valid = max(1, int(counts[1:].sum()))
        return {0: 100 * counts[0] / counts.sum()} | {k: 100 * counts[k] / valid for k in range(1, 12)}

    @property
    def cloud_cover(self) -> float:
        """Per cent of medium and high cloud and cirrus among the pixels with data."""
        return self.shares[8] + self.shares[9] + self.shares[10]

    def aerosol(self, step: int) -> Words:
        """Optical thickness of aerosol at 550 nm times 1000."""
        return self._slow(step, 0.06 + 0.10 * self.spec.seed % 97 / 970, 0.03, 301)

    def vapour(self, step: int) -> Words:
        """Column of water vapour in cm times 1000."""
        warm = 1.9 if world.AREAS[self.spec.area].lat < 60 else 1.1
        return self._slow(step, warm + 0.4 * (self.spec.seed % 89) / 89, 0.25, 302)

    def _slow(self, step: int, middle: float, swing: float, seed: int) -> Words:
        size = PIXELS * 10 // step
        at = (np.arange(size) + 0.5) / size
        turn = (self.spec.seed + seed) % 628 / 100
        wave = np.sin(2.2 * at[:, None] + turn) * np.cos(1.7 * at[None, :] - turn)
        out = np.rint((middle + swing * wave) * 1000).astype(np.uint16)
        out[self.outside(step)] = 0
        return out


def _twice(values: Array) -> Array:
    """Doubled in both directions, between the old centres in a straight line."""
    out = values
    for axis in (0, 1):
        before = np.concatenate((out.take([0], axis), out.take(range(out.shape[axis] - 1), axis)), axis)
        after = np.concatenate((out.take(range(1, out.shape[axis]), axis), out.take([-1], axis)), axis)
        pair = np.stack((0.75 * out + 0.25 * before, 0.75 * out + 0.25 * after), axis + 1)
        shape = list(out.shape)
        shape[axis] *= 2
        out = pair.reshape(shape)
    return np.asarray(out, np.float32)


def _mean(values: Array, by: int) -> Array:
    rows, columns = values.shape
    return np.asarray(values.reshape(rows // by, by, columns // by, by).mean((1, 3)), np.float32)


def _moved(values: Array, down: int, right: int) -> Array:
    """Shifted; what comes in from outside repeats the edge."""
    rows = np.clip(np.arange(values.shape[0]) - down, 0, values.shape[0] - 1)
    columns = np.clip(np.arange(values.shape[1]) - right, 0, values.shape[1] - 1)
    return values[rows][:, columns]


# --- files -----------------------------------------------------------------------------------------------------------
def jpeg2000(values: Words | Bytes, epsg: int, corner: tuple[int, int], step: int) -> bytes:
    """A georeferenced JPEG 2000 without loss (5/3 wavelet), of at least 2 x 2 tiles.

    Parameters
    ----------
    values
        (rows, columns) or (bands, rows, columns), uint8 or uint16 of at most 15 bits.
    epsg, corner, step
        CRS, easting and northing of the upper left corner and pixel size in m.
    """
    import rasterio
    import rasterio.shutil
    from affine import Affine
    from rasterio.io import MemoryFile

    bands = values[None] if values.ndim == 2 else values
    block = -(-bands.shape[1] // 2)
    options = {
        "REVERSIBLE": "YES", "QUALITY": "100", "RESOLUTIONS": "5", "PLT": "YES", "GMLJP2": "YES", "YCC": "NO",
        "BLOCKXSIZE": str(block), "BLOCKYSIZE": str(block),
    }  # fmt: skip
    if values.dtype == np.uint16:
        options["NBITS"] = "15"
    profile = {
        "driver": "GTiff", "count": bands.shape[0], "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype,
        "crs": f"EPSG:{epsg}", "transform": Affine(step, 0, corner[0], 0, -step, corner[1]),
    }  # fmt: skip
    # The driver can only copy, and rasterio's own copy on closing loses the tile width: hence two steps.
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), MemoryFile() as plain, MemoryFile(ext=".jp2") as coded:
        with plain.open(**profile) as target:
            target.write(bands)
        with plain.open() as source:
            rasterio.shutil.copy(source, coded.name, driver="JP2OpenJPEG", **options)
        coded.seek(0)
        return bytes(coded.read())


def _images(scene: Scene) -> list[tuple[str, int, Words | Bytes]]:
    """Every image of the product: name of the band, pixel size, numbers."""
    numbers = {
        band.name: (band.step, scene.numbers(band, band.step))
        for band in metadata.BANDS
        if not (scene.spec.product_type == "S2MSI2A" and band.name == "B10")
    }
    colours = scene.colours(*(numbers[name][1] for name in ("B04", "B03", "B02")))
    images: list[tuple[str, int, Words | Bytes]] = [(name, *pair) for name, pair in numbers.items()]
    images.append(("TCI", 10, colours))
    if scene.spec.product_type == "S2MSI2A":
        images += [("AOT", step, scene.aerosol(step)) for step in (10, 20)]
        images += [("WVP", step, scene.vapour(step)) for step in (10, 20)]
        images += [("SCL", 20, scene.classes), ("SCL", 60, scene.classes[1::3, 1::3])]
    return images


def _preview(colours: Bytes) -> bytes:
    """JPEG of 343 x 343 pixels."""
    from PIL import Image

    out = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(np.moveaxis(colours, 0, -1)))
    picture.resize((343, 343), Image.Resampling.LANCZOS).save(out, "JPEG", quality=88)
    return out.getvalue()


def _masks(scene: Scene) -> list[tuple[str, int, Bytes]]:
    """Masks of QI_DATA: opaque cloud, cirrus and snow at 60 m; cloud and snow probability at 20 m for Level-2A."""
    cloud = scene.opacity[60]
    snow = scene.ground(60).kinds(scene.spec.begin)["snow"] * (1 - cloud)
    parts = [cloud > 0.6, (cloud > 0.5) & (cloud <= 0.6), snow > 0.5]
    found: list[tuple[str, int, Bytes]] = [("MSK_CLASSI_B00", 60, np.stack(parts).astype(np.uint8))]
    if scene.spec.product_type == "S2MSI2A":
        found.append(("MSK_CLDPRB_20m", 20, np.rint(scene.opacity[20] * 100).astype(np.uint8)))
    return found


def write(directory: Path, spec: Spec) -> Path:
    """Draw the product that `spec` names.

    Returns
    -------
    Path
        ``<directory>/<id>.SAFE.zip``; the same bytes for the same spec.
    """
    scene = Scene(spec)
    names = metadata.Names(spec, scene.tile)
    images = _images(scene)
    members = [
        Member(
            names.image(name, step) + ".jp2", jpeg2000(values, scene.epsg, scene.corner, step), names.ident(name, step)
        )
        for name, step, values in images
    ]
    members += [
        Member(names.mask(name), jpeg2000(values, scene.epsg, scene.corner, step), f"{name}_Tile1_Data")
        for name, step, values in _masks(scene)
    ]
    facts = metadata.Facts(
        names=names,
        epsg=scene.epsg,
        corner=scene.corner,
        pixels=PIXELS,
        ring=scene.ring,
        cloud_cover=scene.cloud_cover,
        shares=scene.shares,
        cloud_over_land=_over_land(scene),
        images=[(name, step) for name, step, _ in images],
        masks=[name for name, _, _ in _masks(scene)],
    )
    members += metadata.members(facts)
    members.append(Member("manifest.safe", metadata.manifest(facts, members).encode()))
    colours = next(values for name, step, values in images if (name, step) == ("TCI", 10))
    members.append(Member(f"{spec.id}-ql.jpg", _preview(colours.astype(np.uint8))))
    return write_zip(directory / f"{spec.id}.SAFE.zip", f"{spec.id}.SAFE", members, spec.created)


def _over_land(scene: Scene) -> float:
    """Per cent of cloud among the pixels of land with data."""
    land = (scene.ground(20).land >= 0.5) & (scene.classes > 0)
    return 100 * float((scene.opacity[20][land] > 0.5).mean()) if land.any() else 0.0
