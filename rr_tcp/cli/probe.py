"""`rr-tcp probe`: for healthchecks, which run it every few seconds. It imports little."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rr_tcp.cli.arguments import host_port, seconds
from rr_tcp.errors import ConfigurationError
from rr_tcp.probe import PROBES

if TYPE_CHECKING:
    import ssl


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to probe, and where."""
    parser.add_argument("protocol", choices=sorted(PROBES), help="connect says nothing of the workers")
    parser.add_argument("address", metavar="HOST:PORT", type=host_port)
    parser.add_argument("--timeout", metavar="SECONDS", type=seconds, default=3.0, help="for each step (default 3)")
    parser.add_argument("--tls", action="store_true", help="speak TLS from the first byte, and verify HOST")
    parser.add_argument("--ca", metavar="FILE", help="speak TLS, and trust this authority instead of the system's")


def run(args: argparse.Namespace) -> int:
    """Raises `ProbeError` when the service does not answer."""
    host, port = args.address
    tls = _context(args.ca) if args.tls or args.ca else None
    PROBES[args.protocol](host, port, timeout=args.timeout, tls=tls)
    return 0


def _context(authority: str | None) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - most probes do without, and it takes longer than they do

    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:  # an SSLError is one
        raise ConfigurationError(f"--ca {authority}: {error}. Give a file with certificates in PEM form") from error
