"""What ties credentials to the TLS peer that they are meant for (RFC 5056, RFC 5929).

Whoever relays a handshake to another proxy has another certificate than that one, and so the
proxy that is told which certificate we saw finds out. `tls-server-end-point` is what those who
ask for it mean (Windows calls it Extended Protection). `tls-exporter` (RFC 9266) would also tie
them to the one connection, but Python's `ssl` does not export keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spnego.channel_bindings import GssChannelBindings


def bindings(certificate: bytes | None) -> GssChannelBindings | None:
    """The binding in the words of pyspnego, where there is a certificate and a binding to it."""
    data = None if certificate is None else end_point(certificate)
    if data is None:
        return None
    from spnego.channel_bindings import GssChannelBindings  # noqa: PLC0415 - an extra

    return GssChannelBindings(application_data=data)


def end_point(certificate: bytes) -> bytes | None:
    """The binding to a peer's certificate (RFC 5929, 4.1).

    Args:
        certificate: The certificate, DER.

    Returns:
        Its type and a hash over the certificate: the one that its signature uses, and SHA-256
        in place of those that are broken. None where the signature uses none, as Ed25519, or
        one that is unknown: then there is no such binding.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - 50 ms, and an extra
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415

    try:
        algorithm = load_der_x509_certificate(certificate).signature_hash_algorithm
        if algorithm is None:
            return None
        if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
            algorithm = hashes.SHA256()
        digest = hashes.Hash(algorithm)
    except (ValueError, UnsupportedAlgorithm):
        return None
    digest.update(certificate)
    return b"tls-server-end-point:" + digest.finalize()
