"""aiosmtpd as its documentation has it: a Controller with one of its handlers, until it is told to end."""

from __future__ import annotations

import argparse
import signal

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox, Sink

from bench.smtp.scenarios import BIG


def main() -> None:
    """Serves on a port of 127.0.0.1."""
    parser = argparse.ArgumentParser(prog="python -m bench.smtp.peer", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mailbox", help="a Maildir to keep the mails in; without one they are dropped")
    args = parser.parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    handler = Mailbox(args.mailbox) if args.mailbox else Sink()
    controller = Controller(handler, hostname="127.0.0.1", port=args.port, data_size_limit=largest_mail())
    controller.start()
    signal.sigwait(signals)
    controller.stop()


def largest_mail() -> int:
    """What every contender is told to accept, in bytes: more than the largest mail that is sent."""
    return 2 * max(scenario.size for scenario in BIG)


if __name__ == "__main__":
    main()
