"""Windows over the pages of a far catalogue: right, in order, each page asked for once, and never a silent end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import forty
import pytest

from extenso_nb import query
from extenso_nb.errors import InvalidRequest, SourceUnavailable
from extenso_nb.gateway.sources import Hits
from extenso_nb.gateway.sources.walking import Page, Search, Walks
from extenso_nb.models import Product

S2 = tuple(product for product in forty.population() if product.collection == "S2")
ORDER = "beginposition asc"
SORTED = tuple(query.order(S2, ORDER))


class Catalogue:
    """Gives products page by page, and notes what it was asked for."""

    def __init__(self, products: tuple[Product, ...] = SORTED, *, counts: bool = True, largest: int = 20) -> None:
        self.products, self.counts, self.largest = products, counts, largest
        self.asked: list[int] = []
        self.begun = 0
        self.fails_at: int | None = None
        self.walks = Walks("far", largest=largest)

    def pages(self, wanted: Callable[[], int]) -> Iterator[Page]:
        self.begun += 1
        place = 0
        while place < len(self.products):
            size = min(wanted(), self.largest)
            self.asked.append(size)
            if self.fails_at is not None and place >= self.fails_at:
                raise SourceUnavailable("far does not answer.")
            yield Page(self.products[place : place + size], len(self.products) if self.counts else None)
            place += size

    def window(
        self, start: int, rows: int, q: str = "*", orderby: str = ORDER, *, exact: bool = True, ordered: bool = True
    ) -> Hits:
        def begin(_now: datetime) -> Search:
            return Search(self.pages, exact=exact, ordered=ordered)

        asked = query.parse(q)
        return self.walks.window("S2", asked, orderby, begin, start=start, rows=rows, now=datetime.now(UTC))


def ids(hits: Hits) -> list[str]:
    return [product.id for product in hits.products]


def test_pages_are_asked_for_once_and_only_as_far_as_needed() -> None:
    far = Catalogue()
    assert ids(far.window(0, 10)) == [product.id for product in SORTED[:10]]
    assert far.asked == [20]
    assert ids(far.window(10, 10)) == [product.id for product in SORTED[10:20]]
    assert far.asked == [20], "it was there already"
    hits = far.window(40, 30)
    assert (hits.total, ids(hits)) == (60, [product.id for product in SORTED[40:]])
    assert far.begun == 1


@pytest.mark.parametrize("rows", [1, 7, 20, 60, 100])
def test_the_count_is_right_whatever_the_window(rows: int) -> None:
    far = Catalogue()
    assert [far.window(start, rows).total for start in range(0, 60, rows)] == [60] * len(range(0, 60, rows))


def test_what_a_catalogue_gives_too_much_is_left_out_and_not_counted() -> None:
    far = Catalogue()
    q = "producttype:S2MSI2A"
    right = forty.right("S2", q, ORDER)
    hits = far.window(0, 10, q, exact=False)
    assert (hits.total, ids(hits)) == (len(right), right[:10])
    # One that says it was asked for all of it, and gives more all the same: held to the query, too.
    seen = Catalogue().window(0, 100, q)
    assert (seen.total, ids(seen)) == (len(right), right)


def test_an_order_that_a_catalogue_has_not_is_made_here() -> None:
    far = Catalogue()
    hits = far.window(5, 10, orderby="cloudcoverpercentage desc", ordered=False)
    assert ids(hits) == forty.right("S2", "*", "cloudcoverpercentage desc")[5:15]


def test_a_product_that_comes_twice_is_one_and_the_one_that_is_online() -> None:
    cold = SORTED[3].model_copy(update={"online": False})
    warm = cold.model_copy(update={"online": True})
    far = Catalogue((*SORTED[:3], cold, warm, *SORTED[4:]))
    hits = far.window(0, 100)
    assert (hits.total, len(hits.products)) == (60, 60)
    assert hits.products[3].online


def test_where_nobody_counts_it_is_said_that_there_are_at_least_so_many() -> None:
    far = Catalogue(counts=False)
    hits = far.window(0, 10)
    assert hits.total > 10
    assert hits.notes == ("far does not say how many there are: at least 20.",)
    last = far.window(50, 20)
    assert (last.total, last.notes) == (60, ())
    names: list[str] = []
    while len(names) < (hits := far.window(len(names), 7)).total:
        names += ids(hits)
    assert names == [product.id for product in SORTED]


def test_too_much_to_look_through_is_an_error_and_not_a_part() -> None:
    far = Catalogue()
    far.walks.most = 50
    for counts in (True, False):
        far.counts = counts
        with pytest.raises(InvalidRequest, match="looked through") as caught:
            far.window(0, 10, "producttype:S2MSI2A", exact=False)
        assert "Narrow" in caught.value.hint
    far.counts = True
    assert far.window(0, 10).total == 60, "what it can be asked for has no such limit"


def test_a_walk_that_broke_off_is_begun_anew() -> None:
    far = Catalogue()
    far.fails_at = 40
    assert len(far.window(0, 30).products) == 30
    for _ in range(2):
        with pytest.raises(SourceUnavailable):
            far.window(30, 30)
    far.fails_at = None
    assert len(far.window(30, 30).products) == 30
    assert far.begun == 3


def test_a_walk_is_forgotten_after_a_while() -> None:
    far = Catalogue()
    far.walks = Walks("far", largest=20, seconds=0)
    far.window(0, 10)
    far.window(10, 10)
    assert far.begun == 2


def test_only_so_many_walks_are_kept() -> None:
    far = Catalogue()
    far.walks = Walks("far", largest=20, keep=2)
    for q in ("*", "tileid:31TCJ", "tileid:30TCJ", "*"):
        far.window(0, 5, q)
    assert far.begun == 4


def test_threads_that_ask_for_one_search_walk_it_once() -> None:
    far = Catalogue()
    gate = threading.Barrier(8)

    def ask(start: int) -> list[str]:
        gate.wait()
        return ids(far.window(start, 7))

    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(ask, range(0, 56, 7)))
    assert [name for part in parts for name in part] == [product.id for product in SORTED[:56]]
    assert far.begun == 1
    assert far.asked == [20, 20, 20]


def test_a_window_beyond_the_end_walks_nowhere_and_one_too_deep_is_refused() -> None:
    far = Catalogue()
    hits = far.window(10**9, 10)
    assert (hits.products, hits.total) == ((), 60)
    assert far.asked == [20]
    far.counts = False
    far.walks = Walks("far", largest=20)
    with pytest.raises(InvalidRequest, match="deeper"):
        far.window(10**9, 10)
    assert far.asked == [20, 20]


def test_who_only_counts_gets_one_product() -> None:
    far = Catalogue()
    assert far.window(0, 1).total == 60
    assert far.asked == [1]
    assert ids(far.window(0, 10)) == [product.id for product in SORTED[:10]]
    assert far.asked == [1, 20]


def test_whoever_waits_for_a_walk_that_breaks_off_hears_of_it() -> None:
    far = Catalogue()
    entered, go = threading.Event(), threading.Event()

    def pages(_wanted: Callable[[], int]) -> Iterator[Page]:
        yield Page(SORTED[:1], total=50)
        entered.set()
        assert go.wait(10)
        raise SourceUnavailable("far does not answer.")

    def ask() -> Hits:
        search = Search(pages, exact=True, ordered=True)
        return far.walks.window(
            "S2", query.parse("*"), ORDER, lambda _now: search, start=0, rows=10, now=datetime.now(UTC)
        )

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(ask)
        assert entered.wait(10)
        two = pool.submit(ask)
        while not far.walks._walks or two.running() is False:
            pass
        go.set()
        for asked in (one, two):
            with pytest.raises(SourceUnavailable):
                asked.result(10)
