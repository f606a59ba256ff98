"""Sentinel-5P: groups and numbers of the file, quality in whole percent, units by the product's factors, exact areas."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb.errors import DamagedProduct, IncompleteProduct, InputError, UnknownBand, UnsupportedProduct
from extenso_nb.gateway.sources.sample import sentinel5p as sample
from extenso_nb.readers import band, open_product
from extenso_nb.readers.regrid import Grid, overlaps, regrid
from extenso_nb.readers.sentinel5p import good, to_units

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

TRIMMED = "s5p/S5P_L2_CO_trimmed_2scanlines.nc"
SKELETONS = ["NO2___", "CO____", "CH4___", "CLOUD_"]


@dataclass(frozen=True)
class Wanted:
    id: str
    area: str = "camargue"
    cover: float = 0.3


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A drawn product of every type."""
    folder = tmp_path_factory.mktemp("s5p")
    name = "S5P_NRTI_{}_20240610T121500_20240610T122000_34512_03_020600_20240610T130112"
    return {kind: sample.write(folder, Wanted(name.format(kind))) for kind in sample.TYPES}


@pytest.fixture(scope="module")
def no2(archive: dict[str, Path]) -> Path:
    return archive["L2__NO2___"]


def stored(path: Path, name: str) -> np.ndarray:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return np.asarray(file[name][...])


def names_of(group: Any, path: str = "") -> list[str]:
    found = [f"{path}/{name}" for name in group.variables]
    return found + [name for key, child in group.groups.items() for name in names_of(child, f"{path}/{key}")]


# --- opening ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", sample.TYPES)
def test_every_type_opens_whole_and_exact(archive: dict[str, Path], kind: str) -> None:
    path = archive[kind]
    tree = open_product(path)
    assert tree.attrs["product_id"] == path.stem
    assert tree.attrs["product_type"] == kind
    assert tree.attrs["platform"] == "Sentinel-5P"
    assert tree.attrs["orbit_number"] == 34512
    assert "missing_members" not in tree.attrs
    json.dumps(tree.attrs)
    with netCDF4.Dataset(path) as file:
        names = names_of(file)
        for name in names:
            item = file[name]
            group, _, label = name.rpartition("/")
            ours = tree[group].to_dataset().variables["time_reference" if name == "/PRODUCT/time" else label]
            assert "time" not in ours.dims
            if ours.dtype.kind in "MO" or label == "qa_value":
                continue  # looked at below
            theirs = np.ma.filled(item[...].astype(np.float64), np.nan)
            np.testing.assert_array_equal(
                ours.values, theirs[0] if item.dimensions[:1] == ("time",) else theirs, err_msg=name
            )
    assert len(names) > 15


@pytest.mark.parametrize("kind", ["L2__NO2___", "L2__CH4___"])
def test_without_mask_and_scale_all_is_as_stored(archive: dict[str, Path], kind: str) -> None:
    tree = open_product(archive[kind], masked=False, scaled=False)
    for name, item in tree["PRODUCT"].data_vars.items():
        if item.dtype.kind not in "MO":
            raw = stored(archive[kind], f"PRODUCT/{name}")[0]
            assert item.dtype == raw.dtype
            np.testing.assert_array_equal(item.values, raw)
    assert tree["PRODUCT/qa_value"].dtype == np.uint8
    assert tree["PRODUCT/latitude"].dtype == np.float32


def test_places_and_times(no2: Path) -> None:
    product = open_product(no2)["PRODUCT"]
    assert dict(product.sizes) == {"scanline": 130, "ground_pixel": 180, "corner": 4}
    for name, size in (("scanline", 130), ("ground_pixel", 180)):
        assert product[name].dtype == np.int32
        np.testing.assert_array_equal(product[name].values, np.arange(size))
    column = product["nitrogendioxide_tropospheric_column"]
    assert set(column.coords) == {"scanline", "ground_pixel", "latitude", "longitude", "time", "time_reference"}
    assert product["latitude"].attrs["bounds"] == "latitude_bounds"
    assert product["latitude_bounds"].dims == ("scanline", "ground_pixel", "corner")
    np.testing.assert_array_equal(
        product["latitude_bounds"].values, stored(no2, "PRODUCT/SUPPORT_DATA/GEOLOCATIONS/latitude_bounds")[0]
    )
    assert product["time"].dtype == np.dtype("datetime64[ns]")
    delta = stored(no2, "PRODUCT/delta_time")[0]
    np.testing.assert_array_equal(
        product["time"].values, np.datetime64("2024-06-10", "ns") + delta.astype("timedelta64[ms]")
    )
    assert product["time_reference"].values == np.datetime64("2024-06-10")
    texts = [np.datetime64(text.rstrip("Z"), "ns") for text in product["time_utc"].values]
    assert np.abs(texts - product["time"].values).max() <= np.timedelta64(2, "ms")
    detail = open_product(no2)["PRODUCT/SUPPORT_DATA/DETAILED_RESULTS"]
    assert "latitude" in detail["cloud_fraction_crb"].coords
    flags = detail["processing_quality_flags"]
    assert flags.dtype == np.uint32
    assert flags.attrs["flag_values"].dtype == np.uint32
    assert flags.attrs["fill_value"] == 2**32 - 1


def test_metadata_are_attributes(no2: Path) -> None:
    tree = open_product(no2)
    assert tree["METADATA/GRANULE_DESCRIPTION"].attrs["ProductShortName"] == "L2__NO2___"
    assert tree["METADATA"].attrs["title"].startswith("TROPOMI")
    json.dumps({path: tree[path].attrs for path in tree.groups if path.startswith("/METADATA")})


def test_delta_time_without_a_reference_counts_from_time(no2: Path, tmp_path: Path) -> None:
    path = tmp_path / no2.name
    shutil.copy(no2, path)
    with h5py.File(path, "a") as file:
        file["PRODUCT/delta_time"].attrs["units"] = np.bytes_(b"milliseconds")
    np.testing.assert_array_equal(open_product(path)["PRODUCT/time"].values, open_product(no2)["PRODUCT/time"].values)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_in_zips_and_under_other_names(no2: Path, tmp_path: Path, method: int) -> None:
    packed, renamed = tmp_path / "mine.zip", tmp_path / "july.nc"
    with zipfile.ZipFile(packed, "w", method) as file:
        file.write(no2, "july.nc")
    shutil.copy(no2, renamed)
    expected = open_product(no2)["PRODUCT/nitrogendioxide_tropospheric_column"].values
    for path in (packed, renamed):
        tree = open_product(path)
        assert tree.attrs["product_id"] == no2.stem
        again = pickle.loads(pickle.dumps(tree["PRODUCT/nitrogendioxide_tropospheric_column"]))
        np.testing.assert_array_equal(again.values, expected)


def test_as_an_engine(no2: Path) -> None:
    dataset = xr.open_dataset(no2, engine="extenso", group="PRODUCT")
    assert dataset["qa_value"].dtype == np.float32
    assert dataset["qa_value"].chunks is None
    tree = xr.open_datatree(no2, engine="extenso", chunks={})
    assert tree["PRODUCT/qa_value"].chunks is not None
    xr.testing.assert_identical(tree["PRODUCT/qa_value"].compute(), open_product(no2)["PRODUCT/qa_value"].compute())


def test_a_tree_is_written_and_read_again(no2: Path, tmp_path: Path) -> None:
    product = open_product(no2)["PRODUCT"].to_dataset()
    product.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "again.nc", engine="h5netcdf") as again:
        for name in ("nitrogendioxide_tropospheric_column", "qa_percent", "latitude", "latitude_bounds", "time"):
            np.testing.assert_array_equal(again[name].values, product[name].values)
            assert again[name].dtype == product[name].dtype


@pytest.mark.parametrize("chunks", [None, {"scanline": 50}])
def test_chunks(no2: Path, chunks: Any) -> None:
    column = open_product(no2, chunks=chunks)["PRODUCT/nitrogendioxide_tropospheric_column"]
    assert column.chunks == (None if chunks is None else ((50, 50, 30), (180,)))
    np.testing.assert_array_equal(
        np.isnan(column.values), stored(no2, "PRODUCT/nitrogendioxide_tropospheric_column")[0] > 1e36
    )


def test_variables_by_name(no2: Path) -> None:
    tree = open_product(no2)
    assert band(tree, "nitrogendioxide_tropospheric_column").dims == ("scanline", "ground_pixel")
    with pytest.raises(UnknownBand, match="nitrogendioxide_tropospheric_column"):
        band(tree, "red")


# --- real products ---------------------------------------------------------------------------------------------------
def test_a_real_file(shared_data: Path) -> None:
    path = shared_data / TRIMMED
    tree = open_product(path)
    assert (
        tree.attrs["product_id"]
        == "S5P_OFFL_L2__CO_____20190913T121259_20190913T135429_09933_01_010302_20190919T113830"
    )
    assert tree.attrs["orbit_number"] == 9933
    product = tree["PRODUCT"]
    assert dict(product.sizes) == {"scanline": 2, "ground_pixel": 215}
    column = product["carbonmonoxide_total_column"]
    raw = stored(path, "PRODUCT/carbonmonoxide_total_column")[0]
    assert (raw > 1e36).any()  # no data without a _FillValue: the default of netCDF
    np.testing.assert_array_equal(column.values, np.where(raw > 1e36, np.float32(np.nan), raw))
    np.testing.assert_array_equal(product["qa_percent"].values, stored(path, "PRODUCT/qa_value")[0])
    milliseconds = stored(path, "PRODUCT/delta_time")[0]
    np.testing.assert_array_equal(
        product["time"].values, np.datetime64("2019-09-13", "ns") + milliseconds.astype("timedelta64[ms]")
    )
    assert to_units(column, "molecules cm-2").attrs["units"] == "molecules cm-2"


@pytest.mark.parametrize("kind", SKELETONS)
def test_a_skeleton_opens_with_what_there_is(shared_data: Path, kind: str) -> None:
    path = next(shared_data.glob(f"s5p/S5P_OFFL_L2__{kind}*.nc"))
    tree = open_product(path)
    assert tree.attrs["missing_members"] == ["/PRODUCT"]
    assert tree.attrs["product_id"] == path.stem
    assert tree["METADATA/QA_STATISTICS"].attrs
    with netCDF4.Dataset(path) as file:
        for name in names_of(file):
            group, _, label = name.rpartition("/")
            np.testing.assert_array_equal(
                tree[group].to_dataset()[label].values, np.ma.filled(file[name][...].astype(float), np.nan)
            )
    with pytest.raises(IncompleteProduct, match="PRODUCT"):
        band(tree, "nitrogendioxide_tropospheric_column")


def test_what_cannot_be_opened_is_said(no2: Path, tmp_path: Path) -> None:
    cut = tmp_path / no2.name
    cut.write_bytes(no2.read_bytes()[:200_000])
    with pytest.raises(DamagedProduct, match="cannot be read"):
        open_product(cut)
    bare = tmp_path / "bare" / no2.name
    bare.parent.mkdir()
    with h5py.File(bare, "w") as file:
        file.create_group("PRODUCT")
    with pytest.raises(IncompleteProduct, match="no arrays"):
        open_product(bare)
    two = tmp_path / f"{no2.stem}.zip"
    with zipfile.ZipFile(two, "w") as packed:
        packed.write(no2, "a.nc")
        packed.write(no2, "b.nc")
    with pytest.raises(UnsupportedProduct, match="2 files"):
        open_product(two)


# --- level 1B --------------------------------------------------------------------------------------------------------
@pytest.fixture
def level_1b(tmp_path: Path) -> Path:
    """The layout of the input/output data specification of level 1B (S5P-KNMI-L01B-0012-SD), small."""
    path = tmp_path / "S5P_OFFL_L1B_RA_BD4_20240610T112500_20240610T130630_34512_03_020100_20240610T145010.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.id, file.orbit, file.sensor, file.time_reference = (
            path.stem,
            np.int32(34512),
            "TROPOMI",
            "2024-06-10T00:00:00Z",
        )
        mode = file.createGroup("BAND4_RADIANCE").createGroup("STANDARD_MODE")
        for name, size in (("time", 1), ("scanline", 6), ("ground_pixel", 8), ("spectral_channel", 10), ("ncorner", 4)):
            mode.createDimension(name, size)
        mode.createVariable("time", "i4", ("time",)).units = "seconds since 2010-01-01 00:00:00"
        mode["time"][:] = 455_155_200
        for name in ("scanline", "ground_pixel", "spectral_channel"):
            mode.createVariable(name, "i4", (name,))[:] = np.arange(mode.dimensions[name].size)
        seen = mode.createGroup("OBSERVATIONS")
        item = seen.createVariable(
            "radiance", "f4", ("time", "scanline", "ground_pixel", "spectral_channel"), fill_value=9.96921e36
        )
        item.units = "mol.s-1.m-2.nm-1.sr-1"
        item[:] = np.arange(480).reshape(1, 6, 8, 10)
        delta = seen.createVariable("delta_time", "i4", ("time", "scanline"))
        delta.units = "milliseconds"
        delta[:] = 41_000_000 + 840 * np.arange(6)
        seen.createVariable("spectral_channel_quality", "u1", ("time", "scanline", "ground_pixel", "spectral_channel"))[
            :
        ] = 8
        seen["spectral_channel_quality"].flag_masks = np.array([1, 2, 4, 8], np.uint8)
        seen["spectral_channel_quality"].flag_meanings = "missing bad_pixel processing_error saturated"
        places = mode.createGroup("GEODATA")
        for name, base in (("latitude", 43.0), ("longitude", 4.0)):
            value = base + np.add.outer(np.arange(6), np.arange(8)) / 10
            place = places.createVariable(name, "f4", ("time", "scanline", "ground_pixel"))
            place.bounds = f"{name}_bounds"
            place[:] = value
            places.createVariable(f"{name}_bounds", "f4", ("time", "scanline", "ground_pixel", "ncorner"))[:] = value[
                ..., None
            ]
        tools = mode.createGroup("INSTRUMENT")
        kind = tools.createCompoundType(np.dtype([("ic_id", "i4"), ("ic_version", "i2")]), "configuration_t")
        tools.createVariable("instrument_configuration", kind, ("time", "scanline"))[:] = np.array(
            [[(7, 2)] * 6], kind.dtype
        )
    return path


def test_level_1b(level_1b: Path) -> None:
    tree = open_product(level_1b)
    assert tree.attrs["product_type"] == "L1B_RA_BD4"
    seen = tree["BAND4_RADIANCE/STANDARD_MODE/OBSERVATIONS"]
    assert dict(seen["radiance"].sizes) == {"scanline": 6, "ground_pixel": 8, "spectral_channel": 10}
    np.testing.assert_array_equal(seen["radiance"].values.ravel(), np.arange(480))
    assert seen["latitude"].dims == ("scanline", "ground_pixel")
    assert seen["longitude"].values[1, 2] == np.float32(4.3)
    np.testing.assert_array_equal(
        seen["time"].values,
        np.datetime64("2024-06-04", "ns") + (41_000_000 + 840 * np.arange(6)).astype("timedelta64[ms]"),
    )
    assert seen["spectral_channel_quality"].dtype == np.uint8
    tools = tree["BAND4_RADIANCE/STANDARD_MODE/INSTRUMENT"]
    assert tools["instrument_configuration.ic_id"].values.tolist() == [7] * 6


# --- quality ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def all_percents(no2: Path, tmp_path: Path) -> Path:
    path = tmp_path / no2.name
    shutil.copy(no2, path)
    with h5py.File(path, "a") as file:
        values = file["PRODUCT/qa_value"][...]
        values[0, 0, :101] = np.arange(101)
        values[0, 0, 101] = 255
        file["PRODUCT/qa_value"][...] = values
    return path


def test_quality_is_rounded_rightly(all_percents: Path) -> None:
    product = open_product(all_percents)["PRODUCT"]
    quality, percent = product["qa_value"].values[0], product["qa_percent"].values[0]
    assert (quality.dtype, percent.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(quality[:101], np.array([k / 100 for k in range(101)], dtype=np.float32))
    assert np.isnan(quality[101])
    np.testing.assert_array_equal(percent[:102], [*range(101), 255])
    naive = np.arange(101).astype(np.float32) * np.float32(0.01)
    assert (quality[:101] != naive).sum() == 30  # what the file's own scale factor would give


def test_thresholds_keep_what_equals_them(all_percents: Path) -> None:
    tree = open_product(all_percents)
    quality = tree["PRODUCT/qa_value"]
    for k in range(101):
        assert bool(good(tree, k / 100).values[0, k]), k
        assert k == 0 or not bool(good(tree, k / 100).values[0, k - 1])
        assert bool((quality >= k / 100).values[0, k]), k
    assert not good(tree, 0).values[0, 101]
    assert (tree["PRODUCT/qa_value"] >= 0.8).values[0, 80]


@pytest.mark.parametrize("qa", [75, -0.1, float("nan")])
def test_a_threshold_that_is_none_is_refused(no2: Path, qa: float) -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        good(open_product(no2), qa)


# --- units -----------------------------------------------------------------------------------------------------------
def test_units_by_the_factor_of_the_product(no2: Path) -> None:
    column = open_product(no2)["PRODUCT/nitrogendioxide_tropospheric_column"]
    for words in ("molecules cm-2", "molec/cm2", "molecules/cm^2", "molecules_percm2"):
        got = to_units(column, words)
        assert got.dtype == np.float32
        assert got.chunks is not None
        raw = stored(no2, "PRODUCT/nitrogendioxide_tropospheric_column")[0].astype(np.float64)
        expected = np.where(raw > 1e36, np.nan, raw) * float(np.float32(6.02214e19))
        np.testing.assert_array_equal(got.values, expected.astype(np.float32))
        assert got.attrs["units"] == words
        assert "multiplication_factor_to_convert_to_molecules_percm2" not in got.attrs
        assert got.name == column.name
    assert to_units(column, "mol m-2") is column
    with pytest.raises(InputError, match="no factor to 'DU'") as caught:
        to_units(column, "DU")
    assert "molecules_percm2" in caught.value.hint


def test_mixing_ratios(archive: dict[str, Path]) -> None:
    methane = open_product(archive["L2__CH4___"])["PRODUCT/methane_mixing_ratio"]
    np.testing.assert_array_equal(to_units(methane, "ppbv").values, methane.values)
    np.testing.assert_allclose(to_units(methane, "ppmv").values, methane.values / 1000, rtol=1e-7)
    with pytest.raises(InputError, match="no factor"):
        to_units(methane, "molecules cm-2")


# --- onto a grid -----------------------------------------------------------------------------------------------------
def brute_force(lon: np.ndarray, lat: np.ndarray, grid: Grid) -> dict[tuple[int, int], float]:
    """Shares of cells by intersecting each polygon with each cell, in longitude and the sine of latitude."""
    found, sines = {}, grid.sines
    for pixel in range(len(lon)):
        polygon = shapely.Polygon(np.stack([lon[pixel], np.sin(np.radians(lat[pixel]))], axis=-1))
        for row in range(grid.rows):
            for column in range(grid.columns):
                west = grid.west + grid.dx * column
                cell = shapely.box(west, sines[row], west + grid.dx, sines[row + 1])
                share = polygon.intersection(cell).area / cell.area
                if share > 1e-9:
                    found[pixel, row * grid.columns + column] = share
    return found


def quadrilaterals(seed: int, count: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Around centres in 0 to 10 east and 40 to 50 north, in either sense, some of them not convex."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform((0, 40), (10, 50), (count, 2))
    angle = np.sort(rng.uniform(0, 0.5 * np.pi, (count, 4)) + np.arange(4) * 0.5 * np.pi, axis=1)
    far = rng.uniform(size / 5, size, (count, 4))
    lon, lat = centre[:, :1] + far * np.cos(angle), centre[:, 1:] + far * np.sin(angle)
    turned = rng.random(count) < 0.5
    lon[turned], lat[turned] = lon[turned, ::-1], lat[turned, ::-1]
    return lon, lat


@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.3, 2.5]))
def test_areas_are_those_of_polygon_intersection(seed: int, size: float) -> None:
    lon, lat = quadrilaterals(seed, 6, size)
    grid = Grid.of((0.7, 0.9), (0.3, 40.2, 9.9, 49.1))
    expected = brute_force(lon, lat, grid)
    got = dict(zip(*(zip(*(part.tolist() for part in overlaps(lon, lat, grid)[:2]), strict=True),
                     overlaps(lon, lat, grid)[2].tolist()), strict=True))  # fmt: skip
    assert set(got) ^ set(expected) <= {key for key, share in (got | expected).items() if share < 2e-9}
    for key, share in expected.items():
        assert got.get(key, 0.0) == pytest.approx(share, abs=1e-9)


def swath(
    lon0: float, lat0: float, rows: int = 40, columns: int = 30, step: float = 0.05, wide: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Corners (pixel, 4) of a gap-free swath on the sphere around a place, `step` radians of arc long and wide each way."""
    a, b = np.linspace(-step, step, rows + 1)[:, None], np.linspace(-wide, wide, columns + 1)[None, :]
    east, north = b * np.cos(0.4) - a * np.sin(0.4), b * np.sin(0.4) + a * np.cos(0.4)
    lam, phi = np.radians(lon0), np.radians(lat0)
    up = np.array([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    e = np.array([-np.sin(lam), np.cos(lam), 0.0])
    n = np.cross(up, e)
    places = up + east[..., None] * e + north[..., None] * n
    places /= np.linalg.norm(places, axis=-1, keepdims=True)
    lon, lat = np.degrees(np.arctan2(places[..., 1], places[..., 0])), np.degrees(np.arcsin(places[..., 2]))
    parts = [(slice(i, rows + i), slice(j, columns + j)) for i, j in ((0, 0), (0, 1), (1, 1), (1, 0))]
    return tuple(np.stack([values[at] for at in parts], axis=-1).reshape(-1, 4) for values in (lon, lat))  # type: ignore[return-value]


@pytest.mark.parametrize(("lon0", "lat0"), [(10.0, 45.0), (180.0, 20.0), (-179.5, -70.0), (37.0, 89.3), (0.0, -90.0)])
def test_a_swath_covers_each_cell_once(lon0: float, lat0: float) -> None:
    """No gap and no overlap inside, at the antimeridian and around the poles; the area is that on the sphere."""
    lon, lat = swath(lon0, lat0)
    grid = Grid.of(0.5, (-180, -90, 180, 90))
    _, cell, share = overlaps(lon, lat, grid)
    cover = np.bincount(cell, weights=share, minlength=grid.rows * grid.columns).reshape(grid.rows, grid.columns)
    assert cover.max() < 1 + 1e-6
    area = (cover * np.diff(grid.sines)[:, None]).sum() * np.radians(grid.dx)
    truth = 4 * np.arcsin(0.05**2 / (1 + 0.05**2))  # of a square on the tangent plane, seen from the centre
    assert area == pytest.approx(truth, rel=2e-3)
    row, column = int((lat0 + 90 - 1e-9) / 0.5), int(((lon0 + 180) % 360) / 0.5)
    assert cover[row, column] == pytest.approx(1.0, abs=1e-9)
    if abs(lat0) > 89:
        assert cover[row] == pytest.approx(np.ones(grid.columns), abs=1e-9)


def test_bounds_over_the_antimeridian() -> None:
    lon, lat = swath(180.0, 20.0)
    around = Grid.of(0.5, (170, 10, -170, 30))
    assert (around.columns, around.longitude[0], around.longitude[-1]) == (40, 170.25, 189.75)
    whole = Grid.of(0.5, (-180, 10, 180, 30))
    covers = []
    for grid in (around, whole):
        _, cell, share = overlaps(lon, lat, grid)
        covers.append(np.bincount(cell, weights=share, minlength=grid.rows * grid.columns).reshape(grid.rows, -1))
    np.testing.assert_allclose(covers[0], np.concatenate([covers[1][:, -20:], covers[1][:, :20]], axis=1), atol=1e-12)


def test_pixels_without_a_place_are_left_out() -> None:
    lon, lat = swath(10.0, 45.0)
    lon[5, 2] = np.nan
    pixel, _, share = overlaps(lon, lat, Grid.of(0.5, (0, 40, 20, 50)))
    assert 5 not in pixel
    assert np.isfinite(share).all()
    nothing = overlaps(np.full((3, 4), np.nan), np.full((3, 4), np.nan), Grid.of(0.5, (0, 40, 20, 50)))
    assert [len(part) for part in nothing] == [0, 0, 0]


def test_regrid_by_area(no2: Path) -> None:
    tree = open_product(no2)
    name = "nitrogendioxide_tropospheric_column"
    got = regrid(tree, name, resolution=0.25, bounds=(2, 42, 6, 45), qa=0.75)
    assert dict(got.sizes) == {"longitude": 16, "latitude": 12}
    product = tree["PRODUCT"].to_dataset().compute()
    lon, lat = (product[f"{word}_bounds"].values.reshape(-1, 4).astype(float) for word in ("longitude", "latitude"))
    value = product[name].values.ravel().astype(np.float64)
    kept = np.isfinite(value) & (product["qa_percent"].values.ravel() >= 75)
    near = np.flatnonzero((np.abs(lon - 4) < 3).all(axis=1) & (np.abs(lat - 43.5) < 3).all(axis=1))
    grid = Grid.of(0.25, (2, 42, 6, 45))
    sums, weights, counts = np.zeros(192), np.zeros(192), np.zeros(192)
    for (at, cell), share in brute_force(lon[near], lat[near], grid).items():
        if kept[near[at]]:
            sums[cell] += share * value[near[at]]
            weights[cell] += share
            counts[cell] += 1
    with np.errstate(invalid="ignore"):
        expected = (sums / weights).reshape(12, 16)
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(got[name].values, expected, rtol=1e-6)
    np.testing.assert_allclose(got[f"{name}_weight"].values, weights.reshape(12, 16), atol=1e-6)
    np.testing.assert_array_equal(got[f"{name}_count"].values, counts.reshape(12, 16))
    assert got[name].attrs["cell_methods"] == "area: mean"
    assert got[name].attrs["units"] == "mol m-2"
    assert got.rio.crs.to_epsg() == 4326


def test_regrid_without_bounds_holds_all_that_was_seen(no2: Path) -> None:
    name = "nitrogendioxide_tropospheric_column"
    dataset = open_product(no2)["PRODUCT"].to_dataset()
    got = regrid(dataset, [name], resolution=1.0)
    flat = dataset.assign({name: dataset[name] * 0 + 3.0})
    same = regrid(flat, name, resolution=1.0)[name].values
    assert np.allclose(same[np.isfinite(same)], 3.0)
    assert np.isfinite(got[name].values).sum() > 100
    south, north = float(dataset["latitude_bounds"].min()), float(dataset["latitude_bounds"].max())
    assert float(got["latitude"][0]) - 0.5 <= south
    assert float(got["latitude"][-1]) + 0.5 >= north


def test_nearest_takes_the_pixel_at_the_centre(no2: Path) -> None:
    dataset = open_product(no2)["PRODUCT"].to_dataset().compute()
    name = "nitrogendioxide_tropospheric_column"
    got = regrid(dataset, [name, "qa_percent"], resolution=0.2, bounds=(2, 42, 6, 45), method="nearest")
    assert got["qa_percent"].dtype == np.uint8
    lon, lat = (dataset[f"{word}_bounds"].values.reshape(-1, 4).astype(float) for word in ("longitude", "latitude"))
    polygons = shapely.polygons(np.stack([lon, np.sin(np.radians(lat))], axis=-1))
    tree = shapely.STRtree(polygons)
    values, found = dataset[name].values.ravel(), 0
    for row, y in enumerate(got["latitude"].values):
        for column, x in enumerate(got["longitude"].values):
            holding = tree.query(shapely.Point(x, np.sin(np.radians(y))), predicate="within")
            mine = got[name].values[row, column]
            if len(holding) == 1:
                np.testing.assert_equal(mine, values[holding[0]])
                found += 1
            elif not len(holding):
                assert np.isnan(mine)
    assert found > 250


def test_swaths_without_corners_get_them_from_their_centres(no2: Path) -> None:
    dataset = open_product(no2)["PRODUCT"].to_dataset().compute()
    name = "nitrogendioxide_tropospheric_column"
    bare = dataset.drop_vars(["latitude_bounds", "longitude_bounds"])
    one, two = (regrid(part, name, resolution=0.25, bounds=(2, 42, 6, 45)) for part in (dataset, bare))
    np.testing.assert_allclose(one[f"{name}_weight"], two[f"{name}_weight"], atol=0.12)
    three = regrid(dataset[name], resolution=0.25, bounds=(2, 42, 6, 45))
    np.testing.assert_array_equal(three[name].values, two[name].values)


def test_layers_are_regridded_one_by_one(no2: Path) -> None:
    dataset = open_product(no2)["PRODUCT"].to_dataset().compute()
    name = "nitrogendioxide_tropospheric_column"
    stack = xr.concat([dataset[name], dataset[name] * 2], dim="layer").transpose("scanline", "ground_pixel", "layer")
    got = regrid(dataset.assign(stack=stack), "stack", resolution=0.5, bounds=(2, 42, 6, 45))["stack"]
    assert got.dims == ("latitude", "longitude", "layer")
    np.testing.assert_allclose(got[..., 1], got[..., 0] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resolution": 0}, "no size"), ({"resolution": float("nan")}, "no size"), ({"bounds": (0, 50, 10, 40)}, "no area"),
        ({"bounds": (0, 0, 400, 10)}, "more than once"), ({"resolution": 1e-5, "bounds": (0, 0, 10, 10)}, "too many"),
        ({"variables": "nothing"}, "no 'nothing'"), ({"variables": "qa_percent", "qa": 75}, "0 to 1"),
        ({"method": "cubic"}, "not known"), ({"bounds": (0, 0, -1e9, 10)}, "no area"),
    ],
)  # fmt: skip
def test_what_cannot_be_regridded_is_said(no2: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        regrid(open_product(no2), **options)


def test_flags_have_no_mean(no2: Path) -> None:
    tree = open_product(no2)
    detail = tree["PRODUCT/SUPPORT_DATA/DETAILED_RESULTS"].to_dataset()
    with pytest.raises(InputError, match="no number that has a mean"):
        regrid(detail, "processing_quality_flags")
    with pytest.raises(InputError, match="no latitude"):
        regrid(tree["METADATA"])


@pytest.mark.slow
def test_an_orbit_takes_seconds() -> None:
    """4172 x 450 pixels on 0.1 degree: the figure in docs/products.md. Time is of the processor, which others do not lengthen."""
    import time

    lon, lat = swath(30.0, 0.0, rows=4172, columns=450, step=3.0, wide=0.3)
    started = time.process_time()
    pixel, _, _ = overlaps(lon, lat, Grid.of(0.1, (-180, -90, 180, 90)))
    assert time.process_time() - started < 30
    assert len(np.unique(pixel)) == 4172 * 450
