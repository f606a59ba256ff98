"""What the metadata files of a Sentinel-2 product say: MTD_MSIL1C.xml or MTD_MSIL2A.xml, and MTD_TL.xml of its tile.

The element names are those of the Products Specification Document, versions 13.1 to 15: namespaces differ from version to
version and are left out, and so are the prefix `L2A_` and the suffix `_2A` of the first L2A products (baseline 02.05).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from extenso_nb.errors import AreaError, DamagedProduct, IncompleteProduct
from extenso_nb.readers.metadata import parsed

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from extenso_nb.readers.container import Container

__all__ = ["BANDS", "SCENE_CLASSES", "Product", "Tile", "product_metadata", "tile_metadata"]


class Band(NamedTuple):
    """What is the same for a band in every product."""

    number: int
    """`bandId` in the metadata."""
    metres: int
    """Resolution of L1C."""
    common_name: str
    """STAC EO extension, 1.1 and 2.0."""


BANDS: dict[str, Band] = {
    "B01": Band(0, 60, "coastal"),
    "B02": Band(1, 10, "blue"),
    "B03": Band(2, 10, "green"),
    "B04": Band(3, 10, "red"),
    "B05": Band(4, 20, "rededge071"),
    "B06": Band(5, 20, "rededge075"),
    "B07": Band(6, 20, "rededge078"),
    "B08": Band(7, 10, "nir"),
    "B8A": Band(8, 20, "nir08"),
    "B09": Band(9, 60, "nir09"),
    "B10": Band(10, 60, "cirrus"),
    "B11": Band(11, 20, "swir16"),
    "B12": Band(12, 20, "swir22"),
}

SCENE_CLASSES = {
    0: "nodata",
    1: "saturated_defective",
    2: "dark_feature_shadow",
    3: "cloud_shadow",
    4: "vegetation",
    5: "not_vegetated",
    6: "water",
    7: "unclassified",
    8: "cloud_medium_proba",
    9: "cloud_high_proba",
    10: "thin_cirrus",
    11: "snow_ice",
}
"""Of the Products Specification Document; used where a product does not list its own."""


@dataclass(frozen=True)
class Product:
    """MTD_MSIL1C.xml or MTD_MSIL2A.xml."""

    name: str
    """Of the file."""
    level: str
    """`L1C` or `L2A`."""
    start: str | None
    invalid: tuple[int, ...]
    """Numbers that are no measurement: no data first, then saturated."""
    quantifications: Mapping[str, float]
    offsets: Mapping[int, float]
    """Band index -> offset; empty before baseline 04.00, where there is none."""
    wavelengths: Mapping[str, tuple[float, float]]
    """Band -> (central wavelength, width), nm."""
    classes: Mapping[int, str]
    images: tuple[str, ...]
    """Images that the product should have: paths without extension."""
    attributes: Mapping[str, Any] = field(repr=False)

    def quantification(self, kind: str) -> float:
        """The divisor of `reflectance`, `AOT` or `WVP`. Raises IncompleteProduct where the metadata have none."""
        try:
            return self.quantifications[kind]
        except KeyError:
            raise IncompleteProduct(
                f"{self.name} gives no quantification of {kind}.", hint="Pass scaled=False for the digital numbers."
            ) from None

    def offset(self, band: str) -> float:
        """What to add to the numbers of a band before dividing; 0 where the metadata list no offsets at all."""
        if not self.offsets:
            return 0.0
        try:
            return self.offsets[BANDS[band].number]
        except KeyError:
            raise IncompleteProduct(
                f"{self.name} gives offsets, but none for {band}.", hint="Pass scaled=False for the digital numbers."
            ) from None


@dataclass(frozen=True)
class Tile:
    """MTD_TL.xml."""

    level: str | None
    time: str | None
    crs: str | None
    grids: Mapping[int, tuple[tuple[float, ...], tuple[int, int]]]
    """Metres -> (transform, (rows, columns))."""
    sun: np.ndarray[Any, Any] | None
    """(angle, y, x): zenith and azimuth, degrees."""
    view: np.ndarray[Any, Any] | None
    """(band, detector, angle, y, x)."""
    view_bands: tuple[str, ...]
    view_detectors: tuple[int, ...]
    angle_step: tuple[float, float]
    """Metres between nodes: down, along."""
    attributes: Mapping[str, Any] = field(repr=False)

    def grid(self, metres: int) -> tuple[str, tuple[float, ...], tuple[int, int]] | None:
        """CRS, transform and (rows, columns) of a resolution."""
        if self.crs is None or metres not in self.grids:
            return None
        return (self.crs, *self.grids[metres])

    @property
    def corner(self) -> tuple[float, float] | None:
        """Easting and northing of the upper left corner."""
        for transform, _ in self.grids.values():
            return transform[2], transform[5]
        return None


# --- xml -------------------------------------------------------------------------------------------------------------
def _parse(container: Container, name: str) -> ET.Element:
    root = parsed(container, name)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2].removeprefix("L2A_").removesuffix("_2A")
    return root


def _text(root: ET.Element, tag: str) -> str | None:
    """The first element of that name, anywhere; empty is as good as absent."""
    for element in root.iter(tag):
        text = (element.text or "").strip()
        return text or None
    return None


def _number(text: str | None, what: str, name: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise DamagedProduct(f"{name} says {text!r} for {what}, which is no number.", member=name) from None


def _first(container: Container, pattern: str) -> str | None:
    names = [name for name in container.find(pattern) if not container.is_empty(name)]
    return names[0] if names else None


# --- product ---------------------------------------------------------------------------------------------------------
def product_metadata(container: Container) -> Product | None:
    """The metadata of the product, or None where the file is not there or empty. Raises DamagedProduct."""
    files = {"mtd_msil1c.xml": "L1C", "mtd_msil2a.xml": "L2A", "mtd_msil2ap.xml": "L2A"}
    found = [(name, level) for file, level in files.items() if (name := _first(container, file))]
    if not found:
        return None
    name, level = found[0]
    root = _parse(container, name)
    return Product(
        name=name,
        level=level,
        start=_text(root, "PRODUCT_START_TIME"),
        invalid=_invalid(root, name),
        quantifications=_quantifications(root, name, level),
        offsets={
            int(element.get("band_id", -1)): _number(element.text, element.tag, name)
            for tag in ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
            for element in root.iter(tag)
        },
        wavelengths=_wavelengths(root, name),
        classes=_classes(root, name),
        images=tuple((element.text or "").strip() for tag in ("IMAGE_FILE", "IMAGE_ID") for element in root.iter(tag)),
        attributes=_product_attributes(root, name),
    )


def _invalid(root: ET.Element, name: str) -> tuple[int, ...]:
    """The numbers that mean NODATA and SATURATED; 0 and 65535, as specified, where the product does not say."""
    numbers = {"NODATA": 0, "SATURATED": 65535}
    for element in root.iter("Special_Values"):
        label = _text(element, "SPECIAL_VALUE_TEXT")
        if label in numbers:
            numbers[label] = int(_number(_text(element, "SPECIAL_VALUE_INDEX"), label, name))
    return numbers["NODATA"], numbers["SATURATED"]


def _quantifications(root: ET.Element, name: str, level: str) -> dict[str, float]:
    tags = {
        "reflectance": "QUANTIFICATION_VALUE" if level == "L1C" else "BOA_QUANTIFICATION_VALUE",
        "AOT": "AOT_QUANTIFICATION_VALUE",
        "WVP": "WVP_QUANTIFICATION_VALUE",
    }
    values = {}
    for kind, tag in tags.items():
        text = _text(root, tag)
        if text is not None:
            values[kind] = _number(text, tag, name)
            if not values[kind] > 0:
                raise DamagedProduct(f"{name} says {text} for {tag}; nothing can be divided by that.", member=name)
    return values


def _wavelengths(root: ET.Element, name: str) -> dict[str, tuple[float, float]]:
    by_index = {band.number: label for label, band in BANDS.items()}
    found = {}
    for element in root.iter("Spectral_Information"):
        label = by_index.get(int(_number(element.get("bandId"), "bandId", name)))
        central, low, high = (_text(element, tag) for tag in ("CENTRAL", "MIN", "MAX"))
        if label and central and low and high:
            found[label] = (
                _number(central, "CENTRAL", name),
                _number(high, "MAX", name) - _number(low, "MIN", name),
            )
    return found


def _classes(root: ET.Element, name: str) -> dict[int, str]:
    found = {}
    for element in root.iter("Scene_Classification_ID"):
        label, index = _text(element, "SCENE_CLASSIFICATION_TEXT"), _text(element, "SCENE_CLASSIFICATION_INDEX")
        if label and index:
            found[int(_number(index, "SCENE_CLASSIFICATION_INDEX", name))] = label.removeprefix("SC_").lower()
    return dict(sorted(found.items()))


def _product_attributes(root: ET.Element, name: str) -> dict[str, Any]:
    orbit = _text(root, "SENSING_ORBIT_NUMBER")
    cloud = _text(root, "Cloud_Coverage_Assessment")
    direction = _text(root, "SENSING_ORBIT_DIRECTION")
    return {
        "product_type": _text(root, "PRODUCT_TYPE"),
        "platform": _text(root, "SPACECRAFT_NAME"),
        "sensor_mode": _text(root, "DATATAKE_TYPE"),
        "start_time": _text(root, "PRODUCT_START_TIME"),
        "stop_time": _text(root, "PRODUCT_STOP_TIME"),
        "relative_orbit_number": int(_number(orbit, "SENSING_ORBIT_NUMBER", name)) if orbit else None,
        "orbit_direction": direction.lower() if direction else None,
        "processing_baseline": _text(root, "PROCESSING_BASELINE"),
        "cloud_cover": _number(cloud, "Cloud_Coverage_Assessment", name) if cloud else None,
        "footprint": _footprint(_text(root, "EXT_POS_LIST"), name),
    }


def _footprint(positions: str | None, name: str) -> str | None:
    """WKT in lon/lat, cut at the antimeridian, from "lat lon lat lon ..." (or with heights)."""
    if positions is None:
        return None
    from shapely.geometry import Polygon

    from extenso_nb.aoi import valid_footprint

    numbers = [_number(part, "EXT_POS_LIST", name) for part in positions.split()]
    ring = list(zip(numbers[1::2], numbers[0::2], strict=False))
    if len(ring) < 4:
        return None
    try:
        return str(valid_footprint(Polygon(ring)).wkt)
    except AreaError:
        return None  # an outline that is none is no reason to withhold the pixels


# --- tile ------------------------------------------------------------------------------------------------------------
def tile_metadata(container: Container) -> Tile | None:
    """The metadata of the tile, or None where the file is not there or empty. Raises DamagedProduct."""
    name = _first(container, "granule/*/mtd_tl.xml")
    if name is None:
        return None
    root = _parse(container, name)
    view, bands, detectors = _view_angles(root, name)
    sun, step = _sun_angles(root, name)
    return Tile(
        level={"Level-1C_Tile_ID": "L1C", "Level-2A_Tile_ID": "L2A"}.get(root.tag),
        time=_text(root, "SENSING_TIME"),
        crs=_text(root, "HORIZONTAL_CS_CODE"),
        grids=_grids(root, name),
        sun=sun,
        view=view,
        view_bands=bands,
        view_detectors=detectors,
        angle_step=step,
        attributes=_tile_attributes(root),
    )


def _grids(root: ET.Element, name: str) -> dict[int, tuple[tuple[float, ...], tuple[int, int]]]:
    sizes = {element.get("resolution"): element for element in root.iter("Size")}
    grids: dict[int, tuple[tuple[float, ...], tuple[int, int]]] = {}
    for place in root.iter("Geoposition"):
        metres = place.get("resolution")
        if metres is None or metres not in sizes:
            continue
        west, north, along, down = (_number(_text(place, tag), tag, name) for tag in ("ULX", "ULY", "XDIM", "YDIM"))
        rows, columns = (int(_number(_text(sizes[metres], tag), tag, name)) for tag in ("NROWS", "NCOLS"))
        grids[int(metres)] = ((along, 0.0, west, 0.0, down, north), (rows, columns))
    return grids


def _tile_attributes(root: ET.Element) -> dict[str, Any]:
    """Tile and absolute orbit from the identifier of the tile: ..._A041826_T01WCP_N05.09."""
    identifier = _text(root, "TILE_ID") or ""
    parts = identifier.split("_")
    orbit = next((part[1:] for part in parts if len(part) == 7 and part[0] == "A" and part[1:].isdigit()), None)
    return {
        "tile_id": next(
            (part[1:] for part in parts if len(part) == 6 and part[0] == "T" and part[1:3].isdigit()), None
        ),
        "orbit_number": int(orbit) if orbit else None,
        "sensing_time": _text(root, "SENSING_TIME"),
    }


def _angle_grid(element: ET.Element, kind: str, name: str) -> np.ndarray[Any, Any] | None:
    found = element.find(kind)
    rows = [(row.text or "").split() for row in found.iter("VALUES")] if found is not None else []
    if not rows:
        return None
    if len({len(row) for row in rows}) != 1:
        raise DamagedProduct(f"{name} has an angle grid whose rows differ in length.", member=name)
    try:
        return np.array(rows, dtype=np.float32)
    except ValueError as error:
        raise DamagedProduct(f"{name} has an angle that is no number: {error}.", member=name) from error


def _both_angles(element: ET.Element, name: str) -> np.ndarray[Any, Any] | None:
    zenith, azimuth = _angle_grid(element, "Zenith", name), _angle_grid(element, "Azimuth", name)
    if zenith is None or azimuth is None:
        return None
    if zenith.shape != azimuth.shape:
        raise DamagedProduct(f"{name} has grids of zenith and azimuth that differ in size.", member=name)
    return np.stack([zenith, azimuth])


def _sun_angles(root: ET.Element, name: str) -> tuple[np.ndarray[Any, Any] | None, tuple[float, float]]:
    for element in root.iter("Sun_Angles_Grid"):
        steps = [_text(element, tag) for tag in ("ROW_STEP", "COL_STEP")]
        down, along = (_number(step, "the step of the angle grid", name) for step in steps)
        return _both_angles(element, name), (down, along)
    return None, (5000.0, 5000.0)


def _view_angles(root: ET.Element, name: str) -> tuple[np.ndarray[Any, Any] | None, tuple[str, ...], tuple[int, ...]]:
    """All grids in one array; NaN where a detector did not see, or has no grid for a band."""
    by_index = {band.number: label for label, band in BANDS.items()}
    grids: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
    for element in root.iter("Viewing_Incidence_Angles_Grids"):
        band, detector = (int(_number(element.get(key), key, name)) for key in ("bandId", "detectorId"))
        grid = _both_angles(element, name)
        if grid is not None and band in by_index:
            grids[band, detector] = grid
    if not grids:
        return None, (), ()
    bands, detectors = (sorted(set(keys)) for keys in zip(*grids, strict=True))
    shapes = {grid.shape for grid in grids.values()}
    if len(shapes) != 1:
        raise DamagedProduct(f"{name} has grids of viewing angles that differ in size.", member=name)
    view = np.full((len(bands), len(detectors), *shapes.pop()), np.nan, dtype=np.float32)
    for (band, detector), grid in grids.items():
        view[bands.index(band), detectors.index(detector)] = grid
    return view, tuple(by_index[band] for band in bands), tuple(detectors)
