"""httpx and httpx2, in threads and on both loops, as if they were one client."""

from __future__ import annotations

import importlib
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from .shells import SHELLS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

# Without one each transport would read the system's certificates, for 20 ms or more.
TRUSTING_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Request = tuple[Any, ...]  # a method, a URL, and options if there are any


class Face(NamedTuple):
    """A library, and how it is called."""

    library: str
    shell: str

    @property
    def httpx(self) -> Any:
        return importlib.import_module(self.library)

    @property
    def adapter(self) -> Any:
        return importlib.import_module(f"connect_tunnel.adapters.{self.library}")

    def transport(self, via: Any, **settings: Any) -> Any:
        name = "TunnelTransport" if self.shell == "sync" else "AsyncTunnelTransport"
        return getattr(self.adapter, name)(via, **{"verify": TRUSTING_NOBODY, **settings})

    def talk(
        self, via: Any, *requests: Request, client: dict[str, Any] | None = None, **settings: Any
    ) -> list[Any]:
        """What each request comes to, in turn: a response that was read, or an error."""
        options = {"transport": self.transport(via, **settings), "timeout": 5, **(client or {})}
        return self.use(options, requests)

    def use(self, options: dict[str, Any], requests: Sequence[Request]) -> list[Any]:
        """The same of a client with these options."""
        if self.shell == "sync":
            with self.httpx.Client(**options) as client:
                return [outcome(client, *request) for request in requests]

        async def work() -> list[Any]:
            async with self.httpx.AsyncClient(**options) as client:
                return [await outcome_async(client, *request) for request in requests]

        responses: list[Any] = self.run(work)
        return responses

    def while_open(
        self, transport: Any, url: str, look: Callable[[Any], None], *requests: Request
    ) -> list[Any]:
        """Look at a response whose body was not read yet, and what requests meanwhile come to."""
        if self.shell == "sync":
            with (
                self.httpx.Client(transport=transport) as client,
                client.stream("GET", url) as response,
            ):
                look(response)
                return [outcome(client, *request) for request in requests]

        async def work() -> list[Any]:
            async with (
                self.httpx.AsyncClient(transport=transport) as client,
                client.stream("GET", url) as response,
            ):
                look(response)
                return [await outcome_async(client, *request) for request in requests]

        responses: list[Any] = self.run(work)
        return responses

    def at_once(self, via: Any, requests: Sequence[Request], **settings: Any) -> list[Any]:
        """What each of many requests of one client comes to, all of them at the same time."""
        options = {"transport": self.transport(via, **settings), "timeout": 20}
        if self.shell == "sync":
            with self.httpx.Client(**options) as client, ThreadPoolExecutor(len(requests)) as pool:
                futures = [pool.submit(outcome, client, *request) for request in requests]
                return [future.result() for future in futures]
        got: dict[int, Any] = {}

        async def work() -> None:
            async with self.httpx.AsyncClient(**options) as client, anyio.create_task_group() as tg:
                for number, request in enumerate(requests):
                    tg.start_soon(ask, client, number, request)

        async def ask(client: Any, number: int, request: Request) -> None:
            got[number] = await outcome_async(client, *request)

        self.run(work)
        return [got[number] for number in range(len(requests))]

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        return anyio.run(work, backend=self.shell)

    def __str__(self) -> str:
        return f"{self.library}-{self.shell}"


FACES = [Face(library, shell) for library in ("httpx", "httpx2") for shell in SHELLS]
ASYNC_FACES = [face for face in FACES if face.shell != "sync"]


def outcome(client: Any, method: str, url: str, options: dict[str, Any] | None = None) -> Any:
    try:
        return client.request(method, url, **(options or {}))
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error


async def outcome_async(
    client: Any, method: str, url: str, options: dict[str, Any] | None = None
) -> Any:
    try:
        return await client.request(method, url, **(options or {}))
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
