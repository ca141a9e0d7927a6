"""Header fields as a proxy sent them: case-insensitive, multi-valued, byte-exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ._frozen import Frozen

_SECRET = frozenset(
    {
        b"authentication-info",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"set-cookie",
        b"www-authenticate",
    }
)


class Headers(Frozen, Mapping[str, str]):
    """The fields of a response, in order.

    As a mapping it joins the values of a repeated field with ", " (RFC 9110, 5.3).
    Octets outside ASCII are read as Latin-1, which loses nothing. A pickle of it has stars
    where values are good for authenticating: nonces, tokens, cookies.

    Attributes:
        raw: Name and value of each field as it came, less the blanks around the value and
            with obsolete line folding replaced by a blank (RFC 9112, 5.2).
    """

    __slots__ = ("raw",)

    raw: tuple[tuple[bytes, bytes], ...]

    def __init__(self, raw: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self._set(raw=raw)

    def get_list(self, name: str) -> list[str]:
        """The values of every field of that name, each as it stood on its line."""
        wanted = name.lower().encode("latin-1", "replace")
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == wanted]

    def __getitem__(self, name: str) -> str:
        values = self.get_list(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key.decode("latin-1").lower() for key, _ in self.raw))

    def __len__(self) -> int:
        return len({key.lower() for key, _ in self.raw})

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    def harmless(self) -> tuple[tuple[bytes, bytes], ...]:
        """What may be kept in a file: the fields, with stars for values that are secrets."""
        return tuple(
            (name, b"***" if name.lower() in _SECRET else value) for name, value in self.raw
        )

    def __reduce__(self) -> tuple[object, ...]:
        # An error is pickled with its response, and may end up in a file.
        return Headers, (self.harmless(),)

    def _shown(self) -> str:
        # Names only: the values of some are secrets (Proxy-Authentication-Info, Set-Cookie).
        return f"<Headers {', '.join(self)}>"
