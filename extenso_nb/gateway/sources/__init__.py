"""Sources: one adapter a catalogue, behind one narrow protocol."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from extenso_nb.errors import SourceUnavailable
from extenso_nb.models import Product
from extenso_nb.query import Query

__all__ = [
    "COLLECTIONS",
    "STORAGE",
    "Content",
    "Credentials",
    "Hits",
    "Limits",
    "Profile",
    "Source",
    "cannot",
    "lacking",
    "limits_of",
    "profile_of",
]

COLLECTIONS = frozenset({"S1", "S2", "S3", "S5P"})

Credentials = Callable[[], Mapping[str, str] | None]
"""Gives the credentials of a source: `username` and `password`, `token`, `apikey` ...; None where there are none. Asked each
time they are needed, so that a login counts while the gateway runs."""

STORAGE = "storage"
"""Stands for a source where the product comes from an earlier delivery to the same account; no source is named so."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a source allows. Deliveries keep to it over all processes that share a database."""

    transfers: int = 4
    """Products on their way at the same time."""
    warm_ups: tuple[int, float] | None = None
    """How many cold products may be asked for in so many seconds: (20, 43200) on the hubs; None for no limit."""
    volume: tuple[int, float] | None = None
    """How many bytes may be fetched in so many seconds; told to users, and not enforced here."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a source is for."""

    searches: frozenset[str] = COLLECTIONS
    """Collections in which it can be searched."""
    delivers: frozenset[str] = COLLECTIONS
    """Collections of which it gives bytes."""
    archive: bool = False
    """Whether it shows the archive that others show, too: of those one answers a search, and the next when it fails.
    One that has products of its own (a folder) is asked in every search."""
    cost: int = 0
    """Deliveries take the source with the least first: 0 lies on this machine, 1 is open to all, 2 wants an account,
    3 counts what is taken from it."""
    account: str | None = None
    """The name under which `extenso login` keeps its credentials; None where it takes none."""


@dataclass(frozen=True, slots=True)
class Hits:
    """One window of the products that match, in the order asked for."""

    total: int
    products: tuple[Product, ...]
    notes: tuple[str, ...] = ()
    """What whoever asked should know of how they were found: a catalogue that failed, a count that is not whole."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a product from one source, readable from any offset, as often as needed.

    Reading again from the same offset gives the same bytes, or raises ChecksumMismatch when the source changed.
    What is read may be abandoned at any block: closing the iterator lets go of whatever stands behind it.
    """

    name: str
    """File name with extension: `<id>.SAFE.zip`, `<id>.SEN3.zip`, `<id>.nc`."""
    size: int | None
    """Bytes in all; None when the source does not say."""
    read: Callable[[int], Iterator[bytes]] = field(repr=False)
    """`read(offset)`: the bytes from there on, in blocks of any length; nothing is asked for before the first one.

    Raises
    ------
    IncompleteTransfer
        The rest did not come; reading again from the byte that was reached can help.
    ChecksumMismatch
        The object is not the one that was announced, or that was read before.
    DamagedProduct
        What came is no product: a page, say.
    ProductOffline
        It is in cold storage, on its way back; `details["retry_after"]` has seconds where the source says so.
    UnknownProduct
        The source has it no more.
    SourceUnavailable
        The source does not answer, or refuses; `details` has `status` and `retry_after` where there are such.
    """
    checksums: dict[str, str] = field(default_factory=dict)
    """Algorithm (a name of `extenso_nb.checksums`: `md5`, `sha3-256`, `blake3`) -> hex digest, as the source gives them."""
    remarks: deque[str] = field(default_factory=deque, repr=False, compare=False)
    """What happened on the way that is no error, in words, for the trail: whoever tells it takes it out."""
    as_is: bool = False
    """Whether this is how its owner wants it, though its manifest may say otherwise: a folder of the operator's own."""


@runtime_checkable
class Source(Protocol):
    """What the gateway asks of a catalogue. Methods may be called from several threads at once.

    Each raises SourceUnavailable when the source cannot answer; an empty result means that there is nothing.
    """

    name: str

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Products of a collection (S1, S2, S3, S5P) that match; `orderby` is ``"<keyword> asc|desc"``."""

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier; those not held are left out."""

    def warm_up(self, product_id: str) -> str | None:
        """Ask for a product that is not online to be brought back. Nothing happens for one that is.

        Gives what to say of it where a source cannot be asked for that; None where it was asked.
        """

    def open(self, product_id: str) -> Content:
        """The bytes of an online product. Raises UnknownProduct."""

    def quicklook(self, product_id: str) -> bytes:
        """JPEG or PNG. Raises NoQuicklook where there is none, UnknownProduct where there is no such product."""

    def check(self) -> int | None:
        """Number of products held, or None when unknown; raises SourceUnavailable when the source does not answer."""


def limits_of(source: Source) -> Limits:
    """The limits of a source: its attribute `limits`, where it has one."""
    limits = getattr(source, "limits", None)
    return limits if isinstance(limits, Limits) else Limits()


def profile_of(source: Source) -> Profile:
    """What a source is for: its attribute `profile`, where it has one."""
    profile = getattr(source, "profile", None)
    return profile if isinstance(profile, Profile) else Profile()


def lacking(source: Source) -> str | None:
    """What a source lacks before it can deliver, and the next step, in a sentence: credentials. None when nothing.

    Asked of its method `lacks`, where it has one. Credentials that are there and cannot be used are lacking, too.
    """
    lacks = getattr(source, "lacks", None)
    try:
        return lacks() if callable(lacks) else None
    except SourceUnavailable as error:
        return f"{error.message} {error.hint}"


def cannot(name: str, what: str) -> SourceUnavailable:
    """The error of a catalogue that is well, but cannot answer this: it does not know what is asked for.

    An empty result would say that there is nothing.
    """
    return SourceUnavailable(
        f"{name} cannot be asked for {what}.",
        hint="Leave that out, or name a source that can.",
        source=name,
        cannot=True,
    )
