"""Small Sentinel-1 products for tests: those of the sample archive, taken apart, changed and put together again."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from extenso_nb.gateway.sources.sample import sentinel1
from extenso_nb.gateway.sources.sample.plan import Spec, products

S1 = [spec for spec in products() if spec.id.startswith("S1")]
DRAWN = S1[0]


def draw(target: Path, spec: Spec = DRAWN) -> Path:
    """The SAFE folder of a drawn product, GRD, VV and VH, 512 x 512."""
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
