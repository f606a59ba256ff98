"""Whether the bytes of a product hold together: each member of a zip by its CRC, a netCDF file by its structure."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from extenso_nb.errors import DamagedProduct
from extenso_nb.readers.entries import open_regular, zip_entries

__all__ = ["verify"]


def verify(file: Path | BinaryIO, name: str | None = None) -> None:
    """Read a product through and look whether it is whole.

    A zip is read to its end and every member compared with its CRC-32; a netCDF-4 file is opened, which fails when it is
    shorter than its own header says. Files of other kinds have nothing to compare with, and pass.

    Parameters
    ----------
    file
        A path, or a file that can be read and sought.
    name
        File name with extension; by default that of the path.

    Raises
    ------
    DamagedProduct
        Cut short, altered, or not what its name says.
    """
    called = name or (file.name if isinstance(file, Path) else "the product")
    if called.endswith(".zip"):
        _verify_zip(file, called)
    elif called.endswith(".nc"):
        _verify_netcdf(file, called)


def _verify_zip(file: Path | BinaryIO, name: str) -> None:
    try:
        with open_regular(file) if isinstance(file, Path) else contextlib.nullcontext(file) as opened:
            zip_entries(opened, name)  # before anything is inflated
            with zipfile.ZipFile(opened) as archive:
                bad = archive.testzip()
    # zlib.error: a member that does not inflate; RuntimeError: one that is encrypted; ValueError: names that are no text.
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise DamagedProduct(f"{name} is not a whole zip: {error}") from error
    if bad is not None:
        raise DamagedProduct(f"{name} is damaged: the CRC of {bad} is wrong.")


def _verify_netcdf(file: Path | BinaryIO, name: str) -> None:
    import h5py

    try:
        h5py.File(file, "r").close()
    except OSError as error:
        raise DamagedProduct(f"{name} is not a whole netCDF-4 file: {error}") from error
