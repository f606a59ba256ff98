"""A gateway that is killed a hundred times, at any instant, while 50 deliveries run: nothing is lost, nothing doubled."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import TRANSFERS
from scripted import files_under, product_id, zipped
from scripted_http import Exchange, ScriptedHttp

from extenso_nb.client import Client
from extenso_nb.errors import ExtensoError
from extenso_nb.gateway.serve import read_card
from extenso_nb.retry import Retry

KILLS = 100
OPEN = 50
CHANCE = random.Random(100)


def paced(x: Exchange) -> None:
    """The product within a tenth of a second to a second, so that some are caught by each kill and some are not."""
    start = x.good_head()
    seconds = 0.1 + 0.9 * (int(x.held.id[-2:]) / 59)
    for place in range(start, len(x.held.data), 30_000):
        x.body(place, place + 30_000)
        x.server.stopped.wait(seconds / 10)


@contextlib.contextmanager
def running(data_dir: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(Path(__file__).with_name("gateway_process.py")), str(data_dir), url]
    with (data_dir.parent / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def connected(data_dir: Path, process: subprocess.Popen[bytes], seconds: float) -> Client | None:
    """A client of the gateway as soon as it answers; None when it does not within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        card = read_card(data_dir)
        if card is not None and card["pid"] == process.pid:
            return Client(card["url"], api_key=card["api_key"], retry=Retry(attempts=1))
        assert process.poll() is None, (data_dir.parent / "log").read_text()[-3000:]
        time.sleep(0.01)
    return None


class Orders:
    """Orders of 50 products each, placed one after the other as the deliveries of those before come to their end."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.heard = 0
        """Of how many it is known that they were accepted."""

    def more(self, client: Client) -> None:
        """Order again what was not heard to be accepted; or the next 50, when fewer than 50 are open."""
        if self.heard == len(self.batches):
            delivered = sum(order.deliveries.get("delivered", 0) for order in client.orders())
            known = sum(len(batch) for batch in self.batches)
            if known - delivered >= OPEN:
                return
            self.batches.append(list(range(known, known + OPEN)))
        self.place(client, self.heard)
        self.heard += 1

    def place(self, client: Client, number: int) -> None:
        """One of them; asked twice it is one order all the same."""
        client.order([product_id(one) for one in self.batches[number]], idempotency_key=f"batch-{number}")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with ScriptedHttp() as server:
        content = {}
        for number in range(1000):
            content[product_id(number)] = zipped(CHANCE.randbytes(200_000))
            server.add(number, "none", data=content[product_id(number)])
            server.held[product_id(number)].always = paced
        orders, answered = Orders(), 0
        for _ in range(KILLS):
            answered += killed(data_dir, server.url, orders)
        assert answered >= KILLS / 4, "most are killed while they work, some while they start"
        with running(data_dir, server.url) as process:
            client = connected(data_dir, process, 60)
            assert client is not None
            with client:
                all_is_well(client, server, orders, content, data_dir)


def killed(data_dir: Path, url: str, orders: Orders) -> bool:
    """Start a gateway, order, and kill it at some instant, be it in the middle of an order; whether it answered before."""
    # Which of the two is drawn, not left to how long a start takes: on a busy machine all would be killed while they start.
    patience = 60 if CHANCE.random() < 0.6 else CHANCE.uniform(0.1, 2.0)
    with running(data_dir, url) as process:
        client = connected(data_dir, process, patience)
        if client is None:
            return False
        asking = threading.Thread(target=asked, args=(client, orders))
        asking.start()
        time.sleep(CHANCE.uniform(0, 0.8))
        os.kill(process.pid, signal.SIGKILL)
        asking.join()
        return True


def asked(client: Client, orders: Orders) -> None:
    with client, contextlib.suppress(ExtensoError):
        orders.more(client)


def all_is_well(
    client: Client, server: ScriptedHttp, orders: Orders, content: dict[str, bytes], data_dir: Path
) -> None:
    for number in range(len(orders.batches)):
        orders.place(client, number)  # the last one may never have been heard
    placed = client.orders()
    assert len(placed) == len(orders.batches), "an order was lost or doubled"
    kept = set()
    for order in placed:
        assert client.wait(order, progress=False, timeout=400).status == "delivered"
        for delivery in client.deliveries(order):
            assert delivery.key is not None
            stored = (data_dir / "storage" / delivery.key).read_bytes()
            assert stored == content[delivery.product_id]
            assert (delivery.checksums or {})["sha256"] == hashlib.sha256(stored).hexdigest()
            assert sum("verified and delivered" in entry.event for entry in delivery.trail) == 1
            kept |= {delivery.key, f"{delivery.key.rpartition('/')[0]}/metadata.json"}
    found = {str(path.relative_to(data_dir / "storage")) for path in files_under(data_dir / "storage")}
    assert found == kept, "half-written files, or files of nobody"
    count = sum(len(batch) for batch in orders.batches)
    storage = client.me().storage
    assert (storage.used, storage.reserved) == (sum(len(content[product_id(n)]) for n in range(count)), 0)
    fetched = sum(server.requests.values())
    assert fetched <= count + TRANSFERS * KILLS, "a kill interrupts no more transfers than were under way"
    print(
        f"{KILLS} kills, {count} deliveries, {fetched} fetches, at most {max(server.requests.values())} of one product"
    )
