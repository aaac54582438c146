"""How a target reads its input: a stream, and where it is cut."""

from __future__ import annotations

MAX_CUTS = 7


def stream_in_pieces(data: bytes) -> tuple[bytes, list[bytes]]:
    """The stream as a whole, and the same in pieces.

    The first byte tells the number of cuts, one byte each the places, in 256ths of the stream; the rest is the stream.
    A seed with the first byte 0 is thus a stream that is not cut.
    """
    count = data[0] & MAX_CUTS if data else 0
    places, stream = data[1 : 1 + count], data[1 + count :]
    marks = sorted(place * len(stream) // 256 for place in places)
    pieces = [stream[start:stop] for start, stop in zip([0, *marks], [*marks, len(stream)], strict=True)]
    return stream, [piece for piece in pieces if piece]  # RoadRunner hands over no empty pieces


def take(data: bytes, size: int) -> tuple[bytes, bytes]:
    """The first `size` bytes, filled up with zeros, and the rest."""
    return data[:size].ljust(size, b"\0"), data[size:]
