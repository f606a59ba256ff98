"""ASF at the far end: its search as documented, Earthdata Login, and its download hosts, on loopback.

The search reads its parameters by itself: lists with commas are "one of these", areas are WKT (several shapes become their
convex hull), times are met by whatever is sensed at some moment between them. Beside each product stands its metadata,
beside each SLC a burst.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import shapely
from forty import without
from scripted_http import DATA, Held, Reply, Request, ScriptedHttp

from extenso_nb import products
from extenso_nb.gateway.sources.asf import AsfSource
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.models import Product

PASSWORD = {"username": "someone", "password": "right horse"}
UNBOUNDED = 2000
"""Entries beyond which a search has to say how many it wants."""
POLARISATIONS = {"DV": "VV+VH", "DH": "HH+HV", "SV": "VV", "SH": "HH", "VV": "Dual VV", "HH": "Dual HH"}
DATASETS = {"SENTINEL-1": "Sentinel-1"}


def as_told(product: Product) -> Product:
    """A product as far as ASF tells of it: times to the second, no day of its own taking in, all online."""
    begin, end = (moment.replace(microsecond=0) for moment in (product.begin_position, product.end_position))
    return without(product, begin_position=begin, end_position=end, ingestion_date=end, online=True)


def level_of(name: str) -> str:
    """`GRD_HD` for a dual GRDH, SLC ..."""
    kind = name.split("_")[2]
    pol = re.search(r"_\d[SANC](..)_", name)[1]  # type: ignore[index]
    return f"GRD_{kind[3]}{'D' if pol[0] == 'D' else 'S'}" if kind.startswith("GRD") else kind


def polarisation_of(name: str) -> str:
    return POLARISATIONS[re.search(r"_\d[SANC](..)_", name)[1]]  # type: ignore[index]


class FarAsf:
    """The archive and the adapter that asks it."""

    def __init__(
        self,
        credentials: Callable[[], Mapping[str, str] | None] = lambda: PASSWORD,
        *,
        stall_seconds: float = 0.5,
    ) -> None:
        self.server = ScriptedHttp()
        self.server.site = self._site
        self.server.bytes_at = self._bytes_at
        self.server.wants_token = True
        self.held: dict[str, Product] = {}
        self.asked: list[dict[str, str]] = []
        """What its search was asked, in order."""
        self.logins: list[str] = []
        """User and password of each login."""
        self.licensed = True
        """Whether the licence was accepted."""
        self.limited = 0
        """How many searches are refused for coming too fast."""
        self.answers: list[Reply] = []
        """Taken in place of what a search would answer, one after another."""
        self.order: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda items: items
        self._lock = threading.Lock()
        self._made: dict[str, list[dict[str, Any]]] = {}
        self.source = AsfSource(
            credentials,
            api=self.server.url,
            login=self.server.url,
            downloads=(f"127.0.0.1:{self.server.port}",),
            stall_seconds=stall_seconds,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        assert not isinstance(content, dict), "ASF gives zips"
        self.held[product.id] = product
        if content is not None:
            self.server.add(product.id, data=content)

    # -- what it answers ---------------------------------------------------------------------------------------------
    def _site(self, request: Request) -> Reply | None:
        match request.method, request.path:
            case "GET" | "POST", "/services/search/param":
                return self._search(request)
            case "POST", "/api/users/find_or_create_token":
                return self._login(request)
            case "GET", "/health":
                return Reply.json({"ASFSearchAPI": {"ok?": True}}, 503 if self.server.broken else 200)
        if request.path.startswith("/BROWSE/"):
            held = self.server.held.get(request.path.rpartition("/")[2].removesuffix(".jpg"))
            if held is not None and held.picture is not None:
                return Reply(200, held.picture, {"Content-Type": "image/jpeg"})
        return None

    def _bytes_at(self, request: Request) -> str | None:
        """Below the level and the satellite: /SLC/SA/<id>.zip."""
        found = re.fullmatch(r"/(?:SLC|GRD_..|OCN|RAW)/S[A-D]/([^/]+)\.zip", request.path)
        name = found[1] if found else ""
        return name if self.licensed and name in self.server.held else None

    def _login(self, request: Request) -> Reply:
        given = base64.b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        self.logins.append(given)
        if given != "{username}:{password}".format(**PASSWORD):
            said = {"error": "invalid_credentials", "error_description": "Invalid user credentials"}
            return Reply.json(said, 401)
        return Reply.json(
            {"access_token": self.server.give_token(), "token_type": "Bearer", "expiration_date": "12/31/2099"}
        )

    def _search(self, request: Request) -> Reply:
        text = request.body.decode() if request.method == "POST" else urlsplit(request.target).query
        given = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
        with self._lock:
            self.asked.append(dict(given))
            limited, self.limited = self.limited > 0, max(self.limited - 1, 0)
            planned = self.answers.pop(0) if self.answers else None
        if planned is not None:
            return planned
        if self.server.broken:
            return Reply.json({"message": "Internal server error"}, 502)
        if limited:
            return _error(429, "Rate limited, please reduce your request rate to 250/minute or less", Retry_After="1")
        try:
            return self._answer(given)
        except (KeyError, ValueError) as error:
            return _error(400, repr(error))

    def _answer(self, given: dict[str, str]) -> Reply:
        output = given.pop("output", "metalink")
        if any(not value for value in given.values()):
            raise ValueError("Empty value passed to search keyword")
        if "granule_list" in given and len(given) > 1:
            raise ValueError('Cannot use search keywords "granule_list/product_list" with other search params')
        most = int(given.pop("maxResults", 0)) or None
        names = given.pop("granule_list", None)
        if names is not None:
            asked = set(names.split(","))
            found = [item for item in self._entries() if item["properties"]["sceneName"] in asked]
        else:
            tests = [_TESTS[name](value) for name, value in given.items()]
            found = [item for item in self._entries() if all(test(item) for test in tests)]
        if output == "count":
            return Reply(200, str(len(found)).encode(), {"Content-Type": "text/html; charset=utf-8"})
        assert output == "geojson", output
        if most is None and names is None and len(found) > UNBOUNDED:
            raise ValueError("SearchAPI no longer supports unbounded searches with expected results over 2000")
        found = sorted(found, key=lambda item: item["properties"]["fileID"])
        found = sorted(found, key=lambda item: item["times"][1], reverse=True)
        found = self.order(found)[:most]
        shown = [{key: value for key, value in item.items() if key not in {"times", "shape"}} for item in found]
        return Reply.json({"type": "FeatureCollection", "features": shown})

    # -- entries -----------------------------------------------------------------------------------------------------
    def _entries(self) -> list[dict[str, Any]]:
        shown = list(self.held.values())
        shown += [_from_name(name) for name in list(self.server.held) if name not in self.held]
        return [item for product in shown for item in self._known(product)]

    def _known(self, product: Product) -> list[dict[str, Any]]:
        if product.id in self.server.held:
            return self._around(product)
        if product.id not in self._made:
            self._made[product.id] = self._around(product)
        return self._made[product.id]

    def _around(self, product: Product) -> list[dict[str, Any]]:
        entry = self._entry(product, self.server.held.get(product.id))
        level = entry["properties"]["processingLevel"]
        about = f"METADATA_{level}"
        beside = {"fileID": f"{product.id}-{about}", "processingLevel": about, "bytes": 40_000, "md5sum": "0" * 32}
        items = [entry, entry | {"properties": entry["properties"] | beside}]
        if level == "SLC":
            burst = {"sceneName": "S1_136231_IW2_20240601T053000_VV_A000-BURST", "processingLevel": "BURST"}
            items.append(entry | {"properties": entry["properties"] | burst})
        return items

    def _entry(self, product: Product, held: Held | None) -> dict[str, Any]:
        name, level, unit = product.id, level_of(product.id), product.platform[-1]
        size, md5 = (product.size, None) if held is None else (held.size, (held.checksums or {}).get("MD5"))
        begin, end = product.begin_position, product.end_position
        said = {
            "sceneName": name,
            "fileID": f"{name}-{level}",
            "fileName": f"{name}.zip",
            "platform": product.platform,
            "processingLevel": level,
            "beamModeType": name.split("_")[1],
            "polarization": polarisation_of(name),
            "flightDirection": product.orbit_direction,
            "pathNumber": product.relative_orbit_number,
            "orbit": product.orbit_number,
            "startTime": begin.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "stopTime": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "processingDate": begin.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "bytes": size,
            "md5sum": md5,
            "url": f"{self.server.url}/{level}/S{unit}/{name}.zip",
            "browse": None if held and not held.picture else [f"{self.server.url}/BROWSE/S{unit}/{name}.jpg"],
            "granuleType": f"SENTINEL_1{unit}_FRAME",
        }
        ring = _one_ring(product.footprint)
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": said,
            "times": (begin, end),
            "shape": shapely.geometry.shape(product.footprint),
        }


def _error(status: int, report: str, **headers: str) -> Reply:
    return Reply.json({"error": {"type": "ERROR", "report": report}}, status, **headers)


def _from_name(name: str) -> Product:
    box = [[10, 45], [12, 45], [12, 47], [10, 47], [10, 45]]
    footprint = {"type": "Polygon", "coordinates": [box]}
    return product_of(products.parse(name), "archive", footprint=footprint, size=len(DATA), orbit_direction="ASCENDING")


def _one_ring(footprint: Mapping[str, Any] | None) -> list[list[float]]:
    """As the archive has it: one ring, which jumps from 180 to -180 where it crosses the antimeridian."""
    assert footprint is not None
    if footprint["type"] == "Polygon":
        return [list(point) for point in footprint["coordinates"][0]]
    east, west = (shapely.geometry.shape({"type": "Polygon", "coordinates": part}) for part in footprint["coordinates"])
    left, south, _, north = (east if east.bounds[2] == 180 else west).bounds
    right = (west if east.bounds[2] == 180 else east).bounds[2]
    return [[left, south], [right, south], [right, north], [left, north], [left, south]]


# --- the language ----------------------------------------------------------------------------------------------------
Test = Callable[[dict[str, Any]], bool]


def _one_of(name: str) -> Callable[[str], Test]:
    def made(value: str) -> Test:
        words = {word.lower() for word in value.split(",")}
        return lambda item: str(item["properties"][name]).lower() in words

    return made


def _in_runs(name: str) -> Callable[[str], Test]:
    def made(value: str) -> Test:
        runs = []
        for part in value.split(","):
            found = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
            if found is None or int(found[1]) > int(found[2] or found[1]):
                raise ValueError(f"Invalid range: {part}")
            runs.append(range(int(found[1]), int(found[2] or found[1]) + 1))
        return lambda item: any(item["properties"][name] in run for run in runs)

    return made


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _met(value: str) -> Test:
    shape = shapely.from_wkt(value)
    if not shape.is_valid:
        raise ValueError("self intersecting polygon")
    shape = shape.convex_hull if len(getattr(shape, "geoms", [0])) > 1 else shape
    beyond = shapely.transform(shape, lambda xy: xy - [360, 0])
    return lambda item: bool(shape.intersects(item["shape"]) or beyond.intersects(item["shape"]))


_TESTS: dict[str, Callable[[str], Test]] = {
    "dataset": lambda value: lambda item: item["properties"]["platform"].startswith(DATASETS[value]),
    "platform": _one_of("platform"),
    "processingLevel": _one_of("processingLevel"),
    "beamMode": _one_of("beamModeType"),
    "polarization": _one_of("polarization"),
    "flightDirection": _one_of("flightDirection"),
    "relativeOrbit": _in_runs("pathNumber"),
    "absoluteOrbit": _in_runs("orbit"),
    "intersectsWith": _met,
    "start": lambda value: lambda item: item["times"][1] >= _moment(value),
    "end": lambda value: lambda item: item["times"][0] <= _moment(value),
}
