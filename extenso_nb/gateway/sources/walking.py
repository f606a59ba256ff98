"""Windows of a search at a remote catalogue: its pages are walked once, kept for a while, and cut as they are asked for.

A catalogue that cannot say all of a query, or not sort as asked, is walked to its end, and what came is filtered and
sorted here. Every product is held to the query in any case: what a catalogue takes a clause to mean is its own matter.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from extenso_nb.errors import InvalidRequest
from extenso_nb.gateway.sources import Hits
from extenso_nb.models import Product
from extenso_nb.query import Query, order

__all__ = ["Page", "Search", "Walks"]

FIRST = 100
"""Products of the first page at least: most searches are looked at by pages of that, or less."""
DEEPEST = 100_000
"""Products into a search that pages are followed."""
KEPT = 100_000
"""Products in the searches that are kept of one source: some 5 kB each."""
MOST = 20_000
"""Products of a search that are looked through here, when the catalogue cannot do it."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it came."""

    products: tuple[Product, ...]
    total: int | None = None
    """How many there are on all pages; None when the catalogue does not say."""
    last: bool = False
    """Whether it is known that no page follows."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search as a catalogue carries it out."""

    pages: Callable[[Callable[[], int]], Iterator[Page]]
    """`pages(wanted)`: the pages, one after another; `wanted()`, called before each, says how many products would do."""
    exact: bool
    """Whether the catalogue was asked for all that the query means."""
    ordered: bool
    """Whether the products come in the order asked for."""


@dataclass(slots=True)
class _Walk:
    """One search on its way through the pages."""

    search: Search
    now: datetime
    born: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    pages: Iterator[Page] | None = None
    products: dict[str, Product] = field(default_factory=dict)
    came: int = 0
    total: int | None = None
    over: bool = False
    goal: int = 0
    sorted: list[Product] | None = None
    broken: BaseException | None = None
    """What its pages raised: they have ended, and nothing more is to be had from them."""


class Walks:
    """The searches of one source. Threads share it.

    Parameters
    ----------
    name
        Of the source, for messages.
    largest
        Products of a page at most.
    seconds
        How long a search is gone on with; after that it is begun anew, and NOW is another moment.
    keep
        Searches that are kept at most.
    """

    def __init__(self, name: str, *, largest: int, seconds: float = 120.0, keep: int = 16, most: int = MOST) -> None:
        self.name, self.largest, self.most = name, largest, most
        self._seconds, self._keep = seconds, keep
        self._walks: OrderedDict[tuple[str, str, str], _Walk] = OrderedDict()
        self._lock = threading.Lock()

    def window(
        self,
        collection: str,
        query: Query,
        orderby: str,
        begin: Callable[[datetime], Search],
        *,
        start: int,
        rows: int,
        now: datetime,
    ) -> Hits:
        """One window of a search; `begin(now)` makes it when it is not under way.

        Raises InvalidRequest when more products than are looked through here may match, and whatever the pages raise.
        """
        key = (collection, str(query), orderby)
        with self._lock:
            self._forget(time.monotonic() - self._seconds)
            walk = self._walks.pop(key, None) or _Walk(begin(now), now, time.monotonic())
            self._walks[key] = walk
        try:
            with walk.lock:
                return self._cut(walk, query, orderby, start, rows)
        except BaseException:
            with self._lock:  # what broke off is not gone on with: its pages have ended
                if self._walks.get(key) is walk:
                    del self._walks[key]
            raise

    def _forget(self, before: float) -> None:
        """Drop what is old, and of the rest the oldest while there are too many searches, or products in them."""
        for key in [key for key, walk in self._walks.items() if walk.born <= before]:
            del self._walks[key]
        while len(self._walks) >= self._keep or sum(len(walk.products) for walk in self._walks.values()) > KEPT:
            self._walks.popitem(last=False)

    def _cut(self, walk: _Walk, query: Query, orderby: str, start: int, rows: int) -> Hits:
        if walk.broken is not None:
            raise copy.copy(walk.broken)  # whoever waited for it must not take what had come for all there is
        whole = not (walk.search.exact and walk.search.ordered)
        while not walk.over and (whole or len(walk.products) < start + rows):
            if whole and max(walk.came, walk.total or 0) > self.most:
                raise self._too_many(walk)
            if not whole and walk.total is not None and start >= walk.total:
                break  # beyond the end: nothing is there to walk to
            if walk.came and max(start + rows, walk.came) > DEEPEST:
                raise InvalidRequest(
                    f"start={start:,} is deeper than pages of {self.name} are followed ({DEEPEST:,} products).",
                    hint="Narrow the query, by dates say, and search each part.",
                )
            walk.goal = self.largest if whole else self._wanted(start + rows - len(walk.products))
            self._step(walk, query)
        if whole and walk.sorted is None:
            walk.sorted = order(walk.products.values(), orderby)
        found = walk.sorted if walk.sorted is not None else list(walk.products.values())
        total, open_end = self._count(walk, start + rows)
        return Hits(total, tuple(found[start : start + rows]), notes=open_end)

    def _wanted(self, missing: int) -> int:
        """Products of the next page. Who asks for one wants to know how many there are."""
        return 1 if missing == 1 else min(max(missing, FIRST), self.largest)

    def _step(self, walk: _Walk, query: Query) -> None:
        if walk.pages is None:
            walk.pages = walk.search.pages(lambda: walk.goal)
        try:
            page = next(walk.pages, None)
        except BaseException as error:
            walk.broken = error
            raise
        if page is None:
            walk.over = True
            return
        walk.over = page.last
        walk.total = page.total if page.total is not None else walk.total
        walk.came += len(page.products)
        for product in page.products:
            known = walk.products.get(product.id)
            # The same product twice: a catalogue took it in again, or its pages moved under the walk.
            if (known is None or (product.online and not known.online)) and query.matches(product, now=walk.now):
                walk.products[product.id] = product
        walk.over = page.last

    def _count(self, walk: _Walk, seen: int) -> tuple[int, tuple[str, ...]]:
        """How many match; where only the catalogue could say and does not, one more than were seen, and a note."""
        if walk.over:
            return len(walk.products), ()
        if walk.total is not None:
            return max(walk.total - (walk.came - len(walk.products)), len(walk.products)), ()
        at_least = max(len(walk.products), seen + 1)
        return at_least, (f"{self.name} does not say how many there are: at least {at_least:,}.",)

    def _too_many(self, walk: _Walk) -> InvalidRequest:
        many = f"{walk.total:,}" if walk.total else f"more than {self.most:,}"
        return InvalidRequest(
            f"{self.name} cannot be asked for all of this query, or not in this order: {many} products would have to be"
            f" looked through, and at most {self.most:,} are.",
            hint="Narrow it by dates, area or product type, or drop the order.",
        )
