"""Where radar pixels lie: against the grids of real products, against other libraries, there and back again."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import radar
import rioxarray  # noqa: F401 - `.rio`
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from extenso_nb.errors import IncompleteProduct, InputError
from extenso_nb.gateway.sources.sample import sentinel1 as drawn
from extenso_nb.readers import open_product, range_doppler
from extenso_nb.readers.ellipsoid import to_ecef, to_geodetic
from extenso_nb.readers.geocoding import geocode
from extenso_nb.readers.geolocation import geolocate, geometry_of
from extenso_nb.readers.interpolation import bilinear
from extenso_nb.readers.opening import open_container
from extenso_nb.readers.orbit import Orbit
from extenso_nb.readers.range_doppler import Geometry, seconds_after
from extenso_nb.readers.sentinel1_metadata import Annotation, annotation

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

IW_GRD = "s1_grd/S1B_IW_GRDH_1SDV_20210401T052623_20210401T052648_026269_032297_ECC8.SAFE"
S4_GRD = "s1_grd/S1C_S4_GRDH_1SDH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE"
OLD_GRD = "s1_grd/S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768.zip"
IW_SLC = "s1_slc/S1B_IW_SLC__1SDV_20210401T052622_20210401T052650_026269_032297_EFA4.zip"
EW_SLC = "s1_slc/S1A_EW_SLC__1SDH_20210403T122536_20210403T122630_037286_046484_8152.SAFE"
OLD_SLC = "s1_slc/S1A_IW_SLC__1SDV_20141004T031312_20141004T031339_002674_002FB6_07B5.zip"
NEW = (IW_GRD, S4_GRD, IW_SLC, EW_SLC)
OLD = (OLD_GRD, OLD_SLC)


def annotations(path: Path) -> Iterator[Annotation]:
    container = open_container(path)
    for name in container.names():
        if name.startswith("annotation/s1") and name.count("/") == 1:
            yield annotation(container, name)


def apart(a: tuple[Any, Any], b: tuple[Any, Any], height: Any) -> float:
    """Greatest distance of places, m."""
    return float(np.linalg.norm(to_ecef(*a, height) - to_ecef(*b, height), axis=-1).max())


# --- against the grids of the products (oracle O3) -------------------------------------------------------------------
@pytest.mark.parametrize("name", NEW)
def test_the_annotated_grid_by_its_times(shared_data: Path, name: str) -> None:
    """At the times, ranges and heights of the grid: its places within 8 mm, the last digit of its times (1 us)."""
    count = 0
    for one in annotations(shared_data / name):
        geometry, grid = Geometry.of(one), one.grid
        seconds = seconds_after(one.first_line_time, grid["azimuth_time"])
        slant = grid["slant_range_time"] * range_doppler.LIGHT / 2
        found = geometry.solve(seconds, slant, grid["height"])
        assert apart(found[:2], (grid["latitude"], grid["longitude"]), grid["height"]) < 0.008
        count += 1
    assert count


@pytest.mark.parametrize("name", NEW)
def test_the_annotated_grid_by_line_and_pixel(shared_data: Path, name: str) -> None:
    """What a user has are lines and pixels: the same within 14 mm; and back within 0.002 of a line."""
    for one in annotations(shared_data / name):
        geometry, grid = Geometry.of(one), one.grid
        found = geometry.locate(grid["line"][:, None], grid["pixel"], grid["height"])
        assert apart(found[:2], (grid["latitude"], grid["longitude"]), grid["height"]) < 0.014
        seconds, slant = geometry.look_back(grid["latitude"], grid["longitude"], grid["height"])
        wanted = geometry.time(grid["line"][:, None], slant)
        assert np.abs(seconds - wanted).max() < 0.002 * one.azimuth_time_interval * (3 if "EW" in name else 1)
        ranges = geometry.slant_range(grid["line"][:, None], grid["pixel"])
        assert np.abs(slant - ranges).max() < 0.002
        if not one.bursts:
            line, pixel = geometry.find(grid["latitude"], grid["longitude"], grid["height"])
            assert np.abs(line - grid["line"][:, None]).max() < 0.002
            assert np.abs(pixel - grid["pixel"]).max() < 0.001


@pytest.mark.parametrize("name", OLD)
def test_grids_of_the_first_processors(shared_data: Path, name: str) -> None:
    """IPF 2.36 was 3 m off in azimuth, and one line in some rows; its slant ranges follow none of its polynomials."""
    for one in annotations(shared_data / name):
        geometry, grid = Geometry.of(one), one.grid
        seconds = seconds_after(one.first_line_time, grid["azimuth_time"])
        slant = grid["slant_range_time"] * range_doppler.LIGHT / 2
        found = geometry.solve(seconds, slant, grid["height"])
        assert apart(found[:2], (grid["latitude"], grid["longitude"]), grid["height"]) < 3
        found = geometry.locate(grid["line"][:, None], grid["pixel"], grid["height"])
        assert apart(found[:2], (grid["latitude"], grid["longitude"]), grid["height"]) < 45


def test_slant_ranges_are_those_of_the_nearest_record(shared_data: Path) -> None:
    for name in (IW_GRD, S4_GRD):
        for one in annotations(shared_data / name):
            geometry, grid = Geometry.of(one), one.grid
            found = geometry.slant_range(grid["line"][:, None], grid["pixel"])
            assert np.abs(found - grid["slant_range_time"] * range_doppler.LIGHT / 2).max() < 1e-8


def test_incidence_and_what_the_product_calls_so(shared_data: Path) -> None:
    """The products have the angle to the direction from the Earth's centre: up to 0.05 degrees from that to the ellipsoid."""
    for one in annotations(shared_data / IW_GRD):
        geometry, grid = Geometry.of(one), one.grid
        seconds = geometry.time(grid["line"][:, None], grid["slant_range_time"] * range_doppler.LIGHT / 2)
        satellite, _, _ = geometry.orbit.at(seconds)
        ground = to_ecef(grid["latitude"], grid["longitude"], grid["height"])
        sight = (satellite - ground) / np.linalg.norm(satellite - ground, axis=-1, keepdims=True)
        centre = ground / np.linalg.norm(ground, axis=-1, keepdims=True)
        theirs = np.degrees(np.arccos((sight * centre).sum(-1)))
        assert np.abs(theirs - grid["incidence_angle"]).max() < 1e-6
        phi, lam = np.radians(grid["latitude"]), np.radians(grid["longitude"])
        up = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
        ours = np.degrees(np.arccos((sight * up).sum(-1)))
        _, _, found = geometry.locate(grid["line"][:, None], grid["pixel"], grid["height"])
        np.testing.assert_allclose(found, ours, atol=1e-6)
        assert 0.01 < np.abs(ours - theirs).max() < 0.05


def test_the_vectors_of_the_product_know_the_same_angles(shared_data: Path) -> None:
    """Oracle O5: beta0 sin(incidence) = sigma0 within 1 %, sigma0 / cos(incidence) = gamma0 within 0.4 %."""
    from extenso_nb.readers.calibration import interpolate
    from extenso_nb.readers.sentinel1_metadata import calibration

    container = open_container(shared_data / IW_SLC)
    for one in annotations(shared_data / IW_SLC):
        stem = one.member.split("/")[1]
        lut = calibration(container, f"annotation/calibration/calibration-{stem}")
        line, pixel = one.grid["line"].astype(float), one.grid["pixel"].astype(float)
        sigma, beta, gamma = (interpolate(lut, name, line, pixel) for name in ("sigma_nought", "beta_nought", "gamma"))
        angle = np.radians(Geometry.of(one).locate(line[:, None], pixel, one.grid["height"])[2])
        np.testing.assert_allclose(beta**2 / sigma**2, np.sin(angle), rtol=0.01)
        np.testing.assert_allclose(gamma**2 / sigma**2, np.cos(angle), rtol=0.004)


# --- orbit and ellipsoid ---------------------------------------------------------------------------------------------
def test_between_state_vectors_of_a_circle() -> None:
    scene = drawn.Scene(radar.DRAWN)
    at = np.arange(-80.0, 80.0, 10.0)
    orbit = Orbit(at, *scene.satellite(at))
    between = np.linspace(-80, 70, 301)
    position, velocity, acceleration = orbit.at(between)
    right, speed = scene.satellite(between)
    inner = slice(50, -50)
    assert np.linalg.norm(position - right, axis=-1)[inner].max() < 1e-4
    assert np.linalg.norm(velocity - speed, axis=-1)[inner].max() < 1e-7
    later = scene.satellite(between + 0.01)[1]
    assert np.abs((later - speed) / 0.01 - acceleration)[inner].max() < 1e-4
    assert np.isnan(orbit.at(np.array([-85.1, 75.1]))[0]).all()
    assert np.isfinite(orbit.at(np.array([-84.9, 74.9]))[0]).all()


@given(
    st.floats(-90, 90), st.floats(-180, 180), st.floats(-500, 9000)
)  # fmt: skip
def test_ellipsoid_as_pyproj(latitude: float, longitude: float, height: float) -> None:
    point = to_ecef(latitude, longitude, height)
    right = Transformer.from_crs(4979, 4978, always_xy=True).transform(longitude, latitude, height)
    np.testing.assert_allclose(point, right, atol=1e-8)
    back = to_geodetic(point)
    assert np.linalg.norm(to_ecef(*back) - point) < 1e-6
    assert back[2] == pytest.approx(height, abs=1e-6)


def circle(node: float, phase: float, inclination: float = 98.2) -> Orbit:
    """A circular orbit in Earth-fixed coordinates that passes the place `phase` degrees after the node at 0 s."""
    seconds = np.arange(-60.0, 61.0, 10.0)
    turn, tilt, rate = np.radians(phase) + 1.06e-3 * seconds, np.radians(inclination), 1.06e-3
    a = np.radians(node) - 7.29e-5 * seconds
    plane = 7_071_000 * np.stack([np.cos(turn), np.sin(turn) * np.cos(tilt), np.sin(turn) * np.sin(tilt)], -1)
    moved = 7_071_000 * rate * np.stack([-np.sin(turn), np.cos(turn) * np.cos(tilt), np.cos(turn) * np.sin(tilt)], -1)

    def turned(v: np.ndarray) -> np.ndarray:
        return np.stack(
            [np.cos(a) * v[:, 0] - np.sin(a) * v[:, 1], np.sin(a) * v[:, 0] + np.cos(a) * v[:, 1], v[:, 2]], -1
        )

    position = turned(plane)
    spin = np.stack([position[:, 1], -position[:, 0], np.zeros(len(a))], -1) * 7.29e-5
    return Orbit(seconds, position, turned(moved) + spin)


def image(orbit: Orbit) -> Geometry:
    return Geometry(
        orbit=orbit, lines=4000, samples=6000, interval=0.0015, near_range=800_000.0, range_step=20.0, spacing=10.0,
        records=None, origins=None, polynomials=None, reference_delay=0.0055, lines_per_burst=4000,
        burst_times=np.array([0.0]), burst_lines=np.array([[0, 3999]]),
    )  # fmt: skip


@given(st.floats(-180, 180), st.floats(-180, 180), st.floats(-400, 8000), st.data())
@settings(max_examples=150)
def test_there_and_back_anywhere_on_earth(node: float, phase: float, height: float, data: st.DataObject) -> None:
    """Poles and antimeridian too: forward and backward within 1e-6 of a pixel; on the ground where it should be."""
    geometry = image(circle(node, phase))
    line = np.array(data.draw(st.lists(st.floats(0, 3999), min_size=1, max_size=5)))
    pixel = np.array(data.draw(st.lists(st.floats(0, 5999), min_size=1, max_size=5)))
    latitude, longitude, incidence = geometry.locate(line[:, None], pixel, height)
    assert ((incidence > 15) & (incidence < 60)).all()
    again = geometry.find(latitude, longitude, height)
    assert np.abs(again[0] - line[:, None]).max() < 1e-6
    assert np.abs(again[1] - pixel).max() < 1e-6
    seconds, slant = geometry.look_back(latitude, longitude, height)
    satellite, velocity, _ = geometry.orbit.at(seconds)
    sight = to_ecef(latitude, longitude, height) - satellite
    assert np.abs((sight * velocity).sum(-1)).max() / 7500 < 1e-3  # zero Doppler: abeam within 1 mm
    assert (np.cross(satellite, velocity) * sight).sum(-1).max() < 0  # to the right
    assert np.abs(np.linalg.norm(sight, axis=-1) - slant).max() < 1e-6


@given(st.floats(-180, 180), st.floats(-180, 180))
@settings(max_examples=25)
@pytest.mark.parametrize("heights", ["number", "array"])
def test_rasters_are_the_exact_solution(heights: str, node: float, phase: float) -> None:
    """Within 2 mm of the pixel-by-pixel solution, over poles and antimeridian too."""
    geometry = image(circle(node, phase))
    line, pixel = np.arange(0.0, 4000, 40), np.arange(0.0, 6000, 50)
    height: Any = 350.0
    if heights == "array":
        height = 4000 + 4000 * np.sin(line[:, None] / 170) * np.cos(pixel / 90)
    found, right = geometry.spread(line, pixel, height), geometry.locate(line[:, None], pixel, height)
    assert apart(found[:2], right[:2], height) < 0.002
    assert np.abs(found[2] - right[2]).max() < 3e-6
    assert (np.abs(found[1]) <= 180).all()


def test_places_that_are_not_seen_are_none() -> None:
    geometry = image(circle(10, 45))
    latitude, longitude, _ = geometry.locate(2000, 3000, 0)
    assert np.isnan(geometry.find(latitude + 5, longitude, 0)).all()  # beyond the orbit
    assert np.isnan(geometry.find(-latitude, longitude + 180, 0)).all()  # on the other side of the Earth
    satellite, _, _ = geometry.orbit.at(3.0)
    below = to_geodetic(satellite)
    mirrored = (2 * below[0] - latitude, 2 * below[1] - longitude)
    assert np.isnan(geometry.find(*mirrored, 0)).all()  # left of the track
    assert np.isnan(geometry.locate(0, -39_000, 0)[0])  # a range that does not reach the ground


# --- a product -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return radar.draw(tmp_path_factory.mktemp("s1"))


@pytest.mark.parametrize("chunks", ["auto", None, {"line": 100, "pixel": 300}])
def test_places_of_every_pixel(made: Path, chunks: Any) -> None:
    tree = open_product(made, chunks=chunks)
    places = tree["measurements/vv"].s1.geolocate()
    grid = tree["conditions/gcp"]
    at = {"line": grid["line"], "pixel": grid["pixel"]}
    assert apart(
        (places["latitude"].isel(at), places["longitude"].isel(at)), (grid["latitude"], grid["longitude"]), 0
    ) < 0.06  # fmt: skip  # the drawn grid and its polynomials agree no better
    geometry = geometry_of(tree["measurements/vv"])
    exact = geometry.locate(np.arange(512)[:, None], np.arange(512), 0.0)
    assert apart((places["latitude"], places["longitude"]), exact[:2], 0) < 0.001
    np.testing.assert_allclose(places["incidence_angle"], exact[2], rtol=1e-6)
    part = geolocate(tree["measurements/vv"][100:120:4, 7:9])
    np.testing.assert_allclose(part["latitude"], exact[0][100:120:4, 7:9], atol=1e-8)
    np.testing.assert_allclose(places["longitude"][3, 5:9], exact[1][3, 5:9], atol=1e-8)
    group = geolocate(tree)["measurements"]
    np.testing.assert_array_equal(group["latitude"], places["latitude"])
    if chunks != "auto":
        return
    assert places["latitude"].attrs["height"] == "0 m above the ellipsoid"
    assert geolocate(tree["measurements/vv"], 250)["latitude"].attrs["height"] == "250 m above the ellipsoid"


def hill(crs: str, place: tuple[float, float], span: float, step: float) -> xr.DataArray:
    """Heights up to 600 m over a map of that span around a place (latitude, longitude)."""
    along, down = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(place[1], place[0])
    x, y = along + np.arange(-span, span, step), down - np.arange(-span, span, step)
    shape = 300 + 300 * np.sin((x - along) / span * 9) * np.cos((y[:, None] - down) / span * 7)
    names = ("latitude", "longitude") if crs == "EPSG:4326" else ("y", "x")
    made = xr.DataArray(shape, {names[0]: y, names[1]: x}, names)
    return made if crs == "EPSG:4326" else made.rio.write_crs(crs)


def middle(made: Path) -> tuple[float, float]:
    geometry = geometry_of(open_product(made)["measurements/vv"])
    latitude, longitude, _ = geometry.locate(255.5, 255.5, 0)
    return float(latitude), float(longitude)


@pytest.mark.parametrize("kind", ["projected", "geographic", "function", "pixels", "dask"])
def test_places_on_terrain(made: Path, kind: str) -> None:
    """Each pixel lies where its circle of range meets the terrain: the height there is the one that was used."""
    array = open_product(made)["measurements/vv"]
    place = middle(made)
    terrain = hill("EPSG:4326", place, 0.15, 0.0005) if kind == "geographic" else hill("EPSG:32633", place, 6000, 30)
    if kind == "geographic":
        heights = terrain.interp
    dem: Any = terrain.chunk({"x": 77}) if kind == "dask" else terrain
    if kind == "function":
        dem = Function(*place)
    if kind == "pixels":
        dem = 300 + 300 * np.sin(array["line"] / 30) * np.cos(array["pixel"] / 50)
    places = geolocate(array, dem)
    latitude, longitude = places["latitude"].values, places["longitude"].values
    assert np.isfinite(latitude).all()
    if kind == "pixels":
        heights = dem.values
    elif kind == "function":
        heights = dem(latitude, longitude)
    elif kind == "geographic":
        heights = terrain.interp(
            latitude=xr.DataArray(latitude, dims=("a", "b")), longitude=xr.DataArray(longitude, dims=("a", "b"))
        ).values
    else:
        x, y = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(longitude, latitude)
        heights = terrain.interp(x=xr.DataArray(x, dims=("a", "b")), y=xr.DataArray(y, dims=("a", "b"))).values
    assert np.ptp(heights) > 400
    right = geometry_of(array).locate(array["line"].values[:, None], array["pixel"].values, heights)
    assert apart((latitude, longitude), right[:2], heights) < 0.05
    window = geolocate(array[200:210, 90:99], dem if kind != "pixels" else dem[200:210, 90:99])
    np.testing.assert_allclose(window["longitude"], longitude[200:210, 90:99], atol=1e-6)


class Function:
    """A DEM that is computed, as a user may have it; pickles."""

    def __init__(self, latitude: float, longitude: float) -> None:
        self.at = latitude, longitude

    def __call__(self, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        return 300 + 300 * np.sin((latitude - self.at[0]) * 300) * np.cos((longitude - self.at[1]) * 100)


def test_without_heights_there_is_no_place(made: Path) -> None:
    array = open_product(made)["measurements/vv"][::4, ::4]
    terrain = hill("EPSG:32633", middle(made), 6000, 30)
    places = geolocate(array, terrain.where(terrain["x"] > float(terrain["x"].mean())))
    known = np.isfinite(places["latitude"]).compute()
    assert 0.3 < known.mean() < 0.7
    assert (np.isfinite(places["longitude"]) == known).all()
    small = geolocate(array, terrain[150:250, 150:250])["latitude"]
    assert 0.02 < np.isfinite(small).mean() < 0.5


def test_what_is_no_height_is_refused(made: Path) -> None:
    array = open_product(made)["measurements/vv"]
    flat = xr.DataArray(np.zeros((4, 4)), {"y": np.arange(4.0), "x": np.arange(4.0)}, ("y", "x"))
    for wrong, words in (
        (flat, "no CRS"),
        (xr.zeros_like(flat.rename(x="a", y="b")), "none of a map"),
        (flat.expand_dims(time=2), "wanted are"),
        (flat[:1].rio.write_crs(4326), "nodes"),
        (flat.assign_coords(x=[0.0, 2, 1, 3]).rio.write_crs(4326), "neither ascend"),
        ("high", "no height"),
        (float("nan"), "no height"),
        (array[:5] * 0, "not those of these lines"),
    ):
        with pytest.raises(InputError, match=words):
            geolocate(array, wrong)


def test_products_without_geometry(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    file = radar.member(folder, "annotation/*-vv-*")
    radar.edit(file, lambda xml: xml.split("<orbitList")[0] + "<x/>" + xml.split("</orbitList>")[1])
    with pytest.raises(IncompleteProduct, match="0 orbit state vectors"):
        geolocate(open_product(folder)["measurements/vv"])
    file.unlink()
    with pytest.raises(IncompleteProduct, match="annotation is missing"):
        geocode(open_product(folder)["measurements/vv"])
    with pytest.raises(InputError, match="does not know"):
        geolocate(open_product(folder)["measurements/vv"] * 2)


# --- maps ------------------------------------------------------------------------------------------------------------
def numbered(array: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Images whose values are their own lines and pixels, as float64."""
    parts = []
    for name in ("line", "pixel"):
        values = array[name].astype(np.float64).broadcast_like(array).values
        parts.append(array.copy(data=da.from_array(values, chunks=array.data.chunks)))
    return parts[0], parts[1]


@pytest.mark.parametrize(
    ("crs", "resolution", "dem"),
    [
        ("utm", 10.0, None),
        (4326, 0.0002, None),
        ("utm", 14.0, 400.0),
        ("utm", 10.0, "hill"),
        (4326, 0.0003, "hill"),
        (3035, 14.0, "dask hill"),
    ],
)
def test_each_pixel_of_a_map_shows_its_place(made: Path, crs: Any, resolution: float, dem: Any) -> None:
    """An image of its own lines and pixels: at each map pixel it shows where that place was seen, within 1e-3."""
    array = open_product(made, chunks={"line": 128})["measurements/vv"]
    terrain = hill("EPSG:32633", middle(made), 8000, 30)
    heights = {"hill": terrain, "dask hill": terrain.chunk({"x": 200, "y": 200})}.get(str(dem), dem)
    lines, pixels = (geocode(part, resolution, crs=crs, dem=heights, chunks=300) for part in numbered(array))
    y, x = (lines[name].values for name in lines.dims)
    assert np.diff(x).max() == pytest.approx(resolution)
    along, down = np.meshgrid(x, y)
    longitude, latitude = Transformer.from_crs(lines.rio.crs, "EPSG:4326", always_xy=True).transform(along, down)
    if isinstance(heights, xr.DataArray):
        east, north = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(longitude, latitude)
        at = {"x": xr.DataArray(east, dims=("a", "b")), "y": xr.DataArray(north, dims=("a", "b"))}
        above = terrain.interp(at).values
    else:
        above = np.full(along.shape, dem or 0.0)
    line, pixel = geometry_of(array).find(latitude, longitude, above)
    inside = (line >= 0) & (line <= 511) & (pixel >= 0) & (pixel <= 511)
    found = np.isfinite(lines.values)
    assert (found == inside).mean() > 0.9999  # on the very edge, rounding decides
    both = found & inside
    assert both.sum() > 5000
    assert np.abs(lines.values - line)[both].max() < 1e-3
    assert np.abs(pixels.values - pixel)[both].max() < 1e-3
    # and the whole image is on the map
    assert found[0].sum() + found[-1].sum() + found[:, 0].sum() + found[:, -1].sum() < 60


def test_control_points_land_where_the_annotation_says(shared_data: Path) -> None:
    """A real scene with mountains: on a map at the height of a point, it shows the point's line and pixel within 0.01."""
    tree = open_product(shared_data / IW_GRD)
    array, grid = tree["measurements/vv"], tree["conditions/gcp"]
    size = array.shape
    chunks = array.data.chunks
    across = da.arange(size[0], chunks=(chunks[0],), dtype=float)[:, None] + da.zeros(size, chunks=chunks)
    along = da.arange(size[1], chunks=(chunks[1],), dtype=float)[None] + da.zeros(size, chunks=chunks)
    for i, j in ((0, 0), (0, -1), (-1, 0), (-1, -1), (4, 10), (2, 17), (7, 3)):
        latitude, longitude, height = (float(grid[name][i, j]) for name in ("latitude", "longitude", "height"))
        near = (longitude - 0.004, latitude - 0.003, longitude + 0.004, latitude + 0.003)
        for values, name, k in ((across, "line", i), (along, "pixel", j)):
            chart = array.copy(data=values).s1.geocode(10, bounds=near, dem=height)
            x, y = Transformer.from_crs("EPSG:4326", chart.rio.crs, always_xy=True).transform(longitude, latitude)
            table = chart.values
            known = np.isfinite(table)
            assert known.sum() > 200  # of corners a quarter is outside
            down, right = np.meshgrid(chart["y"] - y, chart["x"] - x, indexing="ij")
            near_it = known & (np.hypot(down, right) < 150)
            terms = np.stack([np.ones(near_it.sum()), down[near_it], right[near_it]], 1)
            plane = np.linalg.lstsq(terms, table[near_it], rcond=None)[0]
            assert plane[0] == pytest.approx(float(grid[name][k]), abs=0.01)


def test_backscatter_on_a_map(made: Path) -> None:
    tree = open_product(made)
    chart = tree.s1.calibrate("sigma0").s1.geocode(20)
    assert list(chart["measurements"].data_vars) == ["vh", "vv"]
    vv = chart["measurements/vv"]
    assert vv.dtype == np.float32
    assert vv.rio.crs.to_epsg() == 32633
    assert vv.rio.nodata is None or np.isnan(vv.rio.nodata)
    assert vv.rio.transform()[0] == 20
    assert vv.odc.geobox.shape == vv.shape
    inside = np.isfinite(vv)
    source = tree.s1.calibrate("sigma0")["measurements/vv"]
    assert float(vv.mean()) == pytest.approx(float(source.mean()), rel=0.02)
    assert 0.3 < inside.mean() < 0.9
    assert vv.attrs["calibration"] == "sigma0"
    assert abs(vv["time"].values - source["azimuth_time"].values[256]) == np.timedelta64(0)
    box = (float(vv["x"][20]), float(vv["y"][60]), float(vv["x"][60]), float(vv["y"][20]))
    assert vv.rio.clip_box(*box).shape == (41, 41)
    assert pickle.loads(pickle.dumps(vv)).compute().equals(vv.compute())


def test_on_the_grid_of_another_image(made: Path) -> None:
    array = open_product(made)["measurements/vv"]
    like = hill("EPSG:32633", middle(made), 2000, 25)
    chart = geocode(array, like=like)
    np.testing.assert_allclose(chart["x"], like["x"], atol=1e-8)
    np.testing.assert_allclose(chart["y"], like["y"], atol=1e-8)
    assert np.isfinite(chart).mean() > 0.9
    np.testing.assert_array_equal(geocode(array, like=chart.odc.geobox), chart)


def test_averages_on_a_map(made: Path) -> None:
    """An averaged image knows its lines and pixels still, by its coordinates; its geometry is passed on."""
    array = open_product(made)["measurements/vv"]
    lines, _ = numbered(array)
    coarse = lines.coarsen(line=4, pixel=8).mean()
    chart = geocode(coarse, 40, geometry=geometry_of(array))
    x, y = np.meshgrid(chart["x"], chart["y"])
    longitude, latitude = Transformer.from_crs(chart.rio.crs, "EPSG:4326", always_xy=True).transform(x, y)
    line, _ = geometry_of(array).find(latitude, longitude, 0.0)
    inside = np.isfinite(chart.values)
    assert inside.sum() > 5000
    assert np.abs(chart.values - line)[inside].max() < 1e-3
    dataset = coarse.to_dataset(name="mean")
    np.testing.assert_array_equal(geocode(dataset, 40, geometry=geometry_of(array))["mean"], chart)


def test_a_part_of_an_image_on_a_map(made: Path) -> None:
    array = open_product(made)["measurements/vv"]
    whole = geocode(array, 10).compute()
    part = geocode(array[100:200, 300:200:-1], like=whole.odc.geobox).compute()
    inside = np.isfinite(part)
    assert 0 < inside.sum() < 12_000
    np.testing.assert_allclose(part.values[inside], whole.values[inside], rtol=1e-5)
    unread = geocode(open_product(made, chunks=None)["measurements/vv"], 10)
    assert unread.chunks is not None
    np.testing.assert_array_equal(unread, whole)
    raw = geocode(open_product(made, masked=False)["measurements/vv"], 10)
    assert raw.dtype == np.float32
    np.testing.assert_allclose(raw, whole, rtol=1e-6)


def test_maps_that_cannot_be_made(made: Path) -> None:
    array = open_product(made)["measurements/vv"]
    for options, words in (
        ({"resolution": 0}, "no size"),
        ({"crs": 4326}, "has degrees"),
        ({"resolution": 1e-9, "crs": 4326}, "too large"),
        ({"crs": "EPSG:99999"}, "no CRS"),
        ({"bounds": (10, 50, 9, 49)}, "bounds"),
        ({"like": 5}, "no grid"),
        ({"bounds": (-60, -10, -59.99, -9.99)}, "do not touch"),
    ):
        with pytest.raises(InputError, match=words):
            geocode(array, **options)
    with pytest.raises(InputError, match="equal distances"):
        geocode(array.isel(line=[1, 2, 5, 9]))
    with pytest.raises(InputError, match="nothing can be interpolated"):
        geocode(array[:1])
    with pytest.raises(InputError, match="no Sentinel-1 images"):
        geocode(open_product(made)["conditions"])


def test_between_four_pixels() -> None:
    values = np.array([[0.0, 1.0, np.nan], [10.0, 11.0, 12.0]])
    row = np.array([0, 0.5, 1, 1, 0.999999, 0.2, -0.01, 0])
    column = np.array([0, 0.25, 1.5, 2, 2, 1.5, 0, 2.01])
    np.testing.assert_allclose(
        bilinear(values, row, column), [0, 5.25, 11.5, 12, np.nan, np.nan, np.nan, np.nan], atol=1e-5
    )
    assert bilinear(np.array([[1 + 1j, 3 + 3j]]), np.array([0.0]), np.array([0.5]))[0] == 2 + 2j


def test_another_process_makes_the_same_map(worker: Any, made: Path) -> None:
    array = open_product(made)["measurements/vv"].s1.calibrate("gamma0")
    terrain = hill("EPSG:32633", middle(made), 6000, 30)
    for dem in (None, terrain, terrain.chunk({"x": 100})):
        chart = geocode(array, 20, dem=dem, chunks=128)
        np.testing.assert_array_equal(worker.compute(chart).result(), chart)
        places = geolocate(array[:40], dem)["latitude"]
        np.testing.assert_array_equal(worker.compute(places).result(), places)


def test_bursts_on_a_map(tmp_path: Path) -> None:
    """Where bursts overlap, the one whose middle is nearer is shown; there are no seams, and no line is shown twice."""
    array = open_product(radar.slc(tmp_path))["IW1/VV/vv"]
    geometry = geometry_of(array)
    flight = np.concatenate([np.arange(170.0) + start for start in radar.STARTS])  # of each line of the image
    values = np.broadcast_to(flight[:, None], array.shape)
    within = np.arange(510) % 170
    valid = (within >= radar.VALID[0]) & (within <= radar.VALID[1])
    values = np.where(valid[:, None], values, np.nan)
    chart = geocode(array.copy(data=da.from_array(values, chunks=array.data.chunks)), 5)
    y, x = np.meshgrid(chart["y"], chart["x"], indexing="ij")
    longitude, latitude = Transformer.from_crs(chart.rio.crs, "EPSG:4326", always_xy=True).transform(x, y)
    seconds, slant = geometry.look_back(latitude, longitude, 0.0)
    line = seconds / geometry.interval
    pixel = (slant - geometry.near_range) / geometry.range_step
    inside = (line > 6) & (line < 463) & (pixel > 1) & (pixel < 510)
    found = chart.values
    assert np.isfinite(found[inside]).all()  # no seams
    assert np.abs(found - line)[inside].max() < 1e-3
    # forward and backward agree on what is valid and the nearer burst
    at = np.array([20.0, 100, 200, 250, 400])
    place = geometry.locate(at, 100.0, 50.0)
    again = geometry.find(*place[:2], 50.0)
    np.testing.assert_allclose(again[0], at, atol=1e-6)
    np.testing.assert_allclose(again[1], 100, atol=1e-6)
    # the end of burst 0 (line 164 of the flight) is nearer to the middle of burst 1, in which it is line 170 + 14
    late = geometry.find(*geometry.locate(164.0, 100.0, 0.0)[:2], 0.0)[0]
    assert late == pytest.approx(184, abs=1e-6)
    places = array.s1.geolocate()
    np.testing.assert_allclose(places["latitude"][164], places["latitude"][184], atol=1e-9)
    assert geocode(array, 20).dtype == np.complex64
    with pytest.raises(InputError, match="slant range"):
        geocode(array)


def test_maps_over_the_antimeridian(made: Path) -> None:
    array = open_product(made)["measurements/vv"]
    geometry = image(circle(-172, 12))
    longitude = geometry.locate(np.array([0.0, 511, 0, 511]), np.array([0.0, 0, 511, 511]), 0.0)[1]
    lines, _ = numbered(array)
    east = geometry.locate(255, 255, 0)[1]
    geometry = image(circle(-172 + (180 - float(east)), 12))  # so that the middle lies at 180 degrees
    longitude = geometry.locate(np.array([0.0, 511, 0, 511]), np.array([0.0, 0, 511, 511]), 0.0)[1]
    assert longitude.min() < -179
    assert longitude.max() > 179
    for crs, step in (("utm", 20), (4326, 0.0002)):
        chart = geocode(lines, step, crs=crs, geometry=geometry)
        assert chart.size < 1_000_000
        assert np.isfinite(chart).sum() > 20_000
        x, y = np.meshgrid(chart[chart.dims[1]], chart[chart.dims[0]])
        to = Transformer.from_crs(chart.rio.crs, "EPSG:4326", always_xy=True).transform(x, y)
        line, _ = geometry.find(to[1], to[0], 0.0)
        inside = np.isfinite(chart.values) & np.isfinite(line)
        assert np.abs(chart.values - line)[inside].max() < 1e-3


def test_maps_at_the_pole(made: Path) -> None:
    lines, _ = numbered(open_product(made)["measurements/vv"])
    geometry = image(circle(0, 93, 95))
    latitude, _, _ = geometry.locate(255, 255, 0)
    assert latitude > 84
    chart = geocode(lines, 20, geometry=geometry)
    assert chart.rio.crs.to_epsg() == 32661
    assert np.isfinite(chart).sum() > 2000


WRONG = ["nan", "inf", "-1", "0", "1e200", "1.5", "2999-01-01T00:00:00", "nought", "1 2 3", ""]


def test_errors_are_ours_whatever_stands_there(tmp_path: Path) -> None:
    """Any number or time of the annotation replaced by another: it opens, or says in our words that it does not."""
    import contextlib
    import xml.etree.ElementTree as ET

    from extenso_nb.errors import ExtensoError

    folder = radar.draw(tmp_path)
    file = radar.member(folder, "annotation/*-vv-*")
    radar.member(folder, "measurement/*-vh-*").unlink()
    whole = file.read_bytes()
    tags = [element.tag for element in ET.parse(file).getroot().iter() if len(element) == 0]
    opened = 0
    for number, tag in enumerate(dict.fromkeys(tags)):
        for wrong in (WRONG[number % len(WRONG)], WRONG[(3 * number + 1) % len(WRONG)]):
            tree = ET.ElementTree(ET.fromstring(whole))
            for element in list(tree.getroot().iter(tag))[:1]:
                element.text = wrong
            tree.write(file)
            with contextlib.suppress(ExtensoError):
                product = open_product(folder)
                opened += 1
                product.s1.geolocate()["measurements"]["latitude"][:3, :3].compute()
                product.s1.geocode(500).compute()
    assert opened > 20


def test_a_map_on_the_grid_of_its_heights_has_edges(made: Path) -> None:
    """Coordinates that went there and back miss the outermost heights by rounding."""
    array = open_product(made)["measurements/vv"]
    place = middle(made)
    y, x = (np.round(at, 3) + np.arange(12)[::way] / 3600 for at, way in zip(place, (-1, 1), strict=True))
    terrain = xr.DataArray(np.full((12, 12), 100.0), {"y": y, "x": x}, ("y", "x")).rio.write_crs("EPSG:4326")
    mapped = geocode(array, like=terrain, dem=terrain)
    assert mapped.shape == terrain.shape
    assert np.isfinite(mapped.values).all()
