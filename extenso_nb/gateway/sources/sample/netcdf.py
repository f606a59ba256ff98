"""netCDF-4 files as bytes, the same bytes for the same content; the sample archive's Sentinel-3 and -5P are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Group", "Variable", "keep_bits", "pack", "to_bytes"]

_DEFLATE = 4
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable.%10d"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable as stored: packed integers, not what they stand for. An object array holds texts."""

    dims: tuple[str, ...]
    data: np.ndarray[Any, Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Group:
    """A group: its own dimensions (name -> length), variables, attributes and groups."""

    dims: dict[str, int] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)


def pack(
    values: Any,
    dtype: str,
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    fill: float | None = None,
    valid: Any = None,
) -> np.ndarray[Any, Any]:
    """Packed integers: ``round((values - offset) / scale)``, held within the type and off the fill value.

    Parameters
    ----------
    values
        Any shape, the unit of the variable; NaN becomes `fill`.
    valid
        Boolean of the same shape; False becomes `fill` as well.
    """
    kind = np.dtype(dtype)
    values = np.asarray(values, dtype=np.float64)
    limits = np.iinfo(kind)
    low, high = int(limits.min), int(limits.max)
    if fill == low:
        low += 1
    elif fill == high:
        high -= 1
    missing = ~np.isfinite(values) if valid is None else ~np.isfinite(values) | ~np.asarray(valid)
    counts = np.clip(np.rint((np.where(missing, offset, values) - offset) / scale), low, high)
    return np.where(missing, 0 if fill is None else fill, counts).astype(kind)


def keep_bits(values: Any, bits: int) -> np.ndarray[Any, Any]:
    """float32 rounded to `bits` bits of mantissa: noise that no instrument measures would not compress."""
    whole = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    drop = 23 - bits
    half = np.uint32(1 << (drop - 1))
    mask = np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)
    return ((whole + half) & mask).view(np.float32)


def to_bytes(root: Group) -> bytes:
    """The file. Chunks are the whole variable, deflated and shuffled, as in the real products.

    No time of creation is kept in it, so equal content gives equal bytes (with one version of HDF5).
    """
    import h5py

    with h5py.File("sample.nc", "w", driver="core", backing_store=False, block_size=1 << 16, track_times=False) as file:
        _fill(file, root, {})
        file.flush()
        return bytes(file.id.get_file_image())


def _fill(target: Any, group: Group, scales: Mapping[str, Any]) -> None:
    scales = dict(scales)
    for name, length in group.dims.items():
        scales[name] = _dimension(target, name, length, group.variables.get(name))
    for name, variable in group.variables.items():
        dataset = target[name] if name in group.dims else _dataset(target, name, variable)
        for key, value in variable.attrs.items():
            _attribute(dataset, key, value)
        if name not in group.dims:
            for axis, dim in enumerate(variable.dims):
                dataset.dims[axis].attach_scale(scales[dim])
    for key, value in group.attrs.items():
        _attribute(target, key, value)
    for name, child in group.groups.items():
        _fill(target.create_group(name), child, scales)


def _dimension(target: Any, name: str, length: int, variable: Variable | None) -> Any:
    if variable is not None:
        scale = _dataset(target, name, variable)
        scale.make_scale(name)
    else:
        scale = target.create_dataset(name, shape=(length,), dtype=">f4", track_times=False)
        scale.make_scale(_NO_VARIABLE % length)
    return scale


def _dataset(target: Any, name: str, variable: Variable) -> Any:
    import h5py

    data = variable.data
    if data.dtype == object:
        return target.create_dataset(name, data=data, dtype=h5py.string_dtype(), track_times=False)
    options: dict[str, Any] = {"track_times": False}
    fill = variable.attrs.get("_FillValue")
    if fill is not None:
        options["fillvalue"] = data.dtype.type(np.asarray(fill).item())
    if data.size > 1:
        options |= {"chunks": data.shape, "compression": "gzip", "compression_opts": _DEFLATE, "shuffle": True}
    return target.create_dataset(name, data=data, **options)


def _attribute(target: Any, key: str, value: Any) -> None:
    """Texts of fixed length and numbers as arrays of one, as the netCDF library writes them."""
    if isinstance(value, str):
        value = np.bytes_(value.encode("utf-8") or b" ")
    elif not isinstance(value, np.ndarray):
        value = np.atleast_1d(np.asarray(value))
    target.attrs.create(key, value)
