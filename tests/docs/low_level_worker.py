"""A worker on the low-level calls, which does what a client's line asks; `test_low_level` runs it."""

import os
from pathlib import Path

from rr_tcp import Environment, NoEventError, Request, TcpEvent, TcpResponse, TcpWorker, Worker


def main() -> None:
    """Answers until the server stops it; notes what it cannot tell a client in the directory NOTES."""
    notes = Path(os.environ["NOTES"])
    tcp_worker = TcpWorker(Worker.from_env(os.environ))
    while request := tcp_worker.wait_request():
        match request.event:
            case TcpEvent.CONNECTED:
                tcp_worker.respond(request.connection_uuid.encode() + b"\n")
            case TcpEvent.CLOSE:
                (notes / request.connection_uuid).touch()
                tcp_worker.close()
            case _:
                do(tcp_worker, request, notes)


def do(tcp_worker: TcpWorker, request: Request, notes: Path) -> None:
    """Gives the answer that the line names; other lines are written back."""
    match request.body.strip():
        case b"writeclose":
            tcp_worker.respond(b"bye\n", TcpResponse.WRITECLOSE)
        case b"read":
            (notes / f"{request.connection_uuid}-read").touch()
            tcp_worker.read()
        case b"close":
            tcp_worker.close()
        case b"error":
            tcp_worker.worker.error("on purpose")
        case b"stop":
            stop_once(tcp_worker, notes / "stopped")
        case b"twice":
            answer_twice(tcp_worker)
        case b"environment":
            env = Environment.from_env()
            tcp_worker.respond(f"{env.mode} {env.relay_address} {env.rpc_address} {env.version}\n".encode())
        case line:
            tcp_worker.respond(line + b"\n")


def stop_once(tcp_worker: TcpWorker, mark: Path) -> None:
    """The worker that gets the event first wants to end; the one that gets it again tells both pids."""
    if mark.exists():
        tcp_worker.respond(f"{mark.read_text()} {os.getpid()}\n".encode())
    else:
        mark.write_text(str(os.getpid()))
        tcp_worker.worker.stop()


def answer_twice(tcp_worker: TcpWorker) -> None:
    """The client gets the first answer; the second one would be somebody else's."""
    tcp_worker.respond(b"first\n")
    try:
        tcp_worker.respond(b"second\n")
    except NoEventError:
        return
    raise AssertionError("the second answer left")


if __name__ == "__main__":
    main()
