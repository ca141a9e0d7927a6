"""How long an opening may take, as a whole and in its parts."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from ._frozen import Frozen

if TYPE_CHECKING:
    from ._errors import Phase

TimeoutLike: TypeAlias = "float | Timeout | None"

_FOR_EVER = 2_000_000  # 23 days; a poll counts milliseconds in 32 bits
_PART_NAMES = ("resolve", "tcp", "tls", "answer")

# The part of a Timeout that bounds each phase of an opening.
_PARTS: dict[Phase, str] = {
    "resolve": "resolve",
    "tcp": "tcp",
    "proxy_tls": "tls",
    "connect": "answer",
    "auth": "answer",
}


class Timeout(Frozen):
    """Limits in seconds; None for none, as more than 23 days are.

    Args:
        total: For the whole opening: lookup, dialling, TLS, and every answer of every hop.
        resolve: For looking up a proxy.
        tcp: For connecting to a proxy.
        tls: For TLS with a proxy.
        answer: For an answer to CONNECT.

    Raises:
        ValueError: A limit is not a positive number.
    """

    __slots__ = ("answer", "has_parts", "resolve", "tcp", "tls", "total")

    total: float | None
    resolve: float | None
    tcp: float | None
    tls: float | None
    answer: float | None
    has_parts: bool

    def __init__(
        self,
        total: float | None = 30.0,
        *,
        resolve: float | None = None,
        tcp: float | None = None,
        tls: float | None = None,
        answer: float | None = None,
    ) -> None:
        self._set(
            total=seconds(total),
            resolve=seconds(resolve),
            tcp=seconds(tcp),
            tls=seconds(tls),
            answer=seconds(answer),
        )
        self._set(has_parts=any(part is not None for part in self._facts()[1:]))

    @classmethod
    def parse(cls, timeout: TimeoutLike) -> Timeout:
        """Read what a caller may say: seconds, None, or a Timeout."""
        if isinstance(timeout, (int, float)):  # twice as fast as a union
            return _of(timeout)
        return timeout if isinstance(timeout, Timeout) else cls(timeout)

    def within(self, limit: float | None) -> Timeout:
        """The same, with no more than so many seconds for the whole; None leaves it as it is."""
        if limit is None or (self.total is not None and self.total <= limit):
            return self
        return _of(limit) if not self.has_parts else Timeout(limit, **self._parts())

    def _parts(self) -> dict[str, float | None]:
        return dict(zip(_PART_NAMES, self._facts()[1:], strict=True))

    def of(self, phase: Phase) -> float | None:
        """The limit of the part that a phase belongs to."""
        part = _PARTS.get(phase)
        limit: float | None = getattr(self, part) if part else None
        return limit

    def _facts(self) -> tuple[float | None, ...]:
        return self.total, self.resolve, self.tcp, self.tls, self.answer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeout) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def _shown(self) -> str:
        said = [f"{name}={value}" for name, value in self._parts().items() if value is not None]
        return f"Timeout({', '.join([str(self.total), *said])})"


@lru_cache(maxsize=64, typed=True)  # nearly always the same number; True is not 1
def _of(total: float | None) -> Timeout:
    return Timeout(total)


def seconds(value: float | None) -> float | None:
    """A limit that a caller gave, checked.

    Raises:
        ValueError: It is not a positive number.
    """
    if value is None:
        return None
    if value.__class__ is float and 0 < value <= _FOR_EVER:  # as nearly all are
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and value > 0):  # which nan is not
        raise ValueError(f"a timeout is a positive number of seconds or None, not {value!r}")
    return None if value > _FOR_EVER else value
