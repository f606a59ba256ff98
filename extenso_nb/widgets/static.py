"""The Explorer as a page without script, for exported notebooks: it looks like the live one, and asks nobody for anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from html import escape
from typing import Any, NamedTuple

from extenso_nb import _html
from extenso_nb.errors import ExtensoError
from extenso_nb.models import Order, Product
from extenso_nb.plot import cloud_colour
from extenso_nb.results import short_name
from extenso_nb.widgets.offers import CLOUDY, COLLECTIONS, FILTERS, PRODUCT_TYPES, SORTS
from extenso_nb.widgets.state import ExplorerState
from extenso_nb.widgets.static_map import to_svg

__all__ = ["Page", "in_words", "to_html", "to_svg"]

ROWS = 50
"""Products of the table at most."""
PICTURES, PICTURE_BYTES = 24, 500_000
"""Thumbnails of the page at most, and the characters of their data URIs in all: it is saved with the notebook."""
_LOADED_BYTES = 400_000
_ORDERS = 8

# Paper and ink of its own: the page is read on GitHub, in mails and in dark themes, and its map is light in all of them.
_INK, _QUIET, _LINE, _SHEET, _ACCENT = "#1f2328", "#57606a", "#d5dae0", "#f3f4f6", "#b93d0b"
_PAPER = (
    f"background:#fff;color:{_INK};color-scheme:light;border:1px solid {_LINE};border-radius:6px;padding:16px;"
    "font:13px/1.45 system-ui,sans-serif;font-variant-numeric:tabular-nums;max-width:1120px;box-sizing:border-box"
)
_FAINT = f"color:{_QUIET};font-size:11px"
_CHIP = (
    f"display:inline-block;border:1px solid {_LINE};border-radius:11px;padding:1px 8px;margin:0 4px 4px 0;"
    f"font-size:11px;color:{_INK};background:#fff;overflow-wrap:anywhere"
)
_HEAD = "font-size:13px;font-weight:600"
_LEVELS = {"error": "#b3261e", "warning": "#8a5a00", "success": "#1f7a45", "info": _QUIET, "": _QUIET}
_STATES = {"delivered": "#1f7a45", "failed": "#b3261e", "partial": "#8a5a00", "cancelled": _QUIET}


class _Row(NamedTuple):
    """A row of a table: its cells, what stands below all but the first, and its background; HTML, made here."""

    cells: Sequence[str]
    under: str = ""
    paper: str = "#fff"


class Page(str):
    """HTML of the Explorer; as the last value of a cell it is shown as the page that it is."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"<Explorer as a page without script, {_html.bytes_text(len(self))}>"


def to_html(state: ExplorerState) -> Page:
    """A self-contained fragment: search, map, products, basket and orders as they are now; all text escaped."""
    with state.lock:
        below = (_basket(state), _orders(state), _loaded(state)) if _asked(state) else ()
        left = "".join((to_svg(state), _legend(state), *below))
        columns = [f'<div style="flex:1 1 400px;min-width:0">{left}</div>']
        if state.searched:
            columns.append(f'<div style="flex:1.2 1 440px;min-width:0">{_products(state)}</div>')
        middle = f'<div style="display:flex;flex-wrap:wrap;gap:20px;align-items:flex-start">{"".join(columns)}</div>'
        parts = (_title(state), _message(state), middle)
    return Page(f'<div class="extenso-static" style="{_PAPER}">{"".join(parts)}</div>')


def _asked(state: ExplorerState) -> bool:
    """Whether there is anything but a map of the Earth to show."""
    return bool(state.searched or state.selected or state.orders or state.loaded)


# --- the search ------------------------------------------------------------------------------------------------------
def _title(state: ExplorerState) -> str:
    where = (
        f'<span style="{_FAINT};font-weight:400;margin-left:8px">{escape(state.gateway)}</span>'
        if state.gateway
        else ""
    )
    words = in_words(state)
    note = "Not searched yet. The form:" if not state.searched else ""
    if state.searched and state.outdated():
        note = "The form has changed since; this was searched:"
    chips = "".join(f'<span style="{_CHIP}">{escape(word)}</span>' for word in words)
    said = f'<span style="{_FAINT};margin-right:8px">{note}</span>' if note else ""
    return (
        f'<div style="font-size:15px;font-weight:600;margin-bottom:4px">extenso explorer{where}</div>'
        f'<div style="margin-bottom:8px">{said}{chips}</div>'
    )


def in_words(state: ExplorerState) -> list[str]:
    """What was searched, or stands on the form while nothing was, one condition a text."""
    form = state.found_form if state.searched and state.found_form else state.search_form()
    geometry = state.found_aoi if state.searched else state.aoi
    collection = form["collection"]
    words = [f"{collection.replace('S', 'Sentinel-', 1)}: {COLLECTIONS[collection].lower()}", _area(geometry)]
    words.append(_days(form["start"], form["stop"]))
    if form["product_type"]:
        words.append(dict(PRODUCT_TYPES[collection]).get(form["product_type"], form["product_type"]))
    if form["cloud"] < 100 and collection in CLOUDY:
        words.append(f"at most {form['cloud']:g} % cloud")
    given = [(item, form["filters"][item.name]) for item in FILTERS[collection] if form["filters"].get(item.name)]
    words += [f"{item.label}: {dict(item.values).get(value, value)}" for item, value in given]
    words += [form["q"].strip()] if form["q"].strip() not in {"", "*"} else []
    words += [dict(SORTS).get(form["sort"], form["sort"])] if form["sort"] else []
    return words


def _area(geometry: Any) -> str:
    from extenso_nb import aoi

    if geometry is None:
        return "the whole Earth"
    try:
        return f"{aoi.area(geometry).km2:,.0f} km²"
    except ExtensoError:
        return "an area that is none"


def _days(start: str, stop: str) -> str:
    days = [date.fromisoformat(day) if day else None for day in (start, stop)]
    first, last = (f"{day.day} {day:%B %Y}" if day else "" for day in days)
    if first and last:
        return first if first == last else f"{first} to {last}"
    return f"since {first}" if first else f"until {last}" if last else "any time"


def _message(state: ExplorerState) -> str:
    """A failure and a warning stay on the page; that a search went well is seen."""
    said = state.message
    if said["level"] not in {"error", "warning"}:
        return ""
    text = " ".join(part for part in (said["detail"], said["hint"]) if part)
    colour = _LEVELS[said["level"]]
    return (
        f'<div style="border-left:3px solid {colour};padding:4px 12px;margin-bottom:8px">'
        f'<span style="color:{colour};font-weight:600">{escape(said["title"])}</span> {escape(text)}</div>'
    )


def _legend(state: ExplorerState) -> str:
    clouds = [product.cloud_cover for product in state.products]
    steps = (
        [(f"{step} %", cloud_colour(step)) for step in (0, 25, 50, 75, 100)]
        if any(c is not None for c in clouds)
        else []
    )
    entries = [*steps, *([("no cloud figure", cloud_colour(None))] if None in clouds else [])]
    keys = "".join(
        f'<span style="display:inline-block;margin-right:12px;white-space:nowrap">{_dot(colour)}{name}</span>'
        for name, colour in entries
    )
    marks = (
        [("#d9480f", "solid", "selected")]
        if any(key in state.selected for key in (p.id for p in state.products))
        else []
    )
    marks += [(_ACCENT, "dashed", "area")] if state.aoi is not None else []
    lines = "".join(
        '<span style="display:inline-block;margin-right:12px;white-space:nowrap"><span style="display:inline-block;width:16px;'
        f'vertical-align:middle;border-top:2px {kind} {colour};margin-right:4px"></span>{name}</span>'
        for colour, kind, name in marks
    )
    source = '<span style="white-space:nowrap">Outline: Natural Earth</span>'
    label = '<span style="margin-right:8px">Cloud</span>' if steps else ""
    return f'<div style="{_FAINT};margin:4px 0">{label}{keys}{lines}{source}</div>'


def _dot(colour: str) -> str:
    return (
        f'<span style="display:inline-block;width:9px;height:9px;border:1px solid #8c959f;background:{colour};'
        'margin-right:4px"></span>'
    )


# --- what was found --------------------------------------------------------------------------------------------------
def _products(state: ExplorerState) -> str:
    visible = state.visible()
    shown = visible[:ROWS]
    title = f"{len(state.products)} of {state.total} {state.found_collection} products"
    if state.total == 0:
        return f'<div style="{_HEAD}">Nothing matches.</div><div style="{_FAINT}">The search itself went well.</div>'
    shares, ordered = state.coverage(), state.ordered()
    pictures = _pictures(state, shown)
    names = ["", "Product", "Taken (UTC)", "Cloud", *(["Covers"] if shares else []), "Size"]
    rows = [_row(product, state, pictures.get(product.id, ""), shares, ordered) for product in shown]
    notes = [f"{len(state.products) - len(visible)} hidden by filters."] if len(visible) < len(state.products) else []
    notes += [f"{ROWS} of {len(visible)} are listed."] if len(visible) > ROWS else []
    return (
        f'<div style="{_HEAD};margin-bottom:4px">{escape(title)}</div>{_table(names, rows)}'
        f'<div style="{_FAINT};margin-top:4px">{" ".join(notes)}</div>'
    )


def _pictures(state: ExplorerState, products: Iterable[Product]) -> dict[str, str]:
    """The thumbnails that the page can carry, those first that are listed first. Nothing but pictures inside of it."""
    found: dict[str, str] = {}
    room = PICTURE_BYTES
    for product in products:
        uri = state.thumbnails.get(product.id, "")
        if uri.startswith("data:image/") and len(uri) <= room and len(found) < PICTURES:
            found[product.id] = uri
            room -= len(uri)
    return found


def _row(
    product: Product, state: ExplorerState, picture: str, shares: Mapping[str, float | None], ordered: Mapping[str, str]
) -> _Row:
    """A product as it stands in the table."""
    box = "width:48px;height:48px;border-radius:4px;display:block"
    image = (
        f'<img alt="" src="{escape(picture)}" style="{box};object-fit:cover;max-width:none;margin:0">'
        if picture
        else f'<div style="{box};background:{_SHEET};border:1px solid {_LINE};box-sizing:border-box"></div>'
    )
    chosen = product.id in state.selected
    name = f'<span style="font-weight:600">{escape(short_name(product))}</span>'
    cloud = (
        "" if product.cloud_cover is None else f"{_dot(cloud_colour(product.cloud_cover))}{product.cloud_cover:.0f} %"
    )
    share = shares.get(product.id)
    covers = [] if not shares else ["" if share is None else f"{share:.0f} %"]
    words = ["selected"] if chosen else []
    words += [ordered[product.id]] if product.id in ordered else []
    words += ["online" if product.online else "cold: takes hours"]
    size = ("~" if product.size_estimated else "") + _html.bytes_text(product.size)
    begin = product.begin_position
    when = f"{_together(f'{begin:%Y-%m-%d}')} {_together(f'{begin:%H:%M}')}"
    short = [_together(text) for text in (cloud, *covers, escape(size))]
    state_words = f'<span style="font-size:11px;white-space:nowrap">{escape(", ".join(words))}</span>'
    under = f'<span style="{_FAINT};overflow-wrap:anywhere">{escape(product.id)}</span> {state_words}'
    return _Row([image, name, when, *short], under, "#fbf1ec" if chosen else "#fff")


def _together(content: str) -> str:
    return f'<span style="white-space:nowrap">{content}</span>'


def _table(names: Sequence[str], rows: Iterable[_Row]) -> str:
    """Every style is inline: notebooks lay theirs over tables, and GitHub strips style sheets."""
    plain = f"text-align:left;vertical-align:top;padding:4px 8px 4px 0;border:0;color:{_INK}"
    line = f"border-bottom:1px solid {_LINE}"
    head = "".join(
        f'<th scope="col" style="{plain};{line};{_FAINT};font-weight:400;background:#fff">{escape(name) or "&nbsp;"}</th>'
        for name in names
    )
    body = "".join(_table_row(row, plain, line) for row in rows)
    return (
        '<table style="border-collapse:collapse;border:0;width:100%;margin:0;font:inherit;font-size:12px;table-layout:auto">'
        f'<thead><tr style="background:#fff">{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _table_row(row: _Row, plain: str, line: str) -> str:
    paper = f"background:{row.paper}"
    span = ' rowspan="2"' if row.under else ""
    first = f'<td{span} style="{plain};{line};{paper}">{row.cells[0]}</td>'
    style = f"{plain};{paper};padding-bottom:0" if row.under else f"{plain};{line};{paper}"
    others = "".join(f'<td style="{style}">{content}</td>' for content in row.cells[1:])
    text = f'<tr style="{paper}">{first}{others}</tr>'
    if row.under:
        under = f'<td colspan="{len(row.cells) - 1}" style="{plain};{line};{paper};padding-top:0">{row.under}</td>'
        text += f'<tr style="{paper}">{under}</tr>'
    return text


# --- the basket and the orders ---------------------------------------------------------------------------------------
def _section(title: str, content: str) -> str:
    return (
        f'<div style="border-top:1px solid {_LINE};margin-top:12px;padding-top:8px">'
        f'<span style="{_HEAD};margin-right:12px">{escape(title)}</span>{content}</div>'
    )


def _basket(state: ExplorerState) -> str:
    chosen = state.basket()
    account = state.accounted()
    used = (
        ""
        if account is None
        else f"{_html.bytes_text(account.storage.used)} of {_html.bytes_text(account.storage.quota)} used"
    )
    if not chosen:
        return _section("Basket", f'<span style="{_FAINT}">empty{"; " * bool(used)}{escape(used)}</span>')
    count = len(chosen)
    words = [f"{count} product{'s' * (count != 1)}", _html.bytes_text(sum(product.size for product in chosen))]
    cold = sum(not product.online for product in chosen)
    words += [f"{cold} cold"] if cold else []
    answer = state.estimated()
    if answer is not None:
        words.append(f"estimate {_html.bytes_text(answer.total)}, {'fits' if answer.fits else 'does not fit'}")
    words += [used] if used else []
    words.append(f"into {_place(state.destination)}")
    chips = "".join(
        f'<span style="{_CHIP}">{escape(short_name(product))}, {product.begin_position:%Y-%m-%d}</span>'
        for product in chosen[:ROWS]
    )
    return _section("Basket", f'{escape("; ".join(words))}<div style="margin-top:4px">{chips}</div>')


def _place(destination: Mapping[str, Any]) -> str:
    if destination.get("kind") != "bucket":
        return "the free storage"
    return f"bucket {destination.get('bucket') or destination.get('endpoint') or 'of your own'}"


def _orders(state: ExplorerState) -> str:
    newest = sorted(state.orders.values(), key=lambda entry: -entry["order"]["id"])
    rows = [_order_row(Order.from_wire(entry["order"]), entry["deliveries"]) for entry in newest[:_ORDERS]]
    if not rows:
        return ""
    more = f"{_ORDERS} of {len(newest)} are shown." if len(newest) > _ORDERS else ""
    table = _table(("Order", "State", "Delivered", "Products"), (_Row(row) for row in rows))
    return _section("Orders", f'{table}<div style="{_FAINT}">{more}</div>')


def _order_row(order: Order, deliveries: Sequence[Mapping[str, Any]]) -> list[str]:
    done = sum(row["status"] == "delivered" for row in deliveries)
    whole = len(deliveries) or len(order.products)
    share = 100 * done / whole if whole else 0
    colour = _STATES.get(order.status, _ACCENT)
    bar = (
        '<div style="height:6px;width:96px;border-radius:3px;background:#e4e7eb;overflow:hidden;margin-top:4px">'
        f'<div style="height:6px;width:{share:.0f}%;background:{colour}"></div></div>'
    )
    known = {str(row["productId"]): row for row in deliveries}
    lines = [_delivery(key, known.get(key)) for key in order.products[:4]]
    lines += [f'<span style="{_FAINT}">and {len(order.products) - 4} more</span>'] if len(order.products) > 4 else []
    size = _html.bytes_text(order.delivered_size)
    state = f'<span style="color:{colour};font-weight:600">{escape(order.status)}</span>'
    return [f"#{order.id}", state, f"{done} of {whole}, {escape(size)}{bar}", "<br>".join(lines)]


def _delivery(product_id: str, row: Mapping[str, Any] | None) -> str:
    text = f'<span style="overflow-wrap:anywhere">{escape(product_id)}</span>'
    if row is None or row["status"] == "delivered":
        return text
    reason = f": {row['error']}" if row.get("error") else ""
    return f'{text} <span style="{_FAINT}">{escape(str(row["status"]) + reason)}</span>'


def _loaded(state: ExplorerState) -> str:
    """The product that was loaded last, with its first picture."""
    loaded = state.loaded
    if not loaded:
        return ""
    picture = str(loaded.get("picture", ""))
    image = (
        f'<img alt="" src="{escape(picture)}" style="display:block;max-width:min(100%,420px);margin:8px 0 0">'
        if picture.startswith("data:image/") and len(picture) <= _LOADED_BYTES
        else ""
    )
    text = ". ".join(str(loaded[name]) for name in ("product", "text") if loaded.get(name))
    return _section("Loaded", f'<span style="overflow-wrap:anywhere">{escape(text)}</span>{image}')
