"""Objects in a folder or in S3 behind one face: put whole or not at all, read by range, list, delete by prefix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, Protocol

from extenso_nb.storage.bucket import Bucket, BucketStorage, locate_bucket, refuse_private
from extenso_nb.storage.folder import FolderStorage
from extenso_nb.storage.keys import checked_key

__all__ = [
    "Bucket",
    "BucketStorage",
    "FolderStorage",
    "Storage",
    "checked_key",
    "locate_bucket",
    "refuse_private",
]


class Storage(Protocol):
    """What a folder and a bucket have in common. Keys are relative; others raise InvalidRequest."""

    def put(self, key: str, blocks: Iterable[bytes]) -> None:
        """Store an object from blocks; what `blocks` raises comes out again, and nothing is stored."""

    def put_bytes(self, key: str, content: bytes) -> None:
        """Store a small object."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object from `start` on. Raises FileNotFoundError."""

    def size(self, key: str) -> int:
        """Bytes of an object. Raises FileNotFoundError."""

    def open(self, key: str) -> BinaryIO:
        """An object as a file to read and seek in. Raises FileNotFoundError."""

    def list(self, prefix: str = "") -> list[tuple[str, int]]:
        """Keys and sizes below a prefix (whole path segments), in order."""

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens when it is not there."""

    def delete_below(self, prefix: str) -> int:
        """Delete all objects below a prefix, half-written ones too; their number."""

    def sweep(self, key_or_prefix: str) -> None:
        """Remove what a failed or killed writer left half-written, as far as the storage does not do so itself."""
