"""Where to listen: read once, and on loopback unless somebody says that it may be elsewhere."""

from __future__ import annotations

import re

from connect_tunnel._frozen import Frozen

_TCP = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[0-9A-Za-z.-]+)):(?P<port>[0-9]{1,5})")
_UNIX = "unix:"
_FORMS = "'127.0.0.1:5432', '[::1]:0', ('localhost', 5432) or 'unix:/run/user/1000/db'"


class Place(Frozen):
    """An address to listen at.

    Attributes:
        host: An IP address, or the path of a Unix socket.
        port: The port, 0 for any that is free; 0 of a Unix socket, too.
        is_unix: Whether it is a Unix socket.
        is_local: Whether nobody can come from another machine.
    """

    __slots__ = ("host", "is_local", "is_unix", "port")

    host: str
    port: int
    is_unix: bool
    is_local: bool

    def __init__(self, host: str, port: int, *, is_unix: bool, is_local: bool) -> None:
        self._set(host=host, port=port, is_unix=is_unix, is_local=is_local)

    @classmethod
    def parse(cls, listen: str | tuple[str, int], *, allow_remote: bool = False) -> Place:
        """Read what a caller may say: "host:port", a pair of these, or "unix:/path".

        Raises:
            ValueError: It cannot be read, or can be reached from other machines.
        """
        if isinstance(listen, str) and listen.startswith(_UNIX):
            path = listen.removeprefix(_UNIX)
            if not path.startswith("/") or "\0" in path:
                raise ValueError("the path of a Unix socket to listen at is absolute")
            return cls(path, 0, is_unix=True, is_local=True)
        host, port = _split(listen)
        place = _read(host, port)
        if not (place.is_local or allow_remote):
            raise ValueError(
                f"{host} can be reached from other machines, which is not wanted unless "
                "allow_remote says so"
            )
        return place

    def at_port(self, port: int) -> Place:
        """The same with the port that there was."""
        return Place(self.host, port, is_unix=self.is_unix, is_local=self.is_local)

    def __str__(self) -> str:
        if self.is_unix:
            return _UNIX + self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _shown(self) -> str:
        return f"<Place {self}>"


def _split(listen: object) -> tuple[str, int]:
    match listen:
        case str():
            found = _TCP.fullmatch(listen)
            if found is not None:
                return found["v6"] or found["host"], int(found["port"])
        case (str() as host, int() as port) if not isinstance(port, bool):
            return host, port
        case _:
            pass
    # What was meant for another argument may hold a password.
    shown = "this" if "@" in str(listen) else repr(listen)
    raise ValueError(f"an address to listen at is, for example, {_FORMS}, not {shown}")


def _read(host: str, port: int) -> Place:
    from ipaddress import ip_address  # noqa: PLC0415 - for those who listen

    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"port {port} is not a number from 0 to 65535")
    try:
        # No other name is looked up: whom it lets in would be for the resolver to say.
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ValueError(f"{host!a} is neither an IP address nor localhost") from None
    return Place(str(address), port, is_unix=False, is_local=address.is_loopback)
