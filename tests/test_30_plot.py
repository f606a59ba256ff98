"""Plots show what is in the data: pixels of the drawn figure are looked at, not only that nothing was raised."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure
from PIL import Image

from extenso_nb import errors, plot
from extenso_nb.models import Product
from extenso_nb.results import SearchResult

DAY = datetime(2024, 6, 1, tzinfo=UTC)


def product(name: str, box: tuple[float, float, float, float] | None, cloud: float | None = None) -> Product:
    footprint = None
    if box is not None:
        west, south, east, north = box
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        footprint = {"type": "Polygon", "coordinates": [ring]}
    return Product(
        id=name,
        uuid=name,
        collection="S2",
        platform="Sentinel-2A",
        instrument="MSI",
        product_type="S2MSI2A",
        processing_level="L2A",
        begin_position=DAY,
        end_position=DAY,
        ingestion_date=DAY,
        footprint=footprint,
        cloud_cover=cloud,
        links={},
    )


def result(*products: Product, thumbnails: Any = None) -> SearchResult:
    return SearchResult(products, total=len(products), collection="S2", q="*", thumbnails=thumbnails)


def pixels(figure: Any) -> np.ndarray[Any, Any]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return np.asarray(Image.open(buffer).convert("RGB"))


def at(ax: Any, x: float, y: float) -> tuple[int, ...]:
    """The colour drawn at a data position."""
    image = pixels(ax.figure)
    column, row = ax.transData.transform((x, y)) * 80 / ax.figure.dpi
    return tuple(int(v) for v in image[round(image.shape[0] - 1 - row), round(column)])


def jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "JPEG")
    return buffer.getvalue()


# --- land and colours ------------------------------------------------------------------------------------------------
def test_land_is_where_land_is() -> None:
    import shapely

    land = plot.land()
    assert land.is_valid
    places = {(1.44, 43.6): True, (-122.4, 40.0): True, (134.0, -25.0): True, (0.0, -80.0): True, (100.0, 60.0): True}
    places |= {(-30.0, 40.0): False, (51.0, 41.5): False, (80.0, -10.0): False}
    assert {place: bool(land.contains(shapely.Point(place))) for place in places} == places
    assert 0.27 < _share_of_the_globe(land) < 0.31


def _share_of_the_globe(land: Any) -> float:
    import geopandas

    area: float = geopandas.GeoSeries([land], crs=4326).to_crs("ESRI:54034").area.iloc[0]
    return area / 5.1006e14


def test_basemap_file_stays_small() -> None:
    folder = Path(plot.__file__).parent.parent / "widgets" / "data"
    assert (folder / "land_110m.json.gz").stat().st_size < 30_000
    assert "public domain" in (folder / "LICENSE.md").read_text()


def test_cloud_colours_get_paler_and_never_fail() -> None:
    steps = [plot.cloud_colour(cloud) for cloud in range(-20, 130)]
    brightness = [sum(int(colour[place : place + 2], 16) for place in (1, 3, 5)) for colour in steps]
    assert brightness == sorted(brightness)
    assert steps[0] == steps[20] == "#08519c"
    assert steps[-1] == steps[120] == "#f2f5f7"
    assert plot.cloud_colour(None) == plot.cloud_colour(float("nan")) == "#2a9d7f"


# --- footprints ------------------------------------------------------------------------------------------------------
def test_footprints_are_drawn_where_they_are() -> None:
    ax = plot.footprints(
        result(product("a", (-31.0, 40.0, -29.0, 42.0), 0.0), product("b", (-26.0, 40.0, -24.0, 42.0), 100.0))
    )
    inside, other, sea = at(ax, -30.0, 41.0), at(ax, -25.0, 41.0), at(ax, -27.5, 41.0)
    assert inside[2] > inside[0] + 60, "clear is blue"
    assert min(other) > 225, "overcast is pale"
    assert sea == (0xE8, 0xEE, 0xF2)
    assert ax.get_title() == "2 footprints"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0 %", "25 %", "50 %", "75 %", "100 %"]


def test_footprints_without_cloud_without_geometry_and_of_nothing() -> None:
    ax = plot.footprints(result(product("a", (-31.0, 40.0, -29.0, 42.0)), product("none", None)))
    assert ax.get_title() == "1 footprint, 1 without"
    assert ax.get_legend() is None
    empty = plot.footprints(result())
    assert empty.get_xlim() == (-180.0, 180.0)
    assert len(np.unique(pixels(empty.figure).reshape(-1, 3), axis=0)) > 10, "the land is drawn all the same"


def test_footprints_of_a_frame_in_another_crs_land_in_the_same_place() -> None:
    frame = result(product("a", (-31.0, 40.0, -29.0, 42.0), 5.0)).gdf.to_crs(3857)
    ax = plot.footprints(frame)
    assert ax.get_xlim() == pytest.approx((-31.3, -28.7), abs=0.01)


def test_the_area_of_interest_is_in_view_and_a_bad_one_is_refused() -> None:
    found = result(product("a", (-31.0, 40.0, -29.0, 42.0), 5.0))
    ax = plot.footprints(found, aoi=(-20.0, 30.0, -19.0, 31.0))
    west, east = ax.get_xlim()
    assert west < -31 < -19 < east
    with pytest.raises(errors.AreaError):
        plot.footprints(found, aoi="POLYGON ((0 0, 1 1")


def test_footprints_too_small_to_see_are_marked_and_the_key_covers_none() -> None:
    """Scenes of 5 km on a map of half Europe were less than a pixel, and the key lay on those in its corner."""
    boxes = [(1.36, 43.39, 1.44, 43.45), (13.6, 68.2, 13.8, 68.25)]
    ax = plot.footprints(result(*(product(str(box[0]), box, 0.0) for box in boxes)), aoi=boxes[0])
    for west, south, east, north in boxes:
        shown = at(ax, (west + east) / 2, (south + north) / 2)
        assert shown[2] > shown[0] + 60, "clear is blue"
    key = ax.get_legend().get_window_extent()
    assert key.x0 >= ax.get_window_extent().x1
    assert len(plot.footprints(result(product("large", (0.0, 40.0, 9.0, 45.0), 0.0))).lines) == 0


def test_plots_leave_pyplot_alone() -> None:
    import sys

    before = set(sys.modules["matplotlib.pyplot"].get_fignums()) if "matplotlib.pyplot" in sys.modules else None
    assert isinstance(plot.footprints(result()).figure, Figure)
    after = set(sys.modules["matplotlib.pyplot"].get_fignums()) if "matplotlib.pyplot" in sys.modules else None
    assert before == after


# --- quicklooks ------------------------------------------------------------------------------------------------------
def test_quicklooks_shows_each_picture_once() -> None:
    figure = plot.quicklooks([("one", jpeg("red")), ("two $x$", jpeg("blue")), ("three", jpeg("lime"))], columns=2)
    seen = {tuple(colour) for colour in pixels(figure)[::3, ::3].reshape(-1, 3).tolist()}
    for colour in ((254, 0, 0), (0, 0, 254), (0, 255, 1)):
        assert any(max(abs(a - b) for a, b in zip(colour, other, strict=True)) < 4 for other in seen), colour


def test_quicklooks_of_a_result_leaves_out_those_without() -> None:
    found = result(product("a", None), product("b", None), thumbnails=lambda ids: {"b": jpeg("red")})
    figure = plot.quicklooks(found)
    assert [ax.get_title() for ax in figure.axes] == ["b"]
    assert figure.get_suptitle() == "1 of 2"


def test_quicklooks_refuses_nothing_and_rubbish() -> None:
    with pytest.raises(errors.InputError, match="no picture"):
        plot.quicklooks({})
    with pytest.raises(errors.InputError, match="picture of cut"):
        plot.quicklooks({"cut": jpeg("red")[:40]})
    with pytest.raises(errors.InputError, match="picture of page"):
        plot.quicklooks({"page": b"<html>502</html>"})


# --- composites ------------------------------------------------------------------------------------------------------
def tree(size: int = 60, *, hole: bool = True) -> xarray.DataTree:
    """A made-up tile: red in the west, green in the east, a corner without data."""
    x = 300_005.0 + 10 * np.arange(size)
    y = 4_900_015.0 - 10 * np.arange(size)
    west = np.broadcast_to(np.arange(size) < size / 2, (size, size))
    bands = {"B04": np.where(west, 0.3, 0.02), "B03": np.where(west, 0.02, 0.3), "B02": np.full((size, size), 0.02)}
    if hole:
        bands["B04"][:10, :10] = np.nan
    data = {name: (("y", "x"), values.astype("float32")) for name, values in bands.items()}
    dataset = xarray.Dataset(data, coords={"y": y, "x": x})
    made = xarray.DataTree.from_dict({"/measurements/r10m": dataset, "/measurements/r20m": dataset.rename(B04="B11")})
    made.attrs["product_id"] = "S2A_MSIL2A_$20240601"
    return made


def test_rgb_shows_the_bands_in_their_place() -> None:
    ax = plot.rgb(tree())
    west, east = at(ax, 300_150, 4_899_700), at(ax, 300_450, 4_899_700)
    assert west[0] > 200 > 80 > west[1]
    assert east[1] > 200 > 80 > east[0]
    assert at(ax, 300_050, 4_899_980) == (0xD9, 0xDD, 0xE1), "missing values let the ground through"
    assert ax.get_xlim() == (300_000.0, 300_600.0)
    assert ax.get_ylim() == (4_899_420.0 + 0.0, 4_900_020.0)
    assert "100 m" in [text.get_text() for text in ax.texts]
    assert "B04 B03 B02" in ax.get_title()


def test_rgb_stretch_is_the_documented_formula() -> None:
    ax = plot.rgb(tree(hole=False), limits=(0.0, 0.6), gamma=2.0)
    image = ax.images[0].get_array()
    assert image[30, 5, 0] == pytest.approx((0.3 / 0.6) ** 0.5, abs=1e-5)
    assert image[30, 5, 2] == pytest.approx((0.02 / 0.6) ** 0.5, abs=1e-5)
    assert image[..., 3].min() == 1.0


def test_rgb_takes_off_haze_and_keeps_the_balance() -> None:
    hazy = tree(hole=False)
    hazy.attrs["processing_level"] = "L1C"
    hazy["measurements/r10m"]["B02"] += 0.1
    image = plot.rgb(hazy, percent=(0, 100), gamma=1.0).images[0].get_array().data
    assert image[30, 5, :3] == pytest.approx([1.0, 0.0, 0.0], abs=1e-5)
    hazy["measurements/r10m"]["B02"][:, :5] += 0.14  # half the span of the other bands
    image = plot.rgb(hazy, percent=(0, 100), gamma=1.0).images[0].get_array().data
    assert image[30, 2, :3] == pytest.approx([1.0, 0.0, 0.5], abs=1e-5)


def test_rgb_of_level_2a_takes_nothing_off_one_band_alone() -> None:
    clear = tree(hole=False)
    clear.attrs["processing_level"] = "L2A"
    shown = plot.rgb(clear, percent=(0, 100), gamma=1.0).images[0].get_array().data
    clear["measurements/r10m"]["B02"] += 0.05
    bluer = plot.rgb(clear, percent=(0, 100), gamma=1.0).images[0].get_array().data
    assert bluer[30, 30, 2] > shown[30, 30, 2]


def test_cloud_does_not_leave_the_ground_in_the_dark() -> None:
    scene = tree(hole=False)
    before = plot.rgb(scene, percent=(0, 100), gamma=1.0).images[0].get_array().data
    for band in scene["measurements/r10m"].data_vars.values():
        band[:, :10] = 0.95
    clouded = plot.rgb(scene, percent=(0, 100), gamma=1.0).images[0].get_array().data
    assert clouded[:, :10, :3].min() == 1.0
    assert clouded[:, 20:, :3].mean() >= 0.4 * before[:, 20:, :3].mean()


def test_digital_numbers_look_like_the_reflectance_they_stand_for() -> None:
    """The cap of 0.3 left nothing but black and white of a product opened with scaled=False."""
    scene = tree(hole=False)
    stored = scene.map_over_datasets(lambda dataset: dataset * 10_000 + 1000)
    shown, raw = (plot.rgb(one, percent=(0, 100)).images[0].get_array().data for one in (scene, stored))
    np.testing.assert_allclose(raw, shown, atol=1e-4)


def test_rgb_thins_out_a_large_scene_before_reading() -> None:
    big = tree(300)
    ax = plot.rgb(big, max_pixels=100)
    assert ax.images[0].get_array().shape[:2] == (100, 100)
    left, right, bottom, top = ax.images[0].get_extent()
    assert (right - left, top - bottom) == (3000.0, 3000.0)


def test_rgb_errors_say_what_there_is() -> None:
    with pytest.raises(errors.UnknownBand, match="r20m: B11 B03 B02") as caught:
        plot.rgb(tree(), bands=("B12", "B03", "B02"))
    assert caught.value.details["bands"] == ["B02", "B03", "B04", "B11"]
    with pytest.raises(errors.UnknownBand, match="no group"):
        plot.rgb(xarray.DataTree())
    with pytest.raises(errors.InputError, match="three bands"):
        plot.rgb(tree(), bands=("B04",))
    with pytest.raises(errors.InputError, match="no valid pixel"):
        plot.rgb(tree().map_over_datasets(lambda dataset: dataset * np.nan))


def test_rgb_of_a_flat_scene_is_not_divided_by_nothing() -> None:
    flat = tree(hole=False).map_over_datasets(lambda dataset: dataset * 0 + 0.1)
    assert np.isfinite(plot.rgb(flat).images[0].get_array()).all()
