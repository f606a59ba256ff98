"""An entry of a remote catalogue as a product: what its name says, what the catalogue adds, and a size in any case."""

from __future__ import annotations

import math
import uuid as uuids
from datetime import UTC, datetime
from typing import Any

from extenso_nb.aoi import valid_footprint
from extenso_nb.errors import AreaError, ProductIdError
from extenso_nb.models import Product
from extenso_nb.products import ProductId, parse

__all__ = ["instant", "named", "number", "product_of", "whole"]


def named(text: object) -> ProductId | None:
    """What the name of an entry says, with or without extension; None for what is no product of these missions."""
    if not isinstance(text, str):
        return None
    try:
        return parse(text)
    except ProductIdError:
        return None


def product_of(
    identity: ProductId,
    source: str,
    *,
    uuid: str | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    ingestion: datetime | None = None,
    footprint: Any = None,
    size: int | None = None,
    online: bool = True,
    **known: Any,
) -> Product:
    """A product from its name and from what a catalogue says beside it.

    Parameters
    ----------
    identity
        What its name says; fills in whatever the catalogue leaves out (None).
    source
        Name of the source.
    uuid
        The catalogue's; one made of the name where it has none.
    begin, end, ingestion
        Moments, UTC.
    footprint
        GeoJSON or WKT in lon/lat, as it is; what cannot be repaired is left out.
    size
        Bytes; None, 0 or less where the catalogue does not say: then it is typical of the type, and marked so.
    online
        Whether it can be had at once.
    known
        Further fields of `Product`: cloud_cover (per cent), orbit_number, orbit_direction ...
    """
    facts: dict[str, Any] = {
        "id": identity.id,
        "uuid": uuid or str(uuids.uuid5(uuids.NAMESPACE_URL, identity.id)),
        "collection": identity.collection,
        "platform": identity.platform,
        "instrument": identity.instrument,
        "product_type": identity.product_type,
        "processing_level": identity.processing_level,
        "begin_position": begin or identity.start,
        "end_position": end or identity.stop,
        "ingestion_date": ingestion or identity.created or end or identity.stop,
        "footprint": _footprint(footprint),
        "size": size if size is not None and size > 0 else identity.typical_size,
        "size_estimated": size is None or size <= 0,
        "online": online,
        "sources": (source,),
        "orbit_number": identity.orbit_number,
        "relative_orbit_number": identity.relative_orbit_number,
        "tile_id": identity.tile_id,
        "polarisation": identity.polarisation,
        "sensor_mode": identity.sensor_mode,
        "timeliness": identity.timeliness,
        "processing_baseline": identity.processing_baseline,
    }
    facts |= {name: value for name, value in known.items() if value is not None}
    return Product.model_validate(facts)


def _footprint(given: Any) -> dict[str, Any] | None:
    """Valid GeoJSON, cut at the antimeridian; None where there is nothing to make it from."""
    if not given:
        return None
    try:
        shape = valid_footprint(given)
    except AreaError:
        return None
    import shapely
    import shapely.geometry

    if shape.geom_type == "Polygon" and not shapely.get_num_interior_rings(shape):
        # The same as below, without a Python object for each vertex on the way.
        return {"type": "Polygon", "coordinates": (tuple(map(tuple, shapely.get_coordinates(shape).tolist())),)}
    found: dict[str, Any] = shapely.geometry.mapping(shape)
    return found


# --- single values, as catalogues write them -------------------------------------------------------------------------
def instant(value: object) -> datetime | None:
    """A moment, UTC: ISO 8601 text, or milliseconds since 1970. None for what is none."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def number(value: object) -> float | None:
    """A finite number, given as one or as text; None for what is none."""
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: object) -> int | None:
    """A whole number, given as one or as text; None for what is none."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None
