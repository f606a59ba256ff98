"""The basket: what is selected, its estimate against the quota, where it goes, and the order."""

from __future__ import annotations

from traitlets import Unicode

from extenso_nb import _html
from extenso_nb.widgets.panel import Panel, Source, script, style

__all__ = ["Basket"]


class Basket(Panel):
    """How much is selected, and the buttons that estimate and order it."""

    _esm = script("basket")
    _css = style("basket")
    text = Unicode("").tag(sync=True)
    count = Unicode("0").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source)
        self.watch(self._show, "selected", "estimate")
        self.answer("estimate", lambda _: self.desk.estimate())
        self.answer("order", lambda _: self.desk.order())

    def _show(self) -> None:
        found = self.state.basket()
        answer = self.state.estimated()
        text = f"{len(found)} selected, {_html.bytes_text(sum(product.size for product in found))}"
        if answer is not None:
            text += f"; estimate {_html.bytes_text(answer.total)}: {'fits' if answer.fits else 'does not fit'}"
        self.text, self.count = text, str(len(found))
