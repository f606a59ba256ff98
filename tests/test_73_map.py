"""The map: area in and out, footprints, quicklooks on their true place, swipe; without a browser."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from desk_gateway import (
    Gateway,
    RecordingComm,
    box,
    browser_sends,
    browser_sets,
    explorers,
    found_state,
    jpeg,
    product,
    until,
)
from PIL import Image

from extenso_nb.errors import InputError
from extenso_nb.widgets import drape, pictures


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    with explorers(monkeypatch) as explorer:
        yield explorer


# --- quicklooks on the map: where they lie ---------------------------------------------------------------------------
def ring_of(*points: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[list(point) for point in (*points, points[0])]]}


def km(one: Any, two: Any) -> float:
    (x1, y1), (x2, y2) = one, two
    return float(np.hypot((x1 - x2) * np.cos(np.radians(y1)), y1 - y2) * 111.2)


def test_sentinel1_corners_are_those_of_the_products_own_overlay(shared_data: Path) -> None:
    """ESA's map-overlay.kml: lower left, lower right, upper right, upper left of quick-look.png."""
    safe = next((shared_data / "s1_grd").glob("S1C_S4_GRDH*.SAFE"))
    text = (safe / "preview" / "map-overlay.kml").read_text()
    quad = [tuple(map(float, pair.split(","))) for pair in re.findall(r"[-\d.]+,[-\d.]+", text)]
    low_left, low_right, up_right, up_left = quad
    for turn in range(4):
        for ring in (quad[turn:] + quad[:turn], (quad[turn:] + quad[:turn])[::-1]):
            item = product(1, collection="S1", orbit_direction="ASCENDING", footprint=ring_of(*ring))
            at = drape.nodes(item)
            assert at[0, 0] == pytest.approx(up_left, abs=1e-6), "upside down: the first line is the southern one"
            assert at[0, -1] == pytest.approx(up_right, abs=1e-6)
            assert at[-1, -1] == pytest.approx(low_right, abs=1e-6)
            assert at[-1, 0] == pytest.approx(low_left, abs=1e-6)


@pytest.mark.parametrize("says", [True, False])
def test_sentinel1_pixels_lie_where_the_geolocation_grid_says(shared_data: Path, says: bool) -> None:
    """Also where the catalogue does not say which pass it was."""
    annotations = sorted(shared_data.glob("s1_grd/*.SAFE/annotation/*-001.xml"))
    passes = set()
    for path in annotations:
        root = ET.parse(path).getroot()
        track = str(root.findtext(".//pass"))
        passes.add(track)
        grid = {
            (int(row.findtext("line") or 0), int(row.findtext("pixel") or 0)): (
                float(row.findtext("longitude") or 0),
                float(row.findtext("latitude") or 0),
            )
            for row in root.iter("geolocationGridPoint")
        }
        lines, columns = sorted({line for line, _ in grid}), sorted({column for _, column in grid})
        ends = [(lines[-1], columns[0]), (lines[-1], columns[-1]), (lines[0], columns[-1]), (lines[0], columns[0])]
        item = product(
            1, collection="S1", orbit_direction=track if says else None, footprint=ring_of(*(grid[end] for end in ends))
        )
        at = drape.nodes(item)
        wide = km(grid[ends[0]], grid[ends[1]])
        off = [
            km(at[round(line / lines[-1] * 16), round(column / columns[-1] * 16)], grid[line, column])
            for line in lines
            for column in columns
            if abs(line / lines[-1] * 16 % 1 - 0.5) > 0.45 and abs(column / columns[-1] * 16 % 1 - 0.5) > 0.45
        ]
        assert len(off) > 4
        assert max(off) < 0.05 * wide, "heights, and rounding to a cell; another corner would be off by the whole width"
    assert {track.lower() for track in passes} == {"ascending", "descending"}


def test_tiles_begin_where_their_metadata_says(shared_data: Path) -> None:
    seen = {}
    for path in sorted(shared_data.glob("s2_l*/**/*.xml")):
        text = path.read_text(errors="replace")
        name = re.search(r"<TILE_ID[^>]*>\S*_T(\d\d[A-Z]{3})_", text)
        corner = re.search(r"<ULX>(\d+)</ULX>\s*<ULY>(\d+)</ULY>", text)
        code = re.search(r"EPSG:(\d{5})", text)
        if name and corner and code:
            seen[name[1]] = (int(code[1]), float(corner[1]), float(corner[2]))
    assert len(seen) >= 4
    assert any(code >= 32700 for code, _, _ in seen.values()), "one of the southern half"
    for name, wanted in seen.items():
        assert drape.tile_corner(name) == wanted
    assert drape.tile_corner("T31TCJ") == (32631, 300000, 4900020)
    for bad in ("", "31T", "99TCJ", "31TIJ", "31TCJK", "00TCJ", "31TSJ"):
        with pytest.raises(InputError):
            drape.tile_corner(bad)


def test_a_sentinel2_quicklook_shows_the_whole_tile_though_the_footprint_is_cut() -> None:
    from pyproj import Transformer

    back = Transformer.from_crs(32631, 4326, always_xy=True)
    left, top = 300000, 4900020
    cut = [(left, top), (left + 50_000, top), (left + 20_000, top - 109_800), (left, top - 109_800)]
    slanted = ring_of(*(back.transform(*point) for point in cut))
    at = drape.nodes(product(1, tile_id="31TCJ", footprint=slanted))
    assert at[0, -1] == pytest.approx(back.transform(left + 109_800, top), abs=1e-9)
    content, bounds = drape.warp(jpeg(), at, drape.joined(slanted))
    alpha = np.asarray(Image.open(io.BytesIO(content)))[..., 3]
    assert 0.2 < (alpha > 0).mean() < 0.45, "what lies beyond the edge of the swath is transparent"
    assert bounds[0][1] == pytest.approx(at[..., 0].min())
    # A picture of a part, which the sample archive draws: the footprint is a rectangle within the tile.
    part = [(350_000, 4_850_000), (355_000, 4_850_000), (355_000, 4_845_000), (350_000, 4_845_000)]
    at = drape.nodes(product(1, tile_id="31TCJ", footprint=ring_of(*(back.transform(*point) for point in part))))
    assert km(at[0, 0], back.transform(*part[0])) < 0.01
    assert km(at[-1, -1], back.transform(*part[2])) < 0.01


def test_sentinel3_is_north_up_on_descending_passes_and_turned_on_ascending_ones(shared_data: Path) -> None:
    """The corners of real products; column 0 is west on the way south, as in geo_coordinates.nc of OLCI."""
    seen = set()
    for path in sorted(shared_data.glob("s3_*/*/xfdumanifest.xml")):
        text = path.read_text()
        numbers = [float(value) for value in re.findall(r"posList>([^<]+)<", text)[0].split()]
        track = re.search(r'groundTrackDirection="(\w+)"', text)
        footprint = ring_of(*zip(numbers[1::2], numbers[::2], strict=True))
        shape = shapely.geometry.shape(footprint)
        if shape.bounds[2] - shape.bounds[0] > 40 or abs(shape.centroid.y) > 45 or not track:
            continue
        at = drape.nodes(product(1, collection="S3", orbit_direction=track[1], footprint=footprint))
        down = track[1] == "descending"
        assert (at[0, 0, 1] > at[-1, 0, 1]) == down
        assert (at[0, 0, 0] < at[0, -1, 0]) == down
        corners = at[[0, 0, -1, -1], [0, -1, -1, 0]]
        assert all(shape.exterior.distance(shapely.Point(point)) < 0.2 for point in corners)
        assert (
            shapely.Polygon([*at[0], *at[1:, -1], *at[-1, ::-1], *at[::-1, 0]]).symmetric_difference(shape).area
            < 0.03 * shape.area
        ), "curved sides are followed"
        seen.add(track[1])
    assert "ascending" in seen


def test_pixels_go_where_their_corner_is() -> None:
    """Four colours, one in each quarter of the picture, found again on the map; for both passes of a radar."""
    colours = {(0, 0): (255, 0, 0), (0, 1): (0, 255, 0), (1, 0): (0, 0, 255), (1, 1): (255, 255, 0)}
    picture = np.zeros((200, 200, 3), np.uint8)
    for (row, column), colour in colours.items():
        picture[row * 100 : row * 100 + 100, column * 100 : column * 100 + 100] = colour
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    ring = ring_of((0.0, 40.0), (3.0, 40.4), (2.6, 42.0), (-0.4, 41.6))
    for track, (south_west, north_east) in {
        "ASCENDING": ((0, 0), (1, 1)),
        "DESCENDING": ((1, 1), (0, 0)),
    }.items():
        at = drape.nodes(product(1, collection="S1", orbit_direction=track, footprint=ring))
        content, ((south, west), (north, east)) = drape.warp(buffer.getvalue(), at)
        image = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
        assert max(image.shape[:2]) == drape.SIDE
        assert len(content) < 60_000

        def seen(lon: float, lat: float, box: Any = (west, east, south, north), image: Any = image) -> Any:
            x = (lon - box[0]) / (box[1] - box[0])
            top, here, low = (np.log(np.tan(np.pi / 4 + np.radians(v) / 2)) for v in (box[3], lat, box[2]))
            y = (top - here) / (top - low)
            return image[int(y * image.shape[0]), int(x * image.shape[1])]

        for (lon, lat), wanted in {(0.35, 40.35): south_west, (2.25, 41.65): north_east}.items():
            colour = seen(lon, lat)
            assert colour[3] == 255
            assert np.abs(colour[:3].astype(int) - colours[wanted]).max() < 40, (track, lon, lat, colour)
        assert seen(west + 0.01, south + 0.01)[3] == 0, "outside of the footprint nothing is painted"


def test_across_the_antimeridian_a_quicklook_stays_in_one_piece() -> None:
    from extenso_nb.aoi import valid_footprint

    whole = ring_of((178.0, -18.0), (181.0, -17.6), (180.6, -16.0), (177.6, -16.4))
    cut = shapely.geometry.mapping(valid_footprint(whole))
    assert cut["type"] == "MultiPolygon"
    at = drape.nodes(product(1, collection="S1", orbit_direction="DESCENDING", footprint=cut))
    there = drape.nodes(product(1, collection="S1", orbit_direction="DESCENDING", footprint=whole))
    assert np.abs(at - there).max() < 1e-4
    _, ((south, west), (north, east)) = drape.warp(jpeg(), at)
    assert (west, east) == pytest.approx((177.6, 181.0), abs=1e-3)
    assert (south, north) == pytest.approx((-18.0, -16.0), abs=1e-2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"collection": "S5P"}, "no quicklook"),
        ({"collection": "S1", "footprint": None}, "no footprint"),
        (
            {
                "collection": "S1",
                "footprint": {
                    "type": "MultiPolygon",
                    "coordinates": [box(0, 0, 1, 1)["coordinates"], box(3, 3, 4, 4)["coordinates"]],
                },
            },
            "2 pieces",
        ),
        ({"collection": "S3", "footprint": ring_of((0, -80), (20, -80), (20, 80), (0, 80))}, "too long"),
        ({"collection": "S1", "footprint": ring_of((0, 80), (40, 80), (40, 88), (0, 88))}, "beyond 85"),
        ({"collection": "S1", "footprint": ring_of((0, 0), (1, 0), (0, 1))}, "three corners"),
    ],
)
def test_what_cannot_lie_on_the_map_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        drape.nodes(product(1, **changes))


def test_two_quicklooks_lie_on_the_map_and_a_third_replaces_the_older() -> None:
    gateway = Gateway(4)
    state = found_state(gateway)
    for number in range(3):
        asyncio.run(pictures.drape(state, gateway, product(number).id))
    assert state.draped == [product(1).id, product(2).id]
    assert set(state.drapes) == set(state.draped)
    url = state.drapes[product(2).id]["url"]
    head, _, body = url.partition(",")
    assert head == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(body))).format == "WEBP"
    (south, west), (north, east) = state.drapes[product(2).id]["bounds"]
    assert (west, east) == pytest.approx((2.0, 2.9123), abs=0.01)
    assert (south, north) == pytest.approx((40, 41), abs=0.01)


def test_a_drape_that_fails_is_said_and_changes_nothing() -> None:
    gateway = Gateway(2, collection="S5P")
    state = found_state(gateway, collection="S5P")
    asyncio.run(pictures.drape(state, gateway, product(0).id))
    assert state.message["level"] == "error"
    assert "no quicklook" in state.message["detail"]
    assert (state.draped, state.drapes) == ([], {})
    assert gateway.count("quicklook") == 0


# --- the area: drawn, set, and the same on both sides ----------------------------------------------------------------
def shapes(*geometries: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]


def drawn(explorer: Any) -> Any:
    """What is on the screen, as one geometry, brought back into ±180."""
    from extenso_nb.widgets.shapes import parse_drawing

    return shapely.geometry.shape(parse_drawing(explorer.map.draw.data)[0])


def test_drawing_editing_and_deleting_keep_the_area_in_step(make: Any) -> None:
    explorer = make()
    state, draw = explorer.state, explorer.map.draw
    browser_sets(draw, data=shapes(box(0, 40, 1, 41)))
    first = state.aoi
    assert first["type"] == "Polygon"
    assert explorer.area.bar.echo.endswith("km², 4 vertices")
    browser_sets(draw, data=shapes(box(0, 40, 2, 41)))
    assert state.aoi != first
    browser_sets(draw, data=shapes(box(0, 40, 2, 41), box(5, 40, 6, 41)))
    assert state.aoi["type"] == "MultiPolygon"
    assert explorer.area.bar.echo.endswith("8 vertices, 2 shapes")
    assert len(draw.data) == 2, "what the user draws is not written over"
    before = state.aoi
    turned = {"type": "Polygon", "coordinates": [[[2, 40], [2, 41], [0, 41], [0, 40], [2, 40]]]}
    browser_sets(draw, data=shapes(turned, box(5, 40, 6, 41)))
    assert state.aoi == before, "the same area from another vertex: results are still those of it"
    browser_sets(draw, data=[])
    assert (state.aoi, state.aoi_valid, explorer.area.bar.echo) == (None, True, "Whole Earth")
    assert not explorer.area.bar.drawn


def test_an_area_set_from_code_is_drawn_and_stays_as_it_was_set(make: Any) -> None:
    explorer = make()
    wanted = {
        "type": "MultiPolygon",
        "coordinates": [box(0, 40, 1, 41)["coordinates"], box(3, 40, 4, 41)["coordinates"]],
    }
    explorer.state.aoi = wanted
    assert [shape["geometry"]["type"] for shape in explorer.map.draw.data] == ["Polygon", "Polygon"]
    assert explorer.state.aoi == wanted
    assert explorer.area.bar.echo.endswith("8 vertices, 2 shapes")
    explorer.state.aoi = None
    assert explorer.map.draw.data == []
    assert explorer.area.bar.echo == "Whole Earth"


@pytest.mark.parametrize(("west", "east"), [(179, 182), (-181, -178), (539, 542)])
def test_a_shape_across_the_antimeridian_is_the_same_from_both_sides(make: Any, west: float, east: float) -> None:
    explorer = make()
    browser_sets(explorer.map.draw, data=shapes(box(west, -18, east, -16)))
    area = shapely.geometry.shape(explorer.state.aoi)
    assert area.area == pytest.approx(6.0, rel=0.01)
    assert area.contains(shapely.Point(-179, -17))
    assert area.contains(shapely.Point(179.5, -17))
    assert not area.contains(shapely.Point(0, -17))
    assert len(explorer.map.draw.data) == 1, "still one shape, that can be edited"
    assert "shapes" not in explorer.area.bar.echo
    if west < 200:
        (ring,) = explorer.map.other_side.locations[0]
        assert abs(abs(ring[0][1] - west) - 360) < 4, "shown on the other side as well"
    browser_sets(explorer.map.draw, data=[])
    assert explorer.map.other_side.locations == []


def test_an_area_cut_at_the_antimeridian_is_drawn_as_one_shape_on_both_sides(make: Any) -> None:
    from extenso_nb import aoi

    explorer = make()
    wanted = aoi.area([179, -18, -178, -16])
    explorer.state.aoi = wanted.geojson
    (shape,) = explorer.map.draw.data
    ring = shape["geometry"]["coordinates"][0]
    assert sorted({x for x, _ in ring}) == [179, 182]
    assert len(ring) == 5, "no vertices on the seam"
    assert sorted({x for _, x in explorer.map.other_side.locations[0][0]}) == [-181, -178]
    assert explorer.state.aoi == wanted.geojson
    assert drawn(explorer).equals(wanted.geometry)
    assert explorer.area.area.km2 == pytest.approx(wanted.km2)


def test_a_shape_drawn_on_another_turn_of_the_map_comes_home(make: Any) -> None:
    explorer = make()
    browser_sets(explorer.map.draw, data=shapes(box(360, 40, 361, 41)))
    assert shapely.geometry.shape(explorer.state.aoi).bounds == pytest.approx((0, 40, 1, 41))
    assert explorer.map.other_side.locations == []


def test_a_shape_that_is_no_area_stops_the_search_and_not_the_drawing(make: Any) -> None:
    gateway = Gateway()
    explorer = make(gateway, resume=False)
    bad = {"type": "Polygon", "coordinates": [[[0, 95], [1, 95], [1, 96], [0, 95]]]}
    browser_sets(explorer.map.draw, data=shapes(bad))
    assert not explorer.state.aoi_valid
    assert not explorer.area.bar.valid
    assert "95" in explorer.area.bar.echo
    explorer.search().result(5)
    assert explorer.state.message["level"] == "error"
    assert gateway.count("search_page") == 0, "the whole Earth was not meant"
    assert len(explorer.map.draw.data) == 1
    browser_sends(explorer.area.bar, kind="clear")
    assert explorer.state.aoi_valid
    assert explorer.map.draw.data == []


# --- the area bar ----------------------------------------------------------------------------------------------------
def test_the_view_becomes_the_area(make: Any) -> None:
    explorer = make()
    bar = explorer.area.bar
    browser_sends(bar, kind="view", west=1.0, south=43.0, east=2.0, north=44.0)
    assert explorer.area.area.bounds == (1, 43, 2, 44)
    browser_sends(bar, kind="view", west=538.0, south=-20.0, east=543.0, north=-10.0)
    assert explorer.area.area.bounds == (178, -20, -177, -10)
    browser_sends(bar, kind="view", west=-300.0, south=-85.0, east=300.0, north=85.0)
    assert explorer.area.area is None, "wider than the Earth"


def test_a_place_is_found_offline_and_the_map_goes_there(make: Any) -> None:
    explorer = make()
    bar = explorer.area.bar
    browser_sends(bar, kind="find", text="toulous")
    assert bar.places["text"] == "toulous"
    assert bar.places["items"][0] == {"label": "Toulouse, France", "kind": "city"}
    browser_sends(bar, kind="place", text="toulous", at=0)
    assert explorer.area.area.geometry.contains(shapely.Point(1.44, 43.6))
    assert explorer.map.map.center == pytest.approx([43.6, 1.44], abs=0.1)
    assert explorer.map.map.zoom > 7
    kept = explorer.state.aoi
    browser_sends(bar, kind="find", text="zzzqqqxxx")
    browser_sends(bar, kind="place", text="zzzqqqxxx", at=0)
    assert bar.places["items"] == []
    assert "zzzqqqxxx" in bar.problem["text"]
    assert explorer.state.aoi == kept


def test_text_becomes_the_area_and_an_error_stands_at_the_field(make: Any) -> None:
    explorer = make()
    bar = explorer.area.bar
    for text in ("POLYGON((1 43, 2 43, 2 44, 1 44, 1 43))", "1, 43, 2, 44", json.dumps(box(1, 43, 2, 44))):
        explorer.state.aoi = None
        browser_sends(bar, kind="paste", text=text)
        assert explorer.area.area.bounds == (1, 43, 2, 44)
        assert bar.problem == {}
    taken, kept = bar.accepted, explorer.state.aoi
    assert taken == 3
    for bad in ("POLYGON((1 43", "", "/etc/passwd", "1,2,3", "{"):
        browser_sends(bar, kind="paste", text=bad)
        assert bar.problem["at"] == "paste"
        assert bar.problem["text"]
        assert (bar.accepted, explorer.state.aoi) == (taken, kept)
    browser_sends(bar, kind="paste", text="179,-18,-179,-16")
    assert bar.problem == {}
    assert abs(explorer.map.map.center[1]) > 179, "the map goes to the antimeridian, not to the other side of the Earth"
    assert explorer.map.map.zoom > 5


def sends_files(bar: Any, **files: bytes) -> None:
    names = [name.replace("__", ".") for name in files]
    content = {"kind": "upload", "names": names}
    message = {
        "content": {"data": {"method": "custom", "content": content}},
        "buffers": list(map(memoryview, files.values())),
    }
    bar._handle_msg(message)
    until(lambda: "area" not in bar.state.busy and not bar.echo.startswith("Reading "))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same square in every format."""
    import geopandas

    folder = tmp_path_factory.mktemp("areas")
    frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(1, 43, 2, 44)], crs=4326)
    found: dict[str, bytes] = {}
    for suffix, driver in (("gpkg", "GPKG"), ("geojson", "GeoJSON"), ("kml", "KML"), ("fgb", "FlatGeobuf")):
        frame.to_file(folder / f"a.{suffix}", driver=driver)
        found[f"a__{suffix}"] = (folder / f"a.{suffix}").read_bytes()
    frame.to_crs(32631).to_file(folder / "s.shp")
    for part in ("shp", "shx", "dbf", "prj"):
        found[f"s__{part}"] = (folder / f"s.{part}").read_bytes()
    import zipfile

    for name, members in {"z__zip": ("shp", "shx", "dbf", "prj"), "a__kmz": ("kml",)}.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for part in members:
                key = f"a__{part}" if part == "kml" else f"s__{part}"
                archive.writestr(f"doc.{part}", found[key])
        found[name] = buffer.getvalue()
    found["a__wkt"] = b"POLYGON((1 43, 2 43, 2 44, 1 44, 1 43))"
    points = "".join(f'<trkpt lat="{lat}" lon="{lon}"></trkpt>' for lon, lat in ((1, 43), (2, 43.5), (1.5, 44)))
    found["a__gpx"] = (
        '<?xml version="1.0"?><gpx version="1.1" creator="t" xmlns="http://www.topografix.com/GPX/1/1">'
        f"<trk><trkseg>{points}</trkseg></trk></gpx>"
    ).encode()
    return found


@pytest.mark.parametrize(
    "names",
    [
        ["a__geojson"], ["a__wkt"], ["z__zip"], ["a__gpkg"], ["a__kml"], ["a__kmz"], ["a__fgb"], ["a__gpx"],
        ["s__shp", "s__shx", "s__dbf", "s__prj"],
    ],
)  # fmt: skip
def test_a_file_becomes_the_area_and_the_map_goes_there(make: Any, files: dict[str, bytes], names: list[str]) -> None:
    explorer = make()
    sends_files(explorer.area.bar, **{name: files[name] for name in names})
    assert explorer.area.bar.problem == {}
    assert explorer.area.area.bounds == pytest.approx((1, 43, 2, 44), abs=0.02)
    assert explorer.map.map.center == pytest.approx([43.5, 1.5], abs=0.1)
    assert len(explorer.map.draw.data) == 1


def test_a_file_that_is_none_keeps_the_area_and_says_why(make: Any, files: dict[str, bytes]) -> None:
    from extenso_nb.widgets import area

    explorer = make()
    explorer.state.aoi = box(0, 0, 1, 1)
    for name, content in {
        "a__docx": b"x",
        "a__geojson": b"{",
        "s__dbf": files["s__dbf"],
        "a__gpx": b"<vrt>",
        "a__wkt": b"1" * (area.MAX_UPLOAD + 1),
    }.items():
        sends_files(explorer.area.bar, **{name: content})
        assert explorer.area.bar.problem["at"] == "upload"
        assert explorer.state.message["level"] == "error"
        assert explorer.state.aoi == box(0, 0, 1, 1)
        explorer.state.say("info", "")
    assert "20 MB" in explorer.area.bar.problem["text"]


def test_the_area_picker_alone() -> None:
    from extenso_nb.widgets import AreaPicker

    picker = AreaPicker()
    assert picker.area is None
    browser_sets(picker.map.draw, data=shapes(box(0, 40, 1, 41)))
    assert picker.area.bounds == (0, 40, 1, 41)
    assert "<Area Polygon" in repr(picker.area)
    picker.close()


# --- footprints ------------------------------------------------------------------------------------------------------
def test_pointing_goes_both_ways_and_ends(make: Any) -> None:
    explorer = make()
    explorer.search().result(5)
    footprints, overlay = explorer.map.footprints, explorer.map.overlay
    browser_sends(footprints, event="mouseover", id=product(3).id, properties={"id": product(3).id})
    assert explorer.state.hovered == product(3).id
    assert explorer.map.pointed.locations == [], "the browser has highlighted it already"
    assert "21 % cloud" in overlay.label
    browser_sends(overlay, kind="left")
    assert (explorer.state.hovered, overlay.label) == ("", "")
    explorer.state.hovered = product(4).id
    assert explorer.map.pointed.locations[0][0][0] == (40.0, 4.0)
    explorer.state.hovered = ""
    assert explorer.map.pointed.locations == []
    browser_sends(footprints, event="click", id=product(3).id, properties={"id": product(3).id})
    assert explorer.state.selected == [product(3).id]
    browser_sends(explorer.map.chosen, event="click", id=product(3).id, properties={"id": product(3).id})
    assert explorer.state.selected == []


def test_footprints_are_one_light_layer_and_selecting_sends_only_what_is_selected(make: Any) -> None:
    gateway = Gateway(1000)
    gateway.products[0] = product(0, footprint=None)
    explorer = make(gateway, resume=False)
    explorer.state.page_size = 100
    explorer.search().result(5)
    for _ in range(9):
        explorer.load_more().result(5)
    features = explorer.map.footprints.data["features"]
    assert len(features) == 999
    assert len(json.dumps(features)) < 500_000
    assert all(feature["id"] == feature["properties"]["id"] for feature in features)
    assert features[0]["geometry"]["coordinates"][0][1][0] == round(features[0]["geometry"]["coordinates"][0][1][0], 4)
    assert len({feature["properties"]["style"]["fillColor"] for feature in features}) > 20
    RecordingComm.sent.clear()
    explorer.state.select([product(7).id])
    of_map = {widget.comm.comm_id for widget in (explorer.map.footprints, explorer.map.chosen, explorer.map.map)}
    sent = [data for comm, data in RecordingComm.sent if comm in of_map]
    assert [feature["id"] for feature in explorer.map.chosen.data["features"]] == [product(7).id]
    assert sum(len(json.dumps(data)) for data in sent) < 2_000
    assert not any(data for comm, data in RecordingComm.sent if comm == explorer.map.footprints.comm.comm_id)


def test_what_is_selected_stays_on_the_map_when_others_are_found(make: Any) -> None:
    gateway = Gateway(3)
    explorer = make(gateway)
    explorer.search().result(5)
    explorer.state.select([product(1).id])
    style = explorer.map.chosen.data["features"][0]["properties"]["style"]
    assert style["interactive"] is False, "the footprint below takes the clicks"
    gateway.products = [product(5)]
    explorer.search().result(5)
    (feature,) = explorer.map.chosen.data["features"]
    assert feature["id"] == product(1).id
    assert feature["properties"]["style"]["interactive"] is True, "there is nothing below it"


def test_facets_and_coverage_decide_what_is_drawn(make: Any) -> None:
    gateway = Gateway(6)
    gateway.products[2] = product(2, platform="Sentinel-2B")
    explorer = make(gateway)
    explorer.state.aoi = box(0, 40, 6, 41)
    explorer.search().result(5)
    assert len(explorer.map.footprints.data["features"]) == 6
    explorer.state.facets = {"platform": ["Sentinel-2B"]}
    assert [item["id"] for item in explorer.map.footprints.data["features"]] == [product(2).id]
    explorer.state.facets = {}
    explorer.state.least_coverage = 99.0
    assert explorer.map.footprints.data["features"] == []
    assert not explorer.map.overlay.found


def test_footprints_too_small_to_see_are_dots_until_one_is_near(make: Any) -> None:
    """All of the sample archive's Sentinel-2 on one map: scenes of 5 km were less than a pixel."""
    gateway = Gateway(2)
    gateway.products = [product(0, footprint=box(1.36, 43.39, 1.44, 43.45)), product(1, footprint=box(13, 68, 16, 69))]
    explorer = make(gateway)
    explorer.search().result(5)

    def weights(layer: Any) -> list[float]:
        features = sorted(layer.data["features"], key=lambda one: str(one["id"]))
        return [feature["properties"]["style"]["weight"] for feature in features]

    assert explorer.map.map.zoom < 6
    assert weights(explorer.map.footprints)[0] > 4 > weights(explorer.map.footprints)[1]
    explorer.state.select([product(0).id])
    assert weights(explorer.map.chosen)[0] > 8
    explorer.map.map.zoom = 12
    assert max(weights(explorer.map.footprints) + weights(explorer.map.chosen)) < 4
    assert explorer.static().count("<circle") == 1


def steps(geometry: dict[str, Any]) -> float:
    """The longest step of longitude between two vertices, those along a pole left out."""
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return max(
        abs(b[0] - a[0]) for rings in parts for ring in rings for a, b in itertools.pairwise(ring) if abs(a[1]) < 89.9
    )


def test_long_swaths_draw_no_line_across_the_map(make: Any) -> None:
    across = ring_of((170, 60), (-170, 62), (-165, 50), (175, 48))
    pole = ring_of(*((lon, 70.0 + lon / 90) for lon in range(-180, 180, 20)))
    gateway = Gateway(2)
    gateway.products = [product(0, footprint=across), product(1, footprint=pole)]
    explorer = make(gateway)
    explorer.search().result(5)
    assert len(explorer.map.footprints.data["features"]) == 2
    for feature in explorer.map.footprints.data["features"]:
        assert steps(feature["geometry"]) <= 30
    explorer.state.hovered = product(0).id
    for polygon in explorer.map.pointed.locations:
        for ring in polygon:
            assert max(abs(b[1] - a[1]) for a, b in itertools.pairwise(ring)) <= 30


def test_view_of_footprints_fits_into_the_map() -> None:
    from extenso_nb.widgets.shapes import view_of

    assert view_of([None, {}]) is None
    found = view_of([box(1, 43, 2, 44)])
    assert found is not None
    (lat, lon), zoom = found
    assert (lon, zoom) == (1.5, 9 - 1)
    assert 43.4 < lat < 43.6
    assert view_of([box(-180, -85, 180, 85)]) == ((0.0, 0.0), 1)
    assert view_of([{"type": "Point", "coordinates": [1, 43]}]) == ((43.0, 1.0), 12)
    (_, lon), zoom = view_of([box(178, -18, 179, -16), box(-179, -18, -178, -16)]) or ((0, 0), 0)
    assert (abs(lon), zoom) == (180.0, 7), "not round the Earth the long way"
    (_, lon), zoom = view_of([box(-10, 0, 0, 5), box(20, 0, 30, 5)]) or ((0, 0), 0)
    assert lon == 10.0


# --- quicklooks and swipe on the map ---------------------------------------------------------------------------------
def test_quicklooks_come_go_and_have_their_own_opacity(make: Any) -> None:
    explorer = make(Gateway(4))
    explorer.search().result(5)
    first, second, third = (product(number).id for number in range(3))
    view, overlay, swipe = explorer.map, explorer.map.overlay, explorer.map.swipe
    for key in (first, second):
        explorer.desk.drape(key).result(10)
    assert list(view.draped) == [first, second]
    assert set(view.draped.values()) <= set(view.map.layers)
    assert view.footprints.style == {"fillOpacity": 0.0}, "colours of clouds do not cover the pictures"
    assert overlay.drapes[0]["name"].endswith("2024-06-01")
    browser_sends(overlay, kind="opacity", id=first, value=0.25)
    assert [layer.opacity for layer in view.draped.values()] == [0.25, 0.9]
    browser_sends(overlay, kind="compare")
    assert explorer.state.swiping
    assert [one["name"] for one in swipe.pair] == [one["name"] for one in overlay.drapes]
    assert view.draped[first].url.endswith(swipe.pair[0]["mark"])
    browser_sends(swipe, kind="end")
    assert not explorer.state.swiping
    assert swipe.pair == []
    explorer.desk.drape(third).result(10)
    assert list(view.draped) == [second, third], "the older one has gone"
    browser_sends(overlay, kind="compare")
    browser_sends(overlay, kind="remove", id=third)
    assert list(view.draped) == [second]
    assert (explorer.state.swiping, swipe.pair) == (False, [])
    browser_sends(overlay, kind="compare")
    assert not explorer.state.swiping, "one alone cannot be compared"
    browser_sends(overlay, kind="remove", id=second)
    assert view.draped == {}
    assert not any(getattr(layer, "url", "").startswith("data:") for layer in view.map.layers)
    assert view.footprints.style == {}
    explorer.desk.drape(first).result(10)
    explorer.search().result(5)
    assert view.draped == {}, "a new search clears the map"


def test_a_saved_state_gets_its_quicklooks_back(make: Any) -> None:
    from extenso_nb.widgets import ExplorerState

    first = make(Gateway(2))
    first.search().result(5)
    first.desk.drape(product(1).id).result(10)
    again = make(Gateway(2), state=ExplorerState.from_dict(json.loads(json.dumps(first.state.to_dict()))))
    until(lambda: again.map.draped)
    assert list(again.map.draped) == [product(1).id]


def test_land_is_seen_beyond_the_antimeridian() -> None:
    from extenso_nb.widgets.shapes import land_locations

    lons = [lon for rings in land_locations() for ring in rings for _, lon in ring]
    assert min(lons) < -260
    assert max(lons) > 260


def test_no_tile_is_asked_for_unless_somebody_wants_it() -> None:
    from extenso_nb.widgets import AreaPicker

    for wanted in (False, True):
        picker = AreaPicker(tiles=wanted)
        urls = [layer.url for layer in picker.map.map.layers if getattr(layer, "url", "")]
        assert bool(urls) == wanted
        picker.close()
