"""asyncssh through a tunnel, by `tunnel=`; its own server is the target."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import asyncssh
import pytest

from connect_tunnel import AsyncDialer, InvalidProxy, TunnelRefused
from connect_tunnel.adapters.asyncssh import Connector
from connect_tunnel.testing import LoopbackProxy, Receive, ScriptedProxy, Send

from .asyncio_loops import run, way
from .raw import OK
from .shells import nothing_left

if TYPE_CHECKING:
    import ssl

KEY: Final = asyncssh.generate_private_key(  # pyright: ignore[reportUnknownMemberType]
    "ssh-ed25519"
)
NO: Final = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
MEGABYTE: Final = "0123456789abcdef" * 65536


async def answer(process: asyncssh.SSHServerProcess[str]) -> None:
    process.stdout.write(await process.stdin.read())
    process.exit(7)


async def serve() -> asyncssh.SSHAcceptor:
    key = KEY.export_public_key()
    return await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[KEY],
        authorized_client_keys=asyncssh.import_authorized_keys(key.decode()),
        process_factory=answer,
    )


def options(port: int) -> dict[str, Any]:
    return {
        "port": port,
        "username": "alice",
        "client_keys": [KEY],
        "known_hosts": ([KEY.convert_to_public()], [], []),
        "config": None,
    }


# Not on uvloop: it now and then closes with a connection of asyncssh's server still in it, and
# then fails. Our transports are tested on it in test_adapters_asyncio.py.
@pytest.mark.parametrize("loop", ["asyncio"])
@pytest.mark.parametrize("hop", ["plain", "TLS"])
def test_a_command(
    loop: str, hop: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def main() -> None:
        server = await serve()
        via = Connector(way(proxy, client_context, auth=("alice", "s3cret")), timeout=5)
        async with (
            asyncssh.connect("localhost", tunnel=via, **options(server.get_port())) as ssh,
            asyncssh.connect("localhost", tunnel=via, **options(server.get_port())) as again,
        ):
            for each in (ssh, again):
                done = await each.run("echo", input=MEGABYTE)
                assert (done.stdout, done.exit_status) == (MEGABYTE, 7)
        server.close()
        await server.wait_closed()
        assert proxy.requests[0][0] == f"localhost:{server_port(proxy)}"

    tls = server_context if hop == "TLS" else None
    with nothing_left(), LoopbackProxy(auth=("alice", "s3cret"), ssl_context=tls) as proxy:
        run(loop, main())


def server_port(proxy: LoopbackProxy) -> str:
    return proxy.requests[-1][0].rpartition(":")[2]


def test_t4_t13_a_refusal_is_passed_on() -> None:
    """T4, T13: as an error, which leaves nothing."""

    async def main() -> None:
        async with AsyncDialer(proxy.url) as dialer:
            for _ in range(20):
                with pytest.raises(TunnelRefused):
                    await asyncssh.connect("a.test", tunnel=Connector(dialer), **options(22))

    with nothing_left(), LoopbackProxy(refuse=lambda _: NO) as proxy:
        run("asyncio", main())


@pytest.mark.parametrize("hop", ["plain", "TLS"])
def test_t13_an_opening_that_is_cancelled(
    hop: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def main() -> None:
        via = Connector(way(proxy, client_context))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncssh.connect("a.test", tunnel=via, **options(22))

    tls = server_context if hop == "TLS" else None
    with nothing_left(), ScriptedProxy(Receive(), Send(OK), ssl_context=tls) as proxy:
        run("asyncio", main())


def test_what_it_is_and_what_is_none() -> None:
    assert repr(Connector("http://alice:s3cret@proxy.test:3128")) == (
        "<Connector of <AsyncDialer via http://proxy.test:3128>>"
    )
    with pytest.raises(InvalidProxy):
        Connector("proxy.test:3128")
