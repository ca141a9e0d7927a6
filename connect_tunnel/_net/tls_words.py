"""What a failed TLS handshake means, told by evidence."""

from __future__ import annotations

import ssl

from connect_tunnel._errors import TargetTLSError
from connect_tunnel.protocols.h1 import escape

_OWN_AUTHORITY = (
    "if it is issued by an authority of your network, perhaps one that inspects TLS, add that "
    "to the ssl_context of this hop"
)
_RECORDS = frozenset(range(0x14, 0x18))  # content types of TLS (RFC 8446, 5.1)


def explain_tls(
    error: OSError, greeting: bytes, *, plain_scheme: str | None = None
) -> tuple[str, str | None]:
    """What happened, and what to try.

    Args:
        error: What the handshake failed with.
        greeting: The first of what the peer sent.
        plain_scheme: The scheme of a URL without TLS, if there is a choice.
    """
    if greeting and greeting[0] not in _RECORDS:
        # Not guessed from the error, which a dozen other faults share.
        hint = "the port does not speak TLS"
        if plain_scheme is not None:
            hint = f"it does not speak TLS on this port: use {plain_scheme}"
        return f'answered TLS with "{escape(greeting)}"', hint
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"has a certificate that cannot be trusted: {error.verify_message}",
                _OWN_AUTHORITY,
            )
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() if not greeting:
            return "closed the connection during the TLS handshake, without a word", None
        case ssl.SSLError():
            return f"failed the TLS handshake: {getattr(error, 'reason', None) or error}", None
        case _:
            # The loops of asyncio raise errors that say nothing but their kind.
            said = error.strerror or type(error).__name__
            return f"broke the connection during the TLS handshake: {said}", None


def target_tls_error(
    error: OSError, target: object, server_hostname: str, greeting: bytes = b""
) -> TargetTLSError:
    """The error of a handshake with a target, for whoever raises it from its cause.

    Args:
        error: What the handshake failed with.
        target: Where the tunnel leads.
        server_hostname: Whose certificate it had to be.
        greeting: The first of what the target sent, where that is known.
    """
    complaint, hint = explain_tls(error, greeting)
    return TargetTLSError(
        f"the tunnel to {target} is open, but {server_hostname} {complaint}",
        target=str(target), phase="target_tls", hint=hint, errno=error.errno,
    )  # fmt: skip
