"""The map: area in and out, footprints, quicklooks on their true place, swipe; without a browser."""

from __future__ import annotations

import asyncio
import base64
import io
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
