"""Small Sentinel-3 products of the types that the sample archive has not: by their public layout, with made-up numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np


def netcdf(
    path: Path, sizes: dict[str, int], variables: dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]
) -> None:
    with netCDF4.Dataset(path, "w") as file:
        for name, size in sizes.items():
            file.createDimension(name, size)
        for name, (dims, data, attrs) in variables.items():
            item = file.createVariable(name, np.asarray(data).dtype, dims, fill_value=attrs.get("_FillValue"))
            item.set_auto_maskandscale(False)
            item.setncatts({key: value for key, value in attrs.items() if key != "_FillValue"})
            item[...] = data


def sea_surface(target: Path) -> Path:
    """SL_2_WST, in the form of GHRSST's level 2 (GDS 2.0)."""
    folder = (
        target / "S3A_SL_2_WST____20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_MAR_O_NT_003.SEN3"
    )
    folder.mkdir()
    with netCDF4.Dataset(
        folder / "20240610101800-MAR-L2P_GHRSST-SSTskin-SLSTRA-20240611151000-v02.0-fv01.0.nc", "w"
    ) as file:
        for name, size in (("time", 1), ("nj", 5), ("ni", 6)):
            file.createDimension(name, size)
        file.createVariable("time", "i4", ("time",)).units = "seconds since 1981-01-01 00:00:00"
        file["time"][:] = 1_370_859_480
        for name in ("lat", "lon"):
            file.createVariable(name, "f4", ("nj", "ni")).standard_name = {"lat": "latitude", "lon": "longitude"}[name]
            file[name][:] = np.arange(30).reshape(5, 6)
        sst = file.createVariable("sea_surface_temperature", "i2", ("time", "nj", "ni"), fill_value=-32768)
        sst.scale_factor, sst.add_offset, sst.units = 0.01, 273.15, "kelvin"
        sst[:] = np.ma.masked_equal(np.arange(30).reshape(1, 5, 6) * 0.01 + 290, 290)
        quality = file.createVariable("quality_level", "i1", ("time", "nj", "ni"), fill_value=-128)
        quality.flag_values, quality.flag_meanings = (
            np.arange(6, dtype=np.int8),
            "no_data bad worst low acceptable best",
        )
        quality[:] = 5
    return folder


def altimetry(target: Path) -> Path:
    """SR_2_WAT: two rates and two bands in three files."""
    folder = (
        target / "S3A_SR_2_WAT____20240610T101800_20240610T102100_20240611T151000_0598_113_179______MAR_O_NT_005.SEN3"
    )
    folder.mkdir()
    for stem, names in (
        ("enhanced_measurement", ["range_ocean_20_ku", "range_ocean_20_plrm_ku", "range_ocean_01_ku", "range_ocean_20_c",
                                  "waveform_20_ku"]),
        ("standard_measurement", ["range_ocean_20_ku", "range_ocean_01_ku", "range_ocean_20_c"]),
        ("reduced_measurement", ["range_ocean_01_ku", "only_here_01"]),
    ):  # fmt: skip
        with netCDF4.Dataset(folder / f"{stem}.nc", "w") as file:
            for rate, size in (("01", 4), ("20_ku", 80), ("20_c", 79)):
                file.createDimension(f"time_{rate}", size)
                axis = file.createVariable(f"time_{rate}", "f8", (f"time_{rate}",))
                axis.units, axis[:] = "seconds since 2000-01-01 00:00:00.0", 7.7e8 + np.arange(size)
                for place in ("lat", "lon"):
                    file.createVariable(f"{place}_{rate}", "i4", (f"time_{rate}",)).scale_factor = 1e-6
                    file[f"{place}_{rate}"][:] = np.arange(size) * 1e-3
            file.createDimension("echo_sample_ind", 128)
            for name in names:
                dims = ["time_01" if "_01" in name else "time_20_c" if name.endswith("_c") else "time_20_ku"]
                item = file.createVariable(
                    name, "i4", dims + (["echo_sample_ind"] if "waveform" in name else []), fill_value=2**31 - 1
                )
                item.scale_factor, item.add_offset, item.units = 1e-4, 700_000.0, "m"
                item[:] = 800_000.1234
    return folder


def synergy(target: Path) -> Path:
    """SY_2_SYN: some bands of both instruments, on the grid of OLCI."""
    folder = (
        target / "S3A_SY_2_SYN____20240610T101800_20240610T102100_20240611T151000_0180_113_179_2160_LN2_O_ST_002.SEN3"
    )
    folder.mkdir()
    sizes = {"rows": 5, "columns": 6}
    packed = {"_FillValue": np.int16(-10000), "scale_factor": np.float32(1e-4), "units": "1"}
    grid, number = ("rows", "columns"), np.arange(30, dtype=np.int16).reshape(5, 6)
    for name in ("Oa08", "Oa17", "S1N", "S5O"):
        netcdf(
            folder / f"Syn_{name}_reflectance.nc",
            sizes,
            {f"SDR_{name}": (grid, number, packed), f"SDR_{name}_err": (grid, number, packed)},
        )
    netcdf(folder / "Syn_AOT550.nc", sizes, {"T550": (grid, number, packed), "T550_err": (grid, number, packed)})
    netcdf(
        folder / "flags.nc",
        sizes,
        {
            "SYN_flags": (
                grid,
                number.astype(np.uint16),
                {"flag_masks": np.array([1, 2], np.uint16), "flag_meanings": "a b"},
            )
        },
    )
    place = {"scale_factor": 1e-6, "_FillValue": np.int32(-(2**31))}
    netcdf(
        folder / "geolocation.nc",
        sizes,
        {name: (grid, number.astype(np.int32) * 1000, place) for name in ("lat", "lon")},
    )
    netcdf(
        folder / "time.nc",
        {"rows": 5},
        {"time_stamp": (("rows",), np.arange(5) + 10**14, {"units": "microseconds since 2000-01-01 00:00:00"})},
    )
    netcdf(
        folder / "tiepoints_olci.nc",
        {"n_tp": 9},
        {"OLC_TP_lat": (("n_tp",), np.arange(9.0), {"units": "degrees_north"})},
    )
    return folder


def vegetation(target: Path, kind: str) -> Path:
    """SY_2_VGP, SY_2_VG1 or SY_2_V10: on latitude and longitude, angles on a coarser grid."""
    folder = (
        target
        / f"S3A_SY_2_{kind}____20240610T101800_20240610T102100_20240611T151000_EUROPE____________LN2_O_ST_002.SEN3"
    )
    folder.mkdir()
    sizes = {"latitude": 6, "longitude": 8, "crs": 1}
    axes = {
        "latitude": (("latitude",), np.linspace(50, 45, 6), {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": (("longitude",), np.linspace(0, 7, 8), {"units": "degrees_east", "standard_name": "longitude"}),
        "crs": (("crs",), np.array([0], np.int32), {"grid_mapping_name": "latitude_longitude"}),
    }
    grid = ("latitude", "longitude")
    packed = {"_FillValue": np.int16(-10000), "scale_factor": np.float32(5e-4), "grid_mapping": "crs"}
    for name in ("B0", "B2", "B3", "MIR"):
        netcdf(folder / f"{name}.nc", sizes, axes | {name: (grid, np.full((6, 8), 400, np.int16), packed)})
    netcdf(
        folder / "sm.nc",
        sizes,
        axes
        | {"SM": (grid, np.zeros((6, 8), np.uint8), {"flag_masks": np.array([1], np.uint8), "flag_meanings": "cloud"})},
    )
    coarse = {"latitude": 6, "longitude": 2, "crs": 1}
    thin = axes | {"longitude": (("longitude",), np.array([0.0, 4.0]), {"units": "degrees_east"})}
    netcdf(
        folder / "sza.nc",
        coarse,
        thin | {"SZA": (grid, np.full((6, 2), 60, np.uint8), {"scale_factor": np.float32(0.5), "units": "degrees"})},
    )
    return folder
