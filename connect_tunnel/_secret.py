"""A value that must not be seen."""

from __future__ import annotations

from typing import Final, Generic, NoReturn, TypeVar, cast

T = TypeVar("T")


class Secret(Generic[T]):
    """Holds a password, a token or a credentials field, and never shows it.

    Tracebacks print the repr of locals, logs print what they are given, and pickles end up
    in files: so the repr says nothing, and pickling is an error. Whoever needs the value
    calls `reveal`, and keeps it in no variable of a frame that can fail.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: Final[T] = value

    def reveal(self) -> T:
        """The value itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        # Compared as they are: both are ours, and nobody times us.
        return isinstance(other, Secret) and bool(self._value == cast("Secret[T]", other)._value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied out of the process")

    def __repr__(self) -> str:
        return "***"


def without(data: bytes, secret: Secret[bytes] | None) -> bytes:
    """The data, with stars for the credentials that somebody may have put into it."""
    if secret is None:
        return data
    # The scheme before them is no secret.
    scheme, _, token = secret.reveal().partition(b" ")
    token = token or scheme
    if len(token) < 4:  # would be found all over a text
        return data
    return data.replace(token, b"***").replace(token.replace(b'"', b"&quot;"), b"***")
