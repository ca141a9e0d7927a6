"""A script that is asked for ways: read, run, told the names it wants, and not waited for long."""

from __future__ import annotations

from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING, Final, TypeVar

from connect_tunnel._errors import InvalidProxy

from .engine import MEMORY, Busy, Engine, Known, ScriptError
from .names import addresses_of
from .source import Kept, Source, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MOST_NAMES: Final = 32  # that one answer may depend on


class Script:
    """A PAC file, in whichever thread it is asked.

    Args:
        source: Where it is.
        refresh: Seconds after which it is read again.
        timeout: Seconds that an answer may take.
        memory: Bytes that the script may take.
    """

    def __init__(
        self, source: Source, *, refresh: float, timeout: float, memory: int = MEMORY
    ) -> None:
        self._kept: Final = Kept(source, refresh)
        self._timeout: Final = timeout
        self._memory: Final = memory
        self._engine: tuple[str, Engine] | None = None

    def evaluate(self, url: str, host: str) -> str | None:
        """What FindProxyForURL gives for a URL.

        Raises:
            InvalidProxy: The script is at fault, or it takes too long.
        """
        run = _Run(self._timeout)
        words = self._kept.source.words
        try:
            return run.result(lambda: self._evaluate(run, url, host))
        except (Unreadable, ScriptError) as error:
            complaint = str(error)
        except Busy:
            complaint = f"is busy with another target for {self._timeout:g} s and more"
        except TimeoutError:
            complaint = f"takes longer than {self._timeout:g} s: {run.doing}"
        # Not chained: whose fault it is has been said.
        raise InvalidProxy(f"{words} {complaint}", phase="resolve")

    def _evaluate(self, run: _Run, url: str, host: str) -> str | None:
        engine = self._engine_for(self._kept.text(run.deadline))
        known: Known = {}
        now = time()
        while monotonic() < run.deadline:
            run.doing = "it is run"
            outcome = engine.ask(url, host, known, now=now, deadline=run.deadline)
            if outcome.kind == "answer":
                return outcome.words
            if len(known) == _MOST_NAMES:
                raise ScriptError(f"looks up more than {_MOST_NAMES} names for one answer")
            name = outcome.words or ""
            run.doing = f"it looks up {name[:60]!a}" if name else "it looks for this machine"
            known[name] = addresses_of(name)
        raise TimeoutError

    def _engine_for(self, text: str) -> Engine:
        kept = self._engine
        if kept is None or kept[0] != text:
            self._engine = kept = text, Engine(text, memory=self._memory)
        return kept[1]


class _Run:
    """Something that is done until a deadline, or left to itself.

    A native call of the engine, a resolver and a disk that is far away have in common that they
    cannot be interrupted, and that the time of their callers is bounded all the same.

    Attributes:
        deadline: For what can end by itself, and then says better what was wrong.
        doing: What it is about, in words.
    """

    def __init__(self, seconds: float) -> None:
        start = monotonic()
        self._end: Final = start + seconds
        self.deadline: Final = start + 0.9 * seconds
        self.doing = "it is read"

    def result(self, function: Callable[[], T]) -> T:
        """What the function returns or raises.

        Raises:
            TimeoutError: It did neither in time.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - carried over to the caller
                errors.append(error)

        thread = Thread(target=work, name="connect_tunnel-pac", daemon=True)
        thread.start()
        thread.join(max(0.0, self._end - monotonic()))
        if errors:
            raise errors[0]
        if not results:
            raise TimeoutError
        return results[0]
