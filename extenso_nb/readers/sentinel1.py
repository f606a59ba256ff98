"""Sentinel-1 GRD, SLC and OCN in SAFE layout (folder or zip) -> xarray.DataTree, lazily.

GRD: `/measurements` (one variable a polarisation). SLC: `/IW1/VV` and the like, one group an image, and `/bursts`, the table
of bursts. Both: `/conditions` (gcp, orbit, attitude, coordinate_conversion) and `/quality` (calibration, noise_range,
noise_azimuth).

Pixels are digital numbers, for which of sigma0, beta0 and gamma0 is wanted is nothing that a file can say: `calibrate`
makes them. They have no latitude and longitude, for these depend on the height of what was seen: `geolocate` makes these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from extenso_nb.errors import (
    DamagedProduct,
    ExtensoError,
    IncompleteProduct,
    InputError,
    UnsupportedProduct,
)
from extenso_nb.readers import sentinel1_metadata as metadata
from extenso_nb.readers.accessor import Sentinel1
from extenso_nb.readers.arrays import Image, ImageArray, Packing, probe
from extenso_nb.readers.calibration import Radar
from extenso_nb.readers.conventions import conform
from extenso_nb.readers.identity import from_name
from extenso_nb.readers.range_doppler import Geometry
from extenso_nb.readers.sentinel1_groups import burst_rows, burst_table, conditions, quality
from extenso_nb.readers.sentinel1_members import RadarImage, images_of, missing_members
from extenso_nb.readers.sentinel1_metadata import Annotation

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["Sentinel1", "open_sentinel1"]

_STRIP = 512
"""Lines of a chunk of an image that is stored line by line: 27 MB of 16 bit in the widest scene."""
_TILES = 2048
"""Lines and pixels that a chunk of a tiled image comes near to."""


@dataclass(frozen=True)
class _Wanted:
    """What the caller asked for, and what is known of the product."""

    container: Container
    facts: Mapping[str, Any]
    masked: bool
    chunks: str | dict[str, int] | None
    missing: tuple[str, ...] = field(default=())


def open_sentinel1(
    container: Container, *, masked: bool = True, scaled: bool = True, chunks: str | dict[str, int] | None = "auto"
) -> xr.DataTree:
    """Open a Sentinel-1 GRD, SLC or OCN product.

    Parameters
    ----------
    container
        The product.
    masked
        NaN where there is no data (DN 0: borders, lines between bursts); makes GRD float32. Without: uint16 as stored.
        SLC is complex64 either way.
    scaled
        Without effect: numbers become physical values by `calibrate`, which has a choice to make.
    chunks
        `"auto"`: dask chunks of 512 whole lines (parts of a burst, tiles of a COG); None: lazy without dask; or sizes by
        dimension, as of `Dataset.chunk`.

    Raises
    ------
    IncompleteProduct
        No image can be read.
    UnsupportedProduct
        RAW products.
    DamagedProduct
        Metadata or an image cannot be read.
    """
    facts, listed = metadata.manifest(container)
    kind = facts.get("product_type") or from_name(container.product_id).get("product_type")
    if kind == "RAW":
        raise UnsupportedProduct(
            f"{container.product_id} is a Sentinel-1 RAW product; read are GRD, SLC and OCN.",
            hint="Order the GRD or SLC product of the same time.",
        )
    if kind == "OCN":
        return _ocean(_Wanted(container, facts, masked, chunks, missing_members(container, listed, ())))
    images = list(images_of(container))
    missing = missing_members(container, listed, images)
    if not images:
        raise IncompleteProduct(
            f"{container.product_id} has no image: {len([m for m in missing if 'measurement' in m]) or 'all'} are missing "
            "or empty.",
            missing_members=list(missing),
        )
    wanted = _Wanted(container, facts, masked, chunks, missing)
    probed = [(image, probe(container, image.measurement, None)) for image in images]
    for image, file in probed:
        if file.bands != 1:
            raise DamagedProduct(f"{image.measurement} in {container.uri} has {file.bands} layers in place of 1.")
    groups: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=_attributes(wanted, images))}
    slant = any(_is_slant(image, file) for image, file in probed)
    groups |= _slc(wanted, probed) if slant else _grd(wanted, probed)
    return xr.DataTree.from_dict(conform(groups))


def _is_slant(image: RadarImage, file: Image) -> bool:
    return not image.annotation.ground_range if image.annotation else file.dtype.startswith("complex")


# --- GRD -------------------------------------------------------------------------------------------------------------
def _grd(wanted: _Wanted, probed: Sequence[tuple[RadarImage, Image]]) -> dict[str, xr.Dataset]:
    groups = {}
    shapes = {(file.height, file.width) for _, file in probed}
    several = len(shapes) > 1 or len({image.polarisation for image, _ in probed}) < len(probed)
    for members in [[one] for one in probed] if several else [list(probed)]:
        first = members[0][0]
        label = f"/{first.label}" if first.number else ""
        path = f"/measurements{label}/{first.polarisation}" if several else "/measurements"
        groups[path] = _pixels(wanted, members)
    groups |= conditions("/conditions", probed)
    for image, _ in probed:
        groups |= quality(image, f"{image.label}/{image.polarisation}" if image.number else image.polarisation)
    return groups


def _pixels(wanted: _Wanted, members: Sequence[tuple[RadarImage, Image]]) -> xr.Dataset:
    """Images that share a grid, one variable a polarisation."""
    file = members[0][1]
    annotation = next((image.annotation for image, _ in members if _fits(image, file)), None)
    coords = _coords(annotation, file)
    variables, notes = {}, []
    for image, own in members:
        variables[image.polarisation.lower()] = _variable(wanted, image, own)
        note = _size_note(image, own)
        notes += [note] if note else []
    attributes: dict[str, Any] = {"grid_note": " ".join(notes)} if notes else {}
    missing = [name for name in wanted.missing if name.startswith("measurement/")]
    if missing:
        attributes["missing_members"] = missing
    dataset = xr.Dataset(variables, coords, attributes)
    return _chunked(dataset, wanted, file, annotation)


def _chunked(dataset: xr.Dataset, wanted: _Wanted, file: Image, annotation: Annotation | None) -> xr.Dataset:
    if wanted.chunks is None:
        return dataset
    if isinstance(wanted.chunks, dict) and (unknown := set(wanted.chunks) - {"line", "pixel"}):
        raise InputError(
            f"Images of Sentinel-1 have no dimension {', '.join(sorted(map(str, unknown)))}.",
            hint='Pass chunks such as {"line": 512, "pixel": -1}.',
        )
    sizes: Any = _chunk_sizes(file, annotation) if isinstance(wanted.chunks, str) else wanted.chunks
    made = {}
    for name, array in dataset.data_vars.items():  # not the coordinates: they are small, and there
        made[name] = variable = array.variable.chunk(sizes)
        # by this name `calibrate` knows again what nobody has computed with
        variable.encoding["radar"] = replace(variable.encoding["radar"], graph=variable.data.name)
    return dataset.assign(made)


def _chunk_sizes(file: Image, annotation: Annotation | None) -> dict[str, tuple[int, ...] | int]:
    """Whole multiples of the file's own strips or tiles; no chunk is of two bursts."""
    rows, columns = file.tile
    if columns < file.width:
        tall, wide = (max(1, round(_TILES / size)) * size for size in (rows, columns))
        return {"line": min(tall, file.height), "pixel": min(wide, file.width)}
    strip = max(1, round(_STRIP / rows)) * rows
    if (
        annotation is None
        or not annotation.bursts
        or annotation.lines_per_burst * len(annotation.bursts) != file.height
    ):
        return {"line": min(strip, file.height), "pixel": file.width}
    burst = annotation.lines_per_burst
    parts = [len(part) for part in np.array_split(np.arange(burst), max(1, round(burst / strip)))]
    return {"line": tuple(parts * len(annotation.bursts)), "pixel": file.width}


def _fits(image: RadarImage, file: Image) -> bool:
    own = image.annotation
    return own is not None and (own.lines, own.samples) == (file.height, file.width)


def _size_note(image: RadarImage, file: Image) -> str | None:
    if image.annotation is None or _fits(image, file):
        return None
    return (
        f"{image.measurement} has {file.height} x {file.width} pixels; its annotation says {image.annotation.lines} x "
        f"{image.annotation.samples}."
    )


def _coords(annotation: Annotation | None, file: Image) -> dict[str, xr.Variable]:
    coords = {
        "line": xr.Variable("line", np.arange(file.height), {"long_name": "line of the image", "units": "1"}),
        "pixel": xr.Variable("pixel", np.arange(file.width), {"long_name": "pixel of the line", "units": "1"}),
    }
    if annotation is None:
        return coords
    line = np.arange(file.height)
    if annotation.bursts:
        burst = np.minimum(line // annotation.lines_per_burst, len(annotation.bursts) - 1)
        starts = np.array([one.azimuth_time for one in annotation.bursts], "datetime64[ns]")
        after = line - burst * annotation.lines_per_burst
        coords["burst"] = xr.Variable("line", burst, {"long_name": "number of the burst in this image, from 0"})
        for name, which in (("first_valid_sample", "first_valid"), ("last_valid_sample", "last_valid")):
            samples = np.concatenate([getattr(one, which) for one in annotation.bursts])
            if len(samples) == file.height:
                text = f"{name.replace('_', ' ')} of the line; -1 where it has none"
                coords[name] = xr.Variable("line", samples, {"long_name": text})
    else:
        starts, burst, after = np.array([annotation.first_line_time]), np.zeros(file.height, np.int64), line
    since = np.rint(after * annotation.azimuth_time_interval * 1e9).astype("timedelta64[ns]")
    coords["azimuth_time"] = xr.Variable(
        "line", starts[burst] + since, {"standard_name": "time", "long_name": "zero-Doppler time of the line"}
    )
    along = np.arange(file.width)
    if annotation.ground_range:
        coords["ground_range"] = xr.Variable(
            "pixel",
            along * annotation.range_pixel_spacing,
            {"units": "m", "long_name": "distance on the ground from the first pixel"},
        )
    else:
        coords["slant_range_time"] = xr.Variable(
            "pixel",
            annotation.slant_range_time + along / annotation.range_sampling_rate,
            {"units": "s", "long_name": "two-way travel time of the signal"},
        )
    return coords


def _variable(wanted: _Wanted, image: RadarImage, file: Image) -> xr.Variable:
    detected = not file.dtype.startswith("complex")
    array = ImageArray(file, Packing(invalid=(0,)) if wanted.masked else None)
    variable = xr.Variable(
        ("line", "pixel"),
        indexing.LazilyIndexedArray(array),
        {
            "long_name": f"{'detected amplitude' if detected else 'complex amplitude'}, {image.polarisation}, digital number",
            "units": "1",
            "band_id": image.polarisation.lower(),
            "polarisation": image.polarisation,
            "swath": image.swath,
        },
    )
    variable.encoding = {
        "source": file.source,
        "access": file.access,
        "radar": _radar(wanted, image, file, array),
    }
    if wanted.masked and detected:
        variable.encoding |= {"_FillValue": np.float32(np.nan), "packing": {"dtype": file.dtype, "_FillValue": 0}}
    return variable


def _radar(wanted: _Wanted, image: RadarImage, file: Image, array: ImageArray) -> Radar:
    radar = Radar(
        product_id=wanted.container.product_id,
        member=image.measurement,
        polarisation=image.polarisation,
        mode=image.annotation.mode if image.annotation else wanted.facts.get("sensor_mode"),
        processor=wanted.facts.get("processing_baseline"),
        pixels=array,
    )
    note = _size_note(image, file)
    if note:
        # which lines and pixels these are nobody can say
        return replace(radar, wanting=f"{note.rstrip('.')}, so that lines and pixels are not those of its vectors")
    geometry, wanting = None, None
    if image.annotation is not None:
        try:
            geometry = Geometry.of(image.annotation)
        except ExtensoError as error:
            wanting = error.message.rstrip(".")
    return replace(radar, geometry=geometry, calibration=image.calibration, noise=image.noise, wanting=wanting)


# --- SLC -------------------------------------------------------------------------------------------------------------
def _slc(wanted: _Wanted, probed: Sequence[tuple[RadarImage, Image]]) -> dict[str, xr.Dataset]:
    groups: dict[str, xr.Dataset] = {}
    rows: list[dict[str, Any]] = []
    for image, file in probed:
        if file.dtype != "complex_int16":
            raise DamagedProduct(f"{image.measurement} in {wanted.container.uri} has pixels of type {file.dtype}.")
        groups[f"/{image.label}/{image.polarisation}"] = _pixels(wanted, [(image, file)])
        groups |= quality(image, f"{image.label}/{image.polarisation}")
        if image.annotation is not None:
            rows += burst_rows(image, image.annotation)
    for label in dict.fromkeys(image.label for image, _ in probed):
        groups |= conditions(f"/conditions/{label}", [one for one in probed if one[0].label == label])
    if rows:
        groups["/bursts"] = burst_table(rows)
    return groups


# --- OCN -------------------------------------------------------------------------------------------------------------
def _ocean(wanted: _Wanted) -> xr.DataTree:
    from extenso_nb.readers.sentinel1_ocn import open_ocn

    groups = open_ocn(wanted.container, wanted.facts, masked=wanted.masked, chunks=wanted.chunks)
    attributes = {**_attributes(wanted, ()), "processing_level": "L2"}
    return xr.DataTree.from_dict(conform({"/": xr.Dataset(attrs=attributes), **groups}))


# --- attributes ------------------------------------------------------------------------------------------------------
def _attributes(wanted: _Wanted, images: Sequence[RadarImage]) -> dict[str, Any]:
    from extenso_nb._version import __version__

    container = wanted.container
    attributes: dict[str, Any] = {"Conventions": "CF-1.11", "product_id": container.product_id}
    attributes |= from_name(container.product_id) | {"instrument": "C-SAR"}
    annotation = next((image.annotation for image in images if image.annotation), None)
    if annotation is not None:
        known = {name: value for name, value in annotation.attributes.items() if value is not None}
        for name in ("start_time", "stop_time"):
            if name in known:
                known[name] = f"{str(known[name]).removesuffix('Z')}Z"
        attributes |= known | {"product_type": annotation.product_type, "sensor_mode": annotation.mode}
    attributes |= {name: value for name, value in wanted.facts.items() if value is not None}
    attributes |= {"processing_level": "L1", "source_uri": container.uri}
    if wanted.missing:
        attributes["missing_members"] = list(wanted.missing)
    attributes["history"] = f"opened by extenso_nb {__version__}: open_product(masked={wanted.masked})"
    return {name: value for name, value in attributes.items() if value is not None}
