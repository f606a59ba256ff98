"""Many sources as one: which is asked, what is said when one fails, which delivers, and how one that fails is let rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scripted import Gateway, ScriptedSource, down, product_id, served, whole

from extenso_nb import query
from extenso_nb.client import Client
from extenso_nb.errors import CredentialsMissing, IncompleteTransfer, InvalidRequest, SourceUnavailable
from extenso_nb.gateway import catalogue as catalogue_module
from extenso_nb.gateway.catalogue import Catalogue
from extenso_nb.gateway.sources import Content, Hits, Profile, cannot, resting
from extenso_nb.query import Query
from extenso_nb.retry import Retry

QUICK = Retry(attempts=4, first=0.05, factor=1, longest=0.05, jitter=0)


class Archive(ScriptedSource):
    """One view of the archive. It counts what it is asked."""

    def __init__(self, name: str, *, lacks: str | None = None, **profile: Any) -> None:
        super().__init__(name)
        self.profile = Profile(**({"archive": True} | profile))
        self.missing = lacks
        self.asked: list[str] = []
        self.cannot = ""

    def lacks(self) -> str | None:
        return self.missing

    @property
    def searches(self) -> int:
        return self.asked.count("search")

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        self.asked.append("search")
        if self.cannot:
            raise cannot(self.name, self.cannot)
        return super().search(collection, query, start=start, rows=rows, orderby=orderby)

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Any]:
        self.asked.append(f"find {len(product_ids)}")
        return super().find(product_ids)

    def open(self, product_id: str) -> Content:
        self.asked.append("open")
        return super().open(product_id)


def found(catalogue: Catalogue, *, start: int = 0, rows: int = 10, collection: str = "S2") -> Hits:
    return catalogue.search(collection, query.parse("*"), start=start, rows=rows, orderby="beginposition asc")


def archives(*names: str, products: int = 3) -> list[Archive]:
    made = [Archive(name) for name in names]
    for source in made:
        for number in range(products):
            source.add(number)
    return made


# --- search ----------------------------------------------------------------------------------------------------------
def test_one_catalogue_of_the_archive_answers_a_search_and_the_others_are_not_asked() -> None:
    first, second = archives("first", "second")
    hits = found(Catalogue([first, second]))
    assert (hits.total, hits.notes) == (3, ())
    assert first.searches == 1
    assert second.asked == []


def test_the_next_catalogue_answers_when_one_fails_and_the_answer_says_so() -> None:
    first, second = archives("first", "second")
    first.broken = True
    hits = found(Catalogue([first, second]))
    assert hits.total == 3
    assert hits.notes == ("first does not answer.", "second was asked in place of first.")


def test_a_catalogue_that_cannot_be_asked_for_it_is_passed_over_and_not_let_rest() -> None:
    first, second = archives("first", "second")
    first.cannot = "orbitnumber"
    catalogue, rows = Catalogue([first, second]), 5
    for _ in range(5):
        notes = found(catalogue, rows=rows).notes
        rows += 1
        assert notes[0] in {
            "first cannot be asked for orbitnumber.",
            "second answers in place of first, as it did when this search was begun.",
        }
    assert catalogue.health("1").sources[0].rests_until is None


def test_no_catalogue_answering_is_an_error_and_not_an_empty_result() -> None:
    first, second = archives("first", "second")
    first.broken = second.broken = True
    with pytest.raises(SourceUnavailable, match=r"first does not answer\. second does not answer\."):
        found(Catalogue([first, second]))


def test_what_a_folder_holds_is_found_beside_the_archive_each_product_once() -> None:
    (archive,) = archives("archive")
    own = ScriptedSource("own")
    for number in range(2, 5):
        own.add(number)
    hits = found(Catalogue([archive, own]))
    assert [product.id for product in hits.products] == [product_id(number) for number in range(5)]
    assert hits.total == 5
    assert hits.products[2].sources == ("own", "archive")


def test_a_folder_that_fails_is_an_error_although_the_archive_answers() -> None:
    (archive,) = archives("archive")
    own = ScriptedSource("own")
    own.broken = True
    with pytest.raises(SourceUnavailable, match="own"):
        found(Catalogue([archive, own]))


def test_pages_of_one_search_come_from_one_catalogue() -> None:
    first, second = archives("first", "second", products=6)
    second.add(9)  # it does not hold just the same
    catalogue = Catalogue([first, second])
    assert len(found(catalogue, rows=2).products) == 2
    first.broken = True
    for _ in range(2):  # asking again does not mix them either
        with pytest.raises(SourceUnavailable, match="first pages of this search") as caught:
            found(catalogue, start=2, rows=2)
    assert "again" in caught.value.hint
    assert second.asked == []
    again = found(catalogue, rows=4)
    assert "second was asked" in again.notes[-1]
    first.broken = False
    rest = found(catalogue, start=4, rows=4)
    assert (rest.total, len(rest.products)) == (7, 3)


def test_a_source_is_not_searched_for_what_it_has_not() -> None:
    radar = Archive("radar", searches=frozenset({"S1"}), delivers=frozenset({"S1"}))
    optical = Archive("optical", searches=frozenset({"S2"}), delivers=frozenset({"S2"}))
    name = optical.add(1)
    catalogue = Catalogue([radar, optical])
    assert found(catalogue).total == 1
    assert catalogue.find([name])[name].sources == ("optical",)
    assert catalogue.holders(name)[0].keys() == {"optical"}
    assert radar.asked == []
    with pytest.raises(SourceUnavailable, match="S5P"):
        found(catalogue, collection="S5P")


# --- by identifier ---------------------------------------------------------------------------------------------------
def test_only_what_is_missing_is_looked_for_at_the_next_archive() -> None:
    first, second = archives("first", "second", products=0)
    one = first.add(1)
    two = second.add(2)
    catalogue = Catalogue([first, second])
    assert catalogue.find([one, two]).keys() == {one, two}
    assert (first.asked, second.asked) == (["find 2"], ["find 1"])


def test_the_cheapest_that_has_it_online_delivers_and_then_the_next(tmp_path: Path) -> None:
    dear, free, cold = Archive("dear", cost=3), Archive("free", cost=1), Archive("cold", cost=0)
    name = dear.add(1)
    free.add(1, down, down, down, down)
    cold.add(1)
    cold.cold.add(name)
    gateway = Gateway(tmp_path, dear, free, cold, schedule=QUICK)
    try:
        order, _ = gateway.service.create_order(gateway.account, [name])
        assert gateway.wait(order.id) == "delivered"
        (delivery,) = gateway.store.deliveries(gateway.account, order_id=order.id)[1]
        assert delivery.source == "dear"
        said = [entry.event for entry in delivery.trail if entry.source == "free"]
        assert any("503" in event for event in said), said
        assert cold.opened == []
    finally:
        gateway.stop()


def test_a_size_that_a_catalogue_gives_is_taken_before_one_that_is_estimated() -> None:
    guess, known = ScriptedSource("guess"), ScriptedSource("known")
    name = known.add(1)
    guess.add(1)
    plain = guess.find
    guess.find = lambda names: {  # type: ignore[method-assign]
        key: item.model_copy(update={"size": 7, "size_estimated": True, "footprint": None})
        for key, item in plain(names).items()
    }
    product = Catalogue([guess, known]).find([name])[name]
    assert (product.size, product.size_estimated) == (len(known.data[name]), False)


# --- credentials -----------------------------------------------------------------------------------------------------
LACKS = "cdse wants an account, and no credentials are set. Run `extenso login cdse` where the gateway runs."


def test_without_credentials_searching_works_and_ordering_says_which_command_gives_them(tmp_path: Path) -> None:
    source = Archive("cdse", lacks=LACKS)
    name = source.add(1)
    gateway = Gateway(tmp_path, source, schedule=QUICK)
    try:
        with served(gateway) as url, Client(url, api_key=gateway.key) as eo:
            assert eo.search("S2").ids == [name]
            (item,) = eo.estimate([name]).products
            assert "extenso login cdse" in str(item.error)
            with pytest.raises(CredentialsMissing, match="extenso login cdse"):
                eo.order([name])
            assert eo.orders() == []
            (state,) = eo.health().sources
            assert (state.status, state.lacks) == ("ok", LACKS)
            source.missing = None  # somebody has logged in; the gateway runs on
            order = eo.wait(eo.order([name]), progress=False)
            assert order.status == "delivered"
    finally:
        gateway.stop()


def test_a_source_without_credentials_is_passed_over_by_deliveries(tmp_path: Path) -> None:
    locked, free = Archive("locked", lacks=LACKS, cost=0), Archive("free", cost=1)
    name = locked.add(1)
    free.add(1)
    gateway = Gateway(tmp_path, locked, free, schedule=QUICK)
    try:
        assert gateway.service.estimate(gateway.account, [name]).products[0].source == "free"
        order, _ = gateway.service.create_order(gateway.account, [name])
        assert gateway.wait(order.id) == "delivered"
        assert locked.opened == []
    finally:
        gateway.stop()


def test_what_is_only_searched_cannot_be_ordered_and_says_so(tmp_path: Path) -> None:
    index = Archive("index", delivers=frozenset())
    name = index.add(1)
    gateway = Gateway(tmp_path, index, schedule=QUICK)
    try:
        with pytest.raises(CredentialsMissing, match="only searched"):
            gateway.service.create_order(gateway.account, [name])
    finally:
        gateway.stop()


# --- rest ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock by which sources rest."""
    gone = [0.0]
    monotonic = time.monotonic
    monkeypatch.setattr(catalogue_module, "STICKS_SECONDS", 0.0)
    monkeypatch.setattr(resting, "time", SimpleNamespace(monotonic=lambda: monotonic() + gone[0]))

    def forward(seconds: float) -> None:
        gone[0] += seconds

    return forward


def test_a_source_that_fails_is_let_rest_tried_once_and_let_rest_for_longer(clock: Callable[[float], None]) -> None:
    first, second = archives("first", "second")
    first.broken = True
    catalogue = Catalogue([first, second])
    for _ in range(10):
        assert found(catalogue).total == 3
    assert first.searches == 3, "it is not asked while it rests"
    assert "is let rest until" in found(catalogue).notes[0]
    (state, _) = catalogue.health("1").sources
    assert state.rests_until is not None
    assert "failed 3 times in a row" in state.status
    clock(31)
    for _ in range(10):
        found(catalogue)
    assert first.searches == 4, "one try, and it rests again"
    clock(31)
    found(catalogue)
    assert first.searches == 4, "the second rest is longer"
    clock(30)
    first.broken = False
    assert found(catalogue).notes == ()
    assert catalogue.health("1").sources[0].rests_until is None


def test_a_rest_ends_within_a_quarter_of_an_hour_however_long_a_source_is_down(clock: Callable[[float], None]) -> None:
    first, second = archives("first", "second")
    first.broken = True
    catalogue = Catalogue([first, second])
    for _ in range(96):  # a day
        found(catalogue)
        clock(900)
    first.broken = False
    clock(901)
    assert found(catalogue).notes == ()


def test_refusals_of_what_was_asked_are_no_reason_to_rest() -> None:
    (source,) = archives("first")
    catalogue = Catalogue([source])
    for status in (401, 403, 404, 429, 400):
        source.find = lambda _names, status=status: _raise(SourceUnavailable("no", status=status))  # type: ignore[method-assign,misc]
        with pytest.raises(SourceUnavailable, match=r"^no"):
            catalogue.find([product_id(1)])
    source.find = lambda _names: _raise(SourceUnavailable("no", status=503))  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match=r"^no"):
            catalogue.find([product_id(1)])
    with pytest.raises(SourceUnavailable, match="is let rest"):
        catalogue.find([product_id(1)])


def _raise(error: Exception) -> Any:
    raise error


def test_bytes_that_do_not_come_count_and_bytes_that_come_are_a_success() -> None:
    (source,) = archives("first")
    catalogue = Catalogue([source])
    name = product_id(1)
    source.script[name] = [down, down, whole, down, down, _breaks_off, down, down, down]
    heard = []
    for _ in range(10):
        try:
            heard.append(len(b"".join(catalogue.sources["first"].open(name).read(0))))
        except IncompleteTransfer:
            heard.append(-1)
        except SourceUnavailable as error:
            heard.append(-3 if error.details.get("rests") else -2)
    size = len(source.data[name])
    assert heard == [-2, -2, size, -2, -2, -1, -2, -2, -2, -3]


def _breaks_off(data: bytes, offset: int) -> Any:
    yield data[:10]
    raise IncompleteTransfer("The connection was closed.")


def test_a_delivery_waits_for_a_source_that_rests_and_then_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "FIRST_REST", 0.3)
    source = Archive("first")
    name = source.add(1)
    gateway = Gateway(tmp_path, source, schedule=Retry(attempts=40, first=0.05, factor=1, longest=0.05, jitter=0))
    try:
        source.script[name] = [down, down, down, down, down]
        order, _ = gateway.service.create_order(gateway.account, [name])
        assert gateway.wait(order.id) == "delivered"
        (delivery,) = gateway.store.deliveries(gateway.account, order_id=order.id)[1]
        assert any("is let rest" in entry.event for entry in delivery.trail)
    finally:
        gateway.stop()


def test_notes_go_with_the_answer_to_whoever_asked(tmp_path: Path) -> None:
    first, second = archives("first", "second")
    first.broken = True
    gateway = Gateway(tmp_path, first, second)
    try:
        with served(gateway) as url, Client(url, api_key=gateway.key) as eo:
            result = eo.search("S2")
        assert result.notes == ("first does not answer.", "second was asked in place of first.")
        assert "second was asked in place of first" in repr(result)
        assert "second was asked in place of first" in result._repr_html_()
        assert result[:1].notes == result.notes
    finally:
        gateway.stop()


# --- what a hostile reading proved ------------------------------------------------------------------------------------
def test_a_search_is_not_moved_to_another_catalogue_under_somebody_who_pages_through_it() -> None:
    first, second = archives("first", "second", products=8)
    first.broken = True
    catalogue = Catalogue([first, second])
    seen = [product.sources for product in found(catalogue, rows=4).products]
    first.broken = False
    found(catalogue, rows=4)  # somebody else begins the same search
    seen += [product.sources for product in found(catalogue, start=4, rows=4).products]
    assert set(seen) == {("second",)}


def test_dates_that_differ_between_a_folder_and_the_archive_lose_and_double_nothing() -> None:
    (archive,) = archives("archive", products=0)
    own = ScriptedSource("own")
    for number in (1, 2, 3, 4, 5):
        archive.add(number)
    for number in (5, 6, 7, 8, 9):
        own.add(number)
    plain = archive.search

    def earlier(collection: str, q: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """The archive took product 5 in before all others; the folder has it among its own."""
        hits = plain(collection, q, start=0, rows=100, orderby=orderby)
        moved = sorted(hits.products, key=lambda product: product.id != product_id(5))
        return Hits(hits.total, tuple(moved[start : start + rows]))

    archive.search = earlier  # type: ignore[method-assign]
    catalogue = Catalogue([own, archive])
    pages = [found(catalogue, start=start, rows=2) for start in range(0, 10, 2)]
    names = [product.id for page in pages for product in page.products]
    assert sorted(names) == sorted({product_id(number) for number in range(1, 10)})
    assert {page.total for page in pages} == {9}


def test_many_who_meet_one_failure_are_one_failure() -> None:
    breaker = resting._Breaker("far")
    calls = [breaker.enter() for _ in range(8)]
    for call in calls:
        breaker.failed(call, SourceUnavailable("503", status=503))
    assert 29 < breaker.left() <= 30


def test_looking_at_the_health_of_a_source_takes_no_turn_from_it(clock: Callable[[float], None]) -> None:
    (source,) = archives("first")
    guarded = resting.Resting(source)
    source.script[product_id(1)] = [down, down, down]
    for _ in range(3):
        with pytest.raises(SourceUnavailable):
            b"".join(guarded.open(product_id(1)).read(0))
    with pytest.raises(SourceUnavailable, match="is let rest"):
        guarded.check()
    clock(31)
    assert guarded.check() == 3
    assert b"".join(guarded.open(product_id(1)).read(0)) == source.data[product_id(1)]


def test_pictures_that_do_not_come_stop_no_search() -> None:
    (source,) = archives("first")
    source.quicklook = lambda _id: _raise(SourceUnavailable("503", status=503))  # type: ignore[method-assign]
    catalogue = Catalogue([source])
    for _ in range(5):
        with pytest.raises(SourceUnavailable):
            catalogue.quicklook(product_id(1))
    assert found(catalogue).total == 3


def test_an_answer_that_nobody_thought_of_is_a_failure_of_that_source() -> None:
    first, second = archives("first", "second")
    first.search = lambda *_args, **_more: _raise(KeyError("x"))  # type: ignore[method-assign]
    hits = found(Catalogue([first, second]))
    assert hits.total == 3
    assert "KeyError" in hits.notes[0]


def test_a_catalogue_that_would_have_to_be_looked_through_too_far_is_passed_over() -> None:
    first, second = archives("first", "second")
    first.search = lambda *_args, **_more: _raise(InvalidRequest("30,000 products would have to be looked through"))  # type: ignore[method-assign]
    assert found(Catalogue([first, second])).total == 3
    second.search = first.search  # type: ignore[method-assign]
    with pytest.raises(InvalidRequest, match="looked through"):
        found(Catalogue([first, second]))


def test_a_source_that_could_not_hold_it_says_nothing_of_a_product_that_is_unknown() -> None:
    radar = Archive("radar", searches=frozenset({"S1"}), delivers=frozenset({"S1"}))
    radar.broken = True
    optical = Archive("optical", searches=frozenset({"S2"}), delivers=frozenset({"S2"}))
    name = optical.add(1)
    catalogue = Catalogue([radar, optical])
    assert catalogue.find([name, product_id(2)]).keys() == {name}
    radar_id = "S1A_IW_GRDH_1SDV_20240601T054321_20240601T054346_054127_069518_ABCD"
    with pytest.raises(SourceUnavailable):
        catalogue.find([name, radar_id])


def test_a_source_without_credentials_does_not_overrule_how_long_another_asks_to_wait(tmp_path: Path) -> None:
    locked, busy = Archive("locked", lacks=LACKS), Archive("busy")
    name = busy.add(1)
    gateway = Gateway(tmp_path, locked, busy, schedule=QUICK)
    try:
        busy.script[name] = [lambda _data, _offset: _raise(SourceUnavailable("429", status=429, retry_after=1.5))]
        began = time.monotonic()
        order, _ = gateway.service.create_order(gateway.account, [name])
        assert gateway.wait(order.id) == "delivered"
        assert time.monotonic() - began > 1.5
    finally:
        gateway.stop()
