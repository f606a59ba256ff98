"""A real PostgreSQL for the tests: a cluster of its own, on loopback, thrown away afterwards."""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from seaweed import free_port

USER, PASSWORD = "extenso", "planted-database-password"
_NAMES = itertools.count(1)


class Cluster:
    """A PostgreSQL server that can be stopped, killed and started again on the same port."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self.port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # as which CI runs, and PostgreSQL refuses to
            user = _unprivileged()
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        command = [str(binaries / "initdb"), "--pgdata", str(folder / "data"), "--username", USER, "--no-sync"]
        command += ["--auth", "scram-sha-256", "--pwfile", str(secret), "--encoding", "UTF8", "--no-locale"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=120, **self._as)
        # A server far away: whatever leaves the times to it is a few hours wrong.
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write("timezone = 'Asia/Tokyo'\nfsync = off\nunix_socket_directories = ''\n")

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        if self._server is not None:
            return
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*command, "-c", "listen_addresses=127.0.0.1"],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C in pytest is not for it
                **self._as,
            )
        end = time.monotonic() + 60
        while True:
            assert self._server.poll() is None, (self._folder / "log").read_text()[-2000:]
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < end, (self._folder / "log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's fast way: connections are cut off, nothing is lost; SIGQUIT is the way of a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(60)
            self._server = None

    def make(self) -> str:
        """A database with nothing in it; its URL."""
        name = f"test_{next(_NAMES)}_{secrets.token_hex(3)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return next((place for place in places if (place / "postgres").exists()), None)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of this session's own."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (on Debian: apt-get install postgresql)")
    # Not below pytest's own directory, into which only its owner may look.
    folder = Path(tempfile.mkdtemp(prefix="extenso-postgres-"))
    made = Cluster(binaries, folder)
    try:
        made.start()
        yield made
    finally:
        made.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(cluster: Cluster) -> str:
    """The URL of an empty database."""
    return cluster.make()


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    """What a database holds, asked past the gateway."""
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]
