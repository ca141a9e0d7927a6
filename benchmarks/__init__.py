"""What a tunnel costs, beside a bare socket and beside other libraries: see README.md."""
