"""A file on its way: `<name>.part` beside the target, locked, hashed as it grows, renamed only when it is right."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from extenso_nb import checksums as sums
from extenso_nb._html import bytes_text
from extenso_nb.errors import IncompleteTransfer, TransferError

__all__ = ["Expected", "Part", "is_right"]

_BLOCK = 2**20
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file must be."""

    size: int | None
    """Bytes; None when unknown."""
    algorithm: str | None = None
    """A name of `extenso_nb.checksums`; None when no checksum is known."""
    digest: str | None = None
    """Hex, in lower case."""

    @classmethod
    def of(cls, size: int, checksums: dict[str, str] | None) -> Expected:
        """From what the gateway says; of several checksums the best."""
        given = {sums.canonical(name): value.strip().lower() for name, value in (checksums or {}).items()}
        for name in sums.ALGORITHMS:
            if given.get(name):
                return cls(size or None, name, given[name])
        return cls(size or None)

    def hasher(self) -> sums.Hasher:
        """A new hash object; of sha256 where nothing will be compared."""
        return sums.hasher(self.algorithm or "sha256")


def is_right(path: Path, expected: Expected) -> bool:
    """Whether a file is there that has the size and checksum. Without a checksum to compare: no."""
    if expected.digest is None or not path.is_file():
        return False
    if expected.size is not None and path.stat().st_size != expected.size:
        return False
    with path.open("rb", buffering=0) as file:
        hasher = expected.hasher()
        _hash(file, hasher)
    return hasher.hexdigest() == expected.digest


class Part:
    """An open, locked `.part` file. Its lock is the kernel's, on the file itself: it ends with the process."""

    def __init__(self, final: Path, path: Path, file: io.FileIO, expected: Expected) -> None:
        self.final = final
        self.path = path
        self.expected = expected
        self.position = 0
        """Bytes that are there and hashed."""
        self._file = file
        self._hasher = expected.hasher()

    @classmethod
    def claim(cls, final: Path, expected: Expected) -> Part | None:
        """The part file of a target, locked; None while another download has it."""
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, f"{final.name} is a directory")
        final.parent.mkdir(parents=True, exist_ok=True)
        path = final.with_name(final.name + ".part")
        while True:
            file = _open(path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return None
            except OSError:  # a file system without locks: a name of its own is safe, though it is never taken up again
                file.close()
                path = final.with_name(f"{final.name}.{uuid4().hex[:12]}.part")
                return cls(final, path, _open(path), expected)
            if _is_at(file, path):
                return cls(final, path, file, expected)
            file.close()  # renamed or removed by the one who had it before: that file is not ours to write

    def load(self) -> None:
        """Take up what an earlier download left. What cannot be verified at the end is not built upon."""
        size = os.fstat(self._file.fileno()).st_size
        if self.expected.digest is None or (self.expected.size is not None and size > self.expected.size):
            self.restart()
            return
        self._file.seek(0)
        self._hasher = self.expected.hasher()
        self.position = _hash(self._file, self._hasher)

    def restart(self) -> None:
        """Throw away what is there."""
        self._file.seek(0)
        self._file.truncate(0)
        self._hasher = self.expected.hasher()
        self.position = 0

    def write(self, block: bytes) -> None:
        """Append. Raises IncompleteTransfer when it is more than expected, TransferError when the disk is full."""
        if self.expected.size is not None and self.position + len(block) > self.expected.size:
            raise IncompleteTransfer(f"More than the announced {self.expected.size} bytes came for {self.final.name}.")
        view = memoryview(block)
        try:
            while view:
                written = self._file.write(view)
                self._hasher.update(view[:written])
                self.position += written or 0
                view = view[written:]
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise self._no_room(os.strerror(error.errno or 0)) from error

    def check_room(self) -> None:
        """Raise TransferError at once when the rest will not fit on the disk."""
        if self.expected.size is None:
            return
        free = shutil.disk_usage(self.final.parent).free
        if self.expected.size - self.position > free:
            raise self._no_room(f"{bytes_text(self.expected.size - self.position)} to come, {bytes_text(free)} free")

    def is_right(self) -> bool:
        """Whether size and checksum of what is there are those expected."""
        if self.expected.size is not None and self.position != self.expected.size:
            return False
        return self.expected.digest is None or self._hasher.hexdigest() == self.expected.digest

    def publish(self) -> Path:
        """Give the file its name. It is on the disk before: a power cut leaves the right file or none."""
        os.fsync(self._file.fileno())
        self.path.replace(self.final)
        folder = os.open(self.final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self.final

    def remove(self) -> None:
        """Delete the part file."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file and its lock; an empty one is removed."""
        if not self._file.closed:
            if os.fstat(self._file.fileno()).st_size == 0 and _is_at(self._file, self.path):
                self.remove()
            self._file.close()

    def _no_room(self, reason: str) -> TransferError:
        return TransferError(
            f"{self.final.name} cannot be written to {self.final.parent}: {reason}.",
            hint=f"Make room and call again: {bytes_text(self.position)} are kept in {self.path.name}.",
            part=str(self.path),
        )


def _open(path: Path) -> io.FileIO:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | os.O_CLOEXEC, 0o666)
    return io.FileIO(descriptor, "r+b")


def _is_at(file: io.FileIO, path: Path) -> bool:
    try:
        there = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    ours = os.fstat(file.fileno())
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _hash(file: io.FileIO, hasher: sums.Hasher) -> int:
    done = 0
    while block := file.read(_BLOCK):
        hasher.update(block)
        done += len(block)
    return done
