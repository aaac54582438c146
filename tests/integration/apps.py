"""Apps that the integration tests let the real server run."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import msgspec

from rr_tcp import App, Connection, Request, Response, StatefulProtocol, TcpEvent, TcpResponse
from rr_tcp.stores import open_store


class Lines(msgspec.Struct, forbid_unknown_fields=True):
    count: int = 0


class CounterProtocol(StatefulProtocol[Lines]):
    """Counts lines; some lines misbehave."""

    state_type = Lines
    error_reply = b"Something went wrong\r\n"

    def data_received(self, connection: Connection[Lines], data: bytes) -> None:
        match data.strip():
            case b"raise":
                raise RuntimeError("on purpose")
            case b"print":
                sys.stdout.write("printed\n")
                os.write(1, b"written to fd 1\n")
                subprocess.run(["/bin/echo", "from a program"], check=True)
            case b"exit":
                sys.exit(3)
            case b"uuid":
                connection.write(connection.uuid.encode() + b"\n")
                return
            case b"hang":
                time.sleep(600)
        connection.state.count += 1
        connection.append_bulk(data)
        connection.write(b"%d %d %d\n" % (connection.state.count, connection.bulk_size, os.getpid()))


def build_counter() -> App:
    app = App(store=open_store(os.environ.get("SESSION_STORE", "rrkv://sessions"), rpc_address=os.environ["RR_RPC"]))
    app.add("counter", CounterProtocol())
    return app


def build_functions() -> App:
    """Without state and without a store."""
    app = App()

    @app.on("upper")
    async def upper(request: Request) -> Response | bytes | None:
        match request.event:
            case TcpEvent.CONNECTED:
                return b"ready\n"
            case TcpEvent.DATA if request.body == b"bye\n":
                return Response(TcpResponse.WRITECLOSE, b"BYE\n")
            case TcpEvent.DATA:
                return request.body.upper()
            case _:
                return None

    return app
