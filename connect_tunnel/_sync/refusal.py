"""A proxy's no, for threads."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import TunnelClosed, TunnelTimeout
from connect_tunnel._open import read_refusal

from .wait import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from connect_tunnel._ask import Refused
    from connect_tunnel._net.driver import Driver
    from connect_tunnel._response import ProxyResponse


class Refusal:
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

    def read(self) -> ProxyResponse:
        """The answer with its body, as far as that comes: 64 KiB, and 2 s, at most."""
        self._check_open()
        program = read_refusal(self._refused)
        response = run(self._driver.run(program), self._driver.deadline)
        self.close()
        return response

    def iter_bytes(self) -> Iterator[bytes]:
        """The body part by part, without a limit on its size.

        Each part has the time of a whole opening. What is broken off ends like what is
        whole, and so does what does not come in time; `complete` tells one from the other.
        """
        body = self._refused.body
        self._check_open()
        with contextlib.suppress(TunnelTimeout):
            while part := run(self._driver.run(body.next_part()), self._driver.deadline):
                yield part
                self._check_open()
        self.close()

    def close(self) -> None:
        """Close the connection, which carries nothing after a refusal."""
        self._driver.abort()

    def _check_open(self) -> None:
        if not self._driver.holds:
            raise TunnelClosed("the refusal was read, or is closed", phase="connect")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._driver.holds:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        return f"<Refusal {self.response.status} by {self._refused.hop.proxy.url}>"
