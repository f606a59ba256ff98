"""Live archives from the command line: give, list and forget credentials; the table of all sources."""

from __future__ import annotations

import getpass
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from extenso_nb import _html
from extenso_nb.errors import AccessError, ExtensoError, InputError, SourceUnavailable
from extenso_nb.gateway import credentials
from extenso_nb.gateway.sources import registry

if TYPE_CHECKING:
    from extenso_nb.gateway.sources import Limits

__all__ = ["asked", "described", "forget", "gateway_lines", "kind_lines", "listed", "log_in", "read_lines"]

_INPUT_LIMIT = 65_536
_REFUSED = frozenset({400, 401, 403})


# --- giving ----------------------------------------------------------------------------------------------------------
def read_lines(name: str, stream: IO[bytes], username: str | None = None) -> dict[str, str]:
    """Fields from a pipe, `field=value` a line. Raises InputError, which shows nothing of what was read."""
    name, account = _account(name)
    if stream.isatty():
        raise InputError(
            "--stdin reads from a pipe, and this is a terminal, which would show it.", hint="Leave --stdin out."
        )
    content = stream.read(_INPUT_LIMIT + 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("What --stdin read is no UTF-8.") from None
    if len(content) > _INPUT_LIMIT:
        raise InputError(f"What --stdin read is longer than {_INPUT_LIMIT} bytes.")
    values = {} if username is None else {"username": username}
    for number, line in enumerate(text.split("\n"), 1):
        field, sign, value = line.removesuffix("\r").partition("=")
        if not line.strip():
            continue
        if not sign or account.field(field.strip()) is None:
            # Not shown: a password alone is what people send first.
            known = ", ".join(known.name for known in account.fields)
            raise InputError(
                f"Line {number} of what --stdin read does not name a field of {name}.",
                hint=f"Write field=value, one a line; the fields are {known}.",
            )
        if field.strip() in values:
            raise InputError(f"{field.strip()} of {name} is given twice.")
        values[field.strip()] = value
    return values


def asked(name: str, username: str | None = None) -> dict[str, str]:
    """Fields as someone at a terminal types them; secrets are not shown. Raises InputError without a terminal."""
    name, account = _account(name)
    if not sys.stdin.isatty():
        raise InputError(
            "This is no terminal on which credentials could be asked for.",
            hint=f"Pipe them in: extenso login {name} --stdin, with field=value a line; or set"
            f" {' and '.join(credentials.environment_name(name, part) for part in _usual(account))} where the gateway runs.",
        )
    before = _kept(name)
    print(f"{name}: {account.text}", file=sys.stderr)
    values = {} if username is None else {"username": username}
    way = _way(account, values)
    for field_name in way:
        field = account.field(field_name)
        assert field is not None
        if field_name in values:
            continue
        stays = not field.secret and field_name in before
        typed = _prompt(field, " [Enter: as before]" if stays else "")
        if not (typed or stays):
            raise _nothing(field)
        values[field_name] = typed or before[field_name]
    for optional in account.optional:
        field = account.field(optional)
        assert field is not None
        pair = next((way for way in account.ways if optional in way), ())
        if optional in values or (optional in pair[1:] and pair[0] not in values):
            continue
        stays = optional in before
        typed = _prompt(field, f" [optional; Enter: {'as before' if stays else 'none'}]")
        if typed or stays:
            values[optional] = typed or before[optional]
    return values


def _way(account: credentials.Account, values: dict[str, str]) -> tuple[str, ...]:
    """Which of several ways is taken: one of a single secret is offered first, and left out by Enter."""
    usual = _usual(account)
    for way in account.ways:
        field = account.field(way[0])
        if len(way) > 1 or way == usual or values or field is None:
            continue
        typed = _prompt(field, f" [Enter: give {' and '.join(usual)} instead]")
        if typed:
            values[field.name] = typed
            return way
    return usual


def _usual(account: credentials.Account) -> tuple[str, ...]:
    return next((way for way in account.ways if "username" in way), account.ways[0])


def _nothing(field: credentials.Field) -> InputError:
    return InputError(f"The {field.name} was not given.", hint="Nothing was changed; run it again.")


def _kept(name: str) -> Mapping[str, str]:
    # A file that is refused is told before somebody types for nothing; a keyring that is gone is replaced.
    credentials.known_accounts()
    try:
        return credentials.kept(name) or {}
    except AccessError:
        return {}


def _prompt(field: credentials.Field, more: str) -> str:
    text = f"{field.text}{more}: "
    try:
        if field.secret:
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)
                return getpass.getpass(text, stream=None)
        print(text, end="", file=sys.stderr, flush=True)
        typed = sys.stdin.readline()
    except getpass.GetPassWarning:
        raise InputError("This terminal would show what is typed.", hint="Use --stdin from a pipe.") from None
    except (EOFError, UnicodeDecodeError):
        typed = ""
    if not typed:
        raise _nothing(field)
    return typed.removesuffix("\n").strip()


def log_in(name: str, values: Mapping[str, str], *, check: bool = True) -> list[str]:
    """Check credentials with their service, once, and store them; what happened, in lines.

    Raises AccessError when the service refuses them, InputError, DataDirectoryReadOnly; nothing is stored then. A service
    that does not answer keeps nobody from storing them.
    """
    name, _ = _account(name)
    secrets = credentials.checked(name, values)
    doubt = _checked(name, secrets) if check else "as was asked"
    place = credentials.store(name, secrets)
    lines = [f"{name}: stored in {place}, " + ("and checked" if doubt is None else f"not checked: {doubt}")]
    used = credentials.where(name)
    if used is not None and used.startswith("the environment"):
        lines.append(f"note: {used} goes before it, for whoever has these variables.")
    if os.environ.get("EXTENSO_URL"):
        lines.append("note: EXTENSO_URL names another gateway, which uses what is stored where it runs.")
    return lines


def _checked(name: str, secrets: credentials.Secrets) -> str | None:
    """Why credentials could not be checked; None when they are right. Raises AccessError when they are not."""
    account, _, host = name.partition("@")
    kind = next((kind for kind, known in registry.KINDS.items() if known.account == account), None)
    if kind is None or host or registry.KINDS[kind].needs_place:
        return "that needs the whole address of the hub; the first order tells."
    try:
        source = registry.opened(kind, "", kind, credentials=lambda: secrets)
    except ExtensoError as error:
        return error.message
    try:
        check_login = getattr(source, "check_login", None)
        if not callable(check_login):
            return "the service has no way to; the first order tells."
        doubt: str | None = check_login()
    except SourceUnavailable as error:
        if error.details.get("status") in _REFUSED:
            raise AccessError(
                f"{error.message.rstrip('.')}. Nothing was stored.",
                hint="Try again with the right ones; services lock accounts after some wrong ones.",
            ) from None
        return error.message
    finally:
        close = getattr(source, "close", None)
        if callable(close):
            close()
    return doubt


def forget(name: str) -> list[str]:
    """Remove what is stored of an account; what happened, in lines. Raises AccessError, DataDirectoryReadOnly."""
    name, _ = _account(name)
    lines = [f"{name}: forgotten" if credentials.forget(name) else f"{name}: nothing was stored"]
    used = credentials.where(name)
    return [*lines, f"note: there are some still, in {used}."] if used else lines


def listed() -> list[str]:
    """A line for each account: where its credentials come from. Raises AccessError."""
    return [f"{name:<20} {_state(name)}" for name in credentials.known_accounts()]


def _state(name: str) -> str:
    try:
        return credentials.where(name) or "none"
    except AccessError as error:
        return f"cannot be used: {error.message} {error.hint}"


def _account(name: str) -> tuple[str, credentials.Account]:
    known = registry.KINDS.get(name.strip().lower())
    if known is not None and known.account != name.strip().lower():
        hint = f"Run `extenso login {known.account}`." if known.account else "It needs none."
        raise InputError(f"{name} is a source and no account.", hint=hint)
    return credentials.account_of(name)


# --- the table -------------------------------------------------------------------------------------------------------
def described() -> list[dict[str, Any]]:
    """All kinds of live archives as data: what they hold, need and allow, and whether there are credentials."""
    return [_described(kind, known) for kind, known in registry.KINDS.items()]


def _described(kind: str, known: registry.Kind) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": kind, "source": kind + known.wants, "what": known.what, "account": known.account}
    try:
        profile, limits = registry.described(kind)
    except InputError as error:
        told["missing"] = f"{error.message} {error.hint}"
    else:
        told |= {
            "searches": sorted(profile.searches),
            "delivers": sorted(profile.delivers),
            "archive": profile.archive,
            "cost": profile.cost,
            "limits": {"transfers": limits.transfers, "warmUps": limits.warm_ups, "volume": limits.volume},
            "limitsText": _limits(limits),
        }
    if known.account is not None:
        try:
            names = [name for name in credentials.known_accounts() if name.partition("@")[0] == known.account]
            told["credentials"] = any(credentials.where(name) for name in names)
        except AccessError as error:
            told |= {"credentials": False, "wrong": f"{error.message} {error.hint}"}
    return told


def _limits(limits: Limits) -> str:
    said = [f"{limits.transfers} at a time"]
    if limits.warm_ups is not None:
        said.append(f"{limits.warm_ups[0]} warm-ups in {_span(limits.warm_ups[1])}")
    if limits.volume is not None:
        said.append(f"{_html.bytes_text(limits.volume[0])} in {_span(limits.volume[1])}")
    return ", ".join(said)


def _span(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (name != "days" and seconds >= size):
            return f"{seconds / size:g} {name}"
    return f"{seconds:g} s"


def kind_lines(kinds: list[dict[str, Any]]) -> Iterator[str]:
    """The table of all kinds as text."""
    rows = [("SOURCE", "SEARCH", "BYTES", "ACCOUNT", "LIMITS"), *(_row(told) for told in kinds)]
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    for row, told in zip(rows, [None, *kinds], strict=True):
        yield "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        if told is not None:
            yield f"    {told['what']}"
            yield from (f"    ! {told[name]}" for name in ("missing", "wrong") if name in told)
    yield (
        "`open` stands for "
        + ", ".join(registry.ALIASES["open"])
        + "; `live` for "
        + ", ".join(registry.ALIASES["live"])
        + "."
    )


def _row(told: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    account = "-" if told["account"] is None else f"{told['account']} ({'set' if told['credentials'] else 'not set'})"
    return (
        told["source"],
        " ".join(told.get("searches", ())) or "-",
        " ".join(told.get("delivers", ())) or "-",
        account,
        told.get("limitsText", "-"),
    )


def gateway_lines(health: Mapping[str, Any]) -> Iterator[str]:
    """The sources of a gateway, from what its /health says (on the wire)."""
    for source in health.get("sources", ()):
        count = source.get("products")
        rests = source.get("restsUntil")
        line = f"{source['name']}: {source['status']}" + ("" if count is None else f", {count} products")
        yield line + (f"; rests until {rests}" if rests else "")
        if source.get("lacks"):
            yield f"    ! {source['lacks']}"
