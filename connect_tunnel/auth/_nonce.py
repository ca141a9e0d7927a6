"""The arithmetic of Digest (RFC 7616, 3.4), round a nonce and the count of its uses."""

from __future__ import annotations

import os
import re
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from connect_tunnel._secret import Secret

from ._basic import normalize
from ._challenges import parse_challenges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connect_tunnel._challenge import Challenge
    from connect_tunnel._response import ProxyResponse

Quality: TypeAlias = Literal["auth", "auth-int"]

# The names of hashlib. SHA-512-256 is the one of FIPS 180-4, as in curl since 8.7; the example
# in RFC 7616, 3.9.2 holds only for a SHA-512 that is cut off.
_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}
_SEPARATORS = re.compile(r"[ \t,]+")
_SPECIAL = re.compile(r'(["\\])')


def supported(challenge: Challenge, *, md5: bool = True) -> bool:
    """Whether a challenge can be answered."""
    if challenge.scheme.lower() != "digest" or "nonce" not in challenge.params:
        return False
    name, _ = _algorithm(challenge)
    if name not in _HASHES or (name == "md5" and not md5):
        return False
    offered = challenge.params.get("qop")
    return (offered is None or _quality(offered) is not None) and _available(name)


def _available(name: str) -> bool:
    try:
        _hash(name, b"")
    except ValueError:  # a build of OpenSSL may leave some out, and FIPS does
        return False
    return True


def _algorithm(challenge: Challenge) -> tuple[str, bool]:
    """The hash, and whether it is a session's."""
    name = challenge.params.get("algorithm", "MD5").lower()
    return name.removesuffix("-sess"), name.endswith("-sess")


def _quality(offered: str) -> Quality | None:
    words = {word.lower() for word in _SEPARATORS.split(offered)}
    return "auth" if "auth" in words else "auth-int" if "auth-int" in words else None


def _hash(name: str, data: bytes) -> str:
    import hashlib  # noqa: PLC0415 - for Digest only

    # FIPS forbids MD5 where security hangs on it, and here nobody says so.
    return hashlib.new(_HASHES[name], data, usedforsecurity=False).hexdigest()


class Owner:
    """Who asks, in the terms of a challenge (RFC 7616, 3.4.2 to 3.4.4 and 4).

    Args:
        challenge: One that is supported.
        user: The user.
        password: The password.
        cnonce: Ours; a random one of 128 bits unless it is given.

    Attributes:
        fields: How the user is named in a request.
        a1: What stands for user and password in every proof.
        cnonce: Ours, where one is for all the requests of a session.
    """

    __slots__ = ("a1", "cnonce", "fields")

    def __init__(
        self, challenge: Challenge, user: str, password: Secret[str], cnonce: str | None = None
    ) -> None:
        params = challenge.params
        algorithm, session = _algorithm(challenge)
        normal = params.get("charset", "").lower() == "utf-8"
        named = b"%b:%b" % (_octets(user, normal=normal), params.get("realm", "").encode("latin-1"))
        secret = _hash(algorithm, b"%b:%b" % (named, _octets(password.reveal(), normal=normal)))
        if session:
            # Made once, of the first nonce and cnonce: it stays when the nonce changes.
            cnonce = cnonce or new_cnonce()
            secret = _hash(algorithm, f"{secret}:{params['nonce']}:{cnonce}".encode("latin-1"))
        self.a1: Final = Secret(secret)
        self.cnonce: Final = cnonce
        self.fields: Final = _named(user, _octets(user, normal=normal))
        if params.get("userhash", "").lower() == "true":
            self.fields[:] = [f'username="{_hash(algorithm, named)}"', "userhash=true"]


def _octets(text: str, *, normal: bool) -> bytes:
    return (normalize(text) if normal else text).encode()


def _named(user: str, octets: bytes) -> list[str]:
    if user.isascii():
        return [f"username={_quoted(user)}"]
    from urllib.parse import quote  # noqa: PLC0415 - only for those who need it

    return [f"username*=UTF-8''{quote(octets, safe='')}"]


class Nonce:
    """A proxy's nonce in use; safe to be used by several openings at once.

    Args:
        challenge: Where it came from.
        owner: Who uses it.
        value: Another nonce than that of the challenge, which the proxy sent since.
    """

    __slots__ = ("_algorithm", "_challenge", "_owner", "_quality", "_uses", "value")

    def __init__(
        self, challenge: Challenge, owner: Owner, value: Secret[str] | None = None
    ) -> None:
        offered = challenge.params.get("qop")
        self._challenge: Final = challenge
        self._owner: Final = owner
        self._algorithm: Final = _algorithm(challenge)[0]
        self._quality: Final = None if offered is None else _quality(offered)
        self.value: Final = value or Secret(challenge.params["nonce"])
        # Its `next` is one operation, so that no two requests get the same number.
        self._uses: Final = count(1)

    def prove(self, uri: str, *, method: str = "CONNECT") -> Proof:
        """What to send with one more request.

        Args:
            uri: The request-target, to the letter (RFC 7616, 3.4.6).
            method: The method.
        """
        proof = Proof(self, uri, self._owner.cnonce or new_cnonce(), f"{next(self._uses):08x}")
        proof.credentials = Secret(self._render(proof, method).encode("latin-1"))
        return proof

    def _render(self, proof: Proof, method: str) -> str:
        """Quoted and unquoted as RFC 7616, 3.4 has it, and some insist on."""
        params = self._challenge.params
        fields = [
            *self._owner.fields,
            f"realm={_quoted(params.get('realm', ''))}",
            f"nonce={_quoted(self.value.reveal())}",
            f"uri={_quoted(proof.uri)}",
        ]
        if self._quality is not None or self._owner.cnonce is not None:
            fields.append(f"cnonce={_quoted(proof.cnonce)}")
        if self._quality is not None:
            fields += [f"nc={proof.use}", f"qop={self._quality}"]
        fields.append(f'response="{self.response(proof, method)}"')
        if "algorithm" in params:
            fields.append(f"algorithm={params['algorithm']}")
        if "opaque" in params:
            fields.append(f"opaque={_quoted(params['opaque'])}")
        return f"Digest {', '.join(fields)}"

    def response(self, proof: Proof, method: str) -> str:
        """The proof itself (RFC 7616, 3.4.1); with an empty method the proxy's own (3.5)."""
        a2 = f"{method}:{proof.uri}"
        if self._quality == "auth-int":
            a2 += f":{_hash(self._algorithm, b'')}"  # of the body, which CONNECT has none of
        a2 = _hash(self._algorithm, a2.encode("latin-1"))
        parts = [self._owner.a1.reveal(), self.value.reveal(), a2]
        if self._quality is not None:  # RFC 2069 knew none of these
            parts[2:2] = [proof.use, proof.cnonce, self._quality]
        return _hash(self._algorithm, ":".join(parts).encode("latin-1"))

    def followed_by(self, value: Secret[str]) -> Nonce:
        """The nonce that the proxy wants next, its uses counted from 1 again."""
        return Nonce(self._challenge, self._owner, value)

    def __repr__(self) -> str:
        return "<Nonce>"


class Proof:
    """What one request carried, and what its answer must match.

    Attributes:
        credentials: The value of Proxy-Authorization.
    """

    __slots__ = ("_nonce", "cnonce", "credentials", "uri", "use")

    credentials: Secret[bytes]

    def __init__(self, nonce: Nonce, uri: str, cnonce: str, use: str) -> None:
        self._nonce: Final = nonce
        self.uri: Final = uri
        self.cnonce: Final = cnonce
        self.use: Final = use

    def check(self, response: ProxyResponse) -> Nonce | None:
        """The nonce for the next request; None if the proxy fails to prove itself.

        Most proxies do not try, which is no failure (RFC 7616, 3.5). A refusal proves nothing
        that would matter, and its proof may hang on its body.
        """
        values = response.headers.get_list("proxy-authentication-info")
        info = parse_challenges([f"Info {', '.join(values)}"])
        params: Mapping[str, str] = info[0].params if info else {}
        proof = params.get("rspauth") if 200 <= response.status < 300 else None
        if proof is not None and proof.lower() != self._nonce.response(self, ""):
            return None
        following = Secret(params.get("nextnonce", ""))
        # The same again is no other, and its uses must not be counted from 1 again.
        fresh = following and following != self._nonce.value
        return self._nonce.followed_by(following) if fresh else self._nonce

    def __repr__(self) -> str:
        return "<Proof>"


def new_cnonce() -> str:
    """128 bits that nobody can guess (RFC 7616, 5.12)."""
    return os.urandom(16).hex()


def _quoted(text: str) -> str:
    return '"' + _SPECIAL.sub(r"\\\1", text) + '"'
