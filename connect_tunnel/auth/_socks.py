"""User and password for a SOCKS proxy (RFC 1929), or the user id of SOCKS4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_tunnel._frozen import Frozen
from connect_tunnel._proxy_url import Unusable
from connect_tunnel._secret import Secret

from ._auth import Auth

if TYPE_CHECKING:
    from connect_tunnel.protocols.socks_words import Login


class SocksLogin(Frozen, Auth):
    """What a pair or the userinfo of a URL becomes where the proxy speaks SOCKS.

    There is no flow to it: SOCKS asks once, and in an order of its own.
    """

    __slots__ = ("login", "user")

    login: Login
    user: str

    def __init__(self, login: Login) -> None:
        self._set(login=login, user=login.reveal()[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SocksLogin) and self.login == other.login

    def __hash__(self) -> int:
        return hash((SocksLogin, self.login))

    def _shown(self) -> str:
        return f"SocksLogin({self.user!r}, ***)"


def read_login(auth: object, scheme: str) -> SocksLogin | None:
    """Who asks a SOCKS proxy, as a caller may say it.

    Raises:
        Unusable: It cannot be told to one.
    """
    from connect_tunnel.protocols.socks_words import complain  # noqa: PLC0415 - where it is needed

    match auth:
        case None:
            login: Login | None = None
        case (str() as user, str() as password):
            login = Secret((user, password))
        case _:
            raise Unusable("a SOCKS proxy takes a pair of user and password")
    if complaint := complain(scheme, login):
        raise Unusable(complaint)
    return None if login is None else SocksLogin(login)
