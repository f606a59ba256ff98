"""What a folder and a bucket have in common: objects put whole or not at all, read by range, listed, deleted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from extenso_nb.storage.keys import checked_key

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store

__all__ = ["Storage"]


class Storage(ABC):
    """Objects under keys. Keys are relative; others raise InvalidRequest.

    An object appears under its key when all its bytes are there, never before.
    """

    _store: LocalStore | S3Store

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """An object as a file to read and seek in. Raises FileNotFoundError."""

    @abstractmethod
    def sweep(self, key_or_prefix: str) -> None:
        """Remove what a failed or killed writer left half-written, as far as the storage does not do so itself."""

    @abstractmethod
    def put(self, key: str, blocks: Iterable[bytes | memoryview]) -> None:
        """Store an object from blocks of any length. An error raised by `blocks` comes out again, and nothing is stored."""

    def put_bytes(self, key: str, content: bytes) -> None:
        """Store a small object."""
        import obstore

        obstore.put(self._store, checked_key(key), content, use_multipart=False)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object from `start` on. Raises FileNotFoundError."""
        there = self.size(key) - start
        wanted = there if length is None else min(length, there)
        return self.read_range(key, start, wanted) if wanted > 0 else b""  # an empty range is an error to S3

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Bytes that are known to be there, by one request. Raises FileNotFoundError."""
        import obstore

        return bytes(obstore.get_range(self._store, checked_key(key), start=start, length=length))

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
