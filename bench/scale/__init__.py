"""What a connection and a mail cost, and what many of them would: `make bench-scale`."""
