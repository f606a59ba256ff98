"""The card of an opened product: what it says is so, it reads no pixels, and nothing in a product gets out of its text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from drawn import drawn

from extenso_nb import errors
from extenso_nb.readers import arrays, card, hdf5, open_product

KINDS = ("S1A_IW_GRDH", "S2A_MSIL2A", "S3A_OL_1", "S5P_NRTI_L2__NO2")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return drawn(tmp_path_factory.mktemp("drawn"), KINDS)


class Page(HTMLParser):
    """Tags with their attributes, and the text between; raises where tags do not nest."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def made(**facts: Any) -> xr.DataTree:
    data = xr.Dataset({"B04": (("y", "x"), np.zeros((30, 40), "float32"))})
    tree = xr.DataTree.from_dict({"/measurements/r10m": data})
    tree.attrs.update({"product_id": "S2A_MSIL2A_X", **facts})
    return tree


def html(tree: xr.DataTree) -> str:
    text: str = tree.product._repr_html_()
    return text


SQUARE = "POLYGON ((10 50, 11 50, 11 51, 10 51, 10 50))"


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_says_what_the_product_is_and_reads_no_pixel(
    paths: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = open_product(paths[kind])

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("pixels are read")

    monkeypatch.setattr(arrays.ImageArray, "_read", never)
    readers = [item for item in vars(hdf5).values() if isinstance(item, type) and hasattr(item, "_read")]
    assert readers
    for item in readers:
        monkeypatch.setattr(item, "_read", never)
    with dask.config.set(scheduler=never):
        line, content = repr(tree.product), html(tree)
    assert re.fullmatch(r"<[^\n]{20,300}>", line)
    assert tree.attrs["product_id"] in line
    page = Page(content)
    text = " ".join(page.text)
    for node in tree.subtree:
        if node.data_vars:
            assert node.path in text
            assert str(next(iter(node.data_vars))) in text
    assert tree.attrs["platform"] in text
    assert [attributes["d"] for tag, attributes in page.tags if tag == "path"], "the footprint is drawn"
    pictures = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    if kind.startswith("S5P"):
        assert pictures == []
        assert "The product holds no picture." in text
    else:
        assert len(pictures) == 1
        assert pictures[0].startswith("data:image/")


def test_sizes_are_those_of_the_arrays() -> None:
    tree = made()
    assert repr(tree.product) == "<S2A_MSIL2A_X: 1 group, 1 variable, 4.8 kB>"
    assert "4.8 kB" in html(tree)
    assert "y 30 × x 40" in html(tree)
    assert repr(tree["measurements/r10m"].product) == repr(tree.product), "a group tells of its product"
    assert repr(xr.DataTree().product) == "<product: 0 groups, 0 variables, 0 B>"
    assert Page(html(xr.DataTree())).tags


def test_a_product_at_an_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network is asked")

    monkeypatch.setattr(socket.socket, "connect", never)
    for address in ("https://example.org/a.zip", "s3://bucket/a.SAFE/", "ftp://user:secret@example.org/a"):
        content = html(made(source_uri=address))
        assert "<img" not in content
        assert ("not fetched" in content) == (not address.startswith("ftp"))
    with pytest.raises(errors.NoQuicklook, match="not fetched"):
        made(source_uri="s3://bucket/a.SAFE/").product.quicklook()


def test_a_card_of_what_is_gone_is_a_card_without_a_picture(tmp_path: Path) -> None:
    assert "There is nothing at" in html(made(source_uri=str(tmp_path / "gone.zip")))
    assert "does not say where" in html(made())
    assert "does not say where" in html(made(source_uri=17))
    (tmp_path / "text.zip").write_text("no zip")
    assert "begin as a zip" in html(made(source_uri=str(tmp_path / "text.zip")))


HOSTILE = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>\n&amp;<svg onload=alert(3)>"


def test_nothing_in_a_product_gets_out_of_its_text() -> None:
    keys = {key for _, group, _ in card._IMPORTANT for key in group} | {"source_uri", "footprint", "product_id"}
    tree = made(**dict.fromkeys(keys, HOSTILE), sensing_time=HOSTILE)
    tree.attrs["missing_members"] = [HOSTILE] * 9
    data = xr.Dataset({HOSTILE.replace("/", "|"): (("<b>rows",), np.zeros(3))})
    tree["measurements/<i>x"] = xr.DataTree(data)
    content = html(tree)
    page = Page(content)
    known = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "text", "line", "path"}
    assert {tag for tag, _ in page.tags} <= known
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in {"href", "src"}]
    assert "alert(1)" in " ".join(page.text)
    assert "\n" not in repr(tree.product)
    addresses = set(re.findall(r"https?://[^\"'\s<]+", content))
    assert addresses == {"http://www.w3.org/2000/svg"}, "nothing is loaded from anywhere"


@pytest.mark.parametrize(
    "outline",
    [
        None,
        12,
        "POLYGON EMPTY",
        "POLYGON ((1 2",
        "<svg>",
        "POINT (inf 3)",
        "POLYGON ((0 0, 1e300 0, 0 1, 0 0))",
        "POLYGON ((0 95, 1 95, 1 96, 0 95))",
        "MULTIPOLYGON EMPTY",
    ],
)
def test_an_outline_that_is_none_is_said_to_be_none(outline: Any) -> None:
    facts = {} if outline is None else {"footprint": outline}
    page = Page(html(made(**facts)))
    assert "no footprint" in page.text
    assert "path" not in {tag for tag, _ in page.tags}


@pytest.mark.parametrize(
    "outline",
    [
        SQUARE,
        "POINT (10 50)",
        "LINESTRING (-170 -80, 170 80)",
        "GEOMETRYCOLLECTION (POINT (1 2), POLYGON ((10 50, 11 50, 11 51, 10 51, 10 50)))",
        "POLYGON Z ((10 50 1, 11 50 1, 11 51 1, 10 51 1, 10 50 1))",
        "POLYGON ((-180 -90, 180 -90, 180 90, -180 90, -180 -90))",
        "POLYGON ((10 89, 130 89, -110 89, 10 89))",
    ],
)
def test_any_outline_is_drawn_within_its_frame(outline: str) -> None:
    page = Page(html(made(footprint=outline)))
    drawn_as = [attributes["d"] or "" for tag, attributes in page.tags if tag == "path"]
    assert len(drawn_as) == 1
    numbers = [tuple(map(float, pair.split())) for pair in re.findall(r"[-\d.]+ [-\d.]+", drawn_as[0])]
    assert numbers
    assert all(0 <= x <= card._WIDE and 0 <= y <= card._HIGH for x, y in numbers)


def test_the_outline_has_north_above_and_the_degrees_that_are_written() -> None:
    page = Page(html(made(footprint=SQUARE)))
    (path,) = [attributes["d"] or "" for tag, attributes in page.tags if tag == "path"]
    corners = [tuple(map(float, pair.split())) for pair in re.findall(r"[-\d.]+ [-\d.]+", path)]
    assert corners[0][1] > corners[2][1], "50 degrees north lies below 51"
    assert corners[0][0] < corners[1][0]
    words = {text: attributes for (tag, attributes), text in _labels(page)}
    assert float(words["51°N"]["y"]) + 2 == pytest.approx(corners[2][1], abs=0.1)
    assert float(words["10°E"]["x"]) == pytest.approx(corners[0][0], abs=0.1)


def _labels(page: Page) -> list[tuple[tuple[str, dict[str, Any]], str]]:
    texts = [item for item in page.tags if item[0] == "text"]
    words = [text for text in page.text if "°" in text]
    return list(zip(texts, words, strict=True))


def test_an_outline_over_the_antimeridian_is_in_one_piece() -> None:
    two = "MULTIPOLYGON (((178 0, 180 0, 180 2, 178 2, 178 0)), ((-180 0, -178 0, -178 2, -180 2, -180 0)))"
    page = Page(html(made(footprint=two)))
    (path,) = [attributes["d"] or "" for tag, attributes in page.tags if tag == "path"]
    x = [float(pair.split()[0]) for pair in re.findall(r"[-\d.]+ [-\d.]+", path)]
    assert max(x) - min(x) > card._WIDE / 2, "near the whole frame, not two slivers at its ends"
    first, second = x[:5], x[5:]
    assert min(second) == pytest.approx(max(first), abs=0.2)
    assert any(text.endswith("°W") for text in page.text)
