"""Who may: tokens for API keys, and signed links to stored objects."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import jwt

from extenso_nb.errors import DatabaseRefused, Forbidden, InvalidApiKey, NotAuthenticated
from extenso_nb.gateway.private import write_private
from extenso_nb.gateway.store import Store
from extenso_nb.wire import FILES_PATH

__all__ = ["LINK_SECONDS", "TOKEN_SECONDS", "Access", "new_api_key", "secret_of"]

TOKEN_SECONDS = 3600
LINK_SECONDS = 3600
"""How long a signed link is good."""
_ISSUER = "extenso_nb"
_SECRET_BYTES = 32


def new_api_key() -> str:
    """A new API key: 256 random bits, with a prefix by which scanners for leaked secrets know it."""
    return "exk_" + secrets.token_urlsafe(32)


def secret_of(data_dir: Path) -> bytes:
    """The secret with which this gateway signs; made once per data directory, in a 0600 file.

    Raises DatabaseRefused when the file holds none: with an empty or half one anybody could sign.
    """
    path = data_dir / "secret"
    try:
        found = bytes.fromhex(path.read_text("ascii"))
    except FileNotFoundError:
        found = secrets.token_bytes(_SECRET_BYTES)
        write_private(path, found.hex().encode())
    except (OSError, ValueError):
        found = b""
    if len(found) < _SECRET_BYTES:
        raise DatabaseRefused(
            f"{path} cannot be read, or does not hold a secret of {2 * _SECRET_BYTES} hexadecimal digits.",
            hint="Put back the one that was there. Or remove it: a new one is made, all tokens and links end, and what is"
            " on its way into users' own buckets fails.",
        )
    return found


class Access:
    """Tokens and links of one gateway."""

    def __init__(self, store: Store, secret: bytes) -> None:
        self._store = store
        # Two keys from one secret, so that a link can never pass for a token or the other way round.
        self._token_key = hmac.digest(secret, b"token", "sha256")
        self._link_key = hmac.digest(secret, b"link", "sha256")

    def __repr__(self) -> str:
        return "<Access>"

    def login(self, api_key: str) -> str:
        """A token for an API key. Raises InvalidApiKey."""
        account = self._store.account_of_key(api_key)
        if account is None:
            raise InvalidApiKey("The API key is not known here.")
        now = int(time.time())
        claims = {"sub": account, "iat": now, "exp": now + TOKEN_SECONDS, "iss": _ISSUER}
        return jwt.encode(claims, self._token_key, algorithm="HS256")

    def account(self, authorization: str | None) -> str:
        """The account of an `Authorization` header. Raises NotAuthenticated."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise NotAuthenticated("The request has no Bearer token.")
        try:
            claims = jwt.decode(
                token.strip(),
                self._token_key,
                algorithms=["HS256"],
                issuer=_ISSUER,
                # Not when it was made: another process of this gateway made it, whose clock may be a little ahead.
                options={"require": ["exp", "sub", "iss"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise NotAuthenticated("The token has expired.") from None
        except (jwt.InvalidTokenError, ValueError, RecursionError):  # its JSON is anybody's; older PyJWT lets these out
            raise NotAuthenticated("The token is not one of this gateway.") from None
        if not self._store.has_account(claims["sub"]):
            raise NotAuthenticated("The account of the token is gone.")
        return str(claims["sub"])

    def link(self, key: str, *, seconds: int = LINK_SECONDS) -> tuple[str, datetime]:
        """Path and query of a link to a stored object, and when it expires."""
        expires = int(time.time()) + seconds
        path = f"{FILES_PATH}/{quote(key)}?expires={expires}&signature={self._signature(key, expires)}"
        return path, datetime.fromtimestamp(expires, UTC)

    def check_link(self, key: str, expires: str | None, signature: str | None) -> None:
        """Raises Forbidden unless the link was made here, for this key, and has not expired."""
        digits = expires or ""
        # `012` would be the same moment, but not the link that was given out.
        moment = int(digits) if re.fullmatch(r"[1-9][0-9]{0,14}", digits) else 0
        expected = self._signature(key, moment)
        if not hmac.compare_digest(expected.encode(), (signature or "").encode()):
            raise Forbidden("The link is not one of this gateway, or was altered.")
        if moment < time.time():
            raise Forbidden("The link has expired.")

    def _signature(self, key: str, expires: int) -> str:
        return hmac.new(self._link_key, f"{expires}\n{key}".encode(), hashlib.sha256).hexdigest()
