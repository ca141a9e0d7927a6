"""Credentials that are looked up when they are needed: by a callable, in netrc, in a keyring."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from connect_tunnel._errors import InvalidProxy
from connect_tunnel._frozen import Frozen
from connect_tunnel._steps import Call, Offload

from ._auth import Auth, Later
from ._password import Password

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from os import PathLike

    from connect_tunnel._challenge import Challenge
    from connect_tunnel._proxy import Proxy
    from connect_tunnel._steps import Program

    from ._auth import Flow
    from ._exchange import Exchange

Found: TypeAlias = "tuple[str, str] | Auth | None"
Ask: TypeAlias = "Callable[[Proxy, Sequence[Challenge]], Found | Awaitable[Found]]"

_MOST_ASKED = 3  # times in an opening: who types a password may mistype it


class LookedUp(Auth):
    """Credentials that are found for each opening, and looked for again when rejected."""

    __slots__ = ()

    def find(self, exchange: Exchange) -> Program[Auth | InvalidProxy | None]:
        """Look for credentials.

        Args:
            exchange: Its challenges are what the proxy offered, if it was asked before.
        """
        raise NotImplementedError

    def flow(self, exchange: Exchange) -> Flow:
        """Authenticate with what is found, as long as it is something new."""
        rejected: list[Auth] = []
        for _ in range(_MOST_ASKED):
            found = yield from self.find(exchange)
            if isinstance(found, InvalidProxy):
                raise found
            if found is None or found in rejected:
                break
            if complaint := found.complaint(exchange.proxy.scheme):
                raise InvalidProxy(complaint, phase="auth")
            yield from found.flow(exchange)
            if not _can_be_answered(exchange):
                return
            rejected.append(found)
        if exchange.response is None:
            yield None  # asks for nothing, to see what is wanted
            if _can_be_answered(exchange):
                yield from self.flow(exchange)


def _can_be_answered(exchange: Exchange) -> bool:
    """Whether others may still be sent: after a 401 nobody is to be asked in vain."""
    return exchange.response is not None and exchange.response.status == 407


class Prompt(Frozen, LookedUp):
    """Whatever a callable gives: what `auth=` makes of one.

    Args:
        ask: Called with the `Proxy` and the challenges it offered, of which there are none
            before the first request, and called again with the new ones when what it gave was
            rejected. Gives a pair of user and password, an `Auth`, or None; a coroutine
            function will do in async code.
    """

    __slots__ = ("_ask",)

    _ask: Ask

    def __init__(self, ask: Ask) -> None:
        self._set(_ask=ask)

    def find(self, exchange: Exchange) -> Program[Auth | InvalidProxy | None]:
        """Ask for credentials."""
        found: Auth | InvalidProxy | None
        found = yield from Call(_give, self._ask, exchange.proxy, exchange.challenges)
        return _or_why_not("prompt (gave nothing)" if found is None else found, exchange)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prompt) and self._ask == other._ask

    def __hash__(self) -> int:
        return hash((Prompt, self._ask))

    def _shown(self) -> str:
        return "Prompt(...)"


def _give(ask: Ask, proxy: Proxy, challenges: Sequence[Challenge]) -> Any:  # noqa: ANN401 - or it to come
    found: Any = ask(proxy, challenges)
    return Later(found, _read) if hasattr(found, "__await__") else _read(found)


def _read(found: object) -> Auth | InvalidProxy | None:
    """An error is returned, to be raised where no frame has seen the credentials."""
    match found:
        case None | Auth():
            return found
        case (str() as user, str() as password):
            try:
                return Password(user, password)
            except ValueError as error:
                return InvalidProxy(str(error), phase="auth")
        case _:
            kind = type(found).__name__
            return InvalidProxy(
                f"has an auth callable that gave no pair, Auth or None, but {kind}", phase="auth"
            )


class Netrc(Frozen, LookedUp):
    """The entry of the proxy's host in a netrc file.

    Args:
        path: The file; that of the variable NETRC by default, or `~/.netrc`.
    """

    __slots__ = ("path",)

    path: str | None

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self._set(path=None if path is None else os.fspath(path))

    def find(self, exchange: Exchange) -> Program[Auth | InvalidProxy | None]:
        """Read the file, which may be on a disk that is slow or far away."""
        found = yield from Offload(_in_netrc, self.path, exchange.proxy.host)
        return _or_why_not(found, exchange)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Netrc) and self.path == other.path

    def __hash__(self) -> int:
        return hash((Netrc, self.path))

    def _shown(self) -> str:
        return "Netrc()" if self.path is None else f"Netrc({self.path!r})"


def _in_netrc(path: str | None, host: str) -> Auth | InvalidProxy | str | None:
    from netrc import NetrcParseError, netrc  # noqa: PLC0415 - only for those who need it

    try:
        entry = netrc(path or os.environ.get("NETRC") or None).authenticators(host)
    except NetrcParseError as error:
        # What it says may be half of a password. Without a line it is the file itself.
        what = "it has to be yours alone" if error.lineno is None else f"line {error.lineno}"
        return f"netrc (cannot be read: {what})"
    except (OSError, UnicodeDecodeError) as error:
        return f"netrc (cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'})"
    if entry is None:
        return f"netrc (no entry for {host})"
    return _read((entry[0] or "", entry[2] or ""))


class Keyring(Frozen, LookedUp):
    """What the system's keyring holds for the proxy. Extra: `connect_tunnel[keyring]`.

    Args:
        user: Whose password; whichever the keyring has by default.
        service: Under which name; the proxy's URL and then its host by default.

    Raises:
        ImportError: The extra is not installed.
    """

    __slots__ = ("service", "user")

    service: str | None
    user: str | None

    def __init__(self, user: str | None = None, *, service: str | None = None) -> None:
        need("keyring", extra="keyring", what="Keyring")
        self._set(user=user, service=service)

    def find(self, exchange: Exchange) -> Program[Auth | InvalidProxy | None]:
        """Ask the keyring, which may ask its owner to unlock it first."""
        proxy = exchange.proxy
        services = (proxy.url, proxy.host) if self.service is None else (self.service,)
        found = yield from Offload(_in_keyring, services, self.user)
        return _or_why_not(found, exchange)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyring) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((Keyring, *self._facts()))

    def _facts(self) -> tuple[str | None, str | None]:
        return self.service, self.user

    def _shown(self) -> str:
        return f"Keyring({self.user!r}, service={self.service!r})"


def _in_keyring(services: tuple[str, ...], user: str | None) -> Auth | InvalidProxy | str | None:
    import keyring  # noqa: PLC0415 - an extra

    try:
        for service in services:
            if entry := keyring.get_credential(service, user):
                return _read((entry.username, entry.password))
    except Exception as error:  # noqa: BLE001 - backends raise what they like
        return f"keyring ({type(error).__name__})"
    return "keyring (no entry)"


def _or_why_not(
    found: Auth | InvalidProxy | str | None, exchange: Exchange
) -> Auth | InvalidProxy | None:
    if isinstance(found, str):
        if found not in exchange.tried:  # not for every time it is looked for
            exchange.tried.append(found)
        return None
    return found


def need(module: str, *, extra: str, what: str) -> None:
    """Complain if a library is missing, before it is needed and without loading it.

    Raises:
        ImportError: It is.
    """
    if find_spec(module) is None:
        raise ImportError(f'{what} needs {module}: pip install "connect_tunnel[{extra}]"')
