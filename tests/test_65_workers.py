"""Several processes on one PostgreSQL: they share the work, and none that dies, stands still or wakes up loses any."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archive import write_archive
from postgres import PASSWORD, Cluster, rows

from extenso_nb import errors
from extenso_nb.client import Client
from extenso_nb.models import Order

SECRET = "planted-secret-" * 4
KEY = "exk_planted-key-of-the-owner"
COUNT, SIZE = 30, 3_000_000
SILENT = 2.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive") / "products", count=COUNT, size=SIZE)


class Team:
    """A gateway of several processes: one answers, others deliver."""

    def __init__(self, folder: Path, archive: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.storage = folder / "storage"
        self.processes: list[subprocess.Popen[bytes]] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EXTENSO_")}
        ours = {"EXTENSO_DATABASE": database, "EXTENSO_SECRET": SECRET, "EXTENSO_API_KEY": KEY}
        self.environment = kept | ours | {"HOME": str(folder)}
        self.common = ["--storage", f"folder:{self.storage}", "--source", f"folder:{archive}", "--silent", str(SILENT)]

    def run(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "extenso_nb.cli", *command, "--data-dir", str(self.folder / name), *self.common],
                stdout=log,
                stderr=log,
                env=self.environment | environment,
            )
        self.processes.append(process)
        return process

    def worker(self, name: str) -> subprocess.Popen[bytes]:
        return self.run(name, "worker")

    def serve(self, *options: str) -> Client:
        self.run("serve", "serve", "--port", "0", *options)
        self.until(lambda: "gateway at http" in self.log("serve"))
        return Client(self.log("serve").partition("gateway at ")[2].partition(",")[0], api_key=KEY)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))

    def until(self, holds: Callable[[], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"it did not happen\n{self.logs()}"
            time.sleep(0.05)

    def ready(self, *names: str) -> None:
        self.until(lambda: all("extenSO worker" in self.log(name) for name in names))

    def executors(self) -> Counter[str]:
        """How many transfers each process carried through, by the last part of its name."""
        done = rows(
            self.database,
            "SELECT executor_id FROM dbos.workflow_status WHERE name = 'transfer' AND status = 'SUCCESS'",
        )
        return Counter(str(executor) for (executor,) in done)

    def of(self, process: subprocess.Popen[bytes]) -> int:
        return sum(count for name, count in self.executors().items() if name.split(".")[-2] == str(process.pid))

    def delivered(self) -> int:
        return int(str(rows(self.database, "SELECT count(*) FROM deliveries WHERE status = 'delivered'")[0][0]))

    def end(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)


@pytest.fixture
def team(tmp_path: Path, archive: Path, postgres: str) -> Iterator[Team]:
    made = Team(tmp_path, archive, postgres)
    yield made
    made.end()


def whole(team: Team, eo: Client, order: Order, archive: Path) -> None:
    """Every delivery delivered, once, with the bytes of the source; quota right; nothing beside them in the storage."""
    try:
        ended = eo.wait(order, progress=False, timeout=60)
    except errors.ExtensoError as error:
        raise AssertionError(f"{error}\n{team.logs()}") from error
    assert (ended.status, ended.deliveries) == ("delivered", {"delivered": COUNT}), team.logs()
    deliveries = eo.deliveries(order)
    for item in deliveries:
        assert item.key is not None
        stored = (team.storage / item.key).read_bytes()
        source = (archive / f"{item.product_id}.SAFE.zip").read_bytes()
        assert hashlib.sha256(stored).digest() == hashlib.sha256(source).digest(), item.product_id
        assert sum(entry.event == "verified and delivered" for entry in item.trail) == 1, item.trail
    account = eo.me().storage
    assert (account.used, account.reserved) == (sum(item.size for item in deliveries), 0)
    kept = sorted(path for path in team.storage.rglob("*") if path.is_file())
    assert len(kept) == 2 * COUNT + 1, "each product and its metadata once, and the mark of the storage"
    assert len(rows(team.database, "SELECT 1 FROM orders")) == 1


def test_two_share_the_work_and_one_is_killed(team: Team, archive: Path) -> None:
    # All at the same instant on an empty database: one of them makes the tables.
    first, second = team.worker("first"), team.worker("second")
    with team.serve("--no-work") as eo:
        team.ready("first", "second")
        order = eo.order(eo.search("S2"))
        team.until(lambda: team.of(first) and team.of(second))
        assert team.delivered() < COUNT
        first.kill()
        whole(team, eo, order, archive)
        assert team.of(first) + team.of(second) == COUNT
        team.until(lambda: len(rows(team.database, "SELECT id FROM processes")) == 2)
        assert "is dead" in team.log("second") + team.log("serve")


def test_one_that_stands_still_and_wakes_up_does_no_harm(team: Team, archive: Path) -> None:
    first, second = team.worker("first"), team.worker("second")
    with team.serve("--no-work") as eo:
        team.ready("first", "second")
        order = eo.order(eo.search("S2"))
        team.until(lambda: team.of(first) and team.of(second))
        assert team.delivered() < COUNT
        first.send_signal(signal.SIGSTOP)
        team.until(lambda: "is dead" in team.log("second") + team.log("serve"))
        team.until(lambda: "took over" in team.log("second") + team.log("serve"))
        first.send_signal(signal.SIGCONT)
        assert first.wait(20) == 75
        assert "it ends" in team.log("first")
        whole(team, eo, order, archive)


def test_all_are_killed_and_one_comes_later(team: Team, archive: Path) -> None:
    first, second = team.worker("first"), team.worker("second")
    with team.serve("--no-work") as eo:
        team.ready("first", "second")
        order = eo.order(eo.search("S2"))
        team.until(lambda: team.delivered() >= 3)
        first.kill()
        second.kill()
        first.wait(10)
        second.wait(10)
        done = team.delivered()
        assert done < COUNT
        assert eo.status(order).status == "running"
        team.worker("third")
        whole(team, eo, order, archive)


def test_the_database_goes_away_and_comes_back(team: Team, archive: Path, cluster: Cluster) -> None:
    with team.serve() as eo:
        team.worker("first")
        team.ready("first")
        order = eo.order(eo.search("S2"))
        team.until(lambda: team.delivered() >= 3)
        cluster.stop(signal.SIGQUIT)
        try:
            with Client(eo.url, api_key=KEY) as other, pytest.raises(errors.DatabaseUnavailable) as caught:
                other.me()
            assert caught.value.retry_after >= 1
        finally:
            cluster.start()
        whole(team, eo, order, archive)
        assert all(process.poll() is None for process in team.processes), team.logs()
    assert PASSWORD not in team.logs()
