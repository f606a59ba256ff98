"""Tokens of the Copernicus Data Space Ecosystem: one login, and from then on its session is made to last.

At most 100 sessions of a user may be open, and each login opens one. So a token is renewed by the refresh token of the
session that it came from, for as long as that lives.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from extenso_nb.errors import SourceUnavailable
from extenso_nb.gateway.sources.record import number

__all__ = ["Sessions", "one_time_code"]

CLIENT = "cdse-public"
SPARE = 10.0
"""Seconds before its end at which a session is not gone on with."""


class Post(Protocol):
    """Sends a form and gives the JSON of the answer; `Remote.post_json`."""

    def __call__(self, url: str, *, form: Mapping[str, str], authorised: bool) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Session:
    given: dict[str, str] = field(repr=False)
    refresh: str = field(repr=False)
    until: float


class Sessions:
    """Credentials for tokens: the `exchange` of a `Login`. One thread at a time asks it."""

    def __init__(self, source: str, url: str, post: Post) -> None:
        self._source, self._url, self._post = source, url, post
        self._session: _Session | None = None

    def __repr__(self) -> str:
        return f"<Sessions {self._source}, hidden>"

    def __call__(self, given: Mapping[str, str]) -> tuple[str, float | None]:
        """A token and its seconds. Raises SourceUnavailable, with `status` in `details` where it was refused."""
        session = self._session
        if session is not None and session.given == dict(given) and time.monotonic() < session.until:
            try:
                return self._asked(given, {"grant_type": "refresh_token", "refresh_token": session.refresh})
            except SourceUnavailable as error:
                if error.details.get("status") not in {400, 401}:
                    raise  # the session may well live
        self._session = None
        form = {"grant_type": "password", "username": given["username"], "password": given["password"]}
        if given.get("totp"):
            form["totp"] = self._code(given["totp"])
        return self._asked(given, form)

    def _asked(self, given: Mapping[str, str], form: dict[str, str]) -> tuple[str, float | None]:
        answer = self._post(self._url, form={"client_id": CLIENT} | form, authorised=False)
        token, seconds = answer["access_token"], number(answer.get("expires_in"))
        refresh, lives = answer.get("refresh_token"), number(answer.get("refresh_expires_in")) or 0.0
        self._session = None
        if isinstance(refresh, str) and refresh and lives > 0:
            self._session = _Session(dict(given), refresh, time.monotonic() + max(lives - SPARE, lives / 2))
        return token, seconds

    def _code(self, given: str) -> str:
        code = one_time_code(given, time.time())
        if code is None:
            raise SourceUnavailable(
                f"The second factor (totp) that is set for {self._source} is neither a code of six digits nor a secret in"
                " base32.",
                hint="Run `extenso login cdse` where the gateway runs.",
                source=self._source,
            )
        return code


def one_time_code(given: str, now: float) -> str | None:
    """Six digits: as they are given, or of the secret that is given in base32 at a moment (RFC 6238). None for neither."""
    if re.fullmatch(r"[0-9]{6}", given.strip()):
        return given.strip()
    letters = re.sub(r"[\s=-]", "", given).upper()
    try:
        secret = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError:
        return None
    if not secret:
        return None
    digest = hmac.new(secret, struct.pack(">Q", int(now) // 30), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"
