"""What `xfdumanifest.xml` says of a Sentinel-3 product: times, orbit, footprint, and the members that it should have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from extenso_nb.errors import DamagedProduct
from extenso_nb.readers.identity import footprint

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["Manifest", "read_manifest"]

_TIMELINESS = {"NR": "Near Real Time", "ST": "Short Time Critical", "NT": "Non Time Critical"}


@dataclass(frozen=True)
class Manifest:
    """The manifest of a product; empty where there is none."""

    name: str
    """Of the product, without `.SEN3`."""
    product_type: str | None
    members: tuple[str, ...]
    """Files that the product should have."""
    attributes: dict[str, Any]


def read_manifest(container: Container) -> Manifest:
    """The manifest of a product. Raises DamagedProduct for one that is no XML."""
    name = next((name for name in container.find("xfdumanifest.xml") if not container.is_empty(name)), None)
    if name is None:
        return Manifest("", None, (), {})
    content = container.read(name)
    try:
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise ET.ParseError("it has a document type, which no manifest has")
        root = ET.fromstring(content)  # noqa: S314 - bounded by `read`, without entities
    except (ET.ParseError, ValueError, LookupError) as error:
        raise DamagedProduct(f"{name} in {container.uri} is not XML: {error}.", member=name) from error
    listed = [node.get("href", "").removeprefix("./") for node in root.iter("fileLocation")]
    return Manifest(
        name=(_text(root, "generalProductInformation/productName") or "").removesuffix(".SEN3"),
        product_type=_text(root, "generalProductInformation/productType"),
        members=tuple(dict.fromkeys(href for href in listed if href)),
        attributes=_attributes(root),
    )


def _attributes(root: ET.Element) -> dict[str, Any]:
    orbit = root.find(".//{*}orbitReference/{*}orbitNumber")
    instrument = root.find(".//{*}instrument/{*}familyName")
    cloud = root.find(".//{*}cloudyPixels")
    direction = orbit.get("groundTrackDirection") if orbit is not None else None
    timeliness = _text(root, "generalProductInformation/timeliness")
    unit = _text(root, "platform/number")
    return {
        "product_type": _text(root, "generalProductInformation/productType"),
        "platform": f"Sentinel-3{unit}" if unit else None,
        "instrument": instrument.get("abbreviation") if instrument is not None else None,
        "sensor_mode": _text(root, "instrument/mode"),
        "start_time": _text(root, "acquisitionPeriod/startTime"),
        "stop_time": _text(root, "acquisitionPeriod/stopTime"),
        "orbit_number": _whole(orbit.text if orbit is not None else None),
        "relative_orbit_number": _whole(_text(root, "orbitReference/relativeOrbitNumber")),
        "cycle_number": _whole(_text(root, "orbitReference/cycleNumber")),
        "orbit_direction": direction.lower() if direction else None,
        "timeliness": _TIMELINESS.get(timeliness or "", timeliness),
        "processing_baseline": _text(root, "generalProductInformation/baselineCollection"),
        "cloud_cover": _number(cloud.get("percentage") if cloud is not None else None),
        "footprint": footprint(_text(root, "footPrint/posList")),
    }


def _text(root: ET.Element, path: str) -> str | None:
    found = root.find(".//" + "/".join(f"{{*}}{step}" for step in path.split("/")))
    return (found.text or "").strip() or None if found is not None else None


def _number(text: str | None) -> float | None:
    """What is said about a product is not worth refusing its pixels for: no number is silence."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None or number != number // 1 else int(number)
