"""The gazetteer: what people type, what they get and in which order, boxes on the round Earth, its size and speed."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from importlib import resources

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb.aoi import Area, places
from extenso_nb.aoi.places import Place, edits, find, folded


def labels(text: str, limit: int = 8) -> list[str]:
    return [place.label for place in find(text, limit)]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Toulouse", "Toulouse, France"),
        ("  toulouse ", "Toulouse, France"),
        ("TOULOUSE,", "Toulouse, France"),
        ("Toulouse, France", "Toulouse, France"),
        ("toulouse, fr", "Toulouse, France"),
        ("Tou", "Toulouse, France"),
        ("koln", "Cologne, Germany"),
        ("Köln", "Cologne, Germany"),
        ("Ko\u0308ln", "Cologne, Germany"),
        ("KOELN", "Cologne, Germany"),
        ("cologne", "Cologne, Germany"),
        ("Muenchen", "Munich, Germany"),
        ("zurich", "Zürich, Switzerland"),
        ("lodz", "Łódź, Poland"),
        ("sao paulo", "São Paulo, Brazil"),
        ("francisco", "San Francisco, United States"),
        ("Saint Etienne", "Saint-Étienne, France"),
        ("s'Hertogenbosch", "'s-Hertogenbosch, Netherlands"),
        ("Washington, D.C.", "Washington, D.C., United States"),
        ("Springfield, Illinois", "Springfield, Illinois, United States"),
        ("springfield, ohio", "Springfield, Ohio, United States"),
        ("georgia", "Georgia"),
        ("georgia, usa", "Georgia (state), United States"),
        ("usa", "United States"),
        ("uk", "United Kingdom"),
        ("holland", "Netherlands"),
        ("mediterranean", "Mediterranean Sea"),
        ("alps", "Alps (mountains)"),
        ("california", "California (state), United States"),
        ("scotland", "Scotland (region), United Kingdom"),
        ("lake geneva", "Lake Geneva"),
        # letters amiss: dropped, added, changed, exchanged
        ("Tolouse", "Toulouse, France"),
        ("Touloouse", "Toulouse, France"),
        ("Toulause", "Toulouse, France"),
        ("Toluouse", "Toulouse, France"),
        ("tolouse, france", "Toulouse, France"),
        ("san fransisko", "San Francisco, United States"),
        ("new yrok", "New York, United States"),
    ],
)
def test_what_people_type(text: str, label: str) -> None:
    assert labels(text)[0] == label


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", "...", "\u0301", "xyzzyx", "qq", "Paris, Texas", "Toulouse, Germany", "a" * 201, "\x00"),
        *("95, 200", "91N 0E", "-5S 3E", "5E 3E", "43.6", "43.6,1.44,5,6", "1e1 2", "0" * 200, "1." * 100, "1 400"),
    ],
)
def test_nothing_is_found(text: str) -> None:
    assert find(text) == []


def test_better_matches_come_first() -> None:
    """The name itself, whatever its size; then beginnings; then words; the larger one first in each."""
    found = find("san", 2000)
    names = [folded(place.name) for place in found]
    assert names[0] == "san"
    assert found[0].people < found[1].people
    cities = [place for place in find("new", 2000) if place.kind == "city" and place.people]
    begin = [place.people for place in cities if folded(place.name).startswith("new")]
    assert begin == sorted(begin, reverse=True)
    assert len(begin) > 20
    kinds = [folded(place.name).startswith("york") for place in find("york")]
    assert kinds == sorted(kinds, reverse=True)
    assert "New York, United States" in labels("york")


def test_near_misses_only_where_nothing_else_is_found() -> None:
    assert labels("Toulouse") == ["Toulouse, France"]
    assert "Paris, France" in labels("Pariz")
    assert "Parys, South Africa" not in labels("Paris")


def test_limit_and_no_place_twice() -> None:
    for text in ("s", "san", "a", "Springfield", "new"):
        found = find(text, 50)
        assert len(found) == len(set(found))
        assert find(text, 3) == found[:3]
    assert find("san", 0) == []
    assert len(find("s")) == 8


def test_labels_tell_places_apart() -> None:
    assert len(set(labels("springfield", 20))) == len(find("springfield", 20)) > 3
    assert labels("new york", 2) == ["New York, United States", "New York (state), United States"]


# --- boxes -----------------------------------------------------------------------------------------------------------
def test_a_city_has_a_box_about_its_size() -> None:
    toulouse, tokyo = find("Toulouse")[0], find("Tokyo")[0]
    assert (toulouse.kind, toulouse.country) == ("city", "France")
    assert (toulouse.lon, toulouse.lat) == pytest.approx((1.444, 43.604), abs=0.03)
    assert 400 < toulouse.area.km2 < 2_000
    assert toulouse.area.km2 < tokyo.area.km2 < 10_000
    assert toulouse.area.geometry.contains(shapely.Point(1.444, 43.604))


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("Germany", (5.87, 47.27, 15.04, 55.06)),
        ("France", (-4.8, 41.4, 9.56, 51.1)),  # without what lies overseas, with Corsica
        ("Chile", (-79.0, -55.9, -66.4, -17.5)),  # without Easter Island
        ("Australia", (112.9, -43.6, 153.6, -10.1)),
        ("Fiji", (174.6, -21.7, -178.3, -12.5)),
        ("New Zealand", (165.9, -52.6, -176.1, -34.4)),  # with the Chathams
        ("Russia", (19.6, 41.2, -169.7, 81.9)),
        ("Antarctica", (-180, -90, 180, -60.5)),
        ("Bering Sea", (162.8, 51.0, -161.4, 66.1)),
    ],
)
def test_boxes_of_countries_and_seas(name: str, bounds: tuple[float, ...]) -> None:
    place = find(name)[0]
    assert place.name == name
    assert place.bbox == pytest.approx(bounds, abs=0.5)
    assert place.area.bounds == pytest.approx(place.bbox)
    assert place.area.geometry.intersects(shapely.Point(place.lon, place.lat))


def every_place() -> list[Place]:
    return places._book().places


def test_every_place_is_sound() -> None:
    """Every box is an area, holds the point, and lies on Earth; every place is found by its name."""
    kinds = set()
    for place in every_place():
        west, south, east, north = place.bbox
        assert max(abs(west), abs(east)) <= 180, place
        assert -90 <= south < north <= 90, place
        assert south <= place.lat <= north, place
        assert west <= place.lon <= east if west < east else place.lon >= west or place.lon <= east, place
        assert place.area.km2 > 0, place
        assert place.name == place.name.strip()
        assert not place.name.isupper() or len(place.name) < 4, place
        kinds.add(place.kind)
        assert place in find(place.name, 100), place
    assert {"city", "country", "region", "sea", "lake", "mountains"} <= kinds
    assert len(every_place()) > 8_000


def test_cities_lie_where_their_countries_are() -> None:
    """Against a mix-up of rows or columns: all but those far from home lie in the box of their country."""
    boxes = {place.name: place.area.geometry for place in every_place() if place.kind == "country"}
    cities = [place for place in every_place() if place.kind == "city" and place.country in boxes]
    inside = [boxes[place.country].intersects(shapely.Point(place.lon, place.lat).buffer(0.3)) for place in cities]
    assert len(cities) > 7_000
    assert sum(inside) / len(cities) > 0.99


# --- coordinates -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "43.6, 1.44",
        "43.6 1.44",
        "(43.6; 1.44)",
        "+43.6,+1.44",
        "43.6N 1.44E",
        "43.6° n, 1.44° e",
        "N43.6 E1.44",
        "N 43.6, E 1.44",
        "1.44E 43.6N",
        "E 1.44 N 43.6",
        "43°36'N 1°26'24\"E",
        "43° 36′ 0″ N, 1° 26′ 24″ E",
    ],
)
def test_points(text: str) -> None:
    (place,) = find(text)
    assert (place.kind, place.name, place.label) == ("point", "43.6° N, 1.44° E", "43.6° N, 1.44° E")
    assert (place.lat, place.lon) == (43.6, 1.44)
    assert place.area.km2 == pytest.approx(100, rel=0.01)
    assert place.area.geometry.contains(shapely.Point(1.44, 43.6))


def test_how_an_order_was_read_is_said() -> None:
    assert labels("35.7, 139.7") == labels("139.7, 35.7") == ["35.7° N, 139.7° E"]  # no latitude is beyond 90
    assert labels("1.44, 43.6") == ["1.44° N, 43.6° E"]
    assert labels("-33.9 -70.6") == labels("33.9S 70.6W") == ["33.9° S, 70.6° W"]


def test_points_at_the_edges_of_the_map() -> None:
    (fiji,) = find("-17, 179.99")
    assert fiji.bbox[0] > 179.9
    assert fiji.bbox[2] < -179.9
    assert fiji.area.km2 == pytest.approx(100, rel=0.01)
    assert find("-17, 190")[0].lon == -170
    (pole,) = find("90 0")
    assert pole.bbox[0::2] == (-180, 180)
    assert pole.bbox[3] == 90
    assert find("-90, 0")[0].area.bounds[1] == -90


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_any_point_is_in_its_box(lat: float, lon: float) -> None:
    (place,) = find(f"{lat:.4f}, {lon:.4f}")
    assert (place.lat, place.lon) == (pytest.approx(lat, abs=1e-4), pytest.approx(lon, abs=1e-4))
    assert place.area.geometry.intersects(shapely.Point(place.lon, place.lat))
    assert 40 < place.area.km2 < 110


@given(st.text(max_size=60))
def test_any_text_finds_places_or_nothing(text: str) -> None:
    assert all(isinstance(place, Place) for place in find(text))


# --- the noun, and what it costs -------------------------------------------------------------------------------------
def test_a_place_is_a_plain_value() -> None:
    place = find("Toulouse")[0]
    assert pickle.loads(pickle.dumps(place)) == place
    assert hash(place) == hash(find("toulouse")[0])
    assert isinstance(place.area, Area)
    with pytest.raises(AttributeError):
        place.name = "Tolosa"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [
        ("a", "a", 0),
        ("ab", "ba", 1),
        ("abc", "ac", 1),
        ("kitten", "sitting", 3),
        ("abcd", "badc", 2),
        ("a", "abcdef", 4),
    ],
)
def test_edits(one: str, other: str, steps: int) -> None:
    assert edits(one, other, 3) == edits(other, one, 3) == steps


def test_speed_and_size() -> None:
    assert len((resources.files("extenso_nb.aoi") / "data" / "places.json.gz").read_bytes()) < 120_000
    find("x")
    for text in ("s", "a", "san", "Tolouse", "xxxxxxxxxx", "an" * 100, "san fransisko", "aeaeaeae", "43.6, 1.44"):
        took = []
        for _ in range(7):
            begin = time.process_time()
            find(text)
            took.append(time.process_time() - begin)
        assert min(took) < 0.005, text


def test_the_data_is_loaded_when_it_is_asked_for() -> None:
    """Importing reads no file; the data comes with the first question."""
    code = (
        "import extenso_nb; from extenso_nb.aoi import places as p; assert p._book.cache_info().currsize == 0;"
        "p.find('Rome'); assert p._book.cache_info().currsize == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
