"""The echo that every contender of the benchmark is: the plain loop, a function, a stateful protocol."""

from __future__ import annotations

import os

import msgspec

from rr_tcp import App, Connection, EventMetrics, Reporter, Request, StatefulProtocol, TcpEvent, TcpWorker, Worker
from rr_tcp.rpc import RPC
from rr_tcp.stores import open_store

SERVER = "echo"
"""The server's name in RoadRunner's configuration."""


class EchoState(msgspec.Struct, forbid_unknown_fields=True):
    """What the stateful echo keeps of a connection.

    Attributes:
        events: DATA events answered so far.
    """

    events: int = 0


class StatefulEcho(StatefulProtocol[EchoState]):
    """Echoes what comes and counts it, so that the session changes with every event."""

    state_type = EchoState

    def data_received(self, connection: Connection[EchoState], data: bytes) -> None:
        """Echoes one event's bytes."""
        connection.state.events += 1
        connection.write(data)


def run_tcp_worker() -> None:
    """The loop of the low level, as a user of the official SDKs writes it."""
    worker = TcpWorker(Worker.create())
    while (request := worker.wait_request()) is not None:
        match request.event:
            case TcpEvent.DATA:
                worker.respond(request.body)
            case TcpEvent.CLOSE:
                worker.close()
            case _:
                worker.read()


def build_function() -> App:
    """An App with a function."""
    app = App()

    @app.on(SERVER)
    def echo(request: Request) -> bytes:
        return request.body

    return app


def build_measured() -> App:
    """The same, with every event and store call counted and timed, and reported to RoadRunner."""
    metrics = EventMetrics(Reporter(RPC(os.environ["RR_RPC"])))
    app = App(store=metrics.around(open_store(os.environ["SESSION_STORE"])))
    metrics.install(app)
    app.add(SERVER, StatefulEcho())
    return app


def build_stateful() -> App:
    """An App with a stateful protocol on the store that SESSION_STORE names."""
    app = App(store=open_store(os.environ["SESSION_STORE"], rpc_address=os.environ["RR_RPC"]))
    app.add(SERVER, StatefulEcho())
    return app


if __name__ == "__main__":
    run_tcp_worker()
