"""The Python SDK for RoadRunner's TCP plugin: stateful TCP services over many worker processes.

Start with `App` and `StatefulProtocol`; `TcpWorker` is the lower level, with the official PHP SDK's calls. The names
are listed in `rr_tcp.exports`, which is imported when the first of them is used: a healthcheck, which needs none of
them, runs every few seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rr_tcp.exports import *  # noqa: F403 - exactly what rr_tcp.exports.__all__ lists
else:  # hidden from type checkers, to which a module with __getattr__ would have every name

    def __getattr__(name: str) -> object:
        """A public name, or their list `__all__`, on its first use (PEP 562)."""
        if name == "__all__" or not name.startswith("_"):
            exports = import_module("rr_tcp.exports")
            if name == "__all__" or name in exports.__all__:
                return getattr(exports, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """The public names too, for completion."""
        return sorted({*globals(), *import_module("rr_tcp.exports").__all__})
