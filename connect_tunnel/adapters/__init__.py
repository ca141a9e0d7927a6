"""One module for each library that tunnels are plugged into; the core knows none of them."""
