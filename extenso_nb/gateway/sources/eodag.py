"""The catalogues that eodag knows, as a source that is searched: its mapping of queries and its logins, not its downloads.

eodag is the extra `eodag`. It is made at the first call; that reads and asks nothing but files, and writes only into a
folder of its own that goes away again.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from extenso_nb.errors import ExtensoError, InputError, ProductOffline, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile, cannot
from extenso_nb.gateway.sources.asf_params import NOTHING, Params, Words, fits, rectangle, window
from extenso_nb.gateway.sources.pictures import picture
from extenso_nb.gateway.sources.record import instant, named, number, product_of, whole
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.translate import Asked, Clause, keywords_in, translate
from extenso_nb.gateway.sources.walking import Page, Search, Walks
from extenso_nb.gateway.sources.words import clean
from extenso_nb.models import Product
from extenso_nb.products import ProductId
from extenso_nb.query import KEYWORDS, Query

__all__ = ["PRESETS", "EodagSource"]

T = TypeVar("T")

PRESETS: dict[str, dict[str, str]] = {
    "S1": {"GRD": "S1_SAR_GRD", "SLC": "S1_SAR_SLC", "RAW": "S1_SAR_RAW", "OCN": "S1_SAR_OCN"},
    "S2": {"S2MSI1C": "S2_MSI_L1C", "S2MSI2A": "S2_MSI_L2A"},
    "S3": {
        "OL_1_EFR___": "S3_EFR", "OL_1_ERR___": "S3_ERR", "OL_2_LFR___": "S3_OLCI_L2LFR", "OL_2_LRR___": "S3_OLCI_L2LRR",
        "OL_2_WFR___": "S3_OLCI_L2WFR", "OL_2_WRR___": "S3_OLCI_L2WRR", "SL_1_RBT___": "S3_SLSTR_L1RBT",
        "SL_2_LST___": "S3_SLSTR_L2LST", "SL_2_WST___": "S3_SLSTR_L2WST", "SL_2_AOD___": "S3_SLSTR_L2AOD",
        "SL_2_FRP___": "S3_SLSTR_L2FRP", "SR_1_SRA___": "S3_SRA", "SR_1_SRA_A_": "S3_SRA_A", "SR_1_SRA_BS": "S3_SRA_BS",
        "SR_2_LAN___": "S3_LAN", "SR_2_LAN_HY": "S3_LAN_HY", "SR_2_LAN_SI": "S3_LAN_SI", "SR_2_LAN_LI": "S3_LAN_LI",
        "SR_2_WAT___": "S3_WAT", "SY_2_AOD___": "S3_SY_AOD", "SY_2_SYN___": "S3_SY_SYN", "SY_2_V10___": "S3_SY_V10",
        "SY_2_VG1___": "S3_SY_VG1", "SY_2_VGP___": "S3_SY_VGP",
    },
    "S5P": {
        "L2__NO2___": "S5P_L2_NO2", "L2__CLOUD_": "S5P_L2_CLOUD", "L2__O3____": "S5P_L2_O3", "L2__CO____": "S5P_L2_CO",
        "L2__AER_AI": "S5P_L2_AER_AI", "L2__O3__PR": "S5P_L2_O3_PR", "L2__O3_TCL": "S5P_L2_O3_TCL",
        "L2__AER_LH": "S5P_L2_AER_LH", "L2__HCHO__": "S5P_L2_HCHO", "L2__CH4___": "S5P_L2_CH4", "L2__SO2___": "S5P_L2_SO2",
        "L2__NP_BD3": "S5P_L2_NP_BD3", "L2__NP_BD6": "S5P_L2_NP_BD6", "L2__NP_BD7": "S5P_L2_NP_BD7",
        "L1B_IR_SIR": "S5P_L1B_IR_SIR", "L1B_IR_UVN": "S5P_L1B_IR_UVN",
        **{f"L1B_RA_BD{band}": f"S5P_L1B_RA_BD{band}" for band in range(1, 9)},
    },
}  # fmt: skip
"""Collection -> product type -> what eodag calls it."""
LARGEST = 500
"""Products of a page. A provider that gives fewer at once ends the search for eodag, which is seen by the count."""
MOST = 5000
"""Products of a search at most: each takes eodag some 20 ms."""
SECOND = timedelta(seconds=1)


PICTURE_HOSTS = (
    "copernicus.eu",
    "creodias.eu",
    "cloudferro.com",
    "cnes.fr",
    "wekeo2.eu",
    "destination-earth.eu",
    "amazonaws.com",
)
"""Hosts of the providers, from which pictures are fetched."""


class EodagSource:
    """One provider of eodag behind the protocol of sources. Threads may share it; one at a time asks eodag.

    Parameters
    ----------
    credentials
        What the provider of eodag takes: `username` and `password`, `apikey` ... Without, eodag has its own ways to them:
        the file `~/.config/eodag/eodag.yml`, which is read, and variables that begin with EODAG__.
    provider
        A name of eodag's.
    pictures
        Hosts from which quicklooks are fetched, those below them included.
    name
        Of the source; `eodag:<provider>` when None.
    settings
        Of the provider, over those that eodag comes with: addresses, say.
    largest
        Products of a page.
    stall_seconds
        As of `Remote`, for pictures.

    Raises
    ------
    InputError
        eodag is not installed.
    """

    profile = Profile(delivers=frozenset(), archive=True, cost=2)
    limits = Limits()

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        provider: str = "cop_dataspace",
        pictures: Iterable[str] = PICTURE_HOSTS,
        name: str | None = None,
        settings: Mapping[str, Any] | None = None,
        largest: int = LARGEST,
        stall_seconds: float = 60.0,
    ) -> None:
        if find_spec("eodag") is None:
            raise InputError("eodag is not installed.", hint="Run `pip install 'extenso-nb[eodag]'`.")
        self.name = name or f"eodag:{provider}"
        self.provider, self.largest = provider, largest
        self._credentials, self._settings = credentials, dict(settings or {})
        self._remote = Remote(self.name, stall_seconds=stall_seconds)
        self._pictures = tuple(pictures)
        self._walks = Walks(self.name, largest=largest, most=MOST)
        self._lock = threading.RLock()
        self._dag: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __repr__(self) -> str:
        return f"<EodagSource {self.name}>"

    def close(self) -> None:
        """Let go of connections, and of the folder that eodag writes into."""
        self._remote.close()
        with self._lock:
            self._dag = None
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    # -- the protocol ------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Products that match, among those of the types that eodag has names for."""
        if collection not in PRESETS:
            return Hits(0, ())
        if asked := sorted(keywords_in(query) & _never_told(collection)):
            raise cannot(self.name, ", ".join(asked))
        presets = self._offered(collection)
        hits = self._walks.window(
            collection,
            query,
            orderby,
            lambda now: self._begin(collection, presets, query, now),
            start=start,
            rows=rows,
            now=datetime.now(UTC),
        )
        missing = f"{self.name} looks for products of these types only: {', '.join(sorted(presets))}."
        return replace(hits, notes=(*hits.notes, missing))

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier; one request for each, since eodag has no other way."""
        found = {name: item for name in product_ids if (item := self._item(name)) is not None}
        return {name: product for name, item in found.items() if (product := self._product(item)) is not None}

    def warm_up(self, product_id: str) -> None:
        """Not here: see `open`."""
        raise cannot(self.name, f"the bytes of {product_id}")

    def open(self, product_id: str) -> Content:
        """Not here: eodag is not asked for bytes. `storage_options` says where they are."""
        raise cannot(self.name, f"the bytes of {product_id}")

    def quicklook(self, product_id: str) -> bytes:
        """The picture that the catalogue names."""
        address = self._held(product_id).properties.get("eodag:quicklook")
        return picture(self._remote, address, product_id, self._pictures)

    def check(self) -> None:
        """See whether it answers to a search for one product."""
        collection = next((name for name in PRESETS if self._presets(name)), None)
        if collection is None:
            raise self._unknown("no Sentinel collections")
        self._ask(lambda dag: self._search(dag, {"collection": self._presets(collection).popitem()[1], "limit": 1}))

    # -- beyond the protocol -----------------------------------------------------------------------------------------
    def storage_options(self, product_id: str) -> dict[str, Any]:
        """Where a product is, and what has to be sent to read it, as fsspec takes them: `path`, `headers`, `key` ...

        They hold secrets, for as long as these last.

        Raises
        ------
        UnknownProduct
            It is not held.
        ProductOffline
            It is not online; nothing is ordered, since eodag would wait for it.
        SourceUnavailable
            There are no credentials, or they are refused.
        """
        item = self._held(product_id)
        if not _is_online(item.properties):
            raise ProductOffline(f"{self.name} has {product_id} in cold storage.", source=self.name)
        options: dict[str, Any] = self._ask(lambda _: item.get_storage_options())
        if not options.get("path"):
            raise SourceUnavailable(f"{self.name} does not say where {product_id} is.", source=self.name)
        return options

    # -- eodag -------------------------------------------------------------------------------------------------------
    def _ask(self, call: Callable[[Any], T]) -> T:
        """What a call of eodag gives; its errors, and those of what it stands on, become one of ours."""
        from eodag.utils.exceptions import AuthenticationError, EodagError, MisconfiguredError

        hint = None
        with self._lock:
            try:
                return call(self._made())
            except ExtensoError:
                raise
            except (AuthenticationError, MisconfiguredError) as error:
                said = clean(str(error), "")
                hint = (
                    f"Give eodag the credentials of {self.provider}: in ~/.config/eodag/eodag.yml, or by its variables."
                )
            except (EodagError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                said = clean(str(error), "")
        # Outside of `except`: what eodag raises holds requests, and with them tokens.
        raise SourceUnavailable(
            f"{self.name}: {said or 'eodag failed'}.".replace("..", "."), hint=hint, source=self.name
        )

    def _made(self) -> Any:
        if self._dag is None:
            from eodag import EODataAccessGateway
            from eodag.config import EODAGSettings

            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="extenso-eodag-")
            chosen: dict[str, Any] = {
                "cfg_dir": Path(self._folder.name),
                "ext_collections_cfg_uri": "",  # else it looks for more collections on the web
                "providers_whitelist": [self.provider],
            }
            own = Path.home() / ".config" / "eodag" / "eodag.yml"
            if own.is_file():
                chosen["cfg_file"] = own
            dag = EODataAccessGateway(settings=EODAGSettings(**chosen))
            changes: dict[str, Any] = dict(self._settings)
            given = self._credentials()
            if given is not None:
                changes["auth"] = {**changes.get("auth", {}), "credentials": dict(given)}
            if changes:
                dag.update_providers_config(dict_conf={self.provider: changes})
            if self.provider not in dag.providers.names:
                raise self._unknown("no such provider, or none without credentials")
            self._dag = dag
        return self._dag

    def _unknown(self, what: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self.name}: eodag has {what}: {self.provider!r}.",
            hint="`eodag list` names those it has.",
            source=self.name,
        )

    def _presets(self, collection: str) -> dict[str, str]:
        """Product type -> eodag's name, of those that the provider has."""

        def known(dag: Any) -> dict[str, str]:
            held = {item.id for item in dag.list_collections(provider=self.provider, fetch_providers=False)}
            return {kind: preset for kind, preset in PRESETS[collection].items() if preset in held}

        return self._ask(known)

    def _offered(self, collection: str) -> dict[str, str]:
        presets = self._presets(collection)
        if not presets:
            raise cannot(self.name, f"{collection}: eodag knows no such products of {self.provider}")
        return presets

    def _search(self, dag: Any, asked: Mapping[str, Any]) -> Any:
        found = dag.search(provider=self.provider, raise_errors=True, validate=False, **asked)
        found.raise_errors = True  # those of the pages that follow, which would end without a word
        self._no_errors(found)
        return found

    def _no_errors(self, found: Any) -> None:
        for _, error in found.errors or ():
            raise error

    # -- products ----------------------------------------------------------------------------------------------------
    def _item(self, product_id: str) -> Any:
        """What eodag makes of a product; None when it is not held, or of a type that eodag has no name for."""
        identity = named(product_id)
        preset = None if identity is None else self._presets(identity.collection).get(identity.product_type)
        if identity is None or preset is None:
            return None
        found = self._ask(lambda dag: list(self._search(dag, {"collection": preset, "id": identity.id})))
        return next((item for item in found if _identity(item) == identity), None)

    def _held(self, product_id: str) -> Any:
        item = self._item(product_id)
        if item is None:
            raise UnknownProduct(f"{self.name} does not hold {product_id}.")
        return item

    def _product(self, item: Any) -> Product | None:
        identity = _identity(item)
        if identity is None:
            return None
        said = item.properties
        direction = str(said.get("sat:orbit_state")).upper()
        return product_of(
            identity,
            self.name,
            uuid=uid if isinstance(uid := said.get("uid"), str) else None,
            begin=instant(said.get("start_datetime")),
            end=instant(said.get("end_datetime")),
            ingestion=instant(said.get("published")),
            footprint=_footprint(item.geometry),
            size=whole(said.get("file:size")),
            online=_is_online(said),
            cloud_cover=number(said.get("eo:cloud_cover")),
            orbit_number=whole(said.get("sat:absolute_orbit")),
            relative_orbit_number=whole(said.get("sat:relative_orbit")),
            orbit_direction=direction if direction in {"ASCENDING", "DESCENDING"} else None,
        )

    def _begin(self, collection: str, presets: Mapping[str, str], query: Query, now: datetime) -> Search:
        params = translate(query, _EodagWords(collection, presets), now).expression or Params()
        kinds = params.sets.get("producttype", frozenset(presets))
        wanted = () if params.nothing else tuple(presets[kind] for kind in sorted(kinds) if kind in presets)
        pages = _Pages(self, wanted, params)
        # In what order products come is a matter of each provider.
        return Search(pages.pages, exact=False, ordered=False)


@dataclass(frozen=True)
class _Pages:
    """One search: each type after another, and each side of the antimeridian."""

    source: EodagSource
    presets: tuple[str, ...]
    params: Params

    def pages(self, _wanted: Callable[[], int]) -> Iterator[Page]:
        """The pages; how many there are in all is known when the last search is begun."""
        searches = [{"collection": preset} | where for preset in self.presets for where in self._places()]
        counts: list[int | None] = []
        if not searches:
            yield Page((), 0, last=True)
        for at, asked in enumerate(searches):
            for items, count in self._one(asked):
                counts[at:] = [count]
                known = len(counts) == len(searches) and None not in counts
                products = (self.source._product(item) for item in items)  # noqa: SLF001 - of the same module
                total = sum(count or 0 for count in counts) if known else None
                yield Page(tuple(item for item in products if item is not None), total)

    def _one(self, asked: Mapping[str, Any]) -> Iterator[tuple[list[Any], int | None]]:
        ask = self.source._ask  # noqa: SLF001 - of the same module
        asked = {**asked, **self._times(), "count": True, "limit": self.source.largest}
        result = ask(lambda dag: self.source._search(dag, asked))  # noqa: SLF001 - of the same module
        items, count = list(result), result.number_matched
        came, following = len(items), iter(result.next_page(update=False)) if items else iter(())
        yield items, count
        while (page := ask(lambda _: next(following, None))) is not None:
            self.source._no_errors(page)  # noqa: SLF001 - of the same module
            came += len(page)
            yield list(page), count
        if count is not None and came < count:
            raise SourceUnavailable(
                f"{self.source.name} told of {count:,} products, and gave {came:,}.", source=self.source.name
            )

    def _times(self) -> dict[str, str]:
        """A second more at either end: providers mean by them what is sensed at some moment between, or within."""
        low, high = self.params.span("begin")
        since = {} if low is None else {"start": (low - SECOND).strftime("%Y-%m-%dT%H:%M:%SZ")}
        # Whatever begins before a moment ends, as an archive may ask for, within a day of it.
        until = {} if high is None else {"end": (high + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
        return since | until

    def _places(self) -> list[dict[str, Any]]:
        if self.params.area is None:
            return [{}]
        from shapely import Point, box

        west, south, east, north = self.params.area
        if west == east and south == north:
            return [{"geom": Point(west, south)}]
        if east <= 180:
            return [{"geom": box(west, south, east, north)}]
        return [{"geom": box(west, south, 180, north)}, {"geom": box(-180, south, east - 360, north)}]


class _EodagWords(Words):
    """What all providers of eodag can be asked for: product type, dates, and an area."""

    def __init__(self, collection: str, presets: Mapping[str, str]) -> None:
        self._collection, self._presets = collection, presets

    def clause(self, clause: Clause) -> Asked[Params] | None:
        """One clause."""
        name = clause.keyword.name
        if self._collection not in clause.keyword.missions:
            return Asked(NOTHING, exact=True)
        if name == "producttype":
            kinds = (kind for kind in self._presets if fits(clause, collection=self._collection, product_type=kind))
            return Asked(Params({"producttype": frozenset(kinds)}), exact=True)
        if name == "footprint" and clause.shape is not None:
            return Asked(Params(area=rectangle(clause.shape[1])), exact=False)
        if name in {"beginposition", "endposition"} and clause.bounds is not None:
            return Asked(Params(windows={name.removesuffix("position"): window(clause.bounds)}), exact=False)
        return None


def _never_told(collection: str) -> set[str]:
    """Keywords that nothing in eodag's properties, nor in the names, tells."""
    never = {name for name, keyword in KEYWORDS.items() if keyword.read is None and collection in keyword.missions}
    return never | ({"timeliness"} if collection == "S1" else set())


def _identity(item: Any) -> ProductId | None:
    return named(item.properties.get("id")) or named(item.properties.get("title"))


def _is_online(said: Mapping[str, Any]) -> bool:
    return said.get("order:status") not in {"orderable", "ordered", "shipping"}


def _footprint(shape: Any) -> dict[str, Any] | None:
    """GeoJSON; None for the whole world, which eodag has where a catalogue tells nothing."""
    from shapely.geometry import mapping

    if shape is None or tuple(shape.bounds) == (-180.0, -90.0, 180.0, 90.0):
        return None
    found: dict[str, Any] = mapping(shape)
    return found
