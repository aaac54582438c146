"""RoadRunner's own TCP example worker, in Python: its branches, its replies, in its order.

Two things differ, both on purpose. The PHP original compares the whole `host:port` with an address, so no client is
ever welcome; this one compares the host. And on an exception it answers twice, which shifts every later answer of the
worker onto another client's connection; this one answers once and reports the error in the log.

Packets of one connection go to different workers: what must be remembered needs a storage that all workers share.

From the repository's root, after `make run` or `make test` made the environment and the server:

    PYTHON=$PWD/.venv/bin/python PYTHONPATH=$PWD bin/rr serve -c examples/seed/.rr.yaml
"""

import json
import logging
import os

from rr_tcp import TcpEvent, TcpResponse, TcpWorker, Worker

logging.basicConfig(level=logging.INFO)
log = logging.getLogger(__name__)

# Create a RoadRunner worker from the environment
worker = Worker.create()

tcp_worker = TcpWorker(worker)

welcome = os.environ.get("WELCOME", "127.0.0.1")

while request := tcp_worker.wait_request():
    try:
        if request.event is TcpEvent.CONNECTED:
            # You can close a connection according to your restrictions
            if request.remote_host != welcome:
                tcp_worker.close()
                continue

            # The other choice is `tcp_worker.read()`: read data from the client without a word
            # By default, the connection is closed if a worker does not ask to continue

            # Send a response to the TCP connection, for example, to the SMTP client
            tcp_worker.respond(b"220 mailamie \r\n")

        elif request.event is TcpEvent.DATA:
            body = request.body

            # Handle a request from the TCP server [tcp_access_point_1]
            if request.server == "tcp_access_point_1":
                # Send a response and close the connection
                tcp_worker.respond(b"Access denied", TcpResponse.WRITECLOSE)

            # Handle a request from the TCP server [server2]
            elif request.server == "server2":
                # Send a response to the TCP connection and wait for the next request
                tcp_worker.respond(
                    json.dumps(
                        {
                            "remote_addr": request.remote_addr,
                            "server": request.server,
                            "uuid": request.connection_uuid,
                            "body": body.decode(),
                            "event": request.event,
                        }
                    ).encode()
                )

        # Handle a closed connection
        elif request.event is TcpEvent.CLOSE:
            # Do something ...

            # You don't need to send a response to a closed connection
            pass

    except Exception:
        tcp_worker.respond(b"Something went wrong\r\n", TcpResponse.WRITECLOSE)
        log.exception("connection %s on %s", request.connection_uuid, request.server)
