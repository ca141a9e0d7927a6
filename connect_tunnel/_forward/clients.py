"""Who may ask a listening proxy for tunnels.

On loopback that is every user of the machine and every container that shares its network, and
who opens the tunnels is us, with our credentials. So clients must know something by default: a
password made up for this run. (To look the peer's uid up in /proc/net/tcp would be Linux only,
and races with ports being used again.)
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Literal, TypeAlias, cast
from urllib.parse import quote

from connect_tunnel._frozen import Frozen
from connect_tunnel._secret import Secret
from connect_tunnel.auth._basic import Basic

if TYPE_CHECKING:
    from .place import Place

ClientAuth: TypeAlias = "tuple[str, str] | Literal['random'] | None"

_USER = "tunnel"
_BYTES = 16  # of randomness in a password


class Clients(Frozen):
    """What clients must say.

    Attributes:
        credentials: What has to be in Proxy-Authorization; None if anybody may ask.
    """

    __slots__ = ("_userinfo", "credentials")

    credentials: Secret[bytes] | None
    _userinfo: Secret[str]

    def __init__(self, credentials: Secret[bytes] | None, userinfo: Secret[str]) -> None:
        self._set(credentials=credentials, _userinfo=userinfo)

    @classmethod
    def parse(cls, auth: ClientAuth) -> Clients | ValueError:
        """Read what a caller may say.

        Args:
            auth: A user and a password, "random" for ones made up, or None for no questions.

        Returns:
            It, or what is wrong, for a caller to raise who has forgotten the password.
        """
        match cast("object", auth):
            case None:
                return cls(None, Secret(""))
            case "random":
                user, password = _USER, secrets.token_urlsafe(_BYTES)
            case (str() as user, str() as password):
                pass
            case _:
                return ValueError("auth is a pair of user and password, 'random', or None")
        try:
            basic = Basic(user, password)
        except ValueError as error:
            return error.with_traceback(None)
        userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return cls(basic._credentials, Secret(f"{userinfo}@"))

    def at(self, place: Place) -> Clients:
        """The same, if that is enough for clients who come there.

        Raises:
            ValueError: It is not.
        """
        if self.credentials is None and not place.is_local:
            raise ValueError(
                "a proxy that other machines can reach wants auth: it lends out your credentials"
            )
        return self

    def proxy_url(self, place: Place) -> str:
        """How to tell a client of the proxy that listens there."""
        userinfo = self._userinfo.reveal()
        if place.is_unix:
            return f"unix://{userinfo}{quote(place.host)}"
        return f"http://{userinfo}{place}"

    def _shown(self) -> str:
        return f"<Clients {'anybody' if self.credentials is None else '***'}>"
