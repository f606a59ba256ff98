"""A small Sentinel-2 product in EOPF Zarr format, with the names, types and attributes of a real one, and made-up numbers."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr

NAME = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
WEST, NORTH, ROWS, COLUMNS, TILE = 300000.0, 4800000.0, 40, 56, 16
PACKED = {
    "add_offset": -0.1, "scale_factor": 0.0001, "dtype": "<u2", "fill_value": 0, "units": "digital_counts",
    "valid_min": 1, "valid_max": 65535, "_eopf_attrs": {"coordinates": ["x", "y"], "dimensions": ["y", "x"]},
}  # fmt: skip
FLAGS = {"flag_masks": [1, 2, 128], "flag_meanings": ["ANC_LOST", "ANC DEG", "QT_SATURATED"], "dtype": "<u1"}
ITEM = {
    "type": "Feature",
    "id": f"{NAME}.SAFE",
    "geometry": {"type": "Polygon", "coordinates": [[[0.5, 43.3], [0.5, 43.2], [0.6, 43.2], [0.6, 43.3], [0.5, 43.3]]]},
    "assets": {"b04": {"href": "https://archive.example.org/b04?X-Amz-Signature=topsecret"}},
    "properties": {
        "platform": "sentinel-2b", "instrument": "msi", "product:type": "S02MSIL2A", "processing:level": "L2A",
        "start_datetime": "2024-06-01T10:56:19.024000+00:00", "end_datetime": "2024-06-01T10:56:19.024000+00:00",
        "sat:absolute_orbit": 37792, "sat:relative_orbit": 94, "sat:orbit_state": "descending", "eo:cloud_cover": 12.5,
        "eopf:baseline": "05.10", "proj:epsg": 32631,
        "bands": [{"name": "b04", "center_wavelength": 664.9, "full_width_half_max": 0.031, "common_name": "red"}],
    },
}  # fmt: skip


def numbers(seed: int, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray[Any, Any]:
    """Digital numbers with no data (0), saturation (65535) and the 1039 that stands for 0.0039."""
    found = np.random.default_rng(seed).integers(1, 12000, (rows, columns), dtype=np.uint16)
    found[0, :4] = (0, 65535, 1039, 1000)
    return found


def place(size: float, rows: int, columns: int) -> dict[str, Any]:
    """The `proj:` attributes of an array."""
    return {
        "proj:epsg": 32631,
        "proj:shape": [rows, columns],
        "proj:transform": [size, 0.0, WEST, 0.0, -size, NORTH, 0.0, 0.0, 1.0],
    }


def write(folder: Path, *, version: int = 2, consolidated: bool = True, shards: bool = False, **options: Any) -> Path:
    """The product as a folder; `options` go to every image."""
    path = folder / f"{NAME}.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=version)  # type: ignore[arg-type]
    root.attrs.update({"stac_discovery": ITEM, "other_metadata": {"horizontal_CRS_code": "EPSG:32631"}})

    def put(name: str, values: Any, dims: tuple[str, ...], attributes: dict[str, Any], tile: int, **how: Any) -> None:
        shape = np.shape(values)
        how.setdefault("fill_value", None if version == 2 else 0)
        if version == 2:
            how["compressors"] = numcodecs.Blosc("zstd", 3, 2)
        elif not shards:
            how["compressors"] = zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
        if shards and len(shape) == 2:
            how["shards"] = tuple(2 * tile for _ in shape)
        array = root.create_array(
            name,
            shape=shape,
            dtype=values.dtype,
            chunks=tuple(min(tile, size) for size in shape),
            dimension_names=dims if version == 3 else None,
            attributes=attributes | ({"_ARRAY_DIMENSIONS": list(dims)} if version == 2 else {}),
            config={"write_empty_chunks": True},
            **how,
        )
        array[...] = values

    def grid(path: str, size: int, rows: int, columns: int) -> None:
        put(f"{path}/x", (WEST + size * (np.arange(columns) + 0.5)).astype("i8"), ("x",), {}, columns)
        put(f"{path}/y", (NORTH - size * (np.arange(rows) + 0.5)).astype("i8"), ("y",), {}, rows)

    for metres, bands in ((10, ("b02", "b03", "b04", "b08")), (20, ("b04", "b05"))):
        rows, columns, where = ROWS * 10 // metres, COLUMNS * 10 // metres, f"measurements/reflectance/r{metres}m"
        for band in bands:
            said = {**PACKED, **place(metres, rows, columns), "long_name": f"BOA reflectance {band}"}
            put(
                f"{where}/{band}",
                numbers(int(band[1:]), rows, columns),
                ("y", "x"),
                said,
                TILE,
                **{"fill_value": 0} | options,
            )
        grid(where, metres, rows, columns)
    flags = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % 256).astype("u1")
    put("quality/mask/r10m/b04", flags, ("y", "x"), FLAGS | place(10, ROWS, COLUMNS), TILE, **options)
    grid("quality/mask/r10m", 10, ROWS, COLUMNS)
    classes = (np.arange(20 * 28).reshape(20, 28) % 12).astype("u1")
    put("conditions/mask/l2a_classification/r20m/scl", classes, ("y", "x"), place(20, 20, 28), TILE, **options)
    put("conditions/geometry/angle", np.array(["zenith", "azimuth"]), ("angle",), {}, 2)
    grid("conditions/geometry", 5000, 3, 3)
    sun = np.linspace(20.0, 40.0, 18).reshape(2, 3, 3)
    sun[0, 0, 0] = np.nan
    put("conditions/geometry/sun_angles", sun, ("angle", "y", "x"), {"unit": "deg"}, 3, fill_value=np.nan)
    day = {"units": "days since 2024-06-01 00:00:00", "calendar": "proleptic_gregorian"}
    put("conditions/meteorology/time", np.array(1), (), day, 1)
    if consolidated:
        zarr.consolidate_metadata(path)
    return path


def packed(path: Path, target: Path, method: int, *, top: bool = True) -> Path:
    """The folder as a zip, with or without the folder itself."""
    with zipfile.ZipFile(target, "w", method) as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                name = file.relative_to(path).as_posix()
                archive.write(file, f"{path.name}/{name}" if top else name)
    return target
