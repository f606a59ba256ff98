"""Algorithms of checksums by name, and their names and digests as catalogues write them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Protocol

from extenso_nb.errors import InputError

__all__ = ["ALGORITHMS", "Hasher", "canonical", "hasher", "multihash", "normalised", "sorted_out"]

ALGORITHMS = {"sha256": 32, "sha512": 64, "sha3-256": 32, "blake3": 32, "sha1": 20, "md5": 16}
"""Names -> bytes of a digest. The order is that of preference, where one of several is to be compared."""
_SPELLINGS = {name.replace("-", ""): name for name in ALGORITHMS} | {"sha2256": "sha256", "sha2512": "sha512"}
_MULTICODEC = {0x11: "sha1", 0x12: "sha256", 0x13: "sha512", 0x16: "sha3-256", 0x1E: "blake3", 0xD5: "md5"}
"""Codes of the multicodec table that name one of the algorithms."""


class Hasher(Protocol):
    """What hashlib's objects have in common with BLAKE3's."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far: hex, in lower case."""


def canonical(name: str) -> str | None:
    """The one spelling of an algorithm's name (`SHA3-256`, `sha3_256` -> ``sha3-256``); None when it is unknown."""
    return _SPELLINGS.get(re.sub(r"[-_ ]", "", name).lower())


def hasher(name: str) -> Hasher:
    """A new hash object, for a name in any spelling.

    Raises
    ------
    InputError
        No such algorithm.
    """
    known = canonical(name)
    if known is None:
        raise _unknown(name)
    if known == "blake3":
        from blake3 import blake3

        return blake3()
    return hashlib.new(known.replace("-", "_"), usedforsecurity=False)


def normalised(algorithm: str, digest: str) -> tuple[str, str]:
    """Algorithm and digest in their one spelling: ``("MD5", "AB...")`` -> ``("md5", "ab...")``.

    Raises
    ------
    InputError
        The algorithm is unknown, or the digest is not one of it; the message names both.
    """
    known = canonical(algorithm)
    if known is None:
        raise _unknown(algorithm)
    hexadecimal = digest.strip().lower()
    if not re.fullmatch(r"[0-9a-f]+", hexadecimal) or len(hexadecimal) != 2 * ALGORITHMS[known]:
        raise InputError(
            f"{digest[:150]!r} is no {known} digest: {2 * ALGORITHMS[known]} hex digits are wanted.",
            hint="Such a checksum cannot be compared.",
        )
    return known, hexadecimal


def multihash(text: str) -> tuple[str, str]:
    """Algorithm and digest of a multihash in hex, as STAC's `file:checksum` has it: ``1620...`` is SHA3-256.

    Raises
    ------
    InputError
        It is none, or its algorithm is unknown: the message has the code.
    """
    try:
        raw = bytes.fromhex(text.strip())
        code, place = _varint(raw, 0)
        length, place = _varint(raw, place)
    except (ValueError, IndexError):
        raise InputError(f"{text[:150]!r} is no multihash.", hint="Such a checksum cannot be compared.") from None
    name = _MULTICODEC.get(code)
    if name is None:
        raise _unknown(f"multihash 0x{code:02x}")
    if length != len(raw) - place:
        raise InputError(
            f"{text[:150]!r} is no multihash: it announces {length} bytes and has {len(raw) - place}.",
            hint="Such a checksum cannot be compared.",
        )
    return normalised(name, raw[place:].hex())


def sorted_out(given: Iterable[tuple[str, str]]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What of a catalogue's checksums can be compared, and for each of the others why not, in words.

    Where an algorithm is given twice with different digests, neither is used: which one is right cannot be known.
    """
    found: dict[str, str] = {}
    remarks: list[str] = []
    contradicted: set[str] = set()
    for algorithm, digest in given:
        try:
            name, value = normalised(algorithm, digest)
        except InputError as error:
            remarks.append(error.message)
            continue
        if found.setdefault(name, value) != value:
            contradicted.add(name)
    for name in sorted(contradicted):
        del found[name]
        remarks.append(f"Two different {name} digests are given.")
    return found, tuple(remarks)


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    """An unsigned LEB128 number, and where the next thing begins."""
    number = shift = 0
    while True:
        byte = raw[place]
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, place
        if shift > 63:
            raise ValueError("a number without end")


def _unknown(name: str) -> InputError:
    return InputError(
        f"Checksums by {name[:40]!r} are not known here.", hint=f"Those known are {', '.join(sorted(ALGORITHMS))}."
    )
