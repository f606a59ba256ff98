"""What the sample archive's swath products stand on: orbit geometry, the sun, packing, netCDF bytes without a clock."""

from __future__ import annotations

import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb.gateway.sources.sample import netcdf, sen3, swath


def test_no_clock_in_the_bytes() -> None:
    group = netcdf.Group(
        dims={"x": 3},
        variables={"v": netcdf.Variable(("x",), np.arange(3.0), {"units": "1"})},
        groups={"g": netcdf.Group()},
    )
    first = netcdf.to_bytes(group)
    time.sleep(1.1)  # HDF5 counts whole seconds
    assert netcdf.to_bytes(group) == first


@given(
    st.lists(st.floats(-50, 700, allow_nan=False), min_size=1, max_size=40),
    st.sampled_from([("u2", 0.01, 0.0, 65535), ("i2", 0.01, 283.73, -32768), ("u1", 0.3, 0.0, 255)]),
)
def test_packing_errs_by_half_a_step_or_stays_in_range(
    values: list[float], kind: tuple[str, float, float, int]
) -> None:
    dtype, scale, offset, fill = kind
    packed = netcdf.pack([*values, np.nan], dtype, scale=scale, offset=offset, fill=fill)
    assert packed[-1] == fill
    assert fill not in packed[:-1]  # a value is never taken for a gap
    limits = np.iinfo(np.dtype(dtype))
    low, high = limits.min + (fill == limits.min), limits.max - (fill == limits.max)
    held = np.clip(values, low * scale + offset, high * scale + offset)
    assert np.abs(packed[:-1].astype(float) * scale + offset - held).max() <= scale * 0.5001


@given(st.floats(1e-6, 1e6), st.integers(6, 20))
def test_keep_bits_is_as_exact_as_it_says(value: float, bits: int) -> None:
    assert float(netcdf.keep_bits([value], bits)[0]) == pytest.approx(value, rel=2.0**-bits)


@given(st.floats(-60, 60), st.floats(-180, 180), st.floats(-700, 700), st.floats(-900, 900))
def test_places_keep_their_distance(lat: float, lon: float, along: float, across: float) -> None:
    path = swath.Swath((lon, lat), swath.heading(lat, inclination=98.65, ascending=False))
    there_lon, there_lat = (np.radians(float(value)) for value in path.place(along, across))
    here_lon, here_lat = np.radians(lon), np.radians(lat)
    half = (
        np.sin((there_lat - here_lat) / 2) ** 2
        + np.cos(here_lat) * np.cos(there_lat) * np.sin((there_lon - here_lon) / 2) ** 2
    )
    arc = 2 * np.arcsin(np.sqrt(half))
    expected = np.arccos(np.cos(along / swath.EARTH_RADIUS) * np.cos(across / swath.EARTH_RADIUS))
    assert arc * swath.EARTH_RADIUS == pytest.approx(expected * swath.EARTH_RADIUS, abs=0.01)


def test_passes_go_the_way_they_should() -> None:
    assert 180 < swath.heading(43.4, inclination=98.65, ascending=False) < 210
    assert 330 < swath.heading(43.4, inclination=98.74, ascending=True) < 360
    zenith, azimuth = swath.Swath((0.0, 0.0), 190.0, offset=0.0).view(np.array([-400.0, 0.0, 400.0]))
    assert zenith[1] == 0
    assert zenith[0] == pytest.approx(zenith[2])
    assert 20 < zenith[0] < 35
    assert azimuth[2] == pytest.approx(100.0)  # west of the track, the satellite stands in the east


def test_sun_at_noon_of_the_solstice() -> None:
    zenith, _ = swath.sun(0.0, 50.0, datetime(2024, 6, 20, 12, 2, tzinfo=UTC))
    assert float(zenith) == pytest.approx(50.0 - 23.44, abs=0.1)


def test_distance_of_the_sun_against_real_manifests(shared_data: Path) -> None:
    seen = 0
    for path in shared_data.glob("s3_olci/*.SEN3/xfdumanifest.xml"):
        root = ET.parse(path).getroot()
        when = datetime.fromisoformat(value(root, "startTime"))
        told = next(item for item in root.iter() if item.tag.endswith("earthSunDistance")).text
        assert swath.sun_distance(when) == pytest.approx(float(told or 0) / 149597870700, abs=4e-4)
        seen += 1
    assert seen >= 2


def value(root: ET.Element, name: str) -> str:
    return next(item for item in root.iter() if item.tag.endswith("}" + name)).text or ""


def test_absolute_orbit_follows_the_real_manifests(shared_data: Path) -> None:
    seen = 0
    for path in sorted(shared_data.glob("s3_*/*.SEN3/xfdumanifest.xml")):
        name = path.parent.name.removesuffix(".SEN3")
        if len(name) != 94 or not name[69:72].isdigit():
            continue
        root = ET.parse(path).getroot()
        assert int(value(root, "orbitNumber")) == sen3.Scene(name, 0, 0, 0).orbit, name
        seen += 1
    assert seen >= 5
    later = ET.parse(shared_data / "catalog/cdse_nodes_manifests/sentinel_3/xfdumanifest.xml").getroot()
    name = value(later, "productName").removesuffix(".SEN3")
    assert name.startswith("S3B_OL_2_WFR____2024")
    assert int(value(later, "orbitNumber")) == sen3.Scene(name, 0, 0, 0).orbit
    packed = next(shared_data.glob("s3_olci/S3B_OL_1_EFR*.SEN3.zip"))
    with zipfile.ZipFile(packed) as file:
        xml = file.read(next(name for name in file.namelist() if name.endswith("xfdumanifest.xml")))
    name = packed.name.removesuffix(".SEN3.zip")
    assert int(value(ET.fromstring(xml), "orbitNumber")) == sen3.Scene(name, 0, 0, 0).orbit
