"""Pictures of opened products: each pixel where it belongs, as large and as high as the labels say, and little of it read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import radar
import xarray as xr
from drawn import KINDS, drawn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from pyproj import Geod

from extenso_nb import errors, plot
from extenso_nb.plot import canvas, swaths
from extenso_nb.readers import arrays, open_product

GEOD = Geod(ellps="WGS84")
GROUND = (0xD9, 0xDD, 0xE1)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, xr.DataTree]:
    folder = tmp_path_factory.mktemp("drawn")
    return {kind: open_product(path) for kind, path in drawn(folder, KINDS).items()}


def colour(ax: Any, x: float, y: float) -> tuple[int, ...]:
    """What is drawn at a data position."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=80)
    image = np.asarray(Image.open(buffer).convert("RGB"))
    column, row = ax.transData.transform((x, y)) * 80 / ax.figure.dpi
    return tuple(int(v) for v in image[round(image.shape[0] - 1 - row), round(column)])


def shown(ax: Any, x: float, y: float) -> Any:
    """What the picture has at a data position: a value, or RGBA."""
    (image,) = ax.images
    values = np.ma.filled(np.ma.asarray(image.get_array()), np.nan)
    left, right, bottom, top = image.get_extent()
    up = image.origin == "lower"
    row = (y - bottom) / (top - bottom) if up else (top - y) / (top - bottom)
    return values[int(row * values.shape[0]), int((x - left) / (right - left) * values.shape[1])]


def bar(ax: Any) -> tuple[float, float, str]:
    """Length of the scale bar in units of the axes, its height in the picture, and what it says."""
    (line,) = [line for line in ax.lines if line.get_gid() == "scale bar"]
    x, y = line.get_data()
    (text,) = [text.get_text() for text in ax.texts if text.get_text().split()[1:2] in (["m"], ["km"])]
    return float(x[1] - x[0]), float(y[0]), text


def metres(text: str) -> float:
    number, unit = text.split()[:2]
    return float(number) * {"m": 1, "km": 1000}[unit]


# --- all of them -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "what", "words"),
    [
        ("S1A_IW_GRDH", "VV VH sigma0", "red VV"),
        ("S2A_MSIL1C", "B04 B03 B02", None),
        ("S2A_MSIL2A", "B04 B03 B02", None),
        ("S3A_OL_1", "Oa08 Oa06 Oa04", None),
        ("S3A_OL_2", "GIFAPAR", "Green instantaneous FAPAR"),
        ("S3A_SL_1", "S8", "brightness temperature"),
        ("S3A_SL_2", "LST", "Land Surface Temperature (K)"),
        ("S5P_NRTI_L2__NO2", "nitrogendioxide_tropospheric_column, qa ≥ 0.5", "nitrogen dioxide (mol m-2)"),
    ],
)
def test_one_line_draws_each_product(trees: dict[str, xr.DataTree], kind: str, what: str, words: str | None) -> None:
    tree = trees[kind]
    ax = plot.show(tree)
    name, second = ax.get_title().split("\n")
    assert name == tree.attrs["product_id"]
    time = tree.attrs["start_time"][:19].replace("T", " ")
    assert second == f"{time} UTC, {what}"
    length, _, text = bar(ax)
    assert length > 0
    assert metres(text) > 0
    bars = [image.colorbar.ax.get_ylabel() for image in ax.images if image.colorbar is not None]
    assert words is None or words in " ".join([ax.get_xlabel(), *bars]).replace("\n", " ")
    top = ax.get_ylim()[1] > ax.get_ylim()[0]
    assert top or kind.startswith("S2"), "north is up"


@pytest.mark.parametrize("bounds", [None, (-2, 44, 8, 52), (-2, 46, 12, 48), (2, 40, 3, 50)])
def test_nothing_is_cut_off_at_the_edges_of_the_figure(trees: dict[str, xr.DataTree], bounds: Any) -> None:
    ax = plot.swath_map(trees["S5P_NRTI_L2__NO2"], bounds=bounds)
    sheet_canvas = FigureCanvasAgg(ax.figure)
    sheet_canvas.draw()
    renderer = sheet_canvas.get_renderer()
    sheet = ax.figure.bbox
    bar = ax.images[0].colorbar.ax
    for artist in (bar.yaxis, ax.yaxis, ax.xaxis, ax.title):
        box = artist.get_tightbbox(renderer)
        assert sheet.x0 <= box.x0 <= box.x1 <= sheet.x1
        assert sheet.y0 <= box.y0 <= box.y1 <= sheet.y1
    picture, beside = ax.get_window_extent(renderer), bar.get_window_extent(renderer)
    assert beside.x0 > picture.x1
    assert 0.5 < beside.height / picture.height < 1.05


def test_a_title_takes_the_place_of_the_name_and_axes_are_those_given(trees: dict[str, xr.DataTree]) -> None:
    ax = canvas.new_figure(4, 4).subplots()
    assert plot.show(trees["S3A_SL_2"], title="cost $5", ax=ax) is ax
    assert ax.get_title().split("\n")[0] == r"cost \$5"


def test_show_of_a_group_an_array_and_of_nothing(trees: dict[str, xr.DataTree]) -> None:
    assert "S7" in plot.show(trees["S3A_SL_1"], "S7").get_title()
    assert "LST" in plot.show(trees["S3A_SL_2"]["measurements"]).get_title()
    assert "LST" in plot.show(trees["S3A_SL_2"]["measurements/LST"]).get_title()
    assert "qa ≥ 0.5" in plot.show(trees["S5P_NRTI_L2__NO2"]["PRODUCT"].to_dataset()).get_title()
    assert "VH sigma0" in plot.show(trees["S1A_IW_GRDH"], "vh").get_title()
    support = plot.show(trees["S5P_NRTI_L2__NO2"], "DETAILED_RESULTS/cloud_fraction_crb")
    assert "cloud_fraction_crb, qa ≥ 0.5" in support.get_title(), "its quality is that of the group PRODUCT"
    with pytest.raises(errors.InputError, match="no variables"):
        plot.show(xr.DataTree())


# --- swaths ----------------------------------------------------------------------------------------------------------
def test_pixels_of_a_swath_are_drawn_where_they_lie(trees: dict[str, xr.DataTree]) -> None:
    tree = trees["S5P_NRTI_L2__NO2"]
    column = tree["PRODUCT/nitrogendioxide_tropospheric_column"].compute()
    ax = plot.swath_map(tree, qa=0)
    seen = 0
    for at in ((3, 3), (5, 170), (64, 90), (120, 10), (126, 175)):
        value, lat, lon = (float(item[at]) for item in (column, column["latitude"], column["longitude"]))
        if np.isfinite(value):
            assert shown(ax, lon, lat) == pytest.approx(value, rel=1e-6)
            seen += 1
    assert seen >= 3
    west, east = ax.get_xlim()
    south, north = ax.get_ylim()
    assert west < float(column["longitude"].min()) < float(column["longitude"].max()) < east
    assert south < float(column["latitude"].min()) < float(column["latitude"].max()) < north


def test_quality_is_chosen_by_whole_percent(trees: dict[str, xr.DataTree]) -> None:
    tree = trees["S5P_NRTI_L2__NO2"]
    percent = tree["PRODUCT/qa_percent"].compute()
    counts = {qa: int(np.isfinite(np.ma.filled(plot.swath_map(tree, qa=qa).images[0].get_array(), np.nan)).sum())
              for qa in (0, 0.5, 0.75, None)}  # fmt: skip
    assert counts[0] > counts[0.5] > counts[0.75] > 0
    assert counts[None] == counts[0.5]
    ax = plot.swath_map(tree, qa=0.75)
    low = np.argwhere((percent.values < 75) & (percent.values > 0))
    for at in map(tuple, low[:: max(1, len(low) // 5)]):
        x, y = float(percent["longitude"][at]), float(percent["latitude"][at])
        assert np.isnan(shown(ax, x, y))
    with pytest.raises(errors.InputError, match="from 0 to 1"):
        plot.swath_map(tree, qa=75)
    with pytest.raises(errors.InputError, match="no quality"):
        plot.swath_map(trees["S3A_SL_2"], qa=0.5)


def test_what_has_no_value_lets_the_ground_through(trees: dict[str, xr.DataTree]) -> None:
    ax = plot.swath_map(trees["S3A_SL_2"])
    lst = trees["S3A_SL_2"]["measurements/LST"].compute()
    for valid in (True, False):
        inside = np.isfinite(lst.values) == valid
        # in the middle of 7 x 7 of its kind, so that neither line nor edge is near
        window = np.lib.stride_tricks.sliding_window_view(inside, (7, 7)).all(axis=(2, 3))
        row, column = np.argwhere(window)[len(np.argwhere(window)) // 2] + 3
        drawn_as = colour(ax, float(lst["longitude"][row, column]), float(lst["latitude"][row, column]))
        assert (drawn_as == GROUND) != valid


def test_the_colour_bar_has_the_percentiles_and_points_beyond(trees: dict[str, xr.DataTree]) -> None:
    ax = plot.swath_map(trees["S3A_SL_1"], "S8", percent=(10, 90))
    values = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert ax.images[0].get_clim() == pytest.approx(np.nanpercentile(values, (10, 90)))
    assert ax.images[0].colorbar.extend == "both"
    assert "(K)" in ax.images[0].colorbar.ax.get_ylabel()
    assert plot.swath_map(trees["S3A_SL_1"], "S8", percent=(0, 100)).images[0].colorbar.extend == "neither"
    assert plot.swath_map(trees["S3A_SL_1"], "S8", limits=(250, 300)).images[0].get_clim() == (250, 300)


@pytest.mark.parametrize("latitude", [-60.0, 0.0, 43.0, 80.0])
def test_the_bar_of_a_map_is_as_long_as_it_says_at_the_middle_latitude(latitude: float) -> None:
    ax = canvas.new_figure(4, 4).subplots()
    extent = (10.0, 30.0, latitude - 6, latitude + 6)
    canvas.degrees(ax, extent)
    canvas.scale_bar(ax, extent, latitude=latitude)
    length, _, text = bar(ax)
    along = 10 + np.linspace(0, length, 400)  # by small steps: a parallel is no shortest way
    steps = GEOD.line_length(along, np.full(400, latitude))
    assert steps == pytest.approx(metres(text), rel=1e-5)
    assert ("°" in text) == (latitude != 0.0), "said where other latitudes of the map differ"


def test_colours_of_olci_are_reflectance_where_it_was_seen(trees: dict[str, xr.DataTree]) -> None:
    tree = trees["S3A_OL_1"]
    ax = plot.swath_rgb(tree, limits=(0.0, 0.5), gamma=1.0)
    red = tree["measurements/reflectance/Oa08"].compute()
    blue = tree["measurements/reflectance/Oa04"].compute()
    for at in ((10, 20), (80, 100), (150, 180)):
        pixel = shown(ax, float(red["longitude"][at]), float(red["latitude"][at]))
        assert pixel[3] == 1.0
        for channel, band in ((0, red), (2, blue)):
            assert pixel[channel] == pytest.approx(min(max(float(band[at]) / 0.5, 0), 1), abs=1e-5)
    corner = ax.images[0].get_array()[0, 0]
    assert corner[3] == 0.0


def test_large_swaths_are_thinned_before_they_are_put_on_a_grid(
    trees: dict[str, xr.DataTree], monkeypatch: pytest.MonkeyPatch
) -> None:
    from extenso_nb.readers import regrid as module

    sizes = []
    whole = module.regrid

    def counted(source: xr.Dataset, *args: Any, **options: Any) -> xr.Dataset:
        sizes.append(source["latitude"].size)
        assert ("latitude_bounds" in source.coords) == (not sizes[1:])
        return whole(source, *args, **options)

    monkeypatch.setattr(module, "regrid", counted)
    tree = trees["S5P_NRTI_L2__NO2"]
    fine = plot.swath_map(tree, qa=0)
    monkeypatch.setattr(swaths, "SWATH_MAX", 2000)
    coarse = plot.swath_map(tree, qa=0, max_pixels=120)
    assert sizes[0] == 130 * 180
    assert sizes[1] <= 2000
    assert max(coarse.images[0].get_array().shape) <= 122
    assert np.abs(np.subtract(coarse.axis(), fine.axis())).max() < 1.5, "a few of the larger pixels"
    filled = [np.isfinite(np.ma.filled(ax.images[0].get_array(), np.nan)).mean() for ax in (fine, coarse)]
    assert filled[1] == pytest.approx(filled[0], abs=0.08), "no gaps open between the pixels that are left"


@pytest.mark.parametrize("most", [1_000_000, 20_000])
def test_within_bounds_the_same_is_drawn_as_of_the_whole(
    trees: dict[str, xr.DataTree], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Only the part within the bounds is read, and thinned out only where that part is large."""
    from extenso_nb.readers.regrid import regrid

    monkeypatch.setattr(swaths, "SWATH_MAX", most)
    tree = trees["S5P_NRTI_L2__NO2"]
    name = "nitrogendioxide_tropospheric_column"
    bounds = (2.0, 44.0, 5.0, 46.0)
    array = tree["PRODUCT"][name]
    made = swaths.gridded([array], bounds=bounds, max_pixels=100, corners=swaths._corners(tree, array))
    left, right, bottom, top = made.extent
    layer = made.layers[0].values
    assert np.isfinite(layer).any()
    cell = ((right - left) / layer.shape[1], (top - bottom) / layer.shape[0])
    whole = regrid(tree, name, resolution=cell, bounds=bounds, method="nearest")[name].values
    np.testing.assert_array_equal(layer, whole)
    part = swaths._within(array, bounds)
    assert array.isel(part).size < (array.size / 10 if most > array.size else most)


@pytest.mark.parametrize(
    "bounds", [(175, 4, -178, 8), (-181, 4, -178, 8), (-180, -90, 180, 90), (179.9, 5, 180.1, 5.2)]
)
def test_bounds_find_the_part_of_a_swath_over_the_antimeridian(bounds: tuple[float, float, float, float]) -> None:
    dataset = strip(174.0)
    part = swaths._within(dataset["gas"], bounds)
    west, south, east, north = bounds
    width = (east - west) % 360 or 360
    lon, lat = dataset["longitude"].values, dataset["latitude"].values
    inside = ((lon - west) % 360 <= width) & (lat >= south) & (lat <= north)
    kept = np.zeros(inside.shape, bool)
    kept[part["row"], part["column"]] = True
    assert inside.any()
    assert not (inside & ~kept).any()


def test_a_swath_around_a_pole_ends_at_the_pole() -> None:
    x, y = np.meshgrid(np.linspace(-20, 20, 60), np.linspace(-15, 15, 50))
    places = {"latitude": (("r", "c"), 90 - np.hypot(x, y)), "longitude": (("r", "c"), np.degrees(np.arctan2(y, x)))}
    ax = plot.swath_map(xr.Dataset({"gas": (("r", "c"), x.astype("float32"))}, places))
    assert ax.get_xlim() == pytest.approx((-180, 180), abs=1.0)
    assert ax.get_ylim()[1] == 90.0
    assert shown(ax, 5.0, 80.0) > 8
    assert shown(ax, 175.0, 80.0) < -8


def strip(west: float, *, rows: int = 40, columns: int = 50) -> xr.Dataset:
    lon = west + 0.2 * np.arange(columns)[None, :] + 0.05 * np.arange(rows)[:, None]
    lat = 10 - 0.2 * np.arange(rows)[:, None] + 0 * lon
    values = np.arange(rows * columns, dtype="float32").reshape(rows, columns)
    places = {"latitude": (("row", "column"), lat), "longitude": (("row", "column"), (lon + 180) % 360 - 180)}
    return xr.Dataset({"gas": (("row", "column"), values, {"units": "mol m-2"})}, places)


def test_a_swath_over_the_antimeridian_is_one_piece() -> None:
    dataset = strip(174.0)
    ax = plot.swath_map(dataset)
    west, east = ax.get_xlim()
    assert 173 < west < 174
    assert 185 < east < 187
    assert shown(ax, 174.0 + 0.2 * 45, 10.0) == dataset["gas"][0, 45]
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert any(label.endswith("E") for label in labels)
    assert any(label.endswith("W") and label != "180°W" for label in labels), "no longitude beyond 180 is named"
    part = plot.swath_map(dataset, bounds=(178, 4, -178, 8))
    assert part.get_xlim() == pytest.approx((178, 182), abs=0.1)
    assert shown(part, 180.0, 6.0) == pytest.approx(float(dataset["gas"][20, 25]))


def test_what_lies_on_a_grid_already_is_drawn_as_it_is() -> None:
    lat, lon = 50 - 0.01 * np.arange(300), 5 + 0.01 * np.arange(400)
    values = np.arange(300 * 400, dtype="float32").reshape(300, 400)
    dataset = xr.Dataset({"NDVI": (("latitude", "longitude"), values)}, {"latitude": lat, "longitude": lon})
    ax = plot.swath_map(dataset, max_pixels=100)
    assert max(ax.images[0].get_array().shape) <= 100
    assert shown(ax, 5.02, 49.98) == pytest.approx(values[2, 2], abs=401 * 2)
    assert shown(ax, 5.02, 47.1) > shown(ax, 5.02, 49.9), "south is below"
    with pytest.raises(errors.InputError, match="nothing within"):
        plot.swath_map(dataset, bounds=(100, 0, 110, 10))


def test_maps_say_what_cannot_be_drawn(trees: dict[str, xr.DataTree]) -> None:
    with pytest.raises(errors.UnknownBand):
        plot.swath_map(trees["S3A_SL_1"], "S88")
    with pytest.raises(errors.UnknownBand, match="oblique"):
        plot.swath_map(trees["S3A_SL_1"], "oblique/S8")
    with pytest.raises(errors.UnknownBand):
        plot.swath_rgb(trees["S3A_OL_2"])
    with pytest.raises(errors.InputError, match="three bands"):
        plot.swath_rgb(trees["S3A_OL_1"], bands=("Oa08",))
    with pytest.raises(errors.InputError, match="one grid"):
        plot.swath_rgb(trees["S3A_SL_1"], bands=("S3", "S2", "S8"))
    with pytest.raises(errors.InputError, match="nothing within"):
        plot.swath_map(trees["S3A_SL_1"], bounds=(100, 0, 101, 1))
    with pytest.raises(errors.InputError, match="no latitude"):
        plot.swath_map(trees["S2A_MSIL1C"], "B04")
    flat = strip(0.0)
    flat["gas"] = flat["gas"] * 0 + 3
    low, high = plot.swath_map(flat).images[0].get_clim()
    assert low < 3 < high


# --- radar -----------------------------------------------------------------------------------------------------------
def places(vv: xr.DataArray) -> tuple[Any, Any]:
    from extenso_nb.readers.geolocation import geolocate

    found = geolocate(vv.isel(line=[0, 1, -1], pixel=[0, 1, -1])).compute()
    return found["latitude"].values, found["longitude"].values


def test_backscatter_is_sigma0_in_db_with_the_northern_line_on_top(trees: dict[str, xr.DataTree]) -> None:
    tree = trees["S1A_IW_GRDH"]
    vv = tree["measurements/vv"]
    lat, lon = places(vv)
    expected = tree.s1.calibrate("sigma0", db=True)["measurements/vv"].values
    expected = expected[:: 1 if lat[0, 1] > lat[-1, 1] else -1, :: 1 if lon[1, 0] < lon[1, -1] else -1]
    ax = plot.backscatter(tree, "vv")
    np.testing.assert_allclose(np.ma.filled(ax.images[0].get_array(), np.nan), expected, atol=1e-4)
    assert ax.images[0].colorbar.ax.get_ylabel() == "sigma nought, VV (dB)"
    turned = plot.backscatter(vv[::-1, ::-1])
    np.testing.assert_allclose(turned.images[0].get_array(), ax.images[0].get_array(), atol=1e-4)
    calibrated = plot.backscatter(vv.s1.calibrate("gamma0", db=True))
    assert calibrated.images[0].colorbar.ax.get_ylabel() == "gamma nought, VV (dB)"


def test_the_bar_and_the_arrow_of_an_image_are_those_of_the_ground(trees: dict[str, xr.DataTree]) -> None:
    ax = plot.backscatter(trees["S1A_IW_GRDH"], "vv")
    vv = trees["S1A_IW_GRDH"]["measurements/vv"]
    lat, lon = places(vv)
    across = GEOD.inv(lon[0, 0], lat[0, 0], lon[0, -1], lat[0, -1])[2]
    left, right = ax.get_xlim()
    length, _, text = bar(ax)
    assert length == pytest.approx(metres(text), rel=1e-9)
    assert (right - left) * 511 / 512 == pytest.approx(across, rel=1e-3)
    (arrow,) = [item for item in ax.texts if item.get_gid() == "north"]
    drawn_to = np.degrees(np.arctan2(*arrow.xyann))  # clockwise from up
    north, south = (0, -1) if lat[0, 1] > lat[-1, 1] else (-1, 0)
    up = GEOD.inv(lon[south, 1], lat[south, 1], lon[north, 1], lat[north, 1])[0]
    assert drawn_to == pytest.approx(-up, abs=0.1)


def test_false_colours_are_both_polarisations_and_their_ratio(trees: dict[str, xr.DataTree]) -> None:
    tree = trees["S1A_IW_GRDH"]
    image = plot.backscatter(tree).images[0].get_array()
    vv, vh = (np.ma.filled(plot.backscatter(tree, name).images[0].get_array(), np.nan) for name in ("vv", "vh"))
    for channel, values in enumerate((vv, vh, vv - vh)):
        low, high = np.nanpercentile(values, (2, 98))
        valid = np.isfinite(vv - vh)
        wanted = np.clip((values - low) / (high - low), 0, 1)
        np.testing.assert_allclose(image[..., channel][valid], wanted[valid], atol=1e-5)
    assert image[..., 3].min() in (0.0, 1.0)


def large(folder: Path, shape: tuple[int, int], **options: Any) -> Path:
    """A drawn product of which VV has another size and content."""
    safe = radar.draw(folder)
    for file in safe.glob("annotation/*.xml"):
        radar.replace(file, "numberOfLines", str(shape[0]))
        radar.replace(file, "numberOfSamples", str(shape[1]))
    rng = np.random.default_rng(5)
    for file in safe.glob("measurement/*"):
        pixels = rng.integers(1, 900, shape).astype("uint16")
        pixels[: shape[0] // 4, : shape[1] // 4] = 0
        file.unlink()
        radar.write_tiff(file, pixels, **options)
    return safe


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """First and last line (after) of each window that is read of an image."""
    seen: list[tuple[int, int]] = []
    read = arrays.ImageArray._window

    def counted(self: Any, top: int, bottom: int, left: int, right: int) -> Any:
        seen.append((top, bottom))
        return read(self, top, bottom, left, right)

    monkeypatch.setattr(arrays.ImageArray, "_window", counted)
    return seen


@pytest.mark.parametrize("chunks", ["auto", None])
def test_of_a_large_image_few_lines_are_read(tmp_path: Path, windows: list[tuple[int, int]], chunks: Any) -> None:
    tree = open_product(large(tmp_path, (6000, 700), blockysize=1), chunks=chunks)
    windows.clear()
    ax = plot.backscatter(tree, "vv", max_pixels=100, looks=3)
    assert sorted(windows) == [(top, top + 3) for top in range(28, 6000, 60)], "3 lines of 60, in their middle"
    picture = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert picture.shape == (100, 100)
    power = tree.s1.calibrate("sigma0")["measurements/vv"].values.astype("float64")
    lat, lon = places(tree["measurements/vv"])
    runs = power.reshape(100, 60, 700)[:, 28:31].transpose(0, 2, 1).reshape(100, 100, 7 * 3)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = 10 * np.log10(np.nansum(runs, axis=2) / np.isfinite(runs).sum(axis=2))
    expected = expected[:: 1 if lat[0, 1] > lat[-1, 1] else -1, :: 1 if lon[1, 0] < lon[1, -1] else -1]
    np.testing.assert_allclose(picture, expected, atol=1e-4)
    assert np.isnan(picture).any(), "what has no data has none in the picture"


def test_a_tiled_image_is_read_once(tmp_path: Path, windows: list[tuple[int, int]]) -> None:
    tree = open_product(large(tmp_path, (2000, 600), tiled=True, blockxsize=256, blockysize=256))
    windows.clear()
    plot.backscatter(tree, "vv", max_pixels=100)
    assert sum(bottom - top for top, bottom in windows) == 2000, "no tile is decoded twice"


def test_an_slc_is_drawn_swath_by_swath(tmp_path: Path) -> None:
    tree = open_product(radar.slc(tmp_path))
    ax = plot.show(tree)
    assert "IW1 VV VH sigma0" in ax.get_title()
    assert "IW2 VV" in plot.backscatter(tree, image="IW2").get_title()
    with pytest.raises(errors.UnknownBand, match="IW1, IW2"):
        plot.backscatter(tree, image="IW3")


def test_backscatter_says_what_cannot_be_drawn(trees: dict[str, xr.DataTree]) -> None:
    with pytest.raises(errors.UnknownBand, match="vv, vh") as caught:
        plot.backscatter(trees["S1A_IW_GRDH"], "hh")
    assert caught.value.details["bands"] == ["vv", "vh"]
    with pytest.raises(errors.InputError, match="no Sentinel-1 images"):
        plot.backscatter(trees["S2A_MSIL1C"])
    with pytest.raises(errors.InputError, match="One or two"):
        plot.backscatter(trees["S1A_IW_GRDH"], ("vv", "vh", "hh"))
    empty = trees["S1A_IW_GRDH"]["measurements/vv"].copy()
    with pytest.raises(errors.InputError, match="does not know"):
        plot.backscatter(empty * np.nan)


def test_numbers_without_a_calibration_and_without_a_place_are_drawn_as_such(tmp_path: Path) -> None:
    safe = large(tmp_path, (300, 200))
    for file in [*safe.glob("annotation/calibration/*"), *safe.glob("annotation/*.xml")]:
        file.unlink()
    tree = open_product(safe)
    with pytest.raises(errors.IncompleteProduct, match="cannot be calibrated"):
        plot.backscatter(tree, "vv")
    ax = plot.backscatter(tree, "vv", kind="dn")
    assert ax.images[0].colorbar.ax.get_ylabel() == "digital number squared, VV (dB)"
    assert "place unknown" in ax.get_title()
    assert not ax.lines
    with np.errstate(invalid="ignore"):
        expected = 20 * np.log10(tree["measurements/vv"].values)
    np.testing.assert_allclose(np.ma.filled(ax.images[0].get_array(), np.nan), expected, atol=1e-4)


def test_power_of_complex_numbers_is_averaged(tmp_path: Path) -> None:
    tree = open_product(radar.slc(tmp_path))
    ax = plot.backscatter(tree, "vv", image="IW1", kind="dn", max_pixels=64)
    power = np.abs(tree["IW1/VV/vv"].values.astype("complex128")) ** 2
    assert power.shape == (510, 512)
    block = power[2 * 8 + 3 : 2 * 8 + 5, 40:48]  # the third row of the picture: two lines in the middle of eight
    wanted = 10 * np.log10(np.nanmean(block))
    picture = np.ma.filled(ax.images[0].get_array(), np.nan)
    turned = [picture[::down, ::across][2, 5] for down in (1, -1) for across in (1, -1)]
    assert np.isclose(turned, wanted, atol=1e-4).sum() == 1


def test_a_product_without_arrays_is_said_to_be_incomplete() -> None:
    tree = xr.DataTree(xr.Dataset({"a": ("n", [1.0]), "b": ("n", [1.0])}))
    with pytest.raises(errors.InputError, match="usually mapped"):
        plot.swath_map(tree)
    tree.attrs["missing_members"] = ["/PRODUCT"]
    with pytest.raises(errors.IncompleteProduct, match="lacks /PRODUCT"):
        plot.swath_map(tree)


def test_importing_plot_does_not_import_matplotlib() -> None:
    import subprocess
    import sys

    code = "import sys, extenso_nb.plot; print('matplotlib' in sys.modules, 'xarray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[0] == "False"
