"""SAFE products of the sample archive: members, manifest entries and the stored zip they travel in."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

__all__ = ["Member", "data_objects", "metadata_object", "stamp", "write_zip"]


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a product."""

    path: str
    """Below the product's root folder, posix."""
    data: bytes
    ident: str = ""
    """`dataObject` ID in the manifest; empty for a file that the manifest does not list."""
    mime: str = "application/octet-stream"
    rep: str = ""
    """`repID` of Sentinel-1; empty where there is none."""


def stamp(when: datetime) -> str:
    """Time as manifests write it, to the millisecond."""
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"


def data_objects(members: Iterable[Member], checksum: str) -> str:
    """The `dataObject` elements; `checksum` is ``"MD5"`` or ``"SHA3-256"``."""
    parts = []
    for member in members:
        if not member.ident:
            continue
        if checksum == "MD5":
            digest = hashlib.md5(member.data, usedforsecurity=False).hexdigest()
        else:
            digest = hashlib.sha3_256(member.data).hexdigest().upper()
        rep = f' repID="{member.rep}"' if member.rep else ""
        parts.append(
            f'    <dataObject ID="{member.ident}"{rep}>\n'
            f'      <byteStream mimeType="{member.mime}" size="{len(member.data)}">\n'
            f'        <fileLocation locatorType="URL" href="./{member.path}"/>\n'
            f'        <checksum checksumName="{checksum}">{digest}</checksum>\n'
            "      </byteStream>\n    </dataObject>\n"
        )
    return "".join(parts)


def metadata_object(ident: str, title: str, body: str, *, kind: str = "DESCRIPTION") -> str:
    """One `metadataObject` with its content inside."""
    category = "PDI" if kind == "PROVENANCE" else "DMD"
    return (
        f'    <metadataObject ID="{ident}" classification="{kind}" category="{category}">\n'
        f'      <metadataWrap mimeType="text/xml" vocabularyName="Sentinel-SAFE" textInfo="{title}">\n'
        f"        <xmlData>{body}</xmlData>\n      </metadataWrap>\n    </metadataObject>\n"
    )


def write_zip(path: Path, root: str, members: Iterable[Member], when: datetime) -> Path:
    """Stored zip with one root folder; the same members give the same bytes.

    The file gets its name only when it is whole.
    """
    part = path.with_name(path.name + ".part")
    moment = (when.year, when.month, when.day, when.hour, when.minute, when.second)
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for member in sorted(members, key=lambda m: (m.path != "manifest.safe", m.path)):
            entry = zipfile.ZipInfo(f"{root}/{member.path}", moment)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            archive.writestr(entry, member.data)
    part.replace(path)
    return path
