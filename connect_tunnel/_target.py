"""Where a tunnel leads: a host and a port, checked once and then trusted.

The host that `Target` holds is the one that goes on the wire, into SNI and into the
comparison with a certificate: an A-label, a dotted quad, or the canonical text of an IPv6
address. Python's own tools would use three different mappings for these (IDNA2003 in `ssl`
and `getaddrinfo`), and so reach three different hosts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NoReturn, TypeAlias

from ._errors import InvalidTarget
from ._frozen import Frozen

TargetLike: TypeAlias = "str | tuple[str, int] | Target"
Kind: TypeAlias = Literal["name", "ipv4", "ipv6"]

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
# Letters, digits and hyphens, and the underscore that names of services have. What else
# RFC 3986 would let into a reg-name no resolver takes and no proxy agrees on. Shapes such
# as "0x7f.1" and "1.2.3" are names like any other and go out verbatim: whether they mean
# an address is for the proxy to say.
_LABEL = r"[a-z0-9_-]{1,63}"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_LONGEST_NAME = 253  # RFC 1035, 2.3.4, without the length octets; the last dot is extra


class Target(Frozen):
    """A host and a port, as a CONNECT request names them (RFC 9110, 9.3.6).

    Args:
        host: A name, an IPv4 address, or an IPv6 address with or without brackets. A name
            that is not ASCII becomes its A-labels (IDNA2008 with the mapping of UTS 46).
        port: 1 to 65535. It is never guessed.

    Attributes:
        host: The host as it goes on the wire, an IPv6 address without brackets.
        port: The port.
        kind: "name", "ipv4" or "ipv6".
        authority: The request-target: "host:port", an IPv6 address in brackets.

    Raises:
        InvalidTarget: The host or the port cannot be named in a request.
    """

    __slots__ = ("authority", "host", "kind", "port")
    __match_args__ = ("host", "port", "kind")

    authority: str

    host: str
    port: int
    kind: Kind

    def __init__(self, host: str, port: int) -> None:
        if not isinstance(host, str):
            raise InvalidTarget(f"the host of a target is a str, not {type(host).__name__}")
        wire, kind = _read_host(host)
        number = _read_port(port)
        authority = f"[{wire}]:{number}" if kind == "ipv6" else f"{wire}:{number}"
        self._set(host=wire, port=number, kind=kind, authority=authority)

    @classmethod
    def parse(cls, target: TargetLike) -> Target:
        """Read what a caller may say: "host:port", (host, port), or a Target.

        Raises:
            InvalidTarget: It cannot be read, or not in only one way.
        """
        match target:
            case Target():
                return target
            case str():
                return cls(*_split(target))
            case (host, port):
                try:
                    return _known(host, port)
                except TypeError:  # of what cannot even be looked up
                    return cls(host, port)
            case _:
                raise InvalidTarget(
                    "a target is 'host:port', a pair of host and port, or a Target, "
                    f"not {type(target).__name__}"
                )

    @property
    def server_hostname(self) -> str:
        """The name that the peer's certificate must bear (RFC 6066, 3: no trailing dot)."""
        return self.host.removesuffix(".")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and (self.host, self.port) == (other.host, other.port)

    def __hash__(self) -> int:
        return hash((self.host, self.port))

    def __str__(self) -> str:
        return self.authority

    def _shown(self) -> str:
        return f"Target({self.host!r}, {self.port})"


def known_addresses(host: str, port: int, kind: Kind) -> tuple[tuple[str, int], ...]:
    """The addresses of a host, where no resolver needs to be asked for them; otherwise none."""
    if kind != "name":
        return ((host, port),)
    if host == "localhost" or host.endswith(".localhost"):  # nobody else's business (RFC 6761, 6.3)
        return ("127.0.0.1", port), ("::1", port)
    return ()


@lru_cache(maxsize=512, typed=True)  # programs open many tunnels to few targets; True is not 1
def _known(host: str, port: int) -> Target:
    return Target(host, port)


def _split(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if "://" in text:
        _refuse(text, "is a URL", hint="a target is host:port, without a scheme or a path")
    if "@" in text:
        _refuse(text, "has userinfo", hint="a target is host:port, and has no credentials")
    if not colon:
        _refuse(text, "has no port", hint=f"say which, as in '{_shown(text)}:443'")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        _refuse_colons(text, host, port)
    return host, _read_port(port)


def _refuse_colons(text: str, host: str, port: str) -> NoReturn:
    """An IPv6 address without brackets, whose last group may be a port."""
    if text.startswith("[") and text.endswith("]"):
        _refuse(text, "has no port", hint=f"say which, as in '{_shown(text)}:443'")
    if _is_ipv6(host) and _PORT.fullmatch(port):
        readings = f"'[{host}]:{port}'"
        if _is_ipv6(text):
            readings += f" or '[{text}]:PORT'"
        _refuse(text, "is ambiguous", hint=f"write {readings}")
    if _is_ipv6(text):
        _refuse(text, "has no port", hint=f"write '[{text}]:PORT'")
    _refuse(text, "has more than one colon", hint="an IPv6 address goes in brackets")


def _read_port(port: object) -> int:
    if isinstance(port, str) and _PORT.fullmatch(port):
        port = int(port)
    if type(port) is not int or not 1 <= port <= 0xFFFF:  # a bool is no port
        # ASCII only: what else int() would read ("+443", "٤٤٣", "4_43") is no port.
        shown = type(port).__name__
        if isinstance(port, str) or (isinstance(port, int) and -(10**9) < port < 10**9):
            shown = _cut(ascii(port))
        raise InvalidTarget(f"port {shown} is not a number from 1 to 65535")
    return port


def _read_host(host: str) -> tuple[str, Kind]:
    if host.isascii():
        return _classify(host, host)
    # Only after the mapping is it known what the text is: fullwidth digits and dots become
    # an IPv4 address, and rules for addresses must then see one.
    return _classify(_to_ascii(host), host)


def _classify(host: str, given: str) -> tuple[str, Kind]:
    host = host.lower()
    if _IPV4.fullmatch(host):
        return host, "ipv4"
    if len(host.removesuffix(".")) <= _LONGEST_NAME and _NAME.fullmatch(host):
        return host, "name"
    if "%" in host:
        # A zone id means something on this machine only (RFC 9844), and percent-encoding
        # is decoded by some proxies and not by others.
        _refuse(given, "has a '%'", hint="zone ids and percent-encoding never go on the wire")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare and _is_ipv6(bare):
        return _canonical_ipv6(bare), "ipv6"
    _refuse_host(host, given)


def _refuse_host(host: str, given: str) -> NoReturn:
    if not host:
        raise InvalidTarget("the host is empty")
    if host.startswith("[v"):
        _refuse(given, "is of an address mechanism that is not supported")
    if "[" in host or ":" in host:
        _refuse(given, "is not an IPv6 address")
    if len(host) > _LONGEST_NAME:
        _refuse(given, f"is longer than {_LONGEST_NAME} characters")
    _refuse(given, "is not a host name", hint="letters, digits, hyphens, underscores and dots")


def _refuse(given: str, complaint: str, hint: str | None = None) -> NoReturn:
    raise InvalidTarget(f"target '{_shown(given)}' {complaint}", hint=hint)


def _shown(given: str) -> str:
    """A target fit to be shown: userinfo may hold a password, however it got there."""
    if "@" in given:
        return "..."
    return _cut(ascii(given)[1:-1])


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "..."


def _to_ascii(host: str) -> str:
    import idna  # noqa: PLC0415 - 11 ms, for names that need it

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError as error:
        complaint = "is not a valid internationalized name"
        reason = "" if "@" in host else f": {_cut(ascii(str(error))[1:-1])}"
    _refuse(host, complaint + reason)


def _is_ipv6(text: str) -> bool:
    import ipaddress  # noqa: PLC0415 - rarely needed

    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _canonical_ipv6(text: str) -> str:
    import ipaddress  # noqa: PLC0415 - rarely needed

    address = ipaddress.IPv6Address(text)
    # RFC 5952, 5 wants the dotted form here; Python writes it only from 3.13 on.
    if address.ipv4_mapped is not None:
        return f"::ffff:{address.ipv4_mapped}"
    return address.compressed
