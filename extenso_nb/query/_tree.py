"""The tree of a query: frozen nodes, and the one way in which each is written as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "All",
    "And",
    "Field",
    "Node",
    "Not",
    "Or",
    "Phrase",
    "Range",
    "Regex",
    "Relation",
    "Spatial",
    "Term",
    "Value",
    "Wildcard",
    "wildcard",
    "write",
]

Relation: TypeAlias = Literal["Intersects", "Contains", "IsWithin"]

BLANKS = " \t\n\r\u3000"
"""What separates clauses; the same set as in Lucene."""
OPERATORS = frozenset({"AND", "OR", "NOT", "&&", "||"})
_SPECIAL = frozenset('!(){}[]^"~*?:\\/' + BLANKS)
_PLAIN_BOUND = re.compile(rf'[^{BLANKS}\]}}"\\*]+')


@dataclass(frozen=True, slots=True)
class Term:
    """A word without wildcards, unescaped: ``GRD``. Never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    r"""A word with ``*`` (any characters, or none) or ``?`` (one); ``\*``, ``\?`` and ``\\`` stand for themselves."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """Quoted text, unescaped; ``*`` and ``?`` are plain characters in it."""

    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`; None is an open end (``*``). With both open it tests that there is a value at all."""

    low: str | None = None
    high: str | None = None
    low_inclusive: bool = True
    high_inclusive: bool = True


@dataclass(frozen=True, slots=True)
class Regex:
    r"""A regular expression over the whole value, as written between the slashes (so ``\/`` for a slash)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Spatial:
    """How the footprint of a product lies to a geometry; `geometry` is WKT, ENVELOPE or ``lat, lon`` as written."""

    relation: Relation
    geometry: str


Value: TypeAlias = Term | Wildcard | Phrase | Range | Regex | Spatial


@dataclass(frozen=True, slots=True)
class Field:
    """One clause: keyword (lower case) and value. `name` is None for a free word, sought in all words of a product."""

    name: str | None
    value: Value


@dataclass(frozen=True, slots=True)
class All:
    """Every product: ``*``."""


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not `part`."""

    part: Node


Node: TypeAlias = All | And | Or | Not | Field


def wildcard(text: str) -> Term | Wildcard:
    r"""A word in which ``*`` and ``?`` are wildcards and nothing else is special (no escapes)."""
    return Wildcard(text.replace("\\", "\\\\")) if "*" in text or "?" in text else Term(text)


def _escaped(text: str, *, first: bool = True) -> str:
    """`text` with a backslash before each character that would not stand for itself."""
    out = [f"\\{char}" if char in _SPECIAL else char for char in text]
    if first and text[:1] in {"+", "-"}:
        out[0] = f"\\{out[0]}"
    return "".join(out)


def _write_wildcard(pattern: str) -> str:
    out, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            out.append(_escaped(pattern[at]))
        elif char in "*?":
            out.append(char)
        else:
            out.append(_escaped(char, first=at == 0))
        at += 1
    return "".join(out)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_bound(bound: str | None) -> str:
    if bound is None:
        return "*"
    return bound if _PLAIN_BOUND.fullmatch(bound) and bound != "TO" else _quoted(bound)


def _write_range(value: Range) -> str:
    low, high = "[" if value.low_inclusive else "{", "]" if value.high_inclusive else "}"
    return f"{low}{_write_bound(value.low)} TO {_write_bound(value.high)}{high}"


def _write_value(value: Value) -> str:
    match value:
        case Term(text):
            return f"\\{text}" if text in OPERATORS else _escaped(text)
        case Wildcard(pattern):
            return _write_wildcard(pattern)
        case Phrase(text):
            return _quoted(text)
        case Range():
            return _write_range(value)
        case Regex(pattern):
            return f"/{pattern}/"
        case Spatial(relation, geometry):
            return _quoted(f"{relation}({geometry})")


def _within(node: Node, *, closed: tuple[type[Node], ...]) -> str:
    text = write(node)
    return f"({text})" if isinstance(node, closed) else text


def write(node: Node) -> str:
    """The canonical text of a tree; parsing it gives the same tree."""
    match node:
        case All():
            return "*"
        case And(parts):
            return " AND ".join(_within(part, closed=(And, Or)) for part in parts)
        case Or(parts):
            return " OR ".join(_within(part, closed=(Or,)) for part in parts)
        case Not(part):
            return f"NOT {_within(part, closed=(And, Or))}"
        case Field(None, value):
            return _write_value(value)
        case Field(name, value):
            return f"{name}:{_write_value(value)}"
