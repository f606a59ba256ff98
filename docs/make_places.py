"""Make extenso_nb/aoi/data/places.json.gz from Natural Earth (public domain), version 4.0 or later.

    python docs/make_places.py FOLDER extenso_nb/aoi/data/places.json.gz

FOLDER holds these layers as GeoJSON, as naturalearthdata.com or a conversion of it has them:
ne_10m_populated_places, ne_50m_admin_0_countries, ne_50m_admin_0_map_units, ne_50m_admin_0_map_subunits,
ne_50m_admin_1_states_provinces, ne_50m_geography_marine_polys, ne_50m_geography_regions_polys, ne_50m_lakes.
The same layers give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape

from extenso_nb.aoi.places import edits, folded

LANGUAGES = ("name_en", "name_de", "name_es", "name_fr", "name_pt")
# Spelled otherwise among the cities than among the countries.
COUNTRIES = {
    "Congo (Kinshasa)": "Democratic Republic of the Congo",
    "Congo (Brazzaville)": "Republic of the Congo",
    "Cape Verde": "Cabo Verde",
    "Czech Republic": "Czechia",
    "Curacao": "Curaçao",
    "Guinea Bissau": "Guinea-Bissau",
    "Macau S.A.R": "Macao",
    "Macao S.A.R": "Macao",
    "Hong Kong S.A.R.": "Hong Kong",
    "Necw Zealand": "New Zealand",
    "Svalbard and Jan Mayen Islands": "Norway",
    "Chatham Islands": "New Zealand",
    "Kermadec Islands": "New Zealand",
    "The Gambia": "Gambia",
    "The Bahamas": "Bahamas",
    "Vatican (Holy See)": "Vatican",
    "United States of America": "United States",
    "United Republic of Tanzania": "Tanzania",
    "Republic of Serbia": "Serbia",
}
# What people type, and no column has.
ALSO = {
    "United States": "USA;US;America",
    "United Kingdom": "UK;Great Britain;Britain",
    "Czechia": "Czech Republic",
    "Cabo Verde": "Cape Verde",
    "Netherlands": "Holland",
    "Myanmar": "Burma",
    "United Arab Emirates": "UAE",
    "Democratic Republic of the Congo": "DR Congo;Congo-Kinshasa",
    "Republic of the Congo": "Congo;Congo-Brazzaville",
    "Macedonia": "North Macedonia",
    "Swaziland": "Eswatini",
    "Turkey": "Türkiye",
    "Germany": "Deutschland;Allemagne",
    "Spain": "España",
    "Italy": "Italia",
}
KINDS = {
    "range/mtn": "mountains",
    "pen/cape": "peninsula",
    "geoarea": "region",
    "reservoir": "lake",
    "alkaline lake": "lake",
}


def main(folder: Path, target: Path) -> None:
    """Read the layers, write the places."""
    subunits = layer(folder, "ne_50m_admin_0_map_subunits")
    crimea = next(geometry for row, geometry in subunits if row["subunit"] == "Crimea").buffer(
        0.2
    )  # its coast is coarse
    areas = [*countries(folder), *parts(folder)]
    areas += nature(folder, {folded(row["name"]) for row in areas})
    named = {name for row in areas if row["kind"] == "country" for name in (row["name"], *row["also"].split(";"))}
    towns = sorted(cities(folder, named, crimea), key=lambda row: (row["country"], row["lon"], row["lat"], row["name"]))
    twice = Counter((row["name"], row["country"]) for row in towns)
    for row in towns:
        # A label needs the region only where it tells two cities apart.
        row["region"] = row["region"] if twice[row["name"], row["country"]] > 1 else ""
    known = sorted({row["country"] for row in [*areas, *towns]})
    kinds = sorted({row["kind"] for row in areas})
    rows = [*areas, *towns]
    body = {
        "countries": known,
        "kinds": kinds,
        "name": [row["name"] for row in rows],
        "also": [row["also"] for row in rows],
        "region": [row["region"] for row in rows],
        "country": [known.index(row["country"]) for row in rows],
        "people": [row["people"] for row in rows],
        "kind": [kinds.index(row["kind"]) for row in areas],
        "box": [row["box"] for row in areas],
        # Steps from city to city, which compress better.
        "lon": [row["lon"] - before["lon"] for row, before in zip(towns, [{"lon": 0}, *towns], strict=False)],
        "lat": [row["lat"] for row in towns],
        "half": [row["half"] for row in towns],
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    target.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{len(areas)} areas, {len(towns)} cities, {len(text):,} bytes, {target.stat().st_size:,} compressed")


def layer(folder: Path, name: str) -> Iterable[tuple[dict[str, Any], Any]]:
    """Properties (by names in lower case) and geometry of each feature that has one."""
    for item in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["features"]:
        if item["geometry"]:
            yield {key.lower(): value for key, value in item["properties"].items()}, shape(item["geometry"])


def also(name: str, names: Iterable[str | None]) -> str:
    """Other names, in Latin letters, once each; none that is found by another one anyway."""
    found = {folded(name): ""}
    for text in names:
        for one in re.split(r"[|;,/]", text or ""):
            plain = re.sub(r"\s*\(.*?\)|[0-9]+$", "", one).strip()
            if plain and ord(max(plain)) < 0x250 and not any(same(folded(plain), key) for key in found):
                found[folded(plain)] = plain
    return ";".join(plain for plain in found.values() if plain)


def same(new: str, known: str) -> bool:
    """Whether a search for the one finds the other: it begins it, or has one letter amiss; or adds a word like City."""
    if known.startswith(new) or re.search(f"{re.escape(known)} (city|county|district)$|^(xian|kabupaten) de ", new):
        return True
    return len(new) >= 6 and edits(new, known, 1) < 2


def box(geometry: Any, whole: bool = False) -> list[int]:
    """West, south, east, north in hundredths of a degree, outwards; west > east across the antimeridian.

    Without `whole`, of a large country what lies more than 5 degrees from the rest and is less than a twentieth of
    it is left out: nobody who asks for Chile means Easter Island as well.
    """
    pieces = sorted(shapely.get_parts(geometry), key=lambda piece: -piece.area)
    kept = pieces
    if not whole and geometry.area > 5:
        kept, left = pieces[:1], pieces[1:]
        while True:
            near = [p for p in left if p.area > geometry.area / 20 or min(gap(p, k) for k in kept) < 5]
            if not near:
                break
            kept, left = [*kept, *near], [p for p in left if not any(p is n for n in near)]
    spans = sorted((piece.bounds[0], piece.bounds[2]) for piece in kept)
    # What lies outside is the widest gap of longitude; the antimeridian is none by itself.
    first, reach = spans[0][0], spans[0][1]
    widest, west, east = first + 360 - max(right for _, right in spans), first, max(right for _, right in spans)
    for left_, right_ in spans[1:]:
        if left_ - reach > widest:
            widest, west, east = left_ - reach, left_, reach
        reach = max(reach, right_)
    south, north = min(p.bounds[1] for p in kept), max(p.bounds[3] for p in kept)
    return [math.floor(west * 100), math.floor(south * 100), math.ceil(east * 100), math.ceil(north * 100)]


def gap(one: Any, other: Any) -> float:
    """Degrees between the boxes of two shapes, the short way round."""
    a, b = one.bounds, other.bounds
    across = min(max(a[0] - b[2] + turn, b[0] - a[2] - turn, 0) for turn in (-360, 0, 360))
    return max(across, a[1] - b[3], b[1] - a[3])


def area_row(kind: str, name: str, names: str, country: str, people: float, bounds: list[int]) -> dict[str, Any]:
    """A row of what has bounds."""
    people = rounded(people) if people > 0 else 0
    return {
        "kind": kind,
        "name": name,
        "also": names,
        "region": "",
        "country": country,
        "people": people,
        "box": bounds,
    }


def rounded(people: float) -> int:
    """Thousands, two digits: it only ranks."""
    thousands = max(round(people / 1000), 1)
    step = 10 ** max(len(str(thousands)) - 2, 0)
    return round(thousands / step) * step


def country_name(name: str) -> str:
    """One spelling for each country."""
    return COUNTRIES.get(name, name)


def countries(folder: Path) -> Iterable[dict[str, Any]]:
    """Countries and dependencies, by the bounds of their home part."""
    home = defaultdict(list)
    for row, geometry in layer(folder, "ne_50m_admin_0_map_units"):
        if row["homepart"] == 1:
            home[row["adm0_a3"]].append(geometry)
    for row, geometry in layer(folder, "ne_50m_admin_0_countries"):
        name = country_name(row["admin"])
        names = also(name, [row["admin"], row["name"], row["name_long"], row["name_alt"], ALSO.get(name)])
        shapes = home.get(row["adm0_a3"]) or [geometry]
        yield area_row("country", name, names, "", row["pop_est"], box(shapely.union_all(shapes)))


def parts(folder: Path) -> Iterable[dict[str, Any]]:
    """Parts of countries that have a name of their own: Scotland, Sicily, California."""
    taken = {country_name(row["admin"]) for row, _ in layer(folder, "ne_50m_admin_0_countries")} | {"United States"}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    kinds = {"State", "Province", "Territory"}
    for name, column in (("map_units", "geounit"), ("map_subunits", "subunit")):
        for row, geometry in layer(folder, f"ne_50m_admin_0_{name}"):
            title, country = country_name(row[column]), country_name(row["admin"])
            if title not in taken:
                # Natural Earth draws lines of control; a list of places need not say whose Crimea is.
                country = "" if title == "Crimea" else country
                found[title, country] = area_row("region", title, "", country, 0, box(geometry, whole=True))
    for row, geometry in layer(folder, "ne_50m_admin_1_states_provinces"):
        if row["name"]:
            title, country = row["name"], country_name(row["admin"])
            if (title, country) not in found:
                names = also(title, [row.get(key) for key in ("name_alt", "name_local", *LANGUAGES)])
                kind = str(row["type_en"]).lower() if row["type_en"] in kinds else "region"
                found[title, country] = area_row(kind, title, names, country, 0, box(geometry, whole=True))
    yield from found.values()


def nature(folder: Path, taken: set[str]) -> Iterable[dict[str, Any]]:
    """Seas, lakes, mountains, deserts, islands; parts of one name are put together."""
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    names: dict[tuple[str, str], str] = {}
    for name in ("geography_marine_polys", "geography_regions_polys", "lakes"):
        for row, geometry in layer(folder, f"ne_50m_{name}"):
            if row["name"]:
                title = re.sub(r"\s+", " ", row["name"]).strip()
                title = re.sub(
                    r"^L\. ", "Lake ", re.sub(r" L\.$", " Lake", re.sub(r"(?i) Mts\.?$", " Mountains", title))
                )
                if title.isupper():
                    title = re.sub(r"\b(Of|The|And|De|Do|Da)\b", lambda word: word[0].lower(), title.title())
                kind = row["featurecla"].lower()
                key = KINDS.get(kind, kind), title
                found[key].append(geometry)
                names[key] = also(title, [row.get("namealt"), row.get("name_alt")])
    for (kind, title), shapes in found.items():
        if folded(title) in taken:
            continue
        whole = shapely.GeometryCollection([part for item in shapes for part in shapely.get_parts(item)])
        yield area_row(kind, title, names[kind, title], "", 0, box(whole, whole=True))


def cities(folder: Path, known: set[str], crimea: Any) -> Iterable[dict[str, Any]]:
    """Populated places, each with half the side of a box about its size in km."""
    for row, _ in layer(folder, "ne_10m_populated_places"):
        name, people = row["name"].strip(), max(row["pop_max"], row["pop_min"], 0)
        names = [row.get(key) for key in ("namealt", "namepar", "ls_name", "cityalt", *LANGUAGES)]
        lon, lat = row["longitude"], row["latitude"]
        # The side of a square of its built-up area, and half as much again; where that is not known, of 4,000 people/km².
        built = row["min_areakm"] if row["min_areakm"] > 0 else people / 4000
        names = [text for text in names if country_name(str(text)) not in known]  # of stations: whose they are
        yield {
            "name": name,
            "also": also(name, names),
            "region": (row["adm1name"] or "").strip(),
            "country": "" if crimea.contains(shapely.Point(lon, lat)) else country_name(row["adm0name"]),
            "people": rounded(people),
            "lon": round(lon * 100),
            "lat": round(lat * 100),
            "half": min(max(round(0.75 * math.sqrt(built)), 5), 60),
        }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
