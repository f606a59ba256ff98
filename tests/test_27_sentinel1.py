"""Sentinel-1: the numbers of the files, and backscatter by the product's own vectors, at the cost of what is looked at."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import radar
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from extenso_nb.errors import (
    DamagedProduct,
    ExtensoError,
    IncompleteProduct,
    InputError,
    UnknownBand,
    UnsupportedProduct,
)
from extenso_nb.gateway.sources.sample import sentinel1 as drawn
from extenso_nb.gateway.sources.sample import world
from extenso_nb.readers import arrays, band, netcdf3, open_product
from extenso_nb.readers.calibration import calibrate
from extenso_nb.readers.opening import open_container
from extenso_nb.readers.sentinel1_metadata import noise as read_noise

IW_GRD = "s1_grd/S1B_IW_GRDH_1SDV_20210401T052623_20210401T052648_026269_032297_ECC8.SAFE"
AWS_GRD = "s1_grd/S1A_IW_GRDH_1SDV_20180716T004042_20180716T004107_022812_02792A_FD5B"
IW_SLC = "s1_slc/S1B_IW_SLC__1SDV_20210401T052622_20210401T052650_026269_032297_EFA4.zip"
OLD_GRD = "s1_grd/S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768.zip"
OLD_SLC = "s1_slc/S1A_IW_SLC__1SDV_20141004T031312_20141004T031339_002674_002FB6_07B5.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One product as a folder, a stored and a deflated zip; with a border of zeros in VV."""
    root = tmp_path_factory.mktemp("s1")
    folder = radar.draw(root)
    file = radar.member(folder, "measurement/*-vv-*.tiff")
    with rasterio.open(file, "r+") as image:
        pixels = image.read(1)
        pixels[:7], pixels[:, -3:] = 0, 0
        image.write(pixels, 1)
    return {
        "folder": folder,
        "stored": radar.zipped(folder, root / "stored.zip", zipfile.ZIP_STORED),
        "deflated": radar.zipped(folder, root / "deflated.zip", zipfile.ZIP_DEFLATED),
    }


def numbers(folder: Path, pol: str) -> np.ndarray:
    with rasterio.open(radar.member(folder, f"measurement/*-{pol}-*.tiff")) as image:
        return image.read(1)


def bilinear(file: Path, tag: str, vector: str, line: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """A variable of vectors whose pixels are the same, by scipy: another hand's interpolation."""
    nodes = list(ET.parse(file).getroot().iter(vector))
    lines = [float(node.findtext("line")) for node in nodes]
    pixels = np.array(nodes[0].findtext("pixel").split(), float)
    table = np.array([node.findtext(tag).split() for node in nodes], float)
    return RegularGridInterpolator((lines, pixels), table)((line[:, None], pixel[None, :]))


# --- numbers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["folder", "stored", "deflated"])
def test_numbers_are_those_of_the_file(made: dict[str, Path], kind: str) -> None:
    tree = open_product(made[kind])
    assert list(tree["measurements"].data_vars) == ["vh", "vv"]
    for pol in ("vv", "vh"):
        stored = numbers(made["folder"], pol)
        array = tree[f"measurements/{pol}"]
        assert array.dtype == np.float32
        assert array.dims == ("line", "pixel")
        np.testing.assert_array_equal(array, np.where(stored == 0, np.nan, stored).astype(np.float32))
    assert np.isnan(tree["measurements/vv"][:7]).all()
    raw = open_product(made[kind], masked=False)["measurements/vv"]
    assert raw.dtype == np.uint16
    np.testing.assert_array_equal(raw, numbers(made["folder"], "vv"))
    np.testing.assert_array_equal(band(tree, "vv"), tree["measurements/vv"])


def test_coordinates_and_groups(made: dict[str, Path]) -> None:
    tree = open_product(made["stored"])
    pixels = tree["measurements"]
    root = ET.parse(radar.member(made["folder"], "annotation/*-vv-*.xml")).getroot()
    first, last = (np.datetime64(root.findtext(f".//product{which}LineUtcTime"), "ns") for which in ("First", "Last"))
    assert pixels["azimuth_time"][0] == first
    assert abs(pixels["azimuth_time"].values[-1] - last) <= np.timedelta64(1000, "ns")
    np.testing.assert_allclose(pixels["ground_range"], np.arange(512) * 10.0)
    np.testing.assert_array_equal(pixels["line"], np.arange(512))
    assert {node.path for node in tree.subtree if node.data_vars} == {
        "/measurements",
        *(f"/conditions/{name}" for name in ("gcp", "orbit", "coordinate_conversion")),
        *(f"/quality/{name}/{pol}" for name in ("calibration", "noise_range", "noise_azimuth") for pol in ("VV", "VH")),
    }
    assert dict(tree["conditions/gcp"].sizes) == {"line": 11, "pixel": 21}
    assert "height" in tree["conditions/gcp"].attrs["note"]
    point = next(iter(root.iter("geolocationGridPoint")))
    for name in ("latitude", "longitude", "height"):
        assert float(tree[f"conditions/gcp/{name}"][0, 0]) == float(point.findtext(name))
    state = list(root.iter("orbit"))[3]
    assert tree["conditions/orbit/velocity"].values[3, 1] == float(state.findtext("velocity/y"))
    luts = tree["quality/calibration/VV"]
    vector = next(
        iter(
            ET.parse(radar.member(made["folder"], "annotation/calibration/calibration-*-vv-*")).iter(
                "calibrationVector"
            )
        )
    )
    np.testing.assert_array_equal(luts["sigma_nought"][0], np.array(vector.findtext("sigmaNought").split(), np.float32))
    np.testing.assert_array_equal(luts["pixel"], np.array(vector.findtext("pixel").split(), int))


def test_attributes(made: dict[str, Path]) -> None:
    attributes = open_product(made["stored"]).attrs
    wanted = {
        "product_id": radar.DRAWN.id,
        "product_type": "GRD",
        "platform": "Sentinel-1A",
        "instrument": "C-SAR",
        "sensor_mode": "IW",
        "polarisation": "VV VH",
        "orbit_number": radar.DRAWN.orbit,
        "relative_orbit_number": radar.DRAWN.relative_orbit,
        "orbit_direction": radar.DRAWN.direction,
        "source_uri": str(made["stored"]),
    }
    assert {name: attributes[name] for name in wanted} == wanted
    assert attributes["footprint"].startswith("POLYGON")
    assert "missing_members" not in attributes


def test_what_the_real_manifest_says(shared_data: Path) -> None:
    attributes = open_product(shared_data / IW_GRD).attrs
    assert attributes["processing_baseline"] == "003.31"
    assert attributes["platform"] == "Sentinel-1B"
    assert (attributes["orbit_number"], attributes["relative_orbit_number"]) == (26269, 168)
    assert attributes["orbit_direction"] == "descending"
    assert attributes["start_time"] == "2021-04-01T05:26:23.794457Z"
    assert max(attributes["missing_members"]).startswith("measurement/s1b-iw-grd-vh-")


# --- parts and odd ones ----------------------------------------------------------------------------------------------
def test_one_polarisation_of_two(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    gone = radar.member(folder, "measurement/*-vh-*.tiff")
    gone.unlink()
    tree = open_product(folder)
    assert list(tree["measurements"].data_vars) == ["vv"]
    assert tree.attrs["missing_members"] == [f"measurement/{gone.name}"]
    with pytest.raises(IncompleteProduct, match=gone.name):
        band(tree, "vh")
    with pytest.raises(UnknownBand, match="it has vv"):
        band(tree, "hh")
    gone.write_bytes(b"")
    again = open_product(folder)
    assert again.attrs["missing_members"] == tree.attrs["missing_members"]
    (folder / "manifest.safe").unlink()  # the annotation still tells that there was an image
    bare = open_product(folder)
    assert bare.attrs["missing_members"] == tree.attrs["missing_members"]
    assert bare.attrs["product_id"] == radar.DRAWN.id
    assert bare.attrs["relative_orbit_number"] == radar.DRAWN.relative_orbit


def test_without_annotation_or_calibration(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    radar.member(folder, "annotation/calibration/calibration-*-vv-*").unlink()
    radar.member(folder, "annotation/calibration/noise-*-vh-*").unlink()
    tree = open_product(folder)
    with pytest.raises(IncompleteProduct, match=r"annotation/calibration/calibration-s1a-iw-grd-vv.*\.xml is missing"):
        calibrate(tree["measurements/vv"], "sigma0")
    with pytest.raises(IncompleteProduct, match=r"noise-s1a-iw-grd-vh.*\.xml is missing"):
        calibrate(tree["measurements/vh"], "sigma0", denoise=True)
    assert calibrate(tree["measurements/vh"], "sigma0").mean() > 0
    for file in folder.glob("annotation/*.xml"):
        file.unlink()
    tree = open_product(folder)
    assert set(tree["measurements"].coords) == {"line", "pixel"}
    assert tree["conditions/gcp"].sizes["point"] == 231  # those of the TIFF
    assert "kilometres" in tree["conditions/gcp"].attrs["accuracy"]
    assert len(tree.attrs["missing_members"]) == 4


def test_no_image_at_all(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    for file in folder.glob("measurement/*"):
        file.write_bytes(b"")
    with pytest.raises(IncompleteProduct, match="2 are missing or empty") as caught:
        open_product(folder)
    assert len(caught.value.details["missing_members"]) == 2


def test_tiled_and_compressed_as_delivered_since_2023(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    file = radar.member(folder, "measurement/*-vv-*.tiff")
    pixels = numbers(folder, "vv")
    tall = np.tile(pixels, (5, 5))
    with rasterio.open(file) as image:
        points = image.gcps
    file.unlink()
    cog = file.with_name(f"{file.stem}-cog.tiff")
    tall[0] = 0
    options = {"blockxsize": 512, "blockysize": 512, "compress": "ZSTD", "tiled": True, "nodata": 0, "gcps": points[0]}
    radar.write_tiff(cog, tall, crs=points[1], **options)
    radar.member(folder, "measurement/*-vh-*.tiff").unlink()
    radar.edit(folder / "manifest.safe", lambda xml: xml.replace(file.name, cog.name))
    for stem in folder.glob("annotation/*-vv-*.xml"):
        radar.replace(stem, "numberOfSamples", "2560")
        radar.replace(stem, "numberOfLines", "2560")
    tree = open_product(folder)
    array = tree["measurements/vv"]
    assert array.chunks == ((2048, 512), (2048, 512))
    np.testing.assert_array_equal(array, np.where(tall == 0, np.nan, tall))
    assert tree.attrs["missing_members"] == [
        name for name in tree.attrs["missing_members"] if name.startswith("measurement/s1a-iw-grd-vh")
    ]
    assert calibrate(array).isel(line=slice(5, 9), pixel=slice(5, 9)).mean() > 0  # the annotation belongs to it


def test_an_image_of_another_size_is_not_calibrated(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    for pol in ("vv", "vh"):
        pixels = numbers(folder, pol)[100:300]
        radar.write_tiff(radar.member(folder, f"measurement/*-{pol}-*.tiff"), pixels)
    tree = open_product(folder)
    assert tree["measurements"].sizes["line"] == 200
    assert "200 x 512" in tree["measurements"].attrs["grid_note"]
    assert "azimuth_time" not in tree["measurements"].coords
    with pytest.raises(IncompleteProduct, match="lines and pixels are not those of its vectors"):
        calibrate(tree, "sigma0")


def test_two_grids_are_two_groups(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    file = radar.member(folder, "measurement/*-vh-*.tiff")
    radar.write_tiff(file, numbers(folder, "vh")[:500])
    radar.replace(radar.member(folder, "annotation/*-vh-*.xml"), "numberOfLines", "500")
    tree = open_product(folder)
    assert tree["measurements/VV/vv"].shape == (512, 512)
    assert tree["measurements/VH/vh"].shape == (500, 512)
    assert band(tree, "vh").shape == (500, 512)
    assert calibrate(tree, "sigma0")["measurements/VH/vh"].shape == (500, 512)


def test_aws_layout(shared_data: Path) -> None:
    tree = open_product(shared_data / AWS_GRD)
    with rasterio.open(shared_data / AWS_GRD / "measurement/iw-vh.tiff") as image:
        stored = image.read(1)
        first = image.gcps[0][0]
    np.testing.assert_array_equal(tree["measurements/vh"], np.where(stored == 0, np.nan, stored))
    assert float(tree["conditions/gcp/latitude"][0]) == first.y
    assert tree.attrs["platform"] == "Sentinel-1A"
    with pytest.raises(IncompleteProduct, match=r"calibration-iw-vh\.xml"):
        calibrate(tree["measurements/vh"])


REAL = {
    "s1_grd/S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768.zip": IncompleteProduct,
    "s1_grd/S1A_IW_GRDH_1SDV_20180716T004042_20180716T004107_022812_02792A_FD5B": {"measurements": ["vh", "vv"]},
    "s1_grd/S1B_IW_GRDH_1SDV_20210401T052623_20210401T052648_026269_032297_ECC8.SAFE": {"measurements": ["vv"]},
    "s1_grd/S1C_S4_GRDH_1SDH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE": IncompleteProduct,
    "s1_slc/S1A_EW_SLC__1SDH_20210403T122536_20210403T122630_037286_046484_8152.SAFE": {"EW1/HH": ["hh"]},
    "s1_slc/S1A_IW_SL1__1_SH_20141031T095929_20141031T100002_003072_003842_91FC.SAFE": IncompleteProduct,
    "s1_slc/S1A_IW_SLC__1SDV_20141004T031312_20141004T031339_002674_002FB6_07B5.zip": IncompleteProduct,
    "s1_slc/S1A_S6_SLC__1SDV_20210402T115512_20210402T115535_037271_046407_39FD.SAFE": IncompleteProduct,
    "s1_slc/S1B_IW_SLC__1SDV_20210401T052622_20210401T052650_026269_032297_EFA4.zip": {
        "IW1/VH": ["vh"],
        "IW1/VV": ["vv"],
        "IW2/VH": ["vh"],
    },
}


def test_every_real_product_opens_or_says_truly_why_not(shared_data: Path) -> None:
    there = {f"{family}/{path.name}" for family in ("s1_grd", "s1_slc") for path in (shared_data / family).iterdir()}
    assert {name for name in there if not name.endswith(".tif")} == set(REAL)
    for name, wanted in REAL.items():
        container = open_container(shared_data / name)
        full = [m for m in container.find("measurement/*.tif*") if not container.is_empty(m)]
        if isinstance(wanted, type):
            assert not full
            with pytest.raises(wanted, match="has no image"):
                open_product(shared_data / name)
            continue
        tree = open_product(shared_data / name)
        found = {
            n.path[1:]: list(n.data_vars)
            for n in tree.subtree
            if any("radar" in v.encoding for v in n.data_vars.values())
        }
        assert found == wanted
        for group, names in found.items():
            for variable in names:
                assert np.isfinite(tree[f"{group}/{variable}"][400:404, 300:304]).any()
        missing = set(tree.attrs["missing_members"])
        assert missing
        assert not missing & {m for m in container.names() if not container.is_empty(m)}


@pytest.mark.parametrize("spec", radar.S1, ids=lambda spec: spec.id[17:32])
def test_every_drawn_product_gives_back_the_backscatter(tmp_path: Path, spec: Any) -> None:
    """Sigma0 without noise is the backscatter that the product was drawn from, but for the rounding of its numbers."""
    tree = open_product(drawn.write(tmp_path, spec))
    sigma0 = calibrate(tree, "sigma0", denoise=True, clip=False)
    scene = drawn.Scene(spec)
    for pol in ("vv", "vh"):
        truth = world.backscatter(*scene.places, spec.begin, pol.upper())
        gain = np.interp(np.arange(512), scene.luts["pixel"], scene.luts["sigmaNought"])
        rounding = (tree[f"measurements/{pol}"].values + 0.5) / gain**2
        assert (np.abs(sigma0[f"measurements/{pol}"].values - truth) <= rounding + 1e-6).all()


def test_raw_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "S1A_IW_RAW__0SDV_20240505T055334_20240505T055406_053732_068F06_6C46.SAFE"
    folder.mkdir()
    (folder / "s1a-iw-raw-s-vv-20240505t055334-20240505t055406-053732-068f06.dat").write_bytes(b"1")
    with pytest.raises(UnsupportedProduct, match="RAW"):
        open_product(folder)


# --- backscatter -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "tag"), [("sigma0", "sigmaNought"), ("beta0", "betaNought"), ("gamma0", "gamma")])
@pytest.mark.parametrize("chunks", ["auto", None, {"line": 100, "pixel": 200}])
def test_backscatter_is_the_formula(tmp_path: Path, kind: str, tag: str, chunks: Any) -> None:
    folder = radar.draw(tmp_path)
    file = radar.member(folder, "annotation/calibration/calibration-*-vv-*")
    radar.edit(file, lambda xml: vary(xml, tag))
    tree = open_product(folder, chunks=chunks)
    at = np.arange(512.0)
    right = numbers(folder, "vv").astype(float) ** 2 / bilinear(file, tag, "calibrationVector", at, at) ** 2
    got = tree["measurements/vv"].s1.calibrate(kind)
    assert got.dtype == np.float32
    assert got.attrs["units"] == "1"
    assert got.attrs["calibration"] == kind
    np.testing.assert_allclose(got, right, rtol=3e-7)
    np.testing.assert_array_equal(tree.s1.calibrate(kind)["measurements/vv"], got)
    np.testing.assert_array_equal(tree["measurements"].to_dataset().s1.calibrate(kind)["vv"], got)
    # a window of the result and the result of a window are the same, lazily or loaded
    window = {"line": slice(90, 140, 3), "pixel": slice(10, 450)}
    part = tree["measurements/vv"].isel(window)
    np.testing.assert_array_equal(got.isel(window), got.values[90:140:3, 10:450])
    np.testing.assert_array_equal(part.s1.calibrate(kind), got.values[90:140:3, 10:450])
    np.testing.assert_array_equal(part.load().s1.calibrate(kind), got.values[90:140:3, 10:450])
    np.testing.assert_array_equal(got.isel(line=5), got.values[5])
    np.testing.assert_array_equal(got.isel(line=[7, 3], pixel=[1, 1, 9]), got.values[[7, 3]][:, [1, 1, 9]])
    np.testing.assert_array_equal(got[::-1, 4], got.values[::-1, 4])


def vary(xml: str, tag: str) -> str:
    """Another vector at the last line than at the first, so that interpolation along lines is seen."""
    head, _, tail = xml.rpartition(f"<{tag} ")
    start, _, rest = tail.partition(">")
    values, _, end = rest.partition("<")
    text = " ".join(f"{float(value) * (1.3 + 0.01 * n):.6e}" for n, value in enumerate(values.split()))
    return f"{head}<{tag} {start}>{text}<{end}"


def test_no_data_stays_no_data(made: dict[str, Path]) -> None:
    for options in ({}, {"denoise": True}, {"db": True}, {"denoise": True, "db": True}):
        sigma0 = calibrate(open_product(made["stored"])["measurements/vv"], "sigma0", **options)
        assert np.isnan(sigma0[:7]).all()
        assert np.isnan(sigma0[:, -3:]).all()
        assert np.isfinite(sigma0[7:, :-3]).mean() > 0.99
    raw = calibrate(open_product(made["stored"], masked=False)["measurements/vv"], "sigma0")
    assert (raw[:7] == 0).all()


def test_decibel(made: dict[str, Path]) -> None:
    array = open_product(made["stored"])["measurements/vv"]
    db = calibrate(array, "gamma0", db=True)
    assert db.attrs["units"] == "dB"
    np.testing.assert_allclose(db, 10 * np.log10(calibrate(array, "gamma0").astype(float)), rtol=1e-5, atol=1e-5)


def test_noise_of_every_shape(tmp_path: Path) -> None:
    """Three blocks of azimuth, ragged range vectors, a pixel that no block covers, lines beyond the last vector."""
    folder = radar.draw(tmp_path)
    xml = radar.noise_xml(
        [
            (0, [0, 100, 300, 511], [100.0, 200.0, 150.0, 90.0]),
            (200, [0, 511], [300.0, 100.0]),
            (400, [0, 40, 80, 200, 511], [10.0, 20.0, 30.0, 20.0, 900.0]),
        ],
        [
            (0, 511, 0, 199, [0, 255, 511], [1.0, 2.0, 1.5]),
            (0, 249, 200, 511, [0, 249], [0.5, 0.7]),
            (250, 500, 200, 511, [250, 400, 500], [0.7, 3.0, 1.0]),
        ],
    )
    radar.member(folder, "annotation/calibration/noise-*-vv-*").write_text(xml)
    tree = open_product(folder)
    at = np.arange(512.0)
    vectors = np.stack(
        [
            np.interp(at, [0, 100, 300, 511], [100, 200, 150, 90]),
            np.interp(at, [0, 511], [300, 100]),
            np.interp(at, [0, 40, 80, 200, 511], [10, 20, 30, 20, 900]),
        ]
    )
    floor = np.stack([np.interp(at, [0, 200, 400], column) for column in vectors.T], 1)
    factor = np.ones((512, 512))
    factor[:, :200] = np.interp(at, [0, 255, 511], [1, 2, 1.5])[:, None]
    factor[:250, 200:] = np.interp(at[:250], [0, 249], [0.5, 0.7])[:, None]
    factor[250:501, 200:] = np.interp(at[250:501], [250, 400, 500], [0.7, 3, 1])[:, None]
    file = radar.member(folder, "annotation/calibration/calibration-*-vv-*")
    gain = bilinear(file, "sigmaNought", "calibrationVector", at, at)
    right = (numbers(folder, "vv").astype(float) ** 2 - floor * factor) / gain**2
    assert (right < 0).any()
    array = tree["measurements/vv"]
    np.testing.assert_allclose(calibrate(array, denoise=True, clip=False), right, rtol=1e-5, atol=2e-8)
    np.testing.assert_allclose(calibrate(array, denoise=True), np.maximum(right, 0), rtol=1e-5, atol=2e-8)
    ragged = tree["quality/noise_range/VV"]
    assert ragged["pixel"].values[1].tolist() == [0, 511, -1, -1, -1]
    assert np.isnan(ragged["noise_range_lut"].values[1, 2:]).all()
    assert tree["quality/noise_azimuth/VV"]["line"].values.tolist() == [[0, 255, 511], [0, 249, -1], [250, 400, 500]]


def test_noise_of_the_first_years(tmp_path: Path, shared_data: Path) -> None:
    """One list of vectors and no azimuth; values that mean nothing are refused and not subtracted."""
    folder = radar.draw(tmp_path)
    file = radar.member(folder, "annotation/calibration/noise-*-vv-*")
    new = calibrate(open_product(folder)["measurements/vv"], denoise=True).values
    radar.edit(file, lambda xml: xml.replace("noiseRange", "noise").split("<noiseAzimuthVectorList")[0] + "</noise>")
    assert "<noiseLut" in file.read_text()
    tree = open_product(folder)
    assert "quality/noise_azimuth/VV" not in tree
    np.testing.assert_array_equal(calibrate(tree["measurements/vv"], denoise=True), new)
    for name, pattern in ((OLD_GRD, "*noise-s1a-iw-grd-vv*"), (OLD_SLC, "*noise-s1a-iw1-slc-vv*")):
        container = open_container(shared_data / name)
        (member,) = container.find(pattern)
        found = read_noise(container, member)
        assert not found.azimuth
        file.write_bytes(container.read(member))
        with pytest.raises(UnsupportedProduct, match="no noise in units of its numbers"):
            calibrate(open_product(folder)["measurements/vv"], denoise=True)


def test_what_is_not_an_image_any_more_is_refused(made: dict[str, Path]) -> None:
    tree = open_product(made["stored"])
    array = tree["measurements/vv"]
    for lost in (array * 2, array.coarsen(line=2).mean(), array.where(array > 9), array.drop_encoding()):
        with pytest.raises(InputError, match="does not know which Sentinel-1 image"):
            calibrate(lost)
    with pytest.raises(InputError, match="is sigma0 already"):
        calibrate(calibrate(array))
    with pytest.raises(InputError, match="no kind of calibration"):
        calibrate(array, "sigma")
    with pytest.raises(InputError, match="dimensions"):
        calibrate(array.isel(line=3))
    with pytest.raises(InputError, match="has no Sentinel-1 images"):
        calibrate(tree["conditions"])
    with pytest.raises(InputError, match="None of"):
        calibrate(tree["conditions/gcp"].to_dataset())
    # of other numbers in its place nothing is read from the file
    other = array.copy(data=array.data * 0 + 7)
    np.testing.assert_allclose(calibrate(other), calibrate(array.load()) / array**2 * 49, rtol=1e-6)


# --- cost ------------------------------------------------------------------------------------------------------------
LINES, PIXELS = 16_700, 25_000


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full-size GRD, as delivered: one strip a line, uncompressed, in a stored zip; 700 lines of it hold numbers."""
    folder = radar.draw(tmp_path_factory.mktemp("full"))
    radar.member(folder, "measurement/*-vh-*.tiff").unlink()
    file = radar.member(folder, "measurement/*-vv-*.tiff")
    rows = np.tile(np.arange(1, PIXELS + 1, dtype=np.uint16), (700, 1))
    radar.write_tiff(file, rows, shape=(LINES, PIXELS), top=4800, sparse_ok=True)
    annotation = radar.member(folder, "annotation/*-vv-*.xml")
    radar.replace(annotation, "numberOfSamples", str(PIXELS))
    radar.replace(annotation, "numberOfLines", str(LINES))
    pixels = [*range(0, PIXELS - 1, 40), PIXELS - 1]
    vectors = "".join(
        f"<calibrationVector><azimuthTime>2024-05-05T05:53:{n:02}</azimuthTime><line>{line}</line>"
        f"<pixel>{radar.row(pixels)}</pixel>"
        + "".join(
            f"<{tag}>{radar.row(300 + n + np.round(np.linspace(0, 200, len(pixels)), 4))}</{tag}>"
            for tag in ("sigmaNought", "betaNought", "gamma", "dn")
        )
        + "</calibrationVector>"
        for n, line in enumerate([*range(0, LINES - 1, 668), LINES - 1])
    )
    radar.member(folder, "annotation/calibration/calibration-*-vv-*").write_text(
        f"<calibration><calibrationVectorList>{vectors}</calibrationVectorList></calibration>"
    )
    noise = radar.noise_xml(
        [(line, pixels, [50.0] * len(pixels)) for line in range(0, LINES, 668)],
        [
            (0, LINES - 1, left, right, list(range(0, LINES, 10)), [1.5] * len(range(0, LINES, 10)))
            for left, right in ((0, 8000), (8001, 16_000), (16_001, PIXELS - 1))
        ],
    )
    radar.member(folder, "annotation/calibration/noise-*-vv-*").write_text(noise)
    return radar.zipped(folder, folder.parent / "full.zip", zipfile.ZIP_STORED)


WINDOW = """
import resource, sys
import extenso_nb.readers.sentinel1, dask.array, rioxarray, distributed  # what a session has loaded
from extenso_nb.readers import open_product
def spent():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
def read():
    return int(open("/proc/self/io").read().split("rchar: ")[1].split()[0])
import rasterio
rasterio.open(sys.argv[2]).close()
began, had = spent(), read()
tree = open_product(sys.argv[1])
opened = read()
sigma0 = tree["measurements/vv"].s1.calibrate("sigma0", denoise=sys.argv[3] == "denoise")
window = sigma0.isel(line=slice(5000, 5256), pixel=slice(9000, 9256)).compute()
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1000  # ru_maxrss would be the parent's
print(spent() - began, peak, opened - had, read() - opened, float(window.mean()))
"""


@pytest.mark.parametrize("denoise", ["denoise", "plain"])
def test_a_window_costs_what_a_window_costs(scene: Path, made: dict[str, Path], denoise: str) -> None:
    """256 x 256 of a scene of 835 MB: under 3 CPU seconds and 600 MB; 256 lines are read, and none at opening."""
    small = radar.member(made["folder"], "measurement/*-vv-*.tiff")
    run = subprocess.run(
        [sys.executable, "-c", WINDOW, scene, small, denoise], capture_output=True, text=True, check=True, timeout=120
    )
    seconds, megabytes, opening, reading, mean = map(float, run.stdout.split())
    assert seconds < 3
    assert megabytes < 600
    assert opening < 8e6  # metadata: XML, directory of the zip, header of the TIFF
    assert 256 * PIXELS * 2 <= reading < 256 * PIXELS * 2 + 2e6
    at = np.arange(9000.0, 9256)
    gain = 300 + np.interp(np.arange(5000, 5256), np.arange(0, LINES, 668), np.arange(25.0))[:, None]
    gain = gain + np.interp(at, [0, PIXELS - 1], [0, 200])
    expected = ((at + 1) ** 2 - (75 if denoise == "denoise" else 0)) / gain**2
    assert mean == pytest.approx(expected.mean(), rel=1e-3)


def test_strips_are_chunks(scene: Path) -> None:
    tree = open_product(scene)
    assert tree["measurements/vv"].chunks == ((512,) * 32 + (316,), (PIXELS,))
    assert calibrate(tree)["measurements/vv"].chunks == tree["measurements/vv"].chunks
    with pytest.raises(InputError, match="no dimension y"):
        open_product(scene, chunks={"y": 100})


def test_a_part_of_the_scene_twice_cut_is_the_same(scene: Path) -> None:
    sigma0 = open_product(scene)["measurements/vv"].isel(line=slice(4900, 5300)).s1.calibrate("sigma0")
    twice = sigma0.isel(line=slice(100, 200)).isel(pixel=slice(-50, None))
    once = open_product(scene, chunks=None)["measurements/vv"].s1.calibrate("sigma0")[5000:5100, -50:]
    np.testing.assert_array_equal(twice, once)


def test_opening_reads_no_pixels(made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("pixels were read")

    monkeypatch.setattr(arrays.ImageArray, "_window", never)
    tree = open_product(made["deflated"])
    calibrate(tree, "sigma0", denoise=True, db=True)


# --- threads, processes, files ---------------------------------------------------------------------------------------
def test_eight_threads_read_a_hundred_windows(made: dict[str, Path]) -> None:
    array = open_product(made["stored"], masked=False, chunks=None)["measurements/vv"]
    pixels = numbers(made["folder"], "vv")
    corners = np.random.default_rng(1).integers(0, 448, (100, 2))

    def right(corner: np.ndarray) -> bool:
        window = (slice(corner[0], corner[0] + 64), slice(corner[1], corner[1] + 64))
        return np.array_equal(array[window].values, pixels[window])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, corners))


@pytest.mark.parametrize("kind", ["folder", "stored", "deflated"])
def test_another_process_computes_the_same(worker: Any, made: dict[str, Path], kind: str) -> None:
    array = open_product(made[kind], chunks={"line": 100})["measurements/vv"]
    sigma0 = calibrate(array, denoise=True)
    np.testing.assert_array_equal(worker.compute(sigma0).result(), sigma0)
    part = calibrate(array[30:90])
    np.testing.assert_array_equal(worker.compute(part).result(), part)


@pytest.mark.parametrize("chunks", ["auto", None])
def test_trees_pickle(made: dict[str, Path], chunks: Any) -> None:
    tree = open_product(made["stored"], chunks=chunks)
    again = pickle.loads(pickle.dumps(tree))
    xr.testing.assert_identical(calibrate(again, "beta0").load(), calibrate(tree, "beta0").load())


def test_files_hold_what_was_opened(made: dict[str, Path], tmp_path: Path) -> None:
    tree = open_product(made["stored"])
    sigma0 = calibrate(tree)
    for made_tree in (tree, sigma0):
        made_tree.to_netcdf(tmp_path / "all.nc")
        with xr.open_datatree(tmp_path / "all.nc") as back:
            np.testing.assert_array_equal(back["measurements/vv"], made_tree["measurements/vv"])
            np.testing.assert_array_equal(back["measurements"]["azimuth_time"], tree["measurements"]["azimuth_time"])
    group = tree["measurements"].to_dataset()
    packing = {name: array.encoding["packing"] for name, array in group.data_vars.items()}
    group.to_netcdf(tmp_path / "packed.nc", encoding=packing)
    with xr.open_dataset(tmp_path / "packed.nc", mask_and_scale=False) as packed:
        assert packed["vv"].dtype == np.uint16
        np.testing.assert_array_equal(packed["vv"], numbers(made["folder"], "vv"))


def test_the_engine(made: dict[str, Path]) -> None:
    with xr.open_datatree(made["stored"], engine="extenso") as tree:
        np.testing.assert_array_equal(tree["measurements/vv"], open_product(made["stored"])["measurements/vv"])
    with xr.open_dataset(made["folder"], group="measurements") as group:  # by its name
        assert calibrate(group)["vv"].mean() > 0


# --- damage ----------------------------------------------------------------------------------------------------------
def test_a_cut_image_is_an_error(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    file = radar.member(folder, "measurement/*-vv-*.tiff")
    file.write_bytes(file.read_bytes()[:200_000])
    with pytest.raises(DamagedProduct, match="-vv-"):
        calibrate(open_product(folder))["measurements/vv"].compute()
    file.write_bytes(b"no image")
    with pytest.raises(DamagedProduct, match="-vv-"):
        open_product(folder)


DAMAGE = {
    "annotation": [
        ("numberOfLines", "many", "no number"),
        ("numberOfLines", "nan", "no number"),
        ("numberOfSamples", "12.5", "no whole number"),
        ("rangeSamplingRate", "0", "must be above 0"),
        ("productFirstLineUtcTime", "yesterday", "time"),
        ("azimuthTimeInterval", "", "has no azimuthTimeInterval"),
        ("latitude", "north", "no number"),
        ("grsrCoefficients", "1 2 three", "list of numbers"),
    ],
    "annotation/calibration/calibration": [
        ("sigmaNought", "1 2 3", "3 numbers of sigma_nought"),
        ("sigmaNought", None, "not above 0"),
        ("gamma", "nan", "something in it that is no number"),
        ("pixel", None, "do not ascend"),
    ],
    "annotation/calibration/noise": [("noiseRangeLut", "1 2", "2 numbers"), ("line", "top", "no number")],
}


@pytest.mark.parametrize(("place", "tag", "text", "words"), [(p, *one) for p, many in DAMAGE.items() for one in many])
def test_bad_metadata(tmp_path: Path, place: str, tag: str, text: str | None, words: str) -> None:
    folder = radar.draw(tmp_path)
    file = radar.member(folder, f"{place}{'/*' if place == 'annotation' else '-*'}-vv-*.xml")
    if text is None:
        old = next(iter(ET.parse(file).getroot().iter(tag))).text.split()
        text = " ".join("0" for _ in old)
    radar.replace(file, tag, text)
    with pytest.raises(DamagedProduct, match=words) as caught:
        open_product(folder)
    assert file.name in str(caught.value)


def test_cut_xml(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    for pattern in ("manifest.safe", "annotation/*-vv-*", "annotation/calibration/noise-*-vv-*"):
        file = radar.member(folder, pattern)
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DamagedProduct, match="is not XML"):
            open_product(folder)
        file.write_bytes(whole)


def test_an_orbit_that_does_not_cover_the_image_costs_only_places(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    file = radar.member(folder, "annotation/*-vv-*")
    radar.edit(file, lambda xml: xml.split("<orbitList")[0] + "<x/>" + xml.split("</orbitList>")[1])
    assert calibrate(open_product(folder)["measurements/vv"]).mean() > 0


def test_errors_are_ours_whatever_is_cut_out(tmp_path: Path) -> None:
    """Elements taken out one after the other: it opens, or says so in our words."""
    folder = radar.draw(tmp_path)
    file = radar.member(folder, "annotation/*-vv-*")
    whole = ET.parse(file)
    tags = [element.tag for element in whole.getroot().iter()]
    for tag in dict.fromkeys(tags):
        if tag == whole.getroot().tag:
            continue
        tree = ET.parse(file)
        for parent in tree.getroot().iter():
            for child in [child for child in parent if child.tag == tag]:
                parent.remove(child)
        keep = file.read_bytes()
        tree.write(file)
        with contextlib.suppress(ExtensoError):
            calibrate(open_product(folder), "sigma0")
        file.write_bytes(keep)


# --- SLC -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def slc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return radar.slc(tmp_path_factory.mktemp("slc"))


def test_slc_pixels(slc: Path) -> None:
    tree = open_product(slc)
    assert tree.attrs["product_type"] == "SLC"
    for swath, pol in (("IW1", "vv"), ("IW1", "vh"), ("IW2", "vv")):
        stored = radar.complex_pixels(swath, pol)
        array = tree[f"{swath}/{pol.upper()}/{pol}"]
        assert array.dtype == np.complex64
        np.testing.assert_array_equal(array, np.where(stored == 0, np.nan + 0j * np.nan, stored))
        raw = open_product(slc, masked=False)[f"{swath}/{pol.upper()}/{pol}"]
        np.testing.assert_array_equal(raw, stored)
    np.testing.assert_array_equal(tree["IW2/VV/vv"][7:9, 10:12], radar.complex_pixels("IW2", "vv")[7:9, 10:12])


def test_bursts(slc: Path) -> None:
    tree = open_product(slc)
    table = tree["bursts"].to_dataset().to_dataframe()
    assert len(table) == 9
    own = table[(table.swath == "IW1") & (table.polarisation == "VV")]
    assert own.first_line.tolist() == [0, 170, 340]
    assert own.first_valid_line.tolist() == [5, 175, 345]
    assert own.last_valid_line.tolist() == [164, 334, 504]
    assert own.first_valid_sample.tolist() == [3, 3, 3]
    assert own.last_valid_sample.tolist() == [499, 499, 499]
    assert own.byte_offset.tolist() == [0, 1000, 2000]
    assert own.burst_id.tolist() == [4700, 4701, 4702]
    array = tree["IW1/VV/vv"]
    assert array["burst"].values.tolist() == [0] * 170 + [1] * 170 + [2] * 170
    seconds = (array["azimuth_time"] - array["azimuth_time"][0]) / np.timedelta64(1, "ns") / 1e9
    interval = float(seconds[1])
    flight = np.concatenate([np.arange(170) + start for start in radar.STARTS])
    np.testing.assert_allclose(seconds, flight * interval, atol=3e-7)  # back 20 lines at each burst
    assert (np.diff(seconds) < 0).sum() == 2
    assert array["first_valid_sample"].values[[4, 5, 164, 165]].tolist() == [-1, 3, 3, -1]
    assert array.chunks[0] == (170, 170, 170)
    one = array.isel(line=array["burst"].values == 1)
    assert one.shape == (170, 512)


def test_slc_backscatter(slc: Path) -> None:
    tree = open_product(slc)
    file = radar.member(slc, "annotation/calibration/calibration-*-iw2-*-vv-*")
    at = np.arange(512.0)
    gain = bilinear(file, "betaNought", "calibrationVector", at[:510], at)
    stored = radar.complex_pixels("IW2", "vv").astype(complex)
    right = np.where(stored == 0, np.nan, np.abs(stored) ** 2 / gain**2)
    made = tree.s1.calibrate("beta0")
    assert {node.path for node in made.subtree if node.data_vars} == {"/IW1/VH", "/IW1/VV", "/IW2/VV"}
    assert made["IW2/VV/vv"].dtype == np.float32
    np.testing.assert_allclose(made["IW2/VV/vv"], right, rtol=3e-7)
    quiet = calibrate(tree["IW2/VV/vv"], "beta0", denoise=True, clip=False)
    noise = drawn.Scene(radar.DRAWN)
    floor = np.interp(at, noise.luts["pixel"], noise.noise("VV"))
    np.testing.assert_allclose(quiet, right - floor / gain**2, rtol=1e-5, atol=1e-6)


def test_bands_of_an_slc(slc: Path) -> None:
    tree = open_product(slc)
    with pytest.raises(InputError, match="has 'vv' 2 times: IW1/VV/vv, IW2/VV/vv"):
        band(tree, "vv")
    assert band(tree, "IW2/vv").attrs["swath"] == "IW2"
    assert band(tree, "IW2/VV/vv").attrs["swath"] == "IW2"
    assert band(tree, "vh").attrs["swath"] == "IW1"
    with pytest.raises(UnknownBand):
        band(tree, "IW3/vv")


def test_bursts_that_do_not_fit(slc: Path, tmp_path: Path) -> None:
    folder = radar.slc(tmp_path)
    file = radar.member(folder, "annotation/*-iw2-*-vv-*")
    radar.replace(file, "firstValidSample", "1 2 3")
    with pytest.raises(DamagedProduct, match="3 and 170 lines in place of 170"):
        open_product(folder)


def test_real_bursts_are_where_they_are_said_to_be(shared_data: Path) -> None:
    """Offsets in bytes are those of the whole image, stored line by line after one header."""
    tree = open_product(shared_data / IW_SLC)
    table = tree["bursts"].to_dataset().to_dataframe()
    for (swath, pol), own in table.groupby(["swath", "polarisation"]):
        array = tree[f"{swath}/{pol}/{pol.lower()}"]
        lines = np.diff(own.byte_offset) / (4 * array.shape[1])
        np.testing.assert_allclose(lines, np.diff(own.first_line), atol=0.02)
        assert len(set(np.diff(own.first_line))) == 1
        parts = list(array.chunks[0])
        assert sum(parts) == array.shape[0]
        assert set(own.first_line) <= set(np.cumsum([0, *parts]))  # no chunk is of two bursts
        assert max(parts) <= 768


def test_wave_mode(tmp_path: Path) -> None:
    """Vignettes: several images of one swath and polarisation, each a group of its own."""
    source = radar.slc(tmp_path / "source")
    folder = tmp_path / f"{radar.DRAWN.id.replace('IW_GRDH', 'WV_SLC_')}.SAFE"
    for number, pattern in (("001", "-iw1-slc-vv-"), ("003", "-iw2-slc-vv-")):
        for file in source.rglob(f"*{pattern}*"):
            name = file.name.replace(pattern, "-wv1-slc-vv-").replace("-001.", f"-{number}.")
            copy = folder / file.parent.relative_to(source) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
            if file.parent.name == "annotation":
                radar.replace(copy, "swath", "WV1")
    tree = open_product(folder)
    np.testing.assert_array_equal(tree["WV1_003/VV/vv"], open_product(source)["IW2/VV/vv"])
    assert {node.path for node in tree.s1.calibrate().subtree if node.data_vars} == {"/WV1_001/VV", "/WV1_003/VV"}
    assert "orbit" in tree["conditions/WV1_001"]
    assert len(tree["quality/calibration/WV1_003/VV/line"]) == 2


# --- OCN -------------------------------------------------------------------------------------------------------------
OCN = "s1_ocn/S1A_WV_OCN__2SSV_20150619T211030_20150619T211738_006447_008883_C1F4.zip"
NO_OCN = "s1_ocn/S1A_WV_OCN__2SSH_20150603T092625_20150603T093332_006207_008194_521E.zip"


@pytest.mark.parametrize("chunks", ["auto", None])
def test_wave_mode_ocean_product(shared_data: Path, tmp_path: Path, chunks: Any) -> None:
    """30 vignettes in classic netCDF: every number as scipy reads it."""
    from scipy.io import netcdf_file

    tree = open_product(shared_data / OCN, chunks=chunks)
    with zipfile.ZipFile(shared_data / OCN) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".nc"))
        archive.extract(names[4], tmp_path)
    groups = {node.path.split("/")[1] for node in tree.subtree if node.data_vars}
    assert groups == {f"{name.split('s1a-')[1][:3].upper()}_{name[-6:-3]}" for name in names}
    assert len(groups) == 30
    label = f"{names[4].split('s1a-')[1][:3].upper()}_{names[4][-6:-3]}"
    count = 0
    with netcdf_file(tmp_path / names[4], mmap=False) as file:
        for node in tree[label].subtree:
            for array in [*node.data_vars.values(), *node.coords.values()]:
                theirs = file.variables[array.attrs["original_name"]]
                fill = getattr(theirs, "_FillValue", 9.969209968386869e36)
                values = theirs.data.astype(theirs.data.dtype.newbyteorder("="))
                if values.dtype.kind == "f":
                    values = np.where(values == values.dtype.type(fill), np.nan, values)
                assert array.dtype == theirs.data.dtype.newbyteorder("=")
                np.testing.assert_array_equal(array, values)
                count += 1
        assert count == len([name for name in file.variables if name[:3] in {"owi", "osw", "rvl"}])
    osw = tree[label]["osw"]
    assert osw["hs"].dims == ("az", "ra", "partition")
    assert osw["pol_spec"].dims == ("az", "ra", "angular_bin", "wavenumber_bin")
    assert set(osw.coords) == {"latitude", "longitude", "k", "phi"}
    assert osw["hs"].attrs["original_name"] == "oswHs"
    assert tree[label]["owi"]["wind_quality"].attrs["fill_value"] == -1
    assert tree.attrs["processing_level"] == "L2"
    raw = open_product(shared_data / OCN, masked=False)[label]["owi/heading"]
    assert float(raw[0, 0]) == pytest.approx(9999.99)
    assert pickle.loads(pickle.dumps(tree[label]["osw"].to_dataset())).equals(tree[label]["osw"].to_dataset())


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_ocean_product_of_one_file(tmp_path: Path, form: str) -> None:
    folder = radar.ocean(tmp_path, form=form)
    (file,) = folder.glob("measurement/*.nc")
    with xr.open_dataset(file, mask_and_scale=False) as theirs:
        wind, speed, mask = (theirs[name].values for name in ("owiWindSpeed", "rvlRadVel", "owiMask"))
    for path in (folder, radar.zipped(folder, tmp_path / "z.zip", zipfile.ZIP_DEFLATED)):
        tree = open_product(path, chunks={"az": 20})
        assert {node.path for node in tree.subtree if node.data_vars} == {"/owi", "/rvl"}
        np.testing.assert_array_equal(tree["owi/wind_speed"], np.where(wind == -999, np.nan, wind))
        assert tree["owi/wind_speed"].chunks == ((20, 20), (60,))
        assert tree["owi/wind_speed"].dims == ("az", "ra")
        np.testing.assert_array_equal(tree["owi/mask"], mask)
        assert tree["rvl/rad_vel"].dims == ("az", "ra", "swath")
        np.testing.assert_array_equal(tree["rvl/rad_vel"][2:7:2, 5, ::-1], speed[2:7:2, 5, ::-1])
        assert tree["owi"].attrs["missionName"] == "S1A"
        assert tree.attrs["orbit_number"] == 26269
    with pytest.raises(InputError, match="no Sentinel-1 images"):
        calibrate(tree)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_damaged_ocean_products(tmp_path: Path, form: str) -> None:
    folder = radar.ocean(tmp_path, form=form)
    (file,) = folder.glob("measurement/*.nc")
    whole = file.read_bytes()
    tree = open_product(folder)
    for size in (3, 100, 400, len(whole) // 2, len(whole) - 200):
        file.write_bytes(whole[:size])
        with pytest.raises(DamagedProduct, match=r"001\.nc"):
            open_product(folder).load()
    with pytest.raises(DamagedProduct):
        tree.load()
    file.write_bytes(b"")
    with pytest.raises(IncompleteProduct, match="no netCDF file"):
        open_product(folder)


def test_an_ocean_product_without_files(shared_data: Path) -> None:
    with pytest.raises(IncompleteProduct, match="no netCDF file"):
        open_product(shared_data / NO_OCN)


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_as_a_classic_header(noise: bytes) -> None:
    for version in (b"\1", b"\2", b"\5"):
        with contextlib.suppress(ValueError):
            netcdf3.header(io.BytesIO(b"CDF" + version + noise))


def test_noise_of_wave_mode_that_is_known_to_be_off_is_said(tmp_path: Path) -> None:
    folder = radar.draw(tmp_path)
    for file in folder.glob("annotation/*.xml"):
        radar.replace(file, "mode", "WV")
    software = '<safe:software name="Sentinel-1 IPF" version="002.91"/>'
    radar.edit(folder / "manifest.safe", lambda xml: re.sub(r"<safe:software [^>]*/>", software, xml))
    array = open_product(folder)["measurements/vv"]
    with pytest.warns(UserWarning, match=r"IPF 002\.91 is off by a constant factor"):
        calibrate(array, denoise=True)
    calibrate(array)
