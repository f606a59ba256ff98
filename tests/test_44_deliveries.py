"""Deliveries over a source that fails by script: they end with the right bytes, or failed with a true reason."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbos._dbos import _get_dbos_instance
from obstore.exceptions import GenericError
from scripted import QUICK, Gateway, Reading, ScriptedSource, cut_at, down, short_by, slow, whole, wrong_byte, zipped

from extenso_nb.errors import ChecksumMismatch, NotDelivered, ProductOffline, SourceUnavailable, UnknownOrder
from extenso_nb.gateway import deliveries as deliveries_module
from extenso_nb.gateway import transfers as transfers_module
from extenso_nb.gateway.sources import Limits
from extenso_nb.gateway.store import Turn
from extenso_nb.retry import DELIVERY, Retry
from extenso_nb.storage import FolderStorage


def nameless(data: bytes, offset: int) -> Iterator[bytes]:
    """Fails with a file name that is no text, as the file system gives it."""
    raise SourceUnavailable("/data/\udcff/product.zip cannot be read.")
    yield b""


def not_deflated() -> bytes:
    """A zip whose directory is right, and whose member does not inflate."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"pixels" * 5000)
    content = bytearray(buffer.getvalue())
    content[32:44] = b"\xff" * 12
    return bytes(content)


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture
def start(tmp_path: Path, source: ScriptedSource) -> Iterator[Callable[..., Gateway]]:
    running: list[Gateway] = []

    def begin(*others: ScriptedSource) -> Gateway:
        for gateway in running:
            gateway.stop()
        running[:] = [Gateway(tmp_path, source, *others)]
        return running[0]

    yield begin
    for gateway in running:
        gateway.stop()


def delivered(gateway: Gateway, order_id: int, position: int = 1) -> bytes:
    delivery = gateway.service.delivered(gateway.account, order_id, f"{order_id}-{position}")
    assert delivery.key is not None
    content = gateway.storage.read(delivery.key)
    assert delivery.checksums == {"sha256": hashlib.sha256(content).hexdigest()} | (delivery.checksums or {})
    assert delivery.size == delivery.transferred == len(content)
    return content


@pytest.mark.parametrize(
    ("script", "noted"),
    [
        ([], "verified and delivered"),
        ([cut_at(100_000)], "Taken up again at byte 100,000"),
        ([cut_at(0), cut_at(50_000), cut_at(120_000)], "Taken up again at byte 120,000"),
        ([short_by(5)], "were announced"),
        ([down], "503"),
        ([down, down], "next attempt"),
    ],
)
def test_a_fault_that_passes_ends_delivered(
    start: Callable[..., Gateway], source: ScriptedSource, script: list[Reading], noted: str
) -> None:
    name = source.add(1, *script)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    assert delivered(gateway, order.id) == source.data[name]
    trail = gateway.store.delivery(gateway.account, order.id, "1-1").trail
    assert any(noted in entry.event for entry in trail), trail
    assert [path.rpartition("/")[2] for path in gateway.files()] == [f"{name}.SAFE.zip", "metadata.json"]
    storage = gateway.store.account(gateway.account).storage
    assert (storage.used, storage.reserved) == (len(source.data[name]), 0)


@pytest.mark.parametrize(
    ("script", "data", "checksum", "reason"),
    [
        ([down] * 9, None, None, "503"),
        ([wrong_byte] * 9, None, None, "CRC"),
        ([whole] * 9, None, hashlib.md5(b"another", usedforsecurity=False).hexdigest(), "md5 is"),
        ([whole] * 9, zipped()[:-10], None, "not a whole zip"),
        ([whole] * 9, b"<html>log in first</html>", None, "not a whole zip"),
        ([cut_at(10)] * 99, None, None, "closed"),
        ([nameless] * 9, None, None, "udcff"),
        ([whole] * 9, "no deflate", None, "decompressing"),
    ],
)
def test_a_fault_that_stays_ends_failed_with_its_reason(
    start: Callable[..., Gateway],
    source: ScriptedSource,
    script: list[Reading],
    data: bytes | str | None,
    checksum: str | None,
    reason: str,
) -> None:
    name = source.add(1, *script, data=not_deflated() if isinstance(data, str) else data)
    if checksum:
        source.checksums[name] = {"md5": checksum}
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "failed"
    delivery = gateway.store.delivery(gateway.account, order.id, "1-1")
    assert reason in (delivery.error or "")
    assert gateway.files() == []
    storage = gateway.store.account(gateway.account).storage
    assert (storage.used, storage.reserved) == (0, 0)
    with pytest.raises(NotDelivered, match="failed"):
        gateway.service.delivered(gateway.account, order.id, "1-1")


def test_the_next_source_is_tried(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    name = source.add(1, *[down] * 9)
    second = ScriptedSource("second")
    second.add(1)
    gateway = start(second)
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    assert gateway.store.delivery(gateway.account, order.id, "1-1").source == "second"
    assert source.opened == second.opened == [name]


def test_metadata_lies_beside_the_product(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    name = source.add(1)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    gateway.wait(order.id)
    metadata = gateway.service.metadata(gateway.account, order.id, "1-1")
    assert metadata.product.id == name
    assert metadata.size == len(source.data[name])
    beside = gateway.storage.read(metadata.key.rpartition("/")[0] + "/metadata.json")
    assert json.loads(beside)["checksums"] == metadata.checksums


def test_cancelled_while_it_transfers(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    quick, tardy = source.add(1), source.add(2, slow(0.3))
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [quick, tardy])
    until(lambda: gateway.store.delivery(gateway.account, 1, "1-1").status == "delivered")
    until(lambda: gateway.store.delivery(gateway.account, 1, "1-2").transferred > 0)
    assert gateway.service.cancel(gateway.account, order.id).status == "partial"
    time.sleep(1.2)
    assert delivered(gateway, 1) == source.data[quick]
    assert len(gateway.files()) == 2  # the quick one and its metadata
    assert gateway.store.delivery(gateway.account, 1, "1-2").status == "cancelled"


def test_deleted_while_it_transfers(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    quick, tardy = source.add(1), source.add(2, slow(0.3))
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [quick, tardy])
    until(lambda: gateway.store.delivery(gateway.account, 1, "1-2").transferred > 0)
    gateway.service.delete(gateway.account, order.id)
    with pytest.raises(UnknownOrder):
        gateway.store.order(gateway.account, order.id)
    time.sleep(1.2)
    assert gateway.files() == []
    assert gateway.store.account(gateway.account).storage.free == gateway.store.account(gateway.account).storage.quota


def test_a_restart_takes_up_what_was_under_way(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    names = [source.add(number, slow(0.1)) for number in range(6)]
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, names)
    until(lambda: any(item.transferred for item in gateway.store.deliveries(gateway.account)[1]))
    gateway = start()
    assert gateway.wait(order.id) == "delivered"
    for position, name in enumerate(names, start=1):
        assert delivered(gateway, order.id, position) == source.data[name]
    assert gateway.store.account(gateway.account).storage.used == sum(len(source.data[name]) for name in names)


def test_an_order_whose_workflows_were_never_begun_is_taken_up(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = source.add(1)
    gateway = start()
    # As if the process had been killed between accepting the order and beginning its workflow.
    monkeypatch.setattr(gateway.deliveries, "submit", lambda delivery_id: None)
    order, _ = gateway.service.create_order(gateway.account, [name])
    time.sleep(0.5)
    assert gateway.store.order(gateway.account, order.id).status == "queued"
    gateway = start()
    assert gateway.wait(order.id) == "delivered"


def test_objects_of_an_order_deleted_just_before_the_end_go_at_the_next_start(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    name = source.add(1)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    gateway.wait(order.id)
    gateway.store.delete_order(gateway.account, order.id)  # and killed before the objects were removed
    assert gateway.files()
    gateway = start()
    assert gateway.files() == []


def test_objects_that_cannot_be_removed_hold_up_nothing(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [source.add(1), source.add(2)]
    gateway = Gateway(tmp_path, source)
    for name in names:
        order, _ = gateway.service.create_order(gateway.account, [name])
        gateway.wait(order.id)
    for number in (1, 2):
        gateway.store.delete_order(gateway.account, number)
    gateway.stop()
    delete_below = FolderStorage.delete_below

    def refusing(storage: FolderStorage, prefix: str) -> int:
        if prefix.endswith("/orders/1"):
            raise GenericError("Permission denied")
        return delete_below(storage, prefix)

    with monkeypatch.context() as broken:
        broken.setattr(FolderStorage, "delete_below", refusing)
        gateway = Gateway(tmp_path, source)
        assert len(gateway.files()) == 2, "those of the first"
        order, _ = gateway.service.create_order(gateway.account, names[:1])
        assert gateway.wait(order.id) == "delivered"
        gateway.stop()
    gateway = Gateway(tmp_path, source)
    assert len(gateway.files()) == 2, "those of the third"
    monkeypatch.setattr(FolderStorage, "delete_below", raising(GenericError("Permission denied")))
    gateway.service.delete(gateway.account, order.id)
    with pytest.raises(UnknownOrder):
        gateway.store.order(gateway.account, order.id)
    gateway.stop()


def test_a_product_that_vanished_fails_with_that_reason(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    name = source.add(1, down, down, down)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    source.data.pop(name)
    assert gateway.wait(order.id) == "failed"
    error = gateway.store.delivery(gateway.account, order.id, "1-1").error or ""
    assert "any more" in error or "is not here" in error


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def raising(error: Exception) -> Callable[..., None]:
    """Raises, whatever it is called with."""

    def call(*_: object) -> None:
        raise error

    return call


def test_a_source_that_raises_anything_while_it_is_looked_through_ends_failed(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = source.add(1, *[down] * 9)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    monkeypatch.setattr(source, "find", raising(KeyError("nobody expected this")))
    assert gateway.wait(order.id) == "failed"
    assert "nobody expected" in (gateway.store.delivery(gateway.account, order.id, "1-1").error or "")


def test_a_warm_up_that_is_refused_ends_failed(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = source.add(1)
    source.cold.add(name)
    monkeypatch.setattr(source, "warm_up", raising(SourceUnavailable("Too many warm-ups.")))
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "failed"
    assert "Too many" in (gateway.store.delivery(gateway.account, order.id, "1-1").error or "")


def test_a_disk_that_is_full_at_the_last_moment_ends_failed_and_leaves_nothing(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = source.add(1)
    gateway = start()
    monkeypatch.setattr(gateway.storage, "put_bytes", raising(OSError(28, "No space left on device")))
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "failed"
    assert "No space" in (gateway.store.delivery(gateway.account, order.id, "1-1").error or "")
    assert gateway.files() == []


@pytest.mark.parametrize("kind", ["system", "client"])
def test_what_a_storage_says_is_told_without_the_paths_of_the_machine(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    name = source.add(1)
    gateway = start()
    path = gateway.storage.folder / "a" / "metadata.json"
    error: Exception = OSError(28, "No space left on device", str(path))
    if kind == "client":
        error = GenericError(f"No space left on device: {path}\n\nDebug source:\nGeneric {{\n}}")
    monkeypatch.setattr(gateway.storage, "put_bytes", raising(error))
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "failed"
    told = " ".join([gateway.store.work("1-1")[1].error or "", *events(gateway, "1-1")])
    assert "No space left" in told
    assert str(gateway.storage.folder) not in told
    assert "Debug" not in told


@pytest.mark.parametrize("restart", [True, False])
def test_a_workflow_that_broke_off_is_begun_anew_and_moves_the_bytes_again(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    monkeypatch.setattr(deliveries_module, "RECONCILE_SECONDS", 0.5 if not restart else 600)
    name = source.add(1)
    gateway = start()
    with monkeypatch.context() as broken:
        broken.setattr(gateway.deliveries.transfers, "settle", raising(RuntimeError("the database is full")))
        order, _ = gateway.service.create_order(gateway.account, [name])
        until(lambda: gateway.store.delivery(gateway.account, 1, "1-1").status == "verifying")
        until(lambda: bool(gateway.files()))
        time.sleep(0.5)
        for path in gateway.storage.folder.rglob("*.zip"):
            path.unlink()  # the stored bytes are lost: the first transfer must not count any more
    if restart:
        gateway = start()
    assert gateway.wait(order.id) == "delivered"
    assert delivered(gateway, order.id) == source.data[name]


def test_a_workflow_whose_end_cannot_be_noted_is_taken_up_again(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "RECONCILE_SECONDS", 0.5)
    source.limits = Limits(transfers=1)
    names = [source.add(1), source.add(2)]
    gateway = start()
    database = _get_dbos_instance()._sys_db
    note, full = database.update_workflow_outcome, iter([True, True, True])

    def noted(*arguments: Any, **named: Any) -> bool:
        if next(full, False):
            raise RuntimeError("database or disk is full")
        return note(*arguments, **named)

    monkeypatch.setattr(database, "update_workflow_outcome", noted)
    order, _ = gateway.service.create_order(gateway.account, names)
    assert gateway.wait(order.id) == "delivered"
    assert [delivered(gateway, order.id, position) for position in (1, 2)] == [source.data[name] for name in names]


def test_an_attempt_that_ended_while_it_was_looked_at_is_not_made_twice(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = source.add(1, *[down] * 9)
    gateway = Gateway(tmp_path, source, schedule=Retry(attempts=3, first=600, longest=600))
    try:
        gateway.service.create_order(gateway.account, [name])
        until(lambda: bool(gateway.store.delivery(gateway.account, 1, "1-1").error))
        time.sleep(0.5)
        # As the dispatcher sees it that has read the first turn just before it came to its end.
        looks = iter([[Turn("1-1")]])
        due = gateway.store.due_deliveries
        monkeypatch.setattr(gateway.store, "due_deliveries", lambda: next(looks, None) or due())
        gateway.deliveries._reconcile()
        time.sleep(1.5)
        assert len(source.opened) == 1
    finally:
        gateway.stop()


def test_an_order_is_accepted_before_its_workflows_are_begun(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [source.add(number) for number in range(30)]
    gateway = start()
    submit = gateway.deliveries.submit
    monkeypatch.setattr(deliveries_module, "RECONCILE_SECONDS", 0.2)
    broken = iter([True, True])

    def tardy(delivery_id: str) -> None:
        time.sleep(0.1)
        if next(broken, False):
            raise RuntimeError("database is locked")
        submit(delivery_id)

    monkeypatch.setattr(gateway.deliveries, "submit", tardy)
    begun = time.monotonic()
    order, _ = gateway.service.create_order(gateway.account, names)
    assert time.monotonic() - begun < 2
    assert gateway.wait(order.id) == "delivered"


def test_what_a_killed_transfer_left_goes_when_the_order_was_cancelled_meanwhile(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    name = source.add(1, slow(0.3))
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    until(lambda: gateway.store.delivery(gateway.account, 1, "1-1").transferred > 0)
    key = f"{gateway.account}/orders/{order.id}/{name}/{name}.SAFE.zip"
    gateway.store.cancel_order(gateway.account, order.id)
    staged = gateway.storage.folder / f"{key}#1"
    staged.parent.mkdir(parents=True, exist_ok=True)
    staged.write_bytes(b"half")  # as the killed process would leave it
    gateway.deliveries.transfers.bring("1-1", "scripted")
    time.sleep(1.2)
    assert gateway.files() == []


@pytest.mark.parametrize("name", ["a b", "\u00fc\u00f1\u00ef", "100%25", "%2F", "a?b", "a#b"])
def test_a_data_directory_may_have_any_name(tmp_path: Path, source: ScriptedSource, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    gateway = Gateway(folder, source)
    gateway.stop()
    assert {"flows.db", "gateway.db"} <= {path.name for path in folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_waits_takes_no_place_from_what_could_go(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "MOST_AT_ONCE", 4)
    cold = [source.add(number) for number in range(20)]
    source.cold.update(cold)
    failing = [source.add(number, *[down] * 9) for number in range(20, 40)]
    good = source.add(99)
    gateway = Gateway(tmp_path, source, schedule=Retry(attempts=3, first=600, longest=600))
    try:
        first, _ = gateway.service.create_order(gateway.account, cold + failing)
        until(lambda: gateway.store.deliveries(gateway.account, status="warming")[0] == 20)
        until(lambda: sum(bool(item.error) for item in gateway.store.deliveries(gateway.account)[1]) == 20)
        second, _ = gateway.service.create_order(gateway.account, [good])
        assert gateway.wait(second.id, 20) == "delivered"
        assert gateway.store.order(gateway.account, first.id).status == "running"
        assert sorted(source.warmed) == sorted(cold), "each is asked for once"
        gateway.service.cancel(gateway.account, first.id)
    finally:
        gateway.stop()


def test_a_cold_product_is_looked_at_until_it_is_there(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.3)
    name = source.add(1)
    source.cold.add(name)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    until(lambda: gateway.store.delivery(gateway.account, 1, "1-1").status == "warming")
    time.sleep(1.5)
    gateway = start()  # a restart in between forgets nothing, and does not ask again
    source.cold.clear()
    assert gateway.wait(order.id) == "delivered"
    assert source.warmed == [name]
    assert delivered(gateway, order.id) == source.data[name]


def test_a_product_that_stays_cold_fails_with_that_reason(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.05)
    monkeypatch.setattr(deliveries_module, "COLD_POLLS", 3)
    name = source.add(1)
    source.cold.add(name)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "failed"
    assert "cold" in (gateway.store.delivery(gateway.account, order.id, "1-1").error or "")
    assert source.opened == []


def test_a_product_that_stays_cold_fails_although_another_source_does_not_answer(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.05)
    monkeypatch.setattr(deliveries_module, "COLD_POLLS", 3)
    name = source.add(1)
    source.cold.add(name)
    second = ScriptedSource("second")
    # More attempts than there is time for: it has to be the cold that ends it.
    gateway = Gateway(tmp_path, source, second, schedule=QUICK.patch(attempts=1000))
    try:
        order, _ = gateway.service.create_order(gateway.account, [name])
        second.broken = True
        assert gateway.wait(order.id) == "failed"
        assert "stayed cold" in (gateway.store.delivery(gateway.account, order.id, "1-1").error or "")
    finally:
        gateway.stop()


# --- several sources, cold and warm ----------------------------------------------------------------------------------
def events(gateway: Gateway, delivery_id: str) -> list[str]:
    return [f"{entry.source or '-'}: {entry.event}" for entry in gateway.store.work(delivery_id)[1].trail]


def test_a_cold_source_is_no_reason_to_wait_where_another_has_it_online(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    name = source.add(1)
    source.cold.add(name)
    second = ScriptedSource("second")
    second.add(1)
    gateway = start(second)
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    assert (source.warmed, source.opened, second.opened) == ([], [], [name])


def test_a_source_that_does_not_answer_holds_up_no_other(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.1)
    name = source.add(1)
    second = ScriptedSource("second")
    second.add(1)
    second.cold.add(name)
    gateway = start(second)
    order, _ = gateway.service.create_order(gateway.account, [name])
    source.broken = True
    until(lambda: second.warmed == [name])
    second.cold.clear()
    assert gateway.wait(order.id) == "delivered"
    assert gateway.store.work("1-1")[1].source == "second"


def test_a_cold_source_is_the_last_hope_when_the_warm_one_gives_wrong_bytes(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.1)
    name = source.add(1, *[wrong_byte] * 99)
    second = ScriptedSource("second")
    second.add(1)
    second.cold.add(name)
    gateway = start(second)
    order, _ = gateway.service.create_order(gateway.account, [name])
    until(lambda: second.warmed == [name])
    time.sleep(0.5)
    assert len(source.opened) == 3, "the warm one is not tried at each look at the cold one"
    second.cold.clear()
    assert gateway.wait(order.id) == "delivered"
    assert delivered(gateway, order.id) == second.data[name]


def test_wrong_bytes_after_an_outage_are_not_the_end(tmp_path: Path, source: ScriptedSource) -> None:
    name = source.add(1, *[down] * 4, wrong_byte, wrong_byte)
    gateway = Gateway(tmp_path, source, schedule=QUICK.patch(attempts=30))
    try:
        order, _ = gateway.service.create_order(gateway.account, [name])
        assert gateway.wait(order.id) == "delivered"
        assert len(source.opened) == 7
    finally:
        gateway.stop()


def test_wrong_bytes_are_not_fetched_at_each_look_at_a_cold_source(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.1)
    name = source.add(1, *[wrong_byte] * 99)
    second = ScriptedSource("second")
    second.add(1)
    second.cold.add(name)
    gateway = Gateway(tmp_path, source, second, schedule=QUICK.patch(attempts=30))
    try:
        order, _ = gateway.service.create_order(gateway.account, [name])
        until(lambda: second.warmed == [name])
        time.sleep(1)
        assert len(source.opened) == 3
        second.cold.clear()
        assert gateway.wait(order.id) == "delivered"
    finally:
        gateway.stop()


def test_a_source_that_is_down_for_a_moment_goes_on_warming_up(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.2)
    name = source.add(1)
    source.cold.add(name)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    until(lambda: source.warmed == [name])
    source.broken = True
    until(lambda: sum("does not answer" in event for event in events(gateway, "1-1")) > 4)
    source.broken = False
    source.cold.clear()
    assert gateway.wait(order.id) == "delivered"
    assert source.warmed == [name], "it is not asked again, nor put at the end of the line"


def test_warm_ups_keep_to_the_limit_of_their_source(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.2)
    source.limits = Limits(transfers=2, warm_ups=(2, 3.0))
    asked: list[float] = []
    warm_up = source.warm_up

    def noted(product_id: str) -> None:
        asked.append(time.monotonic())
        warm_up(product_id)
        source.cold.discard(product_id)

    monkeypatch.setattr(source, "warm_up", noted)
    names = [source.add(number) for number in range(5)]
    source.cold.update(names)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, names)
    assert gateway.wait(order.id) == "delivered"
    assert sorted(source.warmed) == sorted(names)
    assert len(asked) == 5
    for first, third in zip(asked, asked[2:], strict=False):
        assert third - first > 2.0, "three in three seconds are one too many"
    assert any("waits for its turn" in event for event in events(gateway, "1-1"))
    assert "scripted: warm-up asked for" in events(gateway, "1-1")


def test_no_more_transfers_at_once_than_the_source_allows(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    source.limits = Limits(transfers=2)
    running, most, lock = [0], [0], threading.Lock()

    def counted(data: bytes, offset: int) -> Iterator[bytes]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        yield from slow(0.02)(data, offset)
        with lock:
            running[0] -= 1

    names = [source.add(number, counted) for number in range(8)]
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, names)
    assert gateway.wait(order.id) == "delivered"
    assert most == [2]


@pytest.mark.parametrize("alone", [True, False])
def test_a_source_that_asks_for_patience_gets_it(tmp_path: Path, source: ScriptedSource, alone: bool) -> None:
    def busy(data: bytes, offset: int) -> Iterator[bytes]:
        raise SourceUnavailable("Too many requests.", retry_after=1.5)
        yield b""

    name = source.add(1, busy)
    others = []
    if not alone:
        others = [ScriptedSource("second")]
        others[0].add(1, down)
    gateway = Gateway(tmp_path, source, *others)
    try:
        order, _ = gateway.service.create_order(gateway.account, [name])
        assert gateway.wait(order.id) == "delivered"
        # One that asks for nothing may be well again at once.
        assert any(f"next attempt in {2 if alone else 0} s" in event for event in events(gateway, "1-1"))
    finally:
        gateway.stop()


def test_a_source_that_asks_for_too_little_patience_uses_up_no_attempts(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    gateway = start()
    for attempt in range(1, 30):
        plain = DELIVERY.wait(attempt, chance=0) or 0.0
        gateway.deliveries.schedule = DELIVERY
        waited = gateway.deliveries.wait("1-1", attempt, [{"reason": "busy", "retry_after": 0.0}])
        assert waited is not None
        assert waited >= plain


def test_a_break_with_a_refusal_after_it_loses_nothing_that_came(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    def briefly_down(data: bytes, offset: int) -> Iterator[bytes]:
        raise SourceUnavailable("The source answered 503.", retry_after=0.2)
        yield b""

    offsets: list[int] = []

    def rest(data: bytes, offset: int) -> Iterator[bytes]:
        offsets.append(offset)
        yield from whole(data, offset)

    name = source.add(1, cut_at(100_000), briefly_down, rest)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    assert delivered(gateway, order.id) == source.data[name]
    assert offsets == [100_000]
    assert source.opened == [name]


def test_many_breaks_far_apart_are_each_the_first(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers_module, "FORGIVEN_BYTES", 30_000)
    breaks = [cut_at(place) for place in range(40_000, 300_000, 40_000)]
    assert len(breaks) > transfers_module.RESUMES
    name = source.add(1, *breaks)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    assert source.opened == [name]


def test_a_product_going_cold_while_it_is_fetched_is_warmed_up(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.1)

    def offline(data: bytes, offset: int) -> Iterator[bytes]:
        raise ProductOffline("The source answered 202: it brings the product back.")
        yield b""

    name = source.add(1, offline, offline)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    assert source.warmed == [name]


# --- what was delivered before ---------------------------------------------------------------------------------------
def test_a_product_delivered_before_is_not_fetched_again(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    name = source.add(1)
    gateway = start()
    first, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(first.id) == "delivered"
    second, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(second.id) == "delivered"
    assert source.opened == [name]
    # Each order has its own: deleting one takes nothing from the other.
    gateway.service.delete(gateway.account, first.id)
    assert delivered(gateway, second.id) == source.data[name]
    assert gateway.service.metadata(gateway.account, second.id, "2-1").source == "scripted"
    assert gateway.store.account(gateway.account).storage.used == len(source.data[name])
    # And it is nobody else's.
    other = gateway.store.add_account("other", key="another-key")
    third, _ = gateway.service.create_order(other, [name])
    until(lambda: gateway.store.order(other, third.id).ended)
    assert source.opened == [name, name]


def test_a_product_delivered_before_and_lost_since_is_fetched(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    name = source.add(1)
    gateway = start()
    first, _ = gateway.service.create_order(gateway.account, [name])
    gateway.wait(first.id)
    for path in gateway.storage.folder.rglob("*.zip"):
        content = bytearray(path.read_bytes())
        content[2000] ^= 1
        path.write_bytes(content)
    second, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(second.id) == "delivered"
    assert source.opened == [name, name]
    assert delivered(gateway, second.id) == source.data[name]


# --- room ------------------------------------------------------------------------------------------------------------
def test_more_bytes_than_there_is_room_for_are_not_kept(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    name = source.add(1)
    gateway = start()
    source.understated = 290_000
    gateway.store.set_quota(gateway.account, 100_000)  # of 300,000 bytes that come
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "failed"
    assert "room for" in (gateway.store.work("1-1")[1].error or "")
    assert gateway.files() == []
    storage = gateway.store.account(gateway.account).storage
    assert (storage.used, storage.reserved) == (0, 0)


# --- who holds a delivery --------------------------------------------------------------------------------------------
def test_a_transfer_that_was_overtaken_neither_writes_nor_deletes(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_on = threading.Event()

    def paused(data: bytes, offset: int) -> Iterator[bytes]:
        yield data[:1000]
        assert gone_on.wait(30)
        yield from whole(data, 1000)

    name = source.add(1, paused)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    until(lambda: source.opened == [name])
    # Another process takes the delivery for that of a dead one.
    stored = gateway.deliveries.transfers.bring("1-1", "scripted")
    assert gateway.deliveries.transfers.settle("1-1", stored) is None
    assert gateway.wait(order.id) == "delivered"
    gone_on.set()
    time.sleep(1.0)
    assert delivered(gateway, order.id) == source.data[name]
    assert sum("verified and delivered" in event for event in events(gateway, "1-1")) == 1
    assert len(gateway.files()) == 2


def test_what_an_earlier_source_called_otherwise_does_not_stay(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    name = source.add(1, slow(0.3))
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    until(lambda: gateway.store.work("1-1")[1].transferred > 0)
    beside = f"{gateway.account}/orders/{order.id}/{name}/{name}.zip"
    gateway.storage.put_bytes(beside, b"as a killed process stored it, from a source with other names")
    staged = gateway.storage.folder / f"{beside}#17"
    staged.write_bytes(b"half, as a killed process leaves it")
    assert gateway.wait(order.id) == "delivered"
    until(lambda: sorted(path.rpartition("/")[2] for path in gateway.files()) == [f"{name}.SAFE.zip", "metadata.json"])


def test_an_overtaken_transfer_that_settles_deletes_nothing(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = source.add(1)
    second = ScriptedSource("second")
    second.add(1, data=zipped(b"another zip of the same product" * 9_000))
    opened = second.open
    monkeypatch.setattr(second, "open", lambda one: dataclasses.replace(opened(one), name=f"{name}.zip"))
    gateway = start(second)
    transfers, put_bytes = gateway.deliveries.transfers, gateway.storage.put_bytes
    overtaking = iter([True])

    def tardy(key: str, content: bytes) -> None:
        if next(overtaking, False):  # while this process stands still
            stored = transfers.bring("1-1", "second")
            assert transfers.settle("1-1", stored) is None
        put_bytes(key, content)

    monkeypatch.setattr(gateway.storage, "put_bytes", tardy)
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    time.sleep(1.0)
    assert delivered(gateway, order.id) == second.data[name]
    assert events(gateway, "1-1")[-1] == "second: verified and delivered"


def test_what_was_stored_goes_when_the_order_is_cancelled_before_the_next_attempt(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = source.add(1)
    gateway = Gateway(tmp_path, source, schedule=Retry(attempts=9, first=1, longest=1))
    try:
        monkeypatch.setattr(gateway.storage, "put_bytes", raising(OSError(28, "No space left on device")))
        order, _ = gateway.service.create_order(gateway.account, [name])
        until(lambda: bool(gateway.store.work("1-1")[1].error))
        assert gateway.files()
        gateway.service.cancel(gateway.account, order.id)
        until(lambda: not gateway.files())
    finally:
        gateway.stop()


def test_what_fails_for_an_overtaken_transfer_is_not_told_of_the_delivery(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    gone_on = threading.Event()

    def paused(data: bytes, offset: int) -> Iterator[bytes]:
        assert gone_on.wait(30)
        raise ChecksumMismatch("The object changed.")
        yield b""

    name = source.add(1, paused)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name])
    until(lambda: source.opened == [name])
    stored = gateway.deliveries.transfers.bring("1-1", "scripted")
    gone_on.set()
    time.sleep(1.0)
    assert gateway.deliveries.transfers.settle("1-1", stored) is None
    assert gateway.wait(order.id) == "delivered"
    assert not any("changed" in event for event in events(gateway, "1-1"))


@pytest.mark.parametrize("named", ["../../../escaped.zip", "metadata.json", "/etc/x.zip", "a/b.zip"])
def test_a_source_cannot_name_another_place(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    name = source.add(1)
    gateway = start()
    opened = source.open
    monkeypatch.setattr(source, "open", lambda product_id: dataclasses.replace(opened(product_id), name=named))
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "failed"
    assert "cannot be the file" in (gateway.store.work("1-1")[1].error or "")
    assert gateway.files() == []
