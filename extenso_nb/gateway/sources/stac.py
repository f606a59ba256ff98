"""STAC catalogues: searched, and asked for products by identifier. One of them is that of CDSE, beside its OData.

What differs between them - collections, properties, language, identifiers of items - is data: `Dialect`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from extenso_nb.errors import SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Hits, Limits, cannot
from extenso_nb.gateway.sources.record import named, whole
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.stac_items import product_from
from extenso_nb.gateway.sources.stac_query import (
    Condition,
    Cql2,
    Extension,
    Shelf,
    Terms,
    asking,
    platforms,
    unanswerable,
)
from extenso_nb.gateway.sources.walking import Page, Search, Walks
from extenso_nb.gateway.sources.words import parts_of, shown
from extenso_nb.models import Product
from extenso_nb.products import ProductId
from extenso_nb.query import Query

__all__ = ["CDSE_STAC", "CDSE_TERMS", "Dialect", "StacCatalogue", "StacSource", "cdse_shelf", "cdse_stac"]

Item = Mapping[str, Any]

CDSE_STAC = "https://stac.dataspace.copernicus.eu/v1"
AT_ONCE = 100
"""Products that are asked for by identifier in one request."""
KEEP = 3600.0
"""Seconds for which it is known which collections there are."""
_PAGES = 100
_EMPTY = 20
"""Pages in a row with nothing on them, that are said not to be the last."""
"""Pages of the list of collections at most."""


@dataclass(frozen=True)
class Dialect:
    """How a catalogue is asked."""

    terms: Mapping[str, Terms]
    """By mission: those that it can be searched in."""
    language: type[Cql2] | type[Extension] = Cql2
    lookups: Callable[[Sequence[ProductId]], Iterator[dict[str, Any]]] | None = None
    """Bodies of searches that find products by identifier; by the identifiers of items, which are those, when None."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else is in the body of each search: `fields`."""
    sort_prefix: str = ""
    """What stands before properties in `sortby`."""
    slack: timedelta = timedelta(0)
    """As for `asking`."""
    read: Callable[[Item, str], Product | None] = product_from


class StacCatalogue:
    """A STAC catalogue of Sentinel products. Threads share it.

    Parameters
    ----------
    remote
        Asks it.
    url
        Of its landing page.
    shelves
        Its collections; or None, to read them from the catalogue with `shelf_of` when they are needed.
    shelf_of
        What the identifier of a collection says of it; None for one without products of the missions.
    largest
        Items of a page at most.
    """

    def __init__(
        self,
        remote: Remote,
        url: str,
        name: str,
        dialect: Dialect,
        *,
        shelves: Sequence[Shelf] | None = None,
        shelf_of: Callable[[str], Shelf | None] = lambda _: None,
        largest: int = 250,
    ) -> None:
        self.name = name
        self._remote, self._url, self._dialect = remote, url.rstrip("/"), dialect
        self._shelves, self._shelf_of = shelves, shelf_of
        self._read_at: float | None = None
        self._lock = threading.Lock()
        self._walks = Walks(name, largest=largest)

    # -- search ------------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """One window of what matches. Raises SourceUnavailable, with `cannot`, for what nothing in the archive tells."""
        terms = self._dialect.terms.get(collection)
        if terms is None:
            raise cannot(self.name, collection)
        if (unknown := unanswerable(query, collection, terms)) is not None:
            raise cannot(self.name, unknown)

        def begin(now: datetime) -> Search:
            return self._begin(collection, query, orderby, terms, now)

        return self._walks.window(
            collection, query, orderby, begin, start=start, rows=rows, now=datetime.now(UTC)
        )  # fmt: skip

    def _begin(self, collection: str, query: Query, orderby: str, terms: Terms, now: datetime) -> Search:
        shelves = [shelf for shelf in self.shelves() if shelf.collection == collection]
        if not shelves:
            raise self._wrong(f"it has no collections of {collection}")
        dialect = self._dialect
        asked = asking(query, shelves, terms, dialect.language, now, slack=dialect.slack)
        if asked is None:
            return Search(lambda _: iter(()), exact=True, ordered=True)
        sortby = self._sorted(orderby, terms)
        body = asked.body | ({"sortby": sortby} if sortby else {}) | dict(dialect.more)
        return Search(
            lambda wanted: self._pages(body, wanted), exact=asked.exact, ordered=sortby is not None
        )  # fmt: skip

    def _sorted(self, orderby: str, terms: Terms) -> list[dict[str, str]] | None:
        """The order in the catalogue's words; equal ones by identifier, as everywhere. None where it has none."""
        words = orderby.lower().split()
        told = terms.sorts.get(words[0]) if 1 <= len(words) <= 2 else None
        if told is None:
            return None
        direction = "desc" if words[-1] == "desc" else "asc"
        prefix = self._dialect.sort_prefix
        return [{"field": prefix + told, "direction": direction}, {"field": "id", "direction": "asc"}]

    def _pages(self, body: dict[str, Any], wanted: Callable[[], int]) -> Iterator[Page]:
        for items, total, last in self._walk(body, wanted):
            yield Page(tuple(self._products(items)), total, last=last)

    def _products(self, items: Sequence[Item]) -> Iterator[Product]:
        for item in items:
            if (product := self._dialect.read(item, self.name)) is not None:
                yield product

    def _walk(self, body: dict[str, Any], wanted: Callable[[], int]) -> Iterator[tuple[list[Item], int | None, bool]]:
        """Items and count of each page, on to the last; and whether it is that."""
        seen, here, limit = set[str](), dict(body), wanted()  # one for all: some count their pages
        empty = 0
        while True:
            answer = self._asked("search", here | {"limit": limit})
            items = self._features(answer)
            there = self._next(answer, here)
            yield items, _total(answer), there is None
            if there is None:
                return
            mark = json.dumps(there, sort_keys=True)
            empty = 0 if items else empty + 1
            if mark in seen or empty > _EMPTY:
                raise self._wrong("its pages lead in a circle, or nowhere")
            seen.add(mark)
            here = there

    def _asked(self, where: str, body: dict[str, Any] | None = None) -> Any:
        """The answer at a place below the landing page, to a GET or to the POST of a body."""
        url = f"{self._url}/{where}" if where else self._url
        try:
            # Catalogues are open to all; a login that fails must not keep anyone from searching.
            if body is None:
                return self._remote.get_json(url, authorised=False)
            return self._remote.post_json(url, body=body, authorised=False)
        except UnknownProduct as error:  # that there is no catalogue does not mean that there is no product
            failure = SourceUnavailable(error.message, **error.details)
        raise failure

    def _features(self, answer: Any) -> list[Item]:
        found = answer.get("features") if isinstance(answer, dict) else None
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._wrong("it answers without a list of items")
        return found

    def _next(self, answer: Any, here: dict[str, Any]) -> dict[str, Any] | None:
        """The body of the request for the next page; None for the last one.

        It goes where all others went, wherever a link leads.
        """
        link = _link(answer)
        if link is None:
            return None
        body = link.get("body")
        if isinstance(body, dict):
            return {**here, **body} if link.get("merge") is True else body
        href = link.get("href")
        if not isinstance(href, str):
            raise self._wrong("the link to its next page leads nowhere")
        token = {key: value for key, value in parse_qsl(parts_of(href).query) if key in {"token", "next", "page"}}
        if not token:
            raise self._wrong("the link to its next page has no token")
        return here | token

    def _wrong(self, what: str) -> SourceUnavailable:
        return SourceUnavailable(f"{self.name}: {shown(self._url)} is not to be read: {what}.", source=self.name)

    # -- by identifier -----------------------------------------------------------------------------------------------
    def find(self, product_ids: Sequence[str]) -> dict[str, Product]:
        """Products by identifier; those not held are left out."""
        return {found.id: found for item in self.items(product_ids) if (found := self._dialect.read(item, self.name))}

    def items(self, product_ids: Sequence[str]) -> Iterator[Item]:
        """The items of products; of each at most one."""
        known = {given.id: given for given in map(named, dict.fromkeys(product_ids)) if given is not None}
        asked, found = list(known.values()), set[str]()
        for place in range(0, len(asked), AT_ONCE):
            for body in (self._dialect.lookups or _by_item)(asked[place : place + AT_ONCE]):
                # A few more than asked for: Earth Search has some products in two collections.
                walk = self._walk(body | dict(self._dialect.more), lambda: 2 * AT_ONCE)
                for number, (items, _, _) in enumerate(walk):
                    if number > _PAGES:
                        raise self._wrong(f"it has more than {_PAGES} pages of {AT_ONCE} products")
                    for item in items:
                        product = self._dialect.read(item, self.name)
                        if product is not None and product.id in known and product.id not in found:
                            found.add(product.id)
                            yield item

    # -- collections -------------------------------------------------------------------------------------------------
    def shelves(self) -> Sequence[Shelf]:
        """The collections; read from the catalogue where they are not given, and now and then again."""
        with self._lock:
            fresh = self._read_at is None or time.monotonic() - self._read_at < KEEP
            if self._shelves is None or not fresh:
                read = [self._shelf_of(name) for name in self._collections()]
                found = tuple(shelf for shelf in read if shelf is not None)
                if not found:
                    raise self._wrong("it has no collections of Sentinel products")
                self._shelves = found
                self._read_at = time.monotonic()
            return self._shelves

    def _collections(self) -> Iterator[str]:
        token: dict[str, str] = {}
        for _ in range(_PAGES):
            query = "&".join(f"{key}={value}" for key, value in token.items())
            answer = self._asked(f"collections?{query}" if query else "collections")
            found = answer.get("collections") if isinstance(answer, dict) else None
            if not isinstance(found, list):
                raise self._wrong("its collections are no list")
            for entry in found:
                if isinstance(entry, dict) and isinstance(entry.get("id"), str):
                    yield entry["id"]
            link = _link(answer)
            following = dict(
                part.split("=", 1) for part in parts_of((link or {}).get("href")).query.split("&") if "=" in part
            )
            if link is None or following == token or not found:
                return
            token = following
        raise self._wrong(f"its list of collections has more than {_PAGES} pages")

    def check(self) -> None:
        """Ask for the landing page; raises SourceUnavailable when it does not come."""
        answer = self._asked("")
        if not isinstance(answer, dict) or answer.get("type") != "Catalog":
            raise SourceUnavailable(f"{self.name}: {shown(self._url)} is no STAC catalogue.", source=self.name)


class StacSource:
    """A source over a STAC catalogue: what those have in common that are searched and deliver nothing themselves."""

    limits = Limits()

    def __init__(self, name: str, remote: Remote, catalogue: StacCatalogue) -> None:
        self.name, self._remote, self._catalogue = name, remote, catalogue

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def close(self) -> None:
        """Close all connections."""
        self._remote.close()

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """As `Source` says."""
        return self._catalogue.search(collection, query, start=start, rows=rows, orderby=orderby)

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """As `Source` says."""
        return self._catalogue.find(product_ids)

    def warm_up(self, product_id: str) -> None:
        """Nothing is brought back by a catalogue."""

    def check(self) -> None:
        """As `Source` says; how many there are is not known."""
        self._catalogue.check()


def _link(answer: Any) -> Mapping[str, Any] | None:
    links = answer.get("links") if isinstance(answer, dict) else None
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "next":
            return link
    return None


def _total(answer: Any) -> int | None:
    context = answer.get("context")
    told = answer.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None
    return next((count for value in told if (count := whole(value)) is not None and count >= 0), None)


def _by_item(batch: Sequence[ProductId]) -> Iterator[dict[str, Any]]:
    yield {"ids": [identity.id for identity in batch]}


# --- CDSE ------------------------------------------------------------------------------------------------------------
def _forms(*values: str) -> dict[str, tuple[str, ...]]:
    return {value.lower(): (value,) for value in values}


_ORBITS = {"orbitnumber": "sat:absolute_orbit", "relativeorbitnumber": "sat:relative_orbit"}
_TIMES = {"beginposition": "start_datetime", "endposition": "end_datetime", "ingestiondate": "published"}
_DIRECTION = ("sat:orbit_state", _forms("ascending", "descending"))


def _cdse(mission: str, *untold: str, **more: Any) -> Terms:
    words = {"orbitdirection": _DIRECTION, "passdirection": _DIRECTION, "relpassdirection": _DIRECTION}
    return Terms(
        numbers=_ORBITS | more.pop("numbers", {}),
        words=words | ({} if mission == "S5P" else {"platformserialidentifier": ("platform", platforms(mission))})
        | more.pop("words", {}),
        times=_TIMES,
        sorts=_TIMES,
        identifier=lambda text: Condition("id", "=", text, always=True),
        agree=1000,
        untold=frozenset({"uuid", *untold}),
        **more,
    )  # fmt: skip


CDSE_TERMS = {
    "S1": _cdse(
        "S1",
        words={
            "sensoroperationalmode": ("sar:instrument_mode", _forms("IW", "EW", "WV", "SM")),
            "timeliness": (
                "product:timeliness_category",
                _forms("NRT-10m", "NRT-1h", "NRT-3h", "Fast-24h", "Off-line", "Reprocessing"),
            ),
        },
        polarisations="sar:polarizations",
    ),
    "S2": _cdse(
        "S2",
        "timeliness",
        numbers={"cloudcoverpercentage": "eo:cloud_cover"},
        patterns={
            "tileid": ("grid:code", "[0-9]{2}[A-Z]{3}", "MGRS-"),
            "processingbaseline": ("processing:version", r"[0-9]{2}\.[0-9]{2}", ""),
        },
    ),
    "S3": _cdse("S3", numbers={"cloudcoverpercentage": "eo:cloud_cover"}),
    "S5P": _cdse("S5P", "orbitdirection", "relativeorbitnumber"),
}
"""CDSE's STAC, as pgstac tells it."""

_S3_SENSORS = {"olci": "OL", "sl": "SL", "sr": "SR", "syn": "SY"}
_S3_TIMELY = {"nrt": "Near Real Time", "stc": "Short Time Critical", "ntc": "Non Time Critical"}
_S5P_MODES = {"nrti": "Near real time", "offl": "Offline", "rpro": "Reprocessing"}
_NO_PRODUCTS = re.compile(r"mosaic|burst|-gri-")


def cdse_shelf(name: str) -> Shelf | None:
    """What the identifier of a collection of CDSE says; None for one without products of the missions.

    One that is not known is taken for what its mission is: its products are looked at one by one.
    """
    if _NO_PRODUCTS.search(name):
        return None
    if found := re.fullmatch(r"sentinel-1-(grd|slc|ocn|etad)(-wv)?", name):
        return Shelf(
            name, "S1", found[1][:3].upper(), {"ocn": "L2"}.get(found[1], "L1" if found[1] != "etad" else None)
        )
    if found := re.fullmatch(r"sentinel-2-l(1c|2a)", name):
        return Shelf(name, "S2", f"S2MSI{found[1].upper()}", f"L{found[1].upper()}")
    if found := re.fullmatch(r"sentinel-3-(olci|sl|sr|syn)-([12])-([a-z0-9-]+)-(nrt|stc|ntc)", name):
        kind = f"{_S3_SENSORS[found[1]]}_{found[2]}_{found[3].replace('-', '_').upper():_<6}"
        return Shelf(name, "S3", kind, f"L{found[2]}", _S3_TIMELY[found[4]])
    if found := re.fullmatch(r"sentinel-5p-(l1-ra|l2)-([a-z0-9-]+)-(nrti|offl|rpro)", name):
        what = found[2].replace("-", "_").upper()
        kind = f"L1B_RA_{what}" if found[1] == "l1-ra" else "L2__O3__PR" if what == "O3_PR" else f"L2__{what:_<6}"
        return Shelf(name, "S5P", kind, "L1B" if found[1] == "l1-ra" else "L2", _S5P_MODES[found[3]])
    missions = {"1": "S1", "2": "S2", "3": "S3", "5p": "S5P"}
    found = re.match(r"sentinel-(1|2|3|5p)-", name)
    return Shelf(name, missions[found[1]]) if found else None


def cdse_stac(remote: Remote, url: str = CDSE_STAC, name: str = "cdse") -> StacCatalogue:
    """CDSE's STAC. It has no raw products of Sentinel-1, and ground range ones only as COG, under names of their own."""
    fields = {
        "include": [
            "type", "id", "collection", "geometry", "properties",
            "assets.Product", "assets.product", "assets.thumbnail", "assets.netcdf",
        ]
    }  # fmt: skip
    dialect = Dialect(CDSE_TERMS, more={"fields": fields})
    return StacCatalogue(remote, url, name, dialect, shelf_of=cdse_shelf)
