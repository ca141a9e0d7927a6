"""A proxy's no, for event loops."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from connect_tunnel._errors import TunnelTimeout
from connect_tunnel._open import read_refusal

from .errors import AsyncTunnelClosed
from .wait import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from connect_tunnel._ask import Refused
    from connect_tunnel._net.driver import Driver
    from connect_tunnel._response import ProxyResponse


class AsyncRefusal:
    """A proxy's no, with its body still to be read.

    Attributes:
        response: The answer, without its body. It is the proxy's, and never the target's.
    """

    __slots__ = ("__weakref__", "_driver", "_refused", "response")

    def __init__(self, driver: Driver, refused: Refused) -> None:
        self.response: Final = refused.response
        self._driver: Final = driver
        self._refused: Final = refused

    @property
    def complete(self) -> bool:
        """Whether the body has come to its end, and that end was sound."""
        return self._refused.body.complete

    async def read(self) -> ProxyResponse:
        """The answer with its body, as far as that comes: 64 KiB, and 2 s, at most."""
        self._check_open()
        program = read_refusal(self._refused)
        response = await run(self._driver.run(program), self._driver.deadline)
        await self.aclose()
        return response

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """The body part by part, without a limit on its size.

        Each part has the time of a whole opening. What is broken off ends like what is
        whole, and so does what does not come in time; `complete` tells one from the other.
        """
        body = self._refused.body
        self._check_open()
        with contextlib.suppress(TunnelTimeout):
            while part := await run(self._driver.run(body.next_part()), self._driver.deadline):
                yield part
                self._check_open()
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, which carries nothing after a refusal."""
        self._driver.abort()
        await checkpoint()

    def _check_open(self) -> None:
        if not self._driver.holds:
            raise AsyncTunnelClosed("the refusal was read, or is closed", phase="connect")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._driver.holds:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self._driver.abort()

    def __repr__(self) -> str:
        return f"<AsyncRefusal {self.response.status} by {self._refused.hop.proxy.url}>"
