"""A source that plays a script: what happens at each reading of each product. It speaks the same protocol as the real ones."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from extenso_nb.errors import IncompleteTransfer, NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.access import Access
from extenso_nb.gateway.app import create_app
from extenso_nb.gateway.catalogue import Catalogue
from extenso_nb.gateway.checking import checking
from extenso_nb.gateway.deliveries import Deliveries
from extenso_nb.gateway.destinations import Destinations
from extenso_nb.gateway.service import Service
from extenso_nb.gateway.sources import Content, Hits, Limits, Source
from extenso_nb.gateway.store import Store, sqlite_url
from extenso_nb.models import Product
from extenso_nb.query import Query, order
from extenso_nb.retry import Retry
from extenso_nb.storage import BucketStorage, FolderStorage

Reading = Callable[[bytes, int], Iterator[bytes]]
QUICK = Retry(attempts=3, first=0.05, factor=1, longest=0.05, jitter=0)


def product_id(number: int) -> str:
    return f"S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T13{number // 60:02d}{number % 60:02d}"


def zipped(text: bytes = b"pixels" * 50_000) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("product.SAFE/manifest.safe", b"<xml/>")
        archive.writestr("product.SAFE/measurement", text)
    return buffer.getvalue()


def verify(path: Path) -> None:
    """Pass a file through the check that a delivery of it gets. Raises DamagedProduct."""
    check = checking(path.name)
    with path.open("rb") as file:
        while block := file.read(100_000):
            deque(check.feed(block), maxlen=0)
    deque(check.finish(), maxlen=0)


def whole(data: bytes, offset: int) -> Iterator[bytes]:
    for place in range(offset, len(data), 40_000):
        yield data[place : place + 40_000]


def cut_at(byte: int) -> Reading:
    def read(data: bytes, offset: int) -> Iterator[bytes]:
        yield from whole(data[:byte], offset)
        raise IncompleteTransfer("The connection was closed.")

    return read


def short_by(count: int) -> Reading:
    return lambda data, offset: whole(data[:-count], offset)


def wrong_byte(data: bytes, offset: int) -> Iterator[bytes]:
    yield from whole(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], offset)


def down(data: bytes, offset: int) -> Iterator[bytes]:
    raise SourceUnavailable("The source answered 503.")
    yield b""


def slow(seconds: float) -> Reading:
    def read(data: bytes, offset: int) -> Iterator[bytes]:
        for block in whole(data, offset):
            time.sleep(seconds)
            yield block

    return read


class ScriptedSource:
    """Holds products; each reading of one takes the next line of its script, and is whole when the script is done."""

    def __init__(self, name: str = "scripted") -> None:
        self.name = name
        self.data: dict[str, bytes] = {}
        self.script: dict[str, list[Reading]] = {}
        self.checksums: dict[str, dict[str, str]] = {}
        self.cold: set[str] = set()
        self.warmed: list[str] = []
        self.opened: list[str] = []
        self.broken = False
        self.limits = Limits()
        self.understated = 0
        """Bytes by which its catalogue has the products too small."""
        self._lock = threading.Lock()

    def add(self, number: int, *script: Reading, data: bytes | None = None) -> str:
        name = product_id(number)
        self.data[name] = zipped() if data is None else data
        self.script[name] = list(script)
        return name

    def _answer(self) -> None:
        if self.broken:
            raise SourceUnavailable(f"{self.name} does not answer.")

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        self._answer()
        held = [item for item in self.find(tuple(self.data)).values() if item.collection == collection]
        found = order([item for item in held if query.matches(item)], orderby)
        return Hits(len(found), tuple(found[start : start + rows]))

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        self._answer()
        return {name: self._product(name) for name in product_ids if name in self.data}

    def _product(self, name: str) -> Product:
        moment = datetime(2024, 6, 1, 10, 56, 19, tzinfo=UTC)
        return Product(
            id=name,
            uuid=name[-6:],
            collection="S2",
            platform="Sentinel-2B",
            instrument="MSI",
            product_type="S2MSI2A",
            processing_level="L2A",
            begin_position=moment,
            end_position=moment,
            ingestion_date=moment,
            size=len(self.data[name]) - self.understated if self.understated < len(self.data[name]) else 0,
            online=name not in self.cold,
            sources=(self.name,),
        )

    def warm_up(self, product_id: str) -> None:
        self.warmed.append(product_id)

    def open(self, product_id: str) -> Content:
        self._answer()
        if product_id not in self.data:
            raise UnknownProduct(f"{product_id} is not here.")
        self.opened.append(product_id)
        data = self.data[product_id]

        def read(offset: int) -> Iterator[bytes]:
            with self._lock:
                steps = self.script[product_id]
                step = steps.pop(0) if steps else whole
            return step(data, offset)

        return Content(f"{product_id}.SAFE.zip", len(data), read, self.checksums.get(product_id, {}))

    def quicklook(self, product_id: str) -> bytes:
        raise NoQuicklook(f"{product_id} has no picture.")

    def check(self) -> int:
        self._answer()
        return len(self.data)


class Gateway:
    """All parts of a gateway in this process, over a directory; `stop` and a new one is a restart."""

    def __init__(
        self,
        folder: Path,
        *sources: Source,
        schedule: Retry = QUICK,
        storage: FolderStorage | BucketStorage | None = None,
    ) -> None:
        self.store = Store(sqlite_url(folder / "gateway.db"))
        self.key = "key-of-the-owner"
        self.account = self.store.add_account("owner", key=self.key, role="operator")
        self.storage = storage or FolderStorage(folder / "storage")
        secret = b"secret" * 8
        self.destinations = Destinations(self.store, self.storage, secret, private_buckets=True)
        self.catalogue = Catalogue(sources)
        self.deliveries = Deliveries(
            self.store,
            self.destinations,
            self.catalogue,
            database_url=sqlite_url(folder / "flows.db"),
            schedule=schedule,
        )
        self.service = Service(self.store, self.destinations, self.catalogue, self.deliveries)
        self.access = Access(self.store, secret)
        self.deliveries.start()

    def stop(self) -> None:
        self.deliveries.stop()
        self.store.close()

    def wait(self, order_id: int, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            order = self.store.order(self.account, order_id)
            if order.ended:
                return order.status
            time.sleep(0.05)
        raise AssertionError(
            f"order {order_id} has not ended: {self.store.deliveries(self.account, order_id=order_id)}"
        )

    def files(self) -> list[str]:
        if isinstance(self.storage, BucketStorage):
            return [key for key, _ in self.storage.list()]
        return sorted(str(path.relative_to(self.storage.folder)) for path in files_under(self.storage.folder))


def files_under(folder: Path) -> list[Path]:
    """Every file below ``folder``, while a gateway may be taking its folders away."""
    return [Path(at, name) for at, _, names in os.walk(folder) for name in names]


@contextlib.contextmanager
def served(gateway: Gateway, *, rate: float | None = None) -> Iterator[str]:
    """The gateway behind a real server on loopback; its address."""
    app = create_app(gateway.service, gateway.access, rate=rate)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off"))
    # As in `serve`: with the protocol named, answers do not wait for acknowledgements.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
