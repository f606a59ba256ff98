"""The bucket `eodata` of the Copernicus Data Space Ecosystem: the same products, file by file.

Its addresses cannot be signed beforehand: each request is, in its header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from pydantic import SecretStr

from extenso_nb.errors import BucketRefused, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content
from extenso_nb.gateway.sources.cdse_entries import Entry
from extenso_nb.storage import Bucket, BucketStorage

__all__ = ["Eodata", "keys_of"]

NAME, REGION = "eodata", "default"
BLOCK = 4 * 2**20
"""Bytes of one request."""
_KEY = re.compile(r"[!-~]+", re.ASCII)


def keys_of(given: Mapping[str, str] | None) -> tuple[str, str] | None:
    """Access key and secret key among credentials; None where one of them is missing."""
    access, secret = (given or {}).get("s3_access_key"), (given or {}).get("s3_secret_key")
    return (access, secret) if access and secret else None


class Eodata:
    """The bucket behind an endpoint, for one pair of keys."""

    def __init__(self, source: str, endpoint: str, keys: tuple[str, str]) -> None:
        self.source = source
        access, secret = keys
        if not _KEY.fullmatch(access) or not _KEY.fullmatch(secret):
            raise SourceUnavailable(
                f"The S3 keys of {source} have letters that no key has.",
                hint="Copy them once more: `extenso login cdse`.",
                source=source,
            )
        self._storage = BucketStorage(
            Bucket(endpoint, NAME, access_key=SecretStr(access), secret_key=SecretStr(secret), region=REGION)
        )

    def content(self, entry: Entry) -> Content:
        """A product as one delivery.

        Raises
        ------
        UnknownProduct
            It is not there.
        DamagedProduct
            What is there is no product.
        SourceUnavailable
            The bucket does not answer, or refuses.
        """
        from extenso_nb.gateway.sources.tree import Leaf, tree_content

        identity, key = entry.identity, entry.key
        if key is None:
            raise self._missing(entry, "the catalogue does not say where in the bucket")
        files = [(path.removeprefix(f"{key}/"), size) for path, size in self._listed(key)]
        if identity.extension == ".nc":
            return self._single(entry, key, files)
        if not files:
            raise self._missing(entry, f"nothing lies below {key}")
        leaves = [Leaf(name, size, partial(self._read, f"{key}/{name}", size)) for name, size in files]
        return tree_content(identity, leaves, source=self.source, remarks=(self._remark(),))

    def _single(self, entry: Entry, key: str, below: list[tuple[str, int]]) -> Content:
        """One file: under the key of the product, or in a folder of that name."""
        name = entry.identity.archive_name
        place = next(((f"{key}/{path}", size) for path, size in below if path == name), None)
        if place is None:
            place = key, self._size(entry, key)
        content = Content(name, place[1], partial(self._read, *place))
        content.remarks.append(self._remark())
        return content

    def _remark(self) -> str:
        return f"It comes out of {self.source}'s bucket {NAME}, file by file; its catalogue's checksum is that of another zip."

    # -- requests ----------------------------------------------------------------------------------------------------
    def _listed(self, key: str) -> list[tuple[str, int]]:
        try:
            return self._storage.list(key)
        except FileNotFoundError:
            return []
        except BucketRefused as error:
            failure = self._refused(error)
        raise failure

    def _size(self, entry: Entry, key: str) -> int:
        try:
            return self._storage.size(key)
        except FileNotFoundError:
            failure: Exception = self._missing(entry, f"nothing lies at {key}")
        except BucketRefused as error:
            failure = self._refused(error)
        raise failure

    def _read(self, key: str, size: int, offset: int) -> Iterator[bytes]:
        """The bytes of an object from an offset on."""
        for start in range(offset, size, BLOCK):
            yield self._block(key, start, min(BLOCK, size - start))

    def _block(self, key: str, start: int, length: int) -> bytes:
        try:
            return self._storage.read_range(key, start, length)
        except FileNotFoundError:
            failure: Exception = UnknownProduct(
                f"{self.source} has {key} no more in its bucket {NAME}.", source=self.source
            )
        except BucketRefused as error:
            failure = self._refused(error)
        raise failure

    # -- errors ------------------------------------------------------------------------------------------------------
    def _missing(self, entry: Entry, why: str) -> UnknownProduct:
        return UnknownProduct(
            f"{self.source} does not have {entry.identity.id} in its bucket {NAME}: {why}.", source=self.source
        )

    def _refused(self, error: BucketRefused) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self.source}: {error.message}",
            hint="Keys expire: make new ones at eodata-s3keysmanager.dataspace.copernicus.eu, then `extenso login cdse`.",
            source=self.source,
        )
