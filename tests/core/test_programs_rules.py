"""What neither mypy nor pyright sees of programs, read from their source (see `_steps.py`).

A step that nobody yields does nothing; a yield where a program is being closed breaks the close;
a program that touches a socket is none; and imports point one way. The rules are functions from a
source to complaints, and each is shown to find the mistake that it is there for.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

import connect_tunnel
from connect_tunnel import _steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

PACKAGE = Path(connect_tunnel.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
PROGRAMS = [
    PACKAGE / "_login.py",
    PACKAGE / "_open.py",
    PACKAGE / "_walk.py",
    *sorted((PACKAGE / "protocols").glob("*.py")),
    *sorted((PACKAGE / "auth").glob("*.py")),
    *(
        PACKAGE / "routing" / f"{name}.py"
        for name in ("_environment", "_failover", "_pac", "_pac_answer", "_router")
    ),
]


def place(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def read(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


# ---- a step or program is yielded from, where it is called ----

STEPS = {
    name
    for name, value in vars(_steps).items()
    if isinstance(value, type) and issubclass(value, _steps.Step)
}


def programs_in(tree: ast.AST) -> set[str]:
    """The functions that give a program, or a step to be yielded from."""
    return {node.name for node in functions(tree) if _gives(node.returns)}


def _gives(returns: ast.expr | None) -> bool:
    if isinstance(returns, ast.Subscript):
        returns = returns.value
    # A flow is a program that yields credentials, too (see `auth.Auth`).
    return isinstance(returns, ast.Name) and returns.id in {"Program", "Flow", *STEPS}


def not_yielded(tree: ast.AST, programs: set[str]) -> list[str]:
    """Calls of steps and programs that are not right behind `yield from`, nor passed on."""
    good = set(_calls_of_parameters(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.YieldFrom):
            good.add(node.value)
        elif isinstance(node, ast.AnnAssign):
            if node.value and _is_kept(node.annotation):
                good.add(node.value)
        elif isinstance(node, Function) and _gives(node.returns) and not _yields(node):
            # A function that is no generator itself may give the program or step of another.
            given = [end.value for end in ast.walk(node) if isinstance(end, ast.Return)]
            good |= {choice for value in given if value for choice in _choices(value)}
    return [
        f"{node.lineno}: {name} is not yielded from"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (name := _called(node)) in programs | STEPS
        and node not in good
    ]


def _choices(value: ast.expr) -> list[ast.expr]:
    return [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]


def _calls_of_parameters(tree: ast.AST) -> Iterator[ast.expr]:
    """What a function was given stands for itself, whatever else bears its name."""
    for function in functions(tree):
        given = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
        for node in within(function.body):
            match node:
                case ast.Call(func=ast.Name(name)) if name in given:
                    yield node
                case _:
                    pass


def _is_kept(annotation: ast.expr) -> bool:
    """Whether what is kept there is said to be a program, to be run step by step."""
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    return not names.isdisjoint({"Program", "Flow"})


def _called(call: ast.Call) -> str | None:
    match call.func:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def _yields(function: Function) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in within(function.body))


def within(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All that is run where these nodes are: not the inside of functions defined there."""
    for node in nodes:
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            yield from within(ast.iter_child_nodes(node))


ALL_PROGRAMS = {name for path in PROGRAMS for name in programs_in(read(path))}
# What is private is called where it is defined; elsewhere its name may stand for anything.
SHARED_PROGRAMS = {name for name in ALL_PROGRAMS if not name.startswith("_")}


@pytest.mark.parametrize("path", PROGRAMS, ids=place)
def test_no_step_is_forgotten(path: Path) -> None:
    tree = read(path)
    assert not_yielded(tree, SHARED_PROGRAMS | programs_in(tree)) == []


def test_programs_are_known_by_their_annotations() -> None:
    """A generator without one would go unnoticed."""
    assert {"request_tunnel", "request", "read_answer", "next_part"} <= ALL_PROGRAMS
    assert {"begin", "answer", "conclude", "flow", "converse", "find"} <= ALL_PROGRAMS
    for path in PROGRAMS:
        for function in functions(read(path)):
            kinds = {type(node) for node in within(function.body)}
            known = _gives(function.returns) or function.name == "__await__"
            assert known or ast.YieldFrom not in kinds, (path, function.name)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("Take(3)", "Take"),
        ("seen = Peek()", "Peek"),
        ("seen: bytes = Peek()", "Peek"),
        ("h1.request(a, b, c)", "request"),
        ("answer = read_answer()", "read_answer"),
        ("return read_answer()", "read_answer"),
        ("if Peek(): pass", "Peek"),
        ("while not (part := self.next_part()): pass", "next_part"),
        ("auth.flow(exchange)", "flow"),
        ("self.kept = auth.flow(exchange)", "flow"),
        ("self.kept: object = auth.flow(exchange)", "flow"),
        ("yield auth.flow(exchange)", "flow"),
        ("yield Peek()", "Peek"),
        ("yield from list(Peek())", "Peek"),
        ("answers = [read_answer() for _ in range(3)]", "read_answer"),
        ("yield from Take(3)", None),
        ("seen = yield from Peek()", None),
        ("return (yield from h1.read_answer())", None),
        ("while part := (yield from self.next_part()): pass", None),
        ("yield from h1.request(a, b, c)", None),
        ("yield from auth.flow(exchange)", None),
        ("self.kept: Flow | None = auth.flow(exchange)", None),
        ("token = kept or (yield from self.flow(exchange))", None),
        ("isinstance(step, Peek)", None),
    ],
)
def test_a_forgotten_step_would_be_found(line: str, complaint: str | None) -> None:
    source = f"def program() -> Program[None]:\n    {line}\n    yield from ()\n"
    found = not_yielded(ast.parse(source), {"read_answer", "next_part", "request", "flow"})
    assert found == ([f"2: {complaint} is not yielded from"] if complaint else [])


@pytest.mark.parametrize(
    ("returns", "fine"),
    [
        ("Program[None]", True),
        ("Flow", True),
        ("Send", True),
        ("Peek", True),
        ("bytes", False),
        ("None", False),
    ],
)
def test_a_function_may_pass_on_what_it_says_it_gives(returns: str, *, fine: bool) -> None:
    for value in ("read_answer()", "read_answer() if x else Peek()"):
        source = f"def later() -> {returns}:\n    return {value}\n"
        assert (not_yielded(ast.parse(source), {"read_answer"}) == []) is fine


@pytest.mark.parametrize(("parameter", "fine"), [("ask", True), ("asked", False)])
def test_a_function_may_call_what_it_was_given(parameter: str, *, fine: bool) -> None:
    source = f"def call({parameter}: object) -> object:\n    return ask(1)\n"
    assert (not_yielded(ast.parse(source), {"ask"}) == []) is fine


# ---- nothing is yielded where a program may be closing ----


def misplaced_yields(tree: ast.AST) -> list[str]:
    """Yields inside `finally`, `with`, and what catches the end of the program itself."""
    found: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Try(finalbody=body) | ast.TryStar(finalbody=body) if body:
                found += _yields_in(body, "finally")
            case ast.With(body=body) | ast.AsyncWith(body=body):
                found += _yields_in(body, "with")
            case ast.ExceptHandler(type=kind, body=body) if _catches_the_end(kind):
                found += _yields_in(body, "except")
            case _:
                pass
    return sorted(found)


def _yields_in(body: list[ast.stmt], where: str) -> list[str]:
    yields = (node for node in within(body) if isinstance(node, ast.Yield | ast.YieldFrom))
    return [f"{node.lineno}: a yield in {where}" for node in yields]


def _catches_the_end(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    names = {node.id for node in ast.walk(kind) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(kind) if isinstance(node, ast.Attribute)}
    return not names.isdisjoint({"BaseException", "GeneratorExit"})


@pytest.mark.parametrize("path", PROGRAMS, ids=place)
def test_no_yield_is_where_a_program_may_be_closing(path: Path) -> None:
    assert misplaced_yields(read(path)) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("try: pass\nfinally: yield from HangUp()", "2: a yield in finally"),
        ("try: pass\nfinally:\n if x:\n  yield 1", "4: a yield in finally"),
        ("try: pass\nexcept* OSError: pass\nfinally: yield 1", "3: a yield in finally"),
        ("with lock: yield from Peek()", "1: a yield in with"),
        ("with lock:\n for x in y:\n  z = yield", "3: a yield in with"),
        ("try: pass\nexcept: yield 1", "2: a yield in except"),
        ("try: pass\nexcept BaseException: yield 1", "2: a yield in except"),
        ("try: pass\nexcept GeneratorExit: yield 1", "2: a yield in except"),
        ("try: pass\nexcept (OSError, builtins.GeneratorExit): yield 1", "2: a yield in except"),
        ("try: yield from Peek()\nexcept OSError: yield from HangUp()", None),
        ("try: yield from Peek()\nfinally: done = True", None),
        ("with lock: pass\nyield from Peek()", None),
        ("with lock:\n def program():\n  yield from Peek()", None),
    ],
)
def test_a_misplaced_yield_would_be_found(source: str, complaint: str | None) -> None:
    body = "".join(f"    {line}\n" for line in source.splitlines())
    found = misplaced_yields(ast.parse(f"def program():\n{body}"))
    number, _, rest = (complaint or "").partition(": ")
    assert found == ([f"{int(number) + 1}: {rest}"] if complaint else [])


# ---- what is imported ----

OUTSIDE = {
    "anyio", "asyncio", "concurrent", "httpcore", "multiprocessing", "select", "selectors",
    "socket", "ssl", "subprocess", "threading", "time", "trio",
}  # fmt: skip

# From the facts up. A module may import what is on its own level or below it. A Proxy holds an
# Auth, which is why the facts about the way there stand above the programs of authentication.
LEVELS = [
    ["_version", "_lazy", "_frozen", "_secret", "_errors", "_timeout", "_target", "_headers",
     "_response", "_challenge", "_fields", "_proxy_url"],
    ["_steps"],
    ["auth", "protocols"],
    ["_proxy"],
    ["routing"],
    ["_route", "_via", "_explain"],
    ["_login"],
    ["_walk"],
    ["_open"],
    ["_net"],
    ["_sync", "_async"],
    ["", "adapters", "testing", "cli", "__main__"],
]  # fmt: skip
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def imported(tree: ast.AST, package: str) -> list[tuple[int, str]]:
    """The modules that are imported when the module runs, wherever in it that is said."""
    found: list[tuple[int, str]] = []
    for node in _executed(tree):
        match node:
            case ast.Import(names):
                found += [(node.lineno, alias.name) for alias in names]
            case ast.ImportFrom(module, names, level):
                base = package.split(".")[: package.count(".") + 2 - (level or 0)] if level else []
                start = ".".join([*base, *([module] if module else [])])
                found += [(node.lineno, f"{start}.{alias.name}") for alias in names]
            case _:
                pass
    return found


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING"), orelse=rest):
                yield from rest
                for other in rest:
                    yield from _executed(other)
            case _:
                yield node
                yield from _executed(node)


def package_of(path: Path) -> str:
    return ".".join(["connect_tunnel", *path.relative_to(PACKAGE).parent.parts])


def part_of(module: str) -> str:
    """The part of ours that a module belongs to, or "" for the list of names."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in LEVEL else ""


def outside(tree: ast.AST) -> list[str]:
    """Imports of what waits, or of what is waited for."""
    return [
        f"{line}: {name}"
        for line, name in imported(tree, "connect_tunnel")
        if name.split(".")[0] in OUTSIDE
    ]


def upward(tree: ast.AST, path: Path) -> list[str]:
    """Imports of what stands above."""
    own = LEVEL[path.relative_to(PACKAGE).parts[0].removesuffix(".py").replace("__init__", "")]
    return [
        f"{line}: {name}"
        for line, name in imported(tree, package_of(path))
        if name.split(".")[0] == "connect_tunnel" and LEVEL[part_of(name)] > own
    ]


WITHOUT_IO = [path for path in MODULES if path.stem != "__init__" and (
    path in PROGRAMS or (path.parent == PACKAGE and path.stem != "__main__")
)]  # fmt: skip


@pytest.mark.parametrize("path", WITHOUT_IO, ids=place)
def test_programs_and_facts_know_nothing_outside(path: Path) -> None:
    assert outside(read(path)) == []


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_imports_point_one_way(path: Path) -> None:
    assert upward(read(path), path) == []


def test_every_module_has_a_level() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert {part.replace("__init__", "") for part in parts} == set(LEVEL)


@pytest.mark.parametrize(
    ("source", "complaints"),
    [
        ("import socket", ["1: socket"]),
        ("from ssl import SSLContext", ["1: ssl.SSLContext"]),
        ("def f():\n import anyio.abc", ["2: anyio.abc"]),
        ("if True:\n import select", ["2: select"]),
        ("if TYPE_CHECKING:\n import ssl\nelse:\n import trio", ["4: trio"]),
        ("if TYPE_CHECKING:\n import ssl", []),
        ("import re, h11", []),
    ],
)
def test_an_import_from_outside_would_be_found(source: str, complaints: list[str]) -> None:
    assert outside(ast.parse(source)) == complaints


@pytest.mark.parametrize(
    ("module", "source", "complaints"),
    [
        ("_steps.py", "from ._open import x", ["1: connect_tunnel._open.x"]),
        ("_steps.py", "from . import _open", ["1: connect_tunnel._open"]),
        ("_steps.py", "from connect_tunnel import Tunnel", ["1: connect_tunnel.Tunnel"]),
        ("_errors.py", "import connect_tunnel", ["1: connect_tunnel"]),
        ("auth/_basic.py", "from .._proxy import x", ["1: connect_tunnel._proxy.x"]),
        ("auth/_auth.py", "from .._login import x", ["1: connect_tunnel._login.x"]),
        ("_explain.py", "from ._login import x", ["1: connect_tunnel._login.x"]),
        ("_login.py", "from ._open import x", ["1: connect_tunnel._open.x"]),
        ("_login.py", "from .auth._exchange import x\nfrom ._explain import x", []),
        ("auth/_basic.py", "from ..protocols import h1", []),
        ("auth/_basic.py", "from ._auth import Auth", []),
        ("protocols/h1.py", "def f():\n from connect_tunnel._net.tls import x",
         ["2: connect_tunnel._net.tls.x"]),
        ("_net/driver.py", "from connect_tunnel._sync.wait import run",
         ["1: connect_tunnel._sync.wait.run"]),
        ("_net/tls_words.py", "from connect_tunnel.protocols.h1 import escape", []),
        ("_sync/dialer.py", "from connect_tunnel._open import x\nfrom .wait import run", []),
        ("_sync/dialer.py", "from connect_tunnel.testing import x",
         ["1: connect_tunnel.testing.x"]),
    ],
)  # fmt: skip
def test_an_import_from_above_would_be_found(
    module: str, source: str, complaints: list[str]
) -> None:
    assert upward(ast.parse(source), PACKAGE / module) == complaints


# ---- what fits on a screen or two ----

LONGEST_MODULE = 350
LONGEST_FUNCTION = 40


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_modules_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    sizes = [(node.name, _lines(node)) for node in functions(read(path))]
    assert [(name, size) for name, size in sizes if size > LONGEST_FUNCTION] == []


def _lines(function: Function) -> int:
    """From `def` to its end, without the docstring, which is the length that it takes."""
    assert function.end_lineno is not None
    size = function.end_lineno - function.lineno + 1
    match function.body[0]:
        case ast.Expr(ast.Constant(str()), end_lineno=int() as end) as docstring:
            return size - (end - docstring.lineno + 1)
        case _:
            return size
