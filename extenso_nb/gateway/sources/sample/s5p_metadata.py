"""Global attributes and the group METADATA of made-up Sentinel-5P files, named as in the real ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from extenso_nb.gateway.sources.sample.netcdf import Group

if TYPE_CHECKING:
    from extenso_nb.gateway.sources.sample.sentinel5p import Granule

__all__ = ["attributes", "metadata"]


def attributes(granule: Granule) -> dict[str, Any]:
    """Global attributes of the file."""
    day = granule.start.replace(hour=0, minute=0, second=0, microsecond=0)
    lon, lat = granule.centres
    along, across = granule.edges
    step_a, step_c = along[1] - along[0], np.diff(across)[len(across) // 2]
    title = f"TROPOMI/S5P {granule.kind.gas} made-up L2 Swath {step_a:.1f}x{step_c:.1f}km"
    return {
        "Conventions": "CF-1.7",
        "institution": granule.kind.institution,
        "source": "Sentinel 5 precursor, TROPOMI, space-borne remote sensing, L2; made-up data of extenso-nb, no measurement",
        "history": f"{granule.created:%Y-%m-%d %H:%M:%S} extenso-nb sample archive",
        "summary": title,
        "title": title,
        "id": granule.product_id,
        "time_reference": _iso(day),
        "time_reference_days_since_1950": np.int32((day - datetime(1950, 1, 1, tzinfo=UTC)).days),
        "time_reference_julian_day": np.float64((day - datetime(2000, 1, 1, tzinfo=UTC)).days + 2451544.5),
        "time_reference_seconds_since_1970": np.int64(day.timestamp()),
        "time_coverage_start": _iso(granule.start),
        "time_coverage_end": _iso(granule.stop),
        "time_coverage_duration": f"PT{granule.seconds:.3f}S",
        "time_coverage_resolution": f"PT{granule.seconds / len(granule.times):.3f}S",
        "orbit": np.int32(granule.orbit),
        "processor_version": granule.processor,
        "algorithm_version": granule.processor,
        "product_version": granule.processor,
        "cdm_data_type": "Swath",
        "naming_authority": "extenso-nb",
        "date_created": _iso(granule.created),
        "creator_name": "extenso-nb sample archive: all values are made up",
        "project": "Sentinel 5 precursor/TROPOMI",
        "platform": "S5P",
        "sensor": "TROPOMI",
        "geospatial_lat_min": np.float32(lat.min()),
        "geospatial_lat_max": np.float32(lat.max()),
        "geospatial_lon_min": np.float32(lon.min()),
        "geospatial_lon_max": np.float32(lon.max()),
        "spatial_resolution": f"{step_a:.1f}x{step_c:.1f}km2",
        "processing_status": f"{granule.stream}-processing nominal product",
        "license": "Apache-2.0",
    }


def metadata(granule: Granule) -> Group:
    """The group METADATA; counts and footprint are those of the pixels drawn."""
    count = granule.retrieved.size
    good = int(granule.retrieved.sum())
    statistics = {
        "number_of_groundpixels": np.int32(count),
        "number_of_processed_pixels": np.int32(count),
        "number_of_successfully_processed_pixels": np.int32(good),
        "number_of_failed_retrievals": np.int32(count - good),
        "number_of_cloud_filter_occurrences": np.int32(count - good if granule.kind.clear_only else 0),
        "global_processing_warnings": "None",
    }
    mode = {"NRTI": "Near-realtime", "OFFL": "Offline", "RPRO": "Reprocessing"}.get(granule.stream, granule.stream)
    description = {
        "GranuleStart": _iso(granule.start),
        "GranuleEnd": _iso(granule.stop),
        "InstrumentName": "TROPOMI",
        "MissionName": "Sentinel-5 precursor",
        "MissionShortName": "S5P",
        "ProcessLevel": "2",
        "ProcessingCenter": "extenso-nb",
        "ProcessingNode": "sample",
        "ProcessorVersion": granule.processor,
        "ProductFormatVersion": np.int32(20000),
        "ProcessingMode": mode,
        "CollectionIdentifier": granule.collection,
        "ProductShortName": granule.product_type,
    }
    algorithm = {
        "processing.algorithm": f"extenso-nb made-up {granule.kind.gas}",
        "processing.threadCount": "1",
        "output.count": "1",
        "configuration.version.algorithm": granule.processor,
    }
    return Group(
        groups={
            "QA_STATISTICS": Group(attrs=statistics),
            "ALGORITHM_SETTINGS": Group(attrs=algorithm),
            "GRANULE_DESCRIPTION": Group(attrs=description),
            "ISO_METADATA": _iso_metadata(granule),
            "EOP_METADATA": _eop_metadata(granule),
            "ESA_METADATA": _esa_metadata(granule),
        }
    )


def _iso_metadata(granule: Granule) -> Group:
    return Group(
        attrs={
            "gmd:dateStamp": f"{granule.created:%Y-%m-%d}",
            "gmd:fileIdentifier": f"urn:ogc:def:EOP:ESA:SENTINEL.S5P_TROP_{granule.product_type}",
            "gmd:hierarchyLevelName": "EO Product Collection",
            "gmd:metadataStandardName": "ISO 19115-2 Geographic Information - Metadata Part 2",
            "objectType": "gmi:MI_Metadata",
        }
    )


def _eop_metadata(granule: Granule) -> Group:
    name = granule.product_id
    ring = " ".join(f"{lat:.5f} {lon:.5f}" for lon, lat in granule.footprint)
    exterior = Group(attrs={"gml:posList": ring, "objectType": "gml:LinearRing"})
    members = Group(attrs={"objectType": "gml:Polygon"}, groups={"gml:exterior": exterior})
    extent = Group(attrs={"objectType": "gml:MultiSurface"}, groups={"gml:surfaceMembers": members})
    processing = {
        "objectType": "eop:ProcessingInformation",
        "eop:processingCenter": "extenso-nb",
        "eop:processingDate": f"{granule.created:%Y-%m-%d}",
        "eop:processingLevel": "L2",
        "eop:processorVersion": granule.processor,
        "eop:nativeProductFormat": "netCDF-4",
        "eop:processingMode": granule.stream,
    }
    about = {
        "objectType": "eop:EarthObservationMetaData",
        "eop:acquisitionType": "NOMINAL",
        "eop:identifier": name,
        "eop:parentIdentifier": f"urn:ogc:def:EOP:ESA:SENTINEL.S5P_TROP_{granule.product_type}",
        "eop:productType": f"S5P_{granule.stream}_{granule.product_type[4:]}",
        "eop:status": "ACQUIRED",
        "eop:productQualityStatus": "NOMINAL",
    }
    time = {
        "gml:beginPosition": _iso(granule.start),
        "gml:endPosition": _iso(granule.stop),
        "objectType": "gml:TimePeriod",
    }
    procedure: dict[str, dict[str, Any]] = {
        "eop:acquisitionParameters": {"eop:orbitNumber": np.int32(granule.orbit), "objectType": "eop:Acquisition"},
        "eop:instrument": {"eop:shortName": "TROPOMI", "objectType": "eop:Instrument"},
        "eop:platform": {"eop:shortName": "Sentinel-5p", "objectType": "eop:Platform"},
        "eop:sensor": {"eop:sensorType": "ATMOSPHERIC", "objectType": "eop:Sensor"},
    }
    return Group(
        attrs={"gml:id": f"{name}.ID", "objectType": "atm:EarthObservation"},
        groups={
            "eop:metaDataProperty": Group(attrs=dict(about), groups={"eop:processing": Group(attrs=dict(processing))}),
            "om:featureOfInterest": Group(
                attrs={"objectType": "eop:FootPrint", "gml:id": f"{name}.FP"}, groups={"eop:multiExtentOf": extent}
            ),
            "om:phenomenonTime": Group(attrs=dict(time)),
            "om:procedure": Group(
                attrs={"gml:id": f"{name}.EOE", "objectType": "eop:EarthObservationEquipment"},
                groups={key: Group(attrs=value) for key, value in procedure.items()},
            ),
        },
    )


def _esa_metadata(granule: Granule) -> Group:
    fixed = {
        "objectType": "Fixed_Header",
        "File_Name": granule.product_id,
        "File_Description": f"{granule.kind.description}; made-up sample data",
        "Mission": "S5P",
        "File_Class": granule.stream,
        "File_Type": granule.product_type,
        "File_Version": np.int32(1),
    }
    period = {
        "objectType": "Validity_Period",
        "Validity_Start": f"UTC={granule.start:%Y-%m-%dT%H:%M:%S}",
        "Validity_Stop": f"UTC={granule.stop:%Y-%m-%dT%H:%M:%S}",
    }
    header = Group(attrs=dict(fixed), groups={"validity_period": Group(attrs=dict(period))})
    top = Group(attrs={"objectType": "Earth_Explorer_Header"}, groups={"fixed_header": header})
    return Group(groups={"earth_explorer_header": top})


def _iso(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
