"""STAC catalogues at the far end: CDSE's, Earth Search, Planetary Computer with its tokens and its storage.

One evaluator answers all three: collections, ids, datetime, bbox, intersects, CQL2-JSON with the three values of SQL, the
query extension, order, limits and pages. It shares no code with what asks it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import shapely
from scripted_http import FAULTS, Fault, Line, Reply, Request, ScriptedHttp
from shapely.geometry import box, shape

from extenso_nb import products
from extenso_nb.gateway.sources import Credentials, Profile
from extenso_nb.gateway.sources.earth_search import EarthSearch
from extenso_nb.gateway.sources.planetary_computer import PlanetaryComputer
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.stac import cdse_stac
from extenso_nb.models import Product

Item = dict[str, Any]


class Refused(Exception):
    """A request that the server does not take."""


# --- the evaluator ---------------------------------------------------------------------------------------------------
def _value(item: Item, name: str) -> Any:
    name = name.removeprefix("properties.")
    if name in {"id", "collection", "geometry"}:
        return item.get(name)
    return item["properties"].get(name)


def _instant(text: Any) -> datetime:
    return datetime.fromisoformat(text)


def _same_kind(value: Any, other: Any) -> tuple[Any, Any]:
    """Both sides of a comparison; times as times, numbers as numbers, anything else as text."""
    if isinstance(other, dict) and set(other) == {"timestamp"}:
        return _instant(value), _instant(other["timestamp"])
    if isinstance(other, bool) or isinstance(value, bool | list):
        raise Refused(f"cannot compare {value!r} with {other!r}")
    if isinstance(other, int | float) != isinstance(value, int | float):
        raise Refused(f"cannot compare {value!r} with {other!r}")
    return value, other


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda this, other: this == other,
    "<": lambda this, other: this < other,
    "<=": lambda this, other: this <= other,
    ">": lambda this, other: this > other,
    ">=": lambda this, other: this >= other,
}


def cql2(item: Item, node: Any) -> bool | None:
    """CQL2-JSON: true, false, or None for what SQL does not know."""
    if set(node) != {"op", "args"}:
        raise Refused(f"not CQL2-JSON: {node!r}")
    op, args = node["op"], node["args"]
    if op in {"and", "or"}:
        found = [cql2(item, part) for part in args]
        settles = op == "or"
        return settles if settles in found else None if None in found else not settles
    if op == "not":
        (part,) = args
        inner = cql2(item, part)
        return None if inner is None else not inner
    value = _value(item, args[0]["property"])
    if op == "isNull":
        return value is None
    if value is None:
        return None
    if op == "in":
        return value in args[1]
    if op == "like":
        form = "".join(".*" if letter == "%" else "." if letter == "_" else re.escape(letter) for letter in args[1])
        return re.fullmatch(form, value, re.DOTALL) is not None
    if op == "a_contains":
        return set(args[1]) <= set(value)
    if op == "s_intersects":
        return bool(shapely.intersects(shape(value), shape(args[1])))
    if op not in _COMPARE:
        raise Refused(f"no such operator: {op}")
    return _COMPARE[op](*_same_kind(value, args[1]))


def extension(item: Item, query: dict[str, dict[str, Any]]) -> bool:
    """The query extension, over an index in which one of several values is enough."""
    for name, comparisons in query.items():
        value = _value(item, name)
        several = value if isinstance(value, list) else [] if value is None else [value]
        for op, other in comparisons.items():
            if op == "neq":
                if other in several:
                    return False
            elif not any(_extends(one, op, other) for one in several):
                return False
    return True


def _extends(value: Any, op: str, other: Any) -> bool:
    if op == "in":
        return value in other
    if isinstance(other, str) and re.match(r"\d{4}-\d\d-\d\dT", other):
        value, other = _instant(value), _instant(other)
    found = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}.get(op)
    if found is None:
        raise Refused(f"no such comparison: {op}")
    return _COMPARE[found](value, other)


def during(item: Item, interval: str, *, points: bool) -> bool:
    """Whether the time of an item meets an interval; `points`: whether only its `datetime` is looked at."""
    begin, _, end = interval.partition("/")
    facts = item["properties"]
    first = facts["datetime"] if points else facts.get("start_datetime", facts["datetime"])
    last = facts["datetime"] if points else facts.get("end_datetime", facts["datetime"])
    if begin != ".." and end != ".." and _instant(begin) > _instant(end):
        raise Refused("the interval ends before it begins")
    return (end == ".." or _instant(first) <= _instant(end)) and (begin == ".." or _instant(last) >= _instant(begin))


class StacServer(ScriptedHttp):
    """A server with one STAC catalogue at `/stac`."""

    language = "cql2"
    largest = 1000
    points = False
    counts = False
    """Whether it says how many there are."""
    prefix = ""
    """What stands before properties in `sortby`."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, Item] = {}
        self.bodies: list[dict[str, Any]] = []
        """Every search, in order."""
        self.collections: set[str] = set()
        self.down = False
        self.answer: Callable[[dict[str, Any]], Reply | None] = lambda _: None
        """What is answered to a search in place of the right answer."""
        self._tokens: dict[str, int] = {}
        self._lock_items = threading.Lock()
        self.site = self.reply

    def put(self, item: Item) -> None:
        with self._lock_items:
            self.items[f"{item['collection']}/{item['id']}"] = item
            self.collections.add(item["collection"])

    def reply(self, request: Request) -> Reply | None:
        if not request.path.startswith("/stac"):
            return None
        if self.down:
            return Reply.json({"detail": "The catalogue is down."}, 503)
        where = request.path.removeprefix("/stac").rstrip("/")
        if request.method == "POST" and where == "/search":
            body = json.loads(request.body)
            self.bodies.append(body)
            try:
                return self.answer(body) or self._search(body)
            except Refused as error:
                return Reply.json({"code": "BadRequest", "description": str(error)}, 400)
        if where == "/collections":
            return self._listed(request)
        if where == "":
            return Reply.json({"type": "Catalog", "id": "far", "stac_version": "1.1.0", "links": []})
        return Reply.json({"code": "NotFound", "description": "Not Found"}, 404)

    def _listed(self, request: Request) -> Reply:
        """Three collections a page."""
        at = int(parse_qs(urlsplit(request.target).query).get("offset", ["0"])[0])
        names = sorted(self.collections | {"sentinel-1-global-mosaics", "sentinel-1-slc-burst", "landsat-c2-l2"})
        links = [{"rel": "root", "href": f"{self.url}/stac"}]
        if at + 3 < len(names):
            links.append({"rel": "next", "href": f"{self.url}/stac/collections?offset={at + 3}", "method": "GET"})
        found = [{"type": "Collection", "id": name} for name in names[at : at + 3]]
        return Reply.json({"collections": found, "links": links})

    def _search(self, body: dict[str, Any]) -> Reply:
        known = {"collections", "ids", "datetime", "bbox", "intersects", "filter", "filter-lang", "query", "sortby",
                 "limit", "token", "next", "fields"}  # fmt: skip
        if set(body) - known:
            raise Refused(f"extra inputs are not permitted: {sorted(set(body) - known)}")
        if ("filter" in body and self.language != "cql2") or ("query" in body and self.language != "query"):
            raise Refused("no such extension")
        if "filter" in body and body.get("filter-lang") != "cql2-json":
            raise Refused("a filter in POST is cql2-json")
        limit = body.get("limit", 10)
        if not 1 <= limit <= self.largest:
            raise Refused(f"limit is not within 1 and {self.largest}")
        with self._lock_items:
            found = [item for item in self.items.values() if self._is_asked(item, body)]
        self._sort(found, body.get("sortby"))
        at = self._place(body)
        page = found[at : at + limit]
        links: list[dict[str, Any]] = [{"rel": "root", "href": f"{self.url}/stac"}]
        if at + limit < len(found):
            links.append(self._onwards(body, page[-1], at + limit))
        answer = {"type": "FeatureCollection", "features": [_without(item, body) for item in page], "links": links}
        if self.counts:
            answer |= {
                "context": {"limit": limit, "matched": len(found), "returned": len(page)},
                "numberMatched": len(found),
            }
        return Reply.json(answer)

    def _is_asked(self, item: Item, body: dict[str, Any]) -> bool:
        if "bbox" in body and "intersects" in body:
            raise Refused("bbox and intersects are one too many")
        place = shape(item["geometry"])
        return (
            item["collection"] in body.get("collections", [item["collection"]])
            and item["id"] in body.get("ids", [item["id"]])
            and ("datetime" not in body or during(item, body["datetime"], points=self.points))
            and ("bbox" not in body or box(*body["bbox"]).intersects(place))
            and ("intersects" not in body or shape(body["intersects"]).intersects(place))
            and ("filter" not in body or cql2(item, body["filter"]) is True)
            and ("query" not in body or extension(item, body["query"]))
        )

    def _sort(self, found: list[Item], sortby: list[dict[str, str]] | None) -> None:
        for key in reversed(
            sortby or [{"field": "datetime", "direction": "desc"}, {"field": "id", "direction": "asc"}]
        ):
            name = key["field"]
            if sortby and name != "id" and not name.startswith(self.prefix):
                raise Refused(f"no such field: {name}")

            def value(item: Item, name: str = name) -> Any:
                told = _value(item, name)
                return _instant(told) if isinstance(told, str) and re.match(r"\d{4}-\d\d-\d\dT", told) else told

            found.sort(key=value, reverse=key["direction"] == "desc")

    def _place(self, body: dict[str, Any]) -> int:
        token = body.get("token", body.get("next"))
        if token is None:
            return 0
        if token not in self._tokens:
            raise Refused(f"no such token: {token}")
        return self._tokens[token]

    def _onwards(self, body: dict[str, Any], last: Item, at: int) -> dict[str, Any]:
        """As pgstac has it: the whole body once more, with a token."""
        token = f"next:{last['collection']}:{last['id']}:{at}"
        self._tokens[token] = at
        # To an address of its own, as behind a proxy: who follows it is lost.
        href = "http://stac.internal.invalid/search"
        return {"rel": "next", "method": "POST", "href": href, "body": body | {"token": token}}


def _without(item: Item, body: dict[str, Any]) -> Item:
    """An item with the fields that were asked for."""
    fields = body.get("fields", {})
    kept = {key: value for key, value in item.items() if key not in fields.get("exclude", ())}
    if "include" in fields:
        roots = {name.partition(".")[0] for name in fields["include"]}
        kept = {key: value for key, value in item.items() if key in roots}
        named = {name.partition(".")[2] for name in fields["include"] if name.startswith("assets.")}
        if named:
            kept["assets"] = {key: value for key, value in item.get("assets", {}).items() if key in named}
    return kept


def stamp(moment: datetime) -> str:
    """In microseconds, as catalogues have it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _item(identity: str, collection: str, product: Product, facts: dict[str, Any], assets: dict[str, Any]) -> Item:
    facts = {name: value for name, value in facts.items() if value is not None}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": identity,
        "collection": collection,
        "geometry": product.footprint,
        "properties": facts,
        "links": [],
        "assets": assets,
    }


# --- CDSE ------------------------------------------------------------------------------------------------------------
def cdse_collection(product: Product) -> str:
    """Where CDSE has a product."""
    kind = product.product_type
    match product.collection:
        case "S1":
            return f"sentinel-1-{kind.lower()}"
        case "S2":
            return f"sentinel-2-l{kind[-2:].lower()}"
        case "S3":
            sensor = {"OL": "olci", "SL": "sl", "SR": "sr", "SY": "syn"}[kind[:2]]
            timely = {"Near Real Time": "nrt", "Short Time Critical": "stc", "Non Time Critical": "ntc"}
            name = kind[5:].strip("_").lower().replace("_", "-")
            return f"sentinel-3-{sensor}-{kind[3]}-{name}-{timely[str(product.timeliness)]}"
        case _:
            name = kind[4:].strip("_").lower().replace("_", "-")
            return f"sentinel-5p-l2-{name}-{product.id[4:8].lower()}"


def cdse_item(product: Product) -> Item:
    facts: dict[str, Any] = {
        "datetime": stamp(product.begin_position),
        "start_datetime": stamp(product.begin_position),
        "end_datetime": stamp(product.end_position),
        "created": stamp(product.ingestion_date - timedelta(minutes=9)),
        "published": stamp(product.ingestion_date),
        "platform": product.platform.lower(),
        "product:type": product.product_type,
        "eo:cloud_cover": product.cloud_cover,
        "sat:absolute_orbit": product.orbit_number,
        "sat:relative_orbit": product.relative_orbit_number,
        "sat:orbit_state": (product.orbit_direction or "").lower() or None,
        "sar:polarizations": (product.polarisation or "").split() or None,
        "sar:instrument_mode": product.sensor_mode if product.collection == "S1" else None,
        "grid:code": f"MGRS-{product.tile_id}" if product.tile_id else None,
        "processing:version": product.processing_baseline if product.collection == "S2" else "03.37",
    }
    name = products.parse(product.id).archive_name
    archive = {
        "href": f"https://download.dataspace.copernicus.eu/odata/v1/Products({product.uuid})/$value",
        "file:size": product.size,
        "file:checksum": "d50110" + hashlib.md5(product.id.encode()).hexdigest(),
        "file:local_path": name,
    }
    key = "Product" if product.collection == "S2" else "product"
    band = {"B02": {"href": f"s3://eodata/{name}/B02.jp2"}}
    return _item(product.id, cdse_collection(product), product, facts, band | {key: archive})


class FarCdseStac:
    """CDSE's STAC. It does not count."""

    def __init__(self) -> None:
        self.server = StacServer()
        self.remote = Remote("cdse", stall_seconds=0.5)
        self.source = cdse_stac(self.remote, f"{self.server.url}/stac")

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        assert content is None
        self.server.put(cdse_item(product))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remote.close()
        self.server.close()


# --- Earth Search ----------------------------------------------------------------------------------------------------
def earth_search_items(product: Product, late: timedelta) -> list[Item]:
    """The items of a product; `late`: how long after its datatake a tile of Sentinel-2 was seen."""
    begin = product.begin_position
    if product.collection == "S1":
        facts = {
            "datetime": stamp(begin + (product.end_position - begin) / 2),
            "start_datetime": stamp(begin),
            "end_datetime": stamp(product.end_position),
            "created": stamp(product.ingestion_date),
            "platform": product.platform.lower(),
            "sar:polarizations": (product.polarisation or "").split(),
            "sar:instrument_mode": product.sensor_mode,
            "sat:orbit_state": (product.orbit_direction or "").lower(),
            "sat:relative_orbit": product.relative_orbit_number,
            "sat:absolute_orbit": product.orbit_number,
            "s1:product_identifier": product.id,
        }
        return [_item(product.id[:-5], "sentinel-1-grd", product, facts, {})]
    seen = begin + late
    facts = {
        "datetime": stamp(seen),
        "created": product.ingestion_date.isoformat(),
        "platform": product.platform.lower(),
        "eo:cloud_cover": product.cloud_cover,
        "grid:code": f"MGRS-{product.tile_id}",
        "s2:product_uri": f"{product.id}.SAFE",
        "s2:processing_baseline": product.processing_baseline,
        "s2:datatake_id": f"G{product.id[:3]}_{product.id[11:26]}_{product.orbit_number:06d}_N{product.processing_baseline}",
    }
    level = product.processing_level
    cog = {"red": {"href": f"https://sentinel-cogs.s3.us-west-2.amazonaws.com/{product.tile_id}/B04.tif"}}
    paid = {"red-jp2": {"href": f"s3://sentinel-s2-l2a/tiles/{product.tile_id}/B04.jp2"}}
    c1 = {"red": {"href": f"s3://e84-earth-search-sentinel-data/{product.tile_id}/B04.tif"}}
    name = f"{product.id[:3]}_{product.tile_id}_{seen:%Y%m%d}_0_{level}"
    if level == "L1C":
        return [_item(f"{name}_{product.id[-6:]}", "sentinel-2-l1c", product, facts, {})]
    items = [_item(f"{name}_{product.id[-6:]}", "sentinel-2-l2a", product, facts, cog | paid)]
    if int(product.id[-1]) % 2:  # in both collections
        name = f"{product.id[:3]}_T{product.tile_id}_{seen:%Y%m%dT%H%M%S}_{level}"
        items.append(_item(f"{name}_{product.id[-6:]}", "sentinel-2-c1-l2a", product, facts, c1))
    return items


class EarthServer(StacServer):
    """It compares by the query extension, looks at `datetime` alone, counts, and takes up to 500 a page."""

    language, largest, points, counts, prefix = "query", 500, True, True, "properties."

    def _onwards(self, body: dict[str, Any], last: Item, at: int) -> dict[str, Any]:
        """The search once more without its limit, and where it goes on."""
        token = f"{last['properties']['datetime']},{last['id']},{last['collection']}"
        self._tokens[token] = at
        kept = {key: value for key, value in body.items() if key not in {"limit", "next"}} | {"next": token}
        href = f"{self.url}/stac/search"
        return {
            "rel": "next",
            "title": "Next page of Items",
            "method": "POST",
            "merge": False,
            "href": href,
            "body": kept,
        }


class FarEarthSearch:
    def __init__(self) -> None:
        self.server = EarthServer()
        self.source = EarthSearch(url=f"{self.server.url}/stac", stall_seconds=0.5)

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        late = timedelta(seconds=int(hashlib.md5(product.id.encode()).hexdigest(), 16) % 2400)
        for item in earth_search_items(product, late):
            self.server.put(item)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()


# --- Planetary Computer ----------------------------------------------------------------------------------------------
SAS = "st=2026-01-01T00%3A00%3A00Z&se=2026-01-02T00%3A00%3A00Z&sp=rl&sv=2025-07-05&sig=not-to-be-shown"
KEY = "subscription-not-to-be-shown"
_ACCOUNTS = {"S1": "sentinel1euwest/s1-grd", "S2": "sentinel2l2a01/sentinel2-l2", "S3": "sentinel3euwest/sentinel-3",
             "S5P": "sentinel5euwest/sentinel-5p"}  # fmt: skip


def blob_folder(product: Product) -> str:
    """Account, container and folder of a product, as documented."""
    begin, name = product.begin_position, product.id
    day = f"{begin.year:04d}/{begin.month:02d}/{begin.day:02d}"
    match product.collection:
        case "S1":
            mode, polarisation = name[4:6], name[14:16]
            below = f"GRD/{begin.year}/{begin.month}/{begin.day}/{mode}/{polarisation}/{name}"
        case "S2":
            tile = name[39:44]
            below = f"{tile[:2]}/{tile[2]}/{tile[3:5]}/{day}/{name}.SAFE"
        case "S3":
            instrument = {"OL": "OLCI", "SL": "SLSTR", "SR": "SRAL", "SY": "SYNERGY"}[name[4:6]]
            below = f"{instrument}/{name[4:15]}/{day}/{name}.SEN3"
        case _:
            below = f"TROPOMI/{name[9:19]}/{day}/{name}"
    return f"{_ACCOUNTS[product.collection]}/{below}"


def planetary_item(product: Product, files: list[str]) -> Item:
    name, begin, end = product.id, product.begin_position, product.end_position
    middle = stamp(begin + (end - begin) / 2)
    span = {"datetime": middle, "start_datetime": stamp(begin), "end_datetime": stamp(end)}
    account, _, below = blob_folder(product).partition("/")
    where = f"https://{account}.blob.core.windows.net/{below}"
    state = (product.orbit_direction or "").lower() or None
    assets: dict[str, Any] = {f"file-{number}": {"href": f"{where}/{quote(file)}"} for number, file in enumerate(files)}
    match product.collection:
        case "S1":
            identity, collection = name.rpartition("_")[0], "sentinel-1-grd"
            assets |= {"thumbnail": {"href": f"{where}/preview/quick-look.png", "type": "image/png"}}
            facts = span | {
                "platform": product.platform.upper(),
                "sar:polarizations": (product.polarisation or "").split(),
                "sar:instrument_mode": product.sensor_mode,
                "sat:absolute_orbit": product.orbit_number,
                "sat:relative_orbit": product.relative_orbit_number,
                "sat:orbit_state": state,
            }
        case "S2":
            identity, collection = name[:26] + name[32:], "sentinel-2-l2a"
            assets |= {"rendered_preview": {"href": "https://planetarycomputer.microsoft.com/api/data/v1/preview"}}
            baseline = str(product.processing_baseline)
            facts = {
                "datetime": stamp(begin),
                "platform": product.platform,
                "s2:mgrs_tile": product.tile_id,
                "eo:cloud_cover": product.cloud_cover,
                "s2:product_uri": f"{name}.SAFE",
                "s2:datatake_id": f"G{name[:3]}_{name[11:26]}_{product.orbit_number or 0:06d}_N{baseline}",
                "s2:processing_baseline": baseline,
                "sat:orbit_state": state,
                "sat:relative_orbit": product.relative_orbit_number,
            }
        case "S3":
            kind = name[4:15]
            identity = "_".join((name[:3], kind.strip("_"), name[16:31], name[32:47], name[64:81].rstrip("_")))
            sensor = {"OL": "olci", "SL": "slstr", "SR": "sral", "SY": "synergy"}[kind[:2]]
            collection = f"sentinel-3-{sensor}-{kind[5:].strip('_').lower()}-l2-netcdf"
            facts = span | {
                "platform": product.platform,
                "eo:cloud_cover": product.cloud_cover,
                "s3:product_type": kind,
                "s3:processing_timeliness": name[88:90],
                "sat:absolute_orbit": product.orbit_number,
                "sat:relative_orbit": product.relative_orbit_number,
                "sat:orbit_state": state,
            }
        case _:
            kind = name[9:19]
            identity, collection = (
                f"S5P_L2_{kind[4:]}_{name[20:35]}_{name[36:51]}_{name[52:57]}",
                "sentinel-5p-l2-netcdf",
            )
            facts = span | {
                "platform": "Sentinel 5 Precursor",
                "product:type": kind,
                "s5p:processing_mode": name[4:8],
                "sat:absolute_orbit": product.orbit_number,
            }
    return _item(identity, collection, product, facts, assets)


class PlanetaryServer(StacServer):
    """The catalogue, the tokens at /sas, and the storage at /<account>/<container>/."""

    page = 3
    """Files of a page of a listing."""

    def __init__(self) -> None:
        super().__init__()
        self.sas = 0
        """Tokens given out; each is good until it is called back."""
        self.good: dict[str, str] = {}
        """The good token of each container."""
        self.life = 3600.0
        """Seconds for which a token is good, as it says."""
        self.keys: list[str] = []
        """Subscription keys that came."""
        self.listings = 0
        self.lying: dict[str, Fault] = {}
        self.bytes_at = self.asked_for

    def add(self, number: int | str, fault: Fault | str = "none", *script: Line, data: bytes | None = None) -> str:
        """A file of the storage, by account, container and key; or a product of Sentinel-5P, by its identifier."""
        name = str(number)
        if "/" in name:
            return super().add(name, fault, *script, data=data)
        found = FAULTS[fault] if isinstance(fault, str) else fault
        product = _of_name(name)
        key = f"{blob_folder(product)}/{name}.nc"
        super().add(key, found, *script, data=data)
        self.lying[key] = found
        self.put(planetary_item(product, [f"{name}.nc"]))
        return name

    def reply(self, request: Request) -> Reply | None:
        parts = request.path.strip("/").split("/")
        query = parse_qs(urlsplit(request.target).query)
        if parts[:2] == ["sas", "token"]:
            return self._token("/".join(parts[2:]), query)
        if parts[:2] == ["data", "item"]:
            return Reply(
                200, b"\x89PNG\r\n\x1a\npreview of " + query["item"][0].encode(), {"Content-Type": "image/png"}
            )
        container = "/".join(parts[:2])
        if container not in _ACCOUNTS.values():
            return super().reply(request)
        if not self._may(container, query):
            body = b"<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code><Message>Signature not valid in the \
specified time frame</Message></Error>"
            return Reply(403, body, {"Content-Type": "application/xml"})
        if query.get("comp") == ["list"] and len(parts) == 2:
            self.listings += 1
            return self._list(container, query)
        return Reply(404, b"<Error><Code>BlobNotFound</Code></Error>", {"Content-Type": "application/xml"})

    def _token(self, container: str, query: dict[str, list[str]]) -> Reply:
        self.keys += query.get("subscription-key", [])
        if container not in _ACCOUNTS.values():
            return Reply.json({"detail": "no such container"}, 404)
        with self._lock_items:
            self.sas += 1
            self.good[container] = f"{SAS}{self.sas}"
        until = datetime.now(UTC) + timedelta(seconds=self.life)
        return Reply.json({"token": self.good[container], "msft:expiry": until.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def _may(self, container: str, query: dict[str, list[str]]) -> bool:
        good = parse_qs(self.good.get(container, "")).get("sig")
        return good is not None and query.get("sig") == good

    def asked_for(self, request: Request) -> str | None:
        key = unquote(request.path).strip("/")
        query = parse_qs(urlsplit(request.target).query)
        container = "/".join(key.split("/")[:2])
        return key if key in self.held and self._may(container, query) else None

    def _list(self, container: str, query: dict[str, list[str]]) -> Reply:
        prefix = query.get("prefix", [""])[0]
        after = query.get("marker", [""])[0]
        names = sorted(name for name in self.held if name.startswith(f"{container}/{prefix}"))
        names = [name for name in names if name > after]
        page, more = names[: self.page], names[self.page :]
        told = "".join(self._told(name, container) for name in page)
        marker = f"<NextMarker>{escape(page[-1])}</NextMarker>" if more else "<NextMarker />"
        body = f'\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="x" ContainerName="y">\
<Prefix>{escape(prefix)}</Prefix><Blobs>{told}</Blobs>{marker}</EnumerationResults>'
        return Reply(200, body.encode(), {"Content-Type": "application/xml"})

    def _told(self, name: str, container: str) -> str:
        held, fault = self.held[name], self.lying.get(name)
        digest = hashlib.md5(held.data).digest()
        if fault is not None and "checksums" in fault.lies:
            digest = digest[::-1]
        size = len(held.data) + (7 if fault is not None and "size" in fault.lies else 0)
        md5 = "" if fault is not None and not fault.checksums else base64.b64encode(digest).decode()
        return (
            f"<Blob><Name>{escape(name.removeprefix(f'{container}/'))}</Name><Properties>"
            f"<Content-Length>{size}</Content-Length><Content-MD5>{md5}</Content-MD5>"
            f"<Content-CRC64 /><BlobType>BlockBlob</BlobType></Properties></Blob>"
        )


def _of_name(name: str) -> Product:
    from extenso_nb.gateway.sources.record import product_of

    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
    return product_of(products.parse(name), "far", footprint=square)


class FarPlanetaryComputer:
    def __init__(self, credentials: Credentials = lambda: None, **settings: Any) -> None:
        self.server = PlanetaryServer()
        url = self.server.url
        self.source = PlanetaryComputer(
            credentials,
            stac=f"{url}/stac",
            sas=f"{url}/sas",
            data=f"{url}/data",
            blobs=f"{url}/{{account}}",
            **{"stall_seconds": 0.5, "delivers": Profile().delivers} | settings,
        )

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        files = content if isinstance(content, dict) else {} if content is None else {f"{product.id}.nc": content}
        folder = blob_folder(product)
        for name, data in files.items():
            self.server.add(f"{folder}/{name}", data=data)
        shown = list(files) or ["manifest.safe"]
        self.server.put(planetary_item(product, [f"{product.id}.nc"] if product.collection == "S5P" else shown))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()
