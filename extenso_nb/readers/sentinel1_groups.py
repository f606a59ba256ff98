"""Groups of a Sentinel-1 tree that hold no pixels: bursts, conditions and quality, from the annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from extenso_nb.readers import sentinel1_metadata as metadata
from extenso_nb.readers.arrays import Image, control_points
from extenso_nb.readers.sentinel1_members import RadarImage
from extenso_nb.readers.sentinel1_metadata import Annotation, Lut, Noise

__all__ = ["burst_rows", "burst_table", "conditions", "quality"]

# --- bursts ----------------------------------------------------------------------------------------------------------
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


def burst_rows(image: RadarImage, annotation: Annotation) -> Iterator[dict[str, Any]]:
    """What the table of bursts says of each burst of an image."""
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


def burst_table(rows: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    """The group /bursts, of the rows of all images."""
    return xr.Dataset(
        {
            name: ("burst", np.array([row[name] for row in rows]), {"long_name": note})
            for name, note in _BURST_NOTES.items()
        }
    )


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


def conditions(path: str, probed: Sequence[tuple[RadarImage, Image]]) -> dict[str, xr.Dataset]:
    """Groups of what images of one swath were taken under: gcp, orbit, attitude and coordinate_conversion below `path`."""
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


def quality(image: RadarImage, label: str) -> dict[str, xr.Dataset]:
    """Groups of the calibration and noise vectors of an image: /quality/calibration/`label` and the like."""
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
