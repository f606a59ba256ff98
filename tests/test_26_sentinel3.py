"""Sentinel-3: the numbers of every file, on the right grid, with angles and reflectance that come from the product itself."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import swaths
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb.errors import DamagedProduct, IncompleteProduct, InputError, UnknownBand, UnsupportedProduct
from extenso_nb.gateway.sources.sample import olci, sentinel3, slstr, world
from extenso_nb.readers import band, open_product
from extenso_nb.readers.derived import Axis, Derived, TieAngle
from extenso_nb.readers.regrid import regrid
from extenso_nb.readers.sentinel3_slstr import ADJUSTMENTS, adjusted

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

REAL_EFR = (
    "s3_olci/S3B_OL_1_EFR____20230311T214926_20230311T214926_20230312T085631_0000_077_100_4320_PS2_O_NT_003.SEN3.zip"
)


@dataclass(frozen=True)
class Wanted:
    id: str
    area: str
    cover: float


FRAME = "20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_PS1_O_NT_004"
SPECS = {
    "EFR": Wanted(f"S3A_OL_1_EFR____{FRAME}", "camargue", 0.3),
    "LFR": Wanted(f"S3A_OL_2_LFR____{FRAME}", "camargue", 0.3),
    "RBT": Wanted(f"S3B_SL_1_RBT____{FRAME}", "camargue", 0.55),
    "LST": Wanted(f"S3B_SL_2_LST____{FRAME}", "lofoten", 0.2),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample archive's products, in stored zips."""
    folder = tmp_path_factory.mktemp("s3")
    for spec in SPECS.values():
        sentinel3.write(folder, spec)
    return {key: folder / f"{spec.id}.SEN3.zip" for key, spec in SPECS.items()}


@pytest.fixture(scope="module")
def folders(drawn: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same, unpacked."""
    root = tmp_path_factory.mktemp("unpacked")
    for path in drawn.values():
        with zipfile.ZipFile(path) as file:
            file.extractall(root)
    return {key: root / f"{spec.id}.SEN3" for key, spec in SPECS.items()}


@pytest.fixture(scope="module")
def real_efr(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete product of OLCI, unpacked."""
    root = tmp_path_factory.mktemp("real")
    with zipfile.ZipFile(shared_data / REAL_EFR) as file:
        file.extractall(root)
    return next(root.glob("*.SEN3"))


def scene(key: str) -> sentinel3.Scene:
    area = world.AREAS[SPECS[key].area]
    return sentinel3.Scene(SPECS[key].id, area.lon, area.lat, SPECS[key].cover)


def stored(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Every variable of every file, by name and file, as the netCDF library reads it without mask and scale."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(folder.glob("*.nc")):
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            for name, item in file.variables.items():
                found.setdefault(name, {})[path.stem] = np.asarray(item[...])
    return found


def original(name: Any, item: xr.DataArray) -> str:
    return str(item.attrs.get("original_name", name))


def check_numbers(path: Path, folder: Path, *, computed: tuple[str, ...] = ()) -> int:
    """All data variables of a tree are those of the files: as stored, and as values."""
    raw, tree, plain = stored(folder), open_product(path), open_product(path, masked=False, scaled=False)
    checked = 0
    for group in tree.groups:
        if group.endswith(computed):
            continue
        for name, item in tree[group].data_vars.items():
            if item.encoding.get("access") == "computed":
                continue
            candidates = list(raw[original(name, item)].values())
            as_stored = plain[group][name]
            matching = [one for one in candidates if one.shape == as_stored.shape]
            assert matching, (group, name)
            if item.dtype.kind in "MO":
                continue
            if not group.startswith("/conditions") and as_stored.encoding.get("access") != "computed":
                assert any(
                    one.dtype == as_stored.dtype and np.array_equal(one, as_stored.values) for one in matching
                ), (group, name)
            packing = item.encoding.get("packing")
            if packing is not None:
                back = np.rint(
                    (item.values.astype(np.float64) - packing.get("add_offset", 0.0)) / packing.get("scale_factor", 1.0)
                )
                if np.dtype(packing["dtype"]).kind in "iu":
                    back = np.where(np.isnan(back), packing.get("_FillValue", 0), back)
                    assert any(np.array_equal(one.astype(np.float64), back) for one in matching), (group, name)
            checked += 1
    return checked


# --- all -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("key", "least"), [("EFR", 30), ("LFR", 20), ("RBT", 40), ("LST", 20)])
def test_numbers_are_those_of_the_files(drawn: dict[str, Path], folders: dict[str, Path], key: str, least: int) -> None:
    assert check_numbers(drawn[key], folders[key], computed=("/reflectance",)) >= least


def test_numbers_of_a_real_olci_product(shared_data: Path, real_efr: Path) -> None:
    assert check_numbers(shared_data / REAL_EFR, real_efr, computed=("/reflectance",)) > 100


@pytest.mark.parametrize("key", SPECS)
def test_attributes_of_the_product(drawn: dict[str, Path], key: str) -> None:
    attrs = open_product(drawn[key]).attrs
    spec = SPECS[key]
    assert attrs["product_id"] == spec.id
    assert attrs["product_type"] == spec.id[4:15]
    assert attrs["platform"] == f"Sentinel-3{spec.id[2]}"
    assert attrs["instrument"] == ("OLCI" if "OL" in spec.id else "SLSTR")
    assert attrs["start_time"].startswith("2024-06-10T10:18:00")
    assert attrs["orbit_direction"] == "descending"
    assert (attrs["relative_orbit_number"], attrs["timeliness"]) == (179, "Non Time Critical")
    assert attrs["footprint"].startswith("POLYGON")
    assert "missing_members" not in attrs
    json.dumps(attrs)


EXPECTED = {
    "s3_olci/S3A_OL_1_EFR____20211021T073827*.SEN3": 29,
    "s3_olci/S3A_OL_2_LFR____20210523T003029*.SEN3": 11,
    "s3_slstr/S3A_SL_2_LST____20210510T002955*.SEN3": 11,
    "s3_slstr/S3A_SL_1_RBT____20210930T220914*.SEN3": 97,
    "s3_syn/S3A_SY_2_SYN____20210325T005418*.SEN3": 38,
    "s3_syn/S3A_SY_2_VGP____20210703T142237*.SEN3": 12,
}


@pytest.mark.parametrize("pattern", EXPECTED)
def test_products_of_placeholders_say_so(shared_data: Path, pattern: str) -> None:
    with pytest.raises(IncompleteProduct, match=f"{EXPECTED[pattern]} are missing or empty") as caught:
        open_product(next(shared_data.glob(pattern)))
    assert len(caught.value.details["missing_members"]) == EXPECTED[pattern]


@pytest.mark.parametrize("pattern", ["s3_olci/snap_subset/*.nc", "s3_slstr/snap_subset/*.nc"])
def test_exports_of_snap_are_said_to_be_that(shared_data: Path, pattern: str) -> None:
    with pytest.raises(UnsupportedProduct, match="classic netCDF") as caught:
        open_product(next(shared_data.glob(pattern)))
    assert "xarray" in caught.value.hint


def test_opening_reads_no_array(drawn: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, key: Any, *rest: Any) -> Any:
        raise AssertionError(f"{self.name} was read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)
    for path in drawn.values():
        for chunks in ("auto", None):
            tree = open_product(path, chunks=chunks)
            for node in tree.subtree:
                repr(node.to_dataset()) if chunks else None
    with pytest.raises(AssertionError, match="was read"):
        _ = tree["measurements/LST"].values


@pytest.mark.parametrize("key", ["EFR", "RBT"])
def test_windows_of_what_is_computed(drawn: dict[str, Path], key: str) -> None:
    path = "measurements/reflectance/Oa17" if key == "EFR" else "nadir/500m_a/reflectance/S3"
    whole = open_product(drawn[key])[path].values
    assert np.isfinite(whole).all()
    lazy = open_product(drawn[key], chunks=None)[path]
    assert lazy.chunks is None
    rows, columns = lazy.dims
    for pick in ({rows: 5, columns: 7}, {rows: slice(3, 99), columns: slice(60, 130, 3)}, {rows: slice(90, 5, -4)},
                 {rows: [4, 2, 2, 90], columns: [0, 64, 65]}, {rows: slice(0, 0)}, {columns: -1}):  # fmt: skip
        np.testing.assert_array_equal(lazy.isel(pick).values, xr.DataArray(whole, dims=lazy.dims).isel(pick).values)
    chunked = open_product(drawn[key], chunks={rows: 30, columns: 50})[path]
    assert chunked.chunks is not None
    np.testing.assert_array_equal(chunked.values, whole)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)).values, whole)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_computed_computes_elsewhere(
    worker: Any, folders: dict[str, Path], tmp_path: Path, method: int
) -> None:
    path = tmp_path / "any name.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for item in folders["EFR"].iterdir():
            file.write(item, f"{folders['EFR'].name}/{item.name}")
    expected = open_product(folders["EFR"])["measurements/reflectance/Oa08"].values
    array = open_product(path, chunks={"rows": 64, "columns": 100})["measurements/reflectance/Oa08"]
    np.testing.assert_array_equal(worker.compute(array).result(), expected)


def test_as_an_engine(folders: dict[str, Path]) -> None:
    dataset = xr.open_dataset(folders["EFR"], engine="extenso", group="measurements/reflectance")
    assert dataset["Oa08"].dims == ("rows", "columns")
    tree = xr.open_datatree(folders["LST"], engine="extenso")
    assert tree["measurements/LST"].dtype == np.float32


def test_groups_are_written_and_read_again(drawn: dict[str, Path], tmp_path: Path) -> None:
    for key, group in (
        ("EFR", "measurements"),
        ("RBT", "nadir/1km"),
        ("EFR", "quality"),
        ("RBT", "nadir/500m_a/geometry"),
    ):
        dataset = open_product(drawn[key])[group].to_dataset()
        dataset.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")
        with xr.open_dataset(tmp_path / "again.nc", engine="h5netcdf") as again:
            xr.testing.assert_equal(again.load(), dataset.compute())


# --- OLCI ------------------------------------------------------------------------------------------------------------
def test_groups_of_olci(drawn: dict[str, Path]) -> None:
    tree = open_product(drawn["EFR"])
    measured = tree["measurements"]
    assert list(measured.data_vars) == list(measured["reflectance"].data_vars) == [f"Oa{n:02d}" for n in range(1, 22)]
    oa08 = measured["Oa08"]
    assert set(oa08.coords) == {"latitude", "longitude", "altitude", "time"}
    assert (oa08.dtype, oa08.attrs["units"], oa08.attrs["common_name"]) == (np.float32, "mW.m-2.sr-1.nm-1", "red")
    assert (oa08.attrs["wavelength"], oa08.attrs["bandwidth"], oa08.attrs["original_name"]) == (
        665.0,
        10.0,
        "Oa08_radiance",
    )
    assert oa08["latitude"].dtype == np.float64
    assert oa08["time"].dims == ("rows",)
    assert str(oa08["time"].values[0])[:19] == "2024-06-10T10:18:00"
    flags = tree["quality/quality_flags"]
    assert flags.dtype == np.uint32
    assert flags.attrs["flag_meanings"].split()[0] == "land"
    assert flags.attrs["flag_masks"][0] == np.uint32(2**31)
    land = olci.grid(scene("EFR")).land
    np.testing.assert_array_equal((flags.values & flags.attrs["flag_masks"][0]) != 0, land)
    assert tree["conditions/instrument/solar_flux"].shape == (21, 3700)
    assert tree["conditions/image/detector_index"].dtype == np.int16


@pytest.mark.parametrize("number", [1, 8, 17, 21])
def test_reflectance_of_olci_is_that_of_the_world(drawn: dict[str, Path], number: int) -> None:
    pixels = olci.grid(scene("EFR"))
    tree = open_product(drawn["EFR"])
    rho = tree[f"measurements/reflectance/Oa{number:02d}"]
    assert (rho.dtype, rho.attrs["units"]) == (np.float32, "1")
    centre, _, sunlight = olci.BANDS[number - 1]
    truth = pixels.reflectance(centre)
    # half a step of the packed radiance, and what the sun's zenith is off by between tie points 64 columns apart
    step = sunlight * 1.7 / 65534 / 2 / (sunlight * np.cos(np.radians(pixels.sun[0])).min()) * 1.04
    off = np.abs(tree["conditions/image/SZA"].values - pixels.sun[0]).max()
    assert np.abs(rho.values - truth).max() < step + np.radians(off) * truth.max() * 1.2
    assert off < 0.1  # between tie points 500 km apart, as these are here


def test_reflectance_by_hand(real_efr: Path) -> None:
    """On real radiances, from the files, pixel by pixel."""
    raw = stored(real_efr)
    tree = open_product(real_efr)
    for number in (1, 12, 21):
        name = f"Oa{number:02d}_radiance"
        dn = raw[name][name]
        with netCDF4.Dataset(real_efr / f"{name}.nc") as file:
            scale, offset = float(file[name].scale_factor), float(file[name].add_offset)
        detector = raw["detector_index"]["instrument_data"]
        flux = raw["solar_flux"]["instrument_data"][number - 1]
        zenith = raw["SZA"]["tie_geometries"] * 1e-6
        rho = tree[f"measurements/reflectance/Oa{number:02d}"].values
        seen = 0
        for row, column in [(0, 64), (1, 640), (2, 1280), (0, 2560), (1, 3200), (2, 4800), (2, 4864)]:
            assert column % 64 == 0  # at tie points, where nothing is between
            if dn[row, column] == 65535 or detector[row, column] < 0:
                assert np.isnan(rho[row, column])
                continue
            expected = (
                np.pi
                * (dn[row, column] * scale + offset)
                / (flux[detector[row, column]] * np.cos(np.radians(zenith[row, column // 64])))
            )
            assert rho[row, column] == pytest.approx(expected, rel=3e-7)
            seen += 1
        assert seen > 3
        np.testing.assert_array_equal(np.isnan(rho[detector < 0]), True)
        assert (detector < 0).any()
        assert (np.isfinite(rho) == ((dn != 65535) & (detector >= 0))).all()


def test_angles_at_tie_points_are_theirs(real_efr: Path) -> None:
    tree = open_product(real_efr)
    for name in ("SZA", "OZA", "SAA", "OAA"):
        on_image, ties = tree[f"conditions/image/{name}"].values, tree[f"conditions/geometry/{name}"].values
        off = (on_image[:, ::64] - ties + 180) % 360 - 180
        assert np.abs(off).max() < 3e-5
        assert np.isfinite(on_image).all()


@given(st.floats(-720, 720), st.floats(0.01, 60), st.floats(0, 1))
def test_directions_are_interpolated_not_angles(azimuth: float, zenith: float, at: float) -> None:
    """Across the jump from 360 to 0; the result is the direction of the vector between."""
    ties = (
        xr.Variable(("y", "x"), np.full((1, 2), zenith)),
        xr.Variable(("y", "x"), np.array([[azimuth - 2.0, azimuth + 2.0]])),
    )
    found = [
        TieAngle(*ties, Axis(1, 0), Axis(1.0, at), part)(slice(0, 1), slice(0, 1))[0, 0]
        for part in ("zenith", "azimuth")
    ]
    phi = np.radians([azimuth - 2.0, azimuth + 2.0])
    x, y = (np.sin(np.radians(zenith)) * ((1 - at) * f(phi[0]) + at * f(phi[1])) for f in (np.cos, np.sin))
    assert found[0] == pytest.approx(np.degrees(np.arctan2(np.hypot(x, y), np.cos(np.radians(zenith)))), abs=1e-9)
    assert abs((found[1] - np.degrees(np.arctan2(y, x)) + 180) % 360 - 180) < 1e-6


def test_level_2_of_olci(drawn: dict[str, Path]) -> None:
    tree = open_product(drawn["LFR"])
    assert {"OTCI", "GIFAPAR", "IWV"} <= set(tree["measurements"].data_vars)
    assert {"OTCI_unc", "LQSF"} <= set(tree["quality"].data_vars)
    assert "reflectance" not in tree["measurements"].children
    assert tree["quality/LQSF"].dtype == np.uint32
    assert tree["measurements"].attrs["nominal_resolution"] == "300 m"


def test_water_product_of_olci(folders: dict[str, Path], tmp_path: Path) -> None:
    """Names as in OL_2_WFR: reflectance by band with its uncertainty, one file each."""
    folder = (
        tmp_path / "S3A_OL_2_WFR____20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_MAR_O_NT_003.SEN3"
    )
    folder.mkdir()
    for name in ("geo_coordinates", "time_coordinates", "tie_geometries", "tie_geo_coordinates", "instrument_data"):
        shutil.copy(folders["EFR"] / f"{name}.nc", folder)
    shape = stored(folder)["altitude"]["geo_coordinates"].shape
    for name, label in (("Oa08_reflectance", "Oa08_reflectance"), ("chl_nn", "CHL_NN"), ("wqsf", "WQSF")):
        with netCDF4.Dataset(folder / f"{name}.nc", "w") as file:
            file.createDimension("rows", shape[0])
            file.createDimension("columns", shape[1])
            if label == "WQSF":
                item = file.createVariable("WQSF", "u8", ("rows", "columns"))
                item.flag_masks, item.flag_meanings = np.array([1, 2**63], np.uint64), "INVALID LAST"
                item[...] = np.uint64(2**63 + 1)
                continue
            for suffix in ("", "_err"):
                item = file.createVariable(f"{label}{suffix}", "u2", ("rows", "columns"), fill_value=65535)
                item.scale_factor, item.add_offset = np.float32(1.5e-5), np.float32(-0.01)
                item.set_auto_maskandscale(False)
                item[...] = np.arange(np.prod(shape)).reshape(shape) % 60_000
    tree = open_product(folder)
    assert {"Oa08", "CHL_NN"} == set(tree["measurements"].data_vars)
    assert {"Oa08_err", "CHL_NN_err", "WQSF"} == set(tree["quality"].data_vars)
    assert band(tree, "red").attrs["original_name"] == "Oa08_reflectance"
    assert tree["quality/WQSF"].dtype == np.uint64
    assert (tree["quality/WQSF"].values & tree["quality/WQSF"].attrs["flag_masks"][1] != 0).all()
    assert "reflectance" not in tree["measurements"].children
    assert "SZA" in tree["conditions/image"].data_vars


# --- what is missing -------------------------------------------------------------------------------------------------
@pytest.fixture
def partial(folders: dict[str, Path], tmp_path: Path) -> Path:
    folder = tmp_path / folders["EFR"].name
    shutil.copytree(folders["EFR"], folder)
    (folder / "Oa08_radiance.nc").unlink()
    (folder / "Oa05_radiance.nc").write_bytes(b"")
    with h5py.File(folder / "Oa06_radiance.nc", "w") as file:
        file.attrs["title"] = "a placeholder"
    return folder


def test_what_is_there_opens(partial: Path) -> None:
    tree = open_product(partial)
    assert tree.attrs["missing_members"] == ["Oa05_radiance.nc", "Oa06_radiance.nc", "Oa08_radiance.nc"]
    assert len(tree["measurements"].data_vars) == len(tree["measurements/reflectance"].data_vars) == 18
    for name in ("Oa08", "red", "green", "Oa05"):
        with pytest.raises(IncompleteProduct, match="missing or empty"):
            band(tree, name)
    with pytest.raises(UnknownBand, match="Oa01") as caught:
        band(tree, "Oa22")
    assert "Oa17 (nir)" in caught.value.details["bands"]


@pytest.mark.parametrize("gone", ["instrument_data", "tie_geometries"])
def test_reflectance_needs_irradiance_and_the_sun(partial: Path, gone: str) -> None:
    (partial / f"{gone}.nc").unlink()
    tree = open_product(partial)
    assert "reflectance" not in tree["measurements"].children
    assert np.isfinite(tree["measurements/Oa01"].values).all()
    assert f"{gone}.nc" in tree.attrs["missing_members"]


def test_without_places_and_manifest(partial: Path) -> None:
    for name in ("geo_coordinates.nc", "time_coordinates.nc", "xfdumanifest.xml"):
        (partial / name).unlink()
    tree = open_product(partial)
    assert not tree["measurements"].coords
    assert tree.attrs["product_type"] == "OL_1_EFR___"
    assert tree.attrs["missing_members"] == [
        "Oa05_radiance.nc",
        "Oa06_radiance.nc",
    ]  # what nothing lists, nobody misses


def test_under_a_name_that_says_nothing(partial: Path, tmp_path: Path) -> None:
    other = tmp_path / "june"
    partial.rename(other)
    assert "reflectance" in open_product(other)["measurements"].children
    (other / "xfdumanifest.xml").unlink()
    tree = open_product(other)
    assert "reflectance" in tree["measurements"].children


def test_damaged_members_are_named(partial: Path, tmp_path: Path) -> None:
    file = partial / "Oa09_radiance.nc"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedProduct, match="Oa09_radiance"):
        open_product(partial)
    file.write_bytes(whole)
    with h5py.File(file, "w") as other:
        other["Oa09_radiance"] = np.zeros((4, 5), np.uint16)
        for axis, name in enumerate(("rows", "columns")):
            other[name] = np.arange((4, 5)[axis])
            other[name].make_scale(name)
            other["Oa09_radiance"].dims[axis].attach_scale(other[name])
    with pytest.raises(DamagedProduct, match="same grid"):
        open_product(partial)
    file.write_bytes(whole)
    (partial / "xfdumanifest.xml").write_text("<xfdu>")
    with pytest.raises(DamagedProduct, match="not XML"):
        open_product(partial)


def test_places_of_another_grid_are_not_left_out_silently(partial: Path, folders: dict[str, Path]) -> None:
    with h5py.File(partial / "geo_coordinates.nc", "w") as file:
        for axis, size in (("rows", 160), ("columns", 190)):
            file[axis] = np.arange(size)
            file[axis].make_scale(axis)
        for name in ("latitude", "longitude"):
            file[name] = np.zeros((160, 190))
            for number, axis in enumerate(("rows", "columns")):
                file[name].dims[number].attach_scale(file[axis])
    with pytest.raises(DamagedProduct, match=r"latitude .* same grid: columns is 193 and 190"):
        open_product(partial)


def test_bands_by_name(drawn: dict[str, Path]) -> None:
    tree = open_product(drawn["EFR"])
    for name, label in (("Oa08", "Oa08"), ("red", "Oa08"), ("nir", "Oa17"), ("green", "Oa06"), ("blue", "Oa04")):
        assert band(tree, name).name == label
    assert band(tree, "red").attrs["standard_name"] == "toa_outgoing_radiance_per_unit_wavelength"
    assert band(tree, "red").attrs["original_standard_name"] == "toa_upwelling_spectral_radiance"
    assert band(tree, "red", resolution=300).name == "Oa08"
    with pytest.raises(UnknownBand, match="at 60 m"):
        band(tree, "red", resolution=60)
    slstr_tree = open_product(drawn["RBT"])
    for name, label in (("S8", "S8"), ("lwir11", "S8"), ("red", "S2"), ("nir", "S3"), ("swir16", "S5")):
        found = band(slstr_tree, name)
        assert (found.name, found.attrs["view"]) == (label, "nadir")
    assert band(slstr_tree, "S8").attrs["units"] == "K"
    assert band(slstr_tree, "red", resolution=500).shape == (200, 224)


# --- SLSTR -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("channel", ["S1", "S3", "S6"])
def test_reflectance_of_slstr_is_that_of_the_world(drawn: dict[str, Path], channel: str) -> None:
    layout = slstr.Layout(scene("RBT"))
    rho = open_product(drawn["RBT"])[f"nadir/500m_a/reflectance/{channel}"].values
    truth = layout.fine.reflectance(slstr.RADIANCE[channel][0])
    _, _, scale = slstr.RADIANCE[channel]
    step = (
        np.pi
        * scale
        / 2
        / (slstr.solar_irradiance(scene("RBT"), channel) * np.cos(np.radians(layout.fine.sun[0])).min())
    )
    assert np.abs(rho - truth).max() < step + 2e-3 * truth.max()


@pytest.mark.parametrize(("group", "grid"), [("nadir/500m_a", "fine"), ("nadir/1km", "coarse")])
def test_angles_between_tie_points_of_slstr(drawn: dict[str, Path], group: str, grid: str) -> None:
    pixels = getattr(slstr.Layout(scene("RBT")), grid)
    geometry = open_product(drawn["RBT"])[f"{group}/geometry"]
    assert np.abs(geometry["solar_zenith_angle"].values - pixels.sun[0]).max() < 0.05
    assert np.abs((geometry["solar_azimuth_angle"].values - pixels.sun[1] + 180) % 360 - 180).max() < 0.2
    # the tie points of this small scene lie 120 km apart, over which the view turns by degrees
    assert np.abs(geometry["sensor_zenith_angle"].values - pixels.view[0]).max() < 1.5


def test_grids_of_slstr(drawn: dict[str, Path]) -> None:
    tree = open_product(drawn["RBT"])
    fine, coarse = tree["nadir/500m_a"], tree["nadir/1km"]
    for node, step in ((fine, 1), (coarse, 2)):
        geometry = node["geometry"]
        assert np.abs(geometry["cartesian_x"].values - node["x"].values[None]).max() < 1
        assert np.abs(geometry["cartesian_y"].values - node["y"].values[:, None]).max() < 1
        assert (np.diff(node["x"].values) < 0).all()
        assert node.attrs["nominal_resolution"] == f"{500 * step} m"
    np.testing.assert_allclose(fine["x"].values[::2], coarse["x"].values, atol=1)
    assert (fine["S1"].dtype, coarse["S8"].dtype) == (np.float32, np.float32)
    assert coarse["S8"].attrs["units"] == "K"
    assert coarse["cloud"].dtype == np.uint16
    assert "summary_cloud" in coarse["confidence"].attrs["flag_meanings"]
    assert fine["time"].dims == ("rows",)
    assert fine["elevation"].dims == ("rows", "columns")
    for name in ("S1_exception", "S7_exception"):
        assert (fine if name[1] == "1" else coarse)[name].dtype == np.uint8
    assert list(fine.data_vars)[:6] == ["S1", "S2", "S3", "S4", "S5", "S6"]


def test_radiance_is_adjusted_only_when_asked(drawn: dict[str, Path], folders: dict[str, Path]) -> None:
    tree = open_product(drawn["RBT"])
    raw = stored(folders["RBT"])["S5_radiance_an"]["S5_radiance_an"]
    radiance = tree["nadir/500m_a/S5"]
    np.testing.assert_allclose(radiance.values, raw * float(np.float32(slstr.RADIANCE["S5"][2])), rtol=1e-6)
    changed = adjusted(radiance)
    np.testing.assert_allclose(changed.values, radiance.values * 1.11, rtol=1e-6)
    assert changed.dtype == np.float32
    assert changed.attrs["radiometric_adjustment"] == 1.11 == ADJUSTMENTS["nadir"]["S5"]
    np.testing.assert_array_equal(adjusted(tree["nadir/500m_a/S4"]).values, tree["nadir/500m_a/S4"].values)
    for wrong, words in (
        (changed, "already"),
        (tree["nadir/1km/S8"], "temperature"),
        (tree["nadir/1km/cloud"], "no channel"),
    ):
        with pytest.raises(InputError, match=words):
            adjusted(wrong)


def test_surface_temperature(drawn: dict[str, Path], folders: dict[str, Path]) -> None:
    tree = open_product(drawn["LST"])
    lst = tree["measurements/LST"]
    assert (lst.dtype, lst.attrs["units"]) == (np.float32, "K")
    assert set(lst.coords) == {"latitude", "longitude", "elevation", "time", "x", "y"}
    raw = stored(folders["LST"])["LST"]["LST_in"]
    np.testing.assert_array_equal(np.isnan(lst.values), raw == -32768)
    assert {"cloud", "confidence", "exception", "LST_uncertainty"} <= set(tree["quality"].data_vars)
    assert {"NDVI", "biome", "fraction", "TCWV"} == set(tree["conditions/auxiliary"].data_vars)
    assert (
        np.abs(tree["conditions/image/solar_zenith_angle"].values - slstr.Layout(scene("LST")).coarse.sun[0]).max()
        < 0.1
    )


# --- SLSTR: all grids, drawn here ------------------------------------------------------------------------------------
SIZES = {"a": (40, 60), "b": (40, 60), "c": (40, 60), "i": (20, 30), "f": (20, 30)}
TRACK = {"a": 50, "b": 50, "c": 50, "i": 25, "f": 25, "t": 2}
STEP = {"a": 500, "b": 500, "c": 500, "i": 1000, "f": 1000, "t": 16000}
START = 700


def write_rbt(folder: Path) -> Path:
    """SL_1_RBT with every grid and view. The zenith of the sun tells where a tie point is: 40 + x / 10 km + y / 100 km."""
    folder.mkdir()

    def put(stem: str, suffix: str, variables: dict[str, tuple[Any, dict[str, Any]]], sizes: dict[str, int]) -> None:
        grid = suffix[0]
        with netCDF4.Dataset(folder / f"{stem}_{suffix}.nc", "w") as file:
            file.track_offset, file.start_offset = np.int32(TRACK[grid]), np.int32(START * (2 if grid in "abc" else 1))
            file.resolution = f"[ {STEP[grid]} {1000 if grid == 't' else STEP[grid]} ]"
            for name, size in sizes.items():
                file.createDimension(name, size)
            for name, (data, attrs) in variables.items():
                dims = [dim for size in data.shape for dim in [next(k for k, v in sizes.items() if v == size)]]
                item = file.createVariable(f"{name}_{suffix}", data.dtype, dims, fill_value=attrs.get("_FillValue"))
                item.set_auto_maskandscale(False)
                item.setncatts({key: value for key, value in attrs.items() if key != "_FillValue"})
                item[...] = data

    packed = {"_FillValue": np.int16(-32768), "scale_factor": np.float32(0.01), "units": "mW.m-2.sr-1.nm-1"}
    warm = packed | {"units": "K", "add_offset": np.float32(283.73)}
    bits = {"flag_masks": np.array([1, 2, 128], np.uint8), "flag_meanings": "absent saturation unfilled"}
    for view in "no":
        for grid in "abcif":
            rows, columns = SIZES[grid] if view == "n" else (SIZES[grid][0], SIZES[grid][1] - 11)
            suffix, size = f"{grid}{view}", {"rows": rows, "columns": columns}
            with_orphans = size | {"orphan_pixels": 7}
            number = np.arange(rows * columns, dtype=np.int16).reshape(rows, columns)
            orphan = np.full((rows, 7), 11, np.int16)
            channels = {"a": ["S1", "S2", "S3", "S4", "S5", "S6"], "b": ["S4", "S5", "S6"], "c": ["S4", "S5", "S6"],
                        "i": ["S7", "S8", "S9", "F2"], "f": ["F1"]}[grid]  # fmt: skip
            for channel in channels:
                kind, attrs = ("radiance", packed) if grid in "abc" else ("BT", warm)
                put(f"{channel}_{kind}", suffix, {
                    f"{channel}_{kind}": (number + np.int16(ord(channel[1])), attrs),
                    f"{channel}_exception": (np.full(number.shape, 2, np.uint8), bits),
                    f"{channel}_{kind}_orphan": (orphan, attrs),
                }, with_orphans)  # fmt: skip
                flux = {
                    f"{channel}_solar_irradiance": (
                        np.array([1000.0, 2000.0, 1500.0], np.float32),
                        {"units": "mW.m-2.nm-1"},
                    )
                }
                put(
                    f"{channel}_quality",
                    suffix,
                    flux if grid in "abc" else {f"{channel}_dark": (np.zeros(rows, np.int16), {})},
                    {"detectors": 3} | size,
                )
            detector = (number % 3).astype(np.uint8)
            detector[1, 1] = 255
            put("indices", suffix, {"detector": (detector, {"_FillValue": np.uint8(255)}), "scan": (number, {})}, size)
            put(
                "geodetic",
                suffix,
                {
                    "latitude": (number * 1e-3, {"units": "degrees_north"}),
                    "longitude": (number * 1e-3, {"units": "degrees_east"}),
                },
                size,
            )
            put(
                "cartesian",
                suffix,
                {"x": (number.astype(np.int32), {"units": "m"}), "y": (number.astype(np.int32), {"units": "m"})},
                size,
            )
            put(
                "flags",
                suffix,
                {
                    "cloud": (
                        np.zeros(number.shape, np.uint16),
                        {"flag_masks": np.array([1], np.uint16), "flag_meanings": "visible"},
                    )
                },
                size,
            )
            if view == "n" and grid in "abi":
                with netCDF4.Dataset(folder / f"time_{suffix}.nc", "w") as file:
                    file.createDimension("rows", rows)
                    stamps = file.createVariable(f"time_stamp_{grid}", "i8", ("rows",))
                    stamps.units = "microseconds since 2000-01-01T00:00:00Z"
                    stamps[:] = 771_243_480_000_000 + np.arange(rows) * 75_000
    ties = (20, 8)
    x, y = (TRACK["t"] - np.arange(8)) * 16.0, (START + np.arange(20)) * 1.0
    zenith = np.broadcast_to(40 + x[None] / 10 + (y[:, None] - 700) / 100, ties)
    for view in "no":
        angles = {
            "solar_zenith": zenith,
            "solar_azimuth": np.full(ties, 30.0),
            "sat_zenith": zenith / 2,
            "sat_azimuth": np.full(ties, 100.0),
        }
        put(
            "geometry",
            f"t{view}",
            {name: (np.array(value), {"units": "degrees"}) for name, value in angles.items()},
            {"rows": 20, "columns": 8},
        )
    put(
        "geodetic",
        "tx",
        {"latitude": (np.zeros(ties), {}), "longitude": (np.zeros(ties), {})},
        {"rows": 20, "columns": 8},
    )
    put("met", "tx", {"temperature": (np.full(ties, 290.0), {"units": "K"})}, {"rows": 20, "columns": 8})
    return folder


@pytest.fixture(scope="module")
def rbt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = "S3A_SL_1_RBT____20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_PS1_O_NT_004.SEN3"
    return write_rbt(tmp_path_factory.mktemp("rbt") / name)


def test_all_grids_and_views_of_slstr(rbt: Path) -> None:
    tree = open_product(rbt)
    for view, narrower in (("nadir", 0), ("oblique", 11)):
        for grid, channels in (
            ("500m_a", "S1 S2 S3 S4 S5 S6"), ("500m_b", "S4 S5 S6"), ("500m_c", "S4 S5 S6"), ("1km", "F2 S7 S8 S9"), ("f1", "F1"),
        ):  # fmt: skip
            node = tree[f"{view}/{grid}"]
            found = [name for name in node.data_vars if re.fullmatch(r"[SF]\d", str(name))]
            assert sorted(map(str, found)) == channels.split()
            assert dict(node.sizes) == {
                "rows": 20 if grid in {"1km", "f1"} else 40,
                "columns": (30 if grid in {"1km", "f1"} else 60) - narrower,
            }
            assert all(node[name].attrs["view"] == view for name in found)
            assert {f"{name}_exception" for name in found} | {"cloud"} <= set(node.data_vars)
            assert {"detector", "scan"} == set(node["indices"].data_vars)
            orphans = node["orphans"]
            assert dict(next(iter(orphans.data_vars.values())).sizes) == {
                "rows": node.sizes["rows"],
                "orphan_pixels": 7,
            }
            expected = 11 * 0.01 + (0 if grid.startswith("500m") else 283.73)
            np.testing.assert_allclose(
                orphans[f"{found[0]}_{'radiance' if grid.startswith('500m') else 'BT'}"].values, expected, rtol=1e-6
            )
            has_time = grid in {"500m_a", "500m_b", "1km"}
            assert ("time" in node.coords) == has_time
            assert ("reflectance" in node.children) == grid.startswith("500m")
    suffix = {"500m_a": "an", "500m_b": "bn", "500m_c": "cn"}
    raw = stored(rbt)
    for grid, ending in suffix.items():
        name = f"S5_radiance_{ending}"
        np.testing.assert_allclose(tree[f"nadir/{grid}/S5"].values, raw[name][name] * 0.01, rtol=1e-6)
    assert band(tree, "F1").shape == (20, 30)
    assert band(tree, "S8", resolution=1000).attrs["view"] == "nadir"
    assert tree["tie/oblique"]["solar_zenith"].shape == (20, 8)
    assert tree["tie/meteorology/temperature"].values[0, 0] == 290


@pytest.mark.parametrize("view", ["nadir", "oblique"])
@pytest.mark.parametrize("grid", ["500m_a", "500m_c", "1km", "f1"])
def test_tie_points_lie_where_the_offsets_say(rbt: Path, view: str, grid: str) -> None:
    node = open_product(rbt)[f"{view}/{grid}"]
    step = 0.5 if grid.startswith("500m") else 1.0
    rows, columns = node.sizes["rows"], node.sizes["columns"]
    x, y = (25 - np.arange(columns) * step), 700 + np.arange(rows) * step
    np.testing.assert_allclose(node["x"].values, x * 1000)
    np.testing.assert_allclose(node["y"].values, y * 1000)
    truth = 40 + x[None] / 10 + (np.minimum(y, 719)[:, None] - 700) / 100
    got = node["geometry/solar_zenith_angle"].values
    np.testing.assert_allclose(got, truth, atol=2e-5)
    np.testing.assert_allclose(node["geometry/solar_azimuth_angle"].values, 30.0, atol=1e-4)


def test_each_detector_has_its_own_irradiance(rbt: Path) -> None:
    node = open_product(rbt)["nadir/500m_a"]
    rho, radiance = node["reflectance/S2"].values, node["S2"].values.astype(float)
    number = np.arange(40 * 60).reshape(40, 60)
    flux = np.array([1000.0, 2000.0, 1500.0])[number % 3]
    zenith = node["geometry/solar_zenith_angle"].values.astype(float)
    expected = np.pi * radiance / (flux * np.cos(np.radians(zenith)))
    expected[1, 1] = np.nan  # of no detector
    np.testing.assert_allclose(rho, expected, rtol=1e-6)


def test_tie_points_that_were_not_seen_take_no_pixel_with_them(rbt: Path, tmp_path: Path) -> None:
    folder = tmp_path / rbt.name
    shutil.copytree(rbt, folder)
    whole = open_product(rbt)["oblique/500m_a"]
    for name in ("solar_zenith_to", "solar_azimuth_to"):
        with h5py.File(folder / "geometry_to.nc", "a") as file:
            file[name][:, 2:] = np.nan  # left of the ground track, where columns 50 and more are
    node = open_product(folder)["oblique/500m_a"]
    got, truth = node["geometry/solar_zenith_angle"].values, whole["geometry/solar_zenith_angle"].values
    np.testing.assert_allclose(got[:, :18], truth[:, :18], rtol=1e-6)  # between tie points 0 and 1: as before
    assert np.isfinite(got).all()
    np.testing.assert_allclose(
        got[:, 18:49], np.broadcast_to(got[:, 18:19], (40, 31)), atol=0.06
    )  # that of tie point 1
    assert np.isfinite(node["reflectance/S2"].values[:, :49]).sum() == 40 * 49 - 1


def test_the_sun_below_the_horizon_gives_no_reflectance(rbt: Path, tmp_path: Path) -> None:
    folder = tmp_path / rbt.name
    shutil.copytree(rbt, folder)
    with h5py.File(folder / "geometry_tn.nc", "a") as file:
        file["solar_zenith_tn"][...] = np.linspace(80, 100, 160).reshape(20, 8)
    node = open_product(folder)["nadir/500m_a"]
    zenith, rho = node["geometry/solar_zenith_angle"].values, node["reflectance/S2"].values
    assert np.isnan(rho[zenith >= 90.001]).all()
    assert (zenith >= 90.001).any()
    assert np.isfinite(rho[(zenith < 89.99) & (np.arange(2400).reshape(40, 60) != 61)]).all()


@pytest.mark.parametrize("gone", ["geometry_tn.nc", "indices_an.nc", "S2_quality_an.nc"])
def test_slstr_without_what_reflectance_needs(rbt: Path, tmp_path: Path, gone: str) -> None:
    folder = tmp_path / rbt.name
    shutil.copytree(rbt, folder)
    (folder / gone).unlink()
    node = open_product(folder)["nadir/500m_a"]
    assert "S2" in node.data_vars
    assert "reflectance" not in node.children or "S2" not in node["reflectance"].data_vars


# --- SLSTR level 2 ---------------------------------------------------------------------------------------------------
def test_sea_surface_temperature(tmp_path: Path) -> None:
    """The form of GHRSST's level 2 (GDS 2.0), in a folder of SL_2_WST."""
    folder = swaths.sea_surface(tmp_path)
    measured = open_product(folder)["measurements"]
    sst_read = measured["sea_surface_temperature"]
    assert sst_read.dims == ("nj", "ni")
    assert np.isnan(sst_read.values[0, 0])
    np.testing.assert_allclose(sst_read.values.ravel()[1:], 290 + np.arange(1, 30) * 0.01, rtol=1e-6)
    assert {"latitude", "longitude", "time"} <= set(sst_read.coords)
    assert measured["quality_level"].dtype == np.int8
    assert str(measured["time"].values)[:19] == "2024-06-10T10:18:00"


def test_fire_radiative_power(rbt: Path, tmp_path: Path) -> None:
    folder = (
        tmp_path / "S3A_SL_2_FRP____20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_PS1_O_NT_004.SEN3"
    )
    folder.mkdir()
    for name in ("geodetic_in.nc", "geometry_tn.nc", "geodetic_tx.nc", "met_tx.nc"):
        shutil.copy(rbt / name, folder)
    with netCDF4.Dataset(folder / "FRP_in.nc", "w") as file:
        for name, size in (("fires", 3), ("rows", 20), ("columns", 30)):
            file.createDimension(name, size)
        power = file.createVariable("FRP_MWIR", "f8", ("fires",), fill_value=-1.0)
        power.units, power[:] = "MW", [12.5, -1.0, 3.0]
        for name in ("latitude", "longitude"):
            file.createVariable(name, "f8", ("fires",))[:] = [1.0, 2.0, 3.0]
        flags = file.createVariable("flags", "u4", ("rows", "columns"))
        flags.flag_masks, flags.flag_meanings = np.array([1], np.uint32), "l1b_water"
        flags[:] = 0
    tree = open_product(folder)
    fires = tree["measurements/FRP_in"]
    np.testing.assert_array_equal(fires["FRP_MWIR"].values, [12.5, np.nan, 3.0])
    assert fires["latitude"].dims == ("fires",)
    assert fires["flags"].dtype == np.uint32
    assert tree["conditions/geometry_nadir"]["solar_zenith"].shape == (20, 8)


# --- SRAL ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("start", ["S3A_SR_1_SRA____20210721", "S3B_SR_1_SRA____20230308", "S3B_SR_1_SRA_BS_20181123"])
def test_real_level_1_of_the_altimeter(shared_data: Path, tmp_path: Path, start: str) -> None:
    path = next(shared_data.glob(f"s3_sral/{start}*.zip"))
    with zipfile.ZipFile(path) as file:
        file.extractall(tmp_path)
    folder = next(tmp_path.glob("S3*"))
    raw, tree, plain = stored(folder), open_product(path), open_product(path, masked=False, scaled=False)
    assert "missing_members" not in tree.attrs
    seen = set()
    for node in plain.subtree:
        for name, item in node.data_vars.items():
            label = original(name, item)
            seen.add(label)
            values = next(iter(raw[label].values()))
            if item.dtype.kind == "M":
                continue
            assert item.dtype == values.dtype
            np.testing.assert_array_equal(item.values, values, err_msg=label)
            ours = tree[node.path][name]
            if "packing" in ours.encoding and values.size and "scale_factor" in ours.encoding["packing"]:
                packing = ours.encoding["packing"]
                fill = packing.get("_FillValue")
                exact = values.astype(float) * packing["scale_factor"] + packing["add_offset"]
                expected = exact if fill is None else np.where(values == fill, np.nan, exact)
                np.testing.assert_array_equal(ours.values, expected.astype(ours.dtype), err_msg=label)
    left_out = {name for name in raw if name not in seen and not name.startswith(("lat_", "lon_", "time_"))}
    assert left_out <= {"echo_sample_ind", "max_multi_stack_ind"}
    group = tree["l1bs_echo_sar_ku" if "BS" in start else "l1b_echo_sar_ku"]
    assert {"latitude", "longitude"} <= set(group.coords)
    assert group[f"time_{group.name}"].dtype == np.dtype("datetime64[ns]")


def test_real_tracks_of_the_altimeter(shared_data: Path) -> None:
    tree = open_product(next(shared_data.glob("s3_sral/S3A_SR_2_LAN*.SEN3")))
    assert {path: dict(tree[path].sizes) for path in ("/01", "/20_ku", "/20_c")} == {
        "/01": {"time_01": 598}, "/20_ku": {"time_20_ku": 11716}, "/20_c": {"time_20_c": 11714},
    }  # fmt: skip
    assert str(tree["01/time"].values[0])[:16] == "2021-06-11T01:14"


def test_level_2_of_the_altimeter(tmp_path: Path) -> None:
    folder = swaths.altimetry(tmp_path)
    tree = open_product(folder)
    assert {"range_ocean_ku", "only_here"} == set(tree["01"].data_vars)
    assert {"range_ocean", "waveform"} == set(tree["20_ku"].data_vars)
    assert {"range_ocean"} == set(tree["20_c"].data_vars) == set(tree["20_plrm_ku"].data_vars)
    value = tree["20_plrm_ku/range_ocean"]
    assert (value.dtype, value.dims, value.attrs["original_name"]) == (
        np.float64,
        ("time_20_ku",),
        "range_ocean_20_plrm_ku",
    )
    assert value.values[0] == pytest.approx(800_000.1234, abs=1e-4)
    for name in ("01", "20_ku", "20_c", "20_plrm_ku"):
        assert {"latitude", "longitude"} <= set(tree[name].coords)
    assert tree["20_c/latitude"].values[78] == pytest.approx(0.078)


# --- SYN -------------------------------------------------------------------------------------------------------------
def test_synergy_surface_reflectance(tmp_path: Path) -> None:
    folder, number = swaths.synergy(tmp_path), np.arange(30, dtype=np.int16).reshape(5, 6)
    tree = open_product(folder)
    assert {"Oa08", "Oa17", "S1N", "S5O", "T550"} == set(tree["measurements"].data_vars)
    assert {"Oa08_err", "T550_err", "SYN_flags"} <= set(tree["quality"].data_vars)
    assert band(tree, "red").name == "Oa08"
    np.testing.assert_allclose(band(tree, "S1N").values, number * 1e-4, rtol=1e-6)
    assert {"latitude", "longitude", "time"} == set(tree["measurements"].coords)
    assert tree["measurements/latitude"].values[4, 5] == pytest.approx(0.029)
    assert tree["conditions/tiepoints_olci/OLC_TP_lat"].shape == (9,)


@pytest.mark.parametrize("kind", ["VGP", "V10"])
def test_vegetation(tmp_path: Path, kind: str) -> None:
    folder = swaths.vegetation(tmp_path, kind)
    tree = open_product(folder)
    measured = tree["measurements"]
    assert {"B0", "B2", "B3", "MIR"} == set(measured.data_vars)
    assert band(tree, "red").name == "B2"
    np.testing.assert_allclose(band(tree, "nir").values, 0.2, rtol=1e-6)
    assert measured["latitude"].values.tolist() == [50, 49, 48, 47, 46, 45]
    assert measured["B2"].sel(latitude=47, longitude=3).shape == ()
    assert measured.to_dataset().rio.crs.to_epsg() == 4326
    assert set(tree["quality"].data_vars) == {"SM"}
    assert tree["quality/SM"].shape == (6, 8)
    assert tree["quality"]["longitude"].size == 8
    assert tree["conditions/geometry/SZA"].shape == (6, 2)
    assert tree["conditions/geometry/SZA"].values[0, 0] == 30


def test_aerosol(tmp_path: Path) -> None:
    folder = (
        tmp_path / "S3A_SY_2_AOD____20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_LN2_O_ST_002.SEN3"
    )
    folder.mkdir()
    grid, sizes = ("rows", "columns"), {"rows": 3, "columns": 4}
    swaths.netcdf(folder / "NTC_AOD.nc", sizes, {
        "AOD_550": (grid, np.full((3, 4), 0.25, np.float32), {"_FillValue": np.float32(-999), "units": "1"}),
        "AOD_550_uncertainty": (grid, np.full((3, 4), 0.05, np.float32), {"_FillValue": np.float32(-999)}),
        "latitude": (grid, np.zeros((3, 4), np.float32), {}), "longitude": (grid, np.ones((3, 4), np.float32), {}),
    })  # fmt: skip
    tree = open_product(folder)
    assert tree["measurements/AOD_550"].values[0, 0] == np.float32(0.25)
    assert {"latitude", "longitude"} == set(tree["measurements"].coords)
    assert set(tree["quality"].data_vars) == {"AOD_550_uncertainty"}


def test_other_types_open_file_by_file(tmp_path: Path) -> None:
    folder = (
        tmp_path / "S3A_MW_1_MWR____20240610T101800_20240610T102100_20240611T151000_0180_113_179______LN3_O_NT_001.SEN3"
    )
    folder.mkdir()
    swaths.netcdf(
        folder / "measurement_data.nc",
        {"time_l1b_mwr": 4},
        {"tb_238": (("time_l1b_mwr",), np.arange(4.0), {"units": "K"})},
    )
    tree = open_product(folder)
    assert tree["measurement_data/tb_238"].values.tolist() == [0, 1, 2, 3]
    assert tree.attrs["instrument"] == "MWR"


# --- onto a map ------------------------------------------------------------------------------------------------------
def test_a_band_on_a_map(drawn: dict[str, Path]) -> None:
    tree = open_product(drawn["EFR"])
    area = world.AREAS["camargue"]
    bounds = (area.lon - 0.5, area.lat - 0.4, area.lon + 0.5, area.lat + 0.4)
    measured = tree["measurements/reflectance"].to_dataset()[["Oa08", "Oa17"]]
    near = regrid(measured, resolution=0.02, bounds=bounds, method="nearest")
    mean = regrid(measured, "Oa08", resolution=0.1, bounds=bounds)
    assert near["Oa08"].notnull().all()
    assert mean["Oa08_weight"].values == pytest.approx(1.0, abs=0.02)
    lat, lon = measured["latitude"].values, measured["longitude"].values
    for row, column in ((0, 0), (11, 30), (39, 49)):
        y, x = near["latitude"].values[row], near["longitude"].values[column]
        closest = np.unravel_index(np.argmin((lat - y) ** 2 + ((lon - x) * np.cos(np.radians(y))) ** 2), lat.shape)
        window = measured["Oa08"].values[
            max(0, closest[0] - 1) : closest[0] + 2, max(0, closest[1] - 1) : closest[1] + 2
        ]
        assert near["Oa08"].values[row, column] in window
    flags = regrid(tree["quality"].to_dataset(), "quality_flags", resolution=0.02, bounds=bounds, method="nearest")
    assert flags["quality_flags"].dtype == np.uint32


def test_derived_arrays_of_no_size() -> None:
    def never(rows: slice, columns: slice) -> np.ndarray:
        raise AssertionError("nothing is to be computed")

    lazy = xr.Variable(("y", "x"), xr.core.indexing.LazilyIndexedArray(Derived((4, 5), never)))
    assert lazy[2:2, :].values.shape == (0, 5)
