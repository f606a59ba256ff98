"""The Explorer through what happens to a notebook: the page is loaded again, the kernel is started again."""

from __future__ import annotations

import pytest
from browser import Browse
from frontends import FrontEnd


@pytest.mark.slow
def test_a_page_that_is_loaded_again_shows_everything_again(lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab)
    explorer = book.explorer.ready()
    explorer.search()
    explorer.card(2).wait_for()
    number = explorer.order_first()
    explorer.wait_delivered(number)
    explorer.select(1)
    chosen = book.kernel.until("explorer.state.selected")
    book.kernel.run("assert explorer.wait(60)")
    book.until(lambda: explorer.pictures() == explorer.cards.count(), "all thumbnails")
    cards, footprints = explorer.names(), explorer.footprints.count()
    # Lab keeps what cells have shown in the file, and shows it from there.
    book.save()
    book.reload()
    explorer.ready()
    book.until(lambda: explorer.names() == cards, "the same cards")
    book.until(lambda: explorer.pictures() == len(cards), "all thumbnails again")
    book.until(lambda: explorer.footprints.count() == footprints, "the same footprints")
    assert explorer.chosen.count() == 1
    explorer.row(number).wait_for()
    # It is no picture of the past: what is clicked arrives.
    explorer.select(2)
    assert len(book.kernel.until("len(explorer.state.selected) == 2 and explorer.state.selected")) == 2
    assert book.kernel.value("explorer.state.selected")[0] == chosen[0]


@pytest.mark.slow
def test_a_widget_whose_kernel_is_gone_says_so_and_a_new_one_knows_the_orders(lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab)
    explorer = book.explorer.ready()
    explorer.search()
    explorer.card(1).wait_for()
    number = explorer.order_first()
    assert explorer.dead.count() == 0
    book.restart()
    assert explorer.cards.count() > 1, "the old widget is still there, and looks alive"
    explorer.dead.first.wait_for()
    assert explorer.dead.count() == 1, "said once, for all parts"
    explorer.card(1).click()  # to no effect, and without harm
    assert "Run the cell again" in explorer.dead.first.inner_text()
    assert "kernel does not answer" in explorer.dead.first.inner_text()
    book.run()
    explorer.ready()
    # Orders went on meanwhile, in the gateway.
    explorer.wait_delivered(number)
    assert explorer.dead.count() == 0
    assert book.kernel.value(f"{number} in [order.id for order in explorer.orders]")
    # So did the last search, which is offered.
    explorer.button("Last search").click()
    book.kernel.until("explorer.state.searched and 'search' not in explorer.state.busy")
    explorer.card(1).wait_for()
    # The old map is one of ipyleaflet, and told the dead kernel that its place on the page had changed.
    assert set(book.watch.take()) <= {"page error: Cannot send"}
