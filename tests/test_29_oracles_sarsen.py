"""Oracle O4: from places with heights back to the image, as sarsen finds them. Run with `-m oracle` and the extra `oracle`.

sarsen's own data, a terrain of Rome and two products over it, are in its source distribution, which `make oracle` fetches into
the environment (`pip download --no-deps --no-binary :all: sarsen`). The other products are those of the shared data, with
heights drawn here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401 - `.rio`
import xarray as xr
from rome import rome

from extenso_nb.readers import open_product
from extenso_nb.readers.ellipsoid import to_ecef
from extenso_nb.readers.opening import open_container
from extenso_nb.readers.orbit import Orbit
from extenso_nb.readers.range_doppler import Geometry, seconds_after
from extenso_nb.readers.sentinel1_metadata import Annotation, annotation

__all__ = ["rome"]

pytestmark = [
    pytest.mark.oracle,
    # those of other readers
    pytest.mark.filterwarnings("ignore"),
]

GRD = "s1_grd/S1B_IW_GRDH_1SDV_20210401T052623_20210401T052648_026269_032297_ECC8.SAFE"
IW_SLC = "s1_slc/S1B_IW_SLC__1SDV_20210401T052622_20210401T052650_026269_032297_EFA4.zip"
EW_SLC = "s1_slc/S1A_EW_SLC__1SDH_20210403T122536_20210403T122630_037286_046484_8152.SAFE"
OLD_SLC = "s1_slc/S1A_IW_SLC__1SDV_20141004T031312_20141004T031339_002674_002FB6_07B5.zip"
OLD_GRD = "s1_grd/S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768.zip"
METRES_A_SECOND = 6800.0
"""That the beam moves over the ground, at most: what a difference of times is worth."""


def annotations(path: Path) -> Iterator[Annotation]:
    container = open_container(path)
    for name in container.names():
        if name.startswith("annotation/s1") and name.count("/") == 1:
            yield annotation(container, name)


def satellite(one: Annotation) -> Any:
    """sarsen's orbit: one polynomial of degree 5 through all positions, its slope for the velocity."""
    from sarsen import orbit

    times = one.orbit_time.astype("datetime64[ns]")
    position = xr.DataArray(one.orbit_position, {"azimuth_time": times, "axis": [0, 1, 2]}, ("azimuth_time", "axis"))
    return orbit.OrbitPolyfitInterpolator.from_position(position)


def sought(one: Annotation, places: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Zero-Doppler time (s after the first line) and slant range (m), as sarsen finds them, of Earth-fixed places."""
    from sarsen import geocoding

    found = geocoding.backward_geocode(places, satellite(one), zero_doppler_distance=1e-5)
    slant = np.sqrt((found.dem_distance**2).sum("axis"))
    azimuth = found.azimuth_time.transpose("y", "x").values
    return seconds_after(one.first_line_time, azimuth), slant.transpose("y", "x").values


def theirs(one: Annotation, dem: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """The same of heights over y and x (degrees), which are above the ellipsoid here, whatever the file calls them."""
    from sarsen import scene

    return sought(one, scene.convert_to_dem_ecef(dem, source_crs="EPSG:4979"))


def looked_back(geometry: Geometry, dem: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    return geometry.look_back(dem["y"].values[:, None], dem["x"].values, dem.transpose("y", "x").values)


def apart(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Greatest differences: along the track and in slant range, m."""
    assert all(np.isfinite(part).all() for part in (*one, *other))
    return float(np.abs(one[0] - other[0]).max() * METRES_A_SECOND), float(np.abs(one[1] - other[1]).max())


def on_their_orbit(one: Annotation) -> Geometry:
    """Ours with sarsen's orbit, sampled where the product has its state vectors."""
    fitted, times = satellite(one), np.sort(one.orbit_time).astype("datetime64[ns]")
    at = xr.DataArray(times, {"azimuth_time": times}, ("azimuth_time",), "azimuth_time")
    position, velocity = (
        part(at).transpose("azimuth_time", "axis").values for part in (fitted.position, fitted.velocity)
    )
    return replace(Geometry.of(one), orbit=Orbit(seconds_after(one.first_line_time, times), position, velocity))


def terrain(rome: Path) -> xr.DataArray:
    from sarsen import scene

    dem = scene.open_dem_raster(str(rome / "Rome-30m-DEM.tif"))
    assert dem.shape == (360, 360)
    assert 100 < float(dem.max() - dem.min()) < 200
    return dem


@pytest.mark.parametrize("kind", ["IW_SLC", "IW_GRDH"])
def test_terrain_of_rome(rome: Path, kind: str) -> None:
    """sarsen's terrain and products: 130,000 places of 30 m within 3 mm along the track and 0.1 mm in range."""
    (product,) = rome.glob(f"*_{kind}_*.SAFE")
    dem, count = terrain(rome), 0
    for one in annotations(product):
        along, across = apart(looked_back(Geometry.of(one), dem), theirs(one, dem))
        print(
            f"O4 Rome {kind}: {along * 1000:.2f} mm along, {across * 1000:.3f} mm across, demanded 20 mm GRD, 0.3 m SLC"
        )
        assert along < 0.003
        assert across < 0.0001
        count += 1
    assert count == 1


def test_lines_and_pixels_on_the_terrain_of_rome(rome: Path) -> None:
    """The map itself: `.s1.geocode(dem=)` of an image of line numbers finds the line that sarsen's time falls into."""
    (product,) = rome.glob("*_IW_GRDH_*.SAFE")
    dem = terrain(rome).isel(y=slice(None, None, 12), x=slice(None, None, 12)).rio.write_crs("EPSG:4326")
    (one,) = annotations(product)
    seconds, slant = theirs(one, dem)
    array = open_product(product)["measurements/vv"]
    geometry = array.s1.geometry()
    line, pixel = geometry.place(seconds, slant)
    inside = np.isfinite(line) & np.isfinite(pixel)
    assert inside.mean() > 0.9
    for wanted, values in ((line, array["line"]), (pixel, array["pixel"])):
        window = array.isel(line=slice(*span(line)), pixel=slice(*span(pixel)))
        (dim,) = values.dims
        numbers = values[slice(*span(wanted))].values.astype(np.float64)[:, None]
        image = window.copy(data=np.broadcast_to(numbers if dim == "line" else numbers.T, window.shape))
        found = image.s1.geocode(like=dem, dem=dem, geometry=geometry)
        off = np.abs(found.values - wanted)[inside]
        print(f"O4 Rome, map: {off.max():.5f} of a {dim} apart at most")
        assert off.max() < 0.005


def span(wanted: np.ndarray) -> tuple[int, int]:
    return max(0, int(np.nanmin(wanted)) - 60), int(np.nanmax(wanted)) + 60


def drawn(one: Annotation) -> xr.DataArray:
    """Heights of up to 3,000 m, 100 x 100, over the middle of an image."""
    latitude, longitude, _ = Geometry.of(one).locate(
        one.lines * np.array([0.3, 0.7]), one.samples * np.array([0.3, 0.7]), 0.0
    )
    y = np.linspace(latitude.min(), latitude.max(), 100)
    x = np.linspace(longitude.min(), longitude.max(), 100)
    heights = 1500 + 1500 * np.sin(np.arange(100)[:, None] / 7) * np.cos(np.arange(100) / 5)
    return xr.DataArray(heights, {"y": y, "x": x}, ("y", "x")).rio.write_crs("EPSG:4326")


@pytest.mark.parametrize("name", [GRD, IW_SLC, EW_SLC, OLD_GRD, OLD_SLC])
def test_drawn_heights(shared_data: Path, name: str) -> None:
    """Every image of the real products, heights of 0 to 3,000 m: on the same orbit within 1 mm.

    On the orbits that each makes of the state vectors they differ more. What decides then is the grid that the product itself
    gives: ours meets it (O3), and sarsen's one polynomial over 150 s misses it by all of the difference.
    """
    pytest.importorskip("sarsen")
    count = 0
    for one in annotations(shared_data / name):
        dem = drawn(one)
        right = theirs(one, dem)
        along, across = apart(looked_back(on_their_orbit(one), dem), right)
        own_along, own_across = apart(looked_back(Geometry.of(one), dem), right)
        grid = one.grid
        known = seconds_after(one.first_line_time, grid["azimuth_time"])
        point = to_ecef(grid["latitude"], grid["longitude"], grid["height"])
        missed = np.abs(
            sought(one, xr.DataArray(np.moveaxis(point, -1, 0), {"axis": [0, 1, 2]}, ("axis", "y", "x")))[0] - known
        )
        met = np.abs(Geometry.of(one).look_back(grid["latitude"], grid["longitude"], grid["height"])[0] - known)
        grid_ours, grid_theirs = (float(part.max() * METRES_A_SECOND) for part in (met, missed))
        print(
            f"O4 {one.member[11:30]}: same orbit {along * 1000:.3f} mm along, {across * 1000:.3f} mm across; own orbits "
            f"{own_along:.3f} m, {own_across:.4f} m; from the product's grid: ours {grid_ours:.3f} m, sarsen {grid_theirs:.3f} m"
        )
        assert along < 0.001
        assert across < 0.001
        assert own_along < grid_ours + grid_theirs + 0.02
        if name in {GRD, IW_SLC, EW_SLC}:
            assert grid_ours < 0.02
            assert own_across < 0.02
        count += 1
    assert count == {GRD: 1, IW_SLC: 3, EW_SLC: 1, OLD_GRD: 2, OLD_SLC: 3}[name]
