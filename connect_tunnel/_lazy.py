"""Public names that are loaded when somebody asks for them (PEP 562)."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def load(package: str, name: str, homes: Mapping[str, str]) -> Any:  # noqa: ANN401 - whatever it is
    """One name of a package, for its `__getattr__`, which keeps it.

    Args:
        package: The package that makes it public.
        name: The name.
        homes: For each such name the module where it is defined, as in "._auth". Of what a
            private module of the package defines, the package is where it says it belongs.

    Raises:
        AttributeError: The package has no such name.
    """
    home = homes.get(name)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - at first use, like all of this

    found = getattr(import_module(home, package), name)
    if home.startswith("._") and isinstance(found, type | FunctionType):
        found.__module__ = package
    return found
