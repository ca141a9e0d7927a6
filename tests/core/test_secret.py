"""A value that must not be seen: not in a repr, not in a format, not in a pickle."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from connect_tunnel._secret import Secret, without

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("value", ["s3cr3t", ""])
def test_it_is_seen_by_whoever_asks(value: str) -> None:
    assert Secret(value).reveal() is value
    assert Secret(value.encode()).reveal() == value.encode()
    assert bool(Secret(value)) is bool(value)


@pytest.mark.parametrize(
    "show",
    [repr, str, ascii, "{}".format, "{0!r}".format, "%s".__mod__],
    ids=lambda show: str(show)[:30],
)
def test_au_24_it_is_not_shown(show: Callable[[object], str]) -> None:
    assert show(Secret("s3cr3t")) == show(Secret(b"s3cr3t")) == "***"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_au_24_it_does_not_leave_the_process(protocol: int) -> None:
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(Secret("s3cr3t"), protocol)


def test_au_24_it_has_no_dict_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(Secret("s3cr3t"))
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        copy.copy(Secret("s3cr3t"))


DIGEST = b'Digest username="u", response="0a4f"'


@pytest.mark.parametrize(
    ("data", "secret", "left"),
    [
        (b"as Basic dTpw.", Secret(b"Basic dTpw"), b"as Basic ***."),
        (b"dTpw and dTpw", Secret(b"Basic dTpw"), b"*** and ***"),
        (b"Ticket s3cr3t", Secret(b"s3cr3t"), b"Ticket ***"),
        (b"<pre>%b</pre>" % DIGEST, Secret(DIGEST), b"<pre>Digest ***</pre>"),
        (DIGEST.replace(b'"', b"&quot;"), Secret(DIGEST), b"Digest ***"),
        (b"nothing of it", Secret(b"Basic dTpw"), b"nothing of it"),
        (b"a token", Secret(b"Bearer tok"), b"a token"),
        (b"nobody sent any", None, b"nobody sent any"),
        (b"", Secret(b"Basic dTpw"), b""),
    ],
    ids=["once", "twice", "no scheme", "Digest", "in HTML", "not there", "too short", "none", ""],
)
def test_au_24_a_page_without_it(data: bytes, secret: Secret[bytes] | None, left: bytes) -> None:
    assert without(data, secret) == left


def test_it_is_a_value() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != Secret(b"a")
    assert Secret("a") != "a"
