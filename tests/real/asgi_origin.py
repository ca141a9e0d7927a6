"""An origin for HTTP clients, served by hypercorn in HTTP/1.1 and HTTP/2: an ASGI application.

/down/SIZE sends so many octets, /v1/models lists a model as OpenAI and Anthropic do, and anything
else says how many octets it was sent and in which version.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

CHUNK = bytes(1 << 16)
MODEL = {
    "id": "model-of-the-ring",
    "object": "model",
    "type": "model",
    "owned_by": "ring",
    "display_name": "Ring",
    "created": 0,
    "created_at": "2026-01-01T00:00:00Z",
}
MODELS = {"object": "list", "data": [MODEL], "has_more": False, "first_id": "m", "last_id": "m"}
JSON = [(b"content-type", b"application/json")]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    listing = scope["path"] == "/v1/models"
    await send({"type": "http.response.start", "status": 200, "headers": JSON if listing else []})
    kind, _, amount = scope["path"][1:].partition("/")
    if kind == "down":
        for _ in range(int(amount) // len(CHUNK)):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif listing:
        await send({"type": "http.response.body", "body": json.dumps(MODELS).encode()})
    else:
        said = f"{scope['path']} {size} {scope['http_version']}"
        await send({"type": "http.response.body", "body": said.encode()})
