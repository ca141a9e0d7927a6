"""GETs with httpx and httpx2: through our transports, and through their own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .place import HOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from .place import AsyncGet, Get, Place


def _sync(library: str, *, kept: bool, ours: bool) -> Callable[[Place], Get]:
    def client(place: Place) -> Get:
        httpx = import_module(library)
        transport = _transport(httpx, "HTTPTransport", "TunnelTransport", place, kept, ours)
        get: Get = httpx.Client(transport=transport).get
        return get

    return client


def _async(library: str, *, kept: bool, ours: bool) -> Callable[[Place], AsyncGet]:
    def client(place: Place) -> AsyncGet:
        httpx = import_module(library)
        names = "AsyncHTTPTransport", "AsyncTunnelTransport"
        get: AsyncGet = httpx.AsyncClient(
            transport=_transport(httpx, *names, place, kept, ours)
        ).get
        return get

    return client


def _transport(  # noqa: PLR0913, PLR0917 - all that they differ in
    httpx: Any,  # noqa: ANN401 - the one or the other
    theirs: str,
    our_name: str,
    place: Place,
    kept: bool,  # noqa: FBT001
    ours: bool,  # noqa: FBT001
) -> object:
    proxy = f"http://{HOST}:{place.port}"
    limits = httpx.Limits(max_keepalive_connections=20 if kept else 0)
    if ours:
        adapter = import_module(f"connect_tunnel.adapters.{httpx.__name__}")
        return getattr(adapter, our_name)(proxy, verify=place.inner, limits=limits)
    return getattr(httpx, theirs)(proxy=proxy, verify=place.inner, limits=limits)


httpx_kept = _sync("httpx", kept=True, ours=False)
httpx_kept_ours = _sync("httpx", kept=True, ours=True)
httpx_new = _sync("httpx", kept=False, ours=False)
httpx_new_ours = _sync("httpx", kept=False, ours=True)
httpx_kept_async = _async("httpx", kept=True, ours=False)
httpx_kept_async_ours = _async("httpx", kept=True, ours=True)
httpx_new_async = _async("httpx", kept=False, ours=False)
httpx_new_async_ours = _async("httpx", kept=False, ours=True)
httpx2_kept = _sync("httpx2", kept=True, ours=False)
httpx2_kept_ours = _sync("httpx2", kept=True, ours=True)
httpx2_new = _sync("httpx2", kept=False, ours=False)
httpx2_new_ours = _sync("httpx2", kept=False, ours=True)
httpx2_kept_async = _async("httpx2", kept=True, ours=False)
httpx2_kept_async_ours = _async("httpx2", kept=True, ours=True)
httpx2_new_async = _async("httpx2", kept=False, ours=False)
httpx2_new_async_ours = _async("httpx2", kept=False, ours=True)
