r"""Wildcards and regular expressions over whole values, in time that no pattern can blow up.

A user's expression never reaches :mod:`re`. The pieces of a wildcard are looked for one after another, each where it
fits first. A regular expression becomes an automaton of positions (V. M. Glushkov, "The abstract theory of automata",
Russian Mathematical Surveys 16(5), 1961), and all of them are followed at once as the bits of one number. So the time
is bounded by pattern x value, whatever the pattern.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

__all__ = ["MAX_STATES", "PatternError", "matches_regex", "matches_wildcard", "program", "wildcard_test"]

MAX_STATES = 500
"""Positions in a regular expression, with its repetitions written out."""
_MAX_DEPTH = 50
_REMEMBERED = 500
"""Steps that an automaton remembers at most; others are worked out anew."""
_REFUSED = {
    "~": "complement (`~`) is not supported; write NOT before the clause",
    "&": "intersection (`&`) is not supported; join two clauses with AND",
    "<": "numeric intervals (`<1-5>`) are not supported; write a range [1 TO 5]",
    "#": "the empty language (`#`) is not supported",
    "^": "an expression always takes the whole value; leave `^` out, or escape it",
    "$": "an expression always takes the whole value; leave `$` out, or escape it",
}


class PatternError(ValueError):
    """A pattern that cannot be used; `offset` is the place in it."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


# --- wildcards -------------------------------------------------------------------------------------------------------
class _Segment(NamedTuple):
    """What stands between two stars: its length, and the texts in it with their offsets; ``?`` are the gaps."""

    length: int
    texts: tuple[tuple[int, str], ...]

    def stands(self, value: str, at: int) -> bool:
        return all(value.startswith(text, at + offset) for offset, text in self.texts)

    def find(self, value: str, at: int, end: int) -> int:
        """The first place from `at` on where it stands and does not go beyond `end`, or -1."""
        if not self.texts:
            return at if at + self.length <= end else -1
        offset, text = self.texts[0]
        while (found := value.find(text, at + offset, end)) >= 0:
            at = found - offset
            if at + self.length > end:
                return -1
            if self.stands(value, at):
                return at
            at += 1
        return -1


def _segments(pattern: str) -> list[_Segment]:
    stars: list[list[str | None]] = [[]]  # None is `?`
    chars = iter(pattern)
    for char in chars:
        if char == "*":
            stars.append([])
        else:
            stars[-1].append(next(chars, "\\") if char == "\\" else None if char == "?" else char)
    return [_Segment(len(items), tuple(_texts(items))) for items in stars]


def _texts(items: list[str | None]) -> Iterator[tuple[int, str]]:
    text = ""
    for place, item in enumerate([*items, None]):
        if item is not None:
            text += item
        elif text:
            yield place - len(text), text
            text = ""


def wildcard_test(pattern: str) -> Callable[[str], bool]:
    """A function that says whether all of a value fits `pattern`."""
    first, *rest = _segments(pattern)
    if not rest:
        return lambda value: len(value) == first.length and first.stands(value, 0)
    *between, last = (segment for segment in rest if segment.length or segment is rest[-1])
    least = first.length + last.length + sum(segment.length for segment in between)

    def test(value: str) -> bool:
        end = len(value) - last.length
        if len(value) < least or not first.stands(value, 0) or not last.stands(value, end):
            return False
        at = first.length
        for segment in between:
            at = segment.find(value, at, end)
            if at < 0:
                return False
            at += segment.length
        return True

    return test


def matches_wildcard(pattern: str, text: str) -> bool:
    """Whether all of `text` fits `pattern`."""
    return wildcard_test(pattern)(text)


# --- regular expressions: syntax -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Chars:
    """One character of a set; `negated` turns it round. The ranges are in order and do not overlap."""

    singles: frozenset[str] = frozenset()
    ranges: tuple[tuple[str, str], ...] = ()
    negated: bool = False

    def has(self, char: str) -> bool:
        inside = char in self.singles or self._in_range(char)
        return inside is not self.negated

    def _in_range(self, char: str) -> bool:
        at = bisect_right(self.ranges, char, key=operator.itemgetter(0))
        return at > 0 and char <= self.ranges[at - 1][1]

    def has_in_any_case(self, char: str) -> bool:
        if not self.negated:
            return self.has(char) or self.has(char.lower()) or self.has(char.upper())
        return self.has(char) and self.has(char.lower()) and self.has(char.upper())


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Either:
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Part
    least: int
    most: int | None


_Part: TypeAlias = _Chars | _Sequence | _Either | _Repeat
_ANY = _Chars(negated=True)
_ESCAPED_SETS = {
    "d": _Chars(ranges=(("0", "9"),)),
    "w": _Chars(frozenset("_"), (("0", "9"), ("A", "Z"), ("a", "z"))),
    "s": _Chars(frozenset(" \t\n\r\f\v")),
}
_ESCAPED_SETS |= {
    name.upper(): _Chars(chars.singles, chars.ranges, negated=True) for name, chars in _ESCAPED_SETS.items()
}


def _merged(ranges: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The same ranges in order, those that overlap as one."""
    out: list[tuple[str, str]] = []
    for low, high in sorted(set(ranges)):
        if out and low <= out[-1][1]:
            out[-1] = out[-1][0], max(high, out[-1][1])
        else:
            out.append((low, high))
    return tuple(out)


class _Reader:
    """Recursive descent over a regular expression of Lucene's syntax, without the operators in `_REFUSED`."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at, self.depth, self.atoms = pattern, 0, 0, 0

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        char = self.peek()
        self.at += 1
        return char

    def read(self) -> _Part:
        part = self.either()
        if self.peek():
            raise PatternError("`)` without `(` in the regular expression", self.at)
        return part

    def either(self) -> _Part:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            parts.append(self.sequence())
        return parts[0] if len(parts) == 1 else _Either(tuple(parts))

    def sequence(self) -> _Part:
        parts: list[_Part] = []
        while self.peek() not in {"", "|", ")"}:
            parts.append(self.repeated())
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def repeated(self) -> _Part:
        part = self.one()
        for _ in range(4):
            start = self.at
            match self.peek():
                case "*":
                    least, most = 0, None
                case "+":
                    least, most = 1, None
                case "?":
                    least, most = 0, 1
                case "{":
                    least, most = self.counts()
                case _:
                    return part
            self.at = max(self.at, start + 1)
            part = _Repeat(part, least, most)
        raise PatternError("too many repetition signs in a row", self.at)

    def counts(self) -> tuple[int, int | None]:
        start, end = self.at, self.pattern.find("}", self.at)
        low, comma, high = self.pattern[start + 1 : end].partition(",") if end > 0 else ("", "", "")
        if not all(text.isascii() and text.isdigit() and len(text) <= 4 for text in (low, high or "0")):
            raise PatternError("expected {n}, {n,} or {n,m} in the regular expression", start)
        least, most = int(low), int(high) if high else None if comma else int(low)
        if most is not None and most < least:
            raise PatternError(f"repetition {{{least},{most}}} runs backwards", start)
        self.at = end + 1
        return least, most

    def one(self) -> _Part:
        start, char = self.at, self.take()
        self.atoms += 1
        if self.atoms > MAX_STATES:
            raise PatternError(f"more than {MAX_STATES} characters and sets in the regular expression", start)
        if char in _REFUSED:
            raise PatternError(_REFUSED[char], start)
        if char in "*+?{":
            raise PatternError(f"`{char}` has nothing to repeat; escape it to mean the character", start)
        longer = {"(": self.group, "[": self.char_class, '"': self.literal, "\\": self.escaped}.get(char)
        if longer is not None:
            return longer(start)
        if char == "@":
            return _Repeat(_ANY, 0, None)
        return _ANY if char == "." else _Chars(frozenset(char))

    def group(self, start: int) -> _Part:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise PatternError(f"more than {_MAX_DEPTH} nested groups", start)
        part = self.either()
        if self.take() != ")":
            raise PatternError("`(` without `)` in the regular expression", start)
        self.depth -= 1
        return part

    def literal(self, start: int) -> _Part:
        end = self.pattern.find('"', self.at)
        if end < 0:
            raise PatternError('`"` without a second one in the regular expression', start)
        text, self.at = self.pattern[self.at : end], end + 1
        self.atoms += len(text)
        return _Sequence(tuple(_Chars(frozenset(char)) for char in text))

    def escaped(self, start: int) -> _Chars:
        char = self.take()
        if not char:
            raise PatternError("a backslash at the end of the regular expression", start)
        return _ESCAPED_SETS.get(char) or _Chars(frozenset(char))

    def char_class(self, start: int) -> _Chars:
        negated = self.peek() == "^"
        self.at += negated
        singles: set[str] = set()
        ranges: list[tuple[str, str]] = []
        while self.peek() != "]" or not (singles or ranges):
            low = self.class_char(start)
            if isinstance(low, _Chars):
                if low.negated:
                    raise PatternError("a negated set inside [...] is not supported", self.at)
                singles |= low.singles
                ranges += low.ranges
            elif self.peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in {"]", ""}:
                self.at += 1
                high = self.class_char(start)
                if isinstance(high, _Chars) or high < low:
                    raise PatternError("a range inside [...] that runs backwards", self.at)
                ranges.append((low, high))
            else:
                singles.add(low)
        self.at += 1
        return _Chars(frozenset(singles), _merged(ranges), negated)

    def class_char(self, start: int) -> str | _Chars:
        char = self.take()
        if char == "\\":
            escaped = self.take()
            char = escaped
            if escaped in _ESCAPED_SETS:
                return _ESCAPED_SETS[escaped]
        if not char:
            raise PatternError("`[` without `]` in the regular expression", start)
        return char


# --- regular expressions: automaton ----------------------------------------------------------------------------------
class _Piece(NamedTuple):
    """A part of the expression: positions at which it may begin and end, and whether it may be empty."""

    first: int
    last: list[int]
    empty: bool


_NOTHING = _Piece(0, [], True)


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


class Program:
    """The automaton of an expression. Bit 0 is the beginning, every other bit a position that takes one character."""

    def __init__(self, pattern: str) -> None:
        self._takes: list[_Chars | None] = [None]
        self._follow = [0]
        self._copies = 0
        whole = self._joined(_Piece(1, [0], False), self._add(_Reader(pattern).read()))
        self._accept = sum(1 << at for at in set(whole.last))
        # Most positions lead to the next one alone: for these together a shift is the step.
        self._plain = sum(1 << at for at, then in enumerate(self._follow) if then == 2 << at)
        self._steps: dict[int, int] = {}
        self._taking: dict[tuple[str, bool], int] = {}

    @property
    def states(self) -> int:
        """How many positions there are."""
        return len(self._takes)

    def _position(self, chars: _Chars) -> _Piece:
        self._takes.append(chars)
        self._follow.append(0)
        at = len(self._takes) - 1
        return _Piece(1 << at, [at], False)

    def _add(self, part: _Part) -> _Piece:
        self._copies += 1
        if self._copies > 4 * MAX_STATES or len(self._takes) > MAX_STATES:
            raise PatternError(f"the regular expression has more than {MAX_STATES} states; repeat less", 0)
        match part:
            case _Chars():
                return self._position(part)
            case _Sequence(parts):
                found = _NOTHING
                for item in parts:
                    found = self._joined(found, self._add(item))
                return found
            case _Either(parts):
                pieces = [self._add(item) for item in parts]
                first = 0
                for piece in pieces:
                    first |= piece.first
                last = [at for piece in pieces for at in piece.last]
                return _Piece(first, last, any(piece.empty for piece in pieces))
            case _Repeat(inner, least, most):
                return self._repeated(inner, least, most)

    def _joined(self, left: _Piece, right: _Piece) -> _Piece:
        for at in left.last:
            self._follow[at] |= right.first
        first = left.first | right.first if left.empty else left.first
        return _Piece(first, left.last + right.last if right.empty else right.last, left.empty and right.empty)

    def _repeated(self, inner: _Part, least: int, most: int | None) -> _Piece:
        found = _NOTHING
        for count in range(max(least, 1) if most is None else most):
            piece = self._add(inner)
            if most is None and count >= least - 1:  # the last copy goes round
                self._joined(piece, piece)
            found = self._joined(found, piece._replace(empty=piece.empty or count >= least))
        return found

    def _step(self, current: int) -> int:
        """The positions to which `current` lead."""
        found = (current & self._plain) << 1
        for at in _bits(current & ~self._plain):
            found |= self._follow[at]
        if len(self._steps) < _REMEMBERED:
            self._steps[current] = found
        return found

    def _takers(self, char: str, ignore_case: bool) -> int:
        """The positions that take a character."""
        found = 0
        for at, chars in enumerate(self._takes):
            if chars is not None and (chars.has_in_any_case(char) if ignore_case else chars.has(char)):
                found |= 1 << at
        if len(self._taking) < _REMEMBERED:
            self._taking[char, ignore_case] = found
        return found

    def matches(self, text: str, *, ignore_case: bool) -> bool:
        """Whether all of `text` fits."""
        current, steps, taking = 1, self._steps, self._taking
        for char in text:
            reach = steps.get(current)
            takers = taking.get((char, ignore_case))
            current = (self._step(current) if reach is None else reach) & (
                self._takers(char, ignore_case) if takers is None else takers
            )
            if not current:
                return False
        return bool(current & self._accept)


@lru_cache(maxsize=64)
def program(pattern: str) -> Program:
    """Compile a regular expression; raises PatternError."""
    return Program(pattern)


def matches_regex(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Whether all of `text` fits the regular expression."""
    return program(pattern).matches(text, ignore_case=ignore_case)
