"""Every real product of the shared data: which there are, and all that an opened one says, in a form that compares."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

FAMILIES = (
    "s1_grd", "s1_slc", "s1_ocn", "s2_l1c", "s2_l2a", "s3_olci", "s3_slstr", "s3_sral", "s3_syn", "s5p", "eopf_zarr",
)  # fmt: skip
SUFFIXES = {".safe", ".sen3", ".zip", ".nc", ".zarr"}
_PIXELS = {".tif", ".tiff", ".jp2"}
_LARGE, _WINDOW = 4_000_000, 48
"""Values of an array that is not read whole, and rows and columns of the windows that are."""


def every_product(data: Path) -> list[Path]:
    """Whatever a user may take for a product: SAFE, SEN3, zips, netCDF, Zarr, folders of images, and files that are none."""
    return [path for family in FAMILIES for child in sorted((data / family).iterdir()) for path in _below(child)]


def _below(path: Path) -> Iterator[Path]:
    if path.is_file() or path.suffix.lower() in SUFFIXES:
        yield path
        return
    children = sorted(path.iterdir())
    if any(child.name in {"measurement", "GRANULE"} or child.suffix.lower() in _PIXELS for child in children):
        yield path
        return
    for child in children:
        yield from _below(child)


def groups(tree: xr.DataTree) -> list[str]:
    """Paths of the groups that have variables."""
    return [node.path.strip("/") for node in tree.subtree if node.data_vars]


def windows(variable: Any) -> Iterator[Any]:
    """A variable whole, or of a large one its first and last corner and a part of the middle."""
    if variable.size <= _LARGE:
        yield variable
        return
    for at in (0.0, 0.5, 1.0):
        first = [max(0, int((size - _WINDOW) * at)) for size in variable.shape]
        yield variable[tuple(slice(start, start + _WINDOW) for start in first)]


def told(tree: xr.DataTree) -> dict[str, Any]:
    """Groups, names, dimensions, types, attributes and values, but for where the product lies. Raises as reading does."""
    found: dict[str, Any] = {}
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        found[node.path] = _attributes(node.attrs)
        for name, variable in dataset.variables.items():
            parts = [np.asarray(part.values) for part in windows(variable)]
            values = [part.tolist() if part.dtype == object else part.tobytes() for part in parts]
            what = "coordinate" if name in dataset.coords else "variable"
            found[f"{node.path}:{name}"] = (
                what, variable.dims, variable.shape, str(variable.dtype), _attributes(variable.attrs), values,
            )  # fmt: skip
    return found


def _attributes(attributes: dict[Any, Any]) -> dict[str, str]:
    """As text with types, since arrays and NaN do not compare."""
    return {
        str(key): f"{type(value).__name__} {np.asarray(value).dtype} {np.asarray(value).tolist()!r}"
        for key, value in attributes.items()
        if key != "source_uri"
    }


def members(path: Path) -> dict[str, bytes]:
    """Files of a product by their path below its root, read without the project's own container."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if not zipfile.is_zipfile(path):
        return {path.name: path.read_bytes()}
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    heads = {name.partition("/")[0] for name in files}
    if len(heads) == 1 and next(iter(heads)).lower().endswith((".safe", ".sen3")):
        files = {name.partition("/")[2]: data for name, data in files.items()}
    return files


def as_folder(files: dict[str, bytes], target: Path) -> Path:
    """The files as a folder."""
    for name, data in files.items():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return target


def as_zip(files: dict[str, bytes], target: Path, root: str, method: int) -> Path:
    """The files in a zip, in the folder `root` of it."""
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(f"{root}/{name}", data)
    return target


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What two trees do not have in common, for messages."""
    keys = itertools.chain(one, (key for key in other if key not in one))
    return [key for key in keys if one.get(key) != other.get(key)]
