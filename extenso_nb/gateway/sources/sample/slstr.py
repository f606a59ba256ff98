"""Members of made-up SLSTR products: SL_1_RBT (nadir view, 500 m stripe A and 1 km grids) and SL_2_LST."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from extenso_nb.gateway.sources.sample import netcdf, sen3, swath, world
from extenso_nb.gateway.sources.sample.netcdf import Group, Variable
from extenso_nb.gateway.sources.sample.sen3 import Content, Grid, Member, Scene

__all__ = ["COLUMNS", "RADIANCE", "ROWS", "TEMPERATURE", "Layout", "level_1", "level_2", "solar_irradiance"]

Array = np.ndarray[Any, Any]

ROWS, COLUMNS = 100, 112
"""Of the 1 km grid; the 500 m grid has twice as many, as in the real ones."""
_SWATH = 1500.0  # km
_OFFSET = 248.5  # km from the ground track to the middle of the nadir swath
_TIE = 16
_DIMS = ("rows", "columns")

RADIANCE: dict[str, tuple[float, float, float]] = {
    "S1": (554.27, 1837.0, 0.01785),
    "S2": (659.47, 1526.0, 0.0145),
    "S3": (868.0, 956.0, 0.009),
    "S4": (1374.8, 366.0, 0.003452),
    "S5": (1613.4, 248.0, 0.0024),
    "S6": (2255.7, 78.3, 0.00076),
}
"""Channel -> centre in nm, sunlight in mW m-2 nm-1 at the mean distance, scale factor of the radiance."""
TEMPERATURE: dict[str, float] = {"S7": 1.5, "S8": 0.0, "S9": -1.0}
"""Channel -> how much warmer than the skin it looks, K."""

_EXCEPTIONS = (
    "ISP_absent pixel_absent not_decompressed no_signal saturation invalid_radiance no_parameters unfilled_pixel"
)
_CLOUD = (
    "visible 1.37_threshold 1.6_small_histogram 1.6_large_histogram 2.25_small_histogram 2.25_large_histogram "
    "11_spatial_coherence gross_cloud thin_cirrus medium_high fog_low_stratus 11_12_view_difference 3.7_11_view_difference "
    "thermal_histogram spare spare"
)
_CONFIDENCE = (
    "coastline ocean tidal land inland_water unfilled spare spare cosmetic duplicate day twilight sun_glint snow summary_cloud "
    "summary_pointing"
)
_POINTING = (
    "FlipMirrorAbsoluteError FlipMirrorIntegratedError FlipMirrorRMSError ScanMirrorAbsoluteError ScanMirrorIntegratedError "
    "ScanMirrorRMSError ScanTimeError Platform_Mode"
)
_BAYES = "single_low single_moderate dual_low dual_moderate spare spare spare spare"


@dataclass(frozen=True)
class Layout:
    """The grids of one scene, aligned by their offsets: across = (track_offset - column) * step, to the right of the track."""

    scene: Scene

    @cached_property
    def step(self) -> tuple[float, float]:
        """Kilometres across and along, of the 1 km grid."""
        along = round(swath.GROUND_SPEED * self.scene.seconds / ROWS, 3)
        return min(along, round(_SWATH / COLUMNS, 3)), along

    @property
    def track_offset(self) -> int:
        """Column of the 1 km grid that lies on the ground track."""
        return round(_OFFSET / self.step[0] + (COLUMNS - 1) / 2)

    @property
    def start_offset(self) -> int:
        """Rows of the 1 km grid between the ascending node and the first row."""
        return round(self.scene.frame * swath.GROUND_SPEED / self.step[1])

    @property
    def _east(self) -> float:
        """Distance in km from the ground track to the scene's middle; a whole number of half columns near `_OFFSET`."""
        return (self.track_offset - (COLUMNS - 1) / 2) * self.step[0]

    def grid(self, fine: int) -> Grid:
        """The 1 km grid (`fine` 1) or the 500 m grid (`fine` 2)."""
        across, along = self.step[0] / fine, self.step[1] / fine
        x = (self.track_offset * fine - np.arange(COLUMNS * fine)) * across
        y = np.arange(ROWS * fine) * along - (ROWS - 1) / 2 * self.step[1]
        return self.scene.grid(x, y, self._east)

    @cached_property
    def coarse(self) -> Grid:
        """1 km."""
        return self.grid(1)

    @cached_property
    def fine(self) -> Grid:
        """500 m."""
        return self.grid(2)

    @property
    def tie_offset(self) -> int:
        """Column of the tie grid that lies on the ground track."""
        return -(-self.track_offset // _TIE)

    @cached_property
    def tie(self) -> Grid:
        """16 columns of the 1 km grid across, each of its rows."""
        left = COLUMNS - self.track_offset
        columns = self.tie_offset + -(-left // _TIE) + 1
        x = (self.tie_offset - np.arange(columns)) * self.step[0] * _TIE
        return self.scene.grid(x, self.coarse.y, self._east)

    def placed(self, suffix: str) -> tuple[Grid, dict[str, Any], str]:
        """Grid, offsets and resolution of the members with a suffix: an, in, tx, tn."""
        across, along = self.step[0] * 1000, self.step[1] * 1000
        if suffix == "an":
            grid, track, start, across, along = (
                self.fine,
                2 * self.track_offset,
                2 * self.start_offset,
                across / 2,
                along / 2,
            )
        elif suffix == "in":
            grid, track, start = self.coarse, self.track_offset, self.start_offset
        else:
            grid, track, start, across = self.tie, self.tie_offset, self.start_offset, across * _TIE
        offsets = {"start_offset": np.int32(start), "track_offset": np.int32(track)}
        return grid, offsets, f"[ {across:g} {along:g} ]"


def solar_irradiance(scene: Scene, channel: str) -> float:
    """Sunlight on the day of the scene, mW m-2 nm-1."""
    return RADIANCE[channel][1] / swath.sun_distance(scene.middle) ** 2


def level_1(scene: Scene) -> Content:
    """SL_1_RBT: radiance of S1 to S6 on the 500 m grid, brightness temperature of S7 to S9 on the 1 km grid."""
    layout = Layout(scene)
    light = np.cos(np.radians(layout.fine.sun[0])) / np.pi
    members, seen = [], {}
    for channel, (centre, _, scale) in RADIANCE.items():
        rho = _cirrus(layout.fine) if channel == "S4" else layout.fine.reflectance(centre)
        seen[channel] = rho
        members.append(_radiance(layout, channel, rho * solar_irradiance(scene, channel) * light, scale))
        members.append(_quality(layout, channel))
    skin = layout.coarse.temperature()
    members += [_brightness(layout, channel, skin + warmer) for channel, warmer in TEMPERATURE.items()]
    for suffix in ("an", "in"):
        members += [_flags(layout, suffix), _geodetic(layout, suffix), _cartesian(layout, suffix)]
        members += [_indices(layout, suffix), _time(layout, suffix)]
    members += _tie_members(layout)
    title = "SENTINEL-3 SLSTR Level 1 Radiances and Brightness Temperatures Product"
    picture = sen3.rgb(seen["S5"], seen["S3"], seen["S2"])
    return Content(tuple(members), picture, _information(layout, ("1 km", "0.5 km stripe A")), title, layout.fine.ring)


def level_2(scene: Scene) -> Content:
    """SL_2_LST: skin temperature over land on the 1 km grid; cloud is flagged, and makes it too cold, but is not masked."""
    layout = Layout(scene)
    pixels = layout.coarse
    skin = pixels.temperature()
    members = [
        _surface(layout, skin),
        _ancillary(layout),
        *(make(layout, "in") for make in (_flags, _geodetic, _cartesian, _indices, _time)),
        *_tie_members(layout),
    ]
    colours = sen3.ramp(skin, 273.0, 318.0)
    colours = np.where(pixels.land[..., None], colours, np.array([24, 40, 72], dtype=np.uint8))
    grey = np.rint(150 + 95 * pixels.opacity)[..., None].astype(np.uint8)
    picture = np.where(pixels.cloudy[..., None], grey, colours).astype(np.uint8)
    title = "SENTINEL-3 SLSTR Level 2 Land Product"
    return Content(tuple(members), picture, _information(layout, ("",)), title, pixels.ring)


def _cirrus(pixels: Grid) -> Array:
    """1.37 um: water vapour hides the ground, only cloud shines."""
    return np.asarray(0.003 + 0.35 * pixels.opacity.astype(np.float64) ** 2)


# --- measurements ----------------------------------------------------------------------------------------------------
def _radiance(layout: Layout, channel: str, values: Array, scale: float) -> Member:
    attrs = {
        "_FillValue": np.int16(-32768),
        "coordinates": "longitude_an latitude_an",
        "long_name": f"TOA radiance for channel {channel} (A stripe grid, nadir view)",
        "scale_factor": np.float32(scale),
        "add_offset": np.float32(0),
        "standard_name": "toa_upwelling_spectral_radiance",
        "units": "mW.m-2.sr-1.nm-1",
    }
    variables = {
        f"{channel}_radiance_an": Variable(_DIMS, netcdf.pack(values, "i2", scale=scale, fill=-32768), attrs),
        f"{channel}_exception_an": _bits(np.zeros(values.shape, np.uint8), _EXCEPTIONS, "toa_radiance_status_flag"),
    }
    title = f"TOA radiance dataset for channel {channel} (A stripe grid, nadir view)"
    return _member(layout, f"{channel}_radiance", "an", title, variables, measurement=True)


def _brightness(layout: Layout, channel: str, values: Array) -> Member:
    attrs = {
        "_FillValue": np.int16(-32768),
        "coordinates": "longitude_in latitude_in",
        "long_name": f"Gridded pixel brightness temperature for channel {channel} (1km TIR grid, nadir view)",
        "scale_factor": np.float32(0.01),
        "add_offset": np.float32(283.73),
        "standard_name": "toa_brightness_temperature",
        "units": "K",
    }
    packed = netcdf.pack(values, "i2", scale=0.01, offset=283.73, fill=-32768)
    variables = {
        f"{channel}_BT_in": Variable(_DIMS, packed, attrs),
        f"{channel}_exception_in": _bits(
            np.zeros(values.shape, np.uint8), _EXCEPTIONS, "toa_brightness_temperature_status_flag"
        ),
    }
    title = f"Gridded brightness temperature dataset for channel {channel} (1km TIR grid, nadir view)"
    return _member(layout, f"{channel}_BT", "in", title, variables, measurement=True)


def _quality(layout: Layout, channel: str) -> Member:
    name = f"{channel}_solar_irradiance_an"
    flux = np.full(4, solar_irradiance(layout.scene, channel), dtype=np.float32)
    attrs = {"long_name": f"Solar irradiance at top of atmosphere, channel {channel}", "units": "mW.m-2.nm-1"}
    variables = {name: Variable(("detectors",), flux, attrs)}
    title = f"Quality annotations for channel {channel} (A stripe grid, nadir view)"
    return _member(layout, f"{channel}_quality", "an", title, variables, dims={"detectors": 4})


def _surface(layout: Layout, skin: Array) -> Member:
    pixels = layout.coarse

    def packed(values: Array, offset: float, long_name: str, standard_name: str) -> Variable:
        attrs = {
            "_FillValue": np.int16(-32768),
            "coordinates": "longitude_in latitude_in",
            "long_name": long_name,
            "scale_factor": np.float32(0.002),
            "add_offset": np.float32(offset),
            "standard_name": standard_name,
            "units": "K",
        }
        return Variable(
            _DIMS, netcdf.pack(values, "i2", scale=0.002, offset=offset, fill=-32768, valid=pixels.land), attrs
        )

    error = 0.6 + 3.0 * pixels.opacity
    variables = {
        "LST": packed(skin, 290.0, "Gridded Land Surface Temperature", "surface_temperature"),
        "LST_uncertainty": packed(
            error, 0.0, "Gridded estimated LST total uncertainty", "surface_temperature standard_error"
        ),
        "exception": _bits(
            np.zeros(pixels.shape, np.uint16),
            f"{_EXCEPTIONS} lst_underflow lst_overflow biome",
            "Gridded LST exception flags",
        ),
    }
    return _member(layout, "LST", "in", "LST_in Data Set", variables, ident="LST_IN_Data", measurement=True)


def _ancillary(layout: Layout) -> Member:
    pixels = layout.coarse
    red, near = pixels.reflectance(665.0), pixels.reflectance(865.0)
    ndvi = (near - red) / (near + red)
    share = np.clip((ndvi - 0.1) / 0.75, 0.0, 1.0)

    def short(values: Array, long_name: str, scale: float, units: str = "1") -> Variable:
        attrs = {
            "_FillValue": np.int16(-32768), "coordinates": "longitude_in latitude_in", "long_name": long_name,
            "scale_factor": np.float32(scale), "add_offset": np.float32(0), "units": units,
        }  # fmt: skip
        return Variable(_DIMS, netcdf.pack(values, "i2", scale=scale, fill=-32768, valid=pixels.land), attrs)

    vapour = np.clip(0.9 * (world.temperature(*pixels.places, pixels.when) - 273.15), 3.0, 60.0)
    biome = np.where(pixels.land, np.where(share > 0.5, 2, 14), 0).astype(np.uint8)
    variables = {
        "NDVI": short(ndvi, "Gridded Normalised Difference Vegetation Index", 0.0001),
        "fraction": short(share, "Gridded fractional vegetation cover", 0.0001),
        "TCWV": short(vapour, "Gridded total column water vapour", 0.01, "kg.m-2"),
        "biome": Variable(_DIMS, biome, {"long_name": "Gridded GlobCover surface classification code"}),
    }
    title = "LST ancillary measurement dataset"
    return _member(layout, "LST_ancillary", "ds", title, variables, ident="LST_ANCILLARY_DS_Data")


# --- annotations -----------------------------------------------------------------------------------------------------
def _flags(layout: Layout, suffix: str) -> Member:
    pixels, _, _ = layout.placed(suffix)
    cloudy = pixels.cloudy
    confidence = (
        1 * pixels.coast + 2 * (~pixels.land & ~pixels.fresh) + 8 * pixels.land + 16 * pixels.fresh
        + 1024 * (pixels.sun[0] < 90) + 16384 * cloudy
    )  # fmt: skip
    variables = {
        f"cloud_{suffix}": _bits((1 + 128) * cloudy.astype(np.uint16), _CLOUD, "Cloud flags"),
        f"confidence_{suffix}": _bits(confidence.astype(np.uint16), _CONFIDENCE, "Confidence flags"),
        f"bayes_{suffix}": _bits(2 * cloudy.astype(np.uint8), _BAYES, "Bayesian cloud flags"),
        f"pointing_{suffix}": _bits(np.zeros(pixels.shape, np.uint8), _POINTING, "Pointing flags"),
    }
    return _member(layout, "flags", suffix, "Global flags", variables)


def _bits(values: Array, meanings: str, long_name: str) -> Variable:
    masks = np.array([1 << bit for bit in range(len(meanings.split()))], dtype=values.dtype)
    return Variable(_DIMS, values, {"flag_masks": masks, "flag_meanings": meanings, "long_name": long_name})


def _geodetic(layout: Layout, suffix: str) -> Member:
    pixels, _, _ = layout.placed(suffix)
    lon, lat = pixels.places
    what = "of detector FOV centre on the earth's surface"
    elevation = {
        "_FillValue": np.int16(-32768),
        "long_name": "Surface elevation of detector FOV centre above reference ellipsoid",
        "standard_name": "surface_altitude",
        "units": "m",
    }
    variables = {
        f"elevation_{suffix}": Variable(_DIMS, netcdf.pack(pixels.height, "i2", fill=-32768), elevation),
        f"latitude_{suffix}": sen3.degrees(lat, _DIMS, "latitude", f"Latitude {what}"),
        f"longitude_{suffix}": sen3.degrees(lon, _DIMS, "longitude", f"Longitude {what}"),
    }
    return _member(layout, "geodetic", suffix, "Full resolution geodetic coordinates", variables)


def _cartesian(layout: Layout, suffix: str) -> Member:
    x, y = _metres(layout, suffix)
    what = "coordinate of detector FOV centre"

    def metres(values: Array, way: str, fill: int) -> Variable:
        attrs = {"_FillValue": np.int32(fill), "long_name": f"Geolocated {way} {what}", "units": "m"}
        return Variable(_DIMS, netcdf.pack(values, "i4", fill=fill), attrs)

    variables = {
        f"x_{suffix}": metres(x, "x (across track)", -1000000),
        f"y_{suffix}": metres(y, "y (along track)", -5000000),
    }
    return _member(layout, "cartesian", suffix, "Full resolution cartesian coordinates", variables)


def _metres(layout: Layout, suffix: str) -> tuple[Array, Array]:
    """The x to the right of the ground track, y forward from the ascending node, both from the offsets."""
    pixels, offsets, _ = layout.placed(suffix)
    along = (pixels.y[1] - pixels.y[0]) * 1000.0
    y = (int(offsets["start_offset"]) + np.arange(len(pixels.y))) * along
    return np.broadcast_to(pixels.x * 1000.0, pixels.shape), np.broadcast_to(y[:, None], pixels.shape)


def _indices(layout: Layout, suffix: str) -> Member:
    pixels, _, _ = layout.placed(suffix)
    rows, columns = pixels.shape
    detectors = 4 if suffix == "an" else 2
    row, column = np.broadcast_arrays(np.arange(rows)[:, None], np.arange(columns)[None, :])
    parts: dict[str, Array] = {
        "detector": (row % detectors).astype(np.uint8),
        "pixel": column.astype(np.uint16),
        "scan": (row // detectors).astype(np.uint16),
    }
    variables = {
        f"{name}_{suffix}": Variable(
            _DIMS,
            values,
            {"_FillValue": values.dtype.type(np.iinfo(values.dtype).max), "long_name": f"Gridded pixel {name} number"},
        )
        for name, values in parts.items()
    }
    return _member(layout, "indices", suffix, "Scan, pixel and detector annotations", variables)


def _time(layout: Layout, suffix: str) -> Member:
    rows = layout.placed(suffix)[0].shape[0]
    letter = suffix[0]
    attrs = {
        "long_name": "Time at which the sub-satellite point crosses the image row",
        "standard_name": "time",
        "units": "microseconds since 2000-01-01T00:00:00Z",
    }
    variables = {f"time_stamp_{letter}": Variable(("rows",), layout.scene.stamps(rows), attrs)}
    return _member(
        layout,
        "time",
        suffix,
        "Time annotations",
        variables,
        dims={"rows": rows},
        ident=f"SLSTR_TIME_{letter.upper()}_Data",
    )


def _tie_members(layout: Layout) -> list[Member]:
    pixels = layout.tie
    lon, lat = pixels.places
    x, y = _metres(layout, "tx")
    air = np.asarray(world.temperature(lon, lat, pixels.when), dtype=np.float64)

    def double(values: Array, long_name: str, units: str) -> Variable:
        return Variable(_DIMS, np.asarray(values, dtype=np.float64), {"long_name": long_name, "units": units})

    def angle(values: Array, long_name: str) -> Variable:
        return double(np.round(values, 4), long_name, "degrees")

    def weather(values: Array, long_name: str, units: str) -> Variable:
        attrs = {"long_name": long_name, "units": units, "model": "none, made up"}
        return Variable(("t_single", *_DIMS), netcdf.keep_bits(values, 10)[None], attrs)

    rows, columns = pixels.shape
    meteo = {
        "temperature_tx": weather(air, "2m air temperature", "K"),
        "skin_temperature_tx": weather(air, "Skin temperature", "K"),
        "total_column_water_vapour_tx": weather(
            np.clip(0.9 * (air - 273.15), 3, 60), "Total column water vapour", "kg m-2"
        ),
        "total_column_ozone_tx": weather(np.full(air.shape, 0.0068), "Total column ozone", "kg m-2"),
        "surface_pressure_tx": weather(1013.0 * np.exp(-pixels.height / 8000.0), "Surface pressure", "hPa"),
    }
    place = {
        "latitude_tx": double(
            np.round(lat, 7), "Latitude of detector FOV centre on the earth's surface", "degrees_north"
        ),
        "longitude_tx": double(
            np.round(lon, 7), "Longitude of detector FOV centre on the earth's surface", "degrees_east"
        ),
    }
    metres = {
        "x_tx": double(x, "Geolocated x (across track) coordinate of detector FOV centre", "m"),
        "y_tx": double(y, "Geolocated y (along track) coordinate of detector FOV centre", "m"),
    }
    angles = {
        "sat_azimuth_tn": angle(pixels.view[1] % 360.0, "Satellite azimuth angle"),
        "sat_zenith_tn": angle(pixels.view[0], "Satellite zenith angle"),
        "solar_azimuth_tn": angle(pixels.sun[1] % 360.0, "Solar azimuth angle"),
        "solar_zenith_tn": angle(pixels.sun[0], "Solar zenith angle"),
    }
    timed = {"t_single": 1, "rows": rows, "columns": columns}
    return [
        _member(layout, "geodetic", "tx", "16km geodetic coordinates", place),
        _member(layout, "cartesian", "tx", "16km cartesian coordinates", metres),
        _member(layout, "geometry", "tn", "16km solar and satellite geometry annotations, nadir view", angles),
        _member(layout, "met", "tx", "Meteorological parameters regridded onto the 16km tie points", meteo, dims=timed),
    ]


def _member(
    layout: Layout,
    stem: str,
    suffix: str,
    title: str,
    variables: dict[str, Variable],
    *,
    dims: dict[str, int] | None = None,
    ident: str = "",
    measurement: bool = False,
) -> Member:
    pixels, offsets, resolution = layout.placed("in" if suffix == "ds" else suffix)
    rows, columns = pixels.shape
    level = layout.scene.product_type[3]
    attrs = layout.scene.attributes(f"SLSTR Level {level} Product, {title}", resolution, **offsets)
    group = Group(dims=dims or {"rows": rows, "columns": columns}, variables=variables, attrs=attrs)
    return Member(f"{stem}_{suffix}.nc", ident or f"SLSTR_{stem}_{suffix}".upper() + "_Data", title, group, measurement)


# --- manifest --------------------------------------------------------------------------------------------------------
def _information(layout: Layout, grids: tuple[str, ...]) -> str:
    parts = []
    for name in grids:
        suffix = "an" if "stripe" in name else "in"
        pixels, offsets, _ = layout.placed(suffix)
        mark = f' grid="{name}"' if name else ""
        rows, columns = pixels.shape
        classes = {
            "salineWaterPixels": ~pixels.land & ~pixels.fresh,
            "landPixels": pixels.land,
            "coastalPixels": pixels.coast,
            "freshInlandWaterPixels": pixels.fresh,
            "tidalRegionPixels": np.zeros(pixels.shape, dtype=bool),
            "cloudyPixels": pixels.cloudy,
        }
        summary = "".join(f'<sentinel3:{key} percentage="{pixels.share(where)}"/>' for key, where in classes.items())
        size = (
            f"<sentinel3:startOffset>{offsets['start_offset']}</sentinel3:startOffset>"
            f"<sentinel3:trackOffset>{offsets['track_offset']}</sentinel3:trackOffset>"
            f"<sentinel3:rows>{rows}</sentinel3:rows><sentinel3:columns>{columns}</sentinel3:columns>"
        )
        step = 1000 * (pixels.y[1] - pixels.y[0])
        parts.append(
            f"<slstr:classificationSummary{mark}>{summary}</slstr:classificationSummary>"
            f"<slstr:resolution{mark}><slstr:spatialResolution>{step:.0f}</slstr:spatialResolution></slstr:resolution>"
            f"<slstr:nadirImageSize{mark}>{size}</slstr:nadirImageSize>"
        )
    return f"<slstr:slstrProductInformation>{''.join(parts)}</slstr:slstrProductInformation>"
