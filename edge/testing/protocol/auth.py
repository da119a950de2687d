"""Authenticates RTSP clients as cameras do: Basic (RFC 7617), Digest (RFC 2617, RFC 7616)."""

import re
from base64 import b64encode
from hashlib import md5, sha256
from hmac import compare_digest
from secrets import token_hex
from typing import Final, Literal, Protocol

REALM = "edge.testing"

Kind = Literal["basic", "digest", "digest-sha-256"]
KINDS: Final[tuple[Kind, ...]] = ("basic", "digest", "digest-sha-256")

_PARAMETER = re.compile(r'(?<!\w)(\w++)\s*+=\s*+(?:"([^"]*+)"|([^\s,"]++))')


class Authentication(Protocol):
    """Decides whether a request may pass."""

    def challenge(self) -> str:
        """Return the ``WWW-Authenticate`` header of a 401 response."""
        ...

    def accepts(self, authorization: str, method: str) -> bool:
        """Whether this ``Authorization`` header proves the password for this method."""
        ...


class Open:
    """Authentication that accepts every request."""

    def challenge(self) -> str:
        raise AssertionError("an open camera never answers 401")

    def accepts(self, authorization: str, method: str) -> bool:  # noqa: ARG002 (the protocol's)
        return True


class Basic:
    """Basic authentication: user and password in plain base64."""

    def __init__(self, user: str, password: str) -> None:
        self._expected = b64encode(f"{user}:{password}".encode())

    def challenge(self) -> str:
        return f'Basic realm="{REALM}"'

    def accepts(self, authorization: str, method: str) -> bool:  # noqa: ARG002 (the protocol's)
        scheme, _, credentials = authorization.partition(" ")
        return scheme.lower() == "basic" and compare_digest(
            credentials.strip().encode(), self._expected
        )


class Digest:
    """Digest authentication: a hash of password and nonce; without ``qop``, like most cameras."""

    def __init__(self, user: str, password: str, *, sha: bool = False) -> None:
        self._user = user
        self._algorithm, self._hash = ("SHA-256", _sha256) if sha else ("MD5", _md5)
        self._secret = self._hash(f"{user}:{REALM}:{password}")
        self._nonce = token_hex(16)

    def challenge(self) -> str:
        return f'Digest realm="{REALM}", nonce="{self._nonce}", algorithm={self._algorithm}'

    def accepts(self, authorization: str, method: str) -> bool:
        scheme, _, parameters = authorization.partition(" ")
        if scheme.lower() != "digest":
            return False
        given = {name: quoted or plain for name, quoted, plain in _PARAMETER.findall(parameters)}
        request = self._hash(f"{method}:{given.get('uri', '')}")
        proof = self._hash(f"{self._secret}:{self._nonce}:{request}")
        return given.get("username") == self._user and compare_digest(
            given.get("response", "").encode(), proof.encode()
        )


def authentication(kind: Kind, user: str | None, password: str | None) -> Authentication:
    """Return the authentication for these settings; ``Open`` where no user is set.

    Raises:
        ValueError: A user without a password, a password without a user, or an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"auth: expected one of {', '.join(KINDS)}, found {kind!r}")
    if user is None and password is None:
        return Open()
    if user is None or password is None:
        raise ValueError("expected user and password together, found only one of them")
    if kind == "basic":
        return Basic(user, password)
    return Digest(user, password, sha=kind == "digest-sha-256")


def _md5(text: str) -> str:
    # The protocol requires MD5: RFC 2617 has nothing better, and most cameras support nothing else.
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
