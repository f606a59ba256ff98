"""What the metadata files of a Sentinel-1 product say: manifest.safe, and of each image its annotation, calibration and noise.

Element names are those of the Sentinel-1 Product Specification (S1-RS-MDA-52-7441); versions of the processor (IPF) before
2.90 write noise as one list of `noiseVector`, later ones as range and azimuth vectors. Lists that differ in length from
vector to vector (EW) stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from extenso_nb.errors import AreaError, DamagedProduct

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = [
    "Annotation",
    "AzimuthBlock",
    "Burst",
    "Conversion",
    "Lut",
    "Noise",
    "Times",
    "annotation",
    "calibration",
    "manifest",
    "noise",
]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]

LUTS = {"sigma_nought": "sigmaNought", "beta_nought": "betaNought", "gamma": "gamma", "dn": "dn"}
"""Names here (EOPF's) and in the calibration file."""


@dataclass(frozen=True)
class Burst:
    """One burst of a TOPS image."""

    azimuth_time: np.datetime64
    """Zero-Doppler time of its first line."""
    sensing_time: np.datetime64 | None
    byte_offset: int | None
    """Of its first line in the TIFF."""
    identifier: int | None
    """Relative burst identifier, unique in the repeat cycle with its swath; since IPF 3.40."""
    first_valid: npt.NDArray[np.int64]
    """First valid sample of each line; -1 where the line has none."""
    last_valid: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Conversion:
    """Polynomials between ground and slant range of a GRD image, one record about every second."""

    azimuth_time: Times
    slant_range_time: Floats
    gr0: Floats
    grsr: Floats
    """(record, degree): slant range (m) by powers of ground range - gr0 (m)."""
    sr0: Floats
    srgr: Floats
    """(record, degree): ground range (m) by powers of slant range - sr0 (m)."""


@dataclass(frozen=True)
class Annotation:
    """annotation/<image>.xml."""

    member: str
    swath: str
    polarisation: str
    mode: str
    product_type: str
    lines: int
    samples: int
    first_line_time: np.datetime64
    azimuth_time_interval: float
    """Seconds between lines."""
    slant_range_time: float
    """Two-way time to the first sample, s."""
    range_sampling_rate: float
    """Hz; of slant range images the samples are 1 / rate apart."""
    range_pixel_spacing: float
    azimuth_pixel_spacing: float
    ground_range: bool
    orbit_time: Times
    orbit_position: Floats
    """(state, xyz): Earth-fixed, m."""
    orbit_velocity: Floats
    attitude: Mapping[str, Any]
    """`time`, and a 1-D array by element name."""
    grid: Mapping[str, Any]
    """Geolocation grid: 2-D arrays (line, pixel) by name, `line` and `pixel` 1-D."""
    conversion: Conversion | None
    lines_per_burst: int
    bursts: tuple[Burst, ...]
    attributes: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Lut:
    """Vectors over range at some lines; a vector has its own pixels."""

    time: Times
    line: npt.NDArray[np.int64]
    pixel: tuple[npt.NDArray[np.int64], ...]
    values: Mapping[str, tuple[npt.NDArray[np.float32], ...]]
    """Name -> one vector a line."""


@dataclass(frozen=True)
class AzimuthBlock:
    """A factor along azimuth that holds within one block of lines and samples (both ends included)."""

    swath: str
    first_line: int
    last_line: int
    first_sample: int
    last_sample: int
    line: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Noise:
    """Thermal noise power, in units of DN squared: range vectors times azimuth blocks."""

    range: Lut
    """Its one variable is `noise_range_lut`."""
    azimuth: tuple[AzimuthBlock, ...]
    """Empty for stripmap and for IPF before 2.90: the factor is 1."""


# --- xml -------------------------------------------------------------------------------------------------------------
class _Node:
    """An element that knows which file it stands in, for messages."""

    def __init__(self, element: ET.Element, member: str, uri: str) -> None:
        self.element, self.member, self.uri = element, member, uri

    def damaged(self, what: str) -> DamagedProduct:
        return DamagedProduct(f"{self.member} in {self.uri} {what}.", member=self.member)

    def maybe(self, path: str) -> str | None:
        """Text of the first element at a path; None where it is not there or empty."""
        found = self.element.find(path)
        return ((found.text or "").strip() or None) if found is not None else None

    def text(self, path: str) -> str:
        found = self.maybe(path)
        if found is None:
            raise self.damaged(f"has no {path.rpartition('/')[2]}")
        return found

    def number(self, path: str) -> float:
        text = self.text(path)
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if not abs(found) < 1e30:  # nan, too
            raise self.damaged(f"says {text[:40]!r} for {path.rpartition('/')[2]}, which is no number")
        return found

    def positive(self, path: str) -> float:
        found = self.number(path)
        if not 0 < found < 1e15:
            raise self.damaged(f"says {found:g} for {path.rpartition('/')[2]}, which must be above 0")
        return found

    def whole(self, path: str) -> int:
        found = self.number(path)
        if found != int(found) or abs(found) > 1e15:
            raise self.damaged(f"says {found:g} for {path.rpartition('/')[2]}, which is no whole number")
        return int(found)

    def time(self, path: str) -> np.datetime64:
        return self.as_time(self.text(path))

    def as_time(self, text: str) -> np.datetime64:
        plain = text.removesuffix("Z")
        try:
            # nanoseconds reach to 2262, and beyond they come out wrong without an error
            known = bool(np.datetime64("1990", "us") < np.datetime64(plain, "us") < np.datetime64("2200", "us"))
        except ValueError:
            known = False
        if not known:
            raise self.damaged(f"says {text[:40]!r} where a time should stand")
        return np.datetime64(plain, "ns")

    def vector(self, path: str, dtype: Any = np.float64) -> npt.NDArray[Any]:
        """Numbers with blanks between."""
        words = self.text(path).split()
        try:
            # by way of float: whole numbers are written as 1.0e+03 by some versions
            found = np.array(words, dtype=np.float64)
        except ValueError as error:
            raise self.damaged(f"has a {path.rpartition('/')[2]} that is no list of numbers ({error})") from None
        if not np.all(np.abs(found) < (1e15 if np.dtype(dtype).kind == "i" else 1e30)):
            raise self.damaged(f"has a {path.rpartition('/')[2]} with something in it that is no number")
        return found.astype(dtype)

    def all(self, path: str) -> Iterator[_Node]:
        return (_Node(element, self.member, self.uri) for element in self.element.iterfind(path))


def _root(container: Container, member: str) -> _Node:
    content = container.read(member)
    try:
        # Bounded by `read`; expat stops entity expansion itself, and resolves nothing external.
        root = ET.fromstring(content)  # noqa: S314
    except ET.ParseError as error:
        raise DamagedProduct(f"{member} in {container.uri} is not XML: {error}.", member=member) from error
    return _Node(root, member, container.uri)


# --- annotation ------------------------------------------------------------------------------------------------------
def annotation(container: Container, member: str) -> Annotation:
    """The annotation of one image. Raises DamagedProduct where something that geometry needs is missing or no number."""
    root = _root(container, member)
    image = "imageAnnotation/imageInformation/"
    info = "generalAnnotation/productInformation/"
    states = list(root.all("generalAnnotation/orbitList/orbit"))
    lines_per_burst = root.whole("swathTiming/linesPerBurst") if root.maybe("swathTiming/linesPerBurst") else 0
    if lines_per_burst < 0 or (lines_per_burst == 0 and root.element.find("swathTiming/burstList/burst") is not None):
        raise root.damaged(f"says that bursts have {lines_per_burst} lines")
    return Annotation(
        member=member,
        swath=root.text("adsHeader/swath"),
        polarisation=root.text("adsHeader/polarisation"),
        mode=root.text("adsHeader/mode"),
        product_type=root.text("adsHeader/productType"),
        lines=root.whole(image + "numberOfLines"),
        samples=root.whole(image + "numberOfSamples"),
        first_line_time=root.time(image + "productFirstLineUtcTime"),
        azimuth_time_interval=root.positive(image + "azimuthTimeInterval"),
        slant_range_time=root.positive(image + "slantRangeTime"),
        range_sampling_rate=root.positive(info + "rangeSamplingRate"),
        range_pixel_spacing=root.positive(image + "rangePixelSpacing"),
        azimuth_pixel_spacing=root.positive(image + "azimuthPixelSpacing"),
        ground_range=root.text(info + "projection").lower().startswith("ground"),
        orbit_time=np.array([state.time("time") for state in states], "datetime64[ns]"),
        orbit_position=_vectors(states, "position"),
        orbit_velocity=_vectors(states, "velocity"),
        attitude=_attitude(root),
        grid=_grid(root),
        conversion=_conversion(root),
        lines_per_burst=lines_per_burst,
        bursts=tuple(_burst(node, lines_per_burst) for node in root.all("swathTiming/burstList/burst")),
        attributes={
            "start_time": root.maybe("adsHeader/startTime"),
            "stop_time": root.maybe("adsHeader/stopTime"),
            "orbit_number": root.whole("adsHeader/absoluteOrbitNumber"),
            "orbit_direction": (root.maybe(info + "pass") or "").lower() or None,
            "radar_frequency": root.number(info + "radarFrequency"),
            "platform_heading": root.number(info + "platformHeading") if root.maybe(info + "platformHeading") else None,
        },
    )


def _vectors(states: list[_Node], name: str) -> Floats:
    return np.array([[state.number(f"{name}/{axis}") for axis in "xyz"] for state in states]).reshape(-1, 3)


def _attitude(root: _Node) -> dict[str, Any]:
    nodes = list(root.all("generalAnnotation/attitudeList/attitude"))
    if not nodes:
        return {}
    names = ("q0", "q1", "q2", "q3", "wx", "wy", "wz", "roll", "pitch", "yaw")
    found: dict[str, Any] = {"time": np.array([node.time("time") for node in nodes], "datetime64[ns]")}
    return found | {name: np.array([node.number(name) for node in nodes]) for name in names}


_GRID = {
    "slant_range_time": "slantRangeTime",
    "latitude": "latitude",
    "longitude": "longitude",
    "height": "height",
    "incidence_angle": "incidenceAngle",
    "elevation_angle": "elevationAngle",
}


def _grid(root: _Node) -> dict[str, Any]:
    points = list(root.all("geolocationGrid/geolocationGridPointList/geolocationGridPoint"))
    if not points:
        return {}
    line, pixel = (np.array([point.whole(name) for point in points]) for name in ("line", "pixel"))
    lines, pixels = np.unique(line), np.unique(pixel)
    if len(lines) * len(pixels) != len(points) or len(set(zip(line, pixel, strict=True))) != len(points):
        raise root.damaged("has a geolocation grid with holes")
    order = np.lexsort((pixel, line))
    shape = (len(lines), len(pixels))
    times = np.array([point.time("azimuthTime") for point in points], "datetime64[ns]")
    found: dict[str, Any] = {"line": lines, "pixel": pixels, "azimuth_time": times[order].reshape(shape)}
    for name, tag in _GRID.items():
        found[name] = np.array([point.number(tag) for point in points])[order].reshape(shape)
    return found


def _conversion(root: _Node) -> Conversion | None:
    nodes = list(root.all("coordinateConversion/coordinateConversionList/coordinateConversion"))
    if not nodes:
        return None
    times = np.array([node.time("azimuthTime") for node in nodes], "datetime64[ns]")
    order = np.argsort(times, kind="stable")
    return Conversion(
        azimuth_time=times[order],
        slant_range_time=np.array([node.number("slantRangeTime") for node in nodes])[order],
        gr0=np.array([node.number("gr0") for node in nodes])[order],
        grsr=_padded([node.vector("grsrCoefficients") for node in nodes])[order],
        sr0=np.array([node.number("sr0") for node in nodes])[order],
        srgr=_padded([node.vector("srgrCoefficients") for node in nodes])[order],
    )


def _padded(rows: list[Floats]) -> Floats:
    """Coefficients of polynomials as one array; a missing power has the coefficient 0."""
    table = np.zeros((len(rows), max(map(len, rows))))
    for at, row in enumerate(rows):
        table[at, : len(row)] = row
    return table


def _burst(node: _Node, lines: int) -> Burst:
    first, last = (node.vector(name, np.int64) for name in ("firstValidSample", "lastValidSample"))
    if len(first) != lines or len(last) != lines:
        raise node.damaged(f"has a burst with valid samples of {len(first)} and {len(last)} lines in place of {lines}")
    offset, identifier = node.maybe("byteOffset"), node.maybe("burstId")
    return Burst(
        azimuth_time=node.time("azimuthTime"),
        sensing_time=node.time("sensingTime") if node.maybe("sensingTime") else None,
        byte_offset=int(offset) if offset and offset.isdigit() else None,
        identifier=int(identifier) if identifier and identifier.isdigit() else None,
        first_valid=first,
        last_valid=last,
    )


# --- calibration and noise -------------------------------------------------------------------------------------------
def _lut(nodes: list[_Node], columns: Mapping[str, str], root: _Node) -> Lut:
    if not nodes:
        raise root.damaged("has no vectors")
    # by line: bursts overlap in time
    nodes = sorted(nodes, key=lambda node: node.whole("line"))
    pixel = tuple(node.vector("pixel", np.int64) for node in nodes)
    values = {
        name: tuple(node.vector(tag, np.float32) for node in nodes)
        for name, tag in columns.items()
        if nodes[0].maybe(tag) is not None
    }
    if not values:
        raise root.damaged(f"has no {' or '.join(columns.values())}")
    for name, vectors in values.items():
        for at, vector in zip(pixel, vectors, strict=True):
            if len(at) != len(vector):
                raise root.damaged(f"has {len(vector)} numbers of {name} at {len(at)} pixels")
            if np.any(np.diff(at) <= 0):
                raise root.damaged("has a vector whose pixels do not ascend")
    return Lut(
        time=np.array([node.time("azimuthTime") for node in nodes], "datetime64[ns]"),
        line=np.array([node.whole("line") for node in nodes], np.int64),
        pixel=pixel,
        values=values,
    )


def calibration(container: Container, member: str) -> Lut:
    """annotation/calibration/calibration-*.xml: variables `sigma_nought`, `beta_nought`, `gamma`, `dn`. Raises DamagedProduct."""
    root = _root(container, member)
    found = _lut(list(root.all("calibrationVectorList/calibrationVector")), LUTS, root)
    for name in ("sigma_nought", "beta_nought", "gamma"):
        if name not in found.values:
            raise root.damaged(f"has no {LUTS[name]}")
        if any(not np.all(vector > 0) for vector in found.values[name]):
            raise root.damaged(f"has a {LUTS[name]} that is not above 0; nothing can be divided by that")
    return found


def noise(container: Container, member: str) -> Noise:
    """annotation/calibration/noise-*.xml, of either format. Raises DamagedProduct."""
    root = _root(container, member)
    vectors = list(root.all("noiseRangeVectorList/noiseRangeVector"))
    if vectors:
        blocks = [_block(node) for node in root.all("noiseAzimuthVectorList/noiseAzimuthVector")]
        return Noise(_lut(vectors, {"noise_range_lut": "noiseRangeLut"}, root), tuple(blocks))
    return Noise(_lut(list(root.all("noiseVectorList/noiseVector")), {"noise_range_lut": "noiseLut"}, root), ())


def _block(node: _Node) -> AzimuthBlock:
    line, values = node.vector("line", np.int64), node.vector("noiseAzimuthLut", np.float32)
    if len(line) != len(values) or np.any(np.diff(line) <= 0):
        raise node.damaged(f"has a noiseAzimuthLut of {len(values)} numbers at {len(line)} lines, which must ascend")

    def edge(name: str, otherwise: float) -> int:
        return node.whole(name) if node.maybe(name) is not None else int(otherwise)

    everywhere = np.iinfo(np.int32).max
    return AzimuthBlock(
        swath=node.maybe("swath") or "",
        first_line=edge("firstAzimuthLine", -everywhere),
        last_line=edge("lastAzimuthLine", everywhere),
        first_sample=edge("firstRangeSample", -everywhere),
        last_sample=edge("lastRangeSample", everywhere),
        line=line,
        values=values,
    )


# --- manifest --------------------------------------------------------------------------------------------------------
def manifest(container: Container) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Attributes of the product, and the members that the manifest lists; nothing of either without a manifest.

    Raises DamagedProduct where it is no XML.
    """
    names = [name for name in container.names() if name.lower() == "manifest.safe" and not container.is_empty(name)]
    if not names:
        return {}, ()
    root = _root(container, names[0])
    for element in root.element.iter():
        element.tag = element.tag.rpartition("}")[2]
    files = (element.get("href", "") for element in root.element.iter("fileLocation"))
    return _manifest_attributes(root), tuple(name.removeprefix("./") for name in files if name)


def _manifest_attributes(root: _Node) -> dict[str, Any]:
    def first(tag: str) -> str | None:
        return root.maybe(f".//{tag}")

    def counted(tag: str) -> int | None:
        text = first(tag)
        return int(text) if text and text.isdigit() else None

    family, number = first("platform/familyName"), first("platform/number")
    software = next((e for e in root.element.iter("software") if e.get("name") == "Sentinel-1 IPF"), None)
    polarisations = [(e.text or "").strip() for e in root.element.iter("transmitterReceiverPolarisation")]
    return {
        "product_type": first("standAloneProductInformation/productType"),
        "platform": f"{family.capitalize()}{number}" if family and number else None,
        "sensor_mode": first("instrumentMode/mode"),
        "polarisation": " ".join(dict.fromkeys(filter(None, polarisations))) or None,
        "start_time": _utc(first("acquisitionPeriod/startTime")),
        "stop_time": _utc(first("acquisitionPeriod/stopTime")),
        "orbit_number": counted("orbitReference/orbitNumber"),
        "relative_orbit_number": counted("orbitReference/relativeOrbitNumber"),
        "orbit_direction": (first("orbitProperties/pass") or "").lower() or None,
        "timeliness": first("productTimelinessCategory"),
        "processing_baseline": software.get("version") if software is not None else None,
        "footprint": _footprint([(e.text or "") for e in root.element.iter("coordinates")]),
    }


def _utc(text: str | None) -> str | None:
    return f"{text.removesuffix('Z')}Z" if text else None


def _footprint(rings: list[str]) -> str | None:
    """WKT in lon/lat, cut at the antimeridian, from "lat,lon lat,lon ..."; of wave mode there are as many as vignettes."""
    import shapely
    from shapely.geometry import Polygon

    from extenso_nb.aoi import valid_footprint

    shapes = []
    for text in rings:
        try:
            numbers = [float(word) for word in re.split(r"[\s,]+", text.strip())]
            shapes.append(valid_footprint(Polygon(list(zip(numbers[1::2], numbers[0::2], strict=True)))))
        except (ValueError, AreaError):
            continue  # an outline that is none is no reason to withhold the pixels
    return str(shapely.union_all(shapes).wkt) if shapes else None
