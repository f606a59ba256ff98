"""Find the gateway of a data directory, or start one: a process of its own that outlives the notebook that began it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from extenso_nb.errors import DataDirectoryReadOnly, GatewayStartFailed
from extenso_nb.gateway.serve import CARD, LOCK, absolute_source, read_card

__all__ = ["IDLE_SECONDS", "Found", "default_data_dir", "find", "find_or_start"]

IDLE_SECONDS = 900.0
"""The embedded gateway ends after so long without a request and without an open delivery."""
START_SECONDS = 120.0
"""Time to start in, the making of the sample archive on first use included."""
LOG = "gateway.log"


@dataclass(frozen=True, slots=True)
class Found:
    """A gateway that runs on this machine."""

    url: str
    api_key: str = field(repr=False)
    pid: int
    storage: Path | None
    """The folder in which its free storage lies, readable without asking the gateway; None when that is a bucket."""
    sources: tuple[str, ...]
    started: bool = False
    """Whether this call started it."""


def default_data_dir() -> Path:
    """`EXTENSO_DATA_DIR`, or the user's data directory for this package."""
    named = os.environ.get("EXTENSO_DATA_DIR")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("extenso_nb", appauthor=False)) / "gateway"


def find(data_dir: Path) -> Found | None:
    """The gateway that holds a data directory, or None.

    The lock is asked, not the address: after a crash any program may have come to listen on the old port, and it must
    not be sent the API key.
    """
    if not _held(data_dir):
        return None
    card = read_card(data_dir)
    return None if card is None else _from_card(card)


def _from_card(card: dict[str, Any]) -> Found:
    return Found(
        url=card["url"],
        api_key=card["api_key"],
        pid=int(card["pid"]),
        storage=Path(card["storage"]) if card.get("storage") else None,
        sources=tuple(card.get("sources", ())),
    )


def _held(data_dir: Path) -> bool:
    if not (data_dir / LOCK).exists():
        return False
    lock = FileLock(data_dir / LOCK, mode=0o600)
    try:
        # Others that only look hold it for a moment, too, and beside a killed gateway's card they would pass for it.
        lock.acquire(timeout=0.05, poll_interval=0.01)
    except Timeout:
        return True
    except OSError as error:
        raise DataDirectoryReadOnly(f"{data_dir} cannot be used: {error.strerror or error}.") from error
    with contextlib.suppress(OSError):
        (data_dir / CARD).unlink(missing_ok=True)  # that of a gateway that was killed
    lock.release()
    return False


def find_or_start(
    data_dir: Path | None = None,
    *,
    sources: tuple[str, ...] | None = None,
    idle_seconds: float = IDLE_SECONDS,
    timeout: float = START_SECONDS,
) -> Found:
    """The gateway of a data directory; started when there is none. Two that start it at once end up with one.

    `sources` is None for those of the gateway that runs, or the sample archive; EXTENSO_SOURCES names others, comma
    between them.

    Raises GatewayStartFailed, with the last lines of its log, and DataDirectoryReadOnly.
    """
    folder = (data_dir or default_data_dir()).resolve()
    end = time.monotonic() + timeout
    process: subprocess.Popen[bytes] | None = None
    while time.monotonic() < end:
        found = find(folder)
        if found is not None:
            if process is not None:
                # It outlives this call, and perhaps this process; if not, its end must be noticed, or it stays a zombie.
                threading.Thread(target=process.wait, name="extenso-gateway", daemon=True).start()
            return replace(found, started=process is not None)
        if process is None and not _held(folder):
            process = _start(folder, sources or _named_sources(), idle_seconds)
        elif process is not None and process.poll() is not None:
            # 15: another process was quicker; its gateway is as good.
            if process.returncode != 15:
                raise _failed(folder, f"ended with status {process.returncode}")
            process = None
        time.sleep(0.05)
    raise _failed(folder, f"did not answer within {timeout:.0f} s")


def _named_sources() -> tuple[str, ...]:
    named = os.environ.get("EXTENSO_SOURCES", "")
    return tuple(part.strip() for part in named.split(",") if part.strip()) or ("sample",)


def _start(data_dir: Path, sources: tuple[str, ...], idle_seconds: float) -> subprocess.Popen[bytes]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        path = data_dir / LOG
        grown = path.exists() and path.stat().st_size > 1_000_000
        log = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if grown else os.O_APPEND), 0o600)
    except OSError as error:
        raise DataDirectoryReadOnly(f"{data_dir} cannot be written: {error.strerror or error}.") from error
    command = [
        sys.executable,
        "-m",
        "extenso_nb.cli",
        "serve",
        "--data-dir",
        str(data_dir),
        "--idle",
        str(idle_seconds),
    ]
    for source in sources:
        command += ["--source", absolute_source(source)]
    # A key in the environment is for another gateway, the one at EXTENSO_URL: here it would make another owner, who
    # finds none of the orders. Database and secret are a shared gateway's.
    others = {"EXTENSO_API_KEY", "EXTENSO_DATABASE", "EXTENSO_SECRET"}
    environment = {name: value for name, value in os.environ.items() if name not in others}
    try:
        # A session of its own: Ctrl-C in the terminal and the end of the kernel do not reach it.
        return subprocess.Popen(  # noqa: S603 - our own command, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
            env=environment,
        )
    finally:
        os.close(log)


def _failed(data_dir: Path, what: str) -> GatewayStartFailed:
    log = data_dir / LOG
    try:
        lines = log.read_text(errors="replace").strip().splitlines()[-8:]
    except OSError:
        lines = []
    said = "\n    ".join(lines) or "(nothing)"
    return GatewayStartFailed(
        f"The embedded gateway {what}; its last words:\n    {said}", hint=f"The whole log is {log}."
    )
