"""Sentinel-1 at the Alaska Satellite Facility: all of it, never in cold storage; the bytes want an Earthdata login.

Its search has no pages: it gives what is sensed last first, and at most as many as asked for. So a search is cut into
spans of time, each asked for whole, and one that comes full is halved: nothing is lost or doubled at their borders,
in whatever order the entries come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from extenso_nb.errors import SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile, cannot
from extenso_nb.gateway.sources.asf_params import LEVELS, NEVER_TOLD, Params, Words
from extenso_nb.gateway.sources.pictures import is_at, picture
from extenso_nb.gateway.sources.record import instant, named, product_of, whole
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.token import Login, Token
from extenso_nb.gateway.sources.translate import keywords_in, translate
from extenso_nb.gateway.sources.walking import Page, Search, Walks
from extenso_nb.gateway.sources.words import parts_of, shown
from extenso_nb.models import Product
from extenso_nb.products import ProductId
from extenso_nb.query import Query, order

__all__ = ["AsfSource"]

LARGEST = 1000
"""Products of a page, as they are aimed at."""
MOST = 2000
"""Entries that the search gives at most."""
BATCH = 100
"""Names that are looked up at once; each has a second entry, of its metadata."""
LONG = 2000
"""Characters of a query that go into a URL; longer ones are sent as a form."""
FIRST = datetime(2014, 4, 3, tzinfo=UTC)
"""The launch of Sentinel-1A."""
SECOND = timedelta(seconds=1)
DOWNLOADS = ("datapool.asf.alaska.edu", "sentinel1.asf.alaska.edu", "cumulus.asf.alaska.edu")
"""Hosts that may see the token: where products are, and where these redirect to before they sign."""
LICENCE = "Accept the licence (EULA) of ASF in your Earthdata profile, at https://urs.earthdata.nasa.gov/profile."


HOSTS = "asf.alaska.edu"
"""Where all hosts of the archive are."""


class AsfSource:
    """The archive of ASF behind the protocol of sources. Threads may share it. Nothing is asked before the first call.

    Parameters
    ----------
    credentials
        `token`, or `username` and `password`, of Earthdata Login.
    name
        Of the source, as it appears in `Product.sources` and in trails.
    api, login
        Where its search and Earthdata Login are.
    downloads
        Hosts (with port, where it is not that of the scheme) that the token is sent to.
    stall_seconds
        As of `Remote`.
    """

    profile = Profile(frozenset({"S1"}), frozenset({"S1"}), archive=True, cost=2, account="earthdata")
    limits = Limits(transfers=4)

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "asf",
        api: str = "https://api.daac.asf.alaska.edu",
        login: str = "https://urs.earthdata.nasa.gov",
        downloads: tuple[str, ...] = DOWNLOADS,
        stall_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self._api, self._urs = api.rstrip("/"), login.rstrip("/")
        self._downloads = frozenset(host.lower() for host in downloads)
        self._hosts = frozenset({HOSTS, parts_of(api).netloc, *self._downloads})
        self._credentials = credentials
        self._login = Login(name, "earthdata", credentials, self._exchange)
        self._remote = Remote(
            name,
            authorise=Token(self._login),
            trusted_hosts=downloads,
            stall_seconds=stall_seconds,
            credentials_hint=f"{self._login.hint} {LICENCE}",
        )
        self._walks = Walks(name, largest=LARGEST)

    def __repr__(self) -> str:
        return f"<AsfSource {self.name}>"

    def close(self) -> None:
        """Let go of all connections."""
        self._remote.close()

    def lacks(self) -> str | None:
        """What is missing before anything can be fetched."""
        return self._login.lacks()

    def check_login(self) -> str | None:
        """Log in once; why that was not tried, where a token was given.

        Raises SourceUnavailable, with `status` in `details` where the password is refused.
        """
        if (self._credentials() or {}).get("token"):
            return "a token is tried by the first delivery."
        assert self._remote.authorise is not None
        self._remote.authorise.header()
        return None

    # -- the protocol ------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Products that match. Raises SourceUnavailable for keywords of which its entries tell nothing."""
        if collection != "S1":
            return Hits(0, ())
        if asked := sorted(keywords_in(query) & NEVER_TOLD):
            raise cannot(self.name, ", ".join(asked))
        return self._walks.window(
            collection,
            query,
            orderby,
            lambda now: self._begin(query, orderby, now),
            start=start,
            rows=rows,
            now=datetime.now(UTC),
        )

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier; those of other missions are left out without asking."""
        return {name: entry.product(self.name) for name, entry in self._entries(product_ids).items()}

    def warm_up(self, product_id: str) -> None:
        """Nothing: all products are online."""

    def open(self, product_id: str) -> Content:
        """The zip of a product, as ESA made it."""
        entry = self._entry(product_id)
        if entry.url is None:
            raise SourceUnavailable(f"{self.name} gives no address for {product_id}.", source=self.name)
        if not is_at(entry.url, self._hosts):
            raise SourceUnavailable(
                f"{self.name} says that {product_id} is at {shown(entry.url)}, which is no host of its own.",
                hint="It is not asked there: a catalogue should not lead the gateway elsewhere.",
                source=self.name,
            )
        content = self._remote.content(
            entry.identity.archive_name,
            entry.url,
            size=entry.size,
            checksums={} if entry.md5 is None else {"MD5": entry.md5},
            authorised=self._may_know(entry.url),
        )
        return replace(content, read=_licensed(content.read))

    def quicklook(self, product_id: str) -> bytes:
        """The first picture of a product."""
        return picture(self._remote, self._entry(product_id).picture, product_id, self._hosts)

    def check(self) -> None:
        """See whether it answers; how many products it has would take it long to count."""
        self._remote.get_json(f"{self._api}/health", authorised=False)

    # -- login -------------------------------------------------------------------------------------------------------
    def _exchange(self, given: Mapping[str, str]) -> tuple[str, float | None]:
        """A token for username and password, good for up to 60 days; one that was given is taken as it is."""
        if given.get("token"):
            return given["token"], None
        if not (given.get("username") and given.get("password")):
            raise SourceUnavailable(
                f"{self.name} wants a token, or a username and a password.", hint=self._login.hint, source=self.name
            )
        answer = self._remote.post_json(
            f"{self._urs}/api/users/find_or_create_token", basic=(given["username"], given["password"])
        )
        try:
            ends = datetime.strptime(answer["expiration_date"], "%m/%d/%Y").replace(tzinfo=UTC)
        except (LookupError, TypeError, ValueError):
            return answer["access_token"], None
        return answer["access_token"], max((ends - datetime.now(UTC)).total_seconds(), 3600.0)

    def _may_know(self, url: str) -> bool:
        """Whether the token may go to an address that the catalogue gave."""
        parts = parts_of(url)
        return parts.netloc.lower() in self._downloads and parts.scheme == parts_of(self._api).scheme

    # -- entries -----------------------------------------------------------------------------------------------------
    def _entry(self, product_id: str) -> _Entry:
        found = self._entries((product_id,)).get(product_id)
        if found is None:
            raise UnknownProduct(f"{self.name} does not hold {product_id}.")
        return found

    def _entries(self, product_ids: tuple[str, ...]) -> dict[str, _Entry]:
        wanted = {name: identity for name in product_ids if (identity := named(name)) and identity.collection == "S1"}
        names = list(dict.fromkeys(identity.id for identity in wanted.values()))
        held: dict[str, _Entry] = {}
        for place in range(0, len(names), BATCH):
            asked = {"granule_list": ",".join(names[place : place + BATCH]), "output": "geojson"}
            entries = map(_read, self.features(asked, form=True))
            held |= {entry.identity.id: entry for entry in entries if entry is not None}
        return {name: held[identity.id] for name, identity in wanted.items() if identity.id in held}

    def features(self, params: Mapping[str, str], *, form: bool = False) -> list[dict[str, Any]]:
        """The entries of an answer of its search. Raises SourceUnavailable where it is not one."""
        answer = self.answer(params, form=form)
        items = answer.get("features") if isinstance(answer, dict) else None
        if not isinstance(items, list):
            raise self.malformed("has no list of features")
        if not all(isinstance(item, dict) and isinstance(item.get("properties"), dict) for item in items):
            raise self.malformed("has features without properties")
        return items

    def answer(self, params: Mapping[str, str], *, form: bool = False) -> Any:
        """The JSON that its search answers; a long query is sent as a form."""
        url, text = f"{self._api}/services/search/param", urlencode(params)
        if form or len(text) > LONG:
            return self._remote.post_json(url, form=params, authorised=False)
        return self._remote.get_json(f"{url}?{text}", authorised=False)

    def malformed(self, what: str) -> SourceUnavailable:
        """The error of an answer that is none."""
        return SourceUnavailable(f"{self.name}: the answer of its search {what}.", source=self.name)

    # -- searches ----------------------------------------------------------------------------------------------------
    def _begin(self, query: Query, orderby: str, now: datetime) -> Search:
        asked = translate(query, Words(), now)
        params = asked.expression or Params()
        keyword, descending = _by_time(orderby)
        spans = _Spans(self, params, keyword or "end", orderby if keyword else None, descending, now)
        return Search(spans.pages, exact=asked.exact and not params.loose, ordered=keyword is not None)


@dataclass(frozen=True)
class _Spans:
    """One search in spans of the time at which sensing begins, or ends."""

    source: AsfSource
    params: Params
    of: str
    """What is cut: `begin` or `end`."""
    orderby: str | None
    """The order within a span; None where the search is in no order."""
    descending: bool
    now: datetime

    def pages(self, wanted: Callable[[], int]) -> Iterator[Page]:
        """The spans one after another, each about as long as the products that are wanted take."""
        low, high = self.params.span(self.of)
        tomorrow = self.now + timedelta(days=1)
        first, last = _second(max(low or FIRST, FIRST)), _second(min(high or tomorrow, tomorrow)) + SECOND
        if self.params.nothing or last <= first:
            yield Page((), 0, last=True)
            return
        bounds, outside = (first, last), set[str]()
        total = left = self._count(first, last)
        share = 1.0
        while left and first < last:
            aim = min(max(wanted(), 1), LARGEST)
            whole = last - first
            length = whole if left <= 1.25 * aim else _whole_seconds(whole * min(aim * share / left, 1.0))
            items, length = self._span(first, last, length)
            since, until = (last - length, last) if self.descending else (first, first + length)
            first, last = (first, since) if self.descending else (until, last)
            # What is under way at a border belongs to the span beside it, and beyond the first and last to none.
            outside |= {item.id for item in items if not self._within(item, *bounds)}
            kept = [item for item in items if self._within(item, since, until)]
            left = max(left - len(kept), 1)  # the count is of another moment: the way goes on to its end
            share = min(share * 2, 64.0) if len(kept) < aim / 2 else max(share / 2, 1.0) if len(kept) > aim else share
            found = order(kept, self.orderby) if self.orderby else kept
            yield Page(tuple(found), max(total - len(outside), 0), last=first >= last)

    def _span(self, first: datetime, last: datetime, length: timedelta) -> tuple[list[Product], timedelta]:
        """All of the span that is next, and how long that is in the end: one that comes full is halved."""
        while True:
            since, until = (last - length, last) if self.descending else (first, first + length)
            asked = {**self._said(since, until), "maxResults": str(MOST), "output": "geojson"}
            items = self.source.features(asked)
            if len(items) < MOST:
                found = [entry for item in items if (entry := _read(item)) is not None]
                return [entry.product(self.source.name) for entry in found], length
            if length <= SECOND:
                raise self.source.malformed(f"has {MOST:,} entries of one second")
            length = _whole_seconds(length / 2)

    def _count(self, first: datetime, last: datetime) -> int:
        answer = self.source.answer({**self._said(first, last), "output": "count"})
        count = whole(answer)
        if count is None or count < 0:
            raise self.source.malformed("to a request for the count is no number")
        return count

    def _said(self, since: datetime, until: datetime) -> dict[str, str]:
        """All but results. What is asked for is sensed at some moment from `start` to `end`, both included."""
        ends, begins = (
            self.params.windows.get("end", (None, None))[0],
            self.params.windows.get("begin", (None, None))[1],
        )
        start = since if ends is None else max(since, _second(ends))
        end = until if begins is None else min(until, _second(begins) + SECOND)
        return {**self.params.said(), "start": _text(start), "end": _text(max(start, end))}

    def _within(self, product: Product, since: datetime, until: datetime) -> bool:
        return since <= (product.begin_position if self.of == "begin" else product.end_position) < until


@dataclass(frozen=True)
class _Entry:
    """One product as the archive shows it."""

    identity: ProductId
    facts: Mapping[str, Any]
    url: str | None
    size: int | None
    md5: str | None
    picture: str | None

    def product(self, source: str) -> Product:
        """The product, its size that of the zip."""
        return product_of(self.identity, source, size=self.size, **self.facts)


def _read(item: Mapping[str, Any]) -> _Entry | None:
    """A feature as an entry; None for what is no product: metadata, bursts, products of other kinds."""
    said = item["properties"]
    identity = named(said.get("sceneName"))
    if identity is None or identity.collection != "S1" or str(said.get("processingLevel")) not in LEVELS:
        return None
    direction, md5 = said.get("flightDirection"), said.get("md5sum")
    pictures = said.get("browse")
    pictures = pictures if isinstance(pictures, list) else [pictures]
    facts = {
        "begin": instant(str(said.get("startTime"))),
        "end": instant(str(said.get("stopTime"))),
        "footprint": item.get("geometry"),
        "orbit_direction": direction if direction in ("ASCENDING", "DESCENDING") else None,
        "orbit_number": whole(said.get("orbit")),
        "relative_orbit_number": whole(said.get("pathNumber")),
    }
    return _Entry(
        identity,
        facts,
        url=_address(said.get("url")),
        size=whole(said.get("bytes")),
        md5=md5 if isinstance(md5, str) and md5 else None,
        picture=next((found for picture in pictures if (found := _address(picture))), None),
    )


def _address(value: object) -> str | None:
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None


def _licensed(read: Callable[[int], Iterator[bytes]]) -> Callable[[int], Iterator[bytes]]:
    """Reading that says what a refusal means here: the licence was not accepted."""

    def reading(offset: int) -> Iterator[bytes]:
        try:
            yield from read(offset)
        except SourceUnavailable as error:
            if error.details.get("status") == 403:
                error.hint = LICENCE
            raise

    return reading


# --- times -----------------------------------------------------------------------------------------------------------
def _by_time(orderby: str) -> tuple[str | None, bool]:
    """What an order goes by, `begin` or `end`, and whether backwards; None where it goes by anything else."""
    words = (orderby or "ingestiondate desc").lower().split()
    # When it took a product in it does not tell; the end of sensing stands in for that.
    keywords = {"beginposition": "begin", "endposition": "end", "ingestiondate": "end"}
    return (keywords.get(words[0]) if len(words) <= 2 else None), words[-1] == "desc"


def _second(moment: datetime) -> datetime:
    """The whole second in which a moment lies: the archive tells times so."""
    return moment.replace(microsecond=0)


def _whole_seconds(length: timedelta) -> timedelta:
    return max(timedelta(seconds=round(length.total_seconds())), SECOND)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
