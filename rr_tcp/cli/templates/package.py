"""The service sample."""

from services.sample.protocol import SampleProtocol
from services.sample.settings import SampleSettings

__all__ = ["SampleProtocol", "SampleSettings"]
