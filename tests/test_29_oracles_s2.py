"""Sentinel-2 as other readers see it: satpy (GPL-3.0), stackstac, GDAL's SENTINEL2 driver, imagecodecs.

Run with `-m oracle` and the extra `oracle`; with `-s` each says what it found. Pixels are those of the real products; where a
product lacks its metadata, or a processing baseline its pixels, the real files of both are put together.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import real
import shapely
import xarray as xr
from xarray.core import indexing

from extenso_nb.readers import open_product
from extenso_nb.readers.arrays import ImageArray, probe
from extenso_nb.readers.opening import open_container
from extenso_nb.readers.sentinel2_metadata import BANDS, product_metadata

pytestmark = [
    pytest.mark.oracle,
    # those of other readers
    pytest.mark.filterwarnings("ignore"),
]

L1C = "s2_l1c/S2A_MSIL1C_20180629T000241_N0206_R030_T56JMM_20180629T012042.zip"
L1C_B01 = "s2_l1c/S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911.SAFE.zip"
L2A = "s2_l2a/S2A_MSIL2A_20181229T095411_N0211_R079_T33SVB_20181229T112231.SAFE"
STEPS = {
    "L1C": ("0201", "0202", "0204", "0205", "0206", "0207", "0208", "0209", "0300", "0301", "0400", "0509"),
    "L2A": (
        "0207",
        "0208",
        "0209",
        "0210",
        "0211",
        "0212",
        "0213",
        "0214",
        "0300",
        "0301",
        "0400",
        "0500",
        "0509",
        "9999",
    ),
}
LADDER = [f"{level}_N{number}" for level, numbers in STEPS.items() for number in numbers]
METRES = {"r10m": 10, "r20m": 20, "r60m": 60}


def step(shared_data: Path, baseline: str) -> Path:
    (found,) = (shared_data / "s2_l2a/baseline_ladder" / baseline).glob("*.SAFE")
    return found


def assembled(shared_data: Path, target: Path, baseline: str | None, *, true_sizes: bool = False) -> Path:
    """Real pixels of L1C or L2A, and their tile, under the real metadata of a baseline; named as satpy wants it.

    None: the L1C product as it is. With `true_sizes` the tile says the sizes that its decimated images have.
    """
    level = (baseline or "L1C").partition("_")[0]
    path = shared_data / (L1C if level == "L1C" else L2A)
    files = real.members(path)
    name = path.name.removesuffix(".zip").removesuffix(".SAFE")
    if baseline is not None:
        text = (step(shared_data, baseline) / f"MTD_MSI{level}.xml").read_text()
        images = sorted(entry.removesuffix(".jp2") for entry in files if "/IMG_DATA/" in entry)
        listed = iter(images)
        # so that those who look for the files that the metadata name find ours
        text = re.sub(
            r"<(IMAGE_(?:FILE|ID)(?:_2A)?)>[^<]*</\1>",
            lambda match: f"<{match[1]}>{entry}</{match[1]}>" if (entry := next(listed, None)) else "",
            text,
        )
        text, count = re.subn(
            r"(<PRODUCT_URI(?:_2A)?>)[^<]*", rf"\g<1>{name}.SAFE", text
        )  # GDAL makes names of images of it
        assert count == 1
        files[f"MTD_MSI{level}.xml"] = text.encode()
    if true_sizes:
        (tile,) = [entry for entry in files if entry.endswith("MTD_TL.xml")]
        files[tile] = sized(files[tile].decode(), files, target).encode()
    return real.as_folder(files, target / f"{name}.SAFE")


def sized(text: str, files: dict[str, bytes], target: Path) -> str:
    for label, metres in (("B02", 10), ("B05", 20), ("B01", 60)):
        (name,) = [entry for entry in files if re.search(rf"_{label}(_{metres}m)?\.jp2$", entry)]
        scratch = target / "one.jp2"
        scratch.write_bytes(files[name])
        with rasterio.open(scratch) as image:
            rows, columns, place = image.height, image.width, image.transform
        size = f'<Size resolution="{metres}"><NROWS>{rows}</NROWS><NCOLS>{columns}</NCOLS></Size>'
        text, first = re.subn(rf'<Size resolution="{metres}">.*?</Size>', size, text, flags=re.DOTALL)
        spot = f"<ULX>{place.c:.0f}</ULX><ULY>{place.f:.0f}</ULY><XDIM>{metres}</XDIM><YDIM>-{metres}</YDIM>"
        at = f'<Geoposition resolution="{metres}">{spot}</Geoposition>'
        text, second = re.subn(rf'<Geoposition resolution="{metres}">.*?</Geoposition>', at, text, flags=re.DOTALL)
        assert (first, second) == (1, 1)
    return text


def bands(tree: xr.DataTree) -> Iterator[tuple[str, int, xr.DataArray]]:
    for group, metres in METRES.items():
        for label, array in tree[f"measurements/{group}"].data_vars.items():
            yield str(label), metres, array


# --- O6: satpy -------------------------------------------------------------------------------------------------------
def satpy_scene(folder: Path, level: str) -> Any:
    satpy = pytest.importorskip("satpy")
    pytest.importorskip("bottleneck")
    files = [
        str(path) for path in folder.rglob("*") if re.search(r"MTD_(MSIL..|TL)\.xml$|_B\w\w(_\d0m)?\.jp2$", path.name)
    ]
    return satpy.Scene(filenames=files, reader="msi_safe" if level == "L1C" else "msi_safe_l2a")


@pytest.mark.parametrize(
    "baseline", [None, *LADDER[1:]]
)  # satpy cannot do without the Spectral_Information that N0201 lacks
def test_reflectance_as_satpy(shared_data: Path, tmp_path: Path, baseline: str | None) -> None:
    """O6: every band within 1e-7, per cent / 100; the same pixels are none. And the formula in float64, rounded once."""
    folder = assembled(shared_data, tmp_path, baseline)
    level = (baseline or "L1C").partition("_")[0]
    scene, tree, stored = (
        satpy_scene(folder, level),
        open_product(folder),
        open_product(folder, masked=False, scaled=False),
    )
    text = next(folder.glob("MTD_MSIL*.xml")).read_text()
    offsets = {int(at): float(value) for at, value in re.findall(r'_ADD_OFFSET band_id="(\d+)">(-?\d+)<', text)}
    seen, worst = 0, 0.0
    for label, metres, array in bands(tree):
        scene.load([label], calibration="reflectance", resolution=metres)
        theirs = scene[label].values / 100
        del scene[label]
        np.testing.assert_array_equal(np.isnan(array.values), np.isnan(theirs), label)
        worst = max(worst, float(np.nanmax(np.abs(array.values.astype(np.float64) - theirs))))
        numbers = stored[f"measurements/r{metres}m/{label}"].values.astype(np.float64)
        right = ((numbers + offsets.get(BANDS[label].number, 0.0)) / 10000).astype(np.float32)
        valid = (numbers != 0) & (numbers != 65535)
        np.testing.assert_array_equal(np.isfinite(array.values), valid, label)
        np.testing.assert_array_equal(array.values[valid], right[valid], label)
        seen += 1
    print(
        f"O6 {baseline or level}: {seen} bands, {worst:.1e} apart at most, demanded 1e-7; offset {set(offsets.values())}"
    )
    assert seen == (13 if level == "L1C" else 12)
    assert worst < 1e-7
    assert bool(offsets) == (baseline is not None and baseline[-4:] in {"0400", "0500", "0509"})


# --- O7: stackstac ---------------------------------------------------------------------------------------------------
@pytest.fixture
def stackstac(monkeypatch: pytest.MonkeyPatch) -> Any:
    """stackstac 0.5, of 2023, with a keyword of `pandas.to_datetime` taken away that pandas 3 does not know any more."""
    module, pandas = pytest.importorskip("stackstac"), pytest.importorskip("pandas")
    known = pandas.to_datetime

    def to_datetime(*values: Any, infer_datetime_format: bool = True, **options: Any) -> Any:
        assert infer_datetime_format
        return known(*values, **options)

    monkeypatch.setattr(pandas, "to_datetime", to_datetime)
    return module


@pytest.mark.parametrize("baseline", ["L1C_N0206", "L1C_N0509", "L2A_N0211", "L2A_N0509"])
def test_reflectance_as_stackstac(shared_data: Path, tmp_path: Path, baseline: str, stackstac: Any) -> None:
    """O7: a STAC item of the images with scale and offset: means within 1e-8, and each pixel its float32."""
    folder = assembled(shared_data, tmp_path, baseline)
    tree = open_product(folder)
    offset = -0.1 if baseline.endswith("0509") else 0.0
    worst, seen = 0.0, 0
    for label, metres, array in bands(tree):
        (file,) = [
            path for path in folder.rglob("*.jp2") if re.search(rf"IMG_DATA.*_{label}(_{metres}m)?\.jp2$", str(path))
        ]
        with rasterio.open(file) as image:
            shape, place, code, box = image.shape, image.transform, image.crs.to_epsg(), tuple(image.bounds)
        asset = {
            "href": str(file), "type": "image/jp2", "proj:shape": list(shape), "proj:transform": list(place)[:6],
            # numpy's numbers, since stackstac 0.5 asks `numpy.can_cast` of them, which takes no others any more
            "raster:bands": [{"nodata": 0, "scale": np.float64(0.0001), "offset": np.float64(offset)}],
        }  # fmt: skip
        item = {
            "type": "Feature", "stac_version": "1.0.0", "id": label, "bbox": [0, 0, 1, 1], "geometry": None, "links": [],
            "properties": {"datetime": "2018-06-29T00:02:41Z", "proj:epsg": code}, "assets": {label: asset},
            "collection": "sentinel-2",
        }  # fmt: skip
        stack = stackstac.stack(
            [item], assets=[label], epsg=code, resolution=(place.a, -place.e), bounds=box, snap_bounds=False, dtype="float64",
            fill_value=np.float64(np.nan), rescale=True, xy_coords="center",
        )  # fmt: skip
        theirs, valid = stack.values[0, 0], np.isfinite(array.values)
        np.testing.assert_array_equal(array.values[valid], theirs[valid].astype(np.float32), label)
        assert (theirs[~valid] == offset).all()  # it takes "no data" from the files, which do not have it
        np.testing.assert_allclose(
            (array.x[[0, -1]], array.y[[0, -1]]), (stack.x[[0, -1]], stack.y[[0, -1]]), atol=1e-6
        )
        worst = max(worst, abs(float(np.nanmean(array.values.astype(np.float64))) - float(np.mean(theirs[valid]))))
        seen += 1
    print(f"O7 {baseline}: means of {seen} bands {worst:.1e} apart at most, demanded 1e-8; pixels equal as float32")
    assert worst < 1e-8
    assert seen >= 12


# --- O8: GDAL's SENTINEL2 driver -------------------------------------------------------------------------------------
def described(dataset: Any) -> list[str]:
    """Names of bands as the product has them, from `B4, central wavelength 665 nm`."""
    names = [text.partition(",")[0] for text in dataset.descriptions]
    return [f"B{int(name[1:]):02}" if re.fullmatch(r"B\d+", name) else name for name in names]


@pytest.mark.parametrize("baseline", [None, "L1C_N0509", "L2A_N0211", "L2A_N0509"])
def test_pixels_and_places_as_gdal(shared_data: Path, tmp_path: Path, baseline: str | None) -> None:
    """O8: digital numbers of every band, in the driver's order, and where each file says that it lies: exact."""
    folder = assembled(shared_data, tmp_path, baseline, true_sizes=True)
    level = (baseline or "L1C").partition("_")[0]
    tree = open_product(folder, masked=False, scaled=False)
    seen = set()
    with rasterio.open(folder / f"MTD_MSI{level}.xml", driver="SENTINEL2") as outer:
        subdatasets = [name for name in outer.subdatasets if ":TCI:" not in name]
    assert len(subdatasets) == 3
    for name in subdatasets:
        metres = int(re.search(r":(\d\d)m:", name)[1])
        group = tree[f"measurements/r{metres}m"]
        with rasterio.open(name) as dataset:
            order = described(dataset)
            for number, label in enumerate(order, 1):
                if label not in BANDS or label not in group:
                    assert label not in group
                    continue
                np.testing.assert_array_equal(group[label].values, dataset.read(number), label)
                assert group[label].rio.crs == dataset.crs
                if level == "L2A":  # those of L1C are decimated, and the driver has no such pixel sizes
                    assert group[label].rio.transform() == dataset.transform
                seen.add((label, metres))
    assert seen == {(label, metres) for label, metres, _ in bands(tree)}
    for label, metres, array in bands(tree):
        (file,) = [
            path for path in folder.rglob("*.jp2") if re.search(rf"IMG_DATA.*_{label}(_{metres}m)?\.jp2$", str(path))
        ]
        with rasterio.open(file) as image:
            assert array.rio.transform() == image.transform
            assert array.rio.crs == image.crs
            assert (array.x[0], array.y[0]) == pytest.approx(image.xy(0, 0), abs=1e-6)
    print(f"O8 {baseline or level}: {len(seen)} bands, digital numbers and geotransforms equal, demanded exact")


def test_full_size_as_gdal(shared_data: Path) -> None:
    """O8: a band as it was delivered, at full size, through the zip."""
    tree = open_product(shared_data / L1C_B01, masked=False, scaled=False)
    with rasterio.open(f"/vsizip/{shared_data / L1C_B01}/MTD_MSIL1C.xml") as outer:
        (sixty,) = [name for name in outer.subdatasets if ":60m:" in name]
    with rasterio.open(sixty) as dataset:
        assert described(dataset) == ["B01", "B09", "B10"]
        array = tree["measurements/r60m/B01"]
        np.testing.assert_array_equal(array.values, dataset.read(1))
        assert array.rio.transform() == dataset.transform
        assert array.rio.crs == dataset.crs


# --- O9: imagecodecs -------------------------------------------------------------------------------------------------
def jpeg2000(shared_data: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Every JPEG 2000 file of the Sentinel-2 products: what to open it of, its member there, and its bytes."""
    for path in real.every_product(shared_data):
        if not path.relative_to(shared_data).parts[0].startswith("s2_"):
            continue
        container = open_container(path)
        files = real.members(path)
        for name in container.names():
            data = files.get(name, b"")
            if data.startswith(b"\x00\x00\x00\x0cjP  "):
                yield path, name, data


def edges(size: int, tile: int) -> list[slice]:
    """Windows across the first and the last edge between tiles, before and behind an edge, and at both ends."""
    first, last = min(tile, size), max((size - 1) // tile * tile, 1)
    found = [
        (first - 2, first + 2),
        (last - 2, last + 2),
        (first - 3, first),
        (last, last + 3),
        (0, 2),
        (size - 2, size),
    ]
    return [slice(max(start, 0), min(stop, size)) for start, stop in found if start < size]


def test_windows_as_imagecodecs(shared_data: Path) -> None:
    """O9: the whole file decoded by imagecodecs against our reads of windows at the edges of tiles: exact."""
    imagecodecs = pytest.importorskip("imagecodecs")
    count = windows = tiled = large = 0
    for path, name, data in jpeg2000(shared_data):
        image = probe(open_container(path), name, None)
        if image.height * image.width * image.bands > 40e6:
            assert "/QI_DATA/MSK_" in f"/{name}"  # quality masks of up to 1 GB, which our readers do not open
            large += 1
            continue
        right = imagecodecs.jpeg2k_decode(data)
        array = indexing.LazilyIndexedArray(ImageArray(image, None))
        right = np.moveaxis(right, -1, 0) if right.ndim == 3 else right
        assert array.shape == right.shape, name
        assert array.dtype == right.dtype
        several = (image.height, image.width) != image.tile
        tiled += several
        down, along = edges(image.height, image.tile[0]), edges(image.width, image.tile[1])
        pairs = list(zip(down, along[::-1], strict=False)) if several else [(down[0], along[1])]
        pairs += [(slice(None), slice(None))] * (image.height <= 1830)
        for rows, columns in pairs:
            key = (slice(None), rows, columns) if right.ndim == 3 else (rows, columns)
            found = np.asarray(array[indexing.BasicIndexer(key)].get_duck_array())
            np.testing.assert_array_equal(found, right[key], f"{name} {key}")
            windows += 1
        count += 1
    print(f"O9: {count} files, {tiled} of several tiles, {windows} windows equal, demanded exact; {large} left out")
    assert (count, large) == (88, 14)
    assert tiled > 50


# --- O15: metadata of every baseline ---------------------------------------------------------------------------------
def with_tile(shared_data: Path, target: Path, baseline: str) -> Path:
    """A step of the ladder with a tile of its level in the granule that its metadata name, so that GDAL lists bands."""
    source = step(shared_data, baseline)
    level = baseline.partition("_")[0]
    files = {name: data for name, data in real.members(source).items() if name.startswith("MTD_")}
    text = files[f"MTD_MSI{level}.xml"].decode()
    granule = re.search(r"<IMAGE_(?:FILE|ID)(?:_2A)?>(GRANULE/[^/<]+)/", text)[1]
    if level == "L1C":
        with zipfile.ZipFile(shared_data / L1C) as archive:
            (name,) = [entry for entry in archive.namelist() if entry.endswith("MTD_TL.xml")]
            files[f"{granule}/MTD_TL.xml"] = archive.read(name)
    else:
        files[f"{granule}/MTD_TL.xml"] = next((shared_data / L2A).rglob("MTD_TL.xml")).read_bytes()
    return real.as_folder(files, target / source.name)


@pytest.mark.parametrize("baseline", LADDER)
def test_metadata_as_gdal(shared_data: Path, tmp_path: Path, baseline: str) -> None:
    """O15: what our parser takes from the metadata of a baseline, against GDAL's: exact."""
    folder = with_tile(shared_data, tmp_path, baseline)
    level = baseline.partition("_")[0]
    ours = product_metadata(open_container(folder))
    assert ours is not None
    with rasterio.open(folder / f"MTD_MSI{level}.xml", driver="SENTINEL2") as outer:
        tags, subdatasets = outer.tags(), outer.subdatasets
    assert ours.level == level
    assert tags["PROCESSING_LEVEL"] == f"Level-{level[1:]}"
    surface = "BOA_" if level == "L2A" else ""
    assert ours.quantification("reflectance") == float(tags[f"{surface}QUANTIFICATION_VALUE"])
    assert ours.invalid == tuple(int(tags[f"SPECIAL_VALUE_{name}"]) for name in ("NODATA", "SATURATED"))
    if level == "L2A":
        assert ours.quantification("AOT") == float(tags["AOT_QUANTIFICATION_VALUE"])
        assert ours.quantification("WVP") == float(tags["WVP_QUANTIFICATION_VALUE"])
    named = {
        "start_time": "PRODUCT_START_TIME", "stop_time": "PRODUCT_STOP_TIME", "processing_baseline": "PROCESSING_BASELINE",
        "product_type": "PRODUCT_TYPE", "platform": "DATATAKE_1_SPACECRAFT_NAME", "sensor_mode": "DATATAKE_1_DATATAKE_TYPE",
    }  # fmt: skip
    assert {key: ours.attributes[key] for key in named} == {key: tags[tag] for key, tag in named.items()}
    assert ours.attributes["relative_orbit_number"] == int(tags["DATATAKE_1_SENSING_ORBIT_NUMBER"])
    assert ours.attributes["orbit_direction"] == tags["DATATAKE_1_SENSING_ORBIT_DIRECTION"].lower()
    assert ours.attributes["cloud_cover"] == float(tags["CLOUD_COVERAGE_ASSESSMENT"])
    outline = shapely.from_wkt(tags["FOOTPRINT"])
    assert shapely.from_wkt(ours.attributes["footprint"]).symmetric_difference(outline).area < 1e-9 * outline.area
    assert dt.datetime.fromisoformat(ours.start)
    offsets, wavelengths = {}, {}
    for name in subdatasets:
        if ":TCI:" in name:
            continue
        with rasterio.open(name) as dataset:
            for number, label in enumerate(described(dataset), 1):
                if label in BANDS:
                    band = dataset.tags(number)
                    offsets[label] = float(band.get(f"{'BOA' if level == 'L2A' else 'RADIO'}_ADD_OFFSET", 0))
                    wavelengths[label] = float(band["WAVELENGTH"])
    assert len(offsets) == (13 if level == "L1C" else 12)
    assert {label: ours.offset(label) for label in offsets} == offsets
    apart = {
        label: abs(ours.wavelengths[label][0] - wavelengths[label])
        for label in wavelengths
        if label in ours.wavelengths
    }
    assert max(apart.values(), default=0) < 13  # GDAL has a table of its own, of before the launch, for all satellites
    print(f"O15 {baseline}: equal, demanded exact; offsets {sorted(set(offsets.values()))}")
