"""What the Explorer exports is run: Python, commands and curl give what its own search gives, by one real gateway."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
from archive import write_archive
from desk_gateway import product
from hypothesis import given
from hypothesis import strategies as st
from seaweed import ACCESS, SECRET
from shapely.geometry import MultiPolygon, box, mapping
from traitlets import TraitError

from extenso_nb import aoi, errors
from extenso_nb.gateway.embed import Found, find
from extenso_nb.models import BucketProperties
from extenso_nb.session import Session, connect
from extenso_nb.widgets import actions, export
from extenso_nb.widgets.desk import Desk
from extenso_nb.widgets.state import ExplorerState

ROOT = Path(__file__).resolve().parent.parent
LAURAGAIS = mapping(box(1.2, 43.2, 1.6, 43.6))
ROUND = mapping(shapely.Point(1.4, 43.4).buffer(0.3))
TWO = mapping(MultiPolygon([box(1.3, 43.3, 1.5, 43.5), box(4.2, 43.2, 4.8, 43.7)]))
HOLED = mapping(box(-10, 40, 20, 70).difference(box(1.0, 43.0, 2.0, 44.0)))
HOSTILE = "it's \"quoted\" $HOME $(id) `id` !! \\n \\ ; | & > # %41 ' é \U0001f600"

STATES: dict[str, dict[str, Any]] = {
    **{collection: {"collection": collection} for collection in ("S1", "S2", "S3", "S5P")},
    "days": {"start": "2024-06-01", "stop": "2024-06-30"},
    "one day": {"start": "2024-06-08", "stop": "2024-06-08"},
    "since": {"start": "2024-06-10"},
    "until": {"stop": "2024-05-20"},
    "cloud": {"cloud": 12.5},
    "clear": {"cloud": 20, "sort": "cloudcoverpercentage asc"},
    "type": {"product_type": "S2MSI1C"},
    "type of many words": {"collection": "S3", "product_type": "OL_1_EFR___"},
    "S1 platform": {"collection": "S1", "filters": {"platform": "S1A"}},
    "S1 mode": {"collection": "S1", "filters": {"sensor_mode": "IW"}},
    "S1 polarisation": {"collection": "S1", "filters": {"polarisation": "VV VH"}},
    "S1 pass": {"collection": "S1", "filters": {"orbit_direction": "ASCENDING"}},
    "S1 orbit": {"collection": "S1", "filters": {"relative_orbit": "110"}},
    "S2 platform": {"filters": {"platform": "S2B"}},
    "S2 tile": {"filters": {"tile": "31T*"}},
    "S2 orbit": {"filters": {"relative_orbit": "51"}},
    "S3 timeliness": {"collection": "S3", "filters": {"timeliness": "NT"}},
    "S3 platform": {"collection": "S3", "filters": {"platform": "S3A"}},
    "S5P timeliness": {"collection": "S5P", "filters": {"timeliness": "Near real time"}},
    "S5P level": {"collection": "S5P", "filters": {"processing_level": "L2"}},
    "filters of another mission": {"collection": "S5P", "filters": {"tile": "31TCJ"}, "cloud": 3},
    "rectangle": {"aoi": LAURAGAIS},
    "rectangle with long numbers": {"aoi": mapping(box(1.2345678901, 43.2, 1.49999999999, 43.61234567))},
    "rectangle west of Greenwich": {"aoi": mapping(box(-20.5, -30, 2, 43.41))},
    "polygon": {"aoi": ROUND},
    "several": {"aoi": TWO},
    "hole": {"aoi": HOLED},
    "antimeridian": {"collection": "S3", "aoi": aoi.area((150, -80, -130, 80)).geojson},
    "nearly all of the Earth": {"collection": "S3", "aoi": aoi.area((5, -90, 4, 90)).geojson},
    "point": {"aoi": {"type": "Point", "coordinates": [1.4, 43.42]}},
    "speck": {"aoi": mapping(box(1.4, 43.42, 1.4 + 1e-8, 43.42 + 1e-8))},
    "q": {"q": "platformserialidentifier:Sentinel-2A AND cloudcoverpercentage:[0 TO 40]", "cloud": 30},
    "q of all": {"q": " * "},
    "q that begins with a minus": {"q": "-platformserialidentifier:Sentinel-2A"},
    "q over two lines": {"q": "platformname:Sentinel-2\n  AND\tNOT tileid:31TCJ"},
    "hostile q": {"q": f'*:* OR filename:"{HOSTILE.replace(chr(92), "").replace(chr(34), "")}"'},
    "few": {"page_size": 3, "sort": "beginposition asc"},
    "everything": {
        "aoi": ROUND, "start": "2024-05-01", "stop": "2024-07-31", "cloud": 70, "product_type": "S2MSI2A",
        "filters": {"platform": "S2A", "tile": "31TCJ", "orbit_direction": "DESCENDING", "relative_orbit": "51"},
        "q": "S2A*", "sort": "beginposition desc", "page_size": 7,
    },
}  # fmt: skip
EMPTY = {"S1 orbit", "until", "antimeridian", "nearly all of the Earth"}
"""States that may well find nothing; the others must find something, or the comparison would prove little."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Session, Found]]:
    """One embedded gateway over the sample archive and a folder of the tests' products."""
    folder = tmp_path_factory.mktemp("gateway")
    archive = write_archive(folder / "archive", count=12, size=2_000)
    with connect(sources=["sample", f"folder:{archive}"], data_dir=folder / "data") as eo:
        found = find(folder / "data")
        assert found is not None
        yield eo, found
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGTERM)


def searched(eo: Session, state: ExplorerState, pages: int = 1) -> list[str]:
    """What the Explorer itself finds."""

    async def run() -> None:
        client = eo.async_client()
        try:
            await actions.search(state, client)
            for _ in range(pages - 1):
                await actions.load_more(state, client)
        finally:
            await client.aclose()

    asyncio.run(run())
    assert state.searched, state.message
    assert not state.failed, state.message
    return [product.id for product in state.products]


def environment(found: Found, folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EXTENSO_", "XDG_"))}
    kept = {name: value for name, value in kept.items() if "proxy" not in name.lower()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    # The checkout that is tested, also where another one is installed.
    place = {"PATH": path, "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    return kept | place | {"EXTENSO_URL": found.url, "EXTENSO_API_KEY": found.api_key} | more


def shell(text: str, settings: dict[str, str]) -> list[str]:
    """The lines that a text prints when bash runs it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail"], input=text, env=settings, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stderr}"
    return done.stdout.splitlines()


def executed(text: str) -> tuple[list[str], dict[str, Any]]:
    """The lines that a text prints when Python runs it, and the names that it leaves."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            exec(compile(text, "exported", "exec"), names)
        finally:
            if "eo" in names:
                names["eo"].close()
    return [line for line in said.getvalue().splitlines() if line], names


def parted(q: str) -> tuple[str, Any]:
    """A query without its area, and the area: the same one may begin at another of its points."""
    found = re.search(r"Intersects\((.*?)\)\"", q)
    return (q, None) if found is None else (q.replace(found[1], "..."), shapely.from_wkt(found[1]))


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_all_three_find_what_the_explorer_finds(
    name: str, place: tuple[Session, Found], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eo, found = place
    state = ExplorerState(**STATES[name])
    ids = searched(eo, state)
    assert ids or name in EMPTY, "the state finds nothing"
    settings = environment(found, tmp_path)
    assert shell(export.to_cli(state), settings) == ids
    assert [line for line in shell(export.to_curl(state, found.url), settings) if line] == ids
    monkeypatch.setenv("EXTENSO_URL", found.url)
    monkeypatch.setenv("EXTENSO_API_KEY", found.api_key)
    printed, names = executed(export.to_python(state))
    assert printed == ids
    assert names["scenes"].ids == ids
    # Products that a filter would leave out are not always there: the query itself is the same, too.
    (sent, there), (own, here) = parted(names["scenes"].q), parted(state.query)
    assert sent == own
    assert there == here or there.equals(here)
    options = {f"--{name.replace('_', '-')}=" for name in state.search_arguments().keys() & state.filters.keys()}
    assert {option for option in options if option not in export.to_cli(state)} == set()


@pytest.mark.slow
def test_as_many_products_as_are_shown(place: tuple[Session, Found], tmp_path: Path) -> None:
    eo, found = place
    state = ExplorerState(collection="S2", page_size=4)
    ids = searched(eo, state, pages=3)
    assert len(ids) == 12
    settings = environment(found, tmp_path)
    (tmp_path / "exported.py").write_text(export.to_python(state))
    assert shell(export.to_cli(state, url=found.url), settings) == ids
    assert shell(export.to_curl(state, found.url), settings) == ids
    assert shell(export.to_curl(state), settings) == ids, "the address is that of EXTENSO_URL"
    assert shell(f"python {tmp_path}/exported.py", settings) == ids
    state.q = "S2B*"
    assert "limit=4" in export.to_python(state), "the results answer another form: they say nothing about this one"


@pytest.mark.slow
def test_the_order_is_of_what_is_selected(place: tuple[Session, Found], tmp_path: Path) -> None:
    eo, found = place
    state = ExplorerState(collection="S2", filters={"tile": "31TCJ", "platform": "S2A"})
    ids = searched(eo, state)
    state.select([ids[3], ids[1]])
    settings = environment(found, tmp_path)
    (tmp_path / "exported.py").write_text(export.to_python(state))
    before = len(eo.orders())
    for text in (export.to_cli(state), export.to_curl(state, found.url), f"python {tmp_path}/exported.py"):
        said = shell(text, settings)
        assert said[: len(ids)] == ids
    orders = sorted(eo.orders(), key=lambda order: order.id)[before:]
    assert [(order.status, list(order.products)) for order in orders] == [("delivered", [ids[3], ids[1]])] * 3
    for text in (export.to_cli(state), export.to_curl(state, found.url), export.to_python(state)):
        search, mark, _ = text.partition("\n# The order of what is selected")
        assert mark
        run = f"python - <<'END'\n{search}\nEND\n" if text.startswith("import") else search
        assert shell(run, settings) == ids, "the order can be left out"
    assert len(eo.orders()) == before + 3


@pytest.mark.slow
def test_an_order_into_a_bucket_takes_its_keys_from_the_environment(
    place: tuple[Session, Found], tmp_path: Path, s3: str
) -> None:
    eo, found = place
    state = ExplorerState(collection="S2", filters={"tile": "31TFJ"}, page_size=2)
    ids = searched(eo, state)
    state.select(ids[:1])
    desk = Desk(state=state)
    bucket = {"endpoint": f"{s3}/deliveries", "prefix": "from the explorer/50% #1", "region": "eu-west-1"}
    desk.use_bucket(BucketProperties.model_validate({**bucket, "access_key": ACCESS, "secret_key": SECRET}))
    desk.close()
    settings = environment(found, tmp_path, EXTENSO_S3_ACCESS_KEY=ACCESS, EXTENSO_S3_SECRET_KEY=SECRET)
    before = len(eo.orders())
    texts = [export.to_cli(state), export.to_curl(state, found.url), export.to_python(state)]
    for text in texts:
        assert ACCESS not in text
        assert SECRET not in text
        shell(f"python - <<'END'\n{text}\nEND\n" if text.startswith("import") else text, settings)
    orders = sorted(eo.orders(), key=lambda order: order.id)[before:]
    assert [order.status for order in orders] == ["delivered"] * 3
    assert {order.destination.kind for order in orders} == {"bucket"}
    assert {order.destination.prefix for order in orders} == {"from the explorer/50% #1"}


def test_no_secret_is_in_any_text() -> None:
    state = ExplorerState(collection="S2", products=(product(1),), selected=[product(1).id])
    secret = {"access_key": "AKIAHIDDEN", "secret_key": "veryhidden"}
    desk = Desk(state=state)
    desk.use_bucket(BucketProperties.model_validate({"endpoint": "https://s3.example.org", "bucket": "mine", **secret}))
    desk.close()
    url = "https://anna:hunter2@example.org:8065/base/?token=t0ken#part"
    for text in (export.to_python(state, url=url), export.to_cli(state, url=url), export.to_curl(state, url)):
        assert "https://example.org:8065/base/" in text or "https://example.org:8065/base" in text
        assert "mine" in text
        for part in ("anna", "hunter2", "t0ken", *secret.values()):
            assert part not in text
        assert "EXTENSO_S3_SECRET_KEY" in text
    with pytest.raises(TraitError):
        state.destination = {"kind": "bucket", "endpoint": "https://key:hunter2@s3.example.org", "bucket": "mine"}
    assert "hunter2" not in export.to_python(state)


def test_a_form_that_cannot_be_searched_is_not_exported() -> None:
    bad: list[dict[str, Any]] = [
        {"start": "2024-07-01", "stop": "2024-06-01"}, {"filters": {"relative_orbit": "ninety"}}, {"aoi_valid": False},
        {"q": "cloudcoverpercentage:[", "cloud": 10}, {"aoi": {"type": "Polygon", "coordinates": []}},
    ]  # fmt: skip
    for values in bad:
        for write in (export.to_python, export.to_cli, lambda state: export.to_curl(state, "http://127.0.0.1:1")):
            with pytest.raises(errors.ExtensoError):
                write(ExplorerState(**values))
    with pytest.raises(errors.InputError, match="NUL"):
        export.to_cli(ExplorerState(q="a\0b"))
    for url in ("example.org", "file:///etc/passwd", "javascript:alert(1)"):
        with pytest.raises(errors.InputError):
            export.to_curl(ExplorerState(), url)


def test_a_rectangle_reads_as_one_and_only_what_is_set_is_there() -> None:
    state = ExplorerState(aoi=LAURAGAIS, cloud=30, start="2024-06-01", stop="2024-06-30")
    text = export.to_python(state)
    line = 'eo.search("S2", bbox=(1.2, 43.2, 1.6, 43.6), datetime="2024-06-01/2024-06-30", cloud_cover=30, limit=50)'
    assert re.sub(r"\s+", "", line) in re.sub(r"\s+|,(?=\s*\))", "", text)
    assert "None" not in text
    assert "filters" not in text
    state.aoi = aoi.area((170, -10, -170, 10)).geojson
    assert "bbox=(170, -10, -170, 10)" in export.to_python(state)
    state.aoi = ROUND
    assert max(map(len, export.to_python(state).splitlines())) <= 110
    assert "bbox" not in export.to_python(state)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_any_text_arrives_as_it_is(text: str) -> None:
    names: dict[str, Any] = {}
    exec(f"text = {export._literal(text)}", names)
    assert names["text"] == text


def test_any_text_arrives_as_it_is_in_bash() -> None:
    chance = [
        HOSTILE,
        "\n",
        "a\r\nb",
        "-n",
        "--",
        "",
        " ",
        "*",
        "~",
        "{a,b}",
        "\x1b[31m",
        "\\",
        "'",
        "''\"",
        "\u2028",
        "$'x'",
    ]
    for text in chance:
        done = subprocess.run(
            ["bash", "-c", f"printf %s {export._word(text)}"], capture_output=True, timeout=30, check=True
        )
        assert done.stdout.decode() == text
