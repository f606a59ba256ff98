"""How quick the Explorer is, measured in a real browser over a real gateway whose source plays a script.

For `test_87_browser_speed`, which has bounds, and for `benchmarks/explorer.py`, which has figures.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from area_page import FIND_MAP
from desk_gateway import product
from explorer_page import pointing
from frontends import until
from PIL import Image
from scripted import product_id, zipped
from scripted_http import Exchange, ScriptedHttp

from extenso_nb.client import Client
from extenso_nb.gateway.serve import read_card

if TYPE_CHECKING:
    from browser import Notebook

MANY = 200
"""Products of which the source has a picture, and the first a script."""
SLOW, PIECES, PAUSE = 3, 100, 0.1
"""The first products go over in so many pieces, with so many seconds between them."""

_CELL = """
import json, time
import extenso_nb as ex
from extenso_nb.models import Product
eo = ex.connect({url!r}, api_key={key!r})
explorer = eo.explorer(tiles=False)
explorer
"""
_PUT = """
_given = tuple(Product.from_wire(body) for body in json.load(open({path!r}))[:{count}])
begun = time.time()
explorer.state.begin()
explorer.state.update(
    products=_given, total={count}, searched=True, found_collection="S2", found_form=explorer.state.search_form()
)
"""
_NOTE = """
seen = {{}}
def _note(change):
    for row in change["new"].get("{order}", {{}}).get("deliveries", ()):
        share = 1.0 if row["status"] == "delivered" else row.get("transferred", 0) / row["size"]
        seen.setdefault(int(100 * round(share, 3) + 0.5), time.time())
explorer.state.observe(_note, "orders")
"""
_BUSY = """
begun = time.time()
while time.time() < begun + 5:
    sum(range(1000))
ended = time.time()
"""
_CARD = "root => [...root.querySelectorAll('.extenso-hovered')].some(node => node.dataset.id === ID)"
_OUTLINE = """root => [...root.querySelectorAll('.leaflet-overlay-pane path')].some(
    path => path.getAttribute('stroke-width') === '4' && path.getAttribute('d') !== 'M0 0')"""
_ALL = """([root, count]) => new Promise(done => {
    const look = () => {
        const cards = root.querySelectorAll('.extenso-card:not([hidden])').length;
        const paths = root.querySelectorAll('.leaflet-overlay-pane path.leaflet-interactive[d^="M"]').length;
        // Twice: what was put into the page in this frame is on the screen with the next.
        if (cards === count && paths >= count) requestAnimationFrame(() => requestAnimationFrame(() => done(Date.now())));
        else requestAnimationFrame(look);
    };
    look();
})"""
_WATCH_BAR = """root => {
    const seen = window.barSeen = new Map();
    const look = () => {
        const value = root.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow');
        if (value && !seen.has(value)) seen.set(value, Date.now());
    };
    new MutationObserver(look).observe(root, {subtree: true, childList: true, attributes: true});
    look();
}"""


def _paced(x: Exchange) -> None:
    start = x.good_head()
    step = len(x.held.data) // PIECES + 1
    for place in range(start, len(x.held.data), step):
        x.body(place, place + step)
        x.server.stopped.wait(PAUSE)


def _picture(number: int) -> bytes:
    """A quicklook that is as hard to compress as a real one: half noise."""
    noise = Image.frombytes("RGB", (64, 64), random.Random(number).randbytes(64 * 64 * 3)).resize((343, 343))
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def spread(count: int) -> list[dict[str, Any]]:
    """Products with footprints all over Europe, as on the wire; of the first 200 none lies over another."""
    found = []
    for number in range(count):
        # 200 stand two degrees apart; the others are between them.
        row, column = divmod(number % MANY, 20)
        layer = number // MANY
        west, south = -9.0 + 2 * column + 0.4 * (layer % 3), 37.0 + 2.5 * row + 0.5 * layer
        size = 1.4 if not layer else 0.35
        ring = [[west, south], [west + size, south], [west + size, south + size], [west, south + size], [west, south]]
        body = product(
            number, id=product_id(number), footprint={"type": "Polygon", "coordinates": [ring]}, size=4_000_000
        )
        found.append(body.to_wire())
    return found


@dataclass
class Place:
    """Where a gateway is, and the key of an account there."""

    url: str
    key: str

    @property
    def cell(self) -> str:
        """Opens an Explorer on it."""
        return _CELL.format(url=self.url, key=self.key)


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[Place]:
    """A gateway process over a source with `MANY` pictures."""
    data_dir = folder / "data"
    data_dir.mkdir()
    with ScriptedHttp() as server:
        for number in range(MANY):
            server.add(number, data=zipped(random.Random(0).randbytes(4_000_000 if number < SLOW else 2000)))
            server.held[product_id(number)].picture = _picture(number)
            if number < SLOW:
                server.held[product_id(number)].always = _paced
        command = [sys.executable, str(Path(__file__).with_name("gateway_process.py")), str(data_dir), server.url]
        # Without what stands for other gateways in the environment.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EXTENSO_")}
        with (folder / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log, env=kept) as process:
            try:
                card = until(lambda: read_card(data_dir), "a gateway")
                yield Place(card["url"], card["api_key"])
            finally:
                server.stopped.set()
                process.terminate()
                process.wait(30)


@dataclass
class Progress:
    """Per cents that the gateway told while a cell computed, and those of them that reached kernel and page meanwhile."""

    told: set[int]
    heard: set[int]
    shown: set[int]

    @property
    def share(self) -> float:
        """Of what the gateway told, what the page showed."""
        return len(self.shown) / len(self.told)


class Told:
    """Within it, the gateway is asked how far an order is, from this process: per cent -> when it was first told."""

    def __init__(self, place: Place, order: int) -> None:
        self.values: dict[int, float] = {}
        self._place, self._order = place, order
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> dict[int, float]:
        self._thread.start()
        return self.values

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _ask(self) -> None:
        with Client(self._place.url, api_key=self._place.key) as client:
            while not self._over.wait(0.1):
                (row,) = client.deliveries(self._order)
                share = 1.0 if row.status == "delivered" else row.transferred / row.size
                self.values.setdefault(int(100 * round(share, 3) + 0.5), time.time())


class Speed:
    """The measurements, on a notebook with the cell of `gateway`."""

    def __init__(self, book: Notebook, folder: Path, place: Place) -> None:
        self.book, self.page, self._place = book, book.page, place
        self.root = book.page.locator(".extenso-explorer").first
        self.box = self.root.locator(".leaflet-container")
        self._products = spread(1000)
        self._file = folder / "products.json"
        self._file.write_text(json.dumps(self._products))
        self.root.get_by_role("button", name="Search", exact=True).wait_for()
        self.root.get_by_role("button", name="Rectangle", exact=True).wait_for()
        self.book.kernel.until("len(explorer.map.map.bounds) == 2")

    def put(self, count: int) -> float:
        """Put products into the state; seconds from there until all cards and footprints are on the screen."""
        self.book.kernel.run("explorer.state.update(products=(), total=0, searched=False)")
        self.book.until(lambda: self.root.locator(".extenso-card").count() == 0, "no cards")
        self.book.kernel.start(_PUT.format(path=str(self._file), count=count))
        ended = self.page.evaluate(_ALL, [self.root.element_handle(), count])
        begun = float(self.book.kernel.value("begun"))
        return float(ended) / 1000 - begun

    def fetch_pictures(self) -> None:
        """Thumbnails of all products, through the gateway; returns when they are on the page."""
        self.book.kernel.run("explorer.desk.fetch_thumbnails()")
        self.book.kernel.until(
            "len(explorer.state.thumbnails) == len(explorer.state.products) and not explorer.state.busy"
        )
        count = self.book.kernel.value("sum(bool(uri) for uri in explorer.state.thumbnails.values())")
        assert count == MANY, f"{count} thumbnails; {self.book.kernel.value('explorer.state.message')}"
        self.book.until(lambda: self.root.locator(".extenso-card img").count() == count, "all pictures on the page")

    # --- hover ---------------------------------------------------------------------------------------------------
    def _nothing_pointed(self) -> None:
        self.page.mouse.move(3, 3)
        self.book.kernel.until("explorer.state.hovered == ''")
        script = f"root => ({_OUTLINE})(root) || root.querySelector('.extenso-hovered')"
        self.book.until(lambda: not self.root.evaluate(script), "nothing pointed at")

    def _time(self, script: str, x: float, y: float) -> float:
        return pointing(self.page, self.root, script, x, y)

    def hover_cards(self, count: int = 20) -> list[float]:
        """Milliseconds from the pointer on a card to its footprint drawn as pointed at; there and back through the kernel."""
        took = []
        places = self._cards_in_sight()
        for number in range(count):
            self._nothing_pointed()
            took.append(self._time(_OUTLINE, *places[number % len(places)]))
        return took

    def _cards_in_sight(self) -> list[tuple[float, float]]:
        self.root.locator(".extenso-scroller").scroll_into_view_if_needed()
        places: list[list[float]] = self.root.evaluate(
            """root => [...root.querySelectorAll('.extenso-card')].map(card => {
                const box = card.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
                return card.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
            }).filter(Boolean)"""
        )
        assert places, "no card in sight"
        return [(x, y) for x, y in places]

    def hover_footprints(self, count: int = 20) -> list[float]:
        """Milliseconds from the pointer on a footprint to its card marked; there and back through the kernel."""
        self.box.scroll_into_view_if_needed()
        leaflet = self.box.evaluate_handle(FIND_MAP)
        took: list[float] = []
        for number in range(3, MANY, MANY // (2 * count)):
            if len(took) == count:
                break
            body = self._products[number]
            ring = body["footprint"]["coordinates"][0]
            x, y = leaflet.evaluate(
                """(map, [x, y]) => {
                    const p = map.latLngToContainerPoint([y, x]), box = map.getContainer().getBoundingClientRect();
                    return [box.x + p.x, box.y + p.y];
                }""",
                [(ring[0][0] + ring[1][0]) / 2, (ring[0][1] + ring[2][1]) / 2],
            )
            hit = "([x, y]) => Boolean(document.elementFromPoint(x, y)?.closest('path.leaflet-interactive'))"
            if not self.page.evaluate(hit, [x, y]):
                continue  # below a button that lies over the map
            self._nothing_pointed()
            took.append(self._time(_CARD.replace("ID", json.dumps(body["id"])), x, y))
        assert len(took) == count
        return took

    # --- a busy kernel -------------------------------------------------------------------------------------------
    def progress(self, at: int = 0) -> Progress:
        """Order one of the products that go over slowly, compute in a cell for 5 s meanwhile, and compare."""
        kernel = self.book.kernel
        kernel.until("not explorer.state.open_orders()")
        before = kernel.value("list(explorer.state.orders)")
        kernel.run(f"explorer.state.select([{product_id(at)!r}]); explorer.order()")
        number = int(kernel.until(f"[key for key in explorer.state.orders if key not in {before!r}]")[0])
        kernel.run(_NOTE.format(order=number))
        self.page.evaluate(_WATCH_BAR, self.root.element_handle())
        self.book.until(lambda: self.page.evaluate("() => [...window.barSeen.keys()].some(at => at > 0)"), "it goes on")
        with Told(self._place, number) as values:
            kernel.result(kernel.start(_BUSY))
        heard, begun, ended = kernel.value("(seen, begun, ended)")
        shown = {int(value): at / 1000 for value, at in self.page.evaluate("() => [...window.barSeen]")}
        # What was told at the end may come a moment later: the kernel asks every fifth of a second.
        told = {value for value, at in values.items() if begun <= at <= ended - 0.5}
        return Progress(
            told,
            {int(value) for value, at in heard.items() if int(value) in told and at < ended},
            {value for value in told if shown.get(value, ended) < ended},
        )


def best(measure: Callable[[], float], times: int = 3) -> float:
    """The least of several: what else the machine does can only add."""
    return min(measure() for _ in range(times))
