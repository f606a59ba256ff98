"""Sentinel-5P and Sentinel-3 in the public buckets of MEEO: open to all, found by keys that follow from the identifier."""

from __future__ import annotations

from extenso_nb.errors import NoQuicklook, UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile, cannot
from extenso_nb.gateway.sources.objects import Object, Store, found_by_name, picture_in, size_of, tree_of
from extenso_nb.gateway.sources.record import named, product_of
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.models import Product
from extenso_nb.products import ProductId
from extenso_nb.query import Query

__all__ = ["MeeoSource"]

_STREAMS = frozenset({"NRTI", "OFFL", "RPRO"})
_TIMELINESS = {"NR": "NRT", "ST": "STC", "NT": "NTC"}
_TYPE_ENDS = ("", "_")
"""What stands behind the type of eleven characters in the keys of Sentinel-3: the archive's own text has one `_` more."""


class MeeoSource:
    """The buckets `meeo-s5p` and `meeo-s3` behind the protocol of sources. Threads may share it.

    Parameters
    ----------
    credentials
        None are asked for; here because all sources take them.
    name
        Of the source.
    s5p, s3
        Where the objects of the buckets are, and are listed.
    connect_seconds, stall_seconds
        As those of `Remote`.
    """

    profile = Profile(searches=frozenset(), delivers=frozenset({"S3", "S5P"}), archive=True, cost=1)
    limits = Limits(transfers=4)

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "meeo",
        s5p: str = "https://meeo-s5p.s3.amazonaws.com",
        s3: str = "https://meeo-s3.s3.amazonaws.com",
        connect_seconds: float = 10.0,
        stall_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self._remote = Remote(name, connect_seconds=connect_seconds, stall_seconds=stall_seconds)
        self._s5p, self._s3 = (Store(self._remote, url.rstrip("/"), f"{url.rstrip('/')}/", "s3") for url in (s5p, s3))
        self._ends: dict[str, str] = {}
        """Type -> the end with which something of it was found."""

    def __repr__(self) -> str:
        return f"<MeeoSource {self.name}: {self._s5p.url}, {self._s3.url}>"

    def close(self) -> None:
        """Let go of all connections."""
        self._remote.close()

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Not here. Raises SourceUnavailable."""
        raise cannot(self.name, "a search: it only gives what is asked for by name")

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier, by one listing each (two for a type of Sentinel-3 not met yet); others are left out."""
        return found_by_name(product_ids, self._look)

    def warm_up(self, product_id: str) -> None:
        """Nothing to do: all is online."""

    def open(self, product_id: str) -> Content:
        """The netCDF file as it is, or the tree as a stored zip. Raises UnknownProduct; DamagedProduct for half a tree."""
        identity, root, objects = self._held(product_id)
        if identity.collection == "S3":
            return tree_of(identity, self._s3, root, objects)
        (one,) = objects
        checksums = {} if one.md5 is None else {"md5": one.md5}
        return self._remote.content(
            identity.archive_name, self._s5p.url_of(one.key), size=one.size, checksums=checksums
        )

    def quicklook(self, product_id: str) -> bytes:
        """The JPEG in the tree of Sentinel-3. Raises NoQuicklook (all of Sentinel-5P), UnknownProduct."""
        identity, root, objects = self._held(product_id)
        if identity.collection == "S5P":
            raise NoQuicklook(f"There are no pictures of Sentinel-5P, so none of {product_id}.")
        return picture_in(identity, self._s3, root, objects)

    def check(self) -> int | None:
        """None: nobody counts them. Raises SourceUnavailable when one of the buckets does not answer."""
        self._s5p.answers()
        self._s3.answers()
        return None

    def _look(self, identity: ProductId) -> Product | None:
        root, objects = self._objects(identity)
        if not objects:
            return None
        size = size_of(identity, self._s3, root, objects) if identity.collection == "S3" else objects[0].size
        return product_of(identity, self.name, size=size)

    def _held(self, product_id: str) -> tuple[ProductId, str, list[Object]]:
        identity = named(product_id)
        root, objects = ("", []) if identity is None else self._objects(identity)
        if identity is None or not objects:
            raise UnknownProduct(f"{self.name} does not hold {product_id}.", products=[product_id])
        return identity, root, objects

    def _objects(self, identity: ProductId) -> tuple[str, list[Object]]:
        """Where a product's files are, and which; none when it is not there."""
        day = f"{identity.start:%Y/%m/%d}"
        if identity.collection == "S5P" and identity["stream"] in _STREAMS:
            key = f"{identity['stream']}/{identity.product_type}/{day}/{identity.id}.nc"
            return key, [one for one in self._s5p.below(key) if one.key == key]
        if identity.collection == "S3" and (timeliness := _TIMELINESS.get(identity["timeliness"])):
            for end in self._order(identity.product_type):
                place = f"{timeliness}/{identity['satellite']}/{identity.product_type}{end}/{day}"
                root = f"{place}/{identity.id}.SEN3/"
                if objects := self._s3.below(root):
                    self._ends[identity.product_type] = end
                    return root, objects
        return "", []

    def _order(self, kind: str) -> tuple[str, ...]:
        """The ends to be tried: what was found for the type, alone; else first what was found last for another."""
        if kind in self._ends:
            return (self._ends[kind],)
        met = next(reversed(list(self._ends.values())), _TYPE_ENDS[0])
        return (met, *(end for end in _TYPE_ENDS if end != met))
