"""Live archives by name: what each name opens, with which credentials, and what is said of a name that opens nothing."""

from __future__ import annotations

import json
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from extenso_nb import archives
from extenso_nb.errors import InputError, InvalidRequest
from extenso_nb.gateway.credentials import ACCOUNTS, store
from extenso_nb.gateway.serve import (
    Settings,
    _begun,
    absolute_source,
    close_sources,
    open_source,
    open_sources,
    sources_in_full,
)
from extenso_nb.gateway.sources import Credentials, Limits, Profile, Source, registry
from extenso_nb.gateway.sources.registry import ALIASES, KINDS
from extenso_nb.session import connect

OPEN = ["google", "meeo", "planetary_computer", "earth_search"]


class StandIn:
    """An archive that was opened: what it was told."""

    profile = Profile(frozenset({"S1"}), frozenset({"S1", "S2"}), archive=True, cost=2)
    limits = Limits(transfers=3, warm_ups=(20, 43_200.0), volume=(12 * 10**12, 30 * 86_400.0))

    def __init__(self, credentials: Credentials = lambda: None, *, name: str = "?", **told: Any) -> None:
        self.credentials, self.name, self.told = credentials, name, told
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Hub(StandIn):
    def __init__(self, url: str, credentials: Credentials = lambda: None, *, name: str = "?") -> None:
        super().__init__(credentials, name=name, url=url)
        # As they may: the profile of an object, not of the class.
        self.profile = StandIn.profile


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every class of the registry is a stand-in, found by the registry's own way."""
    for known in KINDS.values():
        module, _, name = known.where.partition(":")
        made = ModuleType(f"extenso_nb.gateway.sources.{module}")
        setattr(made, name, Hub if known.needs_place else StandIn)
        monkeypatch.setitem(sys.modules, made.__name__, made)


def told(source: Source) -> dict[str, Any]:
    assert isinstance(source, StandIn)
    return source.told


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("text", "name", "kind", "place"),
    [
        ("cdse", "cdse", "cdse", {}),
        ("mine=cdse", "mine", "cdse", {}),
        ("planetary_computer", "planetary_computer", "planetary_computer", {}),
        ("dhus:https://hub.example.org/dhus", "dhus", "dhus", {"url": "https://hub.example.org/dhus"}),
        ("at=dhus:http://127.0.0.1:8080/dhus", "at", "dhus", {"url": "http://127.0.0.1:8080/dhus"}),
        ("sobloo", "sobloo", "sobloo", {}),
        ("sobloo:https://s.example.org", "sobloo", "sobloo", {"url": "https://s.example.org"}),
        ("eodag", "eodag", "eodag", {}),
        ("p=eodag:peps", "p", "eodag", {"provider": "peps"}),
    ],
)
def test_a_name_opens_its_archive(text: str, name: str, kind: str, place: dict[str, str]) -> None:
    source = open_source(text)
    assert (source.name, told(source)) == (name, place)
    assert absolute_source(text) == text


@pytest.mark.usefixtures("stand_ins")
def test_each_has_the_credentials_of_its_account_as_they_are_now() -> None:
    opened: dict[str, Any] = {kind: open_source(kind) for kind in KINDS if kind != "dhus"}
    opened["dhus"] = open_source("dhus:https://hub.example.org/dhus")
    other: Any = open_source("b=dhus:https://Other.example.org:8080/dhus")
    assert all(source.credentials() is None for source in opened.values())
    for account, known in ACCOUNTS.items():
        store(account, dict.fromkeys(known.ways[0], f"of-{account}"))
    for kind, source in opened.items():
        account = KINDS[kind].account
        found = source.credentials()
        assert (found and set(found.values())) == (account and {f"of-{account}"}), kind
    store("dhus@other.example.org", {"username": "own", "password": "own"})
    assert dict(other.credentials()) == {"username": "own", "password": "own"}
    assert opened["dhus"].credentials()["username"] == "of-dhus"


@pytest.mark.usefixtures("stand_ins")
def test_aliases_stand_for_several(tmp_path: Path) -> None:
    assert [source.name for source in open_sources(["open"])] == OPEN
    assert [source.name for source in open_sources(["live"])] == ["cdse", "cdse_stac", "asf", *OPEN]
    assert [source.name for source in open_sources(["cdse", "open", "live"])] == ["cdse", *OPEN, "cdse_stac", "asf"]
    assert [source.name for source in open_sources(["meeo", "open"])] == [
        "meeo",
        "google",
        "planetary_computer",
        "earth_search",
    ]
    assert sources_in_full(["open", f"folder:{tmp_path}"]) == (*OPEN, f"folder:{tmp_path}")
    assert set(sources_in_full(OPEN)) == set(sources_in_full(["open"]))
    assert all(set(names) <= set(KINDS) for names in ALIASES.values())
    for name in ALIASES["open"]:
        account = KINDS[name].account
        assert account is None or name == "planetary_computer", "the key of this one is optional"
    for text in ("x=open", "live:cdse"):
        with pytest.raises(InvalidRequest, match="is several"):
            open_sources([text])


@pytest.mark.usefixtures("stand_ins")
def test_several_hubs_are_told_apart() -> None:
    hubs = ["dhus:https://a.example.org/dhus", "dhus:https://b.example.org/dhus", "c=dhus:https://c.example.org/dhus"]
    assert [source.name for source in open_sources(hubs)] == ["dhus", "dhus-2", "c"]
    with pytest.raises(InvalidRequest, match="Two sources are named cdse"):
        open_sources(["cdse", "cdse"])
    with pytest.raises(InvalidRequest, match="No source can be named storage"):
        open_sources(["storage=cdse"])


@pytest.mark.parametrize(
    ("text", "near"),
    [("csde", "cdse"), ("CDSE", "cdse"), ("planetary-computer", "planetary_computer"), ("googel", "google"),
     ("x=earthsearch", "earth_search"), ("folders:/x", "folder"), ("samples", "sample"), ("lives", "live")],
)  # fmt: skip
def test_the_nearest_name_is_said(text: str, near: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a source") as caught:
        open_source(text)
    assert f"Did you mean {near}?" in caught.value.hint
    assert "dhus:https://HOST/dhus" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["", "zzz", "cdse:x", "google:bucket", "dhus", "dhus:", "dhus:hub.example.org", "dhus:ftp://hub.example.org/dhus",
     "dhus:https://", "dhus:https:///dhus", "dhus:https://h:0/dhus", "dhus:https://h:99999/", "dhus:https://[/", "sobloo:x"],
)  # fmt: skip
def test_what_is_no_source_is_said(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        open_source(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "place",
    [
        "https://me:PLANTED@hub.example.org/dhus",
        "https://PLANTED@hub/",
        "https://hub/?key=PLANTED",
        "https://h/#PLANTED",
    ],
)
@pytest.mark.parametrize("kind", ["dhus:", "x=dhus:", "sobloo:", ""])
def test_a_secret_in_an_address_is_refused_before_it_is_in_a_command_line(
    kind: str, place: str, tmp_path: Path
) -> None:
    text = f"{kind}{place}"
    for call in (
        lambda: open_source(text),
        lambda: open_sources([f"folder:{tmp_path}", text]),
        lambda: absolute_source(text),
        lambda: connect(sources=text, data_dir=tmp_path / "data"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert "PLANTED" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "extenso_nb.gateway.sources.eodag", None)
    with pytest.raises(InvalidRequest, match="eodag is not installed here") as caught:
        open_source("eodag")
    assert "extenso-nb[eodag]" in caught.value.hint
    (row,) = (told for told in archives.described() if told["kind"] == "eodag")
    assert "not installed" in row["missing"]
    assert any("not installed" in line for line in archives.kind_lines([row]))


@pytest.mark.usefixtures("stand_ins")
def test_all_that_were_opened_are_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[StandIn] = []
    original = StandIn.__init__

    def noted(self: StandIn, *given: Any, **more: Any) -> None:
        original(self, *given, **more)
        made.append(self)

    monkeypatch.setattr(StandIn, "__init__", noted)
    for texts in (["google", "meeo", "zzz"], ["google", "meeo", "google"], ["google", "storage=meeo"]):
        made.clear()
        with pytest.raises(InvalidRequest):
            open_sources(texts)
        assert len(made) >= 2
        assert [source.closed for source in made] == [1] * len(made)

    def broken(self: StandIn) -> None:
        self.closed += 1
        raise RuntimeError("will not")

    made.clear()
    sources = open_sources(["google", "meeo"])
    monkeypatch.setattr(StandIn, "close", broken)
    close_sources(sources)
    assert [source.closed for source in made] == [1, 1]
    monkeypatch.undo()


def test_a_gateway_that_ends_closes_its_sources(tmp_path: Path) -> None:
    source: Any = StandIn(name="archive")
    (tmp_path / "data").mkdir()
    with _begun(Settings(tmp_path / "data", sources=("google",)), [source], "serve", lambda _: None):
        assert source.closed == 0
    assert source.closed == 1
    # And one that cannot begin.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("short")
    with (
        pytest.raises(Exception, match="secret"),
        _begun(Settings(tmp_path / "other"), [source], "serve", lambda _: None),
    ):
        pass
    assert source.closed == 2


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    tried: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: refuse(None, given))  # type: ignore[arg-type]
    return tried


@pytest.mark.parametrize("kind", KINDS)
def test_each_that_is_installed_is_made_without_a_request(kind: str, no_socket: list[Any]) -> None:
    _, _, name = KINDS[kind].where.partition(":")
    if KINDS[kind].extra and find_spec(str(KINDS[kind].extra)) is None:
        with pytest.raises(InputError, match="not installed"):
            open_source(kind)
        return
    source: Any = open_source(f"{kind}:https://hub.example.org/dhus" if KINDS[kind].needs_place else kind)
    try:
        assert type(source).__name__ == name
        assert source.name == kind
        assert isinstance(source, Source)
        assert isinstance(source.profile, Profile)
        assert isinstance(source.limits, Limits)
        # The key of the Planetary Computer is optional.
        assert source.profile.account in {
            KINDS[kind].account,
            None if kind == "planetary_computer" else KINDS[kind].account,
        }
        assert registry.described(kind) == (source.profile, source.limits)
        assert open_source("x=" + (f"{kind}:https://h/dhus" if KINDS[kind].needs_place else kind)).name == "x"
    finally:
        close_sources([source])
    assert no_socket == []


@pytest.mark.usefixtures("stand_ins")
def test_the_table_says_what_each_holds_and_allows() -> None:
    store("earthdata", {"token": "PLANTED-token"})
    store("dhus@hub.example.org", {"username": "PLANTED-me", "password": "PLANTED"})
    kinds = archives.described()
    assert [row["kind"] for row in kinds] == list(KINDS)
    by_name = {row["kind"]: row for row in kinds}
    assert [kind for kind, row in by_name.items() if row.get("credentials")] == ["asf", "dhus"]
    row = by_name["asf"]
    assert (row["searches"], row["delivers"], row["account"]) == (["S1"], ["S1", "S2"], "earthdata")
    assert row["limits"] == {"transfers": 3, "warmUps": (20, 43_200.0), "volume": (12 * 10**12, 30 * 86_400.0)}
    text = "\n".join(archives.kind_lines(kinds))
    assert "earthdata (set)" in text
    assert "cdse (not set)" in text
    assert "3 at a time, 20 warm-ups in 12 h, 12" in text
    assert "in 30 days" in text
    assert "PLANTED" not in text + json.dumps(kinds)
    assert json.loads(json.dumps(kinds))[0]["limits"]["warmUps"] == [20, 43_200]


def test_the_sources_of_a_gateway_as_text() -> None:
    health = {
        "sources": [
            {"name": "cdse", "status": "ok", "lacks": "cdse wants an account. Run `extenso login cdse`."},
            {"name": "asf", "status": "it does not answer", "restsUntil": "2026-11-26T08:00:00Z"},
            {"name": "folder", "status": "ok", "products": 3},
        ]
    }
    assert list(archives.gateway_lines(health)) == [
        "cdse: ok",
        "    ! cdse wants an account. Run `extenso login cdse`.",
        "asf: it does not answer; rests until 2026-11-26T08:00:00Z",
        "folder: ok, 3 products",
    ]


@pytest.mark.parametrize("kind", ["dhus", "sobloo"])
def test_no_password_goes_out_in_clear(kind: str) -> None:
    with pytest.raises(InvalidRequest, match="in clear") as caught:
        open_source(f"{kind}:http://hub.example.org/dhus")
    assert "https" in caught.value.hint
