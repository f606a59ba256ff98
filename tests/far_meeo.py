"""MEEO's buckets of Sentinel-5P and Sentinel-3 on loopback."""

from __future__ import annotations

from typing import Any, Self

from far_objects import BucketServer, below, fault_of, tree_files
from scripted_http import DATA, Fault, Line

from extenso_nb.gateway.sources.meeo import MeeoSource
from extenso_nb.models import Product

S5P, S3 = "meeo-s5p", "meeo-s3"
NETCDF = b"CDF\x01" + bytes(value * 7 % 251 for value in range(300_000))


def s5p_id(number: int) -> str:
    times = f"20240601T{number // 60:02d}{number % 60:02d}00_20240602T031717"
    return f"S5P_OFFL_L2__NO2____{times}_{34000 + number}_03_020600_20240603T032410"


def s3_id(number: int) -> str:
    times = f"20240601T{number // 60:02d}{number % 60:02d}27_20240602T074112_20240602T091357"
    return f"S3B_OL_1_EFR____{times}_0164_077_334_4320_LN1_O_NT_002"


def place_of(product: str, end: str = "") -> str:
    """Where the documentation says that a product is, written down anew; `end` stands behind the type of Sentinel-3."""
    if product.startswith("S5P"):
        stream, kind, start = product[4:8], product[9:19], product[20:28]
        return f"{stream}/{kind}/{start[:4]}/{start[4:6]}/{start[6:]}/{product}.nc"
    timeliness = {"NR": "NRT", "ST": "STC", "NT": "NTC"}[product[-6:-4]]
    start = product[16:24]
    day = f"{start[:4]}/{start[4:6]}/{start[6:]}"
    return f"{timeliness}/{product[:3]}/{product[4:15]}{end}/{day}/{product}.SEN3"


class MeeoServer(BucketServer):
    def __init__(self, end: str = "") -> None:
        self.end = end
        super().__init__(S5P, S3)

    def add(self, number: int | str, fault: Fault | str = "none", *script: Line, data: bytes | None = None) -> str:
        """A product with the fault: the file of Sentinel-5P, or the large one of Sentinel-3."""
        name = number if isinstance(number, str) else s5p_id(number)
        where = place_of(name, self.end)
        if name.startswith("S5P"):
            self.hold_at(S5P, where, NETCDF if data is None else data, fault_of(fault), *script)
            return name
        files = below(where, tree_files(name, DATA if data is None else data))
        key = f"{where}/measurement.dat"
        self.hold_at(S3, key, files.pop(key), fault_of(fault), *script)
        self.put(S3, files)
        return name


class FarMeeo:
    """See `far.Far`. `end` stands behind the type in the keys of Sentinel-3."""

    def __init__(self, end: str = "", **settings: Any) -> None:
        self.server = MeeoServer(end)
        self.source = MeeoSource(
            s5p=f"{self.server.url}/{S5P}",
            s3=f"{self.server.url}/{S3}",
            **{"connect_seconds": 5, "stall_seconds": 0.5} | settings,
        )

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        """Show a product: the file of Sentinel-5P, or the files of Sentinel-3."""
        where = place_of(product.id, self.server.end)
        if product.collection == "S5P":
            assert not isinstance(content, dict)
            self.server.put(S5P, {where: content or NETCDF})
            return
        files = content if isinstance(content, dict) else tree_files(product.id, content or DATA)
        self.server.put(S3, below(where, files))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.server.close()
