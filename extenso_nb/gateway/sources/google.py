"""Sentinel-2 in Google's public bucket: whole SAFE trees, open to all, found by keys that follow from the identifier.

There is nothing to search in: its index is one file of gigabytes. A catalogue searches, and this delivers.
"""

from __future__ import annotations

from extenso_nb.errors import UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile, cannot
from extenso_nb.gateway.sources.objects import Object, Store, found_by_name, picture_in, size_of, tree_of
from extenso_nb.gateway.sources.record import named, product_of
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.models import Product
from extenso_nb.products import ProductId
from extenso_nb.query import Query

__all__ = ["GoogleSource"]

_HOST = "https://storage.googleapis.com"
_BUCKET = "gcp-public-data-sentinel-2"
_TOPS = {"L1C": "tiles", "L2A": "L2/tiles"}


class GoogleSource:
    """The bucket `gcp-public-data-sentinel-2` behind the protocol of sources. Threads may share it.

    Parameters
    ----------
    credentials
        None are asked for; here because all sources take them.
    name
        Of the source.
    objects, listing
        Where objects are, and where they are listed.
    connect_seconds, stall_seconds
        As those of `Remote`.
    """

    profile = Profile(searches=frozenset(), delivers=frozenset({"S2"}), archive=True, cost=1)
    limits = Limits(transfers=4)

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "google",
        objects: str = f"{_HOST}/{_BUCKET}",
        listing: str = f"{_HOST}/storage/v1/b/{_BUCKET}/o",
        connect_seconds: float = 10.0,
        stall_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self._remote = Remote(name, connect_seconds=connect_seconds, stall_seconds=stall_seconds)
        self._store = Store(self._remote, objects.rstrip("/"), listing, "gcs")

    def __repr__(self) -> str:
        return f"<GoogleSource {self.name}: {self._store.url}>"

    def close(self) -> None:
        """Let go of all connections."""
        self._remote.close()

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Not here. Raises SourceUnavailable."""
        raise cannot(self.name, "a search: it only gives what is asked for by name")

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier, by one listing each; those not held are left out."""
        return found_by_name(product_ids, self._look)

    def warm_up(self, product_id: str) -> None:
        """Nothing to do: all is online."""

    def open(self, product_id: str) -> Content:
        """The tree as a stored zip. Raises UnknownProduct; DamagedProduct where its manifest is missing."""
        identity, root, objects = self._held(product_id)
        return tree_of(identity, self._store, root, objects)

    def quicklook(self, product_id: str) -> bytes:
        """The JPEG in the tree, which the oldest baselines lack. Raises NoQuicklook, UnknownProduct."""
        identity, root, objects = self._held(product_id)
        return picture_in(identity, self._store, root, objects)

    def check(self) -> int | None:
        """None: nobody counts them. Raises SourceUnavailable when the bucket does not answer."""
        self._store.answers()
        return None

    def _look(self, identity: ProductId) -> Product | None:
        root = _root(identity)
        objects = [] if root is None else self._store.below(root)
        if root is None or not objects:
            return None
        return product_of(identity, self.name, size=size_of(identity, self._store, root, objects))

    def _held(self, product_id: str) -> tuple[ProductId, str, list[Object]]:
        identity = named(product_id)
        root = None if identity is None else _root(identity)
        objects = [] if root is None else self._store.below(root)
        if identity is None or root is None or not objects:
            raise UnknownProduct(f"{self.name} does not hold {product_id}.", products=[product_id])
        return identity, root, objects


def _root(identity: ProductId) -> str | None:
    """Where a product's files are, with `/` at the end. None for what has no place: other missions, many tiles in one."""
    top = _TOPS.get(identity.processing_level)
    if identity.collection != "S2" or identity.tile_id is None or top is None:
        return None
    tile = identity.tile_id  # always five letters: the zone with its zero
    return f"{top}/{tile[:2]}/{tile[2]}/{tile[3:]}/{identity.id}.SAFE/"
