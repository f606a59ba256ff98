"""A real S3 server for the tests: SeaweedFS, from its package."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from extenso_nb.storage import Bucket, BucketStorage

ACCESS, SECRET = "AKIAPLANTEDACCESS", "planted-secret-key"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real S3 server: SeaweedFS, from its package."""
    with serving(tmp_path_factory.mktemp("weed")) as url:
        yield url


@contextlib.contextmanager
def serving(folder: Path, *, volume_megabytes: int = 64) -> Iterator[str]:
    """The server, with its data in a folder. A volume is the unit in which it takes up space."""
    credentials = [{"accessKey": ACCESS, "secretKey": SECRET}]
    reader = [{"accessKey": "READER", "secretKey": "reader"}]
    identities = [
        {"name": "owner", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
        {"name": "reader", "credentials": reader, "actions": ["Read", "List"]},
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ports = {name: free_port() for name in ("s3.port", "master.port", "volume.port", "filer.port")}
    ports |= {name.replace(".port", ".port.grpc"): free_port() for name in ports}
    command = [
        str(Path(sys.executable).parent / "weed"),
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}",
    ]
    command += [
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        f"-master.volumeSizeLimitMB={volume_megabytes}",
        "-volume.max=0",
    ]
    # Nothing but S3, and no word to anybody: it would report its use, and listen on two more fixed ports.
    command += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        url = f"http://127.0.0.1:{ports['s3.port']}"
        _wait_for(url, folder / "log", server)
        _make_bucket(url, "deliveries")
        yield url
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()


def _wait_for(url: str, log: Path, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            BucketStorage(bucket_of(url, "deliveries")).put_bytes("ready", b"")
        except Exception:
            time.sleep(0.3)
        else:
            return
    raise AssertionError(log.read_text()[-2000:])


def _make_bucket(url: str, name: str) -> None:
    storage = BucketStorage(bucket_of(url, name))
    storage.put_bytes("first", b"")
    storage.delete("first")
    storage.delete("ready")


def bucket_of(url: str, name: str, **more: str) -> Bucket:
    keys = {"access_key": SecretStr(more.pop("access", ACCESS)), "secret_key": SecretStr(more.pop("secret", SECRET))}
    return Bucket(endpoint=url, name=name, prefix=more.get("prefix", ""), **keys)
