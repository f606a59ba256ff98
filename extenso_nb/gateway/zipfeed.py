"""The bytes of a zip that streams past: taken in runs, held back, looked at."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterator

from extenso_nb.gateway.manifest import SIZE_MAX

__all__ = ["Cut", "Held", "Input", "Tap"]


class Cut(Exception):
    """The input ended where more of it had to come."""


class Input:
    """The bytes fed, taken in runs. What is a generator here yields None when it wants more input."""

    def __init__(self) -> None:
        self.position = 0
        """Offset in the zip of the next byte to be taken."""
        self.ended = False
        self._block = b""
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes of the block that have not been taken."""
        return len(self._block) - self._at

    def give(self, block: bytes) -> None:
        """The next block, when the one before is used up."""
        self._block, self._at = block, 0

    def back(self, data: bytes) -> None:
        """Give back the last bytes taken."""
        self.position -= len(data)
        if self._at >= len(data):
            self._at -= len(data)
        else:  # they came from two blocks
            self._block, self._at = data + self._block[self._at :], 0

    def some(self, most: int) -> Generator[None, None, bytes]:
        """At least one byte and at most `most`; a whole block is not copied. Raises Cut at the end."""
        while self._at == len(self._block):
            if self.ended:
                raise Cut
            yield None
        piece = self._block[self._at : self._at + most]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def up_to(self, number: int) -> Generator[None, None, bytes]:
        """`number` bytes, or fewer when the input ends."""
        pieces, length = [], 0
        while length < number:
            try:
                piece = yield from self.some(number - length)
            except Cut:
                break
            pieces.append(piece)
            length += len(piece)
        return b"".join(pieces)

    def exactly(self, number: int) -> Generator[None, None, bytes]:
        """`number` bytes. Raises Cut when fewer come."""
        data = yield from self.up_to(number)
        if len(data) < number:
            raise Cut
        return data


class Held:
    """The last `size` bytes or more of what is to be handed on."""

    def __init__(self, size: int) -> None:
        self._pieces: deque[bytes] = deque()
        self._spare = -size

    def add(self, piece: bytes) -> Iterator[bytes]:
        """Take some more; gives what need not be held."""
        self._pieces.append(piece)
        self._spare += len(piece)
        while self._spare >= len(self._pieces[0]):
            self._spare -= len(self._pieces[0])
            yield self._pieces.popleft()

    def release(self) -> Iterator[bytes]:
        """All that is held."""
        yield from self._pieces


class Tap:
    """Looks at the data of one member as they pass: hashes them, and keeps them where they are a manifest."""

    def __init__(self, algorithms: tuple[str, ...], *, keep: bool) -> None:
        self.keep = keep
        # Checksums are compared with those of the manifest; nothing is protected by them.
        self._hashes = [hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms]
        self._pieces: list[bytes] | None = []
        self._length = 0

    def see(self, data: bytes) -> None:
        """The next bytes of the member."""
        for each in self._hashes:
            each.update(data)
        if self.keep and self._pieces is not None:
            self._length += len(data)
            self._pieces.append(data)
            if self._length > SIZE_MAX:
                self._pieces = None

    def checksums(self) -> dict[str, str]:
        """Name in hashlib -> hexadecimal."""
        return {each.name: each.hexdigest() for each in self._hashes}

    def content(self) -> bytes | None:
        """None: more than a manifest may have."""
        return None if self._pieces is None else b"".join(self._pieces)
