"""The page without script: what it shows, what it never asks for, and that a notebook exported by nbconvert has it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from desk_gateway import HOSTILE, Gateway, box, found_state, jpeg, product

from extenso_nb import aoi, models
from extenso_nb.gateway.embed import find
from extenso_nb.widgets import actions, ordering, static
from extenso_nb.widgets.state import ExplorerState

ROOT = Path(__file__).resolve().parent.parent
PICTURE = "data:image/jpeg;base64," + base64.b64encode(jpeg(160)).decode()


class Page(HTMLParser):
    """Tags, attributes and text of HTML, and what a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.loads: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        self.loads += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "srcset", "data"}]
        self.loads += [
            found for name, value in attrs if name == "style" for found in re.findall(r"url\((.*?)\)", value or "")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(state: ExplorerState) -> Page:
    page = Page(static.to_html(state))
    assert not {"script", "link", "iframe", "object", "style"} & set(page.tags)
    assert not [name for name in page.names if name.startswith("on")]
    assert all(load.startswith("data:image/") for load in page.loads), page.loads
    return page


# --- what it shows ---------------------------------------------------------------------------------------------------
def test_before_a_search_it_is_a_map_and_the_form_in_words() -> None:
    page = seen(ExplorerState(start="2024-06-01", stop="2024-06-30", cloud=20, product_type="S2MSI2A"))
    assert "svg" in page.tags
    assert "table" not in page.tags
    for words in (
        "Not searched yet",
        "1 June 2024 to 30 June 2024",
        "at most 20 % cloud",
        "L2A: surface",
        "whole Earth",
    ):
        assert words in page.text


def test_what_was_found_with_pictures_numbers_and_legend() -> None:
    gateway = Gateway(12, relative_orbit_number=94)
    state = found_state(
        gateway, aoi=box(0, 40, 3, 41), q="S2A*", filters={"relative_orbit": "94"}, sort="beginposition asc"
    )
    state.thumbnails = {item.id: PICTURE for item in state.products[:3]} | {state.products[3].id: ""}
    page = seen(state)
    count = len(state.products)
    assert f"{count} of {count} S2 products" in page.text
    assert page.tags.count("img") == 3
    for item in state.products:
        assert item.id in page.text
        assert f"{item.cloud_cover:.0f} %" in page.text
    for words in (
        "0 %25 %50 %75 %100 %",
        "area",
        "Outline: Natural Earth",
        "km²",
        "S2A*",
        "Earliest picture",
        "orbit: 94",
    ):
        assert words in page.text, words
    assert "30 %" in page.text, "how much of the area is covered"
    assert "no cloud figure" not in page.text


def test_basket_orders_and_what_was_loaded() -> None:
    gateway = Gateway(6)
    state = found_state(gateway)
    gateway.end = "failed"
    placed = asyncio.run(gateway.order([item.id for item in state.products[:2]], idempotency_key="a"))
    for _ in range(3):
        asyncio.run(gateway.status(placed.id))
    asyncio.run(ordering.refresh_orders(state, gateway))
    state.select([state.products[4].id])
    asyncio.run(ordering.estimate(state, gateway))
    state.update(loaded={"product": "S2A_LOADED", "text": "It is `scene`.", "picture": PICTURE})
    page = seen(state)
    for words in (
        "1 product",
        "estimate 1 MB, fits",
        "into the free storage",
        "#1",
        "failed",
        "the source lost it",
        "`scene`",
    ):
        assert words in page.text, words
    assert "selected" in page.text
    state.destination = {"kind": "bucket", "endpoint": "https://s3.example.org", "bucket": "mine"}
    assert "into bucket mine" in seen(state).text


def test_the_basket_holds_what_another_search_found() -> None:
    state = found_state(Gateway(3))
    state.select([state.products[0].id])
    asyncio.run(actions.search(state, Gateway(2, collection="S3", product_type="OL_1_EFR___", platform="Sentinel-3A")))
    state.collection = "S1"
    page = seen(state)
    assert "S2A L2A" in page.text
    assert "The form has changed since" in page.text


def test_nothing_found_and_a_failure_look_different() -> None:
    from extenso_nb.errors import SourceUnavailable

    state = found_state(Gateway(0))
    assert "Nothing matches" in seen(state).text
    gateway = Gateway(3)
    gateway.fail["search_page"] = [SourceUnavailable("The archive is down.", hint="Wait.")]
    failing = ExplorerState()
    asyncio.run(actions.search(failing, gateway))
    page = seen(failing)
    assert "Nothing matches" not in page.text
    for words in ("The search failed: no source answers.", "The archive is down.", "Wait."):
        assert words in page.text


def test_it_hides_what_the_facets_hide() -> None:
    gateway = Gateway(4)
    gateway.products[1] = product(1, tile_id="31TDJ")
    state = found_state(gateway)
    kept = state.products[1].id
    state.facets = {"tile_id": ["31TDJ"]}
    page = seen(state)
    assert kept in page.text
    assert state.products[0].id not in page.text
    assert "3 hidden by filters" in page.text
    assert 'aria-label="Map of 1 footprints"' in static.to_html(state)


def test_it_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(100)
    state = found_state(gateway, page_size=100)
    state.thumbnails = {item.id: PICTURE for item in state.products}
    page = seen(state)
    assert page.tags.count("img") == static.PICTURES == 24
    assert page.text.count("S2A_MSIL2A") >= static.ROWS
    assert f"{static.ROWS} of 100 are listed" in page.text
    large = "data:image/jpeg;base64," + "A" * 120_000
    state.thumbnails = {item.id: large for item in state.products}
    text = static.to_html(state)
    assert text.count("<img") == 4
    assert len(text) < 600_000
    state.update(
        draped=["a"], drapes={"a": {"url": "data:image/png;base64," + "A" * 5_000_000, "bounds": [[40, 0], [41, 1]]}}
    )
    assert len(static.to_html(state)) < 600_000


# --- the map ---------------------------------------------------------------------------------------------------------
def frame(state: ExplorerState) -> list[tuple[float, float]]:
    """Corners of the first footprint on the SVG, in pixels."""
    text = static.to_svg(state)
    found = re.search(r'<path d="M([0-9., -]*)Z"[^>]*fill-opacity', text)
    assert found
    return [tuple(float(part) for part in pair.split(",")) for pair in found[1].split()]  # type: ignore[misc]


def test_footprints_that_the_antimeridian_cuts_stay_together() -> None:
    cut = aoi.area((178, -20, -178, -16)).geojson
    assert cut["type"] == "MultiPolygon"
    gateway = Gateway(0)
    gateway.products = [product(0, footprint=cut)]
    state = found_state(gateway)
    xs = [x for x, _ in frame(state)]
    assert max(xs) - min(xs) > 300, "four degrees fill the map, and are not two slivers at its ends"
    assert "Nothing" not in static.to_svg(state)
    assert "180°" in static.to_svg(state)


def test_strange_footprints_do_not_break_the_page() -> None:
    strange: list[Any] = [
        None, {"type": "Polygon", "coordinates": []}, {"type": "Point", "coordinates": [1, 2]},
        {"type": "GeometryCollection", "geometries": [box(0, 0, 1, 1), {"type": "Point", "coordinates": [0, 0]}]},
        {"type": "Polygon", "coordinates": [[[0, -90], [180, -90], [180, 90], [0, 90], [0, -90]]]},
        {"type": "Polygon", "coordinates": [[[0, 0, 5], [1, 1, 5], [1, 0, 5], [0, 1, 5], [0, 0, 5]]]},
    ]  # fmt: skip
    gateway = Gateway(0)
    gateway.products = [product(at, footprint=footprint) for at, footprint in enumerate(strange)]
    for area in (None, {"type": "Point", "coordinates": [1.4, 43.4]}, {"type": "Polygon", "coordinates": []}):
        state = ExplorerState(products=tuple(gateway.products), searched=True, found_collection="S2", total=6, aoi=area)
        page = seen(state)
        assert "nan" not in static.to_svg(state)
        assert "inf" not in static.to_svg(state)
        assert "6 of 6" in page.text


def test_swaths_of_many_points_stay_small() -> None:
    import shapely

    ring = shapely.Point(10, 50).buffer(8, quad_segs=500)
    gateway = Gateway(0)
    gateway.products = [product(at, footprint=shapely.geometry.mapping(ring)) for at in range(100)]
    state = found_state(gateway, page_size=100)
    assert len(static.to_svg(state)) < 200_000


def test_a_scene_in_the_north_is_as_wide_as_high() -> None:
    gateway = Gateway(0)
    gateway.products = [product(0, footprint=box(14.0, 68.0, 14.0 + 1 / 0.3746, 69.0))]  # 111 km by 111 km
    corners = frame(found_state(gateway))
    wide = max(x for x, _ in corners) - min(x for x, _ in corners)
    high = max(y for _, y in corners) - min(y for _, y in corners)
    assert wide == pytest.approx(high, rel=0.05)


def test_what_is_too_small_to_be_seen_gets_a_circle() -> None:
    gateway = Gateway(0)
    gateway.products = [product(0, footprint=box(1.36, 43.39, 1.44, 43.45)), product(1, footprint=box(13, 50, 23, 69))]
    assert static.to_svg(found_state(gateway)).count("<circle") == 1


def test_selected_footprints_lie_on_top_and_drapes_below() -> None:
    state = found_state(Gateway(4))
    chosen = state.products[1].id
    state.select([chosen])
    bounds = [[40.0, 1.0], [41.0, 2.0]]
    state.update(draped=[chosen], drapes={chosen: {"url": PICTURE, "bounds": bounds}}, opacity=0.5)
    text = static.to_svg(state)
    titles = re.findall(r"<title>(.*?)</title>", text)
    assert titles[-1] == chosen
    assert text.index("<image") < text.index("<title>")
    image = re.search(r'<image href="data:[^"]*" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', text)
    assert image
    x, y, wide, high = map(float, image.groups())
    corners = re.findall(rf'<path d="M([^Z]*)Z"[^>]*><title>{re.escape(chosen)}', text)[0].split()
    xs, ys = [float(pair.split(",")[0]) for pair in corners], [float(pair.split(",")[1]) for pair in corners]
    assert (x, y, y + high) == pytest.approx((min(xs), min(ys), max(ys)), abs=0.2)
    assert wide == pytest.approx((max(xs) - min(xs)) / 0.912345678, rel=0.01)
    assert 'opacity="0.50"' in text


# --- what it never does ----------------------------------------------------------------------------------------------
def test_hostile_names_stay_text() -> None:
    gateway = Gateway(2, id=HOSTILE, platform=HOSTILE, product_type=HOSTILE, tile_id=HOSTILE)
    state = found_state(gateway, q=f'filename:"{HOSTILE.replace(chr(34), "")}" OR *')
    asyncio.run(gateway.order([HOSTILE], idempotency_key="a"))
    asyncio.run(ordering.refresh_orders(state, gateway))
    state.update(
        selected=[HOSTILE], gateway=HOSTILE, loaded={"product": HOSTILE, "text": HOSTILE, "picture": HOSTILE},
        destination={"kind": "bucket", "bucket": HOSTILE},
    )  # fmt: skip
    state.say("error", HOSTILE, HOSTILE, HOSTILE)
    page = seen(state)
    assert "img" not in page.tags
    assert page.text.count(HOSTILE) >= 8


def test_it_loads_nothing_but_its_own_pictures() -> None:
    state = found_state(Gateway(3))
    bad = ["https://evil.example/x.png", "javascript:alert(1)", 'data:image/png;base64,AAAA" onerror="alert(1)']
    state.thumbnails = {item.id: uri for item, uri in zip(state.products, bad, strict=True)}
    bounds = [[40.0, 0.0], [41.0, 1.0]]
    drapes = {f"d{at}": {"url": uri, "bounds": bounds} for at, uri in enumerate(bad)}
    state.update(draped=list(drapes), drapes=drapes, loaded={"product": "p", "picture": bad[0]})
    text = static.to_html(state)
    assert "evil.example" not in text
    assert "javascript:" not in text
    seen(state)


def test_keys_of_a_bucket_are_not_on_the_page() -> None:
    state = found_state(Gateway(1))
    values = {"endpoint": "https://s3.example.org", "bucket": "mine", "access_key": "AKIAX", "secret_key": "hidden-key"}
    state.bucket = models.BucketProperties.model_validate(values)
    assert "AKIAX" not in static.to_html(state)
    assert "hidden-key" not in static.to_html(state)


# --- in a notebook ---------------------------------------------------------------------------------------------------
def test_the_widget_brings_it_along(make: Any) -> None:
    explorer = make(resume=False)
    assert "Not searched yet" in explorer._repr_mimebundle_()["text/html"]
    explorer.search().result(5)
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert type(bundle["text/html"]) is str
    assert "12 of 12 S2 products" in bundle["text/html"]
    page = explorer.static()
    assert page._repr_html_() == page == bundle["text/html"]
    assert len(repr(page)) < 80, "the plain text beside it is no second copy"


def test_a_page_that_cannot_be_made_does_not_take_the_widget_along(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(state: ExplorerState) -> static.Page:
        raise RuntimeError("no paper")

    explorer = make(resume=False)
    monkeypatch.setattr(static, "to_html", broken)
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "could not be made" in bundle["text/html"]
    assert "no paper" in caplog.text


def test_a_cell_can_wait_for_everything_that_was_asked(make: Any) -> None:
    gateway = Gateway(9)
    explorer = make(gateway)
    assert explorer.wait(5), "nothing runs"
    explorer.search()
    assert explorer.wait(10)
    assert len(explorer.state.thumbnails) == len(explorer.state.products) == 9
    assert explorer.state.timeline is not None
    gateway.gate["search_page"] = asyncio.Event()
    explorer.search()
    assert not explorer.wait(0.2), "what does not come is not said to have come"
    explorer.cancel()
    gateway.end = "transferring"  # an order that never ends
    explorer.state.select([explorer.state.products[0].id])
    explorer.order()
    assert explorer.wait(10)
    assert explorer.state.open_orders()


CELLS = [
    """\
import extenso_nb as ex
eo = ex.connect()
explorer = eo.explorer()
explorer.state.update(collection="S2", aoi=ex.area((1.3, 43.35, 1.5, 43.5)).geojson, cloud=70)
explorer.search()
assert explorer.wait()""",
    "explorer",
    "explorer.static()",
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small notebook, run and written as HTML by nbconvert, without the state of its widgets."""
    folder = tmp_path_factory.mktemp("export")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbformat.write(notebook, folder / "small.ipynb")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EXTENSO_", "XDG_", "JUPYTER"))}
    settings = {"HOME": str(folder), "EXTENSO_DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable, "-m", "jupyter", "nbconvert", "--execute", "--to", "html",
        "--ExecutePreprocessor.store_widget_state=False", str(folder / "small.ipynb"),
    ]  # fmt: skip
    done = subprocess.run(command, env=kept | settings, capture_output=True, text=True, timeout=240, check=False)
    try:
        assert done.returncode == 0, done.stderr
        yield folder / "small.html"
    finally:
        found = find(folder / "data")
        if found is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGTERM)


@pytest.mark.slow
def test_an_exported_notebook_shows_map_table_and_thumbnails(exported: Path) -> None:
    pages = re.findall(r'<div class="extenso-static".*?</svg>.*?</table>', exported.read_text("utf-8"), re.DOTALL)
    assert len(pages) == 2, "the widget's cell and the page's cell"
    for text in pages:
        page = Page(text)
        assert "of 7 S2 products" in page.text
        assert page.tags.count("img") == 7
        assert all(load.startswith("data:image/") for load in page.loads)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_without_javascript_shows_it_and_asks_nobody(exported: Path, tmp_path: Path, *, dark: bool) -> None:
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    asked: list[str] = []
    options = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        scheme = "dark" if dark else "light"
        context = browser.new_context(
            java_script_enabled=False, viewport={"width": 480, "height": 900}, color_scheme=scheme
        )
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(exported.as_uri())
        first = page.locator(".extenso-static").first
        maps, pictures = first.locator("svg[role=img]"), first.locator("img")
        assert maps.bounding_box()["width"] > 250
        assert pictures.count() == 7
        for at in range(7):
            assert pictures.nth(at).bounding_box()["width"] >= 40
        place = first.bounding_box()
        page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
        for part in first.locator("table, svg, img").all():
            edges = part.bounding_box()
            assert edges["x"] + edges["width"] <= place["x"] + place["width"] + 1, "nothing sticks out at 480 px"
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
