"""Azure's storage as Planetary Computer opens it: tokens that anyone gets for a container, and listings of its files."""

from __future__ import annotations

import base64
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from extenso_nb.errors import SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Credentials
from extenso_nb.gateway.sources.record import instant
from extenso_nb.gateway.sources.remote import Remote

__all__ = ["Blob", "Tokens", "blobs_in"]

SPARE = 60.0
"""Seconds before its end at which a token is renewed."""


# --- tokens ----------------------------------------------------------------------------------------------------------
class Tokens:
    """The tokens of the containers: each fetched when it is needed, by one thread, and renewed before it ends."""

    def __init__(self, remote: Remote, url: str, credentials: Credentials) -> None:
        self._remote, self._url, self._credentials = remote, url.rstrip("/"), credentials
        self._known: dict[tuple[str, str], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "<tokens, hidden>"

    def of(self, account: str, container: str) -> str:
        """The query of a signed URL. Raises SourceUnavailable."""
        with self._lock:
            token, until = self._known.get((account, container), ("", 0.0))
            if not token or time.monotonic() >= until:
                token, until = self._fetch(account, container)
                self._known[account, container] = token, until
            return token

    def forget(self, account: str, container: str, token: str) -> None:
        """A token was refused; nothing happens when there is another one already."""
        with self._lock:
            if self._known.get((account, container), ("",))[0] == token:
                del self._known[account, container]

    def _fetch(self, account: str, container: str) -> tuple[str, float]:
        url = f"{self._url}/token/{account}/{container}"
        if key := (self._credentials() or {}).get("subscription_key"):
            url += "?" + urlencode({"subscription-key": key})
        try:
            answer = self._remote.get_json(url)
        except UnknownProduct as error:  # that there is no token does not mean that there is no product
            failure = SourceUnavailable(error.message, **error.details)
        else:
            token = answer.get("token") if isinstance(answer, dict) else None
            until = instant(answer.get("msft:expiry")) if isinstance(answer, dict) else None
            if isinstance(token, str) and re.fullmatch(r"[!-~]+", token) and "#" not in token and until is not None:
                seconds = (until - datetime.now(UTC)).total_seconds()
                # One that lives no longer than what is spared would be fetched anew for each file.
                return token.lstrip("?"), time.monotonic() + max(seconds - SPARE, seconds / 2)
            failure = SourceUnavailable(
                f"{self._remote.name}: what was answered to the request for a token has none in it.",
                source=self._remote.name,
            )
        raise failure


# --- the storage -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Blob:
    """One file in a container."""

    key: str
    size: int
    md5: str | None
    """Hex."""


def blobs_in(answer: bytes) -> tuple[list[Blob], str | None]:
    """What a page of a listing has, and the marker of the next one. Raises ValueError."""
    # As with the metadata of products: what could make the parser do more than to parse is refused before.
    if b"\0" in answer or b"<!DOCTYPE" in answer or b"<!ENTITY" in answer:
        raise ValueError("it is not in UTF-8, or has a DTD")
    try:
        root = ET.fromstring(answer.removeprefix(b"\xef\xbb\xbf"))  # noqa: S314 - no DTD, no entity, bounded size
    except (ET.ParseError, LookupError) as error:
        raise ValueError(f"it is not XML: {error}") from None
    if root.tag != "EnumerationResults":
        raise ValueError(f"it is no listing, but {root.tag[:40]!r}")
    found = []
    for blob in root.iterfind("Blobs/Blob"):
        key, size = blob.findtext("Name"), blob.findtext("Properties/Content-Length") or ""
        if not key or not size.isdigit():
            raise ValueError("a file has no name or no size")
        found.append(Blob(key, int(size), _md5(blob.findtext("Properties/Content-MD5"))))
    return found, root.findtext("NextMarker") or None


def _md5(text: str | None) -> str | None:
    try:
        digest = base64.b64decode(text or "", validate=True)
    except ValueError:
        return None
    return digest.hex() if len(digest) == 16 else None
