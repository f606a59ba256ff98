"""Items of STAC catalogues as products, whoever wrote them: CDSE, Earth Search, Planetary Computer, stactools, EOPF.

Each has names of its own for the same things, and item identifiers that are those of ESA, or parts of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from extenso_nb import checksums
from extenso_nb.errors import InputError
from extenso_nb.gateway.sources.record import instant, named, number, product_of, whole
from extenso_nb.models import Product
from extenso_nb.products import ProductId

__all__ = ["Archive", "archive_of", "asset", "identity_of", "product_from"]

_NAMES = ("s2:product_uri", "s1:product_identifier", "sentinel:product_id")
"""Properties in which catalogues with item identifiers of their own keep that of ESA."""
_DATATAKE = re.compile(r"GS2[A-Z]_\d{8}T\d{6}_(\d{6})_N")
_UUID = re.compile(r"Products\(([0-9a-fA-F-]{36})\)")


def identity_of(item: Mapping[str, Any]) -> ProductId | None:
    """What product an item is of; None where it is none of these missions, or a part of one (a burst, a mosaic)."""
    properties = _object(item.get("properties"))
    for name in _NAMES:
        if (found := named(properties.get(name))) is not None:
            return found
    given = item.get("id")
    if not isinstance(given, str) or (found := named(given)) is not None:
        return found if isinstance(given, str) else None
    return next((found for found in map(named, _folders(item)) if found is not None and _is_of(given, found)), None)


def _folders(item: Mapping[str, Any]) -> Iterator[str]:
    """The parts of the paths to its files, each once: one of them is the product's folder."""
    seen: set[str] = set()
    for entry in _object(item.get("assets")).values():
        href = _object(entry).get("href")
        if isinstance(href, str):
            for part in href.split("?")[0].split("/"):
                if len(part) > 40 and part not in seen:
                    seen.add(part)
                    yield part


def _is_of(given: str, found: ProductId) -> bool:
    """Whether an item identifier is a shortened form of ESA's: its pieces, in order, are all in that.

    That of a burst has pieces of its own, though its files lie in the folder of the product that it was cut from.
    """
    pieces = iter(piece for piece in found.id.split("_") if piece)
    return all(any(wanted == piece for piece in pieces) for wanted in given.split("_") if wanted)


def product_from(item: Mapping[str, Any], source: str) -> Product | None:
    """The product of an item; None as for `identity_of`."""
    identity = identity_of(item)
    if identity is None:
        return None
    facts = _object(item.get("properties"))
    begin = instant(facts.get("start_datetime")) or instant(facts.get("datetime"))
    end = instant(facts.get("end_datetime")) or begin
    if begin is not None and identity.collection == "S2" and abs(begin - identity.start) > timedelta(seconds=1):
        # Some give the time of the tile, which is up to an hour later than that of the datatake, by which all others go.
        begin = end = identity.start
    if begin is not None and end is not None and end < begin:
        end = begin
    archive = archive_of(item)
    return product_of(
        identity,
        source,
        uuid=archive.uuid,
        begin=begin,
        end=end,
        ingestion=instant(facts.get("published")) or instant(facts.get("created")),
        footprint=item.get("geometry"),
        size=archive.size,
        cloud_cover=_per_cent(facts.get("eo:cloud_cover")),
        orbit_number=_orbit(facts, identity),
        relative_orbit_number=identity.relative_orbit_number or whole(facts.get("sat:relative_orbit")),
        orbit_direction=_direction(facts.get("sat:orbit_state")),
        polarisation=identity.polarisation or _polarisation(facts.get("sar:polarizations")),
        sensor_mode=identity.sensor_mode or _mode(facts, identity),
        timeliness=identity.timeliness or _timeliness(facts, identity),
        processing_baseline=identity.processing_baseline,
    )


# --- the product as one object ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Archive:
    """What an item says of the product as one object: its asset `product`, in whatever case."""

    href: str | None = None
    size: int | None = None
    """Bytes; None where it is not told."""
    checksums: tuple[tuple[str, str], ...] = ()
    """Algorithm and digest."""
    uuid: str | None = None
    """In the catalogue of CDSE."""


def archive_of(item: Mapping[str, Any]) -> Archive:
    """The asset that is the product itself; nothing is known of one that has none."""
    entry = asset(item, "product")
    href = entry.get("href")
    if not isinstance(href, str):
        return Archive()
    size = whole(entry.get("file:size"))
    found = _UUID.search(href)
    sums = []
    if isinstance(given := entry.get("file:checksum"), str):
        with suppress(InputError):  # cannot be compared; stactools writes bare MD5 here
            sums.append(checksums.multihash(given))
    return Archive(href, size if size and size > 0 else None, tuple(sums), found[1].lower() if found else None)


def asset(item: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The first asset of one of these names (lower case), in whatever case it is written; empty where there is none."""
    entries = {str(key).lower(): value for key, value in _object(item.get("assets")).items()}
    return next((entry for name in names if (entry := _object(entries.get(name)))), {})


# --- single properties -----------------------------------------------------------------------------------------------
def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _per_cent(value: object) -> float | None:
    found = number(value)
    return found if found is not None and 0 <= found <= 100 else None


def _orbit(facts: Mapping[str, Any], identity: ProductId) -> int | None:
    if identity.orbit_number is not None:
        return identity.orbit_number
    if (orbit := whole(facts.get("sat:absolute_orbit"))) is not None:
        return orbit
    found = _DATATAKE.match(str(facts.get("s2:datatake_id") or facts.get("eopf:datatake_id")))
    return int(found[1]) if found else None


def _direction(value: object) -> str | None:
    return value.upper() if isinstance(value, str) and value.lower() in {"ascending", "descending"} else None


def _polarisation(value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        return None
    return " ".join(value) or None


def _mode(facts: Mapping[str, Any], identity: ProductId) -> str | None:
    if identity.collection != "S2":
        return None
    mode = facts.get("eopf:instrument_mode") or facts.get("s2:datatake_type")
    return mode if isinstance(mode, str) else None


def _timeliness(facts: Mapping[str, Any], identity: ProductId) -> str | None:
    if identity.collection != "S1":
        return None
    timely = facts.get("product:timeliness_category") or facts.get("s1:product_timeliness")
    return timely if isinstance(timely, str) else None
