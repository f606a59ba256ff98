"""Objects in a folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from extenso_nb.errors import DataDirectoryReadOnly
from extenso_nb.storage.ahead import ahead
from extenso_nb.storage.keys import AHEAD, checked_key
from extenso_nb.storage.objects import Storage

if TYPE_CHECKING:
    from obstore.store import LocalStore

__all__ = ["FolderStorage"]


class FolderStorage(Storage):
    """A storage in a folder.

    A writer that fails, or a process that is killed, leaves at most a staging file that no listing shows and that
    `sweep` removes.

    Raises DataDirectoryReadOnly when the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".probe"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise DataDirectoryReadOnly(
                f"The storage {folder} cannot be written: {error.strerror or error}."
            ) from error
        self._store: LocalStore = self._opened()

    def _opened(self) -> LocalStore:
        from obstore.store import LocalStore

        return LocalStore(self.folder, automatic_cleanup=True)

    def __repr__(self) -> str:
        return f"<FolderStorage {self.folder}>"

    def put(self, key: str, blocks: Iterable[bytes | memoryview]) -> None:
        """Store an object from blocks of any length. An error raised by `blocks` comes out again, and nothing is stored.

        Written under a staging name of its own, so that of two writers of one key neither disturbs the other, and on the
        disk before it has its name, so that a power cut leaves no empty file behind one.
        """
        target = self.folder / checked_key(key)
        stage = target.with_name(f"{target.name}#{secrets.randbelow(10**15)}")
        made = ahead(blocks, most=AHEAD)
        try:
            with _made(stage) as file:
                for block in made:
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            stage.replace(target)
            _on_disk(target.parent)
        except BaseException:
            stage.unlink(missing_ok=True)
            raise
        finally:
            made.close()

    def sweep(self, key_or_prefix: str) -> None:
        """Remove staging files that a failed or killed writer left: of one key, or of all keys below a prefix."""
        target = self.folder / checked_key(key_or_prefix)
        stale = list(target.parent.glob(f"{_literal(target.name)}#*")) if target.parent.is_dir() else []
        if target.is_dir():
            stale += [path for path in target.rglob("*#*") if path.name.rpartition("#")[2].isdigit()]
        for path in stale:
            path.unlink(missing_ok=True)

    def open(self, key: str) -> BinaryIO:
        """An object as a file to read and seek in. Raises FileNotFoundError."""
        return self.path(key).open("rb")

    def path(self, key: str) -> Path:
        """Where an object lies. Raises FileNotFoundError when it does not, or when a link leads out of the folder."""
        found = (self.folder / checked_key(key)).resolve()
        if not found.is_file() or not found.is_relative_to(self.folder.resolve()):
            raise FileNotFoundError(key)
        return found


def _made(path: Path) -> BinaryIO:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.open("xb")
        except FileNotFoundError:
            continue  # who deleted the last object beside it took the folder away in between


def _on_disk(folder: Path) -> None:
    """Have the names in a folder on the disk. Not every file system, nor Windows, can be asked for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _literal(name: str) -> str:
    import glob

    return glob.escape(name)
