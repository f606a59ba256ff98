"""Areas: real files, every form of input, the antimeridian and the poles, areas in km², and what is refused and where."""

from __future__ import annotations

import json
import math
import pickle
import re
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from pyproj import Geod
from shapely.geometry import mapping, shape

from extenso_nb.aoi import SUFFIXES, Area, area, valid_footprint
from extenso_nb.errors import AreaError

EARTH = 510_065_621.7  # km², WGS84
BOX = shapely.box(1, 42, 2, 43)
GEOD = Geod(ellps="WGS84")


def refused(value: Any, **options: Any) -> str:
    with pytest.raises(AreaError) as caught:
        area(value, **options)
    assert caught.value.hint
    return caught.value.message


def same(one: Any, other: Any, tolerance: float = 1e-9) -> bool:
    return bool(one.symmetric_difference(other).area <= tolerance)


# --- real input ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "km2", "bounds"),
    [
        ("map.geojson", 964_060, (-66.27, -8.06, -57.30, 0.70)),
        ("map_z.geojson", 964_060, (-66.27, -8.06, -57.30, 0.70)),
        ("map_nested.geojson", 964_060, (-66.27, -8.06, -57.30, 0.70)),
        ("luxembourg.geojson", 2_586, (5.73, 49.45, 6.53, 50.18)),
        ("svn_border.geojson", 20_273, (13.38, 45.42, 16.60, 46.88)),
        ("california_crop_fields.geojson", 305, (-119.35, 35.95, -119.13, 36.14)),
        ("region1-aoi.fgb", 2.08, (15.78, 46.02, 15.80, 46.03)),
    ],
)
def test_real_files(shared_data: Path, name: str, km2: float, bounds: tuple[float, ...]) -> None:
    """Luxembourg has 2,586 km² and Slovenia 20,273 km² by their own statistics."""
    path = shared_data / "aoi" / name
    found = area(path)
    assert found.km2 == pytest.approx(km2, rel=0.005)
    assert found.bounds == pytest.approx(bounds, abs=0.1)
    assert found.geometry.is_valid
    assert not found.geometry.has_z
    assert area(str(path)) == found
    assert area(path.read_bytes(), name=name) == found


def test_every_real_area_file_is_read_or_refused(shared_data: Path) -> None:
    bad = shared_data / "aoi" / "map_boundaries_lat.geojson"
    assert "features[0].geometry, ring 0 is open: it begins at (-266.27 -8.05923)" in refused(bad)
    read = {
        path.name: area(path).km2
        for path in sorted((shared_data / "aoi").rglob("*"))
        if path.suffix in SUFFIXES and path != bad
    }
    assert len(read) >= 9
    assert all(value > 1 for value in read.values())


def test_real_tile_across_the_antimeridian(shared_data: Path) -> None:
    """The footprint of 01WCP as its own metadata gives it, against the geometry that stactools made of it."""
    folder = next((shared_data / "s2_l2a" / "metadata_only").glob("*T01WCP*"))
    text = next(folder.glob("MTD_MSIL2A.xml")).read_text(encoding="utf-8")
    listed = re.search(r"<EXT_POS_LIST>([^<]*)", text)
    assert listed is not None
    lat_lon = np.array(listed[1].split(), dtype=float).reshape(-1, 2)
    ring = [(lon, lat) for lat, lon in lat_lon]
    assert max(abs(np.diff([lon for lon, _ in ring]))) > 180
    expected = json.loads((folder / "expected_output.json").read_text(encoding="utf-8"))
    found = valid_footprint({"type": "Polygon", "coordinates": [ring]})
    assert found.geom_type == "MultiPolygon"
    assert same(found, shape(expected["geometry"]), 1e-4)
    west, south, east, north = area(found).bounds
    assert (west, south, east, north) == pytest.approx(expected["bbox"], abs=1e-5)
    assert west > east


def test_recorded_footprints_stay_what_they_are(shared_data: Path) -> None:
    """Footprints of real catalogues are cut and valid already; none may change or be refused."""
    seen = beyond = 0
    for path in sorted((shared_data / "catalog").rglob("*.json")):
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        items = body.get("features", [body]) if isinstance(body, dict) else []
        for item in items if isinstance(items, list) else []:
            geometry = item.get("geometry") if isinstance(item, dict) else None
            if isinstance(geometry, dict):
                found, given_ = valid_footprint(geometry), shapely.force_2d(shape(geometry))
                assert found.is_valid
                if given_.is_valid and abs(given_.bounds[0]) <= 180:
                    assert same(found, given_, 1e-6 * given_.area), item.get("id")
                else:  # mosaics that reach beyond -180
                    assert found.area == pytest.approx(given_.area), item.get("id")
                    assert found.bounds[0] >= -180
                    beyond += 1
                seen += 1
    assert seen > 150
    assert beyond > 0


def test_recorded_scihub_footprints_in_wkt(shared_data: Path) -> None:
    found = set()
    for path in (shared_data / "catalog" / "dhus_scihub").iterdir():
        text = path.read_bytes().decode("utf-8", "replace")
        found |= set(re.findall(r"(?<!MULTI)POLYGON ?\(\([-0-9., ]+\)\)|MULTIPOLYGON ?\(\(\([-0-9., ]+\)\)\)", text))
    assert len(found) > 100
    for text in found:
        ours = valid_footprint(text)
        assert ours.is_valid
        assert ours.area > 0
        assert abs(ours.bounds[0]) <= 180
        theirs = shapely.from_wkt(text)
        if theirs.is_valid and theirs.bounds[2] - theirs.bounds[0] < 180:
            assert same(ours, theirs)


# --- forms of input --------------------------------------------------------------------------------------------------
FEATURE = {"type": "Feature", "properties": None, "geometry": mapping(BOX)}


class Interface:
    """Anything with a `__geo_interface__`."""

    __geo_interface__ = FEATURE


@pytest.mark.parametrize(
    "value",
    [
        (1, 42, 2, 43),
        [1.0, 42.0, 2.0, 43.0],
        np.array([1, 42, 2, 43]),
        (1, 42, -5, 2, 43, 900),
        "1,42,2,43",
        " 1 42 2 43 ",
        "[1, 42, 2, 43]",
        BOX,
        shapely.force_3d(BOX, 7.0),
        BOX.wkt,
        shapely.force_3d(BOX, 7.0).wkt,
        BOX.wkt.lower(),
        f"SRID=4326;{BOX.wkt}",
        f"  {BOX.wkt}\n",
        "POLYGON ZM ((1 42 0 0, 2 42 0 0, 2 43 0 0, 1 43 0 0, 1 42 0 0))",
        "POLYGONZ((1 42 0,2 42 0,2 43 0,1 43 0,1 42 0))",
        f"GEOMETRYCOLLECTION ({BOX.wkt}, POINT (50 50), POLYGON EMPTY)",
        mapping(BOX),
        json.dumps(mapping(BOX)),
        "\ufeff" + json.dumps(FEATURE),
        FEATURE,
        {"type": "FeatureCollection", "features": [FEATURE, {"type": "Feature", "geometry": None}]},
        {"type": "GeometryCollection", "geometries": [mapping(BOX)]},
        Interface(),
        geopandas.GeoDataFrame(geometry=[BOX], crs=4326),
        geopandas.GeoSeries([BOX, None], crs=4326),
        geopandas.GeoSeries([BOX]),
        geopandas.GeoSeries([BOX], crs="OGC:CRS84"),
        Area(BOX),
    ],
    ids=lambda value: type(value).__name__,
)
def test_forms_of_one_box(value: Any) -> None:
    found = area(value)
    assert same(found.geometry, BOX)
    assert not found.geometry.has_z
    assert found.bounds == pytest.approx((1, 42, 2, 43))
    assert found.vertices == 5
    assert same(area(found.wkt).geometry, BOX)
    assert same(area(found.geojson).geometry, BOX)
    assert shape(found).equals(BOX)


@pytest.mark.parametrize("crs", [32631, 3857, 3035, 2154, 4258])
def test_frames_in_other_systems(crs: int) -> None:
    frame = geopandas.GeoDataFrame(geometry=[BOX.segmentize(0.05)], crs=4326).to_crs(crs)
    found = area(frame)
    assert found.geometry.symmetric_difference(BOX).area < 1e-4
    assert found.km2 == pytest.approx(area(BOX).km2, rel=1e-3)


def test_edges_of_a_projection_are_followed() -> None:
    """A box of 2,000 km over the north pole has corners at 77° N, and the pole inside."""
    side = 1_000_000
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(-side, -side, side, side)], crs=3995)
    found = area(frame)
    assert found.bounds[0::2] == (-180, 180)
    assert found.bounds[3] == 90
    assert found.geometry.geom_type == "Polygon"
    assert found.geometry.contains(shapely.Point(10, 89))
    assert found.geometry.contains(shapely.Point(0, 81.1))  # middle of an edge, far beyond a chord between corners
    # Stereographic: scale 0.97 at the pole, so the true area is the larger one.
    assert 4_000_000 < found.km2 < 4_300_000


def test_files_of_other_kinds(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=[BOX, shapely.box(5, 42, 6, 43)], crs=4326)
    both = shapely.union_all(list(frame.geometry))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyogrio.write_dataframe(frame, tmp_path / "a.gpkg", layer="one")
        fine = frame.set_geometry(frame.geometry.segmentize(0.02))
        pyogrio.write_dataframe(fine.to_crs(32631), tmp_path / "a.shp")
        pyogrio.write_dataframe(frame, tmp_path / "a.fgb")
        pyogrio.write_dataframe(frame, tmp_path / "a.kml", driver="KML")
        pyogrio.write_dataframe(frame, tmp_path / "a.geojson")
    (tmp_path / "a.wkt").write_text(both.wkt, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
        archive.write(tmp_path / "a.kml", "doc.kml")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix in ("shp", "shx", "dbf", "prj"):
            archive.write(tmp_path / f"a.{suffix}", f"inner/a.{suffix}")
        archive.writestr("__MACOSX/inner/._a.shp", b"junk")
    with zipfile.ZipFile(tmp_path / "json.zip", "w") as archive:
        for number, box in enumerate(frame.geometry):
            archive.writestr(f"../{number}.geojson", json.dumps(mapping(box)))
    for name in ("a.gpkg", "a.shp", "a.fgb", "a.kml", "a.kmz", "a.zip", "a.geojson", "a.wkt", "json.zip"):
        tolerance = 2e-3 if name in ("a.shp", "a.zip") else 1e-9
        assert same(area(tmp_path / name).geometry, both, tolerance), name
        if name != "a.shp":
            assert same(area((tmp_path / name).read_bytes(), name=name.upper()).geometry, both, tolerance), name
    assert "is a part of a shapefile" in refused((tmp_path / "a.shp").read_bytes(), name="a.shp")


def test_all_layers_are_united(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    for name, box in (("one", BOX), ("two", shapely.box(5, 42, 6, 43))):
        pyogrio.write_dataframe(geopandas.GeoDataFrame(geometry=[box], crs=4326), path, layer=name)
    assert area(path).geometry.area == pytest.approx(2)


def test_kml_by_hand(tmp_path: Path) -> None:
    text = """<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document><Folder><name>deep</name><Placemark>
    <Polygon><outerBoundaryIs><LinearRing><coordinates>1,42,9 2,42,9 2,43,9 1,43,9 1,42,9</coordinates></LinearRing>
    </outerBoundaryIs></Polygon></Placemark></Folder></Document></kml>"""
    path = tmp_path / "drawn.kml"
    path.write_text(text, encoding="utf-8")
    assert same(area(path).geometry, BOX)


def test_path_or_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("polygon (1).geojson").write_text(json.dumps(mapping(BOX)), encoding="utf-8")
    assert same(area("polygon (1).geojson").geometry, BOX)
    assert same(area(" ./polygon (1).geojson ").geometry, BOX)
    assert "is neither WKT nor GeoJSON" in refused("./polygon (1).geojson", files=False)
    assert "not there" in refused("other.geojson")
    assert "neither" in refused("a" * 10_000)
    assert "neither" in refused("a\x00b")
    assert "neither" in refused("/vsicurl/http://127.0.0.1/a")
    assert "neither" in refused("__import__('os').getcwd()")
    assert "no kind known here" in refused(Path(__file__))


# --- the antimeridian and the poles ----------------------------------------------------------------------------------
def test_bbox_across_the_antimeridian() -> None:
    for value in ((170, -10, -170, 10), (170, -10, 190, 10), (-190, -10, -170, 10)):
        found = area(value)
        assert same(
            found.geometry, shapely.union_all([shapely.box(170, -10, 180, 10), shapely.box(-180, -10, -170, 10)])
        )
        assert found.bounds == (170, -10, -170, 10)
        assert found.km2 == pytest.approx(area((0, -10, 20, 10)).km2)


def test_a_bbox_may_be_wider_than_half_the_earth() -> None:
    assert area((-100, 0, 170, 1)).km2 == pytest.approx(270 * area((0, 0, 1, 1)).km2)
    assert area((100, 0, 90, 1)).km2 == pytest.approx(350 * area((0, 0, 1, 1)).km2)
    assert area((100, 0, 90, 1)).bounds == (100, 0, 90, 1)
    assert area((-180, -90, 180, 90)).km2 == pytest.approx(EARTH, rel=1e-9)
    assert area((0, -90, 360, 90)).km2 == pytest.approx(EARTH, rel=1e-9)
    assert area((0, -90, 360, 90)).bounds == (-180, -90, 180, 90)


@pytest.mark.parametrize(
    "ring",
    [
        "179 0, -179 0, -179 1, 179 1, 179 0",
        "179 0, 181 0, 181 1, 179 1, 179 0",
        "-181 0, -179 0, -179 1, -181 1, -181 0",
        "179 0, 180 0, -180 0, -179 0, -179 1, -180 1, 180 1, 179 1, 179 0",
        "-179 1, 179 1, 179 0, -179 0, -179 1",
    ],
)
def test_rings_across_the_antimeridian(ring: str) -> None:
    found = area(f"POLYGON (({ring}))")
    assert same(found.geometry, shapely.union_all([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]))
    assert found.bounds == (179, 0, -179, 1)
    assert found.km2 == pytest.approx(area((0, 0, 2, 1)).km2)


def test_holes_across_the_antimeridian() -> None:
    found = area("POLYGON ((170 -10, -170 -10, -170 10, 170 10, 170 -10), (178 -1, -178 -1, -178 1, 178 1, 178 -1))")
    assert found.km2 == pytest.approx(area((0, -10, 20, 10)).km2 - area((0, -1, 4, 1)).km2)
    assert not found.geometry.contains(shapely.Point(179, 0))


@pytest.mark.parametrize(("sign", "turn"), [(1, 1), (1, -1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize("first", [0, 37, 180, -180])
def test_rings_round_a_pole(sign: int, turn: int, first: int) -> None:
    lons = [((first + turn * step * 30 + 180) % 360) - 180 for step in range(12)]
    ring = [(float(lon), 75.0 * sign) for lon in lons]
    found = area({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    assert found.bounds == ((-180, 75, 180, 90) if sign > 0 else (-180, -90, 180, -75))
    assert found.geometry.geom_type == "Polygon"
    assert found.km2 == pytest.approx(area((-180, 75, 180, 90)).km2, rel=1e-9)
    assert found.geometry.contains(shapely.Point(first / 2 + 3, 89 * sign))


def test_a_hole_round_a_pole() -> None:
    def ring(lat: float) -> list[list[float]]:
        return [[lon, lat] for lon in (-120.0, 0.0, 120.0, -120.0)]

    found = area({"type": "Polygon", "coordinates": [ring(60), ring(80)]})
    assert found.km2 == pytest.approx(area((-180, 60, 180, 80)).km2, rel=1e-9)


def test_belts_and_caps_given_whole() -> None:
    belt = "POLYGON ((-180 -20, 180 -20, 180 20, -180 20, -180 -20))"
    assert area(belt).km2 == pytest.approx(area((-180, -20, 180, 20)).km2)
    dense = "POLYGON ((-180 -20, 0 -20, 180 -20, 180 20, -180 20, -180 -20))"
    assert area(dense).km2 == pytest.approx(area((-180, -20, 180, 20)).km2)
    cap = "POLYGON ((-180 70, -90 60, 0 70, 90 60, 180 70, 180 90, -180 90, -180 70))"
    assert same(area(cap).geometry, shapely.from_wkt(cap))


def test_lines_and_points() -> None:
    line = area("LINESTRING (170 0, -170 10)")
    assert line.geometry.geom_type == "MultiLineString"
    assert line.geometry.length == pytest.approx(math.hypot(20, 10))
    assert line.km2 == 0
    assert area("POINT (190 5)").geometry.equals(shapely.Point(-170, 5))
    assert area("MULTIPOINT (1 2, 3 4)").geometry.equals(area("MULTIPOINT ((1 2), (3 4))").geometry)
    assert area("POINT (1 2)").bounds == (1, 2, 1, 2)


@given(st.floats(-180, 180), st.floats(0.5, 170), st.floats(-80, 70), st.floats(0.5, 10))
def test_a_box_as_ring_wherever_it_lies(west: float, width: float, south: float, height: float) -> None:
    """The same box has the same area all round the Earth, as bbox, as ring within ±180 and as ring beyond."""
    east, north = west + width, south + height
    wrapped = east - 360 if east > 180 else east
    ring = [(west, south), (wrapped, south), (wrapped, north), (west, north), (west, south)]
    beyond = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    expected = area((0, south, width, north)).km2
    for value in ((west, south, wrapped, north), shapely.Polygon(ring), shapely.Polygon(beyond[::-1])):
        found = area(value)
        assert found.km2 == pytest.approx(expected, rel=1e-6)
        assert found.geometry.is_valid
        assert found.geometry.bounds[0] >= -180
        assert found.geometry.bounds[2] <= 180


# --- area ------------------------------------------------------------------------------------------------------------
def geodesic_km2(polygon: Any, step: float = 0.02) -> float:
    """Pyproj's area; its edges are geodesics, so ours are given to it in small steps."""
    small = polygon.segmentize(step)
    return abs(GEOD.geometry_area_perimeter(small)[0]) / 1e6


@pytest.mark.parametrize(
    "bounds", [(0, 0, 1, 1), (10, 45, 11, 46), (-70, -55, -60, -50), (0, 60, 40, 85), (-30, -30, 30, 30)]
)
def test_area_agrees_with_pyproj(bounds: tuple[float, ...]) -> None:
    assert area(bounds).km2 == pytest.approx(geodesic_km2(shapely.box(*bounds)), rel=1e-6)


def test_known_areas() -> None:
    assert area((0, 0, 1, 1)).km2 == pytest.approx(12_308.8, rel=1e-4)
    assert area((-180, 0, 180, 90)).km2 == pytest.approx(EARTH / 2, rel=1e-9)


coordinates = st.tuples(st.floats(-170, 170), st.floats(-85, 85))


@given(st.lists(coordinates, min_size=3, max_size=8))
def test_area_of_any_polygon(points: list[tuple[float, float]]) -> None:
    hull = shapely.MultiPoint([(lon / 4, lat) for lon, lat in points]).convex_hull
    assume(hull.geom_type == "Polygon" and hull.area > 0.01)
    found = area(hull)
    assert found.km2 == pytest.approx(geodesic_km2(hull, 0.2), rel=1e-4)
    assert area(hull.reverse()).km2 == pytest.approx(found.km2, rel=1e-12)
    assert 0 < found.km2 < EARTH


def test_holes_are_subtracted_whatever_their_orientation() -> None:
    outer, hole = shapely.box(0, 0, 10, 10), shapely.box(2, 2, 4, 4)
    expected = area(outer).km2 - area(hole).km2
    for inner in (hole.exterior.coords, list(hole.exterior.coords)[::-1]):
        for shell in (outer.exterior.coords, list(outer.exterior.coords)[::-1]):
            assert area(shapely.Polygon(shell, [inner])).km2 == pytest.approx(expected)
    beyond = {
        "type": "Polygon",
        "coordinates": [mapping(outer)["coordinates"][0], mapping(shapely.box(8, 8, 12, 12))["coordinates"][0]],
    }
    assert area(beyond).km2 == pytest.approx(area(outer).km2 - area((8, 8, 10, 10)).km2)


def test_overlapping_parts_count_once() -> None:
    two = {"type": "GeometryCollection", "geometries": [mapping(BOX), mapping(shapely.box(1.5, 42, 3, 43))]}
    assert area(two).km2 == pytest.approx(area((1, 42, 3, 43)).km2)


def test_a_bow_tie_is_two_triangles() -> None:
    found = area("POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))")
    assert found.geometry.is_valid
    assert found.geometry.area == pytest.approx(0.5)
    assert area("POLYGON ((0 0, 4 0, 4 4, 2 4, 2 6, 2 4, 0 4, 0 0))").geometry.geom_type == "Polygon"  # with a spike


# --- what is refused, and where --------------------------------------------------------------------------------------
def polygon(*points: tuple[Any, ...]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [list(points)]}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ((0, 0, 0, 1), "no width: west and east are both 0"),
        ((0, 1, 1, 1), "south (1) not below its north (1)"),
        ((0, 5, 1, 1), "south (5) not below its north (1)"),
        ((0, -91, 1, 1), "south of the bbox is -91, beyond ±90"),
        ((0, 0, 361, 1), "east of the bbox is 361"),
        ((-180, 0, 181, 1), "361° wide"),
        ((math.nan, 0, 1, 1), "west of the bbox is nan"),
        ((0, 0, math.inf, 1), "east of the bbox is inf"),
        ((0, 0, 1), "four numbers"),
        ((0, 0, 1, "1"), "four numbers"),
        ((0, 0, 1, True), "four numbers"),
        ([(0, 0), (1, 1)], "four numbers"),
        ([], "four numbers"),
        (None, "NoneType is not an area"),
        (7, "int is not an area"),
        ("", "empty text"),
        ("  ", "empty text"),
        ("POLYGON EMPTY", "no geometry"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 1))", "ring 0 is open: it begins at (0 0) and ends at (0 1)"),
        ("POLYGON ((0 0, 1 0, 0 0))", "has 3 vertices"),
        ("POLYGON ((0 0, 1 1, 2 2, 0 0))", "no area"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0)", "character 29: , or ) is expected, not the end"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0)) x", "'x' follows after its end"),
        ("POLYGON ((0 0, 1, 1 1, 0 0))", "character 16: a number is expected, not ', 1 1, 0 0))'"),
        ("POLYGON (0 0, 1 0, 1 1, 0 0)", "character 9: ( is expected"),
        ("POLYGON 1 2 3", "character 8: ( is expected"),
        ("CURVEPOLYGON ((0 0, 1 0, 1 1, 0 0))", "CURVEPOLYGON is no geometry known here"),
        ("POLYGON ((0 0, 1 0, 1 nan, 0 0))", "vertex 2 is (1 nan)"),
        ("POLYGON ((0 0, 1 0, 1 1e999, 0 0))", "vertex 2 is (1 inf)"),
        ("POLYGON ((٠ ٠, ١ ٠, ١ ١, ٠ ٠))", "character 10: a number is expected"),
        ("SRID=1;POINT (0 0)", "EPSG:1' is not known"),
        ('{"type": "Polygon",\n "coordinates": [[1,}', "line 2, column 21"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, NaN], [1, 1], [0, 0]]]}', "vertex 1 is (1 nan)"),
        ('{"type": "Polygon"}', "geometry (Polygon) has no coordinates"),
        ('{"type": "Circle", "coordinates": [0, 0]}', "'Circle', which is no geometry"),
        ("{}", "'None', which is no geometry"),
        ("[" * 100_000, "cannot be read"),
        ({"type": "FeatureCollection"}, "no list of features"),
        ({"type": "FeatureCollection", "features": []}, "no geometry"),
        ({"type": "FeatureCollection", "features": [None]}, "features[0] is NoneType"),
        (polygon((0, 0), (1, 0), (1, 95), (0, 0)), "ring 0, vertex 2: latitude 95 is beyond ±90"),
        (polygon((0, 0), (400, 0), (1, 1), (0, 0)), "ring 0, vertex 1: longitude 400 is beyond ±360"),
        (polygon((0, 0), (1,), (1, 1), (0, 0)), "vertex 1 is '(1,)', not two numbers"),
        (polygon((0, 0), ("1", "0"), (1, 1), (0, 0)), "vertex 1"),
        (polygon((0, 0), (True, 0), (1, 1), (0, 0)), "vertex 1"),
        (polygon((0, 0), (10**400, 0), (1, 1), (0, 0)), "too large"),
        ({"type": "Polygon", "coordinates": [[0, 0], [1, 1]]}, "vertex 0 is '0', not two numbers"),
        ({"type": "Polygon", "coordinates": "POLYGON"}, "no coordinates"),
        ({"type": "Polygon", "crs": {"type": "link"}, "coordinates": []}, "does not name a CRS"),
        (
            {"type": "Polygon", "crs": {"properties": {"name": "nonsense"}}, "coordinates": []},
            "'nonsense' is not known",
        ),
        (geopandas.GeoSeries([shapely.box(400_000, 5_000_000, 500_000, 5_100_000)]), "GeoSeries has no CRS"),
        (geopandas.GeoSeries([], crs=4326), "no geometry"),
        (geopandas.GeoSeries([None], crs=4326), "no geometry"),
        (shapely.Polygon(), "no geometry"),
        (b"", "no kind known here"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, str) else "",
)
def test_refused(value: Any, says: str) -> None:
    assert says in refused(value)


def test_the_hint_says_lon_first() -> None:
    with pytest.raises(AreaError) as caught:
        area(polygon((43, 100), (44, 100), (44, 101), (43, 100)))
    assert "lon first" in caught.value.hint


def test_the_place_in_a_collection_is_named() -> None:
    parts = {"type": "MultiPolygon", "coordinates": [mapping(BOX)["coordinates"], [[(0, 0), (1, 0), (1, 99), (0, 0)]]]}
    value = {"type": "FeatureCollection", "features": [FEATURE, {"type": "Feature", "geometry": parts}]}
    assert "features[1].geometry, polygon 1, ring 0, vertex 2: latitude 99" in refused(value)
    assert "row 1, ring 0, vertex 0" in refused(geopandas.GeoSeries([BOX, shapely.box(0, 99, 1, 100)]))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.geojson", b"\xff\xfe\x00", "is not text in UTF-8 (byte 0)"),
        ("a.geojson", b"{", "a.geojson cannot be read at line 1, column 2"),
        ("a.gpkg", b"SQLite format 3\x00" + bytes(200), "cannot be read"),
        ("a.gpkg", b'<OGRVRTDataSource><OGRVRTLayer name="x"/></OGRVRTDataSource>', "is no gpkg file inside"),
        ("a.fgb", b"fgb\x03fgb\x00" + bytes(8), "no geometry"),
        ("a.kml", b"<OGRVRTDataSource/>", "is no kml file inside"),
        ("a.kml", b"<kml><Document><Placemark>", "cannot be read"),
        ("a.zip", b"PK\x03\x04 and so on", "damaged or locked zip"),
        ("a.kmz", b"", "a.kmz is empty"),
        ("a.shp", b"\x00\x00\x27\x0a" + bytes(20), "is a part of a shapefile"),
        ("a.tif", b"II*\x00", "of no kind known here"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    assert says in refused(content, name=name)
    path = tmp_path / name
    path.write_bytes(content)
    if not name.endswith(".shp"):
        assert says in refused(path)
    else:
        assert "cannot be read" in refused(path)


def test_zips_that_hold_nothing_or_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, bomb = tmp_path / "empty.zip", tmp_path / "bomb.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "holds no shapefile" in refused(empty)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", b" " * 3_000_000)
    monkeypatch.setattr("extenso_nb.aoi.files.MAX_FILE", 2_000_000)
    assert "unpacks to more than 2 MB" in refused(bomb)
    large = tmp_path / "large.geojson"
    large.write_bytes(b" " * 2_000_001)
    assert "has more than 2 MB" in refused(large)


@given(st.text(max_size=60) | st.from_regex(r"(POLYGON|MULTIPOINT) ?[(][-(), 0-9.eE]{0,40}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = area(text, files=False)
    except AreaError:
        return
    assert found.geometry.is_valid


words = st.sampled_from(["type", "coordinates", "features", "geometry", "geometries", "crs"])
leaves = st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["Polygon", "FeatureCollection", "Point"])
bodies = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)


@given(bodies)
def test_any_json_is_read_or_refused(value: Any) -> None:
    if isinstance(value, (dict, list)):
        try:
            found = area(json.dumps(value), files=False)
        except AreaError:
            return
        assert found.geometry.is_valid


@pytest.mark.parametrize(
    "text",
    [
        "1" * 200_000,
        "A" * 200_000 + " " * 200_000,
        "POLYGON((" + "1" * 200_000,
        "POLYGON" + " " * 200_000 + "x",
        "1 " * 100_000,
        "POLYGON ((" + "0 0 " * 50_000,
        "{" * 200_000,
        "(" * 200_000,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_is_refused_at_once(text: str) -> None:
    begin = time.process_time()
    refused(text)
    assert time.process_time() - begin < 2


wkt_shapes = st.one_of(
    st.builds(shapely.Point, coordinates),
    st.lists(coordinates, min_size=2, max_size=5, unique=True).map(shapely.LineString),
    st.lists(coordinates, min_size=1, max_size=5).map(shapely.MultiPoint),
    st.tuples(coordinates, st.floats(0.1, 5)).map(lambda item: shapely.Point(item[0]).buffer(item[1] / 2, quad_segs=3)),
)


@given(wkt_shapes, st.booleans())
def test_wkt_is_read_as_shapely_reads_it(value: Any, high: bool) -> None:
    text = shapely.force_3d(value, 3.0).wkt if high else value.wkt
    found = area(text).geometry
    bounded = value.geom_type != "LineString" or np.abs(np.diff(shapely.get_coordinates(value)[:, 0])).max() <= 180
    if bounded:
        assert found.equals(shapely.from_wkt(text)) or same(found, value, 1e-9)


# --- the noun --------------------------------------------------------------------------------------------------------
def test_area_is_a_plain_value() -> None:
    found = area((170, -10, -170, 10))
    assert found == area((170, -10, 190, 10))
    assert hash(found) == hash(area((170, -10, 190, 10)))
    assert pickle.loads(pickle.dumps(found)) == found
    assert repr(found) == "<Area MultiPolygon: 4,899,329 km², 170 to -170 E, -10 to 10 N, 10 vertices>"
    assert "MultiPolygon" in found._repr_html_()
    with pytest.raises(AttributeError):
        found.geometry = BOX  # type: ignore[misc]


def test_footprints_are_repaired() -> None:
    open_ring: Callable[[], Any] = lambda: valid_footprint(polygon((179, 0), (-179, 0), (-179, 1), (179, 1)))  # noqa: E731
    assert area(open_ring()).bounds == (179, 0, -179, 1)
    assert valid_footprint(BOX).equals(BOX)
    assert valid_footprint(area(BOX)).equals(BOX)
    assert valid_footprint("POLYGON ((0 0, 1 0, 1 1, 0 1))").area == 1
    for bad in (None, 7, "nonsense", {}, polygon((0, 0), (1, 1))):
        with pytest.raises(AreaError):
            valid_footprint(bad)
