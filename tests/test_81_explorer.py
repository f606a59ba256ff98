"""The Explorer over a real gateway, without a browser: from an area to a tree, by its state and its own verbs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shapely.geometry import box, mapping

from extenso_nb.gateway.embed import find
from extenso_nb.session import Session, connect

L1C = "S2A_MSIL1C_20180629T000241_N0206_R030_T56JMM_20180629T012042"


@pytest.fixture(scope="module")
def eo(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("data")
    with connect(sources=f"folder:{shared_data / 's2_l1c'}", data_dir=folder) as made:
        yield made
    found = find(folder)
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGTERM)


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_from_an_area_to_a_tree(eo: Session) -> None:
    explorer = eo.explorer()
    try:
        explorer.state.aoi = mapping(box(152.2, -30.5, 152.6, -30.1))
        explorer.state.start, explorer.state.stop = "2018-06-29", "2018-06-29"
        explorer.search()
        until(lambda: explorer.state.searched)
        assert explorer.result.ids == [L1C]
        until(lambda: explorer.state.thumbnails.get(L1C))
        assert explorer.state.thumbnails[L1C].startswith("data:image/")
        assert "1 of 1" in explorer.static() or L1C in explorer.static()
        explorer.state.selected = [L1C]
        explorer.estimate()
        until(lambda: explorer.state.estimate)
        before = len(eo.orders())
        explorer.order()
        until(lambda: any(order.status == "delivered" for order in explorer.orders))
        assert len(eo.orders()) == before + 1
        delivery = eo.deliveries(explorer.orders[0].id)[0]
        explorer.load(delivery.id)
        until(lambda: explorer.tree is not None)
        assert explorer.tree.attrs["product_id"] == L1C
        assert explorer.tree["measurements/r10m"]["B04"].shape == (439, 439)
    finally:
        explorer.close()


def test_an_explorer_shows_what_a_search_found(eo: Session) -> None:
    found = eo.search("S2", limit=1)
    explorer = eo.explore(found, resume=False)
    try:
        assert explorer.result.ids == found.ids
        until(lambda: explorer.state.thumbnails.get(found.ids[0]))
    finally:
        explorer.close()


def test_another_explorer_finds_the_orders_of_the_first(eo: Session) -> None:
    number = eo.order([L1C]).id
    explorer = eo.explorer()  # as after a restart of the kernel
    try:
        until(lambda: number in [order.id for order in explorer.orders])
        until(lambda: {order.id: order.status for order in explorer.orders}[number] == "delivered")
    finally:
        explorer.close()


def test_nothing_found_and_a_failed_search_look_different(eo: Session, tmp_path: Path) -> None:
    explorer = eo.explorer()
    explorer.state.product_type = "no such type"
    explorer.search()
    until(lambda: explorer.state.searched)
    assert (explorer.state.total, explorer.state.message["level"] == "error") == (0, False)
    explorer.close()
    with connect(sources=f"folder:{tmp_path / 'gone'}", data_dir=tmp_path / "data") as broken:
        failing = broken.explorer()
        failing.search()
        until(lambda: failing.state.message["level"] == "error")
        assert not failing.state.searched
        assert "gone" in failing.state.message["title"] + failing.state.message["detail"]
        assert failing.state.message["hint"]
        failing.close()
    found = find(tmp_path / "data")
    assert found is not None
    os.kill(found.pid, signal.SIGTERM)
