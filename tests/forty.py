"""Forty queries, ten a mission, and the products of an archive that they are put to: each search adapter must agree.

What is right is decided by the query language itself, over the products in memory. An adapter's local server shows the
same products in its archive's words, and applies the filters that it is sent by itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from extenso_nb import products, query
from extenso_nb.errors import SourceUnavailable
from extenso_nb.gateway.sources import Source
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.models import Product

FIRST = datetime(2024, 5, 20, tzinfo=UTC)
EACH = 60
"""Products a mission."""

QUERIES: dict[str, tuple[str, ...]] = {
    "S1": (
        "beginposition:[2024-06-01T00:00:00Z TO 2024-06-10T00:00:00Z]",
        'footprint:"Intersects(POLYGON((178 -20, -178 -20, -178 -15, 178 -15, 178 -20)))"',
        "producttype:GRD AND polarisationmode:VV",
        'polarisationmode:"VV VH" AND sensoroperationalmode:IW',
        "relativeorbitnumber:[20 TO 90] AND orbitdirection:ASCENDING",
        "platformserialidentifier:S1A AND NOT producttype:SLC",
        "identifier:S1A_IW_GRDH_1SDV_202406* OR producttype:OCN",
        "beginposition:[2024-06-01T00:00:00Z+7DAYS TO 2024-06-01T00:00:00Z+14DAYS] AND producttype:(SLC OR GRD)",
        'footprint:"Contains(10.5, 8.5)" OR orbitnumber:[54100 TO 54200]',
        "filename:*_1SDH_*.SAFE AND endposition:{2024-05-25T00:00:00Z TO NOW-1DAY]",
    ),
    "S2": (
        "beginposition:[2024-06-01T00:00:00Z TO *] AND cloudcoverpercentage:[0 TO 30]",
        'footprint:"Intersects(POLYGON((177 -20, -177 -20, -177 10, 177 10, 177 -20)))" AND producttype:S2MSI2A',
        "tileid:31TCJ",
        "producttype:S2MSI1C AND NOT cloudcoverpercentage:{50 TO *]",
        "relativeorbitnumber:51 OR relativeorbitnumber:94",
        "platformserialidentifier:Sentinel-2B AND processingbaseline:05.10",
        "filename:*_T3?TCJ_* AND processinglevel:Level-2A",
        "ingestiondate:[2024-06-05T00:00:00Z/DAY TO 2024-06-05T00:00:00Z/DAY+10DAYS]",
        "NOT (producttype:S2MSI2A OR cloudcoverpercentage:[60 TO 100])",
        'footprint:"IsWithin(POLYGON((-20 20, 40 20, 40 70, -20 70, -20 20)))" AND cloudcoverpercentage:[10 TO 90]',
    ),
    "S3": (
        "producttype:OL_1_EFR___ AND beginposition:[2024-05-25T00:00:00Z TO 2024-06-12T12:00:00Z}",
        'timeliness:"Non Time Critical"',
        "timeliness:NR AND NOT instrumentshortname:SRAL",
        "orbitdirection:descending AND relativeorbitnumber:[100 TO 300]",
        "producttype:SL_2_LST___ OR producttype:SR_2_LAN___",
        'footprint:"Intersects(POLYGON((175 -30, -175 -30, -175 30, 175 30, 175 -30)))"',
        "platformserialidentifier:S3B AND processinglevel:2",
        "identifier:S3?_OL_?_*",
        "instrumentshortname:SLSTR AND beginposition:[2024-06-01T00:00:00Z-3DAYS TO 2024-06-01T00:00:00Z+1MONTH/MONTH]",
        "NOT producttype:OL_1_EFR___ AND NOT timeliness:ST",
    ),
    "S5P": (
        "producttype:L2__NO2___ AND beginposition:[2024-06-01T00:00:00Z TO 2024-06-16T23:59:59.999Z]",
        'processingmode:"Near real time"',
        "processingmode:OFFL AND producttype:(L2__CH4___ OR L2__CO____)",
        "orbitnumber:[34300 TO 34400]",
        "producttype:L2__O3____ AND NOT processingmode:RPRO",
        'footprint:"Intersects(POLYGON((170 -10, -170 -10, -170 10, 170 10, 170 -10)))"',
        "processorversion:020601",
        "identifier:S5P_OFFL_L2__*_2024060?T*",
        "endposition:[NOW-3YEARS TO 2024-06-03T00:00:00Z] AND NOT producttype:L2__NO2___",
        "ingestiondate:[2024-06-10T00:00:00Z TO *] OR producttype:L2__AER_AI",
    ),
}
"""Dates with math, an area across the antimeridian, orbits, polarisations, cloud, tiles, wildcards, NOT."""

ORDERS = ("beginposition asc", "ingestiondate desc")


@lru_cache
def population() -> tuple[Product, ...]:
    """The products of the archive: the same in each run."""
    chance = random.Random(20261126)
    found = [
        made
        for number in range(EACH)
        for made in (_s1(chance, number), _s2(chance, number), _s3(chance, number), _s5p(chance, number))
    ]
    assert len({product.id for product in found}) == len(found)
    return tuple(found)


def right(collection: str, q: str, orderby: str, *, held: tuple[Product, ...] | None = None) -> list[str]:
    """Identifiers of what a query means, in order."""
    now, asked = datetime.now(UTC), query.parse(q)
    among = [item for item in (held or population()) if item.collection == collection and asked.matches(item, now=now)]
    return [product.id for product in query.order(among, orderby)]


def all_found(
    source: Source, collection: str, q: str, orderby: str, *, rows: int = 25
) -> list[str] | SourceUnavailable:
    """What a source finds, page by page; or its error where it says that it cannot be asked for that."""
    names: list[str] = []
    while True:
        try:
            hits = source.search(collection, query.parse(q), start=len(names), rows=rows, orderby=orderby)
        except SourceUnavailable as error:
            if error.details.get("cannot"):
                return error
            raise
        names += [product.id for product in hits.products]
        if not hits.products or len(names) >= hits.total:
            return names


def cases() -> Iterator[tuple[str, str, str]]:
    """Collection, query, order: forty of each order."""
    for orderby in ORDERS:
        for collection, asked in QUERIES.items():
            for q in asked:
                yield collection, q, orderby


# --- products --------------------------------------------------------------------------------------------------------
def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%S")


def _box(chance: random.Random, width: float) -> dict[str, Any]:
    """A box; every fourth lies across the antimeridian, as two polygons."""
    west = chance.choice([179 - width / 2, chance.uniform(-170, 150), 10.0, 2.0])
    south = chance.choice([chance.uniform(-60, 60), -18.0, 8.0, 43.0])
    east, north = west + width, south + width
    if east <= 180:
        return {"type": "Polygon", "coordinates": [_ring(west, south, east, north)]}
    return {
        "type": "MultiPolygon",
        "coordinates": [[_ring(west, south, 180, north)], [_ring(-180, south, east - 360, north)]],
    }


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _when(chance: random.Random) -> datetime:
    return FIRST + timedelta(milliseconds=chance.randrange(30 * 86_400_000))


def _product(
    name: str, chance: random.Random, begin: datetime, seconds: float, footprint: dict[str, Any], **more: Any
) -> Product:
    return product_of(
        products.parse(name),
        "archive",
        begin=begin,
        end=begin + timedelta(seconds=seconds),
        ingestion=begin + timedelta(hours=chance.randrange(1, 240), milliseconds=chance.randrange(1000)),
        footprint=footprint,
        size=chance.randrange(10**6, 10**9),
        online=chance.random() < 0.9,
        **more,
    )


def _s1(chance: random.Random, number: int) -> Product:
    begin = _when(chance)
    kind, pol = chance.choice(["GRDH_1", "GRDH_1", "SLC__1", "OCN__2"]), chance.choice(["SDV", "SSV", "SDH"])
    mode = chance.choice(["IW", "IW", "EW"]) if kind != "OCN__2" else "IW"
    if mode == "EW":
        kind = kind.replace("GRDH", "GRDM")
    times = f"{_stamp(begin)}_{_stamp(begin + timedelta(seconds=25))}"
    numbers = f"{54_000 + chance.randrange(400):06d}_{0x69000 + number:06X}_{0xA000 + number:04X}"
    direction = chance.choice(["ASCENDING", "DESCENDING"])
    box = _box(chance, 2.5)
    return _product(f"S1A_{mode}_{kind}{pol}_{times}_{numbers}", chance, begin, 25, box, orbit_direction=direction)


def _s2(chance: random.Random, number: int) -> Product:
    begin = _when(chance)
    tile = chance.choice(["31TCJ", "30TCJ", "32TNT", "01KAB", "60KXF"])
    unit, level, orbit = chance.choice("AB"), chance.choice(["1C", "2A"]), chance.choice([51, 94, 8])
    baseline = chance.choice(["0510", "0511"])
    made = begin + timedelta(hours=3, seconds=number)
    name = f"S2{unit}_MSIL{level}_{_stamp(begin)}_N{baseline}_R{orbit:03d}_T{tile}_{_stamp(made)}"
    return _product(name, chance, begin, 0, _box(chance, 1.0), cloud_cover=round(chance.uniform(0, 100), 2),
                    orbit_number=46_700 + chance.randrange(300), orbit_direction="DESCENDING")  # fmt: skip


def _s3(chance: random.Random, number: int) -> Product:
    begin = _when(chance)
    kind = chance.choice(["OL_1_EFR___", "OL_2_LFR___", "SL_1_RBT___", "SL_2_LST___", "SR_2_LAN___"])
    unit, timely = chance.choice("AB"), chance.choice(["NR", "ST", "NT"])
    relative = chance.randrange(1, 386)
    end, made = begin + timedelta(seconds=180), begin + timedelta(hours=4, seconds=number)
    centre = "PS1_O"
    name = f"S3{unit}_{kind}_{_stamp(begin)}_{_stamp(end)}_{_stamp(made)}_0180_113_{relative:03d}_2160_{centre}_{timely}_004"
    cloud = {} if kind.startswith("SR") else {"cloud_cover": round(chance.uniform(0, 100), 2)}
    return _product(name, chance, begin, 180, _box(chance, 10.0), orbit_number=40_000 + number,
                    orbit_direction=chance.choice(["ASCENDING", "DESCENDING"]), **cloud)  # fmt: skip


def _s5p(chance: random.Random, number: int) -> Product:
    begin = _when(chance)
    kind = chance.choice(["L2__NO2___", "L2__CO____", "L2__CH4___", "L2__O3____", "L2__AER_AI"])
    stream = chance.choice(["NRTI", "OFFL", "RPRO"])
    orbit, version = 34_200 + chance.randrange(400), chance.choice(["020600", "020601"])
    end, made = begin + timedelta(seconds=6000), begin + timedelta(hours=30, seconds=number)
    name = f"S5P_{stream}_{kind}_{_stamp(begin)}_{_stamp(end)}_{orbit:05d}_03_{version}_{_stamp(made)}"
    return _product(name, chance, begin, 6000, _box(chance, 20.0))


def without(product: Product, **fields: Any) -> Product:
    """A product of which an archive does not say some things."""
    return product.model_copy(update=fields)
