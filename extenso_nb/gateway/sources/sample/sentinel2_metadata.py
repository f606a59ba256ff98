"""Metadata of the made-up Sentinel-2 products: product, tile and data strip XML and the manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from extenso_nb.gateway.sources.sample import world
from extenso_nb.gateway.sources.sample.safe import Member, data_objects, metadata_object, stamp

if TYPE_CHECKING:
    from extenso_nb.gateway.sources.sample.plan import Spec

__all__ = ["BANDS", "Band", "Facts", "Names", "manifest", "members"]


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band."""

    number: int
    """bandId of the metadata."""
    name: str
    step: int
    """Pixel size, m."""
    low: int
    high: int
    """Limits, nm."""
    centre: float
    irradiance: float
    """Of the sun, W/m2/um."""


BANDS = (
    Band(0, "B01", 60, 412, 456, 442.7, 1884.69),
    Band(1, "B02", 10, 456, 533, 492.7, 1959.66),
    Band(2, "B03", 10, 538, 583, 559.8, 1823.24),
    Band(3, "B04", 10, 646, 684, 664.6, 1512.06),
    Band(4, "B05", 20, 695, 714, 704.1, 1424.64),
    Band(5, "B06", 20, 731, 749, 740.5, 1287.61),
    Band(6, "B07", 20, 769, 797, 782.8, 1162.08),
    Band(7, "B08", 10, 760, 907, 832.8, 1041.63),
    Band(8, "B8A", 20, 837, 881, 864.7, 955.32),
    Band(9, "B09", 60, 932, 958, 945.1, 812.92),
    Band(10, "B10", 60, 1337, 1412, 1373.5, 367.15),
    Band(11, "B11", 20, 1539, 1682, 1613.7, 245.59),
    Band(12, "B12", 20, 2078, 2320, 2202.4, 85.25),
)
_NODES = 23
"""Rows and columns of the grids of angles, 5 km apart, as for a whole tile."""
_HEIGHT = 786.0
"""Of the orbit, km."""
_ACROSS = {"31TCJ": 62.0, "31TFJ": -48.0, "33WVR": -30.0}
"""How far east of the ground track the middle lies, km."""
_HEADING = {"31TCJ": 194.0, "31TFJ": 194.0, "33WVR": 204.0}
"""Direction of flight on the ground, degrees clockwise from north."""
_DETECTOR_KM = 25.5


@dataclass(frozen=True)
class Names:
    """Names of files and identifiers inside one product."""

    spec: Spec
    tile: str

    @property
    def level(self) -> str:
        """1C or 2A."""
        return self.spec.product_type[-2:]

    @property
    def sensing(self) -> str:
        """Start of the data take, as in the identifier."""
        return self.spec.id[11:26]

    @property
    def pass_time(self) -> datetime:
        """When the satellite was over the tile."""
        return self.spec.begin + timedelta(seconds=154 if self.tile.startswith("3") else 60)

    @property
    def granule(self) -> str:
        """Folder of the tile."""
        return f"L{self.level}_T{self.tile}_A{self.spec.orbit:06d}_{self.pass_time:%Y%m%dT%H%M%S}"

    @property
    def strip(self) -> str:
        """Folder of the data strip."""
        return f"DS_2BPS_{self.spec.created:%Y%m%dT%H%M%S}_S{self.pass_time:%Y%m%dT%H%M%S}"

    @property
    def root(self) -> str:
        """Path of the tile's folder."""
        return f"GRANULE/{self.granule}"

    def image(self, name: str, step: int) -> str:
        """Path of an image without extension."""
        if self.level == "1C":
            return f"{self.root}/IMG_DATA/T{self.tile}_{self.sensing}_{name}"
        return f"{self.root}/IMG_DATA/R{step}m/T{self.tile}_{self.sensing}_{name}_{step}m"

    def ident(self, name: str, step: int) -> str:
        """ID of an image's data object."""
        size = "" if self.level == "1C" else f"_{step}m"
        return f"IMG_DATA_Band_{name}{size}_Tile1_Data"

    def mask(self, name: str) -> str:
        """Path of a mask."""
        return f"{self.root}/QI_DATA/{name}.jp2"

    def long(self, kind: str) -> str:
        """Identifier of tile (TL) or data strip (DS)."""
        head = f"{self.spec.id[:3]}_OPER_MSI_L{self.level}_{kind}_2BPS_{self.spec.created:%Y%m%dT%H%M%S}"
        tail = f"A{self.spec.orbit:06d}_T{self.tile}" if kind == "TL" else f"S{self.pass_time:%Y%m%dT%H%M%S}"
        return f"{head}_{tail}_N05.10"


@dataclass(frozen=True)
class Facts:
    """What the metadata say of one product."""

    names: Names
    epsg: int
    corner: tuple[int, int]
    pixels: int
    ring: list[tuple[float, float]]
    cloud_cover: float
    shares: dict[int, float]
    cloud_over_land: float
    images: list[tuple[str, int]]
    masks: list[str]

    @property
    def spec(self) -> Spec:
        """Of the plan."""
        return self.names.spec

    @property
    def positions(self) -> str:
        """Footprint: latitude longitude, closed."""
        return " ".join(f"{lat:.10f} {lon:.10f}" for lon, lat in self.ring)


def members(facts: Facts) -> list[Member]:
    """The XML files but the manifest."""
    names, level = facts.names, facts.names.level
    return [
        Member(f"MTD_MSIL{level}.xml", _product(facts).encode(), f"S2_Level-{level}_Product_Metadata", "text/xml"),
        Member(f"{names.root}/MTD_TL.xml", _tile(facts).encode(), f"S2_Level-{level}_Tile1_Metadata", "text/xml"),
        Member(
            f"DATASTRIP/{names.strip}/MTD_DS.xml",
            _strip(facts).encode(),
            f"S2_Level-{level}_Datastrip1_Metadata",
            "text/xml",
        ),
    ]


# --- product ---------------------------------------------------------------------------------------------------------
def _head(name: str, scheme: str) -> str:
    address = f"https://psd-14.sentinel2.eo.esa.int/PSD/{scheme}.xsd"
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        f'<n1:{name} xmlns:n1="{address}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{address}">\n'
    )


def _product(facts: Facts) -> str:
    level = facts.names.level
    name = f"Level-{level}_User_Product"
    return (
        _head(name, f"User_Product_Level-{level}")
        + f"<n1:General_Info>\n{_product_info(facts)}{_characteristics(facts)}</n1:General_Info>\n"
        + "<n1:Geometric_Info>\n<Product_Footprint>\n<Product_Footprint>\n<Global_Footprint>\n"
        + f"<EXT_POS_LIST>{facts.positions}</EXT_POS_LIST>\n</Global_Footprint>\n</Product_Footprint>\n"
        + "<RASTER_CS_TYPE>POINT</RASTER_CS_TYPE>\n<PIXEL_ORIGIN>1</PIXEL_ORIGIN>\n</Product_Footprint>\n"
        + "<Coordinate_Reference_System>\n<GEO_TABLES>EPSG</GEO_TABLES>\n<HORIZONTAL_CS_TYPE>GEOGRAPHIC"
        + "</HORIZONTAL_CS_TYPE>\n</Coordinate_Reference_System>\n</n1:Geometric_Info>\n"
        + f"<n1:Quality_Indicators_Info>\n<Cloud_Coverage_Assessment>{facts.cloud_cover:.6f}</Cloud_Coverage_Assessment>\n"
        + "<Technical_Quality_Assessment>\n<DEGRADED_ANC_DATA_PERCENTAGE>0.0</DEGRADED_ANC_DATA_PERCENTAGE>\n"
        + "<DEGRADED_MSI_DATA_PERCENTAGE>0</DEGRADED_MSI_DATA_PERCENTAGE>\n</Technical_Quality_Assessment>\n"
        + "<Quality_Control_Checks>\n<Quality_Inspections>\n"
        + "".join(
            f'<quality_check checkType="{check}">PASSED</quality_check>\n'
            for check in ("FORMAT_CORRECTNESS", "GENERAL_QUALITY", "GEOMETRIC_QUALITY", "RADIOMETRIC_QUALITY")
        )
        + "</Quality_Inspections>\n<Failed_Inspections/>\n</Quality_Control_Checks>\n"
        + (_content_qi(facts) if level == "2A" else "")
        + f"</n1:Quality_Indicators_Info>\n</n1:{name}>\n"
    )


def _product_info(facts: Facts) -> str:
    spec, names = facts.spec, facts.names
    begin = stamp(spec.begin)
    images = "".join(f"<IMAGE_FILE>{names.image(name, step)}</IMAGE_FILE>\n" for name, step in facts.images)
    return (
        "<Product_Info>\n"
        f"<PRODUCT_START_TIME>{begin}</PRODUCT_START_TIME>\n<PRODUCT_STOP_TIME>{begin}</PRODUCT_STOP_TIME>\n"
        f"<PRODUCT_URI>{spec.id}.SAFE</PRODUCT_URI>\n<PROCESSING_LEVEL>Level-{names.level}</PROCESSING_LEVEL>\n"
        f"<PRODUCT_TYPE>{spec.product_type}</PRODUCT_TYPE>\n<PROCESSING_BASELINE>05.10</PROCESSING_BASELINE>\n"
        f"<GENERATION_TIME>{spec.created:%Y-%m-%dT%H:%M:%S}.000000Z</GENERATION_TIME>\n"
        "<PREVIEW_IMAGE_URL>Not applicable</PREVIEW_IMAGE_URL>\n<PREVIEW_GEO_INFO>Not applicable</PREVIEW_GEO_INFO>\n"
        f'<Datatake datatakeIdentifier="G{spec.id[:3]}_{names.sensing}_{spec.orbit:06d}_N05.10">\n'
        f"<SPACECRAFT_NAME>Sentinel-{spec.id[1:3]}</SPACECRAFT_NAME>\n<DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>\n"
        f"<DATATAKE_SENSING_START>{begin}</DATATAKE_SENSING_START>\n"
        f"<SENSING_ORBIT_NUMBER>{spec.relative_orbit}</SENSING_ORBIT_NUMBER>\n"
        "<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>\n</Datatake>\n"
        '<Query_Options completeSingleTile="true">\n<PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT>\n</Query_Options>\n'
        "<Product_Organisation>\n<Granule_List>\n"
        f'<Granule datastripIdentifier="{names.long("DS")}" granuleIdentifier="{names.long("TL")}" imageFormat="JPEG2000">\n'
        f"{images}</Granule>\n</Granule_List>\n</Product_Organisation>\n</Product_Info>\n"
    )


def _characteristics(facts: Facts) -> str:
    if facts.names.level == "2A":
        scale = (
            '<QUANTIFICATION_VALUES_LIST>\n<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>\n'
            '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>\n'
            '<WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE>\n</QUANTIFICATION_VALUES_LIST>\n'
        )
        wrap, offset = "BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"
    else:
        scale = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>\n'
        wrap, offset = "Radiometric_Offset_List", "RADIO_ADD_OFFSET"
    offsets = "".join(f'<{offset} band_id="{band.number}">-1000</{offset}>\n' for band in BANDS)
    special = "".join(
        f"<Special_Values>\n<SPECIAL_VALUE_TEXT>{text}</SPECIAL_VALUE_TEXT>\n"
        f"<SPECIAL_VALUE_INDEX>{value}</SPECIAL_VALUE_INDEX>\n</Special_Values>\n"
        for text, value in (("NODATA", 0), ("SATURATED", 65535))
    )
    sunlight = "".join(
        f'<SOLAR_IRRADIANCE bandId="{band.number}" unit="W/m²/µm">{band.irradiance}</SOLAR_IRRADIANCE>\n'
        for band in BANDS
    )
    return (
        f"<Product_Image_Characteristics>\n{special}<Image_Display_Order>\n<RED_CHANNEL>3</RED_CHANNEL>\n"
        "<GREEN_CHANNEL>2</GREEN_CHANNEL>\n<BLUE_CHANNEL>1</BLUE_CHANNEL>\n</Image_Display_Order>\n"
        f"{scale}<{wrap}>\n{offsets}</{wrap}>\n<Reflectance_Conversion>\n<U>{_sun_distance(facts.spec.begin):.14f}</U>\n"
        f"<Solar_Irradiance_List>\n{sunlight}</Solar_Irradiance_List>\n</Reflectance_Conversion>\n"
        f"<Spectral_Information_List>\n{''.join(map(_spectral, BANDS))}</Spectral_Information_List>\n"
        "<REFERENCE_BAND>3</REFERENCE_BAND>\n"
        + (_classification() if facts.names.level == "2A" else "")
        + "</Product_Image_Characteristics>\n"
    )


def _spectral(band: Band) -> str:
    at = np.arange(band.low, band.high + 1)
    half = (band.high - band.low) / 2
    response = np.exp(-((np.abs(at - band.low - half) / (0.92 * half)) ** 8))
    values = " ".join(f"{value:.3f}" for value in response[:: max(1, len(at) // 16)])
    return (
        f'<Spectral_Information bandId="{band.number}" physicalBand="{band.name.replace("B0", "B")}">\n'
        f'<RESOLUTION>{band.step}</RESOLUTION>\n<Wavelength>\n<MIN unit="nm">{band.low}</MIN>\n'
        f'<MAX unit="nm">{band.high}</MAX>\n<CENTRAL unit="nm">{band.centre}</CENTRAL>\n</Wavelength>\n'
        f'<Spectral_Response>\n<STEP unit="nm">{max(1, len(at) // 16)}</STEP>\n<VALUES>{values}</VALUES>\n'
        "</Spectral_Response>\n</Spectral_Information>\n"
    )


_CLASSES = (
    "SC_NODATA", "SC_SATURATED_DEFECTIVE", "SC_DARK_FEATURE_SHADOW", "SC_CLOUD_SHADOW", "SC_VEGETATION",
    "SC_NOT_VEGETATED", "SC_WATER", "SC_UNCLASSIFIED", "SC_CLOUD_MEDIUM_PROBA", "SC_CLOUD_HIGH_PROBA",
    "SC_THIN_CIRRUS", "SC_SNOW_ICE",
)  # fmt: skip


def _classification() -> str:
    listed = "".join(
        f"<Scene_Classification_ID>\n<SCENE_CLASSIFICATION_TEXT>{text}</SCENE_CLASSIFICATION_TEXT>\n"
        f"<SCENE_CLASSIFICATION_INDEX>{value}</SCENE_CLASSIFICATION_INDEX>\n</Scene_Classification_ID>\n"
        for value, text in enumerate(_CLASSES)
    )
    return f"<Scene_Classification_List>\n{listed}</Scene_Classification_List>\n"


def _sun_distance(when: datetime) -> float:
    """Square of the mean over the actual distance of the sun, from the eccentricity of the orbit."""
    day = when.timetuple().tm_yday
    return float(1 / (1 - 0.01673 * math.cos(math.radians(0.9856 * (day - 4)))) ** 2)


# --- tile ------------------------------------------------------------------------------------------------------------
def _tile(facts: Facts) -> str:
    names, level = facts.names, facts.names.level
    name = f"Level-{level}_Tile_ID"
    zone = facts.epsg - 32600
    sizes = "".join(
        f'<Size resolution="{step}">\n<NROWS>{facts.pixels * 10 // step}</NROWS>\n'
        f"<NCOLS>{facts.pixels * 10 // step}</NCOLS>\n</Size>\n"
        for step in (10, 20, 60)
    )
    places = "".join(
        f'<Geoposition resolution="{step}">\n<ULX>{facts.corner[0]}</ULX>\n<ULY>{facts.corner[1]}</ULY>\n'
        f"<XDIM>{step}</XDIM>\n<YDIM>-{step}</YDIM>\n</Geoposition>\n"
        for step in (10, 20, 60)
    )
    masks = "".join(f'<MASK_FILENAME type="{mask[:10]}">{names.mask(mask)}</MASK_FILENAME>\n' for mask in facts.masks)
    return (
        _head(name, f"S2_PDI_Level-{level}_Tile_Metadata")
        + f'<n1:General_Info>\n<TILE_ID metadataLevel="Brief">{names.long("TL")}</TILE_ID>\n'
        + f'<DATASTRIP_ID metadataLevel="Standard">{names.long("DS")}</DATASTRIP_ID>\n'
        + '<DOWNLINK_PRIORITY metadataLevel="Standard">NOMINAL</DOWNLINK_PRIORITY>\n'
        + f'<SENSING_TIME metadataLevel="Standard">{stamp(names.pass_time)}</SENSING_TIME>\n</n1:General_Info>\n'
        + '<n1:Geometric_Info>\n<Tile_Geocoding metadataLevel="Brief">\n'
        + f"<HORIZONTAL_CS_NAME>WGS84 / UTM zone {zone:02d}N</HORIZONTAL_CS_NAME>\n"
        + f"<HORIZONTAL_CS_CODE>EPSG:{facts.epsg}</HORIZONTAL_CS_CODE>\n{sizes}{places}</Tile_Geocoding>\n"
        + f'<Tile_Angles metadataLevel="Standard">\n{_angles(facts)}</Tile_Angles>\n</n1:Geometric_Info>\n'
        + f'<n1:Quality_Indicators_Info metadataLevel="Standard">\n{_content_qi(facts)}'
        + f'<Pixel_Level_QI geometry="FULL_RESOLUTION">\n{masks}</Pixel_Level_QI>\n</n1:Quality_Indicators_Info>\n</n1:{name}>\n'
    )


def _content_qi(facts: Facts) -> str:
    share = facts.shares
    lines = {
        "CLOUDY_PIXEL_PERCENTAGE": facts.cloud_cover,
        "CLOUDY_PIXEL_OVER_LAND_PERCENTAGE": facts.cloud_over_land,
        "DEGRADED_MSI_DATA_PERCENTAGE": 0.0,
        "NODATA_PIXEL_PERCENTAGE": share[0],
    }
    if facts.names.level == "2A":
        lines |= {
            "SATURATED_DEFECTIVE_PIXEL_PERCENTAGE": share[1],
            "DARK_FEATURES_PERCENTAGE": share[2],
            "CLOUD_SHADOW_PERCENTAGE": share[3],
            "VEGETATION_PERCENTAGE": share[4],
            "NOT_VEGETATED_PERCENTAGE": share[5],
            "WATER_PERCENTAGE": share[6],
            "UNCLASSIFIED_PERCENTAGE": share[7],
            "MEDIUM_PROBA_CLOUDS_PERCENTAGE": share[8],
            "HIGH_PROBA_CLOUDS_PERCENTAGE": share[9],
            "THIN_CIRRUS_PERCENTAGE": share[10],
        }
    lines["SNOW_ICE_PERCENTAGE"] = share[11]
    listed = "".join(f"<{key}>{value:.6f}</{key}>\n" for key, value in lines.items())
    return f"<Image_Content_QI>\n{listed}</Image_Content_QI>\n"


def _values(grid: np.ndarray[tuple[int, ...], np.dtype[np.float64]], tag: str) -> str:
    rows = "".join(
        "<VALUES>" + " ".join("NaN" if math.isnan(v) else f"{v:.3f}" for v in row) + "</VALUES>\n"
        for row in grid.tolist()
    )
    return (
        f'<{tag}>\n<COL_STEP unit="m">5000</COL_STEP>\n<ROW_STEP unit="m">5000</ROW_STEP>\n'
        f"<Values_List>\n{rows}</Values_List>\n</{tag}>\n"
    )


def _angles(facts: Facts) -> str:
    """Sun and view on grids of 23 x 23 nodes from the product's corner, 5 km apart; the view for the detector that sees it."""
    area = world.AREAS[facts.spec.area]
    east, south = np.meshgrid(np.arange(_NODES) * 5.0, np.arange(_NODES) * 5.0)
    half = facts.pixels / 200  # km from the corner to the middle
    lat = area.lat - (south - half) / world.EARTH_KM
    lon = area.lon + (east - half) / (world.EARTH_KM * math.cos(math.radians(area.lat)))
    light = np.array(
        [
            [world.sun(facts.names.pass_time, float(x), float(y)) for x, y in zip(row_x, row_y, strict=True)]
            for row_x, row_y in zip(lon, lat, strict=True)
        ]
    )
    zenith, azimuth = world.sun(facts.names.pass_time, area.lon, area.lat)
    heading = math.radians(_HEADING[facts.names.tile])
    # Distance to the right of the flight, as if the track were straight over the tile.
    right = (east - half) * math.cos(heading) + (south - half) * math.sin(heading)
    middle = _ACROSS[facts.names.tile] * math.cos(heading)
    parts = [
        f"<Sun_Angles_Grid>\n{_values(light[..., 0], 'Zenith')}{_values(light[..., 1], 'Azimuth')}</Sun_Angles_Grid>\n"
        f'<Mean_Sun_Angle>\n<ZENITH_ANGLE unit="deg">{zenith:.10f}</ZENITH_ANGLE>\n'
        f'<AZIMUTH_ANGLE unit="deg">{azimuth:.10f}</AZIMUTH_ANGLE>\n</Mean_Sun_Angle>\n'
    ]
    means = []
    for band in BANDS:
        ahead = math.radians(0.02 * band.number - 0.1)
        grid = _view(right + middle, ahead, heading)
        seen = np.abs(right) <= _DETECTOR_KM / 2
        shown = [np.where(seen, part, np.nan) for part in grid]
        detector = 7 + round(middle / _DETECTOR_KM)
        parts.append(
            f'<Viewing_Incidence_Angles_Grids bandId="{band.number}" detectorId="{detector}">\n'
            f"{_values(shown[0], 'Zenith')}{_values(shown[1], 'Azimuth')}</Viewing_Incidence_Angles_Grids>\n"
        )
        mean = [float(part[0]) for part in _view(np.array([middle]), ahead, heading)]
        means.append(
            f'<Mean_Viewing_Incidence_Angle bandId="{band.number}">\n<ZENITH_ANGLE unit="deg">{mean[0]:.10f}</ZENITH_ANGLE>\n'
            f'<AZIMUTH_ANGLE unit="deg">{mean[1]:.10f}</AZIMUTH_ANGLE>\n</Mean_Viewing_Incidence_Angle>\n'
        )
    listed = f"<Mean_Viewing_Incidence_Angle_List>\n{''.join(means)}</Mean_Viewing_Incidence_Angle_List>\n"
    return "".join(parts) + listed


def _view(
    right: np.ndarray[tuple[int, ...], np.dtype[np.float64]], ahead: float, heading: float
) -> Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Zenith and azimuth (degrees) of the satellite from the ground, `right` km beside its track; Earth taken as flat."""
    across, along = right / _HEIGHT, math.tan(ahead)
    zenith = np.degrees(np.arctan(np.hypot(across, along)))
    # The satellite is to the left of what lies to the right of it.
    azimuth = np.degrees(heading + np.arctan2(-across, along)) % 360
    return zenith, azimuth


# --- data strip and manifest -----------------------------------------------------------------------------------------
def _strip(facts: Facts) -> str:
    names, level = facts.names, facts.names.level
    name = f"Level-{level}_DataStrip_ID"
    return (
        _head(name, f"S2_PDI_Level-{level}_Datastrip_Metadata")
        + f'<n1:General_Info>\n<Datatake_Info datatakeIdentifier="G{names.spec.id[:3]}_{names.sensing}_'
        + f'{names.spec.orbit:06d}_N05.10">\n<SPACECRAFT_NAME>Sentinel-{names.spec.id[1:3]}</SPACECRAFT_NAME>\n'
        + f"<SENSING_ORBIT_NUMBER>{names.spec.relative_orbit}</SENSING_ORBIT_NUMBER>\n</Datatake_Info>\n"
        + f"<Datastrip_Time_Info>\n<DATASTRIP_SENSING_START>{stamp(names.pass_time)}</DATASTRIP_SENSING_START>\n"
        + f"</Datastrip_Time_Info>\n</n1:General_Info>\n</n1:{name}>\n"
    )


def manifest(facts: Facts, files: Sequence[Member]) -> str:
    """manifest.safe with size and checksum of each file listed."""
    spec, level = facts.spec, facts.names.level
    units = "".join(
        f'      <xfdu:contentUnit ID="{file.ident}_Unit" unitType="'
        f'{"Metadata Unit" if file.mime == "text/xml" else "Measurement Data Unit"}">'
        f'<dataObjectPointer dataObjectID="{file.ident}"/></xfdu:contentUnit>\n'
        for file in files
    )
    number = {"A": "2015-000A", "B": "2017-013A"}[spec.id[2]]
    described = (
        metadata_object(
            "acquisitionPeriod",
            "Acquisition Period",
            f"<safe:acquisitionPeriod><safe:startTime>{stamp(spec.begin)}</safe:startTime></safe:acquisitionPeriod>",
        )
        + metadata_object(
            "measurementOrbitReference",
            "Orbit Reference",
            f'<safe:orbitReference><safe:orbitNumber type="start" groundTrackDirection="descending">{spec.orbit:06d}'
            f'</safe:orbitNumber><safe:relativeOrbitNumber type="start">{spec.relative_orbit:03d}'
            "</safe:relativeOrbitNumber></safe:orbitReference>",
        )
        + metadata_object(
            "platform",
            "Platform Description",
            f"<safe:platform><safe:nssdcIdentifier>{number}</safe:nssdcIdentifier><safe:familyName>SENTINEL</safe:familyName>"
            f"<safe:number>{spec.id[1:3]}</safe:number><safe:instrument>"
            '<safe:familyName abbreviation="MSI">Multi-Spectral Instrument</safe:familyName></safe:instrument></safe:platform>',
        )
        + metadata_object(
            "processing",
            "Processing",
            f'<safe:processing name="Made-up sample data of extenso-nb" start="{stamp(spec.created.astimezone(UTC))}"/>',
            kind="PROVENANCE",
        )
        + metadata_object(
            "measurementFrameSet",
            "Frame Set",
            '<safe:frameSet><safe:footPrint srsName="http://www.opengis.net/gml/srs/epsg.xml#4326">'
            f"<gml:coordinates>{facts.positions}</gml:coordinates></safe:footPrint></safe:frameSet>",
        )
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        '<xfdu:XFDU xmlns:gml="http://www.opengis.net/gml" xmlns:safe="http://www.esa.int/safe/sentinel/1.1" '
        'xmlns:xfdu="urn:ccsds:schema:xfdu:1" '
        f'version="esa/safe/sentinel/1.1/sentinel-2/msi/archive_l{level.lower()}_user_product">\n'
        "  <informationPackageMap>\n"
        f'    <xfdu:contentUnit unitType="Product_Level-{level}" textInfo="SENTINEL-2 MSI Level-{level} User Product" '
        f'dmdID="acquisitionPeriod platform" pdiID="processing">\n{units}    </xfdu:contentUnit>\n'
        f"  </informationPackageMap>\n  <metadataSection>\n{described}  </metadataSection>\n"
        f"  <dataObjectSection>\n{data_objects(files, 'SHA3-256')}  </dataObjectSection>\n</xfdu:XFDU>\n"
    )
