"""Authentication to a proxy.

What a caller passes as `auth=` is an `Auth`: something that answers a proxy's challenge.
"""

from connect_tunnel._challenge import Challenge

from ._auth import Auth
from ._basic import Basic, Password
from ._bearer import Bearer
from ._challenges import parse_challenges

__all__ = ["Auth", "Basic", "Bearer", "Challenge", "Password", "parse_challenges"]

for _public in (Auth, Basic, Bearer, Password, parse_challenges):
    _public.__module__ = __name__
