"""What can go wrong, by who is to blame.

    TunnelError(OSError)                .phase .proxy_url .hop .direct .target .elapsed .hint
    ├── InvalidTarget, InvalidProxy     (ValueError)       the caller; before any I/O
    ├── ProxyUnreachable                (ConnectionError)  .attempts
    ├── ProxyTLSError                                      TLS with a proxy failed
    ├── ProxyMisbehaved                                    .kind .received
    │   └── ProxyHungUp                 (ConnectionError)  .reset
    ├── TunnelRefused                                      .response .retryable
    │   └── ProxyAuthenticationRequired                    .challenges .tried
    ├── TargetTLSError                                     TLS inside an open tunnel failed
    ├── TunnelTimeout                   (TimeoutError)     .phase says where the time went
    ├── TunnelBroken                    (ConnectionError)  after it was open
    └── TunnelClosed                                       used after close

All are OSErrors, so that what was written for `socket.create_connection` keeps working;
none is an `ssl.SSLError`, which is a ValueError. Each holds strings, numbers and frozen
facts only, and every fact has a default, so that an error survives a process pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from ._challenge import Challenge
    from ._response import ProxyResponse

Phase: TypeAlias = Literal["resolve", "tcp", "proxy_tls", "connect", "auth", "target_tls", "tunnel"]

_LONGEST_MESSAGE = 400  # of a log line that somebody is to read
_RETRYABLE = frozenset({408, 421, 425, 429, 502, 503, 504})
_RETRYABLE_SOCKS = frozenset({3, 4, 5, 6})  # unreachable, refused, expired (RFC 1928, 6)


class TunnelError(OSError):
    """A tunnel could not be opened, or did not last.

    Attributes:
        phase: What was being done: "resolve", "tcp", "proxy_tls", "connect", "auth",
            "target_tls" or "tunnel".
        proxy_url: The proxy it happened at, without userinfo.
        hop: Which of several proxies that is, as in "2 of 3"; None if there is one.
        direct: Whether it is told of the target itself, and of no single proxy.
        target: Where the tunnel was to lead, as "host:port".
        elapsed: Seconds since the opening began.
        hint: One thing to try next.
    """

    phase: Phase | None = None
    proxy_url: str | None = None
    hop: str | None = None
    direct: bool = False
    target: str | None = None
    elapsed: float | None = None
    hint: str | None = None

    def __init__(self, message: str = "", **facts: Any) -> None:  # noqa: ANN401 - any fact
        super().__init__(message)
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        said = str(self.args[0]) if self.args else ""
        if self.proxy_url is not None:
            place = f" (hop {self.hop})" if self.hop else ""
            said = f"proxy {_cut(self.proxy_url, 100)}{place} {said}"
        elif self.direct:
            said = f"target {_cut(str(self.target), 100)} {said}"
        hint = f"; {_cut(self.hint, 150)}" if self.hint else ""
        return _cut(said, _LONGEST_MESSAGE - len(hint)) + hint

    def __reduce__(self) -> tuple[Any, ...]:
        facts = dict(self.__dict__)
        if self.errno is not None:  # kept by OSError itself, outside our namespace
            facts["errno"] = self.errno
        return _rebuild, (type(self), self.args, facts)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _rebuild(kind: type[TunnelError], args: tuple[str, ...], facts: dict[str, Any]) -> TunnelError:
    return kind(*args, **facts)


class InvalidTarget(TunnelError, ValueError):
    """The target cannot be named in a CONNECT request. Nothing was sent."""


class InvalidProxy(TunnelError, ValueError):
    """The proxy, or something to be sent to it, is unusable. Nothing was sent."""


class ProxyUnreachable(TunnelError, ConnectionError):
    """No connection to the proxy could be made.

    Attributes:
        attempts: Each address that was tried, and what came of it.
    """

    attempts: tuple[tuple[str, str], ...] = ()


class ProxyTLSError(TunnelError):
    """TLS with a proxy failed; `__cause__` is the ssl error."""


class ProxyMisbehaved(TunnelError):
    """What the proxy sent is not an answer in the protocol that it was asked in.

    Attributes:
        kind: "malformed", "too_large" or "too_many".
        received: The first of what it sent, escaped.
    """

    kind: Literal["malformed", "too_large", "too_many"] = "malformed"
    received: str = ""


class ProxyHungUp(ProxyMisbehaved, ConnectionError):
    """The proxy ended the connection before it had answered.

    Attributes:
        reset: Whether it was a reset rather than an orderly end.
    """

    reset: bool = False


class TunnelRefused(TunnelError):
    """The proxy answered, and the answer is no.

    Attributes:
        response: The answer, whole. It is the proxy's word, and never the target's.
    """

    response: ProxyResponse

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later: 429, 502, 503, 504 and their like."""
        retryable = _RETRYABLE_SOCKS if self.response.http_version == "SOCKS5" else _RETRYABLE
        return self.response.status in retryable


class ProxyAuthenticationRequired(TunnelRefused):
    """The proxy wants credentials, or others than it got (407; some say so with 401).

    Attributes:
        challenges: What it would accept.
        tried: The schemes that were answered with, and why one could not be.
    """

    challenges: tuple[Challenge, ...] = ()
    tried: tuple[str, ...] = ()


class TargetTLSError(TunnelError):
    """TLS with the target failed inside an open tunnel; `__cause__` is the ssl error."""


class TunnelTimeout(TunnelError, TimeoutError):
    """Time ran out; `phase` says where it went."""


class TunnelBroken(TunnelError, ConnectionError):
    """An open tunnel was reset or truncated, or a write to it was cut short."""


class TunnelClosed(TunnelError):
    """The tunnel was used after it was closed or handed over."""
