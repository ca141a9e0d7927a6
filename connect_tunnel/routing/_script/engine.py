"""The engine that runs a script: QuickJS, within bounds.

Four things about quickjs-ng shape what is here and in `engine.js`.

* It lets go of the GIL while a script runs, and stops it when its time is up. But what goes on
  inside one native call it cannot stop: to look for a long text in a longer one, say. So whoever
  asks does not wait longer than it has time, and leaves the thread behind (`script.py`).
* With a limit of time nothing in Python can be called from a script. A name that has to be looked
  up ends the run, therefore, and the script runs anew with what is known then. Chromium does so,
  too.
* Where memory runs out it throws an error, but for its compiler, which crashes. So that has what it
  may take beforehand: here when a script is loaded, in `engine.js` when it calls `eval`.
* What a script throws is put into words with the GIL held and without a limit. No exception of a
  script's gets that far: `engine.js` catches them, and makes those safe that it cannot catch.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from importlib.resources import files
from threading import Lock
from time import monotonic
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Known: TypeAlias = "dict[str, list[str]]"
"""The addresses of names, and under "" those of this machine."""

MEMORY: Final = 64 << 20  # bytes; the largest lists in the wild take a tenth of it
_COMPILING: Final = 256  # bytes for each character of a script, on top: see `engine.js`
_SHARE: Final = 0.6  # of the time: what it counts is that of the processor, which others use, too
_STACK: Final = 512 << 10  # bytes: 1500 times "else if"; no thread has less than twice as much

# Our own functions stand far below whatever is the script's, and so a line in a stack tells
# whose it is.
_FAR: Final = 100_000
_LINE = re.compile(r"<input>:([0-9]+)")

_TOO_LONG: Final = "InternalError: interrupted"
# The second is what is thrown where there is no room for the first.
_TOO_LARGE: Final = frozenset({"InternalError: out of memory", "null"})


class Outcome(NamedTuple):
    """What came of a run.

    Attributes:
        kind: "answer", or "unknown" if a name has to be looked up first.
        words: The one or the other; None for an answer that is null.
    """

    kind: Literal["answer", "unknown"]
    words: str | None


class ScriptError(Exception):
    """What is wrong with a script, in words that follow its name."""


class Busy(Exception):
    """Another thread still runs the script."""


class Engine:
    """One script, read when it is first asked, and asked by one thread at a time.

    Args:
        script: The text of a PAC file.
        memory: How many bytes it may take.
    """

    def __init__(self, script: str, *, memory: int = MEMORY) -> None:
        self._script: Final = script
        self._memory: Final = memory
        self._lock: Final = Lock()
        self._world: _World | None = None

    def ask(self, url: str, host: str, known: Known, *, now: float, deadline: float) -> Outcome:
        """Ask the script for the way of a URL.

        Args:
            url: What the script sees of it.
            host: The host of the URL.
            known: What was looked up for it so far.
            now: The time, in seconds since 1970.
            deadline: When it has to be done, on the clock of `time.monotonic`.

        Raises:
            ScriptError: The script is at fault.
            Busy: It is asked by somebody else until the deadline.
        """
        if not self._lock.acquire(timeout=_left(deadline)):
            raise Busy
        try:
            # What was stopped half-way is not used again.
            world, self._world = self._world or _World(self._memory), None
            request = {"url": url, "host": host, "known": known, "now": now * 1000}
            said = world.ask(self._script, request, deadline)
            if not said.ends_the_world:
                self._world = world
        finally:
            self._lock.release()
        return said.outcome(self._memory)


class _World:
    """All that a script sees and changes."""

    def __init__(self, memory: int) -> None:
        # Not the module `quickjs`: that starts a thread as soon as it is imported.
        self._context: Any = import_module("_quickjs").Context()
        self._context.set_max_stack_size(_STACK)
        folder = files(__package__ or "")
        engine, functions = ((folder / name).read_text("utf-8") for name in _OURS)
        self._run: Any = self._context.eval("\n" * _FAR + f"{engine}({functions})")
        self._memory = memory
        self._loaded = False

    def ask(self, script: str, request: dict[str, Any], deadline: float) -> _Said:
        if not self._loaded:
            self._context.set_memory_limit(self._memory + _COMPILING * len(script))
            said = self._call(request | {"script": script}, deadline)
            if said.kind != "loaded":
                return said
            self._loaded = True
            self._context.set_memory_limit(self._memory)
        return self._call(request | {"script": None}, deadline)

    def _call(self, request: dict[str, Any], deadline: float) -> _Said:
        self._context.set_time_limit(_SHARE * _left(deadline))
        try:
            said: Any = json.loads(self._run(json.dumps(request)))
        except Exception as error:  # noqa: BLE001 - as the binding has it, which may have no words
            words, _, stack = str(error).partition("\n")
            return _Said("stopped", words, stack)
        return _Said(said["kind"], said.get("words"), said.get("stack"))


_OURS: Final = ("engine.js", "functions.js")


class _Said(NamedTuple):
    """What `engine.js` reported, or what ended the run in spite of it ("stopped")."""

    kind: str
    words: str | None
    stack: str | None

    @property
    def ends_the_world(self) -> bool:
        return self.kind == "stopped" or (self.kind == "error" and self.words in _TOO_LARGE)

    def outcome(self, memory: int) -> Outcome:
        match self.kind:
            case "answer":
                return Outcome("answer", self.words)
            case "unknown":
                return Outcome("unknown", self.words)
            case "null":
                return Outcome("answer", None)
            case "missing":
                raise ScriptError("defines no function FindProxyForURL")
            case "odd":
                raise ScriptError(f"gave no string but something that is {self.words}")
            case "long":
                raise ScriptError(f"gave an answer of {self.words} characters")
            case _:
                raise ScriptError(f"{self._fault(memory)}{self._place()}")

    def _fault(self, memory: int) -> str:
        if self.words == _TOO_LONG:
            return "runs for longer than it may"
        if self.words in _TOO_LARGE:
            return f"takes more than the {memory >> 20} MiB of memory that it may"
        return f"fails: {self.words}"

    def _place(self) -> str:
        lines = (int(line) for line in _LINE.findall(self.stack or ""))
        line = next((line for line in lines if line <= _FAR), None)
        return "" if line is None else f", near line {line}"


def _left(deadline: float) -> float:
    # Neither of those who are told would take a negative number for none.
    return max(0.0, deadline - monotonic())
