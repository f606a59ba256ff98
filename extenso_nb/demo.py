"""The main job on the sample archive, from an area to xarray, with a picture and a short report left behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from extenso_nb import _html

if TYPE_CHECKING:
    from collections.abc import Callable

    from xarray import DataTree

    from extenso_nb.models import Estimate, Order
    from extenso_nb.results import SearchResult
    from extenso_nb.session import Session

__all__ = ["Report", "run"]

PICTURE = "demo.png"
PAGE = "demo.html"


@dataclass(frozen=True)
class Report:
    """What the demonstration did."""

    scenes: SearchResult
    estimate: Estimate
    order: Order
    tree: DataTree
    picture: Path
    page: Path
    seconds: dict[str, float]


def run(eo: Session, out: Path, *, say: Callable[[str], None] | None = None) -> Report:
    """Search, estimate, order, wait and open over the sample archive; leaves `demo.png` and `demo.html` in `out`."""
    from extenso_nb.gateway.sources.sample.world import AREAS

    out.mkdir(parents=True, exist_ok=True)
    say = say or _say
    seconds: dict[str, float] = {}

    def timed(name: str, since: float) -> None:
        seconds[name] = time.perf_counter() - since

    area = AREAS["lauragais"]
    box = (area.lon - 0.04, area.lat - 0.03, area.lon + 0.04, area.lat + 0.03)
    begun = time.perf_counter()
    scenes = eo.search("S2", bbox=box, product_type="S2MSI2A", orderby="cloudcoverpercentage asc")
    timed("search", begun)
    say(f"found    {scenes.total} Sentinel-2 L2A products over {area.title}")
    best = scenes[:1]
    estimate = eo.estimate(best)
    say(f"estimate {_html.bytes_text(estimate.total)}, {_html.bytes_text(estimate.storage_before.free)} free")
    begun = time.perf_counter()
    order = eo.order(best)
    order = eo.wait(order)
    timed("order and delivery", begun)
    say(f"order    {order.id}: {order.status}")
    begun = time.perf_counter()
    tree = eo.open(order)[0]
    timed("open", begun)
    say(f"opened   {tree.attrs.get('product_id', best[0].id)}, groups {', '.join(tree.groups)}")
    begun = time.perf_counter()
    picture = out / PICTURE
    _draw(tree, picture)
    timed("picture", begun)
    page = out / PAGE
    page.write_text(_page(scenes, estimate, order, tree, picture.read_bytes(), seconds), encoding="utf-8")
    say(f"left     {picture} and {page}")
    return Report(scenes, estimate, order, tree, picture, page, seconds)


def _say(line: str) -> None:
    print(line, flush=True)  # in step with the progress, which goes to standard error


def _draw(tree: DataTree, picture: Path) -> None:
    from extenso_nb import plot

    figure = plot.rgb(tree).get_figure(root=True)
    assert figure is not None
    figure.savefig(picture, dpi=130, bbox_inches="tight")


def _page(
    scenes: SearchResult, estimate: Estimate, order: Order, tree: DataTree, picture: bytes, seconds: dict[str, float]
) -> str:
    times = _html.card("Seconds", [(name, f"{value:.2f}") for name, value in seconds.items()])
    parts = (
        "<h1>From an area to xarray</h1><p>The sample archive is made up: its pixels are drawn by a program.</p>",
        "<h2>Search</h2>" + scenes._repr_html_(),
        "<h2>Estimate</h2>" + estimate._repr_html_(),
        "<h2>Order</h2>" + order._repr_html_() + times,
        f'<h2>Picture</h2><img alt="True-colour composite" style="max-width:100%" src="{_html.data_uri(picture)}">',
        f"<h2>Tree</h2><pre>{escape(str(tree))}</pre>",
    )
    style = "font-family:system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1f2328"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>extenso_nb: demonstration</title></head>'
        f'<body style="{style}">{"".join(parts)}</body></html>'
    )
