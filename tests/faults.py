"""Carrying out the table of faults with any source whose bytes come from a scripted server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from scripted import Gateway, product_id
from scripted_http import DATA, FAULTS, SIGNATURE, TITLE, Fault, ScriptedHttp

from extenso_nb.gateway import deliveries as deliveries_module
from extenso_nb.gateway.sources import Source, resting
from extenso_nb.retry import Retry

SCHEDULE = Retry(attempts=6, first=0.05, factor=1, longest=0.05, jitter=0)
REASONS = {
    "cut always at the same byte": "ended after|closed|were announced|broke off|came",
    "no length, truncated always, nothing known": "not a whole zip|cut|ends",
    "wrong byte always": "md5|sha3-256|CRC",
    "wrong byte always, checksums withheld": "CRC",
    "lying checksum": "md5 is|sha3-256 is",
    "lying size": "announced|catalogue",
    "truncated zip always": "announced|catalogue|bytes",
    "truncated zip always, nothing known": "not a whole zip|cut|ends",
    "page always": TITLE,
    "page always, nothing known": TITLE,
    "503 always": "503",
    "401 always": "refuse|401",
    "403 quota always": "quota exceeded",
    "404 always": "404|not here|no more",
    "410 always": "410|not here|no more",
    "400 always": "400",
    "redirect loop always": "circle",
}
"""What the reason of each fault that stays must say."""


def storage_is_right(
    gateway: Gateway,
    order_id: int,
    passed: int,
    data: bytes = DATA,
    right: Callable[[str, bytes], bool] | None = None,
) -> None:
    """Nothing but what was delivered, all of it right, and every byte of the quota accounted for.

    `right` judges what was stored of a product, where that is not `data` as it is.
    """
    _, deliveries = gateway.store.deliveries(gateway.account, order_id=order_id, rows=1000)
    arrived = [item for item in deliveries if item.status == "delivered"]
    assert len(arrived) == passed
    size = 0
    for item in arrived:
        assert item.key is not None
        stored = gateway.storage.read(item.key)
        assert stored == data if right is None else right(item.product_id, stored)
        assert (item.checksums or {})["sha256"] == hashlib.sha256(stored).hexdigest()
        size += len(stored)
        assert sum("verified and delivered" in entry.event for entry in item.trail) == 1
    kept = set(gateway.files())
    beside = {f"{(item.key or '').rpartition('/')[0]}/metadata.json" for item in arrived}
    assert kept == {item.key for item in arrived} | beside
    storage = gateway.store.account(gateway.account).storage
    assert (storage.used, storage.reserved) == (size, 0)


def nothing_leaked(gateway: Gateway, *servers: ScriptedHttp) -> None:
    _, deliveries = gateway.store.deliveries(gateway.account, rows=1000)
    told = "\n".join(f"{item.error}\n{item.trail}" for item in deliveries)
    assert SIGNATURE not in told
    assert "secret-token" not in told
    for server in servers:
        assert server.leaks == []


def each_fault_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: ScriptedHttp,
    source: Source,
    *,
    faults: Mapping[str, Fault] = FAULTS,
    reasons: Mapping[str, str] = REASONS,
    name: Callable[[int], str] = product_id,
    data: bytes = DATA,
    right: Callable[[str, bytes], bool] | None = None,
) -> None:
    """One order with a product for each fault: delivered whole where the fault passes, else failed for its reason.

    `server.add` is what holds the products, so that a server with a catalogue of its own may do more there. `name` gives
    the identifier of a product by its number; `right` is that of `storage_is_right`. A `faults` that is not the whole
    table says why beside it.
    """
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.2)
    # Sixty faults at once would let the source rest, and each is to be seen alone; how it rests has tests of its own.
    monkeypatch.setattr(resting, "FAILURES", 10**6)
    assert set(reasons) >= {fault for fault, one in faults.items() if one.expects == "stays"}
    named = {server.add(name(number), faults[fault], data=data): fault for number, fault in enumerate(faults)}
    gateway = Gateway(tmp_path, source, schedule=SCHEDULE)
    try:
        order, _ = gateway.service.create_order(gateway.account, list(named))
        gateway.wait(order.id, 400)
        _, deliveries = gateway.store.deliveries(gateway.account, order_id=order.id, rows=1000)
        assert len(deliveries) == len(faults)
        for item in deliveries:
            fault = named[item.product_id]
            if faults[fault].expects == "passes":
                assert item.status == "delivered", (fault, item.error, item.trail)
            else:
                assert item.status == "failed", fault
                said = item.error or ""
                if "the credentials were refused" in said:
                    # All share one token, which the faults of others spend again and again, also in the last attempt.
                    said += " ".join(entry.event for entry in item.trail)
                assert re.search(reasons[fault], said), (fault, item.error)
        storage_is_right(gateway, order.id, sum(fault.expects == "passes" for fault in faults.values()), data, right)
        nothing_leaked(gateway, server)
    finally:
        gateway.stop()
