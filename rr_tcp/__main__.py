"""`python -m rr_tcp`: the same as `rr-tcp`."""

import sys

from rr_tcp.cli import main

if __name__ == "__main__":
    sys.exit(main())
