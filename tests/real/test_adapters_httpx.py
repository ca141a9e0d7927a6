"""httpx and httpx2 with our transports, through squid to hypercorn: HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    ProxyAuthenticationRequired,
    ProxyTLSError,
    TargetTLSError,
    TunnelRefused,
)
from connect_tunnel.routing import Environment
from tests.loopback.http_faces import ASYNC_FACES, FACES, Face

from .ring import PASSWORD, REALM, USER, Port, Ring, Run, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.loopback.http_faces import Request

    from .entrance import Entrance

HERE = Path(__file__).parent
SIZE = 100 << 20
PIECE = bytes(1 << 20)

each_face = pytest.mark.parametrize("face", FACES, ids=str)
each_entrance = pytest.mark.parametrize(
    "entrance", ["squid", "squid-tls", "squid-basic", "squid-tls-basic"], indirect=True
)
each_version = pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])


def hypercorn(ring: Ring, folder: Path) -> Run:
    del folder
    own = ring.target_authority
    words = ["--certfile", str(own.cert), "--keyfile", str(own.key)]
    words += ["--bind", f"127.0.0.1:{ring.port(Port.HTTP2)}", "--log-level", "warning"]
    where = {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    return Run([sys.executable, "-m", "hypercorn", *words, "asgi_origin:app"], where)


HYPERCORN = Service("hypercorn", (Port.HTTP2,), hypercorn)


@pytest.fixture
def origin(ring: Ring, start: Callable[[Service], None]) -> str:
    start(HYPERCORN)
    return f"https://localhost:{ring.port(Port.HTTP2)}"


def settings(ring: Ring, version: str) -> dict[str, Any]:
    return {"verify": ring.target_authority.context, "http2": version == "HTTP/2"}


# --- whatever the way and the version ---


@each_face
@each_entrance
@each_version
def test_requests_share_a_tunnel(
    face: Face, ring: Ring, entrance: Entrance, version: str, origin: str
) -> None:
    requests: list[Request] = [("GET", f"{origin}/{number}") for number in range(3)]
    requests.append(("POST", f"{origin}/sent", {"content": PIECE}))
    got = face.talk(entrance.via(ring), *requests, **settings(ring, version))
    number = version.removeprefix("HTTP/")
    assert [response.text for response in got[:3]] == [f"/{n} 0 {number}" for n in range(3)]
    assert got[3].text == f"/sent {len(PIECE)} {number}"
    for response in got:
        assert response.http_version == version
        assert response.extensions["proxy_response"].status == 200


# In threads httpcore's HTTP/2 now and then sends its streams out of order, with a proxy and
# without one, upon which the server ends the connection.
CROWDS = [
    *((face, "HTTP/1.1") for face in FACES),
    *((face, "HTTP/2") for face in ASYNC_FACES),
]


@pytest.mark.parametrize(("face", "version"), CROWDS, ids=str)
@pytest.mark.parametrize("entrance", ["squid", "squid-tls-basic"], indirect=True)
def test_t23_two_hundred_at_once(
    face: Face, ring: Ring, entrance: Entrance, version: str, origin: str
) -> None:
    """With as many tunnels as the transport's limits allow, and each its own answer."""
    requests = [("GET", f"{origin}/tag-{number}") for number in range(200)]
    got = face.at_once(entrance.via(ring), requests, **settings(ring, version))
    assert [response.text.split()[0] for response in got] == [f"/tag-{n}" for n in range(200)]


# --- what a proxy does ---


@each_face
@each_entrance
def test_t4_a_refusal(face: Face, ring: Ring, entrance: Entrance) -> None:
    url = f"https://127.0.0.1:{ring.port(Port.FORBIDDEN)}/"
    [error] = face.talk(entrance.via(ring), ("GET", url))
    assert type(error) is face.httpx.ProxyError
    assert type(error.__cause__) is TunnelRefused
    response = error.__cause__.response
    assert response.headers["x-squid-error"] == "ERR_ACCESS_DENIED 0"
    assert b"<html" in response.body
    assert response.complete


@each_face
@pytest.mark.parametrize("entrance", ["squid-basic", "squid-tls-basic"], indirect=True)
def test_wrong_credentials(face: Face, ring: Ring, entrance: Entrance, origin: str) -> None:
    via = entrance.via(ring, auth=(USER, "open sesame"))
    plain = f"http://127.0.0.1:{ring.port(Port.REFUSED)}/"
    for error in face.talk(via, ("GET", origin), ("GET", plain)):
        assert type(error) is face.httpx.ProxyError
        assert type(error.__cause__) is ProxyAuthenticationRequired
        [challenge] = error.__cause__.challenges
        assert (challenge.scheme, challenge.realm) == ("Basic", REALM)
        assert "sesame" not in f"{error} {error!r} {vars(error.__cause__)}"


@each_face
def test_t6_certificates(
    face: Face, ring: Ring, enter: Callable[[str], Entrance], origin: str
) -> None:
    """Of the origin and of the proxy, each verified for itself."""
    entrance = enter("squid-tls")
    [error] = face.talk(entrance.via(ring), ("GET", origin))
    assert type(error) is face.httpx.ConnectError
    assert type(error.__cause__) is TargetTLSError
    [error] = face.talk(entrance.url(ring), ("GET", origin), **settings(ring, "HTTP/1.1"))
    assert type(error) is face.httpx.ProxyError
    assert type(error.__cause__) is ProxyTLSError


@each_face
@each_entrance
def test_http_is_forwarded(face: Face, ring: Ring, entrance: Entrance) -> None:
    """Squid says of a port where nobody listens what it says of a tunnel there, in a response."""
    url = f"http://127.0.0.1:{ring.port(Port.REFUSED)}/"
    requests = [("GET", url), ("GET", url)]
    for response in face.talk(entrance.via(ring), *requests):
        assert response.status_code == 503
        assert response.headers["x-squid-error"] == "ERR_CONNECT_FAIL 111"
        assert "proxy_response" not in response.extensions
    [error] = face.talk(entrance.via(ring), ("GET", url), tunnel_http=True)
    assert error.__cause__.response.status == 503


@each_face
@pytest.mark.parametrize("loopback_direct", [False, True])
def test_from_the_environment(
    face: Face, ring: Ring, enter: Callable[[str], Entrance], origin: str, loopback_direct: bool
) -> None:
    via = enter("squid-basic").url(ring).replace("://", f"://{USER}:{PASSWORD}@")
    router = Environment({"HTTPS_PROXY": via}, loopback_direct=loopback_direct)
    [response] = face.talk(router, ("GET", origin), **settings(ring, "HTTP/1.1"))
    assert response.status_code == 200
    assert ("proxy_response" in response.extensions) is not loopback_direct


# --- a hundred megabytes ---

LONG = [
    ("httpx", "sync", "HTTP/1.1"),
    ("httpx", "asyncio", "HTTP/1.1"),
    ("httpx2", "sync", "HTTP/1.1"),
    ("httpx2", "trio", "HTTP/1.1"),
    ("httpx2", "asyncio", "HTTP/2"),
]


@pytest.mark.parametrize(("library", "shell", "version"), LONG)
@pytest.mark.parametrize("entrance", ["squid"], indirect=True)
def test_streaming(  # noqa: PLR0913, PLR0917 - a fixture each
    ring: Ring, entrance: Entrance, origin: str, library: str, shell: str, version: str
) -> None:
    face = Face(library, shell)
    transport = face.transport(entrance.via(ring), **settings(ring, version))
    if shell == "sync":
        stream(face, transport, origin)
    else:
        face.run(lambda: stream_async(face, transport, origin))


def stream(face: Face, transport: Any, origin: str) -> None:
    with face.httpx.Client(transport=transport, timeout=20) as client:
        with client.stream("GET", f"{origin}/down/{SIZE}") as response:
            assert sum(map(len, response.iter_raw())) == SIZE
        response = client.post(f"{origin}/up", content=pieces())
        assert response.text.split()[1] == str(SIZE)


def pieces() -> Iterator[bytes]:
    for _ in range(SIZE // len(PIECE)):
        yield PIECE


async def stream_async(face: Face, transport: Any, origin: str) -> None:
    async with face.httpx.AsyncClient(transport=transport, timeout=20) as client:
        async with client.stream("GET", f"{origin}/down/{SIZE}") as response:
            size = 0
            async for piece in response.aiter_raw():
                size += len(piece)
            assert size == SIZE
        response = await client.post(f"{origin}/up", content=pieces_async())
        assert response.text.split()[1] == str(SIZE)


async def pieces_async() -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece
