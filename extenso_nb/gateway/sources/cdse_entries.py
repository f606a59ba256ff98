"""Entries of the OData catalogue of the Copernicus Data Space Ecosystem as products."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from extenso_nb.errors import SourceUnavailable
from extenso_nb.gateway.sources.record import instant, named, number, product_of, whole
from extenso_nb.models import Product
from extenso_nb.products import ProductId

__all__ = ["Entry", "best", "deletion", "entries", "read"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PATH = re.compile(r"/eodata/([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*)/?")
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One product as the catalogue has it."""

    identity: ProductId
    raw: Mapping[str, Any]

    @property
    def uuid(self) -> str:
        """Of the catalogue."""
        return str(self.raw["Id"]).lower()

    @property
    def online(self) -> bool:
        """Whether it can be had at once."""
        return self.raw.get("Online") is not False

    @property
    def size(self) -> int | None:
        """Bytes of what is downloaded; None where the catalogue has 0, less, or nothing."""
        found = whole(self.raw.get("ContentLength"))
        return found if found is not None and found > 0 else None

    @property
    def checksums(self) -> list[tuple[str, str]]:
        """Algorithms and digests as they are given; often there are none."""
        return [
            (item["Algorithm"], item["Value"])
            for item in _dicts(self.raw.get("Checksum"))
            if isinstance(item.get("Algorithm"), str) and isinstance(item.get("Value"), str)
        ]

    @property
    def key(self) -> str | None:
        """Where it lies in the bucket `eodata`, without a slash at the end; None where that is not told."""
        path = self.raw.get("S3Path")
        found = _PATH.fullmatch(path) if isinstance(path, str) and len(path) < 1000 else None
        return found[1] if found and not {".", ".."} & set(found[1].split("/")) else None

    @property
    def quicklook(self) -> str | None:
        """Identifier of its picture; None where there is none."""
        found = (item for item in _dicts(self.raw.get("Assets")) if str(item.get("Type")).upper() == "QUICKLOOK")
        ids = (item["Id"] for item in found if isinstance(item.get("Id"), str) and _UUID.fullmatch(item["Id"]))
        return next(ids, None)

    @property
    def rank(self) -> tuple[bool, datetime]:
        """Of two entries of one product the one that is online is better, then the one that was modified last."""
        return self.online, instant(self.raw.get("ModificationDate")) or _NEVER

    def moment(self, field: str) -> datetime | None:
        """A date by its path: `ContentDate/Start`."""
        found: Any = self.raw
        for part in field.split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        return instant(found)

    def product(self, source: str) -> Product:
        """What the catalogue says, and the name where it says nothing."""
        told = {
            item["Name"]: item.get("Value")
            for item in _dicts(self.raw.get("Attributes"))
            if isinstance(item.get("Name"), str)
        }
        identity, collection = self.identity, self.identity.collection
        cloud = number(told.get("cloudCover"))
        known: dict[str, Any] = {
            "orbit_number": whole(told.get("orbitNumber")),
            "relative_orbit_number": whole(told.get("relativeOrbitNumber")),
            "orbit_direction": _word(told.get("orbitDirection"), upper=True),
            "cloud_cover": cloud if cloud is not None and 0 <= cloud <= 100 else None,
        }
        if collection == "S1":
            known["timeliness"] = _word(told.get("timeliness"))
            joined = _word(told.get("polarisationChannels"))
            known["polarisation"] = identity.polarisation or (joined and joined.replace("&", " "))
        elif collection == "S2":
            known["sensor_mode"] = _word(told.get("operationalMode"))
            known["tile_id"] = _word(told.get("tileId"), upper=True)
            known["processing_baseline"] = _word(told.get("processorVersion"))
        if collection != "S1":  # `IW_GRDH_1S` there, and GRD is what it is asked for by
            known["product_type"] = _word(told.get("productType"))
        return product_of(
            identity,
            source,
            uuid=self.uuid,
            begin=self.moment("ContentDate/Start"),
            end=self.moment("ContentDate/End"),
            ingestion=self.moment("PublicationDate"),
            footprint=self.raw.get("GeoFootprint") or _wkt(self.raw.get("Footprint")),
            size=self.size,
            online=self.online,
            **known,
        )


def entries(answer: Any, source: str) -> tuple[list[Mapping[str, Any]], int | None]:
    """The entries of a page as they came, and how many there are in all where that is told.

    Raises SourceUnavailable for what is no page of this catalogue.
    """
    found = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(found, list) or not all(
        isinstance(item, dict) and isinstance(item.get("Name"), str) and isinstance(item.get("Id"), str)
        for item in found
    ):
        raise SourceUnavailable(f"{source} answers with JSON that is no page of its catalogue.", source=source)
    total = whole(answer.get("@odata.count"))
    return found, total if total is not None and total >= 0 else None


def read(raw: Mapping[str, Any], source: str) -> Entry | None:
    """An entry of a page; None for what is no product of these missions: auxiliary data, mosaics, bursts.

    Raises SourceUnavailable for a product whose identifier is no UUID: it would become part of a URL.
    """
    identity = named(raw["Name"])
    if identity is None or not raw["Name"].endswith(identity.extension):
        return None
    if not _UUID.fullmatch(raw["Id"]):
        raise SourceUnavailable(f"{source} gives {identity.id} an Id that is no UUID.", source=source)
    return Entry(identity, raw)


def best(found: Iterable[Entry]) -> dict[str, Entry]:
    """One entry a product, the best where there are several."""
    kept: dict[str, Entry] = {}
    for entry in found:
        known = kept.get(entry.identity.id)
        if known is None or entry.rank > known.rank:
            kept[entry.identity.id] = entry
    return kept


def deletion(raw: Sequence[Mapping[str, Any]]) -> str | None:
    """When and why a product was deleted, by the entries on it among the deleted products; None where there are none."""
    dated = [(instant(item.get("DeletionDate")) or _NEVER, item) for item in raw]
    if not dated:
        return None
    moment, last = max(dated, key=lambda pair: pair[0])
    when = "" if moment == _NEVER else f" on {moment:%Y-%m-%d}"
    cause = _word(last.get("DeletionCause"))
    return when + (f" ({cause[:100]})" if cause else "")


# --- single values ---------------------------------------------------------------------------------------------------
def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _word(value: object, *, upper: bool = False) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return value.strip().upper() if upper else value.strip()


def _wkt(value: object) -> str | None:
    """The WKT in `geography'SRID=4326;POLYGON ((...))'`."""
    found = re.fullmatch(r"geography'SRID=4326;(.*)'", value, re.DOTALL) if isinstance(value, str) else None
    return found[1] if found else None
