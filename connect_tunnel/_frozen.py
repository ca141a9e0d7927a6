"""Facts do not change: what was checked once is true for good."""

from __future__ import annotations

from typing import Any, NoReturn, Self


class Frozen:
    """An immutable value. Its `__init__` sets each attribute once, by `_set`."""

    __slots__ = ()

    def _set(self, **facts: Any) -> None:  # noqa: ANN401 - each class says what it holds
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        self._set(**state[1])

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def _shown(self) -> str:
        """What `repr` says."""
        raise NotImplementedError

    def __repr__(self) -> str:
        try:
            return self._shown()
        except AttributeError:
            # A value that was refused in the making is a local of its own `__init__`, and
            # tracebacks with locals print it.
            return f"<{type(self).__name__} in the making>"
