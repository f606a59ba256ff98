"""The tables: quota is a sum over rows, numbers never come back, one account never sees another's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from extenso_nb.errors import IdempotencyConflict, OrderFinished, QuotaExceeded, UnknownDelivery, UnknownOrder
from extenso_nb.gateway.store import NewDelivery, Store, database_url, order_status, sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "gateway.db")
    return database_url(request.getfixturevalue("postgres"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = Store(url)
    yield made
    made.close()


@pytest.fixture
def owner(store: Store) -> str:
    return store.add_account("owner", key="k", quota=1000)


def sums(store: Store, account: str) -> tuple[int, int, int]:
    storage = store.account(account).storage
    assert storage.quota == storage.used + storage.reserved + storage.free
    return storage.used, storage.reserved, storage.free


def test_quota_follows_what_happens(store: Store, owner: str) -> None:
    order, fresh = store.add_order(owner, [NewDelivery("A", 300), NewDelivery("B", 200)])
    assert fresh
    assert sums(store, owner) == (0, 500, 500)
    assert store.advance("1-1", "transferring", event="begun")
    assert store.advance("1-1", "delivered", event="done", size=310, key="x/orders/1/A/A.zip")
    assert sums(store, owner) == (310, 200, 490)
    store.cancel_order(owner, order.id)
    assert sums(store, owner) == (310, 0, 690)
    assert store.order(owner, order.id).status == "partial"
    store.delete_order(owner, order.id)
    assert sums(store, owner) == (0, 0, 1000)


def test_an_order_that_does_not_fit_changes_nothing(store: Store, owner: str) -> None:
    store.add_order(owner, [NewDelivery("A", 600)])
    with pytest.raises(QuotaExceeded) as caught:
        store.add_order(owner, [NewDelivery("B", 401)])
    assert caught.value.details == {"needed": 401, "free": 400, "quota": 1000}
    assert sums(store, owner) == (0, 600, 400)
    store.add_order(owner, [NewDelivery("B", 400)])
    assert sums(store, owner) == (0, 1000, 0)


def test_orders_at_once_never_share_the_same_free_bytes(store: Store, owner: str) -> None:
    def place(number: int) -> bool:
        try:
            store.add_order(owner, [NewDelivery(f"P{number}", 300)])
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(place, range(24)))
    assert sum(accepted) == 3
    assert sums(store, owner) == (0, 900, 100)


def test_the_same_key_at_once_places_one_order(store: Store, owner: str) -> None:
    def place(_: int) -> tuple[int, bool]:
        order, fresh = store.add_order(owner, [NewDelivery("A", 10)], idempotency_key="same", body_hash="h")
        return order.id, fresh

    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(place, range(16)))
    assert {number for number, _ in placed} == {1}
    assert sum(fresh for _, fresh in placed) == 1
    assert store.orders(owner, 0, 10)[0] == 1


def test_the_same_key_with_another_body_is_refused(store: Store, owner: str) -> None:
    store.add_order(owner, [NewDelivery("A", 10)], idempotency_key="same", body_hash="one")
    with pytest.raises(IdempotencyConflict):
        store.add_order(owner, [NewDelivery("B", 10)], idempotency_key="same", body_hash="two")
    store.delete_order(owner, 1)
    with pytest.raises(IdempotencyConflict):
        store.add_order(owner, [NewDelivery("A", 10)], idempotency_key="same", body_hash="one")


def test_a_number_never_comes_back(store: Store, owner: str) -> None:
    first, _ = store.add_order(owner, [NewDelivery("A", 10)])
    store.delete_order(owner, first.id)
    second, _ = store.add_order(owner, [NewDelivery("A", 10)])
    assert second.id > first.id


def test_what_has_ended_does_not_move(store: Store, owner: str) -> None:
    order, _ = store.add_order(owner, [NewDelivery("A", 10)])
    _, cancelled = store.cancel_order(owner, order.id)
    assert cancelled == ["1-1"]
    assert not store.advance("1-1", "delivered", event="too late", key="k")
    assert not store.progress("1-1", 5)
    delivery = store.delivery(owner, 1, "1-1")
    assert (delivery.status, delivery.key, delivery.transferred) == ("cancelled", None, 0)
    assert [entry.event for entry in delivery.trail] == ["order accepted", "cancelled"]
    with pytest.raises(OrderFinished):
        store.cancel_order(owner, order.id)


def test_one_account_never_sees_another(store: Store, owner: str) -> None:
    other = store.add_account("other", key="other key")
    order, _ = store.add_order(owner, [NewDelivery("A", 10)])
    for look in (
        lambda: store.order(other, order.id),
        lambda: store.delivery(other, order.id, "1-1"),
        lambda: store.deliveries(other, order_id=order.id),
        lambda: store.cancel_order(other, order.id),
        lambda: store.delete_order(other, order.id),
    ):
        with pytest.raises(UnknownOrder):
            look()
    assert store.orders(other, 0, 10) == (0, [])
    assert store.deliveries(other) == (0, [])
    assert sums(store, other)[1] == 0
    with pytest.raises(UnknownDelivery):
        store.delivery(owner, order.id, "1-2")


def test_keys_are_kept_as_hashes_only(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "gateway.db"))
    store.add_account("a", key="a very secret key")
    assert store.account_of_key("a very secret key")
    assert store.account_of_key("another") is None
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"a very secret key" not in kept


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({"queued": 2}, "queued"),
        ({"queued": 1, "delivered": 1}, "running"),
        ({"warming": 1}, "running"),
        ({"verifying": 1, "failed": 3}, "running"),
        ({"delivered": 4}, "delivered"),
        ({"delivered": 1, "failed": 1}, "partial"),
        ({"delivered": 1, "cancelled": 1}, "partial"),
        ({"failed": 1, "cancelled": 1}, "failed"),
        ({"cancelled": 2}, "cancelled"),
    ],
)
def test_order_status(counts: dict[str, int], status: str) -> None:
    assert order_status(counts) == status
