"""eodag behind the protocol of sources: what it searches and locates; nothing is fetched by it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forty
import pytest
from far_eodag import FarEodag
from scripted_http import Reply

from extenso_nb import query
from extenso_nb.errors import InputError, NoQuicklook, ProductOffline, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Source, lacking
from extenso_nb.gateway.sources.eodag import PRESETS, EodagSource
from extenso_nb.models import Product

# An extra, which some will not install; CI does, and fails on a skip.
pytest.importorskip("eodag", reason="the extra `eodag` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # eodag and what it stands on


@pytest.fixture
def far() -> Iterator[FarEodag]:
    with FarEodag() as made:
        yield made


@pytest.fixture(scope="module")
def full() -> Iterator[FarEodag]:
    with FarEodag(largest=25) as made:
        for product in forty.population():
            made.hold(product)
        yield made


def searched(source: EodagSource, collection: str, q: str) -> list[Product]:
    hits = source.search(collection, query.parse(q), start=0, rows=1000, orderby="beginposition asc")
    return list(hits.products)


def some(collection: str, **fields: Any) -> Product:
    return next(item for item in forty.population() if item.collection == collection).model_copy(update=fields)


# --- searches --------------------------------------------------------------------------------------------------------
def test_the_recorded_answer_is_read(far: FarEodag, shared_data: Path) -> None:
    recorded = json.loads((shared_data / "catalog/eodag_provider_responses/cop_dataspace_search.json").read_bytes())
    names = sorted(item["Name"].removesuffix(".SAFE") for item in recorded["value"])
    assert len(names) == 2
    far.answers = [Reply.json({**recorded, "@odata.count": len(names)})]
    found = searched(far.source, "S2", "producttype:S2MSI1C")
    assert sorted(product.id for product in found) == names
    wanted = {item["Name"].removesuffix(".SAFE"): item for item in recorded["value"]}
    for product in found:
        item = wanted[product.id]
        assert (product.uuid, product.size, product.online) == (item["Id"], item["ContentLength"], item["Online"])
        assert product.cloud_cover == pytest.approx(
            next(a["Value"] for a in item["Attributes"] if a["Name"] == "cloudCover")
        )
        assert product.footprint is not None


@pytest.mark.slow
@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases())[:40])
def test_forty_queries(full: FarEodag, collection: str, q: str, orderby: str) -> None:
    assert forty.all_found(full.source, collection, q, orderby, rows=100) == forty.right(collection, q, orderby)


@pytest.mark.parametrize(
    ("collection", "q", "filters"),
    [
        ("S1", "producttype:SLC", ["Collection/Name eq 'SENTINEL-1'", "Value eq 'SLC'"]),
        ("S2", "tileid:31TCJ AND producttype:S2MSI2A", ["Value eq 'S2MSI2A'"]),
        ("S2", "beginposition:[2024-06-01T00:00:00Z TO 2024-06-02T00:00:00Z]",
         ["ContentDate/End gt 2024-05-31T23:59:59", "ContentDate/Start lt 2024-06-03T00:00:00"]),
        ("S5P", 'producttype:L2__NO2___ AND footprint:"Intersects(POLYGON((10 45, 12 46, 11 48, 10 45)))"',
         ["OData.CSC.Intersects(area=geography'SRID=4326;POLYGON", "Value eq 'L2__NO2___'"]),
    ],
)  # fmt: skip
def test_what_all_providers_can_be_asked_is_asked(far: FarEodag, collection: str, q: str, filters: list[str]) -> None:
    assert searched(far.source, collection, q) == []
    assert far.asked
    for asked in far.asked:
        for part in filters:
            assert part in asked["$filter"], asked
        assert int(asked["$top"]) <= 1000


def test_an_area_across_the_antimeridian_is_two(far: FarEodag) -> None:
    q = 'producttype:SLC AND footprint:"Intersects(POLYGON((178 -20, -178 -20, -178 -15, 178 -15, 178 -20)))"'
    searched(far.source, "S1", q)
    assert [asked["$filter"].count("Intersects") for asked in far.asked] == [1, 1]
    assert "182" not in far.asked[1]["$filter"]


@pytest.mark.parametrize("q", ["endposition:[0001-01-01T00:00:00Z TO *]", "beginposition:[* TO 9999-12-31T23:59:59Z]"])
def test_years_without_products_are_asked_for_as_they_can_be(far: FarEodag, q: str) -> None:
    far.hold(some("S2"))
    assert len(searched(far.source, "S2", q)) == 1


def test_what_is_not_known_is_said(far: FarEodag) -> None:
    hits = far.source.search("S1", query.parse("producttype:RAW"), start=0, rows=10, orderby="")
    assert hits.total == 0
    assert any("GRD, OCN, RAW, SLC" in note for note in hits.notes)
    with pytest.raises(SourceUnavailable, match="timeliness") as caught:
        searched(far.source, "S1", "timeliness:NRT-3h")
    assert caught.value.details["cannot"]


def test_pages_follow_one_another(full: FarEodag) -> None:
    full.asked.clear()
    found = searched(full.source, "S2", "producttype:S2MSI2A")
    assert len(found) == sum(item.product_type == "S2MSI2A" for item in forty.population())
    assert len(full.asked) == -(-len(found) // 25)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}),
        Reply(200, b""),
        Reply.json({"detail": "no"}, 400),
        Reply.json({"detail": "no"}, 503),
    ],
)
def test_an_answer_that_is_none_is_an_error(far: FarEodag, answer: Reply) -> None:
    far.answers = [answer]
    with pytest.raises(SourceUnavailable):
        searched(far.source, "S2", "producttype:S2MSI1C")


def test_pages_that_are_cut_short_are_no_end() -> None:
    with FarEodag(most=25) as far:
        for product in forty.population():
            far.hold(product)
        with pytest.raises(SourceUnavailable, match="told of 30 products, and gave 25"):
            searched(far.source, "S2", "producttype:S2MSI2A")


def test_a_page_that_fails_is_no_end(full: FarEodag) -> None:
    first = full._page({"$filter": "Collection/Name eq 'SENTINEL-2'", "$count": "true", "$top": "25"})
    full.answers = [first, Reply.json({"detail": "no"}, 503)]
    with pytest.raises(SourceUnavailable):
        searched(full.source, "S2", "producttype:S2MSI2A AND tileid:32TNT")
    full.answers.clear()


def test_when_it_is_down_it_says_so(far: FarEodag) -> None:
    far.source.check()
    far.server.broken = True
    with pytest.raises(SourceUnavailable):
        far.source.check()
    far.server.close()
    for ask in (far.source.check, lambda: searched(far.source, "S1", "*"), lambda: far.source.find((some("S1").id,))):
        with pytest.raises(SourceUnavailable):
            ask()


# --- products --------------------------------------------------------------------------------------------------------
def test_products_are_found_by_name(far: FarEodag) -> None:
    held = [some(name) for name in PRESETS]
    for product in held[:3]:
        far.hold(product)
    found = far.source.find((*(product.id for product in held), "x", "S2A' or '1' eq '1"))
    assert set(found) == {product.id for product in held[:3]}
    assert all(found[product.id].size == product.size for product in held[:3])
    assert len(far.asked) == 4
    with pytest.raises(UnknownProduct):
        far.source.storage_options(held[3].id)


def test_bytes_are_not_its_business(far: FarEodag) -> None:
    product = some("S2")
    far.hold(product)
    assert far.source.profile.delivers == frozenset()
    for ask in (far.source.open, far.source.warm_up):
        with pytest.raises(SourceUnavailable, match="cannot be asked"):
            ask(product.id)
    with pytest.raises(NoQuicklook):
        far.source.quicklook(product.id)


def test_quicklooks_come_by_our_own_way(far: FarEodag) -> None:
    far.hold(some("S2"))
    (held,) = far.entries
    far.server.add(some("S2").id)
    far.server.held[some("S2").id].picture = b"\xff\xd8\xff\xe0jpeg"
    link = f"{far.server.url}/quicklook/{some('S2').id}"
    held["Assets"] = [{"Type": "QUICKLOOK", "Id": "1", "DownloadLink": link}]
    assert far.source.quicklook(some("S2").id) == b"\xff\xd8\xff\xe0jpeg"


def test_a_cold_product_is_not_ordered_in_passing(far: FarEodag) -> None:
    product = some("S2", online=False)
    far.hold(product)
    assert not far.source.find((product.id,))[product.id].online
    with pytest.raises(ProductOffline):
        far.source.storage_options(product.id)
    assert {path for _, path in far.server.paths} == {"/odata/v1/Products"}


def test_a_product_is_located(far: FarEodag) -> None:
    product = some("S2", online=True)
    far.hold(product)
    far.source._credentials = lambda: {"username": "someone", "password": "right"}
    options = far.source.storage_options(product.id)
    assert options["path"].startswith(f"{far.server.url}/odata/v1/Products({product.uuid})/$value")
    assert "token=" in options["path"] or "Bearer" in str(options["headers"])
    assert [login["username"] for login in far.logins] == ["someone"]
    assert not [path for _, path in far.server.paths if "$value" in path]


def test_a_wrong_password_is_told(far: FarEodag) -> None:
    product = some("S2", online=True)
    far.hold(product)
    far.source._credentials = lambda: {"username": "someone", "password": "wrong-word"}
    with pytest.raises(SourceUnavailable) as caught:
        far.source.storage_options(product.id)
    assert "wrong-word" not in str(caught.value)
    assert len(far.logins) == 1


def test_without_credentials_a_product_is_not_located(far: FarEodag) -> None:
    product = some("S2", online=True)
    far.hold(product)
    with pytest.raises(SourceUnavailable) as caught:
        far.source.storage_options(product.id)
    assert "eodag.yml" in caught.value.hint


# --- eodag itself ----------------------------------------------------------------------------------------------------
def test_it_writes_into_no_home_and_asks_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with FarEodag() as far:
        assert far.server.paths == []
        assert searched(far.source, "S1", "producttype:SLC") == []
        assert {path for _, path in far.server.paths} == {"/odata/v1/Products"}
        folder = Path(far.source._folder.name)  # type: ignore[union-attr]
        assert (folder / "eodag.yml").is_file()
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_users_own_settings_are_read_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / ".config" / "eodag" / "eodag.yml"
    own.parent.mkdir(parents=True)
    text = "cop_dataspace:\n  auth:\n    credentials:\n      username: someone\n      password: secret-word\n"
    own.write_text(text)
    with FarEodag() as far:
        searched(far.source, "S1", "producttype:SLC")
        auth = far.source._dag._providers["cop_dataspace"].config.auth
        assert auth.credentials["username"] == "someone"
    assert own.read_text() == text
    assert [path.name for path in own.parent.iterdir()] == ["eodag.yml"]


def test_it_is_a_source() -> None:
    source = EodagSource(lambda: {"username": "someone", "password": "secret-word"}, provider="creodias")
    assert isinstance(source, Source)
    assert source.name == "eodag:creodias"
    assert lacking(source) is None
    assert "secret-word" not in repr(source) + repr(vars(source))
    source.close()


def test_unknown_providers_are_said_to_be(far: FarEodag) -> None:
    source = EodagSource(provider="nobody")
    with pytest.raises(SourceUnavailable, match="nobody"):
        searched(source, "S1", "*")
    source.close()


def test_without_eodag_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extenso_nb.gateway.sources.eodag.find_spec", lambda _name: None)
    with pytest.raises(InputError, match="not installed") as caught:
        EodagSource()
    assert "pip install 'extenso-nb[eodag]'" in caught.value.hint


def test_the_package_does_not_import_it() -> None:
    import subprocess

    code = "import sys, extenso_nb.gateway.sources.eodag; print('eodag' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
