"""What is said of a product as a whole, at the root of its tree: from its metadata, and from its name where these are silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import AreaError, ProductIdError

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["footprint", "from_name", "product_attributes"]


def from_name(identifier: str) -> dict[str, Any]:
    """What an identifier says; nothing where it is none."""
    from extenso_nb import products

    try:
        parsed = products.parse(identifier)
    except ProductIdError:
        return {}
    return {
        "product_type": parsed.product_type,
        "processing_level": parsed.processing_level,
        "platform": parsed.platform,
        "instrument": parsed.instrument,
        "sensor_mode": parsed.sensor_mode,
        "polarisation": parsed.polarisation,
        "start_time": parsed.start.isoformat().replace("+00:00", "Z"),
        "stop_time": parsed.stop.isoformat().replace("+00:00", "Z"),
        "orbit_number": parsed.orbit_number,
        "relative_orbit_number": parsed.relative_orbit_number,
        "timeliness": parsed.timeliness,
        "processing_baseline": parsed.processing_baseline,
    }


def product_attributes(
    container: Container, said: Mapping[str, Any], *, identifier: str = "", masked: bool, scaled: bool
) -> dict[str, Any]:
    """Attributes of the root.

    Parameters
    ----------
    container
        The product.
    said
        What its metadata say; None is silence.
    identifier
        What the metadata call it; the name of the container where that is no identifier.
    """
    from extenso_nb._version import __version__

    named = from_name(identifier)
    attributes: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "product_id": identifier if named else container.product_id,
        "source_uri": container.uri,
        **(named or from_name(container.product_id)),
        **{name: value for name, value in said.items() if value is not None},
        "history": f"opened by extenso_nb {__version__}: open_product(masked={masked}, scaled={scaled})",
    }
    return {name: value for name, value in attributes.items() if value is not None}


def footprint(positions: str | None) -> str | None:
    """WKT in lon/lat, cut at the antimeridian, of "lat lon lat lon ..."; None for an outline that is none."""
    from shapely.geometry import LineString, Polygon

    from extenso_nb.aoi import valid_footprint

    try:
        numbers = [float(part) for part in (positions or "").replace(",", " ").split()]
    except ValueError:
        return None
    ring = list(zip(numbers[1::2], numbers[0::2], strict=False))
    if len(set(ring)) < 2:
        return None
    if len(set(ring)) == 2 or Polygon(ring).area == 0.0:
        return str(LineString(ring).wkt)  # the track of an altimeter
    try:
        return str(valid_footprint(Polygon(ring)).wkt)
    except AreaError:
        return None  # no reason to withhold the pixels
