"""The table of faults: each alone and in 200 pairs ends delivered with the right bytes, or failed with a true reason."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import Gateway
from scripted_http import DATA, FAULTS, SIGNATURE, TITLE, ScriptedHttpSource, scripted_http

from extenso_nb.gateway import deliveries as deliveries_module
from extenso_nb.gateway.sources import Limits
from extenso_nb.retry import Retry

PAIRS = 200
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


@contextlib.contextmanager
def two_sources() -> Iterator[tuple[ScriptedHttpSource, ScriptedHttpSource]]:
    limits = Limits(transfers=8)
    with scripted_http("first", limits=limits) as first, scripted_http("second", limits=limits) as second:
        yield first, second


def storage_is_right(gateway: Gateway, order_id: int, passed: int) -> None:
    """Nothing but what was delivered, all of it right, and every byte of the quota accounted for."""
    _, deliveries = gateway.store.deliveries(gateway.account, order_id=order_id, rows=1000)
    arrived = [item for item in deliveries if item.status == "delivered"]
    assert len(arrived) == passed
    for item in arrived:
        assert item.key is not None
        assert gateway.storage.read(item.key) == DATA
        assert (item.checksums or {})["sha256"] == hashlib.sha256(DATA).hexdigest()
        assert sum("verified and delivered" in entry.event for entry in item.trail) == 1
    kept = set(gateway.files())
    beside = {f"{(item.key or '').rpartition('/')[0]}/metadata.json" for item in arrived}
    assert kept == {item.key for item in arrived} | beside
    storage = gateway.store.account(gateway.account).storage
    assert (storage.used, storage.reserved) == (len(DATA) * passed, 0)


def nothing_leaked(gateway: Gateway, *sources: ScriptedHttpSource) -> None:
    _, deliveries = gateway.store.deliveries(gateway.account, rows=1000)
    told = "\n".join(f"{item.error}\n{item.trail}" for item in deliveries)
    assert SIGNATURE not in told
    assert "secret-token" not in told
    for source in sources:
        assert source.server.leaks == []


@pytest.mark.timeout(600)
def test_each_fault_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.2)
    assert set(REASONS) == {name for name, fault in FAULTS.items() if fault.expects == "stays"}
    with two_sources() as (source, _):
        named = {source.server.add(number, fault): fault for number, fault in enumerate(FAULTS)}
        gateway = Gateway(tmp_path, source, schedule=SCHEDULE)
        try:
            order, _ = gateway.service.create_order(gateway.account, list(named))
            gateway.wait(order.id, 400)
            _, deliveries = gateway.store.deliveries(gateway.account, order_id=order.id, rows=1000)
            ended = {named[item.product_id]: item for item in deliveries}
            for fault, item in ended.items():
                if FAULTS[fault].expects == "passes":
                    assert item.status == "delivered", (fault, item.error, item.trail)
                else:
                    assert item.status == "failed", fault
                    assert re.search(REASONS[fault], item.error or ""), (fault, item.error)
            storage_is_right(gateway, order.id, sum(fault.expects == "passes" for fault in FAULTS.values()))
            nothing_leaked(gateway, source)
        finally:
            gateway.stop()


@pytest.mark.timeout(600)
def test_pairs_of_faults_at_two_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries_module, "COLD_POLL_SECONDS", 0.2)
    chance = random.Random(20261125)
    pairs = [(chance.choice(list(FAULTS)), chance.choice(list(FAULTS))) for _ in range(PAIRS)]
    with two_sources() as (first, second):
        named = {}
        for number, pair in enumerate(pairs):
            named[first.server.add(number, pair[0])] = pair
            second.server.add(number, pair[1])
        gateway = Gateway(tmp_path, first, second, schedule=SCHEDULE)
        try:
            order, _ = gateway.service.create_order(gateway.account, list(named))
            gateway.wait(order.id, 500)
            _, deliveries = gateway.store.deliveries(gateway.account, order_id=order.id, rows=1000)
            assert len(deliveries) == PAIRS
            passed = 0
            for item in deliveries:
                pair = named[item.product_id]
                passes = any(FAULTS[fault].expects == "passes" for fault in pair)
                passed += passes
                assert item.status == ("delivered" if passes else "failed"), (pair, item.error, item.trail)
                if not passes:
                    assert any(re.search(REASONS[fault], item.error or "") for fault in pair), (pair, item.error)
            assert 100 < passed < PAIRS, "the draw holds both kinds"
            storage_is_right(gateway, order.id, passed)
            nothing_leaked(gateway, first, second)
        finally:
            gateway.stop()
