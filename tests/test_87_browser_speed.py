"""The Explorer is quick: bounds on what its user waits for, in a real browser, over a real gateway."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browser import opened
from explorer_speed import MANY, SLOW, Progress, Speed, best, gateway
from frontends import FrontEnd

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOVER_MS, THOUSAND_SECONDS, KERNEL_MB, UPDATES = 150, 3, 250, 0.8


@pytest.fixture(scope="module")
def speed(lab: FrontEnd, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speed]:
    folder = tmp_path_factory.mktemp("speed")
    with gateway(folder) as place, opened(chromium, lab, place.cell) as book:
        yield Speed(book, folder, place)


def quick(times: list[float]) -> float:
    """The quarter that went best, in milliseconds: a machine that does something else is not a slow Explorer."""
    return statistics.quantiles(times, n=4)[0]


@pytest.mark.slow
def test_hover_there_and_back_with_200_products(speed: Speed) -> None:
    speed.put(MANY)
    speed.fetch_pictures()
    # Of the kernel with all of them, before anything else is loaded into it.
    assert speed.book.kernel.resident() < KERNEL_MB
    cards, footprints = speed.hover_cards(), speed.hover_footprints()
    assert len(cards) == len(footprints) == 20
    assert quick(cards) <= HOVER_MS, cards
    assert quick(footprints) <= HOVER_MS, footprints


@pytest.mark.slow
def test_progress_of_a_real_delivery_while_a_cell_computes(speed: Speed) -> None:
    speed.put(MANY)
    seen: list[Progress] = []
    for at in range(SLOW):  # more than one only where the machine does something else
        seen.append(speed.progress(at))
        assert len(seen[-1].told) >= 5, "a delivery that moved"
        if seen[-1].share >= UPDATES:
            return
    raise AssertionError(f"of what the gateway told too little was shown while the cell was busy: {seen}")


@pytest.mark.slow
def test_a_thousand_products_on_the_screen(speed: Speed) -> None:
    assert best(lambda: speed.put(1000)) <= THOUSAND_SECONDS
