"""The identifiers of Sentinel-1, -2, -3 and -5P products: text to fields and back; the only regexes for product names.

The grammar is ESA's, as the product specifications give it and as real catalogues were found to use it:

========  =============================================================================================
S1        ``S1A_IW_GRDH_1SDV_<start>_<stop>_<orbit>_<datatake>_<unique>[_COG]``
S2        ``S2B_MSIL2A_<start>_N<baseline>_R<relative orbit>_T<tile>_<discriminator>``
S2 (old)  ``S2A_OPER_PRD_MSIL1C_<centre>_<created>_R<relative orbit>_V<start>_<stop>`` (until the end of 2016)
S3        ``S3A_OL_1_EFR____<start>_<stop>_<created>_<instance>_<centre>_<platform>_<timeliness>_<collection>``
S5P       ``S5P_OFFL_L2__NO2____<start>_<stop>_<orbit>_<collection>_<processor>_<created>``
========  =============================================================================================

`parse` takes any unit letter (A, B, C, D ...), since new satellites follow old ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from extenso_nb.errors import InputError, ProductIdError

__all__ = ["COLLECTIONS", "ProductId", "collection", "format", "parse", "strip"]

COLLECTIONS: tuple[str, ...] = ("S1", "S2", "S3", "S5P")
"""The collections of the API."""


# --- what an identifier says -----------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class ProductId:
    """What a product identifier says: attributes in the words of the API, `product["tile"]` in those of the grammar.

    Made by `parse`; `patch` makes another one. What the name does not say is None.
    """

    fields: tuple[tuple[str, str], ...] = field(repr=False)
    """Names and texts of the fields of the grammar, in order."""
    collection: str
    """S1, S2, S3 or S5P."""
    platform: str
    """`Sentinel-2A`; `Sentinel-3` where the name leaves the unit open; `Sentinel-5P`."""
    instrument: str
    """`SAR-C SAR`, MSI, OLCI, SLSTR, SRAL, SYNERGY, MWR or TROPOMI."""
    product_type: str
    """As SciHub's `producttype`: GRD, S2MSI2A, OL_1_EFR___, L2__NO2___."""
    processing_level: str
    """L0, L1, L1B, L1C, L2 or L2A."""
    start: datetime
    """First moment of sensing, UTC; for compact Sentinel-2 names that of the whole datatake."""
    stop: datetime
    """Last moment of sensing, UTC; equals `start` where the name has only one."""
    created: datetime | None = None
    """When the product was made, UTC."""
    extension: str = ".SAFE"
    """Of the product as a folder or file: .SAFE, .SEN3 or .nc."""
    orbit_number: int | None = None
    """Absolute orbit at the start."""
    relative_orbit_number: int | None = None
    """Orbit within the repeat cycle at the start: 1 to 175 (S1), 143 (S2), 385 (S3)."""
    tile_id: str | None = None
    """MGRS tile: `31TCJ`."""
    polarisation: str | None = None
    """`VV VH`."""
    sensor_mode: str | None = None
    """SM, IW, EW, WV ..."""
    timeliness: str | None = None
    """`Near Real Time`, `Offline` ..., in the words of the mission's hub."""
    processing_baseline: str | None = None
    """`05.10` (S2), baseline collection `004` (S3), processor version `020400` (S5P)."""
    typical_size: int
    """Bytes that a product of this kind usually has, within a factor of two or so."""

    @property
    def id(self) -> str:
        """The identifier, without extension."""
        return _form_of(self).text(dict(self.fields))

    @property
    def archive_name(self) -> str:
        """The file of a delivery: `<id>.SAFE.zip`, `<id>.SEN3.zip` or `<id>.nc`."""
        return self.id + self.extension + ("" if self.extension == ".nc" else ".zip")

    def __getitem__(self, name: str) -> str:
        return dict(self.fields)[name]

    def __str__(self) -> str:
        return self.id

    def patch(self, **fields: str | datetime) -> ProductId:
        """The product with other fields of the grammar, as text or time. Raises ProductIdError when that makes none."""
        known = dict(self.fields)
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise ProductIdError(f"No such field: {', '.join(unknown)}.", hint=f"The fields are {', '.join(known)}.")
        texts = {name: _stamp(value) if isinstance(value, datetime) else value for name, value in fields.items()}
        return parse(_form_of(self).text(known | texts))


# --- the grammar -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Field:
    """One field: its name, its form, and that form in words."""

    name: str
    pattern: str
    words: str


def _a(name: str, pattern: str, words: str) -> _Field:
    return _Field(name, pattern, words)


def _time(name: str) -> _Field:
    return _Field(name, r"[0-9]{8}T[0-9]{6}", "a time such as 20240601T105619")


def _digits(name: str, count: int) -> _Field:
    return _Field(name, f"[0-9]{{{count}}}", f"{count} digits")


class _Form:
    """One form of identifier: fields with the literal text between them."""

    def __init__(
        self, title: str, example: str, build: Callable[[Mapping[str, str]], ProductId], *parts: str | _Field
    ) -> None:
        self.title, self.example, self.build, self.parts = title, example, build, parts
        whole = "".join(
            re.escape(part) if isinstance(part, str) else f"(?P<{part.name}>{part.pattern})" for part in parts
        )
        self.regex = re.compile(whole)
        self.names = [part.name for part in parts if not isinstance(part, str)]

    def text(self, fields: Mapping[str, str]) -> str:
        """The identifier that the fields make."""
        return "".join(part if isinstance(part, str) else fields[part.name] for part in self.parts)

    def first_fault(self, text: str) -> tuple[int, str]:
        """How far `text` follows this form, and what is wrong there."""
        at = 0
        for part in self.parts:
            if isinstance(part, str):
                if not text.startswith(part, at):
                    return at, f"{_seen(text, at, len(part))} where {part!r} belongs (character {at})"
                at += len(part)
                continue
            found = re.compile(part.pattern).match(text, at)
            if found is None:
                # A field of the wrong length runs up to the next separator; showing that much is what helps.
                end = text.find("_", at)
                length = max(end - at, 1) if end > 0 else len(text) - at
                name = part.name.replace("_", " ")
                return at, f"{name} (character {at}) is {_seen(text, at, length)}, not {part.words}"
            at = found.end()
        return at, f"{_seen(text, at, len(text))} follows after its end (character {at})"


def _seen(text: str, at: int, length: int) -> str:
    piece = text[at : at + min(length, 40)]
    return repr(piece) if piece else "the end"


def _stamp(moment: datetime) -> str:
    # strftime("%Y") does not fill years before 1000 with zeros everywhere.
    moment = moment.astimezone(UTC)
    return f"{moment.year:04d}{moment:%m%dT%H%M%S}"


def _moment(text: str, name: str) -> datetime:
    """A time of the grammar; says which part of it cannot be."""
    year, month, day = int(text[:4]), int(text[4:6]), int(text[6:8])
    hour, minute, second = int(text[9:11]), int(text[11:13]), int(text[13:15])
    limits = (("year", year, 1, 9999), ("month", month, 1, 12), ("hour", hour, 0, 23), ("minute", minute, 0, 59))
    for word, value, low, high in (*limits, ("second", second, 0, 59)):
        if not low <= value <= high:
            raise ValueError(f"{word} {value} in {name} ({text})")
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise ValueError(f"day {day} in {name} ({text})") from None


def _times(fields: Mapping[str, str], *names: str) -> list[datetime]:
    found = {name: _moment(fields[name], name) for name in names}
    if "stop" in found and found["stop"] < found["start"]:
        raise ValueError(f"stop ({fields['stop']}) is before start ({fields['start']})")
    return list(found.values())


def _within(name: str, text: str, low: int, high: int) -> int:
    if not low <= int(text) <= high:
        raise ValueError(f"{name} {text} is not within {low} to {high}")
    return int(text)


# --- from the grammar's words to the API's ---------------------------------------------------------------------------
_MB = 1_000_000
# Sizes in MB: middles of what catalogues list, as delivered (zips of products are hardly smaller than their files).


def _platform(f: Mapping[str, str]) -> str:
    return f"Sentinel-{f['satellite'][1:].rstrip('_')}"


_POLARISATIONS = {"SH": "HH", "SV": "VV", "DH": "HH HV", "DV": "VV VH"}
# Relative orbit = (orbit - offset) % 175 + 1. S1A and S1B hold for 92 of 92 recorded products, S1C for one;
# that of S1D is not published yet.
_S1_OFFSETS = {"S1A": 73, "S1B": 27, "S1C": 172}
# fmt: off
_S1_SIZES = {
    "IW_GRD": 1780, "EW_GRD": 500, "SM_GRD": 550, "IW_SLC": 8000, "EW_SLC": 7600, "SM_SLC": 8650, "WV_SLC": 6000,
    "IW_RAW": 1330, "EW_RAW": 1070
}
# fmt: on
_S1_KIND_SIZES = {"GRD": 550, "SLC": 8000, "RAW": 1330, "OCN": 100, "ETA": 100}


def _sentinel1(f: Mapping[str, str]) -> ProductId:
    start, stop = _times(f, "start", "stop")
    orbit, offset = int(f["orbit"]), _S1_OFFSETS.get(f["satellite"])
    code = f["polarisation"]
    mode = "SM" if f["mode"][0] == "S" else f["mode"]
    kind = "SLC" if f["kind"] == "SL1" else f["kind"]  # SL1 is an intermediate SLC; its manifest says SLC
    size = float(_S1_SIZES.get(f"{mode}_{kind}", _S1_KIND_SIZES[kind]))
    if mode != "WV" and code[0] != "D":
        size /= 2
    return ProductId(
        fields=tuple(f.items()),
        collection="S1",
        platform=_platform(f),
        instrument="SAR-C SAR",
        product_type=kind,
        processing_level="L1" if f["level"] == "A" else f"L{f['level']}",
        start=start,
        stop=stop,
        orbit_number=orbit,
        relative_orbit_number=None if offset is None else (orbit - offset) % 175 + 1,
        polarisation=None if code == "__" else _POLARISATIONS.get(code, code),
        sensor_mode=mode,
        typical_size=int(size * (0.72 if f["suffix"] else 1) * _MB),
    )


def _sentinel2(f: Mapping[str, str]) -> ProductId:
    # The discriminator is often near the time of processing, but not defined to be that: `created` stays open.
    start, _ = _times(f, "start", "discriminator")
    _within("zone of the tile", f["tile"][:2], 1, 60)
    return ProductId(
        fields=tuple(f.items()),
        collection="S2",
        platform=_platform(f),
        instrument="MSI",
        product_type=f"S2MSI{f['level'][1:]}",
        processing_level=f["level"].rstrip("p"),
        start=start,
        stop=start,
        relative_orbit_number=_within("relative orbit", f["relative_orbit"], 1, 143),
        tile_id=f["tile"],
        processing_baseline=f"{f['baseline'][:2]}.{f['baseline'][2:]}",
        typical_size=(536 if f["level"] == "L1C" else 900) * _MB,
    )


def _sentinel2_old(f: Mapping[str, str]) -> ProductId:
    created, start, stop = _times(f, "creation", "start", "stop")
    return ProductId(
        fields=tuple(f.items()),
        collection="S2",
        platform=_platform(f),
        instrument="MSI",
        product_type=f"S2MSI{f['level'][1:]}",
        processing_level=f["level"].rstrip("p"),
        start=start,
        stop=stop,
        created=created,
        relative_orbit_number=_within("relative orbit", f["relative_orbit"], 1, 143),
        typical_size=4500 * _MB,  # many tiles
    )


_S3_INSTRUMENTS = {"OL": "OLCI", "SL": "SLSTR", "SR": "SRAL", "SY": "SYNERGY", "MW": "MWR"}
_S3_TIMELINESS = {"NR": "Near Real Time", "ST": "Short Time Critical", "NT": "Non Time Critical"}
# fmt: off
_S3_SIZES = {
    "OL_1_EFR": 700, "OL_1_ERR": 700, "OL_2_LFR": 75, "OL_2_LRR": 185, "OL_2_WFR": 340, "OL_2_WRR": 380,
    "SL_1_RBT": 445, "SL_2_WST": 640, "SL_2_FRP": 72, "SL_2_AOD": 1.5, "SR_1_SRA": 45, "SR_1_SRA_A": 2480,
    "SR_1_SRA_BS": 1715, "SR_2_LAN": 50, "SR_2_LAN_HY": 22, "SR_2_LAN_SI": 39, "SR_2_LAN_LI": 21, "SR_2_WAT": 46,
    "SY_2_SYN": 220, "SY_2_V10": 260, "SY_2_VG1": 85, "SY_2_VGP": 55, "SY_2_AOD": 33
}
# fmt: on


def _sentinel3(f: Mapping[str, str]) -> ProductId:
    start, stop, created = _times(f, "start", "stop", "creation")
    kind = f"{f['sensor']}_{f['level']}_{f['kind']}"
    size = _S3_SIZES.get(kind.rstrip("_"), 200)
    if kind == "SL_2_LST___" and (stop - start).total_seconds() > 1000:
        size = 1900  # whole orbits until 2022, frames of three to five minutes since
    orbit = f["instance"][9:12] if f["instance"][0].isdigit() else None
    return ProductId(
        fields=tuple(f.items()),
        collection="S3",
        platform=_platform(f),
        instrument=_S3_INSTRUMENTS[f["sensor"]],
        product_type=kind,
        processing_level=f"L{f['level']}",
        start=start,
        stop=stop,
        created=created,
        extension=".SEN3",
        relative_orbit_number=None if orbit is None else _within("relative orbit", orbit, 1, 385),
        timeliness=_S3_TIMELINESS.get(f["timeliness"]),
        processing_baseline=f["baseline"],
        typical_size=int(size * _MB),
    )


_S5P_TIMELINESS = {"NRTI": "Near real time", "OFFL": "Offline", "RPRO": "Reprocessing"}
# fmt: off
_S5P_SIZES = {
    "AER_AI": 200, "AER_LH": 100, "CH4": 80, "CLOUD": 300, "CO": 200, "HCHO": 700, "NO2": 500, "NP_BD3": 400,
    "NP_BD6": 400, "NP_BD7": 200, "O3": 300, "SO2": 1000, "RA_BD1": 600, "RA_BD2": 3400, "RA_BD3": 3700,
    "RA_BD4": 3500, "RA_BD5": 3500, "RA_BD6": 3600, "RA_BD7": 1800, "RA_BD8": 1900
}
# fmt: on


def _sentinel5p(f: Mapping[str, str]) -> ProductId:
    start, stop, created = _times(f, "start", "stop", "creation")
    size = _S5P_SIZES.get(f["kind"][4:].rstrip("_"), 200) * _MB
    return ProductId(
        fields=tuple(f.items()),
        collection="S5P",
        platform=_platform(f),
        instrument="TROPOMI",
        product_type=f["kind"],
        processing_level=f["kind"][:3].rstrip("_"),
        start=start,
        stop=stop,
        created=created,
        extension=".nc",
        orbit_number=int(f["orbit"]),
        timeliness=_S5P_TIMELINESS.get(f["stream"]),
        processing_baseline=f["processor"],
        # Near real time comes in pieces of five minutes of an orbit's hundred.
        typical_size=size // 20 if f["stream"] == "NRTI" else size,
    )


_TILE = _a("tile", "[0-9]{2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]", "an MGRS tile such as 31TCJ")
_S3_INSTANCE = _a(
    "instance",
    "(?:[0-9]{4}_[0-9]{3}_[0-9]{3}_(?:[0-9]{4}|____)|(?=[A-Z0-9_]{17})[A-Z][A-Z0-9_]{16}|_{17})",
    "duration_cycle_orbit_frame or an area, 17 characters",
)

_FORMS = (
    _Form(
        "Sentinel-1",
        "S1A_IW_GRDH_1SDV_20240601T055126_20240601T055151_054126_0694C4_5A1B",
        _sentinel1,
        _a("satellite", "S1[A-Z]", "S1A, S1B, S1C ..."),
        "_",
        _a("mode", "(?:IW|EW|WV|EN|N[1-6]|S[1-6]|RF|AI|GP|HK)", "IW, EW, WV, S1 to S6, EN, N1 to N6, RF, AI, GP or HK"),
        "_",
        _a("kind", "(?:RAW|SLC|GRD|OCN|ETA|SL1)", "RAW, SLC, GRD, OCN, ETA or SL1"),
        _a("resolution", "[FHM_]", "F, H, M or _"),
        "_",
        _a("level", "[012A]", "0, 1, 2 or A"),
        _a("product_class", "[SANCX_]", "S, A, N, C, X or _"),
        _a("polarisation", "(?:SH|SV|DH|DV|HH|HV|VV|VH|__)", "SH, SV, DH, DV, HH, HV, VV, VH or __"),
        "_",
        _time("start"),
        "_",
        _time("stop"),
        "_",
        _digits("orbit", 6),
        "_",
        _a("datatake", "[0-9A-F]{6}", "6 hexadecimal digits"),
        "_",
        _a("unique", "[0-9A-F]{4}", "4 hexadecimal digits"),
        _a("suffix", "(?:_COG)?", "_COG or nothing"),
    ),
    _Form(
        "Sentinel-2",
        "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512",
        _sentinel2,
        _a("satellite", "S2[A-Z]", "S2A, S2B, S2C ..."),
        "_MSI",
        _a("level", "(?:L1C|L2Ap|L2A)", "L1C, L2A or L2Ap"),
        "_",
        _time("start"),
        "_N",
        _digits("baseline", 4),
        "_R",
        _digits("relative_orbit", 3),
        "_T",
        _TILE,
        "_",
        _time("discriminator"),
    ),
    _Form(
        "Sentinel-2 (before December 2016)",
        "S2A_OPER_PRD_MSIL1C_PDMC_20160115T190335_R008_V20160115T105406_20160115T105406",
        _sentinel2_old,
        _a("satellite", "S2[A-Z]", "S2A, S2B, S2C ..."),
        "_",
        _a("file_class", "(?:OPER|USER|TEST)", "OPER, USER or TEST"),
        "_PRD_MSI",
        _a("level", "(?:L1B|L1C|L2Ap|L2A)", "L1B, L1C, L2A or L2Ap"),
        "_",
        _a("centre", "[A-Z0-9_]{4}", "4 letters"),
        "_",
        _time("creation"),
        "_R",
        _digits("relative_orbit", 3),
        "_V",
        _time("start"),
        "_",
        _time("stop"),
    ),
    _Form(
        "Sentinel-3",
        "S3A_OL_1_EFR____20240601T093012_20240601T093312_20240601T112345_0179_113_136_2160_PS1_O_NR_004",
        _sentinel3,
        _a("satellite", "S3[A-Z_]", "S3A, S3B, S3C ..."),
        "_",
        _a("sensor", "(?:OL|SL|SR|SY|MW)", "OL, SL, SR, SY or MW"),
        "_",
        _a("level", "[012]", "0, 1 or 2"),
        "_",
        # A leading letter, and no AX (auxiliary) or G (granule) at the end: those are not for users.
        _a("kind", "(?!.{4}AX|.{5}G)[A-Z][A-Z0-9_]{5}", "6 characters such as EFR___"),
        "_",
        _time("start"),
        "_",
        _time("stop"),
        "_",
        _time("creation"),
        "_",
        _S3_INSTANCE,
        "_",
        _a("centre", "[A-Z0-9_]{3}", "3 letters such as MAR"),
        "_",
        _a("platform_class", "[OFDR_]", "O, F, D, R or _"),
        "_",
        _a("timeliness", "(?:NR|ST|NT|AL|__)", "NR, ST, NT, AL or __"),
        "_",
        _a("baseline", "[0-9A-Z_]{3}", "3 characters such as 004"),
    ),
    _Form(
        "Sentinel-5P",
        "S5P_OFFL_L2__NO2____20240601T113245_20240601T131415_34378_03_020600_20240603T033512",
        _sentinel5p,
        _a("satellite", "S5P", "S5P"),
        "_",
        _a("stream", "(?:NRTI|OFFL|RPRO|PAL_|TEST|OPER)", "NRTI, OFFL, RPRO, PAL_, TEST or OPER"),
        "_",
        _a("kind", "(?:L0__|L1B_|L2__)[A-Z0-9_]{6}", "10 characters such as L2__NO2___"),
        "_",
        _time("start"),
        "_",
        _time("stop"),
        "_",
        _digits("orbit", 5),
        "_",
        _digits("baseline", 2),
        "_",
        _digits("processor", 6),
        "_",
        _time("creation"),
    ),
)

_OTHERS = (
    (re.compile("S[1235][A-Z_]_(?:[A-Z0-9]{4}_)?(?:AUX|GIP|LUT|CFG|REF|MPL)_|S3[A-Z_]_.{9}AX_"), "an auxiliary file"),
    (
        re.compile("S2[A-Z]_[A-Z]{4}_MSI_L[0-9A-Z]{2}_(?:TL|TC)_|L[12][AC]_T[0-9]{2}[A-Z]{3}_A"),
        "a granule inside a product",
    ),
    (re.compile("S2[A-Z]_[A-Z]{4}_MSI_L[0-9A-Z]{2}_DS_"), "a datastrip inside a product"),
    (re.compile("S3[A-Z_]_[A-Z]{2}_0_.{5}G_"), "a granule of level 0"),
    (re.compile("S3[A-Z_]_(?:TM|GN|DO)_"), "telemetry of Sentinel-3"),
    (re.compile("S2[A-Z]_T?[0-9]{2}[A-Z]{3}_[0-9]{8}"), "the name of an item in a STAC catalogue, not ESA's"),
)
"""Names that look like those of products, and what they are."""


def _form_of(product: ProductId) -> _Form:
    names = [name for name, _ in product.fields]
    for form in _FORMS:
        if names == form.names:
            return form
    raise ProductIdError(f"No form of identifier has the fields {', '.join(names)}.")


# --- the verbs -------------------------------------------------------------------------------------------------------
def parse(text: str) -> ProductId:
    """The fields of a product identifier.

    Parameters
    ----------
    text
        The identifier; a path before it and an extension after it are ignored.

    Raises
    ------
    ProductIdError
        With the field that is wrong, and the nearest form.
    """
    if not isinstance(text, str):
        raise ProductIdError(f"A product identifier is text, not {type(text).__name__}.")
    name = strip(text)
    for form in _FORMS:
        found = form.regex.fullmatch(name)
        if found is None:
            continue
        try:
            return form.build(found.groupdict())
        except ValueError as error:
            raise ProductIdError(f"{_shown(name)} is no product: {error}.", hint=_reads(form)) from None
    raise _refusal(name)


def format(product: ProductId) -> str:  # noqa: A001 - parse and format are each other's inverse
    """The identifier of the fields, without extension. Raises ProductIdError when they make none.

    ``format(parse(x)) == strip(x)``, and ``parse(format(product)) == product``.
    """
    text = product.id
    if parse(text) != product:
        raise ProductIdError(
            f"The fields make {_shown(text)}, which says something else.", hint="Check the fields changed."
        )
    return text


def strip(text: str) -> str:
    """The last part of a path, without .SAFE, .SEN3, .nc, .zarr and .zip at its end."""
    name = re.split(r"[/\\]", text.rstrip("/\\"))[-1] if "/" in text or "\\" in text else text
    return _EXTENSIONS.sub("", name, count=1)


_EXTENSIONS = re.compile(r"(?:\.(?:SAFE|SEN3|nc|zarr))?(?:\.zip)?\Z", re.IGNORECASE | re.ASCII)


_SPELLINGS = {"1": "S1", "2": "S2", "3": "S3", "5": "S5P", "5p": "S5P", "5precursor": "S5P"}


def collection(text: str) -> str:
    """The collection meant by `s2`, `Sentinel-2`, `S5`, `Sentinel-5 Precursor` ...: one of COLLECTIONS.

    Raises
    ------
    InputError
        When it is none of them.
    """
    if isinstance(text, str) and text.isascii() and len(text) < 40:
        found = re.fullmatch(r"\s*(?:s|sentinel)[-_ ]*([1-5])[-_ ]*(p|precursor)?\s*", text, flags=re.IGNORECASE)
        name = "".join(found.groups("")).lower() if found else ""
        if name in _SPELLINGS:
            return _SPELLINGS[name]
    raise InputError(f"{_shown(text)} is not a collection.", hint=f"The collections are {', '.join(COLLECTIONS)}.")


# --- refusing --------------------------------------------------------------------------------------------------------
def _shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 130 else shown[:127] + "..."


def _reads(form: _Form) -> str:
    return f"An identifier of {form.title} reads {form.example}."


def _refusal(name: str) -> ProductIdError:
    """Why `name` is no product identifier, measured against the form that it follows longest."""
    if not name.strip():
        return ProductIdError("The product identifier is empty.")
    if name != name.strip():
        return ProductIdError(f"{_shown(name)} has white space around it.", hint="Take it away.")
    better = name.upper().replace("MSIL2AP", "MSIL2Ap")
    if better != name and any(form.regex.fullmatch(better) for form in _FORMS):
        return ProductIdError(f"{_shown(name)} has small letters.", hint=f"Did you mean {better}?")
    for pattern, what in _OTHERS:
        if pattern.match(name):
            return ProductIdError(f"{_shown(name)} is {what}, not a product.")
    (_, fault), form = max(((form.first_fault(name), form) for form in _FORMS), key=lambda item: item[0][0])
    if form.first_fault(name)[0] == 0:
        return ProductIdError(f"{_shown(name)} is not the identifier of a Sentinel-1, -2, -3 or -5P product.")
    return ProductIdError(
        f"{_shown(name)} is not the identifier of a {form.title} product: {fault}.", hint=_reads(form)
    )
