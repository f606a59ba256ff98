"""The Copernicus Data Space Ecosystem (CDSE): ESA's archive of all missions. Searched by OData, without an account.

Products come as zips that it makes on the way, with an account; or, with S3 keys, file by file out of its bucket.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from extenso_nb import products
from extenso_nb.errors import (
    ExtensoError,
    NoQuicklook,
    ProductIdError,
    ProductOffline,
    SourceUnavailable,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Content, Credentials, Hits, Limits, Profile
from extenso_nb.gateway.sources.cdse_bucket import Eodata, keys_of
from extenso_nb.gateway.sources.cdse_entries import Entry, best, deletion, entries, read
from extenso_nb.gateway.sources.cdse_login import Sessions
from extenso_nb.gateway.sources.cdse_odata import IntegerForm, OData, asked_for, quoted, refuse, sort_key, stamp
from extenso_nb.gateway.sources.cdse_pages import TOP_MOST, Answer, Pages
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.token import Login, Token
from extenso_nb.gateway.sources.translate import translate
from extenso_nb.gateway.sources.walking import Search, Walks
from extenso_nb.models import Product
from extenso_nb.query import Query

__all__ = ["CdseSource"]

BULK = 100
"""Names of one request for a list of products."""
FEW = 20
"""Names of one filter: they stand in the URL."""
DEFAULT_PAGE = 20
"""Entries of a page where none is asked for; a list of products may be cut to that."""
SECOND_ROAD_SECONDS = 3600.0
"""How long a product whose zip failed is fetched out of the bucket."""
_ZIPPERS = ("download.dataspace.copernicus.eu", "zipper.dataspace.copernicus.eu")
_NO_ACCOUNT = "where the gateway runs; an account is free, at dataspace.copernicus.eu."


class CdseSource:
    """CDSE behind the protocol of sources. Threads may share it; no request is sent before the first call.

    Parameters
    ----------
    credentials
        `username` and `password`, with `totp` (a code of six digits, or the secret in base32) where the account has a
        second factor; `s3_access_key` and `s3_secret_key`. Either pair delivers; searching wants none.
    catalogue, identity, download, s3
        Addresses of the OData catalogue, of tokens, of zips, and of the endpoint of the bucket `eodata`.
    trusted_hosts
        Hosts to which the token goes along when a download is redirected there, besides that of `download`.
    stall_seconds
        How long no byte may come.
    """

    profile = Profile(archive=True, cost=3, account="cdse")
    limits = Limits(transfers=4, volume=(12 * 10**12, 30 * 86_400.0))

    def __init__(
        self,
        credentials: Credentials = lambda: None,
        *,
        name: str = "cdse",
        catalogue: str = "https://catalogue.dataspace.copernicus.eu/odata/v1",
        identity: str = "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
        download: str = "https://download.dataspace.copernicus.eu/odata/v1",
        s3: str = "https://eodata.dataspace.copernicus.eu",
        trusted_hosts: Iterable[str] = _ZIPPERS,
        stall_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self._credentials = credentials
        self._catalogue, self._download, self._s3 = catalogue.rstrip("/"), download.rstrip("/"), s3.rstrip("/")
        self._remote = Remote(
            name,
            trusted_hosts=[*trusted_hosts, urlsplit(download).netloc],
            stall_seconds=stall_seconds,
            credentials_hint="A token of the account is wanted, no other (DAT-ZIP-609). Run `extenso login cdse` "
            + _NO_ACCOUNT,
        )
        self._login = Login(name, "cdse", self._password, Sessions(name, identity, self._remote.post_json))
        self._remote.authorise = Token(self._login)
        self._walks = Walks(name, largest=TOP_MOST)
        self._integers: IntegerForm = "documented"
        self._failed: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<CdseSource {self.name}: {self._catalogue}>"

    def close(self) -> None:
        """Close all connections."""
        self._remote.close()

    def lacks(self) -> str | None:
        """What is missing before it can deliver; None when there is a password that was not refused, or S3 keys."""
        given = self._credentials()
        if keys_of(given) is not None:
            return None
        return self._login.lacks()

    def _password(self) -> dict[str, str] | None:
        """What a token is asked for with: nothing but that, so that other S3 keys are no other login."""
        given = self._credentials() or {}
        if not given.get("username") or not given.get("password"):
            return None
        return {name: given[name] for name in ("username", "password", "totp") if given.get(name)}

    # -- searching ---------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Products of a collection that match; see `Source`."""
        wanted = products.collection(collection)
        refuse(self.name, wanted, query)
        now = datetime.now(UTC)

        def begin(now: datetime) -> Search:
            return self._search(wanted, query, orderby, now)

        return self._walks.window(wanted, query, orderby, begin, start=start, rows=rows, now=now)

    def _search(self, collection: str, query: Query, orderby: str, now: datetime) -> Search:
        by = sort_key(orderby)
        field, direction = by or ("ContentDate/Start", "asc")

        def ask(since: datetime | None, skip: int, top: int, counted: bool) -> Answer:
            params = {"$orderby": f"{field} {direction}", "$top": str(top), "$expand": "Attributes"}
            params |= ({"$skip": str(skip)} if skip else {}) | ({"$count": "True"} if counted else {})
            word = "le" if direction == "desc" else "ge"
            slice_ = "" if since is None else f" and {field} {word} {stamp(since)}"

            def asked(integers: IntegerForm) -> dict[str, str]:
                expression = translate(query, OData(collection, integers), now).expression
                return {"$filter": asked_for(collection, expression) + slice_} | params

            return self._page(asked)

        exact = translate(query, OData(collection), now).exact
        return Search(
            Pages(self.name, ask, field, orderby if by else "beginposition asc"), exact, ordered=by is not None
        )

    def _page(self, asked: Callable[[IntegerForm], dict[str, str]]) -> Answer:
        """One page; integers are asked for in the other form where the documented one is refused, from then on."""
        form = self._integers
        try:
            return self._answer(asked(form))
        except SourceUnavailable as error:
            refused = error.details.get("status") == 400 and form == "documented" and asked("mixed") != asked(form)
            if not refused:
                raise
            failure = error
        try:
            answer = self._answer(asked("mixed"))
        except SourceUnavailable as error:
            if error.details.get("status") != 400:
                raise
            raise failure from None  # it was not for the integers
        self._integers = "mixed"
        return answer

    def _answer(self, params: Mapping[str, str]) -> Answer:
        answer = self._get("Products", params)
        found, total = entries(answer, self.name)
        return Answer(found, total, more=bool(answer.get("@odata.nextLink")))

    def _get(self, what: str, params: Mapping[str, str]) -> Any:
        return self._asked(lambda: self._remote.get_json(self._url(what, params), authorised=False))

    def _url(self, what: str, params: Mapping[str, str]) -> str:
        return f"{self._catalogue}/{what}?{urlencode(params, safe='$/(),:', quote_via=quote)}"

    def _asked(self, call: Callable[[], Any]) -> Any:
        """What a call to the catalogue gives: that there is no catalogue does not mean that there is no product."""
        try:
            return call()
        except (UnknownProduct, ProductOffline) as error:
            failure = SourceUnavailable(error.message, **error.details)
        raise failure

    # -- by name -----------------------------------------------------------------------------------------------------
    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier, in few requests; those not held are left out."""
        names = self._names(product_ids)
        found: dict[str, Entry] = {}
        for batch in _batches(list(names), BULK):
            listed, whole = self._listed(batch)
            found |= best(listed)
            missing = [name for name in batch if names[name] not in found]
            if missing and not whole:
                for few in _batches(missing, FEW):
                    found |= best(self._filtered(few))
        return {name: found[name].product(self.name) for name in product_ids if name in found}

    def _names(self, product_ids: Sequence[str]) -> dict[str, str]:
        """Names in the catalogue of identifiers; those of other missions have none."""
        named = {}
        for given in product_ids:
            try:
                identity = products.parse(given)
            except ProductIdError:
                continue
            if identity.id == given:
                named[given + identity.extension] = given
        return named

    def _listed(self, names: Sequence[str]) -> tuple[list[Entry], bool]:
        """Entries by a list of names, and whether what is not among them is not held.

        A list of names is documented for this, and not how long its answers may be, nor with what it is refused.
        """
        url = self._url("Products/OData.CSC.FilterList", {"$expand": "Attributes", "$top": str(TOP_MOST)})
        body = {"FilterProducts": [{"Name": name} for name in names]}
        try:
            answer = self._remote.post_json(url, body=body, authorised=False)
        except UnknownProduct:
            return [], False
        except ProductOffline as error:
            raise SourceUnavailable(error.message, **error.details) from None
        except SourceUnavailable as error:
            if error.details.get("status") not in {400, 405, 413, 422, 501}:
                raise
            return [], False
        raw, total = entries(answer, self.name)
        cut = bool(answer.get("@odata.nextLink")) or (total or 0) > len(raw) or len(raw) % DEFAULT_PAGE == 0
        return self._held(raw, names), not cut

    def _filtered(self, names: Sequence[str], expand: str = "Attributes") -> list[Entry]:
        """Entries by a filter on their names."""
        tests = " or ".join(f"Name eq {quoted(name)}" for name in names)
        raw = self._answer({"$filter": tests, "$top": str(TOP_MOST), "$expand": expand}).entries
        return self._held(raw, names)

    def _held(self, raw: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Entry]:
        wanted = set(names)
        read_ = (read(item, self.name) for item in raw if item["Name"] in wanted)
        return [entry for entry in read_ if entry is not None]

    def _entry(self, product_id: str, expand: str = "Attributes") -> Entry:
        """The entry of a product. Raises UnknownProduct, which says so where the product was deleted."""
        names = list(self._names((product_id,)))
        found = best(self._filtered(names, expand)) if names else {}
        if product_id in found:
            return found[product_id]
        deleted = self._deleted(names[0]) if names else None
        if deleted is None:
            raise UnknownProduct(f"{self.name} does not hold {product_id}.", source=self.name)
        raise UnknownProduct(
            f"{self.name} deleted {product_id}{deleted}.",
            hint="Search for it anew: a product is deleted when a better one of the same scene is there.",
            source=self.name,
        )

    def _deleted(self, name: str) -> str | None:
        """When and why a product was deleted; None where that is not known."""
        try:
            answer = self._get("DeletedProducts", {"$filter": f"Name eq {quoted(name)}", "$top": "10"})
            return deletion(entries(answer, self.name)[0])
        except SourceUnavailable:
            return None  # it is not held in any case

    def warm_up(self, product_id: str) -> str:
        """Nothing that could be asked for: what is not online is ordered in the Data Workspace of CDSE alone, by hand.

        So whoever waits for a product looks again now and then whether it is online, and asks other sources meanwhile.
        """
        return "offline; it can only be ordered by hand, in the Data Workspace of CDSE, and is looked at again"

    def check_login(self) -> str | None:
        """Log in once; why that was not tried, where there is no password.

        Raises SourceUnavailable, with `status` in `details` where the password is refused.
        """
        if self._password() is None:
            return "keys of the bucket are tried by the first delivery."
        assert self._remote.authorise is not None
        self._remote.authorise.header()
        return None

    # -- bytes -------------------------------------------------------------------------------------------------------
    def open(self, product_id: str) -> Content:
        """The bytes of a product: the zip of CDSE, or its files out of the bucket where there is no way to the zip.

        Raises
        ------
        UnknownProduct
            It is not held; the message says when and why it was deleted, if it was.
        ProductOffline
            It is not online.
        SourceUnavailable
            The catalogue or the bucket does not answer.
        """
        entry = self._entry(product_id)
        if not entry.online:
            raise ProductOffline(
                f"{self.name} has {product_id} offline, and brings nothing back that is not ordered in its Data Workspace.",
                hint="Order it at workspace.dataspace.copernicus.eu, or wait for another source.",
                source=self.name,
            )
        keys, reason = keys_of(self._credentials()), self._why_not_zip(product_id)
        if keys is None or reason is None:
            return self._zip(entry, watched=keys is not None)
        with self._lock:  # when this road fails as well, the other one is tried again
            self._failed.pop(product_id, None)
        content = Eodata(self.name, self._s3, keys).content(entry)
        content.remarks.appendleft(reason)
        self._note(product_id, reason)
        return content

    def _why_not_zip(self, product_id: str) -> str | None:
        """Why the bucket is the road for a product; None when it is not."""
        if self._login.lacks() is not None:
            return f"{self.name} has no password that gives its zips."
        with self._lock:
            moment, reason = self._failed.get(product_id, (0.0, ""))
        recent = bool(reason) and time.monotonic() - moment < SECOND_ROAD_SECONDS
        return reason if recent else None

    def _note(self, product_id: str, reason: str) -> None:
        with self._lock:
            self._failed[product_id] = time.monotonic(), reason
            while len(self._failed) > 1000:
                self._failed.popitem(last=False)

    def _zip(self, entry: Entry, *, watched: bool) -> Content:
        identity = entry.identity
        url = f"{self._download}/Products({entry.uuid})/$value"
        content = self._remote.content(identity.archive_name, url, size=entry.size, checksums=entry.checksums)
        if not watched:
            return content

        def read_noting(offset: int) -> Iterator[bytes]:
            with closing(cast("Any", content.read(offset))) as blocks:
                try:
                    yield from blocks
                except ProductOffline:
                    raise
                except ExtensoError as error:
                    self._note(identity.id, error.message)
                    raise
            # Whoever wants it again was not content with it: checksums are compared elsewhere.
            self._note(identity.id, f"{self.name} gave its zip of {identity.id} before, and that did not do.")

        return replace(content, read=read_noting)

    def quicklook(self, product_id: str) -> bytes:
        """JPEG or PNG, without an account. Raises NoQuicklook, UnknownProduct, SourceUnavailable."""
        picture = self._entry(product_id, "Assets").quicklook
        if picture is not None:
            try:
                return self._remote.get_bytes(f"{self._catalogue}/Assets({picture})/$value", authorised=False)
            except UnknownProduct:
                pass
        raise NoQuicklook(f"{self.name} has no picture of {product_id}.", source=self.name)

    def check(self) -> int | None:
        """None: that many are counted slowly. Raises SourceUnavailable when the catalogue does not answer."""
        self._answer({"$top": "1"})
        return None


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for at in range(0, len(names), size):
        yield names[at : at + size]
