"""The live archives by name: which class each is, what it is told, and which account it asks for. Imported when needed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from extenso_nb.errors import InvalidRequest
from extenso_nb.gateway.credentials import ACCOUNTS, stored
from extenso_nb.gateway.sources import Credentials, Limits, Profile, Source

__all__ = ["ALIASES", "KINDS", "Kind", "account_of_source", "described", "expanded", "opened", "unknown"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of live archive."""

    what: str
    """What it is, in a line."""
    where: str
    """`module:class` below `extenso_nb.gateway.sources`."""
    account: str | None = None
    """Under which `extenso login` keeps its credentials."""
    place: str | None = None
    """The argument that takes what stands after the colon of its name; None where nothing does."""
    wants: str = ""
    """What that is, as the help says it: `:URL`, or `[:URL]` where it may be left out."""
    extra: str | None = None
    """The optional dependencies that it needs: `pip install 'extenso-nb[...]'`."""

    @property
    def needs_place(self) -> bool:
        """Whether it cannot be opened without one."""
        return self.wants.startswith(":")


KINDS: dict[str, Kind] = {
    "cdse": Kind("Copernicus Data Space Ecosystem: all missions, the reference catalogue", "cdse:CdseSource", "cdse"),
    "cdse_stac": Kind("the other catalogue of CDSE, for searches while the first is down", "cdse_stac:CdseStac"),
    "google": Kind("Google's public bucket of Sentinel-2", "google:GoogleSource"),
    "meeo": Kind("MEEO's public buckets of Sentinel-5P and -3", "meeo:MeeoSource"),
    "planetary_computer": Kind(
        "Microsoft's Planetary Computer", "planetary_computer:PlanetaryComputer", "planetary_computer"
    ),
    "asf": Kind("Alaska Satellite Facility: Sentinel-1, nothing of it cold", "asf:AsfSource", "earthdata"),
    "earth_search": Kind("Element 84's Earth Search: a catalogue of Sentinel-2 and -1", "earth_search:EarthSearch"),
    "dhus": Kind("a hub that speaks SciHub's protocol", "dhus:DhusSource", "dhus", "url", ":https://HOST/dhus"),
    "sobloo": Kind("Sobloo's protocol", "sobloo:SoblooSource", "sobloo", "url", "[:URL]"),
    "eodag": Kind(
        "what EODAG finds, of its providers", "eodag:EodagSource", None, "provider", "[:PROVIDER]", extra="eodag"
    ),
}
"""All kinds, in the order in which they are told."""
ALIASES: Mapping[str, tuple[str, ...]] = {
    "open": ("google", "meeo", "planetary_computer", "earth_search"),
    "live": ("cdse", "cdse_stac", "asf", "google", "meeo", "planetary_computer", "earth_search"),
}
"""Several of them by one name: those that want no account, and all that are there today."""


def expanded(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of sources with each alias in full; what is named beside an alias is not there twice."""
    named = [text for text in texts if text not in ALIASES]
    found: list[str] = []
    for text in texts:
        if text not in ALIASES:
            found.append(text)
            continue
        found += [name for name in ALIASES[text] if name not in named and name not in found]
    return tuple(found)


def opened(kind: str, place: str, name: str, credentials: Credentials | None = None) -> Source:
    """A live archive of one of `KINDS`, by default with the credentials stored of its account; nothing is asked.

    Raises InvalidRequest for a place that is none, or missing, and where it is not installed.
    """
    known = KINDS[kind]
    if known.place is None and place:
        raise InvalidRequest(f"{kind} takes nothing after its name.", hint=f"Write it as `{kind}`, or NAME={kind}.")
    if known.needs_place and not place:
        raise InvalidRequest(f"{kind} is not a source without its address.", hint=f"Write it as {kind}{known.wants}.")
    if known.place == "url" and place:
        _host(kind, place)
    told: dict[str, Any] = {"name": name} | ({known.place: place} if known.place and place else {})
    account = account_of_source(kind, place)
    if credentials is None and account is not None:
        credentials = stored(account)
    source: Source = _class(kind)(**told, **({} if credentials is None else {"credentials": credentials}))
    return source


def account_of_source(kind: str, place: str = "") -> str | None:
    """The account of a source: `dhus@HOST` for one of several hubs."""
    account = KINDS[kind].account
    if account is not None and ACCOUNTS[account].hosts and place:
        return f"{account}@{_host(kind, place)}"
    return account


def _host(kind: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        host, good = parts.hostname or "", parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:
        host, good = "", False
    # Not shown: whoever writes a password into an address has it in the list of processes, too.
    if not good or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidRequest(
            f"What stands after `{kind}:` is not the address of a source.",
            hint=f"Write {kind}:https://HOST/PATH, without user, password and query; `extenso login {kind}` takes those.",
        )
    if parts.scheme == "http" and host not in _HERE:
        raise InvalidRequest(
            f"{kind} at {host} would be sent its password in clear over http.", hint=f"Write {kind}:https://..."
        )
    return host


_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def _class(kind: str) -> Any:
    known = KINDS[kind]
    module, _, name = known.where.partition(":")
    try:
        return getattr(import_module(f"extenso_nb.gateway.sources.{module}"), name)
    except (ImportError, AttributeError) as error:
        extra = f"[{known.extra}]" if known.extra else ""
        raise InvalidRequest(
            f"{kind} is not installed here: {error}.", hint=f"Run: pip install --upgrade 'extenso-nb{extra}'"
        ) from None


def described(kind: str) -> tuple[Profile, Limits]:
    """What a kind is for and what it allows, without a request. Raises InvalidRequest where it is not installed."""
    made = _class(kind)
    profile, limits = getattr(made, "profile", None), getattr(made, "limits", None)
    if isinstance(profile, Profile) and isinstance(limits, Limits):
        return profile, limits
    known = KINDS[kind]
    place = {known.place: "https://hub.example.org/dhus"} if known.needs_place and known.place else {}
    source = made(**place)
    try:
        return source.profile, source.limits
    finally:
        close = getattr(source, "close", None)
        if callable(close):
            close()


def unknown(text: str, kind: str) -> InvalidRequest:
    """The error of a name that no source has, with the nearest one."""
    names = ["sample", "folder", *ALIASES, *KINDS]
    near = difflib.get_close_matches(kind.lower(), names, n=1, cutoff=0.6)
    rest = f"folder:/path/to/products, sample, {', '.join([*ALIASES, *(n + k.wants for n, k in KINDS.items())])}"
    return InvalidRequest(
        f"{text!r} is not a source.", hint=(f"Did you mean {near[0]}? " if near else "") + f"Name one of: {rest}."
    )
