"""The sample archive's Sentinel-3 and -5P products: true to the format, to the world they show and to their own names."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import h5py
import numpy as np
import pytest
import xarray as xr
from PIL import Image
from shapely import MultiPoint, Polygon
from shapely.geometry import shape

from extenso_nb import products
from extenso_nb.errors import NoQuicklook
from extenso_nb.gateway.sources.sample import olci, sentinel3, sentinel5p, slstr, world
from extenso_nb.readers import describe

NS = {
    "safe": "http://www.esa.int/safe/sentinel/1.1",
    "s3": "http://www.esa.int/safe/sentinel/sentinel-3/1.0",
    "gml": "http://www.opengis.net/gml",
}


@dataclass(frozen=True)
class Wanted:
    """What the writers ask of a Spec."""

    id: str
    area: str
    cover: float


FRAME = "20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_PS1_O_NT_004"
SHORT = "20240610T101930_20240610T101942_20240611T151000_0012_113_179_2160_PS1_O_NT_004"
S3 = {
    "EFR": Wanted(f"S3A_OL_1_EFR____{FRAME}", "camargue", 0.3),
    "EFR short": Wanted(f"S3A_OL_1_EFR____{SHORT}", "lauragais", 0.1),
    "LFR": Wanted(f"S3A_OL_2_LFR____{FRAME}", "camargue", 0.3),
    "RBT": Wanted(f"S3B_SL_1_RBT____{FRAME}", "camargue", 0.55),
    "LST": Wanted(f"S3B_SL_2_LST____{FRAME}", "lofoten", 0.2),
}
S5P = {
    kind.strip("_")[4:].strip("_"): Wanted(
        f"S5P_NRTI_{kind}_20240610T121500_20240610T122000_34512_03_020600_20240610T130112", "camargue", 0.3
    )
    for kind in sentinel5p.TYPES
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("archive")
    for spec in S3.values():
        sentinel3.write(directory, spec)
    for spec in S5P.values():
        sentinel5p.write(directory, spec)
    return directory


def zip_of(archive: Path, key: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive / f"{S3[key].id}.SEN3.zip")


def member(archive: Path, key: str, name: str) -> bytes:
    with zip_of(archive, key) as file:
        return file.read(f"{S3[key].id}.SEN3/{name}")


def opened(archive: Path, key: str, name: str, **options: bool) -> xr.Dataset:
    return xr.open_dataset(io.BytesIO(member(archive, key, name)), engine="h5netcdf", **options).load()


def manifest(archive: Path, key: str) -> ET.Element:
    return ET.fromstring(member(archive, key, "xfdumanifest.xml"))


def text(root: ET.Element, path: str) -> str:
    found = root.find(path, NS)
    assert found is not None, path
    return found.text or ""


def scene(key: str) -> sentinel3.Scene:
    area = world.AREAS[S3[key].area]
    return sentinel3.Scene(S3[key].id, area.lon, area.lat, S3[key].cover)


def granule(key: str) -> sentinel5p.Granule:
    area = world.AREAS[S5P[key].area]
    return sentinel5p.Granule(S5P[key].id, area.lon, area.lat, S5P[key].cover)


def ring(positions: str) -> Polygon:
    numbers = [float(value) for value in positions.split()]
    assert numbers[:2] == numbers[-2:]
    return Polygon(zip(numbers[1::2], numbers[::2], strict=True))


# --- Sentinel-3: container and manifest ------------------------------------------------------------------------------
@pytest.mark.parametrize("key", S3)
def test_zip_is_stored_under_one_root(archive: Path, key: str) -> None:
    with zip_of(archive, key) as file:
        assert file.testzip() is None
        names = file.namelist()
        assert len(names) == len(set(names))
        assert all(name.startswith(f"{S3[key].id}.SEN3/") for name in names)
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in file.infolist())


@pytest.mark.parametrize("key", S3)
def test_manifest_tells_sizes_and_checksums_truly(archive: Path, key: str) -> None:
    root = manifest(archive, key)
    listed, total = set(), 0
    for stream in root.iter("byteStream"):
        place, digest = stream.find("fileLocation"), stream.find("checksum")
        assert place is not None
        assert digest is not None
        name = place.attrib["href"].removeprefix("./")
        data = member(archive, key, name)
        assert int(stream.attrib["size"]) == len(data)
        assert digest.attrib["checksumName"] == "MD5"
        assert digest.text == hashlib.md5(data).hexdigest()
        listed.add(name)
        total += len(data)
    with zip_of(archive, key) as file:
        held = {name.split("/", 1)[1] for name in file.namelist()}
    assert held - listed == {"xfdumanifest.xml", "quicklook.jpg"}
    assert listed <= held
    assert int(text(root, ".//s3:productSize")) == total
    pointed = {pointer.attrib["dataObjectID"] for pointer in root.iter("dataObjectPointer")}
    assert pointed == {item.attrib["ID"] for item in root.iter("dataObject")}


@pytest.mark.parametrize("key", S3)
def test_manifest_agrees_with_the_name(archive: Path, key: str) -> None:
    parsed = products.parse(S3[key].id)
    assert products.format(parsed) == S3[key].id
    assert parsed.archive_name == f"{S3[key].id}.SEN3.zip"
    root = manifest(archive, key)
    assert text(root, ".//s3:productName") == f"{S3[key].id}.SEN3"
    assert text(root, ".//s3:productType") == parsed.product_type
    assert text(root, ".//s3:timeliness") == "NT"
    assert parsed.timeliness == "Non Time Critical"
    assert text(root, ".//safe:number") == parsed.platform[-1]
    assert int(text(root, ".//safe:relativeOrbitNumber")) == parsed.relative_orbit_number
    assert datetime.fromisoformat(text(root, ".//safe:startTime")) == parsed.start
    assert datetime.fromisoformat(text(root, ".//safe:stopTime")) == parsed.stop
    number = root.find(".//safe:orbitNumber", NS)
    assert number is not None
    assert number.attrib["groundTrackDirection"] == "descending"
    instrument = root.find(".//safe:instrument/safe:familyName", NS)
    assert instrument is not None
    assert instrument.attrib["abbreviation"] == parsed.instrument


GEODETIC = {"RBT": ("geodetic_an.nc", "_an"), "LST": ("geodetic_in.nc", "_in")}


@pytest.mark.parametrize("key", S3)
def test_footprint_holds_every_pixel_tightly(archive: Path, key: str) -> None:
    outline = ring(text(manifest(archive, key), ".//gml:posList"))
    assert outline.is_valid
    name, suffix = GEODETIC.get(key, ("geo_coordinates.nc", ""))
    place = opened(archive, key, name)
    points = MultiPoint(
        np.stack([place[f"longitude{suffix}"].values.ravel(), place[f"latitude{suffix}"].values.ravel()], -1)
    )
    assert outline.contains(points)
    assert outline.area < points.convex_hull.area * 1.03
    area = world.AREAS[S3[key].area]
    assert outline.contains(MultiPoint([(area.lon, area.lat)]))


@pytest.mark.parametrize("key", ["EFR", "LFR", "RBT", "LST"])
def test_every_netcdf_opens(archive: Path, key: str, tmp_path: Path) -> None:
    with zip_of(archive, key) as file:
        names = [name.split("/", 1)[1] for name in file.namelist() if name.endswith(".nc")]
    assert len(names) > 8
    for name in names:
        data = opened(archive, key, name)
        assert data.attrs["product_name"] == f"{S3[key].id}.SEN3"
        assert int(data.attrs["absolute_orbit_number"].item()) == scene(key).orbit
        assert data.data_vars or data.coords
    path = tmp_path / "one.nc"  # the netCDF library itself reads files only
    path.write_bytes(member(archive, key, names[0]))
    with xr.open_dataset(path, engine="netcdf4") as data:
        data.load()


@pytest.mark.parametrize("key", S3)
def test_quicklook_is_a_picture_of_the_scene(archive: Path, key: str) -> None:
    picture = Image.open(io.BytesIO(member(archive, key, "quicklook.jpg")))
    assert picture.format == "JPEG"
    assert np.asarray(picture).std() > 20  # not one colour
    bright = (np.asarray(picture.convert("HSV"))[..., 2] > 215) & (np.asarray(picture.convert("HSV"))[..., 1] < 60)
    assert bright.mean() > S3[key].cover * 0.6  # what is called cloud can be seen


@pytest.mark.parametrize("key", ["EFR short", "RBT", "CH4"])
def test_written_twice_is_the_same(key: str, archive: Path, tmp_path: Path) -> None:
    module, spec = (sentinel3, S3[key]) if key in S3 else (sentinel5p, S5P[key])
    first = next(archive.glob(f"{spec.id}*"))
    again = module.write(tmp_path, spec)
    assert again.name == first.name
    assert again.read_bytes() == first.read_bytes()


def test_types_offered_are_drawn() -> None:
    assert {spec.id[4:15] for spec in S3.values()} == set(sentinel3.TYPES)
    assert {spec.id[9:19] for spec in S5P.values()} == set(sentinel5p.TYPES)


def test_whole_share_stays_small(archive: Path) -> None:
    size = {key: (archive / f"{S3[key].id}.SEN3.zip").stat().st_size for key in S3}
    small = np.mean([(archive / f"{spec.id}.nc").stat().st_size for spec in S5P.values()])
    # More than the plan has: eight of Sentinel-3 (three EFR, one LFR, two RBT, two LST) and six of -5P.
    assert 3 * size["EFR"] + size["LFR"] + 2 * size["RBT"] + 2 * size["LST"] + 6 * small < 12e6


# --- Sentinel-3: numbers ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("key", ["EFR", "EFR short"])
@pytest.mark.parametrize("band", [1, 17])
def test_olci_radiance_is_the_worlds_reflectance(archive: Path, key: str, band: int) -> None:
    pixels = olci.grid(scene(key))
    name = f"Oa{band:02d}_radiance"
    raw = opened(archive, key, f"{name}.nc", mask_and_scale=False)[name]
    assert raw.dtype == np.uint16
    assert raw.attrs["_FillValue"] == 65535
    assert raw.max() < 65535
    radiance = raw.values * np.float64(raw.attrs["scale_factor"])
    instrument = opened(archive, key, "instrument_data.nc")
    detector = opened(archive, key, "instrument_data.nc", mask_and_scale=False)["detector_index"].values
    flux = instrument["solar_flux"].values[band - 1][detector]
    ties = opened(archive, key, "tie_geometries.nc")["SZA"].values
    columns = np.arange(raw.shape[1])
    zenith = np.stack([np.interp(columns, columns[::64], row) for row in ties])
    measured = np.pi * radiance / (flux * np.cos(np.radians(zenith)))
    truth = pixels.reflectance(olci.BANDS[band - 1][0])
    step = np.pi * float(raw.attrs["scale_factor"].item()) / flux / np.cos(np.radians(zenith))
    assert (
        np.abs(measured - truth).max() < step.max() / 2 + 1e-3 * truth.max()
    )  # half a count, and ties are interpolated
    clear = (world.cloud(*pixels.places, pixels.when, S3[key].cover) == 0).nonzero()
    ground = world.reflectance(*pixels.places, pixels.when, olci.BANDS[band - 1][0])
    np.testing.assert_allclose(truth[clear], ground[clear], rtol=1e-6)


def test_olci_places_angles_and_times(archive: Path) -> None:
    pixels, name = olci.grid(scene("EFR")), products.parse(S3["EFR"].id)
    place = opened(archive, "EFR", "geo_coordinates.nc")
    lon, lat = pixels.places
    assert np.abs(place["longitude"].values - lon).max() <= 0.6e-6
    assert np.abs(place["latitude"].values - lat).max() <= 0.6e-6
    assert (np.diff(place["latitude"].values[:, 0]) < 0).all()  # southward
    assert (np.diff(place["longitude"].values[0]) > 0).all()  # first column in the west
    assert place["longitude"].values[0, 0] > place["longitude"].values[-1, 0]  # and tilted
    ties = opened(archive, "EFR", "tie_geo_coordinates.nc")
    np.testing.assert_array_equal(ties["longitude"].values, place["longitude"].values[:, ::64])
    angles = opened(archive, "EFR", "tie_geometries.nc")
    row, column = olci.ROWS // 2, 1
    zenith, azimuth = world.sun(
        scene("EFR").middle, float(ties["longitude"][row, column]), float(ties["latitude"][row, column])
    )
    assert float(angles["SZA"][row, column]) == pytest.approx(zenith, abs=0.3)
    assert float(angles["SAA"][row, column]) % 360 == pytest.approx(azimuth, abs=0.6)
    assert 0 <= float(angles["OZA"].min()) < float(angles["OZA"].max()) < 60
    stamps = opened(archive, "EFR", "time_coordinates.nc")["time_stamp"].values
    assert stamps[0] == np.datetime64(name.start.replace(tzinfo=None))
    assert stamps[-1] == np.datetime64(name.stop.replace(tzinfo=None))
    assert 9 < scene("EFR").middle.hour + lon[row, column] / 15 < 12  # about ten by the sun


def flag(variable: xr.DataArray, name: str) -> np.ndarray:
    masks, names = variable.attrs["flag_masks"], variable.attrs["flag_meanings"].split()
    assert len(masks) == len(names)
    return (variable.values & masks[names.index(name)]) != 0


@pytest.mark.parametrize(
    ("key", "file", "variable", "bit", "element"),
    [
        ("LFR", "lqsf.nc", "LQSF", "CLOUD", "cloudyPixels"),
        ("RBT", "flags_in.nc", "confidence_in", "summary_cloud", "cloudyPixels"),
        ("LST", "flags_in.nc", "confidence_in", "summary_cloud", "cloudyPixels"),
    ],
)
def test_cloud_figure_is_what_is_drawn(
    archive: Path, key: str, file: str, variable: str, bit: str, element: str
) -> None:
    drawn = 100 * flag(opened(archive, key, file, mask_and_scale=False)[variable], bit).mean()
    told = manifest(archive, key).find(f".//s3:{element}", NS)
    assert told is not None
    assert float(told.attrib["percentage"]) == pytest.approx(drawn, abs=1e-6)
    assert drawn == pytest.approx(100 * S3[key].cover, abs=0.1)


@pytest.mark.parametrize("key", ["EFR", "EFR short"])
def test_olci_bright_pixels_are_cloud_and_snow(archive: Path, key: str) -> None:
    bright = flag(opened(archive, key, "qualityFlags.nc", mask_and_scale=False)["quality_flags"], "bright")
    told = manifest(archive, key).find(".//s3:brightPixels", NS)
    assert told is not None
    assert float(told.attrib["percentage"]) == pytest.approx(100 * bright.mean(), abs=1e-6)
    pixels = olci.grid(scene(key))
    assert bright[pixels.cloudy].all()
    assert pixels.cloudy.mean() == pytest.approx(S3[key].cover, abs=1e-3)
    assert not bright[(pixels.opacity == 0) & ~pixels.land].any()


def test_olci_land_is_masked_where_there_is_none(archive: Path) -> None:
    flags = opened(archive, "LFR", "lqsf.nc", mask_and_scale=False)["LQSF"]
    clear_land = flag(flags, "LAND") & ~flag(flags, "CLOUD")
    green = opened(archive, "LFR", "gifapar.nc")["GIFAPAR"].values
    np.testing.assert_array_equal(np.isfinite(green), clear_land)
    assert 0.2 < np.nanmean(green) <= 1
    chlorophyll = opened(archive, "LFR", "otci.nc")["OTCI"].values
    assert not np.isfinite(chlorophyll[~clear_land]).any()
    pixels = olci.grid(scene("LFR"))
    r681, r708, r753 = (pixels.reflectance(nm) for nm in (681.25, 708.75, 753.75))
    found = np.isfinite(chlorophyll) & (chlorophyll < 6.4)
    expected = ((r753 - r708) / (r708 - r681))[found].clip(0, 6.5)
    assert np.abs(chlorophyll[found] - expected).max() < 0.02559055 / 2 + 1e-5


@pytest.mark.parametrize("channel", ["S1", "S6"])
def test_slstr_radiance_is_the_worlds_reflectance(archive: Path, channel: str) -> None:
    layout = slstr.Layout(scene("RBT"))
    name = f"{channel}_radiance_an"
    raw = opened(archive, "RBT", f"{name}.nc", mask_and_scale=False)[name]
    assert raw.dtype == np.int16
    assert raw.values.min() >= 0
    assert raw.values.max() < 32767  # nothing cut off
    flux = opened(archive, "RBT", f"{channel}_quality_an.nc")[f"{channel}_solar_irradiance_an"].values[0]
    light = flux * np.cos(np.radians(layout.fine.sun[0])) / np.pi
    step = float(raw.attrs["scale_factor"].item())
    truth = layout.fine.reflectance(slstr.RADIANCE[channel][0]) * light
    assert np.abs(raw.values * step - truth).max() < step * 0.51 + 1e-5 * truth.max()


@pytest.mark.parametrize("channel", list(slstr.TEMPERATURE))
def test_slstr_brightness_temperature(archive: Path, channel: str) -> None:
    layout = slstr.Layout(scene("RBT"))
    got = opened(archive, "RBT", f"{channel}_BT_in.nc")[f"{channel}_BT_in"].values
    clear = layout.coarse.opacity == 0
    truth = world.temperature(*layout.coarse.places, layout.coarse.when) + slstr.TEMPERATURE[channel]
    assert np.abs(got - truth)[clear].max() < 0.0051
    assert got[layout.coarse.cloudy].mean() < got[clear].mean() - 10


def test_land_surface_temperature(archive: Path) -> None:
    layout = slstr.Layout(scene("LST"))
    got = opened(archive, "LST", "LST_in.nc")["LST"].values
    np.testing.assert_array_equal(np.isfinite(got), layout.coarse.land)
    clear = layout.coarse.land & (layout.coarse.opacity == 0)
    truth = world.temperature(*layout.coarse.places, layout.coarse.when)
    assert np.abs(got - truth)[clear].max() < 0.0011


@pytest.mark.parametrize("key", ["RBT", "LST"])
def test_slstr_grids_fit_by_their_offsets(archive: Path, key: str) -> None:
    """Across = (track_offset - column) * resolution and along = (start_offset + row) * resolution, in every grid."""

    def axes(name: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        attrs = opened(archive, key, name).attrs
        across, along = (float(value) for value in attrs["resolution"].strip("[] ").split())
        x = (int(attrs["track_offset"].item()) - np.arange(shape[1])) * across
        return x, (int(attrs["start_offset"].item()) + np.arange(shape[0])) * along

    tie = opened(archive, key, "geodetic_tx.nc")
    tie_x, tie_y = axes("geodetic_tx.nc", tie["latitude_tx"].shape)
    np.testing.assert_allclose(opened(archive, key, "cartesian_tx.nc")["x_tx"].values[0], tie_x, atol=1)
    assert (np.diff(tie_x) < 0).all()
    for suffix in ("an", "in") if key == "RBT" else ("in",):
        fine = opened(archive, key, f"geodetic_{suffix}.nc")[f"latitude_{suffix}"]
        x, y = axes(f"geodetic_{suffix}.nc", fine.shape)
        cartesian = opened(archive, key, f"cartesian_{suffix}.nc")
        assert np.abs(cartesian[f"x_{suffix}"].values - x[None]).max() <= 0.51
        assert np.abs(cartesian[f"y_{suffix}"].values - y[:, None]).max() <= 0.51
        assert tie_x[0] >= x[0]  # tie points reach over both edges
        assert tie_x[-1] <= x[-1]
        row = fine.shape[0] // 2
        level = np.interp(
            x[::-1], tie_x[::-1], tie["latitude_tx"].values[np.searchsorted(tie_y, y[row], side="right") - 1][::-1]
        )
        assert np.abs(level[::-1] - fine.values[row]).max() < 0.06  # tie points lie 120 km apart here


# --- Sentinel-3: form, against the real ones -------------------------------------------------------------------------
def variables(data: bytes) -> dict[str, h5py.Dataset]:
    file = h5py.File(io.BytesIO(data))
    return {
        name: item for name, item in file.items() if not item.attrs.get("NAME", b"").startswith(b"This is a netCDF dim")
    }


def test_olci_has_the_form_of_a_real_product(archive: Path, shared_data: Path) -> None:
    packed = next(shared_data.glob("s3_olci/S3B_OL_1_EFR*.SEN3.zip"))
    with zipfile.ZipFile(packed) as file:
        real = {name.rsplit("/", 1)[1]: file.read(name) for name in file.namelist() if name.endswith(".nc")}
    with zip_of(archive, "EFR") as file:
        mine = {name.rsplit("/", 1)[1] for name in file.namelist() if name.endswith(".nc")}
    assert mine <= set(real)
    assert set(real) - mine == {name for name in real if name.endswith("_unc.nc")} | {"removed_pixels.nc"}
    for name in sorted(mine):
        ours, theirs = variables(member(archive, "EFR", name)), variables(real[name])
        assert set(ours) <= set(theirs)
        for key, variable in ours.items():
            twin = theirs[key]
            assert variable.dtype == twin.dtype, (name, key)
            assert variable.ndim == twin.ndim
            assert (variable.compression, variable.shuffle) == (twin.compression, twin.shuffle)
            for attr in set(variable.attrs) & {"_FillValue", "units", "add_offset", "flag_meanings", "standard_name"}:
                assert np.all(variable.attrs[attr] == twin.attrs[attr]), (name, key, attr)
            if "radiance" not in key and "scale_factor" in twin.attrs:
                assert variable.attrs["scale_factor"] == twin.attrs["scale_factor"]
            assert {"_FillValue", "scale_factor", "long_name", "units"} & set(twin.attrs) <= set(variable.attrs)
            assert [scale[0].name for scale in variable.dims] == [scale[0].name for scale in twin.dims], (name, key)


def test_slstr_is_packed_as_a_real_product(archive: Path, shared_data: Path) -> None:
    path = next(shared_data.glob("s3_slstr/snap_subset/S3A_SL_1_RBT*.nc"))
    checked = 0
    with (
        xr.open_dataset(path, engine="scipy", mask_and_scale=False, decode_times=False) as real,
        zip_of(archive, "RBT") as file,
    ):
        for name in (entry for entry in file.namelist() if entry.endswith(("_an.nc", "_in.nc"))):
            ours = opened(archive, "RBT", name.rsplit("/", 1)[1], mask_and_scale=False, decode_times=False)
            for key in set(ours.data_vars) & set(real.data_vars):
                assert ours[key].dtype.itemsize == real[key].dtype.itemsize, key
                if "radiance" in key and key[:2] not in {"S1", "S2", "S3", "S4"}:
                    continue  # the scale of S5 and S6 is our own
                for attr in {"scale_factor", "add_offset"} & set(real[key].attrs):
                    assert float(np.ravel(ours[key].attrs[attr])[0]) == pytest.approx(
                        float(np.ravel(real[key].attrs[attr])[0]), rel=1e-5
                    ), key
                checked += 1
    assert checked > 25


# --- Sentinel-5P -----------------------------------------------------------------------------------------------------
def tree(archive: Path, key: str, engine: str = "h5netcdf", **options: bool) -> xr.DataTree:
    return xr.open_datatree(archive / f"{S5P[key].id}.nc", engine=engine, **options)


@pytest.mark.parametrize(("key", "engine"), [*((key, "h5netcdf") for key in S5P), ("NO2", "netcdf4")])
def test_s5p_opens_as_a_tree(archive: Path, key: str, engine: str) -> None:
    parsed = products.parse(S5P[key].id)
    assert parsed.archive_name == f"{S5P[key].id}.nc"
    with tree(archive, key, engine) as data:
        assert {"PRODUCT", "METADATA"} == set(data.children)
        assert {"GEOLOCATIONS", "DETAILED_RESULTS", "INPUT_DATA"} == set(data["PRODUCT/SUPPORT_DATA"].children)
        assert dict(data["PRODUCT"].sizes) == {
            "time": 1, "scanline": sentinel5p.SCANLINES, "ground_pixel": sentinel5p.GROUND_PIXELS, "corner": 4,
        }  # fmt: skip
        assert data.attrs["id"] == S5P[key].id
        assert int(np.ravel(data.attrs["orbit"])[0]) == parsed.orbit_number
        assert datetime.fromisoformat(data.attrs["time_coverage_start"]) == parsed.start
        assert datetime.fromisoformat(data.attrs["time_coverage_end"]) == parsed.stop
        about = data["METADATA/GRANULE_DESCRIPTION"].attrs
        assert about["ProductShortName"] == parsed.product_type
        name = sentinel5p.TYPES[S5P[key].id[9:19]].name
        assert data["PRODUCT"][name].load().notnull().any()


@pytest.mark.parametrize("key", ["NO2", "O3", "CH4"])
def test_s5p_values_are_the_worlds(archive: Path, key: str) -> None:
    made, kind = granule(key), sentinel5p.TYPES[S5P[key].id[9:19]]
    truth = world.column(*made.centres, made.middle, kind.gas)
    with tree(archive, key) as data:
        got = data["PRODUCT"][kind.name].values[0]
        quality = data["PRODUCT"]["qa_value"].values[0]
        statistics = data["METADATA/QA_STATISTICS"].attrs
    kept = np.isfinite(got)
    np.testing.assert_array_equal(got[kept], truth[kept])
    np.testing.assert_array_equal(quality == 0, ~kept)
    assert int(np.ravel(statistics["number_of_successfully_processed_pixels"])[0]) == kept.sum()
    assert int(np.ravel(statistics["number_of_groundpixels"])[0]) == kept.size
    opacity = world.cloud(*made.centres, made.middle, made.cover)
    assert (opacity > 0.5).mean() == pytest.approx(made.cover, abs=0.01)
    if kind.clear_only:
        np.testing.assert_array_equal(kept, opacity <= 0.5)
    else:
        assert kept.all()
    assert quality[opacity == 0].min() == pytest.approx(1.0)
    assert quality[opacity > 0.5].max() < 0.75


def test_s5p_quality_is_whole_percents(archive: Path) -> None:
    with tree(archive, "NO2", mask_and_scale=False) as data:
        raw = data["PRODUCT"]["qa_value"]
        assert raw.dtype == np.uint8
        assert raw.values.max() <= 100
        assert np.float32(np.ravel(raw.attrs["scale_factor"])[0]) == np.float32(0.01)
        column = data["PRODUCT"]["nitrogendioxide_tropospheric_column"]
        assert np.float32(np.ravel(column.attrs["_FillValue"])[0]) == np.float32(9.96921e36)


def test_s5p_places_and_times(archive: Path) -> None:
    made, parsed = granule("CO"), products.parse(S5P["CO"].id)
    with tree(archive, "CO") as data:
        product = data["PRODUCT"].ds.load()
        corners = data["PRODUCT/SUPPORT_DATA/GEOLOCATIONS"].ds.load()
        posts = data[
            "METADATA/EOP_METADATA/om:featureOfInterest/eop:multiExtentOf/gml:surfaceMembers/gml:exterior"
        ].attrs["gml:posList"]
        attrs = data.attrs
    lon, lat = made.centres
    assert np.abs(product["latitude"].values[0] - lat).max() < 5e-4
    assert np.abs(product["longitude"].values[0] - lon).max() < 5e-4
    assert (np.diff(product["latitude"].values[0, :, 90]) > 0).all()  # northward
    assert (np.diff(product["longitude"].values[0, 50]) > 0).all()  # first pixel in the west
    outline = ring(posts)
    points = np.stack([product["longitude"].values[0].ravel(), product["latitude"].values[0].ravel()], axis=-1)
    assert outline.is_valid
    assert outline.contains(MultiPoint(points))
    for i, j in ((0, 0), (60, 90), (129, 179)):
        cell = Polygon(
            np.stack([corners["longitude_bounds"].values[0, i, j], corners["latitude_bounds"].values[0, i, j]], axis=-1)
        )
        assert cell.is_valid
        assert cell.exterior.is_ccw
        assert cell.contains(MultiPoint([(lon[i, j], lat[i, j])]))
    assert float(np.ravel(attrs["geospatial_lat_max"])[0]) == pytest.approx(lat.max(), abs=1e-4)
    times = product["delta_time"].values[0]
    assert (
        np.datetime64(parsed.start.replace(tzinfo=None))
        < times[0]
        < times[-1]
        < np.datetime64(parsed.stop.replace(tzinfo=None))
    )
    stamped = str(product["time_utc"].values[0, 7]).rstrip("Z")
    assert abs(np.datetime64(stamped, "ns") - times[7]) < np.timedelta64(2, "ms")
    assert str(product["time"].values[0])[:19] == f"{parsed.start:%Y-%m-%d}T00:00:00"
    assert 12 < made.middle.hour + made.middle.minute / 60 + 4.62 / 15 < 15  # the early afternoon by the sun


def test_s5p_has_the_form_of_a_real_product(archive: Path, shared_data: Path) -> None:
    with (
        h5py.File(shared_data / "s5p" / "S5P_L2_CO_trimmed_2scanlines.nc") as real,
        h5py.File(archive / f"{S5P['CO'].id}.nc") as mine,
    ):
        shared = {
            name
            for name in real["PRODUCT"]
            if name in mine["PRODUCT"] and name not in {"corner", "ground_pixel", "scanline", "time"}
        }
        assert {"carbonmonoxide_total_column", "qa_value", "latitude", "longitude", "delta_time"} <= shared
        for name in shared:
            ours, theirs = mine["PRODUCT"][name], real["PRODUCT"][name]
            assert ours.dtype == theirs.dtype, name
            assert ours.ndim == theirs.ndim, name
            for attr in {"standard_name", "bounds", "multiplication_factor_to_convert_to_molecules_percm2"} & set(
                theirs.attrs
            ):
                assert np.all(
                    ours.attrs[attr] == pytest.approx(theirs.attrs[attr], rel=1e-5)
                    if attr[0] == "m"
                    else ours.attrs[attr] == theirs.attrs[attr]
                )
    skeleton = next((shared_data / "s5p").glob("S5P_OFFL_L2__NO2____*.nc"))
    with h5py.File(skeleton) as real, h5py.File(archive / f"{S5P['NO2'].id}.nc") as mine:
        assert set(mine["METADATA"]) == set(real["METADATA"])
        invented = set(mine.attrs) - set(real.attrs)
        assert not invented
        mine["METADATA"].visititems(
            lambda name, item: None if name in real["METADATA"] else pytest.fail(f"no such group: {name}")
        )


# --- as the gateway's folder source reads them ----------------------------------------------------------------------
@pytest.mark.parametrize("key", ["EFR", "LFR", "RBT", "LST", "NO2", "CH4"])
def test_described_from_their_own_metadata(archive: Path, key: str) -> None:
    spec = S3.get(key) or S5P[key]
    parsed = products.parse(spec.id)
    path = archive / parsed.archive_name
    found = describe.describe(path)
    assert (found.id, found.collection, found.platform) == (spec.id, parsed.collection, parsed.platform)
    assert (found.product_type, found.instrument) == (parsed.product_type, parsed.instrument)
    assert (found.begin_position, found.end_position) == (parsed.start, parsed.stop)
    assert found.orbit_number == (scene(key).orbit if key in S3 else parsed.orbit_number)
    area = world.AREAS[spec.area]
    assert shape(found.footprint).contains(MultiPoint([(area.lon, area.lat)]))
    if key in {"LFR", "RBT", "LST"}:
        assert found.cloud_cover == pytest.approx(100 * spec.cover, abs=0.1)
    if key in S3:
        assert Image.open(io.BytesIO(describe.quicklook(path))).format == "JPEG"
    else:
        with pytest.raises(NoQuicklook):
            describe.quicklook(path)
