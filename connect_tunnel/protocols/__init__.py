"""How each kind of proxy is asked for a tunnel: programs, one module each."""
