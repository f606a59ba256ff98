"""A hub as its software is documented: OpenSearch over Lucene's own rules for AND and OR, OData, and a cold archive.

It parses and evaluates what it is sent by itself, over the values that hubs have: `Level-2A`, `VH VV`, `descending`.
"""

from __future__ import annotations

import base64
import io
import json
import re
import uuid as uuids
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape, quoteattr

import shapely
from scripted_http import Held, Reply, Request, ScriptedHttp
from shapely.geometry import mapping, shape

from extenso_nb import products
from extenso_nb.gateway.sources.dhus import DhusSource
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.models import Product

LOGIN = {"username": "someone", "password": "not-to-be-shown"}
CAP = 10_000
KINDS = {
    "platformname platformserialidentifier producttype sensoroperationalmode swathidentifier polarisationmode orbitdirection"
    " instrumentname instrumentshortname productclass status acquisitiontype timeliness processinglevel processingbaseline"
    " processingmode processorversion s2datatakeid tileid hv_order_tileid productlevel mode passdirection": "text",
    "uuid identifier filename format size": "string",
    "orbitnumber lastorbitnumber relativeorbitnumber missiondatatakeid slicenumber": "int",
    "cloudcoverpercentage": "double",
    "beginposition endposition ingestiondate creationdate": "date",
    "footprint": "spatial",
}
FIELDS = {name: kind for names, kind in KINDS.items() for name in names.split()}
LEVELS = {"S2": {"L1C": "Level-1C", "L2A": "Level-2A"}, "S3": {"L1": "1", "L2": "2"}}
TIMELY = {"NR": "Near Real Time", "ST": "Short Time Critical", "NT": "Non Time Critical"}
INSTRUMENTS = {"MSI": "Multi-Spectral Instrument", "SAR-C SAR": "Synthetic Aperture Radar (C-band)"}
PLATFORMS = {"S1": "Sentinel-1", "S2": "Sentinel-2", "S3": "Sentinel-3", "S5P": "Sentinel-5 Precursor"}


class Refused(Exception):
    """What a hub refuses within an answer of status 200."""


# --- products in the hub's words -------------------------------------------------------------------------------------
def uuid_of(name: str) -> str:
    return str(uuids.uuid5(uuids.NAMESPACE_OID, name))


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def values_of(product: Product, number: int = 0) -> dict[str, str]:
    """The values that a hub has of a product."""
    kind, named = product.collection, products.parse(product.id)
    size = product.size / 2**20
    found: dict[str, Any] = {
        "platformname": PLATFORMS[kind],
        "identifier": product.id,
        "filename": product.id + named.extension,
        "uuid": uuid_of(product.id),
        "format": "netCDF" if kind == "S5P" else "SAFE",
        "size": f"{size:.2f} MB",
        "beginposition": iso(product.begin_position),
        "endposition": iso(product.end_position),
        "ingestiondate": iso(product.ingestion_date),
        "producttype": product.product_type,
        "instrumentshortname": product.instrument,
        "orbitnumber": product.orbit_number,
    }
    if product.footprint:
        found["footprint"] = shapely.to_wkt(shape(product.footprint), rounding_precision=-1)
    if kind != "S5P":
        found["relativeorbitnumber"] = product.relative_orbit_number
        found["orbitdirection"] = product.orbit_direction
        found["instrumentname"] = INSTRUMENTS.get(product.instrument, product.instrument)
    if kind == "S1":
        words = (product.polarisation or "").split()
        found["polarisationmode"] = " ".join(reversed(words) if number % 2 else words)  # as the older ones have it
        found["sensoroperationalmode"] = product.sensor_mode
        found["slicenumber"] = number % 7
        found["missiondatatakeid"] = int(named["datatake"], 16)
    if kind == "S2":
        found["platformserialidentifier"] = product.platform
        found["processingbaseline"] = product.processing_baseline
        found["cloudcoverpercentage"] = product.cloud_cover
        if product.processing_level == "L1C":  # later products of Level-2A lack it
            found["tileid"] = product.tile_id
    if kind == "S3":
        found["orbitdirection"] = (product.orbit_direction or "").lower()
        found["timeliness"] = TIMELY.get(named["timeliness"], product.timeliness)
        found["productlevel"] = product.processing_level
        found["cloudcoverpercentage"] = product.cloud_cover
    if kind == "S5P":
        found["processingmode"] = {"NRTI": "Near real time", "OFFL": "Offline", "RPRO": "Reprocessing"}[named["stream"]]
        found["processorversion"] = named["processor"]
        found["processinglevel"] = product.processing_level
    elif kind in LEVELS:
        found["processinglevel"] = LEVELS[kind][product.processing_level]
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


# --- Lucene, as far as hubs are asked --------------------------------------------------------------------------------
Doc = Mapping[str, str]
Test = Callable[[Doc], bool]
TOKEN = re.compile(
    r'[ \t\r\n]*(?:(?P<open>\()|(?P<close>\))|(?P<word>AND|OR|NOT)(?=[ (])|(?P<field>[A-Za-z_0-9]+):(?P<value>"(?:[^"\\]|\\.)*"'
    r"|[\[{][^\]}]*[\]}]|/(?:[^/\\]|\\.)*/|(?:[^ \t\r\n()\"\\]|\\.)+)|(?P<all>\*)(?= |$))"
)


def lucene(text: str) -> Test:
    """The classic parser: no precedence, and clauses that are only negative match nothing."""
    place = 0

    def token() -> re.Match[str] | None:
        nonlocal place
        found = TOKEN.match(text, place)
        if found is None:
            if text[place:].strip(" "):
                raise Refused(f"org.apache.solr.search.SyntaxError: Cannot parse '{text}': at column {place}")
            return None
        place = found.end()
        return found

    def clauses(depth: int) -> Test:
        parts: list[list[Any]] = []  # occurrence, test
        conj = mod = ""
        while True:
            found = token()
            if found is None or found["close"]:
                if (found is None) != (depth == 0) or not parts:
                    raise Refused(f"org.apache.solr.search.SyntaxError: Cannot parse '{text}'")
                return whole(parts, top=depth == 0)
            if word := found["word"]:
                conj, mod = (conj, "NOT") if word == "NOT" else (word, mod)
                continue
            test = clauses(depth + 1) if found["open"] else (lambda _doc: True) if found["all"] else leaf(found)
            if parts and conj and parts[-1][0] != "not":
                parts[-1][0] = "must" if conj == "AND" else "should"
            parts.append(["not" if mod else "should" if conj == "OR" else "must", test])
            conj = mod = ""

    return clauses(0)


def whole(parts: list[list[Any]], *, top: bool) -> Test:
    by = {kind: [test for occurs, test in parts if occurs == kind] for kind in ("must", "should", "not")}

    def test(doc: Doc) -> bool:
        if any(one(doc) for one in by["not"]) or not all(one(doc) for one in by["must"]):
            return False
        if by["must"]:
            return True
        return any(one(doc) for one in by["should"]) or (top and not by["should"])

    return test


def leaf(found: re.Match[str]) -> Test:
    name, value = found["field"].lower(), found["value"]
    kind = FIELDS.get(name)
    if kind is None:
        raise Refused(f"undefined field {name}")
    test = SORTS[kind](value)
    return lambda doc: name in doc and test(doc[name])


def plain(value: str) -> str:
    value = value[1:-1] if value[0] == '"' else value
    return re.sub(r"\\(.)", r"\1", value)


def bounds(value: str, read: Callable[[str], Any]) -> tuple[Any, Any, bool, bool]:
    if value[0] not in "[{":
        this = read(plain(value))
        return this, this, True, True
    low, sep, high = value[1:-1].partition(" TO ")
    if not sep:
        raise Refused(f"org.apache.solr.search.SyntaxError: Cannot parse '{value}'")
    given = [None if end == "*" else read(plain(end)) for end in (low, high)]
    return given[0], given[1], value[0] == "[", value[-1] == "]"


def between(read: Callable[[str], Any]) -> Callable[[str], Callable[[str], bool]]:
    def made(value: str) -> Callable[[str], bool]:
        low, high, with_low, with_high = bounds(value, read)

        def test(text: str) -> bool:
            this = read(text)
            above = low is None or this > low or (with_low and this == low)
            return above and (high is None or this < high or (with_high and this == high))

        return test

    return made


def date(text: str) -> datetime:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text):  # this hub does no arithmetic
        raise Refused(f"Invalid Date String:'{text}'")
    return datetime.fromisoformat(text)


def words(text: str) -> list[str]:
    return re.findall(r"\w+(?:\.\w+)*", text.lower())


def text_test(value: str) -> Callable[[str], bool]:
    assert value[0] not in "[{/", value
    assert not re.search(r"[*?]", value), f"wildcards on words are not defined: {value}"
    asked = words(plain(value))
    return lambda text: any(
        words(text)[at : at + len(asked)] == asked for at in range(len(words(text)) - len(asked) + 1)
    )


def string_test(value: str) -> Callable[[str], bool]:
    if value[0] == '"':
        return lambda text: text == plain(value)
    if value[0] == "/":
        return lambda text: re.fullmatch(value[1:-1], text) is not None
    pattern = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in re.sub(r"\\(.)", r"\1", value))
    return lambda text: re.fullmatch(pattern, text) is not None


def spatial_test(value: str) -> Callable[[str], bool]:
    found = re.fullmatch(r"(Intersects|Contains|IsWithin)\((.*)\)", plain(value))
    assert found, value
    area = shapely.from_wkt(found[2])
    relation = {"Intersects": "intersects", "Contains": "contains", "IsWithin": "within"}[found[1]]
    return lambda text: bool(getattr(shapely.from_wkt(text), relation)(area))


SORTS: dict[str, Callable[[str], Callable[[str], bool]]] = {
    "text": text_test,
    "string": string_test,
    "int": between(int),
    "double": between(float),
    "date": between(date),
    "spatial": spatial_test,
}


# --- the hub ---------------------------------------------------------------------------------------------------------
class FarDhus:
    """The hub; see `far.Far`."""

    def __init__(self, *, speaks: str = "json", **settings: Any) -> None:
        self.server = ScriptedHttp()
        self.server.site, self.server.bytes_at = self._site, self._bytes_at
        self.speaks = speaks
        """json, atom (it does not know `format=json`), or stub (it has no /search)."""
        self.login = dict(LOGIN)
        """What it takes; the source is given LOGIN."""
        self.shown: dict[str, dict[str, str]] = {}
        self.products: dict[str, Product] = {}
        self.offline: set[str] = set()
        """Products that OData has as offline, whatever their bytes do."""
        self.pictures: dict[str, bytes] = {}
        self.asked: list[dict[str, str]] = []
        """Parameters of every search."""
        self.refused: Counter[str] = Counter()
        self.answer: Callable[[Request], Reply | None] | None = None
        """Answers in place of the hub, where it gives something."""
        self.source = DhusSource(f"{self.server.url}/dhus", lambda: dict(LOGIN), **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        """Show a product; hubs deliver zips, whatever the product is made of."""
        self.products[product.id] = product
        self.shown[product.id] = values_of(product, len(self.shown))
        if not product.online:
            self.offline.add(product.id)
        if isinstance(content, dict):
            content = next(iter(content.values())) if product.collection == "S5P" else zipped(product.id, content)
        if content is not None:
            self.server.add(product.id, data=content)

    # -- answers ---------------------------------------------------------------------------------------------------
    def _known(self, request: Request) -> bool:
        pair = f"{self.login['username']}:{self.login['password']}".encode()
        return request.headers.get("authorization") == f"Basic {base64.b64encode(pair).decode()}"

    def _bytes_at(self, request: Request) -> str | None:
        found = re.fullmatch(r"/dhus/odata/v1/Products\('([^']*)'\)/\$value", unquote(request.path))
        name = self._named(found[1]) if found else None
        if name is None or name not in self.server.held or not self._known(request):
            return None
        if request.headers.get("range") == "bytes=0-1":
            self.server.held[name].warmed += 1
        return name

    def _named(self, uuid: str) -> str | None:
        return next((name for name in [*self.products, *self.server.held] if uuid_of(name) == uuid), None)

    def _site(self, request: Request) -> Reply | None:
        if not request.path.startswith("/dhus/"):
            return None
        if self.answer is not None and (reply := self.answer(request)) is not None:
            return reply
        if self.server.broken:
            return Reply(503, b"<html><title>The catalogue is down</title></html>", {"Content-Type": "text/html"})
        if not self._known(request):
            self.refused[request.headers.get("authorization", "")] += 1
            page = "<!doctype html><html><head><title>HTTP Status 401 – Unauthorized</title></head></html>".encode()
            return Reply(401, page, {"Content-Type": "text/html;charset=utf-8", "WWW-Authenticate": 'Basic realm="x"'})
        path = unquote(request.path.removeprefix("/dhus"))
        given = dict(parse_qsl(urlsplit(request.target).query, keep_blank_values=True, encoding="latin-1"))
        if path == "/search" and self.speaks != "stub":
            return self._search(request, given)
        if path == "/api/stub/products":
            return self._stub(given)
        if path == "/odata/v1/Products":
            return self._odata(given)
        found = re.fullmatch(r"/odata/v1/Products\('([^']*)'\)/Products\('Quicklook'\)/\$value", path)
        name = self._named(found[1]) if found else None
        if name in self.pictures:
            return Reply(200, self.pictures[name], {"Content-Type": "image/jpeg"})
        if path.startswith("/odata/"):
            said = f"Invalid key ({found[1] if found else path}) to access Products"
            return Reply.json(
                {"error": {"code": None, "message": {"lang": "en", "value": said}}},
                404,
                cause_message=f"InvalidKeyException : {said}",
            )
        return Reply(404, b"PAGE NOT FOUND", {"Content-Type": "text/html"})

    def _found(self, q: str, order: str) -> list[str]:
        test = lucene(q)
        key, _, way = order.partition(" ")
        found = [name for name, doc in self.shown.items() if test(doc)]
        assert FIELDS.get(key) == "date", order
        return sorted(found, key=lambda name: self.shown[name][key], reverse=way == "desc")

    def _search(self, request: Request, given: dict[str, str]) -> Reply:
        self.asked.append(given)
        rows, start, q = int(given["rows"]), int(given["start"]), given["q"]
        if rows > 100:
            said = f"Parameter `rows` exceeds the maximum value (100) in search request: {rows}"
            return Reply(400, said.encode(), {"Content-Type": "text/plain"})
        raw = re.search(r"[?&]q=([^&]*)", request.target)
        assert raw is not None
        if len(raw[1]) > 3900:
            cause = "RemoteSolrException : non ok status: 413, message:Request Entity Too Large"
            return Reply(
                500, b"<!doctype html><title>500</title>", {"cause-message": cause, "Content-Type": "text/html"}
            )
        try:
            found = self._found(q, given["orderby"])
        except Refused as error:
            return Reply.json({"feed": {"error": {"code": "400", "message": str(error)}}})
        page = found[start : start + rows]
        total = min(len(found), CAP)
        return Reply.json(self._feed(page, total)) if self.speaks == "json" else self._atom(page, total)

    def _feed(self, names: list[str], total: int) -> dict[str, Any]:
        entries = []
        for name in names:
            doc, groups = self.shown[name], {"string": "str", "text": "str", "spatial": "str"}
            entry: dict[str, Any] = {"title": name, "id": doc["uuid"], "ondemand": "false"}
            for field, value in doc.items():
                group = groups.get(FIELDS[field], FIELDS[field])
                entry.setdefault(group, []).append({"name": field, "content": value})
            entry["str"].append({"name": "processingname"})  # an element may lack its content
            entries.append(
                {key: one[0] if isinstance(one, list) and len(one) == 1 else one for key, one in entry.items()}
            )
        feed: dict[str, Any] = {"opensearch:totalResults": str(total), "opensearch:startIndex": "0"}
        if entries:
            feed["entry"] = entries[0] if len(entries) == 1 else entries
        return {"feed": feed}

    def _atom(self, names: list[str], total: int) -> Reply:
        text = ['<?xml version="1.0" encoding="utf-8"?><feed xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"'
                f' xmlns="http://www.w3.org/2005/Atom"><opensearch:totalResults>{total}</opensearch:totalResults>']  # fmt: skip
        for name in names:
            doc, groups = self.shown[name], {"string": "str", "text": "str", "spatial": "str"}
            text.append(f"<entry><title>{name}</title><id>{doc['uuid']}</id>")
            for field, value in doc.items():
                group = groups.get(FIELDS[field], FIELDS[field])
                text.append(f"<{group} name={quoteattr(field)}>{escape(value)}</{group}>")
            text.append("</entry>")
        return Reply(200, ("".join(text) + "</feed>").encode(), {"Content-Type": "application/atom+xml"})

    def _stub(self, given: dict[str, str]) -> Reply:
        self.asked.append(given)
        first, limit = int(given["offset"]), int(given["limit"])
        found = self._found(given["filter"], f"{given['sortedby']} {given['order']}")
        titles = {"Ingestion Date": "ingestiondate", "Sensing start": "beginposition", "Sensing stop": "endposition",
                  "Orbit number (start)": "orbitnumber", "JTS footprint": "footprint", "Size": "size",
                  "Pass direction": "orbitdirection", "Cloud Cover Percentage": "cloudcoverpercentage"}  # fmt: skip
        entries = [
            {"id": 1, "uuid": doc["uuid"], "identifier": name, "footprint": None, "indexes": [
                {"name": "product", "value": None, "children": [
                    {"name": title, "value": doc[key], "children": None} for title, key in titles.items() if key in doc]}]}
            for name in found[first : first + limit] for doc in [self.shown[name]]
        ]  # fmt: skip
        return Reply.json({"products": entries, "totalresults": len(found)})

    def _odata(self, given: dict[str, str]) -> Reply:
        clauses = [re.fullmatch(r"Name eq '([^']*)'", part) for part in given["$filter"].split(" or ")]
        if not all(clauses) or int(given["$top"]) > 100:
            return Reply.json({"error": {"code": None, "message": {"lang": "en", "value": "Invalid filter"}}}, 400)
        names = [clause[1] for clause in clauses if clause]
        return Reply.json({"d": {"results": [self._entry(name) for name in names if self._holds(name)]}})

    def _holds(self, name: str) -> bool:
        return name in self.products or name in self.server.held

    def _entry(self, name: str) -> dict[str, Any]:
        held: Held | None = self.server.held.get(name)
        product = self.products.get(name) or product_of(products.parse(name), "dhus")
        if held is not None and held.cold and held.warmed:
            held.cold -= 1
        size = product.size if held is None else held.size or 0
        sums = {} if held is None else held.checksums or {}
        gml = "".join(
            "<gml:outerBoundaryIs><gml:LinearRing><gml:coordinates>"
            + " ".join(f"{y},{x}" for x, y in ring)
            + "</gml:coordinates></gml:LinearRing></gml:outerBoundaryIs>"
            for ring in rings(product.footprint)
        )
        return {
            "Id": uuid_of(name),
            "Name": name,
            "ContentLength": str(size),
            "IngestionDate": odata(product.ingestion_date),
            "EvictionDate": None,
            "Online": name not in self.offline and not (held is not None and held.cold),
            "ContentDate": {"Start": odata(product.begin_position), "End": odata(product.end_position)},
            "Checksum": {"Algorithm": "MD5", "Value": sums["MD5"]} if "MD5" in sums else None,
            "ContentGeometry": f"<gml:Polygon>{gml}</gml:Polygon>" if gml else None,
        }


def odata(moment: datetime) -> str:
    return f"/Date({int(moment.timestamp()) * 1000 + moment.microsecond // 1000})/"


def rings(footprint: dict[str, Any] | None) -> list[list[tuple[float, float]]]:
    if footprint is None:
        return []
    area = shape(footprint)
    polygons = area.geoms if area.geom_type == "MultiPolygon" else [area]
    return [list(mapping(polygon)["coordinates"][0]) for polygon in polygons]


def zipped(name: str, files: dict[str, bytes]) -> bytes:
    """As hubs deliver: compressed, everything in the product's folder."""
    buffer = io.BytesIO()
    folder = name + products.parse(name).extension
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path if path.startswith(f"{folder}/") else f"{folder}/{path}", data)
    return buffer.getvalue()


def spoken(body: object) -> bytes:
    return json.dumps(body).encode()
