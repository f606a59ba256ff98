"""The products of the sample archive: which, where, when and how cloudy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from extenso_nb.gateway.sources.sample import sentinel3, sentinel5p

__all__ = ["Spec", "products"]


@dataclass(frozen=True, slots=True)
class Spec:
    """One product to draw."""

    id: str
    """Identifier without extension."""
    area: str
    """Key of `world.AREAS`."""
    begin: datetime
    end: datetime
    """Sensing, UTC."""
    product_type: str
    cover: float = 0.0
    """Share of cloud, 0 to 1; 0 for radar."""
    orbit: int = 0
    relative_orbit: int = 0
    direction: str = "descending"
    edge: bool = False
    """The swath ends within the scene: a corner has no data."""

    @property
    def seed(self) -> int:
        """A number of the product's own, from its identifier."""
        return int.from_bytes(hashlib.blake2b(self.id.encode(), digest_size=6).digest(), "big")

    @property
    def created(self) -> datetime:
        """When the product was made: as its name says, or for Sentinel-1 a few hours after sensing."""
        tail = self.id.rsplit("_", 1)[1]
        if self.id.startswith(("S2", "S5P")):
            return _at(tail)
        if self.id.startswith("S3"):
            return _at(self.id[48:63])
        return (self.end + timedelta(hours=3, seconds=self.seed % 5400)).replace(microsecond=0)


def _at(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


def _compact(when: datetime) -> str:
    return f"{when:%Y%m%dT%H%M%S}"


def _near(when: datetime, anchor: str, orbit: int, minutes: float, relative: int, offset: int, cycle: int) -> int:
    """Absolute orbit with this relative number nearest in time, counted from a known pass."""
    guess = orbit + (when - _at(anchor)).total_seconds() / 60 / minutes
    first = (relative - offset) % cycle
    return first + cycle * round((guess - first) / cycle)


# --- Sentinel-2 ------------------------------------------------------------------------------------------------------
# A pass of each unit whose numbers are public; ten days are 143 orbits.
_S2 = {"S2A": ("20230625T234621", 41826, 3), "S2B": ("20220413T150759", 26649, 117)}
_S2_PASSES = (
    # unit, sensing, relative orbit, tile, area, cloud, levels, swath edge
    ("S2B", "20240504T105029", 51, "31TCJ", "lauragais", 0.08, "2A", False),
    ("S2B", "20240524T105029", 51, "31TCJ", "lauragais", 0.36, "2A", False),
    ("S2A", "20240608T105031", 51, "31TCJ", "lauragais", 0.03, "1C 2A", False),
    ("S2A", "20240618T105031", 51, "31TCJ", "lauragais", 0.62, "2A", False),
    ("S2A", "20240628T105031", 51, "31TCJ", "lauragais", 0.12, "1C 2A", False),
    ("S2B", "20240508T103029", 108, "31TFJ", "camargue", 0.15, "2A", False),
    ("S2A", "20240523T103031", 108, "31TFJ", "camargue", 0.47, "2A", False),
    ("S2B", "20240607T103029", 108, "31TFJ", "camargue", 0.02, "1C 2A", False),
    ("S2A", "20240622T103031", 108, "31TFJ", "camargue", 0.19, "2A", False),
    ("S2A", "20240509T105031", 51, "33WVR", "lofoten", 0.25, "2A", False),
    ("S2A", "20240529T105031", 51, "33WVR", "lofoten", 0.10, "1C 2A", False),
    ("S2B", "20240613T105029", 51, "33WVR", "lofoten", 0.55, "2A", True),
    ("S2A", "20240628T105031", 51, "33WVR", "lofoten", 0.06, "2A", False),
)


def _sentinel2() -> list[Spec]:
    out = []
    for unit, sensing, relative, tile, area, cover, levels, edge in _S2_PASSES:
        begin = _at(sensing)
        anchor, orbit, offset = _S2[unit]
        number = _near(begin, anchor, orbit, 14400 / 143, relative, offset, 143)
        for level in levels.split():
            lag = timedelta(hours=2 if level == "1C" else 5, seconds=int(cover * 3000) + relative)
            ident = f"{unit}_MSIL{level}_{sensing}_N0510_R{relative:03d}_T{tile}_{_compact(begin + lag)}"
            begin_ms = begin + timedelta(milliseconds=24)
            kind = f"S2MSI{level}"
            out.append(Spec(ident, area, begin_ms, begin_ms, kind, cover, number, relative, edge=edge))
    return out


# --- Sentinel-1 ------------------------------------------------------------------------------------------------------
_S1_PASSES = (
    ("20240517T060012", 110, "descending", "lauragais"),
    ("20240523T175526", 30, "ascending", "lauragais"),
    ("20240610T060013", 110, "descending", "lauragais"),
    ("20240616T175527", 30, "ascending", "lauragais"),
    ("20240507T054335", 139, "descending", "camargue"),
    ("20240531T054336", 139, "descending", "camargue"),
    ("20240624T054335", 139, "descending", "camargue"),
    ("20240505T055334", 110, "descending", "lofoten"),
    ("20240529T055335", 110, "descending", "lofoten"),
    ("20240622T055334", 110, "descending", "lofoten"),
)


def _sentinel1() -> list[Spec]:
    out = []
    for start, relative, direction, area in _S1_PASSES:
        begin = _at(start)
        end = begin + timedelta(seconds=1)
        number = _near(begin, "20230310T075602", 47579, 17280 / 175, relative, -72, 175)
        take = number * 8 - 0x1A  # data takes go up by some eight an orbit
        check = hashlib.blake2b(f"{start} {area}".encode(), digest_size=2).hexdigest().upper()
        ident = f"S1A_IW_GRDH_1SDV_{_compact(begin)}_{_compact(end)}_{number:06d}_{take:06X}_{check}"
        out.append(Spec(ident, area, begin, end, "GRD", 0.0, number, relative, direction))
    return out


# --- Sentinel-3 ------------------------------------------------------------------------------------------------------
_S3_PASSES = (
    # type, unit, start, seconds, cycle, relative orbit, frame, area, cloud, timeliness, centre
    ("OL_1_EFR___", "A", "20240508T101512", 180, 112, 79, 2160, "camargue", 0.22, "PS1_O_NT_004"),
    ("OL_1_EFR___", "B", "20240607T102233", 180, 94, 36, 2160, "lauragais", 0.12, "PS2_O_NT_004"),
    ("OL_2_LFR___", "B", "20240607T102233", 180, 94, 36, 2160, "lauragais", 0.12, "PS2_O_NT_002"),
    ("OL_2_LFR___", "A", "20240628T095821", 180, 114, 22, 1800, "lofoten", 0.30, "PS1_O_NT_002"),
    ("SL_1_RBT___", "A", "20240522T101044", 180, 112, 279, 2160, "camargue", 0.18, "PS1_O_NT_004"),
    ("SL_2_LST___", "A", "20240522T101044", 180, 112, 279, 2160, "camargue", 0.18, "PS1_O_NT_004"),
    ("SL_2_LST___", "B", "20240613T104127", 180, 94, 122, 2160, "lauragais", 0.35, "PS2_O_NT_004"),
    ("SL_2_LST___", "B", "20240626T094512", 180, 94, 307, 1800, "lofoten", 0.40, "PS2_O_NT_004"),
)


def _sentinel3() -> list[Spec]:
    out = []
    for kind, unit, start, seconds, cycle, relative, frame, area, cover, tail in _S3_PASSES:
        if kind not in sentinel3.TYPES:
            continue
        begin = _at(start)
        end = begin + timedelta(seconds=seconds)
        created = begin + timedelta(hours=27, seconds=relative)
        ident = (
            f"S3{unit}_{kind}_{_compact(begin)}_{_compact(end)}_{_compact(created)}"
            f"_{seconds:04d}_{cycle:03d}_{relative:03d}_{frame}_{tail}"
        )
        out.append(Spec(ident, area, begin, end, kind, cover, relative_orbit=relative))
    return out


# --- Sentinel-5P -----------------------------------------------------------------------------------------------------
_S5P_PASSES = (
    ("L2__NO2___", "20240504T121500", 34005, "lauragais", 0.30, "020600"),
    ("L2__NO2___", "20240622T120200", 34700, "camargue", 0.20, "020600"),
    ("L2__CO____", "20240523T122000", 34274, "camargue", 0.45, "020600"),
    ("L2__O3____", "20240608T121800", 34501, "lauragais", 0.25, "020600"),
    ("L2__CH4___", "20240628T113500", 34785, "lofoten", 0.35, "020600"),
    ("L2__SO2___", "20240529T113000", 34359, "lofoten", 0.40, "020601"),
)


def _sentinel5p() -> list[Spec]:
    out = []
    for kind, start, number, area, cover, processor in _S5P_PASSES:
        if kind not in sentinel5p.TYPES:
            continue
        begin = _at(start)
        end = begin + timedelta(minutes=5)
        created = begin + timedelta(minutes=52, seconds=number % 60)
        ident = f"S5P_NRTI_{kind}_{_compact(begin)}_{_compact(end)}_{number:05d}_03_{processor}_{_compact(created)}"
        out.append(Spec(ident, area, begin, end, kind, cover, number))
    return out


def products() -> tuple[Spec, ...]:
    """Every product of the archive, sorted by identifier."""
    return tuple(sorted((*_sentinel2(), *_sentinel1(), *_sentinel3(), *_sentinel5p()), key=lambda spec: spec.id))
