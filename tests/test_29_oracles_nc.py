"""The netCDF products through satpy (GPL-3.0), the netCDF library and kerchunk: peers that are asked and never depended on.

`pip install '.[oracle]'`, then `pytest -m oracle`; with `-s` each says what it found.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import real

from extenso_nb.gateway.sources.sample import plan, sentinel3, sentinel5p
from extenso_nb.readers import hdf5_chunks, open_product

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

REAL_EFR = (
    "s3_olci/S3B_OL_1_EFR____20230311T214926_20230311T214926_20230312T085631_0000_077_100_4320_PS2_O_NT_003.SEN3.zip"
)


@dataclass(frozen=True)
class Wanted:
    id: str
    area: str = "camargue"
    cover: float = 0.3


@pytest.fixture(scope="module")
def efr(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("efr")
    with zipfile.ZipFile(shared_data / REAL_EFR) as file:
        file.extractall(root)
    return next(root.glob("*.SEN3"))


@pytest.fixture(scope="module")
def rbt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rbt")
    spec = Wanted("S3B_SL_1_RBT____20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_PS1_O_NT_004")
    sentinel3.write(root, spec)
    with zipfile.ZipFile(root / f"{spec.id}.SEN3.zip") as file:
        file.extractall(root)
    folder = root / f"{spec.id}.SEN3"
    # satpy takes the irradiance from here, which the drawn product has not: that of each channel's own file, for both views
    with netCDF4.Dataset(folder / "viscal.nc", "w") as file:
        file.createDimension("detectors", 4)
        file.createDimension("views", 2)
        for channel in ("S1", "S2", "S3", "S4", "S5", "S6"):
            with netCDF4.Dataset(folder / f"{channel}_quality_an.nc") as quality:
                flux = quality[f"{channel}_solar_irradiance_an"][...]
            file.createVariable(f"{channel}_solar_irradiances", "f4", ("detectors", "views"))[:] = np.stack(
                [flux, flux], axis=-1
            )
    return folder


def satpy_scene(reader: str, folder: Path) -> Any:
    satpy = pytest.importorskip("satpy")
    return satpy.Scene(reader=reader, filenames=[str(path) for path in sorted(folder.glob("*.nc"))])


def loaded(scene: Any, name: str, **query: Any) -> np.ndarray:
    scene.load([name], **query)
    values: np.ndarray = np.asarray(scene[name].values)
    del scene[name]
    return values


def ulps(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference in units of the last place of float32; where both are NaN there is none."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    return float(np.nanmax(np.abs(ours.astype(np.float64) - theirs) / np.spacing(np.abs(ours).astype(np.float32))))


@pytest.mark.parametrize("number", range(1, 22))
def test_olci(efr: Path, number: int) -> None:
    name = f"Oa{number:02d}"
    tree, scene = open_product(efr), satpy_scene("olci_l1b", efr)
    radiance = tree[f"measurements/{name}"].values
    assert ulps(radiance, loaded(scene, name, calibration="radiance")) <= 1
    theirs = loaded(scene, name, calibration="reflectance") / 100  # per cent, without the sun's zenith
    ours = tree[f"measurements/reflectance/{name}"].values * np.cos(
        np.radians(tree["conditions/image/SZA"].values.astype(np.float64))
    )
    both = np.isfinite(ours)
    np.testing.assert_array_equal(np.isfinite(theirs) & both, both)
    np.testing.assert_allclose(ours[both], theirs[both], rtol=2e-6)


def test_angles_of_olci(efr: Path) -> None:
    """satpy puts splines through the tie points, we straight lines between their directions."""
    tree, scene = open_product(efr), satpy_scene("olci_l1b", efr)
    theirs = loaded(scene, "solar_zenith_angle")
    assert np.abs(tree["conditions/image/SZA"].values - theirs).max() < 5e-4
    theirs = loaded(scene, "satellite_zenith_angle")
    assert np.abs(tree["conditions/image/OZA"].values - theirs).max() < 5e-3


def test_places_of_olci(efr: Path) -> None:
    tree, scene = open_product(efr), satpy_scene("olci_l1b", efr)
    for name in ("latitude", "longitude", "altitude"):
        np.testing.assert_allclose(tree["measurements"][name].values, loaded(scene, name), rtol=0, atol=1e-5)


def unadjusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """satpy multiplies radiances by EUMETSAT's factors unless its table is changed."""
    slstr = pytest.importorskip("satpy.readers.slstr_l1b")
    monkeypatch.setattr(slstr, "CHANCALIB_FACTORS", dict.fromkeys(slstr.CHANCALIB_FACTORS, 1.0))


@pytest.mark.parametrize("channel", ["S1", "S2", "S3", "S4", "S5", "S6"])
def test_slstr_radiance_and_reflectance(rbt: Path, channel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unadjusted(monkeypatch)
    node, scene = open_product(rbt)["nadir/500m_a"], satpy_scene("slstr_l1b", rbt)
    where = {"view": "nadir", "stripe": "a"}
    assert ulps(node[channel].values, loaded(scene, channel, calibration="radiance", **where)) <= 1
    theirs = loaded(scene, channel, calibration="reflectance", **where) / 100
    zenith = np.radians(node["geometry/solar_zenith_angle"].values.astype(np.float64))
    np.testing.assert_allclose(node[f"reflectance/{channel}"].values * np.cos(zenith), theirs, rtol=2e-6)


@pytest.mark.parametrize("channel", ["S7", "S8", "S9"])
def test_slstr_brightness_temperature(rbt: Path, channel: str) -> None:
    node, scene = open_product(rbt)["nadir/1km"], satpy_scene("slstr_l1b", rbt)
    assert ulps(node[channel].values, loaded(scene, channel, view="nadir", stripe="i")) <= 1


def test_slstr_adjustment_factors_are_those_of_satpy() -> None:
    slstr = pytest.importorskip("satpy.readers.slstr_l1b")
    from extenso_nb.readers.sentinel3_slstr import ADJUSTMENTS

    ours = {f"{channel}_{view}": factor for view, factors in ADJUSTMENTS.items() for channel, factor in factors.items()}
    assert ours == {key: factor for key, factor in slstr.CHANCALIB_FACTORS.items() if factor != 1.0}


def test_slstr_angles(rbt: Path) -> None:
    node, scene = open_product(rbt)["nadir/500m_a/geometry"], satpy_scene("slstr_l1b", rbt)
    theirs = loaded(scene, "solar_zenith_angle", view="nadir", stripe="a")
    assert (
        np.abs(node["solar_zenith_angle"].values - theirs).max() < 0.05
    )  # lines against splines, tie points 120 km apart


# --- O12: the netCDF library -----------------------------------------------------------------------------------------
NETCDF = {
    REAL_EFR: 120, "s3_sral/S3A_SR_1_SRA____*.zip": 150, "s3_sral/S3B_SR_1_SRA____*.zip": 150, "s3_sral/*SRA_BS*.zip": 60,
    "s1_ocn/*C1F4.zip": 1900, "s5p/*trimmed*.nc": 3,
    **{f"s5p/S5P_OFFL_L2__{kind}_*.nc": 4 for kind in ("CH4", "CLOUD", "CO", "NO2")},
}  # fmt: skip
"""Real products with arrays, and how many of their variables are compared, at least."""


def read(item: Any) -> dict[str, np.ndarray]:
    """Numbers of a variable: integers without a scale as they are stored (`i`), and all in float64 with NaN for the fill (`f`).

    Not by the library's own masking, which also takes away what lies outside of `valid_max`: we leave a humidity of 100.2 %.
    """
    item.set_auto_maskandscale(False)
    stored = np.squeeze(np.asarray(item[...]))
    attributes = {name: item.getncattr(name) for name in item.ncattrs()}
    packed = {"scale_factor", "add_offset"} & set(attributes)
    values = stored.astype(np.float64)
    fills = [attributes[name] for name in ("_FillValue", "missing_value") if name in attributes]
    if "_FillValue" not in attributes and stored.dtype.itemsize > 1:
        fills.append(netCDF4.default_fillvals[stored.dtype.str[1:]])  # what was never written
    missing = np.isin(stored, fills)
    values = values * float(attributes.get("scale_factor", 1.0)) + float(attributes.get("add_offset", 0.0))
    return {"f": np.where(missing, np.nan, values)} | ({} if packed or stored.dtype.kind not in "iu" else {"i": stored})


def numbers(group: Any, found: dict[str, list[dict[str, np.ndarray]]]) -> None:
    for name, item in group.variables.items():
        if item.dtype is not str and np.dtype(item.dtype).kind in "iufb":
            found.setdefault(name, []).append(read(item))
    for child in group.groups.values():
        numbers(child, found)


@pytest.mark.parametrize("pattern", NETCDF)
def test_values_as_the_netcdf_library(shared_data: Path, tmp_path: Path, pattern: str) -> None:
    """O12: every variable that comes from a file as it is, of every real product: the same numbers, rounded once."""
    (path,) = shared_data.glob(pattern)
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for number, data in enumerate(real.members(path).values()):
        if data[:4] == b"\x89HDF" or data[:3] == b"CDF":
            file = tmp_path / f"{number}.nc"
            file.write_bytes(data)
            with netCDF4.Dataset(file) as opened:
                numbers(opened, found)
    seen, unlike = 0, []
    for node in open_product(path).subtree:
        for name, array in node.to_dataset(inherit=False).variables.items():
            original = str(array.attrs.get("original_name", name))
            if array.encoding.get("access") == "computed" or array.dtype.kind in "MmOUS" or original not in found:
                continue
            if name == "qa_value":
                continue  # the float nearest to k / 100, not k times the float of 0.01: tests/test_25_sentinel5p.py
            ours = np.squeeze(np.asarray(array.values))
            same = [
                theirs for item in found[original]
                if (theirs := item.get("f" if ours.dtype.kind == "f" else "i")) is not None
                and theirs.shape == ours.shape and np.array_equal(theirs.astype(ours.dtype), ours, equal_nan=True)
            ]  # fmt: skip
            unlike += [] if same else [f"{node.path}/{name}"]
            seen += 1
    print(f"O12 {path.name[:24]}: {seen} variables equal, demanded exact; unlike: {unlike}")
    assert not unlike
    assert seen >= NETCDF[pattern]


# --- O16: kerchunk ---------------------------------------------------------------------------------------------------
def all_datasets(group: h5py.Group) -> dict[str, Any]:
    found: dict[str, Any] = {}
    group.visititems(lambda name, node: found.__setitem__(name, node) if isinstance(node, h5py.Dataset) else None)
    return found


@pytest.mark.parametrize("kind", ["drawn", "trimmed", "efr", "sral"])
def test_ranges_of_chunks_as_kerchunk(shared_data: Path, tmp_path: Path, kind: str) -> None:
    """O16: the byte ranges that we would read of each variable are those that kerchunk refers to, and that hold its bytes."""
    hdf = pytest.importorskip("kerchunk.hdf")
    if kind == "drawn":
        files = [sentinel5p.write(tmp_path, next(spec for spec in plan.products() if "NO2" in spec.id))]
    else:
        pattern = {"trimmed": "s5p/*trimmed*.nc", "efr": REAL_EFR, "sral": "s3_sral/S3A_SR_1_SRA____*.zip"}[kind]
        (path,) = shared_data.glob(pattern)
        named = {name: data for name, data in real.members(path).items() if name.endswith(".nc")}
        files = [tmp_path / name for name in real.as_folder(named, tmp_path) and named]
    variables = ranges = 0
    for file in files:
        references = hdf.SingleHdf5ToZarr(str(file), inline_threshold=0).translate()["refs"]
        content = file.read_bytes()
        with h5py.File(file) as opened:
            for name, node in all_datasets(opened).items():
                theirs = sorted(
                    tuple(where[1:]) for key, where in references.items()
                    if key.rpartition("/")[0] == name and isinstance(where, list) and len(where) == 3
                )  # fmt: skip
                ours = sorted(hdf5_chunks.all_of(node))
                if not theirs and node.dtype.kind not in "iuf":
                    continue  # text: kerchunk takes it into its references
                assert ours == theirs, name
                for (start, size), (at, raw) in zip(ours, stored_bytes(node), strict=True):
                    assert (start, content[start : start + size]) == (at, raw)
                    ranges += 1
                variables += 1
    print(f"O16 {kind}: {ranges} ranges of {variables} variables equal, demanded exact")
    assert ranges >= 4


def stored_bytes(node: Any) -> list[tuple[int, bytes]]:
    """Offset and bytes as HDF5 gives them, of each chunk (with filters not undone) or of the whole."""
    if node.chunks is None:
        start = node.id.get_offset()
        return [] if start is None else [(start, node[...].tobytes())]
    infos = [node.id.get_chunk_info(number) for number in range(node.id.get_num_chunks())]
    return sorted((info.byte_offset, node.id.read_direct_chunk(info.chunk_offset)[1]) for info in infos)
