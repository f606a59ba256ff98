"""The table of faults: each alone and in 200 pairs ends delivered with the right bytes, or failed with a true reason."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import REASONS, SCHEDULE, each_fault_alone, nothing_leaked, storage_is_right
from scripted import Gateway
from scripted_http import FAULTS, ScriptedHttpSource, scripted_http

from extenso_nb.gateway import deliveries as deliveries_module
from extenso_nb.gateway.sources import Limits

PAIRS = 200


@contextlib.contextmanager
def two_sources() -> Iterator[tuple[ScriptedHttpSource, ScriptedHttpSource]]:
    limits = Limits(transfers=8)
    with scripted_http("first", limits=limits) as first, scripted_http("second", limits=limits) as second:
        yield first, second


@pytest.mark.timeout(600)
def test_each_fault_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(REASONS) == {name for name, fault in FAULTS.items() if fault.expects == "stays"}
    with scripted_http(limits=Limits(transfers=8)) as source:
        each_fault_alone(tmp_path, monkeypatch, source.server, source)


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
            nothing_leaked(gateway, first.server, second.server)
        finally:
            gateway.stop()
