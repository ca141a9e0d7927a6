"""The engine that runs PAC files: what a script may do, and what it cannot (EN-13, EN-15)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel.routing._script import engine as module
from connect_tunnel.routing._script.engine import Busy, Engine, Outcome, ScriptError

MIB = 1 << 20


def ask(  # noqa: PLR0913 - all that may differ from the usual
    script: str | Engine,
    known: dict[str, list[str]] | None = None,
    *,
    url: str = "https://h.test/",
    host: str = "h.test",
    seconds: float = 5,
    memory: int = 64 * MIB,
) -> Outcome:
    engine = script if isinstance(script, Engine) else Engine(script, memory=memory)
    deadline = time.monotonic() + seconds
    return engine.ask(url, host, known or {}, now=time.time(), deadline=deadline)


def find(body: str) -> str:
    return f"function FindProxyForURL(url, host) {{\n{body}\n}}"


ANSWERS: list[tuple[str, str, str | None]] = [
    ("what it was given", find("return url + ' ' + host"), "https://h.test/ h.test"),
    ("null", find("return null"), None),
    ("nothing", find("return ''"), ""),
    ("what is not ASCII", find("return 'é\\u2028\\u0000\U0001f600'"), "é\u2028\0\U0001f600"),
    ("half a character", find("return '\\ud800'"), "\ud800"),
    (
        "a text of many parts",
        find("var s = ''; for (var i = 0; i < 8000; i++) s += 'ab'; return s"),
        "ab" * 8000,
    ),
    ("as a variable", "var FindProxyForURL = function () { return 'x' }", "x"),
    ("as a constant", "const FindProxyForURL = () => 'x'", "x"),
    ("strict", "'use strict'; function FindProxyForURL() { return `${this}` }", "undefined"),
    ("on the global object", "this.FindProxyForURL = function () { return 'x' }", "x"),
    ("without a last semicolon", "var FindProxyForURL = function () { return 'x' }\n//", "x"),
    ("marked as HTML", "<!-- x\nfunction FindProxyForURL() { return 'x' }\n//-->", "x"),
    ("with names that are not ASCII", "function é() { return 'x' }\nvar FindProxyForURL = é", "x"),
    (
        "with functions of its own",
        "String.prototype.includes = () => true;" + find("return 'x'"),
        "x",
    ),
    ("packed", "eval(atob('" + b64encode(find("return 'x'").encode()).decode() + "'))", "x"),
    ("with something evaluated", find("return eval('1 + 1') + eval(5) + ''"), "7"),
    ("with a scope that nobody sees", find("var a = 1; return eval('typeof a')"), "undefined"),
    (
        "with functions made of texts",
        find("return new Function('a', 'b', 'return a + b')('x', 1)"),
        "x1",
    ),
    (
        "with a class of functions",
        find("return `${new (class extends Function {})('return 1')()}`"),
        "1",
    ),
    ("with functions by their kind", find("return `${(() => 1) instanceof Function}`"), "true"),
    (
        "with the function of all",
        find("return typeof Function('return this')().isInNet"),
        "function",
    ),
    ("with 1000 times else", find("if (host == url) return 'y'; else " * 1000 + "return 'x'"), "x"),
]


@pytest.mark.parametrize(
    ("script", "answer"), [pytest.param(*row[1:], id="EN-13 " + row[0]) for row in ANSWERS]
)
def test_what_it_answers(script: str, answer: str | None) -> None:
    assert ask(script) == Outcome("answer", answer)


FAULTS: list[tuple[str, str, str]] = [
    ("syntax", "\n\nvar x = ;", "fails: SyntaxError: .*, near line 3"),
    ("a brace too few", "function FindProxyForURL() {", "fails: SyntaxError: .*, near line "),
    ("no JavaScript", "<html><body>404</body></html>", "fails: SyntaxError"),
    (
        "a name that there is not",
        find("return\nnone()") + "\nnone()",
        "fails: ReferenceError: .*none.*, near line 5",
    ),
    ("another name", "function FindProxy() {}", "defines no function FindProxyForURL$"),
    ("nothing", "", "defines no function FindProxyForURL$"),
    ("no function", "var FindProxyForURL = 'DIRECT'", "defines no function FindProxyForURL$"),
    (
        "its own error",
        find("\n\nfunction f() { throw new Error('boo') }\nf()"),
        "fails: Error: boo, near line 4",
    ),
    ("an error of ours", find("isPlainHostName(Symbol())"), "fails: TypeError: .*, near line [12]"),
    ("a text", find("throw 'boo'"), "fails: boo$"),
    ("an object", find("throw {}"), r"fails: \[object Object\]$"),
    (
        "an object without words",
        find("throw Object.create(null)"),
        "fails: an exception that cannot be shown$",
    ),
    (
        "an error with an error",
        find("throw {toString() { throw 1 }}"),
        "fails: an exception that cannot be shown$",
    ),
    ("a long error", find("throw 'x'.repeat(1e6)"), "^fails: x{300}$"),
    ("no answer", find(""), "gave no string but something that is undefined$"),
    ("a number", find("return 5"), "gave no string but something that is number$"),
    ("a symbol", find("return Symbol()"), "gave no string but something that is symbol$"),
    ("an array", find("return ['DIRECT']"), "gave no string but something that is object$"),
    (
        "a promise",
        "async " + find("return 'DIRECT'"),
        "gave no string but something that is object$",
    ),
    (
        "what looks like a string",
        find("return new String('DIRECT')"),
        "gave no string but something that is object$",
    ),
    ("a long answer", find("return 'x'.repeat(1e6)"), "gave an answer of 1000000 characters$"),
    ("recursion", find("return FindProxyForURL()"), "fails: RangeError: Maximum call stack size"),
    ("recursion in what is read", "(" * 100_000, "fails: RangeError: Maximum call stack size"),
    (
        "recursion in JSON",
        find("JSON.parse('['.repeat(1e6))"),
        "fails: RangeError: Maximum call stack",
    ),
    (
        "a text of a gigabyte",
        find("return 'x'.repeat(2 ** 29) + 'x'"),
        "takes more than the 64 MiB of memory that it may, near line ",
    ),
    (
        "a text of more",
        find("return 'x'.repeat(2 ** 30)"),
        "fails: RangeError: invalid string length",
    ),
    ("a text that grows", find("var s = 'x'; for (;;) s += s"), "(takes more|string too long)"),
    (
        "a list that grows",
        find("var a = []; for (;;) a.push(a.length + 'xxxx')"),
        "takes more than the 64 MiB",
    ),
    (
        "what is kept",
        "var kept = [];" + find("for (;;) kept.push(kept.length + 'xxxx')"),
        "takes more than the 64 MiB",
    ),
    ("a large array", find("new Uint8Array(2 ** 30)"), "takes more than the 64 MiB"),
    ("a large number", find("return 2n ** 2n ** 40n"), "BigInt is too large"),
    (
        "memory when it is read",
        "var a = []; for (;;) a.push(a.length + 'xxxx')",
        "takes more than the 64 MiB",
    ),
    ("what needs a file", find("return require('fs')"), "fails: ReferenceError"),
    ("what needs a network", find("return fetch('http://h')"), "fails: ReferenceError"),
    ("what needs a module", find("return std.open('/etc/passwd')"), "fails: ReferenceError"),
    (
        "what waits",
        find("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)"),
        "fails: TypeError",
    ),
]


@pytest.mark.parametrize(
    ("script", "words"), [pytest.param(*row[1:], id="EN-13 " + row[0]) for row in FAULTS]
)
def test_what_is_wrong_with_it(script: str, words: str) -> None:
    with pytest.raises(ScriptError, match=words):
        ask(script)


STUCK = "for (;;);"
HOSTILE = "{ toString: spin, valueOf: spin, get message() { spin() }, get stack() { spin() } }"
TRAP = "new Proxy({}, { get() { for (;;); } })"
STACKS = """
for (var o of [Object.prototype, Error.prototype, InternalError.prototype])
  try { Object.defineProperty(o, 'stack', { get() { for (;;); } }) } catch (e) {}
"""
TRACE = """
try { Error.prepareStackTrace = () => ({ toString() { for (;;); } }) } catch (e) {}
"""
ENDLESS: list[tuple[str, str]] = [
    ("a loop", find(STUCK)),
    ("a loop when it is read", STUCK),
    ("a loop that catches", find(f"for (;;) try {{ {STUCK} }} catch (e) {{}}")),
    ("a loop at the end of all", find(f"try {{ {STUCK} }} finally {{ {STUCK} }}")),
    ("a generator", find("function* f() { for (;;) yield 1 } for (var x of f());")),
    ("an expression", find("/(a+)+$/.test('a'.repeat(60) + 'b')")),
    ("a sorting", find("new Array(1000).fill(1).sort(() => { for (;;); })")),
    ("an array of which there is nothing", find("[].indexOf.call({length: 2 ** 53 - 1}, 1)")),
    ("what is thrown", "var spin = () => { for (;;); };" + find(f"throw {HOSTILE}")),
    ("what is thrown when it is read", f"var spin = () => {{ for (;;); }}; throw {HOSTILE}"),
    ("words of an error", find("Error.prototype.toString = () => { for (;;); }; for (;;);")),
    ("words of all", find("Object.prototype[Symbol.toPrimitive] = () => { for (;;); }; for (;;);")),
    ("a stack of all", find(STACKS + STUCK)),
    (
        "a parent of errors",
        find(f"Object.setPrototypeOf(InternalError.prototype, {TRAP}); {STUCK}"),
    ),
    ("a trace", find(TRACE.replace("({ toString() { for (;;); } })", "{ for (;;); }") + STUCK)),
    ("what is made of a trace", find(TRACE + STUCK)),
    ("a trap", find(f"Object.setPrototypeOf(globalThis, {TRAP}); return nothing")),
]


# The compiler of quickjs-ng crashes where memory runs out. So the memory is filled, but for some of
# it, before it is called by whoever may call it.
FULL = """
var code = {code}, spare = new Uint8Array({spare}), kept = [];
code.charCodeAt(0);
for (var size = 2 ** 20; size >= 1; size >>= 1)
  try {{ for (;;) kept.push(new Uint8Array(size)); }} catch (e) {{}}
spare = null;
{call}
"""
COMPILED = (
    "'if (a) b; else '.repeat(700) + '1'",
    "'{ let a; '.repeat(300) + '}'.repeat(300)",
)
CALLS = (
    "eval(code)",
    "(0, eval)(code)",
    "new Function(code)",
    "(() => {}).constructor(code)",
    "new (class extends Function {})(code)",
    "Object.getPrototypeOf((function* () {}).constructor)(code)",
    "Function({ toString() { return this.again ? code : (this.again = 1, '') } })",
)
FULL_OF_IT: list[tuple[str, str]] = [
    (f"{call} with {spare}", find(FULL.format(code=code, spare=spare, call=call)))
    for code in COMPILED
    for call in CALLS
    for spare in range(500, 20_000, 1500)
]


@pytest.mark.parametrize("script", [pytest.param(row[1], id="EN-13 " + row[0]) for row in ENDLESS])
def test_what_does_not_end(script: str) -> None:
    """It is stopped, however it is written, and the engine can be asked again."""
    engine = Engine(script)
    for _ in range(2):
        start = time.monotonic()
        with pytest.raises(ScriptError, match="runs for longer than it may"):
            ask(engine, seconds=0.1)
        assert time.monotonic() - start < 2


def test_the_line_of_what_does_not_end() -> None:
    with pytest.raises(ScriptError, match=r"runs for longer than it may, near line 4$"):
        ask(find("function f() { return 1 }\nf();\nfor (;;) Math.max();"), seconds=0.1)


def test_what_looks_like_the_end_of_its_time() -> None:
    with pytest.raises(ScriptError, match=r"^fails: interrupted$"):
        ask(find("throw 'interrupted'"))


# ---- names ----


def test_a_name_ends_the_run() -> None:
    engine = Engine(find("return dnsResolve('a.test') + dnsResolve('b.test') + myIpAddress()"))
    known: dict[str, list[str]] = {}
    asked: list[str] = []
    while (outcome := ask(engine, known)).kind == "unknown":
        assert outcome.words is not None
        asked.append(outcome.words)
        known[outcome.words] = [f"192.0.2.{len(known)}"]
    assert asked == ["a.test", "b.test", ""]
    assert outcome.words == "192.0.2.0192.0.2.1192.0.2.2"


@pytest.mark.parametrize(
    "body",
    [
        "try { dnsResolve('a.test') } catch (e) {} return 'DIRECT'",
        "try { dnsResolve('a.test') } catch (e) { dnsResolve('b.test') }",
        "try { dnsResolve('a.test') } finally { return 'DIRECT' }",
        "try { dnsResolve('a.test') } catch (e) { throw 'boo' }",
        "isInNet('a.test', '0.0.0.0', '0.0.0.0') || myIpAddress()",
    ],
)
def test_no_script_hides_that_it_wants_a_name(body: str) -> None:
    assert ask(find(body)) == Outcome("unknown", "a.test")


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString", "\ud800", "\0", '"'])
def test_odd_names(name: str) -> None:
    engine = Engine(find("return dnsResolve(url)"))
    assert ask(engine, url=name) == Outcome("unknown", name)
    assert ask(engine, {name: ["192.0.2.1"]}, url=name) == Outcome("answer", "192.0.2.1")


def test_names_when_it_is_read() -> None:
    """As many a file has it, for its own address."""
    engine = Engine("var mine = myIpAddress();" + find("return mine"))
    assert ask(engine) == Outcome("unknown", "")
    assert ask(engine, {"": ["192.0.2.1"]}) == Outcome("answer", "192.0.2.1")
    assert ask(engine) == Outcome("answer", "192.0.2.1")


# ---- what lasts ----


def test_a_script_is_read_once() -> None:
    engine = Engine(
        "var read = Math.random(); var asked = 0;" + find("return read + '/' + ++asked")
    )
    first, second, third = [(ask(engine).words or "").split("/") for _ in range(3)]
    assert first[0] == second[0] == third[0]
    assert [first[1], second[1], third[1]] == ["1", "2", "3"]


def test_an_error_of_its_own_is_not_its_end() -> None:
    engine = Engine("var asked = 0;" + find("if (++asked == 1) throw 1; return `${asked}`"))
    with pytest.raises(ScriptError):
        ask(engine)
    assert ask(engine).words == "2"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(STUCK, id="time"),
        pytest.param("for (;;) kept.push(kept.length + 'xxxx');", id="memory"),
        pytest.param(
            "for (;;) try { kept.push(kept.length + 'xxxx') } catch (e) { break }",
            id="memory that is caught",
        ),
    ],
)
def test_after_its_end_it_begins_anew(body: str) -> None:
    engine = Engine(
        "var kept = [];" + find(f"if (host == 'bad') {{ {body} }} return `${{kept.length}}`"),
        memory=8 * MIB,
    )
    try:
        ask(engine, host="bad", seconds=0.5)
    except ScriptError:
        pass
    try:
        ask(engine)  # of what filled its memory itself this is the last
    except ScriptError:
        pass
    assert ask(engine).words in ("0", "1")


def test_another_memory() -> None:
    with pytest.raises(ScriptError, match="takes more than the 2 MiB"):
        ask(find("return 'x'.repeat(4e6).length + ''"), memory=2 * MIB)


def test_one_at_a_time() -> None:
    """Threads wait for each other, for as long as they have time."""
    engine = Engine(find("for (var end = Date.now() + 150; Date.now() < end;); return host"))

    def ask_for(host: str) -> str | None:
        return ask(engine, host=host).words

    hosts = [f"h{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(ask_for, hosts)
    assert list(answers) == hosts


def test_one_that_has_no_time_to_wait() -> None:
    engine = Engine(find("for (var end = Date.now() + 300; Date.now() < end;); return 'x'"))
    thread = threading.Thread(target=ask, args=[engine])
    thread.start()
    time.sleep(0.1)
    with pytest.raises(Busy):
        ask(engine, seconds=0.05)
    with pytest.raises(Busy):
        ask(engine, seconds=-1)
    thread.join()
    assert ask(engine).words == "x"


class Binding:
    """A context whose function does not say what it should."""

    def __init__(self, said: object) -> None:
        self.said = said

    def eval(self, code: str) -> Any:
        return self.run

    def run(self, request: str) -> object:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def ignore(self, limit: float) -> None: ...

    set_max_stack_size = set_memory_limit = set_time_limit = ignore


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (RuntimeError(""), "fails: $"),
        (RuntimeError("null\n"), "takes more than the 64 MiB"),
        (RuntimeError("(Failed obtaining QuickJS error string)"), "fails: .Failed obtaining"),
        (
            SystemError("boo\n  at f (<input>:100001:1)\n  at g (<input>:7:1)"),
            "fails: boo, near line 7",
        ),
        (SystemError("boo\n  at f (<input>:100001:1)"), "fails: boo$"),
        (None, "fails: the JSON object must be"),
        ("", "fails: Expecting value"),
    ],
)
def test_what_the_binding_may_say(
    said: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake:
        @staticmethod
        def Context() -> Binding:  # noqa: N802 - its name there
            return Binding(said)

    def import_module(name: str) -> type[Fake]:
        return Fake

    monkeypatch.setattr(module, "import_module", import_module)
    with pytest.raises(ScriptError, match=words):
        ask("")


# ---- the process lives on ----

PARTS = st.lists(
    st.sampled_from(
        [
            "function FindProxyForURL(",
            "url, host",
            ")",
            "{",
            "}",
            "[",
            "]",
            "(",
            ";",
            "return ",
            "'PROXY a:1'",
            "`${",
            "/x/",
            "/*",
            "*/",
            "//",
            "\n",
            "=>",
            "async ",
            "yield ",
            "var ",
            "let x = ",
            "x",
            "...",
            "class ",
            "new ",
            "throw ",
            "try ",
            "catch ",
            "finally ",
            "for ",
            "dnsResolve(host)",
            "isInNet(",
            "shExpMatch(host, '(*')",
            "alert(",
            "eval(",
            "this",
            "import(",
            "export ",
            "1n",
            "0x",
            "\\u",
            "\ud800",
            "\0",
            "é",
            "Proxy",
            "Symbol",
            "await ",
            "Error.prepareStackTrace = ",
            "'x'.repeat(1e9)",
            "while(1)",
            "=",
            "+",
            "#",
            "@",
            "?.",
        ]
    )
    | st.text(max_size=5),
    max_size=30,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(PARTS, st.booleans())
def test_en_13_no_script_takes_the_process_down(text: str, wrapped: bool) -> None:
    """EN-13: it has an outcome, or an error of its own."""
    try:
        outcome = ask(find(text) if wrapped else text, seconds=0.05, memory=4 * MIB)
    except ScriptError:
        return
    assert outcome.kind in ("answer", "unknown")


ALL_OF_IT = """
import sys, time
sys.path[:0] = [{path!r}]
from tests.core.test_pac_engine import ANSWERS, ENDLESS, FAULTS, FULL_OF_IT, MIB, ask
from connect_tunnel.routing._script.engine import ScriptError
for row in [*ANSWERS, *FAULTS, *ENDLESS, *FULL_OF_IT]:
    for memory in (1, 2, 16):
        try:
            ask(row[1], seconds=0.05, memory=memory * MIB)
        except ScriptError:
            pass
print("alive")
"""


def test_en_13_the_process_lives_on() -> None:
    """EN-13: after all that is in this module, in one process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALL_OF_IT.format(path=sys.path[0])],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", 0)
