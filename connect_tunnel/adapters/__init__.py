"""Tunnels in the shape of other libraries, one module for each; none is loaded unasked."""
