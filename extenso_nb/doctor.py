"""What is wrong with an installation: packages, drivers, directories, the gateway; each finding with its next step."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from extenso_nb import _html
from extenso_nb.errors import ExtensoError

__all__ = ["Finding", "examine"]

_PACKAGES = (
    "dbos",
    "fastapi",
    "geopandas",
    "h5netcdf",
    "h5py",
    "httpx",
    "ipyleaflet",
    "ipywidgets",
    "matplotlib",
    "obstore",
    "pydantic",
    "rasterio",
    "rioxarray",
    "shapely",
    "sqlalchemy",
    "xarray",
)
_ROOM = 1_000_000_000
"""Bytes that should be free where products are kept."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    good: bool
    what: str
    hint: str = ""

    def __str__(self) -> str:
        mark = "ok   " if self.good else "WRONG"
        return f"{mark} {self.what}" + (f"\n      -> {self.hint}" if self.hint else "")


def examine() -> list[Finding]:
    """Look at everything that has gone wrong for somebody; starts the embedded gateway when no other is named."""
    findings = [_python()]
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _packages,
        _drivers,
        _directories,
        _proxy,
        _credentials,
        _gateway,
    )
    for check in checks:
        findings.extend(check())
    return findings


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(
        sys.version_info >= (3, 11), f"Python {version}", "" if sys.version_info >= (3, 11) else "Use 3.11 or newer."
    )


def _packages() -> Iterator[Finding]:
    broken = []
    for name in _PACKAGES:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001 - a broken wheel can raise anything while it is imported
            broken.append(
                Finding(False, f"{name} cannot be imported: {error}", f"pip install --force-reinstall {name}")
            )
    yield from broken
    if not broken:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in ("xarray", "rasterio", "httpx", "ipywidgets"))
        yield Finding(True, f"{len(_PACKAGES)} packages import ({shown} ...)")


def _drivers() -> Iterator[Finding]:
    try:
        from rasterio.drivers import raster_driver_extensions
        from rasterio.env import GDALVersion

        has = "JP2OpenJPEG" in set(raster_driver_extensions().values())
        version = GDALVersion.runtime()
    except ImportError as error:
        yield Finding(False, f"rasterio does not load: {error}", "pip install --force-reinstall rasterio")
        return
    yield Finding(
        has,
        f"GDAL {version} " + ("reads JPEG 2000" if has else "has no JPEG 2000 driver"),
        "" if has else "Use the rasterio wheel, or a GDAL with JP2OpenJPEG: Sentinel-2 does not open without.",
    )


def _directories() -> Iterator[Finding]:
    from extenso_nb.gateway.embed import default_data_dir
    from extenso_nb.gateway.serve import default_cache_dir

    for name, path, setting in (
        ("data", default_data_dir(), "EXTENSO_DATA_DIR"),
        ("cache", default_cache_dir(), "XDG_CACHE_HOME"),
    ):
        there = _existing(path)
        if not os.access(there, os.W_OK):
            yield Finding(False, f"the {name} directory {path} cannot be written", f"Set {setting} to another place.")
            continue
        free = shutil.disk_usage(there).free
        yield Finding(
            free > _ROOM,
            f"{name} directory {path}, {_html.bytes_text(free)} free",
            "" if free > _ROOM else f"Make room, or set {setting} to another disk.",
        )


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _proxy() -> Iterator[Finding]:
    named = [name for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy") if os.environ.get(name)]
    if named:
        yield Finding(True, f"a proxy is set ({', '.join(named)}); the gateway on this machine is asked without it")


def _credentials() -> Iterator[Finding]:
    from extenso_nb.gateway import credentials

    try:
        there = [name for name in credentials.known_accounts() if credentials.where(name)]
    except ExtensoError as error:
        yield Finding(False, error.message, error.hint)
        return
    said = f"for {', '.join(there)}" if there else "for none; `extenso login --list` says which there are"
    yield Finding(True, f"credentials of live archives: {said}")


def _gateway() -> Iterator[Finding]:
    from extenso_nb.session import connect

    try:
        with connect() as eo:
            health = eo.health()
            account = eo.me()
    except ExtensoError as error:
        yield Finding(False, error.message, error.hint)
        return
    yield Finding(health.status == "ok", f"{eo!r}, version {health.version}")
    for source in health.sources:
        count = "" if source.products is None else f", {source.products} products"
        good = source.status == "ok"
        yield Finding(
            good, f"source {source.name}: {source.status}{count}", "" if good else "Look into the gateway's log."
        )
    yield Finding(True, repr(account)[1:-1])
