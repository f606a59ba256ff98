"""Objects in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from extenso_nb.errors import DataDirectoryReadOnly
from extenso_nb.storage.keys import checked_key
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


def _literal(name: str) -> str:
    import glob

    return glob.escape(name)
