"""A header that is the secret itself, a password or an API key: there is nothing to fetch, and nothing to renew."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping

from extenso_nb.errors import SourceUnavailable
from extenso_nb.gateway.sources import Credentials
from extenso_nb.gateway.sources.token import login_hint

__all__ = ["Secret", "apikey", "basic"]


class Secret:
    """The `Authorise` of a source without tokens. What was refused is not sent again until there is something else.

    Parameters
    ----------
    name
        Of the source, for messages.
    account
        Under which `extenso login` keeps the credentials.
    credentials
        Gives them, or None.
    write
        The value of the header. Raises LookupError where something is missing.
    """

    def __init__(
        self, name: str, account: str, credentials: Credentials, write: Callable[[Mapping[str, str]], str]
    ) -> None:
        self._name, self._account, self._credentials, self._write = name, account, credentials, write
        self.hint = login_hint(account)
        """The command that gives it credentials."""
        self._refused: str | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Secret of {self._name}, hidden>"

    def lacks(self) -> str | None:
        """What is missing before anything can be fetched; None when there are credentials that were not refused."""
        try:
            self.header()
        except SourceUnavailable as error:
            return f"{error.message} {self.hint}"
        return None

    def header(self) -> str:
        """The value to send. Raises SourceUnavailable where there is none, or only one that was refused."""
        given = self._credentials()
        if given is None:
            raise self._missing("wants an account, and no credentials are set")
        try:
            value = self._write(given)
        except LookupError as error:
            what = error.args[0]
        else:
            with self._lock:
                refused = value == self._refused
            if refused:
                raise self._missing("refused the credentials that are set", status=401)
            return value
        raise self._missing(f"wants credentials with {what}, and those that are set have none")

    def renew(self, old: str) -> None:
        """Note that `old` was refused. Raises SourceUnavailable unless there are other credentials by now."""
        with self._lock:
            self._refused = old
        self.header()

    def _missing(self, what: str, **details: int) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self._name} {what}.", hint=self.hint, source=self._name, login=self._account, **details
        )


def basic(given: Mapping[str, str]) -> str:
    """Basic authentication: `username` and `password`, in UTF-8 (RFC 7617)."""
    pair = f"{given['username']}:{given['password']}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def apikey(given: Mapping[str, str]) -> str:
    """`Apikey <secret>`. Raises LookupError where the key is none that can stand in a header."""
    key = given["apikey"].strip()
    if not key or not key.isascii() or not key.isprintable():
        raise LookupError("an API key")
    return f"Apikey {key}"
