"""Sentinel-1 as other readers see it. Run with `-m oracle` and the extra `oracle`."""

from __future__ import annotations

import re
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import radar
from rasterio.control import GroundControlPoint
from rome import rome

from extenso_nb.readers import open_product
from extenso_nb.readers.calibration import calibrate, interpolate

__all__ = ["rome"]

pytestmark = [
    pytest.mark.oracle,
    # those of other readers
    pytest.mark.filterwarnings("ignore"),
]

OLD_GRD = "s1_grd/S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768.zip"
OLD_SLC = "s1_slc/S1A_IW_SLC__1SDV_20141004T031312_20141004T031339_002674_002FB6_07B5.zip"
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
        write_lines(annotation, 7000, 600)
    return folder


def write_lines(annotation: Path, top: int, count: int) -> None:
    """The image of an annotation at its true size, with pixels in some of its lines."""
    lines, samples = size(annotation)
    pixels = np.random.default_rng(1).integers(1, 600, (count, samples), dtype=np.uint16)
    file = annotation.parent.parent / "measurement" / f"{annotation.stem}.tiff"
    file.unlink(missing_ok=True)
    points = [
        GroundControlPoint(
            *(float(point.findtext(tag)) for tag in ("line", "pixel", "longitude", "latitude", "height"))
        )
        for point in ET.parse(annotation).iter("geolocationGridPoint")
    ]  # satpy cannot do without
    radar.write_tiff(file, pixels, shape=(lines, samples), top=top, sparse_ok=True, gcps=points, crs="EPSG:4326")


@pytest.fixture(scope="module", params=[IW_SLC, OLD_SLC], ids=["2021", "2014"])
def slc(request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real metadata of an IW SLC; pixels made up in 300 lines of each image."""
    pytest.importorskip("xarray_sentinel")
    folder = unpacked(shared_data / request.param, tmp_path_factory.mktemp("slc"))
    for annotation in folder.glob("annotation/*.xml"):
        lines, samples = size(annotation)
        parts = np.random.default_rng(2).integers(-400, 400, (2, 300, samples)).astype(np.float32)
        file = folder / "measurement" / f"{annotation.stem}.tiff"
        file.unlink(missing_ok=True)
        pixels = parts[0] + 1j * parts[1]
        radar.write_tiff(file, pixels, "complex_int16", shape=(lines, samples), top=4000, sparse_ok=True)
    return folder


def windows(first: int, last: int, samples: int) -> list[dict[str, slice]]:
    """In the middle of the swath, and at both of its edges."""
    return [
        {"line": slice(first, last), "pixel": slice(at, at + 400)} for at in (0, samples // 2, samples - 400)
    ]  # fmt: skip


def furthest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Greatest relative difference; at least nine of ten pixels are there in both."""
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert both.mean() > 0.9
    return float(np.abs(ours[both].astype(np.float64) / theirs[both] - 1).max())


@pytest.mark.parametrize("polarisation", ["VV", "VH"])
@pytest.mark.parametrize(("kind", "lut"), KINDS)
def test_grd_as_xarray_sentinel(grd: Path, polarisation: str, kind: str, lut: str) -> None:
    """O1: the same within 1e-6, where vectors are interpolated along lines and along pixels."""
    import xarray_sentinel

    whole = xarray_sentinel.open_sentinel1_dataset(str(grd), group=f"IW/{polarisation}")["measurement"]
    whole = whole.swap_dims(azimuth_time="line", ground_range="pixel")
    vectors = xarray_sentinel.open_sentinel1_dataset(str(grd), group=f"IW/{polarisation}/calibration")
    calibrated = calibrate(open_product(grd)[f"measurements/{polarisation.lower()}"], kind)
    worst = 0.0
    for window in windows(7100, 7500, whole.sizes["pixel"]):
        theirs, ours = whole.isel(window), calibrated.isel(window)
        right = xarray_sentinel.calibrate_intensity(theirs, vectors[lut])
        worst = max(worst, furthest(ours.values, right.values))
        time = theirs["azimuth_time"].values.astype("datetime64[ns]").astype(int)
        assert (
            np.abs(ours["azimuth_time"].values.astype(int) - time).max() < 2000
        )  # ns: they divide the time by the lines
        np.testing.assert_allclose(ours["ground_range"], theirs["ground_range"], rtol=1e-9)
    print(f"O1 GRD {polarisation} {kind}: {worst:.1e} apart at most, demanded 1e-6")
    assert worst < 1e-6


@pytest.mark.parametrize(("kind", "lut"), KINDS)
def test_slc_as_xarray_sentinel(slc: Path, kind: str, lut: str) -> None:
    """O1, complex: every image."""
    import xarray_sentinel

    tree, count = open_product(slc), 0
    for annotation in sorted(slc.glob("annotation/*.xml")):
        _, swath, _, polarisation, *_ = annotation.name.upper().split("-")
        whole = xarray_sentinel.open_sentinel1_dataset(str(slc), group=f"{swath}/{polarisation}")["measurement"]
        vectors = xarray_sentinel.open_sentinel1_dataset(str(slc), group=f"{swath}/{polarisation}/calibration")
        array = tree[f"{swath}/{polarisation}/{polarisation.lower()}"]
        worst = 0.0
        for window in windows(4010, 4290, array.sizes["pixel"]):
            theirs = whole.isel(window)
            right = xarray_sentinel.calibrate_intensity(theirs, vectors[lut])
            stored = array.isel(window).values
            np.testing.assert_array_equal(np.nan_to_num(stored), theirs.values)
            worst = max(worst, furthest(calibrate(array, kind).isel(window).values, right.values))
            np.testing.assert_allclose(
                array["slant_range_time"][window["pixel"]], theirs["slant_range_time"], rtol=1e-12
            )
        print(f"O1 SLC {swath} {polarisation} {kind}: {worst:.1e} apart at most, demanded 1e-6")
        assert worst < 1e-6
        count += 1
    assert count == 3


def test_bursts_as_xarray_sentinel(slc: Path) -> None:
    """Where bursts begin: the line, and the time of every line."""
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
    print(f"O2 drawn: {np.nanmax(off):.1e} apart at most, demanded 5e-7")
    assert np.nanmax(off) < 5e-7
    assert np.nanmax(plain) > 1e-4  # so that the noise is seen


def test_noise_of_a_real_product_as_satpy(rome: Path, tmp_path: Path) -> None:
    """O2 with the noise of a real product, in three blocks; pixels made up.

    At the edges of the subswaths the vectors jump within 40 pixels: there satpy, whose places are float32, is off by 1e-6, and
    by 6e-6 at the edges of the image.
    """
    (product,) = rome.glob("*_IW_GRDH_*.SAFE")
    folder = Path(shutil.copytree(product, tmp_path / product.name))
    (annotation,) = folder.glob("annotation/s1?-iw-grd-vv-*.xml")
    write_lines(annotation, 7000, 600)
    scene = satpy_scene(folder)
    scene.load(["measurement"], polarization="vv", calibration="sigma_nought", quantity="natural")
    array = open_product(folder)["measurements/vv"]
    clean, plain = calibrate(array, "sigma0", denoise=True, clip=False), calibrate(array, "sigma0")
    (vectors,) = folder.glob("annotation/calibration/calibration-*-vv-*")
    constant = float(re.search(r"<absoluteCalibrationConstant>([^<]+)<", vectors.read_text())[1])
    rows = slice(7100, 7300)
    for first, demanded in (
        (600, 5e-7),
        (8800, 2e-6),
        (13000, 5e-7),
        (17600, 2e-6),
        (25400, 5e-7),
    ):  # in blocks, and across
        columns = slice(first, first + 300)
        theirs = scene["measurement"][rows, columns].values
        at = (np.arange(part.start, part.stop, dtype=float) for part in (rows, columns))
        gain = interpolate(array.encoding["radar"].calibration, "sigma_nought", *at)
        ours = clean.isel(line=rows, pixel=columns).values
        off = np.abs(np.maximum(ours + constant / gain**2, 0) - theirs)  # it clips after adding
        noise = np.abs(plain.isel(line=rows, pixel=columns).values - ours)
        print(f"O2 from pixel {first}: {off.max():.1e} apart at most, demanded {demanded}; noise {noise.max():.1e}")
        assert off.max() < demanded
        assert noise.max() > 1e-3


def satpy_scene(folder: Path) -> Any:
    from satpy import Scene

    files = [str(path) for path in folder.rglob("*") if path.suffix in {".xml", ".tiff"} and "rfi" not in str(path)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Scene(filenames=files, reader="sar-c_safe")
