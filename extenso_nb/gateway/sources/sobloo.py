"""Sobloo, by its recorded protocol: searched through ARLAS, one filter a clause, dates as milliseconds since 1970.

The service has ended. The adapter stays, with its address as a parameter, for archives that speak as it did.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import shapely

from extenso_nb import products
from extenso_nb.errors import InputError, NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile, cannot
from extenso_nb.gateway.sources.record import instant, named, number, product_of, whole
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.secret import Secret, apikey
from extenso_nb.gateway.sources.translate import Asked, Clause, keywords_in, translate
from extenso_nb.gateway.sources.walking import Page, Search, Walks
from extenso_nb.gateway.sources.windows import Portion, windowed
from extenso_nb.models import Product
from extenso_nb.query import KEYWORDS, Query

__all__ = ["SoblooSource", "entries"]

URL = "https://sobloo.eu"
ROWS = 1_000
"""Products of a page at most."""
WINDOW = 10_000
"""`from` plus `size` at most; beyond, the answer is 400."""
NAMES = 20
"""Products that are looked for at once."""
LONGEST = 6_000
"""Characters of a search; areas that make more become boxes."""

NAMED = {"S1": "Sentinel-1", "S2": "Sentinel-2", "S3": "Sentinel-3", "S5P": "Sentinel-5 Precursor"}
_DATES = {
    "beginposition": ("acquisition.beginViewingDate", "begin_position"),
    "endposition": ("acquisition.endViewingDate", "end_position"),
    "ingestiondate": ("state.insertionDate", "ingestion_date"),
}
_NUMBERS = {
    "orbitnumber": "orbit.number",
    "relativeorbitnumber": "orbit.relativeNumber",
    "cloudcoverpercentage": "contentDescription.cloudCoverPercentage",
}
_UNTOLD = {"S5P": frozenset({"orbitdirection", "relativeorbitnumber"})}
"""Keywords that neither the names nor the known answers of a mission have."""
_TIMELINESS = {"Near Real Time": "NR", "Short Time Critical": "ST", "Non Time Critical": "NT"}
_UID = re.compile(r"[0-9A-Za-z-]{1,64}")
Filters = tuple[tuple[str, str], ...]
"""Parameters of a search, all of which hold: `f` and `gintersect`."""


class SoblooSource:
    """Sobloo behind the protocol of sources. Threads may share it.

    Parameters
    ----------
    credentials
        Give `apikey`, which downloads want; searches and pictures are open.
    name
        Of the source.
    url
        Of the service: that to which `/api/v1/services` is added.
    stall_seconds
        How long no byte may come.
    """

    profile = Profile(archive=True, cost=2, account="sobloo")
    limits = Limits(transfers=4)

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "sobloo",
        url: str = URL,
        stall_seconds: float = 60.0,
    ) -> None:
        parts = urlsplit(url.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise InputError("The address of Sobloo must be an http(s) URL.", hint=f"Such as sobloo:{URL}.")
        self.name = name
        self.url = url.strip().rstrip("/")
        self._services = f"{self.url}/api/v1/services"
        self._secret = Secret(name, "sobloo", credentials, apikey)
        self._remote = Remote(
            name, authorise=self._secret, stall_seconds=stall_seconds, credentials_hint=self._secret.hint
        )
        self._walks = Walks(name, largest=ROWS)
        self._lists = False
        """Whether it was seen to take several values of one field, with commas between."""

    def __repr__(self) -> str:
        return f"<SoblooSource {self.name}: {self.url}>"

    def close(self) -> None:
        """Let go of all connections."""
        self._remote.close()

    def lacks(self) -> str | None:
        """What it lacks before it can deliver; None when it has a key that was not refused."""
        return self._secret.lacks()

    # -- searching ---------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Products of a collection that match; see `Source`. Sizes are to the megabyte."""
        wanted = products.collection(collection)
        asked_for = {name for name in keywords_in(query) if wanted in KEYWORDS[name].missions}
        silent = {name for name in asked_for if KEYWORDS[name].read is None or name in _UNTOLD.get(wanted, ())}
        if silent:
            raise cannot(self.name, ", ".join(sorted(silent)))
        now = datetime.now(UTC)

        def begin(now: datetime) -> Search:
            return self._search(wanted, query, orderby, now)

        return self._walks.window(wanted, query, orderby, begin, start=start, rows=rows, now=now)

    def _search(self, collection: str, query: Query, orderby: str, now: datetime) -> Search:
        said = translate(query, _Filters(collection), now)
        filters, exact = said.expression or (), said.exact
        if len(urlencode(filters)) > LONGEST:
            filters, exact = translate(query, _Filters(collection, boxes=True), now).expression or (), False
        if sum(name == "gintersect" for name, _ in filters) > 1:  # what several mean together is not documented
            first = next(pair for pair in filters if pair[0] == "gintersect")
            filters, exact = (first, *(pair for pair in filters if pair[0] != "gintersect")), False
        found = re.fullmatch(r"\s*(\w+)(?:\s+(asc|desc))?\s*", orderby or "ingestiondate desc", re.IGNORECASE)
        key, way = (found[1].lower(), (found[2] or "asc").lower()) if found else ("", "")
        ordered = key in _DATES
        key, way = (key, way) if ordered else ("beginposition", "asc")
        field, attribute = _DATES[key]
        base = (("f", f"identification.collection:eq:{NAMED[collection]}"), *filters)

        def ask(start: int, rows: int, beyond: datetime | None) -> Portion[Mapping[str, Any]]:
            more = () if beyond is None else (("f", f"{field}:{'gte' if way == 'asc' else 'lte'}:{_ms(beyond)}"),)
            pairs = [*base, *more, ("size", str(min(rows, ROWS))), ("from", str(start))]
            return self._hits([*pairs, ("sort", f"{'-' if way == 'desc' else ''}{field}")])

        def ours(entry: Mapping[str, Any]) -> Product | None:
            made = _product(entry, self.name)
            return made if made is not None and made.collection == collection else None

        def moment(product: Product) -> datetime:
            found: datetime = getattr(product, attribute)
            return found

        def pages(wanted: Callable[[], int]) -> Iterator[Page]:
            return windowed(ask, ours, moment, wanted, window=WINDOW, source=self.name)

        return Search(pages, exact, ordered)

    def _hits(self, pairs: Sequence[tuple[str, str]]) -> Portion[Mapping[str, Any]]:
        url = f"{self._services}/search?{urlencode(pairs, quote_via=quote)}"
        try:
            answer = self._remote.get_json(url, authorised=False)
        except UnknownProduct as error:  # of the address, not of a product
            raise SourceUnavailable(error.message, source=self.name, status=404) from None
        return entries(answer, self.name)

    def check(self) -> int | None:
        """Number of products held; raises SourceUnavailable."""
        return self._hits([("size", "1"), ("from", "0")]).total

    # -- single products ---------------------------------------------------------------------------------------------
    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier; those not held are left out."""
        return {name: made for name, (_, made) in self._found(product_ids).items()}

    def _found(self, product_ids: Sequence[str]) -> dict[str, tuple[str, Product]]:
        """Key and product of each.

        Several are asked for at once, and those that did not come one by one, until it has been seen that the service
        takes several: whether it does is not documented.
        """
        # Only what is a name by the grammar is asked for: there is no comma and no colon in those.
        names = [name for name in dict.fromkeys(product_ids) if (known := named(name)) is not None and known.id == name]
        found: dict[str, tuple[str, Product]] = {}
        for first in range(0, len(names), NAMES):
            batch = names[first : first + NAMES]
            came = self._named(batch)
            self._lists = self._lists or len(came) > 1
            found |= came
            if len(batch) > 1 and not self._lists:
                for name in batch:
                    if name not in found:
                        found |= self._named([name])
        return found

    def _named(self, names: Sequence[str]) -> dict[str, tuple[str, Product]]:
        pairs = [("f", f"identification.externalId:eq:{','.join(names)}"), ("size", str(ROWS)), ("from", "0")]
        found: dict[str, tuple[str, Product]] = {}
        try:
            hits = self._hits(pairs)
        except SourceUnavailable as error:
            if len(names) == 1 or error.details.get("status") != 400:
                raise
            return {}
        for entry in hits.entries:
            made = _product(entry, self.name)
            if made is not None and made.id in names:
                before = found.get(made.id)
                if before is None or (made.online and not before[1].online):
                    found[made.id] = (_uid(entry), made)
        return found

    def _one(self, product_id: str) -> tuple[str, Product]:
        found = self._found((product_id,)).get(product_id)
        if found is None:
            raise UnknownProduct(f"{self.name} does not hold {product_id}.", products=[product_id])
        if not found[0]:
            raise SourceUnavailable(f"{self.name} tells no key of {product_id}.", source=self.name)
        return found

    def warm_up(self, product_id: str) -> None:
        """Nothing happens for what is online; for what is not, SourceUnavailable: how to ask for it was not published."""
        _, made = self._one(product_id)
        if not made.online:
            raise SourceUnavailable(
                f"{self.name} has {product_id} only in an archive elsewhere, and cannot be asked to bring it.",
                hint="Order it from another source.",
                source=self.name,
            )

    def open(self, product_id: str) -> Content:
        """The zip, or netCDF file; see `Source`. Neither its bytes nor a checksum are known before."""
        uid, made = self._one(product_id)
        return self._remote.content(products.parse(made.id).archive_name, f"{self._services}/download/{uid}")

    def quicklook(self, product_id: str) -> bytes:
        """JPEG or PNG, open to all. Raises NoQuicklook (all of Sentinel-5P), UnknownProduct."""
        uid, made = self._one(product_id)
        if made.collection != "S5P":
            try:
                return self._remote.get_bytes(f"{self._services}/quicklook/{uid}", authorised=False)
            except UnknownProduct:
                pass
        raise NoQuicklook(f"{self.name} has no quicklook of {product_id}.", products=[product_id])


# --- what it can be asked --------------------------------------------------------------------------------------------
class _Filters:
    """One filter a clause, all of which hold: there is no OR, and little that may be negated."""

    def __init__(self, collection: str, *, boxes: bool = False) -> None:
        self._collection, self._boxes = collection, boxes

    def every(self, parts: Sequence[Filters]) -> Filters:
        """All of them."""
        return tuple(dict.fromkeys(pair for part in parts for pair in part))

    def some(self, parts: Sequence[Filters]) -> None:
        """Not to be said."""

    def negated(self, part: Filters) -> Filters | None:
        """Of product types alone, which all products have: what `ne` means for missing values is not documented."""
        prefix = "identification.type:eq:"
        if len(part) == 1 and part[0][1].startswith(prefix):
            return (("f", part[0][1].replace(":eq:", ":ne:", 1)),)
        return None

    def clause(self, clause: Clause) -> Asked[Filters] | None:
        """One clause; only fields that were used or seen in answers of the mission."""
        name = clause.keyword.name
        if self._collection not in clause.keyword.missions:
            return None
        if name in _DATES:
            return _bounded(_DATES[name][0], clause)
        if name in _NUMBERS:
            return None if self._collection == "S5P" else _bounded(_NUMBERS[name], clause)
        if name == "footprint":
            return self._shape(clause)
        missions, field, write = _WORDS.get(name, _UNSAYABLE)
        value = write(clause.text or "") if self._collection in missions else ""
        return Asked((("f", f"{field}:eq:{value}"),), exact=True) if value else None

    def _shape(self, clause: Clause) -> Asked[Filters] | None:
        if clause.shape is None:
            return None
        relation, area = clause.shape
        if self._boxes:
            area = shapely.box(*area.bounds)
        wkt = shapely.to_wkt(area, rounding_precision=-1, trim=True)
        return Asked((("gintersect", wkt),), exact=relation == "Intersects" and not self._boxes)


def _fitting(pattern: str, form: str = "{0}") -> Callable[[str], str]:
    """A value in capitals that fits a pattern, in another form; empty for any other."""
    known = re.compile(pattern, re.ASCII)

    def write(text: str) -> str:
        found = known.fullmatch(text.upper())
        return form.format(found[1]) if found else ""

    return write


def _identifier(text: str) -> str:
    known = named(text)
    return text if known is not None and known.id == text else ""


def _type(text: str) -> str:
    """Types are in capitals, but for one."""
    return "S2MSI2Ap" if text.upper() == "S2MSI2AP" else _fitting(r"(\w+)")(text)


def _timeliness(text: str) -> str:
    return next((full for full, short in _TIMELINESS.items() if text.upper() in {full.upper(), short}), "")


_EVERY, _ORBITS = frozenset(NAMED), frozenset({"S1", "S2", "S3"})
_WORDS: dict[str, tuple[frozenset[str], str, Callable[[str], str]]] = {
    "identifier": (_EVERY, "identification.externalId", _identifier),
    "id": (_EVERY, "identification.externalId", _identifier),
    "title": (_EVERY, "identification.externalId", _identifier),
    "producttype": (_EVERY, "identification.type", _type),
    "platformserialidentifier": (
        _ORBITS, "acquisition.missionCode", _fitting(r"(?:SENTINEL-|S)([123][A-Z])", "S{0}")),
    "orbitdirection": (_ORBITS, "orbit.direction", _fitting("(ASCENDING|DESCENDING)")),
    "sensoroperationalmode": (frozenset({"S1"}), "acquisition.sensorMode", _fitting("(IW|EW|WV)")),
    "tileid": (frozenset({"S2"}), "identification.tileId", _fitting("([0-9]{2}[A-Z]{3})")),
    "processingbaseline": (frozenset({"S2"}), "production.baseline", _fitting(r"([0-9]{2}\.[0-9]{2})")),
    "processinglevel": (frozenset({"S2"}), "production.levelCode", _fitting("(?:LEVEL-|L)([12][AC])", "Level-{0}")),
    "timeliness": (frozenset({"S3"}), "production.timeliness", _timeliness),
}  # fmt: skip
"""Keyword -> missions of which the values are known, field, and the value as the service writes it."""
_UNSAYABLE: tuple[frozenset[str], str, Callable[[str], str]] = (frozenset(), "", str)


def _bounded(field: str, clause: Clause) -> Asked[Filters] | None:
    bounds = clause.bounds
    if bounds is None:
        return None
    filters: list[tuple[str, str]] = []
    sides = (("gt", bounds.low, bounds.low_inclusive), ("lt", bounds.high, bounds.high_inclusive))
    for op, bound, inclusive in sides:
        if bound is not None:
            value = _ms(bound) if isinstance(bound, datetime) else bound
            filters.append(("f", f"{field}:{op}{'e' if inclusive else ''}:{value}"))
    # With both ends open it asks whether there is a value; that is not to be said.
    return Asked(tuple(filters), exact=True) if filters else None


def _ms(moment: datetime) -> int:
    """Milliseconds since 1970, without the rounding of floats."""
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000 + moment.microsecond // 1000


# --- what it answers -------------------------------------------------------------------------------------------------
def entries(answer: Any, source: str) -> Portion[Mapping[str, Any]]:
    """The hits of a page. Raises SourceUnavailable for what is none."""
    hits = answer.get("hits", [] if "totalnb" in answer else None) if isinstance(answer, dict) else None
    total = whole(answer.get("totalnb")) if isinstance(answer, dict) else None
    listed = hits if isinstance(hits, list) else [None]
    if total is None or not all(isinstance(hit, dict) and isinstance(hit.get("data"), dict) for hit in listed):
        raise SourceUnavailable(
            f"{source} answers a search with what is no such answer.",
            hint="Check its address; something between here and the service may answer in its place.",
            source=source,
        )
    return Portion(tuple(listed), total)


def _under(given: Any, *path: str) -> Any:
    for key in path:
        given = given.get(key) if isinstance(given, dict) else None
    return given


def _uid(hit: Mapping[str, Any]) -> str:
    """A key that may stand in a URL; empty for anything else."""
    uid = _under(hit, "data", "uid") or _under(hit, "md", "id")
    return uid if isinstance(uid, str) and _UID.fullmatch(uid) else ""


def _product(hit: Mapping[str, Any], source: str) -> Product | None:
    """A hit as a product; None for what is none of these missions, or was deleted."""
    data = hit["data"]
    identity = named(_under(data, "identification", "externalId"))
    if identity is None or _under(data, "visibility", "deleted") is True:
        return None
    megabytes = number(_under(data, "archive", "size"))
    cloud = number(_under(data, "contentDescription", "cloudCoverPercentage"))
    direction = _under(data, "orbit", "direction")
    direction = direction.upper() if isinstance(direction, str) else None
    unnamed = {
        "tile_id": _under(data, "identification", "tileId"),
        "sensor_mode": _under(data, "acquisition", "sensorMode"),
        "timeliness": _under(data, "production", "timeliness"),
        "processing_baseline": _under(data, "production", "baseline"),
    }
    added = {
        name: value for name, value in unnamed.items() if isinstance(value, str) and getattr(identity, name) is None
    }  # the name is what all sources agree on
    return product_of(
        identity,
        source,
        uuid=_uid(hit) or None,
        begin=_moment(_under(data, "acquisition", "beginViewingDate")),
        end=_moment(_under(data, "acquisition", "endViewingDate")),
        ingestion=_moment(_under(data, "state", "insertionDate")),
        footprint=_under(hit, "md", "geometry")
        or _under(data, "spatialCoverage", "geometry", "geographicBoundingPolygon"),
        size=int(megabytes * 1_000_000) if megabytes is not None and megabytes < 10**7 else None,
        size_estimated=True,
        online=_under(data, "state", "services", "download") == "internal",  # onLine and offLine are false throughout
        orbit_number=whole(_under(data, "orbit", "number")),
        relative_orbit_number=whole(_under(data, "orbit", "relativeNumber")),
        orbit_direction=direction if direction in {"ASCENDING", "DESCENDING"} else None,
        cloud_cover=cloud if cloud is not None and 0 <= cloud <= 100 else None,
        **added,
    )


def _moment(value: Any) -> datetime | None:
    return instant(value) if not isinstance(value, str) else None
