"""An RPC client without a server, for tests of what plugins send and how they read answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rr_tcp.errors import RPCError, RPCServiceError
from rr_tcp.rpc import RPC, Codec


class RecordingRPC(RPC):
    """Keeps the calls, and gives the answers that it was prepared with.

    Args:
        answers: one for each call, as encoded by the server; an error that is no `RPCServiceError` is raised.
        timeout: as of `RPC`.

    Attributes:
        calls: method, encoded argument and codec of each call.
        exchanges: how many calls were made at once, each time.
    """

    def __init__(self, *answers: bytes | RPCError, timeout: float = 2.0) -> None:
        super().__init__("tcp://127.0.0.1:1", timeout=timeout)
        self.calls: list[tuple[str, bytes, Codec]] = []
        self.exchanges: list[int] = []
        self._answers = deque(answers)

    def exchange(self, calls: Sequence[tuple[str, bytes]], codec: Codec) -> list[bytes | RPCServiceError]:
        self.calls += [(method, body, codec) for method, body in calls]
        self.exchanges.append(len(calls))
        return [self._answer() for _ in calls]

    def _answer(self) -> bytes | RPCServiceError:
        answer = self._answers.popleft()
        if isinstance(answer, RPCError) and not isinstance(answer, RPCServiceError):
            raise answer
        return answer
