"""What products say of themselves, against independent readings of the same files; pictures; hostile metadata."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import uuid
import zipfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from extenso_nb import aoi, errors
from extenso_nb.models import Product
from extenso_nb.readers import describe as describe_module
from extenso_nb.readers import metadata
from extenso_nb.readers.describe import describe, quicklook
from extenso_nb.readers.opening import open_container

FAMILIES = ("s1_grd", "s1_slc", "s1_ocn", "s2_l1c", "s2_l2a", "s3_olci", "s3_slstr", "s3_sral", "s3_syn", "s5p")
SUFFIXES = {".safe", ".sen3", ".zip", ".nc"}
S1 = "S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768"
S2 = "S2A_MSIL2A_20181124T104341_N0211_R008_T31UFS_20181124T120446"
S3 = "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002"
S5P = "S5P_OFFL_L2__CO_____20200303T013547_20200303T031717_12367_01_010302_20200306T032410"


def all_products(data: Path) -> list[Path]:
    found = [path for family in FAMILIES for path in sorted((data / family).rglob("*"))]
    found = [path for path in found if path.suffix.lower() in SUFFIXES]
    return [path for path in found if not any(at.suffix.lower() in SUFFIXES for at in path.parents)]


@pytest.fixture(scope="module")
def real(shared_data: Path) -> dict[Path, Product]:
    """Each real product that can be described."""
    found = {}
    for path in all_products(shared_data):
        if "snap_subset" not in path.parts:
            found[path] = describe(path)
    return found


def text_of(path: Path, pattern: str) -> str:
    """A metadata file as text, found without our own container; empty when the product has none."""
    if path.is_dir():
        names = [name for name in path.rglob("*") if re.fullmatch(pattern, str(name.relative_to(path)))]
        return names[0].read_text("utf-8") if names else ""
    with zipfile.ZipFile(path) as archive:
        names_in = [name for name in archive.namelist() if re.fullmatch(rf"([^/]+\.(SAFE|SEN3)/)?{pattern}", name)]
        return archive.read(names_in[0]).decode("utf-8") if names_in else ""


def first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, re.DOTALL)
    return match[1].strip() if match else None


def moment(text: str | None) -> datetime:
    assert text
    return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)


def footprint(product: Product) -> Any:
    assert product.footprint is not None
    return shape(product.footprint)


# --- real products ---------------------------------------------------------------------------------------------------
def test_every_real_product_is_described_or_refused(shared_data: Path) -> None:
    described, refused = {}, {}
    for path in all_products(shared_data):
        try:
            described[path] = describe(path)
        except errors.ExtensoError as error:
            refused[path] = error
    for product in described.values():
        geometry = footprint(product)
        west, south, east, north = geometry.bounds
        print(
            f"{product.id[:44]:44} {product.begin_position:%Y-%m-%dT%H:%M:%S} {product.product_type:11} "
            f"orbit {product.orbit_number}/{product.relative_orbit_number} {product.orbit_direction} "
            f"cloud {product.cloud_cover} {geometry.geom_type} {west:.1f} {south:.1f} {east:.1f} {north:.1f}"
        )
        assert geometry.is_valid
        assert -180 <= west <= east <= 180
        assert -90 <= south <= north <= 90
        assert product.begin_position <= product.end_position
        assert product.orbit_number
        assert product.size > 0
        assert product.uuid == str(uuid.uuid5(uuid.NAMESPACE_URL, product.id))
    for path, error in refused.items():
        print(f"{path.name[:44]:44} refused: {error.message}")
    assert len(described) == 59
    assert {path.parent.name for path in refused} == {"snap_subset"}
    assert all(isinstance(error, errors.UnsupportedProduct) for error in refused.values())
    assert len({product.id for product in described.values()}) == 59


def test_sentinel1_against_its_manifest(real: dict[Path, Product]) -> None:
    compared = 0
    for path, product in real.items():
        if product.collection != "S1":
            continue
        text = text_of(path, r"manifest\.safe")
        compared += 1
        assert product.begin_position == moment(first(r"startTime>([^<]+)<", text))
        assert product.end_position == moment(first(r"stopTime>([^<]+)<", text))
        assert product.orbit_number == int(first(r'[:<]orbitNumber type="start">(\d+)', text) or 0)
        assert product.relative_orbit_number == int(first(r'relativeOrbitNumber type="start">(\d+)', text) or 0)
        assert product.orbit_direction == first(r"pass>(\w+)<", text)
        assert product.timeliness == first(r"productTimelinessCategory>([^<]+)<", text)
        assert set((product.polarisation or "").split()) == set(re.findall(r"ReceiverPolarisation>(\w\w)<", text))
        assert product.product_type == first(r"productType>(\w+)<", text)
        frames = re.findall(r"coordinates>([^<]+)<", text)
        own = [
            shapely.Polygon([tuple(map(float, pair.split(",")))[::-1] for pair in frame.split()]) for frame in frames
        ]
        assert footprint(product).equals(shapely.union_all(own)) or footprint(product).symmetric_difference(
            shapely.union_all(own)
        ).area == pytest.approx(0, abs=1e-9)
    assert compared == 10


def test_sentinel2_against_gdal(real: dict[Path, Product]) -> None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    compared = 0
    for path, product in real.items():
        if product.collection != "S2" or not path.is_dir() or not list(path.glob("MTD_*.xml")):
            continue
        with pytest.warns(NotGeoreferencedWarning), rasterio.open(next(path.glob("MTD_*.xml"))) as source:
            tags = source.tags()
        compared += 1
        assert product.begin_position == moment(tags["PRODUCT_START_TIME"])
        assert product.cloud_cover == pytest.approx(float(tags["CLOUD_COVERAGE_ASSESSMENT"]))
        assert product.processing_baseline == tags["PROCESSING_BASELINE"]
        assert product.relative_orbit_number == int(tags["DATATAKE_1_SENSING_ORBIT_NUMBER"])
        assert product.orbit_direction == tags["DATATAKE_1_SENSING_ORBIT_DIRECTION"]
        assert product.orbit_number == int(tags["DATATAKE_1_ID"].split("_")[2])
        assert product.sensor_mode == tags["DATATAKE_1_DATATAKE_TYPE"]
        assert product.product_type == tags["PRODUCT_TYPE"]
        if "T01W" not in product.id:  # GDAL does not cut at the antimeridian
            assert footprint(product).symmetric_difference(shapely.from_wkt(tags["FOOTPRINT"])).area < 1e-9
    assert compared > 25


def test_sentinel2_against_catalogue_items(shared_data: Path) -> None:
    """The STAC items that another program made of the same products."""
    for item_path in sorted((shared_data / "s2_l2a" / "metadata_only").glob("*/expected_output.json")):
        item, product = json.loads(item_path.read_text()), describe(item_path.parent)
        theirs = aoi.valid_footprint(item["geometry"])
        assert product.cloud_cover == pytest.approx(item["properties"]["eo:cloud_cover"])
        assert abs(aoi.area(footprint(product)).km2 / aoi.area(theirs).km2 - 1) < 0.02
        assert product.begin_position == moment(item["properties"]["datetime"])
        assert (product.orbit_direction or "").lower() == item["properties"]["sat:orbit_state"]
        assert product.relative_orbit_number == item["properties"]["sat:relative_orbit"]


def test_sentinel2_across_the_antimeridian(real: dict[Path, Product]) -> None:
    product = next(product for product in real.values() if "_T01WCP_" in product.id)
    assert footprint(product).geom_type == "MultiPolygon"
    assert aoi.area(footprint(product)).km2 < 13_000  # a tile has 12,056 km2
    west, _, east, _ = aoi.area(footprint(product)).bounds
    assert west > 176
    assert east < -176


def test_sentinel2_without_its_main_metadata(real: dict[Path, Product]) -> None:
    product = next(product for product in real.values() if "_T33SVB_" in product.id)
    geometry = footprint(product)
    assert aoi.area(geometry).km2 == pytest.approx(109.8**2, rel=2e-3)
    assert product.cloud_cover == pytest.approx(4.202743)
    assert product.orbit_number == 18380
    assert product.begin_position == datetime(2018, 12, 29, 10, 0, 13, 310000, UTC)


def test_sentinel3_against_its_manifest(real: dict[Path, Product]) -> None:
    words = {"NR": "Near Real Time", "ST": "Short Time Critical", "NT": "Non Time Critical"}
    compared = 0
    for path, product in real.items():
        if product.collection != "S3":
            continue
        text = text_of(path, r"xfdumanifest\.xml")
        compared += 1
        assert product.id + ".SEN3" == first(r"productName>([^<]+)<", text)
        assert product.begin_position == moment(first(r"startTime>([^<]+)<", text))
        assert product.end_position == moment(first(r"stopTime>([^<]+)<", text))
        assert product.orbit_number == int(first(r"[:<]orbitNumber [^>]*>(\d+)<", text) or 0)
        assert product.relative_orbit_number == int(first(r"relativeOrbitNumber [^>]*>(\d+)<", text) or 0)
        assert (product.orbit_direction or "").lower() == first(r'groundTrackDirection="(\w+)"', text)
        assert product.timeliness == words[first(r":timeliness>(\w\w)<", text) or ""]
        cloud = first(r'cloudyPixels percentage="([\d.]+)"', text)
        assert product.cloud_cover == (float(cloud) if cloud else None)
        values = [float(word) for word in (first(r"posList>([^<]+)<", text) or "").split()]
        middle = len(values) // 4 * 2
        for at in (0, middle):
            corner = shapely.Point(values[at + 1], values[at])
            assert footprint(product).distance(corner) < 1e-6
    assert compared == 11


def test_sentinel5p_against_its_attributes(real: dict[Path, Product]) -> None:
    import h5netcdf

    compared = 0
    for path, product in real.items():
        if product.collection != "S5P":
            continue
        with h5netcdf.File(path) as file:
            attributes = dict(file.attrs)
        compared += 1
        assert product.id == attributes["id"]
        assert product.begin_position == moment(attributes["time_coverage_start"])
        assert product.end_position == moment(attributes["time_coverage_end"])
        assert product.orbit_number == int(np.ravel(attributes["orbit"])[0])
        assert product.size == path.stat().st_size
    assert compared == 5


def test_a_swath_from_pole_to_pole_covers_what_it_saw(real: dict[Path, Product], shared_data: Path) -> None:
    """Along parallels, the outline in the file is crossed twice: between the crossings lies the swath, opposite not."""
    import h5netcdf

    path = next((shared_data / "s5p").glob("*NO2*.nc"))
    where = "METADATA/EOP_METADATA/om:featureOfInterest/eop:multiExtentOf/gml:surfaceMembers/gml:exterior"
    with h5netcdf.File(path) as file:
        values = [float(word) for word in file[where].attrs["gml:posList"].split()]
    ring = list(zip(values[1::2], values[0::2], strict=True))
    geometry = footprint(real[path])
    assert geometry.is_valid
    assert 50e6 < aoi.area(geometry).km2 < 70e6  # 2,600 km by half an orbit
    assert geometry.covers(shapely.Point(0, 89.9))
    assert geometry.covers(shapely.Point(0, -89.9))
    for parallel in (-55, -40, -20, 0, 20, 40, 55):
        crossed = []
        for (lon, lat), (to_lon, to_lat) in pairwise(ring):
            if (lat < parallel) != (to_lat < parallel):
                crossed.append((lon + (parallel - lat) / (to_lat - lat) * ((to_lon - lon + 180) % 360 - 180)) % 360)
        a, b = sorted(crossed)
        middle = (a + b) / 2 if b - a < 180 else (a + b) / 2 + 180
        inside, outside = ((lon + 180) % 360 - 180 for lon in (middle, middle + 180))
        assert geometry.covers(shapely.Point(inside, parallel))
        assert not geometry.covers(shapely.Point(outside, parallel))


# --- Sentinel-5P swaths ----------------------------------------------------------------------------------------------
def swath(rows: int, columns: int = 90, start: float = -30.0, stop: float = 230.0) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of a swath 2,600 km wide along a circular orbit of 98.7 degrees, by plain vectors."""
    along = np.radians(np.linspace(start, stop, rows))[:, None]
    across = np.linspace(-1300, 1300, columns)[None, :] / 6371
    tilt = math.radians(98.7)
    track = np.stack([np.cos(along), np.sin(along) * math.cos(tilt), np.sin(along) * math.sin(tilt)], axis=-1)
    normal = np.array([0, -math.sin(tilt), math.cos(tilt)])
    points = track * np.cos(across)[..., None] + normal * np.sin(across)[..., None]
    lon = np.degrees(np.arctan2(points[..., 1], points[..., 0])) - 40
    return np.degrees(np.arcsin(points[..., 2])), (lon + 180) % 360 - 180


def s5p_file(path: Path, lat: np.ndarray, lon: np.ndarray, **attributes: Any) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update({"platform": "S5P", "orbit": np.array([12367], "i4"), **attributes})
        for name, values in (("latitude", lat), ("longitude", lon)):
            node = file.create_dataset(f"PRODUCT/{name}", data=values[None].astype("f4"))
            node.attrs["_FillValue"] = np.array([9.96921e36], "f4")
    return path


@pytest.mark.parametrize(("start", "stop"), [(-30, 20), (60, 130), (-95, 95), (-100, 170)])
def test_the_footprint_of_a_swath_holds_its_pixels(tmp_path: Path, start: float, stop: float) -> None:
    lat, lon = swath(600, start=start, stop=stop)
    geometry = footprint(describe(s5p_file(tmp_path / f"{S5P}.nc", lat, lon)))
    assert geometry.is_valid
    inside = shapely.contains_xy(geometry, lon[2:-2, 2:-2].ravel(), lat[2:-2, 2:-2].ravel())
    assert inside.mean() > 0.995
    # nothing far from every pixel is inside
    grid_lon, grid_lat = (values.ravel() for values in np.meshgrid(np.arange(-178, 180, 6), np.arange(-84, 85, 6)))
    cosine = max_cosine(grid_lon, grid_lat, lon[::4, ::4].ravel(), lat[::4, ::4].ravel())
    far = cosine < math.cos(math.radians(4))
    assert far.sum() > 50
    assert not shapely.contains_xy(geometry, grid_lon[far], grid_lat[far]).any()


def max_cosine(lon: np.ndarray, lat: np.ndarray, to_lon: np.ndarray, to_lat: np.ndarray) -> np.ndarray:
    """Cosine of the distance from each point to the nearest of the others."""

    def vectors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = np.radians(x), np.radians(y)
        return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=-1)

    return (vectors(lon, lat) @ vectors(to_lon, to_lat).T).max(axis=1)


def test_fill_values_in_a_swath_are_no_places(tmp_path: Path) -> None:
    lat, lon = swath(100, start=0, stop=20)
    lat[:30], lon[:30] = 9.96921e36, 9.96921e36
    product = describe(s5p_file(tmp_path / f"{S5P}.nc", lat, lon))
    assert footprint(product).bounds[1] == pytest.approx(lat[30:].min(), abs=1)
    lat[:], lon[:] = 9.96921e36, 9.96921e36
    assert describe(s5p_file(tmp_path / f"{S5P}.nc", lat, lon)).footprint is None


def test_netcdf_without_coordinates_has_no_footprint(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / f"{S5P}.nc", "w") as file:
        file.attrs["platform"] = "S5P"
    product = describe(tmp_path / f"{S5P}.nc")
    assert product.footprint is None
    assert product.begin_position == datetime(2020, 3, 3, 1, 35, 47, tzinfo=UTC)  # from the name


def test_a_renamed_netcdf_is_known_by_its_own_id(tmp_path: Path) -> None:
    lat, lon = swath(50, start=0, stop=20)
    assert describe(s5p_file(tmp_path / "co.nc", lat, lon, id=S5P)).id == S5P
    with pytest.raises(errors.UnsupportedProduct, match="neither its name nor its metadata"):
        describe(s5p_file(tmp_path / "other.nc", lat, lon))


# --- made-up metadata ------------------------------------------------------------------------------------------------
def s1_manifest(
    coordinates: str = "50,8 51,8 51,9 50,9", start: str = "2015-02-22T17:07:50.05", head: str = ""
) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>{head}<XFDU xmlns:safe="http://www.esa.int/safe/sentinel-1.0"
    xmlns:gml="http://www.opengis.net/gml"><safe:acquisitionPeriod><safe:startTime>{start}</safe:startTime>
    </safe:acquisitionPeriod><safe:footPrint><gml:coordinates>{coordinates}</gml:coordinates></safe:footPrint>
    </XFDU>""".encode()


def safe(folder: Path, manifest: bytes, name: str = S1) -> Path:
    path = folder / f"{name}.SAFE"
    path.mkdir()
    (path / "manifest.safe").write_bytes(manifest)
    return path


def test_what_the_metadata_leaves_open_comes_from_the_name(tmp_path: Path) -> None:
    path = safe(tmp_path, s1_manifest())
    os.utime(path, (1_600_000_000, 1_600_000_000))
    product = describe(path)
    assert product.begin_position.microsecond == 50_000
    assert product.end_position == datetime(2015, 2, 22, 17, 8, 15, tzinfo=UTC)
    assert (product.orbit_number, product.polarisation, product.cloud_cover) == (4739, "VV VH", None)
    assert product.ingestion_date == datetime.fromtimestamp(1_600_000_000, UTC)
    assert footprint(product).equals(shapely.box(8, 50, 9, 51))


@pytest.mark.parametrize("manifest", [None, b""])
def test_without_a_manifest_the_name_alone_speaks(tmp_path: Path, manifest: bytes | None) -> None:
    path = safe(tmp_path, manifest or b"")
    (path / "measurement").mkdir()
    (path / "measurement" / "a.tiff").write_bytes(b"pixels")
    if manifest is None:
        (path / "manifest.safe").unlink()
    product = describe(path)
    assert (product.id, product.footprint, product.size) == (S1, None, 6)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (s1_manifest(head='<!DOCTYPE x [<!ENTITY a "aaaa">]>'), "DTD"),
        (s1_manifest(head='<!DOCTYPE x SYSTEM "file:///etc/passwd">'), "DTD"),
        (s1_manifest().decode().replace("UTF-8", "UTF-16").encode("utf-16"), "UTF-8"),
        (s1_manifest()[:-40], "is not XML"),
        (b"not xml at all", "is not XML"),
        (s1_manifest(coordinates="50,8 51,8 51"), "pairs"),
        (s1_manifest(coordinates="50,8 51,8 51,here"), "'here'"),
        (s1_manifest(coordinates="150,8 151,8 151,9"), "not on Earth"),
        (s1_manifest(coordinates="nan,8 51,8 51,9"), "'nan'"),
        (s1_manifest(coordinates="1e99,8 51,8 51,9"), "not on Earth"),
        (s1_manifest(start="yesterday"), "'yesterday'"),
    ],
)
def test_damaged_or_hostile_metadata_is_refused(tmp_path: Path, manifest: bytes, words: str) -> None:
    with pytest.raises(errors.DamagedProduct, match=words):
        describe(safe(tmp_path, manifest))


def test_metadata_of_absurd_size_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "XML_LIMIT", 500)
    with pytest.raises(errors.DamagedProduct, match="more than the 500 bytes"):
        describe(safe(tmp_path, s1_manifest() + b" " * 500))


@pytest.mark.parametrize(
    ("coordinates", "bounds"),
    [("-10,179 -10,-179 -12,-179 -12,179", (179, -12, -179, -10)), ("5,10 5,10 5,10 5,10", (10, 5, 10, 5))],
)
def test_odd_footprints(tmp_path: Path, coordinates: str, bounds: tuple[float, ...]) -> None:
    product = describe(safe(tmp_path, s1_manifest(coordinates)))
    assert aoi.area(footprint(product)).bounds == pytest.approx(bounds)


def test_what_is_no_product(tmp_path: Path) -> None:
    with pytest.raises(errors.ReaderError):
        describe(tmp_path / "missing")
    with zipfile.ZipFile(tmp_path / "holiday.zip", "w") as archive:
        archive.writestr("beach.jpg", b"sand")
    with pytest.raises(errors.UnsupportedProduct, match="no product of Sentinel"):
        describe(tmp_path / "holiday.zip")
    (tmp_path / f"{S5P}.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + b"junk" * 40)
    with pytest.raises(errors.DamagedProduct, match="netCDF"):
        describe(tmp_path / f"{S5P}.nc")


def test_a_zip_cut_short(tmp_path: Path, shared_data: Path) -> None:
    whole = (shared_data / "s3_sral").glob("*SR_1_SRA_BS*.zip")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(next(whole).read_bytes()[:-100])
    with pytest.raises(errors.DamagedProduct):
        describe(cut)


# --- pictures --------------------------------------------------------------------------------------------------------
def test_sentinel1_quicklook_is_the_file_itself(shared_data: Path) -> None:
    path = next((shared_data / "s1_grd").glob("S1C*.SAFE"))
    assert quicklook(path) == (path / "preview" / "quick-look.png").read_bytes()
    old = next((shared_data / "s1_slc").glob("*SL1*.SAFE"))
    assert quicklook(old) == (old / "preview" / "thumbnail.png").read_bytes()


def image_of(data: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_sentinel2_preview_image(shared_data: Path) -> None:
    from PIL import Image

    path = next((shared_data / "s2_l1c").glob("*T46UEU*.zip"))
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("_PVI.jp2"))
        with Image.open(io.BytesIO(archive.read(name))) as image:
            theirs = np.asarray(image.convert("RGB")).astype(float)
    ours = image_of(quicklook(path)).astype(float)
    assert ours.shape == theirs.shape == (343, 343, 3)
    assert np.abs(ours - theirs).mean() < 4  # JPEG
    assert theirs.std() > 10


def test_sentinel2_true_colour_made_smaller(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setattr(describe_module, "QUICKLOOK_SIDE", 100)
    source = next((shared_data / "s2_l1c").glob("*T56JMM*.zip"))
    path = tmp_path / source.name
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(path, "w") as target:
        for name in archive.namelist():
            if name.endswith("_TCI.jp2"):
                picture = archive.read(name)
                target.writestr(name, picture)
            if name.endswith("_PVI.jp2"):
                target.writestr(name, b"")  # a placeholder: the next picture is taken
    ours = image_of(quicklook(path)).astype(float)
    with Image.open(io.BytesIO(picture)) as image:
        theirs = np.asarray(image.convert("RGB").resize((100, 100), Image.Resampling.BOX)).astype(float)
    assert ours.shape == (100, 100, 3)
    assert np.abs(ours.mean(axis=(0, 1)) - theirs.mean(axis=(0, 1))).max() < 3


def test_sentinel2_own_jpeg_comes_first(shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{S2}.SAFE"
    path.mkdir()
    picture = next((shared_data / "quicklook").glob("S2A*-ql.jpg"))
    shutil.copy(picture, path / f"{S2}-ql.jpg")
    assert quicklook(path) == picture.read_bytes()


@pytest.mark.parametrize("name", ["quicklook.jpg", f"{S3}-ql.jpg"])
def test_sentinel3_quicklook(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{S3}.SEN3"
    path.mkdir()
    (path / name).write_bytes(b"\xff\xd8\xff\xe0picture")
    assert quicklook(path) == b"\xff\xd8\xff\xe0picture"


@pytest.mark.parametrize(("data", "why"), [(b"", "empty"), (b"<html>gone</html>", "neither JPEG nor PNG")])
def test_a_picture_that_is_none(tmp_path: Path, data: bytes, why: str) -> None:
    path = safe(tmp_path, s1_manifest())
    (path / "preview").mkdir()
    (path / "preview" / "quick-look.png").write_bytes(data)
    with pytest.raises(errors.NoQuicklook, match=why):
        quicklook(path)


def test_a_damaged_jpeg2000_is_no_quicklook(tmp_path: Path) -> None:
    path = tmp_path / f"{S2}.SAFE"
    at = path / "GRANULE" / "L2A" / "QI_DATA"
    at.mkdir(parents=True)
    (at / "T31UFS_PVI.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + b"junk" * 10)
    with pytest.raises(errors.NoQuicklook, match="PVI"):
        quicklook(path)


def test_products_without_a_picture(real: dict[Path, Product]) -> None:
    for path, product in real.items():
        pictures = [
            name for name in open_container(path).names() if re.search(r"quick-look|thumbnail|PVI|TCI|-ql", name)
        ]
        if not [name for name in pictures if not name.endswith(".xsd")]:
            with pytest.raises(errors.NoQuicklook, match=product.id[:20]):
                quicklook(path)
