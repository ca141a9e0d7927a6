"""The way that HTTPS_PROXY, ALL_PROXY, NO_PROXY and their kin name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import InvalidProxy
from connect_tunnel._frozen import Frozen
from connect_tunnel._target import Target

from ._decision import Decision
from ._dialect import DIALECTS
from ._no_proxy import canonical, show
from ._router import Router
from ._system import read_system
from ._variables import Setting, read_variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connect_tunnel._steps import Program
    from connect_tunnel._target import TargetLike

    from ._dialect import Dialect, DialectName
    from ._no_proxy import Host, NoProxy
    from ._system import System

# Whose variables are asked, by the scheme of the URL that a target comes from. A WebSocket
# prefers the proxy for https, which is the one for tunnels (RFC 6455, 4.1).
_ORDER: Final = {"ws": ("ws", "https", "http"), "wss": ("wss", "https")}


class Environment(Router, Frozen):
    """Follows the environment variables that name proxies.

    They are read once, when this is made, and nothing in them makes that fail: what cannot be
    read is skipped, and said in `warnings`. The rules are those that most clients share:

    * `<scheme>_proxy` for a target that comes from a URL of that scheme, and then `all_proxy`.
      Without a scheme it is `https_proxy`, for all that is opened is a tunnel.
    * Lower case wins. An empty variable hides its upper-case twin, and is else as one that is
      not set.
    * HTTP_PROXY is not read where REQUEST_METHOD is set: in CGI it may be a field of the
      request (httpoxy, CVE-2016-1000110). http_proxy is.
    * A value without a scheme is that of an http:// proxy. Ports default as in `Proxy`.
    * `no_proxy` lists what goes direct, separated by commas or blanks: `*` for everything;
      `example.com` or `.example.com` for a name and all below it; `*.example.com` for what is
      below it only; addresses, IPv6 in brackets or without; networks (`10.0.0.0/8`, `fd00::/8`).
      A name or an address may have a port. Names are never looked up, so none is in a network.
    * Loopback goes direct: localhost, 127.0.0.0/8 and ::1.

    A variable that is set and cannot be read is passed over like an empty one. If no other
    names a proxy, the target goes direct, and the rule of the decision says that it could not
    be read. Where that must not happen, `strict=True` makes it an error from the start.

    Args:
        environ: The variables; without it the process's, as they are now.
        dialect: Whose reading it is. "curl" (7.86 and later), "go" and "requests" choose among
            the variables and read NO_PROXY as these do.
        loopback_direct: Whether loopback goes direct without being listed; None to do as the
            dialect does: ours and Go's say yes.
        system: Whether the settings of macOS and Windows, as they are now, are used where no
            variable names a proxy.
        strict: Whether what cannot be read is an error.

    Attributes:
        warnings: What was not used, by variable and position, and why. A value that may hold a
            password is never shown.

    Raises:
        ValueError: There is no such dialect.
        InvalidProxy: With `strict`: something cannot be read.
    """

    __slots__ = (
        "_dialect", "_loopback_direct", "_no_proxy", "_proxies", "_system", "warnings",
    )  # fmt: skip

    _dialect: Dialect
    _loopback_direct: bool
    _no_proxy: NoProxy
    _proxies: dict[str, Setting]
    _system: System | None
    warnings: tuple[str, ...]

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        dialect: DialectName = "connect_tunnel",
        loopback_direct: bool | None = None,
        system: bool = False,
        strict: bool = False,
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"the dialects are {', '.join(DIALECTS)}")
        chosen = DIALECTS[dialect]
        proxies, no_proxy, notes, complaints = read_variables(
            os.environ if environ is None else environ, chosen
        )
        del environ  # it may hold passwords, and tracebacks print locals
        settings = read_system() if system else None
        if settings is not None:
            complaints += settings.complaints
        if strict and complaints:
            raise InvalidProxy(complaints[0])
        self._set(
            _dialect=chosen,
            _loopback_direct=chosen.loopback if loopback_direct is None else loopback_direct,
            _no_proxy=no_proxy,
            _proxies=proxies,
            _system=settings,
            warnings=(*notes, *complaints),
        )

    def route(self, target: Target) -> Program[Decision]:
        """Decide as `decide` does for a target of no scheme."""
        yield from ()
        return self.decide(target)

    def decide(self, target: TargetLike, *, scheme: str | None = None) -> Decision:
        """Which way a target goes, and which entry of which variable said so.

        Args:
            target: The target.
            scheme: The scheme of the URL that it comes from, if it comes from one.

        Raises:
            InvalidTarget: It is no target.
        """
        host = canonical(Target.parse(target), self._dialect)
        if self._loopback_direct and host.is_loopback:
            return Decision([[]], "loopback goes direct")
        if exemption := self._no_proxy.exemption(host):
            return Decision([[]], exemption)
        scheme = "https" if scheme is None else scheme.lower()
        schemes = _ORDER.get(scheme, (scheme,))
        said: list[str] = []
        for setting in self._settings(schemes, host):
            said.append(setting.words)
            if setting.proxy is not None:
                return Decision([[setting.proxy]], ", ".join(said))
        return Decision([[]], ", ".join(said))

    def _settings(self, schemes: tuple[str, ...], host: Host) -> Iterator[Setting]:
        """What may name the proxy, in order."""
        for scheme in (*schemes, *(["all"] if self._dialect.all_proxy else [])):
            yield self._proxies.get(scheme) or Setting(f"{show(scheme)}_proxy is not set")
        if self._system is not None:
            yield self._system.setting(schemes, host)

    def _shown(self) -> str:
        said = [setting.words for setting in self._proxies.values()]
        return f"<Environment: {', '.join([*said, f'{len(self._no_proxy)} exemptions'])}>"
