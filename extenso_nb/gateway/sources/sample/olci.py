"""Members of made-up OLCI products: OL_1_EFR (radiances of 21 bands) and OL_2_LFR (vegetation over land)."""

from __future__ import annotations

from typing import Any

import numpy as np

from extenso_nb.gateway.sources.sample import netcdf, sen3, swath, world
from extenso_nb.gateway.sources.sample.netcdf import Group, Variable
from extenso_nb.gateway.sources.sample.sen3 import Content, Grid, Member, Scene

__all__ = ["BANDS", "COLUMNS", "ROWS", "grid", "level_1", "level_2", "solar_flux"]

Array = np.ndarray[Any, Any]

ROWS, COLUMNS = 160, 193
"""4865 columns in the real ones: a multiple of 64 and one, so that tie points end on the last column."""
_TIE = 64
_SWATH = 1270.0  # km
_OFFSET = 300.0  # km from the ground track to the middle of the swath, which is tilted to the west
_DETECTORS = 3700
_BRIGHT = 0.35  # reflectance at 443 nm: cloud and snow. Level 1 does not tell the two apart
_CAMERAS = 5
_DIMS = ("rows", "columns")
_TIES = ("tie_rows", "tie_columns")

BANDS: tuple[tuple[float, float, float], ...] = (
    (400, 15, 1472), (412.5, 10, 1705), (442.5, 10, 1872), (490, 10, 1925), (510, 10, 1917), (560, 10, 1797),
    (620, 10, 1652), (665, 10, 1532), (673.75, 7.5, 1495), (681.25, 7.5, 1471), (708.75, 10, 1405), (753.75, 7.5, 1266),
    (761.25, 2.5, 1250), (764.375, 3.75, 1238), (767.5, 2.5, 1230), (778.75, 15, 1175), (865, 20, 959), (885, 10, 929),
    (900, 10, 894), (940, 20, 825), (1020, 40, 697),
)  # fmt: skip
"""Centre and width in nm, sunlight in mW m-2 nm-1 at the mean distance: Oa01 to Oa21."""

_FLAGS = (
    "land coastline fresh_inland_water tidal_region bright straylight_risk invalid cosmetic duplicated sun-glint_risk dubious "
    + " ".join(f"saturated@Oa{band:02d}" for band in range(1, 22))
)
_LQSF = (
    "INVALID WATER LAND COASTLINE CLOUD CLOUD_AMBIGUOUS CLOUD_MARGIN SNOW_ICE INLAND_WATER TIDAL COSMETIC SUSPECT HISOLZEN "
    "SATURATED WV_FAIL GIFAPAR_FAIL OTCI_FAIL"
)


def grid(scene: Scene) -> Grid:
    """The pixels: as long as the scene lasts, as wide as that allows within the swath."""
    step_y = swath.GROUND_SPEED * scene.seconds / ROWS
    step_x = min(step_y * 270 / 294, _SWATH / COLUMNS)
    x = _OFFSET + ((COLUMNS - 1) / 2 - np.arange(COLUMNS)) * step_x
    y = (np.arange(ROWS) - (ROWS - 1) / 2) * step_y
    return scene.grid(x, y, _OFFSET)


def level_1(scene: Scene) -> Content:
    """OL_1_EFR: radiance L = rho E0 cos(zenith of the sun) / pi, with E0 of the pixel's own detector."""
    pixels = grid(scene)
    flux = solar_flux(scene)[:, _detector_index(pixels)]
    light = np.cos(np.radians(pixels.sun[0])) / np.pi
    members, seen = [], {}
    for number, (centre, _, sunlight) in enumerate(BANDS, start=1):
        name = f"Oa{number:02d}_radiance"
        title = f"TOA radiance for OLCI acquisition band Oa{number:02d}"
        rho = pixels.reflectance(centre)
        if number in {3, 6, 8}:
            seen[number] = rho
        scale = np.float32(sunlight * 1.7 / np.pi / 65534)
        packed = netcdf.pack(rho * flux[number - 1] * light, "u2", scale=float(scale), fill=65535)
        variable = Variable(_DIMS, packed, _measured(title, scale))
        members.append(_member(scene, pixels, f"{name}.nc", f"{name}Data", title, {name: variable}, measurement=True))
    bright = seen[3] > _BRIGHT
    members += [*_annotations(scene, pixels), _quality(scene, pixels, bright)]
    information = _information(scene, pixels, {"brightPixels": bright}, bands=True)
    title = "SENTINEL-3 OLCI Level 1 Earth Observation Full Resolution Product"
    return Content(tuple(members), sen3.rgb(seen[8], seen[6], seen[3]), information, title, pixels.ring)


def level_2(scene: Scene) -> Content:
    """OL_2_LFR: GIFAPAR, OTCI = (R753 - R708) / (R708 - R681), water vapour and flags, over clear land."""
    pixels = grid(scene)
    clear = pixels.land & ~pixels.cloudy
    rho = {nm: pixels.reflectance(nm) for nm in (442.5, 560.0, 665.0, 681.25, 708.75, 753.75, 865.0)}
    green = np.clip(1.25 * (rho[865.0] - rho[665.0]) / (rho[865.0] + rho[665.0]) - 0.12, 0.0, 1.0)
    rise = rho[708.75] - rho[681.25]
    found = clear & (rise > 0.005)
    chlorophyll = np.clip((rho[753.75] - rho[708.75]) / np.where(found, rise, 1.0), 0.0, 6.5)
    vapour = np.clip(0.9 * (world.temperature(*pixels.places, scene.middle) - 273.15), 3.0, 60.0)
    parts = (
        ("gifapar", "OLCI Green Instantaneous FAPAR", "gifapar.nc", {
            "GIFAPAR": _byte(green, clear, 0.003937008, "Green instantaneous FAPAR", "1"),
            "GIFAPAR_unc": _byte(0.05 + 0.1 * green, clear, 0.003937008, "Uncertainty of GIFAPAR", "1"),
        }),
        ("rcGifapar", "Rectified Reflectance", "rc_gifapar.nc", {
            "RC681": _rectified(rho[681.25], clear, "681"),
            "RC865": _rectified(rho[865.0], clear, "865"),
        }),
        ("otci", "OLCI Terrestrial Chlorophyll Index", "otci.nc", {
            "OTCI": _byte(chlorophyll, found, 0.02559055, "OLCI Terrestrial Chlorophyll Index", "1"),
            "OTCI_unc": _byte(0.1 + 0.02 * chlorophyll, found, 0.02559055, "Uncertainty of OTCI", "1"),
        }),
        ("iwv", "Integrated water vapour column", "iwv.nc", {
            "IWV": _byte(vapour, ~pixels.cloudy, 0.3, "Integrated water vapour column", "kg.m-2"),
            "IWV_unc": _byte(0.6 + 0.03 * vapour, ~pixels.cloudy, 0.3, "Uncertainty of IWV", "kg.m-2"),
        }),
        ("lqsf", "Land Quality and Science Flags", "lqsf.nc", {"LQSF": _lqsf(pixels, found)}),
    )  # fmt: skip
    members = [
        _member(scene, pixels, file, f"{ident}Data", title, variables, measurement=ident != "lqsf")
        for ident, title, file, variables in parts
    ]
    members += _annotations(scene, pixels)
    information = _information(scene, pixels, {"landPixels": pixels.land, "cloudyPixels": pixels.cloudy}, bands=False)
    picture = sen3.rgb(rho[665.0], rho[560.0], rho[442.5])
    return Content(tuple(members), picture, information, "SENTINEL-3 OLCI Level 2 Land Product", pixels.ring)


def solar_flux(scene: Scene) -> Array:
    """Sunlight per band and detector, (21, 3700), float32, for the day's distance of the sun."""
    mean = np.array([band[2] for band in BANDS])[:, None]
    within = np.tile(np.linspace(-1.0, 1.0, _DETECTORS // _CAMERAS), _CAMERAS)
    value = mean * (1 + 0.002 * within[None, :]) / swath.sun_distance(scene.middle) ** 2
    return np.asarray(netcdf.keep_bits(value, 14))


def _detector_index(pixels: Grid) -> Array:
    """Detector of each pixel, counted from the right edge of the whole swath."""
    right = _OFFSET + _SWATH / 2
    index = np.rint((right - pixels.x) / _SWATH * (_DETECTORS - 1)).clip(0, _DETECTORS - 1)
    return np.broadcast_to(index.astype(np.int16), pixels.shape)


def _resolution(pixels: Grid) -> str:
    across, along = abs(pixels.x[1] - pixels.x[0]), pixels.y[1] - pixels.y[0]
    return f"[ {across * 1000:.0f} {along * 1000:.0f} ]"


def _member(
    scene: Scene,
    pixels: Grid,
    file: str,
    ident: str,
    title: str,
    variables: dict[str, Variable],
    *,
    dims: dict[str, int] | None = None,
    measurement: bool = False,
) -> Member:
    level = scene.product_type[3]
    attrs = scene.attributes(
        f"OLCI Level {level} Product, {title}",
        _resolution(pixels),
        ac_subsampling_factor=np.uint16(_TIE),
        al_subsampling_factor=np.uint16(1),
    )
    rows, columns = pixels.shape
    group = Group(dims=dims or {"rows": rows, "columns": columns}, variables=variables, attrs=attrs)
    return Member(file, ident, title, group, measurement)


def _measured(title: str, scale: np.float32) -> dict[str, Any]:
    return {
        "_FillValue": np.uint16(65535),
        "add_offset": np.float32(0),
        "coordinates": "time_stamp altitude latitude longitude",
        "long_name": title,
        "scale_factor": scale,
        "standard_name": "toa_upwelling_spectral_radiance",
        "units": "mW.m-2.sr-1.nm-1",
        "valid_max": np.uint16(65534),
        "valid_min": np.uint16(0),
    }


def _byte(values: Array, valid: Array, scale: float, long_name: str, units: str) -> Variable:
    attrs = {
        "_FillValue": np.uint8(255),
        "add_offset": np.float32(0),
        "coordinates": "time_stamp altitude latitude longitude",
        "long_name": long_name,
        "scale_factor": np.float32(scale),
        "units": units,
        "valid_max": np.uint8(254),
        "valid_min": np.uint8(0),
    }
    return Variable(_DIMS, netcdf.pack(values, "u1", scale=scale, fill=255, valid=valid), attrs)


def _rectified(values: Array, valid: Array, band: str) -> Variable:
    scale = 1.525925e-05
    attrs = {
        "_FillValue": np.uint16(65535),
        "add_offset": np.float32(0),
        "coordinates": "time_stamp altitude latitude longitude",
        "long_name": f"Rectified reflectance at {band} nm",
        "scale_factor": np.float32(scale),
    }
    return Variable(_DIMS, netcdf.pack(values, "u2", scale=scale, fill=65535, valid=valid), attrs)


def _flags(bits: dict[str, Array], meanings: str, masks: Array, long_name: str) -> Variable:
    names = meanings.split()
    value = np.zeros(next(iter(bits.values())).shape, dtype=np.uint32)
    for name, where in bits.items():
        value |= np.where(where, masks[names.index(name)], np.uint32(0)).astype(np.uint32)
    attrs = {
        "coordinates": "time_stamp altitude latitude longitude",
        "flag_masks": masks,
        "flag_meanings": meanings,
        "long_name": long_name,
    }
    return Variable(_DIMS, value, attrs)


def _quality(scene: Scene, pixels: Grid, bright: Array) -> Member:
    masks = np.array([1 << bit for bit in range(31, -1, -1)], dtype=np.uint32)
    bits = {
        "land": pixels.land,
        "coastline": pixels.coast,
        "fresh_inland_water": pixels.fresh,
        "bright": bright,
    }
    variable = _flags(bits, _FLAGS, masks, "Classification and quality flags")
    return _member(scene, pixels, "qualityFlags.nc", "qualityFlagsData", "Quality flags", {"quality_flags": variable})


def _lqsf(pixels: Grid, found: Array) -> Variable:
    masks = np.array([1 << bit for bit in range(len(_LQSF.split()))], dtype=np.uint32)
    bits = {
        "WATER": ~pixels.land,
        "LAND": pixels.land,
        "COASTLINE": pixels.coast,
        "CLOUD": pixels.cloudy,
        "CLOUD_AMBIGUOUS": (pixels.opacity > 0.2) & ~pixels.cloudy,
        "INLAND_WATER": pixels.fresh,
        "OTCI_FAIL": pixels.land & ~pixels.cloudy & ~found,
    }
    return _flags(bits, _LQSF, masks, "Land Quality and Science Flags")


def _annotations(scene: Scene, pixels: Grid) -> list[Member]:
    rows, columns = pixels.shape
    lon, lat = pixels.places
    altitude = Variable(
        _DIMS,
        netcdf.pack(pixels.height, "i2", fill=-32768),
        {
            "_FillValue": np.int16(-32768), "long_name": "DEM corrected altitude", "standard_name": "altitude", "units": "m",
            "valid_max": np.int16(9000), "valid_min": np.int16(-1000),
        },
    )  # fmt: skip
    geo = {
        "altitude": altitude,
        "latitude": sen3.degrees(lat, _DIMS, "latitude", "DEM corrected latitude"),
        "longitude": sen3.degrees(lon, _DIMS, "longitude", "DEM corrected longitude"),
    }
    tie = slice(None, None, _TIE)
    tie_geo = {
        "latitude": sen3.degrees(lat[:, tie], _TIES, "latitude", "Latitude"),
        "longitude": sen3.degrees(lon[:, tie], _TIES, "longitude", "Longitude"),
    }
    geometry = {
        "OAA": sen3.angle(pixels.view[1][:, tie], _TIES, "Observation (Viewing) Azimuth Angle", signed=True),
        "OZA": sen3.angle(pixels.view[0][:, tie], _TIES, "Observation (Viewing) Zenith Angle", signed=False),
        "SAA": sen3.angle(pixels.sun[1][:, tie], _TIES, "Sun Azimuth Angle", signed=True),
        "SZA": sen3.angle(pixels.sun[0][:, tie], _TIES, "Sun Zenith Angle", signed=False),
    }
    time = Variable(
        ("rows",),
        scene.stamps(rows),
        {
            "_FillValue": np.int64(-1), "long_name": "Elapsed time since 01 Jan 2000 0h", "standard_name": "time",
            "units": "microseconds since 2000-01-01 00:00:00",
        },
    )  # fmt: skip
    ties = {"tie_rows": rows, "tie_columns": len(range(0, columns, _TIE))}
    instrument = {"rows": rows, "columns": columns, "bands": len(BANDS), "detectors": _DETECTORS}
    air = world.temperature(*pixels.places, scene.middle)[:, tie]

    def member(
        file: str, ident: str, title: str, variables: dict[str, Variable], dims: dict[str, int] | None
    ) -> Member:
        return _member(scene, pixels, file, ident, title, variables, dims=dims)

    return [
        member("geo_coordinates.nc", "geoCoordinatesData", "Geo Coordinates Annotations", geo, None),
        member(
            "instrument_data.nc", "instrumentDataData", "Instrument Annotation", _instrument(scene, pixels), instrument
        ),
        member(
            "tie_geo_coordinates.nc", "tieGeoCoordinatesData", "Tie-Point Geo Coordinate Annotations", tie_geo, ties
        ),
        member("tie_geometries.nc", "tieGeometriesData", "Tie-Point Geometries Annotations", geometry, ties),
        member("tie_meteo.nc", "tieMeteoData", "Tie-Point Meteo Annotations", _meteo(air), ties),
        member(
            "time_coordinates.nc",
            "timeCoordinatesData",
            "Time Coordinates Annotations",
            {"time_stamp": time},
            {"rows": rows},
        ),
    ]


def _instrument(scene: Scene, pixels: Grid) -> dict[str, Variable]:
    within = np.tile(np.linspace(-1.0, 1.0, _DETECTORS // _CAMERAS), _CAMERAS)[None, :]
    centre = np.array([band[0] for band in BANDS])[:, None] + 0.3 * within**2
    width = np.array([band[1] for band in BANDS])[:, None] * (1 + 0.004 * within**2)

    def per_detector(values: Array, long_name: str, units: str) -> Variable:
        attrs = {
            "_FillValue": np.float32(-1),
            "ancillary_variables": "detector_index",
            "long_name": long_name,
            "units": units,
        }
        return Variable(("bands", "detectors"), netcdf.keep_bits(values, 14), attrs)

    return {
        "FWHM": per_detector(width, "OLCI bandwidth (Full Widths at Half Maximum)", "nm"),
        "lambda0": per_detector(centre, "OLCI characterised central wavelength", "nm"),
        "solar_flux": per_detector(solar_flux(scene), "In-band solar irradiance, seasonally corrected", "mW.m-2.nm-1"),
        "detector_index": Variable(
            _DIMS,
            np.ascontiguousarray(_detector_index(pixels)),
            {
                "_FillValue": np.int16(-1), "coordinates": "time_stamp altitude latitude longitude",
                "long_name": "Detector index", "valid_max": np.int16(3699), "valid_min": np.int16(0),
            },
        ),
    }  # fmt: skip


def _meteo(air: Array) -> dict[str, Variable]:
    def field(values: Array, long_name: str, units: str) -> Variable:
        attrs = {
            "_FillValue": np.float32(-1),
            "coordinates": "latitude longitude",
            "long_name": long_name,
            "units": units,
        }
        return Variable(_TIES, netcdf.keep_bits(values, 10), attrs)

    return {
        "sea_level_pressure": field(np.full(air.shape, 1015.0), "Mean sea level pressure", "hPa"),
        "total_columnar_water_vapour": field(
            np.clip(0.9 * (air - 273.15), 3, 60), "Total column water vapour", "kg.m-2"
        ),
        "total_ozone": field(np.full(air.shape, 0.0068), "Total columnar ozone", "kg.m-2"),
    }


def _information(scene: Scene, pixels: Grid, classes: dict[str, Array], *, bands: bool) -> str:
    rows, columns = pixels.shape
    classes = {
        "salineWaterPixels": ~pixels.land & ~pixels.fresh,
        "coastalPixels": pixels.coast,
        "freshInlandWaterPixels": pixels.fresh,
        "tidalRegionPixels": np.zeros(pixels.shape, dtype=bool),
        **classes,
    }
    summary = "".join(f'<sentinel3:{name} percentage="{pixels.share(where)}"/>' for name, where in classes.items())
    quality = "".join(
        f'<olci:{name} value="0" percentage="0.000000"/>'
        for name in ("invalidPixels", "cosmeticPixels", "duplicatedPixels", "saturatedPixels", "dubiousSamples")
    )
    along, across = 1000 * (pixels.y[1] - pixels.y[0]), 1000 * abs(pixels.x[1] - pixels.x[0])
    listed = "".join(
        f'<sentinel3:band name="Oa{number:02d}"><sentinel3:centralWavelength>{centre:g}</sentinel3:centralWavelength>'
        f"<sentinel3:bandwidth>{width:g}</sentinel3:bandwidth></sentinel3:band>"
        for number, (centre, width, _) in enumerate(BANDS, start=1)
    )
    described = f'<olci:bandDescriptions bands="{len(BANDS)}">{listed}</olci:bandDescriptions>' if bands else ""
    return (
        "<olci:olciProductInformation>"
        f"<olci:classificationSummary>{summary}</olci:classificationSummary>"
        f"<olci:imageSize><sentinel3:rows>{rows}</sentinel3:rows><sentinel3:columns>{columns}</sentinel3:columns></olci:imageSize>"
        f"<olci:pixelQualitySummary>{quality}</olci:pixelQualitySummary>"
        f"<olci:earthSunDistance>{swath.sun_distance(scene.middle) * 149597870700:.0f}</olci:earthSunDistance>"
        "<olci:samplingParameters>"
        f"<olci:alTimeSampling>{scene.seconds / ROWS * 1e6:.0f}</olci:alTimeSampling>"
        f"<olci:alSpatialSampling>{along:.0f}</olci:alSpatialSampling><olci:acSpatialSampling>{across:.0f}</olci:acSpatialSampling>"
        f"<olci:rowsPerTiePoint>1</olci:rowsPerTiePoint><olci:columnsPerTiePoint>{_TIE}</olci:columnsPerTiePoint>"
        f"</olci:samplingParameters>{described}</olci:olciProductInformation>"
    )
