"""Planetary Computer: Sentinel-1 (ground range), -2 (L2A), -3 (L2) and -5P (L2) in Azure's storage, open to all.

Its files are read with tokens that anyone gets. Those of Sentinel-3 and -5P are ESA's. Those of Sentinel-1 and -2 were
written anew as cloud-optimised GeoTIFF, so that they are not what the manifest lists: such a product is refused before
any of it is transferred.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from extenso_nb.errors import ExtensoError, NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.manifest import Manifest
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile
from extenso_nb.gateway.sources.azure import Blob, Tokens, blobs_in
from extenso_nb.gateway.sources.record import named, product_of
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.stac import Dialect, Item, StacCatalogue
from extenso_nb.gateway.sources.stac_items import asset, product_from
from extenso_nb.gateway.sources.stac_query import Condition, Shelf, Terms, platforms
from extenso_nb.gateway.sources.tree import Leaf, leaf_at, tree_content
from extenso_nb.gateway.sources.words import parts_of
from extenso_nb.models import Product
from extenso_nb.products import ProductId
from extenso_nb.query import Query
from extenso_nb.readers.entries import MEMBERS_MAX

__all__ = ["PlanetaryComputer", "folder_of", "item_id"]

STAC = "https://planetarycomputer.microsoft.com/api/stac/v1"
SAS = "https://planetarycomputer.microsoft.com/api/sas/v1"
DATA = "https://planetarycomputer.microsoft.com/api/data/v1"
BLOBS = "https://{account}.blob.core.windows.net"

LISTED = 20
"""Products that are looked for in the storage one by one, at most, when the catalogue is down."""

_CONTAINERS = {
    "S1": ("sentinel1euwest", "s1-grd"),
    "S2": ("sentinel2l2a01", "sentinel2-l2"),
    "S3": ("sentinel3euwest", "sentinel-3"),
    "S5P": ("sentinel5euwest", "sentinel-5p"),
}
_S3_TYPES = (
    "olci-lfr", "olci-wfr", "slstr-frp", "slstr-lst", "slstr-wst", "sral-lan", "sral-wat", "synergy-aod", "synergy-syn",
    "synergy-v10", "synergy-vg1", "synergy-vgp",
)  # fmt: skip
_S3_SENSORS = {"olci": "OL", "slstr": "SL", "sral": "SR", "synergy": "SY"}


def _s3_shelf(name: str) -> Shelf:
    sensor, kind = name.split("-")
    return Shelf(f"sentinel-3-{name}-l2-netcdf", "S3", f"{_S3_SENSORS[sensor]}_2_{kind.upper():_<6}", "L2")


_SHELVES = (
    Shelf("sentinel-1-grd", "S1", "GRD", "L1"),
    Shelf("sentinel-2-l2a", "S2", "S2MSI2A", "L2A"),
    *map(_s3_shelf, _S3_TYPES),
    Shelf("sentinel-5p-l2-netcdf", "S5P", None, "L2"),
)

_DIRECTION = ("sat:orbit_state", {word: (word,) for word in ("ascending", "descending")})
_ORBITS = {"orbitnumber": "sat:absolute_orbit", "relativeorbitnumber": "sat:relative_orbit"}
_TIMES = {"beginposition": "start_datetime", "endposition": "end_datetime"}
# When a product was taken in is not told: the start of sensing stands for it, and that is the order.
_SORTS = {"beginposition": "start_datetime", "endposition": "end_datetime", "ingestiondate": "start_datetime"}
_UNTOLD = frozenset({"ingestiondate", "uuid", "size"})


def _identifier(text: str) -> Condition | None:
    identity = named(text)
    return None if identity is None or identity.id != text else Condition("id", "=", item_id(identity), always=True)


_TERMS = {
    "S1": Terms(
        numbers=_ORBITS,
        words={
            "orbitdirection": _DIRECTION,
            "sensoroperationalmode": ("sar:instrument_mode", {word.lower(): (word,) for word in ("IW", "EW", "SM")}),
            "platformserialidentifier": ("platform", platforms("S1")),
        },
        times=_TIMES,
        polarisations="sar:polarizations",
        identifier=_identifier,
        agree=62,
        untold=_UNTOLD,
        sorts=_SORTS,
    ),
    "S2": Terms(
        numbers={"relativeorbitnumber": "sat:relative_orbit", "cloudcoverpercentage": "eo:cloud_cover"},
        words={"orbitdirection": _DIRECTION, "platformserialidentifier": ("platform", platforms("S2"))},
        patterns={
            "tileid": ("s2:mgrs_tile", "[0-9]{2}[A-Z]{3}", ""),
            "processingbaseline": ("s2:processing_baseline", r"[0-9]{2}\.[0-9]{2}", ""),
        },
        times=dict.fromkeys(("beginposition", "endposition", "datatakesensingstart"), "datetime"),
        identifier=_identifier,
        agree=27,
        untold=_UNTOLD | {"timeliness"},
        sorts=dict.fromkeys(("beginposition", "endposition", "ingestiondate"), "datetime"),
    ),
    "S3": Terms(
        numbers=_ORBITS | {"cloudcoverpercentage": "eo:cloud_cover"},
        words={
            "orbitdirection": _DIRECTION,
            "passdirection": _DIRECTION,
            "relpassdirection": _DIRECTION,
            "platformserialidentifier": ("platform", platforms("S3")),
            "timeliness": (
                "s3:processing_timeliness",
                {
                    "near real time": ("NR",),
                    "nr": ("NR",),
                    "short time critical": ("ST",),
                    "st": ("ST",),
                    "non time critical": ("NT",),
                    "nt": ("NT",),
                },
            ),
        },
        times=_TIMES,
        identifier=_identifier,
        agree=12,
        untold=_UNTOLD,
        sorts=_SORTS,
    ),
    "S5P": Terms(
        numbers={"orbitnumber": "sat:absolute_orbit"},
        words={
            "processingmode": (
                "s5p:processing_mode",
                {
                    "near real time": ("NRTI",),
                    "nrti": ("NRTI",),
                    "offline": ("OFFL",),
                    "offl": ("OFFL",),
                    "reprocessing": ("RPRO",),
                    "rpro": ("RPRO",),
                },
            )
        },
        patterns={"producttype": ("product:type", "L2__[A-Z0-9_]{6}", "")},
        times=_TIMES,
        identifier=_identifier,
        agree=4,
        untold=_UNTOLD | {"orbitdirection", "relativeorbitnumber"},
        sorts=_SORTS,
    ),
}


def item_id(identity: ProductId) -> str:
    """The identifier of a product's item: pieces of ESA's."""
    pieces = dict(identity.fields)
    match identity.collection:
        case "S1":
            return identity.id.rpartition("_")[0] if not pieces["suffix"] else identity.id
        case "S2" if "baseline" in pieces:
            return identity.id.replace(f"_N{pieces['baseline']}", "")
        case "S3":
            kind = f"{pieces['sensor']}_{pieces['level']}_{pieces['kind'].rstrip('_')}"
            instance = pieces["instance"].rstrip("_")
            return "_".join((pieces["satellite"], kind, pieces["start"], pieces["stop"], instance))
        case "S5P":
            return "_".join(("S5P", "L2", pieces["kind"][4:], pieces["start"], pieces["stop"], pieces["orbit"]))
    return identity.id


def folder_of(identity: ProductId) -> str | None:
    """Where the files of a product lie in its container, by its identifier alone; None for one that is not there.

    Ends with `/` for a folder; that of Sentinel-5P is the one file.
    """
    pieces, begin = dict(identity.fields), identity.start
    day = f"{begin:%Y/%m/%d}"
    match identity.collection:
        case "S1" if identity.product_type == "GRD" and not pieces["suffix"]:
            when = f"{begin.year}/{begin.month}/{begin.day}"
            return f"GRD/{when}/{pieces['mode']}/{pieces['polarisation']}/{identity.id}/"
        case "S2" if identity.product_type == "S2MSI2A" and "tile" in pieces:
            tile = pieces["tile"]
            return f"{tile[:2]}/{tile[2]}/{tile[3:]}/{day}/{identity.id}.SAFE/"
        case "S3" if pieces["level"] == "2":
            return f"{identity.instrument}/{identity.product_type}/{day}/{identity.id}.SEN3/"
        case "S5P" if identity.processing_level == "L2":
            return f"TROPOMI/{identity.product_type}/{day}/{identity.id}/{identity.id}.nc"
    return None


def _lookups(batch: Sequence[ProductId]) -> Iterator[dict[str, Any]]:
    missions = {identity.collection for identity in batch}
    ids = [shelf.id for shelf in _SHELVES if shelf.collection in missions]
    yield {"collections": ids, "ids": list(dict.fromkeys(item_id(identity) for identity in batch))}


def _read(item: Item, source: str) -> Product | None:
    product = product_from(item, source)
    return product and product.model_copy(update={"ingestion_date": product.begin_position})


# --- the source ------------------------------------------------------------------------------------------------------
_EMPTY = 100
"""Pages of a listing after which one with nothing on it is no page any more."""


class PlanetaryComputer:
    """Microsoft's Planetary Computer. No account is needed; a key makes it less sparing.

    Parameters
    ----------
    credentials
        `subscription_key`, where there is one.
    blobs
        URL of a storage account.
    delivers
        Missions of which it is asked for products.
    """

    limits = Limits()

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "planetary_computer",
        stac: str = STAC,
        sas: str = SAS,
        data: str = DATA,
        blobs: str = BLOBS,
        delivers: frozenset[str] = frozenset({"S3", "S5P"}),
        stall_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self.profile = Profile(delivers=delivers, archive=True, cost=1)
        self._data, self._blob_url = data.rstrip("/"), blobs.rstrip("/")
        self._remote = Remote(name, stall_seconds=stall_seconds)
        self._tokens = Tokens(self._remote, sas, credentials)
        self._catalogue = StacCatalogue(
            self._remote, stac, name, Dialect(_TERMS, lookups=_lookups, read=_read), shelves=_SHELVES
        )

    def __repr__(self) -> str:
        return f"<PlanetaryComputer {self.name}>"

    def close(self) -> None:
        """Close all connections."""
        self._remote.close()

    # -- catalogue ---------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """As `Source` says."""
        return self._catalogue.search(collection, query, start=start, rows=rows, orderby=orderby)

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """As `Source` says; a few are looked for in the storage when the catalogue is down."""
        try:
            return self._catalogue.find(product_ids)
        except SourceUnavailable as error:
            failure = error
        asked = [identity for identity in map(named, product_ids) if identity is not None and folder_of(identity)]
        if len(asked) > LISTED:
            raise failure
        found = {}
        try:
            for identity in asked:
                files = self._files(identity, str(folder_of(identity)))
                if files:
                    size = sum(blob.size for _, blob in files)
                    found[identity.id] = product_of(identity, self.name, ingestion=identity.start, size=size)
        except ExtensoError:
            raise failure from None
        return found

    def check(self) -> None:
        """As `Source` says; how many there are is not known."""
        self._catalogue.check()

    def warm_up(self, product_id: str) -> None:
        """Nothing is ever cold here."""

    def quicklook(self, product_id: str) -> bytes:
        """As `Source` says."""
        item = self._item(product_id)
        if item is None:
            raise UnknownProduct(f"{self.name} does not have {product_id}.", source=self.name)
        place = _place(asset(item, "thumbnail", "browse-jpg", "quicklook").get("href"))
        if place is not None:
            account, container, key = place
            url = self._signed(account, container, key)
        elif asset(item, "rendered_preview"):
            wanted = {"collection": str(item.get("collection")), "item": str(item.get("id"))}
            look = {"assets": "visual", "asset_bidx": "visual|1,2,3", "nodata": "0", "format": "png"}
            url = f"{self._data}/item/preview.png?{urlencode(wanted | look)}"
        else:
            raise NoQuicklook(f"{self.name} has no picture of {product_id}.")
        try:
            return self._remote.get_bytes(url)
        except UnknownProduct:
            pass
        raise NoQuicklook(f"{self.name} has lost its picture of {product_id}.")

    # -- bytes -------------------------------------------------------------------------------------------------------
    def open(self, product_id: str) -> Content:
        """As `Source` says. What is not there as ESA made it is refused with SourceUnavailable, before any transfer."""
        identity = named(product_id)
        if identity is None or identity.id != product_id:
            raise UnknownProduct(f"{self.name} does not have {product_id[:200]}.", source=self.name)
        folder = folder_of(identity)
        files = self._files(identity, folder) if folder else []
        if not files and folder:
            # The rule is that of today's products; the catalogue knows where the others are.
            folder = self._folder_by_item(identity)
            files = self._files(identity, folder) if folder else []
        if not files:
            raise UnknownProduct(f"{self.name} does not have {product_id}.", source=self.name)
        if identity.collection == "S5P":
            ((_, blob),) = files[:1]
            sums = {} if blob.md5 is None else {"md5": blob.md5}
            whole = self._leaf(identity, identity.archive_name, blob)
            return Content(identity.archive_name, blob.size, whole.read, sums)
        if identity.collection in {"S1", "S2"}:
            files = self._as_listed(identity, files)
        leaves = [self._leaf(identity, name, blob) for name, blob in files]
        return tree_content(identity, leaves, source=self.name)

    def _leaf(self, identity: ProductId, name: str, blob: Blob) -> Leaf:
        account, container = _CONTAINERS[identity.collection]
        sent = [""]

        def url() -> str:
            sent[0] = self._tokens.of(account, container)
            return self._url(account, container, blob.key, sent[0])

        sums = {} if blob.md5 is None else {"md5": blob.md5}
        leaf = leaf_at(self._remote, name, url, blob.size, checksums=sums)

        def read(offset: int) -> Iterator[bytes]:
            try:
                yield from leaf.read(offset)
            except SourceUnavailable as error:  # raised before the first byte only: the answer was a refusal
                if not _is_of_token(error):
                    raise
            else:
                return
            self._tokens.forget(account, container, sent[0])
            try:
                yield from leaf.read(offset)
            except SourceUnavailable as error:
                failure = self._refused(error)
            else:
                return
            raise failure

        return Leaf(name, blob.size, read, checksums=leaf.checksums, remarks=leaf.remarks)

    def _files(self, identity: ProductId, folder: str) -> list[tuple[str, Blob]]:
        """The files of a product: names below its folder, and what the storage says of them. Empty where it has none."""
        account, container = _CONTAINERS[identity.collection]
        root = folder if folder.endswith("/") else folder.rpartition("/")[0] + "/"
        wanted = {"restype": "container", "comp": "list", "prefix": folder, "maxresults": "5000"}
        found: list[tuple[str, Blob]] = []
        marker: str | None = ""
        seen = set[str]()
        while marker is not None:
            asked = wanted | ({"marker": marker} if marker else {})
            page, marker = self._listed(account, container, asked)
            if marker in seen or len(found) > MEMBERS_MAX or (not page and len(seen) > _EMPTY):
                raise self._unreadable(account, container, "its pages lead in a circle, or do not end")
            seen.add(marker or "")
            found += [(blob.key.removeprefix(root), blob) for blob in page if blob.key.startswith(folder)]
        return found

    def _listed(self, account: str, container: str, asked: Mapping[str, str]) -> tuple[list[Blob], str | None]:
        base = f"{self._account(account)}/{container}?{urlencode(asked, quote_via=quote)}&"
        try:
            answer = self._renewing(account, container, lambda token: self._remote.get_bytes(base + token))
        except UnknownProduct as error:  # the container, not the product
            failure = SourceUnavailable(error.message, **error.details)
        else:
            try:
                return blobs_in(answer)
            except ValueError as error:
                failure = self._unreadable(account, container, str(error))
        raise failure

    def _renewing(self, account: str, container: str, call: Callable[[str], bytes]) -> bytes:
        """What a call with a token gives; once more with another one when it was refused."""
        token = self._tokens.of(account, container)
        try:
            return call(token)
        except SourceUnavailable as error:
            if not _is_of_token(error):
                raise
        self._tokens.forget(account, container, token)
        try:
            return call(self._tokens.of(account, container))
        except SourceUnavailable as error:
            failure = self._refused(error)
        raise failure

    def _refused(self, error: SourceUnavailable) -> SourceUnavailable:
        """An error that came of a new token, as what it is."""
        if not _is_of_token(error):
            return error
        return SourceUnavailable(
            f"{self.name} gives tokens and refuses them: {error.message}",
            hint="It may be out of order: ask again later, or order from another source.",
            **error.details,
        )

    def _unreadable(self, account: str, container: str, why: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self.name}: the listing of {account}/{container} is not to be read: {why[:200]}.", source=self.name
        )

    def _as_listed(self, identity: ProductId, files: list[tuple[str, Blob]]) -> list[tuple[str, Blob]]:
        """The files under the names in the product's manifest. Raises SourceUnavailable where they are others."""
        known = dict(files)
        if (manifest := known.get("manifest.safe")) is None:
            return files  # tree_content says that it is missing
        text = b"".join(self._leaf(identity, "manifest.safe", manifest).read(0))
        listed = {file.path.removeprefix("./"): file.size for file in Manifest("manifest.safe", text).listed}
        names = {_short(name): name for name in listed} | {name: name for name in listed}
        named_ = [(names.get(name, name), blob) for name, blob in files]
        here = {name: blob.size for name, blob in named_}
        other = [name for name, size in listed.items() if name not in here or size not in {None, here[name]}]
        if other:
            raise SourceUnavailable(
                f"{self.name} has {identity.id} in a form of its own: {len(other)} of the {len(listed)} files in its"
                f" manifest are missing or of another size, {other[0][:150]} for one.",
                hint="Order it from another source.",
                source=self.name,
                cannot=True,
            )
        return named_

    def _folder_by_item(self, identity: ProductId) -> str | None:
        item = self._item(identity.id)
        if item is None:
            return None
        entries = item.get("assets")
        for entry in entries.values() if isinstance(entries, dict) else ():
            place = _place(entry.get("href") if isinstance(entry, dict) else None)
            if place is None or place[:2] != _CONTAINERS[identity.collection]:
                continue
            head, found, tail = place[2].partition(identity.id)
            if found:
                return place[2] if identity.collection == "S5P" else head + found + tail.partition("/")[0] + "/"
        return None

    def _item(self, product_id: str) -> Item | None:
        return next(iter(self._catalogue.items((product_id,))), None)

    # -- URLs --------------------------------------------------------------------------------------------------------
    def _account(self, account: str) -> str:
        return self._blob_url.replace("{account}", account)

    def _url(self, account: str, container: str, key: str, token: str) -> str:
        return f"{self._account(account)}/{container}/{quote(key)}?{token}"

    def _signed(self, account: str, container: str, key: str) -> str:
        return self._url(account, container, key, self._tokens.of(account, container))


def _is_of_token(error: SourceUnavailable) -> bool:
    """Whether a refusal may be one of the token that was sent."""
    return error.details.get("status") in {401, 403}


def _place(href: object) -> tuple[str, str, str] | None:
    """Account, container and key of a file; None for what does not lie in one of the containers.

    What a catalogue says is not sent a token: it goes to the storage that is known here, and nowhere else.
    """
    if not isinstance(href, str):
        return None
    parts = parts_of(href)
    found = re.fullmatch(r"([a-z0-9]{3,24})\.blob\.core\.windows\.net", parts.hostname or "")
    container, _, key = parts.path.lstrip("/").partition("/")
    if found is None or parts.scheme != "https" or not key or (found[1], container) not in _CONTAINERS.values():
        return None
    return found[1], container, key


# --- Sentinel-1 and -2 -----------------------------------------------------------------------------------------------
_LONG = re.compile(r"(.*/)?((?:calibration|noise|rfi)-)?s1[a-d]-([a-z0-9]+)-[a-z0-9]+-([a-z]{2})-.*(\.[a-z]+)")


def _short(name: str) -> str:
    """The name of a file of Sentinel-1 as the archive shortens it: `annotation/iw-vv.xml`."""
    found = _LONG.fullmatch(name)
    return name if found is None else f"{found[1] or ''}{found[2] or ''}{found[3]}-{found[4]}{found[5]}"
