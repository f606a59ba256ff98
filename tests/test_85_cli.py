"""The command line, as a shell sees it: output, exit status, and errors of two lines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archive import write_archive

from extenso_nb.cli import main
from extenso_nb.gateway.embed import find

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    yield folder
    found = find(folder / "data")
    if found is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def extenso(home: Path) -> Run:
    archive = write_archive(home / "archive", count=3, size=200_000)
    settings = {"HOME": str(home), "EXTENSO_DATA_DIR": str(home / "data"), "EXTENSO_SOURCES": f"folder:{archive}"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EXTENSO_", "XDG_"))}

    def run(*arguments: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "extenso_nb.cli", *arguments]
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment | settings | more,
            check=False,
        )

    return run


def failed(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done
    assert done.stderr.startswith("extenso: ")
    assert "\n  -> " in done.stderr, "an error says the next step"
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_from_search_to_file(extenso: Run, tmp_path: Path) -> None:
    found = extenso("search", "S2", "--bbox", "1.2,43.2,1.3,43.3", "--cloud", "1.5", "--ids")
    assert found.returncode == 0, found.stderr
    ids = found.stdout.split()
    assert len(ids) == 2
    estimate = extenso("estimate", given=found.stdout)
    assert (estimate.returncode, "fits into" in estimate.stdout) == (0, True)
    ordered = extenso("order", "--wait", given=found.stdout)
    assert ordered.returncode == 0, ordered.stderr
    assert "delivered, 2 of 2 delivered" in ordered.stdout
    number = re.findall(r"Order (\d+)", ordered.stdout)[0]
    assert f"Order {number}: delivered" in extenso("status").stdout
    assert [line.split()[2].rstrip(":") for line in extenso("status", number).stdout.splitlines()] == ids
    got = extenso("get", number, "--to", str(tmp_path / "here"))
    assert sorted(Path(line).name for line in got.stdout.split()) == sorted(f"{name}.SAFE.zip" for name in ids)
    assert all(Path(line).stat().st_size > 200_000 for line in got.stdout.split())
    (tmp_path / "file").write_text("")
    blocked = extenso("get", number, "--to", str(tmp_path / "file"))
    assert (blocked.returncode, "Traceback" in blocked.stderr) == (8, False), blocked.stderr
    assert "-> Choose another directory" in blocked.stderr
    again = json.loads(extenso("wait", number, "--json").stdout)
    assert (again["status"], again["deliveries"]) == ("delivered", {"delivered": 2})
    rows = json.loads(extenso("search", "S2", "--json").stdout)
    assert {row["id"] for row in rows} > set(ids)


def test_every_filter_of_a_search_is_an_option(extenso: Run) -> None:
    def ids(*options: str) -> list[str]:
        done = extenso("search", "S2", "--ids", *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    whole = ids("--all")
    assert len(whole) == 3
    assert ids("--limit", "2") == whole[:2]
    right = {
        "--platform": "S2B", "--processing-level": "L2A", "--orbit-direction": "descending", "--relative-orbit": "94",
        "--tile": "31T*", "--datetime": "2024-06-01", "--type": "S2MSI2A",
    }  # fmt: skip
    wrong = right | {
        "--platform": "S2A", "--processing-level": "L1C", "--orbit-direction": "ascending", "--relative-orbit": "95",
        "--tile": "31TCK", "--datetime": "2024-06-02", "--type": "S2MSI1C",
    }  # fmt: skip
    assert ids(*(f"{name}={value}" for name, value in right.items())) == whole
    for name, value in wrong.items():
        assert ids(f"{name}={value}") == [], name
    for option in ("--polarisation=VV", "--sensor-mode=IW", "--timeliness=NRT"):
        assert ids(option) == [], "Sentinel-2 has none"
    failed(extenso("search", "S2", "--orbit-direction", "sideways"), 2, "sideways")
    failed(extenso("search", "S1", "--polarisation", "XX"), 2, "XX")
    assert extenso("search", "S2", "--all", "--limit", "3").returncode == 2
    assert extenso("search", "S2", "--relative-orbit", "ninety").returncode == 2


def test_an_order_into_a_bucket_says_what_is_missing(extenso: Run) -> None:
    keys = {"EXTENSO_S3_ACCESS_KEY": "AKIA", "EXTENSO_S3_SECRET_KEY": "hidden"}
    place = "s3://mine/below?endpoint=https://s3.example.org"
    failed(extenso("order", "--bucket", place, "S2_x"), 2, "keys of the bucket", "EXTENSO_S3_ACCESS_KEY")
    for bad in ("mine", "s3://mine", f"{place}&colour=red", f"{place}&addressing=sideways", "s3://[?endpoint=x"):
        done = extenso("order", "--bucket", bad, "S2_x", **keys)
        failed(done, 2, "not the address of a bucket")
        assert "hidden" not in done.stderr
    (name,) = extenso("search", "S2", "--limit", "1", "--ids").stdout.split()
    refused = extenso("order", "--bucket", "s3://mine?endpoint=ftp://x", name, **keys)
    failed(refused, 5, "not an http(s) address")
    assert "hidden" not in refused.stderr


def test_errors_have_a_status_and_a_next_step(extenso: Run) -> None:
    failed(extenso("search", "S9"), 2, "S9")
    failed(extenso("search", "S2", "--q", "colour:red"), 2, "colour", "^")
    failed(extenso("search", "S2", "--bbox", "1,2,3"), 2)
    failed(extenso("search", "S2", "--bbox", "a,b,c,d"), 2, "four numbers")
    failed(extenso("order", "S2_nothing"), 4, "S2_nothing")
    failed(extenso("order", given=""), 2, "No products")
    failed(extenso("status", "99999"), 4, "99999")
    failed(extenso("get", "99999"), 4)
    failed(extenso("demo", "--out", "/proc/version/demo"), 2, "/proc/version/demo")
    failed(extenso("admin", "create"), 2, "Give it a name")
    failed(extenso("open", "/nowhere/at/all"), 16)
    failed(extenso("search", "S2", "--url", "http://127.0.0.1:9", EXTENSO_API_KEY="k"), 11, "127.0.0.1:9")
    failed(extenso("search", "S2", "--url", "http://127.0.0.1:9"), 3, "No API key")


def test_serve_says_why_it_cannot(extenso: Run, home: Path) -> None:
    assert extenso("search", "S2").returncode == 0  # the embedded gateway runs
    failed(extenso("serve", "--port", "0"), 15, str(home / "data"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        failed(extenso("serve", "--port", port, "--data-dir", str(home / "other")), 13, port)
    failed(extenso("serve", "--data-dir", "/proc/extenso"), 14)
    failed(extenso("serve", "--source", "tape:/dev/st0", "--data-dir", str(home / "other")), 2, "tape")


def test_doctor_finds_a_sound_installation_and_a_broken_one(extenso: Run) -> None:
    sound = extenso("doctor")
    assert sound.returncode == 0, sound.stdout
    assert "GDAL" in sound.stdout
    assert "source folder: ok, 3 products" in sound.stdout
    broken = extenso("doctor", EXTENSO_URL="http://127.0.0.1:9", EXTENSO_API_KEY="k")
    assert broken.returncode == 1
    assert "WRONG" in broken.stdout


def test_stop_ends_the_gateway(extenso: Run, home: Path) -> None:
    assert extenso("search", "S2").returncode == 0
    assert "was told to end" in extenso("stop").stdout
    for _ in range(100):
        if find(home / "data") is None:
            break
    assert extenso("stop").returncode == 0


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.match(r"extenso_nb \d", capsys.readouterr().out)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
