"""What a PAC file answers: the ways to try, in the order of its list.

    list = item *( ";" item )
    item = "DIRECT" / type 1*LWS host [":" port]

There is no standard; this is what MDN describes and Chromium reads. An item that is unknown or
malformed is skipped, as newer kinds are by older browsers.
"""

from __future__ import annotations

import re
from typing import Final

# The scheme that our URLs have for it, and the port it has in browsers. "SOCKS" is version 4 here,
# while a URL of socks:// is version 5 to Chromium. With version 5 browsers leave the names to the
# proxy.
_TYPES: Final = {
    "PROXY": ("http", 80),
    "HTTP": ("http", 80),
    "HTTPS": ("https", 443),
    "SOCKS": ("socks4", 1080),
    "SOCKS4": ("socks4", 1080),
    "SOCKS5": ("socks5h", 1080),
}
_BLANKS: Final = " \t\r\n\f\v"
_ITEM = re.compile(
    rf"(?P<type>[A-Za-z0-9]+)[{_BLANKS}]+"
    # No userinfo, whatever browsers make of it: a list that everybody may fetch holds no secret.
    rf"(?P<host>\[[0-9A-Fa-f:.]+\]|[^{_BLANKS}:/?#@\[\]\\]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)

DIRECT: Final = None
"""What stands for the direct way."""


def read_list(answer: str | None) -> list[str | None]:
    """The URL of each proxy that an answer names, and None where it names the direct way.

    An empty answer, and null, is the direct way. One of which nothing can be read is no way.
    """
    items = [item for text in (answer or "").split(";") if (item := text.strip(_BLANKS))]
    if not items:
        return [DIRECT]
    read = (_read_item(item) for item in items)
    return list(dict.fromkeys(url for url in read if url != _UNKNOWN))


_UNKNOWN: Final = ""


def _read_item(item: str) -> str | None:
    if item.upper() == "DIRECT":
        return DIRECT
    found = _ITEM.fullmatch(item)
    known = found and _TYPES.get(found["type"].upper())
    if not found or not known:
        return _UNKNOWN
    scheme, port = known
    return f"{scheme}://{found['host']}:{int(found['port'] or port)}"
