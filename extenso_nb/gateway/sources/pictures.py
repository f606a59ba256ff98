"""Pictures whose addresses a catalogue gives: fetched from the hosts of that archive only, and only if they are pictures.

Whoever may write into a catalogue could otherwise have the gateway fetch what only it can reach, and show it.
"""

from __future__ import annotations

from collections.abc import Collection

from extenso_nb.errors import NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.words import parts_of

__all__ = ["PICTURES", "is_at", "picture"]

PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
"""How JPEG and PNG begin."""


def is_at(url: object, hosts: Collection[str]) -> bool:
    """Whether an http(s) URL leads to one of the hosts, or to one below. `host:port` is for another port than the usual."""
    parts = parts_of(url)
    if parts.scheme not in {"http", "https"} or parts.username is not None:
        return False
    host = (parts.hostname or "").lower()
    usual = parts.port in {None, {"http": 80, "https": 443}[parts.scheme]}
    return any(
        f"{host}:{parts.port}" == known.lower() or (usual and f".{host}".endswith(f".{known.lower()}"))
        for known in hosts
    )


def picture(remote: Remote, url: object, product_id: str, hosts: Collection[str]) -> bytes:
    """The JPEG or PNG at a URL of an answer, without credentials.

    Raises
    ------
    NoQuicklook
        There is none, or it is somewhere else.
    SourceUnavailable
        It does not come, or what comes is no picture.
    """
    if not isinstance(url, str) or not is_at(url, hosts):
        raise NoQuicklook(f"{remote.name} has no picture of {product_id} on hosts of its own.")
    try:
        found = remote.get_bytes(url, authorised=False)
    except UnknownProduct:
        found = None
    if found is None:
        raise NoQuicklook(f"{remote.name} has no picture of {product_id} any more.")
    if not found.startswith(PICTURES):
        raise SourceUnavailable(f"{remote.name}: the picture of {product_id} is no JPEG or PNG.", source=remote.name)
    return found
