"""Authentication to a proxy.

What a caller passes as `auth=` is an `Auth`: something that answers a proxy's challenge.
"""

from ._auth import Auth
from ._basic import Basic, Password
from ._bearer import Bearer
from ._challenges import Challenge, parse_challenges

__all__ = ["Auth", "Basic", "Bearer", "Challenge", "Password", "parse_challenges"]

for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
