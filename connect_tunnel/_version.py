"""The version; reading it from the installed metadata would cost 43 ms an import."""

__version__ = "0.1.0"
