"""Facts do not change, are their own copies, and have a repr even when half-made."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from connect_tunnel._frozen import Frozen


class Point(Frozen):
    """A fact like any other of ours."""

    __slots__ = ("x", "y")

    x: int
    y: int

    def __init__(self, x: int, y: int) -> None:
        self._set(x=x, y=y)

    def _shown(self) -> str:
        return f"Point({self.x}, {self.y})"


@pytest.mark.parametrize("name", ["x", "y", "z"])
def test_it_cannot_be_changed(name: str) -> None:
    point = Point(1, 2)
    with pytest.raises(AttributeError, match="Point is immutable"):
        setattr(point, name, 3)
    with pytest.raises(AttributeError, match="Point is immutable"):
        delattr(point, name)
    assert (point.x, point.y) == (1, 2)


def test_it_is_its_own_copy() -> None:
    point = Point(1, 2)
    assert copy.copy(point) is point
    assert copy.deepcopy([point])[0] is point


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_it_pickles(protocol: int) -> None:
    same: Any = pickle.loads(pickle.dumps(Point(1, 2), protocol))
    assert (type(same), same.x, same.y) == (Point, 1, 2)


def test_its_repr() -> None:
    assert repr(Point(1, 2)) == str(Point(1, 2)) == "Point(1, 2)"


def test_a_half_made_one_has_a_repr() -> None:
    assert repr(Point.__new__(Point)) == "<Point in the making>"


def test_each_says_how_it_is_shown() -> None:
    with pytest.raises(NotImplementedError):
        repr(Frozen())
