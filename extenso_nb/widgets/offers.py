"""What the form offers: missions, their product types and filters, orders of the list, spans of days."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, NamedTuple

from extenso_nb.errors import InputError

__all__ = [
    "CLOUDLESS",
    "CLOUDY",
    "COLLECTIONS",
    "FILTERS",
    "PAGE_SIZES",
    "PRESETS",
    "PRODUCT_TYPES",
    "SORTS",
    "Filter",
    "belongs",
    "check",
    "preset",
    "sorts",
]

COLLECTIONS: dict[str, str] = {"S1": "Radar", "S2": "Optical", "S3": "Ocean and land", "S5P": "Atmosphere"}
"""Missions that can be chosen, each with what it looks at."""

PRODUCT_TYPES: dict[str, tuple[tuple[str, str], ...]] = {
    "S1": (("GRD", "GRD: detected"), ("SLC", "SLC: complex"), ("OCN", "OCN: ocean"), ("RAW", "RAW: level 0")),
    "S2": (("S2MSI2A", "L2A: surface"), ("S2MSI1C", "L1C: top of atmosphere")),
    "S3": (
        ("OL_1_EFR___", "OLCI L1 full resolution"),
        ("OL_1_ERR___", "OLCI L1 reduced"),
        ("OL_2_LFR___", "OLCI L2 land"),
        ("OL_2_WFR___", "OLCI L2 water"),
        ("SL_1_RBT___", "SLSTR L1 radiances"),
        ("SL_2_LST___", "SLSTR L2 land temperature"),
        ("SR_2_LAN___", "SRAL L2 land"),
        ("SY_2_SYN___", "Synergy L2 surface"),
    ),
    "S5P": (
        ("L2__NO2___", "NO2"),
        ("L2__O3____", "O3"),
        ("L2__CO____", "CO"),
        ("L2__CH4___", "CH4"),
        ("L2__SO2___", "SO2"),
        ("L2__HCHO__", "HCHO"),
        ("L2__AER_AI", "aerosol index"),
        ("L2__CLOUD_", "cloud"),
    ),
}
"""Product types offered for each mission: value of `producttype`, and what to call it."""

CLOUDY = frozenset({"S2", "S3"})
"""Missions whose products have a cloud figure. Asking others for one would find nothing."""

CLOUDLESS: dict[str, str] = {"S1": "not for radar", "S5P": "no figure"}
"""Why the products of the other missions are not asked for their cloud."""


class Filter(NamedTuple):
    """One more condition: its argument of `query.build`, its label, and its values; without values it is free text.

    `most` is the highest number that can be, where the value is a number that counts from 1.
    """

    name: str
    label: str
    values: tuple[tuple[str, str], ...] = ()
    example: str = ""
    most: int = 0


_DIRECTION = Filter("orbit_direction", "Pass", (("ASCENDING", "Ascending"), ("DESCENDING", "Descending")))
_TIMELINESS_S3 = Filter(
    "timeliness",
    "Timeliness",
    (("NR", "Near real time"), ("ST", "Short time critical"), ("NT", "Non time critical")),
)
_TIMELINESS_S5P = Filter(
    "timeliness",
    "Timeliness",
    (("Near real time", "Near real time"), ("Offline", "Offline"), ("Reprocessing", "Reprocessed")),
)


def _orbit(most: int) -> Filter:
    """The orbits of a cycle, after which the satellite flies the same tracks again."""
    return Filter("relative_orbit", "Relative orbit", example="94", most=most)


def _platforms(mission: str, letters: str) -> Filter:
    return Filter("platform", "Satellite", tuple((f"{mission}{letter}", f"{mission}{letter}") for letter in letters))


FILTERS: dict[str, tuple[Filter, ...]] = {
    "S1": (
        _platforms("S1", "ABCD"),
        Filter(
            "sensor_mode",
            "Mode",
            (("IW", "IW: wide"), ("EW", "EW: extra wide"), ("SM", "SM: strip"), ("WV", "WV: waves")),
        ),
        Filter(
            "polarisation",
            "Polarisation",
            (
                ("VV VH", "VV + VH"),
                ("HH HV", "HH + HV"),
                ("VV", "VV, alone or with VH"),
                ("HH", "HH, alone or with HV"),
            ),
        ),
        _DIRECTION,
        _orbit(175),
    ),
    "S2": (_platforms("S2", "ABC"), Filter("tile", "Tile", example="31TCJ"), _DIRECTION, _orbit(143)),
    "S3": (_platforms("S3", "AB"), _TIMELINESS_S3, _DIRECTION, _orbit(385)),
    "S5P": (_TIMELINESS_S5P, Filter("processing_level", "Level", (("L1B", "L1B"), ("L2", "L2")))),
}
"""Conditions that the products of a mission have, beyond type, days and cloud."""

SORTS: tuple[tuple[str, str], ...] = (
    ("", "Newest in the archive"),
    ("beginposition desc", "Latest picture"),
    ("beginposition asc", "Earliest picture"),
    ("cloudcoverpercentage asc", "Least cloud"),
)
"""Orders of the list: value of `orderby`, and what to call it."""

PAGE_SIZES = (25, 50, 100)
"""How many products are asked for at a time."""

PRESETS: tuple[tuple[str, int], ...] = (("7 days", 7), ("30 days", 30), ("1 year", 365))
"""Spans of days that end today."""


def preset(days: int, today: date) -> tuple[str, str]:
    """First and last day of a span that ends today, both included."""
    return (today - timedelta(days=days - 1)).isoformat(), today.isoformat()


def sorts(mission: str) -> tuple[tuple[str, str], ...]:
    """The orders that make sense for a mission: not by cloud where there is no figure for it."""
    return tuple(item for item in SORTS if mission in CLOUDY or not item[0].startswith("cloud"))


def belongs(product_type: str, mission: str) -> bool:
    """Whether a type may stay when a mission is chosen: one that another mission lists would find nothing."""
    others = (value for name, types in PRODUCT_TYPES.items() if name != mission for value, _ in types)
    return product_type not in others or product_type in dict(PRODUCT_TYPES[mission])


def check(mission: str, name: str, text: str) -> None:
    """Raise InputError, with what is wrong and how to write it, for a value that a condition of a mission cannot have."""
    from extenso_nb import query

    condition = next((item for item in FILTERS[mission] if item.name == name), None)
    if condition is None:
        raise InputError(f"{mission} has no condition {name!r}.", hint="Choose another mission, or leave it out.")
    if not text.strip():
        return
    if not condition.most:
        arguments: dict[str, Any] = {name: text}
        query.build(**arguments)
        return
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal()):
        raise InputError(
            f"{condition.label}: {digits[:40]!r} is no whole number.", hint=f"Write digits only: {condition.example}."
        )
    if len(digits) > 9 or not 1 <= int(digits) <= condition.most:
        raise InputError(
            f"{condition.label}: {digits[:40]} is not within 1 to {condition.most}.",
            hint=f"The orbits of {mission} count from 1 to {condition.most}.",
        )
