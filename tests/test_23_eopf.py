"""EOPF Zarr: groups as stored, numbers by the store's own metadata, places; wherever it lies; and whatever it says, no harm."""

from __future__ import annotations

import asyncio
import bz2
import json
import pickle
import random
import shutil
import warnings
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import eopf_store as store
import numcodecs
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from ranges import range_server

from extenso_nb.errors import (
    DamagedProduct,
    ExtensoError,
    IncompleteProduct,
    InputError,
    ReaderError,
    UnknownBand,
    UnsupportedProduct,
)
from extenso_nb.readers import band, index, open_product
from extenso_nb.readers.opening import open_container
from extenso_nb.readers.zarr_metadata import Members
from extenso_nb.storage import FileObject

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

S2 = "eopf_zarr/S2A_MSIL2A_20220428T100601_N0400_R022_T32TPS_20220428T141313.zarr"
B04 = "measurements/reflectance/r10m/b04"
MASK = "quality/mask/r10m/b04"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of version 2, consolidated, as EOPF has them."""
    return store.write(tmp_path_factory.mktemp("eopf"))


@pytest.fixture
def mine(folder: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / folder.name))


def nearest(numbers: np.ndarray) -> np.ndarray:
    """Reflectance as exact decimals rounded once to float32; NaN for 0."""
    exact = np.array([float(f"{(int(number) - 1000)}e-4") for number in numbers.ravel()])
    values = exact.astype(np.float32).reshape(numbers.shape)
    values[numbers == 0] = np.nan
    return values


def edit(path: Path, change: Any) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


# --- real products ---------------------------------------------------------------------------------------------------
def raw_chunk(folder: Path, array: str, key: str) -> np.ndarray:
    """A chunk decoded by hand: the codec and the type that the document names, no Zarr."""
    said = json.loads((folder / array / ".zarray").read_text())
    data = numcodecs.get_codec(said["compressor"]).decode((folder / array / key).read_bytes())
    return np.frombuffer(data, said["dtype"]).reshape(said["chunks"])


def test_real_chunks_are_what_is_read(shared_data: Path) -> None:
    folder = shared_data / "eopf_zarr" / "groups" / "geometry.zarr"
    tree = open_product(folder)
    np.testing.assert_array_equal(tree["sun_angles"].values, raw_chunk(folder, "sun_angles", "0.0.0"))
    view = tree["viewing_incidence_angles"]
    assert view.shape == (13, 7, 2, 23, 23)
    assert view.dims == ("band", "detector", "angle", "y", "x")
    for key in ("0.0.0.0.0", "0.1.0.0.0", "1.0.0.0.0", "1.1.0.0.0"):
        i, j = (int(part) for part in key.split(".")[:2])
        expected = raw_chunk(folder, "viewing_incidence_angles", key)
        found = view[7 * i : 7 * i + 7, 4 * j : 4 * j + 4].values
        np.testing.assert_array_equal(found, expected[: found.shape[0], : found.shape[1]])
    np.testing.assert_array_equal(tree["x"].values, raw_chunk(folder, "x", "0"))
    assert np.isnan(view.values).any()
    assert np.isfinite(view.values).any()


def test_a_real_store_with_all_its_chunks(shared_data: Path) -> None:
    folder = shared_data / "eopf_zarr" / "S3_OL_1_EFR.zarr"
    tree = open_product(folder)
    count = 0
    for document in folder.rglob(".zarray"):
        name = document.parent.relative_to(folder).as_posix()
        key = ".".join("0" for _ in json.loads(document.read_text())["shape"])
        np.testing.assert_array_equal(tree[name].values, raw_chunk(folder, name, key))
        count += 1
    listed = json.loads((folder / ".zmetadata").read_text())["metadata"]
    assert count == sum(key.endswith("/.zarray") for key in listed) > 70
    assert band(tree, "Oa08").equals(tree["measurements/image/oa08_radiance"])
    assert band(tree, "red").name == "oa08_radiance"
    assert tree["conditions/instrument/relative_spectral_covariance"].dims == ("bands", "bands_2")
    assert tree.attrs["product_type"] == "OL_1_EFR___"
    assert tree.attrs["platform"] == "Sentinel-3A"
    assert tree.attrs["footprint"].startswith("POLYGON ((20.9433 -10.6835")


def test_a_product_of_metadata_opens_and_says_so(shared_data: Path) -> None:
    tree = open_product(shared_data / S2)
    assert "metadata only" in tree.attrs["chunk_note"]
    bands = tree["measurements/reflectance/r10m"].to_dataset()
    assert list(bands.data_vars) == ["b02", "b03", "b04", "b08"]
    assert {array.dtype for array in bands.data_vars.values()} == {np.dtype(np.float32)}
    assert bands.rio.crs.to_epsg() == 32632
    assert bands["b04"].rio.transform() == rasterio.Affine(10, 0, 600000, 0, -10, 5200020)
    assert (float(bands.x[0]), float(bands.y[-1])) == (600005.0, 5090225.0)
    assert bands["b04"].chunks[0][0] == 1830  # the store's own
    assert tree["quality/mask/r60m/b01"].chunks == ((1830,), (1830,))  # 6 x 6 of the store's
    assert bands["b04"].encoding["packing"] == {
        "dtype": "uint16", "_FillValue": 0, "scale_factor": 0.0001, "add_offset": -0.1,
    }  # fmt: skip
    with pytest.raises(IncompleteProduct, match=r"has no measurements/reflectance/r10m/b04/0\.0"):
        bands["b04"][0, 0].compute()
    assert "angle" in tree["conditions/geometry"].attrs["chunk_note"]
    assert not {"angle", "band", "x"} & set(tree["conditions/geometry"].variables)  # nothing is made up for them
    assert band(tree, "rededge075").name == "b06"
    assert band(tree, "B8A", resolution=60).shape == (1830, 1830)
    with pytest.raises(UnknownBand):
        band(tree, "B10")


def hierarchy(source: Path, folder: Path) -> Path:
    """A store of metadata only from a hierarchy as pydantic-zarr dumps it."""
    entries: dict[str, Any] = {}

    def walk(node: dict[str, Any], path: str) -> None:
        document = {key: part for key, part in node.items() if key not in {"attributes", "members"}}
        entries[f"{path}.zarray" if "shape" in node else f"{path}.zgroup"] = document
        entries[f"{path}.zattrs"] = node["attributes"]
        for name, child in (node.get("members") or {}).items():
            walk(child, f"{path}{name}/")

    walk(json.loads(source.read_text()), "")
    target = folder / f"{source.stem}.zarr"
    target.mkdir()
    (target / ".zmetadata").write_text(json.dumps({"metadata": entries, "zarr_consolidated_format": 1}))
    return target


def test_a_real_sentinel_1_is_as_stored(shared_data: Path, tmp_path: Path) -> None:
    path = next((shared_data / "eopf_zarr" / "s1_examples").glob("*.json"))
    tree = open_product(hierarchy(path, tmp_path))
    name = "S01SIWGRD_20241124T180254_0025_A324_BA27_06F516_VV"
    grd = band(tree, "vv")
    assert grd.equals(tree[f"{name}/measurements/grd"]) or grd.shape == (16677, 26064)
    assert grd.attrs["polarisation"] == "VV"
    assert (grd.dtype, grd.dims) == (np.dtype(np.uint16), ("azimuth_time", "ground_range"))
    assert {"line", "pixel"} <= set(grd.coords)
    assert grd.chunks[0][0] % 2048 == grd.chunks[1][0] % 4096 == 0
    with pytest.raises(InputError, match="2 times"):
        band(tree, "grd")
    assert band(tree, f"{name}/measurements/grd").attrs["band_id"] == "vv"
    assert tree.attrs["product_id"] == path.stem
    assert tree.attrs["polarisation"] == "VV VH"
    assert tree.attrs["orbit_number"] == 56700
    assert tree[f"{name}/quality/calibration"]["line"].dtype == np.uint32
    assert {"VV", "VH"} == {group[-2:] for group in tree.children}


@pytest.mark.parametrize(
    "name", ["S03OLCEFR_20250416T063751_0180_B248_T853", "S03SLSLST_20250428T075538_0180_B035_T196"]
)
def test_real_sentinel_3_metadata(shared_data: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / f"{name}.zarr"
    target.mkdir()
    shutil.copy(shared_data / "eopf_zarr" / "s3_zmetadata" / f"{name}.json", target / ".zmetadata")
    tree = open_product(target)
    said = json.loads((target / ".zmetadata").read_text())["metadata"]
    arrays = {key.removesuffix("/.zarray") for key in said if key.endswith("/.zarray")}
    # All but the axes, whose values are not there; and nothing that is not in the store.
    found = {
        f"{node.path.strip('/')}/{label}" for node in tree.subtree for label in node.to_dataset(inherit=False).variables
    }
    axes = {key for key in arrays if said[f"{key}/.zattrs"]["_ARRAY_DIMENSIONS"] == [key.rpartition("/")[2]]}
    assert found == arrays - axes
    latitude = tree["measurements/latitude"]
    assert latitude.dtype == np.float64
    # Unpacked when it was written, beside the attributes of the packed numbers: not unpacked again.
    assert "scale_factor" not in latitude.encoding.get("packing", {})
    assert latitude.attrs["units"] == "degrees_north"
    if "OLC" in name:
        assert (latitude.attrs["valid_min"], latitude.attrs["valid_max"]) == (-90.0, 90.0)
        assert band(tree, "red").attrs["wavelength"] == 665.0
        assert tree["conditions/image/time_stamp"].dtype == np.dtype("datetime64[ns]")
        assert tree["measurements/oa08_radiance"].encoding["packing"]["_FillValue"] == 65535.0
    else:
        cloud = tree["quality/cloud_in"]
        assert (cloud.dtype, len(cloud.attrs["flag_masks"])) == (np.dtype(np.uint16), 16)
        assert "spatial_ref" not in tree["measurements"].coords  # x and y along the track are no map grid


def test_every_path_of_the_real_data_opens_or_says_why_not(shared_data: Path) -> None:
    top = shared_data / "eopf_zarr"
    opened, refused = [], {}
    for path in [top, *sorted(top.rglob("*"))]:
        if "/.z" in str(path) or path.name.replace(".", "").isdigit():
            continue  # documents and chunks: see below
        try:
            open_product(path)
            opened.append(path.name)
        except ReaderError as error:
            refused[path.name] = str(error)
    assert {name for name in opened if name.endswith(".zarr")} == {Path(S2).name, "S3_OL_1_EFR.zarr", "geometry.zarr"}
    assert "measurements" in opened  # a group is a Zarr folder, too
    assert "holds 2 Zarr folders" in refused["eopf_zarr"]
    assert "single Zarr array" in refused["oa08_radiance"]
    assert "neither a folder, nor a zip" in refused["S03OLCEFR_20250416T063751_0180_B248_T853.json"]
    for path in (
        top / "S3_OL_1_EFR.zarr" / ".zmetadata",
        top / "S3_OL_1_EFR.zarr" / "measurements/image/oa01_radiance/0.0",
    ):
        with pytest.raises(UnsupportedProduct):
            open_product(path)


# --- numbers and places ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["2", "2 loose", "3", "3 loose", "3 shards"])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of both versions, consolidated and not, with chunks for themselves and in shards."""
    version, _, how = request.param.partition(" ")
    with warnings.catch_warnings():
        # zarr says of its own version 3 that text of fixed length and consolidated metadata are not in the specification yet
        warnings.simplefilter("ignore")
        return store.write(
            tmp_path_factory.mktemp("kind"), version=int(version), consolidated=how != "loose", shards=how == "shards"
        )


@pytest.fixture(params=["folder", "stored", "deflated", "top level", "parent"])
def place(request: pytest.FixtureRequest, kind: Path, tmp_path: Path) -> Path:
    """The store as it may be delivered."""
    if request.param == "folder":
        return kind
    if request.param == "parent":
        return kind.parent
    method = zipfile.ZIP_DEFLATED if request.param == "deflated" else zipfile.ZIP_STORED
    return store.packed(kind, tmp_path / f"{store.NAME}.zarr.zip", method, top=request.param != "top level")


def test_wherever_and_however_it_is_stored(place: Path) -> None:
    tree = open_product(place)
    assert tree.attrs["product_id"] == store.NAME
    assert {path for path in tree.groups if tree[path].data_vars} == {
        "/conditions/geometry", "/conditions/meteorology", "/conditions/mask/l2a_classification/r20m",
        "/measurements/reflectance/r10m", "/measurements/reflectance/r20m", "/quality/mask/r10m",
    }  # fmt: skip
    b04 = tree[B04]
    assert b04.dtype == np.float32
    np.testing.assert_array_equal(b04.values, nearest(store.numbers(4)))
    assert b04.rio.crs.to_epsg() == 32631
    assert b04.rio.transform() == rasterio.Affine(10, 0, store.WEST, 0, -10, store.NORTH)
    assert tree["measurements/reflectance/r20m"].to_dataset().rio.transform().a == 20
    flags = tree[MASK]
    assert (flags.dtype, flags.attrs["flag_meanings"]) == (np.dtype(np.uint8), "ANC_LOST ANC_DEG QT_SATURATED")
    assert list(flags.attrs["flag_masks"]) == [1, 2, 128]
    assert flags.values.max() == 255
    scl = band(tree, "SCL")
    assert scl.attrs["flag_meanings"].split()[4] == "vegetation"
    assert scl.rio.transform() == rasterio.Affine(20, 0, store.WEST, 0, -20, store.NORTH)
    assert list(tree["conditions/geometry"]["angle"].values) == ["zenith", "azimuth"]
    assert tree["conditions/geometry"].to_dataset().rio.crs.to_epsg() == 32631
    assert tree["conditions/geometry/sun_angles"].attrs["units"] == "degree"
    assert np.isnan(tree["conditions/geometry/sun_angles"].values).sum() == 1
    assert tree["conditions/meteorology/time"].values == np.datetime64("2024-06-02")
    assert "chunk_note" not in str([node.to_dataset().attrs for node in tree.subtree])


def test_the_number_of_the_reference(folder: Path) -> None:
    b04 = open_product(folder)[B04]
    assert b04.values[0, 2] == np.float32(0.0039)  # DN 1039
    assert b04.values[0, 3] == 0.0
    assert b04.attrs["units"] == "1"
    assert b04.attrs["valid_max"] == pytest.approx(6.4535)
    raw = raw_chunk(folder, B04, "1.2").astype(np.float64) * 0.0001 - 0.1
    np.testing.assert_array_equal(b04[16:32, 32:48].values, raw.astype(np.float32))


@pytest.mark.filterwarnings("ignore:Duplicate dimension names")  # xarray's, of a matrix of bands by bands
def test_xarray_sees_the_same(folder: Path, shared_data: Path) -> None:
    for path in (folder, shared_data / "eopf_zarr" / "S3_OL_1_EFR.zarr"):
        count = 0
        with xr.open_datatree(path, engine="zarr", consolidated=True, chunks=None) as other:
            tree = open_product(path)
            for node in other.subtree:
                for name, expected in node.to_dataset(inherit=False).variables.items():
                    if expected.dims == ("bands", "bands"):
                        continue
                    found = tree[node.path][name]
                    values = expected.values
                    if found.dtype == np.float32:
                        values = values.astype(np.float32)  # of float64: rounded once, as here
                    np.testing.assert_array_equal(found.values, values, err_msg=f"{node.path}/{name}")
                    count += 1
        assert count > 15


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
def test_masked_and_scaled_are_two_things(folder: Path, masked: bool, scaled: bool) -> None:
    b04, numbers = open_product(folder, masked=masked, scaled=scaled)[B04], store.numbers(4)
    if not masked and not scaled:
        assert b04.dtype == np.uint16
        np.testing.assert_array_equal(b04.values, numbers)
        assert "packing" not in b04.encoding
        assert b04.attrs["units"] == "digital_counts"
        assert b04.attrs["fill_value"] == 0
        return
    assert b04.dtype == np.float32
    assert bool(np.isnan(b04[0, 0])) is masked
    expected = (numbers * 0.0001 - 0.1).astype(np.float32) if scaled else numbers.astype(np.float32)
    np.testing.assert_array_equal(b04.values[numbers > 0], expected[numbers > 0])
    assert b04.encoding["packing"].keys() == {"dtype"} | ({"_FillValue"} if masked else set()) | (
        {"scale_factor", "add_offset"} if scaled else set()
    )
    assert open_product(folder, masked=masked, scaled=scaled)[MASK].dtype == np.uint8


def test_bands_have_their_names(folder: Path) -> None:
    tree = open_product(folder)
    assert band(tree, "B04").identical(tree[B04])
    assert band(tree, "b04").identical(tree[B04])  # not the mask of that name
    assert band(tree, "red").identical(tree[B04])
    assert band(tree, "B04", resolution=20).shape == (20, 28)
    assert band(tree, "quality/b04").dtype == np.uint8
    red = tree[B04].attrs
    assert (red["wavelength"], red["bandwidth"], red["wavelength_units"]) == (664.9, 31.0, "nm")


def test_the_root_says_what_the_product_is(folder: Path) -> None:
    tree = open_product(folder)
    assert {name: value for name, value in tree.attrs.items() if name not in {"history", "footprint"}} == {
        "Conventions": "CF-1.11", "product_id": store.NAME, "source_uri": str(folder), "product_type": "S2MSI2A",
        "processing_level": "L2A", "platform": "Sentinel-2B", "instrument": "MSI", "orbit_number": 37792,
        "relative_orbit_number": 94, "orbit_direction": "descending", "processing_baseline": "05.10",
        "start_time": "2024-06-01T10:56:19.024000Z", "stop_time": "2024-06-01T10:56:19.024000Z", "cloud_cover": 12.5,
    }  # fmt: skip
    assert tree.attrs["footprint"].startswith("POLYGON")
    assert tree.encoding["stac_discovery"]["properties"]["eopf:baseline"] == "05.10"
    json.dumps(tree.attrs)
    assert "topsecret" not in f"{tree.encoding}{tree.attrs}{tree}"


def test_a_group_can_be_written(folder: Path, tmp_path: Path) -> None:
    bands = open_product(folder)["measurements/reflectance/r10m"].to_dataset()
    bands.to_netcdf(tmp_path / "bands.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "bands.nc", engine="h5netcdf", decode_coords="all") as back:
        np.testing.assert_array_equal(back["b04"].values, bands["b04"].values)
        assert back.rio.crs.to_epsg() == 32631
    bands["b04"].rio.to_raster(tmp_path / "b04.tif")
    with rasterio.open(tmp_path / "b04.tif") as image:
        np.testing.assert_array_equal(image.read(1), bands["b04"].values)
        assert image.transform == rasterio.Affine(10, 0, store.WEST, 0, -10, store.NORTH)


def test_the_engine_opens_it(folder: Path) -> None:
    tree = xr.open_datatree(folder, engine="extenso")
    assert tree[B04].dtype == np.float32
    bands = xr.open_dataset(folder, engine="extenso", group="measurements/reflectance/r10m", chunks={})
    np.testing.assert_array_equal(bands["b04"].values, nearest(store.numbers(4)))
    assert bands["b04"].chunks is not None


@pytest.mark.parametrize(
    "key",
    [
        (slice(None, None, -1), slice(3, 40, 7)), (slice(30, 5, -4), 3), ([5, 1, 1, 39], slice(None)), (7, [50, 2]),
        (slice(0, 0), slice(None)), (-1, -1), ([3, 2], [1, 55]),
    ],
)  # fmt: skip
def test_any_window(folder: Path, key: Any) -> None:
    lazy = open_product(folder, chunks=None)[B04]
    expected = xr.DataArray(nearest(store.numbers(4)), dims=("y", "x"))
    np.testing.assert_array_equal(lazy[key].values, expected[key].values)


def test_chunks_are_as_asked(folder: Path) -> None:
    assert open_product(folder, chunks=None)[B04].chunks is None
    b04 = open_product(folder, chunks={"y": 8, "x": 30})[B04]
    assert b04.chunks == ((8,) * 5, (30, 26))
    for _ in range(20):  # threads share nothing
        np.testing.assert_array_equal(b04.compute(scheduler="threads", num_workers=8).values, nearest(store.numbers(4)))


def test_within_a_running_loop(folder: Path) -> None:
    async def cell() -> np.ndarray:
        return open_product(folder)[B04].values

    np.testing.assert_array_equal(asyncio.run(cell()), nearest(store.numbers(4)))


def test_what_goes_to_a_worker_is_small(mine: Path) -> None:
    before = len(pickle.dumps(open_product(mine, chunks=None)[B04].variable))
    for number in range(3000):
        (mine / "quality" / "mask" / "r10m" / "b04" / f"{number}.9").write_bytes(b"x")
    assert len(pickle.dumps(open_product(mine, chunks=None)[B04].variable)) == before < 8_000


@pytest.mark.parametrize("how", ["folder", zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_any_part_of_a_chunk(folder: Path, tmp_path: Path, how: Any) -> None:
    path = folder if how == "folder" else store.packed(folder, tmp_path / "a.zarr.zip", how)
    source, data = Members(open_container(path)), (folder / B04 / "0.0").read_bytes()
    for start, end in [
        (None, None),
        (0, 5),
        (3, 10),
        (-16, None),
        (0, 10**9),
        (7, None),
        (10**9, None),
        (5, 5),
        (-(10**9), 4),
    ]:
        assert source.get(f"{B04}/0.0", start, end) == data[start:end], (start, end)
    assert source.get(f"{B04}/9.9") is None
    assert source.get("../secret") is None


def test_nothing_but_coordinates_is_read_at_opening(mine: Path) -> None:
    for chunk in (mine / B04).glob("[0-9]*"):
        chunk.write_bytes(b"not a chunk")
    tree = open_product(mine)
    with pytest.raises(DamagedProduct, match="b04"):
        tree[B04].compute()


def test_it_goes_to_workers(folder: Path, tmp_path: Path, worker: Any) -> None:
    zipped = store.packed(folder, tmp_path / "a.zarr.zip", zipfile.ZIP_DEFLATED)
    for path in (folder, zipped):
        b04 = open_product(path)[B04]
        again = pickle.loads(pickle.dumps(open_product(path, chunks=None)[B04]))
        np.testing.assert_array_equal(again.values, nearest(store.numbers(4)))
        np.testing.assert_array_equal(worker.compute(b04, sync=True).values, nearest(store.numbers(4)))


def test_errors_come_back_from_workers(mine: Path, worker: Any) -> None:
    chunk = mine / B04 / "0.0"
    chunk.write_bytes(chunk.read_bytes()[:-20])
    b04 = open_product(mine)[B04]
    with pytest.raises(DamagedProduct, match="b04"):
        worker.compute(b04, sync=True)


# --- what the metadata may say ---------------------------------------------------------------------------------------
def one(folder: Path, values: np.ndarray, attributes: dict[str, Any], *, version: int = 2, **how: Any) -> xr.DataArray:
    """A store of one array as it is opened."""
    root = zarr.open_group(folder / "one.zarr", mode="w", zarr_format=version)  # type: ignore[arg-type]
    how.setdefault("fill_value", None if version == 2 else 0)
    array = root.create_array("g/a", shape=values.shape, dtype=values.dtype, chunks=(4,), attributes=attributes, **how)
    array[...] = values
    return open_product(folder / "one.zarr")["g/a"]


def test_a_zero_that_zarr_wrote_unasked_is_a_number(tmp_path: Path) -> None:
    found = one(tmp_path, np.array([0, 1, 2, 0], "u2"), {}, fill_value=0)
    assert (found.dtype, list(found.values)) == (np.dtype("u2"), [0, 1, 2, 0])
    found = one(tmp_path, np.array([0, 1, 2, 0], "u2"), {"fill_value": 0}, fill_value=0)
    assert np.isnan(found.values).tolist() == [True, False, False, True]
    found = one(tmp_path, np.array([7, 1, 2, 7], "u2"), {}, fill_value=7)
    assert np.isnan(found.values).tolist() == [True, False, False, True]


def test_what_was_unpacked_is_not_unpacked_again(tmp_path: Path) -> None:
    said = {"dtype": "<i4", "scale_factor": 1e-6, "fill_value": -2147483648, "valid_max": 90000000}
    found = one(tmp_path, np.array([43.5, np.nan, 44.0]), said, fill_value=np.nan)
    np.testing.assert_array_equal(found.values, [43.5, np.nan, 44.0])
    assert found.attrs["valid_max"] == 90.0
    packed = one(tmp_path, np.array([43500000, -2147483648], "i4"), said)
    np.testing.assert_array_equal(packed.values, [43.5, np.nan])


def test_fill_values_of_version_3(tmp_path: Path) -> None:
    values = np.array([1.5, -999.0, np.nan], "f4")
    found = one(tmp_path, values, {"_FillValue": "AAAAAAA4j8A="}, version=3)  # -999.0, as xarray writes it
    np.testing.assert_array_equal(found.values, np.array([1.5, np.nan, np.nan], "f4"))
    assert found.dtype == np.float32
    found = one(tmp_path, values, {"fill_value": "NaN"}, version=3)
    np.testing.assert_array_equal(found.values, values)


def test_bytes_in_the_other_order(tmp_path: Path) -> None:
    found = one(
        tmp_path, np.array([1039, 0, 258], ">u2"), {"scale_factor": 0.0001, "add_offset": -0.1, "fill_value": 0}
    )
    np.testing.assert_array_equal(found.values, np.array([0.0039, np.nan, -0.0742], "f4"))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore")  # zarr says that text is not in its specification yet
def test_text_times_and_complex_numbers(tmp_path: Path, version: int) -> None:
    words = np.array(["", "bb", "cé"], dtype=object)
    root = zarr.open_group(tmp_path / "one.zarr", mode="w", zarr_format=version)  # type: ignore[arg-type]
    root.create_array("g/a", shape=(3,), chunks=(2,), dtype=str)[:] = words
    found = open_product(tmp_path / "one.zarr")["g/a"]
    assert (found.dtype, list(found.values)) == (np.dtype(object), list(words))
    times = np.array(["2020-01-01", "NaT", "2021-06-01T12:00"], "M8[ns]")
    np.testing.assert_array_equal(one(tmp_path, times, {}, version=version).values, times)
    slc = np.array([1 + 2j, 0, 3j], "c8")
    np.testing.assert_array_equal(one(tmp_path, slc, {}, version=version).values, slc)


def test_coordinates_win_over_a_transform_that_disagrees(mine: Path) -> None:
    def shift(document: dict[str, Any]) -> None:
        for name in ("b02", "b03", "b04", "b08"):
            document["metadata"][f"measurements/reflectance/r10m/{name}/.zattrs"]["proj:transform"][2] += 5.0

    edit(mine / ".zmetadata", shift)
    tree = open_product(mine)
    assert "disagree" in tree["measurements/reflectance/r10m"].attrs["grid_note"]
    assert tree[B04].rio.transform().c == store.WEST


def test_a_place_that_is_none(mine: Path) -> None:
    def wrong(document: dict[str, Any]) -> None:
        for key, part in document["metadata"].items():
            if key.startswith("measurements/reflectance/r10m/b") and key.endswith(".zattrs"):
                part |= {"proj:epsg": 99999999}

    edit(mine / ".zmetadata", wrong)
    tree = open_product(mine)
    assert "no coordinate reference system" in tree["measurements/reflectance/r10m"].attrs["grid_note"]
    assert tree[B04].rio.crs is None
    assert tree[B04].notnull().any()


# --- what is not there -----------------------------------------------------------------------------------------------
def test_a_chunk_that_is_not_stored_is_the_fill_value_and_said(mine: Path) -> None:
    (mine / B04 / "1.1").unlink()
    for stray in (".DS_Store", "1.1.part", "9.9", "1"):
        (mine / B04 / stray).write_bytes(b"x")
    b04 = open_product(mine)[B04]
    assert b04.attrs["chunk_note"].startswith("1 of 12 chunks")
    expected = nearest(store.numbers(4))
    expected[16:32, 16:32] = np.nan
    np.testing.assert_array_equal(b04.values, expected)


def test_axes_that_are_not_stored_come_from_the_transform_or_not_at_all(mine: Path) -> None:
    for name in ("measurements/reflectance/r10m/x/0", "conditions/geometry/y/0"):
        (mine / name).unlink()
    tree = open_product(mine)
    np.testing.assert_array_equal(tree[B04].x.values, store.WEST + 10 * (np.arange(store.COLUMNS) + 0.5))
    geometry = tree["conditions/geometry"]
    assert "y" not in geometry.variables
    assert geometry.attrs["chunk_note"] == "Without values, since their chunks are not stored: y."


def test_a_chunk_without_bytes_is_missing(mine: Path) -> None:
    (mine / B04 / "0.0").write_bytes(b"")
    with pytest.raises(IncompleteProduct, match="no bytes"):
        open_product(mine)[B04].compute()


def test_a_folder_of_that_name_without_metadata(tmp_path: Path) -> None:
    path = tmp_path / "S2.zarr"
    (path / "b04").mkdir(parents=True)
    (path / "b04" / "0.0").write_bytes(b"1234")
    with pytest.raises(IncompleteProduct, match="none of the files that make a Zarr folder"):
        open_product(path)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(IncompleteProduct, match="has no arrays"):
        open_product(path)


# --- what is wrong ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"metadata": []}', '{"metadata": {"a/.zarray": 3}}', "[" * 100_000, "\ufeff{}", "\x00"],
)
def test_metadata_that_are_none(mine: Path, text: str) -> None:
    (mine / ".zmetadata").write_text(text)
    with pytest.raises((DamagedProduct, IncompleteProduct), match=r"\.z(metadata|array)"):
        open_product(mine)


@pytest.mark.parametrize("key", ["../../../etc", "/etc", "a/../../b", "a//b", "a\\b", "C:/x", "x" * 2000, "a\nb"])
def test_no_path_leads_out_of_the_folder(mine: Path, key: str) -> None:
    def add(document: dict[str, Any]) -> None:
        document["metadata"][f"{key}/.zarray"] = document["metadata"][f"{B04}/.zarray"]

    edit(mine / ".zmetadata", add)
    with pytest.raises(DamagedProduct, match=r"leads out of it|no product has"):
        open_product(mine)


def test_no_link_leads_out_of_the_folder(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes((mine / B04 / "0.0").read_bytes())
    (mine / B04 / "0.0").unlink()
    (mine / B04 / "0.0").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsupportedProduct, match="is a link"):
        open_product(mine)


def document(**changes: Any) -> Any:
    def change(found: dict[str, Any]) -> None:
        found["metadata"][f"{B04}/.zarray"] |= changes

    return change


@pytest.mark.parametrize("field", ["compressor", "filters"])
@pytest.mark.parametrize("name", ["pickle", "json2", "no-such-codec", None, 3])
def test_codecs_are_those_listed(mine: Path, field: str, name: Any) -> None:
    codec = {"id": name} if name is not None else {}
    edit(mine / ".zmetadata", document(**{field: codec if field == "compressor" else [codec]}))
    with pytest.raises(UnsupportedProduct, match="which is not read"):
        open_product(mine)


def test_no_code_runs_out_of_a_chunk(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "x.zarr"
    (path / "a").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    said = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C"}
    (path / "a" / ".zarray").write_text(json.dumps(said | {"compressor": None, "filters": [{"id": "pickle"}]}))
    (path / "a" / "0").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnsupportedProduct, match="pickle"):
        open_product(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": None}, {"shape": [40]}, {"shape": [-1, 56]}, {"shape": [True, 56]}, {"shape": ["40", 56]},
        {"chunks": [0, 16]}, {"chunks": [16, 16, 16]}, {"dtype": "nonsense"}, {"dtype": 4}, {"dtype": None},
        {"fill_value": "abc"}, {"order": "X"}, {"zarr_format": 7}, {"dimension_separator": "#"},
        {"shape": [10**12, 10**12]}, {"chunks": [1, 1], "shape": [10**6, 10**6]}, {"chunks": [10**6, 10**6]},
        {"dtype": "|O"}, {"dtype": "|O", "filters": [{"id": "delta", "dtype": "|O"}]}, {"filters": 5}, {"dtype": "|V8"},
        {"dtype": [["a", "<u2"], ["b", "<u2"]]},
    ],
)  # fmt: skip
def test_arrays_that_no_product_has(mine: Path, changes: dict[str, Any]) -> None:
    edit(mine / ".zmetadata", document(**changes))
    with pytest.raises((DamagedProduct, UnsupportedProduct), match="b04"):
        open_product(mine)[B04].compute()


def test_arrays_that_do_not_fit_together(mine: Path) -> None:
    edit(mine / ".zmetadata", document(shape=[40, 57]))
    with pytest.raises(DamagedProduct, match="do not fit together"):
        open_product(mine)


def rewrite(mine: Path, data: bytes, **changes: Any) -> xr.DataArray:
    edit(mine / ".zmetadata", document(**changes))
    (mine / B04 / "0.0").write_bytes(data)
    return open_product(mine)[B04]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:5],
        lambda data: data[:-9],
        lambda data: b"\xff" * len(data),
        lambda data: data + bytes(3_000_000),
    ],
)
def test_chunks_that_are_wrong(mine: Path, change: Any) -> None:
    b04 = rewrite(mine, change((mine / B04 / "0.0").read_bytes()))
    with pytest.raises(DamagedProduct, match="b04"):
        b04.compute()


@pytest.mark.parametrize("codec", [numcodecs.Blosc("lz4"), numcodecs.Blosc("zstd", 3, 2), numcodecs.Zstd(), numcodecs.LZ4(),
                                   numcodecs.Zlib(), numcodecs.GZip(), numcodecs.BZ2()])  # fmt: skip
def test_no_chunk_that_is_cut_gives_numbers(mine: Path, codec: Any) -> None:
    data = bytes(codec.encode(store.numbers(4)[:16, :16].tobytes()))
    b04 = rewrite(mine, data, compressor=codec.get_config())
    np.testing.assert_array_equal(b04[:16, :16].values, nearest(store.numbers(4))[:16, :16])
    for length in range(1, len(data), 7):
        (mine / B04 / "0.0").write_bytes(data[:length])
        with pytest.raises(DamagedProduct, match="b04"):
            b04[:16, :16].compute()


def bombs() -> dict[str, tuple[dict[str, Any] | None, bytes]]:
    """Much of nothing for a chunk of 512 bytes."""
    zeros = bytes(100_000_000)
    return {
        "blosc": ({"id": "blosc"}, numcodecs.Blosc("zstd").encode(zeros)),
        "zstd": ({"id": "zstd", "level": 1}, numcodecs.Zstd().encode(zeros)),
        "lz4": ({"id": "lz4"}, numcodecs.LZ4().encode(zeros)),
        "zlib": ({"id": "zlib"}, zlib.compress(zeros)),
        "bz2": ({"id": "bz2"}, bz2.compress(zeros)),
    }


def test_no_chunk_becomes_larger_than_its_numbers(mine: Path) -> None:
    for name, (compressor, data) in bombs().items():
        b04 = rewrite(mine, data, compressor=compressor)
        with pytest.raises(DamagedProduct, match=r"holds more than the 512 bytes|larger than") as caught:
            b04[:16, :16].compute()
        assert "b04/0.0" in str(caught.value), name


def test_chance_finds_no_error_of_another_kind(mine: Path) -> None:
    text, chance = bytearray((mine / ".zmetadata").read_bytes()), random.Random(23)
    words = [b"null", b"-1", b"1e400", b"[]", b"{}", b'"x"', b"true", b"NaN", b"9" * 400, b'"\\ud800"']
    outcomes = set()
    for _ in range(250):
        damaged = bytearray(text)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(damaged))
            if chance.random() < 0.5:
                damaged[at] = chance.randrange(256)
            else:
                end = damaged.find(b",", at)
                start = damaged.rfind(b":", 0, end) + 1
                if 0 < start < end:
                    damaged[start:end] = chance.choice(words)
        (mine / ".zmetadata").write_bytes(damaged)
        try:
            tree = open_product(mine)
            tree[B04][0, 0].compute()
            outcomes.add("opens")
        except KeyError:
            outcomes.add("gone")  # the tree's own: a name was changed
        except ExtensoError as error:
            outcomes.add(type(error).__name__)
    assert {"opens", "DamagedProduct"} <= outcomes


# --- at an address ---------------------------------------------------------------------------------------------------
def test_at_an_address(kind: Path) -> None:
    with range_server(kind.parent) as server:
        address = server.url(kind.name)
        if not consolidated(kind):
            with pytest.raises(IncompleteProduct, match=r"cannot be listed"):
                open_product(address)
            return
        tree = open_product(address)
        assert not any("/b04/" in path for path, _ in server.requests)
        np.testing.assert_array_equal(tree[B04].values, nearest(store.numbers(4)))
        lazy = open_product(address, chunks=None)[B04]
        again = pickle.loads(pickle.dumps(lazy))
        assert server.signature.encode() not in pickle.dumps(lazy)
        np.testing.assert_array_equal(again.values, nearest(store.numbers(4)))
        assert server.signature not in f"{tree}{tree.attrs}{tree.encoding}{tree[B04].encoding}{tree[B04].variable!r}"
        assert tree.attrs["source_uri"] == address.partition("?")[0]
        refused = open_product(address, chunks=None)[B04]
        renewed = open_product(address, chunks=None, renew=partial(server.url, kind.name))[B04]
        server.signature = "another"
        with pytest.raises(ReaderError, match="the server refuses it") as caught:
            refused.compute()
        assert "s3cr3t" not in str(caught.value)
        np.testing.assert_array_equal(renewed.values, nearest(store.numbers(4)))


def test_a_zip_at_an_address(tmp_path: Path) -> None:
    path = store.packed(store.write(tmp_path), tmp_path / "product.zarr.zip", zipfile.ZIP_STORED)
    made = index.build(FileObject(path))
    with range_server(tmp_path) as server:
        plain = open_product(server.url(path.name))
        server.clear()
        indexed = open_product(server.url(path.name), index=made)
        assert server.requests == []
        for tree in (plain, indexed):
            np.testing.assert_array_equal(tree[B04].values, nearest(store.numbers(4)))
        server.clear()
        pickle.loads(pickle.dumps(indexed[B04]))[:1, :1].compute()
        assert len(server.requests) <= 2


def consolidated(path: Path) -> bool:
    root = path / "zarr.json"
    return "consolidated_metadata" in json.loads(root.read_text()) if root.exists() else (path / ".zmetadata").exists()
