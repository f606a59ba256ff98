"""The index of a delivery: made where the product is stored, by a process that may die of it, and opened by one request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import xarray as xr
from drawn import drawn
from pydantic import SecretStr
from scripted import Gateway, served
from seaweed import ACCESS, SECRET, bucket_of

from extenso_nb import errors
from extenso_nb.client import Client
from extenso_nb.gateway import indexing
from extenso_nb.gateway.indexing import Indexer
from extenso_nb.gateway.sources.folder import FolderSource
from extenso_nb.models import BucketProperties
from extenso_nb.readers import open_product
from extenso_nb.session import Session
from extenso_nb.storage import BucketStorage, FolderStorage


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return drawn(tmp_path_factory.mktemp("archive"), ("S2A_MSIL1C", "S5P_NRTI_L2__NO2"))


@pytest.fixture
def start(tmp_path: Path, archive: dict[str, Path]) -> Iterator[Callable[..., Gateway]]:
    running: list[Gateway] = []

    def begin(**more: object) -> Gateway:
        running.append(Gateway(tmp_path, FolderSource(archive["S2A_MSIL1C"].parent), **more))  # type: ignore[arg-type]
        return running[-1]

    yield begin
    for gateway in running:
        gateway.stop()


def ids(gateway: Gateway) -> list[str]:
    return [
        product.id for kind in ("S2", "S5P") for product in gateway.service.search(kind, None, 0, 10, None).products
    ]


def delivered(gateway: Gateway, **more: object) -> int:
    order, _ = gateway.service.create_order(gateway.account, ids(gateway), **more)  # type: ignore[arg-type]
    assert gateway.wait(order.id) == "delivered"
    return order.id


def same(first: xr.DataTree, second: xr.DataTree) -> None:
    assert first.groups == second.groups
    for one, other in zip(first.subtree, second.subtree, strict=True):
        xr.testing.assert_equal(one.to_dataset().load(), other.to_dataset().load())


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_what_is_delivered_opens_from_elsewhere_by_its_index(
    where: str, start: Callable[..., Gateway], archive: dict[str, Path], s3: str
) -> None:
    storage = BucketStorage(bucket_of(s3, "deliveries", prefix="indexed-free")) if where == "bucket" else None
    gateway = start(storage=storage)
    order = delivered(gateway)
    with served(gateway) as url, Session(url, api_key=gateway.key) as eo:
        for delivery in eo.deliveries(order):
            metadata = eo.metadata(delivery)
            assert metadata.index == f"{metadata.key.rpartition('/')[0]}/index"
            assert len(eo.index(delivery)) < 120_000
            beside = gateway.storage.read(metadata.key.rpartition("/")[0] + "/metadata.json")
            assert json.loads(beside)["index"] == metadata.index
        trees = eo.open(order)
        paths = {path.name.partition(".")[0]: path for path in archive.values()}
        for tree, delivery in zip(trees, eo.deliveries(order), strict=True):
            same(tree, open_product(paths[delivery.product_id]))
            assert str(tree.attrs["source_uri"]).startswith("http://127.0.0.1:")
            assert "ignature" not in f"{tree!r}{tree.attrs}"
        used = eo.me().storage.used
        assert used == sum(delivery.size for delivery in eo.deliveries(order)), "an index costs no quota"
        eo.delete(order)
    assert [key for key in gateway.files() if "/orders/" in key] == []


def test_an_index_goes_into_a_bucket_of_the_users(start: Callable[..., Gateway], s3: str) -> None:
    gateway = start()
    keys = {"access_key": SecretStr(ACCESS), "secret_key": SecretStr(SECRET)}
    order = delivered(gateway, bucket=BucketProperties(endpoint=f"{s3}/deliveries", prefix="with-index", **keys))
    mine = BucketStorage(bucket_of(s3, "deliveries"))
    kept = [key for key, _ in mine.list("with-index")]
    assert sum(key.endswith("/index") for key in kept) == 2
    with served(gateway) as url, Client(url, api_key=gateway.key) as eo, pytest.raises(errors.InOwnBucket):
        eo.index(eo.deliveries(order)[0])


def test_a_product_that_kills_its_reader_is_delivered_without_an_index(
    start: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing.sys, "executable", "/bin/false")
    gateway = start()
    order = delivered(gateway)
    with served(gateway) as url, Session(url, api_key=gateway.key) as eo:
        for delivery in eo.deliveries(order):
            assert eo.metadata(delivery).index is None
            with pytest.raises(errors.NoIndex):
                eo.index(delivery)
        assert len(eo.open(order)) == 2, "they open by ranges all the same"


def test_a_link_that_expired_is_asked_for_again(start: Callable[..., Gateway], archive: dict[str, Path]) -> None:
    gateway = start()
    order = delivered(gateway)
    with served(gateway) as url, Session(url, api_key=gateway.key) as eo:
        (tree, _) = eo.open(order)
        link = gateway.access.link
        gateway.access._link_key = b"another" * 5  # type: ignore[attr-defined]  # all links given out are void
        assert link("x")
        same(tree, open_product(archive["S2A_MSIL1C"]))


def test_the_process_ends_when_it_has_nothing_to_do_and_when_its_gateway_is_gone(
    tmp_path: Path, archive: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FolderStorage(tmp_path)
    path = archive["S5P_NRTI_L2__NO2"]
    (tmp_path / path.name).write_bytes(path.read_bytes())
    indexer = Indexer()
    made = indexer.index(storage, path.name, "00")
    assert made is not None
    first = indexer._process
    assert first is not None
    assert first.stdin is not None
    first.stdin.close()  # as when the gateway is killed
    assert first.wait(10) == 0
    assert indexer.index(storage, path.name, "00") == made, "another one is started"
    assert indexer._process is not first
    second = indexer._process
    assert second is not None
    indexer.close()
    assert second.poll() is not None
    assert indexer.index(storage, "nothing.nc", None) is None
    (tmp_path / "cut.nc").write_bytes(path.read_bytes()[:5000])
    assert indexer.index(storage, "cut.nc", None) is None
    assert indexer.index(storage, path.name, "00") == made, "and goes on after one that cannot be read"
    indexer.close()


def test_one_that_takes_too_long_is_given_up(
    tmp_path: Path, archive: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive["S5P_NRTI_L2__NO2"]
    (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(indexing, "SECONDS", 0.01)
    indexer = Indexer()
    begun = time.monotonic()
    assert indexer.index(FolderStorage(tmp_path), path.name, None) is None
    assert time.monotonic() - begun < 5
    assert indexer._process is None
