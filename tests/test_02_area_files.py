"""Files and pasted text as areas: what a browser hands over, each kind written by another hand and read back the same."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import pytest
import shapely
from shapely.geometry import mapping

from extenso_nb.aoi import SUFFIXES, Area, area
from extenso_nb.errors import AreaError

FIELD = shapely.Polygon(
    [(1.2, 43.3), (1.6, 43.35), (1.55, 43.7), (1.25, 43.6)], [[(1.3, 43.4), (1.4, 43.4), (1.35, 43.5)]]
)
FIJI = shapely.union_all([shapely.box(177, -19, 180, -16), shapely.box(-180, -19, -178, -16)])


def refused(value: Any, **options: Any) -> AreaError:
    with pytest.raises(AreaError) as caught:
        area(value, **options)
    assert caught.value.hint
    return caught.value


def same(one: Any, other: Any, tolerance: float = 1e-9) -> bool:
    return bool(one.symmetric_difference(other).area <= tolerance)


# --- every kind of file, with a hole and across the antimeridian -----------------------------------------------------
def drivers(driver: str, suffix: str) -> Callable[[geopandas.GeoDataFrame, Path], bytes]:
    def write(frame: geopandas.GeoDataFrame, folder: Path) -> bytes:
        path = folder / f"drawn{suffix}"
        pyogrio.write_dataframe(frame, path, driver=driver)
        return path.read_bytes()

    return write


def shapefile(frame: geopandas.GeoDataFrame, folder: Path) -> dict[str, bytes]:
    pyogrio.write_dataframe(frame, folder / "drawn.shp", driver="ESRI Shapefile")
    return {path.name: path.read_bytes() for path in sorted(folder.glob("drawn.*"))}


def zipped(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


WRITERS: dict[str, Callable[[geopandas.GeoDataFrame, Path], Any]] = {
    ".geojson": lambda frame, _: frame.to_json().encode(),
    ".json": lambda frame, _: json.dumps(frame.geometry.iloc[0].__geo_interface__, indent=1).encode(),
    ".wkt": lambda frame, _: frame.geometry.iloc[0].wkt.encode(),
    ".zip": lambda frame, folder: zipped({f"sub/{k}": v for k, v in shapefile(frame, folder).items()}),
    ".shp": shapefile,
    ".gpkg": drivers("GPKG", ".gpkg"),
    ".kml": drivers("KML", ".kml"),
    ".kmz": lambda frame, folder: zipped({"doc.kml": drivers("KML", ".kml")(frame, folder)}),
    ".fgb": drivers("FlatGeobuf", ".fgb"),
}


@pytest.mark.parametrize("shape", [FIELD, FIJI], ids=["hole", "antimeridian"])
@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_written_and_read_back(tmp_path: Path, suffix: str, shape: Any) -> None:
    frame = geopandas.GeoDataFrame({"name": ["drawn"]}, geometry=[shape], crs=4326)
    written = WRITERS[suffix](frame, tmp_path)
    files = written if isinstance(written, dict) else {f"Drawn{suffix.upper()}": written}
    found = area(files)
    assert same(found.geometry, shape)
    assert found.geometry.is_valid
    assert found.km2 == pytest.approx(area(shape).km2)
    if shape is FIJI:
        assert found.bounds == (177, -19, -178, -16)
    if len(files) == 1:
        (name, content) = next(iter(files.items()))
        assert area(content, name=name) == area(memoryview(content), name=name) == found
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    name = next(name for name in files if name.lower().endswith(suffix))
    assert area(tmp_path / name) == found


@pytest.mark.parametrize("suffix", [*sorted(WRITERS), ".gpx"])
def test_what_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    """A part of an area is not an area: never a smaller one."""
    boxes = [shapely.box(lon, 40, lon + 0.5, 41) for lon in range(40)]
    frame = geopandas.GeoDataFrame({"name": ["drawn"]}, geometry=[shapely.MultiPolygon(boxes)], crs=4326)
    rows = frame.explode(ignore_index=True) if suffix not in (".wkt", ".json") else frame
    written = gpx(*(track(list(box.exterior.coords)) for box in boxes))
    if suffix in WRITERS:
        written = WRITERS[suffix](rows, tmp_path)
    files = written if isinstance(written, dict) else {f"a{suffix}": written}
    assert area(files).km2 == pytest.approx(area(frame).km2)
    for share in (0.02, 0.3, 0.5, 0.7, 0.9, 0.99):
        for name in files:
            if not name.endswith((".dbf", ".cpg", ".prj")):
                assert name[:-4] in refused(files | {name: files[name][: int(share * len(files[name]))]}).message


def test_every_suffix_is_tested() -> None:
    assert {*WRITERS, ".gpx"} == set(SUFFIXES)


@pytest.mark.parametrize("suffix", [".zip", ".shp", ".gpkg", ".fgb"])
@pytest.mark.parametrize("crs", [32631, 2154, 3857])
def test_another_system(tmp_path: Path, suffix: str, crs: int) -> None:
    """Fine steps, so that the edges are where they are in lon/lat."""
    frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[FIELD.segmentize(0.01)], crs=4326).to_crs(crs)
    written = WRITERS[suffix](frame, tmp_path)
    found = area(written) if isinstance(written, dict) else area(written, name=f"a{suffix}")
    assert found.geometry.symmetric_difference(FIELD).area < 1e-6
    assert found.km2 == pytest.approx(area(FIELD).km2, rel=1e-5)


def test_another_system_across_the_antimeridian(tmp_path: Path) -> None:
    """UTM 60 goes on beyond 180° E."""
    drawn = shapely.box(178, -18, 182, -17).segmentize(0.02)
    frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[drawn], crs=4326).to_crs(32760)
    found = area(shapefile(frame, tmp_path))
    assert found.bounds == pytest.approx((178, -18, -178, -17), abs=1e-4)
    assert found.km2 == pytest.approx(area((178, -18, -178, -17)).km2, rel=1e-4)


# --- GPX -------------------------------------------------------------------------------------------------------------
def gpx(*elements: str) -> bytes:
    head = '<?xml version="1.0"?>\n<!-- by hand -->\n<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="t">'
    return (head + "".join(elements) + "</gpx>").encode()


def points(kind: str, *positions: tuple[float, float]) -> str:
    return "".join(f'<{kind} lat="{lat}" lon="{lon}"><ele>7</ele></{kind}>' for lon, lat in positions)


def track(*segments: list[tuple[float, float]]) -> str:
    return "<trk>" + "".join(f"<trkseg>{points('trkpt', *segment)}</trkseg>" for segment in segments) + "</trk>"


LOOP = [(1.2, 43.3), (1.6, 43.35), (1.55, 43.7), (1.25, 43.6), (1.2, 43.3)]
WAYPOINT = points("wpt", (5.0, 45.0))
OPEN = [(1.0, 43.0), (1.5, 43.2), (1.4, 43.6)]


@pytest.mark.parametrize(
    "content",
    [
        gpx(track(LOOP)),
        gpx(f"<rte>{points('rtept', *LOOP)}</rte>"),
        gpx(WAYPOINT, track(LOOP)),
        gpx(track(OPEN), track(LOOP)),
        gpx(track(OPEN, LOOP)),
        zipped({"a/loop.GPX": gpx(track(LOOP))}),
    ],
)
def test_what_is_closed_in_gpx_is_a_polygon(content: bytes) -> None:
    found = area(content, name="walk.zip" if content.startswith(b"PK") else "walk.gpx")
    assert same(found.geometry, shapely.Polygon(LOOP))
    assert found.km2 > 0


def test_outlines_in_gpx_are_united() -> None:
    other = [(lon + 3, lat) for lon, lat in LOOP]
    both = shapely.MultiPolygon([shapely.Polygon(LOOP), shapely.Polygon(other)])
    assert same(area(gpx(track(LOOP, other)), name="a.gpx").geometry, both)
    assert same(area(gpx(track(LOOP), f"<rte>{points('rtept', *other)}</rte>"), name="a.gpx").geometry, both)
    across = [(179.0, 0.0), (-179.0, 0.0), (-179.0, 1.0), (179.0, 1.0), (179.0, 0.0)]
    assert area(gpx(track(across)), name="a.gpx").bounds == (179, 0, -179, 1)


def test_what_is_open_in_gpx_stays_what_it_is_as_in_kml_and_geojson(tmp_path: Path) -> None:
    """No hull: an area that nobody drew would be searched and paid for."""
    line = shapely.LineString(OPEN)
    found = area(gpx(WAYPOINT, track(OPEN)), name="walk.gpx")
    assert found.geometry.equals(line)
    assert (found.km2, found.geometry.geom_type) == (0, "LineString")
    frame = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=[line, shapely.Point(5, 45)], crs=4326)
    pyogrio.write_dataframe(frame, tmp_path / "a.kml", driver="KML")
    assert area(tmp_path / "a.kml").geometry.equals(line)
    assert area(frame.to_json()).geometry.equals(line)
    assert area(gpx(WAYPOINT), name="a.gpx").geometry.equals(shapely.Point(5, 45))
    there_and_back = [OPEN[0], OPEN[1], OPEN[2], OPEN[1], OPEN[0]]
    assert area(gpx(track(there_and_back)), name="a.gpx").geometry.equals(line)
    assert area(gpx(track([OPEN[0]], OPEN)), name="a.gpx").geometry.equals(line)  # a segment of one point
    assert area(gpx(track(LOOP[:4])), name="a.gpx").km2 == 0  # nearly closed is not closed


def test_bad_gpx() -> None:
    assert "a.gpx has no geometry" in refused(gpx(), name="a.gpx").message
    assert "a.gpx cannot be read" in refused(gpx(track(LOOP))[:-40], name="a.gpx").message
    error = refused(gpx(track([(1, 95), (2, 95), (2, 96), (1, 95)])), name="a.gpx")
    assert "a.gpx, track 0, segment 0, vertex 0" in error.message
    assert "latitude 95" in error.message


# --- several files at once -------------------------------------------------------------------------------------------
@pytest.fixture
def parts(tmp_path: Path) -> dict[str, bytes]:
    frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[FIELD.segmentize(0.01)], crs=4326).to_crs(32631)
    return shapefile(frame, tmp_path)


def test_parts_of_a_shapefile_find_each_other(parts: dict[str, bytes]) -> None:
    found = area(parts)
    assert found.geometry.symmetric_difference(FIELD).area < 1e-6
    shuffled = {name.upper(): parts[name] for name in sorted(parts, reverse=True)}
    extra = {"drawn.SHP.xml": b"<metadata/>", "drawn.qix": b"\x00", "drawn.sbn": b""}
    assert area(shuffled | extra) == found
    assert area({f"C:\\maps\\{name}": content for name, content in parts.items()}) == found
    both = area(parts | {"more.geojson": json.dumps(mapping(shapely.box(5, 42, 6, 43))).encode()})
    assert both.km2 == pytest.approx(found.km2 + area((5, 42, 6, 43)).km2)


def test_parts_that_are_missing(parts: dict[str, bytes], tmp_path: Path) -> None:
    def without(suffix: str) -> dict[str, bytes]:
        return {name: content for name, content in parts.items() if not name.endswith(suffix)}

    error = refused(without(".shx"))
    assert error.message == "drawn.shp cannot be read: its .shx is missing."
    assert ".shp, .shx, .dbf and .prj" in error.hint
    error = refused(without(".shp"))
    assert "is a part of a shapefile that was given without its .shp" in error.message
    assert "drawn." in error.message
    error = refused(without(".prj"))
    assert "drawn.shp has no CRS, and is not in lon/lat" in error.message
    assert ".prj" in error.hint
    assert "stray.prj" in refused(parts | {"stray.prj": parts["drawn.prj"]}).message
    assert same(area(without(".dbf")).geometry, area(parts).geometry)
    for suffix in (".shp", ".shx", ".dbf", ".prj"):
        error = refused(parts[f"drawn{suffix}"], name=f"drawn{suffix}")
        assert f"drawn{suffix} is a part of a shapefile" in error.message
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "drawn.shp").write_bytes(parts["drawn.shp"])
    assert "its .shx is missing" in refused(tmp_path / "alone" / "drawn.shp").message


def test_files_whose_names_differ_in_case_only(parts: dict[str, bytes]) -> None:
    assert "drawn.shp and DRAWN.SHP have the same name" in refused(parts | {"DRAWN.SHP": parts["drawn.shp"]}).message
    boxes = [shapely.box(1, 42, 2, 43), shapely.box(5, 42, 6, 43)]
    members = {name: json.dumps(mapping(box)).encode() for name, box in zip(("a.json", "A.json"), boxes, strict=True)}
    assert area(zipped(members), name="a.zip").geometry.area == pytest.approx(2)
    assert area(members).geometry.area == pytest.approx(2)


def test_damaged_parts_name_the_file_and_no_folder_of_ours(parts: dict[str, bytes]) -> None:
    for broken in (
        parts | {"drawn.shp": b""},
        parts | {"drawn.shp": b"PK\x03\x04"},
        parts | {"drawn.shp": parts["drawn.shp"][:120]},
        parts | {"drawn.shx": b"\x00" * 30},
        parts | {"drawn.prj": b"\xff\xfe nonsense"},
    ):
        error = refused(broken)
        assert "drawn.shp" in error.message
        assert "extenso-area-" not in error.message


def test_one_bad_file_among_several_is_named() -> None:
    good = json.dumps(mapping(FIELD)).encode()
    for name, bad in (
        ("b.geojson", b""),
        ("b.geojson", b"{"),
        ("b.kml", b"<kml/>"),
        ("b.txt", b"notes"),
        ("b.zip", b"x"),
    ):
        assert name in refused({"a.geojson": good, name: bad}).message
    bad = json.dumps({"type": "Polygon", "coordinates": [[[0, 0], [1, 99], [1, 1], [0, 0]]]}).encode()
    assert refused({"a.geojson": good, "b.geojson": bad}).message.startswith(
        "b.geojson: geometry, ring 0, vertex 1: latitude 99"
    )
    assert "b.wkt: geometry, ring 0 is open" in refused(b"POLYGON ((0 0, 1 0, 1 1, 0 1))", name="b.wkt").message


# --- what is refused, with the file and the next step ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "content", "says", "hint"),
    [
        *(
            (f"a{suffix}", b"", f"a{suffix} is empty: it has 0 bytes", "once more")
            for suffix in SUFFIXES
            if suffix != ".shp"
        ),
        ("a.geojson", zipped({"x": b""}), "a.geojson", "looks like .zip"),
        ("a.json", b"<?xml version='1.0'?><kml></kml>", "a.json cannot be read at line 1, column 1", "looks like .kml"),
        ("a.kml", gpx(), "a.kml is no kml file inside", "looks like .gpx"),
        ("a.gpx", b'{"type": "Point"}', "a.gpx is no gpx file inside", "looks like .geojson"),
        ("a.kmz", b"<kml/>", "a.kmz is a damaged or locked zip", "looks like .kml"),
        ("a.zip", b"SQLite format 3\x00", "a.zip", "looks like .gpkg"),
        ("a.txt", b"POLYGON ((0 0, 1 0, 1 1, 0 0))", "a.txt is of no kind known here", "looks like .wkt"),
        ("a.txt", b"notes", "a.txt is of no kind known here", ".gpx"),
        ("", b"notes", "the bytes is of no kind known here", "name="),
        ("a.geojson", b"<!DOCTYPE html><html>", "a.geojson", "web page"),
        ("a.kml", b"<html><body><kml></body></html>", "a.kml is no kml file", "web page"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": []}', "a.geojson has no geometry", "at least one"),
        ("a.zip", zipped({"readme.txt": b""}), "a.zip holds no shapefile, KML, GPX", "Give"),
        ("a.zip", zipped({"in.kml": b"<html/>"}), "in.kml in a.zip is no kml file", "web page"),
        ("a.zip", zipped({"in.geojson": b""}), "in.geojson in a.zip is empty", "once more"),
        (
            "a.zip",
            zipped({"in.shp": b"\x00\x00\x27\x0a"}),
            "in.shp in a.zip cannot be read: its .shx is missing",
            "zip them",
        ),
    ],
)
def test_refused(name: str, content: bytes, says: str, hint: str) -> None:
    error = refused(content, name=name)
    assert says in error.message
    assert hint in error.hint


VRT = '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'


@pytest.mark.parametrize("suffix", [".kml", ".gpx"])
@pytest.mark.parametrize(
    "disguise",
    [
        "{0}<!-- <{1}> -->",
        "<!-- <{1}> -->{0}",
        "<?xml version='1.0'?><!-- --><!-- <{1}> -->\n{0}",
        "<!DOCTYPE {1}>{0}",
        "<x>{0}<{1}/></x>",
    ],
)
def test_a_file_that_points_to_another_one_is_not_followed(tmp_path: Path, suffix: str, disguise: str) -> None:
    """GDAL would open the other file for whoever uploads this one."""
    secret = tmp_path / "x.geojson"
    secret.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [{"type": "Feature", "properties": {}, "geometry": mapping(FIELD)}],
            }
        )
    )
    vrt = VRT.format(secret)
    (tmp_path / "open.vrt").write_text(vrt)
    assert len(pyogrio.read_dataframe(tmp_path / "open.vrt")) == 1  # it would work
    content = disguise.format(vrt, suffix[1:]).encode()
    assert f"is no {suffix[1:]} file inside" in refused(content, name=f"a{suffix}").message


def test_hostile_zips(monkeypatch: pytest.MonkeyPatch) -> None:
    many = zipped({f"{number}.txt": b"" for number in range(10_001)})
    assert "a.zip holds 10,001 files" in refused(many, name="a.zip").message
    begin = time.process_time()
    refused(zipped({f"{number}.shp": b"\x00\x00\x27\x0a" for number in range(5_000)}), name="a.zip")
    assert time.process_time() - begin < 2
    inner = zipped({"a.geojson": json.dumps(mapping(FIELD)).encode()})
    assert "holds no" in refused(zipped({"inner.zip": inner}), name="a.zip").message
    # A header that lies about the size.
    lying = bytearray(zipped({"a.geojson": b" " * 300_000}))
    at = lying.index(b"PK\x01\x02")
    lying[at + 24 : at + 28] = (10).to_bytes(4, "little")
    assert "a.zip" in refused(bytes(lying), name="a.zip").message
    monkeypatch.setattr("extenso_nb.aoi.files.MAX_FILE", 200_000)
    assert "a.zip unpacks to more than" in refused(zipped({"a.geojson": b" " * 300_000}), name="a.zip").message
    assert "a.geojson has more than" in refused(b" " * 300_000, name="a.geojson").message
    assert "have more than" in refused({"a.geojson": b" " * 150_000, "b.geojson": b" " * 150_000}).message


def test_entities_do_not_expand() -> None:
    bomb = '<!ENTITY a "1,42 ">' + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 20}">' for n in range(8))
    text = f"<?xml version='1.0'?><!DOCTYPE kml [{bomb}]><kml><Placemark><name>&i;</name></Placemark></kml>"
    begin = time.process_time()
    refused(text.encode(), name="a.kml")
    assert time.process_time() - begin < 1


def test_long_heads_are_refused_at_once() -> None:
    for text in (
        b"<!--" * 100_000,
        b"<?" * 100_000,
        b" " * 300_000,
        b"<" * 300_000,
        b"<a:" * 100_000,
        b"<!---->" * 50_000,
    ):
        begin = time.process_time()
        refused(text, name="a.kml")
        assert time.process_time() - begin < 1


# --- pasted text -----------------------------------------------------------------------------------------------------
BOX = shapely.box(1.2, 43.3, 1.6, 43.7)


@pytest.mark.parametrize(
    "text",
    [
        "1.2 43.3 1.6 43.7",
        "1.2, 43.3, 1.6, 43.7",
        "1.2;43.3;1.6;43.7",
        "\t1.2\n43.3\n1.6\n43.7\n",
        "1.2\u00a043.3\u00a01.6\u00a043.7",
        "(1.2, 43.3, 1.6, 43.7)",
        "[1.2 43.3 1.6 43.7]",
        "[1.2, 43.3, 1.6, 43.7]",
        "([1.2, 43.3, 1.6, 43.7])",
        "bbox=1.2,43.3,1.6,43.7",
        "BBOX: [1.2, 43.3, 1.6, 43.7]",
        "bbox(1.2,43.3,1.6,43.7)",
        "BOX(1.2 43.3,1.6 43.7)",
        '"1.2,43.3,1.6,43.7"',
        "43.3N 1.2E 43.7N 1.6E",
        "43.3°N, 1.2°E; 43.7°N, 1.6°E",
        "1.2E 43.3N, 1.6E 43.7N",
        "N43.7 E1.6 N43.3 E1.2",
        "(N 43.7, E 1.2), (N 43.3, E 1.6)",
        BOX.wkt,
        f"'{BOX.wkt}'",
        f"SRID=4326;{BOX.wkt}",
        f"srid = 4326 ; {BOX.wkt.lower()}",
        f'footprint:"Intersects({BOX.wkt})"',
        f"Intersects({BOX.wkt})",
        f"OData.CSC.Intersects(area=geography'SRID=4326;{BOX.wkt}')",
        f"geography'SRID=4326;{BOX.wkt}'",
        json.dumps(mapping(BOX)),
        f"`{json.dumps({'type': 'Feature', 'properties': {}, 'geometry': mapping(BOX)}, indent=2)}`",
    ],
)
def test_pasted_text(text: str) -> None:
    found = area(text, files=False)
    assert same(found.geometry, BOX)
    assert found.extent == "1.2° E to 1.6° E, 43.3° N to 43.7° N"
    assert area(text) == found


def test_pasted_wkt_in_another_system() -> None:
    frame = geopandas.GeoSeries([BOX.segmentize(0.01)], crs=4326).to_crs(2154)
    found = area(f"SRID=2154;{frame.iloc[0].wkt}", files=False)
    assert found.geometry.symmetric_difference(BOX).area < 1e-6


def test_how_four_numbers_were_read_is_said() -> None:
    """South, west, north, east cannot be told from west, south, east, north: the words show which it was."""
    assert area("43.3 1.2 43.7 1.6").extent == "43.3° E to 43.7° E, 1.2° N to 1.6° N"
    assert area("-71 -34 -70 -33").extent == "71° W to 70° W, 34° S to 33° S"
    assert area((170, -10, -170, 10)).extent == "170° E to 170° W, 10° S to 10° N"
    error = refused("35.6 139.6 35.8 139.9")
    assert "The south of the bbox is 139.6" in error.message
    assert error.hint == "If these are south, west, north, east: the order is 139.6,35.6,139.9,35.8."
    assert area("139.6,35.6,139.9,35.8").extent == "139.6° E to 139.9° E, 35.6° N to 35.8° N"
    assert "lon first" in refused("35.6 239.6 135.8 139.9").hint


def test_lettered_corners_go_the_short_way() -> None:
    fiji = area("16S 177E, 19S 178W")
    assert fiji.bounds == (177, -19, -178, -16)
    assert area("19S 178W, 16S 177E") == fiji
    for text in ("43N 1E 44N 2N", "43N 1E 44N", "-43S 1E 44N 2E", "43N 1E 44N 2E x", "95N 1E 44N 2E"):
        refused(text)


@pytest.mark.parametrize("text", ["43.6, 1.44", "43.6 1.44"])
def test_two_numbers_are_a_point(text: str) -> None:
    assert "as a place" in refused(text).hint
    assert "as a place" in refused(text, files=False).hint


@pytest.mark.parametrize(
    "text", ["()", "[]", "bbox", "bbox=", "''", '"', "footprint:", "Intersects()", "BOX(1 2)", "1 2 3", "1 2 3 4 5"]
)
def test_pasted_scraps_are_refused(text: str) -> None:
    refused(text)
    refused(text, files=False)


@pytest.mark.parametrize(
    "text",
    [
        "Intersects(" + "(" * 200_000,
        "Intersects(" + ") " * 100_000,
        "geography'" + " " * 200_000,
        "bbox" + " " * 200_000,
        "1 " * 199,
        "1N" * 199,
        '"' * 200_000,
        "[" + "1," * 190,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_is_refused_at_once(text: str) -> None:
    begin = time.process_time()
    refused(text, files=False)
    assert time.process_time() - begin < 1


def test_an_area_is_itself() -> None:
    found = area(BOX)
    assert area(found) is found
    assert isinstance(found, Area)
