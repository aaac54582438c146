"""What RoadRunner's metrics page would show: adds up what is sent to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from rr_tcp.errors import RPCError, RPCServiceError
from rr_tcp.rpc import RPC, Codec


class Page(RPC):
    """An RPC client whose server keeps metrics.

    Attributes:
        lines: the values, by name and label values.
        declared: the names of the collectors.
        calls: how many calls were made.
        failure: raised instead of the next exchanges, until it is None again.
        refusal: the answer to every call while it is set.
    """

    def __init__(self) -> None:
        super().__init__("tcp://127.0.0.1:1")
        self.lines: Counter[tuple[str, ...]] = Counter()
        self.declared: list[str] = []
        self.calls = 0
        self.failure: RPCError | None = None
        self.refusal: RPCServiceError | None = None

    def exchange(self, calls: Sequence[tuple[str, bytes]], codec: Codec) -> list[bytes | RPCServiceError]:
        assert codec is Codec.JSON
        self.calls += len(calls)
        if self.failure is not None and calls:
            raise self.failure
        return [self._answer(method, msgspec.json.decode(body)) for method, body in calls]

    def _answer(self, method: str, argument: dict[str, Any]) -> bytes | RPCServiceError:
        if self.refusal is not None:
            return self.refusal
        if method == "metrics.Declare":
            self.declared.append(argument["name"])
            return b"true"
        assert method == "metrics.Add"
        assert argument["name"] in self.declared
        self.lines[argument["name"], *argument["labels"]] += argument["value"]
        return b"true"
