"""Planted secrets, and a scan of everything that a session leaves: logs, tables, objects, answers, reprs, errors."""

from __future__ import annotations

import base64
import contextlib
import gc
import logging
import os
import pickle
import re
import stat
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from archive import write_archive
from pydantic import SecretStr
from scripted import files_under
from seaweed import ACCESS, SECRET, bucket_of

from extenso_nb import errors, wire
from extenso_nb.client import AsyncClient, Client
from extenso_nb.client.auth import Credentials
from extenso_nb.gateway.access import Access
from extenso_nb.gateway.destinations import Destinations
from extenso_nb.gateway.serve import Settings, read_card
from extenso_nb.gateway.store import Store
from extenso_nb.models import BucketProperties, SignedUrl
from extenso_nb.storage import BucketStorage, FolderStorage

KEY = "exk_PLANTED-key-of-the-owner-5f1c0a77"
WRONG_KEY = "exk_PLANTED-wrong-key-77aa01"
WRONG_SECRET = "PLANTED-wrong-secret-90ab13"
WRONG_TOKEN = "PLANTED.wrong.token-3c4d5e"
NAMES = [f"S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T1345{number:02d}" for number in range(4)]

# A gateway that tells all it can, and that fails: one product at its source, one route.
SERVE = """
import logging, sys
logging.basicConfig(level=1, stream=sys.stderr)
from extenso_nb.gateway.service import Service
from extenso_nb.gateway.sources.folder import FolderSource
opened = FolderSource.open
def broken(self, product_id):
    if product_id.endswith("03"):
        raise RuntimeError(f"the step fails at {self!r}")
    return opened(self, product_id)
def failing(self, account, order_id):
    raise RuntimeError(f"the route fails at {self!r}, {self.destinations!r}, {vars(self.destinations)!r}")
FolderSource.open = broken
Service.cancel = failing
from extenso_nb import retry
from extenso_nb.gateway import serve
quick = retry.Retry(attempts=2, first=0.05, factor=1, longest=0.05, jitter=0)
made = serve.Settings
serve.Settings = lambda **more: made(**more, schedule=quick)
from extenso_nb.cli import main
main()
"""


_SIGNED = re.compile(rb"(?i)signature=[0-9a-f]{16}")


class Scan:
    """Secrets, and the places where one of them was found."""

    def __init__(self) -> None:
        self.planted: dict[str, list[bytes]] = {}
        self.found: list[str] = []
        self.looked: dict[str, int] = {}

    def plant(self, name: str, secret: str | bytes) -> None:
        raw = secret.encode() if isinstance(secret, str) else secret
        assert len(raw) > 8
        spelled = {raw, raw.hex().encode(), quote(raw).encode(), raw.decode("latin-1").encode("utf-16-le"), raw[::-1]}
        # What base64 makes of it depends on what stands before it; the ends do on what follows.
        spelled |= {base64.b64encode(b" " * shift + raw)[4 if shift else 0 :][:-4] for shift in range(3)}
        self.planted[name] = [item for item in spelled if len(item) > 8]

    def look(self, place: str, content: object) -> None:
        data = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogateescape")
        self.looked[place] = self.looked.get(place, 0) + len(data)
        if _SIGNED.search(data):
            self.found.append(f"a signature in {place}")
        for name, spelled in self.planted.items():
            if any(item in data for item in spelled):
                self.found.append(f"{name} in {place}")

    def tell(self, thing: object) -> None:
        """All that a notebook would show of it."""
        place = f"what is shown of {type(thing).__name__}"
        self.look(place, repr(thing))
        self.look(place, str(thing))
        self.look(place, f"{thing}")
        for name in ("_repr_html_", "_repr_mimebundle_"):
            if callable(shown := getattr(thing, name, None)):
                self.look(place, shown())


@contextlib.contextmanager
def served(folder: Path, archive: Path, *more: str, **environment: str) -> Iterator[tuple[str, Path]]:
    """A gateway in its own process; its address and what it wrote."""
    log = folder / "output.log"
    known = {name: value for name, value in os.environ.items() if not name.startswith("EXTENSO_")}
    command = [sys.executable, "-c", SERVE, "serve", "--data-dir", str(folder / "data"), "--port", "0"]
    command += ["--source", f"folder:{archive}", *more]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=known | {"EXTENSO_API_KEY": KEY} | environment
        )
    try:
        end = time.monotonic() + 60
        while (card := read_card(folder / "data")) is None:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end
            time.sleep(0.05)
        yield str(card["url"]), log
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


@pytest.fixture
def loud() -> Iterator[None]:
    """Every logger tells everything."""
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(1)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def scan() -> Scan:
    scan = Scan()
    for name, secret in {"API key": KEY, "wrong API key": WRONG_KEY, "bucket's access key": ACCESS, "bucket's secret": SECRET,
                         "wrong secret": WRONG_SECRET, "wrong token": WRONG_TOKEN}.items():  # fmt: skip
        scan.plant(name, secret)
    return scan


def bucket(s3: str, **more: Any) -> BucketProperties:
    keys = {"access_key": SecretStr(ACCESS), "secret_key": SecretStr(SECRET)}
    return BucketProperties(endpoint=f"{s3}/deliveries", prefix="secrets", **(keys | more))


def fails(scan: Scan, kind: type[Exception] | tuple[type[Exception], ...], act: Callable[[], object]) -> None:
    with pytest.raises(kind) as caught:
        act()
    scan.look("an error", "".join(traceback.format_exception(caught.value)))
    scan.look("an error", repr(caught.value))
    scan.look("an error", vars(caught.value))
    scan.tell(caught.value)
    if isinstance(caught.value, errors.ExtensoError):
        scan.look("a pickled error", pickle.dumps(caught.value))


def session(scan: Scan, url: str, s3: str, folder: Path) -> None:
    """Everything that a user does, and does wrong."""
    with Client(url, api_key=KEY) as eo:
        found = eo.search("S2")
        orders = [eo.order(NAMES[:2]), eo.order(NAMES[2:]), eo.order(NAMES[:1], bucket=bucket(s3))]
        for order in orders:
            with contextlib.suppress(errors.DeliveryFailed):
                scan.tell(eo.wait(order, progress=False))
        deliveries = [item for order in orders for item in eo.deliveries(order)]
        assert {item.status for item in deliveries} == {"delivered", "failed"}
        signed = eo.download_url(deliveries[0])
        assert _SIGNED.search(signed.url.encode())
        paths = eo.download(orders[0], folder / "here", progress=False)
        assert len(paths) == 2
        assert eo._credentials.token() is not None
        scan.plant("token", eo._credentials.token().get_secret_value().rpartition(".")[2])  # type: ignore[union-attr]
        fails(
            scan,
            errors.BucketRefused,
            lambda: eo.order(NAMES[:1], bucket=bucket(s3, secret_key=SecretStr(WRONG_SECRET))),
        )
        fails(
            scan,
            errors.BucketRefused,
            lambda: eo.order(NAMES[:1], bucket=bucket(s3, secret_key=SecretStr("x" * 9), access_key=SecretStr(ACCESS))),
        )
        fails(scan, errors.BucketRefused, lambda: eo.order(NAMES[:1], bucket=bucket("http://127.0.0.1:9")))
        fails(scan, errors.InOwnBucket, lambda: eo.download_url(deliveries[-1]))
        fails(scan, errors.GatewayFault, lambda: eo.cancel(orders[0]))
        fails(scan, errors.ExtensoError, lambda: eo.order(["no such product"]))
        nouns = [
            found,
            *found,
            *orders,
            *deliveries,
            eo.me(),
            eo.health(),
            eo.estimate(NAMES),
            eo.metadata(deliveries[0]),
        ]
        for noun in [eo, signed, bucket(s3), *nouns]:
            scan.tell(noun)
        for noun in nouns:
            scan.look(f"pickled {type(noun).__name__}", pickle.dumps(noun))
        scan.look("a dumped BucketProperties", bucket(s3).model_dump_json() + repr(bucket(s3).model_dump()))
        fails(scan, (TypeError, pickle.PicklingError), lambda: pickle.dumps(Credentials(KEY, None)))
        with contextlib.suppress(Exception):
            scan.look("a pickled client", pickle.dumps(eo))
    fails(scan, errors.InvalidApiKey, lambda: me(url, api_key=WRONG_KEY))
    fails(scan, errors.NotAuthenticated, lambda: me(url, token=WRONG_TOKEN))
    fails(scan, errors.InputError, lambda: me(url, api_key=KEY + "\u00e9"))
    fails(scan, errors.ExtensoError, lambda: me("http://127.0.0.1:9", api_key=KEY))
    scan.tell(AsyncClient(url, api_key=KEY))
    answers(scan, url, _token(url), s3, orders[0].id)
    gc.collect()  # what was left open says so here, and not in another test


def me(url: str, **credentials: str) -> object:
    with Client(url, **credentials) as eo:
        return eo.me()


def _token(url: str) -> str:
    form = {"apikey": KEY, "grant_type": "api_key", "client_id": "IDP"}
    return str(httpx.post(url + wire.TOKEN_PATH, data=form, trust_env=False).json()["access_token"])


def answers(scan: Scan, url: str, token: str, s3: str, order_id: int) -> None:
    """Every answer that is not the token or the link itself, also to requests that are wrong."""
    scan.plant("another token", token.rpartition(".")[2])
    headers = {"Authorization": f"Bearer {token}"}
    place = {"order_id": order_id, "delivery_id": f"{order_id}-1", "collection": "S2", "product_id": NAMES[0]}
    keys = {"endpoint": f"{s3}/deliveries", "accessKey": ACCESS, "secretKey": SECRET}
    with httpx.Client(base_url=url, trust_env=False) as http:
        for name, verb in wire.VERBS.items():
            if name in {"login", "download", "download_url", "delete"}:
                continue
            body = {"products": NAMES[:1], "bucketProperties": keys} if verb.method == "POST" else None
            for given in (headers, {"Authorization": f"Bearer {WRONG_TOKEN}"}):
                asked = verb.url(**{part: place[part] for part in verb.parameters})
                answer = http.request(verb.method, asked, json=body, headers=given)
                scan.look("an answer", answer.content + repr(answer.headers).encode())
        orders = wire.VERBS["create_order"].url()
        for wrong in (
            {"products": NAMES[:1], "bucketProperties": keys | {"secretKey": [SECRET]}},
            {"products": NAMES[:1], "bucketProperties": keys | {"endpoint": {"a": ACCESS}}},
            {"products": NAMES[:1], "bucketProperties": [ACCESS, SECRET]},
            {"products": NAMES[:1], "bucketProperties": keys | {"secretKey": WRONG_SECRET}},
            {"products": "x", "bucketProperties": SECRET},
        ):
            answer = http.post(orders, json=wrong, headers=headers)
            assert answer.status_code >= 400
            scan.look("an answer to a wrong body", answer.content)
        answer = http.post(wire.TOKEN_PATH, data={"apikey": WRONG_KEY, "grant_type": "api_key", "client_id": "IDP"})
        scan.look("an answer to a wrong key", answer.content)
        answer = http.post(wire.TOKEN_PATH, data={"apikey": KEY, "grant_type": "password", "client_id": "IDP"})
        scan.look("an answer to a wrong form", answer.content)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}{wire.FILES_PATH}/x?expires=1&signature={WRONG_SECRET}", timeout=10)
    scan.look("an answer to a wrong link", caught.value.read())
    caught.value.close()


def files(scan: Scan, folder: Path) -> None:
    """All that lies in the data directory; secrets only where they must be, and there only for the owner."""
    kept = {"gateway.json": {"API key"}, "secret": {"gateway's secret", "gateway's secret, as bytes"}}
    for path in sorted(files_under(folder)):
        before = len(scan.found)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            assert path.name.endswith("-journal"), path  # SQLite takes those away while one looks
            continue
        scan.look(path.name, content)
        fresh = scan.found[before:]
        if path.name in kept:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            scan.found[before:] = [item for item in fresh if item.partition(" in ")[0] not in kept[path.name]]
        assert stat.S_IMODE(path.stat().st_mode) & 0o002 == 0


@pytest.mark.slow
@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("storage", ["folder", "bucket"])
def test_no_secret_is_anywhere_but_where_it_must_be(
    storage: str,
    scan: Scan,
    s3: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(1)
    archive = write_archive(tmp_path / "archive", count=4, size=100_000)
    more = ["--storage", f"s3://deliveries/free-of-secrets?endpoint={s3}"] if storage == "bucket" else []
    with served(tmp_path, archive, *more, EXTENSO_S3_ACCESS_KEY=ACCESS, EXTENSO_S3_SECRET_KEY=SECRET) as (url, log):
        secret = (tmp_path / "data" / "secret").read_text()
        scan.plant("gateway's secret", secret)
        scan.plant("gateway's secret, as bytes", bytes.fromhex(secret))
        session(scan, url, s3, tmp_path)
        files(scan, tmp_path / "data")  # while it runs: the journals too
        doctor = subprocess.run(
            [sys.executable, "-m", "extenso_nb.cli", "doctor"], capture_output=True, check=False, timeout=120,
            env=os.environ | {"EXTENSO_URL": url, "EXTENSO_API_KEY": KEY, "EXTENSO_DATA_DIR": str(tmp_path / "data")},
        )  # fmt: skip
        scan.look("doctor", doctor.stdout + doctor.stderr)
    files(scan, tmp_path / "data")
    scan.look("the gateway's output", log.read_bytes())
    assert b"the step fails" in log.read_bytes()
    assert b"the route fails" in log.read_bytes()
    lying = BucketStorage(bucket_of(s3, "deliveries"))
    for key, _ in lying.list():
        scan.look("an object", key.encode() + lying.read(key))
    for record in caplog.records:
        scan.look(f"log of {record.name}", f"{record.getMessage()} {record.args!r} {record.exc_text}")
    out = capfd.readouterr()
    scan.look("the client's output", out.out + out.err)
    assert sorted(set(scan.found)) == []
    places = " ".join(scan.looked)
    for place in (
        "gateway.db",
        "workflows.db",
        "log of httpcore",
        "log of httpx",
        "doctor",
        "an answer",
        "an object",
        "Client",
    ):
        assert place in places, scan.looked
    assert scan.looked["doctor"] > 200
    assert scan.looked["the gateway's output"] > 10_000


def test_the_scan_would_find_them() -> None:
    scan = Scan()
    scan.plant("key", KEY)
    for place, told in {
        "plain": f"x{KEY}x",
        "base64": base64.b64encode(f'{{"a": "{KEY}"}}'.encode()).decode(),
        "shifted": base64.b64encode(f"1{KEY}22".encode()).decode(),
        "shifted again": base64.b64encode(f"12{KEY}".encode()).decode(),
        "hex": KEY.encode().hex(),
        "pickle": str(pickle.dumps({"k": KEY})),
    }.items():
        scan.look(place, told)
    assert [item.removeprefix("key in ") for item in scan.found] == [
        "plain",
        "base64",
        "shifted",
        "shifted again",
        "hex",
        "pickle",
    ]


def test_what_holds_secrets_does_not_show_them(scan: Scan, tmp_path: Path) -> None:
    store = Store("sqlite://")
    secret = b"PLANTED-secret-of-the-gateway-01"
    scan.plant("gateway's secret", secret)
    properties = BucketProperties(
        endpoint="https://s3.example/b", access_key=SecretStr(ACCESS), secret_key=SecretStr(SECRET)
    )
    signed = SignedUrl.from_wire({"url": f"https://x/y?signature={WRONG_SECRET}", "expiresAt": "2030-01-01T00:00:00Z"})
    held = bucket_of("http://127.0.0.1:9", "bucket")
    things: list[Any] = [Settings(tmp_path, api_key=KEY, storage=properties), Access(store, secret)]
    things += [Credentials(KEY, WRONG_TOKEN), properties, signed, held, BucketStorage(held)]
    things += [Destinations(store, FolderStorage(tmp_path), secret, private_buckets=True)]
    for thing in (*things, things, {"a": properties}, (held,)):
        scan.tell(thing)
    with pytest.raises(errors.BucketRefused) as caught:
        BucketStorage(held).list()
    scan.look("an error", "".join(traceback.format_exception(caught.value)))
    store.close()
    assert scan.found == []
