"""TLS with proxies and targets (TL-01 to TL-11, H1-43): verified, unchanged, told apart."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import anyio
import pytest

from connect_tunnel import (
    InvalidProxy,
    Proxy,
    ProxyMisbehaved,
    ProxyTLSError,
    TargetTLSError,
    Timeout,
    TunnelBroken,
    TunnelClosed,
    TunnelTimeout,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel._net import tls
from connect_tunnel._net.sock import SocketLayer
from connect_tunnel._net.tls_words import explain_tls
from connect_tunnel._net.waits import READ, WRITE, Deadline, Ready
from connect_tunnel.testing import (
    Close,
    Echo,
    HalfClose,
    LoopbackProxy,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK
from .shells import BACKENDS, SHELLS, converse, failure, nothing_left, perform, receive_all, took

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

    from connect_tunnel import TunnelError
    from connect_tunnel._net.waits import Operation
    from connect_tunnel.testing import Step

HELLO = Receive(b"\x16\x03\x01")  # a handshake record: the ClientHello comes in one segment


def serve(ca: trustme.CA, *names: str, common_name: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert(*names, common_name=common_name)
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.fixture
def trusted(ca: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process's own contexts trust the authority of the tests."""
    path = tmp_path / "authority.pem"
    ca.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setattr(tls, "_contexts", {})


# --- the proxy proves who it is (TL-01) ---


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("names", [["other.test"], ["localhost"], ["127.0.0.2"]])
def test_a_proxy_with_another_name_gets_nothing(
    names: list[str], shell: str, ca: trustme.CA, client_context: ssl.SSLContext
) -> None:
    """TL-01, T7: a valid certificate for another name, and not one byte of HTTP."""
    with nothing_left(), ScriptedProxy(Receive(), ssl_context=serve(ca, *names)) as proxy:
        via = Proxy(proxy.url, auth=("user", "s3cret"), ssl_context=client_context)
        error = failure(shell, via=via, timeout=5)
        assert isinstance(error, ProxyTLSError)
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
        assert not isinstance(error, ValueError)  # which an ssl.SSLError is
        assert error.phase == "proxy_tls"
        assert error.proxy_url == proxy.url
        assert "has a certificate that cannot be trusted" in str(error)
        assert error.hint is not None
        assert proxy.wait_closed()
        assert proxy.received == [b""]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_proxy_of_an_unknown_authority_gets_nothing(shell: str, ca: trustme.CA) -> None:
    """With the process's own context, too."""
    with nothing_left(), ScriptedProxy(Receive(), ssl_context=serve(ca, "127.0.0.1")) as proxy:
        error = failure(shell, via=proxy.url, timeout=5)
        assert isinstance(error, ProxyTLSError)
        assert proxy.wait_closed()
        assert proxy.received == [b""]


@pytest.mark.usefixtures("trusted")
def test_an_address_is_verified_as_an_address(ca: trustme.CA) -> None:
    with ScriptedProxy(Receive(), Send(OK), ssl_context=serve(ca, "127.0.0.1")) as proxy:
        open_tunnel("a.test:1", via=proxy.url, timeout=5).close()


@pytest.mark.usefixtures("trusted")
def test_a_common_name_is_no_name(ca: trustme.CA) -> None:
    """TL-01: Python would fall back to it (RFC 9110, 4.3.4)."""
    nameless = serve(ca, common_name="localhost")
    with nothing_left(), ScriptedProxy(Receive(), ssl_context=nameless) as proxy:
        error = failure("sync", via=f"https://localhost:{proxy.port}", timeout=5)
        assert isinstance(error, ProxyTLSError)


# --- contexts (TL-02, TL-04, TL-05, TL-08) ---


@pytest.mark.parametrize(
    "protocols", [("http/1.1",), ("h2", "http/1.1"), ()], ids=["proxy", "HTTP/2", "target"]
)
def test_default_contexts(protocols: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """TL-02, TL-08, and made once, however many threads ask for it first."""
    monkeypatch.setattr(tls, "_contexts", {})
    with ThreadPoolExecutor(8) as pool:
        [context] = set(pool.map(tls.default_context, [protocols] * 16))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.hostname_checks_common_name
    assert not context.post_handshake_auth
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_proxies_and_targets_share_no_context() -> None:
    """TL-05: nor tickets, certificates or settings (CVE-2021-22890)."""
    assert tls.default_context(("http/1.1",)) is not tls.default_context()


def test_a_certificate_for_the_target_is_not_shown_to_the_proxy(
    ca: trustme.CA, client_context: ssl.SSLContext
) -> None:
    """TL-05: each hop has its own context, and what is set on one stays there.

    The target wants a certificate; the proxy takes none as well, but trusts nobody's.
    """
    strict, distrustful = serve(ca, "127.0.0.1"), serve(ca, "127.0.0.1")
    strict.verify_mode, distrustful.verify_mode = ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL
    ca.configure_trust(strict)  # pyright: ignore[reportUnknownMemberType]
    showing = ssl.create_default_context()
    ca.configure_trust(showing)  # pyright: ignore[reportUnknownMemberType]
    certificate = ca.issue_cert("client@example.test")
    certificate.configure_cert(showing)  # pyright: ignore[reportUnknownMemberType]
    with (
        nothing_left(),
        ScriptedProxy(Echo(), ssl_context=strict) as target,
        LoopbackProxy(ssl_context=distrustful) as proxy,
    ):
        goal = target.host, target.port
        via = Proxy(proxy.url, ssl_context=client_context)
        assert echo_over_tls("sync", goal, via, showing) == (b"ping", False)
        with pytest.raises(OSError):  # a proxy that is shown it minds
            echo_over_tls("sync", goal, Proxy(proxy.url, ssl_context=showing), showing)


class Untouchable(ssl.SSLContext):
    """A context that says so when it is changed."""

    sealed = False

    def __setattr__(self, name: str, value: Any) -> None:
        assert not self.sealed, f"{name} of the caller's context was set"
        super().__setattr__(name, value)

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        raise AssertionError("the ALPN of the caller's context was set")

    def load_default_certs(self, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        raise AssertionError("certificates were loaded into the caller's context")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_caller_s_context_is_never_changed(
    shell: str, ca: trustme.CA, server_context: ssl.SSLContext
) -> None:
    """TL-04, T8: one context for both hops, and no session of one is resumed at the other."""
    context = Untouchable(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    context.sealed = True
    with (
        nothing_left(),
        LoopbackProxy(ssl_context=server_context) as proxy,
        ScriptedProxy(Echo(), ssl_context=server_context) as target,
    ):
        via = Proxy(proxy.url, ssl_context=context)
        goal = target.host, target.port
        for _ in range(2):
            assert echo_over_tls(shell, goal, via, context) == (b"ping", False)


def echo_over_tls(
    shell: str, target: tuple[str, int], via: Any, context: ssl.SSLContext
) -> tuple[bytes, bool]:
    """Open a tunnel, start TLS in it, say "ping", and tell the echo and if it was resumed."""
    if shell == "sync":
        with open_tunnel(target, via=via, timeout=5).start_tls(context, timeout=5) as tunnel:
            tunnel.write(b"ping")
            data = tunnel.read(timeout=5)
            return data, tunnel.get_extra_info("ssl_object").session_reused

    async def use() -> tuple[bytes, bool]:
        plain = await open_tunnel_async(target, via=via, timeout=5)
        async with await plain.start_tls(context, timeout=5) as tunnel:
            await tunnel.send(b"ping")
            data = await tunnel.receive()
            return data, tunnel.get_extra_info("ssl_object").session_reused

    return anyio.run(use, backend=shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_protocol_that_we_cannot_speak(shell: str, ca: trustme.CA) -> None:
    """The caller's context offers h2, and the proxy takes it: nothing was said yet."""
    server = serve(ca, "127.0.0.1")
    server.set_alpn_protocols(["h2"])
    client = ssl.create_default_context()
    ca.configure_trust(client)  # pyright: ignore[reportUnknownMemberType]
    client.set_alpn_protocols(["h2", "http/1.1"])
    with nothing_left(), ScriptedProxy(Receive(), ssl_context=server) as proxy:
        error = failure(shell, via=Proxy(proxy.url, ssl_context=client), timeout=5)
        assert isinstance(error, InvalidProxy)
        assert "'h2'" in str(error)
        assert proxy.wait_closed()
        assert proxy.received == [b""]


# --- what a ClientHello shows (TL-03, TL-04) ---


def extensions(hello: bytes) -> dict[int, bytes]:
    """The extensions of a ClientHello (RFC 8446, 4.1.2), by number."""
    at = 5 + 4 + 2 + 32  # record, handshake, version, random
    at += 1 + hello[at]  # session id
    at += 2 + int.from_bytes(hello[at : at + 2], "big")  # cipher suites
    at += 1 + hello[at]  # compression methods
    at += 2
    found: dict[int, bytes] = {}
    while at + 4 <= len(hello):
        kind, length = (int.from_bytes(hello[i : i + 2], "big") for i in (at, at + 2))
        found[kind] = hello[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def server_name(hello: bytes) -> str | None:
    extension = extensions(hello).get(0)
    return None if extension is None else extension[5:].decode("ascii")


def protocols(hello: bytes) -> bytes | None:
    return extensions(hello).get(16)


@pytest.mark.parametrize(
    ("target", "given", "name"),
    [
        ("example.test:443", None, "example.test"),
        ("Example.TEST.:443", None, "example.test"),
        ("faß.de:443", None, "xn--fa-hia.de"),
        ("\uff11\uff12\uff17.0.0.1:443", None, None),  # fullwidth digits: an address after mapping
        ("192.0.2.1:443", None, None),
        ("[2001:db8::1]:443", None, None),
        ("192.0.2.1:443", "example.test", "example.test"),
    ],
)
def test_the_name_that_a_target_is_told(target: str, given: str | None, name: str | None) -> None:
    """TL-03, NM-11: an A-label, with no dot, brackets or zone, and no address (RFC 6066, 3)."""
    with ScriptedProxy(Receive(), Send(OK), HELLO, Close()) as proxy:
        tunnel = open_tunnel(target, via=proxy.url, timeout=5)
        with pytest.raises(TargetTLSError):
            tunnel.start_tls(server_hostname=given, timeout=5)
        hello = proxy.received[0].partition(b"\r\n\r\n")[2]
    assert server_name(hello) == name
    assert protocols(hello) is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("proxy.test", "proxy.test"),
        ("Proxy.Test.", "proxy.test"),
        ("faß.de", "xn--fa-hia.de"),
        ("127.0.0.1", None),
    ],
)
def test_the_name_that_a_proxy_is_told(
    host: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", Mock(return_value=found))
    with ScriptedProxy(HELLO, Close()) as proxy:
        error = failure("sync", via=f"https://{host}:{proxy.port}", timeout=5)
        assert isinstance(error, ProxyTLSError)
        [hello] = proxy.received
    assert server_name(hello) == name
    assert protocols(hello) == b"\x00\x09\x08http/1.1"


# --- what a failed handshake means (TL-10) ---


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("script", "said", "hint"),
    [
        ([HELLO, Send(b"HTTP/1.1 400 Bad\r\n\r\n")], 'TLS with "HTTP/1.1 400 Bad', "http://"),
        ([Send(b"SSH-2.0-OpenSSH_9.6\r\n"), HELLO], 'TLS with "SSH-2.0-OpenSSH_9.6', "http://"),
        ([HELLO, Close()], "closed the connection during the TLS handshake", None),
        ([HELLO, Reset()], "broke the connection during the TLS handshake", None),
        ([HELLO, Send(b"\x15\x03\x01\x00\x02\x02\x28")], "failed the TLS handshake: ", None),
        ([HELLO, Send(b"\x16\x03\x03\x00\x09abc"), Close()], "failed the TLS handshake: ", None),
    ],
)
def test_a_proxy_that_fails_the_handshake(
    script: list[Step], said: str, hint: str | None, shell: str
) -> None:
    with nothing_left(), ScriptedProxy(*script) as proxy:
        error = failure(shell, via=f"https://127.0.0.1:{proxy.port}", timeout=5)
        assert isinstance(error, ProxyTLSError)
        assert said in str(error)
        if hint is not None:
            assert hint in (error.hint or "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tls_port_that_is_spoken_to_in_clear(shell: str, server_context: ssl.SSLContext) -> None:
    with nothing_left(), ScriptedProxy(Receive(), ssl_context=server_context) as proxy:
        error = failure(shell, via=f"http://127.0.0.1:{proxy.port}", timeout=5)
        assert isinstance(error, ProxyMisbehaved)
        assert "https://" in (error.hint or "")


def test_words_without_a_reason() -> None:
    """Some errors of ssl have arguments only, and some come with a greeting that is TLS."""
    said, hint = explain_tls(ssl.SSLError("made by hand"), b"")
    assert "made by hand" in said
    assert hint is None
    said, _ = explain_tls(ssl.SSLZeroReturnError(6, "closed"), b"\x16\x03\x03")
    assert "failed the TLS handshake" in said
    said, hint = explain_tls(ssl.SSLError(1, "x"), b"220 ready")
    assert said == 'answered TLS with "220 ready"'
    assert hint == "the port does not speak TLS"


# --- TLS with the target ---


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("over_tls", [False, True])
def test_a_target_with_another_name(
    over_tls: bool,
    shell: str,
    ca: trustme.CA,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """T6: verified by the target's name, which is never compared with the proxy's."""
    outer = server_context if over_tls else None
    with (
        nothing_left(),
        LoopbackProxy(ssl_context=outer) as proxy,
        ScriptedProxy(Echo(), ssl_context=serve(ca, "localhost")) as target,
    ):
        via = Proxy(proxy.url, ssl_context=client_context if over_tls else None)
        error = tls_failure(shell, (target.host, target.port), via, client_context)
        assert isinstance(error, TargetTLSError)
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
        assert error.phase == "target_tls"
        assert error.target == f"127.0.0.1:{target.port}"
        assert "is open, but 127.0.0.1 has a certificate that cannot be trusted" in str(error)
        assert target.wait_closed()
        assert proxy.wait_closed()
        assert target.received == [b""]


def tls_failure(
    shell: str, target: str | tuple[str, int], via: Any, context: ssl.SSLContext, **options: Any
) -> TunnelError:
    """What start_tls fails with; the tunnel is closed then."""
    if shell == "sync":
        tunnel = open_tunnel(target, via=via, timeout=5)
        with pytest.raises((TargetTLSError, TunnelTimeout, TunnelClosed)) as caught:
            tunnel.start_tls(context, **options)
        with pytest.raises(TunnelClosed):
            tunnel.read()
        return caught.value

    async def use() -> TunnelError:
        tunnel = await open_tunnel_async(target, via=via, timeout=5)
        with pytest.raises((TargetTLSError, TunnelTimeout, TunnelClosed)) as caught:
            await tunnel.start_tls(context, **options)
        with pytest.raises(TunnelClosed):
            await tunnel.receive()
        return caught.value

    return anyio.run(use, backend=shell)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("over_tls", [False, True])
def test_what_was_injected_before_tls_is_its_input(
    over_tls: bool, shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """TL-09, T18: glued to the 200, and neither dropped nor ever taken for the target's data."""
    script = Receive(), Send(OK + b"* OK injected\r\n"), Wait(0.05)
    outer = server_context if over_tls else None
    with nothing_left(), ScriptedProxy(*script, ssl_context=outer) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context if over_tls else None)
        error = tls_failure(shell, "a.test:1", via, client_context)
        assert isinstance(error, TargetTLSError)
        assert 'answered TLS with "* OK injected' in str(error)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_handshake_in_the_tunnel_ends_in_time(shell: str, client_context: ssl.SSLContext) -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Wait(5)) as proxy:
        with took(0.1, 1):
            error = tls_failure(shell, "a.test:1", proxy.url, client_context, timeout=0.2)
        assert isinstance(error, TunnelTimeout)
        assert error.phase == "target_tls"
        assert "0.2 s" in str(error)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_handshake_in_the_tunnel_can_be_cancelled(
    backend: str, client_context: ssl.SSLContext
) -> None:
    async def use() -> None:
        tunnel = await open_tunnel_async("a.test:1", via=proxy.url)
        with anyio.move_on_after(0.1) as scope:
            await tunnel.start_tls(client_context)
        assert scope.cancelled_caught
        with pytest.raises(TunnelClosed):
            await tunnel.receive()
        assert tunnel.get_extra_info("socket").fileno() == -1

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Wait(5)) as proxy:
        anyio.run(use, backend=backend)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": True}, {"server_hostname": ""}])
@pytest.mark.parametrize("shell", SHELLS)
def test_bad_input_leaves_the_tunnel_as_it_is(
    shell: str, options: dict[str, Any], client_context: ssl.SSLContext
) -> None:
    async def use() -> None:
        async with await open_tunnel_async("a.test:1", via=proxy.url) as tunnel:
            with pytest.raises(ValueError, match=r"timeout|host"):
                await tunnel.start_tls(client_context, **options)
            await tunnel.send(b"x")
            assert await tunnel.receive() == b"x"

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Echo()) as proxy:
        if shell != "sync":
            return anyio.run(use, backend=shell)
        with open_tunnel("a.test:1", via=proxy.url) as tunnel:
            with pytest.raises(ValueError, match=r"timeout|host"):
                tunnel.start_tls(client_context, **options)
            tunnel.write(b"x", timeout=5)
            assert tunnel.read(timeout=5) == b"x"
    return None


# --- how TLS ends (TL-07, H1-43) ---


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("required", [True, False])
def test_an_end_of_the_proxy_without_close_notify(
    required: bool, shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    script = Receive(), Send(OK + b"part"), Close()
    with nothing_left(), ScriptedProxy(*script, ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context, require_close_notify=required)
        if not required:
            assert listen(shell, via=via) == b"part"
            return
        with pytest.raises(TunnelBroken, match="without a close_notify"):
            listen(shell, via=via)


def listen(shell: str, via: Proxy) -> bytes:
    """Receive all there is."""

    async def use() -> bytes:
        async with await open_tunnel_async("a.test:1", via=via, timeout=5) as tunnel:
            return await receive_all(tunnel)

    if shell != "sync":
        return anyio.run(use, backend=shell)
    with open_tunnel("a.test:1", via=via, timeout=5) as tunnel:
        return b"".join(iter(lambda: tunnel.read(timeout=5), b""))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("required", [True, False])
def test_an_end_of_the_target_without_close_notify(
    required: bool, shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """The end is the target's; nothing more can be said to it, and nothing fails of that."""
    options: dict[str, Any] = {"require_close_notify": required}

    def in_a_thread() -> bytes:
        goal = target.host, target.port
        plain = open_tunnel(goal, via=proxy.url, timeout=5)
        with plain.start_tls(client_context, timeout=5, **options) as tunnel:
            data = tunnel.read(timeout=5)
            while more := tunnel.read(timeout=5):
                data += more
            assert tunnel.read(timeout=5) == b""
            return data

    async def in_a_loop() -> bytes:
        plain = await open_tunnel_async((target.host, target.port), via=proxy.url, timeout=5)
        async with await plain.start_tls(client_context, timeout=5, **options) as tunnel:
            return await receive_all(tunnel)

    script = Send(b"part"), Close()
    with (
        nothing_left(),
        LoopbackProxy() as proxy,
        ScriptedProxy(*script, ssl_context=server_context) as target,
    ):
        if not required:
            got = in_a_thread() if shell == "sync" else anyio.run(in_a_loop, backend=shell)
            assert got == b"part"
            return
        with pytest.raises(TunnelBroken, match="may be cut short"):
            _ = in_a_thread() if shell == "sync" else anyio.run(in_a_loop, backend=shell)


def test_after_a_ragged_end_there_is_nobody_to_say_goodbye_to(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    script = Receive(), Send(OK), Close()
    with nothing_left(), ScriptedProxy(*script, ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context, require_close_notify=False)
        with open_tunnel("a.test:1", via=via, timeout=5) as tunnel:
            assert tunnel.read(timeout=5) == b""
            tunnel.send_eof()


@pytest.mark.parametrize("shell", SHELLS)
def test_close_notify_is_sent_and_heeded(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """TL-07: an end for both, and neither calls it a truncation."""
    script = Receive(), Send(OK + b"all"), Receive(b"ping"), HalfClose(), Wait(0.05)
    with nothing_left(), ScriptedProxy(*script, ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context)
        assert converse(shell, via=via, timeout=5) == b"all"
        assert proxy.wait_closed()
        assert proxy.hangups == []


# --- any depth (TL-06) ---


@pytest.mark.parametrize("shell", SHELLS)
def test_three_layers(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """TL-06, LL-08: two TLS proxies, and TLS with the target inside."""
    with (
        nothing_left(),
        LoopbackProxy(ssl_context=server_context) as outer,
        LoopbackProxy(ssl_context=server_context) as inner,
        ScriptedProxy(Echo(), ssl_context=server_context) as target,
    ):
        via = [Proxy(each.url, ssl_context=client_context) for each in (outer, inner)]
        goal = target.host, target.port
        assert echo_over_tls(shell, goal, via, client_context) == (b"ping", False)
        assert [authority for authority, _ in outer.requests] == [f"127.0.0.1:{inner.port}"]
        assert [authority for authority, _ in inner.requests] == [f"127.0.0.1:{target.port}"]


def test_a_reader_and_a_writer_in_two_threads(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """8 MiB each way at once, TLS in TLS, which SSLSocket is not safe for."""
    many = bytes(range(256)) * (8 << 12)
    with (
        LoopbackProxy(ssl_context=server_context) as proxy,
        ScriptedProxy(Echo(), ssl_context=server_context) as target,
        ThreadPoolExecutor(1) as pool,
    ):
        via = Proxy(proxy.url, ssl_context=client_context)
        plain = open_tunnel((target.host, target.port), via=via, timeout=5)
        with plain.start_tls(client_context, timeout=5) as tunnel:
            writing = pool.submit(tunnel.write, many, 20)
            received = bytearray()
            while len(received) < len(many):
                received += tunnel.read(timeout=20)
            writing.result(20)
        assert received == many


@pytest.mark.parametrize("shell", SHELLS)
def test_tls_in_the_time_of_its_part(shell: str) -> None:
    with nothing_left(), ScriptedProxy(Wait(5)) as proxy, took(0.1, 1):
        via = f"https://127.0.0.1:{proxy.port}"
        error = failure(shell, via=via, timeout=Timeout(5, tls=0.2))
        assert isinstance(error, TunnelTimeout)
        assert error.phase == "proxy_tls"
        assert "http://" in (error.hint or "")


# --- a layer below that takes little at a time ---


class Narrow(SocketLayer):
    """Takes a few bytes, and then none for once."""

    __slots__ = ("_full",)

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._full = False

    def send_now(self, data: bytes | memoryview) -> int:
        self._full = not self._full
        return 0 if self._full else super().send_now(data[:50])


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_encrypted_is_kept_until_it_is_gone(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Every flight of the handshake is cut in pieces, and so is what follows."""

    def operation(layer: tls.TLSLayer) -> Operation[bytes]:
        yield from layer.handshake()
        data = memoryview(b"ping" * 100)
        while data:
            data = data[layer.send_now(data) :]
            yield Ready(layer.sock, WRITE)
        while not layer.flush_now():
            yield Ready(layer.sock, WRITE)
        received = b""
        while len(received) < 400:
            part = layer.receive_now(65536)
            if part is None:
                yield Ready(layer.sock, READ)
            else:
                received += part
        return received

    with (
        nothing_left(),
        ScriptedProxy(Echo(), ssl_context=server_context) as target,
        socket.create_connection((target.host, target.port)) as sock,
    ):
        sock.setblocking(False)
        narrow = Narrow(sock)
        layer = tls.TLSLayer(narrow, client_context, "127.0.0.1", require_close_notify=True)
        assert perform(shell, operation(layer), Deadline(10)) == b"ping" * 100
