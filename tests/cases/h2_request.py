"""What a CONNECT request must be over HTTP/2 (RFC 9113, 8.2, 8.3 and 8.5)."""

from __future__ import annotations

from typing import Final

_OF_HTTP1: Final = frozenset(
    ("connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te")
)


def judge_request(fields: list[tuple[str, str]], authority: str) -> list[str]:
    """Everything that is wrong with a request."""
    wrong: list[str] = []

    def check(truth: object, complaint: str) -> None:
        if not truth:
            wrong.append(f"{complaint}: {fields}")

    names = [name for name, _ in fields]
    check(sorted(names[:2]) == [":authority", ":method"], "not the two pseudo-fields, first")
    check(not any(name.startswith(":") for name in names[2:]), "a pseudo-field too many")
    values = dict(fields)
    check(values.get(":method") == "CONNECT", "the method is wrong")
    check(values.get(":authority", "").lower() == authority.lower(), "the authority is wrong")
    check(values.get("host", authority).lower() == authority.lower(), "Host is another one")
    check(all(name == name.lower() for name in names), "an upper-case name")
    check(not _OF_HTTP1 & set(names), "a field of HTTP/1")
    for name in ("content-length", "expect"):
        check(name not in names, f"{name} in a CONNECT request")
    for value in values.values():
        check(value == value.strip() and not set(value) & set("\r\n\0"), "a malformed value")
    return wrong
