"""Sentinel-2: the same numbers, places and holes as in the files, and reflectance by the product's own metadata."""

from __future__ import annotations

import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray.core import indexing

from extenso_nb import readers
from extenso_nb.errors import (
    DamagedProduct,
    ExtensoError,
    IncompleteProduct,
    InputError,
    UnknownBand,
    UnsupportedProduct,
)
from extenso_nb.readers import arrays, band, jp2, open_product
from extenso_nb.readers.opening import open_container

# rasterio and rioxarray multiply transforms with `*`, of which affine 3 warns
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

ID = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
GRANULE = "GRANULE/L2A_T31TCJ_A037810_20240601T105613"
STEM = f"{GRANULE}/IMG_DATA/R10m/T31TCJ_20240601T105619"
SIZE = {10: 240, 20: 120, 60: 40}
OFFSETS = {"B02": -1000, "B04": -7000, "B08": -1000, "B05": -1000}
ULX, ULY = 300000.0, 4900020.0

L1C = "s2_l1c/S2A_MSIL1C_20180629T000241_N0206_R030_T56JMM_20180629T012042.zip"
L1C_B01 = "s2_l1c/S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911.SAFE.zip"
L1C_EMPTY = "s2_l1c/S2A_MSIL1C_20230216T044851_N0509_R076_T46UEU_20230216T000000.SAFE.zip"
L2A = "s2_l2a/S2A_MSIL2A_20181229T095411_N0211_R079_T33SVB_20181229T112231.SAFE"


# --- a small product of our own --------------------------------------------------------------------------------------
def digital_numbers(label: str, metres: int) -> np.ndarray:
    """Pixels with a fill, a saturated one and every value in between, different for each band."""
    generator = np.random.default_rng(sum(map(ord, label)) + metres)
    top, dtype = (12, np.uint8) if label == "SCL" else (101, np.uint8) if label == "CLD" else (20_000, np.uint16)
    pixels = generator.integers(1, top, (SIZE[metres], SIZE[metres]), dtype=dtype)
    pixels[0, :3] = 0
    if dtype is np.uint16:
        pixels[1, :2] = 65535
    return pixels


def write_image(path: Path, pixels: np.ndarray, metres: int, *, driver: str = "JP2OpenJPEG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    options: dict[str, Any] = {"blockxsize": 64, "blockysize": 64}
    options |= {"quality": 100, "reversible": "YES"} if driver == "JP2OpenJPEG" else {"tiled": True}
    with rasterio.open(
        path,
        "w",
        driver=driver,
        width=layers.shape[2],
        height=layers.shape[1],
        count=layers.shape[0],
        dtype=layers.dtype,
        crs="EPSG:32631",
        transform=rasterio.Affine(metres, 0, ULX, 0, -metres, ULY),
        **options,
    ) as dataset:
        dataset.write(layers)


def product_xml(*, offsets: dict[str, int] | None, prefix: str = "", quantification: str = "10000") -> str:
    index = {label: number for number, label in enumerate([*(f"B{n:02}" for n in range(1, 9)), "B8A"])}
    listed = "".join(
        f'<BOA_ADD_OFFSET band_id="{number}">{(offsets or {}).get(label, -1000)}</BOA_ADD_OFFSET>'
        for label, number in index.items()
    )
    images = [f"{STEM}_{label}_10m" for label in ("B02", "B04", "B08")]
    images += [f"{STEM}_B03_10m", f"{GRANULE}/IMG_DATA/R20m/T31TCJ_20240601T105619_B05_20m"]
    return f"""<?xml version="1.0"?><n1:Level-2A_User_Product xmlns:n1="https://psd"><n1:General_Info>
      <{prefix}Product_Info><PRODUCT_START_TIME>2024-06-01T10:56:19.024Z</PRODUCT_START_TIME>
      <PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE><PROCESSING_BASELINE>05.10</PROCESSING_BASELINE>
      <SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME><SENSING_ORBIT_NUMBER>94</SENSING_ORBIT_NUMBER>
      {"".join(f"<IMAGE_FILE>{name}</IMAGE_FILE>" for name in images)}</{prefix}Product_Info>
      <Product_Image_Characteristics>
      <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values><Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT>
      <SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX></Special_Values>
      <QUANTIFICATION_VALUES_LIST>
      <{prefix}BOA_QUANTIFICATION_VALUE unit="none">{quantification}</{prefix}BOA_QUANTIFICATION_VALUE>
      <{prefix}AOT_QUANTIFICATION_VALUE unit="none">1000.0</{prefix}AOT_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>
      {f"<BOA_ADD_OFFSET_VALUES_LIST>{listed}</BOA_ADD_OFFSET_VALUES_LIST>" if offsets is not None else ""}
      </Product_Image_Characteristics></n1:General_Info></n1:Level-2A_User_Product>"""


def tile_xml() -> str:
    sizes = "".join(
        f'<Size resolution="{m}"><NROWS>{n}</NROWS><NCOLS>{n}</NCOLS></Size><Geoposition resolution="{m}"><ULX>{ULX}</ULX>'
        f"<ULY>{ULY}</ULY><XDIM>{m}</XDIM><YDIM>-{m}</YDIM></Geoposition>"
        for m, n in SIZE.items()
    )
    return f"""<?xml version="1.0"?><n1:Level-2A_Tile_ID xmlns:n1="https://psd"><n1:General_Info>
      <TILE_ID>S2B_OPER_MSI_L2A_TL_2BPS_20240601T134512_A037810_T31TCJ_N05.10</TILE_ID>
      <SENSING_TIME>2024-06-01T11:00:13.310Z</SENSING_TIME></n1:General_Info><n1:Geometric_Info><Tile_Geocoding>
      <HORIZONTAL_CS_CODE>EPSG:32631</HORIZONTAL_CS_CODE>{sizes}</Tile_Geocoding></n1:Geometric_Info></n1:Level-2A_Tile_ID>"""


def write_product(root: Path, *, offsets: dict[str, int] | None = OFFSETS, **options: Any) -> Path:
    folder = root / f"{ID}.SAFE"
    for label in ("B02", "B04", "B08"):
        write_image(folder / f"{STEM}_{label}_10m.jp2", digital_numbers(label, 10), 10)
    write_image(folder / f"{STEM}_AOT_10m.jp2", digital_numbers("AOT", 10), 10)
    colours = np.stack([digital_numbers("SCL", 10) * np.uint8(k) for k in (1, 2, 3)])
    write_image(folder / f"{STEM}_TCI_10m.jp2", colours, 10)
    twenty = folder / GRANULE / "IMG_DATA/R20m"
    # GeoTIFF inside, .jp2 outside: such files exist
    write_image(twenty / "T31TCJ_20240601T105619_B05_20m.jp2", digital_numbers("B05", 20), 20, driver="GTiff")
    write_image(twenty / "T31TCJ_20240601T105619_SCL_20m.jp2", digital_numbers("SCL", 20), 20)
    write_image(folder / GRANULE / "QI_DATA/MSK_CLDPRB_20m.jp2", digital_numbers("CLD", 20), 20)
    write_image(folder / GRANULE / "QI_DATA/MSK_DETFOO_B04.jp2", digital_numbers("SCL", 10), 10)
    (folder / "MTD_MSIL2A.xml").write_text(product_xml(offsets=offsets, **options))
    (folder / GRANULE / "MTD_TL.xml").write_text(tile_xml())
    return folder


def zipped(folder: Path, target: Path, method: int) -> Path:
    with zipfile.ZipFile(target, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{folder.name}/{file.relative_to(folder)}")
    return target


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same product as a folder, in a stored zip and in a deflated zip."""
    root = tmp_path_factory.mktemp("made")
    folder = write_product(root)
    return {
        "folder": folder,
        "stored": zipped(folder, root / f"{ID}.SAFE.zip", zipfile.ZIP_STORED),
        "deflated": zipped(folder, root / "deflated.zip", zipfile.ZIP_DEFLATED),
    }


def expected(pixels: np.ndarray, offset: float, quantification: float) -> np.ndarray:
    """Reflectance in float64, rounded once."""
    values = ((pixels.astype(np.float64) + offset) / quantification).astype(np.float32)
    values[(pixels == 0) | (pixels == 65535)] = np.nan
    return values


# --- numbers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["folder", "stored", "deflated"])
def test_reflectance_by_the_offset_of_each_band(made: dict[str, Path], kind: str) -> None:
    tree = open_product(made[kind])
    for label, offset in OFFSETS.items():
        metres = 20 if label == "B05" else 10
        array = tree[f"measurements/r{metres}m/{label}"]
        pixels = digital_numbers(label, metres)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array.values, expected(pixels, offset, 10000))
        assert array.attrs["digital_number_offset"] == offset
        assert array.attrs["units"] == "1"
        assert array.attrs["common_name"] == {"B02": "blue", "B04": "red", "B08": "nir", "B05": "rededge071"}[label]
    aot = tree["quality/r10m/AOT"]
    dn = digital_numbers("AOT", 10).astype(np.float64)
    np.testing.assert_array_equal(aot.values, np.where(dn == 0, np.nan, dn / 1000).astype(np.float32))


def test_masked_and_scaled_apart(made: dict[str, Path]) -> None:
    pixels = digital_numbers("B04", 10)
    stored = open_product(made["stored"], masked=False, scaled=False)["measurements/r10m/B04"]
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored.values, pixels)
    masked = open_product(made["stored"], scaled=False)["measurements/r10m/B04"].values
    np.testing.assert_array_equal(masked, expected(pixels, 0, 1))
    scaled = open_product(made["stored"], masked=False)["measurements/r10m/B04"].values
    np.testing.assert_array_equal(scaled, ((pixels.astype(np.float64) - 7000) / 10000).astype(np.float32))


def test_classes_percent_and_colours_stay_as_they_are(made: dict[str, Path]) -> None:
    tree = open_product(made["stored"])
    quality = tree["quality/r20m"]
    np.testing.assert_array_equal(quality["SCL"].values, digital_numbers("SCL", 20))
    assert quality["SCL"].dtype == np.uint8
    assert list(quality["SCL"].attrs["flag_values"]) == list(range(12))
    assert quality["SCL"].attrs["flag_meanings"].split()[6] == "water"
    np.testing.assert_array_equal(quality["CLD"].values, digital_numbers("CLD", 20))
    colours = tree["quality/r10m/TCI"]
    assert colours.dims == ("band", "y", "x")
    np.testing.assert_array_equal(colours.sel(band="blue").values, digital_numbers("SCL", 10) * 3)
    assert set(tree["quality/r10m"].data_vars) == {"AOT", "TCI"}  # no mask of a band among them


def test_without_offsets_in_the_metadata_there_is_none_whatever_the_date(tmp_path: Path) -> None:
    tree = open_product(write_product(tmp_path, offsets=None, quantification="5000"))
    array = tree["measurements/r10m/B04"]
    np.testing.assert_array_equal(array.values, expected(digital_numbers("B04", 10), 0, 5000))
    assert tree.attrs["start_time"].startswith("2024")


def test_first_l2a_tag_names(tmp_path: Path) -> None:
    tree = open_product(write_product(tmp_path, offsets=None, prefix="L2A_"))
    assert tree["measurements/r10m/B04"].attrs["quantification_value"] == 10000


def test_offsets_for_other_bands_only_are_no_offset_of_zero(tmp_path: Path) -> None:
    folder = write_product(tmp_path)
    path = folder / "MTD_MSIL2A.xml"
    path.write_text(path.read_text().replace('band_id="3"', 'band_id="12"'))
    with pytest.raises(IncompleteProduct, match="none for B04"):
        open_product(folder)
    assert open_product(folder, masked=False, scaled=False)["measurements/r10m/B04"].dtype == np.uint16


def test_special_values_come_from_the_metadata(tmp_path: Path) -> None:
    folder = write_product(tmp_path)
    path = folder / "MTD_MSIL2A.xml"
    path.write_text(path.read_text().replace(">65535<", ">19999<").replace("VALUE_INDEX>0<", "VALUE_INDEX>7<"))
    pixels = digital_numbers("B02", 10)
    values = open_product(folder)["measurements/r10m/B02"].values
    np.testing.assert_array_equal(np.isnan(values), (pixels == 7) | (pixels == 19999))


# --- real products ---------------------------------------------------------------------------------------------------
def test_real_l1c_equals_rasterio(shared_data: Path) -> None:
    path = shared_data / L1C
    product = open_container(path)
    raw = open_product(path, masked=False, scaled=False)
    tree = open_product(path)
    count = 0
    for group in ("r10m", "r20m", "r60m"):
        for label, array in raw[f"measurements/{group}"].data_vars.items():
            (member,) = product.find(f"*img_data/*_{label}.jp2")
            with rasterio.open(product.gdal_path(member)) as dataset:
                pixels = dataset.read(1)
                np.testing.assert_array_equal(array.values, pixels)
                assert array.rio.transform() == dataset.transform
                assert array.rio.crs == dataset.crs
                for x, y in ((0, 0), (dataset.width - 1, dataset.height - 1)):
                    np.testing.assert_allclose((array.x[x], array.y[y]), dataset.xy(y, x), rtol=0, atol=1e-6)
            values = tree[f"measurements/{group}/{label}"].values
            np.testing.assert_array_equal(values, expected(pixels, 0, 10000))
            count += 1
    assert count == 13
    assert "439 x 439 pixels of 250.1138952 m" in tree["measurements/r10m"].attrs["grid_note"]
    assert tree.attrs["platform"] == "Sentinel-2A"
    assert (tree.attrs["orbit_number"], tree.attrs["tile_id"]) == (15757, "56JMM")
    assert tree["measurements/r10m"].time.values == np.datetime64("2018-06-29T00:02:41.461", "ns")
    red = tree["measurements/r10m/B04"].attrs
    assert (red["wavelength"], red["common_name"]) == (664.6, "red")
    import json

    json.dumps(tree.attrs)


def test_real_full_size_band_and_gdal_sentinel2_driver(shared_data: Path) -> None:
    """B01 at full size, against the file itself and against GDAL's own SENTINEL2 driver."""
    path = shared_data / L1C_B01
    tree = open_product(path, masked=False, scaled=False)
    array = tree["measurements/r60m/B01"]
    assert array.shape == (1830, 1830)
    assert array.chunks == ((1830,), (1830,))
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(f"/vsizip/{path}/MTD_MSIL1C.xml") as outer,
    ):
        (sixty,) = [name for name in outer.subdatasets if ":60m:" in name]
    with rasterio.open(sixty) as dataset:
        at = next(number for number, text in enumerate(dataset.descriptions, start=1) if text.startswith("B1,"))
        np.testing.assert_array_equal(array.values, dataset.read(at))
        assert array.rio.transform() == dataset.transform
        assert array.rio.crs == dataset.crs
    assert "grid_note" not in tree["measurements/r60m"].attrs
    assert len(tree.attrs["missing_members"]) == 13  # 12 bands and TCI
    with pytest.raises(IncompleteProduct, match="B04"):
        band(tree, "red")


def test_real_l2a_without_product_metadata(shared_data: Path) -> None:
    path = shared_data / L2A
    with pytest.raises(IncompleteProduct, match="scaled=False"):
        open_product(path)
    tree = open_product(path, scaled=False)
    product = open_container(path)
    count = 0
    for group in ("r10m", "r20m", "r60m"):
        for label, array in tree[f"measurements/{group}"].data_vars.items():
            (member,) = product.find(f"*_{label}_{group[1:]}.jp2")
            with rasterio.open(product.gdal_path(member)) as dataset:
                np.testing.assert_array_equal(array.values, expected(dataset.read(1), 0, 1))
                assert array.rio.transform() == dataset.transform
            assert array.attrs["quantification_note"].startswith("unknown")
            count += 1
    assert count == 12
    assert tree.attrs["platform"] == "Sentinel-2A"
    assert tree.attrs["product_type"] == "S2MSI2A"


def test_angles_against_the_metadata(shared_data: Path) -> None:
    tree = open_product(shared_data / L1C)
    geometry = tree["conditions/geometry"]
    from xml.etree import ElementTree as ET

    product = open_container(shared_data / L1C)
    (member,) = product.find("granule/*/mtd_tl.xml")
    root = ET.fromstring(product.read(member))
    zenith = [[float(v) for v in row.text.split()] for row in root.find(".//Sun_Angles_Grid/Zenith/Values_List")]
    np.testing.assert_array_equal(geometry["sun_angles"].sel(angle="zenith").values, np.array(zenith, np.float32))
    (grid,) = root.findall('.//Viewing_Incidence_Angles_Grids[@bandId="8"][@detectorId="11"]')
    azimuth = [[float(v) for v in row.text.split()] for row in grid.find("Azimuth/Values_List")]
    view = geometry["viewing_incidence_angles"].sel(band="B8A", detector=11, angle="azimuth")
    np.testing.assert_array_equal(view.values, np.array(azimuth, np.float32))
    assert (geometry.x.values[0], geometry.y.values[0]) == (399960, 6700000)
    assert (geometry.x.values[1], geometry.y.values[1]) == (404960, 6695000)
    # the mean of the grid is the mean that the metadata give, to within the pixels outside the swath
    mean = float(root.find(".//Mean_Sun_Angle/ZENITH_ANGLE").text)
    assert abs(float(geometry["sun_angles"].sel(angle="zenith").mean()) - mean) < 0.2


def test_every_real_product_opens_or_says_truly_why_not(shared_data: Path) -> None:
    folders = [*(shared_data / "s2_l1c").iterdir(), *(shared_data / "s2_l2a").rglob("*.SAFE")]
    folders += [path for path in (shared_data / "s2_l2a").iterdir() if path.suffix != ".SAFE"]
    assert len(folders) > 30
    opened, refused = [], {}
    for path in sorted(folders):
        try:
            tree = open_product(path, scaled=False)
        except ExtensoError as error:
            refused[path.name] = error
            continue
        for node in tree.subtree:
            for array in node.data_vars.values():
                assert array.isel({dim: slice(0, 2) for dim in array.dims}).compute().size
        opened.append(path.name)
    assert len(opened) == 3
    assert all(error.hint for error in refused.values())
    kinds = {name: type(error) for name, error in refused.items()}
    assert kinds[Path(L1C_EMPTY).name] is IncompleteProduct
    assert kinds["aws_tile_19UDP_20170729"] is UnsupportedProduct
    assert kinds["earth_search_120m"] is UnsupportedProduct
    assert all(kind is IncompleteProduct for name, kind in kinds.items() if name.endswith(".SAFE"))


def test_metadata_of_every_baseline(shared_data: Path) -> None:
    """The ladder has metadata only: the numbers that count are read, the same as plain text search finds."""
    import re

    from extenso_nb.readers.sentinel2_metadata import product_metadata

    files = sorted((shared_data / "s2_l2a").rglob("MTD_MSIL*.xml"))
    assert len(files) >= 26
    with_offset = 0
    for file in files:
        text = file.read_text()
        metadata = product_metadata(open_container(file.parent))
        assert metadata is not None
        assert metadata.quantification("reflectance") == float(
            re.search(r"<(?:BOA_)?QUANTIFICATION_VALUE[^>]*>([\d.]+)<", text)[1]
        )
        listed = re.findall(r'_ADD_OFFSET band_id="(\d+)">(-?\d+)<', text)
        assert metadata.offsets == {int(number): float(value) for number, value in listed}
        assert metadata.offset("B8A") == (-1000 if listed else 0)
        with_offset += bool(listed)
        assert metadata.invalid == (0, 65535)
        assert len(metadata.wavelengths) == (13 if "<Spectral_Information " in text else 0)
        if metadata.wavelengths:
            assert metadata.wavelengths["B8A"][0] == pytest.approx(865, abs=2)
        assert len(metadata.images) in (13, 14, 35, 36, 37, 38)
        if metadata.level == "L2A":
            assert metadata.quantification("AOT") == metadata.quantification("WVP") == 1000
            assert len(metadata.classes) == 12
            assert metadata.classes[6] == "water"
    assert 0 < with_offset < len(files)


# --- laziness, threads, processes ------------------------------------------------------------------------------------
def test_opening_touches_no_pixels(made: dict[str, Path], shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL is not even asked where the header agrees with the metadata; of each image only the first bytes are read."""
    asked: list[str] = []
    asking = arrays._with_dataset

    def counting(file: arrays.ImageFile, *rest: Any, **options: Any) -> Any:
        asked.append(file.member)
        return asking(file, *rest, **options)

    monkeypatch.setattr(arrays, "_with_dataset", counting)
    open_product(shared_data / L1C_B01)
    assert asked == []
    tree = open_product(made["deflated"])
    assert [name for name in asked if "_B05_" not in name] == []  # the GeoTIFF in disguise is GDAL's to judge
    asked.clear()
    tree["measurements/r10m/B04"][:10, :10].compute()
    assert asked == [f"{STEM}_B04_10m.jp2"]


def test_a_window_reads_a_window(made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    windows = []
    read = arrays.ImageArray._window

    def noting(self: arrays.ImageArray, *window: int) -> np.ndarray:
        windows.append(window)
        return read(self, *window)

    monkeypatch.setattr(arrays.ImageArray, "_window", noting)
    array = open_product(made["stored"], chunks=None)["measurements/r10m/B04"]
    _ = array[100:130, 7].values
    assert windows == [(100, 130, 7, 8)]


def _not_empty_backwards(size: int) -> Any:
    """xarray itself fails at empty slices that run backwards, before it asks for anything."""
    return lambda part: len(range(*part.indices(size))) > 0 or (part.step or 1) > 0


@given(st.data())
@settings(max_examples=60)
def test_any_index_equals_numpy(made_array: tuple[arrays.ImageArray, np.ndarray], data: st.DataObject) -> None:
    lazy, pixels = made_array
    key = []
    for size in pixels.shape:
        part = st.one_of(
            st.integers(-size, size - 1),
            st.slices(size).filter(_not_empty_backwards(size)),
            st.lists(st.integers(-size, size - 1), max_size=5).map(lambda v: np.array(v, dtype=np.int64)),
        )
        key.append(data.draw(part))
    wanted = pixels
    for axis in reversed(range(len(key))):
        wanted = wanted[(slice(None),) * axis + (key[axis],)]
    variable = xr.Variable(("y", "x"), indexing.LazilyIndexedArray(lazy))
    np.testing.assert_array_equal(variable[tuple(key)].values, wanted)


@pytest.fixture(scope="module")
def made_array(made: dict[str, Path]) -> tuple[arrays.ImageArray, np.ndarray]:
    product = open_container(made["stored"])
    image = arrays.probe(product, f"{STEM}_B08_10m.jp2", None)
    return arrays.ImageArray(image, None), digital_numbers("B08", 10)


def test_eight_threads_read_a_hundred_windows(shared_data: Path, made: dict[str, Path]) -> None:
    """A handle shared by threads gave 393 of 400 wrong arrays; here every one must be right."""
    for path, name, product_pixels in (
        (made["stored"], "measurements/r10m/B04", digital_numbers("B04", 10)),
        (shared_data / L1C_B01, "measurements/r60m/B01", None),
    ):
        array = open_product(path, masked=False, scaled=False, chunks=None)[name]
        pixels = array.values if product_pixels is None else product_pixels
        generator = np.random.default_rng(1)
        corners = generator.integers(0, pixels.shape[0] - 64, (100, 2))

        def right(corner: np.ndarray, array: xr.DataArray = array, pixels: np.ndarray = pixels) -> bool:
            window = (slice(corner[0], corner[0] + 64), slice(corner[1], corner[1] + 64))
            return np.array_equal(array[window].values, pixels[window])

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(right, corners if product_pixels is not None else corners[:30]))


@pytest.mark.parametrize("kind", ["folder", "stored", "deflated"])
def test_arrays_compute_in_another_process(worker: Any, made: dict[str, Path], kind: str) -> None:
    array = open_product(made[kind], chunks={"y": 64, "x": 128})["measurements/r10m/B04"]
    assert array.chunks == ((64, 64, 64, 48), (128, 112))
    future = worker.compute(array)
    np.testing.assert_array_equal(future.result(), expected(digital_numbers("B04", 10), -7000, 10000))


def test_a_damaged_image_is_named_by_a_worker_too(worker: Any, tmp_path: Path) -> None:
    folder = write_product(tmp_path)
    file = folder / f"{STEM}_B04_10m.jp2"
    file.write_bytes(file.read_bytes()[:60_000])
    with pytest.raises(DamagedProduct, match=r"_B04_10m\.jp2") as caught:
        worker.compute(open_product(folder)["measurements/r10m/B04"]).result()
    assert caught.value.details["member"] == f"{STEM}_B04_10m.jp2"


def test_a_tree_pickles(made: dict[str, Path]) -> None:
    for chunks in ("auto", None):
        tree = open_product(made["stored"], chunks=chunks)
        text = pickle.dumps(tree)
        assert len(text) < 100_000
        again = pickle.loads(text)
        xr.testing.assert_identical(again["measurements/r10m"].to_dataset(), tree["measurements/r10m"].to_dataset())


def test_chunks_are_whole_tiles() -> None:
    def image(tile: tuple[int, int], size: int) -> arrays.Image:
        return arrays.Image(
            path="",
            member="",
            source="",
            height=size,
            width=size,
            bands=1,
            dtype="uint16",
            tile=tile,
            crs=None,
            transform=(10.0, 0.0, 0.0, 0.0, -10.0, 0.0),
        )

    assert arrays.chunk_sizes(image((1024, 1024), 10980)) == {"y": 2048, "x": 2048}
    assert arrays.chunk_sizes(image((640, 640), 5490)) == {"y": 1920, "x": 1920}
    assert arrays.chunk_sizes(image((192, 192), 1830)) == {"y": 1830, "x": 1830}
    assert arrays.chunk_sizes(image((1, 5490), 5490)) == {"y": 2048, "x": 5490}


# --- damage ----------------------------------------------------------------------------------------------------------
def test_a_cut_image_is_an_error_and_never_zeros(tmp_path: Path) -> None:
    folder = write_product(tmp_path)
    file = folder / f"{STEM}_B04_10m.jp2"
    whole, pixels = file.read_bytes(), digital_numbers("B04", 10)
    for part in (0.99, 0.9, 0.75, 0.5, 0.35, 0.2):
        file.write_bytes(whole[: int(len(whole) * part)])
        array = open_product(folder, masked=False, scaled=False)["measurements/r10m/B04"]
        with pytest.raises(DamagedProduct, match=r"_B04_10m\.jp2 in .* cannot be read"):
            _ = array.values
        np.testing.assert_array_equal(array[:8, :8].values, pixels[:8, :8])  # what is there still reads right
    file.write_bytes(whole[:60])
    with pytest.raises(DamagedProduct):
        open_product(folder)


def test_an_empty_image_is_listed_and_its_band_is_refused(tmp_path: Path) -> None:
    folder = write_product(tmp_path)
    (folder / f"{STEM}_B08_10m.jp2").write_bytes(b"")
    tree = open_product(folder)
    assert set(tree["measurements/r10m"].data_vars) == {"B02", "B04"}
    missing = [f"{STEM}_B03_10m", f"{STEM}_B08_10m"]  # B03 is listed in the metadata and was never there
    assert tree.attrs["missing_members"] == missing
    assert tree["measurements/r10m"].attrs["missing_members"] == missing
    assert "missing_members" not in tree["measurements/r20m"].attrs
    for name in ("B08", "nir", "green"):
        with pytest.raises(IncompleteProduct, match="missing or empty"):
            band(tree, name)


def test_bands_by_either_name(made: dict[str, Path]) -> None:
    tree = open_product(made["stored"])
    assert band(tree, "red").identical(tree["measurements/r10m/B04"])
    assert band(tree, "B05").attrs["band_id"] == "B05"
    assert band(tree, "SCL", resolution=20).dtype == np.uint8
    with pytest.raises(UnknownBand) as caught:
        band(tree, "B99")
    assert "B04 (red)" in caught.value.details["bands"]
    with pytest.raises(UnknownBand, match="at 60 m"):
        band(tree, "red", resolution=60)


def test_bad_metadata(tmp_path: Path) -> None:
    folder = write_product(tmp_path)
    path = folder / "MTD_MSIL2A.xml"
    good = path.read_text()
    path.write_text(good[:500])
    with pytest.raises(DamagedProduct, match="not XML"):
        open_product(folder)
    path.write_text(good.replace(">10000<", ">ten<"))
    with pytest.raises(DamagedProduct, match="'ten'"):
        open_product(folder)
    path.write_text(good.replace(">10000<", ">0<"))
    with pytest.raises(DamagedProduct, match="nothing can be divided"):
        open_product(folder)
    path.write_text(good.replace("BOA_QUANTIFICATION_VALUE", "X"))
    with pytest.raises(IncompleteProduct, match="no quantification of reflectance"):
        open_product(folder)
    path.write_text("")
    with pytest.raises(IncompleteProduct, match=r"no MTD_MSIL2A\.xml"):
        open_product(folder)


def test_bands_on_differing_grids_are_not_put_together(tmp_path: Path) -> None:
    folder = write_product(tmp_path)
    write_image(folder / f"{STEM}_B08_10m.jp2", digital_numbers("B08", 20), 20)
    with pytest.raises(DamagedProduct, match="same grid"):
        open_product(folder)


def test_products_of_several_tiles_are_refused(tmp_path: Path) -> None:
    folder = write_product(tmp_path)
    (folder / "GRANULE/other/IMG_DATA").mkdir(parents=True)
    (folder / "GRANULE/other/IMG_DATA/T31TCK_20240601T105619_B02.jp2").write_bytes(b"x")
    with pytest.raises(UnsupportedProduct, match="2 tiles"):
        open_product(folder)


def test_side_files_do_not_change_what_a_file_says(tmp_path: Path) -> None:
    """QGIS and others leave .aux.xml files behind."""
    folder = write_product(tmp_path)
    (folder / f"{STEM}_B04_10m.jp2.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:4326</SRS><GeoTransform>1,2,0,3,0,-4</GeoTransform></PAMDataset>"
    )
    (folder / f"{STEM}_B04_10m.j2w").write_text("1\n0\n0\n-1\n0\n0\n")
    array = open_product(folder)["measurements/r10m/B04"]
    assert array.rio.crs.to_epsg() == 32631
    np.testing.assert_array_equal(array.values, expected(digital_numbers("B04", 10), -7000, 10000))


# --- georeferencing, netCDF, engine ----------------------------------------------------------------------------------
def test_rioxarray_and_odc_know_the_place(made: dict[str, Path]) -> None:
    import odc.geo.xr

    assert odc.geo.xr is not None  # imported for its accessor
    dataset = open_product(made["stored"])["measurements/r10m"].to_dataset()
    assert dataset.rio.crs.to_epsg() == 32631
    assert dataset["B04"].rio.transform() == rasterio.Affine(10, 0, ULX, 0, -10, ULY)
    assert dataset.odc.geobox.crs.epsg == 32631
    assert dataset.odc.geobox.transform == rasterio.Affine(10, 0, ULX, 0, -10, ULY)


def test_netcdf_round_trip_is_exact_and_packs_on_demand(made: dict[str, Path], tmp_path: Path) -> None:
    dataset = open_product(made["stored"])["measurements/r10m"].to_dataset()
    target = tmp_path / "out.nc"
    dataset.to_netcdf(target, engine="h5netcdf")
    with xr.open_dataset(target, engine="h5netcdf", decode_coords="all") as again:
        np.testing.assert_array_equal(again["B04"].values, dataset["B04"].values)
        assert again["B04"].dtype == np.float32
        assert again.rio.crs.to_epsg() == 32631
    packing = {name: array.encoding["packing"] for name, array in dataset.data_vars.items()}
    dataset.to_netcdf(tmp_path / "packed.nc", engine="h5netcdf", encoding=packing)
    with xr.open_dataset(tmp_path / "packed.nc", engine="h5netcdf", mask_and_scale=False) as raw:
        pixels = digital_numbers("B04", 10)
        np.testing.assert_array_equal(raw["B04"].values, np.where(pixels == 65535, 0, pixels))
    with xr.open_dataset(tmp_path / "packed.nc", engine="h5netcdf") as again:
        np.testing.assert_allclose(again["B04"].values, dataset["B04"].values, atol=1e-6)


def test_dates_without_and_with_an_offset_are_written_as_they_are(made: dict[str, Path], tmp_path: Path) -> None:
    """xr.concat keeps one encoding: had it a packing, negative reflectance of the other date came back as 6.55."""
    old = open_product(write_product(tmp_path, offsets=None))["measurements/r10m"].to_dataset()
    new = open_product(made["stored"])["measurements/r10m"].to_dataset()
    assert float(new["B04"].min()) < 0
    for first, second in ((old, new), (new, old)):
        both = xr.concat([first, second], "time")
        target = tmp_path / f"{first['B04'].attrs['digital_number_offset']}.nc"
        both.to_netcdf(target, engine="h5netcdf")
        with xr.open_dataset(target, engine="h5netcdf") as again:
            np.testing.assert_array_equal(again["B04"].values, both["B04"].values)


def test_a_group_as_geotiff_has_the_values_and_no_scale(made: dict[str, Path], tmp_path: Path) -> None:
    tree = open_product(made["stored"])
    dataset = tree["measurements/r10m"].to_dataset()
    dataset.rio.to_raster(tmp_path / "group.tif")
    with rasterio.open(tmp_path / "group.tif") as written:
        assert (written.scales, written.offsets) == ((1.0,) * 3, (0.0,) * 3)
        assert np.isnan(written.nodata)
        np.testing.assert_array_equal(written.read(2), dataset["B04"].values)
    dataset["B04"].rio.to_raster(tmp_path / "band.tif")
    with rasterio.open(tmp_path / "band.tif") as written:
        np.testing.assert_array_equal(written.read(1), dataset["B04"].values)


def test_the_engine(made: dict[str, Path]) -> None:
    tree = open_product(made["stored"])
    opened = xr.open_datatree(made["stored"], engine="extenso")
    assert opened.groups == tree.groups
    dataset = xr.open_dataset(
        made["stored"], engine="extenso", group="measurements/r10m", chunks={}, drop_variables="B02"
    )
    assert set(dataset.data_vars) == {"B04", "B08"}
    assert dataset["B04"].chunks == ((240,), (240,))
    np.testing.assert_array_equal(dataset["B04"].values, tree["measurements/r10m/B04"].values)
    raw = xr.open_dataset(made["stored"], engine="extenso", group="/measurements/r10m", masked=False, scaled=False)
    assert raw["B04"].dtype == np.uint16
    with xr.open_dataset(made["folder"], group="quality/r20m") as guessed:  # by its name
        assert set(guessed.data_vars) == {"SCL", "CLD"}
    with pytest.raises(InputError, match="no group None") as caught:
        xr.open_dataset(made["stored"], engine="extenso")
    assert "measurements/r10m" in caught.value.hint
    part = xr.open_datatree(made["stored"], engine="extenso", group="measurements")
    assert part.groups == ("/", "/r10m", "/r20m")
    with pytest.raises(InputError, match="no group 'nothing'"):
        xr.open_datatree(made["stored"], engine="extenso", group="nothing")


def test_the_header_parser_agrees_with_gdal(shared_data: Path) -> None:
    count = 0
    for path in (L1C, L1C_B01, L2A, "s2_l2a/antimeridian/S2A_OPER_MSI_L2A_TL_2APS_20230603T031757_A041497_T01WCQ"):
        product = open_container(shared_data / path)
        for member in product.find("*.jp2"):
            header = jp2.header(product.head(member, jp2.HEAD))
            with rasterio.open(product.gdal_path(member)) as dataset:
                assert header is not None
                assert (header.height, header.width) == dataset.shape
                assert (header.components, header.dtype) == (dataset.count, dataset.dtypes[0])
                assert header.tile == dataset.block_shapes[0]
                assert header.epsg == dataset.crs.to_epsg()
                np.testing.assert_allclose(header.transform, tuple(dataset.transform)[:6], rtol=0, atol=1e-6)
            count += 1
    assert count > 50


@given(st.binary(max_size=200))
def test_the_header_parser_survives_anything(noise: bytes) -> None:
    signature = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
    assert jp2.header(noise) is None or isinstance(jp2.header(noise), jp2.Header)
    jp2.header(signature + noise)
    jp2.header(signature + b"\x00\x00\x00\x00jp2c\xff\x4f\xff\x51" + noise)


def test_unknown_chunks_and_addresses() -> None:
    with pytest.raises(InputError, match="chunks='big'"):
        readers.open_product("x", chunks="big")
    with pytest.raises(UnsupportedProduct):
        readers.open_product("ftp://host.example/key.zip")
