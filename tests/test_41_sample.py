"""The made-up archive: built once, faithful in format, figures that agree with the pixels, the same bytes every time."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extenso_nb import products
from extenso_nb.errors import DataDirectoryReadOnly, SourceUnavailable
from extenso_nb.gateway.sources import Source
from extenso_nb.gateway.sources.sample import SampleSource, archive, plan, sentinel1, sentinel2, world
from extenso_nb.gateway.sources.sample.__main__ import draw, shares
from extenso_nb.readers import describe

SPECS = plan.products()
S1 = [spec for spec in SPECS if spec.id.startswith("S1")]
S2 = [spec for spec in SPECS if spec.id.startswith("S2")]
L2A = [spec for spec in S2 if spec.product_type == "S2MSI2A"]
NOON = datetime(2024, 6, 8, 10, 50, tzinfo=UTC)
_PREPARE = """
import sys
from pathlib import Path
from extenso_nb.gateway.sources.sample import archive
path = archive.prepare(Path(sys.argv[1]))
print(path.stat().st_ino, path)
"""


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Two processes ask for the archive at the same moment; the cache directory, and what each of them found."""
    cache = tmp_path_factory.mktemp("cache")
    command = [sys.executable, "-c", _PREPARE, str(cache)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=240)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    return cache, said


@pytest.fixture(scope="session")
def sample(sample_run: tuple[Path, list[str]]) -> SampleSource:
    return SampleSource(sample_run[0])


def path_of(source: SampleSource, spec: plan.Spec) -> Path:
    (path,) = source.path.glob(f"{spec.id}*")
    return path


def member(path: Path, ending: str) -> bytes:
    with zipfile.ZipFile(path) as product:
        (name,) = [name for name in product.namelist() if name.endswith(ending)]
        return product.read(name)


def text(root: ET.Element, tag: str) -> str:
    found = next(element for element in root.iter() if element.tag.rpartition("}")[2] == tag)
    return found.text or ""


# --- the archive -----------------------------------------------------------------------------------------------------
def test_two_processes_at_once_build_once(sample_run):
    cache, said = sample_run
    assert said[0] == said[1], "the directory that one found was replaced by the other"
    (path,) = [path for path in cache.iterdir() if path.is_dir()]
    assert int(said[0].split()[0]) == path.stat().st_ino
    assert sorted(p.name for p in cache.iterdir()) == [path.name, "sample.lock"]


def test_size_and_variety(sample):
    files = [path for path in sample.path.iterdir() if path.name != archive.LIST]
    assert len(files) == len(SPECS) == 41
    assert 30e6 < sum(path.stat().st_size for path in files) < 60e6
    assert Counter(spec.id[:2] for spec in SPECS) == {"S1": 10, "S2": 17, "S3": 8, "S5": 6}
    assert {spec.area for spec in SPECS} == set(world.AREAS)
    for area in world.AREAS:
        assert {spec.begin.month for spec in L2A if spec.area == area} == {5, 6}
        assert any(spec.cover < 0.2 and spec.begin.month == 6 for spec in L2A if spec.area == area)


def test_is_a_source_that_offers_everything(sample):
    assert isinstance(sample, Source)
    assert sample.name == "sample"
    assert sample.check() == len(SPECS)
    assert sample.skipped == {}
    found = sample.find(tuple(spec.id for spec in SPECS))
    assert set(found) == {spec.id for spec in SPECS}
    for spec in SPECS:
        product = found[spec.id]
        assert product.product_type == spec.product_type
        assert product.online
        assert product.size == path_of(sample, spec).stat().st_size
        assert abs((product.ingestion_date - spec.created).total_seconds()) < 1
        if spec.id.startswith(("S1", "S2")):
            assert product.orbit_number == spec.orbit
            assert product.relative_orbit_number == spec.relative_orbit
            assert product.orbit_direction == spec.direction.upper()


def test_delivery_is_the_file(sample):
    spec = S2[0]
    content = sample.open(spec.id)
    whole = path_of(sample, spec).read_bytes()
    assert content.size == len(whole)
    assert b"".join(content.read(0)) == whole
    assert b"".join(content.read(len(whole) - 1000)) == whole[-1000:]


def test_names_are_those_of_products():
    assert len({spec.id for spec in SPECS}) == len(SPECS)
    for spec in SPECS:
        parsed = products.parse(spec.id)
        assert products.format(parsed) == spec.id
        assert parsed.product_type == spec.product_type
        assert parsed.start == spec.begin.replace(microsecond=0)
        if spec.id.startswith(("S1", "S2")):
            assert parsed.relative_orbit_number == spec.relative_orbit


@pytest.mark.parametrize("spec", [S1[0], S2[0], L2A[-1], *SPECS[27:29], SPECS[-1]], ids=lambda spec: spec.id[:16])
def test_same_bytes_every_time(sample, tmp_path, spec):
    # Drawn in another process, after other products, on another day: only the name may matter.
    assert draw(spec, tmp_path).read_bytes() == path_of(sample, spec).read_bytes()


def test_work_is_shared_out_whole():
    parts = shares(SPECS, 2)
    assert sorted(spec.id for part in parts for spec in part) == [spec.id for spec in SPECS]
    assert min(map(len, parts)) > 10


# --- what can go wrong with the cache --------------------------------------------------------------------------------
@pytest.fixture
def quick(sample: SampleSource, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Drawing replaced by copying what was drawn before (the drawing itself is tested above); where it was called."""
    calls: list[Path] = []

    def copy(directory: Path) -> None:
        calls.append(directory)
        for path in sample.path.iterdir():
            if path.name != archive.LIST:
                shutil.copy2(path, directory)

    monkeypatch.setattr(archive, "_draw", copy)
    return calls


@pytest.mark.parametrize("damage", ["list", "short", "gone", "garbled"])
def test_a_broken_archive_is_built_anew(tmp_path, quick, damage):
    target = archive.prepare(tmp_path)
    assert archive.prepare(tmp_path) == target
    assert len(quick) == 1
    victim = target / f"{S1[0].id}.SAFE.zip"
    if damage == "list":
        (target / archive.LIST).unlink()
    elif damage == "short":
        victim.write_bytes(victim.read_bytes()[:-1])
    elif damage == "gone":
        victim.unlink()
    else:
        (target / archive.LIST).write_text("[1")
    assert archive.prepare(tmp_path) == target
    assert len(quick) == 2
    assert zipfile.ZipFile(victim).testzip() is None


def test_what_a_killed_builder_left_is_cleared_away(tmp_path, quick):
    left = tmp_path / "sample-0-old.building"
    left.mkdir(parents=True)
    (left / "half.zip").write_bytes(b"x")
    target = archive.prepare(tmp_path)
    assert not left.exists()
    assert len(json.loads((target / archive.LIST).read_text())) == len(SPECS)


def test_failed_drawing_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(SourceUnavailable, match="could not be drawn"):
        SampleSource(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sample.lock"]


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryReadOnly, match="file"):
        SampleSource(tmp_path / "file" / "cache")


# --- SAFE ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if not spec.id.startswith("S5P")], ids=lambda spec: spec.id[:32]
)
def test_zips_are_stored_and_manifests_tell_the_truth(sample, spec):
    with zipfile.ZipFile(path_of(sample, spec)) as product:
        infos = product.infolist()
        assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
        (root,) = {info.filename.split("/")[0] for info in infos}
        assert root in {f"{spec.id}.SAFE", f"{spec.id}.SEN3"}
        files = {info.filename.removeprefix(root + "/"): product.read(info) for info in infos}
    manifest = next(name for name in files if name in {"manifest.safe", "xfdumanifest.xml"})
    listed = set()
    for data in ET.fromstring(files[manifest]).iter("dataObject"):
        name = data.find(".//fileLocation").get("href").removeprefix("./")
        digest = data.find(".//checksum")
        kind = {"MD5": "md5", "SHA3-256": "sha3_256"}[digest.get("checksumName")]
        assert int(data.find(".//byteStream").get("size")) == len(files[name])
        assert digest.text.lower() == hashlib.new(kind, files[name]).hexdigest()
        listed.add(name)
    unlisted = {name for name in files if name != manifest} - listed
    assert unlisted <= {f"{spec.id}-ql.jpg", "quicklook.jpg"}


def test_quicklooks(sample):
    from PIL import Image

    for spec in (S1[0], S2[0], L2A[0]):
        picture = Image.open(io.BytesIO(sample.quicklook(spec.id)))
        pixels = np.asarray(picture.convert("RGB"), float)
        assert min(picture.size) >= 200
        assert pixels.std() > 15, "a picture of one colour"


# --- Sentinel-2 ------------------------------------------------------------------------------------------------------
def siz(data: bytes) -> tuple[int, ...]:
    """Fields of the SIZ segment and of COD: width, height, tile width, tile height, depth, reversible, levels."""
    start = data.index(b"\xff\x4f\xff\x51")
    values = struct.unpack(">HHHIIIIIIIIHB", data[start + 2 : start + 43])
    cod = data.index(b"\xff\x52", start)
    levels, transform = data[cod + 9], data[cod + 13]
    return values[3], values[4], values[7], values[8], (values[12] & 0x7F) + 1, transform, levels


def images(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as product:
        for name in product.namelist():
            if "/IMG_DATA/" in name:
                yield name, product.read(name)


@pytest.mark.parametrize("spec", S2, ids=lambda spec: spec.id[:26] + spec.area[:3])
def test_images_agree_with_the_metadata(sample, spec):
    import rasterio

    path = path_of(sample, spec)
    tile = ET.fromstring(member(path, "MTD_TL.xml"))
    rows = {int(e.get("resolution")): int(e.findtext("NROWS")) for e in tile.iter("Size")}
    corner = next((int(e.findtext("ULX")), int(e.findtext("ULY"))) for e in tile.iter("Geoposition"))
    product = ET.fromstring(member(path, f"MTD_MSIL{spec.product_type[-2:]}.xml"))
    listed = {element.text + ".jp2" for element in product.iter("IMAGE_FILE")}
    found = {name.split("/", 1)[1]: data for name, data in images(path)}
    assert set(found) == listed
    for name, data in found.items():
        step = _step(name)
        width, height, tile_width, tile_height, depth, transform, levels = siz(data)
        assert width == height == rows[step]
        assert -(-width // tile_width) >= 2
        assert -(-height // tile_height) >= 2
        assert (transform, levels >= 4) == (1, True), "not the lossless wavelet"
        assert depth == (8 if name.rpartition("/")[2].split("_")[2][:3] in {"TCI", "SCL"} else 15)
        with rasterio.MemoryFile(data, ext=".jp2") as memory, memory.open() as image:
            assert image.crs.to_epsg() == int(text(tile, "HORIZONTAL_CS_CODE").removeprefix("EPSG:"))
            assert (image.transform.c, image.transform.f) == corner
            assert (image.transform.a, image.transform.e) == (step, -step)
    # The part lies within its tile, on the tile's 60 m grid.
    _, ulx, uly = sentinel2.TILES[products.parse(spec.id).tile_id]
    assert (corner[0] - ulx) % 60 == (uly - corner[1]) % 60 == 0
    assert 0 <= corner[0] - ulx <= 109_800 - 10 * rows[10]
    assert 0 <= uly - corner[1] <= 109_800 - 10 * rows[10]


def _step(name: str) -> int:
    if name.endswith("m.jp2"):
        return int(name[-7:-5])
    band = name[-7:-4]
    return {"B01": 60, "B09": 60, "B10": 60}.get(band, 10 if band in {"B02", "B03", "B04", "B08", "TCI"} else 20)


def read(path: Path, ending: str) -> np.ndarray:
    import rasterio

    with rasterio.MemoryFile(member(path, ending), ext=".jp2") as memory, memory.open() as image:
        return image.read(1)


@pytest.mark.parametrize("spec", L2A, ids=lambda spec: spec.id[:26] + spec.area[:3])
def test_cloud_figure_is_that_of_the_pixels(sample, spec):
    path = path_of(sample, spec)
    classes = read(path, "SCL_20m.jp2")
    valid = classes > 0
    counted = 100 * np.isin(classes, (8, 9, 10))[valid].mean()
    root = ET.fromstring(member(path, "MTD_MSIL2A.xml"))
    assert float(text(root, "Cloud_Coverage_Assessment")) == pytest.approx(counted, abs=1e-4)
    assert sample.find((spec.id,))[spec.id].cloud_cover == pytest.approx(counted, abs=1e-4)
    if not spec.edge:
        assert counted == pytest.approx(100 * spec.cover, abs=0.1)
    # And the bands show it: cloud is bright, also where the blue of a clear sky would not be.
    blue = (read(path, "B02_10m.jp2").astype(float)[::2, ::2] - 1000) / 10000
    high = classes == 9
    assert np.median(blue[high]) > 0.45 if high.sum() > 50 else spec.cover < 0.1
    assert np.median(blue[np.isin(classes, (4, 5, 6))]) < 0.15


@pytest.mark.parametrize("spec", [L2A[0], L2A[1], L2A[-1]], ids=lambda spec: spec.id[:26] + spec.area[:3])
def test_classes_agree_with_the_spectra(sample, spec):
    path = path_of(sample, spec)
    classes = read(path, "SCL_20m.jp2")
    red = np.where(classes > 0, read(path, "B04_10m.jp2").astype(float)[::2, ::2] - 1000, np.nan)
    infrared = np.where(classes > 0, read(path, "B8A_20m.jp2").astype(float) - 1000, np.nan)
    ndvi = (infrared - red) / (infrared + red)
    classes = np.where(read(path, "MSK_CLDPRB_20m.jp2") < 3, classes, 0)  # not through the thin edges of cloud
    if (classes == 4).sum() > 100:
        assert np.median(ndvi[classes == 4]) > 0.5
    if (classes == 6).sum() > 100:
        assert np.median(infrared[classes == 6]) < 900
    if (classes == 11).sum() > 100:
        assert np.median(red[classes == 11]) > 4000


def test_edge_of_the_swath(sample):
    from shapely.geometry import Polygon

    (spec,) = [spec for spec in S2 if spec.edge]
    path = path_of(sample, spec)
    empty = read(path, "B04_10m.jp2") == 0
    assert 0.05 < empty.mean() < 0.5
    assert (empty == (read(path, "TCI_10m.jp2") == 0)).all()
    root = ET.fromstring(member(path, "MTD_MSIL2A.xml"))
    assert float(text(root, "NODATA_PIXEL_PERCENTAGE")) == pytest.approx(100 * empty.mean(), abs=0.2)
    ring = np.array(text(root, "EXT_POS_LIST").split(), float).reshape(-1, 2)[:, ::-1]
    full = dataclasses.replace(spec, edge=False)
    whole = Polygon(sentinel2.Scene(full).ring)
    assert Polygon(ring).area / whole.area == pytest.approx(1 - empty.mean(), abs=0.01)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")  # true of the product as a whole
@pytest.mark.parametrize("spec", [S2[0], L2A[0]], ids=lambda spec: spec.product_type)
def test_gdal_reads_the_same(sample, spec):
    import rasterio

    path = path_of(sample, spec)
    level = spec.product_type[-2:]
    main = f"/vsizip/{path}/{spec.id}.SAFE/MTD_MSIL{level}.xml"
    epsg = sentinel2.TILES[products.parse(spec.id).tile_id][0]
    with rasterio.open(main) as product:
        assert product.driver == "SENTINEL2"
        assert len(product.subdatasets) == 4
        assert float(product.tags()["CLOUD_COVERAGE_ASSESSMENT"]) == pytest.approx(100 * spec.cover, abs=1.5)
    with rasterio.open(f"SENTINEL2_L{level}:{main}:10m:EPSG_{epsg}") as ten:
        assert ten.shape == (sentinel2.PIXELS, sentinel2.PIXELS)
        names = [ten.tags(n)["BANDNAME"] for n in ten.indexes]
        band = names.index("B4") + 1
        ending = "B04.jp2" if level == "1C" else "B04_10m.jp2"
        assert (ten.read(band) == read(path, ending)).all()


def test_numbers_are_the_world(sample):
    """DN of a clear pixel give back the reflectance of the world at the pixel's own place."""
    from pyproj import Transformer

    spec = next(spec for spec in L2A if spec.area == "lauragais" and spec.cover < 0.05)
    path = path_of(sample, spec)
    scene = sentinel2.Scene(spec)
    clear = (scene.opacity[10] == 0) & (scene.shadow[10] == 0)
    assert clear.mean() > 0.3
    ulx, uly = scene.corner
    at = np.arange(sentinel2.PIXELS) * 10 + 5
    lon, lat = Transformer.from_crs(scene.epsg, 4326, always_xy=True).transform(*np.meshgrid(ulx + at, uly - at))
    expected = world.reflectance(lon, lat, spec.begin, 664.6)
    got = (read(path, "B04_10m.jp2").astype(float) - 1000) / 10000
    assert np.abs(got - expected)[clear].max() < 1e-4


# --- Sentinel-1 ------------------------------------------------------------------------------------------------------
def column(root: ET.Element, tag: str) -> np.ndarray:
    return np.array([float(element.text) for element in root.iter(tag)])


@pytest.mark.parametrize("spec", [S1[0], S1[1], S1[3]], ids=lambda spec: spec.area + spec.direction[:4])
@pytest.mark.parametrize("pol", ["vv", "vh"])
def test_calibration_gives_back_the_backscatter(sample, spec, pol):
    import rasterio

    path = path_of(sample, spec)
    with zipfile.ZipFile(path) as product:
        names = {name.rpartition("/")[2]: name for name in product.namelist() if f"-{pol}-" in name}
        (tiff,) = [name for name in names if name.endswith(".tiff")]
        stem = tiff.removesuffix(".tiff")
        calibration = ET.fromstring(product.read(names[f"calibration-{stem}.xml"]))
        noise = ET.fromstring(product.read(names[f"noise-{stem}.xml"]))
        with rasterio.MemoryFile(product.read(names[tiff])) as memory, memory.open() as image:
            dn = image.read(1).astype(float)
            points, crs = image.gcps
    assert crs.to_epsg() == 4326
    assert len(points) == 231
    pixels = np.arange(dn.shape[1])

    def lut(root: ET.Element, tag: str) -> np.ndarray:
        at = np.array(next(root.iter("pixel")).text.split(), float)
        return np.interp(pixels, at, np.array(next(root.iter(tag)).text.split(), float))

    gain, floor = lut(calibration, "sigmaNought"), lut(noise, "noiseRangeLut")
    sigma0 = (dn**2 - floor) / gain**2
    scene = sentinel1.Scene(spec)
    expected = world.backscatter(*scene.places, spec.begin, pol.upper())
    assert np.abs(sigma0 - expected).max() <= ((dn.max() + 0.5) / gain.min() ** 2)
    assert (np.abs(sigma0 - expected) <= (dn + 0.5) / gain**2 + 1e-6).all()
    # The LUTs belong together: beta0 sin(incidence) = sigma0.
    tilt = np.interp(pixels, scene.grid["pixel"][0], scene.grid["incidence"][5])
    assert np.allclose(lut(calibration, "betaNought") / np.sqrt(np.sin(np.radians(tilt))), gain, rtol=1e-3)


@pytest.mark.parametrize("spec", [S1[0], S1[3]], ids=lambda spec: spec.direction)
def test_orbit_ranges_and_geolocation_are_one_geometry(sample, spec):
    from pyproj import Transformer

    root = ET.fromstring(_annotation(sample, spec))
    epoch = datetime(2024, 1, 1)

    def seconds(tag: str, parent: str) -> np.ndarray:
        return np.array([(datetime.fromisoformat(e.findtext(tag)) - epoch).total_seconds() for e in root.iter(parent)])

    states = seconds("time", "orbit")
    position = np.array([[float(e.find("position").findtext(a)) for a in "xyz"] for e in root.iter("orbit")])
    velocity = np.array([[float(e.find("velocity").findtext(a)) for a in "xyz"] for e in root.iter("orbit")])
    times = seconds("azimuthTime", "geolocationGridPoint")
    lon, lat, height, slant = (
        np.array([float(e.findtext(tag)) for e in root.iter("geolocationGridPoint")])
        for tag in ("longitude", "latitude", "height", "slantRangeTime")
    )
    x, y, z = Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, height)
    target = np.stack([x, y, z], -1)
    middle = states.mean()
    at = np.stack([_hermite(states - middle, position[:, i], velocity[:, i], times - middle) for i in range(3)], -1)
    speed = np.stack(
        [np.polynomial.Polynomial.fit(states - middle, velocity[:, i], 7)(times - middle) for i in range(3)], -1
    )
    sight = target - at
    distance = np.linalg.norm(sight, axis=-1)
    assert np.abs(distance - slant * 299_792_458 / 2).max() < 0.5, "slant range and places disagree"
    doppler = (sight * speed).sum(-1) / distance / np.linalg.norm(speed, axis=-1)
    assert np.abs(doppler).max() < 2e-6, "not at zero Doppler"
    # It looks to the right of its flight.
    assert (np.cross(speed, sight) * at).sum(-1).max() < 0
    # Lines go with time and the pixels have the spacing that is said.
    first, last = lat[:21].mean(), lat[-21:].mean()
    assert (first > last) == (spec.direction == "descending")
    across = np.linalg.norm(target[20] - target[0]) / (sentinel1.PIXELS - 1)
    along = np.linalg.norm(target[-21] - target[0]) / (sentinel1.LINES - 1)
    assert across == pytest.approx(float(root.findtext(".//rangePixelSpacing")), rel=0.01)
    assert along == pytest.approx(float(root.findtext(".//azimuthPixelSpacing")), rel=0.01)


def _annotation(source: SampleSource, spec: plan.Spec) -> bytes:
    with zipfile.ZipFile(path_of(source, spec)) as product:
        (name,) = [n for n in product.namelist() if "/annotation/s1a" in n and n.endswith("-001.xml")]
        return product.read(name)


def _hermite(at: np.ndarray, values: np.ndarray, slopes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Cubic pieces through values and slopes."""
    i = np.clip(np.searchsorted(at, wanted) - 1, 0, len(at) - 2)
    step = at[i + 1] - at[i]
    t = (wanted - at[i]) / step
    return (
        (1 + 2 * t) * (1 - t) ** 2 * values[i]
        + t * (1 - t) ** 2 * step * slopes[i]
        + t * t * (3 - 2 * t) * values[i + 1]
        + t * t * (t - 1) * step * slopes[i + 1]
    )


def test_gdal_opens_the_radar(sample):
    import rasterio

    spec = S1[0]
    path = f"/vsizip/{path_of(sample, spec)}/{spec.id}.SAFE/manifest.safe"
    with rasterio.open(path) as product:
        assert product.driver == "SAFE"
        assert product.count == 2
        assert len(product.gcps[0]) == 231
        assert product.read(1).std() > 10


def test_footprints_hold_the_place(sample):
    from shapely.geometry import Point, shape

    for spec in SPECS:
        area = world.AREAS[spec.area]
        footprint = shape(describe.describe(path_of(sample, spec)).footprint)
        assert footprint.is_valid
        assert footprint.contains(Point(area.lon, area.lat)) or spec.edge, spec.id


def test_times_are_those_of_the_names(sample):
    found = sample.find(tuple(spec.id for spec in SPECS))
    for spec in SPECS:
        parsed = products.parse(spec.id)
        assert abs(found[spec.id].begin_position - parsed.start) < timedelta(seconds=1)
        assert abs(found[spec.id].end_position - parsed.stop) < timedelta(seconds=1)


# --- the world -------------------------------------------------------------------------------------------------------
def places(area: str, size: int = 96, step: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
    middle = world.AREAS[area]
    at = (np.arange(size) - size / 2) * step
    return tuple(np.meshgrid(middle.lon + at, middle.lat - at))


@given(
    cover=st.floats(0, 1),
    minutes=st.integers(0, 90_000),
    area=st.sampled_from(sorted(world.AREAS)),
    size=st.integers(20, 120),
)
@settings(max_examples=40)
def test_cloud_covers_what_is_asked(cover, minutes, area, size):
    opacity = world.cloud(*places(area, size), NOON + timedelta(minutes=minutes), cover)
    assert opacity.min() >= 0
    assert opacity.max() <= 1
    assert (opacity > 0.5).mean() == pytest.approx(cover, abs=1.5 / size)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (1, 1), (1, 9), (3, 2), (45, 50), (2, 3, 4)])
def test_shapes_are_kept(shape):
    lon = np.linspace(1.3, 1.5, int(np.prod(shape))).reshape(shape)
    lat = np.linspace(43.5, 43.4, int(np.prod(shape))).reshape(shape)
    drawn = [
        world.land(lon, lat),
        world.height(lon, lat),
        world.reflectance(lon, lat, NOON, 665),
        world.cloud(lon, lat, NOON, 0.3),
        world.temperature(lon, lat, NOON),
        world.backscatter(lon, lat, NOON, "VH"),
        world.column(lon, lat, NOON, "NO2"),
        world.fields(lon, lat).share,
    ]
    for layer in drawn:
        assert layer.shape == shape
        assert layer.dtype == np.float32
        assert np.isfinite(layer).all()


@pytest.mark.parametrize("step", [0.002, 0.02, 0.3])
def test_everything_is_in_its_range_anywhere(step):
    for lon0, lat0 in ((4.7, 43.4), (13.7, 68.2), (179.9, 10.0), (-60.0, -88.0)):
        at = (np.arange(60) - 30) * step
        lon, lat = np.meshgrid(lon0 + at, np.clip(lat0 - at, -89.9, 89.9))
        assert 0 <= world.land(lon, lat).min() <= world.land(lon, lat).max() <= 1
        assert 0 <= world.height(lon, lat).min() <= world.height(lon, lat).max() < 5000
        total = sum(world.ground(lon, lat).kinds(NOON).values())
        assert total == pytest.approx(np.ones_like(total), abs=1e-3)
        for nm in (412, 665, 865, 1610, 2250):
            bright = world.reflectance(lon, lat, NOON, nm)
            assert 0 < bright.min() <= bright.max() <= 1
        warm = world.temperature(lon, lat, NOON)
        assert 215 < warm.min() <= warm.max() < 330
        for gas, most in (("NO2", 1e-2), ("CO", 0.1), ("O3", 0.3), ("CH4", 2100)):
            assert np.abs(world.column(lon, lat, NOON, gas)).max() < most


def test_spring_goes_by():
    """Wheat ripens, maize grows, snow melts, rice fields dry up: the season is there."""
    may, june = datetime(2024, 5, 6, 11, tzinfo=UTC), datetime(2024, 6, 28, 11, tzinfo=UTC)
    lon, lat = places("lauragais", 400)
    fields = world.fields(lon, lat)

    def ndvi(crop: str, when: datetime) -> float:
        there = (fields.crop == world.CROPS.index(crop)) & (fields.share > 0.9) & (fields.edge > 0.03)
        assert there.sum() > 50
        red, infrared = (world.reflectance(lon, lat, when, nm) for nm in (665, 842))
        return float(((infrared - red) / (infrared + red))[there].mean())

    assert ndvi("wheat", may) > ndvi("wheat", june) + 0.3
    assert ndvi("maize", june) > ndvi("maize", may) + 0.3
    snow = [world.ground(*places("lofoten", 200, 3e-4)).kinds(when)["snow"].mean() for when in (may, june)]
    assert snow[0] > snow[1] + 0.1


def test_coarse_is_like_the_mean_of_fine():
    lon, lat = places("lauragais", 240)
    fine = world.reflectance(lon, lat, NOON, 842).reshape(40, 6, 40, 6).mean((1, 3))
    coarse = world.reflectance(
        lon.reshape(40, 6, 40, 6).mean((1, 3)), lat.reshape(40, 6, 40, 6).mean((1, 3)), NOON, 842
    )
    assert coarse.mean() == pytest.approx(fine.mean(), rel=0.05)
    assert np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.75


def test_threads_see_one_world():
    lon, lat = places("camargue", 150)
    days = [NOON + timedelta(days=day) for day in range(6)]

    def look(when: datetime) -> bytes:
        return world.reflectance(lon, lat, when, 665).tobytes()

    alone = [look(when) for when in days]
    world.ground(0.0, 0.0)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(look, days * 3)) == alone * 3


def test_unknown_gas_and_polarisation_are_errors():
    with pytest.raises(KeyError):
        world.column(1.0, 43.0, NOON, "N2O")
    with pytest.raises(KeyError):
        world.backscatter(1.0, 43.0, NOON, "RH")


def test_sun_stands_where_it_should():
    zenith, azimuth = world.sun(datetime(2024, 6, 21, 12, 2, tzinfo=UTC), 0.0, 45.0)
    assert zenith == pytest.approx(45 - 23.44, abs=0.3)
    assert azimuth == pytest.approx(180, abs=2)
    morning = world.sun(datetime(2024, 3, 20, 6, 0, tzinfo=UTC), 0.0, 0.0)
    assert morning[0] == pytest.approx(90, abs=3)
    assert morning[1] == pytest.approx(90, abs=2)
