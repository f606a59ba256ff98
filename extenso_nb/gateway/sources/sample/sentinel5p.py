"""Made-up Sentinel-5P products in the true format: one netCDF-4 file with the groups PRODUCT and METADATA."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extenso_nb.gateway.sources.sample import netcdf, s5p_metadata, swath, world
from extenso_nb.gateway.sources.sample.netcdf import Group, Variable

if TYPE_CHECKING:
    from extenso_nb.gateway.sources.sample.plan import Spec

__all__ = ["SCANLINES", "TYPES", "Granule", "write"]

Array = np.ndarray[Any, Any]

SCANLINES = 130
GROUND_PIXELS = 180
_HALF_SWATH = 1300.0  # km
_INCLINATION, _HEIGHT = 98.74, 824.0  # degrees, km
_FILL = np.float32(9.96921e36)
_TIME_EPOCH = datetime(2010, 1, 1, tzinfo=UTC)
_AVOGADRO = np.float32(6.02214e19)  # mol m-2 -> molecules cm-2
_AIR = 3.568e5  # mol m-2 of dry air above sea level: 101325 Pa / 9.80665 m s-2 / 0.02896 kg mol-1
_OPAQUE = 0.5


@dataclass(frozen=True, slots=True)
class _Kind:
    """What one product type measures: variable of PRODUCT, CF name, gas of the world, unit, precision, DOI-like facts."""

    name: str
    standard_name: str
    long_name: str
    gas: str
    institution: str
    description: str
    units: str = "mol m-2"
    noise: float = 0.05
    """Precision as a share of the column."""
    floor: float = 0.0
    """Least precision, in the unit."""
    clear_only: bool = False
    """No retrieval under cloud."""


TYPES: dict[str, _Kind] = {
    "L2__NO2___": _Kind(
        "nitrogendioxide_tropospheric_column",
        "troposphere_mole_content_of_nitrogen_dioxide",
        "Tropospheric vertical column of nitrogen dioxide",
        "NO2", "KNMI", "Nitrogen dioxide tropospheric column", noise=0.15, floor=8e-6,
    ),
    "L2__CO____": _Kind(
        "carbonmonoxide_total_column",
        "atmosphere_mole_content_of_carbon_monoxide",
        "Vertically integrated CO column",
        "CO", "KNMI/SRON", "Carbon monoxide column", noise=0.03,
    ),
    "L2__O3____": _Kind(
        "ozone_total_vertical_column",
        "atmosphere_mole_content_of_ozone",
        "total ozone column",
        "O3", "DLR-IMF", "Ozone total column", noise=0.008,
    ),
    "L2__SO2___": _Kind(
        "sulfurdioxide_total_vertical_column",
        "atmosphere_mole_content_of_sulfur_dioxide",
        "total vertical column of sulfur dioxide for the polluted scenario derived from the total slant column",
        "SO2", "BIRA-IASB/DLR", "Sulphur dioxide total column", noise=0.2, floor=2e-4,
    ),
    "L2__HCHO__": _Kind(
        "formaldehyde_tropospheric_vertical_column",
        "troposphere_mole_content_of_formaldehyde",
        "vertical column of formaldehyde",
        "HCHO", "BIRA-IASB/DLR", "Formaldehyde tropospheric column", noise=0.3, floor=4e-5,
    ),
    "L2__CH4___": _Kind(
        "methane_mixing_ratio",
        "atmosphere_mole_fraction_of_methane",
        "column averaged dry air mixing ratio of methane",
        "CH4", "SRON", "Methane column averaged mixing ratio", units="1e-9", noise=0.001, clear_only=True,
    ),
    "L2__AER_AI": _Kind(
        "aerosol_index_354_388",
        "ultraviolet_aerosol_index",
        "Aerosol index from 388 and 354 nm",
        "AER_AI", "KNMI", "Aerosol index", units="1", noise=0.0, floor=0.1,
    ),
}  # fmt: skip
"""Product type -> what it measures. `tuple(TYPES)` are the types offered."""


@dataclass(frozen=True)
class Granule:
    """Where and when one file looks, and what it sees there. Arrays are (scanline, ground_pixel)."""

    product_id: str
    lon0: float
    lat0: float
    cover: float

    # The fields of a name have fixed places: S5P_NRTI_L2__NO2____<start>_<stop>_<orbit>_<collection>_<processor>_<created>
    @property
    def stream(self) -> str:
        """NRTI, OFFL or RPRO."""
        return self.product_id[4:8]

    @property
    def product_type(self) -> str:
        """Ten characters: L2__NO2___."""
        return self.product_id[9:19]

    @property
    def kind(self) -> _Kind:
        """What is measured."""
        return TYPES[self.product_type]

    @property
    def start(self) -> datetime:
        """First measurement."""
        return _time(self.product_id[20:35])

    @property
    def stop(self) -> datetime:
        """End of the last measurement."""
        return _time(self.product_id[36:51])

    @property
    def orbit(self) -> int:
        """Absolute orbit number."""
        return int(self.product_id[52:57])

    @property
    def collection(self) -> str:
        """Two digits."""
        return self.product_id[58:60]

    @property
    def processor(self) -> str:
        """Version of the processor: 2.4.0."""
        digits = self.product_id[61:67]
        return ".".join(str(int(digits[i : i + 2])) for i in (0, 2, 4))

    @property
    def created(self) -> datetime:
        """When the file was made."""
        return _time(self.product_id[68:83])

    @property
    def seconds(self) -> float:
        """Length of the granule."""
        return (self.stop - self.start).total_seconds()

    @property
    def middle(self) -> datetime:
        """The time that weather and light are taken at."""
        return self.start + (self.stop - self.start) / 2

    @cached_property
    def times(self) -> Array:
        """Milliseconds after `start` of each scanline (middle of its exposure)."""
        step = self.seconds / SCANLINES
        return np.asarray(np.rint((np.arange(SCANLINES) + 0.5) * step * 1000.0), dtype=np.int64)

    @cached_property
    def path(self) -> swath.Swath:
        """The pass: northward in the early afternoon."""
        turn = swath.heading(self.lat0, inclination=_INCLINATION, ascending=True)
        return swath.Swath((self.lon0, self.lat0), turn, height=_HEIGHT)

    @cached_property
    def edges(self) -> tuple[Array, Array]:
        """Edges of the scanlines, km along, and of the pixels, km across; pixels have equal angles at the instrument."""
        length = self.seconds * swath.GROUND_SPEED
        along = np.linspace(-length / 2, length / 2, SCANLINES + 1)
        outer = _look(_HALF_SWATH)
        look = np.linspace(-outer, outer, GROUND_PIXELS + 1)
        ratio = (swath.EARTH_RADIUS + _HEIGHT) / swath.EARTH_RADIUS
        across = swath.EARTH_RADIUS * (np.arcsin(ratio * np.sin(look)) - look)
        return along, across

    @cached_property
    def centres(self) -> tuple[Array, Array]:
        """Longitude and latitude of the pixels' centres."""
        along, across = self.edges
        middle_a, middle_c = (along[1:] + along[:-1]) / 2, (across[1:] + across[:-1]) / 2
        return self.path.place(middle_a[:, None], middle_c[None, :])

    @cached_property
    def corners(self) -> tuple[Array, Array]:
        """Longitude and latitude of the corners, shape (scanline, ground_pixel, 4), counter-clockwise."""
        along, across = self.edges
        lon, lat = self.path.place(along[:, None], across[None, :])
        order = ((0, 0), (0, 1), (1, 1), (1, 0))  # back left, back right, front right, front left
        return tuple(  # type: ignore[return-value]
            np.stack([v[i : i + SCANLINES, j : j + GROUND_PIXELS] for i, j in order], axis=-1) for v in (lon, lat)
        )

    @cached_property
    def footprint(self) -> list[tuple[float, float]]:
        """Closed ring of (lon, lat), as tight as the corners."""
        along, across = self.edges
        return self.path.outline((along[0], along[-1]), (across[-1], across[0]), steps=16)

    @cached_property
    def angles(self) -> dict[str, Array]:
        """Degrees, as in GEOLOCATIONS."""
        lon, lat = self.centres
        _, across = self.edges
        late = (self.times / 1000.0 - self.seconds / 2) / 240.0  # four minutes turn the Earth by a degree
        sun_zenith, sun_azimuth = swath.sun(lon + late[:, None], lat, self.middle)
        zenith, azimuth = self.path.view((across[1:] + across[:-1]) / 2)
        whole = np.ones((SCANLINES, 1))
        return {
            "solar_zenith_angle": sun_zenith,
            "solar_azimuth_angle": sun_azimuth,
            "viewing_zenith_angle": zenith[None, :] * whole,
            "viewing_azimuth_angle": azimuth[None, :] * whole,
        }

    @cached_property
    def cloud(self) -> Array:
        """Opacity, 0 to 1."""
        return world.cloud(*self.centres, self.middle, self.cover)

    @cached_property
    def quality(self) -> Array:
        """`qa_value` in percent: 100 in the clear, falling with cloud, 0 where nothing was retrieved."""
        clear = 100 - np.rint(60.0 * self.cloud).astype(np.int64)
        low_sun = self.angles["solar_zenith_angle"] > 75
        good = np.where(low_sun, np.minimum(clear, 50), clear)
        return np.where(self.retrieved, good, 0).astype(np.uint8)

    @cached_property
    def retrieved(self) -> Array:
        """False where there is no value."""
        light = self.angles["solar_zenith_angle"] < 85
        return np.asarray(light & (self.cloud <= _OPAQUE) if self.kind.clear_only else light)

    @cached_property
    def column(self) -> Array:
        """What the world holds, in the unit of the product, float32."""
        return np.asarray(world.column(*self.centres, self.middle, self.kind.gas), dtype=np.float32)


def write(directory: Path, spec: Spec) -> Path:
    """Write the product `spec` names into `directory`.

    Returns
    -------
    Path
        ``<directory>/<id>.nc``; the same bytes for the same spec.
    """
    area = world.AREAS[spec.area]
    granule = Granule(spec.id, area.lon, area.lat, spec.cover)
    path = Path(directory) / f"{granule.product_id}.nc"
    path.write_bytes(netcdf.to_bytes(_root(granule)))
    return path


def _root(granule: Granule) -> Group:
    return Group(
        attrs=s5p_metadata.attributes(granule),
        groups={"PRODUCT": _product(granule), "METADATA": s5p_metadata.metadata(granule)},
    )


# --- PRODUCT ---------------------------------------------------------------------------------------------------------
_SWATH = ("time", "scanline", "ground_pixel")
_WHERE = "longitude latitude"
_ELSEWHERE = "/PRODUCT/longitude /PRODUCT/latitude"


def _product(granule: Granule) -> Group:
    day = granule.start.replace(hour=0, minute=0, second=0, microsecond=0)
    since_midnight = round((granule.start - day).total_seconds() * 1000)
    lon, lat = granule.centres
    texts = [
        (granule.start + timedelta(milliseconds=int(ms))).isoformat(timespec="milliseconds") for ms in granule.times
    ]
    utc = np.array([text[:23] + "000Z" for text in texts], dtype=object)
    variables = {
        "scanline": _index("scanline", SCANLINES, "along-track dimension index"),
        "ground_pixel": _index("ground_pixel", GROUND_PIXELS, "across-track dimension index"),
        "time": Variable(
            ("time",),
            np.array([(day - _TIME_EPOCH).days * 86400], dtype=np.int32),
            {
                "units": "seconds since 2010-01-01 00:00:00",
                "standard_name": "time",
                "long_name": "reference time for the measurements",
            },
        ),
        "corner": _index("corner", 4, "pixel corner index"),
        "latitude": _place(lat, "latitude", "degrees_north", 90.0),
        "longitude": _place(lon, "longitude", "degrees_east", 180.0),
        "delta_time": Variable(
            ("time", "scanline"),
            (granule.times + since_midnight).astype(np.int32)[None],
            {
                "long_name": "offset of start time of measurement relative to time_reference",
                "units": f"milliseconds since {day:%Y-%m-%d %H:%M:%S}",
            },
        ),
        "time_utc": Variable(
            ("time", "scanline"), utc[None], {"long_name": "Time of observation as ISO 8601 date-time string"}
        ),
        "qa_value": Variable(
            _SWATH,
            granule.quality[None],
            {
                "units": "1",
                "scale_factor": np.float32(0.01),
                "add_offset": np.float32(0),
                "_FillValue": np.uint8(255),
                "valid_min": np.uint8(0),
                "valid_max": np.uint8(100),
                "long_name": "data quality value",
                "coordinates": _WHERE,
            },
        ),
    }
    variables |= _measurements(granule)
    return Group(
        dims={"scanline": SCANLINES, "ground_pixel": GROUND_PIXELS, "time": 1, "corner": 4},
        variables=variables,
        groups={"SUPPORT_DATA": Group(groups=_support(granule))},
    )


def _measurements(granule: Granule) -> dict[str, Variable]:
    kind = granule.kind
    value = np.where(granule.retrieved, granule.column, _FILL)
    spread = np.maximum(kind.noise * np.abs(granule.column), kind.floor) * (1 + granule.cloud)
    extra: dict[str, Any] = {"ancillary_variables": f"{kind.name}_precision"}
    factor: dict[str, Any] = {}
    if kind.units == "mol m-2":
        factor = {"multiplication_factor_to_convert_to_molecules_percm2": _AVOGADRO}
    found = {
        kind.name: _field(value, kind.units, kind.long_name, standard_name=kind.standard_name, **extra, **factor),
        f"{kind.name}_precision": _field(
            np.where(granule.retrieved, netcdf.keep_bits(spread, 8), _FILL),
            kind.units,
            f"Precision of {kind.long_name[0].lower()}{kind.long_name[1:]}",
            standard_name=f"{kind.standard_name} standard_error",
            **factor,
        ),
    }
    if kind.gas == "CH4":
        corrected = np.where(granule.retrieved, granule.column * np.float32(1.002), _FILL)
        found[f"{kind.name}_bias_corrected"] = _field(
            corrected, kind.units, "corrected " + kind.long_name, standard_name=kind.standard_name
        )
    return found


def _support(granule: Granule) -> dict[str, Group]:
    lon, lat = granule.corners
    bounds = {
        f"{name}_bounds": Variable((*_SWATH, "corner"), netcdf.keep_bits(values, 15)[None], {"_FillValue": _FILL})
        for name, values in (("latitude", lat), ("longitude", lon))
    }
    angles = {
        name: _field(
            netcdf.keep_bits(values, 11),
            "degree",
            name.replace("_", " "),
            where=_ELSEWHERE,
            standard_name={
                "viewing_zenith_angle": "platform_zenith_angle",
                "viewing_azimuth_angle": "platform_azimuth_angle",
            }.get(name, name),
        )
        for name, values in granule.angles.items()
    }
    height = np.asarray(world.height(*granule.centres), dtype=np.float32)
    pressure = 101325.0 * np.exp(-height / 8000.0)
    detail = {
        "cloud_fraction_crb": _field(netcdf.keep_bits(granule.cloud, 10), "1", "cloud fraction", where=_ELSEWHERE),
        "processing_quality_flags": Variable(
            _SWATH,
            np.where(granule.retrieved, 0, 71).astype(np.uint32)[None],
            {
                "_FillValue": np.uint32(4294967295),
                "long_name": "Processing quality flags",
                "flag_meanings": "success cloud_filter",
                "flag_values": np.array([0, 71], dtype=np.uint32),
                "coordinates": _ELSEWHERE,
            },
        ),
    }
    if granule.kind.gas == "NO2":
        stratosphere = np.asarray(4.2e-5 + 2e-7 * (np.abs(granule.centres[1]) - 40), dtype=np.float32)
        total = np.where(granule.retrieved, granule.column + stratosphere, _FILL)
        detail["nitrogendioxide_total_column"] = _field(
            netcdf.keep_bits(total, 12), "mol m-2", "Total vertical column of nitrogen dioxide", where=_ELSEWHERE,
            multiplication_factor_to_convert_to_molecules_percm2=_AVOGADRO,
        )  # fmt: skip
    given = {
        "surface_altitude": _field(
            netcdf.keep_bits(height, 12), "m", "Surface altitude", where=_ELSEWHERE, standard_name="surface_altitude"
        ),
        "surface_pressure": _field(
            netcdf.keep_bits(pressure, 12),
            "Pa",
            "Surface pressure",
            where=_ELSEWHERE,
            standard_name="surface_air_pressure",
        ),
    }
    if granule.kind.gas == "CH4":
        given["dry_air_column"] = _field(
            netcdf.keep_bits(_AIR * np.exp(-height / 8000.0), 12), "mol m-2", "column of dry air", where=_ELSEWHERE
        )
    return {
        "GEOLOCATIONS": Group(variables=bounds | angles),
        "DETAILED_RESULTS": Group(variables=detail),
        "INPUT_DATA": Group(variables=given),
    }


def _index(name: str, length: int, long_name: str) -> Variable:
    axis = {"axis": {"scanline": "Y", "ground_pixel": "X"}[name]} if name != "corner" else {}
    attrs = {"units": "1", **axis, "long_name": long_name}
    return Variable((name,), np.arange(length, dtype=np.int32), attrs)


def _place(values: Array, name: str, units: str, limit: float) -> Variable:
    return Variable(
        _SWATH,
        netcdf.keep_bits(values, 17)[None],
        {
            "long_name": f"pixel center {name}",
            "units": units,
            "standard_name": name,
            "valid_min": np.float32(-limit),
            "valid_max": np.float32(limit),
            "bounds": f"/PRODUCT/SUPPORT_DATA/GEOLOCATIONS/{name}_bounds",
            "_FillValue": _FILL,
        },
    )


def _field(values: Any, units: str, long_name: str, *, where: str = _WHERE, **attrs: Any) -> Variable:
    head = {"units": units, "long_name": long_name, "coordinates": where, "_FillValue": _FILL}
    return Variable(_SWATH, np.asarray(values, dtype=np.float32)[None], head | attrs)


def _look(across: float) -> float:
    """Angle at the instrument, radians, of a point `across` km from below it."""
    arc = across / swath.EARTH_RADIUS
    ratio = swath.EARTH_RADIUS / (swath.EARTH_RADIUS + _HEIGHT)
    return float(np.arctan2(ratio * np.sin(arc), 1 - ratio * np.cos(arc)))


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
