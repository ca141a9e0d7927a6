"""websockets through a tunnel, by the recipes of `examples/`; its own server is the target."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.server import serve

from connect_tunnel.testing import LoopbackProxy
from examples import websockets_async, websockets_sync

from .shells import nothing_left

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator
    from pathlib import Path

    import trustme
    from websockets.sync.server import ServerConnection


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextmanager
def serving(context: ssl.SSLContext | None) -> Generator[str]:
    """The URL of an echo."""
    with serve(echo, "127.0.0.1", 0, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        yield f"{'wss' if context else 'ws'}://localhost:{port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("recipe", [websockets_sync, websockets_async])
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("hop", ["plain", "TLS"])
def test_a_message(  # noqa: PLR0913, PLR0917 - a fixture each
    recipe: Any,
    secure: bool,
    hop: str,
    ca: trustme.CA,
    server_context: ssl.SSLContext,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cafile = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(cafile)
    monkeypatch.setenv("SSL_CERT_FILE", str(cafile))  # for the proxy, which the recipe is not told
    monkeypatch.setattr("connect_tunnel._net.tls._contexts", {})
    with nothing_left():
        with (
            serving(server_context if secure else None) as url,
            LoopbackProxy(ssl_context=server_context if hop == "TLS" else None) as proxy,
        ):
            words = [url, "hello", "--via", proxy.url, "--cafile", str(cafile)]
            assert recipe.main(words) == 0
            assert proxy.requests[0][0] == url.split("/")[2]
        gc.collect()  # the server's selector is in a cycle
    assert capsys.readouterr().out == "hello\n"
