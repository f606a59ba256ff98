"""The main job on real input: a folder of real products behind the API, one found, ordered, delivered and opened."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio.transform
from rasterio.io import MemoryFile

from extenso_nb import errors, session
from extenso_nb.client import Client
from extenso_nb.gateway.embed import find
from extenso_nb.models import Product
from extenso_nb.session import Session, connect

L1C = "S2A_MSIL1C_20180629T000241_N0206_R030_T56JMM_20180629T012042"


@pytest.fixture(scope="module")
def eo(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("data")
    with connect(sources=f"folder:{shared_data}", data_dir=folder) as made:
        yield made
    found = find(folder)
    if found:
        os.kill(found.pid, signal.SIGTERM)


def test_it_lists_the_real_products(eo: Session) -> None:
    held = {name: eo.search(name, limit=None) for name in ("S1", "S2", "S3", "S5P")}
    assert {name: result.total for name, result in held.items()} == {"S1": 10, "S2": 33, "S3": 11, "S5P": 5}
    every: list[Product] = [product for result in held.values() for product in result]
    assert all(product.size > 0 and product.begin_position.tzinfo for product in every)
    named = {product.id for product in every}
    assert {
        L1C,
        "S3A_SR_2_LAN____20210611T011438_20210611T012436_20210611T024819_0598_072_373______LN3_O_NR_004",
    } <= named
    assert len(held["S2"].gdf) == 33


def test_search_by_place_time_and_words(eo: Session) -> None:
    here = eo.search("S2", bbox=(152.3, -30.4, 152.5, -30.2), datetime="2018-06")
    assert here.ids == [L1C]
    assert eo.search("S2", bbox=(152.3, -30.4, 152.5, -30.2), datetime="2019").ids == []
    assert eo.search("S2", q="tileid:56JMM AND platformserialidentifier:Sentinel-2A").ids == [L1C]
    assert eo.search("S3", product_type="SR_1_SRA___").total == 2
    across = eo.search("S2", bbox=(179.0, 65.0, -179.0, 67.0))
    assert across.ids == ["S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157"]


def test_found_ordered_delivered_and_opened_with_the_numbers_of_rasterio(
    eo: Session, shared_data: Path, tmp_path: Path
) -> None:
    scenes = eo.search("S2", q="tileid:56JMM AND producttype:S2MSI1C")
    estimate = eo.estimate(scenes)
    order = eo.wait(eo.order(scenes), progress=False)
    assert order.status == "delivered"
    assert order.size == estimate.total
    tree = eo.open(order)[0]
    checked = 0
    with zipfile.ZipFile(shared_data / "s2_l1c" / f"{L1C}.zip") as archive:
        for name in archive.namelist():
            band = name[-7:-4]
            if "/IMG_DATA/" not in name or band in {"TCI", ""} or not name.endswith(".jp2"):
                continue
            with MemoryFile(archive.read(name)) as memory, memory.open() as image:
                numbers, transform = image.read(1), image.transform
            group = next(group for group in tree["measurements"].children.values() if band in group.data_vars)
            array = group[band]
            expected = np.where(numbers == 0, np.nan, numbers.astype("float32") / np.float32(10000))
            np.testing.assert_allclose(array.values, expected, rtol=1e-6)
            x, y = rasterio.transform.xy(transform, 0, 0)
            np.testing.assert_allclose([array.x[0], array.y[0]], [x, y])
            assert array.rio.crs.to_epsg() == 32756
            checked += 1
    assert checked == 13
    # What was downloaded is what was delivered, and a zip of which each member is a byte range.
    path = eo.download(order, tmp_path, progress=False)[0]
    delivery = eo.deliveries(order)[0]
    assert delivery.checksums is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == delivery.checksums["sha256"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_gateway_elsewhere_is_read_by_ranges_or_downloaded_from(
    eo: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same order through a connection that knows nothing but URL and key."""
    monkeypatch.setattr(session, "_cache", lambda: tmp_path / "cache")
    order = eo.wait(eo.order([L1C]), progress=False)
    with Session(eo.url, api_key=eo._owner_key.get_secret_value()) as far:
        near = eo.open(order)[0]["measurements/r10m"]["B04"]
        ranged = far.open(order)[0]
        assert ranged.attrs["source_uri"].startswith(f"{eo.url}/files/")
        np.testing.assert_array_equal(ranged["measurements/r10m"]["B04"].values, near.values)
        assert not (tmp_path / "cache").exists()
        fetched = far.open(order, fetch=True, progress=False)[0]
        assert str(tmp_path) in fetched.attrs["source_uri"]
        np.testing.assert_array_equal(fetched["measurements/r10m"]["B04"].values, near.values)
    eo.delete(order)


def test_names_and_keys_of_connect(eo: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(eo.url, api_key=eo._owner_key.get_secret_value()) as named:
        assert named.me().name == "owner"
        assert eo._owner_key.get_secret_value() not in repr(named)
    monkeypatch.setenv("EXTENSO_URL", eo.url)
    monkeypatch.setenv("EXTENSO_API_KEY", eo._owner_key.get_secret_value())
    with connect() as from_environment:
        assert from_environment.me().name == "owner"
    with pytest.raises(errors.InvalidApiKey):
        connect(eo.url, api_key="wrong")
    with pytest.raises(errors.GatewayUnreachable, match=r"127\.0\.0\.1:1"):
        connect("http://127.0.0.1:1", api_key="k")
    monkeypatch.delenv("EXTENSO_API_KEY")
    with pytest.raises(errors.AccessError, match="No API key"):
        connect(eo.url)


def test_a_settings_file_gives_its_key_to_its_address_only(
    eo: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import json

    import platformdirs

    monkeypatch.setattr(platformdirs, "user_config_dir", lambda *_, **__: str(tmp_path))
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"url": eo.url, "api_key": eo._owner_key.get_secret_value()}))
    file.chmod(0o644)
    with pytest.raises(errors.AccessError, match="can be read by others"):
        connect()
    file.chmod(0o600)
    with connect() as filed:
        assert filed.me().name == "owner"
    with pytest.raises(errors.AccessError, match="No API key"):
        connect("http://127.0.0.1:2")
    monkeypatch.setenv("EXTENSO_URL", "http://127.0.0.1:2")
    with pytest.raises(errors.AccessError, match="No API key"):
        connect()
    file.write_text("nonsense")
    monkeypatch.delenv("EXTENSO_URL")
    with pytest.raises(errors.InputError, match="not a JSON object"):
        connect()


def test_a_gateway_that_runs_keeps_its_sources(eo: Session, tmp_path: Path) -> None:
    assert eo._storage is not None
    with pytest.raises(errors.InputError, match="has the sources"):
        connect(sources="sample", data_dir=eo._storage.parent)
    with pytest.raises(errors.InputError, match="belong to the embedded"):
        connect("http://127.0.0.1:1", data_dir=tmp_path)


def test_opening_what_is_not_there_says_so(eo: Session) -> None:
    order = eo.order(eo.search("S3", product_type="SR_2_LAN___"))
    with contextlib.suppress(errors.OrderFinished):
        eo.cancel(order)
    if eo.status(order).status == "cancelled":
        with pytest.raises(errors.NotDelivered, match="cancelled"):
            eo.open(order)
    with pytest.raises(errors.UnknownOrder):
        eo.open(10**9)


def test_the_session_overrides_nothing_of_the_client_by_accident() -> None:
    inherited = set(dir(Client))
    assert {name for name in vars(Session) if name in inherited and not name.startswith("__")} == set()


def test_a_cloud_limit_where_there_is_no_cloud_figure_is_refused(eo: Session) -> None:
    with pytest.raises(errors.InputError, match="no cloud figure"):
        eo.search("S1", cloud_cover=30)
    assert eo.search("S2", cloud_cover=30).total > 0


def test_an_order_of_several_missions_says_what_opens(eo: Session) -> None:
    placeholders = eo.search("S3", product_type="OL_2_LFR___").ids[0]
    order = eo.wait(eo.order([L1C, placeholders]), progress=False)
    with pytest.raises(errors.IncompleteProduct) as caught:
        eo.open(order)
    assert f"open('{order.id}-1')" in caught.value.hint
    assert len(eo.open(f"{order.id}-1")) == 1
    eo.delete(order)


def test_an_address_without_a_scheme_is_said() -> None:
    with pytest.raises(errors.InputError, match=r"example\.org") as caught:
        connect("example.org", api_key="k")
    assert "https://example.org" in caught.value.hint
