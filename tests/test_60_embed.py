"""The embedded gateway: a process of its own, found or started, one a data directory, safe against every way of dying."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted import files_under

from extenso_nb import errors
from extenso_nb.gateway.embed import Found, find, find_or_start
from extenso_nb.gateway.serve import CARD, LOCK, Settings, absolute_source, open_source, open_sources, serve
from extenso_nb.session import Session, connect

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder of small products: enough for an order that takes a while."""
    from archive import write_archive

    return write_archive(tmp_path / "archive", count=12)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    found = find(folder)
    if found is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)


def start(archive: Path, data_dir: Path, idle: float = 120) -> Found:
    return find_or_start(data_dir, sources=(f"folder:{archive}",), idle_seconds=idle, timeout=60)


def opened(archive: Path, data_dir: Path) -> Session:
    return connect(sources=f"folder:{archive}", data_dir=data_dir)


def gone(pid: int, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_two_that_connect_at_once_share_one_gateway(archive: Path, data_dir: Path) -> None:
    found: list[Found] = []
    threads = [threading.Thread(target=lambda: found.append(start(archive, data_dir))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({(one.url, one.pid) for one in found}) == 1
    assert found[0].url.startswith("http://127.0.0.1:")
    card = data_dir / CARD
    for secret in (card, data_dir / "api-key", data_dir / "secret"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600, secret
    assert found[0].api_key not in repr(found[0])
    log = (data_dir / "gateway.log").read_text()
    assert found[0].api_key not in log


def test_it_ends_when_idle_and_starts_again_when_asked(archive: Path, data_dir: Path) -> None:
    first = start(archive, data_dir, idle=1.0)
    assert gone(first.pid)
    assert find(data_dir) is None
    assert not (data_dir / CARD).exists()
    with opened(archive, data_dir) as eo:
        number = eo.order(eo.search("S2")[:1]).id
        assert eo.wait(number, progress=False).status == "delivered"
        found = find(data_dir)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        assert gone(found.pid)
        # The session notices, starts another one, and knows its order still.
        assert [order.id for order in eo.orders()] == [number]


def test_a_stranger_on_the_old_port_gets_no_key(archive: Path, data_dir: Path) -> None:
    first = start(archive, data_dir)
    card = (data_dir / CARD).read_text()
    os.kill(first.pid, signal.SIGKILL)
    assert gone(first.pid)
    assert (data_dir / CARD).exists(), "a killed gateway leaves its card"
    heard: list[bytes] = []
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", int(json.loads(card)["url"].rpartition(":")[2])))
        stranger.listen()
        stranger.settimeout(0.2)
        second = start(archive, data_dir)
        with contextlib.suppress(TimeoutError):
            heard.append(stranger.accept()[0].recv(10_000))
    assert second.url != first.url
    assert heard == []


def test_kill_9_of_the_kernel_and_of_the_gateway_while_an_order_runs(archive: Path, data_dir: Path) -> None:
    """The acceptance of the house: after restarts the order ends delivered, once, with the quota right."""
    kernel_code = f"""
import sys, time
from extenso_nb import connect
eo = connect(sources="folder:{archive}", data_dir={str(data_dir)!r})
scenes = eo.search("S2")
order = eo.order(scenes, idempotency_key="the-order-of-this-test")
print(order.id, flush=True)
eo.wait(order, progress=False)
time.sleep(60)
"""
    chance = random.Random(20240601)
    kills = 0
    with subprocess.Popen([sys.executable, "-c", kernel_code], stdout=subprocess.PIPE, text=True) as kernel:
        assert kernel.stdout is not None
        number = int(kernel.stdout.readline())
        for _ in range(5):
            time.sleep(chance.uniform(0.0, 1.2))
            found = find(data_dir)
            if found is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found.pid, signal.SIGKILL)
                    kills += 1
                assert gone(found.pid)
            kernel.kill()
            start(archive, data_dir)
    with opened(archive, data_dir) as eo:
        # The killed kernel's cell is run again, as its user would: it is still one order.
        again = eo.order(eo.search("S2"), idempotency_key="the-order-of-this-test")
        assert again.id == number
        order = eo.wait(number, progress=False, timeout=120)
        assert (order.status, order.deliveries) == ("delivered", {"delivered": 12})
        assert [one.id for one in eo.orders()] == [number]
        deliveries = eo.deliveries(number)
        storage = eo.me().storage
        assert storage.used == sum(item.size for item in deliveries) == order.size
        assert storage.reserved == 0
        for item in deliveries:
            assert item.key is not None
            here = eo.local_path(item)
            assert here.stat().st_size == item.size
            assert sum(entry.event == "verified and delivered" for entry in item.trail) == 1
            begun = sum(entry.event == "transfer begins" for entry in item.trail)
            assert 1 <= begun <= 1 + kills
        kept = sorted(path.name for path in files_under(data_dir / "storage"))
        assert len(kept) == 24, "each product and its metadata once, and nothing half-written"
    assert kills >= 3


def test_a_second_gateway_on_one_data_directory_is_refused(archive: Path, data_dir: Path) -> None:
    first = start(archive, data_dir)
    with pytest.raises(errors.DataDirectoryInUse) as caught:
        serve(Settings(data_dir=data_dir, sources=(f"folder:{archive}",)))
    assert caught.value.details == {"url": first.url, "pid": first.pid}
    found = find(data_dir)
    assert found is not None
    assert found.pid == first.pid, "the one that runs is left alone"


def test_a_port_in_use_is_said(archive: Path, data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(errors.PortInUse, match=str(port)) as caught:
            serve(Settings(data_dir=data_dir, sources=(f"folder:{archive}",), port=port))
    assert "--port" in caught.value.hint
    assert find(data_dir) is None


def test_a_data_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    # Tests run as root here, whom no mode stops; a file in the way, and /proc, stop everybody.
    blocking = tmp_path / "file"
    blocking.write_text("")
    for folder in (blocking / "data", Path("/proc/extenso")):
        with pytest.raises(errors.DataDirectoryReadOnly, match="cannot be written"):
            find_or_start(folder, timeout=10)
        with pytest.raises(errors.DataDirectoryReadOnly):
            serve(Settings(data_dir=folder))


def test_a_gateway_that_cannot_start_says_why(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.GatewayStartFailed, match="not a source"):
        find_or_start(data_dir, sources=("nonsense",), timeout=30)


def test_a_folder_that_is_not_there_is_not_an_empty_archive(data_dir: Path, tmp_path: Path) -> None:
    with connect(sources=f"folder:{tmp_path / 'nowhere'}", data_dir=data_dir) as eo:
        with pytest.raises(errors.SourceUnavailable, match="nowhere"):
            eo.search("S2")
        assert eo.health().status == "degraded"


@pytest.mark.parametrize("text", ["", "folder", "folder:", "sample:x", "ftp://x", "csde"])
def test_sources_are_named_as_documented(text: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="not a source"):
        open_source(text)


def test_requests_at_the_moment_of_an_idle_end_are_answered(
    archive: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "extenso_nb.gateway.embed.find_or_start",
        lambda folder, *, sources: find_or_start(folder, sources=sources, idle_seconds=0.6),
    )
    with opened(archive, data_dir) as eo:
        for number in range(8):
            time.sleep(0.6 + 0.03 * number)
            assert eo.me().name == "owner"


def test_who_only_looks_is_no_gateway(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / LOCK).write_text("")
    card = {"url": "http://127.0.0.1:1", "api_key": "k", "pid": 1}
    found: list[Found | None] = []

    def look() -> None:
        for _ in range(200):
            # As after `kill -9`, for each look: the first that gets the lock takes the card away.
            (data_dir / CARD).write_text(json.dumps(card))
            found.append(find(data_dir))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one is not None for one in found) <= 2


def test_a_key_of_another_gateway_in_the_environment_makes_no_other_owner(
    archive: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTENSO_API_KEY", "key-of-a-remote-gateway")
    first = start(archive, data_dir)
    assert first.api_key == (data_dir / "api-key").read_text()
    assert "remote" not in (data_dir / CARD).read_text()


def test_a_key_of_the_environment_goes_only_where_it_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTENSO_API_KEY", "key-of-mine")
    monkeypatch.setenv("EXTENSO_URL", "https://mine.example.org")
    with pytest.raises(errors.AccessError, match="No API key for http://127"):
        connect("http://127.0.0.1:1")


def test_a_relative_folder_is_that_of_the_one_who_names_it(
    archive: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(archive.parent)
    with connect(sources=f"folder:{archive.name}", data_dir=data_dir) as eo:
        assert eo.search("S2").total == 12
    other = tmp_path / "elsewhere"
    (other / archive.name).mkdir(parents=True)
    monkeypatch.chdir(other)
    with pytest.raises(errors.InputError, match="has the sources"):
        connect(sources=f"folder:{archive.name}", data_dir=data_dir)


def test_several_folders_are_told_apart(tmp_path: Path) -> None:
    opened_sources = open_sources([f"folder:{tmp_path}/a", f"mine=folder:{tmp_path}/b=c", f"folder:{tmp_path}/d"])
    assert [source.name for source in opened_sources] == ["folder", "mine", "folder-2"]
    with pytest.raises(errors.InvalidRequest, match="No source can be named storage"):
        open_sources([f"storage=folder:{tmp_path}"])
    with pytest.raises(errors.InvalidRequest, match="Two sources are named sample"):
        open_sources(["sample", "sample"], cache_dir=tmp_path)


def test_a_source_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_source("mine=folder:a") == f"mine=folder:{tmp_path}/a"
    assert absolute_source("folder:/a/folder:b=c") == "folder:/a/folder:b=c"
    assert [absolute_source(text) for text in ("sample", "folder:", "x")] == ["sample", "folder:", "x"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_soon_and_tidily(archive: Path, data_dir: Path, number: signal.Signals) -> None:
    first = start(archive, data_dir)
    with opened(archive, data_dir) as eo:
        eo.order(eo.search("S2"))
    os.kill(first.pid, number)
    assert gone(first.pid, 15)
    assert not (data_dir / CARD).exists()
    with opened(archive, data_dir) as eo:
        assert eo.wait(1, progress=False).deliveries == {"delivered": 12}
