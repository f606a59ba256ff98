"""netCDF-4 members: the numbers of the file by its own attributes, from wherever it lies, in any thread or process."""

from __future__ import annotations

import contextlib
import gc
import json
import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb.errors import DamagedProduct, IncompleteProduct, ReaderError, UnsupportedProduct
from extenso_nb.readers import cf, hdf5, spool
from extenso_nb.readers.opening import open_container

ROWS, COLUMNS = 70, 90


def write(path: Path) -> Path:
    """A file with one of everything, written by the netCDF library itself."""
    rng = np.random.default_rng(3)
    with netCDF4.Dataset(path, "w") as file:
        file.title = "all kinds"
        file.number = np.int32(7)
        file.list = np.array([1.5, 2.5])
        for name, size in (("rows", ROWS), ("columns", COLUMNS), ("letter", 5)):
            file.createDimension(name, size)
        group = file.createGroup("deep").createGroup("er")
        group.note = "inside"

        def put(
            name: str, kind: Any, dims: tuple[str, ...], data: Any, *, where: Any = file, fill: Any = None, **attrs: Any
        ) -> None:
            item = where.createVariable(
                name,
                kind,
                dims,
                fill_value=fill,
                zlib=kind is not str,
                chunksizes=(16, 32) if dims == ("rows", "columns") else None,
            )
            item.set_auto_maskandscale(False)
            item.setncatts(attrs)
            item[...] = data

        grid = ("rows", "columns")
        short = rng.integers(0, 65_535, (ROWS, COLUMNS), dtype=np.uint16)
        short[0, :4] = 65_535
        put("radiance", "u2", grid, short, fill=np.uint16(65_535), scale_factor=np.float32(0.0139465), add_offset=np.float32(0.5),
            units="mW", valid_min=np.uint16(0), valid_max=np.uint16(65_534), coordinates="latitude longitude")  # fmt: skip
        bt = rng.integers(-32_768, 32_767, (ROWS, COLUMNS), dtype=np.int16)
        put(
            "bt",
            "i2",
            grid,
            bt,
            fill=np.int16(-32_768),
            scale_factor=np.float32(0.01),
            add_offset=np.float32(283.73),
            units="K",
        )
        place = rng.integers(-180_000_000, 180_000_000, (ROWS, COLUMNS), dtype=np.int32)
        place[5, 5] = -(2**31)
        put("longitude", "i4", grid, place, fill=np.int32(-(2**31)), scale_factor=1e-6, units="degrees_east")
        put("altitude", "i4", ("rows",), np.arange(ROWS) * 1000, scale_factor=1e-4, add_offset=700_000.0, units="m")
        gas = rng.normal(1e-4, 1e-5, (ROWS, COLUMNS)).astype(np.float32)
        gas[2, 2:9] = np.float32(9.96921e36)
        put("gas", "f4", grid, gas, fill=np.float32(9.96921e36), units="mol m-2")
        put("unfilled", "f4", grid, np.where(gas > 1, np.float32(9.969209968386869e36), gas), units="1")
        put("quality_flags", "u4", grid, rng.integers(0, 2**32, (ROWS, COLUMNS), dtype=np.uint32),
            flag_masks=np.array([2**31, 1], np.uint32), flag_meanings="land bright")  # fmt: skip
        put("classes", "i1", grid, rng.integers(0, 3, (ROWS, COLUMNS)).astype(np.int8), fill=np.int8(127),
            flag_values=np.array([0, 1, 2], np.int8), flag_meanings="a b c", units="1")  # fmt: skip
        put("detector", "i2", grid, rng.integers(-1, 3700, (ROWS, COLUMNS), dtype=np.int16), fill=np.int16(-1))
        put("height", "i2", grid, rng.integers(-1, 3700, (ROWS, COLUMNS), dtype=np.int16), fill=np.int16(-1), units="m")
        put(
            "signed",
            "i1",
            ("columns",),
            np.arange(COLUMNS).astype(np.int8) - 45,
            _Unsigned="true",
            units="1",
            scale_factor=np.float32(0.5),
        )
        stamps = 646_034_307_000_000 + np.arange(ROWS) * 44_001
        stamps[3] = -1
        put(
            "time_stamp",
            "i8",
            ("rows",),
            stamps,
            fill=np.int64(-1),
            units="microseconds since 2000-01-01 00:00:00",
            standard_name="time",
        )
        seconds = 6.7e8 + np.arange(ROWS) * 0.05
        seconds[4] = np.nan
        put(
            "seconds",
            "f8",
            ("rows",),
            seconds,
            fill=np.nan,
            units="seconds since 2000-01-01 00:00:00.0",
            calendar="gregorian",
        )
        put("rows", "i4", ("rows",), np.arange(ROWS), fill=np.int32(-999), units="1")
        put("words", str, ("rows",), np.array([f"2024-06-10T12:00:{i:02d}Ö" for i in range(ROWS)], dtype=object))
        put("letters", "S1", ("rows", "letter"), np.array([list(f"{i:05d}") for i in range(ROWS)], dtype="S1"))
        put(
            "inner",
            "u1",
            ("rows",),
            np.arange(ROWS).astype(np.uint8),
            where=group,
            fill=np.uint8(255),
            scale_factor=np.float32(0.01),
        )
        put("scalar", "f8", (), 2.5, units="AU")
    with h5py.File(path, "a") as file:  # what netCDF-4 products of others have, and netCDF4-python cannot write so
        big = file.create_dataset("big_endian", data=np.arange(ROWS, dtype=">i2"))
        big.attrs["_FillValue"] = np.array([3], dtype=">i2")
        big.attrs["units"] = "1"
        big.dims[0].attach_scale(file["rows"])
        record = np.zeros(ROWS, dtype=[("ic_id", "<i4"), ("version", "<f4")])
        record["ic_id"] = np.arange(ROWS)
        file.create_dataset("configuration", data=record).dims[0].attach_scale(file["rows"])
        file.create_dataset(
            "switch", data=np.zeros(ROWS, np.uint8), dtype=h5py.enum_dtype({"off": 0, "on": 1}, basetype="u1")
        )
        file.create_dataset("ragged", data=[np.arange(2), np.arange(3)], dtype=h5py.vlen_dtype(np.int32))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file as itself, in a folder, in a stored and in a deflated zip."""
    root = tmp_path_factory.mktemp("nc")
    folder = root / "S3A_made.SEN3"
    folder.mkdir()
    write(folder / "all.nc")
    (folder / "empty.nc").touch()
    found = {"folder": folder, "file": folder / "all.nc"}
    for kind, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        found[kind] = root / f"{kind}.zip"
        with zipfile.ZipFile(found[kind], "w", method) as file:
            file.writestr("S3A_made.SEN3/first", "so that the file does not begin at 0")
            for item in folder.iterdir():
                file.write(item, f"S3A_made.SEN3/{item.name}")
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


KINDS = ["folder", "file", "stored", "deflated"]


def group(path: Path) -> hdf5.Group:
    container = open_container(path)
    return hdf5.read_group(container, "all.nc")


def read(path: Path, name: str, **options: Any) -> xr.Variable:
    return hdf5.variable(group(path).variables[name], **options)


def raw(made: dict[str, Path], name: str) -> np.ndarray:
    with netCDF4.Dataset(made["file"]) as file:
        file.set_auto_maskandscale(False)
        file.set_auto_chartostring(False)
        return np.asarray(file[name][...])


def exact(number: int, scale: float, offset: float) -> np.float32:
    """The float32 nearest to DN * scale + offset, through rational numbers."""
    true = Fraction(number) * Fraction(float(scale)) + Fraction(float(offset))
    near = np.float32(float(true))
    around = (np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf)))
    return min(around, key=lambda value: abs(Fraction(float(value)) - true))


# --- numbers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["radiance", "bt", "longitude", "gas", "quality_flags", "classes", "detector", "rows", "altitude"]
)
def test_without_mask_and_scale_the_numbers_are_as_stored(made: dict[str, Path], kind: str, name: str) -> None:
    got = read(made[kind], name, masked=False, scaled=False)
    stored = raw(made, name)
    assert got.dtype == stored.dtype
    np.testing.assert_array_equal(got.values, stored)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["radiance", "bt"])
def test_values_are_the_nearest_float32(made: dict[str, Path], kind: str, name: str) -> None:
    got, stored = read(made[kind], name), raw(made, name)
    attrs = group(made[kind]).variables[name].attributes
    scale, offset, fill = (attrs[key].item() for key in ("scale_factor", "add_offset", "_FillValue"))
    assert got.dtype == np.float32
    values = got.values
    np.testing.assert_array_equal(np.isnan(values), stored == fill)
    for at in [(0, 3), (0, 4), (1, 1), (33, 44), (69, 89), *[(i, i) for i in range(5, 65)]]:
        if stored[at] != fill:
            assert values[at] == exact(int(stored[at]), scale, offset)


def test_values_are_those_of_the_netcdf_library(made: dict[str, Path]) -> None:
    """To the last bit where it computes in float64; it rounds twice in float32."""
    with netCDF4.Dataset(made["file"]) as file:
        for name in ("radiance", "bt", "longitude", "gas", "altitude", "height"):
            theirs = np.ma.filled(file[name][...].astype(np.float64), np.nan)
            ours = read(made["file"], name).values
            if name in {"radiance", "bt"}:
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=2.0**-23 * np.nanmax(np.abs(theirs)))
            else:
                np.testing.assert_array_equal(ours, theirs)
    with xr.open_dataset(
        made["file"], engine="h5netcdf", phony_dims="sort", drop_variables=["ragged", "configuration"]
    ) as theirs_too:
        for name in ("longitude", "gas", "time_stamp"):
            np.testing.assert_array_equal(read(made["file"], name).values, theirs_too[name].values)
        late = np.abs(read(made["file"], "seconds").values - theirs_too["seconds"].values)  # float64 has 120 ns there
        assert late[~np.isnat(late)].max() <= np.timedelta64(120, "ns")


def test_32_bit_numbers_keep_their_resolution(made: dict[str, Path]) -> None:
    got = read(made["file"], "longitude")
    assert got.dtype == np.float64
    assert np.isnan(got.values[5, 5])
    stored = raw(made, "longitude")
    there = stored != -(2**31)
    np.testing.assert_array_equal(np.rint(got.values[there] * 1e6).astype(np.int64), stored[there])
    assert read(made["file"], "altitude").dtype == np.float64


@pytest.mark.parametrize(("masked", "scaled"), [(True, False), (False, True)])
def test_mask_and_scale_apart(made: dict[str, Path], masked: bool, scaled: bool) -> None:
    got, stored = read(made["file"], "radiance", masked=masked, scaled=scaled), raw(made, "radiance")
    assert got.dtype == np.float32
    assert np.isnan(got.values).any() == masked
    expected = stored * np.float64(np.float32(0.0139465)) + 0.5 if scaled else stored
    there = stored != 65_535
    np.testing.assert_array_equal(got.values[there], expected[there].astype(np.float32))


def test_default_fill_of_floats_is_no_value(made: dict[str, Path]) -> None:
    assert np.isnan(read(made["file"], "unfilled").values[2, 2:9]).all()
    assert not np.isnan(read(made["file"], "unfilled", masked=False).values).any()


def test_flags_stay_integers(made: dict[str, Path]) -> None:
    flags, classes, detector = (read(made["file"], name) for name in ("quality_flags", "classes", "detector"))
    assert flags.dtype == np.uint32
    assert flags.attrs["flag_masks"].dtype == np.uint32
    assert flags.attrs["flag_masks"].tolist() == [2**31, 1]
    assert flags.attrs["flag_meanings"] == "land bright"
    assert (classes.dtype, classes.attrs["fill_value"]) == (np.int8, 127)
    for got, name in ((detector, "detector"), (read(made["file"], "height"), "height")):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(got.values), raw(made, name) == -1)
    index = read(made["file"], "detector", integer=True)
    assert (index.dtype, index.attrs["fill_value"]) == (np.int16, -1)
    assert read(made["file"], "rows", integer=True).dtype == np.int32


def test_times(made: dict[str, Path]) -> None:
    stamps, seconds = read(made["file"], "time_stamp"), read(made["file"], "seconds")
    assert stamps.dtype == seconds.dtype == np.dtype("datetime64[ns]")
    assert np.isnat(stamps.values[3])
    assert np.isnat(seconds.values[4])
    assert stamps.values[0] == np.datetime64("2000-01-01", "ns") + np.timedelta64(646_034_307_000_000, "us")
    assert stamps.values[7] - stamps.values[0] == np.timedelta64(7 * 44_001, "us")
    assert abs(
        seconds.values[1] - (np.datetime64("2000-01-01", "ns") + np.timedelta64(670_000_000_050_000_000, "ns"))
    ) < np.timedelta64(200, "ns")
    assert {"units", "calendar"}.isdisjoint(stamps.attrs)
    assert read(made["file"], "time_stamp", masked=False, scaled=False).dtype.kind == "M"


def test_other_types(made: dict[str, Path]) -> None:
    path = made["file"]
    assert read(path, "words").values[7] == "2024-06-10T12:00:07Ö"
    assert read(path, "letters").values[[1, 69]].tolist() == ["00001", "00069"]
    assert read(path, "letters").dims == ("rows",)
    assert read(path, "scalar").values == 2.5
    big = read(path, "big_endian").values
    assert big.dtype.isnative
    assert np.isnan(big[3])
    assert big[4] == 4
    np.testing.assert_array_equal(read(path, "configuration.ic_id").values, np.arange(ROWS))
    switch = read(path, "switch")
    assert (switch.attrs["flag_meanings"], switch.attrs["flag_values"].tolist()) == ("off on", [0, 1])
    np.testing.assert_array_equal(read(path, "signed").values, ((np.arange(COLUMNS) - 45) % 256) * 0.5)
    assert group(path).unread == ("ragged",)


def test_groups_and_attributes(made: dict[str, Path]) -> None:
    root = group(made["stored"])
    assert root.attributes["title"] == "all kinds"
    assert root.attributes["number"] == 7
    assert root.attributes["list"] == [1.5, 2.5]
    inner = root.groups["deep"].groups["er"]
    assert inner.attributes == {"note": "inside"}
    assert inner.variables["inner"].dims == ("rows",)
    assert set(root.sizes) >= {"rows", "columns"}
    json.dumps([root.attributes, inner.attributes])
    limits = read(made["file"], "radiance").attrs
    assert (limits["valid_min"], limits["valid_max"]) == pytest.approx(
        (0.5, 0.5 + 65_534 * 0.0139465)
    )  # in the unit of the values, not in packed numbers
    assert {"scale_factor", "add_offset", "_FillValue", "coordinates", "DIMENSION_LIST"}.isdisjoint(limits)


@pytest.mark.parametrize("name", ["radiance", "bt", "gas", "height", "longitude"])
def test_packing_gives_the_stored_numbers_back(made: dict[str, Path], tmp_path: Path, name: str) -> None:
    got = read(made["file"], name)
    assert "scale_factor" not in got.encoding
    xr.Dataset({"v": got}).to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "plain.nc", engine="h5netcdf") as again:
        np.testing.assert_array_equal(again["v"].values, got.values)
        assert again["v"].dtype == got.dtype
    xr.Dataset({"v": got}).to_netcdf(tmp_path / "packed.nc", engine="h5netcdf", encoding={"v": got.encoding["packing"]})
    with netCDF4.Dataset(tmp_path / "packed.nc") as file:
        file.set_auto_maskandscale(False)
        np.testing.assert_array_equal(file["v"][...], raw(made, name))


@given(st.integers(-(2**40), 2**40), st.sampled_from(["days", "hours", "seconds", "milliseconds", "microseconds"]))
def test_times_are_those_of_xarray(number: int, unit: str) -> None:
    attrs = {"units": f"{unit} since 1985-03-01T01:30:00"}
    decoded = cf.decode(np.dtype(np.int64), attrs).unpack
    assert isinstance(decoded, cf.Times)
    ours = decoded(np.array([number]))[0]
    true = Fraction(number) * decoded.unit + Fraction(int(np.datetime64("1985-03-01T01:30", "ns").astype(np.int64)))
    if abs(true) < 2**63 - 2**49:
        assert int(ours.astype(np.int64)) == true
    elif abs(true) > 2**63:
        assert np.isnat(ours)


@pytest.mark.parametrize(
    "units", ["seconds since then", "fortnights since 2000-01-01", "seconds", "", "days since 2000-13-01"]
)
def test_what_is_no_time_stays_a_number(units: str) -> None:
    assert not isinstance(cf.decode(np.dtype(np.float64), {"units": units}).unpack, cf.Times)


def test_absurd_attributes_do_no_harm() -> None:
    stored = np.array([0, 1, 255], np.uint8)
    for attributes in (
        {"_FillValue": np.float64(np.nan)}, {"_FillValue": np.int64(70_000)}, {"_FillValue": b"none"}, {"scale_factor": "much"},
        {"scale_factor": 0.0}, {"scale_factor": np.nan}, {"missing_value": np.array([], np.uint8)},
    ):  # fmt: skip
        unpack = cf.decode(np.dtype(np.uint8), {**attributes, "units": "1"}).unpack
        np.testing.assert_array_equal(stored if unpack is None else unpack(stored), stored)
    unpack = cf.decode(np.dtype(np.float32), {"_FillValue": 1e300}).unpack
    assert unpack is not None
    assert np.isfinite(unpack(np.array([1.0], np.float32))).all()


# --- windows ---------------------------------------------------------------------------------------------------------
INDEXERS: list[Any] = [
    (slice(None), slice(None)), (5, 7), (slice(10, 20), slice(3, 50)), (slice(60, 5, -7), slice(None, None, 3)),
    ([3, 1, 1, 60], slice(2, 9)), ([3, 1, 60], [7, 7, 0]), (slice(5, 5), slice(None)), (-1, slice(-4, None)),
]  # fmt: skip


@pytest.mark.parametrize("key", INDEXERS)
@pytest.mark.parametrize("kind", ["file", "stored"])
def test_windows(made: dict[str, Path], kind: str, key: tuple[Any, Any]) -> None:
    lazy = read(made[kind], "radiance")
    whole = lazy.values
    rows, columns = key
    expected = whole[rows]
    expected = expected[columns] if isinstance(rows, int) else expected[:, columns]
    np.testing.assert_array_equal(lazy[rows, columns].values, expected)


def test_opening_reads_no_array(made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, key: Any, *rest: Any) -> Any:
        raise AssertionError(f"{self.name} was read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)
    described = group(made["stored"])
    for stored in described.variables.values():
        hdf5.variable(stored)
    with pytest.raises(AssertionError, match="radiance"):
        _ = hdf5.variable(described.variables["radiance"]).values


@given(st.lists(st.tuples(st.integers(1, 9000), st.integers(1, 5000)), min_size=1, max_size=3))
def test_chunks_are_whole_multiples_of_the_files(dims: list[tuple[int, int]]) -> None:
    shape, own = tuple(size for size, _ in dims), tuple(min(size, part) for size, part in dims)
    sizes = hdf5.chunk_sizes(shape, own)
    for size, part, length in zip(sizes, own, shape, strict=True):
        assert size == length or size % part == 0
    if np.prod(own) <= hdf5.CHUNK:
        assert np.prod(sizes) <= hdf5.CHUNK


def test_chunks_of_datasets(made: dict[str, Path]) -> None:
    dataset = xr.Dataset({"radiance": read(made["file"], "radiance")})
    assert hdf5.rechunk(dataset, None)["radiance"].chunks is None
    assert hdf5.rechunk(dataset, "auto")["radiance"].chunks == ((ROWS,), (COLUMNS,))
    assert hdf5.rechunk(dataset, {"rows": 32, "nothing": 3})["radiance"].chunks == ((32, 32, 6), (COLUMNS,))


# --- threads and processes -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_an_array(made: dict[str, Path], kind: str) -> None:
    lazy = read(made[kind], "radiance")
    whole = lazy.values
    with ThreadPoolExecutor(8) as pool:
        for got, at in pool.map(lambda at: (lazy[at : at + 7].values, at), list(range(60)) * 4):
            np.testing.assert_array_equal(got, whole[at : at + 7])


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_pickle(made: dict[str, Path], kind: str) -> None:
    lazy = read(made[kind], "radiance")
    whole = lazy.values
    again = pickle.loads(pickle.dumps(lazy))
    np.testing.assert_array_equal(again.values, whole)
    assert len(pickle.dumps(lazy)) < 4_000


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_compute_in_another_process(worker: Any, made: dict[str, Path], kind: str) -> None:
    lazy = read(made[kind], "radiance")
    chunked = hdf5.rechunk(xr.Dataset({"radiance": lazy}), {"rows": 32})["radiance"]
    np.testing.assert_array_equal(worker.compute(chunked).result(), lazy.values)


def test_a_worker_names_what_is_damaged(worker: Any, made: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "all.nc"
    path.write_bytes(made["file"].read_bytes())
    lazy = hdf5.rechunk(xr.Dataset({"radiance": read(path, "radiance")}), "auto")["radiance"]
    with h5py.File(path) as file:
        last = max(
            file["radiance"].id.get_chunk_info(i).byte_offset for i in range(file["radiance"].id.get_num_chunks())
        )
    path.write_bytes(made["file"].read_bytes()[: last + 9])
    with pytest.raises(DamagedProduct, match=r"all\.nc") as caught:
        worker.compute(lazy).result()
    assert caught.value.details["member"] == "all.nc"


# --- inflated members ------------------------------------------------------------------------------------------------
@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Members that were inflated."""
    seen: list[str] = []
    opens = type(open_container(Path(__file__).parent)).open

    def counting(self: Any, name: str, **options: Any) -> Any:
        seen.append(name)
        return opens(self, name, **options)

    monkeypatch.setattr("extenso_nb.readers.container.Container.open", counting)
    monkeypatch.setattr(spool, "_spools", spool._Spools())
    return seen


def test_a_deflated_member_is_inflated_once(made: dict[str, Path], counted: list[str]) -> None:
    lazy = read(made["deflated"], "radiance")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: lazy[at].values, range(60)))
    assert counted == ["all.nc"]
    _ = read(made["stored"], "radiance").values
    assert counted == ["all.nc"]


def test_inflated_members_are_bounded(tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SPOOL_LIMIT", 100_000)
    path = tmp_path / "many.zip"
    data = np.random.default_rng(1).bytes(24_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(9):
            inner = tmp_path / f"{number}.nc"
            with h5py.File(inner, "w") as item:
                item["v"] = np.frombuffer(data, np.uint8) + np.uint8(number)
            file.write(inner, f"p.SEN3/{number}.nc")
    container = open_container(path)
    before = open_files()
    arrays = [hdf5.variable(hdf5.read_group(container, f"{number}.nc").variables["v"]) for number in range(9)]
    gc.collect()
    assert sum(item.size for item in spool._spools._spools.values()) <= 100_000
    assert open_files() - before <= 4
    for number, array in enumerate(arrays):  # those that had to go come back
        np.testing.assert_array_equal(array.values, np.frombuffer(data, np.uint8) + np.uint8(number))
    assert len(counted) > 9


def test_no_file_stays_open(made: dict[str, Path]) -> None:
    before = open_files()
    for kind in ("folder", "file", "stored"):
        lazy = read(made[kind], "radiance")
        for at in range(20):
            _ = lazy[at].values
    assert open_files() == before


def test_a_full_disk_is_said(made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    monkeypatch.setattr(spool, "_spools", spool._Spools())
    with pytest.raises(ReaderError, match="No space left") as caught:
        group(made["deflated"])
    assert "TMPDIR" in caught.value.hint


# --- errors ----------------------------------------------------------------------------------------------------------
def test_an_empty_or_absent_member(made: dict[str, Path]) -> None:
    container = open_container(made["folder"])
    for name in ("empty.nc", "absent.nc"):
        with pytest.raises(IncompleteProduct, match=name):
            hdf5.read_group(container, name)


def test_classic_netcdf_is_said_to_be_that(tmp_path: Path) -> None:
    path = tmp_path / "all.nc"
    xr.Dataset({"v": ("x", [1.0])}).to_netcdf(path, engine="scipy")
    with pytest.raises(UnsupportedProduct, match="classic"):
        group(path)


def test_a_file_that_is_gone_or_another(made: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "all.nc"
    path.write_bytes(made["file"].read_bytes())
    lazy = read(path, "radiance")
    with h5py.File(path, "w") as file:
        file["radiance"] = np.zeros((3, 3))
    with pytest.raises(DamagedProduct, match="not what it was"):
        _ = lazy.values
    path.unlink()
    with pytest.raises(ReaderError, match="cannot be read") as caught:
        _ = lazy.values
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


@pytest.mark.parametrize("seed", range(60))
def test_damaged_files_give_our_errors_or_numbers(made: dict[str, Path], tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(made["file"].read_bytes())
    if seed % 3 == 0:
        data = data[: int(rng.integers(9, len(data)))]
    else:
        for at in rng.integers(8, len(data), 1 + seed):
            data[at] = int(rng.integers(0, 256))
    path = tmp_path / "all.nc"
    path.write_bytes(data)
    with contextlib.suppress(DamagedProduct, IncompleteProduct):  # anything else, or a crash, is a failure
        for stored in group(path).variables.values():
            _ = hdf5.variable(stored).values


def outside(file: h5py.File, secret: Path) -> None:
    file["leak"] = h5py.ExternalLink(str(secret), "/")


def raw_outside(file: h5py.File, secret: Path) -> None:
    file.create_dataset("leak", (4,), np.uint8, external=[(str(secret), 0, 4)])


def virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource(str(secret), "v", (4,))
    file.create_virtual_dataset("leak", layout)


def in_circles(file: h5py.File, secret: Path) -> None:
    file.create_group("a")["b"] = file["/"]


@pytest.mark.parametrize("how", [outside, raw_outside, virtual, in_circles])
def test_files_that_lead_out_of_themselves_are_refused(tmp_path: Path, how: Callable[[h5py.File, Path], None]) -> None:
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["v"] = np.arange(4, dtype=np.uint8)
    path = tmp_path / "all.nc"
    with h5py.File(path, "w") as file:
        how(file.create_group("deep"), secret)
    with pytest.raises(DamagedProduct, match=r"outside|hold themselves"):
        group(path)


def test_what_numpy_has_no_type_for_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "all.nc"
    with h5py.File(path, "w") as file:
        file["v"] = np.arange(3)
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"when", h5py.h5t.UNIX_D32LE, space)
        h5py.h5a.create(file["v"].id, b"since", h5py.h5t.UNIX_D32LE, space)
    found = group(path)
    assert found.unread == ("when",)
    assert hdf5.variable(found.variables["v"]).values.tolist() == [0, 1, 2]


def test_an_axis_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "all.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**10,), np.float64, chunks=(10**6,)).make_scale("x")
    with pytest.raises(DamagedProduct, match="axis x of 10000000000"):
        group(path)


def test_groups_that_do_not_fit_together_are_said(tmp_path: Path) -> None:
    groups = {"/": xr.Dataset(), "/a": xr.Dataset({"v": ("x", [1, 2])}), "/a/b": xr.Dataset({"v": ("x", [1, 2, 3])})}
    with pytest.raises(DamagedProduct, match="do not fit together"):
        hdf5.to_tree(groups, str(tmp_path))
