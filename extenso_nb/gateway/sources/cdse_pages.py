"""Pages of the OData catalogue of the Copernicus Data Space Ecosystem, beyond the 10,000 entries that it gives of a search.

What it skips is limited, so a long walk is cut into slices: the next begins with the moment at which the one before
ended, and leaves out what came of that moment already. Products of the same moment come in no order of their own; they
are held back until all of them have come, and put in order here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from extenso_nb.errors import SourceUnavailable
from extenso_nb.gateway.sources.cdse_entries import best, read
from extenso_nb.gateway.sources.record import instant
from extenso_nb.gateway.sources.walking import Page
from extenso_nb.models import Product
from extenso_nb.query import order

__all__ = ["SKIP_MOST", "TOP_MOST", "Answer", "Pages"]

TOP_MOST = 1000
SKIP_MOST = 10_000

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the catalogue."""

    entries: Sequence[Raw]
    total: int | None
    more: bool
    """Whether it says that others follow."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one search.

    Parameters
    ----------
    ask
        ``ask(since, skip, top, counted)``: entries from a moment on, in order of `field`.
    field
        The date by which the catalogue sorts: `ContentDate/Start`.
    orderby
        The order asked for; what is equal in `field` is put into it.
    """

    source: str
    ask: Callable[[datetime | None, int, int, bool], Answer]
    field: str
    orderby: str

    def __call__(self, wanted: Callable[[], int]) -> Iterator[Page]:
        """Page after page; see `Search.pages`. Raises SourceUnavailable."""
        slice_, total, left_out, over, barren = _Slice(), None, 0, False, False
        held: list[tuple[datetime, Raw]] = []
        while not over:
            top = TOP_MOST if barren else max(1, min(wanted(), TOP_MOST))
            answer = self.ask(slice_.since, slice_.skip, top, slice_.total is None)
            slice_.total = answer.total if slice_.total is None else slice_.total
            total = answer.total if total is None else total
            fresh = [(moment, raw) for raw in answer.entries if slice_.is_new(moment := self._moment(raw), raw)]
            slice_.skip += len(answer.entries)
            if not answer.entries and (answer.more or slice_.skip < (slice_.total or 0)):
                raise SourceUnavailable(
                    f"{self.source} gives an empty page after {slice_.skip:,} of {slice_.total or 0:,} entries.",
                    hint="Search again: entries may have been taken out meanwhile.",
                    source=self.source,
                )
            over = not answer.entries or (not answer.more and slice_.ends(short=len(answer.entries) < top))
            held += fresh
            ready = len(held) if over else next((n for n, item in enumerate(held) if item[0] == slice_.last), len(held))
            products = self._products(held[:ready])
            left_out += ready - len(products)
            barren = not products  # auxiliary data may go on for long
            held = held[ready:]
            yield Page(tuple(products), None if total is None else max(total - left_out, 0))
            if not over and slice_.skip > SKIP_MOST:
                slice_ = slice_.following(self.source)

    def _products(self, dated: Sequence[tuple[datetime, Raw]]) -> list[Product]:
        found: list[Product] = []
        for _, same in groupby(dated, key=itemgetter(0)):
            known = best(entry for _, raw in same if (entry := read(raw, self.source)) is not None)
            found += order([entry.product(self.source) for entry in known.values()], self.orderby)
        return found

    def _moment(self, raw: Raw) -> datetime:
        found: Any = raw
        for part in self.field.split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        moment = instant(found)
        if moment is None:
            raise SourceUnavailable(f"{self.source} gives an entry without {self.field}.", source=self.source)
        return moment


class _Slice:
    """Where a walk is."""

    def __init__(self, since: datetime | None = None, came: frozenset[str] = frozenset()) -> None:
        self.since = since
        """The moment with which it begins."""
        self.skip = 0
        self.total: int | None = None
        """Entries in it and all that follow; None where that is not told."""
        self.last: datetime | None = None
        """The moment that was reached."""
        self._came = came
        """Of that moment, in the slices before: identifiers."""
        self._last_ids: set[str] = set()
        self._seen: set[datetime] = set()
        self._turned = False

    def is_new(self, moment: datetime, raw: Raw) -> bool:
        """Note an entry; whether it did not come in the slice before."""
        if moment != self.last:
            self._turned = self._turned or moment in self._seen
            self._seen.add(moment)
            self.last, self._last_ids = moment, set()
        self._last_ids.add(raw["Id"])
        return moment != self.since or raw["Id"] not in self._came

    def ends(self, *, short: bool) -> bool:
        """Whether nothing follows; a page that is `short` says so only where nothing says how many there are."""
        return short if self.total is None else self.skip >= self.total

    def following(self, source: str) -> _Slice:
        """The next slice."""
        if self.last is None or self.last == self.since or self._turned:
            raise SourceUnavailable(
                f"{source} gives no more than {SKIP_MOST + TOP_MOST:,} products of a search, and what it gave does not"
                " say where to go on.",
                hint="Narrow the search by dates, area or product type.",
                source=source,
            )
        return _Slice(self.last, frozenset(self._last_ids))
