"""The header of a classic netCDF file (CDF-1, -2, -5): what is where. HDF5 libraries do not read it, and it is simple.

The format: NetCDF Classic Format Specification, Unidata; all numbers are big-endian, names and values padded to four bytes.
Sentinel-1 ocean products of the first years are such files.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

__all__ = ["Variable", "header"]

_TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}
_DIMENSION, _VARIABLE, _ATTRIBUTE = 0x0A, 0x0B, 0x0C
_MANY = 100_000  # of anything: a header that says more is none


@dataclass(frozen=True)
class Variable:
    """Where the numbers of a variable lie: `shape` of `dtype` from `offset`, one after the other."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    offset: int
    attributes: dict[str, Any]


class _Reader:
    def __init__(self, file: IO[bytes], version: int) -> None:
        self.file = file
        self.wide = version == 5  # counts of 8 bytes
        self.far = version >= 2  # offsets of 8 bytes

    def take(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) != size:
            raise ValueError("it ends within its header")
        return data

    def number(self, wide: bool = False) -> int:
        return int(struct.unpack(">Q" if wide else ">I", self.take(8 if wide else 4))[0])

    def count(self) -> int:
        found = self.number(self.wide)
        if found > _MANY:
            raise ValueError(f"its header counts {found} of something")
        return found

    def padded(self, size: int) -> bytes:
        return self.take((size + 3) // 4 * 4)[:size]

    def name(self) -> str:
        return self.padded(self.count()).decode("utf-8", "replace")

    def listed(self, tag: int) -> range:
        found, count = self.number(), self.count()
        if found != (tag if count else found) or found not in {0, tag}:
            raise ValueError("its header has a list of an unknown kind")
        return range(count)

    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in self.listed(_ATTRIBUTE):
            name, dtype, count = self.name(), self.dtype(), self.count()
            raw = self.padded(count * np.dtype(dtype).itemsize)
            if dtype == "S1":
                found[name] = raw.decode("utf-8", "replace").rstrip("\0")
            else:
                values = np.frombuffer(raw, dtype)
                found[name] = values[0] if count == 1 else values
        return found

    def dtype(self) -> str:
        code = self.number()
        if code not in _TYPES:
            raise ValueError(f"its header has a type {code}")
        return _TYPES[code]


def header(file: IO[bytes]) -> tuple[dict[str, Any], dict[str, Variable]]:
    """Global attributes and variables of a classic netCDF file.

    Raises
    ------
    ValueError
        Cut short, not such a file, or one with a record (unlimited) dimension of which there is more than one variable's
        worth: their numbers lie interleaved.
    """
    magic = file.read(4)
    if magic[:3] != b"CDF" or magic[3:] not in {b"\1", b"\2", b"\5"}:
        raise ValueError("it is no classic netCDF file")
    reader = _Reader(file, magic[3])
    records = reader.number(reader.wide)
    dims = [(reader.name(), reader.number(reader.wide)) for _ in reader.listed(_DIMENSION)]
    attributes = reader.attributes()
    variables = {}
    unlimited = 0
    for _ in reader.listed(_VARIABLE):
        name = reader.name()
        ids = [reader.number(reader.wide) for _ in range(reader.count())]
        if any(at >= len(dims) for at in ids):
            raise ValueError(f"{name} has a dimension that is none")
        own = reader.attributes()
        dtype = reader.dtype()
        reader.number(reader.wide)  # size, which follows from the shape
        offset = reader.number(reader.far)
        unlimited += any(dims[at][1] == 0 for at in ids)
        shape = tuple(dims[at][1] or records for at in ids)
        if math.prod(shape) * np.dtype(dtype).itemsize > 1 << 40:
            raise ValueError(f"{name} would be of a size that no file has")
        variables[name] = Variable(name, tuple(dims[at][0] for at in ids), shape, dtype, offset, own)
    if unlimited > 1 and records > 1:
        raise ValueError("it has records of several variables")
    return attributes, variables
