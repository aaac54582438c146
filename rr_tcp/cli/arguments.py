"""Arguments that several commands share. A wrong one is wrong usage: exit code 2."""

from __future__ import annotations

import argparse
import math

FIRST_PORT = 9000
"""Services that are given no port get those from here on."""

_MAX_PORT = 65535


def seconds(text: str) -> float:
    """A time above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give seconds above 0, e.g. 2.5")
    return value


def port(text: str) -> int:
    """A TCP port."""
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) <= _MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to {_MAX_PORT}")
    return int(text)


def host_port(text: str) -> tuple[str, int]:
    """`HOST:PORT`, with brackets around an IPv6 address; they are removed."""
    host, _, number = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare) != host.startswith("["):
        raise argparse.ArgumentTypeError(f"{text!r} is no address: use HOST:PORT, e.g. 127.0.0.1:1025 or [::1]:1025")
    return bare, port(number)


def rpc_address(text: str) -> str:
    """The address of RoadRunner's RPC server."""
    if text.startswith("tcp://"):
        host_port(text.removeprefix("tcp://"))
    elif not text.startswith("unix://"):
        raise argparse.ArgumentTypeError(f"{text!r} is no RPC address: use tcp://HOST:PORT or unix://PATH")
    return text
