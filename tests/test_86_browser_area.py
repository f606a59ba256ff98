"""Areas drawn, edited, chosen, dropped, pasted and named in a real browser: the kernel has what is on the screen."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import pyogrio
import pytest
import shapely
from area_page import AreaPage, Point, apart
from browser import EXPLORER, Notebook, opened
from frontends import FrontEnd

from extenso_nb.aoi import SUFFIXES, places

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ALONE = """
import extenso_nb as ex
picker = ex.widgets.AreaPicker()
picker
"""
FIELD = shapely.Polygon(
    [(1.2, 43.3), (1.6, 43.35), (1.55, 43.7), (1.25, 43.6)], [[(1.3, 43.4), (1.4, 43.4), (1.35, 43.5)]]
)
FIJI = shapely.box(179, -18, 181, -16)
HALVES = shapely.union_all([shapely.box(179, -18, 180, -16), shapely.box(-180, -18, -179, -16)])


@pytest.fixture(scope="module")
def book(lab: FrontEnd, chromium: Browser) -> Iterator[Notebook]:
    """An Explorer, and below it an area picker alone, for all tests of this file."""
    with opened(chromium, lab, EXPLORER, ALONE) as one:
        yield one


@pytest.fixture(scope="module")
def _explorer_area(book: Notebook) -> AreaPage:
    return AreaPage(book, book.page.locator(".extenso-explorer").first, "explorer.area").ready()


@pytest.fixture
def area(_explorer_area: AreaPage, book: Notebook) -> Iterator[AreaPage]:
    """The Explorer's, without an area; what the page complains of fails the test."""
    _explorer_area.clear()
    yield _explorer_area
    book.watch.check()


@pytest.fixture
def france(area: AreaPage) -> AreaPage:
    """The same, over the south of France."""
    area.look(2.0, 43.6, 6)
    return area


# --- with the mouse --------------------------------------------------------------------------------------------------
def test_a_rectangle_a_polygon_and_both(france: AreaPage) -> None:
    drawn = shapely.box(0.0, 42.5, 4.5, 45.0)
    france.rectangle((0.0, 42.5), (4.5, 45.0))
    france.agreed(drawn, within=2 * france.pixel())
    assert "4 vertices" in france.echo
    corners = [(-3.0, 41.5), (-1.0, 41.0), (-1.5, 43.5), (-2.5, 45.0)]
    france.polygon(corners)
    both = france.agreed(drawn | shapely.Polygon(corners), within=2 * france.pixel())
    assert len(both.geoms) == len(france.shapes()) == 2
    assert "8 vertices, 2 shapes" in france.echo
    # A third that overlaps the first: one area, of shapes that can still be edited each.
    france.rectangle((3.0, 44.0), (6.0, 46.0))
    france.agreed(drawn | shapely.Polygon(corners) | shapely.box(3, 44, 6, 46), within=2 * france.pixel())
    assert len(france.shapes()) == 3


def test_a_polygon_that_crosses_itself(france: AreaPage) -> None:
    corners = [(0.0, 42.5), (4.0, 45.0), (4.0, 42.5), (0.0, 45.0)]
    france.polygon(corners)
    france.agreed(shapely.make_valid(shapely.Polygon(corners)), within=2 * france.pixel())


def test_a_drawing_that_is_given_up(france: AreaPage) -> None:
    france.press("Polygon")
    france.click((0.0, 42.5))
    france.click((3.0, 42.5))
    france.page.keyboard.press("Escape")
    france.book.until(lambda: france.word("Polygon").get_attribute("aria-pressed") == "false", "the mode ended")
    france.click((3.0, 45.0))
    assert france.known().is_empty
    assert france.shown().is_empty
    assert france.echo == "Whole Earth"


def test_corners_dragged(france: AreaPage) -> None:
    france.rectangle((0.0, 42.5), (4.0, 45.0))
    france.agreed(shapely.box(0.0, 42.5, 4.0, 45.0), within=2 * france.pixel())
    france.press("Edit")
    france.drag((4.0, 45.0), (5.5, 45.8))
    moved = shapely.Polygon([(0.0, 42.5), (4.0, 42.5), (5.5, 45.8), (0.0, 45.0)])
    france.agreed(moved, within=3 * france.pixel())
    # A handle between two corners makes a new one, which can then be dragged.
    france.click((2.0, 42.5))
    france.book.until(lambda: shapely.get_num_coordinates(france.shapes()[0]) == 6, "a fifth corner")
    france.drag((2.0, 42.5), (2.0, 41.5))
    moved = shapely.Polygon([(0.0, 42.5), (2.0, 41.5), (4.0, 42.5), (5.5, 45.8), (0.0, 45.0)])
    france.agreed(moved, within=3 * france.pixel())
    france.press("Edit")
    france.agreed(moved, within=3 * france.pixel())


def test_one_of_two_deleted_and_then_the_other(france: AreaPage) -> None:
    one, other = shapely.box(0.0, 42.5, 3.0, 45.0), shapely.box(5.0, 42.5, 6.5, 44.0)
    france.rectangle((0.0, 42.5), (3.0, 45.0))
    france.rectangle((5.0, 42.5), (6.5, 44.0))
    france.agreed(one | other, within=2 * france.pixel())
    france.delete((0.0, 42.5), (0.0, 45.0))
    france.agreed(other, within=2 * france.pixel())
    france.delete((5.0, 42.5), (5.0, 44.0))
    france.book.until(lambda: france.known().is_empty and france.shown().is_empty, "nothing left")
    france.book.until(lambda: france.echo == "Whole Earth", "the bar says so")
    assert france.word("Clear").is_disabled()


def test_clear(france: AreaPage) -> None:
    france.rectangle((0.0, 42.5), (3.0, 45.0))
    france.agreed(shapely.box(0.0, 42.5, 3.0, 45.0), within=2 * france.pixel())
    france.word("Clear").click()
    france.book.until(lambda: france.known().is_empty and france.shown().is_empty, "no area")
    france.rectangle((1.0, 42.5), (3.0, 45.0))
    france.agreed(shapely.box(1.0, 42.5, 3.0, 45.0), within=2 * france.pixel())


def test_set_from_code_and_then_edited(france: AreaPage) -> None:
    france.book.kernel.run(f"explorer.state.aoi = {json.dumps(shapely.box(0, 42, 3, 45).__geo_interface__)}")
    france.agreed(shapely.box(0, 42, 3, 45))
    france.press("Edit")
    france.drag((3.0, 45.0), (4.0, 45.5))
    france.agreed(shapely.Polygon([(0, 42), (3, 42), (4, 45.5), (0, 45)]), within=3 * france.pixel())
    # Another from code, while corners can be dragged: the next drag is of this one.
    france.book.kernel.run(f"explorer.state.aoi = {json.dumps(shapely.box(-3, 42, -1, 44).__geo_interface__)}")
    france.agreed(shapely.box(-3, 42, -1, 44))
    france.drag((-1.0, 44.0), (-0.5, 44.5))
    france.agreed(shapely.Polygon([(-3, 42), (-1, 42), (-0.5, 44.5), (-3, 44)]), within=3 * france.pixel())
    france.press("Edit")
    france.book.kernel.run("explorer.state.aoi = None")
    france.book.until(lambda: france.shown().is_empty and france.echo == "Whole Earth", "no area on the map")


def test_use_view(france: AreaPage) -> None:
    france.word("Use view").click()
    france.agreed(france.view(), within=france.pixel())
    france.look(2.0, 43.6, 8)
    france.word("Use view").click()
    france.agreed(france.view(), within=france.pixel())


# --- across the antimeridian -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("side", [180.0, -180.0], ids=["from the west", "from the east"])
def test_drawn_across_the_antimeridian_and_edited(side: float, area: AreaPage) -> None:
    area.look(side, -17.0, 6)
    area.rectangle((side - 1, -18.0), (side + 1, -16.0))
    found = area.agreed(HALVES, within=2 * area.pixel())
    assert found.bounds[0] == -180
    assert found.bounds[2] == 180
    area.mirrored()
    area.press("Edit")
    area.drag((side + 1, -16.0), (side + 1.5, -15.5))
    corners = [(side - 1, -18.0), (side + 1, -18.0), (side + 1.5, -15.5), (side - 1, -16.0)]
    area.agreed(shapely.Polygon(corners), within=3 * area.pixel())
    area.mirrored()
    area.press("Edit")
    area.delete((side - 1, -18.0), (side - 1, -16.0))
    area.book.until(lambda: area.known().is_empty and not area.shapes(again=True), "nothing left on either side")


def test_the_view_across_the_antimeridian(area: AreaPage) -> None:
    area.look(179.0, -17.0, 6)
    area.word("Use view").click()
    area.agreed(area.view(), within=area.pixel())
    area.mirrored()


def test_pasted_across_the_antimeridian(area: AreaPage) -> None:
    area.paste("179,-18,-179,-16")
    area.agreed(HALVES)
    area.mirrored()
    assert "4 vertices" in area.echo
    assert "shapes" not in area.echo


@pytest.mark.parametrize("shape", [FIJI, HALVES], ids=["beyond 180", "in two halves"])
def test_uploaded_across_the_antimeridian(shape: Any, area: AreaPage, tmp_path: Path) -> None:
    frame([shape]).to_file(tmp_path / "fiji.geojson")
    area.choose([tmp_path / "fiji.geojson"])
    area.agreed(HALVES)
    area.mirrored()


# --- files -----------------------------------------------------------------------------------------------------------
def frame(shapes: Sequence[Any]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"name": ["drawn"] * len(shapes)}, geometry=list(shapes), crs=4326)


def by(driver: str, suffix: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        pyogrio.write_dataframe(frame([FIELD]), folder / f"field{suffix}", driver=driver)
        return [folder / f"field{suffix}"]

    return write


def wkt(folder: Path) -> list[Path]:
    (folder / "field.wkt").write_text(FIELD.wkt)
    return [folder / "field.wkt"]


def parts(folder: Path) -> list[Path]:
    by("ESRI Shapefile", ".shp")(folder)
    return sorted(folder.glob("field.*"))


def zipped(name: str, write: Callable[[Path], list[Path]]) -> Callable[[Path], list[Path]]:
    def archived(folder: Path) -> list[Path]:
        (folder / "inner").mkdir()
        members = write(folder / "inner")
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member in members:
                archive.write(member, "doc.kml" if member.suffix == ".kml" else member.name)
        return [folder / name]

    return archived


def elsewhere(folder: Path) -> list[Path]:
    """In the metres of UTM 31; in fine steps, for a straight line there is none here."""
    fine = frame([FIELD.segmentize(0.005)]).to_crs(32631)
    pyogrio.write_dataframe(fine, folder / "utm.gpkg", driver="GPKG")
    return [folder / "utm.gpkg"]


def track(folder: Path) -> list[Path]:
    """GPX has no polygons, and no holes: closed lines."""
    pyogrio.write_dataframe(
        frame([shapely.LineString(FIELD.exterior)]), folder / "field.gpx", driver="GPX", layer="tracks"
    )
    return [folder / "field.gpx"]


WRITERS: dict[str, Callable[[Path], list[Path]]] = {
    "geojson": by("GeoJSON", ".geojson"),
    "json": by("GeoJSON", ".json"),
    "wkt": wkt,
    "zip": zipped("field.zip", parts),
    "shp": parts,
    "gpkg": by("GPKG", ".gpkg"),
    "kml": by("KML", ".kml"),
    "kmz": zipped("field.kmz", by("KML", ".kml")),
    "fgb": by("FlatGeobuf", ".fgb"),
    "gpx": track,
    "another system": elsewhere,
}


def test_every_kind_of_file_is_tested() -> None:
    assert {f".{kind}" for kind in WRITERS} - {".another system"} == set(SUFFIXES)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_chosen_and_dropped(kind: str, area: AreaPage, tmp_path: Path) -> None:
    wanted = shapely.Polygon(FIELD.exterior) if kind == "gpx" else FIELD
    within = 1e-4 if kind == "another system" else 1e-6
    files = WRITERS[kind](tmp_path)
    assert area.bar.locator("input[type=file]").get_attribute("accept").count(files[0].suffix)  # type: ignore[union-attr]
    area.choose(files)
    area.agreed(wanted, within)
    area.clear()
    area.drop(files)
    area.agreed(wanted, within)


def test_a_file_that_is_no_area(area: AreaPage, tmp_path: Path) -> None:
    area.paste("0,42,3,45")
    area.agreed(shapely.box(0, 42, 3, 45))
    (tmp_path / "notes.geojson").write_text("These are my notes.")
    area.choose([tmp_path / "notes.geojson"])
    area.bar.get_by_text("notes.geojson").first.wait_for()
    area.agreed(shapely.box(0, 42, 3, 45))  # what was there stays
    # The same file again, mended: a browser does not tell of it unless it is asked to forget the first.
    frame([FIELD]).to_file(tmp_path / "notes.geojson")
    area.choose([tmp_path / "notes.geojson"])
    area.agreed(FIELD)
    assert area.bar.locator(".extenso-bad:visible").count() == 0


# --- text and places -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (FIELD.wkt, FIELD),
        ("1.2, 43.3, 1.6, 43.7", shapely.box(1.2, 43.3, 1.6, 43.7)),
        (json.dumps({"type": "Feature", "properties": {}, "geometry": FIELD.__geo_interface__}), FIELD),
    ],
    ids=["wkt", "bbox", "geojson"],
)
def test_pasted(text: str, wanted: Any, area: AreaPage) -> None:
    area.paste(text)
    area.agreed(wanted)
    area.book.until(lambda: not area.field.is_visible(), "the field shut")


def test_nonsense_pasted_stays_where_it_is(area: AreaPage) -> None:
    area.paste("POLYGON ((1.2 43.3, here be dragons")
    wrong = area.bar.locator(".extenso-paste .extenso-bad")
    area.book.until(wrong.inner_text, "what is wrong, at the field")
    assert area.field.input_value() == "POLYGON ((1.2 43.3, here be dragons"
    assert area.field.get_attribute("aria-invalid") == "true"
    assert area.known().is_empty
    assert area.shown().is_empty
    area.field.fill(FIELD.wkt)
    area.page.keyboard.press("Control+Enter")
    area.agreed(FIELD)


@pytest.mark.parametrize("name", ["Toulouse", "Fiji"])
def test_a_place_by_typing(name: str, area: AreaPage) -> None:
    field = area.bar.get_by_role("combobox", name="Place")
    field.fill("")
    field.press_sequentially(name)
    options = area.bar.get_by_role("listbox", name="Places").get_by_role("option")
    options.first.wait_for()
    first = places.find(name, 1)[0]
    assert first.label in options.first.inner_text()
    field.press("ArrowDown")
    assert options.first.get_attribute("aria-selected") == "true"
    field.press("Enter")
    area.agreed(first.area.geometry)
    if name == "Fiji":
        area.mirrored()


def test_a_place_that_is_none(area: AreaPage) -> None:
    field = area.bar.get_by_role("combobox", name="Place")
    field.fill("")
    field.press_sequentially("Qwxyzzy")
    area.bar.get_by_text("No place is called Qwxyzzy").wait_for()
    assert area.known().is_empty
    field.fill("")


# --- alone -----------------------------------------------------------------------------------------------------------
def test_the_picker_is_found_without_an_import_of_its_own() -> None:
    code = "import extenso_nb as ex; ex.widgets.AreaPicker"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_picker_alone(book: Notebook, tmp_path: Path) -> None:
    picker = AreaPage(book, book.page.locator(".extenso-area-picker").last, "picker").ready()
    assert book.kernel.value("picker.area") is None
    picker.look(2.0, 43.6, 6)
    corners: list[Point] = [(0.0, 42.5), (4.0, 42.0), (3.0, 45.0)]
    picker.polygon(corners)
    picker.agreed(shapely.Polygon(corners), within=2 * picker.pixel())
    frame([FIELD]).to_file(tmp_path / "field.geojson")
    picker.choose([tmp_path / "field.geojson"])
    picker.agreed(FIELD)
    picker.paste("179,-18,-179,-16")
    picker.agreed(HALVES)
    found = shapely.geometry.shape(book.kernel.value("picker.area.geojson"))
    assert apart(found, HALVES) < 1e-9
    assert book.kernel.value("explorer.state.aoi is not picker.desk.state.aoi")
    picker.clear()
    assert book.kernel.value("picker.area") is None
    book.watch.check()
