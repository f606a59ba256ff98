"""What all tests share: real data, loopback only, no state of the user's, reproducible chance."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import browse, chromium, lab, notebook7, sample_cache, voila
from hypothesis import HealthCheck, settings
from postgres import cluster, postgres
from seaweed import s3

if TYPE_CHECKING:
    from scripted import Gateway, ScriptedSource

__all__ = ["browse", "chromium", "cluster", "lab", "notebook7", "postgres", "s3", "sample_cache", "voila"]

settings.register_profile(
    "extenso", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("extenso")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real products and recorded answers that nobody here wrote; they lie beside the checkout, never in it."""
    named = os.environ.get("EXTENSO_TEST_DATA")
    path = Path(named) if named else ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"real data not there: {path} (set EXTENSO_TEST_DATA)")
    return path.resolve()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, source: ScriptedSource) -> Iterator[Gateway]:
    """A gateway in this process over the `source` of the test module."""
    from scripted import Gateway

    made = Gateway(tmp_path_factory.mktemp("gateway"), source)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def worker() -> Iterator[Any]:
    """A client of one worker process of dask."""
    from dask.distributed import Client, LocalCluster

    # Any free port for its page: two of them may stand beside each other.
    where = {"dashboard_address": ":0", "host": "127.0.0.1"}
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=True, **where) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the user's, and none of ours into the user's home."""
    theirs = ("EXTENSO_", "EARTHDATA_")
    for name in [name for name in os.environ if name.startswith(theirs) and name != "EXTENSO_TEST_DATA"]:
        monkeypatch.delenv(name)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


def _loopback(address: Any) -> bool:
    host = address[0] if isinstance(address, tuple) else None
    return host is None or str(host) in {"127.0.0.1", "::1", "localhost", ""}


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: Any) -> Any:
        if not _loopback(address):
            raise AssertionError(f"a test reached for the network: {address}")
        return connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> Any:
        if not _loopback(address):
            raise AssertionError(f"a test reached for the network: {address}")
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: one that begins last is waited for by a core that has nothing left to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failed one: nothing may hide behind a missing tool."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("EXTENSO_FAIL_ON_SKIP") and skipped and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes Explorers over a gateway in memory, on a recording comm; callbacks raise what they raise."""
    from desk_gateway import explorers

    with explorers(monkeypatch) as made:
        yield made
