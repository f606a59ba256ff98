"""Small Sentinel-1 products for tests: those of the sample archive, taken apart, changed and put together again."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning

from extenso_nb.gateway.sources.sample import sentinel1
from extenso_nb.gateway.sources.sample.plan import Spec, products

S1 = [spec for spec in products() if spec.id.startswith("S1")]
DRAWN = S1[0]


def draw(target: Path, spec: Spec = DRAWN) -> Path:
    """The SAFE folder of a drawn product, GRD, VV and VH, 512 x 512."""
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(sentinel1.write(target, spec)) as archive:
        archive.extractall(target)
    return target / f"{spec.id}.SAFE"


def zipped(folder: Path, target: Path, method: int) -> Path:
    with zipfile.ZipFile(target, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{folder.name}/{file.relative_to(folder)}")
    return target


def member(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def edit(file: Path, change: Callable[[str], str]) -> None:
    text = file.read_text()
    changed = change(text)
    assert changed != text, f"nothing to change in {file.name}"
    file.write_text(changed)


def replace(file: Path, tag: str, text: str) -> None:
    """Another content for the first element of a name."""
    edit(file, lambda xml: re.sub(rf"(<{tag}(?: [^>]*)?>)[^<]*", rf"\g<1>{text}", xml, count=1))


def write_tiff(
    path: Path,
    pixels: np.ndarray,
    dtype: str = "uint16",
    *,
    shape: tuple[int, int] | None = None,
    top: int = 0,
    **options: object,
) -> None:
    """A TIFF of these pixels; or one of `shape`, in which they are the lines from `top` on and nothing else is stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = shape or pixels.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile, **options) as file:
            file.write(pixels, 1, window=((top, top + pixels.shape[0]), (0, width)))


def row(values: object) -> str:
    return " ".join(map(str, values))  # type: ignore[call-overload]


def noise_xml(
    vectors: list[tuple[int, list[int], list[float]]], blocks: list[tuple[int, int, int, int, list[int], list[float]]]
) -> str:
    """Range vectors (line, pixels, values), and azimuth blocks (first, last line, first, last sample, lines, values)."""
    ranges = "".join(
        f"<noiseRangeVector><azimuthTime>2024-05-05T05:53:34</azimuthTime><line>{line}</line><pixel>{row(pixels)}</pixel>"
        f"<noiseRangeLut>{row(values)}</noiseRangeLut></noiseRangeVector>"
        for line, pixels, values in vectors
    )
    azimuths = "".join(
        f"<noiseAzimuthVector><swath>IW{at}</swath><firstAzimuthLine>{top}</firstAzimuthLine>"
        f"<firstRangeSample>{left}</firstRangeSample><lastAzimuthLine>{bottom}</lastAzimuthLine>"
        f"<lastRangeSample>{right}</lastRangeSample><line>{row(lines)}</line>"
        f"<noiseAzimuthLut>{row(values)}</noiseAzimuthLut></noiseAzimuthVector>"
        for at, (top, bottom, left, right, lines, values) in enumerate(blocks, 1)
    )
    return (
        f"<noise><noiseRangeVectorList>{ranges}</noiseRangeVectorList>"
        f"<noiseAzimuthVectorList>{azimuths}</noiseAzimuthVectorList></noise>"
    )


BURST, STARTS, VALID = 170, (0, 150, 300), (5, 164)
"""Lines of a burst; of the flight, at which the bursts begin (20 overlap); first and last valid line of each."""


def slc(target: Path) -> Path:
    """A drawn product made into an SLC: IW1 in VV and VH, IW2 in VV; each of three bursts that overlap, complex."""
    grd = draw(target / "grd")
    folder = target / f"{DRAWN.id.replace('GRDH', 'SLC_')}.SAFE"
    for swath, pol in (("IW1", "vv"), ("IW1", "vh"), ("IW2", "vv")):
        for file in [*grd.glob(f"annotation/*-{pol}-*"), *grd.glob(f"annotation/calibration/*-{pol}-*")]:
            name = file.name.replace("-iw-grd-", f"-{swath.lower()}-slc-")
            copy = folder / file.parent.relative_to(grd) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(file.read_text())
            if file.parent.name == "annotation":
                _bursts(copy, swath)
                pixels = complex_pixels(swath, pol)
                write_tiff(folder / "measurement" / f"{copy.stem}.tiff", pixels, "complex_int16")
    return folder


def complex_pixels(swath: str, pol: str) -> np.ndarray:
    """Numbers that differ from image to image; zeros where a burst has no valid lines or samples."""
    parts = np.random.default_rng(sum(map(ord, swath + pol))).integers(-300, 300, (2, 3 * BURST, 512))
    pixels = parts[0] + 1j * parts[1]
    pixels[pixels == 0] = 1
    within = np.arange(3 * BURST) % BURST
    pixels[(within < VALID[0]) | (within > VALID[1])] = 0
    pixels[:, :3] = pixels[:, 500:] = 0
    return pixels.astype(np.complex64)


def _bursts(file: Path, swath: str) -> None:
    text = file.read_text()
    first = np.datetime64(re.search(r"<productFirstLineUtcTime>([^<]*)", text)[1], "ns")  # type: ignore[index]
    interval = float(re.search(r"<azimuthTimeInterval>([^<]*)", text)[1])  # type: ignore[index]
    listed = ""
    for number, start in enumerate(STARTS):
        time = first + np.timedelta64(round(start * interval * 1e9), "ns")
        valid = [3 if VALID[0] <= line <= VALID[1] else -1 for line in range(BURST)]
        listed += (
            f"<burst><azimuthTime>{time}</azimuthTime><sensingTime>{time}</sensingTime>"
            f"<byteOffset>{1000 * number}</byteOffset><burstId absolute='1'>{4700 + number}</burstId>"
            f"<firstValidSample>{row(valid)}</firstValidSample>"
            f"<lastValidSample>{row([v if v < 0 else 499 for v in valid])}</lastValidSample></burst>"
        )
    timing = f"<swathTiming><linesPerBurst>{BURST}</linesPerBurst><burstList>{listed}</burstList></swathTiming>"
    text = re.sub(r"<coordinateConversion>.*</coordinateConversion>\s*(?=</product>)", "", text, flags=re.DOTALL)
    text = re.sub(r"<geolocationGrid>.*</geolocationGrid>", timing, text, flags=re.DOTALL)
    for tag, value in {
        "projection": "Slant Range", "productType": "SLC", "swath": swath, "numberOfLines": 3 * BURST, "pixelValue": "Complex",
    }.items():  # fmt: skip
        text = re.sub(rf"<{tag}>[^<]*", f"<{tag}>{value}", text)
    file.write_text(text)


IW_OCN = "S1A_IW_OCN__2SDV_20210401T052623_20210401T052648_026269_032297_ECC8"

OCN_FLAGS = {"flag_values": np.arange(4), "flag_meanings": "0:very, 1:good, 2:medium, 3:poor"}
"""In the words of real products, which CF does not know."""


def ocean(folder: Path, *, form: Any = "NETCDF4") -> Path:
    """An IW ocean product: wind and radial velocity on grids, with holes."""
    generator = np.random.default_rng(4)
    wind = generator.uniform(0, 25, (40, 60)).astype(np.float32)
    wind[3, 4] = -999
    place = (("owiAzSize", "owiRaSize"), generator.uniform(0, 50, (40, 60)).astype(np.float32))
    dataset = xr.Dataset(
        {
            "owiLat": (*place, {"units": "degree (decimal)"}),
            "owiLon": (*place, {"units": "degrees_east"}),
            "owiWindSpeed": (("owiAzSize", "owiRaSize"), wind, {"units": "m/s", "_FillValue": np.float32(-999)}),
            "owiMask": (("owiAzSize", "owiRaSize"), generator.integers(0, 4, (40, 60)).astype(np.int8), OCN_FLAGS),
            "owiNrcs": (("owiAzSize", "owiRaSize"), wind, {"units": "dB", "valid_range": [0, 100]}),
            "owiWindDirection": (("owiAzSize", "owiRaSize"), wind, {"units": "degrees_north"}),
            "rvlRadVel": (("rvlAzSize", "rvlRaSize", "rvlSwath"), generator.normal(size=(9, 8, 3)), {"units": "m / s"}),
            "rvlSnr": (
                ("rvlAzSize", "rvlRaSize", "rvlSwath"),
                generator.normal(size=(9, 8, 3)),
                {"units": "adimentional"},
            ),
        },
        attrs={"missionName": "S1A"},
    )
    file = folder / f"{IW_OCN}.SAFE/measurement/s1a-iw-ocn-vv-20210401t052623-20210401t052648-026269-032297-001.nc"
    file.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.to_netcdf(file, engine="netcdf4", format=form)
    return folder / f"{IW_OCN}.SAFE"
