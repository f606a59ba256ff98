"""What is opened is written by `to_netcdf` as it is and comes back equal; the checker of CF finds no error in it.

The checker is `compliance-checker` (IOOS, Apache-2.0), of the extra `oracle`: `pytest -m oracle`. It brings its table of standard
names with it and needs no network.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import radar
import swaths
import xarray as xr

from extenso_nb.gateway.sources.sample import sentinel2, sentinel3, sentinel5p
from extenso_nb.gateway.sources.sample.plan import products
from extenso_nb.readers import open_product
from extenso_nb.readers.conventions import conform, writable
from extenso_nb.readers.regrid import regrid

Draw = Callable[[Path], Path]


@dataclass(frozen=True)
class Wanted:
    id: str
    area: str = "camargue"
    cover: float = 0.3


def of_sample(draw: Any, start: str) -> Draw:
    """What draws the first product of the sample archive whose name begins so."""
    return lambda folder: draw.write(folder, next(spec for spec in products() if spec.id.startswith(start)))


def of_s5p(kind: str) -> Draw:
    spec = Wanted(f"S5P_NRTI_{kind}_20240610T121500_20240610T122000_34512_03_020600_20240610T130112")
    return lambda folder: sentinel5p.write(folder, spec)


FAMILIES: dict[str, Draw] = {
    "S1 GRD": radar.draw,
    "S1 OCN": radar.ocean,
    "S2 L1C": of_sample(sentinel2, "S2B_MSIL1C"),
    "S2 L2A": of_sample(sentinel2, "S2B_MSIL2A"),
    "S3 OLCI L1": of_sample(sentinel3, "S3B_OL_1"),
    "S3 OLCI L2": of_sample(sentinel3, "S3B_OL_2"),
    "S3 SLSTR L1": of_sample(sentinel3, "S3A_SL_1"),
    "S3 SLSTR LST": of_sample(sentinel3, "S3A_SL_2"),
    "S3 SLSTR WST": swaths.sea_surface,
    "S3 SRAL L2": swaths.altimetry,
    "S3 SYN": swaths.synergy,
    "S3 VGP": lambda folder: swaths.vegetation(folder, "VGP"),
    **{f"S5P {kind}": of_s5p(kind) for kind in sentinel5p.TYPES},
}
"""Family -> what puts a product of it into a folder; SLC has tests of its own, below."""
REAL = {
    "S1 OCN": "s1_ocn/S1A_WV_OCN__2SSV*.zip",
    "S2 L1C": "s2_l1c/S2A_MSIL1C_20180101*.zip",
    "S3 OLCI L1": "s3_olci/S3B*.zip",
    "S3 SRAL L1": "s3_sral/S3A_SR_1_SRA_*.zip",
    "S3 SRAL L1BS": "s3_sral/S3B_SR_1_SRA_BS*.zip",
    "S3 SRAL L2": "s3_sral/S3A_SR_2_LAN*.SEN3",
    "S5P CO": "s5p/S5P_L2_CO_trimmed*.nc",
    "S5P CLOUD": "s5p/S5P_OFFL_L2__CLOUD*.nc",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], xr.DataTree]:
    """A product of a family, opened; drawn once."""
    there: dict[str, Path] = {}

    def product(family: str) -> xr.DataTree:
        if family not in there:
            there[family] = FAMILIES[family](tmp_path_factory.mktemp("product"))
        return open_product(there[family])

    return product


def real(shared_data: Path, family: str) -> xr.DataTree:
    tree = open_product(next(shared_data.glob(REAL[family])))
    if family == "S1 OCN":  # 30 vignettes of one form
        kept = [
            node
            for node in tree.subtree
            if node.path.count("/") < 2 or node.path.startswith(("/WV1_001/", "/WV2_002/"))
        ]
        tree = xr.DataTree.from_dict(
            {node.path: node.to_dataset() for node in kept if node.data_vars or not node.parent}
        )
    return tree


# --- written and read again ------------------------------------------------------------------------------------------
def as_list(value: Any) -> Any:
    """An attribute as netCDF gives it back: a list of one is its one."""
    return np.asarray(value).ravel().tolist()


def check_equal(again: xr.DataTree, tree: xr.DataTree) -> int:
    """Values, types, places, times, flags, CRS and all other attributes; how many variables."""
    assert set(again.groups) == set(tree.groups)
    count = 0
    for node in tree.subtree:
        other = again[node.path]
        assert set(other.data_vars) == set(node.data_vars), node.path
        assert set(other.coords) == set(node.coords), node.path
        for name, array in node.variables.items():
            same, label = other.variables[name], f"{node.path}/{name}"
            assert same.dims == array.dims, label
            assert same.dtype == array.dtype or array.dtype.kind == "O", label
            np.testing.assert_array_equal(same.values, array.values, err_msg=label)
            said = same.encoding | same.attrs  # xarray takes bounds and grid mappings apart from other attributes
            assert {key: as_list(said.get(key)) for key in array.attrs} == {
                key: as_list(value) for key, value in array.attrs.items()
            }, label
            count += 1
        assert {key: as_list(value) for key, value in other.attrs.items()} == {
            key: as_list(value) for key, value in node.attrs.items()
        }
        if "spatial_ref" in node.coords:
            for name in node.data_vars:
                assert node[name].rio.crs is not None
                assert other[name].rio.crs == node[name].rio.crs, f"{node.path}/{name}"
    return count


def written(tree: xr.DataTree, path: Path, **options: Any) -> int:
    tree.to_netcdf(path, **options)
    with xr.open_datatree(path, decode_coords="all") as again:
        return check_equal(again, tree)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_product_is_written_without_a_word(family: str, drawn: Any, tmp_path: Path) -> None:
    assert written(drawn(family), tmp_path / "product.nc") > 3


@pytest.mark.parametrize("family", ["S1 GRD", "S2 L2A", "S3 SLSTR L1", "S5P L2__NO2___"])
def test_h5netcdf_writes_the_same(family: str, drawn: Any, tmp_path: Path) -> None:
    assert written(drawn(family), tmp_path / "product.nc", engine="h5netcdf") > 3


@pytest.mark.parametrize("family", REAL)
def test_real_products_are_written(family: str, shared_data: Path, tmp_path: Path) -> None:
    assert written(real(shared_data, family), tmp_path / "product.nc") > 3


def test_without_netcdf4_xarray_takes_h5netcdf(tmp_path: Path) -> None:
    """The package does not depend on netCDF4, which the tests have."""
    path = FAMILIES["S2 L2A"](tmp_path)
    code = (
        "import sys; sys.modules['netCDF4'] = None\n"
        "from extenso_nb.readers import open_product\n"
        f"open_product({str(path)!r}).to_netcdf({str(tmp_path / 'product.nc')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with xr.open_datatree(tmp_path / "product.nc", decode_coords="all") as again:
        check_equal(again, open_product(path))


@pytest.mark.parametrize("options", [{"masked": False}, {"scaled": False}, {"masked": False, "scaled": False}])
@pytest.mark.parametrize("family", ["S1 GRD", "S2 L2A", "S3 OLCI L1", "S5P L2__CH4___"])
def test_stored_numbers_are_written(family: str, options: dict[str, bool], tmp_path: Path) -> None:
    assert written(open_product(FAMILIES[family](tmp_path), **options), tmp_path / "product.nc") > 3


# --- complex numbers -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def slc(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    return open_product(radar.slc(tmp_path_factory.mktemp("slc")))


def test_netcdf_has_no_complex_numbers(slc: xr.DataTree, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="complex"):
        slc.to_netcdf(tmp_path / "slc.nc")


def test_backscatter_of_an_slc_is_written(slc: xr.DataTree, tmp_path: Path) -> None:
    assert written(slc.s1.calibrate("sigma0"), tmp_path / "sigma0.nc") > 3


def test_all_of_an_slc_but_its_pixels_is_written(slc: xr.DataTree, tmp_path: Path) -> None:
    rest = slc.map_over_datasets(
        lambda group: group.drop_vars([name for name in group if group[name].dtype.kind == "c"])
    )
    assert written(rest, tmp_path / "rest.nc") > 20


def test_complex_numbers_as_pairs_of_netcdf4(slc: xr.DataTree, tmp_path: Path) -> None:
    """A type of its own in the file, which netCDF4 understands and CF does not know."""
    group = slc["IW1/VV"].to_dataset()
    group.to_netcdf(tmp_path / "slc.nc", engine="netcdf4", auto_complex=True)
    with xr.open_dataset(tmp_path / "slc.nc", engine="netcdf4", auto_complex=True) as again:
        assert again["vv"].dtype == np.complex64
        np.testing.assert_array_equal(again["vv"].values, group["vv"].values)


# --- attributes ------------------------------------------------------------------------------------------------------
def test_attributes_that_netcdf_has_no_type_for(tmp_path: Path) -> None:
    attributes = {
        "nothing": None, "yes": True, "numpy_no": np.bool_(False), "parts": {"a": [1, None]}, "nested": [[1, 2], [3]],
        "mixed": ["a", 1], "empty": [], "some": ["a", None, "b"], "bytes": b"\xc3\xa9", "huge": 2**70, "matrix": np.eye(2),
        "bits": np.array([True]), "complex": 1j, "a/b": 1, "text": "é", "numbers": [1, 2.5], "scalar": np.float32(1.5),
        "when": np.datetime64("2024-06-10"), "of_truths": [True, False], "dicts": [{"a": 1}], "tuple": (1, 2),
        "none_left": [None],
    }  # fmt: skip
    tree = xr.DataTree.from_dict(conform({"/": xr.Dataset({"x": ("x", [1.0], attributes)}, attrs=attributes)}))
    assert written(tree, tmp_path / "a.nc") == 1
    said = writable(attributes)
    assert (said["yes"], said["numpy_no"]) == ("true", "false")
    assert said["parts"] == '{"a": [1, null]}'
    assert said["nested"] == "[[1, 2], [3]]"
    assert said["some"] == ["a", "b"]
    assert said["huge"] == str(2**70)
    assert said["of_truths"] == ["true", "false"]
    assert "nothing" not in said
    assert said["a_b"] == 1


def one(attributes: dict[str, Any], values: Any = (1.0, 2.0), name: str = "v", **others: Any) -> dict[str, Any]:
    """The attributes of a variable after `conform`."""
    dataset = xr.Dataset({name: ("n", np.asarray(values), attributes), **others})
    return dict(conform({"/": dataset})["/"][name].attrs)


@pytest.mark.parametrize(
    ("units", "known"),
    [("adimentional", "1"), ("deg", "degree"), ("dB ", "0.1 lg(re 1)"), ("degrees clockwise from north", "degree"),
     ("Kg.m-2", "kg.m-2"), ("FFT power unit", "1")],
)  # fmt: skip
def test_units_in_the_words_of_udunits(units: str, known: str) -> None:
    said = one({"units": units})
    assert (said["units"], said["original_units"]) == (known, units)


def test_what_is_right_stays_as_it_is() -> None:
    right = {"units": "mW.m-2.sr-1.nm-1", "standard_name": "wind_speed", "valid_min": 0.5}
    assert one(right) == right


def test_places_have_the_units_of_places() -> None:
    assert one({"units": "degree (decimal)"}, name="latitude") == {
        "units": "degrees_north", "original_units": "degree (decimal)", "standard_name": "latitude",
    }  # fmt: skip
    assert one({}, name="longitude")["units"] == "degrees_east"
    assert one({"units": "degrees_north", "long_name": "Wind direction"})["units"] == "degree"


def test_standard_names_keep_their_modifier() -> None:
    said = one({"standard_name": "toa_upwelling_spectral_radiance standard_error"})
    assert said["standard_name"] == "toa_outgoing_radiance_per_unit_wavelength standard_error"
    assert "standard_name" not in one({"standard_name": "unknown"})


@pytest.mark.parametrize(
    ("text", "words"),
    [("0:good, 1:medium, 2:poor", "good medium poor"), ("very good, fair, poor", "very_good fair poor"), ("a b c", "a b c"),
     ("l1 (b) c", "l1 b c"), (["a", "b", "c"], "a b c")],
)  # fmt: skip
def test_flags_have_one_word_each_and_the_type_of_the_variable(text: Any, words: str) -> None:
    said = one({"flag_values": [0, 1, 2], "flag_meanings": text}, np.array([0, 1], np.int8))
    assert said["flag_meanings"] == words
    assert said["flag_values"].dtype == np.int8


def test_limits_have_the_type_of_the_variable() -> None:
    said = one({"valid_min": 0, "valid_range": [0, 100]}, np.array([1, 2], np.float32))
    assert said["valid_min"].dtype == said["valid_range"].dtype == np.float32
    beyond = one({"valid_max": 70000}, np.array([1, 2], np.int16))
    assert "valid_max" not in beyond
    assert beyond["original_valid_max"] == 70000


def test_variables_of_other_files_are_not_named() -> None:
    there = {"near": ("n", [1.0, 2.0])}
    said = one({"ancillary_variables": "near far", "bounds": "far", "cell_measures": "area: far"}, **there)
    assert said["ancillary_variables"] == "near"
    assert said["original_ancillary_variables"] == "near far"
    assert not {"bounds", "cell_measures"} & said.keys()


# --- the checker -----------------------------------------------------------------------------------------------------
def findings(path: Path) -> Iterator[str]:
    """What the checker calls an error (its weight HIGH), and each of its checks that fell over."""
    from compliance_checker.base import BaseCheck
    from compliance_checker.suite import CheckSuite

    CheckSuite.load_all_available_checkers()

    def errors(dataset: Any, skip: list[str]) -> Iterator[str]:
        suite = CheckSuite()
        for groups, failed in suite.run_all(dataset, ["cf:1.11"], skip_checks=skip).values():
            yield from (f"{name} fell over: {reason[0]}" for name, reason in failed.items())
            yield from (
                f"{group.name}: {message}"
                for group in groups
                if group.weight == BaseCheck.HIGH and group.value[0] < group.value[1]
                for message in group.msgs or ["no message"]
            )

    with xr.open_dataset(path, decode_cf=False) as own:
        labels = [
            str(name) for name, item in own.variables.items() if item.dims == (name,) and item.dtype.kind in "OUST"
        ]
        plain = own.drop_vars(labels).load()
    # One of the checks cannot subtract texts; it is done on a copy without labels.
    skip = ["check_coordinate_variables_strict_monotonicity"] if labels else []
    yield from errors(CheckSuite().load_dataset(str(path)), skip)
    if labels:
        other = path.with_suffix(".plain.nc")
        for item in plain.variables.values():
            item.encoding.setdefault("_FillValue", None)  # none but those that are there
        plain.to_netcdf(other)
        yield from errors(CheckSuite().load_dataset(str(other)), [])


def check_groups(tree: xr.DataTree, folder: Path) -> None:
    """Each group as a file of its own, which is what the checker knows."""
    folder.mkdir(exist_ok=True)
    found: dict[str, list[str]] = {}
    checked = 0
    for node in tree.subtree:
        dataset = node.to_dataset()
        if not dataset.variables:
            continue
        path = folder / f"{checked}.nc"
        # the conventions are named once in a tree, at its root
        dataset.assign_attrs(Conventions=tree.attrs["Conventions"]).to_netcdf(path)
        for finding in findings(path):
            found.setdefault(finding, []).append(node.path)
        checked += 1
    assert checked
    assert found == {}


oracle = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]


class TestChecker:
    pytestmark = oracle

    @pytest.mark.parametrize("family", FAMILIES)
    def test_no_error_in_what_is_written(self, family: str, drawn: Any, tmp_path: Path) -> None:
        check_groups(drawn(family), tmp_path)

    @pytest.mark.parametrize("family", REAL)
    def test_no_error_in_real_products(self, family: str, shared_data: Path, tmp_path: Path) -> None:
        check_groups(real(shared_data, family), tmp_path)

    def test_no_error_in_what_is_made_of_an_slc(self, slc: xr.DataTree, tmp_path: Path) -> None:
        check_groups(slc.s1.calibrate("sigma0"), tmp_path)
        rest = slc.map_over_datasets(
            lambda group: group.drop_vars([name for name in group if group[name].dtype.kind == "c"])
        )
        check_groups(rest, tmp_path / "rest")

    @pytest.mark.parametrize("family", ["S1 GRD", "S3 OLCI L1", "S5P L2__NO2___"])
    def test_no_error_in_what_is_put_on_a_grid(self, family: str, drawn: Any, tmp_path: Path) -> None:
        tree = drawn(family)
        if family == "S1 GRD":
            check_groups(tree.s1.calibrate().s1.geocode(60), tmp_path)
            check_groups(tree.s1.calibrate().s1.geocode(0.001, crs=4326), tmp_path / "geographic")
            return
        source = tree["measurements/reflectance"].to_dataset()[["Oa08"]] if "OLCI" in family else tree
        chart = regrid(source, resolution=0.1)
        check_groups(xr.DataTree(chart.assign_attrs(Conventions=tree.attrs["Conventions"])), tmp_path)

    def test_the_checker_finds_what_is_wrong(self, tmp_path: Path) -> None:
        wrong = xr.Dataset(
            {
                "a": ("x", [1.0, 2.0], {"units": "adimentional", "long_name": "a"}),
                "b": ("x", [1.0, 2.0], {"units": "1", "standard_name": "no_such_name"}),
                "c": (
                    "x",
                    np.array([0, 1], np.int8),
                    {"flag_values": [0, 1], "flag_meanings": "a b", "long_name": "c"},
                ),
                "d": ("label", [1.0, 2.0], {"long_name": "d", "units": "1"}),
                "e": ("x", [1.0, 2.0]),
            },
            {"label": ["one", "two"], "x": ("x", [2.0, 1.0], {"long_name": "x", "units": "1"})},
            {"Conventions": "CF-1.11"},
        )
        wrong.to_netcdf(tmp_path / "wrong.nc")
        said = "\n".join(findings(tmp_path / "wrong.nc"))
        for words in ("adimentional", "no_such_name", "flag_values", "'x' must not have the _FillValue", "variable e"):
            assert words in said
        wrong["b"].attrs["standard_name"] = "land_surface_temperature"
        wrong["b"].attrs["units"] = "K"
        conform({"/": wrong})["/"].to_netcdf(tmp_path / "right.nc")
        assert list(findings(tmp_path / "right.nc")) == []
