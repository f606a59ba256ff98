"""Credentials of live archives: what each account is made of, and where they come from.

In this order: the environment, a keyring, a file of this user's. They are looked for each time they are needed, so that a
login counts while the gateway runs; nothing here shows, logs or raises a secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from extenso_nb.errors import AccessError, DataDirectoryReadOnly, ExtensoError, InputError, SourceUnavailable
from extenso_nb.gateway.private import read_private, write_private
from extenso_nb.gateway.sources import Credentials

__all__ = [
    "ACCOUNTS",
    "Account",
    "Field",
    "Secrets",
    "account_of",
    "checked",
    "credentials_file",
    "environment_name",
    "forget",
    "kept",
    "known_accounts",
    "store",
    "stored",
    "where",
]

SERVICE = "extenso_nb"
"""Under which a keyring keeps them; the user name there is that of the account."""
_ASK_AGAIN_SECONDS = 30.0
"""A keyring that failed is not asked before: it may be slow to fail, and each transfer asks."""
_LOCK_SECONDS = 10.0
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that an account is made of."""

    name: str
    text: str
    """What it is, as a prompt says it."""
    secret: bool = True
    kind: str = "text"
    """`text` without control characters; `user`, which has no colon either (HTTP's Basic parts there); `word` of visible
    ASCII, which goes into a header."""

    def fault(self, value: str) -> str | None:
        """What is wrong with a value, in words that do not show it; None when nothing is."""
        if not value:
            return "is empty"
        if len(value) > 16_384:
            return "is longer than 16384 characters"
        if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in value):
            return "has a control character in it, such as a newline, or is no Unicode"
        if self.kind == "user" and ":" in value:
            return "has a colon in it"
        if self.kind == "word" and not (value.isascii() and value.isprintable() and " " not in value):
            return "has a space in it, or a letter that is no ASCII"
        return None


@dataclass(frozen=True, slots=True)
class Account:
    """What a service wants to know of who asks."""

    name: str
    text: str
    """What it is for, and where to get one."""
    fields: tuple[Field, ...]
    ways: tuple[tuple[str, ...], ...]
    """Sets of fields, each of which is enough and comes whole or not at all."""
    optional: tuple[str, ...] = ()
    """Fields that a terminal asks for besides."""
    others: Mapping[str, str] | None = None
    """Variables of the environment that others have named, and their fields; counted when they are enough."""
    hosts: bool = False
    """Whether there may be one for each host: `dhus@HOST`."""

    def field(self, name: str) -> Field | None:
        """A field by name."""
        return next((field for field in self.fields if field.name == name), None)

    def enough(self, names: Collection[str]) -> bool:
        """Whether these fields make an account."""
        found = [sum(name in names for name in way) / len(way) for way in self.ways]
        return 1 in found and all(part in {0, 1} for part in found)

    def wants(self) -> str:
        """What is needed, in words: `token, or username and password`."""
        return ", or ".join(" and ".join(way) for way in self.ways)


_PASSWORD = Field("password", "password")
ACCOUNTS: Mapping[str, Account] = {
    account.name: account
    for account in (
        Account(
            "cdse",
            "the Copernicus Data Space Ecosystem; free, https://dataspace.copernicus.eu",
            (
                Field("username", "user name (an e-mail address)", secret=False),
                _PASSWORD,
                Field("totp", "secret of the authenticator app (base32), where a second factor is on"),
                Field("s3_access_key", "access key of S3 (eodata)", kind="word"),
                Field("s3_secret_key", "secret key of S3 (eodata)", kind="word"),
            ),
            (("username", "password"), ("s3_access_key", "s3_secret_key")),
            optional=("totp", "s3_access_key", "s3_secret_key"),
        ),
        Account(
            "earthdata",
            "NASA Earthdata, for ASF; free, https://urs.earthdata.nasa.gov",
            (
                Field("token", "token (made under `Generate Token` there)", kind="word"),
                Field("username", "user name", secret=False, kind="user"),
                _PASSWORD,
            ),
            (("token",), ("username", "password")),
            others={
                "EARTHDATA_TOKEN": "token",
                "EARTHDATA_USERNAME": "username",
                "EARTHDATA_PASSWORD": "password",
            },
        ),
        Account(
            "planetary_computer",
            "Microsoft's Planetary Computer; works without, a key raises its limits",
            (Field("subscription_key", "subscription key", kind="word"),),
            (("subscription_key",),),
        ),
        Account(
            "dhus",
            "a hub that speaks SciHub's protocol; `dhus@HOST` where there are several",
            (Field("username", "user name", secret=False, kind="user"), _PASSWORD),
            (("username", "password"),),
            hosts=True,
        ),
        Account("sobloo", "Sobloo's protocol", (Field("apikey", "API key", kind="word"),), (("apikey",),)),
    )
}
"""All accounts that `extenso login` knows."""


class Secrets(Mapping[str, str]):
    """The fields of an account by name. Its repr has the names; it is not pickled."""

    __slots__ = ("_account", "_values")

    def __init__(self, account: str, values: Mapping[str, str]) -> None:
        self._account, self._values = account, dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Secrets of {self._account}: {', '.join(self._values)}; hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Credentials are not pickled. Ask for them where they are needed.")


# --- accounts --------------------------------------------------------------------------------------------------------
def account_of(name: str) -> tuple[str, Account]:
    """An account's name as it is kept, and what it is made of. Raises InputError."""
    kind, sign, host = name.strip().lower().partition("@")
    account = ACCOUNTS.get(kind)
    if account is None or (sign and not account.hosts):
        raise InputError(f"{name!r} is not an account.", hint=f"Name one of {', '.join(ACCOUNTS)}.")
    if sign and not _HOST.fullmatch(host):
        raise InputError(f"{name!r} does not name a host.", hint=f"Write it as {kind}@hub.example.org.")
    return (f"{kind}@{host}" if sign else kind), account


def checked(name: str, values: Mapping[str, str]) -> Secrets:
    """Fields of an account that make one. Raises InputError, which names fields and shows no value."""
    name, account = account_of(name)
    for given in values:
        if account.field(given) is None:
            # What was given in the place of a name may well be a password.
            known = ", ".join(field.name for field in account.fields)
            raise InputError(f"What was given for {name} has a field that it does not know.", hint=f"It knows {known}.")
    for field in account.fields:
        fault = field.fault(values[field.name]) if field.name in values else None
        if fault:
            raise InputError(f"The {field.name} of {name} {fault}.", hint="Give it again; nothing was changed.")
    if not account.enough(values):
        raise InputError(f"That is not enough for {name}.", hint=f"It wants {account.wants()}.")
    return Secrets(name, {field.name: values[field.name] for field in account.fields if field.name in values})


def stored(name: str) -> Credentials:
    """What gives the credentials of an account, asked anew each time; None where there are none.

    `dhus@HOST` gives those of `dhus` where the host has none of its own. Raises InputError for what is no account; the
    callable raises SourceUnavailable when there are some that cannot be used, with how to mend that.
    """
    name, _ = account_of(name)

    def credentials() -> Mapping[str, str] | None:
        try:
            found = _look(name)
        except ExtensoError as error:
            raise SourceUnavailable(error.message, hint=error.hint, login=name) from None
        return found and found[1]

    return credentials


def where(name: str) -> str | None:
    """Where the credentials of an account come from, in words; None where there are none.

    Raises AccessError when there are some that cannot be used.
    """
    found = _look(account_of(name)[0])
    return found and found[0]


def kept(name: str) -> Secrets | None:
    """What is stored of an account, whatever the environment says; None where nothing is. Raises AccessError."""
    found = _of_store(*account_of(name))
    return found and found[1]


def known_accounts() -> tuple[str, ...]:
    """All accounts that there can be, and those of single hosts that are stored. Raises AccessError."""
    return (*ACCOUNTS, *sorted(name for name in _entries() if name not in ACCOUNTS))


def _look(name: str) -> tuple[str, Secrets] | None:
    for candidate in dict.fromkeys((name, name.partition("@")[0])):
        account = account_of(candidate)[1]
        found = _of_environment(candidate, account) or _of_store(candidate, account)
        if found is not None:
            return found
    return None


# --- environment -----------------------------------------------------------------------------------------------------
def environment_name(account: str, field: str) -> str:
    """The variable of a field: EXTENSO_CDSE_USERNAME, EXTENSO_DHUS_HUB_EXAMPLE_ORG_PASSWORD.

    A hyphen is two underscores, or the password of `a-b.org` would be that of `a.b.org` as well.
    """
    return re.sub(r"[^A-Z0-9_]", "_", f"extenso_{account}_{field}".upper().replace("-", "__"))


def _of_environment(name: str, account: Account) -> tuple[str, Secrets] | None:
    variables = {environment_name(name, field.name): field.name for field in account.fields}
    # One that comes out of a file ends with a newline.
    given = {variable: os.environ.get(variable, "").rstrip("\r\n") for variable in variables}
    given = {variable: value for variable, value in given.items() if value}
    if not given and name == account.name and account.others:
        variables = dict(account.others)
        theirs = {field: variable for variable, field in variables.items() if os.environ.get(variable)}
        # They were set for another program, perhaps: what is half of ours is none.
        way = next((way for way in account.ways if all(field in theirs for field in way)), ())
        given = {theirs[field]: os.environ[theirs[field]].rstrip("\r\n") for field in way}
    if not given:
        return None
    values = {variables[variable]: value for variable, value in given.items()}
    try:
        return f"the environment ({', '.join(given)})", checked(name, values)
    except InputError as error:
        raise AccessError(
            f"The environment has {', '.join(given)}, which cannot be used: {error.message}",
            hint=f"{name} wants {account.wants()}; set the others too, or take these away.",
        ) from None


# --- keyring ---------------------------------------------------------------------------------------------------------
def _keyring() -> Any | None:
    """The keyring's backend, where there is one that works. Never raises."""
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend

        backend = keyring.get_keyring()
        if isinstance(backend, ChainerBackend):
            backend = max(backend.backends, key=lambda one: one.priority)
        # Below 1 there are those that keep nothing, keep it in clear, or ask on the terminal.
        works = backend.priority >= 1
    except Exception:  # noqa: BLE001 - not installed, or a backend that raises whatever it likes: as good as none
        return None
    return backend if works else None


def _keep_in_keyring(secrets: Secrets) -> bool:
    """Whether a keyring has taken it, and gives it back."""
    backend, name, text = _keyring(), secrets._account, json.dumps(dict(secrets))  # noqa: SLF001 - of this module
    if backend is None:
        return False
    with contextlib.suppress(Exception):  # see above; the file takes it
        backend.set_password(SERVICE, name, text)
        if backend.get_password(SERVICE, name) == text:
            return True
    _drop_from_keyring(name)
    return False


def _drop_from_keyring(name: str) -> bool:
    """Whether the keyring has it no more, as far as it says."""
    backend = _keyring()
    if backend is None:
        return False
    with contextlib.suppress(Exception):
        backend.delete_password(SERVICE, name)
    with contextlib.suppress(Exception):
        return backend.get_password(SERVICE, name) is None
    return False


def _of_keyring(name: str) -> Secrets:
    backend = _keyring()
    said = "there is no keyring here"
    if backend is not None:
        try:
            text = backend.get_password(SERVICE, name)
            if text is not None:
                return checked(name, json.loads(text))
            said = "it has none"
        except Exception as error:  # noqa: BLE001 - see above; and what it says may hold anything
            said = f"it does not answer ({type(error).__name__})"
    raise AccessError(
        f"The credentials of {name} were put into the keyring of this user, and {said}.",
        hint=f"Unlock it; or run `extenso login {name}` again, in the session in which the gateway runs.",
    )


# --- file ------------------------------------------------------------------------------------------------------------
def credentials_file() -> Path:
    """The file of this user's, which also says which accounts are in the keyring."""
    import platformdirs

    return Path(platformdirs.user_config_dir("extenso_nb", appauthor=False)) / "credentials.json"


@dataclass(slots=True)
class _Known:
    """What was read of a file, and what its keyring said, for as long as the file has not changed."""

    path: Path
    stamp: tuple[int, ...] | None
    entries: dict[str, dict[str, Any]]
    asked: dict[str, Secrets]
    failed: dict[str, tuple[float, AccessError]]

    def __repr__(self) -> str:
        return f"<what is known of {self.path}, hidden>"


_lock = threading.Lock()
_known: _Known | None = None


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        looked = (path.lstat(), path.stat())
    except OSError:
        return None
    return tuple(
        part
        for found in looked
        for part in (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid)
    )


def _file() -> _Known:
    """What the file holds; it is read again when it has changed. Raises AccessError."""
    global _known  # noqa: PLW0603 - one file a process, looked at by many threads
    path = credentials_file()
    with _lock:
        stamp = _stamp(path)
        if _known is None or _known.path != path or _known.stamp != stamp or stamp is None:
            _known = None
            _known = _Known(path, stamp, _read(path), {}, {})
        return _known


def _entries() -> dict[str, dict[str, Any]]:
    return _file().entries


def _read(path: Path) -> dict[str, dict[str, Any]]:
    content = read_private(path)
    if content is None:
        return {}
    try:
        entries = json.loads(content)["accounts"]
        good = isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values())
    except (ValueError, TypeError, LookupError, RecursionError):
        good = False
    if not good:
        raise AccessError(f"{path} does not hold credentials.", hint="Remove it, and log in again.")
    return dict(entries)


def _of_store(name: str, account: Account) -> tuple[str, Secrets] | None:
    known = _file()
    entry = known.entries.get(name)
    if entry is None:
        return None
    if not entry.get("keyring"):
        fields = entry.get("fields")
        try:
            if isinstance(fields, dict) and all(isinstance(value, str) for value in fields.values()):
                return f"the file {known.path}", checked(name, fields)
        except InputError:
            pass
        raise AccessError(
            f"{known.path} holds no credentials of {name} that can be used.",
            hint=f"Run `extenso login {name}` again: it wants {account.wants()}.",
        )
    if name not in known.asked:
        when, failure = known.failed.get(name, (0.0, None))
        if failure is not None and time.monotonic() - when < _ASK_AGAIN_SECONDS:
            raise AccessError(failure.message, hint=failure.hint)
        try:
            known.asked[name] = _of_keyring(name)
        except AccessError as error:
            known.failed[name] = (time.monotonic(), error)
            raise
    return "the keyring of this user", known.asked[name]


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file: two that log in at once must not lose one of the accounts."""
    lock = FileLock(path.with_name(f"{path.name}.lock"), mode=0o600)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=_LOCK_SECONDS, poll_interval=0.02)
    except Timeout:
        raise AccessError(f"Another process is at {path}.", hint="Try again when it has ended.") from None
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from None
    try:
        yield
    finally:
        lock.release()


def _unwritable(path: Path, why: str) -> DataDirectoryReadOnly:
    return DataDirectoryReadOnly(
        f"{path.parent} cannot be written: {why}.",
        hint="Set XDG_CONFIG_HOME to another place, or give the credentials in the environment of the gateway.",
    )


def _write(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    # A link of this user's (to a folder of settings, say) stays one.
    write_private(path.resolve(), json.dumps({"accounts": entries}, indent=1).encode() + b"\n")


def store(name: str, values: Mapping[str, str]) -> str:
    """Keep the credentials of an account, in place of those there were; where, in words.

    Raises InputError, AccessError when the file there is cannot be used, DataDirectoryReadOnly. Nothing is changed then.
    """
    secrets = checked(name, values)
    name = account_of(name)[0]
    path = credentials_file()
    with _alone(path):
        entries = _read(path)
        before = entries.get(name, {})
        old = _before(name) if before.get("keyring") else None
        in_keyring = _keep_in_keyring(secrets)
        entries[name] = {"keyring": True} if in_keyring else {"fields": dict(secrets)}
        try:
            _write(path, entries)
        except DataDirectoryReadOnly:
            if in_keyring and not (old is not None and _keep_in_keyring(old)):
                _drop_from_keyring(name)
            raise
        if before.get("keyring") and not in_keyring:
            _drop_from_keyring(name)
    return "the keyring of this user" if in_keyring else f"the file {path}"


def _before(name: str) -> Secrets | None:
    with contextlib.suppress(AccessError):
        return _of_keyring(name)
    return None


def forget(name: str) -> bool:
    """Remove what is stored of an account; whether there was anything. The environment is not touched.

    Raises AccessError when the keyring keeps it, or the file cannot be used; DataDirectoryReadOnly.
    """
    name = account_of(name)[0]
    path = credentials_file()
    if _stamp(path) is None and not path.is_symlink():
        return False
    with _alone(path):
        entries = _read(path)
        entry = entries.pop(name, None)
        if entry is None:
            return False
        _write(path, entries)
        if entry.get("keyring") and not _drop_from_keyring(name):
            raise AccessError(
                f"{name} is not used any more, but the keyring of this user may hold it still.",
                hint=f"Remove its entry {SERVICE!r}, {name!r} with the program of the keyring.",
            )
    return True
