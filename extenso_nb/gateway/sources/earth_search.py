"""Earth Search: Sentinel-2 and ground range Sentinel-1 as cloud-optimised GeoTIFF on AWS, open to all.

It is searched, and gives pictures and the URLs of single bands. It has no products as ESA packs them, so nothing is
delivered from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from extenso_nb.errors import SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Profile
from extenso_nb.gateway.sources.pictures import picture
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.stac import Dialect, StacCatalogue, StacSource
from extenso_nb.gateway.sources.stac_items import asset
from extenso_nb.gateway.sources.stac_query import Condition, Extension, Shelf, Terms, platforms
from extenso_nb.gateway.sources.words import parts_of
from extenso_nb.products import ProductId

__all__ = ["EARTH_SEARCH", "EarthSearch"]

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"

_SHELVES = (
    Shelf("sentinel-1-grd", "S1", "GRD", "L1"),
    Shelf("sentinel-2-c1-l2a", "S2", "S2MSI2A", "L2A"),
    Shelf("sentinel-2-l1c", "S2", "S2MSI1C", "L1C"),
    Shelf("sentinel-2-l2a", "S2", "S2MSI2A", "L2A"),
)
_SORTS = {"ingestiondate": "created"}
_TERMS = {
    "S1": Terms(
        numbers={"orbitnumber": "sat:absolute_orbit", "relativeorbitnumber": "sat:relative_orbit"},
        words={
            "orbitdirection": ("sat:orbit_state", {word: (word,) for word in ("ascending", "descending")}),
            "sensoroperationalmode": ("sar:instrument_mode", {word.lower(): (word,) for word in ("IW", "EW", "SM")}),
            "platformserialidentifier": ("platform", platforms("S1")),
        },
        times={"ingestiondate": "created"},
        polarisations="sar:polarizations",
        identifier=lambda text: Condition("s1:product_identifier", "=", text),
        untold=frozenset({"uuid", "size"}),
        sorts=_SORTS,
    ),
    "S2": Terms(
        numbers={"cloudcoverpercentage": "eo:cloud_cover"},
        words={"platformserialidentifier": ("platform", platforms("S2"))},
        patterns={
            "tileid": ("grid:code", "[0-9]{2}[A-Z]{3}", "MGRS-"),
            "processingbaseline": ("s2:processing_baseline", r"[0-9]{2}\.[0-9]{2}", ""),
        },
        times={"ingestiondate": "created"},
        identifier=lambda text: Condition("s2:product_uri", "=", f"{text}.SAFE"),
        untold=frozenset({"uuid", "size", "orbitdirection", "timeliness"}),
        sorts=_SORTS,
    ),
}


def _lookups(batch: Sequence[ProductId]) -> Iterator[dict[str, Any]]:
    radar = [identity.id.rpartition("_")[0] for identity in batch if identity.collection == "S1"]
    optical = [f"{identity.id}.SAFE" for identity in batch if identity.collection == "S2"]
    if radar:
        yield {"collections": ["sentinel-1-grd"], "ids": radar}
    if optical:
        ids = [shelf.id for shelf in _SHELVES if shelf.collection == "S2"]
        yield {"collections": ids, "query": {"s2:product_uri": {"in": optical}}}


class EarthSearch(StacSource):
    """The catalogue of Element 84, at `url`. Nothing is asked before the first call."""

    profile = Profile(searches=frozenset({"S1", "S2"}), delivers=frozenset(), archive=True, cost=1)

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "earth_search",
        url: str = EARTH_SEARCH,
        stall_seconds: float = 60.0,
    ) -> None:
        remote = Remote(name, stall_seconds=stall_seconds)
        self._hosts = (*_PICTURE_HOSTS, parts_of(url).netloc)
        # `datetime` of a tile of Sentinel-2 is up to an hour after that of its datatake.
        slack = timedelta(hours=2)
        whole = Dialect(_TERMS, Extension, _lookups, sort_prefix="properties.", slack=slack)
        brief = Dialect(
            _TERMS,
            Extension,
            _lookups,
            more={"fields": {"exclude": ["assets", "links"]}},
            sort_prefix="properties.",
            slack=slack,
        )
        super().__init__(name, remote, StacCatalogue(remote, url, name, brief, shelves=_SHELVES))
        self._items = StacCatalogue(remote, url, name, whole, shelves=_SHELVES)

    def open(self, product_id: str) -> Content:
        """Raises SourceUnavailable: it has no whole products."""
        raise SourceUnavailable(
            f"{self.name} has the bands of {product_id} as GeoTIFF, and not the product as ESA packs it.",
            hint="Order it from another source, or read the bands from their URLs.",
            source=self.name,
            cannot=True,
        )

    def quicklook(self, product_id: str) -> bytes:
        """As `Source` says."""
        entry = asset(self._item(product_id), "thumbnail")
        href, kind = entry.get("href"), str(entry.get("type", ""))
        url = None if kind not in {"image/jpeg", "image/png"} else _open_url(href)
        return picture(self._remote, url, product_id, self._hosts)

    def assets(self, product_id: str) -> dict[str, str]:
        """URLs (https) of the files of a product, by their keys in the catalogue: `red`, `scl`, `vv` ...

        Those that lie where readers pay are left out. Raises UnknownProduct, SourceUnavailable.
        """
        entries = self._item(product_id).get("assets")
        found = {}
        for key, entry in entries.items() if isinstance(entries, dict) else ():
            url = _open_url(entry.get("href")) if isinstance(entry, dict) else None
            if url is not None:
                found[str(key)] = url
        return found

    def _item(self, product_id: str) -> Mapping[str, Any]:
        item = next(iter(self._items.items((product_id,))), None)
        if item is None:
            raise UnknownProduct(f"{self.name} does not have {product_id}.", source=self.name)
        return item


_OPEN_BUCKETS = {"sentinel-cogs": "us-west-2", "e84-earth-search-sentinel-data": "us-west-2"}
"""Buckets that may be read without an account, and where they lie."""


_PICTURE_HOSTS = (
    "roda.sentinel-hub.com",
    *(
        f"{bucket}.s3{at}.amazonaws.com"
        for bucket in (*_OPEN_BUCKETS, "sentinel-s2-l1c", "sentinel-s1-l1c")
        for at in ("", ".us-west-2", ".eu-central-1")
    ),
)


def _open_url(href: object) -> str | None:
    """An https URL that is open to all; None for what lies elsewhere."""
    if not isinstance(href, str):
        return None
    parts = parts_of(href)
    if parts.scheme == "https":
        return href
    region = _OPEN_BUCKETS.get(parts.netloc)
    return f"https://{parts.netloc}.s3.{region}.amazonaws.com{parts.path}" if parts.scheme == "s3" and region else None
