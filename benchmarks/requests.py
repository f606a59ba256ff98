"""Requests a second of `GET /order/products/orders` against a FastAPI route that does nothing, in turn, from one client."""

from __future__ import annotations

import http.client
import multiprocessing
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import parts  # noqa: F401 - makes the tests' modules importable
import uvicorn
from fastapi import FastAPI
from scripted import Gateway, ScriptedSource, served

from extenso_nb import wire

SECONDS, ROUNDS, ORDERS = 3.0, 5, 30


def gateway(folder: str, told: Any) -> None:
    """A gateway with some orders of ten products each; its address and a token."""
    source = ScriptedSource()
    names = [source.add(number) for number in range(10)]
    running = Gateway(Path(folder), source)
    running.store.set_quota(running.account, 10**12)
    for _ in range(ORDERS):
        running.service.create_order(running.account, names)
    for number in range(1, ORDERS + 1):
        running.wait(number, 300)
    with served(running) as url:
        told.put((url, running.access.login(running.key)))
        time.sleep(600)


def bare(told: Any) -> None:
    """The route that does nothing."""
    app = FastAPI()

    @app.get("/bare")
    def _nothing() -> dict[str, str]:
        return {"status": "ok"}

    # With its protocol named asyncio sets TCP_NODELAY; else each answer waits for an acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        told.put((f"http://127.0.0.1:{listening.getsockname()[1]}/bare", ""))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        server.run(sockets=[listening])


def rate(url: str, token: str) -> float:
    """Requests a second, one after the other on one connection."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    headers = {"Authorization": f"Bearer {token}"}
    count, begun = 0, time.monotonic()
    while time.monotonic() - begun < SECONDS:
        connection.request("GET", at.path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        count += 1
    return count / (time.monotonic() - begun)


def main() -> None:
    """Print medians and their ratio."""
    told = multiprocessing.Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            multiprocessing.Process(target=gateway, args=(folder, told), daemon=True),
            multiprocessing.Process(target=bare, args=(told,), daemon=True),
        ]
        addresses = {}
        for process, name in zip(processes, ("orders", "bare"), strict=True):
            process.start()
            addresses[name] = told.get(timeout=300)
        url, token = addresses["orders"]
        addresses["orders"] = (url + wire.VERBS["orders"].url(), token)
        addresses["me"] = (url + wire.VERBS["me"].url(), token)
        rates: dict[str, list[float]] = {name: [] for name in addresses}
        for _ in range(ROUNDS):
            for name, address in addresses.items():
                rates[name].append(rate(*address))
        for name, found in rates.items():
            ratios = [own / other for own, other in zip(found, rates["bare"], strict=True)]
            print(f"{name:<7} {statistics.median(found):6.0f} requests/s; / bare: {statistics.median(ratios):.2f}")
        for process in processes:
            process.kill()


if __name__ == "__main__":
    main()
