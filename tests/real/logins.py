"""What the tests of logins share: who was asked for what, and what must not be seen."""

from __future__ import annotations

import pickle
import re
from base64 import b64encode
from traceback import TracebackException
from typing import TYPE_CHECKING

import anyio

from .ring import PASSWORD, USER, Port, Ring
from .shells import SECONDS, Stream, echoed

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel import TunnelError

    from .entrance import Entrance

WRONG = "open sesame"
SECRETS = re.compile(
    b"|".join(
        [
            *(re.escape(password.encode()) for password in (PASSWORD, WRONG)),
            *(
                re.escape(b64encode(f"{USER}:{password}".encode()))
                for password in (PASSWORD, WRONG)
            ),
            rb"YII[\w+/%]{40}",  # a token of GSSAPI
            rb"TlRMTVNTUAA[BD]",  # a message of an NTLM client
            rb"\bresponse=",  # of Digest
        ]
    )
)
SCHEMES = {scheme[:4]: scheme for scheme in ("-", "Basic", "Digest", "Negotiate", "NTLM")}


async def opens(stream: Stream) -> int:
    """Use a tunnel and close it. Gives the port that it came from."""
    async with stream:
        assert await echoed(stream, b"hello") == b"hello"
        return stream.port


def echo(ring: Ring) -> str:
    return f"127.0.0.1:{ring.port(Port.ECHO)}"


class Log:
    """What a proxy is asked from here on, in its own words: its answer, and the scheme sent."""

    def __init__(self, ring: Ring, entrance: Entrance) -> None:
        self.path = ring.folder / entrance.service.name / "access.log"
        self.start = len(self.lines())

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]

    async def of(self, port: int) -> list[str]:
        """The requests of a connection that became a tunnel, which is logged when it ends."""
        return await self.once(
            lambda came_from, _: came_from == port, lambda told: told[-1].startswith("200 ")
        )

    async def rejected(self, at_least: int) -> list[str]:
        return await self.once(
            lambda _, what: what.startswith("407 "), lambda told: len(told) >= at_least
        )

    async def once(
        self, which: Callable[[int, str], bool], complete: Callable[[list[str]], bool]
    ) -> list[str]:
        with anyio.fail_after(SECONDS):
            while True:
                new = self.lines()[self.start :]
                asked = [(int(port), f"{status} {SCHEMES[sent]}") for port, status, sent, *_ in new]
                told = [what for port, what in asked if which(port, what)]
                if told and complete(told):
                    return told
                await anyio.sleep(0.01)


def assert_hidden(error: TunnelError) -> None:
    """AU-24: nothing that shows an error shows what was sent to the proxy."""
    traceback = TracebackException.from_exception(error, capture_locals=True)
    shown = f"{error} {error!r} {vars(error)!r} {''.join(traceback.format())}"
    assert not SECRETS.search(shown.encode())
    assert not SECRETS.search(pickle.dumps(error))
