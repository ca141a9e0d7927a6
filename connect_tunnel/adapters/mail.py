"""imaplib, smtplib and poplib through a tunnel.

Each class is the standard library's of the same name, with `via` besides: a way there, or a
Dialer, which has its own timeout for the opening. Three things differ, on purpose. A name is
looked up by the proxy, so there must be one. TLS verifies the server's certificate unless a
context says otherwise, where the standard library verifies nothing; that it fails is told as a
TargetTLSError. And where no timeout is given an opening takes 30 seconds at most; reading then
waits for as long as there is silence, of which IDLE is made.
"""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import ssl
import sys
from typing import TYPE_CHECKING, Final, Literal, cast

from connect_tunnel import Target, TargetTLSError
from connect_tunnel._net.tls import default_context
from connect_tunnel._net.tls_words import target_tls_error

from .socket import NONE_GIVEN, connect, dialer_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from connect_tunnel import Dialer
    from connect_tunnel._via import Via

__all__ = ["IMAP4", "IMAP4_SSL", "POP3", "POP3_SSL", "SMTP", "SMTP_SSL"]

_IMAP4_PORT: Final = 143  # which stubs do not have
_IMAP4_SSL_PORT: Final = 993


class _Tunnelled:
    """What the three protocols have in common: a way, and a target that TLS must prove."""

    _dialer: Dialer
    _target: Target | None = None

    @property
    def _name(self) -> str:
        """Whose certificate it must be; the name that the proxy was asked for."""
        assert self._target is not None, "there is no TLS before there is a connection"
        return self._target.server_hostname

    def _dial(self, host: str, port: int, timeout: float | None) -> socket.socket:
        self._target = Target(host, port)
        return connect(self._dialer, self._target, timeout)

    def _start_tls(self, sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        with self._telling_of_tls():
            return context.wrap_socket(sock, server_hostname=self._name)

    @contextlib.contextmanager
    def _telling_of_tls(self) -> Generator[None]:
        try:
            yield
        except ssl.SSLError as error:
            raise target_tls_error(error, self._target, self._name) from error


class IMAP4(_Tunnelled, imaplib.IMAP4):
    """`imaplib.IMAP4`, through a tunnel.

    Args:
        host, port: The server.
        timeout: Seconds for the opening, and then for each answer; None for the default.
        via: The way there, or a Dialer.

    Raises:
        TunnelError: The tunnel could not be opened, as of `connect_tunnel.open_tunnel`.
    """

    def __init__(
        self,
        host: str,
        port: int = _IMAP4_PORT,
        timeout: float | None = None,
        *,
        via: Via | Dialer,
    ) -> None:
        try:
            self._dialer = dialer_of(via, _given(timeout))
        finally:
            del via  # a traceback would print it, and it may hold a password
        super().__init__(host, port, timeout)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        sys.audit("imaplib.open", self, self.host, self.port)
        sock = self._dial(self.host, self.port, _given(timeout))
        self.host: str = self._name  # what `starttls` looks for in the certificate
        return sock

    def starttls(
        self, ssl_context: ssl.SSLContext | None = None
    ) -> tuple[Literal["OK"], list[None]]:
        """Speak TLS from here on.

        Raises:
            TargetTLSError: The handshake failed.
        """
        try:
            with self._telling_of_tls():
                return super().starttls(ssl_context or default_context())
        except TargetTLSError:
            # Nobody is left to say LOGOUT to, as the end of a `with` block else would, and
            # raise what comes of it in the place of this.
            self.state = "LOGOUT"
            raise


class IMAP4_SSL(imaplib.IMAP4_SSL, IMAP4):  # noqa: N801 - the standard library's name
    """`imaplib.IMAP4_SSL`, through a tunnel.

    Args:
        host, port: The server.
        ssl_context: Used as it is; without one, the process's default, which verifies.
        timeout, via: As of `IMAP4`.

    Raises:
        TunnelError: The tunnel could not be opened, as of `connect_tunnel.open_tunnel`.
        TargetTLSError: TLS with the server failed.
    """

    def __init__(
        self,
        host: str,
        port: int = _IMAP4_SSL_PORT,
        *,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float | None = None,
        via: Via | Dialer,
    ) -> None:
        try:
            self._dialer = dialer_of(via, _given(timeout))
        finally:
            del via  # as above
        context = ssl_context or default_context()
        super().__init__(host, port, ssl_context=context, timeout=timeout)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._start_tls(IMAP4._create_socket(self, timeout), self.ssl_context)


class SMTP(_Tunnelled, smtplib.SMTP):
    """`smtplib.SMTP`, through a tunnel.

    Args:
        host: The server, which may have its port behind a colon; none to connect later.
        port: Its port, 25 if there is none.
        local_hostname: What to introduce this machine as.
        timeout: Seconds for the opening, and then for each answer; None for no limit.
        source_address: Host and port to dial from.
        via: The way there, or a Dialer.

    Raises:
        TunnelError: The tunnel could not be opened, as of `connect_tunnel.open_tunnel`.
    """

    def __init__(  # noqa: PLR0913 - the standard library's
        self,
        host: str = "",
        port: int = 0,
        local_hostname: str | None = None,
        timeout: float | None = NONE_GIVEN,
        source_address: tuple[str, int] | None = None,
        *,
        via: Via | Dialer,
    ) -> None:
        try:
            self._dialer = dialer_of(via, timeout, source_address)
        finally:
            del via  # as above
        super().__init__(host, port, local_hostname, cast("float", timeout), source_address)

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        sock = self._dial(host, port, timeout)
        self._host = self._name  # what `starttls` looks for in the certificate
        return sock

    def starttls(
        self,
        keyfile: object = None,
        certfile: object = None,
        context: ssl.SSLContext | None = None,
    ) -> tuple[int, bytes]:
        """Speak TLS from here on.

        Args:
            keyfile: Of Python 3.11, and no longer of use: a context has a key.
            certfile: Likewise.
            context: Used as it is; without one, the process's default, which verifies.

        Raises:
            TypeError: There is a `keyfile` or a `certfile`.
            TargetTLSError: The handshake failed.
        """
        if keyfile is not None or certfile is not None:
            raise TypeError("a key and a certificate belong in a context")
        with self._telling_of_tls():
            return super().starttls(context=context or default_context())


class SMTP_SSL(smtplib.SMTP_SSL, SMTP):  # noqa: N801 - the standard library's name
    """`smtplib.SMTP_SSL`, through a tunnel.

    Args:
        host, port, local_hostname: As of `SMTP`; the port is 465 if there is none.
        context: Used as it is; without one, the process's default, which verifies.
        timeout, source_address, via: As of `SMTP`.

    Raises:
        TunnelError: The tunnel could not be opened, as of `connect_tunnel.open_tunnel`.
        TargetTLSError: TLS with the server failed.
    """

    def __init__(  # noqa: PLR0913 - the standard library's
        self,
        host: str = "",
        port: int = 0,
        local_hostname: str | None = None,
        *,
        timeout: float | None = NONE_GIVEN,
        source_address: tuple[str, int] | None = None,
        context: ssl.SSLContext | None = None,
        via: Via | Dialer,
    ) -> None:
        try:
            self._dialer = dialer_of(via, timeout, source_address)
        finally:
            del via  # as above
        super().__init__(
            host,
            port,
            local_hostname,
            timeout=cast("float", timeout),
            source_address=source_address,
            context=context or default_context(),
        )

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        return self._start_tls(SMTP._get_socket(self, host, port, timeout), self.context)


class POP3(_Tunnelled, poplib.POP3):
    """`poplib.POP3`, through a tunnel.

    Args:
        host, port: The server.
        timeout: Seconds for the opening, and then for each answer; None for no limit.
        via: The way there, or a Dialer.

    Raises:
        TunnelError: The tunnel could not be opened, as of `connect_tunnel.open_tunnel`.
    """

    def __init__(
        self,
        host: str,
        port: int = poplib.POP3_PORT,
        timeout: float | None = NONE_GIVEN,
        *,
        via: Via | Dialer,
    ) -> None:
        try:
            self._dialer = dialer_of(via, timeout)
        finally:
            del via  # as above
        with _closed_on_failure(self):
            super().__init__(host, port, cast("float", timeout))

    def _create_socket(self, timeout: float | None) -> socket.socket:
        sock = self._dial(self.host, self.port, timeout)
        self.host: str = self._name  # what `stls` looks for in the certificate
        return sock

    def stls(self, context: ssl.SSLContext | None = None) -> bytes:
        """Speak TLS from here on.

        Raises:
            TargetTLSError: The handshake failed.
        """
        with self._telling_of_tls():
            return super().stls(context or default_context())


class POP3_SSL(poplib.POP3_SSL, POP3):  # noqa: N801 - the standard library's name
    """`poplib.POP3_SSL`, through a tunnel.

    Args:
        host, port: The server.
        context: Used as it is; without one, the process's default, which verifies.
        timeout, via: As of `POP3`.

    Raises:
        TunnelError: The tunnel could not be opened, as of `connect_tunnel.open_tunnel`.
        TargetTLSError: TLS with the server failed.
    """

    def __init__(
        self,
        host: str,
        port: int = poplib.POP3_SSL_PORT,
        *,
        timeout: float | None = NONE_GIVEN,
        context: ssl.SSLContext | None = None,
        via: Via | Dialer,
    ) -> None:
        try:
            self._dialer = dialer_of(via, timeout)
        finally:
            del via  # as above
        self._context: Final = context or default_context()
        with _closed_on_failure(self):
            super().__init__(host, port, timeout=cast("float", timeout), context=self._context)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._start_tls(POP3._create_socket(self, timeout), self._context)


def _given(timeout: float | None) -> float | None:
    """What imaplib means by None."""
    return NONE_GIVEN if timeout is None else timeout


@contextlib.contextmanager
def _closed_on_failure(client: poplib.POP3) -> Generator[None]:
    """Leave nothing open behind a server whose greeting is none."""
    try:
        yield
    except BaseException:
        if "file" in vars(client):
            client.close()
        raise
