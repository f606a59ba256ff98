"""The same products through satpy (GPL-3.0), a peer that is asked and never depended on.

`pip install '.[oracle]'`, then `pytest -m oracle`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from extenso_nb.gateway.sources.sample import sentinel3
from extenso_nb.readers import open_product

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
