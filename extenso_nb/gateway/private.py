"""Files that only their owner may read: written whole or not at all, read only where no one else could read or plant them."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from extenso_nb.errors import AccessError, DataDirectoryReadOnly

__all__ = ["read_private", "write_private"]

LIMIT = 1_000_000
"""Bytes of such a file at most."""


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; it is never there half, nor readable by others for a moment."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave an empty secret, which everybody knows
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataDirectoryReadOnly(f"{path.parent} cannot be written: {error.strerror or error}.") from error


def read_private(path: Path) -> bytes | None:
    """What is in a file that only this user can read; None where there is no file.

    Raises AccessError, with how to mend it: others can read it, it belongs to someone else, or is a link that someone
    else made; or it cannot be read at all.
    """
    try:
        descriptor = _opened(path)
        try:
            _check(path, os.fstat(descriptor))
            content = _content(descriptor)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except AccessError:
        raise
    except OSError as error:
        raise AccessError(
            f"{path} cannot be read: {error.strerror or error}.", hint="Make it readable to this user, or remove it."
        ) from None
    if len(content) > LIMIT:
        raise AccessError(f"{path} is longer than {LIMIT} bytes: it was not written here.", hint="Remove it.")
    return content


def _opened(path: Path) -> int:
    # Neither waits for the other end of a pipe that somebody put there.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EMLINK} or not path.is_symlink():
            raise
    owner = path.lstat().st_uid
    if not _ours(owner):
        raise AccessError(
            f"{path} is a link that belongs to another user ({owner}).", hint="Remove it; somebody else put it there."
        )
    return os.open(path, flags)


def _content(descriptor: int) -> bytes:
    found = bytearray()
    while len(found) <= LIMIT and (block := os.read(descriptor, LIMIT)):
        found += block
    return bytes(found)


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise AccessError(f"{path} is no file.", hint="Remove it.")
    if os.name != "posix":
        return
    if not _ours(found.st_uid):
        raise AccessError(
            f"{path} belongs to another user ({found.st_uid}).",
            hint="Remove it, or have its owner give it to this user.",
        )
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AccessError(
            f"{path} can be read by others.",
            hint=f"Run `chmod 600 {path}`; if others may have read it, change the passwords in it, too.",
        )


def _ours(owner: int) -> bool:
    own = 0
    with contextlib.suppress(AttributeError):  # Windows
        own = os.geteuid()
    return owner in {own, 0}
