"""Authentication as a talk between a flow and a proxy, without a request round it.

The proxy's side is a list of answers; what comes of it are the credentials of each request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_tunnel import Proxy, ProxyResponse, Target
from connect_tunnel._login import Login
from connect_tunnel._route import Hop
from connect_tunnel.auth import Auth
from connect_tunnel.testing import replay

if TYPE_CHECKING:
    from connect_tunnel._secret import Secret
    from connect_tunnel.auth import Exchange

PROXY = Proxy("https://proxy.test:3128", auth=Auth())  # a hop remembers for those who have one
TARGET = Target("server.example.com", 443)
GRANTED = ProxyResponse(200)
FORBIDDEN = ProxyResponse(403)
UNAUTHORIZED = ProxyResponse(401, fields=b"WWW-Authenticate: Basic realm=x\r\n")


def wants(*challenges: str) -> ProxyResponse:
    """A 407."""
    fields = "".join(f"Proxy-Authenticate: {challenge}\r\n" for challenge in challenges)
    return ProxyResponse(407, fields=fields.encode("latin-1"))


def granted(info: str) -> ProxyResponse:
    """A 200 with a Proxy-Authentication-Info."""
    return ProxyResponse(200, fields=f"Proxy-Authentication-Info: {info}\r\n".encode("latin-1"))


class Talk:
    """What was sent, request by request, and what the flow left behind."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.sent: list[str | None] = []

    def add(self, credentials: Secret[bytes] | None) -> None:
        self.sent.append(None if credentials is None else credentials.reveal().decode("latin-1"))

    @property
    def schemes(self) -> list[str | None]:
        """The scheme of what was sent with each request."""
        return [None if said is None else said.split(" ")[0] for said in self.sent]

    def params(self, request: int = -1) -> dict[str, str]:
        """The parameters that went with a request, as they were written."""
        said = self.sent[request]
        assert said is not None
        pairs = (pair.partition("=") for pair in said.partition(" ")[2].split(", "))
        return {name: value for name, _, value in pairs}


def talk(
    auth: Auth, *answers: ProxyResponse, hop: Hop | None = None, target: Target = TARGET
) -> Talk:
    """One opening: the proxy gives the answers in turn, for as long as it is asked.

    Not all need be given: one that rejects ends the talk if the flow has nothing more to say.
    """
    login = Login(auth, hop or Hop(PROXY), target)
    told = Talk(login.exchange)
    told.add(replay(login.begin()).value)
    for number, answer in enumerate(answers, 1):
        if answer.status != 407:
            replay(login.conclude(answer))
            assert number == len(answers), "the opening is decided, and there are answers left"
            break
        more = replay(login.answer(answer)).value
        if more is None:
            assert number == len(answers), "the flow ended, and there are answers left"
            break
        told.add(more)
    return told
