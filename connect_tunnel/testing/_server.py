"""What the proxies here have in common: where they are, and that they leave nothing behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from ._listener import HOST, Listener

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self


class LoopbackServer(ABC):
    """A server on 127.0.0.1, in threads of its own, for as long as a `with` block lasts.

    Attributes:
        host: 127.0.0.1.
        port: The port; there is one from entering the `with` block on.
    """

    host: Final = HOST
    port: int

    def __init__(self, ssl_context: ssl.SSLContext | None) -> None:
        self._ssl_context: Final = ssl_context
        self._listener: Listener

    @property
    def url(self) -> str:
        """What to give as `via`, without credentials."""
        return f"{'https' if self._ssl_context else 'http'}://{self.host}:{self.port}"

    def wait_closed(self, timeout: float = 2.0) -> bool:
        """Wait for the end of all connections; False if some are still open after that time."""
        return self._listener.wait_idle(timeout)

    def __enter__(self) -> Self:
        self._listener = Listener()
        self.port = self._listener.port
        self._listener.spawn(self._serve)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.stop()
        if exc is None and self._listener.errors:
            raise self._listener.errors[0]

    @abstractmethod
    def _serve(self) -> None:
        """Accept connections until there are no more."""
