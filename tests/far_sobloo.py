"""Sobloo as it is documented and recorded: ARLAS filters evaluated here over the hits that it shows."""

from __future__ import annotations

import re
import uuid as uuids
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import shapely
from far_dhus import TIMELY, zipped
from scripted_http import Reply, Request, ScriptedHttp
from shapely.geometry import shape

from extenso_nb import products
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.gateway.sources.sobloo import SoblooSource
from extenso_nb.models import Product

KEY = {"apikey": "not-to-be-shown-key"}
COLLECTIONS = {"S1": "Sentinel-1", "S2": "Sentinel-2", "S3": "Sentinel-3", "S5P": "Sentinel-5 Precursor"}
WINDOW = 10_000


def uid_of(name: str) -> str:
    return str(uuids.uuid5(uuids.NAMESPACE_OID, name))


def ms(moment: datetime) -> int:
    whole = moment.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)
    return int(whole.total_seconds()) * 1000 + moment.microsecond // 1000


def hit_of(product: Product) -> dict[str, Any]:
    """A product as a hit."""
    named = products.parse(product.id)
    production: dict[str, Any] = {"ongoing": False, "levelCode": product.processing_level}
    identification = {
        "externalId": product.id,
        "collection": COLLECTIONS[product.collection],
        "type": product.product_type,
        "profile": "Image",
        "dataset": {},
    }
    if product.collection == "S2":
        production |= {"levelCode": f"Level-{product.processing_level[1:]}", "baseline": product.processing_baseline}
        identification["tileId"] = product.tile_id
    if product.collection == "S3":
        production["timeliness"] = TIMELY.get(named["timeliness"], product.timeliness)
    orbit = {
        "number": product.orbit_number,
        "relativeNumber": product.relative_orbit_number,
        "direction": product.orbit_direction,
    }
    cloud = {} if product.cloud_cover is None else {"cloudCoverPercentage": product.cloud_cover}
    data = {
        "uid": uid_of(product.id),
        "timeStamp": ms(product.begin_position),
        "identification": identification,
        "archive": {"offLine": False, "onLine": False, "size": max(product.size // 10**6, 1), "format": "SAFE"},
        "production": production,
        "acquisition": {
            "missionCode": product.platform.replace("Sentinel-", "S"),
            "beginViewingDate": ms(product.begin_position),
            "endViewingDate": ms(product.end_position),
            "sensorMode": product.sensor_mode or "Earth Observation",
        },
        "orbit": {key: value for key, value in orbit.items() if value is not None},
        "state": {
            "resources": {"quicklook": product.collection != "S5P"},
            "services": {"download": "internal" if product.online else "external"},
            "insertionDate": ms(product.ingestion_date),
        },
        "visibility": {"deleted": False},
        "contentDescription": cloud,
    }
    return {"md": {"id": uid_of(product.id), "geometry": product.footprint}, "data": data}


def at(data: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None  # type: ignore[assignment]
    return data


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda this, that: this > that,
    "gte": lambda this, that: this >= that,
    "lt": lambda this, that: this < that,
    "lte": lambda this, that: this <= that,
}


class FarSobloo:
    """The service; see `far.Far`."""

    def __init__(self, **settings: Any) -> None:
        self.server = ScriptedHttp()
        self.server.site, self.server.bytes_at = self._site, self._bytes_at
        self.key = KEY["apikey"]
        """What it takes; the source is given KEY."""
        self.lists = True
        """Whether `eq:a,b` means any of them; else it is the one value `a,b`."""
        self.hits: dict[str, dict[str, Any]] = {}
        self.pictures: dict[str, bytes] = {}
        self.asked: list[list[tuple[str, str]]] = []
        """Parameters of every search."""
        self.refused: Counter[str] = Counter()
        self.answer: Callable[[Request], Reply | None] | None = None
        self.source = SoblooSource(lambda: dict(KEY), url=self.server.url, **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        """Show a product; what has several files is delivered as a zip."""
        self.hits[product.id] = hit_of(product)
        if isinstance(content, dict):
            content = next(iter(content.values())) if product.collection == "S5P" else zipped(product.id, content)
        if content is not None:
            self.server.add(product.id, data=content)

    def _named(self, uid: str) -> str | None:
        return next((name for name in [*self.hits, *self.server.held] if uid_of(name) == uid), None)

    def _bytes_at(self, request: Request) -> str | None:
        found = re.fullmatch(r"/api/v1/services/download/([^/]*)", unquote(request.path))
        name = self._named(found[1]) if found else None
        known = request.headers.get("authorization") == f"Apikey {self.key}"
        return name if name in self.server.held and known else None

    def _site(self, request: Request) -> Reply | None:
        path = unquote(request.path)
        if not path.startswith("/api/v1/services/"):
            return None
        if self.answer is not None and (reply := self.answer(request)) is not None:
            return reply
        verb, _, uid = path.removeprefix("/api/v1/services/").partition("/")
        if self.server.broken:
            return Reply.json({"status": 500, "message": "Arlas Server Error"}, 503)
        if verb == "search":
            assert "authorization" not in request.headers, "searches are open"
            return self._search(request)
        if verb == "quicklook" and self._named(uid) in self.pictures:
            assert "authorization" not in request.headers, "pictures are open"
            return Reply(200, self.pictures[str(self._named(uid))], {"Content-Type": "image/jpeg"})
        if verb == "download" and request.headers.get("authorization") != f"Apikey {self.key}":
            self.refused[request.headers.get("authorization", "")] += 1
            return Reply.json({"status": 401, "message": "Unauthorized"}, 401)
        return Reply.json({"status": 404, "message": f"{uid} is not here"}, 404)

    def _search(self, request: Request) -> Reply:
        pairs = parse_qsl(urlsplit(request.target).query, keep_blank_values=True)
        self.asked.append(pairs)
        single = dict(pairs)
        size, first = int(single["size"]), int(single["from"])
        if size > 1000 or first + size > WINDOW:
            return Reply.json({"status": 400, "message": "Bad request"}, 400)
        shown = [*self.hits.values()]
        known = set(self.hits)
        shown += [
            hit_of(product_of(products.parse(name), "x", size=len(one.data)))
            for name, one in self.server.held.items()
            if name not in known
        ]
        tests = [self._test(name, value) for name, value in pairs if name in {"f", "gintersect"}]
        found = [hit for hit in shown if all(test(hit) for test in tests)]
        if sort := single.get("sort"):
            found.sort(key=lambda hit: at(hit["data"], sort.lstrip("-")), reverse=sort.startswith("-"))
        page = found[first : first + size]
        answer: dict[str, Any] = {"collection": "catalog", "nbhits": len(page), "totalnb": len(found), "links": {}}
        return Reply.json(answer | ({"hits": page} if page else {}))

    def _test(self, name: str, value: str) -> Callable[[dict[str, Any]], bool]:
        if name == "gintersect":
            area = shapely.from_wkt(value)
            return lambda hit: hit["md"]["geometry"] is not None and shape(hit["md"]["geometry"]).intersects(area)
        field, op, asked = value.split(":", 2)
        if op in {"eq", "ne"}:
            values = asked.split(",") if self.lists else [asked]
            return lambda hit: (str(at(hit["data"], field)) in values) is (op == "eq")
        test, bound = COMPARE[op], float(asked)
        return lambda hit: (given := at(hit["data"], field)) is not None and test(given, bound)
