"""A JSON echo: every line gives one JSON line that says where it came from and which worker answered."""

from services.echo.protocol import EchoProtocol
from services.echo.settings import EchoSettings

__all__ = ["EchoProtocol", "EchoSettings"]
