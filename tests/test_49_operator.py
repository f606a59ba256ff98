"""What an operator does wrong, and what happens to his files: said in two lines, and never a gateway that is open to all."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from scripted import Gateway, ScriptedSource

from extenso_nb import errors
from extenso_nb.gateway.access import Access, secret_of
from extenso_nb.gateway.serve import Settings, serve
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
