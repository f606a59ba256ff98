"""Pictures of products: thumbnails of the list, the details of one, quicklooks on the map; actions as in `actions`."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

from extenso_nb import _html
from extenso_nb.errors import ExtensoError, InputError, NoQuicklook, UnknownProduct
from extenso_nb.models import Product
from extenso_nb.widgets import drape as geometry
from extenso_nb.widgets.actions import AsyncGateway, action
from extenso_nb.widgets.state import ExplorerState

__all__ = ["details", "drape", "thumbnails"]

_AT_ONCE = 4
"""Thumbnails fetched at a time: enough to fill a screen in a second, few enough for a small gateway."""
_PIXELS = 160
"""Longer side of a thumbnail as it is kept: about what a card shows, in 6 kB at most for a real scene."""
_DETAIL = 640
"""Longer side of the quicklook among the details."""
_FLUSH = 0.3
"""Seconds before the first write of thumbnails; later ones come further apart, for each sends all to the browser."""


@action("thumbnails", "Thumbnails could not be fetched.")
async def thumbnails(state: ExplorerState, client: AsyncGateway) -> None:
    """Fetch the pictures of products that have none yet, four at a time. Those without one get an empty text."""
    generation = state.generation
    missing = [product for product in state.products if product.id not in state.thumbnails]
    slots = asyncio.Semaphore(_AT_ONCE)
    ready: dict[str, str] = {}
    failures: list[Exception] = []

    async def one(product: Product) -> None:
        if "thumbnail" not in product.links and "quicklook" not in product.links and product.links:
            ready[product.id] = ""
            return
        async with slots:
            try:
                ready[product.id] = await asyncio.to_thread(_small, await client.thumbnail(product))
            except NoQuicklook:
                ready[product.id] = ""
            except (ExtensoError, OSError) as error:
                failures.append(error)

    async def flush() -> None:
        pause = _FLUSH
        while True:
            await asyncio.sleep(pause)
            put()
            pause = min(1.5 * pause, 3.0)

    def put() -> None:
        with state.lock:
            if ready and generation == state.generation:
                state.thumbnails = {**state.thumbnails, **ready}
                ready.clear()

    writer = asyncio.create_task(flush())
    try:
        await asyncio.gather(*(one(product) for product in missing))
    finally:
        writer.cancel()
        put()
    if failures and generation == state.generation:
        first = failures[0]
        detail, hint = (first.message, first.hint) if isinstance(first, ExtensoError) else (str(first), "")
        state.say("warning", f"{len(failures)} of {len(missing)} thumbnails could not be fetched.", detail, hint)


def _small(content: bytes, pixels: int = _PIXELS) -> str:
    """A picture as a data URI of at most so many pixels on its longer side, JPEG. Raises OSError for what is none."""
    buffer = io.BytesIO()
    geometry.read_picture(content, pixels).save(buffer, "JPEG", quality=75)
    return _html.data_uri(buffer.getvalue())


# --- details ---------------------------------------------------------------------------------------------------------
@action("details", "The details could not be fetched.", again="show_details")
async def details(state: ExplorerState, client: AsyncGateway, product_id: str) -> None:
    """The facts of a product at once, then its quicklook. Dropped when another product is looked at meanwhile."""
    product = state.product(product_id)
    if product is None:
        raise UnknownProduct(f"{product_id} is not among the products found.")
    shown = {"id": product_id, "picture": "", "note": "", "facts": facts(product)}
    state.update(details={**shown, "note": "Fetching the quicklook ..."})
    try:
        shown["picture"] = await asyncio.to_thread(_small, await client.quicklook(product), _DETAIL)
    except NoQuicklook as error:
        shown["note"] = error.message
    except (ExtensoError, OSError) as error:
        # The facts are right without it; what failed stands where the picture would.
        reason = error.message if isinstance(error, ExtensoError) else str(error)
        shown["note"] = f"The quicklook could not be fetched: {reason}"
    with state.lock:
        if state.detailed == product_id:
            state.update(details=shown)


def facts(product: Product) -> list[list[str]]:
    """What is known of a product, as label and text."""
    size = ("about " if product.size_estimated else "") + _html.bytes_text(product.size)
    rows: list[tuple[str, Any]] = [
        ("Satellite", product.platform),
        ("Instrument", product.instrument),
        ("Type", product.product_type),
        ("Level", product.processing_level),
        ("Begins", f"{product.begin_position:%Y-%m-%d %H:%M:%S} UTC"),
        ("Ends", f"{product.end_position:%Y-%m-%d %H:%M:%S} UTC"),
        ("In the archive since", f"{product.ingestion_date:%Y-%m-%d %H:%M} UTC"),
        ("Cloud", None if product.cloud_cover is None else f"{product.cloud_cover:.1f} %"),
        ("Tile", product.tile_id),
        ("Mode", product.sensor_mode),
        ("Polarisation", product.polarisation),
        ("Orbit", product.orbit_number),
        ("Relative orbit", product.relative_orbit_number),
        ("Pass", product.orbit_direction and product.orbit_direction.capitalize()),
        ("Timeliness", product.timeliness),
        ("Baseline", product.processing_baseline),
        ("Size", size),
        ("Storage", "online" if product.online else "cold: it takes hours to days to be warmed up"),
        ("Sources", ", ".join(product.sources)),
        ("UUID", product.uuid),
    ]
    return [[label, str(value)] for label, value in rows if value not in (None, "")]


# --- on the map ------------------------------------------------------------------------------------------------------
@action("drape", "The quicklook could not be laid on the map.")
async def drape(state: ExplorerState, client: AsyncGateway, product_id: str) -> None:
    """Lay the quicklook of a product on its footprint. Two at most lie there: the older one goes.

    What is no longer among the products when the picture has come is dropped.
    """
    product = state.product(product_id)
    if product is None:
        raise UnknownProduct(f"{product_id} is not among the products found.")
    geometry.nodes(product)  # what cannot lie on the map is not fetched
    laid = await asyncio.to_thread(_draped, product, await client.quicklook(product))
    with state.lock:
        if state.product(product_id) is None:
            return
        kept = [key for key in state.draped if key != product_id][-1:]
        drapes = {key: value for key, value in state.drapes.items() if key in kept}
        state.update(drapes={**drapes, product_id: laid}, draped=[*kept, product_id])


def _draped(product: Product, content: bytes) -> dict[str, Any]:
    """A quicklook on its footprint: {"url": data URI, "bounds": [[south, west], [north, east]]}."""
    shape = geometry.joined(product.footprint or {})
    try:
        picture, bounds = geometry.warp(content, geometry.nodes(product), shape if product.collection == "S2" else None)
    except OSError as error:
        raise InputError(
            f"The quicklook of {product.id} cannot be read: {error}.", hint="See its footprint."
        ) from error
    return {"url": "data:image/webp;base64," + base64.b64encode(picture).decode(), "bounds": bounds}
