r"""Wildcards and regular expressions over whole values, in time that no pattern can blow up.

A user's expression never reaches :mod:`re`. It is compiled to the states of a nondeterministic automaton and all
states are followed at once (K. Thompson, "Regular expression search algorithm", CACM 11(6), 1968): the time is
bounded by states x characters, whatever the pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

__all__ = ["PatternError", "matches_regex", "matches_wildcard", "program"]

_MAX_STATES = 500
_MAX_DEPTH = 50
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
@lru_cache(maxsize=1024)
def _items(pattern: str) -> tuple[str | None, ...]:
    """`pattern` as characters; None is ``*`` and the empty text ``?``."""
    out: list[str | None] = []
    chars = iter(pattern)
    for char in chars:
        if char == "\\":
            out.append(next(chars, "\\"))
        elif char == "*":
            if not out or out[-1] is not None:
                out.append(None)
        else:
            out.append("" if char == "?" else char)
    return tuple(out)


def matches_wildcard(pattern: str, text: str) -> bool:
    """Whether all of `text` fits `pattern`. At most ``len(pattern) * len(text)`` steps: only the last star moves."""
    items, at, place, star, mark = _items(pattern), 0, 0, -1, 0
    while place < len(text):
        if at < len(items) and items[at] is None:
            star, mark, at = at, place, at + 1
        elif at < len(items) and items[at] in ("", text[place]):
            at, place = at + 1, place + 1
        elif star >= 0:
            mark += 1
            at, place = star + 1, mark
        else:
            return False
    return all(item is None for item in items[at:])


# --- regular expressions: syntax -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Chars:
    """One character of a set; `negated` turns it round."""

    singles: frozenset[str] = frozenset()
    ranges: tuple[tuple[str, str], ...] = ()
    negated: bool = False

    def has(self, char: str) -> bool:
        inside = char in self.singles or any(low <= char <= high for low, high in self.ranges)
        return inside is not self.negated

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


class _Reader:
    """Recursive descent over a regular expression of Lucene's syntax, without the operators in `_REFUSED`."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at, self.depth = pattern, 0, 0

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
        return _Chars(frozenset(singles), tuple(ranges), negated)

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
@dataclass(slots=True)
class _State:
    """Takes a character of `chars` and goes to `then[0]`, or goes to each of `then` at once when `chars` is None."""

    chars: _Chars | None
    then: list[int]


class _Program:
    """The states of an expression; state 0 is the end."""

    def __init__(self, pattern: str) -> None:
        self.states = [_State(None, [])]
        self.start = self._add(_Reader(pattern).read(), 0)

    def _new(self, chars: _Chars | None, then: list[int]) -> int:
        if len(self.states) >= _MAX_STATES:
            raise PatternError(f"the regular expression has more than {_MAX_STATES} states; repeat less", 0)
        self.states.append(_State(chars, then))
        return len(self.states) - 1

    def _add(self, part: _Part, then: int) -> int:
        """Add the states of `part`, leading on to `then`; the state where it begins."""
        match part:
            case _Chars():
                return self._new(part, [then])
            case _Sequence(parts):
                for item in reversed(parts):
                    then = self._add(item, then)
                return then
            case _Either(parts):
                return self._new(None, [self._add(item, then) for item in parts])
            case _Repeat(inner, least, most):
                return self._repeat(inner, least, most, then)

    def _repeat(self, inner: _Part, least: int, most: int | None, then: int) -> int:
        if most is None:
            loop = self._new(None, [then])
            self.states[loop].then.append(self._add(inner, loop))
            then = loop
        else:
            end = then
            for _ in range(most - least):
                then = self._new(None, [end, self._add(inner, then)])
        for _ in range(least):
            self._new(None, [])  # counts the copy even when `inner` has no states of its own
            then = self._add(inner, then)
        return then

    def _reach(self, frontier: list[int]) -> set[int]:
        seen, stack = set(frontier), list(frontier)
        while stack:
            state = self.states[stack.pop()]
            if state.chars is None:
                fresh = [then for then in state.then if then not in seen]
                seen.update(fresh)
                stack += fresh
        return seen

    def matches(self, text: str, *, ignore_case: bool) -> bool:
        current = self._reach([self.start])
        for char in text:
            step = []
            for index in current:
                state = self.states[index]
                if state.chars and (state.chars.has_in_any_case(char) if ignore_case else state.chars.has(char)):
                    step.append(state.then[0])
            if not step:
                return False
            current = self._reach(step)
        return 0 in current


@lru_cache(maxsize=256)
def program(pattern: str) -> _Program:
    """Compile a regular expression; raises PatternError."""
    return _Program(pattern)


def matches_regex(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Whether all of `text` fits the regular expression."""
    return program(pattern).matches(text, ignore_case=ignore_case)
