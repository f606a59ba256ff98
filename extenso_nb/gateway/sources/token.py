"""What stands in the `Authorization` header of a source: fetched when needed, by one thread at a time, and never shown."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from extenso_nb.errors import ExtensoError, SourceUnavailable
from extenso_nb.gateway.sources import Credentials

__all__ = ["Authorise", "Login", "Token", "login_hint"]

LAPSES_SECONDS = 300.0
"""How long credentials are not sent again after a refusal that may pass."""


def login_hint(account: str) -> str:
    """The command that gives a source its credentials."""
    return f"Run `extenso login {account}` where the gateway runs."


class Authorise(Protocol):
    """Gives what stands in the `Authorization` header. Threads share it."""

    def header(self) -> str:
        """The value to send."""

    def renew(self, old: str) -> None:
        """Get a new one, since the source refused `old`; nothing happens when another thread has done so already."""


class Token:
    """A token that is fetched when it is needed, renewed before it runs out, and by one thread at a time.

    Parameters
    ----------
    fetch
        Gives a new token and for how many seconds it is good (None: until it is refused). It raises an error of ours
        when there is none to be had, which is then told to all who ask within `pause` seconds: asking again and again
        with a wrong password locks accounts.
    spare
        Seconds before its end at which a token is renewed.
    """

    def __init__(
        self,
        fetch: Callable[[], tuple[str, float | None]],
        *,
        scheme: str = "Bearer",
        spare: float = 60.0,
        pause: float = 10.0,
    ) -> None:
        self._fetch, self._scheme, self._spare, self._pause = fetch, scheme, spare, pause
        self._lock = threading.Lock()
        self._header: str | None = None
        self._until: float | None = None
        self._failed: tuple[float, ExtensoError] | None = None

    def __repr__(self) -> str:
        return f"<Token {self._scheme}, hidden>"

    def header(self) -> str:
        """The value of the header; a token is fetched when there is none that is good."""
        with self._lock:
            if self._header is None or (self._until is not None and time.monotonic() >= self._until):
                self._renew()
            assert self._header is not None
            return self._header

    def renew(self, old: str) -> None:
        """Fetch a new token, unless another thread has done so since `old` was given out."""
        with self._lock:
            if self._header == old:
                self._renew()

    def _renew(self) -> None:
        if self._failed is not None and time.monotonic() - self._failed[0] < self._pause:
            raise copy.copy(self._failed[1])
        self._header = None
        failure: SourceUnavailable | None = None
        try:
            token, seconds = self._fetch()
            usable = token.isascii() and token.isprintable() and " " not in token and token != ""
        except SourceUnavailable as error:
            failure = error
        except ExtensoError as error:  # that there are no tokens does not mean that there is no product
            failure = SourceUnavailable(error.message, **error.details)
        except (LookupError, TypeError, ValueError, AttributeError):
            usable = False
        if failure is None and not usable:
            failure = SourceUnavailable("What was answered to the request for a token has none in it that can be used.")
        if failure is not None:
            self._failed = (time.monotonic(), copy.copy(failure))
            raise failure
        self._failed = None
        self._header = f"{self._scheme} {token}"
        # A token that lives no longer than what is spared would be fetched anew for every request.
        self._until = None if seconds is None else time.monotonic() + max(seconds - self._spare, seconds / 2)


class Login:
    """`fetch` of a `Token`: credentials for a token. What was refused is not tried again until there are others.

    Asking again and again with a wrong password locks accounts.

    Parameters
    ----------
    name
        Of the source, for messages.
    account
        Under which `extenso login` keeps the credentials.
    credentials
        Gives them, or None.
    exchange
        Sends them: token and seconds (None: until it is refused). Raises SourceUnavailable, with `status` in `details`.
    """

    def __init__(
        self,
        name: str,
        account: str,
        credentials: Credentials,
        exchange: Callable[[Mapping[str, str]], tuple[str, float | None]],
    ) -> None:
        self._name, self._account, self._credentials, self._exchange = name, account, credentials, exchange
        self.hint = login_hint(account)
        """The command that gives it credentials."""
        self._refused: tuple[dict[str, str], SourceUnavailable, float] | None = None

    def __repr__(self) -> str:
        return f"<Login {self._name}, hidden>"

    def lacks(self) -> str | None:
        """What is missing before anything can be fetched; None when there are credentials that were not refused."""
        given = self._credentials()
        if given is None:
            return f"{self._name} wants an account, and no credentials are set. {self.hint}"
        if self._was_refused(given) is not None:
            return f"{self._name} refused the credentials that are set. {self.hint}"
        return None

    def __call__(self) -> tuple[str, float | None]:
        """A new token. Raises SourceUnavailable, without a request where there is nothing new to try."""
        given = self._credentials()
        if given is None:
            raise SourceUnavailable(
                f"{self._name} wants an account, and no credentials are set.",
                hint=self.hint,
                source=self._name,
                login=self._account,
            )
        before = self._was_refused(given)
        if before is not None:
            raise copy.copy(before)
        try:
            return self._exchange(given)
        except SourceUnavailable as error:
            if error.details.get("status") not in {400, 401, 403}:
                raise
            said, status = error.message, error.details["status"]
        refused = SourceUnavailable(
            f"{self._name} refused the credentials: {said}",
            hint=self.hint,
            source=self._name,
            login=self._account,
            status=401,
        )
        # That a password is wrong stays so; a proxy's 403 passes, and so does a code that was used a moment ago.
        lasts = math.inf if status == 401 and not given.get("totp") else LAPSES_SECONDS
        self._refused = (dict(given), refused, time.monotonic() + lasts)
        raise copy.copy(refused)

    def _was_refused(self, given: Mapping[str, str]) -> SourceUnavailable | None:
        if self._refused is None or self._refused[0] != dict(given) or time.monotonic() >= self._refused[2]:
            return None
        return self._refused[1]
