"""Deliveries over a source that fails by script: they end with the right bytes, or failed with a true reason."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted import Gateway, Reading, ScriptedSource, cut_at, down, short_by, slow, whole, wrong_byte, zipped

from extenso_nb.errors import NotDelivered, SourceUnavailable, UnknownOrder
from extenso_nb.gateway import deliveries as deliveries_module
from extenso_nb.gateway.store import Turn
from extenso_nb.retry import Retry


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
        ([wrong_byte] * 9, None, None, "damaged: the CRC"),
        ([wrong_byte] * 9, None, hashlib.md5(zipped(), usedforsecurity=False).hexdigest(), "md5 is"),
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


@pytest.mark.parametrize("restart", [True, False])
def test_a_workflow_that_broke_off_is_begun_anew_and_moves_the_bytes_again(
    start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    monkeypatch.setattr(deliveries_module, "RECONCILE_SECONDS", 0.5 if not restart else 600)
    name = source.add(1)
    gateway = start()
    with monkeypatch.context() as broken:
        broken.setattr(gateway.deliveries, "settle", raising(RuntimeError("the database is full")))
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
    gateway.deliveries.transfer("1-1", "scripted")
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
