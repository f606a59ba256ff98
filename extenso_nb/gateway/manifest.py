"""What a product's manifest lists, compared with what came: `manifest.safe` (S1, S2) and `xfdumanifest.xml` (S3).

A manifest is text from outside: it is parsed without a tree, without DTDs (so without entities of its own), and only
so far in size, depth and number. One that cannot be parsed is a finding, as is each file that is not as listed.
Findings are for the caller to judge: a product that somebody cut down lists files which it does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote
from xml.parsers import expat

__all__ = ["ALGORITHMS", "SIZE_MAX", "Arrived", "Finding", "Listed", "Manifest", "is_manifest"]

NAMES = frozenset({"manifest.safe", "xfdumanifest.xml"})
SIZE_MAX = 20_000_000
"""Bytes of a manifest; real ones have up to 0.5 MB."""
ALGORITHMS = {"MD5": "md5", "SHA3-256": "sha3_256", "SHA-256": "sha256", "SHA256": "sha256"}
"""`checksumName` -> name in hashlib. Sentinel-2 from baseline 03.01 on has SHA3-256, all others MD5."""

_LISTED_MAX, _DEPTH_MAX, _TEXT_MAX = 100_000, 100, 4096
Kind = Literal["missing", "wrong_size", "wrong_checksum", "unchecked", "unreadable"]


class Finding(NamedTuple):
    """One thing in which the product is not as its manifest says."""

    kind: Kind
    path: str
    """The file as the manifest lists it; for `unreadable` the manifest."""
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a manifest."""

    path: str
    size: int | None
    algorithm: str | None
    """As in the manifest: `MD5`, `SHA3-256`."""
    checksum: str | None
    """Hexadecimal, in lower case."""


class Arrived(NamedTuple):
    """A member as it came."""

    size: int
    checksums: Mapping[str, str]
    """Name in hashlib -> hexadecimal, in lower case."""


def is_manifest(name: str) -> bool:
    """Whether a member is a manifest: at the top of the zip, or in its root folder."""
    return name.count("/") <= 1 and name.rpartition("/")[2].lower() in NAMES


class _Unreadable(Exception):
    """Why a manifest cannot be used."""


class Manifest:
    """The files that the manifest `name` lists; `content` is its bytes. Never raises for what these are."""

    def __init__(self, name: str, content: bytes | None) -> None:
        self.name = name
        self.listed: list[Listed] = []
        self.problem: str | None = None
        try:
            if content is None:
                raise _Unreadable(f"has more than {SIZE_MAX} bytes")
            self.listed = _Reader().read(content)
            if not self.listed:
                raise _Unreadable("lists no files")
        except _Unreadable as error:
            self.problem = str(error)

    @property
    def algorithms(self) -> frozenset[str]:
        """Names in hashlib of the checksums that it has."""
        return frozenset(ALGORITHMS[file.algorithm] for file in self.listed if file.algorithm in ALGORITHMS)

    def compare(self, arrived: Mapping[str, Arrived], *, checksums: bool) -> Iterator[Finding]:
        """The findings; `arrived` by full name in the zip. `checksums`: whether checksums were to be compared too."""
        if self.problem is not None:
            yield Finding("unreadable", self.name, f"the manifest {self.problem}")
        root = self.name.rpartition("/")[0]
        for file in self.listed:
            there = _found(file.path, f"{root}/" if root else "", arrived)
            if there is None:
                yield Finding("missing", file.path, "listed in the manifest, but not in the zip")
            elif file.size is not None and there.size != file.size:
                yield Finding("wrong_size", file.path, f"{there.size} bytes, where the manifest says {file.size}")
            elif checksums and file.checksum is not None:
                yield from _checksum(file, there)


def _checksum(file: Listed, there: Arrived) -> Iterator[Finding]:
    algorithm = ALGORITHMS.get(file.algorithm or "")
    if algorithm is None:
        yield Finding("unchecked", file.path, f"its checksum is of a kind not known here ({file.algorithm})")
    elif algorithm not in there.checksums:
        yield Finding("unchecked", file.path, f"it came before the manifest, so its {file.algorithm} was not computed")
    elif there.checksums[algorithm] != file.checksum:
        yield Finding("wrong_checksum", file.path, f"its {file.algorithm} is not that of the manifest")


def _found(path: str, root: str, arrived: Mapping[str, Arrived]) -> Arrived | None:
    """The member at a path of the manifest: relative to it, percent-encoded or not.

    Some manifests (S2 baseline 02.08) have paths of the machine that made the product: the file is then below the root
    at the end of that path.
    """
    for way in dict.fromkeys((path, unquote(path))):
        parts = [part for part in way.split("/") if part not in {"", "."}]
        starts = range(len(parts)) if way.startswith("/") else range(min(len(parts), 1))
        for start in starts:
            if (there := arrived.get(root + "/".join(parts[start:]))) is not None:
                return there
    return None


class _Reader:
    """The files of one manifest. Each is a byteStream with its size, a fileLocation and a checksum in it."""

    def __init__(self) -> None:
        self.listed: list[Listed] = []
        self._depth = 0
        self._size: int | None = None
        self._paths: list[str] = []
        self._algorithm: str | None = None
        self._checksum: str | None = None
        self._inside = self._reading = False

    def read(self, content: bytes) -> list[Listed]:
        """All files listed. Raises _Unreadable."""
        parser: Any = expat.ParserCreate()
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(content, True)
        # LookupError and ValueError: an encoding that does not exist, or that expat cannot use.
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise _Unreadable(f"is not XML: {error}") from error
        return self.listed

    def _doctype(self, *_: object) -> None:
        raise _Unreadable("has a DTD, which no manifest of a product has")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise _Unreadable(f"is nested more than {_DEPTH_MAX} deep")
        local = name.rpartition(":")[2]
        if local == "byteStream":
            size = attributes.get("size", "")
            self._inside, self._paths, self._algorithm, self._checksum = True, [], None, None
            # isdecimal alone would let other scripts' digits pass; 19 digits are more than any size.
            self._size = int(size) if size.isascii() and size.isdecimal() and len(size) < 20 else None
        elif self._inside and local == "fileLocation" and (path := attributes.get("href")):
            if len(path) > _TEXT_MAX:
                raise _Unreadable(f"lists a file with a path of {len(path)} characters")
            self._paths.append(path)
        elif self._inside and local == "checksum":
            self._algorithm, self._checksum, self._reading = attributes.get("checksumName", "")[:40], "", True

    def _text(self, text: str) -> None:
        if self._reading and self._checksum is not None and len(self._checksum) < _TEXT_MAX:
            self._checksum += text[:_TEXT_MAX]

    def _end(self, name: str) -> None:
        self._depth -= 1
        local = name.rpartition(":")[2]
        if local == "checksum":
            self._reading = False
        elif local == "byteStream":
            self._inside = False
            if not self._paths:
                raise _Unreadable("lists a file without saying where it is")
            checksum = (self._checksum or "").strip().lower() or None
            self.listed += [Listed(path, self._size, self._algorithm, checksum) for path in self._paths]
            if len(self.listed) > _LISTED_MAX:
                raise _Unreadable(f"lists more than {_LISTED_MAX} files")
