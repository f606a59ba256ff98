"""Two worker processes compute with every kind of product: from a zip, over http, out of a real S3."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import eopf_store
import numpy as np
import pytest
import radar
import swaths
import xarray as xr
from drawn import drawn
from ranges import RangeServer, range_server
from seaweed import ACCESS, SECRET, bucket_of

from extenso_nb.errors import ReaderError
from extenso_nb.readers import index, open_product, share_addresses
from extenso_nb.storage import BucketStorage, FileObject, vault

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("archive")
    work = tmp_path_factory.mktemp("work")
    found = drawn(folder)
    others = {
        "SLC": radar.slc(work / "slc"),
        "OCN": radar.ocean(work / "ocn"),
        "SRAL": swaths.altimetry(work),
        "SYN": swaths.synergy(work),
        "VGP": swaths.vegetation(work, "VGP"),
    }
    for kind, made in others.items():
        found[kind] = radar.zipped(made, folder / f"{made.stem}.zip", zipfile.ZIP_STORED)
    found["EOPF"] = eopf_store.packed(eopf_store.write(work), folder / "eopf.zarr.zip", zipfile.ZIP_STORED)
    return found


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def cluster(s3: str, environment: dict[str, str]) -> Iterator[Any]:
    from dask.distributed import Client, LocalCluster

    where = {"dashboard_address": ":0", "host": "127.0.0.1"}
    given = {**environment, "AWS_ENDPOINT_URL": s3}
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": given}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **where) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def server(archive: dict[str, Path]) -> Iterator[RangeServer]:
    with range_server(archive["S2A_MSIL1C"].parent) as found:
        yield found


def largest(tree: xr.DataTree) -> xr.DataArray:
    """The lazy array of a product that has the most values."""
    arrays = [
        item for node in tree.subtree for item in node.data_vars.values() if item.chunks and item.dtype.kind in "fc"
    ]
    return max(arrays, key=lambda item: item.size)


@pytest.mark.parametrize("place", ["zip", "http", "s3"])
def test_the_mean_of_each_kind(
    place: str,
    archive: dict[str, Path],
    cluster: Any,
    server: RangeServer,
    s3: str,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**environment, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    lazy, expected = [], []
    for kind, path in archive.items():
        expected.append(float(np.abs(largest(open_product(path))).mean()))
        if place == "s3":
            BucketStorage(bucket_of(s3, "deliveries")).put_bytes(f"cluster/{path.name}", path.read_bytes())
        address = {"zip": str(path), "http": server.url(path.name), "s3": f"s3://deliveries/cluster/{path.name}"}[place]
        made = None if place == "zip" or kind == "EOPF" else index.build(FileObject(path))
        lazy.append(np.abs(largest(open_product(address, index=made, chunks="auto"))).mean())
    server.clear()
    futures = cluster.compute(lazy)
    found = [float(item) for item in cluster.gather(futures)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (place == "http") == bool(server.requests), "workers read for themselves"


def test_a_folder_in_s3_opens_as_the_folder_here(
    archive: dict[str, Path], s3: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {**environment, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    for kind in ("S2A_MSIL2A", "S3A_OL_2"):
        with zipfile.ZipFile(archive[kind]) as packed:
            packed.extractall(tmp_path)
        (folder,) = [path for path in tmp_path.iterdir() if path.name.startswith(kind)]
        bucket = BucketStorage(bucket_of(s3, "deliveries"))
        for file in folder.rglob("*"):
            if file.is_file():
                bucket.put_bytes(
                    f"folders/{folder.relative_to(tmp_path)}/{file.relative_to(folder)}", file.read_bytes()
                )
        here, there = open_product(folder), open_product(f"s3://deliveries/folders/{folder.name}")
        assert here.groups == there.groups
        again = pickle.loads(pickle.dumps(there))
        for one, other in zip(here.subtree, again.subtree, strict=True):
            xr.testing.assert_equal(one.to_dataset().load(), other.to_dataset().load())
        assert SECRET.encode() not in pickle.dumps(there)
    with pytest.raises(ReaderError, match="There is nothing below"):
        open_product("s3://deliveries/folders/nothing.SAFE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-planted-secret")
    with pytest.raises(ReaderError, match="the server refuses it") as caught:
        open_product("s3://deliveries/cluster/x.zip")
    assert "planted" not in str(caught.value)


def test_workers_elsewhere_are_told(
    archive: dict[str, Path], cluster: Any, server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot look into the files of this user says so, and knows the address once it was shared."""
    monkeypatch.setattr(vault, "hand_over", lambda name: None)
    server.signature = "for-those-elsewhere"
    tree = open_product(server.url(archive["S2A_MSIL1C"].name))
    array = tree["measurements/r60m/B01"].mean()
    with pytest.raises(ReaderError, match="is not known on this machine") as caught:
        cluster.compute(array).result()
    assert "share_addresses" in str(caught.value)
    assert share_addresses(cluster) == 2
    assert float(cluster.compute(tree["measurements/r60m/B01"].mean()).result()) > 0
    server.signature = "s3cr3t"
