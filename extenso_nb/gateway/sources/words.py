"""What far ends say and where they are, in words that may be shown: no signatures, no tokens, no pages of HTML."""

from __future__ import annotations

import html
import json
import logging
import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

__all__ = ["clean", "is_page", "keep_headers_out_of_logs", "parts_of", "shown", "title", "told"]


def parts_of(url: object) -> SplitResult:
    """The parts of a URL that came in an answer; all empty for what is none."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        _ = parts.port, parts.hostname
    except ValueError:
        return urlsplit("")
    return parts


def shown(url: str) -> str:
    """A URL without user, password, query and fragment: what may be shown."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "(not a URL)"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "") + parts.path


def is_page(head: bytes) -> bool:
    """Whether these are the first bytes of an HTML page."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower()
    return start.startswith((b"<html", b"<!doctype", b"<head", b"<body"))


def title(page: bytes) -> str:
    """The title of a page, for a message."""
    found = re.search(rb"<title[^>]{0,200}>(.{0,500}?)(?:</title|$)", page, re.IGNORECASE | re.DOTALL)
    words = clean(_text(found[1]) if found else "", "")
    return f'"{words}"' if words else "without a title"


def _text(fragment: bytes) -> str:
    return html.unescape(fragment.decode("utf-8", "replace"))


def told(body: bytes, kind: str) -> str:
    """What the body of a refusal says, by its Content-Type; empty when it says nothing. Not clean yet."""
    if "json" in kind or body.lstrip()[:1] in {b"{", b"["}:
        try:
            return _message(json.loads(body))
        except (ValueError, RecursionError):
            pass
    if is_page(body) or "html" in kind:
        found = re.search(rb"<title[^>]{0,200}>(.{0,500}?)</title", body, re.IGNORECASE | re.DOTALL)
        return _text(found[1]) if found else ""
    return body[:1000].decode("utf-8", "replace")


def _message(answer: Any) -> str:
    """The words in an error of a catalogue, wherever it keeps them."""
    for _ in range(6):
        if isinstance(answer, list) and answer:
            answer = answer[0]
        if not isinstance(answer, dict):
            break
        keys = (
            "error_description",
            "message",
            "detail",
            "msg",
            "reason",
            "report",
            "value",
            "description",
            "error",
            "title",
        )
        answer = next((answer[key] for key in keys if answer.get(key)), None)
    return answer if isinstance(answer, str) else ""


def clean(text: str, secret: str) -> str:
    """One line of words that may be shown: no signatures, no token, nothing that steers a terminal, not too long."""
    token = secret.rpartition(" ")[2]
    if len(token) >= 4:
        text = text.replace(token, "...")
    text = re.sub(r"(https?://[^\s?\"'<>]*)\?[^\s\"'<>]*", r"\1", text)
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= 200 else line[:197] + "..."


class _NoHeaders(logging.Filter):
    """httpcore logs the headers of answers where all is logged; among them are cookies and signed URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: a line is shortened, not left out."""
        name, _, _ = str(record.msg).partition(" ")
        if name.startswith("receive_response_headers."):
            record.msg, record.args = name, None
        return True


def keep_headers_out_of_logs() -> None:
    """Whatever is logged, the headers of answers are not."""
    logger = logging.getLogger("httpcore.http11")
    if not any(isinstance(known, _NoHeaders) for known in logger.filters):
        logger.addFilter(_NoHeaders())
