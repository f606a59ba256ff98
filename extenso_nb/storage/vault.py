"""What is secret in an address: kept by this process, and for other processes of the same user in files that only they read.

A signed URL travels with every lazy array into the graphs of dask, where it can be seen, logged and stored. So arrays
carry a name (a hash) in its place, and whoever reads looks the name up here: in memory, or in the user's runtime
directory (mode 0600, for a day). Workers on other machines are told by `share`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from extenso_nb.errors import ReaderError

__all__ = ["find", "hand_over", "keep", "known", "learn", "share"]

DAY = 86_400
"""Seconds after which a file is removed; signed addresses live for hours."""
_NAME = re.compile(r"[0-9a-f]{32}")

_lock = threading.Lock()
_known: dict[str, str] = {}


def keep(secret: str) -> str:
    """Remember a secret; the name under which `find` gives it back."""
    name = hashlib.sha256(secret.encode()).hexdigest()[:32]
    with _lock:
        _known[name] = secret
    return name


def hand_over(name: str) -> None:
    """Make a secret of this process known to the user's other processes on this machine. Never raises: see `find`."""
    with _lock:
        secret = _known.get(name)
    if secret is None:
        return
    with contextlib.suppress(OSError):
        folder = _folder()
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder / name)  # it is there, and has another day
            return
        _forget_old(folder)
        target = folder / name
        temporary = folder / f".{name}-{os.getpid()}-{threading.get_ident()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret)
        temporary.replace(target)


def find(name: str) -> str:
    """The secret of a name. Raises ReaderError where this process was not told."""
    with _lock:
        if name in _known:
            return _known[name]
    secret = _filed(name)
    if secret is None:
        raise ReaderError(
            "The signed part of the product's address is not known on this machine: it does not travel with the data.",
            hint="Where workers run on other machines, call extenso_nb.readers.share_addresses(client) first.",
        )
    with _lock:
        _known[name] = secret
    return secret


def known() -> dict[str, str]:
    """All secrets of this process, by name: for `share` alone."""
    with _lock:
        return dict(_known)


def learn(secrets: dict[str, str]) -> None:
    """Take over secrets of another process."""
    with _lock:
        _known.update(secrets)


def share(client: Any) -> int:
    """Tell all workers of a dask client the secrets of the addresses that are open here; the number of workers told.

    They go to the workers of this moment, by the connection of the client: use one with TLS where others share the network.
    """
    return len(client.run(learn, known()))


def _filed(name: str) -> str | None:
    if not _NAME.fullmatch(name):
        return None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        descriptor = os.open(_folder() / name, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor) as file:
            return file.read()
    return None


def _folder() -> Path:
    """The user's own directory for this; raises OSError when it could be another user's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = Path(tempfile.gettempdir()) / f"extenso_nb-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    for path in (Path(runtime) / "extenso_nb", own) if runtime else (own,):
        with contextlib.suppress(OSError):
            path.mkdir(mode=0o700, exist_ok=True)
        if _own(path):
            break
    else:
        raise OSError(f"{own} is not the user's own")
    folder = path / "addresses"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _own(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or not os.access(path, os.W_OK | os.X_OK):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)


def _forget_old(folder: Path) -> None:
    end = time.time() - DAY
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < end:
                path.unlink()
