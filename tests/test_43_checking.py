"""Whether a product is whole, by the stream that its bytes pass: cut, altered and foreign files are told from good ones."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from scripted import verify

from extenso_nb.errors import DamagedProduct


@pytest.fixture(params=["stored", "deflated"])
def whole_zip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "product.zip"
    kind = zipfile.ZIP_STORED if request.param == "stored" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for number in range(5):
            archive.writestr(f"product.SAFE/{number}", random.Random(number).randbytes(5000))
    return path


@pytest.fixture
def whole_netcdf(tmp_path: Path) -> Path:
    path = tmp_path / "product.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset("PRODUCT/no2", data=np.arange(20_000.0))
    return path


def test_whole_files_pass(whole_zip: Path, whole_netcdf: Path) -> None:
    verify(whole_zip)
    verify(whole_netcdf)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_does_not(whole_zip: Path, whole_netcdf: Path, share: float) -> None:
    for path in (whole_zip, whole_netcdf):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DamagedProduct, match=path.name):
            verify(path)


def test_an_altered_member_does_not(whole_zip: Path) -> None:
    content = bytearray(whole_zip.read_bytes())
    content[2000] ^= 1
    whole_zip.write_bytes(content)
    with pytest.raises(DamagedProduct):
        verify(whole_zip)


def test_a_page_that_asks_to_log_in_is_no_product(tmp_path: Path) -> None:
    for name in ("product.zip", "product.nc"):
        path = tmp_path / name
        path.write_bytes(b"<html>Log in first</html>" * 100)
        with pytest.raises(DamagedProduct, match="not a whole"):
            verify(path)


def test_a_zip_in_front_of_which_something_stands_is_refused(tmp_path: Path) -> None:
    # Readers from the end would take it; from the start it is something else, and one file must not be two things.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"b")
    path = tmp_path / "product.zip"
    path.write_bytes(b"prefix" + buffer.getvalue())
    with pytest.raises(DamagedProduct, match="prefix"):
        verify(path)
