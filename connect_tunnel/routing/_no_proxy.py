"""NO_PROXY: which targets need no proxy, by one grammar, which is this.

    *                       everything, also among other entries
    example.com             that name, and every name below it
    .example.com            the same, as curl and CPython have it
    *.example.com           the names below it, and not the name itself
    192.0.2.1               that address
    2001:db8::1             likewise; brackets may stand round it
    192.0.2.0/24            the addresses of that network
    fd00::/8                likewise
    example.com:8443        any name or address from above, on that port
    [2001:db8::1]:8443      likewise; with a port, the brackets must be there

Entries are separated by commas, by blanks, or by both. Both sides are compared in the form that
goes on the wire: names as A-labels (UTS 46), in lower case and without their last dot; addresses
as addresses, where ::ffff:192.0.2.1 is 192.0.2.1. So no other spelling of a target dodges an
entry (CVE-2025-62718). What is an address matches no entry for names, and what is a name none
for addresses (CVE-2025-22870): names are never looked up, and 127.1 and 0x7f.1 are names.

What else an entry may be matches nothing, and is complained about: a target that should have
gone direct fails where somebody sees it, and none goes direct that should not.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from connect_tunnel._errors import InvalidTarget
from connect_tunnel._frozen import Frozen
from connect_tunnel._target import Target

from ._dialect import (
    BELOW_ONLY,
    BRACKETS,
    EVERY_ADDRESS,
    IPV6_NETWORK,
    IPV6_VARIANT,
    NOT_ASCII,
    PORT,
    PORT_OF_ADDRESS,
    STAR_AMONG_OTHERS,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from connect_tunnel._target import Kind

    from ._dialect import Dialect

_SEPARATORS = re.compile(r"[,\s]+")
_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:]*):(?P<port>[0-9]{1,5})")
_NETWORK = re.compile(r"(?P<address>[^/]+)/(?P<bits>[0-9]{1,3})")
_DOTS: Final = str.maketrans("\u3002\uff0e\uff61", "...")  # RFC 3490, 3.1; UTS 46 maps them so
_MAPPED: Final = "::ffff:"  # RFC 4291, 2.5.5.2

# What is often written, and why it is not read. The first that is in the entry is told.
_WHY_NOT: Final = {
    "://": "an entry is a host, and not a URL",
    "%": "zones and percent-encoding are of no host that goes on the wire",
    "*": "'*' stands alone, or in '*.' before a name",
    "/": "a network is an address, '/' and a number of bits",
    "": "it is no name, address or network",
}


class Host(NamedTuple):
    """A target, or what an entry names, in the form in which the two are compared."""

    text: str
    kind: Kind
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine: localhost, 127.0.0.0/8 or ::1."""
        # Names below localhost, which RFC 6761 makes loopback too, are not: of the clients
        # that we tried not one keeps them from its proxy unless NO_PROXY says so.
        if self.kind == "name":
            return self.text == "localhost"
        return self.text == "::1" or self.text.startswith(("127.", f"{_MAPPED}127."))


def canonical(target: Target, dialect: Dialect) -> Host:
    """The form in which a target is compared."""
    if target.host.endswith(".") and not dialect.final_dots:
        # Read again: "127.0.0.1." is a name, and without the dot it is an address.
        target = Target(target.host.removesuffix("."), target.port)
    if dialect.mapped and target.host.startswith(_MAPPED) and "." in target.host:
        return Host(target.host.removeprefix(_MAPPED), "ipv4", target.port)
    return Host(target.host, target.kind, target.port)


class NoProxy(Frozen):
    """The entries of NO_PROXY.

    Args:
        value: What the variable holds.
        variable: What it is called.
        dialect: Whose reading it is.

    Attributes:
        complaints: What could not be read, by position, in words without a secret.
    """

    __slots__ = ("_entries", "complaints")

    _entries: tuple[tuple[_Rule, str], ...]
    complaints: tuple[str, ...]

    def __init__(self, value: str, variable: str, dialect: Dialect) -> None:
        texts = _split(value, dialect)
        entries: list[tuple[_Rule, str]] = []
        complaints: list[str] = []
        for place, text in enumerate(texts, 1):
            # Somebody may have put the URL of a proxy here, and blanks and commas cut it up.
            shown = "" if "@" in value else f", '{show(text)}',"
            try:
                rule = _read(text, dialect, alone=len(texts) == 1)
            except _Unreadable as error:
                complaints.append(f"{variable}: entry {place}{shown} is skipped: {error}")
            else:
                entries.append((rule, f"entry {place} of {variable}{shown} exempts it"))
        self._set(_entries=tuple(entries), complaints=tuple(complaints))

    def exemption(self, host: Host) -> str | None:
        """Which entry, if any, keeps this host from the proxy, in words."""
        for rule, words in self._entries:
            if rule.covers(host):
                return words
        return None

    def __len__(self) -> int:
        return len(self._entries)

    def _shown(self) -> str:
        return f"<NoProxy of {len(self)} entries>"


def show(text: str) -> str:
    """An entry fit to be shown: on one line, and short."""
    shown = ascii(text)[1:-1]
    return shown if len(shown) <= 60 else shown[:60] + "..."


# --- what an entry may be ---


class _Rule(Protocol):
    def covers(self, host: Host, /) -> bool: ...


class _Everything(NamedTuple):
    def covers(self, host: Host, /) -> bool:
        del host
        return True


class _Names(NamedTuple):
    apex: str | None
    suffix: str
    port: int | None

    def covers(self, host: Host, /) -> bool:
        return (
            (host.text.endswith(self.suffix) or host.text == self.apex)
            and host.kind == "name"
            and self.port in (None, host.port)
        )


class _Address(NamedTuple):
    text: str
    port: int | None

    def covers(self, host: Host, /) -> bool:
        # The canonical texts of IPv4, of IPv6 and of names have no text in common.
        return host.text == self.text and self.port in (None, host.port)


class _Network(NamedTuple):
    network: IPv4Network | IPv6Network

    def covers(self, host: Host, /) -> bool:
        return host.kind != "name" and _address(host.text) in self.network


@lru_cache(maxsize=64)  # a list may have many networks
def _address(text: str) -> IPv4Address | IPv6Address:
    from ipaddress import ip_address  # noqa: PLC0415 - for those who name networks

    return ip_address(text)


# --- how it is read ---


class _Unreadable(ValueError):
    """Why an entry is none. Never leaves this module."""


def _split(value: str, dialect: Dialect) -> list[str]:
    if dialect.blanks == "separate":
        return [text for text in _SEPARATORS.split(value) if text]
    if dialect.blanks == "vanish":
        value = value.replace(" ", "")
    return [text for part in value.split(",") if (text := part.strip())]


def _read(text: str, dialect: Dialect, *, alone: bool) -> _Rule:
    if text == "*":
        _require(dialect, STAR_AMONG_OTHERS, needed=not alone)
        return _Everything()
    _require(dialect, NOT_ASCII, needed=not text.isascii())
    plain = text.translate(_DOTS)
    try:
        if network := _NETWORK.fullmatch(plain):
            return _read_network(network["address"], int(network["bits"]), dialect)
        if found := _PORT.fullmatch(plain):
            return _read_names(found["host"], int(found["port"]), dialect)
        return _read_names(plain, None, dialect)
    except InvalidTarget:
        # Neither chained nor quoted: it is not known what the text is.
        why = next(why for sign, why in _WHY_NOT.items() if sign in text)
    raise _Unreadable(why)


def _read_names(text: str, port: int | None, dialect: Dialect) -> _Rule:
    below_only = text.startswith("*.")
    _require(dialect, BELOW_ONLY, needed=below_only)
    bare = text[1:] if below_only else text
    dotted = bare.startswith(".")
    bare = bare.removeprefix(".")
    host = canonical(Target(bare, 1 if port is None else port), dialect)
    if host.kind == "name":
        _require(dialect, PORT, needed=port is not None)
        apex = None if below_only or (dotted and not dialect.apex) else host.text
        return _Names(apex, f".{host.text}", port)
    if dotted:
        raise _Unreadable("there are no names below an address")
    _require(dialect, PORT_OF_ADDRESS, needed=port is not None)
    _require(dialect, BRACKETS, needed=port is None and bare.startswith("["))
    _require(dialect, IPV6_VARIANT, needed=host.kind == "ipv6" and host.text != bare.lower())
    return _Address(host.text, port)


def _read_network(text: str, bits: int, dialect: Dialect) -> _Rule:
    from ipaddress import ip_network  # noqa: PLC0415 - for those who name networks

    host = canonical(Target(text, 1), dialect)
    if host.kind == "name":
        raise _Unreadable(_WHY_NOT["/"])
    _require(dialect, IPV6_NETWORK, needed=host.kind == "ipv6")
    _require(dialect, EVERY_ADDRESS, needed=bits == 0)
    if ":" in text and host.kind == "ipv4":
        bits -= 96  # ::ffff:192.0.2.0/120 is 192.0.2.0/24
    try:
        # What is beyond the bits means nothing: in Go, curl and Chromium 10.0.0.1/8 is 10.0.0.0/8.
        return _Network(ip_network((host.text, bits), strict=False))
    except ValueError:
        pass
    raise _Unreadable("there are no networks of so many bits")


def _require(dialect: Dialect, feature: str, *, needed: bool) -> None:
    if needed and feature in dialect.lacks:
        raise _Unreadable(f"the dialect {dialect.name} does not know {feature}")
