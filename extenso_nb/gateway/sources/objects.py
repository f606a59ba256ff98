"""Objects in a public store, listed below a prefix: in the JSON of Google Cloud Storage, or in the XML of Amazon S3.

Products are not searched for here: their keys follow from their identifiers, and a listing says whether they are there,
of which files they consist, and how large these are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

from extenso_nb.errors import DamagedProduct, NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content
from extenso_nb.gateway.sources.pictures import PICTURES
from extenso_nb.gateway.sources.record import named
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.tree import leaf_at, tree_content
from extenso_nb.models import Product
from extenso_nb.products import ProductId
from extenso_nb.readers.entries import MEMBERS_MAX

__all__ = ["Object", "Store", "found_by_name", "picture_in", "size_of", "tree_of"]

PAGE = 1000
"""Objects in one answer at most; what both stores allow."""
SIDE_BY_SIDE = 8
"""Listings at the same time at most."""
_XML_LIMIT = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Object:
    """One object of a store."""

    key: str
    size: int
    """Bytes."""
    md5: str | None = None
    """Hex, as far as the store gives it."""


@dataclass(frozen=True)
class Store:
    """A public bucket.

    Parameters
    ----------
    remote
        What asks it.
    url
        Below which the objects are, without `/` at the end.
    listing
        Where it lists them; for S3 the same as `url` with a `/`.
    dialect
        In which it does so.
    """

    remote: Remote
    url: str
    listing: str
    dialect: Literal["gcs", "s3"]

    def url_of(self, key: str) -> str:
        """Where an object is."""
        return f"{self.url}/{quote(key, safe='/')}"

    def below(self, prefix: str, *, most: int = MEMBERS_MAX) -> list[Object]:
        """All objects whose keys begin so; none when there are none.

        Raises
        ------
        SourceUnavailable
            The store does not answer, or not as it should; there are more than `most`.
        """
        found: list[Object] = []
        seen: set[str] = set()
        token = ""
        while True:
            page, token = self._page(prefix, token)
            for one in page:
                if not one.key.startswith(prefix):
                    raise self._odd(prefix, f"the key {one.key[:100]!r} is not below it")
            found += page
            if len(found) > most:
                raise self._odd(prefix, f"there are more than {most:,} objects")
            if not token:
                return found
            if token in seen or (not page and len(seen) > 100):
                raise self._odd(prefix, "its pages go round in a circle")
            seen.add(token)

    def answers(self) -> None:
        """Raise SourceUnavailable unless the store lists something."""
        self._page("", "", rows=1)

    def _page(self, prefix: str, token: str, *, rows: int = PAGE) -> tuple[list[Object], str]:
        """One page of a listing, and the token of the next one; empty after the last."""
        url = f"{self.listing}?{urlencode(self._asked(prefix, token, rows), quote_via=quote)}"
        try:
            if self.dialect == "gcs":
                answer = self.remote.get_json(url)
            else:
                answer = self._xml(prefix, self.remote.get_bytes(url, limit=_XML_LIMIT))
        except UnknownProduct as error:  # the store is not there: that says nothing of products
            raise SourceUnavailable(error.message, source=self.remote.name, status=404) from error
        try:
            return _from_json(answer) if self.dialect == "gcs" else _from_xml(answer)
        except _Odd as error:
            raise self._odd(prefix, str(error)) from error

    def _asked(self, prefix: str, token: str, rows: int) -> dict[str, str]:
        if self.dialect == "gcs":
            wanted = {"prefix": prefix, "maxResults": str(rows), "fields": "nextPageToken,items(name,size,md5Hash)"}
            return wanted | ({"pageToken": token} if token else {})
        wanted = {"list-type": "2", "prefix": prefix, "max-keys": str(rows)}
        return wanted | ({"continuation-token": token} if token else {})

    def _xml(self, prefix: str, answer: bytes) -> ET.Element:
        # As with the metadata of products: what could make the parser do more than to parse is refused before.
        if b"\0" in answer or b"<!DOCTYPE" in answer or b"<!ENTITY" in answer:
            raise self._odd(prefix, "it is not in UTF-8, or has a DTD")
        try:
            return ET.fromstring(answer)  # noqa: S314 - no DTD, no entity, bounded size: see above
        except (ET.ParseError, ValueError, LookupError) as error:
            raise self._odd(prefix, f"it is not XML: {error}") from error

    def _odd(self, prefix: str, why: str) -> SourceUnavailable:
        name = self.remote.name
        return SourceUnavailable(f"{name} lists {prefix or 'its objects'} not as it should: {why}.", source=name)


class _Odd(Exception):
    """Why a listing cannot be used."""


def _from_json(answer: Any) -> tuple[list[Object], str]:
    if not isinstance(answer, dict):
        raise _Odd("the answer is no object")
    items, token = answer.get("items", []), answer.get("nextPageToken", "")
    if not isinstance(items, list) or not isinstance(token, str):
        raise _Odd("items or nextPageToken are of another kind")
    return [_from_item(item) for item in items], token


def _from_item(item: Any) -> Object:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise _Odd("an item has no name")
    return Object(item["name"], _size(str(item.get("size"))), _hex(item.get("md5Hash")))


def _hex(text: Any) -> str | None:
    """A digest in base64 as one in hex; what is none stays as it is, to be told of."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return text


def _from_xml(root: ET.Element) -> tuple[list[Object], str]:
    if _local(root) != "ListBucketResult":
        raise _Odd(f"the answer is a {_local(root)[:40]!r}")
    found, facts = [], dict[str, str]()
    for item in root:
        if _local(item) == "Contents":
            found.append(_from_contents({_local(part): part.text or "" for part in item}))
        else:
            facts[_local(item)] = item.text or ""
    more = facts.get("IsTruncated", "").strip() == "true"
    token = facts.get("NextContinuationToken", "").strip()
    if more and not token:
        raise _Odd("there is more, but not said where")
    return found, token if more else ""


def _from_contents(facts: dict[str, str]) -> Object:
    if not facts.get("Key"):
        raise _Odd("an object has no key")
    # Of an object that was written in parts the ETag is no MD5; it has a "-" then.
    etag = facts.get("ETag", "").strip().strip('"')
    return Object(facts["Key"], _size(facts.get("Size", "")), etag if re.fullmatch("[0-9a-fA-F]{32}", etag) else None)


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _size(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text.strip()):
        raise _Odd(f"an object has the size {text[:40]!r}")
    return int(text)


# --- products of objects ---------------------------------------------------------------------------------------------
def found_by_name(product_ids: Iterable[str], look: Callable[[ProductId], Product | None]) -> dict[str, Product]:
    """What `look` finds, by identifier, several at the same time. Identifiers of other missions find nothing.

    Raises what `look` raises: a product that could not be looked for is not one that is not there.
    """
    wanted = {text: identity for text in product_ids if (identity := named(text)) is not None and identity.id == text}
    if len(wanted) < 2:
        looked = [look(identity) for identity in wanted.values()]
    else:
        with ThreadPoolExecutor(min(len(wanted), SIDE_BY_SIDE)) as pool:
            try:
                looked = list(pool.map(look, wanted.values()))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return {text: product for text, product in zip(wanted, looked, strict=True) if product is not None}


def tree_of(identity: ProductId, store: Store, root: str, objects: list[Object]) -> Content:
    """The objects below `root` as one delivery. Raises DamagedProduct where they make no product."""
    leaves = (
        leaf_at(
            store.remote,
            one.key.removeprefix(root),
            store.url_of(one.key),
            one.size,
            checksums={} if one.md5 is None else {"md5": one.md5},
        )
        for one in objects
    )
    return tree_content(identity, leaves, source=store.remote.name)


def size_of(identity: ProductId, store: Store, root: str, objects: list[Object]) -> int | None:
    """Bytes of the delivery; None where the objects make no product: why not is said when it is opened."""
    try:
        return tree_of(identity, store, root, objects).size
    except DamagedProduct:
        return None


def picture_in(identity: ProductId, store: Store, root: str, objects: list[Object]) -> bytes:
    """The quicklook among a product's files. Raises NoQuicklook."""
    names = (f"{identity.id}-ql.jpg", "quicklook.jpg", "preview/quick-look.png", "preview.jpg", "preview.png")
    held = {one.key.removeprefix(root) for one in objects if one.size}
    chosen = next((name for name in names if name in held), None)
    # Some are named after another version of the product than the one they lie in.
    chosen = chosen or next((name for name in sorted(held) if "/" not in name and name.endswith("-ql.jpg")), None)
    if chosen is None:
        raise NoQuicklook(f"{store.remote.name} has no picture of {identity.id}.")
    try:
        picture = store.remote.get_bytes(store.url_of(f"{root}{chosen}"))
    except UnknownProduct as error:
        raise NoQuicklook(f"{store.remote.name} has no picture of {identity.id} any more.") from error
    if not picture.startswith(PICTURES):
        raise SourceUnavailable(
            f"{store.remote.name}: {chosen} of {identity.id} is no JPEG or PNG.", source=store.remote.name
        )
    return picture
