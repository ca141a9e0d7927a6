"""A listening socket, and what can go wrong with accepting."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from connect_tunnel._forward.place import Place

_BACKLOG: Final = 1024
_UNIX: Final = getattr(socket, "AF_UNIX", -1)  # which Windows has, and Python there has not


def listen(place: Place) -> tuple[socket.socket, Place]:
    """Listen at a place, and say at which port that came to be.

    A Unix socket lets nobody in but this user. One that a process has left behind makes room.

    Raises:
        OSError: That is not possible here, or somebody else is there.
    """
    if place.is_unix:
        return _listen_unix(place.host), place
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    sock = socket.create_server((place.host, place.port), family=family, backlog=_BACKLOG)
    sock.setblocking(False)
    return sock, place.at_port(sock.getsockname()[1])


def _listen_unix(path: str) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        # Before anybody can connect, which nobody can until it listens.
        Path(path).chmod(0o600)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens at any more."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                Path(path).unlink()


def stop(sock: socket.socket, place: Place) -> None:
    """Close a listening socket; who has connected and was not accepted is turned away."""
    if place.is_unix:
        with contextlib.suppress(FileNotFoundError):
            Path(place.host).unlink()
    sock.close()


def accept(sock: socket.socket) -> socket.socket | None:
    """The next connection, non-blocking; None if there is none yet.

    Raises:
        OSError: There are no descriptors left, or the like.
    """
    try:
        accepted, _ = sock.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None
    accepted.setblocking(False)
    if accepted.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # reset already
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return accepted
