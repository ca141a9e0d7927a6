"""How connections in HTTP/2 are shared, as a caller may say it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from connect_tunnel import HTTP2


def test_what_it_says_by_itself() -> None:
    assert (HTTP2().window, HTTP2().max_connections) == (1 << 20, None)
    assert repr(HTTP2(max_connections=2)) == "HTTP2(window=1048576, max_connections=2)"


@pytest.mark.parametrize("window", [65_534, 2**31, True, 1e6, "1000000", None, -1])
def test_a_window_that_there_is_not(window: Any) -> None:
    with pytest.raises(ValueError, match="window is a number from 65535 to 2147483647"):
        HTTP2(window=window)


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1"])
def test_a_number_of_connections_that_there_is_not(number: Any) -> None:
    with pytest.raises(ValueError, match="max_connections is a number from 1, or None"):
        HTTP2(max_connections=number)


def test_it_is_a_value() -> None:
    assert HTTP2(max_connections=1) == HTTP2(max_connections=1) != HTTP2()
    assert len({HTTP2(), HTTP2(), HTTP2(window=2**20 + 1)}) == 2
    assert HTTP2() != (2**20, None)
    assert pickle.loads(pickle.dumps(HTTP2(window=70_000))) == HTTP2(window=70_000)
    with pytest.raises(AttributeError, match="HTTP2 is immutable"):
        HTTP2().window = 1
