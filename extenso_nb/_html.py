"""Escaped HTML fragments with inline style and inline images: no framework, no CDN, no script."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

__all__ = ["bytes_text", "card", "data_uri", "image", "sheet", "table", "value_text"]

# Jupyter's own variables, so that dark themes stay readable; the second value serves everything else.
_TEXT = "color:var(--jp-ui-font-color1,inherit)"
_FAINT = "color:var(--jp-ui-font-color2,inherit);opacity:0.8"
_LINE = "var(--jp-border-color2,#d1d9e0)"
_FONT = "font:13px/1.45 var(--jp-ui-font-family,system-ui,sans-serif)"


def bytes_text(size: float | None) -> str:
    """A size in decimal units, as quotas are counted: `812 MB`."""
    if size is None:
        return "?"
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or abs(amount) >= 99.5 else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def value_text(value: Any) -> str:
    """A value as one line of plain text."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {value_text(item)}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        shown = ", ".join(value_text(item) for item in value[:4])
        return shown + (f" ... ({len(value)} in all)" if len(value) > 4 else "")
    text = str(value)
    if (
        not isinstance(value, str) and text.startswith("<") and text.endswith(">")
    ):  # the one-line repr of a noun, within another one
        text = text[1:-1]
    return text if len(text) <= 160 else text[:157] + "..."


def card(title: str, rows: Iterable[tuple[str, Any]]) -> str:
    """A small table of names and values under a title."""
    body = "".join(
        f'<tr><th scope="row" style="text-align:left;font-weight:400;padding:1px 12px 1px 0;{_FAINT}">{escape(name)}</th>'
        f'<td style="text-align:left;padding:1px 0">{escape(value_text(value))}</td></tr>'
        for name, value in rows
    )
    return (
        f'<div style="{_FONT};{_TEXT};border:1px solid {_LINE};border-radius:6px;padding:8px 12px;display:inline-block">'
        f'<div style="font-weight:600;margin-bottom:4px">{escape(title)}</div><table style="border:0">{body}</table></div>'
    )


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with a caption."""
    cell = f"text-align:left;padding:2px 12px 2px 0;border-bottom:1px solid {_LINE}"
    head = "".join(f'<th scope="col" style="{cell};font-weight:600">{escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{escape(value_text(value))}</td>' for value in row) + "</tr>"
        for row in rows
    )
    return (
        f'<table style="{_FONT};{_TEXT};border-collapse:collapse">'
        f'<caption style="text-align:left;caption-side:top;font-weight:600;padding:4px 0">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def data_uri(content: bytes) -> str:
    """A picture as a `data:` URI; its kind is told from its first bytes, not from what a server said."""
    if content.startswith(b"\x89PNG"):
        kind = "image/png"
    elif content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        kind = "image/webp"
    else:
        kind = "image/jpeg"
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def image(content: bytes | None, *, alt: str, width: int = 128, height: int = 128) -> str:
    """An inline picture, or a quiet placeholder of the same size."""
    box = f"width:{width}px;height:{height}px;border-radius:4px"
    if not content:
        return (
            f'<div role="img" aria-label="{escape(alt)}: no picture" style="{box};display:flex;align-items:center;'
            f'justify-content:center;border:1px dashed {_LINE};{_FAINT};font-size:11px">no picture</div>'
        )
    return f'<img alt="{escape(alt)}" src="{data_uri(content)}" style="{box};object-fit:cover;display:block">'


def sheet(caption: str, cards: Iterable[str], *, note: str = "") -> str:
    """Cards (trusted fragments made by this module) side by side under a caption, with a note below."""
    tail = f'<div style="{_FAINT};padding:4px 0">{escape(note)}</div>' if note else ""
    return (
        f'<div style="{_FONT};{_TEXT}"><div style="font-weight:600;padding:4px 0">{escape(caption)}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:10px">{"".join(cards)}</div>{tail}</div>'
    )
