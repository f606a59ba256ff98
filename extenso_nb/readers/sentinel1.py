"""Sentinel-1 GRD, SLC and OCN in SAFE layout (folder or zip) -> xarray.DataTree, lazily.

GRD: `/measurements` (one variable a polarisation). SLC: `/IW1/VV` and the like, one group an image, and `/bursts`, the table
of bursts. Both: `/conditions` (gcp, orbit, attitude, coordinate_conversion) and `/quality` (calibration, noise_range,
noise_azimuth).

Pixels are digital numbers, for which of sigma0, beta0 and gamma0 is wanted is nothing that a file can say: `calibrate`
makes them. They have no latitude and longitude, for these depend on the height of what was seen: `geolocate` makes these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
    ProductIdError,
    UnsupportedProduct,
)
from extenso_nb.readers import sentinel1_metadata as metadata
from extenso_nb.readers.accessor import Sentinel1
from extenso_nb.readers.arrays import Image, ImageArray, Packing, control_points, probe
from extenso_nb.readers.calibration import Radar
from extenso_nb.readers.range_doppler import Geometry
from extenso_nb.readers.sentinel1_metadata import Annotation, Lut, Noise

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["Sentinel1", "open_sentinel1"]

_IMAGE = re.compile(
    r"(?:s1[a-z]-)?(?P<swath>(?:iw|ew|wv)\d?|s\d|n\d|en|is\d)-(?:(?P<kind>[a-z]{3})-)?(?P<pol>hh|hv|vv|vh)(?P<rest>-.+)?"
)
_STRIP = 512
"""Lines of a chunk of an image that is stored line by line: 27 MB of 16 bit in the widest scene."""
_TILES = 2048
"""Lines and pixels that a chunk of a tiled image comes near to."""


@dataclass(frozen=True)
class _Image:
    """One image of the product and the files that belong to it; what is missing or empty is None."""

    stem: str
    swath: str
    polarisation: str
    number: str | None
    """Of several images of one swath and polarisation (wave mode)."""
    measurement: str
    annotation: Annotation | None
    calibration: Lut | None
    noise: Noise | None

    @property
    def label(self) -> str:
        return f"{self.swath}_{self.number}" if self.number else self.swath


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
    kind = facts.get("product_type") or _from_identifier(container.product_id).get("product_type")
    if kind == "RAW":
        raise UnsupportedProduct(
            f"{container.product_id} is a Sentinel-1 RAW product; read are GRD, SLC and OCN.",
            hint="Order the GRD or SLC product of the same time.",
        )
    if kind == "OCN":
        return _ocean(_Wanted(container, facts, masked, chunks, _missing(container, listed, ())))
    images = list(_images(container))
    missing = _missing(container, listed, images)
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
    return xr.DataTree.from_dict(groups)


def _is_slant(image: _Image, file: Image) -> bool:
    return not image.annotation.ground_range if image.annotation else file.dtype.startswith("complex")


# --- members ---------------------------------------------------------------------------------------------------------
def _images(container: Container) -> Iterator[_Image]:
    """Images that have bytes, in the order of their names."""
    found: dict[str, str] = {}
    for name in container.names():
        folder, _, file = name.rpartition("/")
        stem, _, suffix = file.lower().rpartition(".")
        if folder == "measurement" and suffix in {"tif", "tiff"} and not container.is_empty(name):
            found.setdefault(stem.removesuffix("-cog"), name)
    parts = {stem: match for stem in found if (match := _IMAGE.fullmatch(stem))}
    places = [(match["swath"], match["pol"]) for match in parts.values()]
    for stem, match in sorted(parts.items()):
        several = places.count((match["swath"], match["pol"])) > 1
        annotation = _member(container, f"annotation/{stem}")
        calibration = _member(container, f"annotation/calibration/calibration-{stem}")
        noise = _member(container, f"annotation/calibration/noise-{stem}")
        yield _Image(
            stem=stem,
            swath=match["swath"].upper(),
            polarisation=match["pol"].upper(),
            number=stem.rpartition("-")[2] if several else None,
            measurement=found[stem],
            annotation=metadata.annotation(container, annotation) if annotation else None,
            calibration=metadata.calibration(container, calibration) if calibration else None,
            noise=metadata.noise(container, noise) if noise else None,
        )


def _member(container: Container, stem: str) -> str | None:
    """The XML member of that stem, whatever its case, of a COG or not; None where it is missing or empty."""
    for pattern in (f"{stem}.xml", f"{stem}-cog.xml"):
        for name in container.find(pattern):
            if not container.is_empty(name):
                return name
    return None


def _missing(container: Container, listed: Sequence[str], images: Sequence[_Image]) -> tuple[str, ...]:
    """Members of the product proper that the manifest lists, or another file implies, and that are not there or empty."""
    wanted = {name for name in listed if name.split("/")[0] in {"measurement", "annotation"}}
    there = {name for name in container.names() if not container.is_empty(name)}
    empty = {name for name in container.names() if name.split("/")[0] in {"measurement", "annotation"}} - there
    implied = set()
    for image in images:
        if image.annotation is None:
            implied.add(f"annotation/{image.stem}.xml")
        if image.calibration is None:
            implied.add(f"annotation/calibration/calibration-{image.stem}.xml")
        if image.noise is None:
            implied.add(f"annotation/calibration/noise-{image.stem}.xml")
    known = {image.stem for image in images}
    for name in there:
        folder, _, file = name.rpartition("/")
        stem = file.rpartition(".")[0].lower().removesuffix("-cog")
        if folder == "annotation" and _IMAGE.fullmatch(stem) and stem not in known:
            implied.add(f"measurement/{stem}.tiff")
    lower = {name.lower() for name in there}
    return tuple(sorted(name for name in wanted | empty | implied if name.lower() not in lower))


# --- GRD -------------------------------------------------------------------------------------------------------------
def _grd(wanted: _Wanted, probed: Sequence[tuple[_Image, Image]]) -> dict[str, xr.Dataset]:
    groups = {}
    shapes = {(file.height, file.width) for _, file in probed}
    several = len(shapes) > 1 or len({image.polarisation for image, _ in probed}) < len(probed)
    for members in [[one] for one in probed] if several else [list(probed)]:
        first = members[0][0]
        label = f"/{first.label}" if first.number else ""
        path = f"/measurements{label}/{first.polarisation}" if several else "/measurements"
        groups[path] = _pixels(wanted, members)
    groups |= _conditions(wanted, "/conditions", probed)
    for image, _ in probed:
        groups |= _quality(image, f"{image.label}/{image.polarisation}" if image.number else image.polarisation)
    return groups


def _pixels(wanted: _Wanted, members: Sequence[tuple[_Image, Image]]) -> xr.Dataset:
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


def _fits(image: _Image, file: Image) -> bool:
    own = image.annotation
    return own is not None and (own.lines, own.samples) == (file.height, file.width)


def _size_note(image: _Image, file: Image) -> str | None:
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


def _variable(wanted: _Wanted, image: _Image, file: Image) -> xr.Variable:
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
        "access": "gdal",
        "radar": _radar(wanted, image, file, array),
    }
    if wanted.masked and detected:
        variable.encoding |= {"_FillValue": np.float32(np.nan), "packing": {"dtype": file.dtype, "_FillValue": 0}}
    return variable


def _radar(wanted: _Wanted, image: _Image, file: Image, array: ImageArray) -> Radar:
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
def _slc(wanted: _Wanted, probed: Sequence[tuple[_Image, Image]]) -> dict[str, xr.Dataset]:
    groups: dict[str, xr.Dataset] = {}
    rows: list[dict[str, Any]] = []
    for image, file in probed:
        if file.dtype != "complex_int16":
            raise DamagedProduct(f"{image.measurement} in {wanted.container.uri} has pixels of type {file.dtype}.")
        groups[f"/{image.label}/{image.polarisation}"] = _pixels(wanted, [(image, file)])
        groups |= _quality(image, f"{image.label}/{image.polarisation}")
        if image.annotation is not None:
            rows += _burst_rows(image, image.annotation)
    for label in dict.fromkeys(image.label for image, _ in probed):
        groups |= _conditions(wanted, f"/conditions/{label}", [one for one in probed if one[0].label == label])
    if rows:
        groups["/bursts"] = _table(rows)
    return groups


_BURST_NOTES = {
    "swath": "swath",
    "polarisation": "polarisation",
    "number": "number of the burst in its image, from 0",
    "burst_id": "relative burst identifier, unique in the repeat cycle with its swath; -1 where the product has none",
    "azimuth_time": "zero-Doppler time of the first line",
    "sensing_time": "time at which the first line was received",
    "byte_offset": "offset of the first line in the measurement file; -1 where the product has none",
    "first_line": "first line of the burst in the image",
    "first_valid_line": "first line that has valid samples, in the image",
    "last_valid_line": "last line that has valid samples, in the image",
    "first_valid_sample": "first sample that is valid in all valid lines",
    "last_valid_sample": "last sample that is valid in all valid lines",
}


def _burst_rows(image: _Image, annotation: Annotation) -> Iterator[dict[str, Any]]:
    for number, burst in enumerate(annotation.bursts):
        valid = np.flatnonzero(burst.first_valid >= 0)
        start = number * annotation.lines_per_burst
        yield {
            "swath": image.swath,
            "polarisation": image.polarisation,
            "number": number,
            "burst_id": -1 if burst.identifier is None else burst.identifier,
            "azimuth_time": burst.azimuth_time,
            "sensing_time": np.datetime64("NaT", "ns") if burst.sensing_time is None else burst.sensing_time,
            "byte_offset": -1 if burst.byte_offset is None else burst.byte_offset,
            "first_line": start,
            "first_valid_line": start + int(valid[0]) if len(valid) else -1,
            "last_valid_line": start + int(valid[-1]) if len(valid) else -1,
            "first_valid_sample": int(burst.first_valid[valid].max()) if len(valid) else -1,
            "last_valid_sample": int(burst.last_valid[valid].min()) if len(valid) else -1,
        }


def _table(rows: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    return xr.Dataset(
        {
            name: ("burst", np.array([row[name] for row in rows]), {"long_name": note})
            for name, note in _BURST_NOTES.items()
        }
    )


# --- OCN -------------------------------------------------------------------------------------------------------------
def _ocean(wanted: _Wanted) -> xr.DataTree:
    from extenso_nb.readers.sentinel1_ocn import open_ocn

    groups = open_ocn(wanted.container, wanted.facts, masked=wanted.masked, chunks=wanted.chunks)
    attributes = {**_attributes(wanted, ()), "processing_level": "L2"}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attributes), **groups})


# --- conditions and quality ------------------------------------------------------------------------------------------
_DEGREES = {"units": "degree"}
_GRID_NOTES: dict[str, dict[str, str]] = {
    "latitude": {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude at the given height"},
    "longitude": {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude at the given height"},
    "height": {"units": "m", "long_name": "height above the ellipsoid: that of the terrain, as the processor took it"},
    "incidence_angle": {**_DEGREES, "long_name": "incidence angle, to the direction from the Earth's centre"},
    "elevation_angle": {**_DEGREES, "long_name": "elevation angle of the antenna"},
    "slant_range_time": {"units": "s", "long_name": "two-way travel time of the signal"},
    "azimuth_time": {"standard_name": "time", "long_name": "zero-Doppler time"},
}
_HEIGHTS = (
    "Points lie at the height of the terrain. Interpolated between points, places are wrong by (height of what is there - "
    "height in between the points) / tan(incidence), hundreds of metres in mountains; geolocate() has no such error."
)


def _conditions(wanted: _Wanted, path: str, probed: Sequence[tuple[_Image, Image]]) -> dict[str, xr.Dataset]:
    annotation = next((image.annotation for image, _ in probed if image.annotation), None)
    if annotation is None:
        points = _file_points(probed[0][1])
        return {f"{path}/gcp": points} if points is not None else {}
    groups = {}
    if annotation.grid:
        grid = annotation.grid
        groups[f"{path}/gcp"] = xr.Dataset(
            {name: (("line", "pixel"), grid[name], dict(notes)) for name, notes in _GRID_NOTES.items()},
            {"line": grid["line"], "pixel": grid["pixel"]},
            {"note": _HEIGHTS},
        )
    groups[f"{path}/orbit"] = xr.Dataset(
        {
            "position": (("azimuth_time", "axis"), annotation.orbit_position, {"units": "m", "frame": "Earth-fixed"}),
            "velocity": (
                ("azimuth_time", "axis"),
                annotation.orbit_velocity,
                {"units": "m s-1", "frame": "Earth-fixed"},
            ),
        },
        {"azimuth_time": annotation.orbit_time, "axis": ["x", "y", "z"]},
    )
    if annotation.attitude:
        units = {"wx": "degree s-1", "wy": "degree s-1", "wz": "degree s-1", "roll": "degree", "pitch": "degree"}
        units["yaw"] = "degree"
        groups[f"{path}/attitude"] = xr.Dataset(
            {
                name: ("azimuth_time", values, {"units": units.get(name, "1")})
                for name, values in annotation.attitude.items()
                if name != "time"
            },
            {"azimuth_time": annotation.attitude["time"]},
        )
    if annotation.conversion is not None:
        groups[f"{path}/coordinate_conversion"] = _conversion(annotation.conversion)
    return groups


def _file_points(file: Image) -> xr.Dataset | None:
    """The control points of the TIFF itself, for products that come without annotation."""
    points = control_points(file)
    if not len(points):
        return None
    names = ("line", "pixel", "longitude", "latitude", "height")
    return xr.Dataset(
        {name: ("point", points[:, at], dict(_GRID_NOTES.get(name, {}))) for at, name in enumerate(names)},
        attrs={"note": _HEIGHTS, "accuracy": "metres at the points; between them up to kilometres in mountains"},
    )


def _conversion(conversion: metadata.Conversion) -> xr.Dataset:
    dims = ("azimuth_time", "degree")
    return xr.Dataset(
        {
            "gr0": ("azimuth_time", conversion.gr0, {"units": "m", "long_name": "origin of ground range"}),
            "grsr_coefficients": (
                dims,
                conversion.grsr,
                {"long_name": "slant range (m) by powers of ground range - gr0 (m)"},
            ),
            "sr0": ("azimuth_time", conversion.sr0, {"units": "m", "long_name": "origin of slant range"}),
            "srgr_coefficients": (
                dims,
                conversion.srgr,
                {"long_name": "ground range (m) by powers of slant range - sr0 (m)"},
            ),
            "slant_range_time": ("azimuth_time", conversion.slant_range_time, {"units": "s"}),
        },
        {"azimuth_time": conversion.azimuth_time},
    )


_LUT_NOTES = {
    "sigma_nought": "sigma nought: |DN|^2 / this^2",
    "beta_nought": "beta nought: |DN|^2 / this^2",
    "gamma": "gamma nought: |DN|^2 / this^2",
    "dn": "back to the numbers before scaling: DN / this",
    "noise_range_lut": "thermal noise power, DN squared",
}


def _quality(image: _Image, label: str) -> dict[str, xr.Dataset]:
    groups = {}
    if image.calibration is not None:
        groups[f"/quality/calibration/{label}"] = _vectors(image.calibration)
    if image.noise is not None:
        groups[f"/quality/noise_range/{label}"] = _vectors(image.noise.range)
        if image.noise.azimuth:
            groups[f"/quality/noise_azimuth/{label}"] = _blocks(image.noise)
    return groups


def _vectors(lut: Lut) -> xr.Dataset:
    """Dimensions line and pixel; or line and sample, filled up, where vectors differ in their pixels."""
    same = all(np.array_equal(lut.pixel[0], other) for other in lut.pixel[1:])
    coords: dict[str, Any] = {"line": lut.line, "azimuth_time": ("line", lut.time)}
    if same:
        variables: dict[str, Any] = {
            name: (("line", "pixel"), np.stack(values), {"long_name": _LUT_NOTES[name]})
            for name, values in lut.values.items()
        }
        return xr.Dataset(variables, coords | {"pixel": lut.pixel[0]})
    note = "vectors differ in length; what follows the last sample is -1 (pixel) and NaN"
    variables = {
        "pixel": (("line", "sample"), _ragged(lut.pixel, -1), {"long_name": "pixel of the image", "note": note})
    }
    for name, values in lut.values.items():
        variables[name] = (("line", "sample"), _ragged(values, np.nan), {"long_name": _LUT_NOTES[name], "note": note})
    return xr.Dataset(variables, coords)


def _ragged(rows: Sequence[np.ndarray[Any, Any]], fill: float) -> np.ndarray[Any, Any]:
    table = np.full((len(rows), max(map(len, rows))), fill, rows[0].dtype)
    for at, row in enumerate(rows):
        table[at, : len(row)] = row
    return table


def _blocks(noise: Noise) -> xr.Dataset:
    note = "blocks differ in length; what follows the last sample is -1 (line) and NaN"
    edges = {
        name: ("block", np.array([getattr(block, name) for block in noise.azimuth]))
        for name in ("first_line", "last_line", "first_sample", "last_sample")
    }
    return xr.Dataset(
        {
            "swath": ("block", [block.swath for block in noise.azimuth]),
            **edges,
            "line": (("block", "sample"), _ragged([block.line for block in noise.azimuth], -1), {"note": note}),
            "noise_azimuth_lut": (
                ("block", "sample"),
                _ragged([block.values for block in noise.azimuth], np.nan),
                {"long_name": "factor of the thermal noise power", "note": note},
            ),
        }
    )


# --- attributes ------------------------------------------------------------------------------------------------------
def _from_identifier(identifier: str) -> dict[str, Any]:
    """What the name of the product says, for products without the file that says it better."""
    from extenso_nb import products

    try:
        parsed = products.parse(identifier)
    except ProductIdError:
        return {}
    return {
        "product_type": parsed.product_type,
        "platform": parsed.platform,
        "sensor_mode": parsed.sensor_mode,
        "polarisation": parsed.polarisation,
        "start_time": parsed.start.isoformat().replace("+00:00", "Z"),
        "stop_time": parsed.stop.isoformat().replace("+00:00", "Z"),
        "orbit_number": parsed.orbit_number,
        "relative_orbit_number": parsed.relative_orbit_number,
    }


def _attributes(wanted: _Wanted, images: Sequence[_Image]) -> dict[str, Any]:
    from extenso_nb._version import __version__

    container = wanted.container
    attributes: dict[str, Any] = {"Conventions": "CF-1.11", "product_id": container.product_id, "instrument": "C-SAR"}
    attributes |= _from_identifier(container.product_id)
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
