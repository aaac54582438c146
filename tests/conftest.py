"""What holds for every test."""

from __future__ import annotations

import signal

# A shell without job control has what it puts in the background ignore SIGINT, and so do the children of that. The
# programs that tests interrupt are to be interrupted there too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
