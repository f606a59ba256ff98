"""The Copernicus Data Space Ecosystem at the far end: its OData catalogue, tokens, downloads and pictures, on loopback.

The filters that it is sent are parsed and applied here, by a parser that knows nothing of how they are made.
"""

from __future__ import annotations

import io
import itertools
import json
import operator
import re
import uuid
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import shapely
from scripted_http import Fault, Line, Reply, Request, ScriptedHttp
from shapely.geometry import shape

from extenso_nb import products
from extenso_nb.gateway.sources.cdse import CdseSource
from extenso_nb.models import Product

COLLECTIONS = {"S1": "SENTINEL-1", "S2": "SENTINEL-2", "S3": "SENTINEL-3", "S5P": "SENTINEL-5P"}
S3_CODES = {"Near Real Time": "NR", "Short Time Critical": "ST", "Non Time Critical": "NT"}
PICTURE = b"\xff\xd8\xff\xe0 a picture"


# --- entries ---------------------------------------------------------------------------------------------------------
def text_of(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def attributes(product: Product) -> list[dict[str, Any]]:
    """What the catalogue says of a product of each mission, as its documentation and its recorded answers have it."""
    fields = dict(products.parse(product.id).fields)
    known: dict[str, Any] = {"productType": product.product_type, "origin": "ESA", "orbitNumber": product.orbit_number}
    match product.collection:
        case "S1":
            known |= {
                "productType": f"{fields['mode']}_{fields['kind']}{fields['resolution']}_{fields['level']}S",
                "operationalMode": product.sensor_mode,
                "polarisationChannels": (product.polarisation or "").replace(" ", "&"),
                "relativeOrbitNumber": product.relative_orbit_number,
                "orbitDirection": product.orbit_direction,
                "datatakeID": int(fields["datatake"], 16),
                "productClass": fields["product_class"],
                "timeliness": product.timeliness,
            }
        case "S2":
            known |= {
                "tileId": product.tile_id,
                "cloudCover": product.cloud_cover,
                "relativeOrbitNumber": product.relative_orbit_number,
                "processorVersion": product.processing_baseline,
                "operationalMode": "INS-NOBS",
                "productGroupId": f"G{fields['satellite']}_{fields['start']}_{product.orbit_number or 0:06d}"
                f"_N{product.processing_baseline}",
            }
        case "S3":
            known |= {
                "timeliness": S3_CODES.get(product.timeliness or ""),
                "processingLevel": product.processing_level.removeprefix("L"),
                "relativeOrbitNumber": product.relative_orbit_number,
                "orbitDirection": product.orbit_direction,
                "cloudCover": product.cloud_cover,
            }
        case "S5P":
            known |= {"processingMode": fields["stream"], "processorVersion": fields["processor"]}
    return [attribute(name, value) for name, value in known.items() if value is not None]


def attribute(name: str, value: Any) -> dict[str, Any]:
    kind = {str: "String", int: "Integer", float: "Double"}[type(value)]
    return {"@odata.type": f"#OData.CSC.{kind}Attribute", "Name": name, "Value": value, "ValueType": kind}


def entry_of(product: Product, **more: Any) -> dict[str, Any]:
    identity = products.parse(product.id)
    name = product.id + identity.extension
    return {
        "@odata.mediaContentType": "application/octet-stream",
        "Id": str(uuid.uuid5(uuid.NAMESPACE_OID, product.id)),
        "Name": name,
        "ContentType": "application/octet-stream",
        "ContentLength": product.size,
        "OriginDate": text_of(product.ingestion_date),
        "PublicationDate": text_of(product.ingestion_date),
        "ModificationDate": text_of(product.ingestion_date),
        "Online": product.online,
        "EvictionDate": "",
        "S3Path": f"/eodata/{COLLECTIONS[product.collection].title()}/{product.begin_position:%Y/%m/%d}/{name}",
        "Checksum": [],
        "ContentDate": {"Start": text_of(product.begin_position), "End": text_of(product.end_position)},
        "Footprint": None,
        "GeoFootprint": product.footprint,
        "Attributes": attributes(product),
        "Assets": [],
        "Collection": COLLECTIONS[product.collection],
    } | more


# --- $filter ---------------------------------------------------------------------------------------------------------
class Malformed(Exception):
    """What the catalogue answers 400 to."""


Test = Callable[[Mapping[str, Any]], bool]
TOKEN = re.compile(
    r"\s*(?:(?P<geo>geography'(?:[^']|'')*')|(?P<text>'(?:[^']|'')*')|(?P<date>\d{4}-\d\d-\d\dT[\d:.]+Z)"
    r"|(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z][\w./]*)"
    r"|(?P<sign>[(),:=]))"
)
OPERATORS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


class Filter:
    """A parser of `$filter`; `integers` is the form in which this catalogue takes them."""

    def __init__(self, text: str, integers: str = "documented") -> None:
        self.tokens: list[tuple[str, str]] = []
        self.integers = integers
        place = 0
        text = text.strip()
        while place < len(text):
            found = TOKEN.match(text, place)
            if found is None:
                raise Malformed(f"character {place}")
            self.tokens.append((str(found.lastgroup), str(found[str(found.lastgroup)])))
            place = found.end()
        self.at = 0
        self.test = self.any_of()
        if self.at != len(self.tokens):
            raise Malformed(f"token {self.at}")

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        kind, text = self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")
        if expected and text not in expected and kind not in expected:
            raise Malformed(f"{text!r} where {expected} belongs")
        self.at += 1
        return text

    def any_of(self) -> Test:
        parts = [self.all_of()]
        while self.peek() == "or":
            self.take()
            parts.append(self.all_of())
        return lambda item: any(part(item) for part in parts)

    def all_of(self) -> Test:
        parts = [self.negated()]
        while self.peek() == "and":
            self.take()
            parts.append(self.negated())
        return lambda item: all(part(item) for part in parts)

    def negated(self) -> Test:
        if self.peek() != "not":
            return self.single()
        self.take()
        part = self.negated()
        return lambda item: not part(item)

    def single(self) -> Test:
        if self.peek() == "(":
            self.take()
            inner = self.any_of()
            self.take(")")
            return inner
        path = self.take("word")
        if self.peek() == "(":
            return self.function(path)
        return self.comparison(path)

    def function(self, name: str) -> Test:
        self.take("(")
        if name == "OData.CSC.Intersects":
            self.take("area"), self.take("=")
            text = self.take("geo")[len("geography'") : -1]
            head, _, wkt = text.partition(";")
            if head != "SRID=4326" or not wkt.startswith(("POLYGON((", "POINT(")):
                raise Malformed(text[:30])
            area = shapely.from_wkt(wkt)
            self.take(")")
            return lambda item: bool(item["GeoFootprint"]) and shape(item["GeoFootprint"]).intersects(area)
        if name in {"contains", "startswith", "endswith"}:
            self.take("Name"), self.take(",")
            text = literal("text", self.take("text"))
            self.take(")")
            match name:
                case "contains":
                    return lambda item: text in item["Name"]
                case "startswith":
                    return lambda item: item["Name"].startswith(text)
            return lambda item: item["Name"].endswith(text)
        found = re.fullmatch(r"Attributes/OData\.CSC\.(String|Integer|Double|DateTimeOffset)Attribute/any", name)
        if found is None:
            raise Malformed(name)
        self.take("att"), self.take(":")
        start = self.at
        inner = self.any_of()
        self.take(")")
        kinds = set(
            re.findall(r"OData\.CSC\.(\w+)Attribute/Value", " ".join(text for _, text in self.tokens[start : self.at]))
        )
        outer = {found[1]}
        if "Integer" in kinds and self.integers == "mixed":
            if outer != {"String"}:
                raise Malformed("Invalid field: OData.CSC.IntegerAttribute")
        elif kinds != outer:
            raise Malformed(f"{kinds} within {outer}")
        return lambda item: any(inner(attribute) for attribute in item["Attributes"] if attribute["ValueType"] in kinds)

    def comparison(self, path: str) -> Test:
        compare = OPERATORS[self.take(*OPERATORS)]
        kind, text = self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")
        self.at += 1
        value = literal(kind, text)
        read, wanted = field(path)
        if kind not in wanted:
            raise Malformed(f"{path} is not compared with {text!r}")

        def test(item: Mapping[str, Any]) -> bool:
            found = read(item)
            return found is not None and bool(compare(found, value))

        return test


def literal(kind: str, text: str) -> Any:
    match kind:
        case "text":
            return text[1:-1].replace("''", "'")
        case "date":
            return datetime.fromisoformat(text)
        case "number":
            return float(text)
        case "word" if text in {"true", "false"}:
            return text == "true"
        case "uuid":
            return text
    raise Malformed(f"no value: {text!r}")


def field(path: str) -> tuple[Callable[[Mapping[str, Any]], Any], set[str]]:
    """How a path is read from an entry, or an attribute, and the kinds of literals that it is compared with."""
    parts = path.split("/")
    if parts[0] == "att":
        if parts[1:] == ["Name"]:
            return operator.itemgetter("Name"), {"text"}
        found = re.fullmatch(r"att/OData\.CSC\.(\w+)Attribute/Value", path)
        if found is None:
            raise Malformed(path)
        kinds = {"String": {"text"}, "Integer": {"number"}, "Double": {"number"}}
        return operator.itemgetter("Value"), kinds[found[1]]
    if path in {"ContentDate/Start", "ContentDate/End"}:
        return lambda item: datetime.fromisoformat(item["ContentDate"][parts[1]]), {"date"}
    if path in {"PublicationDate", "ModificationDate"}:
        return lambda item: datetime.fromisoformat(item[path]), {"date"}
    if path == "Collection/Name":
        return operator.itemgetter("Collection"), {"text"}
    if path in {"Name", "Id", "Online"}:
        return operator.itemgetter(path), {{"Name": "text", "Id": "uuid", "Online": "word"}[path]}
    raise Malformed(f"Invalid field: {path}")


# --- the server ------------------------------------------------------------------------------------------------------
class CdseServer(ScriptedHttp):
    """The four services on one port. It holds products with bytes (`add`), and entries without (`show`)."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[dict[str, Any]] = []
        self.deleted: list[dict[str, Any]] = []
        self.wants_token = True
        self.integers = "documented"
        self.takes_lists = True
        self.list_page: int | None = None
        """How many entries an answer to a list of names has at most."""
        self.skip_most, self.top_most = 10_000, 1000
        self.queries: list[dict[str, str]] = []
        """The parameters of each request to the catalogue, decoded."""
        self.forms: list[dict[str, str]] = []
        """Each request for a token."""
        self.password, self.totp = "right", ""
        self.sessions: dict[str, str] = {}
        """Refresh tokens that are good."""
        self.refuses_refresh = False
        self.lives = 600
        self.numbers = itertools.count(1)
        self.site, self.bytes_at = self._site, self._bytes_at

    def show(self, product: Product, **more: Any) -> dict[str, Any]:
        self.entries.append(entry_of(product, **more))
        return self.entries[-1]

    def add(self, number: int | str, fault: Fault | str = "none", *script: Line, data: bytes | None = None) -> str:
        name = super().add(number, fault, *script, data=data)
        if not any(item["Name"].startswith(name) for item in self.entries):
            identity = products.parse(name)
            from extenso_nb.gateway.sources.record import product_of

            self.show(product_of(identity, "cdse"))
        return name

    # -- requests ----------------------------------------------------------------------------------------------------
    def _bytes_at(self, request: Request) -> str | None:
        found = re.fullmatch(r"/(?:download|zipper)/odata/v1/Products\(([0-9a-f-]+)\)/\$value", unquote(request.path))
        names = [item["Name"] for item in self.entries if found is not None and item["Id"] == found[1]]
        return next((name for name in (stem(name) for name in names) if name in self.held), None)

    def _site(self, request: Request) -> Reply | None:
        path = unquote(request.path)
        if path == "/token":
            return self._token(request)
        if not path.startswith("/catalogue/odata/v1/"):
            return None
        if len(request.target) > 8000:
            return Reply(414, b"<html><title>Request-URI Too Large</title></html>", {"Content-Type": "text/html"})
        if self.broken:
            return Reply.json({"detail": "The catalogue is down."}, 503)
        what = path.removeprefix("/catalogue/odata/v1/")
        params = {key: values[-1] for key, values in parse_qs(urlsplit(request.target).query).items()}
        if what.startswith("Assets("):
            known = any(asset["Id"] in what for item in self.entries for asset in item["Assets"])
            return Reply(200, PICTURE, {"Content-Type": "image/jpeg"}) if known else Reply.json({"detail": "none"}, 404)
        self.queries.append(params | {"what": what})
        try:
            return self._catalogue(request, what, params)
        except Malformed as error:
            return Reply.json({"detail": {"message": f"Invalid filter: {error}"}}, 400)

    def _catalogue(self, request: Request, what: str, params: dict[str, str]) -> Reply | None:
        if what == "Products/OData.CSC.FilterList" and request.method == "POST":
            if not self.takes_lists:
                return Reply.json({"detail": [{"msg": "not understood"}]}, 422)
            names = [item["Name"] for item in json.loads(request.body)["FilterProducts"]]
            found = [self._shown(item, params) for item in self.entries if item["Name"] in names][: self.list_page]
            return Reply.json({"@odata.context": "$metadata#Products", "value": found})
        if request.method != "GET" or what not in {"Products", "DeletedProducts"}:
            return None
        top, skip = int(params.get("$top", "20")), int(params.get("$skip", "0"))
        for name, value, limit in (("$top", top, self.top_most), ("$skip", skip, self.skip_most)):
            if value > limit:
                said = f"Input should be less than or equal to {limit}"
                fault = {"type": "less_than_equal", "loc": ["query", name], "msg": said, "input": str(value)}
                return Reply.json({"detail": [fault | {"ctx": {"le": limit}}]}, 422)
        test = Filter(params["$filter"], self.integers).test if "$filter" in params else lambda _item: True
        held = self.deleted if what == "DeletedProducts" else self.entries
        found = sorted((item for item in held if test(item)), key=operator.itemgetter("Id"))
        if "$orderby" in params:
            path, _, direction = params["$orderby"].partition(" ")
            found.sort(key=field(path)[0], reverse=direction == "desc")
        page = [self._shown(item, params) for item in found[skip : skip + top]]
        answer: dict[str, Any] = {"@odata.context": "$metadata#Products(Attributes())", "value": page}
        if params.get("$count", "").lower() == "true":
            answer["@odata.count"] = len(found)
        if skip + top < len(found) and skip + top <= self.skip_most:
            answer["@odata.nextLink"] = "https://catalogue.dataspace.copernicus.eu/odata/v1/Products?..."
        return Reply.json(answer)

    def _shown(self, item: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        """An entry as it is answered: what was expanded, and of products with bytes what is known of these."""
        hidden = {"Collection"} | ({"Attributes", "Assets"} - {params.get("$expand", "")})
        shown = {key: value for key, value in item.items() if key not in hidden}
        held = self.held.get(stem(item["Name"]))
        if held is not None and held.id in self.held:
            with self._lock:
                shown["Online"] = not held.cold
                held.cold = max(held.cold - 1, 0)
            sums = [{"Algorithm": name, "Value": value} for name, value in (held.checksums or {}).items()]
            shown |= {"ContentLength": held.size or 0, "Checksum": sums}
        return shown

    def _token(self, request: Request) -> Reply:
        form = {key: values[-1] for key, values in parse_qs(request.body.decode()).items()}
        self.forms.append(form)
        if form.get("client_id") != "cdse-public":
            return Reply.json({"error": "invalid_client"}, 401)
        if form.get("grant_type") == "refresh_token":
            if self.refuses_refresh or form.get("refresh_token") not in self.sessions:
                return Reply.json({"error": "invalid_grant", "error_description": "Session not active"}, 400)
            del self.sessions[form["refresh_token"]]  # each is good once
        elif form.get("password") != self.password or form.get("totp", "") != self.totp:
            return Reply.json({"error": "invalid_grant", "error_description": "Invalid user credentials"}, 401)
        elif len(self.sessions) >= 100:
            return Reply.json({"error": "too_many_sessions"}, 429)
        refresh = f"secret-refresh-{next(self.numbers)}"
        self.sessions[refresh] = form.get("username", "")
        return Reply.json(
            {
                "access_token": self.give_token(),
                "expires_in": self.lives,
                "refresh_expires_in": 3600,
                "refresh_token": refresh,
                "token_type": "Bearer",
                "session_state": "x",
            }
        )

    @property
    def logins(self) -> int:
        return sum(form["grant_type"] == "password" for form in self.forms)


def zipped(product_id: str, files: dict[str, bytes]) -> bytes:
    """The zip that is made on the way: stored, as far as is known. Of Sentinel-5P the one file."""
    identity = products.parse(product_id)
    if identity.extension == ".nc":
        (content,) = files.values()
        return content
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{product_id}{identity.extension}/{name}", content)
    return buffer.getvalue()


def stem(name: str) -> str:
    return re.sub(r"\.(SAFE|SEN3|nc)$", "", name)


class FarCdse:
    """The bed: server and adapter. `keys` and `s3` lead to a bucket as well."""

    def __init__(
        self, *, given: dict[str, str] | None = None, stall_seconds: float = 0.5, s3: str = "http://127.0.0.1:1"
    ) -> None:
        self.server = CdseServer()
        self.given = {"username": "someone", "password": "right"} if given is None else given
        self.source = CdseSource(
            lambda: self.given,
            catalogue=f"{self.server.url}/catalogue/odata/v1",
            identity=f"{self.server.url}/token",
            download=f"{self.server.url}/download/odata/v1",
            s3=s3,
            trusted_hosts=(),
            stall_seconds=stall_seconds,
        )

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        self.server.show(product)
        if isinstance(content, dict):
            content = zipped(product.id, content)
        if content is not None:
            self.server.add(product.id, data=content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()
