"""Made-up Sentinel-3 products in the true format: a .SEN3 folder of netCDF files with its manifest, in a stored zip."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extenso_nb.gateway.sources.sample import netcdf, olci, slstr, world
from extenso_nb.gateway.sources.sample.sen3 import Content, Member, Scene

if TYPE_CHECKING:
    from extenso_nb.gateway.sources.sample.plan import Spec

__all__ = ["TYPES", "Scene", "write"]

TYPES: dict[str, Callable[[Scene], Content]] = {
    "OL_1_EFR___": olci.level_1,
    "OL_2_LFR___": olci.level_2,
    "SL_1_RBT___": slstr.level_1,
    "SL_2_LST___": slstr.level_2,
}
"""Product type -> what draws it. `tuple(TYPES)` are the types offered."""

_INSTRUMENTS = {
    "OL": ("olci", "OLCI", "Ocean Land Colour Instrument"),
    "SL": ("slstr", "SLSTR", "Sea and Land Surface Temperature Radiometer"),
}
_SATELLITES = {"A": "2016-011A", "B": "2018-039A"}


def write(directory: Path, spec: Spec) -> Path:
    """Write the product `spec` names into `directory`.

    Returns
    -------
    Path
        ``<directory>/<id>.SEN3.zip``; the same bytes for the same spec.
    """
    area = world.AREAS[spec.area]
    scene = Scene(spec.id, area.lon, area.lat, spec.cover)
    content = TYPES[scene.product_type](scene)
    files = {member.name: netcdf.to_bytes(member.group) for member in content.members}
    manifest = _manifest(scene, content, files)
    path = Path(directory) / f"{scene.product_id}.SEN3.zip"
    # The quicklook is put beside the product by the archive: the manifest, written before, does not know it.
    _zip(path, scene, {"xfdumanifest.xml": manifest.encode(), "quicklook.jpg": _jpeg(content.picture), **files})
    return path


def _zip(path: Path, scene: Scene, files: Mapping[str, bytes]) -> None:
    stamp = scene.created.timetuple()[:6]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{scene.product_id}.SEN3/{name}", stamp)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, files[name])


def _jpeg(picture: np.ndarray[Any, Any]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


# --- xfdumanifest.xml ------------------------------------------------------------------------------------------------
def _manifest(scene: Scene, content: Content, files: Mapping[str, bytes]) -> str:
    namespace = _INSTRUMENTS[scene.product_type[:2]][0]
    level = scene.product_type[3]
    units = "".join(_unit(member) for member in content.members)
    about = (
        "acquisitionPeriod platform measurementOrbitReference measurementQualityInformation processing measurementFrameSet "
        f"generalProductInformation {namespace}ProductInformation"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:sentinel-safe="http://www.esa.int/safe/sentinel/1.1" '
        'xmlns:gml="http://www.opengis.net/gml" xmlns:sentinel3="http://www.esa.int/safe/sentinel/sentinel-3/1.0" '
        f'xmlns:{namespace}="http://www.esa.int/safe/sentinel/sentinel-3/{namespace}/1.0" '
        f'version="esa/safe/sentinel/sentinel-3/{namespace}/level-{level}/1.0">\n'
        '<informationPackageMap><xfdu:contentUnit ID="packageUnit" unitType="Information Package" '
        f'textInfo="{content.title}" dmdID="{about}" pdiID="processing">\n{units}</xfdu:contentUnit></informationPackageMap>\n'
        f"<metadataSection>\n{_metadata(scene, content, namespace, sum(map(len, files.values())))}</metadataSection>\n"
        f"<dataObjectSection>\n{''.join(_data_object(member, files[member.name]) for member in content.members)}"
        "</dataObjectSection>\n</xfdu:XFDU>\n"
    )


def _unit(member: Member) -> str:
    kind = "Measurement Data Unit" if member.measurement else "Annotation Data Unit"
    unit = member.ident.removesuffix("Data") + "Unit"
    return (
        f'<xfdu:contentUnit ID="{unit}" unitType="{kind}" textInfo="{member.title}">'
        f'<dataObjectPointer dataObjectID="{member.ident}"/></xfdu:contentUnit>\n'
    )


def _data_object(member: Member, data: bytes) -> str:
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return (
        f'<dataObject ID="{member.ident}"><byteStream mimeType="application/x-netcdf" size="{len(data)}">'
        f'<fileLocation locatorType="URL" textInfo="{member.title}" href="./{member.name}"/>'
        f'<checksum checksumName="MD5">{digest}</checksum></byteStream></dataObject>\n'
    )


def _metadata(scene: Scene, content: Content, namespace: str, size: int) -> str:
    positions = " ".join(f"{lat:.6f} {lon:.6f}" for lon, lat in content.ring)
    parts = (
        ("acquisitionPeriod", "DESCRIPTION", "Acquisition Period", _period(scene)),
        ("platform", "DESCRIPTION", "Platform Description", _platform(scene)),
        ("processing", "PROVENANCE", "Processing", _processing(scene)),
        (
            "measurementFrameSet", "DESCRIPTION", "Frame Set",
            "<sentinel-safe:frameSet>"
            '<sentinel-safe:footPrint srsName="http://www.opengis.net/def/crs/EPSG/0/4326">'
            f"<gml:posList>{positions}</gml:posList></sentinel-safe:footPrint></sentinel-safe:frameSet>",
        ),
        ("measurementOrbitReference", "DESCRIPTION", "Orbit Reference", _orbit(scene)),
        (
            "measurementQualityInformation", "DESCRIPTION", "Quality Information",
            "<sentinel-safe:qualityInformation><sentinel-safe:extension><sentinel3:productQuality>"
            "<sentinel3:onlineQualityCheck>PASSED</sentinel3:onlineQualityCheck>"
            "</sentinel3:productQuality></sentinel-safe:extension></sentinel-safe:qualityInformation>",
        ),
        ("generalProductInformation", "DESCRIPTION", "General Product Information", _general(scene, size)),
        (
            f"{namespace}ProductInformation", "DESCRIPTION", f"{namespace.capitalize()} Product Information",
            content.information,
        ),
    )  # fmt: skip
    return "".join(
        f'<metadataObject ID="{ident}" classification="{kind}" category="{"PDI" if kind == "PROVENANCE" else "DMD"}">'
        f'<metadataWrap mimeType="text/xml" vocabularyName="Sentinel-SAFE" textInfo="{title}">'
        f"<xmlData>{body}</xmlData></metadataWrap></metadataObject>\n"
        for ident, kind, title, body in parts
    )


def _period(scene: Scene) -> str:
    return (
        "<sentinel-safe:acquisitionPeriod>"
        f"<sentinel-safe:startTime>{scene.start:%Y-%m-%dT%H:%M:%S.%fZ}</sentinel-safe:startTime>"
        f"<sentinel-safe:stopTime>{scene.stop:%Y-%m-%dT%H:%M:%S.%fZ}</sentinel-safe:stopTime>"
        "</sentinel-safe:acquisitionPeriod>"
    )


def _platform(scene: Scene) -> str:
    _, short, name = _INSTRUMENTS[scene.product_type[:2]]
    identifier = _SATELLITES.get(scene.unit, "")
    return (
        f"<sentinel-safe:platform><sentinel-safe:nssdcIdentifier>{identifier}</sentinel-safe:nssdcIdentifier>"
        "<sentinel-safe:familyName>Sentinel-3</sentinel-safe:familyName>"
        f"<sentinel-safe:number>{scene.unit}</sentinel-safe:number><sentinel-safe:instrument>"
        f'<sentinel-safe:familyName abbreviation="{short}">{name}</sentinel-safe:familyName>'
        '<sentinel-safe:mode identifier="EO">Earth Observation</sentinel-safe:mode>'
        "</sentinel-safe:instrument></sentinel-safe:platform>"
    )


def _processing(scene: Scene) -> str:
    level = scene.product_type[3]
    return (
        f'<sentinel-safe:processing name="DataProcessing" outputLevel="{level}" '
        f'start="{scene.created:%Y-%m-%dT%H:%M:%S.%f}" stop="{scene.created:%Y-%m-%dT%H:%M:%S.%f}">'
        f'<sentinel-safe:facility name="Made-up sample archive [{scene.centre}]" organisation="extenso-nb">'
        '<sentinel-safe:software name="extenso-nb"/></sentinel-safe:facility></sentinel-safe:processing>'
    )


def _orbit(scene: Scene) -> str:
    way = 'type="start" groundTrackDirection="descending"'
    numbers = (
        ("orbitNumber", scene.orbit),
        ("relativeOrbitNumber", scene.relative_orbit),
        ("passNumber", 2 * scene.orbit),
        ("relativePassNumber", 2 * scene.relative_orbit),
    )
    listed = "".join(f"<sentinel-safe:{name} {way}>{value}</sentinel-safe:{name}>" for name, value in numbers)
    cycle = f"<sentinel-safe:cycleNumber>{scene.cycle}</sentinel-safe:cycleNumber>"
    phase = "<sentinel-safe:phaseIdentifier>1</sentinel-safe:phaseIdentifier>"
    return f"<sentinel-safe:orbitReference>{listed}{cycle}{phase}</sentinel-safe:orbitReference>"


def _general(scene: Scene, size: int) -> str:
    return (
        "<sentinel3:generalProductInformation>"
        f"<sentinel3:productName>{scene.product_id}.SEN3</sentinel3:productName>"
        f"<sentinel3:productType>{scene.product_type}</sentinel3:productType>"
        f"<sentinel3:timeliness>{scene.timeliness}</sentinel3:timeliness>"
        f"<sentinel3:baselineCollection>{scene.collection}</sentinel3:baselineCollection>"
        f"<sentinel3:creationTime>{scene.created:%Y%m%dT%H%M%S}</sentinel3:creationTime>"
        f"<sentinel3:productSize>{size}</sentinel3:productSize>"
        "<sentinel3:dispositionMode>Operational</sentinel3:dispositionMode>"
        f"<sentinel3:productUnit><sentinel3:type>FRAME</sentinel3:type><sentinel3:duration>{scene.duration}</sentinel3:duration>"
        f"<sentinel3:alongtrackCoordinate>{scene.frame}</sentinel3:alongtrackCoordinate></sentinel3:productUnit>"
        "</sentinel3:generalProductInformation>"
    )
