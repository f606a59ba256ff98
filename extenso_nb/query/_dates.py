"""Times in queries: date math such as ``NOW-7DAYS/DAY``, and the STAC forms of a time interval for `build`."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from extenso_nb.errors import InputError

__all__ = ["DateMath", "Interval", "interval", "moment", "write_moment"]

_BASE = re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?Z", re.ASCII)
_STEP = re.compile(r"([+-])(\d{1,9})([A-Z]+)|/([A-Z]+)", re.ASCII)
_UNITS = {
    name + plural: unit
    for unit, names in {
        "year": ("YEAR",),
        "month": ("MONTH",),
        "day": ("DAY",),
        "hour": ("HOUR",),
        "minute": ("MINUTE",),
        "second": ("SECOND",),
        "millisecond": ("MILLI", "MILLISECOND"),
    }.items()
    for name in names
    for plural in ("", "S")
} | {"DATE": "day"}
_MAX_STEPS = 50
"""Steps of date math after one date."""
_CALENDAR_UNITS = ("year", "month", "day", "hour", "minute", "second")
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC, microsecond=999_000)


def _add(value: datetime, count: int, unit: str) -> datetime:
    """`value` plus `count` units; at the ends of the calendar it stays there."""
    try:
        if unit not in {"year", "month"}:
            return value + timedelta(**{f"{unit}s": count})
        months = value.year * 12 + value.month - 1 + count * (12 if unit == "year" else 1)
        year, month = months // 12, months % 12 + 1
        if not 1 <= year <= 9999:
            return _FIRST if count < 0 else _LAST
        return value.replace(year=year, month=month, day=min(value.day, calendar.monthrange(year, month)[1]))
    except OverflowError:
        return _FIRST if count < 0 else _LAST


def _floor(value: datetime, unit: str) -> datetime:
    """The start of the unit that `value` lies in."""
    if unit == "millisecond":
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    kept = _CALENDAR_UNITS.index(unit) + 1
    given = (value.year, value.month, value.day, value.hour, value.minute, value.second)
    year, month, day, hour, minute, second = given[:kept] + (1, 1, 1, 0, 0, 0)[kept:]
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DateMath:
    """A time of a query; `base` None is NOW. Steps are (count, unit), or (None, unit) for rounding down."""

    base: datetime | None
    steps: tuple[tuple[int | None, str], ...] = ()

    def at(self, now: datetime) -> datetime:
        """The time it means at `now`, to the millisecond, as in the catalogue."""
        value = now.astimezone(UTC) if self.base is None else self.base
        for count, unit in self.steps:
            value = _floor(value, unit) if count is None else _add(value, count, unit)
        return _floor(value, "millisecond")


@lru_cache(maxsize=1024)
def moment(text: str) -> DateMath:
    """Parse a date of a query; raises ValueError that says what is wrong."""
    found = _BASE.match(text)
    if text.startswith("NOW"):
        base, at = None, 3
    elif found:
        year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
        try:
            base = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError as error:
            raise ValueError(f"no such date: {text[:40]!r} ({error})") from None
        base, at = base.replace(microsecond=int((found[7] or "0")[:3].ljust(3, "0")) * 1000), found.end()
    else:
        raise ValueError(f"not a date: {text[:40]!r}; write 2024-06-01T00:00:00Z, NOW or NOW-7DAYS")
    return DateMath(base, _steps(text, at))


def _steps(text: str, at: int) -> tuple[tuple[int | None, str], ...]:
    steps: list[tuple[int | None, str]] = []
    while at < len(text):
        step = _STEP.match(text, at)
        unit = _UNITS.get(step[3] or step[4]) if step else None
        if step is None or unit is None:
            raise ValueError(
                f"not date math: {text[:40]!r}; after the date come steps such as -7DAYS, +1MONTH or /DAY, without blanks"
            )
        if len(steps) == _MAX_STEPS:
            raise ValueError(f"more than {_MAX_STEPS} steps of date math in {text[:40]!r}")
        steps.append((None if step[4] else int(step[1] + step[2]), unit))
        at = step.end()
    return tuple(steps)


def write_moment(value: datetime) -> str:
    """A time as queries have it: UTC, milliseconds only where there are any."""
    text = value.astimezone(UTC).isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    return text.replace("+00:00", "Z")


# --- intervals of Python arguments -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` up to `end`, whole milliseconds; None is open. `end` is not part of it, unless `closed`."""

    start: datetime | None
    end: datetime | None
    closed: bool = False


_CALENDAR = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)
_HINT = 'Give "2024", "2024-06", "2024-06-01", "2024-06-01T10:30:00Z", "a/b", "a/..", "../b", dates or a pair of these.'


def _to_ms(value: datetime, *, up: bool) -> datetime:
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    floor = _floor(value, "millisecond")
    return floor if floor == value or not up else _add(floor, 1, "millisecond")


def _from_text(text: str) -> tuple[datetime, datetime]:
    found = _CALENDAR.fullmatch(text)
    if found:
        year, month, day = found.groups()
        unit = "day" if day else "month" if month else "year"
        start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        return start, _add(start, 1, unit)
    if "T" not in text and " " not in text:
        raise ValueError("not a date")
    value = datetime.fromisoformat(text)
    return _to_ms(value, up=False), _to_ms(value, up=True)


def _span(value: Any) -> tuple[datetime, datetime] | None:
    """First moment and end (not part of it) of one time as given; both are the same for an instant. None is open."""
    if value is None or (isinstance(value, str) and value.strip() in {"", ".."}):
        return None
    if type(value).__name__ == "datetime64":
        value = str(value)
    try:
        if isinstance(value, datetime):
            if value != value:  # noqa: PLR0124 - pandas' NaT is a datetime that equals nothing
                raise ValueError("it is no time at all")
            return _to_ms(value, up=False), _to_ms(value, up=True)
        if isinstance(value, date):
            start = datetime.combine(value, time(), tzinfo=UTC)
            return start, _add(start, 1, "day")
        if isinstance(value, str):
            return _from_text(value.strip())
    except (ValueError, OverflowError) as error:
        raise InputError(f"datetime: {value!r} is not a date or time ({error}).", hint=_HINT) from None
    raise InputError(f"datetime: {value!r} is neither text nor a date.", hint=_HINT)


def interval(value: Any) -> Interval:
    """The interval that a STAC-like `datetime` argument means.

    Calendar units take all of themselves (``"2024-06"`` ends before July 1st, 0 h). A time to the second is an
    instant when it stands alone and a limit in a pair; the end of a pair of instants is not part of the interval.
    Times without zone are UTC; parts below a millisecond are rounded outwards.

    Raises
    ------
    InputError
        Not a time, more than two, open on both sides, or the end before the start.
    """
    parts = value.split("/") if isinstance(value, str) else list(value) if isinstance(value, (tuple, list)) else [value]
    if len(parts) > 2 or not parts:
        raise InputError(f"datetime: {value!r} has {len(parts)} parts; one or two are needed.", hint=_HINT)
    spans = [_span(part) for part in parts]
    first, last = spans[0], spans[-1]
    if first is None and last is None:
        raise InputError(f"datetime: {value!r} is open on both sides and limits nothing.", hint=_HINT)
    start, end = first[0] if first else None, last[1] if last else None
    instant = all(span is not None and span[0] == span[1] for span in spans)
    if start and end and (end < start or (end == start and not instant)):
        raise InputError(
            f"datetime: {value!r} ends at {write_moment(end)}, not after its start {write_moment(start)}.",
            hint="Swap the two.",
        )
    return Interval(start, end, closed=start is not None and start == end)
