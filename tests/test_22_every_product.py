"""The acceptance table: every real product opens as it should, or is refused with a sentence that is true."""

from __future__ import annotations

import functools
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import netCDF4
import pytest
import real
import xarray as xr

from extenso_nb.errors import ExtensoError, IncompleteProduct, UnsupportedProduct
from extenso_nb.readers import open_product

S2_BANDS = ["measurements/r10m", "measurements/r20m", "measurements/r60m"]
ECHOES = ["l1b_echo_lrm", "l1b_echo_plrm", "l1b_echo_sar_ku"]
VIGNETTES = [f"WV{2 - at % 2}_{at:03d}/{part}" for at in range(1, 31) for part in ("osw", "owi", "rvl")]
CONDITIONS = ["attitude", "gcp", "orbit"]

# Product, by as much of its path as says which -> groups that have variables.
OPENS: dict[str, list[str]] = {
    "s1_grd/*FD5B": ["conditions/gcp", "measurements"],
    "s1_grd/*ECC8.SAFE": [
        *(f"conditions/{part}" for part in ("attitude", "coordinate_conversion", "gcp", "orbit")), "measurements",
    ],
    "s1_slc/*8152.SAFE": ["EW1/HH", "bursts", *(f"conditions/EW1/{part}" for part in CONDITIONS)],
    "s1_slc/*EFA4.zip": [
        "IW1/VH", "IW1/VV", "IW2/VH", "bursts",
        *(f"conditions/{swath}/{part}" for swath in ("IW1", "IW2") for part in CONDITIONS),
        *(f"quality/{part}/{swath}" for swath in ("IW1/VH", "IW1/VV", "IW2/VH")
          for part in ("calibration", "noise_azimuth", "noise_range")),
    ],
    "s1_ocn/*C1F4.zip": VIGNETTES,
    "s2_l1c/*T31TDH*": ["conditions/geometry", "measurements/r60m"],
    "s2_l1c/*T56JMM*": ["conditions/geometry", *S2_BANDS, "quality/r10m"],
    "s2_l2a/*T33SVB*": ["conditions/geometry", *S2_BANDS],
    "s3_olci/S3B*": [
        *(f"conditions/{part}" for part in ("geometry", "image", "instrument", "meteorology", "orphans")),
        "measurements", "measurements/reflectance", "quality",
    ],
    "s3_sral/S3A_SR_1_SRA____*": ECHOES,
    "s3_sral/S3B_SR_1_SRA____*": ECHOES,
    "s3_sral/*SRA_BS*": ["l1bs_echo_plrm", "l1bs_echo_sar_ku"],
    "s3_sral/*LAN*": ["01", "20_c", "20_ku"],
    "s5p/*trimmed*": ["PRODUCT"],
    **{f"s5p/S5P_OFFL_L2__{kind}_*": ["METADATA/QA_STATISTICS"] for kind in ("CH4", "CLOUD", "CO", "NO2")},
}  # fmt: skip
ONLY_AS_STORED = "s2_l2a/*T33SVB*"
"""Has no MTD_MSIL2A.xml: opens with scaled=False, as the refusal says."""
EOPF = "eopf_zarr/"


@pytest.fixture(scope="module")
def products(shared_data: Path) -> list[Path]:
    return real.every_product(shared_data)


def the(shared_data: Path, pattern: str) -> Path:
    (found,) = shared_data.glob(pattern)
    return found


def opened(path: Path, pattern: str, **options: Any) -> xr.DataTree:
    return open_product(path, scaled=pattern != ONLY_AS_STORED, **options)


@functools.cache
def told(shared_data: Path, pattern: str) -> dict[str, Any]:
    """What the product says as it lies there; two tests ask for it."""
    return real.told(opened(the(shared_data, pattern), pattern))


def refusal(path: Path) -> ExtensoError:
    with pytest.raises(ExtensoError) as caught:
        open_product(path)
    return caught.value


# --- those that open -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pattern", OPENS)
def test_what_opens(shared_data: Path, pattern: str) -> None:
    """The groups; every value can be read; a pickled tree, a second one, and one without dask are the same."""
    path = the(shared_data, pattern)
    tree = opened(path, pattern)
    assert sorted(real.groups(tree)) == sorted(OPENS[pattern])
    assert tree.attrs["source_uri"] == str(path)
    packed = pickle.dumps(tree)
    found = told(shared_data, pattern)
    assert real.differing(found, real.told(pickle.loads(packed))) == []
    assert real.differing(found, real.told(opened(path, pattern, chunks=None))) == []
    assert real.differing(found, real.told(opened(path, pattern))) == []


@pytest.mark.parametrize("pattern", OPENS)
def test_folder_and_zips_are_the_same(shared_data: Path, tmp_path: Path, pattern: str) -> None:
    """As folder, stored and deflated: names, dimensions, types, attributes and values."""
    path = the(shared_data, pattern)
    files = real.members(path)
    stem = opened(path, pattern).attrs["product_id"]
    root = path.name if path.is_dir() else f"{stem}.{'SEN3' if stem.startswith('S3') else 'SAFE'}"
    forms = [
        real.as_folder(files, tmp_path / "folder" / root),
        real.as_zip(files, tmp_path / "stored.zip", root, zipfile.ZIP_STORED),
        real.as_zip(files, tmp_path / "deflated.zip", root, zipfile.ZIP_DEFLATED),
    ]
    right = told(shared_data, pattern)
    for form in forms:
        tree = opened(form, pattern)
        assert tree.attrs["source_uri"] == str(form)
        assert real.differing(right, real.told(tree)) == [], form


def test_values_are_compared(shared_data: Path) -> None:
    """That the comparison sees what differs: a value, an attribute, a type."""
    pattern = "s5p/*trimmed*"
    tree = opened(the(shared_data, pattern), pattern)
    right = real.told(tree)
    name = next(str(name) for name, array in tree["PRODUCT"].data_vars.items() if array.dtype == "float32")
    for change in ("value", "attribute", "dtype"):
        other = tree.copy()
        array = other[f"PRODUCT/{name}"].load().copy()
        if change == "value":
            array[(0,) * array.ndim] += 1
        elif change == "attribute":
            array.attrs["units"] = "another"
        else:
            array = array.astype("float64")
        other[f"PRODUCT/{name}"] = array
        assert real.differing(right, real.told(other)) == [f"/PRODUCT:{name}"]


def test_what_is_said_to_be_missing_is(shared_data: Path) -> None:
    """`missing_members` against a plain reading of the manifests."""
    for pattern in ("s1_grd/*ECC8.SAFE", "s1_slc/*8152.SAFE", "s1_slc/*EFA4.zip"):
        path = the(shared_data, pattern)
        files = real.members(path)
        listed = listed_by_manifest(files, r"(?:measurement/|annotation/(?:calibration/(?:calibration|noise)-)?s1)")
        if pattern.endswith("EFA4.zip"):
            listed |= listed_by_manifest(files, r"annotation/calibration/")
        absent = {name for name in listed if not files.get(name)}
        assert set(open_product(path).attrs["missing_members"]) == absent
        assert absent
    tree = open_product(the(shared_data, "s2_l1c/*T31TDH*"))
    text = real.members(the(shared_data, "s2_l1c/*T31TDH*"))["MTD_MSIL1C.xml"].decode()
    listed = set(re.findall(r"<IMAGE_FILE>([^<]+)<", text))
    assert set(tree.attrs["missing_members"]) == {name for name in listed if not name.endswith("_B01")}
    for pattern in OPENS:
        if pattern.startswith(("s3_", "s1_ocn", "s2_l1c/*T56JMM*")):
            assert "missing_members" not in opened(the(shared_data, pattern), pattern).attrs


def listed_by_manifest(files: dict[str, bytes], begin: str) -> set[str]:
    (text,) = [data.decode() for name, data in files.items() if name in {"manifest.safe", "xfdumanifest.xml"}]
    return {name for name in re.findall(r'href="(?:\./)?([^"]+)"', text) if re.match(begin, name)}


# --- those that do not -----------------------------------------------------------------------------------------------
def test_each_product_opens_or_is_refused_by_an_error_of_ours(products: list[Path], shared_data: Path) -> None:
    """No other exception; and the table above is whole: what is not in it is refused."""
    known = {the(shared_data, pattern) for pattern in OPENS} - {the(shared_data, ONLY_AS_STORED)}
    eopf = shared_data / EOPF
    opens = set()
    for path in products:
        try:
            tree = open_product(path)
        except ExtensoError as error:
            check_sentence(path, error)
            continue
        opens.add(path)
        for array in tree.leaves:
            assert array.path
    assert {path for path in opens if eopf not in path.parents} == known
    assert len(products) == 77


def check_sentence(path: Path, error: ExtensoError) -> None:
    """It names the input, is a sentence, has a next step, and comes back from a worker as it was."""
    identifier = path.name.removesuffix(".zip").removesuffix(".SAFE").removesuffix(".SEN3")
    assert str(path) in error.message or identifier in error.message, error.message
    assert error.message.endswith("."), error.message
    assert error.hint, error.message
    assert error.hint.endswith((".", ")")), error.hint
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.hint) == (type(error), error.message, error.hint)


def test_sentinel1_without_images(shared_data: Path) -> None:
    """As many images are missing as the manifest lists, and none is there."""
    patterns = ("s1_grd/*3768.zip", "s1_grd/S1C*.SAFE", "s1_slc/*91FC.SAFE", "s1_slc/*07B5.zip", "s1_slc/*39FD.SAFE")
    for pattern in patterns:
        path = the(shared_data, pattern)
        files = real.members(path)
        listed = listed_by_manifest(files, "measurement/")
        assert listed
        assert not any(files.get(name) for name in listed)
        error = refusal(path)
        assert type(error) is IncompleteProduct
        assert error.message.endswith(f"has no image: {len(listed)} are missing or empty."), error.message
        named = set(error.details["missing_members"])
        assert {name for name in named if name.startswith("measurement/")} == listed
        assert not any(files.get(name) for name in named)
    ocean = the(shared_data, "s1_ocn/*521E.zip")
    assert not any(data for name, data in real.members(ocean).items() if name.endswith(".nc"))
    assert re.search(r"has no netCDF file in measurement/, or only empty ones\.$", refusal(ocean).message)


def test_sentinel2_without_images(products: list[Path], shared_data: Path) -> None:
    """The ladder of baselines, the products that are metadata only, and one whose images are empty."""
    patterns = ("s2_l2a/baseline_ladder/*/*.SAFE", "s2_l2a/metadata_only/*.SAFE", "s2_l1c/*T46UEU*")
    paths = [path for pattern in patterns for path in sorted(shared_data.glob(pattern))]
    assert len(paths) == 26 + 3 + 1
    for path in paths:
        files = real.members(path)
        (text,) = [data.decode() for name, data in files.items() if re.fullmatch(r"MTD_MSIL[12][AC]\.xml", name)]
        listed = set(re.findall(r"<IMAGE_(?:FILE|ID)(?:_2A)?>([^<]+)<", text))
        assert not any(data for name, data in files.items() if "/IMG_DATA/" in name)
        error = refusal(path)
        assert type(error) is IncompleteProduct
        assert error.message.endswith(f"has no image of any band: {len(listed)} are missing or empty."), error.message


def test_sentinel3_without_content(shared_data: Path) -> None:
    """Real manifests beside files without a variable."""
    paths = [path for family in ("olci", "slstr", "syn") for path in (shared_data / f"s3_{family}").glob("*.SEN3")]
    assert len(paths) == 6
    for path in paths:
        files = real.members(path)
        listed = listed_by_manifest(files, r".*\.nc$")
        assert listed
        for name in listed & set(files):
            with netCDF4.Dataset(path / name) as file:
                assert not file.variables
        error = refusal(path)
        assert type(error) is IncompleteProduct
        right = f"has no file with variables: {len(listed)} are missing or empty, or have none."
        assert error.message.endswith(right), error.message


def test_next_steps_are_steps(shared_data: Path) -> None:
    """What the hints say to do works."""
    path = the(shared_data, ONLY_AS_STORED)
    error = refusal(path)
    assert type(error) is IncompleteProduct
    assert "has no MTD_MSIL2A.xml" in error.message
    assert "scaled=False" in (error.hint or "")
    assert not list(path.rglob("MTD_MSIL*"))
    assert real.groups(open_product(path, scaled=False))
    for family in ("olci", "slstr"):
        path = the(shared_data, f"s3_{family}/snap_subset/*.nc")
        error = refusal(path)
        assert type(error) is UnsupportedProduct
        assert path.read_bytes()[:4] in {b"CDF\x01", b"CDF\x02"}
        assert 'xarray.open_dataset(path, engine="scipy")' in (error.hint or "")
        with xr.open_dataset(path, engine="scipy") as dataset:
            assert dataset.sizes["x"]


def test_what_is_no_product_of_a_known_layout(shared_data: Path) -> None:
    folders = ["s2_l1c/aws_tile*", "s2_l2a/antimeridian/*", "s2_l2a/earth_search_120m/*0815*", "s2_l2a/sentinel_cogs/*"]
    for pattern in folders:
        error = refusal(the(shared_data, pattern))
        assert type(error) is UnsupportedProduct
        assert "by its name or its files" in error.message
    for pattern in ("s1_grd/*.tif", "s5p/*NO2*.json", "s5p/*O3*.json"):
        error = refusal(the(shared_data, pattern))
        assert type(error) is UnsupportedProduct
        assert "is neither a folder, nor a zip, nor a netCDF file" in error.message
