"""What a hub of SciHub's kind answers, as products: OpenSearch in JSON and in Atom, OData, and the stub of the S5P hub.

All values of OpenSearch are texts. What is alone in its group stands there itself, else in a list; what is not there
is left out; and an error comes with status 200.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from extenso_nb.errors import SourceUnavailable
from extenso_nb.gateway.sources.record import instant, named, number, product_of, whole
from extenso_nb.gateway.sources.words import clean, is_page, title
from extenso_nb.models import Product

__all__ = ["Entry", "Feed", "Held", "feed", "held", "product", "stub"]

_GROUPS = ("str", "date", "int", "double", "bool")
_UUID = re.compile(r"[0-9A-Za-z-]{1,64}")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?) ?(B|KB|MB|GB|TB)", re.IGNORECASE)
_UNITS = ("B", "KB", "MB", "GB", "TB")
_RING = re.compile(
    r"<(?:\w{1,20}:)?(outer|inner)BoundaryIs\b[^<>]{0,200}>.{0,300}?<(?:\w{1,20}:)?coordinates\b[^<>]{0,200}>([^<]*)<",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One product of a page, as its hub tells it."""

    name: str
    """Identifier, as written."""
    uuid: str
    values: dict[str, str]
    """By the keyword of the hub, in lower case."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One page."""

    total: int
    """How many there are on all pages, as the hub says. Hubs that count no further say 10,000."""
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What OData says of one product."""

    uuid: str
    product: Product
    checksums: dict[str, str] = field(default_factory=dict)
    size: int | None = None


# --- OpenSearch ------------------------------------------------------------------------------------------------------
def feed(answer: bytes, source: str) -> Feed:
    """A page of `/search`, JSON or Atom. Raises SourceUnavailable for what the hub refuses, and for what is no page."""
    if answer.lstrip()[:1] == b"<":
        return _atom(answer, source)
    body = _parsed(answer, source)
    inside = body.get("feed") if isinstance(body, dict) else None
    if not isinstance(inside, dict):
        raise _malformed(source, "a search")
    if "error" in inside:
        raise _refused(source, inside["error"])
    total = whole(inside.get("opensearch:totalResults"))
    if total is None:
        raise _malformed(source, "a search")
    return Feed(total, tuple(_entry(item, source) for item in _listed(inside.get("entry"), source)))


def _entry(item: Any, source: str) -> Entry:
    if not isinstance(item, dict) or not isinstance(item.get("title"), str):
        raise _malformed(source, "a search")
    values: dict[str, str] = {}
    for group in _GROUPS:
        for one in _listed(item.get(group), source):
            if not isinstance(one, dict) or not isinstance(one.get("name"), str):
                raise _malformed(source, "a search")
            content = one.get("content")  # an element may be empty
            if isinstance(content, str | int | float):
                values[one["name"].lower()] = str(content)
    return Entry(item["title"], _uuid(item.get("id") or values.get("uuid")), values)


def _atom(answer: bytes, source: str) -> Feed:
    if is_page(answer):
        raise SourceUnavailable(f"{source} answers a search with a page: {title(answer)}.", source=source)
    try:
        root = ET.fromstring(answer)  # noqa: S314 - expat opens nothing else, and refuses entities that multiply
    except (ET.ParseError, LookupError, ValueError):  # or in an encoding that expat does not know
        raise _malformed(source, "a search") from None
    parts = {_local(child): child.text for child in root}
    if "error" in parts:
        found = next(child for child in root if _local(child) == "error")
        raise _refused(source, {_local(child): child.text for child in found} or found.text)
    total = whole(parts.get("totalResults"))
    if _local(root) != "feed" or total is None:
        raise _malformed(source, "a search")
    entries = []
    for item in root:
        if _local(item) == "entry":
            texts = {_local(child): child.text or "" for child in item}
            values = {
                str(child.get("name")).lower(): child.text
                for child in item
                if _local(child) in _GROUPS and child.get("name") and child.text
            }
            if not texts.get("title"):
                raise _malformed(source, "a search")
            entries.append(Entry(texts["title"], _uuid(texts.get("id") or values.get("uuid")), values))
    return Feed(total, tuple(entries))


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


# --- the second interface of the S5P hub -----------------------------------------------------------------------------
_STUB = {
    "Ingestion Date": "ingestiondate",
    "Orbit number (start)": "orbitnumber",
    "Pass direction": "orbitdirection",
    "Sensing start": "beginposition",
    "Sensing stop": "endposition",
    "Cloud Cover Percentage": "cloudcoverpercentage",
    "Size": "size",
}
"""Words of the stub -> keywords."""


def stub(answer: bytes, source: str) -> Feed:
    """A page of `/api/stub/products`. Raises SourceUnavailable for what is none."""
    body = _parsed(answer, source)
    total = whole(body.get("totalresults")) if isinstance(body, dict) else None
    if total is None or not isinstance(body.get("products"), list):
        raise _malformed(source, "a search")
    entries = []
    for item in body["products"]:
        if not isinstance(item, dict) or not isinstance(item.get("identifier"), str):
            raise _malformed(source, "a search")
        values: dict[str, str] = {}
        for name, value in _leaves(item.get("indexes")):
            if name in _STUB:
                values[_STUB[name]] = value
            elif name in {"JTS footprint", "Footprint"}:
                values["footprint" if name == "JTS footprint" else "gmlfootprint"] = value
        entries.append(Entry(item["identifier"], _uuid(item.get("uuid")), values))
    return Feed(total, tuple(entries))


def _leaves(indexes: Any) -> Iterator[tuple[str, str]]:
    for group in indexes if isinstance(indexes, list) else ():
        for child in (group.get("children") or ()) if isinstance(group, dict) else ():
            if isinstance(child, dict) and isinstance(child.get("value"), str):
                yield str(child.get("name")), child["value"]


# --- as products -----------------------------------------------------------------------------------------------------
def product(entry: Entry, source: str) -> Product | None:
    """An entry as a product; None for what is none of these missions: orbit files, say.

    `size` is that of the files, rounded, and not of the hub's zip: so it is marked as estimated.
    """
    identity = named(entry.name)
    if identity is None:
        return None
    values = entry.values
    size = _size(values.get("size"))
    direction = values.get("orbitdirection", "").upper()
    cloud = number(values.get("cloudcoverpercentage"))
    return product_of(
        identity,
        source,
        uuid=entry.uuid or None,
        begin=instant(values.get("beginposition")),
        end=instant(values.get("endposition")),
        ingestion=instant(values.get("ingestiondate")),
        footprint=values.get("footprint") or _gml(values.get("gmlfootprint")),
        size=size,
        size_estimated=True,
        orbit_number=whole(values.get("orbitnumber")),
        relative_orbit_number=whole(values.get("relativeorbitnumber")),
        orbit_direction=direction if direction in {"ASCENDING", "DESCENDING"} else None,
        cloud_cover=cloud if cloud is not None and 0 <= cloud <= 100 else None,
        **_where_unnamed(identity, values),
    )


def _where_unnamed(identity: Any, values: dict[str, str]) -> dict[str, Any]:
    """What the hub adds only where the name does not say it: the name is what all sources agree on."""
    pairs = {
        "tile_id": "tileid",
        "sensor_mode": "sensoroperationalmode",
        "timeliness": "timeliness",
        "processing_baseline": "processingbaseline",
    }
    return {name: values.get(key) for name, key in pairs.items() if getattr(identity, name, None) is None}


def _size(text: str | None) -> int | None:
    """Bytes of `794.75 MB`, in powers of 1024; None for what is no size."""
    found = _SIZE.fullmatch((text or "").strip())
    return int(float(found[1]) * 1024 ** _UNITS.index(found[2].upper())) if found else None


def _gml(text: Any) -> dict[str, Any] | None:
    """GeoJSON of the polygons of GML 2, which has latitude first; None where there is none."""
    polygons: list[list[list[list[float]]]] = []
    for found in _RING.finditer(text if isinstance(text, str) else ""):
        ring = [_point(pair) for pair in found[2].split()]
        points = [point for point in ring if point is not None]
        if len(points) < 3 or len(points) < len(ring):
            return None
        if found[1] == "outer":
            polygons.append([points])
        elif polygons:
            polygons[-1].append(points)
    return {"type": "MultiPolygon", "coordinates": polygons} if polygons else None


def _point(pair: str) -> list[float] | None:
    lat, _, lon = pair.partition(",")
    x, y = number(lon), number(lat)
    return None if x is None or y is None else [x, y]


# --- OData -----------------------------------------------------------------------------------------------------------
def held(answer: Any, source: str) -> list[Held]:
    """What `/odata/v1/Products` says, of one product or of several. Raises SourceUnavailable for what is no such answer."""
    inside = answer.get("d") if isinstance(answer, dict) else None
    if isinstance(inside, dict) and "results" in inside:
        inside = inside["results"]
    if not isinstance(inside, dict | list):
        raise _malformed(source, "OData")
    found = (_held(item, source) for item in _listed(inside, source))
    return [one for one in found if one is not None]


def _held(item: Any, source: str) -> Held | None:
    if not isinstance(item, dict) or not isinstance(item.get("Name"), str) or not _uuid(item.get("Id")):
        raise _malformed(source, "OData")
    identity = named(item["Name"])
    if identity is None:
        return None
    dates = item.get("ContentDate")
    dates = dates if isinstance(dates, dict) else {}
    size = whole(item.get("ContentLength"))
    found = product_of(
        identity,
        source,
        uuid=item["Id"],
        begin=_moment(dates.get("Start")),
        end=_moment(dates.get("End")),
        ingestion=_moment(item.get("IngestionDate")),
        footprint=_gml(item.get("ContentGeometry")),
        size=size,
        online=item.get("Online") is not False,  # hubs of old have no archive, and do not say
    )
    return Held(item["Id"], found, _checksums(item.get("Checksum")), size)


def _checksums(given: Any) -> dict[str, str]:
    sums = given if isinstance(given, list) else [given]
    return {
        one["Algorithm"]: one["Value"]
        for one in sums
        if isinstance(one, dict) and isinstance(one.get("Algorithm"), str) and isinstance(one.get("Value"), str)
    }


def _moment(value: Any) -> datetime | None:
    """`/Date(1678437390322)/`, or ISO 8601."""
    found = re.fullmatch(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/", value) if isinstance(value, str) else None
    return instant(int(found[1]) if found else value if isinstance(value, str) else None)


# --- what all have in common -----------------------------------------------------------------------------------------
def _parsed(answer: bytes, source: str) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise _malformed(source, "a search") from None


def _listed(given: Any, source: str) -> list[Any]:
    """A group: missing, alone, or a list."""
    if given is None:
        return []
    if isinstance(given, dict):
        return [given]
    if not isinstance(given, list):
        raise _malformed(source, "a search")
    return given


def _uuid(given: Any) -> str:
    """A key that may stand in a URL; empty for anything else."""
    return given if isinstance(given, str) and _UUID.fullmatch(given) else ""


def _refused(source: str, error: Any) -> SourceUnavailable:
    """A refusal in an answer with status 200."""
    said = error.get("message") if isinstance(error, dict) else error
    code = whole(error.get("code")) if isinstance(error, dict) else None
    reason = clean(said if isinstance(said, str) else "", "")
    return SourceUnavailable(
        f"{source} refuses the search: {reason or 'it does not say why'}",
        hint="It may not know a keyword of the query; leave that out.",
        source=source,
        status=code or 400,
    )


def _malformed(source: str, what: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"{source} answers {what} with what is no such answer.",
        hint="Check its address; something between here and the hub may answer in its place.",
        source=source,
    )
