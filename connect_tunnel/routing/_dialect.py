"""How programs differ in reading the proxy variables, as data.

No two clients read NO_PROXY alike. Ours is a superset of what they honour; each of the others
is told by what it lacks of ours and by what it does otherwise. Measured with curl 7.88, Go 1.19
and requests 2.34, and read in the source of curl 8, golang.org/x/net/http/httpproxy and CPython.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

DialectName: TypeAlias = Literal["connect_tunnel", "curl", "go", "requests"]

# What an entry of NO_PROXY may make use of, in the words of the warning where it is unknown.
STAR_AMONG_OTHERS: Final = "'*' among other entries"
BELOW_ONLY: Final = "'*.' before a name"
PORT: Final = "a port"
PORT_OF_ADDRESS: Final = "a port of an address"
BRACKETS: Final = "an address in brackets"
IPV6_NETWORK: Final = "networks of IPv6"
EVERY_ADDRESS: Final = "networks of no bits"
NOT_ASCII: Final = "names that are not ASCII"
IPV6_VARIANT: Final = "addresses of IPv6 in other than canonical form"


class Dialect(NamedTuple):
    """One way to read the variables.

    Attributes:
        name: What it is called.
        upper_first: Whether HTTPS_PROXY is preferred to https_proxy.
        upper_http: Whether HTTP_PROXY is read at all.
        all_proxy: Whether ALL_PROXY is.
        empty_hides: Whether an empty variable hides the one in the other case.
        lacks: What its NO_PROXY does not know.
        blanks: What blanks do there: "separate" entries, are trimmed ("trim") or "vanish".
        apex: Whether ".example.com" is example.com, too.
        final_dots: Whether a dot at the end of a name counts.
        mapped: Whether ::ffff:192.0.2.1 is 192.0.2.1.
        loopback: Whether loopback goes direct without being named.
    """

    name: str
    upper_first: bool = False
    upper_http: bool = True
    all_proxy: bool = True
    empty_hides: bool = True
    lacks: frozenset[str] = frozenset()
    blanks: Literal["separate", "trim", "vanish"] = "separate"
    apex: bool = True
    final_dots: bool = False
    mapped: bool = True
    loopback: bool = True

    def spellings(self, variable: str) -> tuple[str, ...]:
        """The names under which a variable is looked for, the one that wins first."""
        if variable == "http_proxy" and not self.upper_http:
            return (variable,)
        both = (variable, variable.upper())
        return both[::-1] if self.upper_first else both


DIALECTS: Final[dict[str, Dialect]] = {
    "connect_tunnel": Dialect("connect_tunnel"),
    "curl": Dialect(
        "curl",
        upper_http=False,
        empty_hides=False,
        lacks=frozenset(
            {
                STAR_AMONG_OTHERS, BELOW_ONLY, PORT, PORT_OF_ADDRESS, BRACKETS, EVERY_ADDRESS,
                NOT_ASCII,
            }
        ),
        mapped=False,
        loopback=False,
    ),
    "go": Dialect(
        "go",
        upper_first=True,
        all_proxy=False,
        empty_hides=False,
        lacks=frozenset({BRACKETS}),
        blanks="trim",
        apex=False,
        final_dots=True,
    ),
    "requests": Dialect(
        "requests",
        lacks=frozenset(
            {
                STAR_AMONG_OTHERS, BELOW_ONLY, PORT_OF_ADDRESS, BRACKETS, IPV6_NETWORK,
                EVERY_ADDRESS, NOT_ASCII, IPV6_VARIANT,
            }
        ),
        blanks="vanish",
        final_dots=True,
        mapped=False,
        loopback=False,
    ),
}  # fmt: skip
