"""Listening for what cannot take a socket: the facts, with no socket and no loop in them."""
