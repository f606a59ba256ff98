"""The same four products, one a mission, ordered from each set of archives: delivered in that archive's layout, and opened."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from far import Far
from far_asf import FarAsf
from far_cdse import FarCdse
from far_dhus import FarDhus
from far_google import FarGoogle
from far_meeo import FarMeeo
from far_sobloo import FarSobloo
from far_stac import FarPlanetaryComputer
from scripted import Gateway

from extenso_nb import products
from extenso_nb.gateway.sources.sample import SampleSource
from extenso_nb.models import Product
from extenso_nb.readers import open_product
from extenso_nb.retry import Retry

BEGINS = ("S1A_IW_GRDH_", "S2B_MSIL2A_20240613", "S3A_OL_2_LFR_", "S5P_NRTI_L2__NO2_")
"""One product of the sample archive a mission."""
SETS: dict[str, tuple[tuple[Callable[[], Far], str], ...]] = {
    "cdse": ((FarCdse, "S1 S2 S3 S5P"),),
    "google, meeo, planetary_computer": ((FarGoogle, "S2"), (FarMeeo, "S3 S5P"), (FarPlanetaryComputer, "S1")),
    "planetary_computer": ((FarPlanetaryComputer, "S1 S2 S3 S5P"),),
    "asf, google, meeo": ((FarAsf, "S1"), (FarGoogle, "S2"), (FarMeeo, "S3 S5P")),
    "dhus": ((FarDhus, "S1 S2 S3 S5P"),),
    "sobloo": ((FarSobloo, "S1 S2 S3 S5P"),),
}
TREES = (FarGoogle, FarMeeo, FarPlanetaryComputer)
"""Those that hold the files of a product one by one."""


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Product, Path]]:
    """The products and where they lie."""
    sample = SampleSource(tmp_path_factory.mktemp("cache"))
    paths = [min(sample.path.glob(f"{begin}*")) for begin in BEGINS]
    found = sample.find(tuple(products.strip(path.name) for path in paths))
    return [(found[products.strip(path.name)], path) for path in paths]


def content_of(path: Path, *, tree: bool) -> bytes | dict[str, bytes]:
    """A product as one object, or as its files below its folder."""
    if not tree or path.suffix == ".nc":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        return {name.partition("/")[2]: archive.read(name) for name in names}


@contextlib.contextmanager
def opened(named: str, four: list[tuple[Product, Path]]) -> Iterator[list[Far]]:
    with contextlib.ExitStack() as stack:
        beds = []
        for make, missions in SETS[named]:
            bed = stack.enter_context(make())
            for product, path in four:
                if product.collection in missions.split():
                    bed.hold(product, content_of(path, tree=make in TREES))
            beds.append(bed)
        yield beds


@pytest.mark.parametrize("named", SETS)
def test_four_products_are_delivered_and_open(named: str, four: list[tuple[Product, Path]], tmp_path: Path) -> None:
    with opened(named, four) as beds:
        quick = Retry(attempts=2, first=0.1, factor=1, longest=0.1, jitter=0)
        gateway = Gateway(tmp_path, *(bed.source for bed in beds), schedule=quick)
        try:
            order, _ = gateway.service.create_order(gateway.account, [product.id for product, _ in four])
            state = gateway.wait(order.id, 120)
            _, deliveries = gateway.store.deliveries(gateway.account, order_id=order.id)
            assert state == "delivered", [(item.product_id, item.error) for item in deliveries]
            told = {bed.source.name: missions.split() for bed, (_, missions) in zip(beds, SETS[named], strict=True)}
            assert all(item.product_id.partition("_")[0][:2] in "".join(told[str(item.source)]) for item in deliveries)
            arrived = {item.product_id: gateway.storage.folder / str(item.key) for item in deliveries}
            for product, path in four:
                assert arrived[product.id].name == products.parse(product.id).archive_name
                same_tree(open_product(arrived[product.id]), open_product(path))
        finally:
            gateway.stop()


def same_tree(one: Any, other: Any) -> None:
    """Groups, variables and attributes the same, and the first pixels of each variable."""
    assert [node.path for node in one.subtree] == [node.path for node in other.subtree]
    for left, right in zip(one.subtree, other.subtree, strict=True):
        corner = {name: slice(0, 50) for name in left.dataset.dims}
        assert left.dataset.isel(corner).equals(right.dataset.isel(corner)), left.path
        assert left.dataset.sizes == right.dataset.sizes
