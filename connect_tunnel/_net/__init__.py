"""What touches the operating system and never waits for it.

The ground that both shells stand on. Nothing here blocks on a socket, and what has to wait
says so by yielding a wait (`waits.py`), which `_sync` performs with poll and `_async` with
the event loop. So there is one text of dialling, of TLS and of the driver, and two small
modules that know how to wait.
"""
