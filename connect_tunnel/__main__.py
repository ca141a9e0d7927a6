"""`python -m connect_tunnel` is `connect-tunnel`."""

import sys

from connect_tunnel.cli import main

sys.exit(main())
