"""CDSE's OData catalogue and login at the far end, as eodag asks them, on loopback. It evaluates the filters by itself."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import jwt
import shapely
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from scripted_http import Reply, Request, ScriptedHttp

from extenso_nb import products
from extenso_nb.gateway.sources.eodag import EodagSource
from extenso_nb.models import Product

REALM = "/auth/realms/CDSE"
NAMES = {"S1": "SENTINEL-1", "S2": "SENTINEL-2", "S3": "SENTINEL-3", "S5P": "SENTINEL-5P"}


def entry(product: Product) -> dict[str, Any]:
    """A product in the shape of the recorded answers."""
    name = product.id + products.parse(product.id).extension
    known = {
        "productType": product.product_type,
        "platformShortName": NAMES[product.collection],
        "orbitNumber": product.orbit_number,
        "relativeOrbitNumber": product.relative_orbit_number,
        "orbitDirection": product.orbit_direction,
        "cloudCover": product.cloud_cover,
    }
    footprint = product.footprint or {}
    return {
        "@odata.mediaContentType": "application/octet-stream",
        "Id": product.uuid,
        "Name": name,
        "ContentType": "application/octet-stream",
        "ContentLength": product.size,
        "PublicationDate": product.ingestion_date.isoformat().replace("+00:00", "Z"),
        "ModificationDate": product.ingestion_date.isoformat().replace("+00:00", "Z"),
        "Online": product.online,
        "S3Path": f"/eodata/{name}",
        "Checksum": [],
        "ContentDate": {
            "Start": product.begin_position.isoformat().replace("+00:00", "Z"),
            "End": product.end_position.isoformat().replace("+00:00", "Z"),
        },
        "Footprint": f"geography'SRID=4326;{shapely.geometry.shape(footprint).wkt}'" if footprint else None,
        "GeoFootprint": product.footprint,
        "Attributes": [
            {"@odata.type": "#OData.CSC.StringAttribute", "Name": key, "Value": value, "ValueType": "String"}
            for key, value in known.items()
            if value is not None
        ],
        "Assets": [],
    }


class FarEodag:
    """The provider `cop_dataspace` of eodag, all its addresses on loopback, and the adapter that asks it."""

    def __init__(
        self,
        credentials: Callable[[], Mapping[str, str] | None] = lambda: None,
        *,
        most: int = 1000,
        largest: int = 500,
    ) -> None:
        self.server = ScriptedHttp()
        self.server.site = self._site
        self.entries: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.answers: list[Reply] = []
        self.logins: list[dict[str, str]] = []
        self.most = most
        """Entries of a page at most."""
        base = f"{self.server.url}/odata/v1"
        self.source = EodagSource(
            credentials,
            pictures=(f"127.0.0.1:{self.server.port}",),
            largest=largest,
            settings={
                "search": {
                    "api_endpoint": f"{base}/Products",
                    "metadata_mapping": {"eodag:download_link": f"{base}/Products({{uid}})/$value"},
                },
                "auth": {
                    "matching_url": self.server.url,
                    "oidc_config_url": f"{self.server.url}/auth/realms/CDSE/.well-known/openid-configuration",
                },
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        assert content is None, "nothing is fetched by it"
        self.entries.append(entry(product))

    def _site(self, request: Request) -> Reply | None:
        match request.path.removeprefix(REALM):
            case "/.well-known/openid-configuration":
                base = self.server.url + REALM
                return Reply.json(
                    {
                        "issuer": base,
                        "token_endpoint": f"{base}/token",
                        "authorization_endpoint": f"{base}/auth",
                        "jwks_uri": f"{base}/certs",
                        "id_token_signing_alg_values_supported": ["RS256"],
                    }
                )
            case "/certs":
                return Reply.json({"keys": [self._key()]})
            case "/token":
                return self._token(request)
        if request.path != "/odata/v1/Products":
            return None
        given = {name: values[-1] for name, values in parse_qs(urlsplit(request.target).query).items()}
        self.asked.append(given)
        if self.server.broken:
            return Reply.json({"detail": "The catalogue is down."}, 503)
        return self.answers.pop(0) if self.answers else self._page(given)

    def _key(self) -> dict[str, Any]:
        public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(_private().public_key()))
        return public | {"kid": "one", "use": "sig", "alg": "RS256"}

    def _token(self, request: Request) -> Reply:
        given = {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}
        self.logins.append(given)
        if given.get("password") != "right":
            return Reply.json({"error": "invalid_grant", "error_description": "Invalid user credentials"}, 401)
        now = int(time.time())
        claims = {"iss": self.server.url + REALM, "aud": "CLOUDFERRO_PUBLIC", "iat": now, "exp": now + 600}
        token = jwt.encode(claims, _private(), algorithm="RS256", headers={"kid": "one"})
        return Reply.json(
            {"access_token": token, "expires_in": 600, "refresh_expires_in": 3600, "refresh_token": token}
        )

    def _page(self, given: dict[str, str]) -> Reply:
        tests = [_test(part) for part in given["$filter"].split(" and ")] if "$filter" in given else []
        found = [item for item in self.entries if all(test(item) for test in tests)]
        found.sort(key=lambda item: (item["ContentDate"]["Start"], item["Name"]))
        skip, top = int(given.get("$skip", 0)), min(int(given.get("$top", 20)), self.most)
        answer: dict[str, Any] = {"@odata.context": "$metadata#Products", "value": found[skip : skip + top]}
        if given.get("$count", "").lower() == "true":
            answer["@odata.count"] = len(found)
        if skip + top < len(found):
            following = {**given, "$skip": str(skip + top)}
            text = "&".join(f"{quote(name)}={quote(value)}" for name, value in following.items())
            answer["@odata.nextLink"] = f"{self.server.url}/odata/v1/Products?{text}"
        return Reply.json(answer)


@cache
def _private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _attribute(item: dict[str, Any], name: str) -> Any:
    return next((known["Value"] for known in item["Attributes"] if known["Name"] == name), None)


def _test(part: str) -> Callable[[dict[str, Any]], bool]:
    part = part.strip()
    if found := re.fullmatch(r"Collection/Name eq '([^']+)'", part):
        return lambda item: str(_attribute(item, "platformShortName")).upper() == found[1].upper()
    if found := re.fullmatch(r"OData\.CSC\.Intersects\(area=geography'SRID=4326;(.+)'\)", part):
        area = shapely.from_wkt(found[1])
        return lambda item: bool(area.intersects(shapely.geometry.shape(item["GeoFootprint"])))
    if found := re.fullmatch(r"ContentDate/(Start|End) (lt|gt) (\S+)", part):
        bound = found[3][:19]
        if found[2] == "lt":
            return lambda item: str(item["ContentDate"][found[1]]) < bound
        return lambda item: str(item["ContentDate"][found[1]]) > bound
    if found := re.fullmatch(r"contains\(Name,'([^']+)'\)", part):
        return lambda item: found[1] in item["Name"]
    if found := re.fullmatch(r"Attributes/OData\.CSC\.StringAttribute/any\(att:att/Name eq '(\w+)'", part):
        return lambda item: _attribute(item, found[1]) is not None
    if found := re.fullmatch(r"att/OData\.CSC\.StringAttribute/Value eq '([^']+)'\)", part):
        return lambda item: any(known["Value"] == found[1] for known in item["Attributes"])
    raise AssertionError(part)
