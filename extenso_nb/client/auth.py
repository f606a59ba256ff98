"""Who asks: an API key and the token that it buys. Neither can be printed or pickled."""

from __future__ import annotations

import time
from typing import Any, NoReturn
from urllib.parse import urlencode

from pydantic import SecretStr

from extenso_nb.errors import GatewayFault, InputError

__all__ = ["Credentials"]

MARGIN = 60.0
"""Seconds before its end at which a token is renewed, so that none expires on its way."""


class Credentials:
    """An API key, a token, or both. A token bought with a key is kept until a minute before it ends."""

    __slots__ = ("_api_key", "_token", "_until")

    def __init__(self, api_key: str | None, token: str | None) -> None:
        self._api_key = _secret(api_key, "api_key")
        self._token = _secret(token, "token")
        self._until: float | None = None  # of a token that was given nothing is known

    @property
    def renewable(self) -> bool:
        """Whether a new token can be had."""
        return self._api_key is not None

    @property
    def given(self) -> bool:
        """Whether there is anything to show."""
        return self._api_key is not None or self._token is not None

    def token(self, *, stale: SecretStr | None = None) -> SecretStr | None:
        """The token, or None when a new one is needed: there is none, it ends soon, or it is the `stale` one."""
        if self._token is None or self._token is stale:
            return None
        if self.renewable and self._until is not None and time.monotonic() >= self._until:
            return None
        return self._token

    def form(self) -> bytes:
        """The body of the token request, in the One Atlas form."""
        if self._api_key is None:
            raise ValueError("no API key")
        fields = {"apikey": self._api_key.get_secret_value(), "grant_type": "api_key", "client_id": "IDP"}
        return urlencode(fields).encode("ascii")

    def accept(self, answer: Any) -> SecretStr:
        """Take the token out of the token endpoint's answer. Raises GatewayFault when there is none in it."""
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
            raise GatewayFault("login was answered without a usable access_token.", hint="Check the gateway's address.")
        lasts = answer.get("expires_in", 3600)
        seconds = float(lasts) if isinstance(lasts, int | float) and lasts > 0 else 3600.0
        # A token of less than two minutes would be renewed at each request otherwise.
        self._until = time.monotonic() + seconds - min(MARGIN, seconds / 2)
        self._token = SecretStr(token)
        return self._token

    def replace(self, api_key: str | None) -> None:
        """The gateway moved: use this key (None keeps what there is) and, if a token can be bought, buy a new one."""
        self._api_key = _secret(api_key, "api_key") or self._api_key
        if self.renewable:
            self._token, self._until = None, None

    def __repr__(self) -> str:
        held = [name for name, value in (("api_key", self._api_key), ("token", self._token)) if value is not None]
        return f"<Credentials: {' and '.join(held) or 'none'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Credentials are not pickled: they would be written in clear.")


def _secret(value: str | None, name: str) -> SecretStr | None:
    if value is None or not value.strip():
        return None
    text = value.strip()  # read from a file it often ends with a newline
    if not text.isascii() or not text.isprintable():
        raise InputError(f"{name} has characters that a header cannot carry.", hint=f"Copy the {name} again.")
    return SecretStr(text)
