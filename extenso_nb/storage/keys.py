"""Keys of objects, and the size of the blocks in which objects are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from extenso_nb.errors import InvalidRequest

__all__ = ["AHEAD", "BLOCK", "checked_key", "regular"]

BLOCK = 5 * 1024 * 1024
"""Bytes handed to a store at once: a part of a multipart upload. S3 takes 10,000 parts of one object: 52 GB."""
AHEAD = 2 * 1024 * 1024
"""Bytes that may have come from a source before they are taken to be written."""


def checked_key(key: str) -> str:
    """A key that stays below its storage: relative, no `.` or `..`, no empty part, printable.

    Raises InvalidRequest.
    """
    parts = PurePosixPath(key).parts
    bad = not parts or "/".join(parts) != key or key.startswith("/") or any(part in {"..", "."} for part in parts)
    if bad or "\\" in key or any(ord(letter) < 32 or ord(letter) == 127 for letter in key):
        raise InvalidRequest(f"{key!r} is not a key of the storage.", hint="Use the key that the delivery names.")
    return key


def regular(blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Blocks of BLOCK bytes: a source that yields 16 kB at a time would make a part of each."""
    held: list[bytes | memoryview] = []
    count = 0
    for block in blocks:
        view = memoryview(block)
        while count + len(view) >= BLOCK:
            held.append(view[: BLOCK - count])
            view = view[BLOCK - count :]
            yield b"".join(held)
            held, count = [], 0
        if view:
            held.append(view)
            count += len(view)
    if held:
        yield b"".join(held)
