"""The way that a PAC file names: JavaScript that is asked anew for each target."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeAlias

from connect_tunnel._errors import InvalidProxy
from connect_tunnel._frozen import Frozen
from connect_tunnel._proxy import Proxy
from connect_tunnel._steps import Call, Offload
from connect_tunnel._timeout import seconds
from connect_tunnel.auth._prompt import need

from ._decision import Decision
from ._health import Health
from ._pac_answer import read_list
from ._router import Router

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from os import PathLike

    from connect_tunnel._errors import TunnelError
    from connect_tunnel._steps import Program
    from connect_tunnel._target import Target

    from ._decision import Way
    from ._script.script import Script
    from ._script.source import Source

Find: TypeAlias = "Callable[[str, str], str | Awaitable[str | None] | None]"

_TIMEOUT: Final = 5.0  # seconds; a script takes a millisecond, a resolver may take some seconds
_REFRESH: Final = 3600.0  # seconds; Chromium looks again after 8 s at first, and 12 hours at last
_A_DAY: Final = 86400.0  # is no limit here, and is none that a socket could not be told
_MOST_KEPT: Final = 256  # proxies; a list in the wild names a handful


class Pac(Router, Frozen):
    """Follows a PAC file: a script whose FindProxyForURL is asked for the way to each target.

    The script sees "https://host:port/" and the host, and nothing of what the tunnel is for. It is
    run by QuickJS (extra: `connect_tunnel[pac]`), in a thread and with bounds to its time and its
    memory. It gets at no file and no network: it may have names looked up (`dnsResolve` and its
    kin), and only then does a router of this library resolve a target.

    The ways that it lists are tried in order. One that could not be reached is tried last for the
    five minutes to come. What a proxy refuses no other is asked for, and nothing goes direct
    unless the list says so.

    Args:
        script: The text of a PAC file, or a callable of URL and host that gives such a list, for
            those who have an engine of their own; a coroutine function will do in async code.
            `from_file` and `from_url` read a text from elsewhere.
        proxies: Makes the `Proxy` for the URL of one that the list names: the place for
            credentials and for TLS contexts, which no PAC file has. By default `Proxy` itself.
        timeout: Seconds that an answer may take, with all that is read and looked up for it; a
            callable has the time of the opening.

    Raises:
        ImportError: The extra is not installed, and it is a text.
        InvalidProxy: `script` is neither.
    """

    __slots__ = ("_asked", "_health", "_kept", "_make")

    _asked: _Callable | _File
    _health: Health
    _kept: dict[str, Proxy]
    _make: Callable[[str], Proxy]

    def __init__(
        self,
        script: str | Find,
        *,
        proxies: Callable[[str], Proxy] = Proxy,
        timeout: float = _TIMEOUT,
    ) -> None:
        if callable(script):
            self._start(_Callable(script), proxies)
            seconds(timeout)  # wrong is wrong, also where it is not needed
        elif isinstance(script, str):
            from ._script.source import Text  # noqa: PLC0415 - for those who need it

            self._start(_File(Text(script), timeout, None), proxies)
        else:
            raise InvalidProxy(
                f"a PAC script is a text or a callable, not {type(script).__name__}",
                hint="Pac.from_file and Pac.from_url read one from elsewhere",
            )

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str],
        *,
        proxies: Callable[[str], Proxy] = Proxy,
        timeout: float = _TIMEOUT,
        refresh: float | None = _REFRESH,
    ) -> Pac:
        """Follow the PAC file at a path, which is read when it is first needed.

        Args:
            path: Where it is.
            proxies: As for `Pac`.
            timeout: As for `Pac`.
            refresh: Seconds after which it is read again; None for never. As long as it cannot
                be, what was read before is used.

        Raises:
            ImportError: The extra is not installed.
        """
        from ._script.source import File  # noqa: PLC0415 - for those who need it

        pac = cls.__new__(cls)
        pac._start(_File(File(os.fspath(path)), timeout, refresh), proxies)
        return pac

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        proxies: Callable[[str], Proxy] = Proxy,
        timeout: float = _TIMEOUT,
        refresh: float | None = _REFRESH,
    ) -> Pac:
        """Follow the PAC file at an http, https or file URL, which is fetched without a proxy.

        Args:
            url: Where it is.
            proxies: As for `Pac`.
            timeout: As for `Pac`.
            refresh: As for `from_file`.

        Raises:
            ImportError: The extra is not installed.
            InvalidProxy: It is no such URL, or has userinfo.
        """
        from ._script.source import at  # noqa: PLC0415 - for those who need it

        source = at(url)
        del url
        if isinstance(source, InvalidProxy):
            raise source
        pac = cls.__new__(cls)
        pac._start(_File(source, timeout, refresh), proxies)
        return pac

    def _start(self, asked: _Callable | _File, proxies: Callable[[str], Proxy]) -> None:
        self._set(_asked=asked, _make=proxies, _kept={}, _health=Health())

    def route(self, target: Target) -> Program[Decision]:
        """Ask for the way to a target, in a thread unless it is a callable that is asked.

        Raises:
            InvalidProxy: The script is at fault, or names nothing that can be used.
        """
        answer: object = yield from self._asked.find(_stripped(target), target.host)
        words = self._asked.words
        if answer is not None and not isinstance(answer, str):
            raise InvalidProxy(
                f"{words} gave no list of proxies but {type(answer).__name__}",
                phase="resolve",
                hint="it is a string such as 'PROXY proxy.corp:3128; DIRECT'",
            )
        shown = f"{answer[:100]!a}..." if answer and len(answer) > 100 else ascii(answer)
        urls, lacking = _usable(read_list(answer))
        if not urls:
            raise InvalidProxy(
                f"{words} names no proxy that could be used: {shown}",
                phase="resolve",
                hint=lacking,
            )
        ways = [() if url is None else (self._proxy(url),) for url in urls]
        return Decision(self._health.order(ways), f"{words} says {shown}")

    def report(self, way: Way, error: TunnelError | None) -> None:
        """Learn what came of an attempt: whatever could not be reached is tried last for a while.

        Args:
            way: A way of a decision.
            error: What came of it; None if it was reached.
        """
        self._health.report(way, error)

    def _proxy(self, url: str) -> Proxy:
        """The same each time, as what a way has learnt is kept with its proxies."""
        proxy = self._kept.get(url)
        if proxy is None:
            proxy = Proxy.parse(self._make(url))
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[url] = proxy
        return proxy

    def _shown(self) -> str:
        return f"<Pac: {self._asked.words}>"


def _usable(urls: list[str | None]) -> tuple[list[str | None], str | None]:
    """Those of which there can be a proxy, and what is not installed for one of them.

    There is none if it is the first that it is not installed for: it would be odd to go another
    way than the one that is preferred, perhaps the direct one, for want of an extra.
    """
    usable: list[str | None] = []
    lacking: str | None = None
    for url in urls:
        try:
            if url is not None:
                Proxy(url)
        except InvalidProxy:
            continue
        except ImportError as error:
            lacking = str(error)
            if not usable:
                break
        else:
            usable.append(url)
    return usable, lacking


def _stripped(target: Target) -> str:
    """A URL as browsers show it to scripts: no more of it than origin and "/"."""
    host = f"[{target.host}]" if target.kind == "ipv6" else target.host
    return f"https://{host}/" if target.port == 443 else f"https://{host}:{target.port}/"


class _Callable:
    """Somebody else's engine."""

    words: Final = "the PAC callable"

    def __init__(self, find: Find) -> None:
        self._find: Final = find

    def find(self, url: str, host: str) -> Program[object]:
        return (yield from Call(self._find, url, host))


class _File:
    """Our own engine, and what it runs. It is not loaded before it is asked."""

    def __init__(self, source: Source, timeout: float, refresh: float | None) -> None:
        need("quickjs", extra="pac", what="Pac")
        self._source: Final = source
        self._timeout: Final = min(seconds(timeout) or _A_DAY, _A_DAY)
        self._refresh: Final = seconds(refresh) or float("inf")
        # One for each process: what another thread was doing with it stays so after a fork.
        self._scripts: Final[dict[int, Script]] = {}
        self.words: Final = source.words

    def find(self, url: str, host: str) -> Program[str | None]:
        return (yield from Offload(self._run, url, host))

    def _run(self, url: str, host: str) -> str | None:
        from ._script.script import Script  # noqa: PLC0415 - for those who need it

        script = self._scripts.get(os.getpid())
        if script is None:
            script = Script(self._source, refresh=self._refresh, timeout=self._timeout)
            script = self._scripts.setdefault(os.getpid(), script)
        return script.evaluate(url, host)
