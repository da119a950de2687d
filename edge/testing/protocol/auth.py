"""Authenticates RTSP clients as cameras do: Basic (RFC 7617), Digest (RFC 2617, RFC 7616)."""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import md5, sha256
from hmac import compare_digest
from secrets import token_hex
from typing import Final, Literal, Protocol

from edge.testing.habits import Login

Kind = Literal["basic", "digest", "digest-sha-256"]
KINDS: Final[tuple[Kind, ...]] = ("basic", "digest", "digest-sha-256")

_PARAMETER = re.compile(r'(?<!\w)(\w++)\s*+=\s*+(?:"([^"]*+)"|([^\s,"]++))')


class Authentication(Protocol):
    """Decides whether a request may pass."""

    def challenges(self) -> list[str]:
        """Return the ``WWW-Authenticate`` headers of a 401 response."""
        ...

    def accepts(self, authorization: str, method: str) -> bool:
        """Whether this ``Authorization`` header proves the password for this method."""
        ...


class Open:
    """Authentication that accepts every request."""

    def challenges(self) -> list[str]:
        raise AssertionError("an open camera never answers 401")

    def accepts(self, authorization: str, method: str) -> bool:  # noqa: ARG002 (the protocol's)
        return True


class Basic:
    """Basic authentication: user and password in plain base64."""

    def __init__(self, user: str, password: str, realm: str) -> None:
        self._realm = realm
        self._expected = b64encode(f"{user}:{password}".encode())

    def challenges(self) -> list[str]:
        return [f'Basic realm="{self._realm}"']

    def accepts(self, authorization: str, method: str) -> bool:  # noqa: ARG002 (the protocol's)
        scheme, _, credentials = authorization.partition(" ")
        return scheme.lower() == "basic" and compare_digest(
            credentials.strip().encode(), self._expected
        )


class Digest:
    """Digest authentication: a hash of password and nonce."""

    def __init__(self, user: str, password: str, login: Login) -> None:
        self._user, self._password, self._login = user, password, login
        self._basic = Basic(user, password, login.realm)
        self._nonce = token_hex(16)

    def challenges(self) -> list[str]:
        login, nonce = self._login, self._nonce
        offered = self._basic.challenges() if login.basic_too else []
        for algorithm in login.algorithms:
            parts = [f'realm="{login.realm}"', f'nonce="{nonce}"']
            parts += [f'qop="{login.qop}"'] if login.qop else []
            parts += [f"algorithm={algorithm}"] if algorithm else []
            parts += [f'opaque="{login.opaque}"'] if login.opaque else []
            offered.append(f"Digest {', '.join(parts)}")
        return offered

    def accepts(self, authorization: str, method: str) -> bool:
        scheme, _, parameters = authorization.partition(" ")
        if scheme.lower() != "digest":
            return self._login.basic_too and self._basic.accepts(authorization, method)
        given = {name: quoted or plain for name, quoted, plain in _PARAMETER.findall(parameters)}
        algorithm = given.get("algorithm", "")
        offered = {name or "MD5" for name in self._login.algorithms}
        if (algorithm or "MD5") not in offered:
            return False
        proof = self._proof(_HASHES[algorithm], given, method)
        return (
            given.get("username") == self._user
            and given.get("opaque", "") == self._login.opaque
            and compare_digest(given.get("response", "").encode(), proof.encode())
        )

    def _proof(self, hashed: Callable[[str], str], given: Mapping[str, str], method: str) -> str:
        secret = hashed(f"{self._user}:{self._login.realm}:{self._password}")
        request = hashed(f"{method}:{given.get('uri', '')}")
        nonce = self._nonce
        if self._login.qop:
            nonce = ":".join([nonce, *(given.get(name, "") for name in ("nc", "cnonce", "qop"))])
        return hashed(f"{secret}:{nonce}:{request}")


def authentication(
    kind: Kind, user: str | None, password: str | None, login: Login | None = None
) -> Authentication:
    """Return the authentication for these settings; ``Open`` where no user is set.

    ``login`` has more of it; ``digest-sha-256`` is its default with that algorithm.

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
        return Basic(user, password, (login or Login()).realm)
    if kind == "digest-sha-256":
        login = replace(login or Login(), algorithms=("SHA-256",))
    return Digest(user, password, login or Login())


def _md5(text: str) -> str:
    # The protocol requires MD5: RFC 2617 has nothing better, and most cameras support nothing else.
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()


_HASHES: Final[Mapping[str, Callable[[str], str]]] = {
    "": _md5,
    "MD5": _md5,
    "SHA-256": _sha256,
}
