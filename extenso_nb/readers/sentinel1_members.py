"""Which files of a Sentinel-1 product belong to one image, and which are missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extenso_nb.readers import sentinel1_metadata as metadata
from extenso_nb.readers.sentinel1_metadata import Annotation, Lut, Noise

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["RadarImage", "images_of", "missing_members"]

_IMAGE = re.compile(
    r"(?:s1[a-z]-)?(?P<swath>(?:iw|ew|wv)\d?|s\d|n\d|en|is\d)-(?:(?P<kind>[a-z]{3})-)?(?P<pol>hh|hv|vv|vh)(?P<rest>-.+)?"
)


@dataclass(frozen=True)
class RadarImage:
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
        """Swath, with the number where there are several: the name of its group."""
        return f"{self.swath}_{self.number}" if self.number else self.swath


def images_of(container: Container) -> Iterator[RadarImage]:
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
        yield RadarImage(
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


def missing_members(container: Container, listed: Sequence[str], images: Sequence[RadarImage]) -> tuple[str, ...]:
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
