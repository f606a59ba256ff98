"""Text to tree: a tokenizer and a recursive-descent parser, linear in the length of the text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NoReturn

from extenso_nb.errors import QueryError
from extenso_nb.query import _dates, _pattern, _spatial
from extenso_nb.query._keywords import KEYWORDS, Keyword, nearest
from extenso_nb.query._tree import (
    BLANKS,
    OPERATORS,
    All,
    And,
    Field,
    Node,
    Not,
    Or,
    Phrase,
    Range,
    Regex,
    Spatial,
    Term,
    Value,
    Wildcard,
    write,
)

__all__ = ["MAX_CLAUSES", "MAX_DEPTH", "MAX_LENGTH", "checked", "parse_tree"]

MAX_LENGTH = 10_000
"""Characters of a query, as given and as written out."""
MAX_CLAUSES = 1_024
FREE_PATTERN = 16
"""As how many clauses a pattern without a keyword counts: it is tried on every word of a product."""
FREE_STATES = 5
"""How often a state of a regular expression without a keyword counts."""
MAX_DEPTH = 50
"""Parentheses and NOTs inside each other."""

_BLANK = re.compile(rf"[{BLANKS}]*")
_WORD = re.compile(rf'(?:\\.|[^{BLANKS}!():^\[\]"{{}}~\\/])+', re.DOTALL)
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_REGEX = re.compile(r"/((?:\\.|[^/\\])*)/", re.DOTALL)
_BOUND = re.compile(rf"(?:\\.|[^{BLANKS}\]}}\\])+", re.DOTALL)
_BOOST = re.compile(r"\^\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_INT = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_DOUBLE = re.compile(r"[+-]?(?:\d{1,15}\.?\d{0,25}|\.\d{1,25})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_ESCAPE = re.compile(r"\\(?:u((?![dD][89a-fA-F])[0-9a-fA-F]{4})|(.))", re.DOTALL)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text) if "\\" in text else text


def _word_value(raw: str) -> Term | Wildcard:
    """A word as written: wildcards are kept apart from escaped ``*`` and ``?``."""
    out, special, at = [], False, 0
    while at < len(raw):
        char = raw[at]
        if char == "\\":
            found = _ESCAPE.match(raw, at)
            assert found is not None  # the tokenizer lets no lone backslash through
            plain = _unescape(found[0])
            out.append(f"\\{plain}" if plain in {"*", "?", "\\"} else plain)
            at = found.end()
            continue
        special = special or char in "*?"
        out.append(char)
        at += 1
    pattern = "".join(out)
    return Wildcard(pattern) if special else Term(_unescape(raw))


# --- what a keyword takes --------------------------------------------------------------------------------------------
def _whole_number(text: str) -> None:
    if not _INT.fullmatch(text):
        raise ValueError(f"expected a whole number, found {text[:40]!r}")


def _number(text: str) -> None:
    if not _DOUBLE.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(f"expected a number, found {text[:40]!r}")


_NAMES = {"int": "whole number", "double": "number", "date": "date"}
_ANYTHING = Wildcard("*")
_SCALARS: dict[str, Callable[[str], object]] = {"int": _whole_number, "double": _number, "date": _dates.moment}


def _present(value: Value) -> bool:
    return isinstance(value, Range) and value.low is None and value.high is None


def checked(keyword: Keyword | None, value: Value) -> Value:
    """`value` as the keyword takes it; raises ValueError that says what it takes."""
    if isinstance(value, Regex):
        _pattern.program(value.pattern)
    if keyword is None:
        if isinstance(value, Range):
            raise ValueError("a range needs a keyword: ingestiondate:[NOW-1DAY TO NOW]")
        return value
    if value == _ANYTHING:
        value = Range()  # any value at all
    if keyword.kind == "spatial":
        return _checked_spatial(value)
    scalar = _SCALARS.get(keyword.kind)
    if scalar is None:
        return value
    for text in _texts(keyword, value):
        scalar(text)
    return value


def _checked_spatial(value: Value) -> Value:
    match value:
        case Phrase(text) | Term(text) | Wildcard(text):
            return _spatial.spatial(text)
        case _ if _present(value) or isinstance(value, Spatial):
            return value
        case _:
            raise ValueError('expected "Intersects(...)", "Contains(...)" or "IsWithin(...)" in quotes')


def _texts(keyword: Keyword, value: Value) -> list[str]:
    match value:
        case Term(text) | Phrase(text):
            return [text]
        case Range(low, high):
            return [bound for bound in (low, high) if bound is not None]
        case _:
            raise ValueError(f"expected a {_NAMES[keyword.kind]} or a range of these for {keyword.name}, not a pattern")


# --- the parser ------------------------------------------------------------------------------------------------------
class _Parser:
    """One pass over `text`; `at` is the place reached."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth, self.clauses, self.states = text, 0, 0, 0, 0
        self.plus: int | None = None
        """Where the group being read has a ``+``."""

    # --- places and errors
    def fail(self, message: str, at: int | None = None, *, hint: str | None = None, suggestion: str = "") -> NoReturn:
        position = min(self.at if at is None else at, len(self.text))
        where = f"at position {position}"
        raise QueryError(
            f"The query cannot be read {where}: {message}.",
            hint=hint,
            query=self.text,
            position=position,
            suggestion=suggestion or None,
        )

    def found(self) -> str:
        """What stands here, for a message."""
        if self.at >= len(self.text):
            return "the end of the query"
        word = _WORD.match(self.text, self.at)
        return repr(word[0][:30] if word else self.text[self.at])

    def blank(self) -> None:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def char(self) -> str:
        self.blank()
        return self.text[self.at : self.at + 1]

    def operator(self) -> str:
        """The operator standing here, or the empty text. Does not move on."""
        self.blank()
        word = _WORD.match(self.text, self.at)
        return word[0] if word and word[0] in OPERATORS else ""

    # --- clauses
    def whole(self) -> Node:
        if self.char() == "":
            return All()
        tree = self.any_of(None)
        if self.char():
            self.fail(f"{self.found()} without its opening partner" if self.char() in ")]}" else self.unexpected())
        return tree

    def unexpected(self) -> str:
        return f"expected a clause, AND, OR or the end, found {self.found()}"

    def any_of(self, keyword: Keyword | None) -> Node:
        outer, self.plus = self.plus, None
        parts = [self.all_of(keyword)]
        while (operator := self.operator()) in {"OR", "||"}:
            self.at += len(operator)
            parts.append(self.all_of(keyword))
        if len(parts) > 1 and self.plus is not None:
            self.fail("`+` beside OR is ambiguous", self.plus, hint="Leave the + out, and group with parentheses.")
        self.plus = outer
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all_of(self, keyword: Keyword | None) -> Node:
        parts = [self.signed(keyword)]
        while True:
            operator = self.operator()
            if operator in {"AND", "&&"}:
                self.at += len(operator)
            elif operator in {"OR", "||"} or self.char() in {"", ")", "]", "}", "^", "~", ":"}:
                return parts[0] if len(parts) == 1 else And(tuple(parts))
            parts.append(self.signed(keyword))

    def signed(self, keyword: Keyword | None) -> Node:
        """A clause with its signs. NOT and parentheses count for the depth."""
        start, char = self.at, self.char()
        negated = char in {"!", "-"}
        if self.operator() == "NOT":
            self.at += 3
            negated = True
        elif char and char in "!-+":
            start = self.at
            self.at += 1
            if char != "!" and self.text[self.at : self.at + 1] in set(BLANKS) | {""}:
                self.fail(f"expected a clause right after {char!r}, found a blank or the end", start)
            self.plus = start if char == "+" else self.plus
        else:
            return self.clause(keyword)
        self.enter(start)
        node = self.signed(keyword)
        self.depth -= 1
        return Not(node) if negated else node

    def enter(self, at: int) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} clauses inside each other", at, hint="Flatten the query.")

    def clause(self, keyword: Keyword | None) -> Node:
        start, char = self.at, self.char()
        if char == "(":
            return self.group(keyword)
        word = self.word() if char and char not in '"[{/' else ""
        if not word:
            start = self.at
            return self.leaf(keyword, self.value(keyword), start)
        start = self.at
        if word in OPERATORS:
            self.fail(f"expected a clause, found the operator {word!r}", hint="Quote the word to search for it.")
        self.at += len(word)
        after = self.at
        if self.char() == ":":
            return self.field(word, start)
        self.at = after
        return self.leaf(keyword, _word_value(word), start)

    def word(self) -> str:
        self.blank()
        found = _WORD.match(self.text, self.at)
        return found[0] if found else ""

    def field(self, word: str, start: int) -> Node:
        name = _unescape(word).lower()
        self.at += 1
        if name == "*":
            if self.char() != "*" or self.word() != "*":
                self.fail("expected `*:*` or a keyword before the colon", start)
            self.at += 1
            return self.counted(All(), start)
        keyword = KEYWORDS.get(name)
        if keyword is None:
            near = nearest(name)
            hint = f"Did you mean {near}?" if near else "The keywords are listed in docs/query.md."
            if ":" in self.text[start + len(word) + 1 :].split(" ", 1)[0] or not near:
                hint += " A colon in a value is escaped (\\:), or the value is quoted."
            self.fail(f"unknown keyword {word[:40]!r}", start, hint=hint, suggestion=near or "")
        if self.char() == "(":
            return self.group(keyword)
        start = self.at
        return self.leaf(keyword, self.value(keyword), start)

    def group(self, keyword: Keyword | None) -> Node:
        start = self.at
        self.enter(start)
        self.at += 1
        node = self.any_of(keyword)
        if self.char() != ")":
            self.fail(f"expected `)` for the `(` at position {start}, found {self.found()}")
        self.at += 1
        self.depth -= 1
        self.suffix()
        return node

    def leaf(self, keyword: Keyword | None, value: Value, start: int) -> Node:
        self.suffix()
        if keyword is None and value == _ANYTHING:
            return self.counted(All(), start)
        try:
            value = checked(keyword, value)
        except _pattern.PatternError as error:
            self.fail(str(error), start + 1 + error.offset)
        except ValueError as error:
            self.fail(str(error), start)
        is_free_pattern = keyword is None and isinstance(value, (Regex, Wildcard))
        if isinstance(value, Regex):
            self.count_states(_pattern.program(value.pattern).states * (FREE_STATES if is_free_pattern else 1), start)
        node = Field(keyword.name if keyword else None, value)
        return self.counted(node, start, FREE_PATTERN if is_free_pattern else 1)

    def count_states(self, states: int, start: int) -> None:
        self.states += states
        if self.states > _pattern.MAX_STATES:
            most = f"{_pattern.MAX_STATES} states ({_pattern.MAX_STATES // FREE_STATES} without a keyword)"
            self.fail(
                f"more than {most} in the regular expressions of the query", start, hint="Use wildcards: * and ?."
            )

    def counted(self, node: Node, start: int, weight: int = 1) -> Node:
        self.clauses += weight
        if self.clauses > MAX_CLAUSES:
            more = f" (a pattern without a keyword counts as {FREE_PATTERN})" if weight > 1 else ""
            self.fail(f"more than {MAX_CLAUSES} clauses{more}", start, hint="Split the query.")
        return node

    def suffix(self) -> None:
        """A boost is read and means nothing, as nothing is ranked; a fuzzy or near search is refused."""
        char = self.text[self.at : self.at + 1]
        if char == "~":
            self.fail("fuzzy and proximity search (`~`) is not supported", hint="Use wildcards: * and ?.")
        if char == "^":
            found = _BOOST.match(self.text, self.at)
            if not found:
                self.fail("expected a number after `^`", self.at)
            self.at = found.end()

    # --- values
    def value(self, keyword: Keyword | None) -> Value:
        char = self.char()
        match char:
            case '"':
                return Phrase(self.quoted())
            case "[" | "{":
                return self.from_to()
            case "/":
                return Regex(self.delimited(_REGEX, "a second `/` for the regular expression"))
        word = self.word()
        if not word:
            self.refuse_value(keyword)
        if word in OPERATORS:
            self.fail(f"expected a value, found the operator {word!r}", hint="Quote it to search for the word.")
        self.at += len(word)
        if self.text[self.at : self.at + 1] == ":":
            self.fail("a colon inside a value", hint='Quote the value, or write "\\:" for the colon.')
        return _word_value(word)

    def refuse_value(self, keyword: Keyword | None) -> NoReturn:
        if self.char() == "\\":
            self.fail("a backslash that escapes nothing")
        what = f"a value after `{keyword.name}:`" if keyword else "a clause"
        self.fail(f"expected {what}, found {self.found()}")

    def delimited(self, form: re.Pattern[str], expected: str) -> str:
        found = form.match(self.text, self.at)
        if not found:
            self.fail(f"expected {expected}, found the end of the query")
        self.at = found.end()
        return found[1]

    def quoted(self) -> str:
        return _unescape(self.delimited(_QUOTED, 'a second `"`'))

    def from_to(self) -> Range:
        low_inclusive = self.char() == "["
        self.at += 1
        low = self.bound()
        if self.char() == "" or (found := _BOUND.match(self.text, self.at)) is None or found[0] != "TO":
            self.fail(f"expected TO between the bounds of the range, found {self.found()}", hint=_RANGE_HINT)
        self.at += 2
        high = self.bound()
        close = self.char()
        if close not in {"]", "}"}:
            self.fail(f"expected `]` or `}}` at the end of the range, found {self.found()}", hint=_RANGE_HINT)
        self.at += 1
        return Range(low, high, low_inclusive, close == "]")

    def bound(self) -> str | None:
        if self.char() == '"':
            return self.quoted()
        found = _BOUND.match(self.text, self.at)
        if not found or found[0] == "TO":
            self.fail(f"expected a bound (a value or *), found {self.found()}", hint=_RANGE_HINT)
        self.at = found.end()
        return None if found[0] == "*" else _unescape(found[0])


_RANGE_HINT = (
    "Write a range as [low TO high], {low TO high} without the bounds, * for an open end, no blank in a bound."
)


def parse_tree(text: str) -> Node:
    """The tree of a query; raises QueryError with the position of the first fault."""
    if not isinstance(text, str):
        raise QueryError(f"A query is text, not {type(text).__name__}.", hint='Give text such as "platformname:S*".')
    if len(text) > MAX_LENGTH:
        raise QueryError(
            f"The query has {len(text):,} characters; {MAX_LENGTH:,} are allowed.",
            hint="Split it, or simplify the geometry.",
            query=text,
            position=MAX_LENGTH,
        )
    tree = _Parser(text).whole()
    # The canonical text must be a query too; escapes and repeated keywords can make it longer than what was given.
    if (length := len(write(tree))) > MAX_LENGTH:
        raise QueryError(
            f"The query has {length:,} characters when written out; {MAX_LENGTH:,} are allowed.",
            hint="Split it.",
            query=text,
            position=len(text),
        )
    return tree
