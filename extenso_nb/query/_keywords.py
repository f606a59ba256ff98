"""KEYWORDS: every keyword of the language, its kind and missions, and how it is read from a product."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias

from extenso_nb.errors import ProductIdError

__all__ = ["KEYWORDS", "Described", "Keyword", "Kind", "nearest"]

Kind: TypeAlias = Literal["text", "string", "int", "double", "date", "spatial"]
Mission: TypeAlias = Literal["S1", "S2", "S3", "S5P"]


class Described(Protocol):
    """What a query asks of a product; :class:`extenso_nb.models.Product` has it."""

    # A protocol, because `query` and `models` stand on one floor and do not import each other.
    @property
    def id(self) -> str: ...
    @property
    def uuid(self) -> str: ...
    @property
    def collection(self) -> str: ...
    @property
    def platform(self) -> str: ...
    @property
    def instrument(self) -> str: ...
    @property
    def product_type(self) -> str: ...
    @property
    def processing_level(self) -> str: ...
    @property
    def begin_position(self) -> datetime: ...
    @property
    def end_position(self) -> datetime: ...
    @property
    def ingestion_date(self) -> datetime: ...
    @property
    def footprint(self) -> dict[str, Any] | None: ...
    @property
    def size(self) -> int: ...
    @property
    def online(self) -> bool: ...
    @property
    def cloud_cover(self) -> float | None: ...
    @property
    def orbit_number(self) -> int | None: ...
    @property
    def relative_orbit_number(self) -> int | None: ...
    @property
    def orbit_direction(self) -> str | None: ...
    @property
    def tile_id(self) -> str | None: ...
    @property
    def polarisation(self) -> str | None: ...
    @property
    def sensor_mode(self) -> str | None: ...
    @property
    def timeliness(self) -> str | None: ...
    @property
    def processing_baseline(self) -> str | None: ...


Read: TypeAlias = Callable[[Described], object]
"""The value of a keyword, several as a tuple (each may match), or None where the product has none."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword of the language.

    `kind` decides how values compare: *text* by words and without regard to case, *string* as a whole and exactly,
    *int*, *double* and *date* by size, *spatial* by geometry.
    """

    name: str
    kind: Kind
    missions: tuple[Mission, ...]
    doc: str
    source: str
    """Where the value comes from: `property` of the product, its `name`, `constant`, or `-` when it is never known."""
    read: Read | None = field(default=None, repr=False, compare=False)

    def values(self, product: Described) -> tuple[Any, ...]:
        """The values of a product; empty where it has none."""
        if self.read is None or product.collection not in self.missions:
            return ()
        found = self.read(product)
        return found if isinstance(found, tuple) else () if found is None else (found,)


# --- from the product's name -----------------------------------------------------------------------------------------
@lru_cache(maxsize=4096)
def _named(identifier: str) -> Mapping[str, Any]:
    """Fields of the product's name by the grammar of `products`; empty for a name outside it."""
    from extenso_nb import products

    try:
        found = products.parse(identifier)
    except ProductIdError:
        return {}
    return {**dict(found.fields), "extension": found.extension, "created": found.created}


def _field(name: str) -> Read:
    return lambda product: _named(product.id).get(name)


def _filename(product: Described) -> str | None:
    extension = _named(product.id).get("extension")
    return None if extension is None else product.id + str(extension)


def _datatake(product: Described) -> int | None:
    digits = _named(product.id).get("datatake")
    return None if digits is None else int(str(digits), 16)


_SWATHS = {
    "IW": "IW1 IW2 IW3",
    "EW": "EW1 EW2 EW3 EW4 EW5",
    "WV": "WV1 WV2",
}


def _swath(product: Described) -> str | None:
    """Beams as the hub lists them: one word for detected products, all beams for the others, none for RAW."""
    mode = _named(product.id).get("mode")
    if mode is None or product.product_type == "RAW":
        return None
    return str(mode) if product.product_type == "GRD" else _SWATHS.get(str(mode), str(mode))


def _datatake_s2(product: Described) -> str | None:
    """``GS2A_20151223T142942_002624_N02.01``, for compact names of products with a known absolute orbit."""
    named, orbit = _named(product.id), product.orbit_number
    if orbit is None or "discriminator" not in named:
        return None
    baseline = str(named["baseline"])
    return f"G{named['satellite']}_{named['start']}_{orbit:06d}_N{baseline[:2]}.{baseline[2:]}"


def _duration(product: Described) -> str | None:
    """Seconds of a Sentinel-3 unit, without leading zeros."""
    instance = str(_named(product.id).get("instance") or "")
    return str(int(instance[:4])) if instance[:4].isdigit() else None


# --- from the product's properties -----------------------------------------------------------------------------------
_NAMES = {
    "S1": ("Sentinel-1",),
    "S2": ("Sentinel-2",),
    "S3": ("Sentinel-3",),
    "S5P": ("Sentinel-5 Precursor", "Sentinel-5P"),
}
_INSTRUMENTS = {
    "SAR-C SAR": "Synthetic Aperture Radar (C-band)",
    "MSI": "Multi-Spectral Instrument",
    "OLCI": "Ocean Land Colour Instrument",
    "SLSTR": "Sea and Land Surface Temperature Radiometer",
    "SRAL": "Sar Radar ALtimeter",
}
# COSPAR designations as the hub gave them.
_DESIGNATIONS = {
    "Sentinel-1A": "2014-016A",
    "Sentinel-1B": "2016-025A",
    "Sentinel-2A": "2015-028A",
    "Sentinel-2B": "2017-013A",
    "Sentinel-3A": "2016-011A",
    "Sentinel-3B": "2018-039A",
}
_TIMELINESS = (
    ("Near Real Time", "NR"),
    ("Short Time Critical", "ST"),
    ("Non Time Critical", "NT"),
)
_MODES = (("Near real time", "NRTI"), ("Offline", "OFFL"), ("Reprocessing", "RPRO"))


def _platform(product: Described) -> tuple[str, ...]:
    return product.platform, product.platform.replace("Sentinel-", "S")


def _level(product: Described) -> tuple[str, ...]:
    """The level in the words of the mission's hub, and as ``L1C``."""
    level = product.processing_level
    if product.collection == "S2":
        return f"Level-{level.removeprefix('L')}", level
    return (level.removeprefix("L"), level) if product.collection == "S3" else (level,)


def _long_and_short(pairs: Sequence[tuple[str, str]]) -> Read:
    def read(product: Described) -> tuple[str, ...] | None:
        given = product.timeliness
        for pair in pairs:
            if given and given.casefold() in {word.casefold() for word in pair}:
                return pair
        return (given,) if given else None

    return read


_s3_timeliness = _long_and_short(_TIMELINESS)


def _timeliness(product: Described) -> object:
    return _s3_timeliness(product) if product.collection == "S3" else product.timeliness


def _sensor_mode(product: Described) -> str | None:
    """The mode as the hub has it: SM for the strip map beams S1 to S6, and the one mode of Sentinel-3."""
    mode = product.sensor_mode
    if product.collection == "S3":
        return mode or "Earth Observation"
    is_beam = product.collection == "S1" and mode is not None and mode[:1] == "S" and mode[1:].isdigit()
    return "SM" if is_beam else mode


def _hv_tile(product: Described) -> str | None:
    """``MC20N`` for tile 20MNC: letters of band and row around the zone, column last, as the hub wrote it."""
    tile = product.tile_id
    return None if tile is None or len(tile) != 5 else f"{tile[2]}{tile[4]}{tile[:2]}{tile[3]}"


def size_text(size: int) -> str | None:
    """Bytes as the hub wrote them: powers of 1024 and at most two decimals, ``794.75 MB``. None for no size."""
    value = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1024:
            return f"{value:.2f}".rstrip("0").rstrip(".") + f" {unit}" if size > 0 else None
        value /= 1024
    return f"{value:.2f}".rstrip("0").rstrip(".") + " TB"


def _attribute(name: str) -> Read:
    return lambda product: getattr(product, name)


# --- the table -------------------------------------------------------------------------------------------------------
_ALL: tuple[Mission, ...] = ("S1", "S2", "S3", "S5P")
_S1: tuple[Mission, ...] = ("S1",)
_S2: tuple[Mission, ...] = ("S2",)
_S3: tuple[Mission, ...] = ("S3",)
_S5P: tuple[Mission, ...] = ("S5P",)


def _row(
    kind: Kind, name: str, missions: tuple[Mission, ...], doc: str, source: str = "-", read: Read | None = None
) -> Keyword:
    return Keyword(name, kind, missions, doc, source, read)


def _rows() -> list[Keyword]:
    prop, named, const = "property", "name", "constant"
    return [
        # what, and whose
        _row("text", "platformname", _ALL, "`Sentinel-1`, `Sentinel-2`, `Sentinel-3`, `Sentinel-5 Precursor`",
             prop, lambda product: _NAMES.get(product.collection)),
        _row("text", "platformserialidentifier", _ALL, "one satellite: `Sentinel-2A`; also `S2A`", prop, _platform),
        _row("text", "platformidentifier", _ALL, "COSPAR designation, `2015-028A`; known for the A and B units of "
             "Sentinel-1, -2 and -3", const, lambda product: _DESIGNATIONS.get(product.platform)),
        _row("text", "collection", _ALL, "`S1`, `S2`, `S3`, `S5P`", prop, _attribute("collection")),
        _row("text", "producttype", _ALL, "`GRD`, `SLC`, `RAW`, `OCN`; `S2MSI1C`, `S2MSI2A`; `OL_1_EFR___`; "
             "`L2__NO2___` ...", prop, _attribute("product_type")),
        _row("text", "instrumentshortname", _ALL, "`SAR-C SAR`, `MSI`, `OLCI`, `SLSTR`, `SRAL`, `SYNERGY`, `TROPOMI`",
             prop, _attribute("instrument")),
        _row("text", "instrumentname", _ALL, "`Multi-Spectral Instrument` ...; the short name where the hub had none",
             prop, lambda product: _INSTRUMENTS.get(product.instrument, product.instrument)),
        _row("text", "processinglevel", _ALL, "S2 `Level-1C`, `Level-2A`; S3 `1`, `2`; S5P `L1B`, `L2`; "
             "everywhere also `L1C`, `L2A`, `L1` ...", prop, _level),
        _row("text", "productlevel", _S3, "`L0`, `L1`, `L2`", prop, _attribute("processing_level")),
        _row("text", "processingbaseline", ("S2", "S3"), "S2 `05.10`; S3 baseline collection `004`",
             prop, _attribute("processing_baseline")),
        _row("text", "processorversion", _S5P, "six digits, `020400`", named, _field("processor")),
        _row("text", "processingmode", _S5P, "`Near real time`, `Offline`, `Reprocessing`; also `NRTI`, `OFFL`, `RPRO`",
             prop, _long_and_short(_MODES)),
        _row("text", "timeliness", _ALL, "S1 `NRT-3h`, `Fast-24h`; S3 `Near Real Time`, `Short Time Critical`, "
             "`Non Time Critical`, also `NR`, `ST`, `NT`; S5P as processingmode", prop, _timeliness),
        # names
        _row("string", "identifier", _ALL, "the product's name without extension", prop, _attribute("id")),
        _row("string", "title", _ALL, "the same as identifier", prop, _attribute("id")),
        _row("string", "id", _ALL, "the same as identifier (added)", prop, _attribute("id")),
        _row("string", "filename", _ALL, "the name with extension, `S1A_*.SAFE`, `*_T20MNC_*`", named, _filename),
        _row("string", "uuid", _ALL, "the catalogue's uuid", prop, _attribute("uuid")),
        # when
        _row("date", "beginposition", _ALL, "start of sensing", prop, _attribute("begin_position")),
        _row("date", "endposition", _ALL, "end of sensing", prop, _attribute("end_position")),
        _row("date", "ingestiondate", _ALL, "when the catalogue took it in", prop, _attribute("ingestion_date")),
        _row("date", "creationdate", ("S3", "S5P"), "when the product was made", named, _field("created")),
        _row("date", "generationdate", _ALL, "when the product was made, of hubs other than SciHub"),
        _row("date", "datatakesensingstart", _S2, "start of the datatake, not of the tile",
             prop, _attribute("begin_position")),
        # where
        _row("spatial", "footprint", _ALL, '`"Intersects(...)"`, `"Contains(...)"`, `"IsWithin(...)"`',
             prop, _attribute("footprint")),
        _row("text", "tileid", _S2, "MGRS tile, `20MNC`", prop, _attribute("tile_id")),
        _row("text", "hv_order_tileid", _S2, "the same in another order, `MC20N`", prop, _hv_tile),
        _row("string", "gmlfootprint", _ALL, "GML text of the footprint; use footprint"),
        # orbit
        _row("int", "orbitnumber", _ALL, "absolute orbit", prop, _attribute("orbit_number")),
        _row("int", "lastorbitnumber", _ALL, "absolute orbit at the end"),
        _row("int", "relativeorbitnumber", _ALL, "orbit in the cycle: S1 1 to 175, S2 1 to 143, S3 1 to 385",
             prop, _attribute("relative_orbit_number")),
        _row("int", "lastrelativeorbitnumber", _ALL, "orbit in the cycle at the end"),
        _row("text", "orbitdirection", _ALL, "`ASCENDING`, `DESCENDING`", prop, _attribute("orbit_direction")),
        _row("text", "lastorbitdirection", _S3, "direction at the end"),
        _row("text", "passnumber", _S3, "number of the half orbit"),
        _row("text", "relpassnumber", _S3, "number of the half orbit in the cycle"),
        _row("text", "passdirection", _S3, "the same as orbitdirection", prop, _attribute("orbit_direction")),
        _row("text", "relpassdirection", _S3, "the same as orbitdirection", prop, _attribute("orbit_direction")),
        # Sentinel-1
        _row("text", "polarisationmode", _S1, "`VV`, `VH`, `HH`, `HV`; `VV VH` carries both",
             prop, _attribute("polarisation")),
        _row("text", "sensoroperationalmode", ("S1", "S2", "S3"), "S1 `SM`, `IW`, `EW`, `WV`; S2 `INS-NOBS`; "
             "S3 `Earth Observation`", prop, _sensor_mode),
        _row("text", "swathidentifier", _S1, "`S1` to `S6`, `IW`, `IW1 IW2 IW3`, `EW1` to `EW5`, `WV1 WV2`; "
             "RAW has none", named, _swath),
        _row("text", "productclass", _S1, "`S` standard, `A` annotation, `N` noise, `C` calibration",
             named, _field("product_class")),
        _row("text", "acquisitiontype", _S1, "`NOMINAL`"),
        _row("text", "status", _S1, "`ARCHIVED`"),
        _row("text", "processed", _S1, "`F`"),
        _row("text", "productconsolidation", _S1, "`SLICE`"),
        _row("int", "slicenumber", _S1, "number of the slice in the datatake"),
        _row("int", "missiondatatakeid", _S1, "datatake, decimal", named, _datatake),
        _row("int", "instrumentconfigurationid", _S1, "configuration of the instrument"),
        # clouds and cover
        _row("double", "cloudcoverpercentage", ("S2", "S3"), "0 to 100", prop, _attribute("cloud_cover")),
        *(
            _row("double", f"{what}percentage", _S2, "0 to 100, of Level-2A")
            for what in ("vegetation", "notvegetated", "water", "unclassified", "snowice", "mediumprobaclouds",
                         "highprobaclouds")
        ),
        *(
            _row("double", f"{what}percentage", _S3, "0 to 100")
            for what in ("land", "opensea", "closedsea", "continentalice", "lrm", "sar")
        ),
        # long names of Sentinel-2
        _row("text", "s2datatakeid", _S2, "`GS2A_20151223T142942_002624_N02.01`", named, _datatake_s2),
        _row("string", "datastripidentifier", _S2, "name of the datastrip"),
        _row("string", "granuleidentifier", _S2, "name of the granule"),
        _row("string", "level1cpdiidentifier", _S2, "name of the Level-1C granule it was made from"),
        # Sentinel-3
        _row("text", "pduduration", _S3, "seconds of the unit, `179`", named, _duration),
        _row("text", "pdualongtrackcoord", _S3, "frame along the track"),
        _row("text", "mode", _S3, "`EO`", const, lambda _product: "EO"),
        *(
            _row("text", name, _S3, doc)
            for name, doc in (
                ("relorbitdir", "direction of the orbit in the cycle"),
                ("lastrelorbitdirection", "the same at the end"),
                ("lastpassnumber", "number of the half orbit at the end"),
                ("lastpassdirection", "direction of the half orbit at the end"),
                ("lastrelpassnumber", "number of the half orbit in the cycle at the end"),
                ("lastrelpassdirection", "direction of that half orbit"),
                ("leapsecond", "whether a leap second falls into it"),
                ("leapsecondoccurrence", "when the leap second was"),
                ("ecmwf", "`ANALYSIS`, the weather data used"),
                ("processingname", "`Data Processing`"),
            )
        ),
        _row("text", "onlinequalitycheck", _S3, "`PASSED`"),
        _row("text", "procfacilityname", _S3, "processing centre"),
        _row("text", "procfacilityorg", _S3, "who runs the centre"),
        # the object
        _row("string", "size", _ALL, "`794.75 MB`, powers of 1024, at most two decimals", prop,
             lambda product: size_text(product.size)),
        _row("string", "format", _ALL, "`SAFE`; S5P `netCDF`", const,
             lambda product: "netCDF" if product.collection == "S5P" else "SAFE"),
        _row("text", "online", _ALL, "`true`, `false` (added)", prop, lambda product: str(product.online).lower()),
    ]  # fmt: skip


KEYWORDS: Mapping[str, Keyword] = {row.name: row for row in _rows()}
"""Every keyword, by name in lower case."""


def nearest(name: str) -> str | None:
    """The keyword that `name` was probably meant to be, or None."""
    if len(name) > 40:
        return None  # difflib takes time in the square of it
    asked = name.lower().replace("_", "")
    begun = [known for known in KEYWORDS if len(asked) > 3 and known.startswith(asked)]
    close = begun or difflib.get_close_matches(asked, KEYWORDS, n=1, cutoff=0.6)
    return next(iter(close), None) or next((known for known in KEYWORDS if len(asked) > 3 and asked in known), None)
