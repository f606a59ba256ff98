"""A gazetteer that needs no network: cities, countries, regions, seas and lakes by name, and points by coordinates.

The data is Natural Earth's, in the public domain; see `data/LICENSE.md`.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from itertools import accumulate
from typing import Any

import numpy as np

from extenso_nb import aoi

__all__ = ["Place", "edits", "find", "folded"]

Bounds = tuple[float, float, float, float]
KM_PER_DEGREE = 111.32
"""Of latitude."""
MAX_TEXT = 200
"""Characters of a name or a pair of coordinates; nothing is found for longer text."""


@dataclass(frozen=True)
class Place:
    """One place on Earth, as a list of suggestions shows it."""

    name: str
    """Its usual English name; of a point its coordinates, as they were read."""
    kind: str
    """city, country, region, sea, lake, mountains, ..., or point."""
    country: str
    """Empty for what lies in no single one."""
    lon: float
    """Degrees east, of a city's centre or the middle of the box."""
    lat: float
    """Degrees north."""
    bbox: Bounds
    """West, south, east, north; west > east across the antimeridian. Of a city a box about its size."""
    region: str = ""
    """State or province of a city, where its country has another one of that name."""
    people: int = field(default=0, repr=False)
    """Inhabitants, in two digits; 0 where it is not known. Good for ranking only."""

    @property
    def label(self) -> str:
        """For a list: "Toulouse, France"; what is neither city nor country says what it is: "New York (state), United States"."""
        plain = self.kind in ("city", "country", "point") or self.kind in self.name.casefold()
        name = self.name if plain else f"{self.name} ({self.kind})"
        return ", ".join(part for part in (name, self.region, self.country) if part)

    @cached_property
    def area(self) -> aoi.Area:
        """Its box as an area."""
        return aoi.area(self.bbox)


def find(text: str, limit: int = 8) -> list[Place]:
    """Places for what somebody types, the best first; none for empty text, and none where no name is like it.

    Names that are the text come first, then those that begin with it, then those with a word that does; among equals
    the one with more people. Only where there is none of these, names with one or two letters amiss are given. Case
    and accents do not matter. What follows a comma narrows: "Springfield, Illinois".

    Coordinates in degrees are a point in a box of 10 km: "43.6, 1.44", "43.6N 1.44E", "43°36'N 1°26'E". Without
    letters latitude comes first, as people write points (a bbox and WKT have longitude first), unless only the other
    order is possible; the name of the point says how it was read.
    """
    if limit < 1 or len(text) > MAX_TEXT:
        return []
    point = _point(text)
    if point is not None:
        return [point]
    whole = folded(text)
    if not whole:
        return []
    found = _book().find(whole, "", limit)
    name, comma, narrow = text.partition(",")
    if not found and comma and folded(name):
        found = _book().find(folded(name), folded(narrow), limit)
    # A typo is looked for in the name alone: what follows the comma is right or it narrows to nothing.
    return found or _book().alike(folded(name) if comma else whole, folded(narrow), limit)


# --- names -----------------------------------------------------------------------------------------------------------
# Letters that no decomposition takes apart.
_LETTERS = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ə": "e", "ŋ": "n"}
    | dict.fromkeys("'’‘ʻʼ`´ʿʾ", "")
)


def folded(text: str) -> str:
    """A name as it is compared: lower case, without accents and apostrophes, words parted by one space."""
    parts = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    letters = "".join(letter for letter in parts if not unicodedata.combining(letter))
    return " ".join(re.split(r"[\W_]+", letters)).strip()


class _Book:
    """All places, and their names in order."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.places = list(_places(body))
        self.weights = [_weight(place) for place in self.places]
        countries: dict[str, str] = defaultdict(str)
        names: dict[str, list[int]] = defaultdict(list)
        for number, (place, also) in enumerate(zip(self.places, body["also"], strict=True)):
            for name in {folded(place.name), *(folded(other) for other in also.split(";") if other)}:
                names[name].append(number)
            if place.kind == "country":
                countries[place.name] = f" {folded(place.name)} {folded(also)}"
        self.within = [f" {folded(place.region)}{countries[place.country]}" for place in self.places]
        self.names = sorted(names)
        self.numbers = [names[name] for name in self.names]
        self.lengths = np.array([len(name) for name in self.names])
        words = [(" ".join(parts[at:]), number) for number, parts in self._parts() for at in range(1, len(parts))]
        self.words = sorted(words)
        pairs: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(self.names):
            for pair in _pairs(name):
                pairs[pair].append(number)
        self.pairs = {pair: np.array(numbers) for pair, numbers in pairs.items()}

    def _parts(self) -> Iterator[tuple[int, list[str]]]:
        for number, name in enumerate(self.names):
            yield number, name.split()

    def find(self, name: str, narrow: str, limit: int) -> list[Place]:
        """Those that are called `name`, begin with it, or have a word that does."""
        found: dict[int, None] = {}
        for numbers in (self._exact(name), self._beginning(name), self._with_word(name)):
            found |= dict.fromkeys(self._ranked(numbers, narrow))
            if len(found) >= limit:
                break
        return [self.places[number] for number in list(found)[:limit]]

    def alike(self, name: str, narrow: str, limit: int) -> list[Place]:
        """Those whose name has one letter amiss; failing these, in longer names two."""
        most = 0 if len(name) < 4 else 1 if len(name) < 8 else 2
        near: dict[int, list[int]] = defaultdict(list)
        if most:
            shared = np.zeros(len(self.names), dtype=np.int64)
            for pair in _pairs(name):
                shared[self.pairs.get(pair, [])] += 1
            # A letter amiss spoils two pairs, two that changed places three.
            enough = max(len(name) + 1 - 3 * most, 1)
            shared[np.abs(self.lengths - len(name)) > most] = 0
            for number in np.argsort(-shared, kind="stable")[:100]:
                if shared[number] < enough:
                    break
                steps = edits(name, self.names[number], most)
                if steps <= most:
                    near[steps] += self.numbers[number]
        for steps in range(1, most + 1):
            ranked = self._ranked(near[steps], narrow)
            if ranked:
                return [self.places[number] for number in ranked[:limit]]
        return []

    def _ranked(self, numbers: list[int], narrow: str) -> list[int]:
        kept = {number for number in numbers if not narrow or f" {narrow}" in self.within[number]}
        return sorted(kept, key=lambda number: (-self.weights[number], number))

    def _exact(self, name: str) -> list[int]:
        at = bisect_left(self.names, name)
        return self.numbers[at] if at < len(self.names) and self.names[at] == name else []

    def _beginning(self, name: str) -> list[int]:
        first, end = bisect_left(self.names, name), bisect_left(self.names, name + "\U0010ffff")
        return [number for numbers in self.numbers[first:end] for number in numbers]

    def _with_word(self, name: str) -> list[int]:
        first, end = bisect_left(self.words, (name,)), bisect_left(self.words, (name + "\U0010ffff",))
        return [number for _, at in self.words[first:end] for number in self.numbers[at]]


@lru_cache(maxsize=1)
def _book() -> _Book:
    content = (resources.files("extenso_nb.aoi") / "data" / "places.json.gz").read_bytes()
    return _Book(json.loads(gzip.decompress(content)))


def _places(body: dict[str, Any]) -> Iterator[Place]:
    """Areas with their boxes first, then cities with half the side of theirs in km; see docs/make_places.py."""
    countries, kinds, areas = body["countries"], body["kinds"], len(body["box"])
    common = list(zip(body["name"], body["country"], body["region"], body["people"], strict=True))
    for (name, country, region, people), kind, box in zip(common[:areas], body["kind"], body["box"], strict=True):
        west, south, east, north = (value / 100 for value in box)
        lon = round(_wrapped((west + east + (360 if west > east else 0)) / 2), 4)
        bbox = (west, south, east, north)
        middle = round((south + north) / 2, 4)
        yield Place(name, kinds[kind], countries[country], lon, middle, bbox, region, people * 1000)
    cities = zip(common[areas:], accumulate(body["lon"]), body["lat"], body["half"], strict=True)
    for (name, country, region, people), east, north, half in cities:
        lon, lat = east / 100, north / 100
        yield Place(name, "city", countries[country], lon, lat, _box_round(lon, lat, half), region, people * 1000)


def _weight(place: Place) -> float:
    """People; what has no number of them counts as if 20,000 lived on each square degree of its box."""
    west, south, east, north = place.bbox
    return place.people or 20_000 * (north - south) * ((east - west) % 360 or 360)


def _pairs(name: str) -> set[str]:
    return {name[at : at + 2] for at in range(len(name) - 1)} | {f"^{name[:1]}", f"{name[-1:]}$"}


def edits(one: str, other: str, most: int) -> int:
    """Letters to add, drop, change or exchange with their neighbour; `most` + 1 where it is more than `most`."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    one, other = one[same:], other[same:]
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, against in enumerate(other, 1):
            steps = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                steps = min(steps, older[j - 2] + 1)
            row.append(steps)
        if min(row) > most:
            return most + 1
    return row[-1]


# --- coordinates -----------------------------------------------------------------------------------------------------
_DEGREES = (
    r"[-+]?[0-9]{1,3}(?:\.[0-9]{0,15})?\s*°?"
    r"(?:\s*[0-9]{1,2}(?:\.[0-9]{0,15})?\s*['′’](?:\s*[0-9]{1,2}(?:\.[0-9]{0,15})?\s*(?:\"|″|”|''))?)?"
)
_ANGLE = rf"(?:[NSEW]\s*{_DEGREES}|{_DEGREES}\s*[NSEW]?)"
_POINT = re.compile(rf"({_ANGLE})(?:\s*[,;]\s*|\s+)({_ANGLE})", re.IGNORECASE)


def _point(text: str) -> Place | None:
    """The point that two angles make; None for any other text and for what is not on Earth."""
    found = _POINT.fullmatch(text.strip().removeprefix("(").removesuffix(")").strip())
    if found is None:
        return None
    if re.search(r"[-+].*[NSEW]|[NSEW].*[-+]", text, re.IGNORECASE):
        return None  # a sign and a letter may say the same or the contrary
    (first, axis), (second, other) = _angle(found[1]), _angle(found[2])
    if axis + other in ("EN", "XN", "EX") or (axis + other == "XX" and abs(first) > 90):
        first, second = second, first
    elif axis + other not in ("NE", "NX", "XE", "XX"):
        return None
    if not (abs(first) <= 90 and abs(second) <= 360):
        return None
    lat, lon = round(first, 6), round(_wrapped(second), 6)
    name = f"{abs(lat):.6g}° {'S' if lat < 0 else 'N'}, {abs(lon):.7g}° {'W' if lon < 0 else 'E'}"
    return Place(name, "point", "", lon, lat, _box_round(lon, lat, 5.0))


def _angle(text: str) -> tuple[float, str]:
    """Degrees, and which way they go: N (and S), E (and W), or X where no letter says it."""
    letter = next((sign for sign in text.upper() if sign in "NSEW"), "")
    numbers = [float(number) for number in re.findall(r"[0-9]+(?:\.[0-9]*)?", text)]
    value = sum(number / 60**power for power, number in enumerate(numbers))
    if letter in ("S", "W"):
        value = -value
    return (-value if "-" in text else value), {"S": "N", "W": "E", "": "X"}.get(letter, letter)


def _wrapped(lon: float) -> float:
    return lon if -180 <= lon <= 180 else (lon + 180) % 360 - 180


def _box_round(lon: float, lat: float, half: float) -> Bounds:
    """A box with `half` km to each side, cut at the poles."""
    high = half / KM_PER_DEGREE
    wide = min(high / max(math.cos(math.radians(lat)), 1e-9), 180)
    south, north = max(lat - high, -90), min(lat + high, 90)
    west, east = (-180.0, 180.0) if wide == 180 else (_wrapped(lon - wide), _wrapped(lon + wide))
    return round(west, 4), round(south, 4), round(east, 4), round(north, 4)
