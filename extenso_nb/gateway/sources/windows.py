"""Pages of a catalogue that shows no more than so many products of a search: beyond, it is asked again from there on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from extenso_nb.errors import SourceUnavailable
from extenso_nb.gateway.sources.walking import Page
from extenso_nb.models import Product

__all__ = ["Portion", "windowed"]

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Portion(Generic[E]):
    """What one request gave."""

    entries: tuple[E, ...]
    """All that came, products or not."""
    total: int | None
    """How many there are of this search; None when there are more than the window."""


def windowed(
    ask: Callable[[int, int, datetime | None], Portion[E]],
    product: Callable[[E], Product | None],
    moment: Callable[[Product], datetime],
    wanted: Callable[[], int],
    *,
    window: int,
    source: str,
) -> Iterator[Page]:
    """The pages of a search that is sorted by a moment.

    Parameters
    ----------
    ask
        `ask(start, rows, beyond)`: products from a place on, of those from the moment `beyond` on in the order of the
        search, or of all when that is None.
    product
        An entry as a product; None for one to be left out.
    moment
        By which the search is sorted.
    wanted
        How many products would do; see `Search.pages`.
    window
        Places that may be asked for: start plus rows at most.

    Raises SourceUnavailable where so many have the same moment that there is no way on, and where products are counted
    that are not shown: pages must not end early without a word.
    """
    start, beyond, last, first_total = 0, None, None, None
    while True:
        portion = ask(start, min(wanted(), window - start), beyond)
        more = start < window if portion.total is None else start < portion.total
        if not portion.entries and more:
            raise SourceUnavailable(
                f"{source} says that there are more than {start:,} products, and shows none of the others.",
                hint="Ask again later, or name another source.",
                source=source,
            )
        found = [item for item in map(product, portion.entries) if item is not None]
        first_total = portion.total if beyond is None else first_total
        yield Page(tuple(found), first_total)
        start += len(portion.entries)
        last = moment(found[-1]) if found else last
        if portion.total is not None and start >= portion.total:
            return
        if start >= window:
            if last is None or last == beyond:
                raise SourceUnavailable(
                    f"{source} shows no more than {window:,} products of one moment.",
                    hint="Narrow the search by area or product type.",
                    source=source,
                )
            start, beyond = 0, last
