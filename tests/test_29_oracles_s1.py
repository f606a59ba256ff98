"""Sentinel-1 as other readers see it. Run with `-m oracle` and the extra `oracle`."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import radar

from extenso_nb.readers import open_product
from extenso_nb.readers.calibration import calibrate, interpolate

pytestmark = [
    pytest.mark.oracle,
    # those of other readers
    pytest.mark.filterwarnings("ignore"),
]

OLD_GRD = "s1_grd/S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768.zip"
IW_SLC = "s1_slc/S1B_IW_SLC__1SDV_20210401T052622_20210401T052650_026269_032297_EFA4.zip"
KINDS = [("sigma0", "sigmaNought"), ("beta0", "betaNought"), ("gamma0", "gamma")]


def unpacked(archive: Path, target: Path) -> Path:
    with zipfile.ZipFile(archive) as members:
        members.extractall(target)
    return target / archive.name.replace(".zip", ".SAFE")


def size(annotation: Path) -> tuple[int, int]:
    text = annotation.read_text()
    return tuple(int(re.search(rf"<{tag}>(\d+)<", text)[1]) for tag in ("numberOfLines", "numberOfSamples"))


@pytest.fixture(scope="module")
def grd(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real metadata of an IW GRD; pixels made up in 600 of its lines."""
    pytest.importorskip("xarray_sentinel")
    folder = unpacked(shared_data / OLD_GRD, tmp_path_factory.mktemp("grd"))
    for annotation in folder.glob("annotation/*.xml"):
        lines, samples = size(annotation)
        pixels = np.random.default_rng(1).integers(1, 3000, (600, samples), dtype=np.uint16)
        file = folder / "measurement" / f"{annotation.stem}.tiff"
        radar.write_tiff(file, pixels, shape=(lines, samples), top=7000, sparse_ok=True)
    return folder


@pytest.fixture(scope="module")
def slc(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real metadata of an IW SLC; pixels made up in 300 lines of one image."""
    pytest.importorskip("xarray_sentinel")
    folder = unpacked(shared_data / IW_SLC, tmp_path_factory.mktemp("slc"))
    file = radar.member(folder, "measurement/*-iw1-*-vv-*.tiff")
    lines, samples = size(folder / "annotation" / f"{file.stem}.xml")
    parts = np.random.default_rng(2).integers(-400, 400, (2, 300, samples)).astype(np.float32)
    radar.write_tiff(file, parts[0] + 1j * parts[1], "complex_int16", shape=(lines, samples), top=4000, sparse_ok=True)
    return folder


@pytest.mark.parametrize(("kind", "lut"), KINDS)
def test_grd_as_xarray_sentinel(grd: Path, kind: str, lut: str) -> None:
    """O1: the same within 1e-6, where vectors are interpolated along lines and along pixels."""
    import xarray_sentinel

    window = {"line": slice(7100, 7500), "pixel": slice(9000, 9400)}
    theirs = xarray_sentinel.open_sentinel1_dataset(str(grd), group="IW/VH")["measurement"]
    theirs = theirs.swap_dims(azimuth_time="line", ground_range="pixel").isel(window)
    vectors = xarray_sentinel.open_sentinel1_dataset(str(grd), group="IW/VH/calibration")
    right = xarray_sentinel.calibrate_intensity(theirs, vectors[lut])
    ours = calibrate(open_product(grd)["measurements/vh"], kind).isel(window)
    np.testing.assert_allclose(ours.values, right.values, rtol=1e-6)
    time = theirs["azimuth_time"].values.astype("datetime64[ns]").astype(int)
    assert np.abs(ours["azimuth_time"].values.astype(int) - time).max() < 2000  # ns: they divide the time by the lines
    np.testing.assert_allclose(ours["ground_range"], theirs["ground_range"], rtol=1e-9)


@pytest.mark.parametrize(("kind", "lut"), KINDS)
def test_slc_as_xarray_sentinel(slc: Path, kind: str, lut: str) -> None:
    """O1, complex."""
    import xarray_sentinel

    window = {"line": slice(4010, 4290), "pixel": slice(9000, 9400)}
    theirs = xarray_sentinel.open_sentinel1_dataset(str(slc), group="IW1/VV")["measurement"]
    theirs = theirs.isel(window)
    vectors = xarray_sentinel.open_sentinel1_dataset(str(slc), group="IW1/VV/calibration")
    right = xarray_sentinel.calibrate_intensity(theirs, vectors[lut])
    array = open_product(slc)["IW1/VV/vv"]
    np.testing.assert_array_equal(array.isel(window), theirs)
    np.testing.assert_allclose(calibrate(array, kind).isel(window), right.values, rtol=1e-6)
    np.testing.assert_allclose(array["slant_range_time"][window["pixel"]], theirs["slant_range_time"], rtol=1e-12)


def test_bursts_as_xarray_sentinel(slc: Path) -> None:
    import xarray_sentinel

    whole = xarray_sentinel.open_sentinel1_dataset(str(slc), group="IW1/VV")
    table = open_product(slc)["bursts"].to_dataset()
    array = open_product(slc)["IW1/VV/vv"]
    mine = table.isel(burst=(table["swath"].values == "IW1") & (table["polarisation"].values == "VV"))
    for number in (0, 3, 8):
        crop = xarray_sentinel.crop_burst_dataset(whole, burst_index=number)
        assert crop["line"].values[0] == mine["first_line"].values[number]
        first = crop["azimuth_time"].values[0].astype("datetime64[ns]")
        assert abs(first - mine["azimuth_time"].values[number]) < np.timedelta64(1000, "ns")
        own = array["azimuth_time"].values[array["burst"].values == number]
        assert np.abs((own - crop["azimuth_time"].values).astype(int)).max() < 1000


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn GRD with noise in three blocks, as IW has it, one beside the other."""
    pytest.importorskip("satpy")
    folder = radar.draw(tmp_path_factory.mktemp("noise"))
    pixels = [*range(0, 511, 40), 511]
    lines = [*range(0, 511, 10), 511]
    vectors = [
        (line, pixels, [round(400 + line / 3 + 60 * np.sin(pixel / 60), 3) for pixel in pixels])
        for line in (0, 300, 511)
    ]
    blocks = [
        (0, 511, left, right, lines, [round(1 + 0.3 * np.cos(line / step), 5) for line in lines])
        for left, right, step in ((0, 169, 40), (170, 339, 70), (340, 511, 25))
    ]
    radar.member(folder, "annotation/calibration/noise-*-vv-*").write_text(radar.noise_xml(vectors, blocks))
    return folder


def test_noise_as_satpy(noisy: Path) -> None:
    """O2: without noise the same as satpy's within 5e-7, less the constant that satpy adds and no document has."""
    scene = satpy_scene(noisy)
    scene.load(["measurement"], polarization="vv", calibration="sigma_nought", quantity="natural")
    theirs = scene["measurement"].values
    tree = open_product(noisy)
    ours = calibrate(tree["measurements/vv"], "sigma0", denoise=True, clip=False)
    constant = 1.0  # absoluteCalibrationConstant of the drawn products
    at = np.arange(512.0)
    gain = interpolate(tree["measurements/vv"].encoding["radar"].calibration, "sigma_nought", at, at)
    off = np.abs(ours.values + constant / gain**2 - theirs)
    plain = np.abs(calibrate(tree["measurements/vv"], "sigma0").values + constant / gain**2 - theirs)
    assert np.nanmax(off) < 5e-7
    assert np.nanmax(plain) > 1e-4  # so that the noise is seen


def satpy_scene(folder: Path) -> Any:
    from satpy import Scene

    files = [str(path) for path in folder.rglob("*") if path.suffix in {".xml", ".tiff"} and "rfi" not in str(path)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Scene(filenames=files, reader="sar-c_safe")
