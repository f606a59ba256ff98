"""A folder of small Sentinel-2 products that are quick to write: true names and manifests, made-up content."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

FOOTPRINT = "43.0 1.0 43.0 2.0 44.0 2.0 44.0 1.0 43.0 1.0"

METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>2024-06-01T10:56:19.024Z</PRODUCT_START_TIME>
<PRODUCT_STOP_TIME>2024-06-01T10:56:19.024Z</PRODUCT_STOP_TIME>
<PRODUCT_URI>{name}.SAFE</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>
<PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE><PROCESSING_BASELINE>05.10</PROCESSING_BASELINE>
<Datatake datatakeIdentifier="GS2B_20240601T105619_037792_N05.10"><SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME>
<SENSING_ORBIT_NUMBER>94</SENSING_ORBIT_NUMBER><SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION></Datatake>
</Product_Info></n1:General_Info>
<n1:Geometric_Info><Product_Footprint><Product_Footprint><Global_Footprint>
<EXT_POS_LIST>{footprint}</EXT_POS_LIST></Global_Footprint></Product_Footprint></Product_Footprint></n1:Geometric_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>{cloud}</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info>
</n1:Level-2A_User_Product>
"""


def write_archive(folder: Path, *, count: int, size: int = 3_000_000) -> Path:
    """`count` products of about `size` bytes each."""
    folder.mkdir(parents=True)
    chance = random.Random(7)
    for number in range(count):
        name = f"S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T1345{number:02d}"
        text = METADATA.format(name=name, footprint=FOOTPRINT, cloud=float(number))
        with zipfile.ZipFile(folder / f"{name}.SAFE.zip", "w") as archive:
            archive.writestr(f"{name}.SAFE/manifest.safe", "<xfdu/>")
            archive.writestr(f"{name}.SAFE/MTD_MSIL2A.xml", text)
            archive.writestr(f"{name}.SAFE/GRANULE/pixels", chance.randbytes(size))
    return folder
