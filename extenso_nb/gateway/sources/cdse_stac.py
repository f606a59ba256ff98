"""CDSE's other catalogue, STAC, as a source that is only searched: it stands in for OData where that is down."""

from __future__ import annotations

from extenso_nb.errors import SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile
from extenso_nb.gateway.sources.pictures import picture
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.stac import CDSE_STAC, cdse_stac
from extenso_nb.gateway.sources.stac_items import asset
from extenso_nb.gateway.sources.words import parts_of
from extenso_nb.models import Product
from extenso_nb.query import Query

__all__ = ["CdseStac"]


class CdseStac:
    """The STAC catalogue of the Copernicus Data Space Ecosystem, at `url`. Nothing is asked before the first call."""

    profile = Profile(delivers=frozenset(), archive=True, cost=3)
    limits = Limits()

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "cdse_stac",
        url: str = CDSE_STAC,
        stall_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self._remote = Remote(name, stall_seconds=stall_seconds)
        self._hosts = ("dataspace.copernicus.eu", "creodias.eu", parts_of(url).netloc)
        self._catalogue = cdse_stac(self._remote, url, name)

    def __repr__(self) -> str:
        return f"<CdseStac {self.name}>"

    def close(self) -> None:
        """Close all connections."""
        self._remote.close()

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """As `Source` says."""
        return self._catalogue.search(collection, query, start=start, rows=rows, orderby=orderby)

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """As `Source` says."""
        return self._catalogue.find(product_ids)

    def warm_up(self, product_id: str) -> None:
        """Nothing is brought back by a catalogue."""

    def open(self, product_id: str) -> Content:
        """Raises SourceUnavailable: the source `cdse` gives the bytes."""
        raise SourceUnavailable(
            f"{self.name} is a catalogue; it does not give {product_id}.",
            hint="Name the source `cdse` beside it.",
            source=self.name,
            cannot=True,
        )

    def quicklook(self, product_id: str) -> bytes:
        """As `Source` says."""
        item = next(iter(self._catalogue.items((product_id,))), None)
        if item is None:
            raise UnknownProduct(f"{self.name} does not have {product_id}.", source=self.name)
        return picture(self._remote, asset(item, "thumbnail").get("href"), product_id, self._hosts)

    def check(self) -> None:
        """As `Source` says; how many there are is not known."""
        self._catalogue.check()
