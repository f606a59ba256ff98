"""Objects in a folder behind one face: put whole or not at all, read by range, list, delete by prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from extenso_nb.errors import DataDirectoryReadOnly
from extenso_nb.storage.keys import BLOCK, checked_key, regular

if TYPE_CHECKING:
    from obstore.store import LocalStore

__all__ = ["FolderStorage"]


class FolderStorage:
    """A storage in a folder.

    An object appears under its name when all its bytes are there, never before: a writer that fails, or a process
    that is killed, leaves at most a staging file that no listing shows and that `sweep` removes.

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
        self._store = self._open()

    def _open(self) -> LocalStore:
        from obstore.store import LocalStore

        return LocalStore(self.folder, automatic_cleanup=True)

    def __repr__(self) -> str:
        return f"<FolderStorage {self.folder}>"

    def put(self, key: str, blocks: Iterable[bytes]) -> None:
        """Store an object from blocks of any length. An error raised by `blocks` comes out again, and nothing is stored."""
        import obstore

        failure: list[BaseException] = []

        def guarded() -> Iterator[bytes]:
            # obstore wraps what an iterator raises into an error of its own; the caller wants the first one.
            try:
                yield from regular(blocks)
            except BaseException as error:
                failure.append(error)
                raise

        try:
            obstore.put(
                self._store, checked_key(key), guarded(), use_multipart=True, chunk_size=BLOCK, max_concurrency=2
            )
        except BaseException:
            self.sweep(key)
            if failure:
                raise failure[0] from None
            raise

    def put_bytes(self, key: str, content: bytes) -> None:
        """Store a small object."""
        import obstore

        obstore.put(self._store, checked_key(key), content, use_multipart=False)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object from `start` on. Raises FileNotFoundError."""
        import obstore

        there = self.size(key) - start
        wanted = there if length is None else min(length, there)
        if wanted <= 0:  # an empty range is an error to S3
            return b""
        return bytes(obstore.get_range(self._store, checked_key(key), start=start, length=wanted))

    def size(self, key: str) -> int:
        """Bytes of an object. Raises FileNotFoundError."""
        import obstore

        return int(obstore.head(self._store, checked_key(key))["size"])

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.size(key)
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix: str = "") -> list[tuple[str, int]]:
        """Keys and sizes below a prefix (whole path segments), in order."""
        import obstore

        found = []
        for batch in obstore.list(self._store, prefix=prefix or None):
            found += [(str(item["path"]), int(item["size"])) for item in cast("list[Any]", batch)]
        return sorted(found)

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens when it is not there."""
        import obstore

        try:
            obstore.delete(self._store, checked_key(key))
        except FileNotFoundError:
            return

    def delete_below(self, prefix: str) -> int:
        """Delete all objects below a prefix, half-written ones too; their number."""
        checked_key(prefix)
        self.sweep(prefix)
        keys = [key for key, _ in self.list(prefix)]
        for key in keys:
            self.delete(key)
        return len(keys)

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
