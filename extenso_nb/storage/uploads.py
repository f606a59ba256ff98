"""Uploads into a bucket that were begun and never ended: found and aborted, since no server forgets them by itself.

obstore aborts the one that fails; a process that is killed leaves its parts, invisible and paid for. obstore has no call
for them, so these two requests are signed here (AWS Signature Version 4).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from extenso_nb.storage.bucket import Bucket

__all__ = ["abort_uploads"]

SECONDS = 10.0
"""For one request; whoever waits wants to store something."""
ANSWER_LIMIT = 4 * 2**20
"""Bytes of a list that are read: 1,000 uploads with keys of 1 kB are 2 MB."""
_ROUNDS = 10
_EMPTY = hashlib.sha256(b"").hexdigest()

_log = logging.getLogger(__name__)


def abort_uploads(bucket: Bucket, key_or_prefix: str) -> int:
    """Abort all uploads of one key, or of all keys below a prefix, both without that of the bucket; their number.

    Raises nothing: a server may not know the call, or not allow it, and a delivery does not depend on it.
    """
    wanted = f"{bucket.prefix}/{key_or_prefix}" if bucket.prefix else key_or_prefix
    count = 0
    try:
        for _ in range(_ROUNDS):
            found = [
                (key, upload)
                for key, upload in _uploads(bucket, wanted)
                if key == wanted or key.startswith(f"{wanted}/")
            ]
            for key, upload in found:
                _ask(bucket, "DELETE", key, {"uploadId": upload})
            count += len(found)
            if not found:
                break
    except (OSError, HTTPException, ValueError, ET.ParseError) as error:
        # Without what it says: an address may have been signed.
        _log.info("uploads into %s that were never ended cannot be looked for: %s", bucket.url, type(error).__name__)
    return count


def _uploads(bucket: Bucket, prefix: str) -> list[tuple[str, str]]:
    """Key and name of the first uploads below a prefix."""
    root = ET.fromstring(_ask(bucket, "GET", "", {"prefix": prefix, "uploads": ""}))  # noqa: S314 - bounded
    found = []
    for item in root.iter():
        if item.tag.rpartition("}")[2] == "Upload":
            facts = {part.tag.rpartition("}")[2]: part.text or "" for part in item}
            found.append((facts.get("Key", ""), facts.get("UploadId", "")))
    return found


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is signed for one host goes to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _ask(bucket: Bucket, method: str, key: str, query: dict[str, str]) -> bytes:
    """The body of an answer. Raises OSError unless it is 2xx."""
    place = urlsplit(bucket.url)
    path = quote(f"{place.path}/{key}" if key else place.path or "/", safe="/-_.~")
    asked = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(query.items()))
    headers = _signed(bucket, method, place.netloc, path, asked)
    url = f"{place.scheme}://{place.netloc}{path}?{asked}"
    request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - http(s): `locate_bucket` looked
    with urllib.request.build_opener(_NoRedirects).open(request, timeout=SECONDS) as answer:
        return bytes(answer.read(ANSWER_LIMIT))


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _signed(bucket: Bucket, method: str, host: str, path: str, query: str) -> dict[str, str]:
    """The headers of a request without a body."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{_EMPTY}"
    scope = f"{moment[:8]}/{bucket.region}/s3/aws4_request"
    told = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{bucket.secret_key.get_secret_value()}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, told.encode(), "sha256").hex()
    who = f"{bucket.access_key.get_secret_value()}/{scope}"
    value = f"AWS4-HMAC-SHA256 Credential={who}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "Authorization": value}
