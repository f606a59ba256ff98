"""CDSE's other catalogue, STAC, as a source that is only searched: it stands in for OData where that is down."""

from __future__ import annotations

from extenso_nb.errors import SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Profile
from extenso_nb.gateway.sources.pictures import picture
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.stac import CDSE_STAC, StacSource, cdse_stac
from extenso_nb.gateway.sources.stac_items import asset
from extenso_nb.gateway.sources.words import parts_of

__all__ = ["CdseStac"]


class CdseStac(StacSource):
    """The STAC catalogue of the Copernicus Data Space Ecosystem, at `url`. Nothing is asked before the first call."""

    profile = Profile(delivers=frozenset(), archive=True, cost=3)

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "cdse_stac",
        url: str = CDSE_STAC,
        stall_seconds: float = 60.0,
    ) -> None:
        remote = Remote(name, stall_seconds=stall_seconds)
        self._hosts = ("dataspace.copernicus.eu", "creodias.eu", parts_of(url).netloc)
        super().__init__(name, remote, cdse_stac(remote, url, name))

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
