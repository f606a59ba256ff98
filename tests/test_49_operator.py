"""What an operator does wrong, and what happens to his files: said in two lines, and never a gateway that is open to all."""

from __future__ import annotations

import math
import time
from pathlib import Path

import httpx
import jwt
import pytest
from scripted import Gateway, ScriptedSource, served

from extenso_nb import errors, wire
from extenso_nb.cli import main
from extenso_nb.gateway.access import Access, secret_of
from extenso_nb.gateway.serve import Settings, _bound, _owner, _url, serve
from extenso_nb.gateway.store import Store


# --- secret and key --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("content", [b"", b"\n", b"ab" * 31, b"no hexadecimal digits", b"\xff" * 64])
def test_a_secret_that_is_none_opens_no_gateway(content: bytes, tmp_path: Path) -> None:
    # A gateway that signs with nothing takes tokens that anybody can make.
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(errors.DatabaseRefused, match="secret") as caught:
        serve(Settings(tmp_path, sources=(f"folder:{tmp_path}",), idle_seconds=0.5), announce=False)
    assert "Put back" in caught.value.hint
    assert (tmp_path / "secret").read_bytes() == content, "it is the operator who decides"


def test_a_secret_is_kept(tmp_path: Path) -> None:
    made = secret_of(tmp_path)
    assert (len(made), secret_of(tmp_path)) == (32, made)
    (tmp_path / "secret").write_text(made.hex().upper() + "\n")
    assert secret_of(tmp_path) == made


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_an_owners_key_that_is_none_is_no_key(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "api-key").write_bytes(content)
    with pytest.raises(errors.DatabaseRefused, match="owner's API key"):
        serve(Settings(tmp_path, sources=(f"folder:{tmp_path}",), idle_seconds=0.5), announce=False)
    store = Store(f"sqlite:///{tmp_path / 'gateway.db'}")
    assert store.accounts() == []
    store.close()


def test_a_revoked_owner_is_followed_by_another(tmp_path: Path) -> None:
    told = Settings(tmp_path, sources=(f"folder:{tmp_path}",))
    store = Store(f"sqlite:///{tmp_path / 'gateway.db'}")
    old = _owner(told, store)
    store.revoke(store.accounts()[0][0].id)
    assert _owner(told, store) == old, "nothing is given back by a restart"
    assert store.account_of_key(old) is None
    (tmp_path / "api-key").unlink()  # as docs/service.md says
    assert store.account_of_key(_owner(told, store)) is not None
    store.close()


def test_clocks_of_two_processes_need_not_agree_to_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(tmp_path, ScriptedSource())
    there = Access(gateway.store, b"secret" * 8)
    with monkeypatch.context() as ahead:
        now = time.time
        ahead.setattr("extenso_nb.gateway.access.time.time", lambda: now() + 5)
        token = there.login(gateway.key)
    assert jwt.decode(token, options={"verify_signature": False})["iat"] > time.time()
    assert gateway.access.account(f"Bearer {token}") == gateway.account
    gateway.stop()


# --- what is told to a gateway ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("told", "said"), [({"port": -1}, "-1 is not a port"), ({"port": 65536}, "65536 is not a port")]
)
def test_a_port_that_is_none_is_said_to_be_none(told: dict[str, int], said: str, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match=said):
        serve(Settings(tmp_path, sources=(f"folder:{tmp_path}",), idle_seconds=0.5, **told), announce=False)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, math.nan])
def test_a_time_to_be_idle_that_is_none_is_refused(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match="idle"):
        serve(Settings(tmp_path, sources=("nonsense",), idle_seconds=seconds), announce=False)


def test_a_storage_that_cannot_be_read_is_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for storage in ("s3://[::1?endpoint=https://x", "folder:", "s3://", "nonsense"):
        assert main(["serve", "--data-dir", str(tmp_path), "--storage", storage]) == 2
        assert "\n  -> " in capsys.readouterr().err


# --- a proxy in front ------------------------------------------------------------------------------------------------
def test_behind_a_proxy_links_are_made_of_its_headers(tmp_path: Path) -> None:
    source = ScriptedSource()
    name = source.add(1)
    gateway = Gateway(tmp_path, source)
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    # As docs/service.md tells nginx to.
    told = {"Host": "extenso.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    told["Authorization"] = f"Bearer {gateway.access.login(gateway.key)}"
    with served(gateway) as url:
        place = wire.VERBS["download_url"].url(order_id=order.id, delivery_id=f"{order.id}-1")
        answer = httpx.get(url + place, headers=told, trust_env=False).json()
    gateway.stop()
    assert answer["url"].startswith(f"https://extenso.example.org{wire.FILES_PATH}/")


def test_a_gateway_on_all_addresses_is_asked_at_loopback() -> None:
    # To other addresses the client goes through the proxy of the environment, with its key.
    for host in ("0.0.0.0", "127.0.0.1"):
        with _bound(host, 0) as listening:
            assert _url(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"
