"""Where a script comes from: a text, a file, or a server."""

from __future__ import annotations

import codecs
from http.client import HTTPException
from threading import Lock
from time import monotonic
from typing import Final, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
    url2pathname,
)

from connect_tunnel._errors import InvalidProxy

Data = TypeVar("Data", bytes, str)

_LARGEST: Final = 1 << 20  # bytes or characters, as Chromium has it
_PAUSE: Final = 10.0  # seconds until what could not be read is tried again
_CHUNK: Final = 1 << 16

_BOMS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class Unreadable(Exception):
    """Why a script cannot be read, in words that follow where it is."""


class Source:
    """A place that a script is read from.

    Attributes:
        words: What it is called in messages.
    """

    words: str

    def read(self, deadline: float) -> str:
        """The script, as it is there now.

        Args:
            deadline: When it has to be there, on the clock of `time.monotonic`.

        Raises:
            Unreadable: It is not there, or too large.
        """
        raise NotImplementedError


def at(url: str) -> Source | InvalidProxy:
    """What a URL leads to: a server, a file of this machine, or nothing of use.

    The error is returned, to be raised where no frame has seen the URL: tracebacks print locals,
    and it may hold a password. The message does not show it either.
    """
    try:
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            return InvalidProxy(
                "the URL of a PAC file has userinfo, and no credentials are sent there"
            )
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return File(url2pathname(parts.path))
    if parts.scheme in ("http", "https") and parts.hostname:
        return Web(parts.geturl())
    return InvalidProxy(
        "the URL of a PAC file cannot be read",
        hint="it is 'http://host/path', the same with https, or 'file:///path'",
    )


class Text(Source):
    """A script that was given."""

    words = "the PAC text"

    def __init__(self, text: str) -> None:
        self._text: Final = text

    def read(self, deadline: float) -> str:
        """The same, always."""
        del deadline
        return _bounded(self._text)


class File(Source):
    """A script in a file, whose path holds no secret."""

    def __init__(self, path: str) -> None:
        self._path: Final = path
        self.words = f"the PAC file {path!a}"

    def read(self, deadline: float) -> str:
        """Read the file."""
        del deadline  # whoever waits has one; what hangs in here is left behind
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123 - may be a descriptor's path
                return decode(_bounded(file.read(_LARGEST + 1)))
        except (OSError, ValueError) as error:
            raise Unreadable(f"cannot be read: {_why(error)}") from None


class Web(Source):
    """A script on a server, which is asked directly and without credentials."""

    def __init__(self, url: str) -> None:
        self._url: Final = url
        # What is behind a question mark may be a key.
        self.words = f"the PAC file at {urlsplit(url)._replace(query='', fragment='').geturl()!a}"

    def read(self, deadline: float) -> str:
        """Fetch the file, and what it is redirected to."""
        request = Request(self._url, headers={"Accept": "*/*", "User-Agent": "connect_tunnel"})  # noqa: S310 - `_opener` knows http and https only
        try:
            timeout = max(deadline - monotonic(), 0.001)
            with _opener().open(request, timeout=timeout) as response:
                data = b""
                while chunk := response.read1(_CHUNK):
                    data = _bounded(data + chunk)
                    if monotonic() > deadline:
                        raise Unreadable("comes too slowly")
                if response.length:
                    raise Unreadable("comes in part only")
                return decode(data, response.headers.get_content_charset())
        except HTTPError as error:
            error.close()
            raise Unreadable(f"cannot be fetched: the server answers {error.code}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise Unreadable(f"cannot be fetched: {_why(error)}") from None


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", error)  # urllib has put it into one of its own
    words = str(getattr(reason, "strerror", None) or reason) or type(reason).__name__
    return ascii(words[:200])[1:-1]


def _opener() -> OpenerDirector:
    """One without a proxy, which is not known yet, and without files and FTP for redirects."""
    opener = OpenerDirector()
    for handler in (
        HTTPHandler, HTTPSHandler, HTTPErrorProcessor, HTTPDefaultErrorHandler, HTTPRedirectHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _bounded(data: Data) -> Data:
    if len(data) > _LARGEST:
        raise Unreadable(f"is larger than {_LARGEST >> 20} MiB")
    return data


def decode(data: bytes, charset: str | None = None) -> str:
    """The text of a script: by its own mark, by what the server says, or by what fits."""
    for bom, encoding in _BOMS.items():
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    for name in (charset, "utf-8"):
        try:
            if name is not None:
                return data.decode(name)
        except (LookupError, ValueError):
            pass
    return data.decode("latin-1")  # fits always; it is in comments, most likely


class Kept:
    """What was read, until it is old; and then, too, if it cannot be read anew."""

    def __init__(self, source: Source, refresh: float) -> None:
        self.source: Final = source
        self._refresh: Final = refresh
        self._lock: Final = Lock()
        self._text: str | None = None
        self._complaint = "is still being read"
        self._until = float("-inf")

    def text(self, deadline: float) -> str:
        """The script.

        Raises:
            Unreadable: It was never read so far, and cannot be.
        """
        if monotonic() >= self._until:
            # One thread is enough to read it, and the others have something to go on with.
            patience = max(0.0, deadline - monotonic()) if self._text is None else 0.0
            if self._lock.acquire(timeout=patience):
                try:
                    self._read(deadline)
                finally:
                    self._lock.release()
        if self._text is None:
            raise Unreadable(self._complaint)
        return self._text

    def _read(self, deadline: float) -> None:
        if monotonic() < self._until:
            return  # somebody else was faster
        try:
            self._text = self.source.read(deadline)
        except Unreadable as error:
            self._complaint = str(error)
            self._until = monotonic() + min(_PAUSE, self._refresh)
        else:
            self._until = monotonic() + self._refresh
