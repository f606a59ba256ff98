"""`.s1` of trees, groups and arrays: the verbs for Sentinel-1 images where a user looks for them."""

from __future__ import annotations

from typing import Any

import xarray as xr

from extenso_nb.readers.calibration import calibrate
from extenso_nb.readers.geocoding import geocode
from extenso_nb.readers.geolocation import geolocate, geometry_of
from extenso_nb.readers.range_doppler import Geometry
from extenso_nb.readers.terrain import HeightLike

__all__ = ["Sentinel1"]


class Sentinel1:
    """What can be done with Sentinel-1 images: `tree.s1.calibrate("sigma0")`.

    For a product as `open_product` gives it, a group of it, or an array of pixels of it.
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    def __repr__(self) -> str:
        return f"<{type(self._data).__name__}.s1: calibrate, geolocate, geocode, geometry>"

    def calibrate(self, kind: str = "sigma0", *, denoise: bool = False, clip: bool = True, db: bool = False) -> Any:
        """Backscatter, lazily; see `readers.calibration.calibrate`."""
        return calibrate(self._data, kind, denoise=denoise, clip=clip, db=db)

    def geolocate(self, dem: HeightLike | None = None) -> Any:
        """Latitude, longitude and incidence angle of every pixel, lazily; see `readers.geolocation.geolocate`."""
        return geolocate(self._data, dem)

    def geocode(self, resolution: float | None = None, **options: Any) -> Any:
        """The images on a map grid, lazily; see `readers.geocoding.geocode` for the options."""
        return geocode(self._data, resolution, **options)

    def geometry(self) -> Geometry:
        """Of an array of pixels: between its lines and pixels and places on Earth."""
        return geometry_of(self._data)


_registers: Any = (xr.register_datatree_accessor, xr.register_dataset_accessor, xr.register_dataarray_accessor)
for _register in _registers:
    _register("s1")(Sentinel1)
