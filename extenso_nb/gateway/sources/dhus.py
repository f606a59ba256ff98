"""Hubs that speak the protocol of SciHub: search in its own language, OData, and an archive that brings products back.

SciHub itself has ended. National and private hubs run the same software; so does the one of Sentinel-5P, whose guest
login was public (`GUEST`). Hubs differ in age: one without JSON is read in Atom, one without `/search` by its stub.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from urllib.parse import quote, urlsplit

from extenso_nb import products
from extenso_nb.errors import InputError, InvalidRequest, NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile
from extenso_nb.gateway.sources.dhus_entries import Entry, Feed, Held, feed, held, product, stub
from extenso_nb.gateway.sources.dhus_query import encoded, put
from extenso_nb.gateway.sources.record import named
from extenso_nb.gateway.sources.remote import JSON_LIMIT, Remote
from extenso_nb.gateway.sources.secret import Secret, basic
from extenso_nb.gateway.sources.walking import Page, Search, Walks
from extenso_nb.gateway.sources.windows import Portion, windowed
from extenso_nb.models import Product
from extenso_nb.query import Query

__all__ = ["GUEST", "DhusSource"]

GUEST: Mapping[str, str] = MappingProxyType({"username": "s5pguest", "password": "s5pguest"})
"""What the hub of Sentinel-5P gave to everyone."""

ROWS = 100
"""Products of a page at most; hubs refuse more."""
WINDOW = 10_000
"""Places of a search at most: hubs count no further, and say 10,000 for more."""
NAMES = 20
"""Products that OData is asked for at once: their names make a URL of 2,000 characters."""
_SORTS = frozenset({"beginposition", "endposition", "ingestiondate"})
_REMEMBERED = 5_000
"""Products whose uuid is remembered from searches, so that their pictures cost one request each."""


class DhusSource:
    """A hub behind the protocol of sources. Threads may share it.

    Parameters
    ----------
    url
        Of the hub: that to which `/search` and `/odata/v1` are added, such as `https://host/dhus`.
    credentials
        Give `username` and `password`. All known hubs want them for searching, too.
    name
        Of the source.
    stall_seconds
        How long no byte may come.

    Raises
    ------
    InputError
        The URL is none of http or https, or has a password in it.
    """

    profile = Profile(archive=True, cost=2, account="dhus")
    limits = Limits(transfers=2, warm_ups=(20, 43_200.0))

    def __init__(
        self,
        url: str,
        credentials: Credentials = lambda: None,
        *,
        name: str = "dhus",
        stall_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self.url = _address(url)
        self._secret = Secret(name, "dhus", credentials, basic)
        self._remote = Remote(
            name, authorise=self._secret, stall_seconds=stall_seconds, credentials_hint=self._secret.hint
        )
        self._walks = Walks(name, largest=ROWS)
        self._uuids: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        self._by_stub = False

    def __repr__(self) -> str:
        return f"<DhusSource {self.name}: {self.url}>"

    def close(self) -> None:
        """Let go of all connections."""
        self._remote.close()

    def lacks(self) -> str | None:
        """What it lacks, and the next step; None when it has credentials that were not refused."""
        return self._secret.lacks()

    # -- searching ---------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Products of a collection that match; see `Source`. `online` is not told in a search, and their sizes roughly."""
        wanted = products.collection(collection)
        now = datetime.now(UTC)
        text, exact, local = put(self.name, wanted, query, now)

        def begin(_now: datetime) -> Search:
            return self._search(wanted, text, orderby, exact=exact)

        return self._walks.window(wanted, local, orderby, begin, start=start, rows=rows, now=now)

    def _search(self, collection: str, text: str, orderby: str, *, exact: bool) -> Search:
        found = re.fullmatch(r"\s*(\w+)(?:\s+(asc|desc))?\s*", orderby or "ingestiondate desc", re.IGNORECASE)
        key, way = (found[1].lower(), (found[2] or "asc").lower()) if found else ("", "")
        ordered = key in _SORTS
        key, way = (key, way) if ordered else ("ingestiondate", "asc")
        whole = not (exact and ordered)
        attribute = {"beginposition": "begin_position", "endposition": "end_position"}.get(key, "ingestion_date")

        def ask(start: int, rows: int, beyond: datetime | None) -> Portion[Entry]:
            said = text
            if beyond is not None:
                stamp = beyond.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                said += f" AND {key}:[{stamp} TO *]" if way == "asc" else f" AND {key}:[* TO {stamp}]"
            page = self._page(said, start, min(rows, ROWS), f"{key} {way}")
            if page.total == WINDOW:
                if whole:
                    raise self._too_many()
                return Portion(page.entries, None)
            return Portion(page.entries, page.total)

        def ours(entry: Entry) -> Product | None:
            made = product(entry, self.name)
            if made is None or made.collection != collection:
                return None
            self._remember(made.id, entry.uuid)
            return made

        def moment(product: Product) -> datetime:
            found: datetime = getattr(product, attribute)
            return found

        def pages(wanted: object) -> Iterator[Page]:
            return windowed(ask, ours, moment, wanted, window=WINDOW, source=self.name)  # type: ignore[arg-type]

        return Search(pages, exact, ordered)

    def _too_many(self) -> InvalidRequest:
        return InvalidRequest(
            f"{self.name} cannot be asked for all of this query, or not in this order, and has {WINDOW:,} products or more"
            " that would have to be looked through.",
            hint="Narrow it by dates, area or product type, or drop the order.",
        )

    def _page(self, text: str, start: int, rows: int, orderby: str) -> Feed:
        """One page: by `/search`, or by the stub where there is no such thing."""
        q, order = encoded(text), quote(orderby)
        if not self._by_stub:
            url = f"{self.url}/search?q={q}&rows={rows}&start={start}&orderby={order}&format=json"
            try:
                return feed(self._remote.get_bytes(url, limit=JSON_LIMIT), self.name)
            except UnknownProduct:
                self._by_stub = True
        key, _, way = orderby.partition(" ")
        url = f"{self.url}/api/stub/products?filter={q}&offset={start}&limit={rows}&sortedby={key}&order={way}"
        try:
            return stub(self._remote.get_bytes(url, limit=JSON_LIMIT), self.name)
        except UnknownProduct:
            self._by_stub = False
        raise SourceUnavailable(
            f"{self.name}: {self.url} is no hub: it has neither /search nor /api/stub/products.",
            hint="Give the address up to where these begin, such as https://host/dhus.",
            source=self.name,
        )

    def check(self) -> int | None:
        """Number of products held; None where the hub counts no further. Raises SourceUnavailable."""
        total = self._page("*", 0, 0 if not self._by_stub else 1, "ingestiondate desc").total
        return None if total == WINDOW else total

    # -- single products ---------------------------------------------------------------------------------------------
    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier, with sizes and whether they are online; those not held are left out."""
        return {name: one.product for name, one in self._held(product_ids).items()}

    def _held(self, product_ids: Sequence[str]) -> dict[str, Held]:
        # Only what is a name by the grammar is asked for: there is no quote and no bracket in those.
        names = [name for name in dict.fromkeys(product_ids) if (known := named(name)) is not None and known.id == name]
        found: dict[str, Held] = {}
        for first in range(0, len(names), NAMES):
            batch = names[first : first + NAMES]
            asked = quote(" or ".join(f"Name eq '{name}'" for name in batch))
            try:
                answer = self._remote.get_json(f"{self.url}/odata/v1/Products?$filter={asked}&$top=100&$format=json")
            except UnknownProduct as error:  # of the address, not of a product: that is an empty list
                raise SourceUnavailable(error.message, source=self.name, status=404) from None
            for one in held(answer, self.name):
                before = found.get(one.product.id)
                if one.product.id in batch and (before is None or _rank(one) > _rank(before)):
                    found[one.product.id] = one
                    self._remember(one.product.id, one.uuid)
        return found

    def _one(self, product_id: str) -> Held:
        found = self._held((product_id,)).get(product_id)
        if found is None:
            raise UnknownProduct(f"{self.name} does not hold {product_id}.", products=[product_id])
        return found

    def warm_up(self, product_id: str) -> None:
        """Ask the archive for a product; nothing happens for one that is online.

        Raises SourceUnavailable where the hub refuses: the quota of the account (403), a full queue (503).
        """
        one = self._one(product_id)
        if not one.product.online:
            self._remote.knock(self._value(one.uuid), headers={"range": "bytes=0-1"})

    def open(self, product_id: str) -> Content:
        """The hub's zip, or netCDF file; see `Source`."""
        one = self._one(product_id)
        return self._remote.content(
            _filename(product_id), self._value(one.uuid), size=one.size, checksums=one.checksums
        )

    def quicklook(self, product_id: str) -> bytes:
        """JPEG of 512 px at most. Raises NoQuicklook, UnknownProduct."""
        with self._lock:
            uuid = self._uuids.get(product_id)
        uuid = self._one(product_id).uuid if uuid is None else uuid
        try:
            return self._remote.get_bytes(f"{self.url}/odata/v1/Products('{uuid}')/Products('Quicklook')/$value")
        except UnknownProduct:
            raise NoQuicklook(f"{self.name} has no quicklook of {product_id}.", products=[product_id]) from None

    def _value(self, uuid: str) -> str:
        return f"{self.url}/odata/v1/Products('{uuid}')/$value"

    def _remember(self, product_id: str, uuid: str) -> None:
        if uuid:
            with self._lock:
                self._uuids[product_id] = uuid
                self._uuids.move_to_end(product_id)
                while len(self._uuids) > _REMEMBERED:
                    self._uuids.popitem(last=False)


def _rank(one: Held) -> tuple[bool, datetime]:
    """Of several with one name the one that is online is taken, then the newest."""
    return one.product.online, one.product.ingestion_date


def _filename(product_id: str) -> str:
    """As a delivery is named: hubs name their zips without `.SAFE`."""
    return products.parse(product_id).archive_name


def _address(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise InputError("The address of a hub must be an http(s) URL.", hint="Such as dhus:https://host/dhus.")
    if parts.username or parts.password:
        raise InputError(
            "The address of a hub has a user or password in it.", hint="Leave it out, and run `extenso login dhus`."
        )
    return url.strip().rstrip("/")
