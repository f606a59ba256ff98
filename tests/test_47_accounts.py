"""Accounts: made, listed, limited and revoked by the operator while the gateway runs; none sees another's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import Gateway, ScriptedSource, served

from extenso_nb import admin, errors
from extenso_nb.cli import main
from extenso_nb.client import Client


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture
def gateway(tmp_path: Path, source: ScriptedSource) -> Iterator[Gateway]:
    made = Gateway(tmp_path, source)
    yield made
    made.stop()


def test_an_account_from_its_making_to_its_end(
    gateway: Gateway, source: ScriptedSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = source.add(1), source.add(2, data=source.data[source.add(3)] * 4)
    assert main(["admin", "create", "maria", "--quota", "0.5MB", "--data-dir", str(tmp_path)]) == 0
    told = capsys.readouterr()
    key = told.out.strip()
    number = re.findall(r"account (\w+) for maria", told.err)[0]
    assert re.fullmatch(r"exk_[\w-]{43}", key)
    assert key.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    with served(gateway) as url, Client(url, api_key=key) as maria, Client(url, api_key=gateway.key) as owner:
        assert (maria.me().name, maria.me().role, maria.me().storage.quota) == ("maria", "user", 500_000)
        with pytest.raises(errors.QuotaExceeded):
            maria.order([large])
        order = maria.wait(maria.order([small]), progress=False)
        with pytest.raises(errors.UnknownOrder):
            owner.status(order)
        assert owner.orders() == []
        assert main(["admin", "quota", number, "--quota", "1TB", "--data-dir", str(tmp_path)]) == 0
        assert maria.me().storage.quota == 10**12
        assert main(["admin", "list", "--data-dir", str(tmp_path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1:3] for line in lines] == [["owner", "operator"], ["maria", "user"]]
        assert "of 1 TB" in lines[1]
        # Revoked: the token that was good a moment ago, and the key itself.
        assert main(["admin", "revoke", number, "--data-dir", str(tmp_path)]) == 0
        with pytest.raises((errors.InvalidApiKey, errors.NotAuthenticated)):
            maria.me()
        with Client(url, api_key=key) as again, pytest.raises(errors.InvalidApiKey):
            again.me()
        assert owner.me().name == "owner"
    assert admin.listed(tmp_path)[1].endswith("revoked")
    assert gateway.files(), "what it owns stays"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["create"], 2),
        (["quota", "nobody", "--quota", "1GB"], 2),
        (["revoke", "nobody"], 2),
        (["list"], 2),
        (["create", "x", "--quota", "much"], 2),
        (["create", "x", "--quota", "-1"], 2),
        (["create", "x", "--quota", "999999999999999TB"], 2),
        (["quota", "nobody"], 2),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["admin", *arguments, "--data-dir", str(tmp_path / "new")]) == status
    assert "\n  -> " in capsys.readouterr().err


def test_a_data_directory_that_cannot_be_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["admin", "create", "x", "--data-dir", "/proc/extenso"]) == 14


def test_who_mistypes_the_data_directory_is_told_so(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["list"], ["quota", "nobody", "--quota", "1GB"], ["revoke", "nobody"]):
        assert main(["admin", *arguments, "--data-dir", str(tmp_path / "mistyped")]) == 2
        assert "is not the data directory of a gateway" in capsys.readouterr().err
        assert not (tmp_path / "mistyped").exists()
        assert main(["admin", *arguments, "--data-dir", str(tmp_path)]) == (0 if arguments == ["list"] else 4)


@pytest.mark.parametrize(("text", "size"), [("10GB", 10**10), ("0.5 mb", 500_000), ("123", 123), ("2TB", 2 * 10**12)])
def test_sizes(text: str, size: int) -> None:
    assert admin.quota_bytes(text) == size
