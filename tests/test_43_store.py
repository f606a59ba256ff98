"""The tables: quota is a sum over rows, numbers never come back, one account never sees another's."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from postgres import PASSWORD, Cluster, rows

from extenso_nb.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    IdempotencyConflict,
    InvalidRequest,
    OrderFinished,
    QuotaExceeded,
    UnknownDelivery,
    UnknownOrder,
)
from extenso_nb.gateway import database as database_module
from extenso_nb.gateway import tables
from extenso_nb.gateway.store import NewDelivery, Store, Turn, database_url, order_status, sqlite_url
from extenso_nb.models import Destination


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
    holder = store.begin_transfer("1-1", "folder")
    assert holder is not None
    _, cancelled = store.cancel_order(owner, order.id)
    assert cancelled == ["1-1"]
    assert not store.advance("1-1", "delivered", event="too late", key="k")
    assert not store.progress("1-1", holder, 5)
    assert not store.deliver("1-1", holder, size=10, source="folder", key="k")
    assert store.begin_transfer("1-1", "folder") is None
    delivery = store.delivery(owner, 1, "1-1")
    assert (delivery.status, delivery.key, delivery.transferred) == ("cancelled", None, 0)
    assert [entry.event for entry in delivery.trail] == ["order accepted", "transfer begins", "cancelled"]
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


def test_what_moves_while_it_is_counted_is_counted_once(store: Store, owner: str) -> None:
    """Delivered or reserved: between two looks a delivery that arrives was in neither, and the quota gave too much."""
    number, _ = store.add_order(owner, [NewDelivery(f"P{count}", 10) for count in range(60)])
    wrong: list[int] = []
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            free = store.account(owner).storage.free
            if free != 400:
                wrong.append(free)

    watching = threading.Thread(target=count)
    watching.start()
    for position in range(1, 61):
        assert store.advance(f"{number.id}-{position}", "delivered", size=10)
    done.set()
    watching.join()
    assert wrong == []


def test_the_keys_of_a_bucket_go_with_the_last_delivery_also_when_two_end_at_once(store: Store, owner: str) -> None:
    bucket = (Destination(kind="bucket", endpoint="https://s3.example.org", bucket="b"), "sealed")
    for _ in range(15):
        order, _ = store.add_order(owner, [NewDelivery("A", 1), NewDelivery("B", 1)], bucket=bucket)
        assert store.destination(order.id)[1] == "sealed"
        at_once = threading.Barrier(2)

        def end(delivery: str, at_once: threading.Barrier = at_once) -> bool:
            at_once.wait()
            return store.advance(delivery, "delivered")

        with ThreadPoolExecutor(2) as pool:
            assert all(pool.map(end, [f"{order.id}-1", f"{order.id}-2"]))
        assert store.destination(order.id)[1] is None


def test_cancelled_and_delivered_at_once_is_one_of_both(store: Store, owner: str) -> None:
    for _ in range(15):
        order, _ = store.add_order(owner, [NewDelivery(f"P{count}", 1) for count in range(4)])
        names = [f"{order.id}-{position}" for position in range(1, 5)]
        at_once = threading.Barrier(5)

        def deliver(name: str, at_once: threading.Barrier = at_once) -> bool:
            at_once.wait()
            return store.advance(name, "delivered", event="done")

        def cancel(number: int = order.id, at_once: threading.Barrier = at_once) -> list[str]:
            at_once.wait()
            try:
                return store.cancel_order(owner, number)[1]
            except OrderFinished:
                return []

        with ThreadPoolExecutor(5) as pool:
            cancelling = pool.submit(cancel)
            arrived = [name for name, was in zip(names, pool.map(deliver, names), strict=True) if was]
            cancelled = cancelling.result()
        assert sorted(arrived + cancelled) == names
        for delivery in store.deliveries(owner, order_id=order.id)[1]:
            ends = [entry.event for entry in delivery.trail if entry.event in {"done", "cancelled"}]
            assert ends == ["cancelled" if delivery.id in cancelled else "done"]
        store.delete_order(owner, order.id)


def test_orders_that_vanish_while_they_are_listed(store: Store, owner: str) -> None:
    numbers = [store.add_order(owner, [NewDelivery("A", 1)])[0].id for _ in range(60)]
    listing = threading.Thread(target=lambda: [store.delete_order(owner, number) for number in numbers])
    listing.start()
    while listing.is_alive():
        store.orders(owner, 0, 100)
    listing.join()
    assert store.orders(owner, 0, 100) == (0, [])


def test_times_are_utc_and_numbers_are_large(store: Store, owner: str) -> None:
    store.set_quota(owner, 10**18)
    order, _ = store.add_order(owner, [NewDelivery("A", 4 * 10**17), NewDelivery("B", 5 * 10**17)])
    assert sums(store, owner) == (0, 9 * 10**17, 10**17)
    assert abs(datetime.now(UTC) - order.created_at) < timedelta(minutes=1)
    holder = store.begin_transfer("1-1", "a")
    assert holder is not None
    assert store.progress("1-1", holder, 3 * 10**17)
    delivery = store.delivery(owner, 1, "1-1")
    assert delivery.transferred == 3 * 10**17
    assert abs(datetime.now(UTC) - delivery.trail[0].time) < timedelta(minutes=1)
    with pytest.raises(UnknownOrder):
        store.order(owner, 999_999_999_999_999)
    for far, due in ((-1, ["1-1", "1-2"]), (3600, ["1-2"])):
        later = (datetime.now(UTC) + timedelta(seconds=far)).replace(tzinfo=None)
        store.advance("1-1", "queued", next_attempt_at=later)
        assert [turn.delivery_id for turn in store.due_deliveries()] == due


def test_text_that_a_database_does_not_take(store: Store, owner: str) -> None:
    store.add_order(owner, [NewDelivery("A", 1)])
    store.note("1-1", "the source said \0 and \N{SNOWMAN}")
    assert store.advance("1-1", "failed", event="given up: \0", error="\0")
    delivery = store.delivery(owner, 1, "1-1")
    assert delivery.error == "\N{REPLACEMENT CHARACTER}"
    assert "\N{SNOWMAN}" in delivery.trail[1].event
    with pytest.raises(UnknownDelivery):
        store.delivery(owner, 1, "1-\0")


def test_a_turn_is_begun_anew_once(store: Store, owner: str) -> None:
    store.add_order(owner, [NewDelivery("A", 1)])
    with ThreadPoolExecutor(4) as pool:
        fresh = list(pool.map(lambda _: store.again(Turn("1-1")), range(4)))
    assert sorted(fresh, key=str) == [None, None, None, Turn("1-1", again=1)]
    assert store.due_deliveries() == [Turn("1-1", again=1)]
    # Its next attempt is a turn of its own, and what was seen of the one before counts no more.
    store.advance("1-1", "queued", attempt=2, polls=0)
    assert store.due_deliveries() == [Turn("1-1", 2)]
    assert store.again(Turn("1-1", again=1)) is None
    store.advance("1-1", "delivered")
    assert store.again(Turn("1-1", 2)) is None


def test_a_lease_is_held_by_one_and_runs_out(store: Store) -> None:
    with ThreadPoolExecutor(6) as pool:
        held = list(pool.map(lambda number: store.lease("work", f"p{number}", 0.5), range(6)))
    assert sum(held) == 1
    holder = f"p{held.index(True)}"
    assert store.lease("work", holder, 0.5), "its holder holds it for longer"
    assert not store.lease("work", "other", 0.5)
    store.release("work", "other")
    assert not store.lease("work", "other", 0.5), "who does not hold it cannot give it back"
    time.sleep(0.6)
    assert store.lease("work", "other", 0.5)
    store.release("work", "other")
    assert store.lease("work", holder, 0.5)


def test_the_silent_are_buried_once_and_the_others_live(store: Store) -> None:
    for name, silent in (("quick", 0.3), ("slow", 60.0)):
        store.enter(name, kind="worker", sources="s", steps="1", silent=silent)
    assert store.bury() == []
    time.sleep(0.4)
    assert store.beat("slow") is not None
    with ThreadPoolExecutor(4) as pool:
        buried = [process.id for found in pool.map(lambda _: store.bury(), range(4)) for process in found]
    assert buried == ["quick"]
    assert store.beat("quick") is None
    assert [process.id for process in store.processes()] == ["slow"]
    store.leave("slow")
    assert store.processes() == []


def test_the_first_fact_stays(store: Store) -> None:
    assert store.fact("x") is None
    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda number: store.fact("x", str(number)), range(6)))
    assert len(found) == 1


def test_newer_tables_are_refused_and_older_ones_completed(store: Store, owner: str, url: str) -> None:
    store.add_order(owner, [NewDelivery("A", 1)])
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE deliveries DROP COLUMN again")
        connection.exec_driver_sql("UPDATE facts SET value = '0' WHERE name = 'schema'")
    newer = Store(url)
    assert newer.due_deliveries() == [Turn("1-1")]
    newer.close()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE facts SET value = '99' WHERE name = 'schema'")
    with pytest.raises(DatabaseRefused, match="version 99") as caught:
        Store(url)
    assert PASSWORD not in str(caught.value)


def test_tables_from_before_there_were_versions(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "gateway.db"))
    store.add_order(store.add_account("owner", key="k"), [NewDelivery("A", 1)])
    store.close()
    with sqlite3.connect(tmp_path / "gateway.db") as old:
        old.executescript("DROP TABLE facts; DROP TABLE leases; ALTER TABLE deliveries DROP COLUMN again")
    store = Store(sqlite_url(tmp_path / "gateway.db"))
    assert store.due_deliveries() == [Turn("1-1")]
    assert store.fact("schema") == str(tables.SCHEMA)
    store.close()


def test_what_is_answered_outlasts_a_power_cut(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "gateway.db"))
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2, "FULL: each commit is on the disk"
    store.close()


# --- what only a server can do ---------------------------------------------------------------------------------------
def test_many_make_the_tables_at_once(postgres: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        for store in pool.map(lambda _: Store(database_url(postgres)), range(6)):
            store.close()
    assert rows(postgres, "SELECT value FROM facts WHERE name = 'schema'") == [(str(tables.SCHEMA),)]


def test_who_waits_for_a_lock_gets_it_or_an_answer(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "LOCK_SECONDS", 1.0)
    store = Store(database_url(postgres))
    owner = store.add_account("owner", key="k", quota=1000)
    with psycopg.connect(postgres) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT * FROM accounts FOR UPDATE")
        waiting = pool.submit(store.add_order, owner, [NewDelivery("A", 1)])
        time.sleep(0.3)
        assert not waiting.done()
        other.rollback()
        assert waiting.result(5)[1]
        other.execute("SELECT * FROM accounts FOR UPDATE")
        with pytest.raises(DatabaseUnavailable):
            store.add_order(owner, [NewDelivery("A", 1)])
        other.rollback()
    assert store.add_order(owner, [NewDelivery("B", 1)])[1]
    store.close()


def test_one_that_stands_still_in_a_transaction_holds_up_nobody_for_ever(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "IDLE_SECONDS", 0.5)
    store = Store(database_url(postgres))
    owner = store.add_account("owner", key="k", quota=1000)

    def stand_still() -> None:
        with store._write() as connection:
            connection.exec_driver_sql("SELECT * FROM accounts FOR UPDATE")
            assert store.add_order(owner, [NewDelivery("A", 1)])[1], "given after half a second"
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        stand_still()
    store.close()


def test_a_server_that_restarts_is_told_to_who_asks_and_waited_for_by_who_works(
    cluster: Cluster, postgres: str
) -> None:
    store = Store(database_url(postgres))
    patient = store.patient()
    owner = store.add_account("owner", key="k", quota=1000)
    assert store.account(owner).name == "owner"
    cluster.stop()
    try:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(patient.add_order, owner, [NewDelivery("A", 1)])
            for ask in (lambda: store.account(owner), lambda: store.add_order(owner, [NewDelivery("A", 1)])):
                with pytest.raises(DatabaseUnavailable) as caught:
                    ask()
                assert PASSWORD not in str(caught.value)
                assert "127.0.0.1" not in str(caught.value), "who asks is no operator"
            with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1") as caught:
                Store(database_url(postgres))
            assert PASSWORD not in str(caught.value)
            time.sleep(0.3)
            assert not waiting.done()
            cluster.start()
            assert waiting.result(30)[1]
    finally:
        cluster.start()
    assert store.orders(owner, 0, 10)[0] == 1
    store.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "mysql://u:hush@h/d",
        "postgresql://u:hush@h",
        "postgresql://u:hush@h:port/d",
        "sqlite:///x",
        "/a",
    ],
)
def test_what_is_no_database_is_said_without_its_password(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        database_url(text)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_database_is_named_as_everybody_writes_it(scheme: str) -> None:
    assert database_url(f" {scheme}://u:p%40@h:1/d?sslmode=require ") == (
        "postgresql+psycopg://u:p%40@h:1/d?sslmode=require"
    )


def test_a_wrong_password_is_not_shown(postgres: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
        Store(database_url(postgres.replace(PASSWORD, "hush")))
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(caught.value)


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


def test_only_the_transfer_that_began_last_may_write(store: Store, owner: str) -> None:
    store.add_order(owner, [NewDelivery("A", 10)])
    first, second = store.begin_transfer("1-1", "a"), store.begin_transfer("1-1", "b")
    assert first is not None
    assert second is not None
    assert not store.progress("1-1", first, 7)
    assert not store.deliver("1-1", first, size=10, source="a", key="k")
    assert store.progress("1-1", second, 8, status="verifying")
    assert store.deliver("1-1", second, size=10, source="b", key="k")
    delivery = store.delivery(owner, 1, "1-1")
    assert (delivery.status, delivery.source, delivery.transferred) == ("delivered", "b", 10)


def test_what_comes_out_larger_must_fit_as_well(store: Store, owner: str) -> None:
    store.set_quota(owner, 100)
    store.add_order(owner, [NewDelivery("A", 30), NewDelivery("B", 30)])
    assert (store.room("1-1"), store.room("1-2")) == (70, 70)
    holder = store.begin_transfer("1-1", "a")
    assert holder is not None
    with pytest.raises(QuotaExceeded, match="71"):
        store.deliver("1-1", holder, size=71, source="a", key="k")
    assert store.deliver("1-1", holder, size=70, source="a", key="k")
    assert store.room("1-2") == 30
    assert store.account(owner).storage.free == 0
    other = store.begin_transfer("1-2", "a")
    assert not store.deliver("1-2", holder, size=31, source="a", key="k"), "one that was overtaken is refused as such"
    store.cancel_order(owner, 1)
    assert other is not None
    assert not store.deliver("1-2", other, size=31, source="a", key="k")
