"""Several processes on one PostgreSQL: they share the work, and none that dies, stands still or wakes up loses any."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from archive import write_archive
from postgres import PASSWORD, Cluster, rows
from scripted import Gateway, ScriptedSource, files_under, slow

from extenso_nb import errors
from extenso_nb.cli import main
from extenso_nb.client import Client
from extenso_nb.gateway import deliveries as deliveries_module
from extenso_nb.gateway.access import Access
from extenso_nb.gateway.serve import BURIED, Settings, _begun, _owner, open_sources, serve, work
from extenso_nb.gateway.sources import Limits
from extenso_nb.gateway.store import Store, database_url
from extenso_nb.gateway.workers import Member
from extenso_nb.models import Order

SLOWED = Path(__file__).with_name("slowed.py")
FREE = 3
"""As there: so many products each process brings, the others when `go_on` says so."""
SECRET = "planted-secret-" * 4
KEY = "exk_planted-key-of-the-owner"
COUNT, SIZE = 30, 2_000_000
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
        self.held = folder / "held"
        self.held.touch()
        self.environment = kept | ours | {"HOME": str(folder), "EXTENSO_TEST_HOLD": str(self.held)}
        self.common = ["--storage", f"folder:{self.storage}", "--source", f"folder:{archive}", "--silent", str(SILENT)]

    def run(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(SLOWED), *command, "--data-dir", str(self.folder / name), *self.common],
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

    def transfers(self, process: subprocess.Popen[bytes], status: str = "SUCCESS") -> int:
        """How many transfers a process has carried through, or is at."""
        mine = f"executor_id LIKE '%.{process.pid}.%' AND name = 'transfer' AND status = '{status}'"
        return int(str(rows(self.database, f"SELECT count(*) FROM dbos.workflow_status WHERE {mine}")[0][0]))

    def at_work(self, *processes: subprocess.Popen[bytes]) -> None:
        """Until each of them has carried something through, and is in the middle of the next."""
        for process in processes:
            self.until(lambda one=process: self.transfers(one) and self.transfers(one, "PENDING"))
        self.until(lambda: self.delivered() == FREE * len(processes))

    def go_on(self) -> None:
        """Let the transfers that are held come to their end."""
        self.held.unlink()

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
    kept = sorted(path.name for path in files_under(team.storage))
    assert kept.count("metadata.json") == COUNT
    assert [name for name in kept if name.endswith(".zip")] == sorted(path.name for path in archive.glob("*.zip"))
    assert [name for name in kept if "#" in name] == [], "nothing half-written"
    assert len(rows(team.database, "SELECT 1 FROM orders")) == 1


def test_two_share_the_work_and_one_is_killed(team: Team, archive: Path) -> None:
    # All at the same instant on an empty database: one of them makes the tables.
    first, second = team.worker("first"), team.worker("second")
    with team.serve("--no-work") as eo:
        team.ready("first", "second")
        order = eo.order(eo.search("S2"))
        team.at_work(first, second)
        first.kill()
        team.go_on()
        whole(team, eo, order, archive)
        assert 0 < team.transfers(first) < COUNT
        assert team.transfers(first) + team.transfers(second) == COUNT, "the one that only answers does none"
        team.until(lambda: len(rows(team.database, "SELECT id FROM processes")) == 2)
        told = team.log("second") + team.log("serve")
        assert told.count("is dead") == 1
        assert "took over" in told


def test_those_that_stand_still_and_wake_up_do_no_harm(team: Team, archive: Path) -> None:
    first, second, third = team.worker("first"), team.worker("second"), team.worker("third")
    with team.serve("--no-work") as eo:
        team.ready("first", "second", "third")
        order = eo.order(eo.search("S2"))
        team.at_work(first, second, third)
        for process in (first, second):
            process.send_signal(signal.SIGSTOP)
        for name in (first, second):
            team.until(lambda name=name: re.search(rf"took over \d+ workflows of \S+\.{name.pid}\.", team.logs()))
        # One wakes up while the others are at its work, the other one when all is done.
        first.send_signal(signal.SIGCONT)
        assert first.wait(20) == BURIED
        team.go_on()
        team.until(lambda: team.delivered() == COUNT)
        second.send_signal(signal.SIGCONT)
        assert second.wait(20) == BURIED
        assert third.poll() is None
        assert "it ends" in team.log("first")
        whole(team, eo, order, archive)


def test_a_gateway_that_stood_still_goes_on_answering(team: Team, archive: Path) -> None:
    with team.serve() as eo:
        gateway = team.processes[0]
        worker = team.worker("first")
        team.ready("first")
        order = eo.order(eo.search("S2"))
        team.at_work(gateway, worker)
        gateway.send_signal(signal.SIGSTOP)
        team.until(lambda: "took over" in team.log("first"))
        gateway.send_signal(signal.SIGCONT)
        team.until(lambda: "it goes on" in team.log("serve"))
        team.go_on()
        whole(team, eo, order, archive)
        assert len(rows(team.database, "SELECT id FROM processes")) == 2
        # And what it does under its old name counts again.
        second = eo.order(eo.search("S2")[:1])
        assert eo.wait(second, progress=False, timeout=30).status == "delivered"


def test_one_is_told_to_end_the_other_is_killed_and_a_third_comes_later(team: Team, archive: Path) -> None:
    first, second = team.worker("first"), team.worker("second")
    with team.serve("--no-work") as eo:
        team.ready("first", "second")
        order = eo.order(eo.search("S2"))
        team.at_work(first, second)
        first.terminate()
        assert first.wait(20) == 0
        assert rows(team.database, f"SELECT id FROM processes WHERE id LIKE '%.{first.pid}.%'") == []
        team.until(lambda: re.search(rf"took over \d+ workflows of \S+\.{first.pid}\.", team.logs()))
        assert "is dead" not in team.logs(), "nobody waits for the silence of who said that it ends"
        second.kill()
        second.wait(10)
        assert eo.status(order).status == "running"
        team.worker("third")
        team.go_on()
        whole(team, eo, order, archive)


def test_the_database_goes_away_and_comes_back(team: Team, archive: Path, cluster: Cluster) -> None:
    with team.serve() as eo:
        worker = team.worker("first")
        team.ready("first")
        order = eo.order(eo.search("S2"))
        team.at_work(worker, team.processes[0])
        store = Store(database_url(team.database))
        token = Access(store, SECRET.encode()).login(KEY)
        store.close()
        cluster.stop(signal.SIGQUIT)
        try:
            asked = httpx.get(f"{eo.url}/api/v1/services/user-storage/me", headers={"Authorization": f"Bearer {token}"})
            assert (asked.status_code, asked.json()["internalCode"]) == (503, 1601), asked.text
            assert int(asked.headers["Retry-After"]) >= 1
            assert httpx.get(f"{eo.url}/api/v1/services/health").status_code == 200
        finally:
            cluster.start()
        team.go_on()
        whole(team, eo, order, archive)
        # Longer than anyone may be silent: still nobody was taken for dead, for all were cut off.
        cluster.stop()
        time.sleep(SILENT * 1.5)
        cluster.start()
        again = eo.order(eo.search("S2")[:2])
        assert eo.wait(again, progress=False, timeout=60).status == "delivered"
        assert all(process.poll() is None for process in team.processes), team.logs()
        assert "is dead" not in team.logs()
    assert PASSWORD not in team.logs()
    assert SECRET not in team.logs()
    assert PASSWORD not in (team.folder / "serve" / "gateway.json").read_text()


def test_after_a_break_nobody_is_taken_for_dead_before_his_time(postgres: str, cluster: Cluster) -> None:
    store = Store(database_url(postgres))
    asked: list[set[str]] = []
    work_of_mine: Any = SimpleNamespace(
        executor_id="mine", steps="1", take_over=lambda living: asked.append(living()) or {}
    )
    buried: list[Member] = []
    member = Member(store, work_of_mine, kind="worker", sources="s", buried=buried.append, silent=1.0)
    member.enter()
    store.enter("other", kind="worker", sources="s", steps="1", silent=1.0)
    member.start()
    try:
        for _ in range(12):  # long enough for it to judge others
            assert store.beat("other") is not None
            time.sleep(0.15)
        cluster.stop()
        time.sleep(1.5)
        cluster.start()
        time.sleep(0.6)
        assert store.beat("other") is not None, "the silence was that of the database"
        end = time.monotonic() + 10
        while {process.id for process in store.processes()} != {"mine"}:
            assert time.monotonic() < end, "one that is silent is dead in the end"
            time.sleep(0.05)
        assert asked[-1] <= {"mine", "other"}
        assert buried == []
        # And it notices when the others took itself for dead.
        store.leave("mine")
        while not buried:
            assert time.monotonic() < end + 5
            time.sleep(0.05)
    finally:
        cluster.start()
        member.stop()
        store.close()


def test_a_heart_goes_on_beating_when_the_database_goes_away_at_the_wrong_moment(postgres: str) -> None:
    store = Store(database_url(postgres))
    work_of_mine: Any = SimpleNamespace(executor_id="mine", steps="1", take_over=lambda living: {})
    times = iter([True, True])

    def enter_again(member: Member) -> None:
        if next(times, False):
            raise errors.DatabaseUnavailable("The gateway's database does not answer.")
        member.enter()

    member = Member(store, work_of_mine, kind="serve", sources="s", buried=enter_again, silent=1.0)
    member.enter()
    member.start()
    try:
        store.leave("mine")
        end = time.monotonic() + 10
        while [process.id for process in store.processes()] != ["mine"]:
            assert time.monotonic() < end, "it lives, and does not say so any more"
            time.sleep(0.05)
    finally:
        member.stop()
        store.close()


# --- who may not join ------------------------------------------------------------------------------------------------
@pytest.fixture
def settings(tmp_path: Path, archive: Path, postgres: str) -> Settings:
    sources = (f"folder:{archive}",)
    return Settings(
        tmp_path / "data", sources, storage=tmp_path / "storage", database=postgres, secret=SECRET, api_key=KEY
    )


def joined(settings: Settings, kind: str = "serve") -> None:
    """As far as a process comes before it listens."""
    settings.data_dir.mkdir(exist_ok=True)
    with _begun(settings, open_sources(settings.sources), kind, lambda member: None) as parts:
        _owner(settings, parts.store)


def test_settings_show_no_secret(settings: Settings) -> None:
    for hidden in (PASSWORD, SECRET, KEY):
        assert hidden not in repr(settings)


def test_another_secret_another_storage_and_none_at_all(settings: Settings, tmp_path: Path) -> None:
    for nothing in (replace(settings, secret=None, data_dir=tmp_path / "worker"),):
        with pytest.raises(errors.DatabaseRefused, match="this one has none"):
            work(nothing)
    joined(settings)
    for run in (work, serve):
        with pytest.raises(errors.DatabaseRefused, match="another secret") as caught:
            run(replace(settings, secret="another-" * 8))
        assert "another-" not in str(caught.value)
        with pytest.raises(errors.DatabaseRefused, match="this one has none"):
            run(replace(settings, secret=None, data_dir=tmp_path / "third"))
        with pytest.raises(errors.DatabaseRefused, match="not the storage"):
            run(replace(settings, storage=tmp_path / "elsewhere"))
    joined(settings, "worker")
    assert rows(str(settings.database), "SELECT id FROM processes") == []


def test_the_file_of_the_first_gateway_is_the_secret_of_all(settings: Settings, tmp_path: Path) -> None:
    settings = replace(settings, secret=None)
    joined(settings)
    made = (settings.data_dir / "secret").read_text()
    joined(replace(settings, data_dir=tmp_path / "other", secret=made), "worker")
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "secret").write_text(made)
    joined(replace(settings, data_dir=tmp_path / "third"), "worker")


def test_the_owner_is_made_once(settings: Settings, tmp_path: Path) -> None:
    joined(settings)
    joined(replace(settings, data_dir=tmp_path / "second"))
    joined(replace(settings, data_dir=tmp_path / "third", api_key=None))
    assert not (tmp_path / "third" / "api-key").exists()
    assert rows(str(settings.database), "SELECT name, role FROM accounts") == [("owner", "operator")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"storage": None}, "must share the storage"),
        ({"storage": "private"}, "must share the storage"),
        ({"secret": "short"}, "5 characters"),
        ({"silent_seconds": 0.1}, "too short"),
        ({"database": "mysql://u:hush@h/d"}, "not the address"),
        ({"sources": ("tape:x",)}, "not a source"),
    ],
)
def test_what_cannot_work_is_refused_at_once(settings: Settings, changes: dict[str, Any], words: str) -> None:
    if changes.get("storage") == "private":
        changes = {"storage": settings.data_dir / "storage"}
    for run in (work, serve):
        with pytest.raises(errors.InvalidRequest, match=words) as caught:
            run(replace(settings, **changes))
        assert "hush" not in str(caught.value)


def test_alone_there_is_nothing_to_share(settings: Settings) -> None:
    alone = replace(settings, database=None)
    with pytest.raises(errors.InvalidRequest, match="needs the database"):
        work(alone)
    with pytest.raises(errors.InvalidRequest, match="needs workers"):
        serve(replace(alone, deliver=False))


def test_accounts_are_made_in_the_database(
    postgres: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXTENSO_DATABASE", postgres)
    assert main(["admin", "create", "maria", "--quota", "1GB"]) == 0
    key = capsys.readouterr().out.strip()
    monkeypatch.delenv("EXTENSO_DATABASE")
    assert main(["admin", "list", "--database", postgres]) == 0
    told = capsys.readouterr().out
    assert "maria" in told
    assert main(["admin", "revoke", told.split()[0], "--database", postgres]) == 0
    assert main(["admin", "list", "--database", postgres]) == 0
    assert "revoked" in capsys.readouterr().out
    assert key not in str(rows(postgres, "SELECT * FROM accounts"))
    assert main(["admin", "list", "--database", "postgresql://u:hush@127.0.0.1:1/d"]) == 18
    assert main(["admin", "list", "--database", "nonsense:hush"]) == 2
    assert "hush" not in capsys.readouterr().err


def test_what_an_older_version_began_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ScriptedSource()
    name = source.add(1, slow(0.2))
    gateway = Gateway(tmp_path, source)
    order, _ = gateway.service.create_order(gateway.account, [name])
    while not source.opened:
        time.sleep(0.05)
    gateway.stop()
    monkeypatch.setattr(deliveries_module, "STEPS_VERSION", "next")
    gateway = Gateway(tmp_path, source)
    assert gateway.wait(order.id) == "delivered"
    assert gateway.store.due_deliveries() == []
    gateway.stop()


def test_what_an_older_version_was_at_keeps_no_place_at_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_on = threading.Event()

    def stalled(data: bytes, offset: int) -> Iterator[bytes]:
        gone_on.wait(60)
        yield data[offset:]

    source = ScriptedSource()
    source.limits = Limits(transfers=1)
    names = [source.add(1, stalled), source.add(2)]
    gateway = Gateway(tmp_path, source)
    first, _ = gateway.service.create_order(gateway.account, names[:1])
    while not source.opened:
        time.sleep(0.05)
    gateway.service.cancel(gateway.account, first.id)
    gateway.stop()  # before the source says anything, by which the transfer would find out
    monkeypatch.setattr(deliveries_module, "STEPS_VERSION", "next")
    gateway = Gateway(tmp_path, source)
    try:
        second, _ = gateway.service.create_order(gateway.account, names[1:])
        assert gateway.wait(second.id, 20) == "delivered"
    finally:
        gone_on.set()
        gateway.stop()
