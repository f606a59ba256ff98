"""Metadata of the made-up Sentinel-1 products: annotation, calibration and noise XML, map overlay and the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from extenso_nb.gateway.sources.sample.noise import Floats
from extenso_nb.gateway.sources.sample.safe import Member, data_objects, metadata_object

if TYPE_CHECKING:
    from extenso_nb.gateway.sources.sample.plan import Spec

__all__ = ["Facts", "annotation_files", "manifest", "overlay"]


@dataclass(frozen=True)
class Facts:
    """What the annotation says of one image."""

    spec: Spec
    pol: str
    image: int
    middle: datetime
    first: datetime
    last: datetime
    line_seconds: float
    lines: int
    pixels: int
    spacing: float
    heading: float
    grid: dict[str, Floats]
    grid_times: Floats
    """Seconds after `middle` of each node."""
    slant_times: Floats
    """Two-way travel time of each node, s."""
    to_slant: Floats
    to_ground: Floats
    orbit: list[tuple[float, Floats, Floats]]
    luts: dict[str, Floats]
    noise: Floats
    mean: float
    deviation: float

    @property
    def name(self) -> str:
        """File name without extension."""
        unit, _, _, _, begin, end, orbit, take, _ = self.spec.id.lower().split("_")
        return f"{unit}-iw-grd-{self.pol.lower()}-{begin}-{end}-{orbit}-{take}-{self.image:03d}"

    @property
    def ident(self) -> str:
        """ID of the measurement's data object."""
        return self.name.replace("-", "")


def _utc(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S.%f}"


def _row(values: Iterable[float], form: str = ".6e") -> str:
    return " ".join(format(value, form) for value in values)


def annotation_files(facts: Facts) -> list[Member]:
    """Annotation, noise and calibration of one image."""
    folder = "annotation/calibration"
    return [
        Member(
            f"annotation/{facts.name}.xml",
            _annotation(facts).encode(),
            f"product{facts.ident}",
            "text/xml",
            "s1Level1ProductSchema",
        ),
        Member(
            f"{folder}/noise-{facts.name}.xml",
            _noise(facts).encode(),
            f"noise{facts.ident}",
            "text/xml",
            "s1Level1NoiseSchema",
        ),
        Member(
            f"{folder}/calibration-{facts.name}.xml",
            _calibration(facts).encode(),
            f"calibration{facts.ident}",
            "text/xml",
            "s1Level1CalibrationSchema",
        ),
    ]


def _header(facts: Facts) -> str:
    spec = facts.spec
    return (
        f"  <adsHeader>\n    <missionId>{spec.id[:3]}</missionId>\n    <productType>GRD</productType>\n"
        f"    <polarisation>{facts.pol}</polarisation>\n    <mode>IW</mode>\n    <swath>IW</swath>\n"
        f"    <startTime>{_utc(facts.first)}</startTime>\n    <stopTime>{_utc(facts.last)}</stopTime>\n"
        f"    <absoluteOrbitNumber>{spec.orbit}</absoluteOrbitNumber>\n"
        f"    <missionDataTakeId>{int(spec.id.split('_')[7], 16)}</missionDataTakeId>\n"
        f"    <imageNumber>{facts.image:03d}</imageNumber>\n  </adsHeader>\n"
    )


def _annotation(facts: Facts) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<product>\n'
        + _header(facts)
        + "  <qualityInformation>\n    <productQualityIndex>0.0</productQualityIndex>\n"
        + '    <qualityDataList count="0"/>\n  </qualityInformation>\n'
        + _general(facts)
        + _image(facts)
        + '  <dopplerCentroid>\n    <dcEstimateList count="0"/>\n  </dopplerCentroid>\n'
        + '  <antennaPattern>\n    <antennaPatternList count="0"/>\n  </antennaPattern>\n'
        + _merging(facts)
        + _grid(facts)
        + _conversion(facts)
        + "</product>\n"
    )


def _general(facts: Facts) -> str:
    states = "".join(
        f"      <orbit>\n        <time>{_utc(facts.middle + timedelta(seconds=seconds))}</time>\n"
        "        <frame>Earth Fixed</frame>\n"
        f"        <position>\n          <x>{position[0]:.9e}</x>\n          <y>{position[1]:.9e}</y>\n"
        f"          <z>{position[2]:.9e}</z>\n        </position>\n"
        f"        <velocity>\n          <x>{velocity[0]:.9e}</x>\n          <y>{velocity[1]:.9e}</y>\n"
        f"          <z>{velocity[2]:.9e}</z>\n        </velocity>\n      </orbit>\n"
        for seconds, position, velocity in facts.orbit
    )
    heading = facts.heading - 360 if facts.heading > 180 else facts.heading
    return (
        "  <generalAnnotation>\n    <productInformation>\n"
        f"      <pass>{facts.spec.direction.capitalize()}</pass>\n      <timelinessCategory>NRT-3h</timelinessCategory>\n"
        f"      <platformHeading>{heading:.15e}</platformHeading>\n      <projection>Ground Range</projection>\n"
        "      <rangeSamplingRate>6.434523812571428e+07</rangeSamplingRate>\n"
        "      <radarFrequency>5.405000454334350e+09</radarFrequency>\n"
        "      <azimuthSteeringRate>1.590368784000000e+00</azimuthSteeringRate>\n    </productInformation>\n"
        f'    <orbitList count="{len(facts.orbit)}">\n{states}    </orbitList>\n  </generalAnnotation>\n'
    )


def _image(facts: Facts) -> str:
    incidence = facts.grid["incidence"]
    middle = incidence[incidence.shape[0] // 2, incidence.shape[1] // 2]
    node = facts.first - timedelta(seconds=1925)
    return (
        "  <imageAnnotation>\n    <imageInformation>\n"
        f"      <productFirstLineUtcTime>{_utc(facts.first)}</productFirstLineUtcTime>\n"
        f"      <productLastLineUtcTime>{_utc(facts.last)}</productLastLineUtcTime>\n"
        f"      <ascendingNodeTime>{_utc(node)}</ascendingNodeTime>\n      <anchorTime>{_utc(facts.first)}</anchorTime>\n"
        "      <productComposition>Individual</productComposition>\n      <sliceNumber>0</sliceNumber>\n"
        f'      <sliceList count="0"/>\n      <slantRangeTime>{facts.slant_times[0, 0]:.15e}</slantRangeTime>\n'
        "      <pixelValue>Detected</pixelValue>\n      <outputPixels>16 bit Unsigned Integer</outputPixels>\n"
        f"      <rangePixelSpacing>{facts.spacing:.6e}</rangePixelSpacing>\n"
        f"      <azimuthPixelSpacing>{facts.spacing:.6e}</azimuthPixelSpacing>\n"
        f"      <azimuthTimeInterval>{facts.line_seconds:.15e}</azimuthTimeInterval>\n"
        f"      <azimuthFrequency>{1 / facts.line_seconds:.15e}</azimuthFrequency>\n"
        f"      <numberOfSamples>{facts.pixels}</numberOfSamples>\n      <numberOfLines>{facts.lines}</numberOfLines>\n"
        f"      <zeroDopMinusAcqTime>0.0</zeroDopMinusAcqTime>\n"
        f"      <incidenceAngleMidSwath>{middle:.15e}</incidenceAngleMidSwath>\n      <imageStatistics>\n"
        f"        <outputDataMean>\n          <re>{facts.mean:.6e}</re>\n          <im>0.000000e+00</im>\n"
        "        </outputDataMean>\n"
        f"        <outputDataStdDev>\n          <re>{facts.deviation:.6e}</re>\n          <im>0.000000e+00</im>\n"
        "        </outputDataStdDev>\n      </imageStatistics>\n    </imageInformation>\n  </imageAnnotation>\n"
    )


def _merging(facts: Facts) -> str:
    return (
        '  <swathMerging>\n    <swathMergeList count="1">\n      <swathMerge>\n        <swath>IW2</swath>\n'
        '        <swathBoundsList count="1">\n          <swathBounds>\n'
        f"            <azimuthTime>{_utc(facts.first)}</azimuthTime>\n"
        "            <firstAzimuthLine>0</firstAzimuthLine>\n            <firstRangeSample>0</firstRangeSample>\n"
        f"            <lastAzimuthLine>{facts.lines - 1}</lastAzimuthLine>\n"
        f"            <lastRangeSample>{facts.pixels - 1}</lastRangeSample>\n"
        "          </swathBounds>\n        </swathBoundsList>\n      </swathMerge>\n    </swathMergeList>\n  </swathMerging>\n"
    )


def _grid(facts: Facts) -> str:
    names = ("line", "pixel", "lat", "lon", "incidence", "elevation")
    columns = [facts.grid_times.ravel(), facts.slant_times.ravel(), *(facts.grid[name].ravel() for name in names)]
    points = "".join(
        "      <geolocationGridPoint>\n"
        f"        <azimuthTime>{_utc(facts.middle + timedelta(seconds=float(at)))}</azimuthTime>\n"
        f"        <slantRangeTime>{slant:.15e}</slantRangeTime>\n        <line>{line:.0f}</line>\n"
        f"        <pixel>{pixel:.0f}</pixel>\n        <latitude>{lat:.15e}</latitude>\n"
        f"        <longitude>{lon:.15e}</longitude>\n        <height>0.000000000000000e+00</height>\n"
        f"        <incidenceAngle>{incidence:.15e}</incidenceAngle>\n"
        f"        <elevationAngle>{elevation:.15e}</elevationAngle>\n      </geolocationGridPoint>\n"
        for at, slant, line, pixel, lat, lon, incidence, elevation in zip(*columns, strict=True)
    )
    return (
        f'  <geolocationGrid>\n    <geolocationGridPointList count="{facts.grid["line"].size}">\n{points}'
        "    </geolocationGridPointList>\n  </geolocationGrid>\n"
    )


def _conversion(facts: Facts) -> str:
    start = float(facts.to_slant[0])
    entry = "".join(
        f"      <coordinateConversion>\n        <azimuthTime>{_utc(when)}</azimuthTime>\n"
        f"        <slantRangeTime>{facts.slant_times[0, 0]:.15e}</slantRangeTime>\n        <sr0>{start:.15e}</sr0>\n"
        f'        <srgrCoefficients count="{len(facts.to_ground)}">{_row(facts.to_ground, ".15e")}</srgrCoefficients>\n'
        "        <gr0>0.000000000000000e+00</gr0>\n"
        f'        <grsrCoefficients count="{len(facts.to_slant)}">{_row(facts.to_slant, ".15e")}</grsrCoefficients>\n'
        "      </coordinateConversion>\n"
        for when in (facts.first, facts.last)
    )
    return (
        f'  <coordinateConversion>\n    <coordinateConversionList count="2">\n{entry}'
        "    </coordinateConversionList>\n  </coordinateConversion>\n"
    )


def _vectors(facts: Facts, tag: str, columns: dict[str, Floats]) -> str:
    pixel = _row(facts.luts["pixel"], ".0f")
    count = len(facts.luts["pixel"])
    listed = "".join(f'      <{name} count="{count}">{_row(lut)}</{name}>\n' for name, lut in columns.items())
    vectors = "".join(
        f"    <{tag}>\n      <azimuthTime>{_utc(when)}</azimuthTime>\n      <line>{line}</line>\n"
        f'      <pixel count="{count}">{pixel}</pixel>\n{listed}    </{tag}>\n'
        for when, line in ((facts.first, 0), (facts.last, facts.lines - 1))
    )
    return f'  <{tag}List count="2">\n{vectors}  </{tag}List>\n'


def _calibration(facts: Facts) -> str:
    columns = {name: lut for name, lut in facts.luts.items() if name != "pixel"}
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<calibration>\n'
        + _header(facts)
        + "  <calibrationInformation>\n    <absoluteCalibrationConstant>1.000000e+00</absoluteCalibrationConstant>\n"
        + "  </calibrationInformation>\n"
        + _vectors(facts, "calibrationVector", columns)
        + "</calibration>\n"
    )


def _noise(facts: Facts) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<noise>\n'
        + _header(facts)
        + _vectors(facts, "noiseRangeVector", {"noiseRangeLut": facts.noise})
        + '  <noiseAzimuthVectorList count="1">\n    <noiseAzimuthVector>\n      <swath>IW2</swath>\n'
        + "      <firstAzimuthLine>0</firstAzimuthLine>\n      <firstRangeSample>0</firstRangeSample>\n"
        + f"      <lastAzimuthLine>{facts.lines - 1}</lastAzimuthLine>\n"
        + f"      <lastRangeSample>{facts.pixels - 1}</lastRangeSample>\n"
        + f'      <line count="2">0 {facts.lines - 1}</line>\n'
        + '      <noiseAzimuthLut count="2">1.000000e+00 1.000000e+00</noiseAzimuthLut>\n'
        + "    </noiseAzimuthVector>\n  </noiseAzimuthVectorList>\n</noise>\n"
    )


def overlay(spec: Spec, ring: Sequence[tuple[float, float]]) -> Member:
    """preview/map-overlay.kml: the quick-look's corners."""
    corners = " ".join(f"{lon:.6f},{lat:.6f}" for lon, lat in ring[:4])
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2" '
        'xmlns:gx="http://www.google.com/kml/ext/2.2">\n  <Document>\n'
        f"    <name>{spec.id}</name>\n    <Folder>\n      <GroundOverlay>\n        <name>quick-look</name>\n"
        "        <Icon>\n          <href>quick-look.png</href>\n        </Icon>\n        <gx:LatLonQuad>\n"
        f"          <coordinates>{corners}</coordinates>\n        </gx:LatLonQuad>\n"
        "      </GroundOverlay>\n    </Folder>\n  </Document>\n</kml>\n"
    )
    return Member("preview/map-overlay.kml", text.encode(), "mapoverlay", "text/xml", "s1Level1MapOverlaySchema")


def manifest(
    spec: Spec, ring: Sequence[tuple[float, float]], files: Sequence[Member], first: datetime, last: datetime
) -> str:
    """manifest.safe with size and checksum of each file listed."""
    units = "".join(_unit(file) for file in files)
    links = "".join(
        f'    <metadataObject ID="{file.ident}Annotation" classification="DESCRIPTION" category="DMD">\n'
        f'      <dataObjectPointer dataObjectID="{file.ident}"/>\n    </metadataObject>\n'
        for file in files
        if file.path.startswith("annotation/")
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<xfdu:XFDU xmlns:gml="http://www.opengis.net/gml" xmlns:xfdu="urn:ccsds:schema:xfdu:1" '
        'xmlns:safe="http://www.esa.int/safe/sentinel-1.0" xmlns:s1="http://www.esa.int/safe/sentinel-1.0/sentinel-1" '
        'xmlns:s1sarl1="http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-1" '
        'version="esa/safe/sentinel-1.0/sentinel-1/sar/level-1/grd/standard/iwdp">\n  <informationPackageMap>\n'
        '    <xfdu:contentUnit unitType="SAFE Archive Information Package" textInfo="Sentinel-1 IW Level-1 GRD Product" '
        'dmdID="acquisitionPeriod platform generalProductInformation measurementOrbitReference measurementFrameSet" '
        f'pdiID="processing">\n{units}    </xfdu:contentUnit>\n  </informationPackageMap>\n  <metadataSection>\n{links}'
        + _described(spec, ring, first, last)
        + f"  </metadataSection>\n  <dataObjectSection>\n{data_objects(files, 'MD5')}  </dataObjectSection>\n</xfdu:XFDU>\n"
    )


def _unit(file: Member) -> str:
    if not file.rep:
        return ""
    kind = "Measurement Data Unit" if file.path.startswith(("measurement/", "preview/quick")) else "Metadata Unit"
    about = ""
    if file.path.startswith("measurement/"):
        listed = " ".join(f"{part}{file.ident}Annotation" for part in ("product", "noise", "calibration"))
        about = f' dmdID="{listed}"'
    return (
        f'      <xfdu:contentUnit unitType="{kind}" repID="{file.rep}"{about}>\n'
        f'        <dataObjectPointer dataObjectID="{file.ident}"/>\n      </xfdu:contentUnit>\n'
    )


def _described(spec: Spec, ring: Sequence[tuple[float, float]], first: datetime, last: datetime) -> str:
    corners = " ".join(f"{lat:.6f},{lon:.6f}" for lon, lat in ring[:4])
    take = int(spec.id.split("_")[7], 16)
    cycle = (spec.orbit - spec.relative_orbit) // 175 + 8
    return (
        metadata_object(
            "processing",
            "Processing",
            f'<safe:processing name="GRD Post Processing" start="{_utc(spec.created)}" stop="{_utc(spec.created)}">'
            '<safe:facility name="Made-up sample data of extenso-nb" organisation="extenso-nb">'
            '<safe:software name="extenso-nb" version="1"/></safe:facility></safe:processing>',
            kind="PROVENANCE",
        )
        + metadata_object(
            "platform",
            "Platform Description",
            "<safe:platform><safe:nssdcIdentifier>2014-016A</safe:nssdcIdentifier>"
            f"<safe:familyName>SENTINEL-1</safe:familyName><safe:number>{spec.id[2]}</safe:number><safe:instrument>"
            '<safe:familyName abbreviation="SAR">Synthetic Aperture Radar</safe:familyName><safe:extension>'
            "<s1sarl1:instrumentMode><s1sarl1:mode>IW</s1sarl1:mode><s1sarl1:swath>IW</s1sarl1:swath>"
            "</s1sarl1:instrumentMode></safe:extension></safe:instrument></safe:platform>",
        )
        + metadata_object(
            "measurementOrbitReference",
            "Orbit Reference",
            "<safe:orbitReference>"
            + "".join(f'<safe:orbitNumber type="{kind}">{spec.orbit}</safe:orbitNumber>' for kind in ("start", "stop"))
            + "".join(
                f'<safe:relativeOrbitNumber type="{kind}">{spec.relative_orbit}</safe:relativeOrbitNumber>'
                for kind in ("start", "stop")
            )
            + f"<safe:cycleNumber>{cycle}</safe:cycleNumber><safe:phaseIdentifier>1</safe:phaseIdentifier><safe:extension>"
            f"<s1:orbitProperties><s1:pass>{spec.direction.upper()}</s1:pass>"
            f"<s1:ascendingNodeTime>{_utc(first - timedelta(seconds=1925))}</s1:ascendingNodeTime>"
            "</s1:orbitProperties></safe:extension></safe:orbitReference>",
        )
        + metadata_object(
            "acquisitionPeriod",
            "Acquisition Period",
            f"<safe:acquisitionPeriod><safe:startTime>{_utc(first)}</safe:startTime>"
            f"<safe:stopTime>{_utc(last)}</safe:stopTime></safe:acquisitionPeriod>",
        )
        + metadata_object(
            "measurementFrameSet",
            "Frame Set",
            '<safe:frameSet><safe:frame><safe:footPrint srsName="http://www.opengis.net/gml/srs/epsg.xml#4326">'
            f"<gml:coordinates>{corners}</gml:coordinates></safe:footPrint></safe:frame></safe:frameSet>",
        )
        + metadata_object(
            "generalProductInformation",
            "General Product Information",
            "<s1sarl1:standAloneProductInformation>"
            "<s1sarl1:instrumentConfigurationID>7</s1sarl1:instrumentConfigurationID>"
            f"<s1sarl1:missionDataTakeID>{take}</s1sarl1:missionDataTakeID>"
            "<s1sarl1:transmitterReceiverPolarisation>VV</s1sarl1:transmitterReceiverPolarisation>"
            "<s1sarl1:transmitterReceiverPolarisation>VH</s1sarl1:transmitterReceiverPolarisation>"
            "<s1sarl1:productClass>S</s1sarl1:productClass>"
            "<s1sarl1:productClassDescription>SAR Standard L1 Product</s1sarl1:productClassDescription>"
            "<s1sarl1:productComposition>Individual</s1sarl1:productComposition>"
            "<s1sarl1:productType>GRD</s1sarl1:productType>"
            "<s1sarl1:productTimelinessCategory>NRT-3h</s1sarl1:productTimelinessCategory>"
            "<s1sarl1:sliceProductFlag>false</s1sarl1:sliceProductFlag></s1sarl1:standAloneProductInformation>",
        )
    )
