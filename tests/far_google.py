"""Google's bucket of Sentinel-2 on loopback."""

from __future__ import annotations

from typing import Any, Self

from far_objects import BucketServer, below, fault_of, tree_files
from scripted import product_id
from scripted_http import DATA, Fault, Line

from extenso_nb.gateway.sources.google import GoogleSource
from extenso_nb.models import Product

BUCKET = "gcp-public-data-sentinel-2"


def folder_of(product: str) -> str:
    """Where the documentation says that a product is, written down anew: the zone has two digits."""
    level, tile = product[7:10], product.split("_T")[1]
    return f"{'L2/' if level == 'L2A' else ''}tiles/{tile[0:2]}/{tile[2]}/{tile[3:5]}/{product}.SAFE"


class GoogleServer(BucketServer):
    def __init__(self) -> None:
        super().__init__(BUCKET)

    def add(self, number: int | str, fault: Fault | str = "none", *script: Line, data: bytes | None = None) -> str:
        """A product whose large file has the fault."""
        name = number if isinstance(number, str) else product_id(number)
        files = below(folder_of(name), tree_files(name, DATA if data is None else data))
        key = f"{folder_of(name)}/IMG_DATA/B02.jp2"
        self.hold_at(BUCKET, key, files.pop(key), fault_of(fault), *script)
        self.put(BUCKET, files)
        return name


class FarGoogle:
    """See `far.Far`."""

    def __init__(self, **settings: Any) -> None:
        self.server = GoogleServer()
        self.source = GoogleSource(
            objects=f"{self.server.url}/{BUCKET}",
            listing=f"{self.server.url}/storage/v1/b/{BUCKET}/o",
            **{"connect_seconds": 5, "stall_seconds": 0.5} | settings,
        )

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        """Show a product, with files (those of `tree_files` by default); one file is all of a tree beside its manifest."""
        files = content if isinstance(content, dict) else tree_files(product.id, content or DATA)
        self.server.put(BUCKET, below(folder_of(product.id), files))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()
