"""Credentials of live archives: where they come from, who may read them, and what is never shown."""

from __future__ import annotations

import copy
import errno
import json
import logging
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
from keyring.backends.fail import Keyring as FailKeyring
from keyring.backends.null import Keyring as NullKeyring

from extenso_nb.errors import AccessError, DataDirectoryReadOnly, ExtensoError, InputError, SourceUnavailable
from extenso_nb.gateway import credentials
from extenso_nb.gateway.credentials import ACCOUNTS, Secrets, credentials_file, forget, store, stored, where
from extenso_nb.gateway.private import read_private, write_private
from extenso_nb.gateway.sources import lacking
from extenso_nb.gateway.sources.token import Login, Token

SECRET = "PLANTED-password-7f3a=ü"
CDSE = {"username": "me@example.org", "password": SECRET}


class Fake(KeyringBackend):
    """A keyring in memory, which fails as told and counts how often it is asked."""

    priority = 5  # type: ignore[assignment]
    viable = False  # so that keyring does not choose it by itself, for other tests

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.fails: set[str] = set()
        self.asked = 0
        self.garbles = False

    def _may(self, what: str) -> None:
        if what in self.fails:
            raise RuntimeError(f"no {what} of {SECRET}")

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        self._may("get")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._may("set")
        self.kept[service, username] = password[:10] if self.garbles else password

    def delete_password(self, service: str, username: str) -> None:
        self._may("delete")
        del self.kept[service, username]


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """None, whatever this machine has; what a test sets is taken back."""
    monkeypatch.setattr(keyring.core, "_keyring_backend", FailKeyring())


@pytest.fixture
def fake(no_keyring: None) -> Fake:
    made = Fake()
    keyring.set_keyring(made)
    return made


def planted(content: Any, mode: int = 0o600) -> Path:
    path = credentials_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps({"accounts": content}))
    path.chmod(mode)
    return path


def fields(account: str) -> dict[str, str] | None:
    found = stored(account)()
    return None if found is None else dict(found)


# --- from where ------------------------------------------------------------------------------------------------------
def test_there_are_none_at_first() -> None:
    for account in credentials.known_accounts():
        assert (fields(account), where(account)) == (None, None)
    assert not credentials_file().parent.exists(), "who looks leaves nothing behind"
    assert forget("cdse") is False
    assert not credentials_file().parent.exists()


def test_the_file_is_the_owners_alone_and_counts_at_once() -> None:
    os.umask(mask := os.umask(0))
    ask = stored("cdse")
    assert ask() is None
    os.umask(0)
    try:
        place = store("cdse", CDSE)
    finally:
        os.umask(mask)
    path = credentials_file()
    assert place == where("cdse") == f"the file {path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(item.name for item in path.parent.iterdir()) == ["credentials.json", "credentials.json.lock"]
    assert SECRET not in path.with_name("credentials.json.lock").read_text()
    assert dict(ask() or {}) == CDSE
    store("cdse", CDSE | {"password": "another"})
    assert (ask() or {})["password"] == "another"
    assert forget("cdse")
    assert ask() is None
    assert not forget("cdse")


def test_a_file_that_has_not_changed_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store("cdse", CDSE)
    read: list[Path] = []
    original = credentials.read_private
    monkeypatch.setattr(credentials, "read_private", lambda path: (read.append(path), original(path))[1])
    ask = stored("cdse")
    for _ in range(50):
        assert ask() is not None
    assert len(read) <= 1
    credentials_file().chmod(0o644)
    with pytest.raises(SourceUnavailable, match="can be read by others"):
        ask()
    credentials_file().chmod(0o600)
    assert ask() is not None


@pytest.mark.parametrize("account", sorted(ACCOUNTS))
def test_the_environment_goes_first_for_every_account(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    every = {field.name: f"of-environment-{field.name}" for field in ACCOUNTS[account].fields}
    store(account, dict.fromkeys(every, "of-the-file"))
    assert set((fields(account) or {}).values()) == {"of-the-file"}
    for name, value in every.items():
        monkeypatch.setenv(f"EXTENSO_{account}_{name}".upper(), f"{value}\n")
    assert fields(account) == every
    said = where(account) or ""
    assert said.startswith("the environment (EXTENSO_")
    assert "of-environment" not in said
    for name in every:
        monkeypatch.setenv(f"EXTENSO_{account}_{name}".upper(), "")
    assert set((fields(account) or {}).values()) == {"of-the-file"}, "an empty variable is none"


def test_either_pair_is_enough() -> None:
    keys = {"s3_access_key": "a", "s3_secret_key": "b"}
    store("cdse", keys)
    assert fields("cdse") == keys
    store("cdse", CDSE | keys | {"totp": "JBSWY3DPEHPK3PXP"})
    assert fields("cdse") == CDSE | keys | {"totp": "JBSWY3DPEHPK3PXP"}
    for half in ({"username": "me"}, {"s3_secret_key": "b"}):
        with pytest.raises(InputError, match="not enough"):
            store("cdse", (keys if "username" in half else CDSE) | half)


def test_half_an_account_in_the_environment_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    store("cdse", CDSE)
    monkeypatch.setenv("EXTENSO_CDSE_PASSWORD", SECRET)
    with pytest.raises(SourceUnavailable, match="EXTENSO_CDSE_PASSWORD, which cannot be used") as caught:
        stored("cdse")()
    assert "username and password" in caught.value.hint
    assert SECRET not in str(caught.value)
    with pytest.raises(AccessError):
        where("cdse")
    monkeypatch.setenv("EXTENSO_CDSE_USERNAME", "me")
    monkeypatch.setenv("EXTENSO_CDSE_S3_ACCESS_KEY", "AKIA")
    with pytest.raises(AccessError, match="S3_ACCESS_KEY"):
        where("cdse")
    monkeypatch.setenv("EXTENSO_CDSE_S3_SECRET_KEY", "two words")
    with pytest.raises(AccessError, match="s3_secret_key of cdse has a space"):
        where("cdse")


def test_variables_of_others_count_when_they_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHDATA_USERNAME", "me")
    assert fields("earthdata") is None, "set for another program, and half of ours"
    monkeypatch.setenv("EARTHDATA_PASSWORD", SECRET)
    assert fields("earthdata") == {"username": "me", "password": SECRET}
    monkeypatch.setenv("EARTHDATA_TOKEN", "ey.token")
    assert fields("earthdata") == {"token": "ey.token"}
    monkeypatch.delenv("EARTHDATA_PASSWORD")
    assert fields("earthdata") == {"token": "ey.token"}
    monkeypatch.setenv("EXTENSO_EARTHDATA_TOKEN", "ey.ours")
    assert fields("earthdata") == {"token": "ey.ours"}


def test_netrc_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine urs.earthdata.nasa.gov login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fields("earthdata") is None


def test_a_hub_has_its_own_or_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    own, all_ = {"username": "own", "password": "a"}, {"username": "all", "password": "b"}
    store("dhus", all_)
    store("DHUS@Hub.Example.org", own)
    assert fields("dhus@hub.example.org") == own
    assert fields("dhus@other.example.org") == fields("dhus") == all_
    assert "dhus@hub.example.org" in credentials.known_accounts()
    monkeypatch.setenv("EXTENSO_DHUS_HUB_EXAMPLE_ORG_USERNAME", "env")
    monkeypatch.setenv("EXTENSO_DHUS_HUB_EXAMPLE_ORG_PASSWORD", "c")
    assert fields("dhus@hub.example.org") == {"username": "env", "password": "c"}
    monkeypatch.setenv("EXTENSO_DHUS_USERNAME", "general")
    monkeypatch.setenv("EXTENSO_DHUS_PASSWORD", "d")
    assert fields("dhus@hub.example.org") == {"username": "env", "password": "c"}
    assert fields("dhus@other.example.org") == {"username": "general", "password": "d"}
    assert forget("dhus@hub.example.org")
    assert not forget("dhus@other.example.org"), "those of all hubs stay"


# --- keyring ---------------------------------------------------------------------------------------------------------
def test_a_keyring_that_works_keeps_them(fake: Fake) -> None:
    assert store("cdse", CDSE) == where("cdse") == "the keyring of this user"
    assert json.loads(fake.kept["extenso_nb", "cdse"]) == CDSE
    assert SECRET not in credentials_file().read_text()
    ask, before = stored("cdse"), fake.asked
    for _ in range(20):
        assert dict(ask() or {}) == CDSE
    assert fake.asked == before, "it is not asked again before something changes"
    store("cdse", CDSE | {"password": "new"})
    assert (ask() or {})["password"] == "new"
    assert forget("cdse")
    assert fake.kept == {}
    assert ask() is None


def test_no_keyring_is_asked_for_what_it_was_not_given(fake: Fake) -> None:
    """It might ask its user to unlock it, who asked for nothing."""
    for account in credentials.known_accounts():
        assert fields(account) is None
    assert fake.asked == 0


@pytest.mark.parametrize("fails", [{"set"}, {"get"}, {"set", "get", "delete"}])
def test_a_keyring_that_fails_counts_as_none(fake: Fake, fails: set[str]) -> None:
    fake.fails = fails
    assert store("cdse", CDSE) == f"the file {credentials_file()}"
    assert fields("cdse") == CDSE


def test_a_keyring_that_keeps_another_thing_counts_as_none(fake: Fake) -> None:
    fake.garbles = True
    assert store("cdse", CDSE) == f"the file {credentials_file()}"
    assert fake.kept == {}
    assert fields("cdse") == CDSE


class Plain(Fake):
    priority = 0.5  # type: ignore[assignment]


class Broken(Fake):
    @property
    def priority(self) -> float:  # type: ignore[override]
        raise RuntimeError("no bus")


@pytest.mark.parametrize("backend", [NullKeyring, FailKeyring, Plain, Broken])
def test_a_keyring_that_keeps_nothing_or_in_clear_counts_as_none(backend: Callable[[], KeyringBackend]) -> None:
    keyring.set_keyring(backend())
    assert store("cdse", CDSE).startswith("the file ")


def test_the_best_of_several_keyrings_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Fake()
    monkeypatch.setattr(ChainerBackend, "backends", [Plain(), good], raising=False)
    keyring.set_keyring(ChainerBackend())
    assert store("cdse", CDSE) == "the keyring of this user"
    assert good.kept
    monkeypatch.setattr(ChainerBackend, "backends", [Plain()], raising=False)
    assert store("cdse", CDSE).startswith("the file ")


def test_without_the_package_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert store("cdse", CDSE).startswith("the file ")
    assert fields("cdse") == CDSE


def test_a_keyring_that_is_gone_is_no_missing_login(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    store("cdse", CDSE)
    keyring.set_keyring(FailKeyring())
    credentials_file().touch()  # as in another process: nothing is remembered
    ask = stored("cdse")
    with pytest.raises(SourceUnavailable, match=r"put into the keyring .* there is no keyring here") as caught:
        ask()
    assert "extenso login cdse" in caught.value.hint
    keyring.set_keyring(fake)
    fake.fails = {"get"}
    credentials_file().touch()
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match=r"does not answer \(RuntimeError\)") as caught:
            ask()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert fake.asked == 2, "one while it was kept; a slow failure is not waited for again and again"
    fake.fails = set()
    later = time.monotonic() + 31
    monkeypatch.setattr(credentials.time, "monotonic", lambda: later)
    assert dict(ask() or {}) == CDSE
    fake.kept.clear()
    credentials_file().touch()
    with pytest.raises(SourceUnavailable, match="it has none"):
        ask()
    # Another login mends it, and forgetting says what may be left.
    store("cdse", CDSE)
    fake.fails = {"delete"}
    with pytest.raises(AccessError, match="may hold it still"):
        forget("cdse")
    assert ask() is None


def test_from_keyring_to_file_and_back_leaves_none_behind(fake: Fake) -> None:
    store("cdse", CDSE)
    fake.fails = {"set"}
    assert store("cdse", CDSE | {"password": "filed"}).startswith("the file ")
    assert fake.kept == {}
    fake.fails = set()
    store("cdse", CDSE)
    assert "filed" not in credentials_file().read_text()


def test_a_disk_that_is_full_changes_nothing(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    store("cdse", CDSE)

    def full(path: Path, content: bytes) -> None:
        raise DataDirectoryReadOnly("full")

    monkeypatch.setattr(credentials, "write_private", full)
    with pytest.raises(DataDirectoryReadOnly):
        store("cdse", CDSE | {"password": "new"})
    with pytest.raises(DataDirectoryReadOnly):
        store("sobloo", {"apikey": "k"})
    assert list(fake.kept) == [("extenso_nb", "cdse")]
    credentials_file().touch()
    assert fields("cdse") == CDSE


# --- who may read ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_read_is_refused(mode: int) -> None:
    path = planted({"cdse": {"fields": CDSE}}, mode)
    with pytest.raises(SourceUnavailable, match="can be read by others") as caught:
        stored("cdse")()
    assert f"chmod 600 {path}" in caught.value.hint
    assert SECRET not in str(caught.value)
    for call in (
        lambda: store("cdse", CDSE),
        lambda: forget("cdse"),
        lambda: where("cdse"),
        credentials.known_accounts,
    ):
        with pytest.raises(AccessError, match="can be read by others"):
            call()
    assert json.loads(path.read_text())["accounts"]["cdse"]["fields"] == CDSE, "what was refused is still there"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_another_user_put_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = planted({"cdse": {"fields": CDSE}})
    os.chown(path, 12345, -1)
    with pytest.raises(AccessError, match=r"belongs to another user \(12345\)"):
        where("cdse")
    mine = tmp_path / "mine.json"
    path.rename(mine)
    os.chown(mine, 0, -1)
    path.symlink_to(mine)
    assert fields("cdse") == CDSE, "a link of one's own is well"
    os.lchown(path, 12345, -1)
    with pytest.raises(AccessError, match="is a link that belongs to another user"):
        where("cdse")
    path.unlink()
    path.symlink_to(mine)
    os.chown(mine, 12345, -1)
    with pytest.raises(AccessError, match="belongs to another user"):
        where("cdse")
    os.chown(mine, 0, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert fields("cdse") == CDSE, "root could read it anyway"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path = planted({})
    target = tmp_path / "settings" / "credentials.json"
    target.parent.mkdir()
    path.rename(target)
    path.symlink_to(target)
    store("cdse", CDSE)
    assert path.is_symlink()
    assert SECRET in json.loads(target.read_text())["accounts"]["cdse"]["fields"]["password"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    target.unlink()
    assert fields("cdse") is None
    store("cdse", CDSE)
    assert fields("cdse") == CDSE


@pytest.mark.parametrize("what", ["pipe", "folder", "loop", "long"])
def test_what_is_no_file_is_refused_at_once(what: str) -> None:
    path = planted({})
    path.unlink()
    if what == "pipe":
        os.mkfifo(path, 0o600)
    elif what == "folder":
        path.mkdir(0o700)
    elif what == "loop":
        path.symlink_to(path)
    else:
        planted("x" * 1_000_001)
    begun = time.monotonic()
    with pytest.raises(AccessError):
        where("cdse")
    with pytest.raises(AccessError):
        store("cdse", CDSE)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"accounts": []}',
        '{"accounts": {"cdse": 1}}',
        '{"accounts": null}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_a_damaged_file_is_said_and_kept(content: str) -> None:
    path = planted(content)
    for call in (lambda: where("cdse"), lambda: store("cdse", CDSE), lambda: forget("cdse")):
        with pytest.raises(AccessError, match="does not hold credentials"):
            call()
    assert path.read_text() == content


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"fields": None},
        {"fields": {"username": "me"}},
        {"fields": CDSE | {"password": 5}},
        {"fields": {"colour": "x"}},
    ],
)
def test_a_damaged_entry_spoils_no_other(entry: dict[str, Any]) -> None:
    planted({"cdse": entry, "sobloo": {"fields": {"apikey": "k"}}})
    assert fields("sobloo") == {"apikey": "k"}
    with pytest.raises(SourceUnavailable, match="holds no credentials of cdse that can be used"):
        stored("cdse")()
    store("cdse", CDSE)
    assert fields("cdse") == CDSE
    assert fields("sobloo") == {"apikey": "k"}


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "config", Path("/proc/extenso")):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(place))
        with pytest.raises(DataDirectoryReadOnly, match="cannot be written"):
            store("cdse", CDSE)
        assert fields("cdse") is None


def test_what_cannot_be_read_is_not_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    planted({"cdse": {"fields": CDSE}})

    def refused(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(SourceUnavailable, match="Input/output error"):
        stored("cdse")()


def test_a_private_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_private(path, b"one")
    assert read_private(path) == b"one"
    assert read_private(tmp_path / "nothing") is None
    assert read_private(path / "below") is None
    with pytest.raises(DataDirectoryReadOnly):
        write_private(tmp_path / "no" / "x", b"two")
    assert [item.name for item in tmp_path.iterdir()] == ["x"]


# --- at once ---------------------------------------------------------------------------------------------------------
WRITER = """
import sys
from extenso_nb.gateway.credentials import store
for number in range(15):
    store(f"dhus@{sys.argv[1]}{number}.example.org", {"username": sys.argv[1], "password": str(number)})
"""


def test_two_processes_that_write_at_once_lose_nothing() -> None:
    environment = os.environ | {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name], env=environment) for name in ("a", "b")]
    ask, seen = stored("dhus@a0.example.org"), 0
    while any(writer.poll() is None for writer in writers):
        seen += ask() is not None  # raises if it ever sees half a file
    assert [writer.wait() for writer in writers] == [0, 0]
    for name in ("a", "b"):
        for number in range(15):
            assert fields(f"dhus@{name}{number}.example.org") == {"username": name, "password": str(number)}
    assert seen > 0


def test_many_threads_ask_while_one_logs_in() -> None:
    store("cdse", CDSE)
    ask, wrong, done = stored("cdse"), [], threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                found = ask()
                if found is None or found["username"] not in found["password"]:
                    wrong.append(found)
            except Exception as error:
                wrong.append(error)

    store("cdse", {"username": "0", "password": "0"})
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        store("cdse", {"username": str(number), "password": f"p{number}"})
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- what is given ---------------------------------------------------------------------------------------------------
HOSTILE = ["a\nb", "a\rb", "a\x00b", "\x1b[2J", "a\x85b", "\udc80", "", "x" * 16_385]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["username", "password", "totp", "s3_secret_key"])
def test_values_that_would_mean_something_else_are_refused(field: str, value: str) -> None:
    values = CDSE | {"s3_access_key": "a", "s3_secret_key": "b"} | {field: value}
    with pytest.raises(InputError, match=f"{field} of cdse") as caught:
        store("cdse", values)
    assert not value.strip() or value not in str(caught.value)
    assert fields("cdse") is None


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=50))
def test_any_other_text_comes_back_as_it_was(value: str) -> None:
    store("cdse", {"username": value, "password": value})
    assert fields("cdse") == {"username": value, "password": value}


@pytest.mark.parametrize("value", ["two words", "ümlaut", "a\tb", "a\u2028b"])
def test_what_goes_into_a_header_is_a_word(value: str) -> None:
    for account, field in (("sobloo", "apikey"), ("earthdata", "token"), ("planetary_computer", "subscription_key")):
        with pytest.raises(InputError, match=f"{field} of {account}"):
            store(account, {field: value})


def test_what_is_missing_or_too_much_is_said_without_what_was_given() -> None:
    cases: list[tuple[str, dict[str, str], str]] = [
        ("cdse", {}, "not enough"),
        ("cdse", {"username": "me"}, "not enough"),
        ("cdse", CDSE | {"s3_access_key": "a"}, "not enough"),
        ("cdse", CDSE | {SECRET: "x"}, "does not know"),
        ("dhus", {"username": "a:b", "password": SECRET}, "colon"),
        ("earthdata", {"username": "me"}, "not enough"),
    ]
    for account, values, said in cases:
        with pytest.raises(InputError, match=said) as caught:
            store(account, values)
        assert SECRET not in str(caught.value)
    for name in (
        "",
        "cdsee",
        "cdse@host",
        "dhus@",
        "dhus@a b",
        "dhus@a/b",
        "dhus@-",
        "dhus@ü.org",
        "dhus@" + "x" * 300,
    ):
        with pytest.raises(InputError, match=r"account|host"):
            stored(name)


# --- what is shown ---------------------------------------------------------------------------------------------------
def test_secrets_are_shown_nowhere(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    store("cdse", CDSE)
    found = stored("cdse")()
    assert isinstance(found, Secrets)
    assert repr(found) == "<Secrets of cdse: username, password; hidden>"
    shown = [repr(found), str(found), f"{found}", repr([found]), repr(stored("cdse")), repr(credentials._known)]
    for call in (lambda: pickle.dumps(found), lambda: copy.deepcopy(found)):
        with pytest.raises(TypeError, match="not pickled") as caught:
            call()
        shown.append("".join(traceback.format_exception(caught.value)))
    planted({"cdse": {"fields": CDSE | {"totp": f"{SECRET}\n"}}})
    with pytest.raises(SourceUnavailable) as failed:
        stored("cdse")()
    shown.append("".join(traceback.format_exception(failed.value)))
    shown += [str(failed.value.details), caplog.text, *capfd.readouterr()]
    assert not [text for text in shown if SECRET in text or "7f3a" in text]


def test_whoever_lacks_usable_credentials_says_how_to_mend_them() -> None:
    asked: list[dict[str, str]] = []

    def exchange(given: Any) -> tuple[str, float | None]:
        asked.append(dict(given))
        return "token", 600

    login = Login("cdse", "cdse", stored("cdse"), exchange)

    class Archive:
        lacks = login.lacks

    source: Any = Archive()
    assert "extenso login cdse" in (lacking(source) or "")
    path = planted({"cdse": {"fields": CDSE}}, 0o644)
    assert f"chmod 600 {path}" in (lacking(source) or "")
    with pytest.raises(ExtensoError, match="can be read by others"):
        Token(login).header()
    path.chmod(0o600)
    assert lacking(source) is None
    assert Token(login).header() == "Bearer token"
    assert asked == [CDSE]


def test_hubs_of_similar_names_have_passwords_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTENSO_DHUS_A__B_ORG_USERNAME", "hyphen")
    monkeypatch.setenv("EXTENSO_DHUS_A__B_ORG_PASSWORD", "p")
    assert dict(stored("dhus@a-b.org")() or {})["username"] == "hyphen"
    assert stored("dhus@a.b.org")() is None
