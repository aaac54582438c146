"""The decoder of a mail's text."""

from __future__ import annotations

import re
import time
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtp import replies
from services.smtp.body import BareNewlines, BodyState, Position, decode
from services.smtp.limits import Limits
from tests.services.smtp.corpus import dot_stuffed

LIMITS = Limits(message=200, text_line=20)

_INPUT = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"\0", b"\r\n.\r\n", b"x" * 19, b"\r\n..\r\n"]),
    max_size=40,
).map(b"".join)


POLICIES = st.sampled_from(BareNewlines)


def decoded(*pieces: bytes, policy: BareNewlines = BareNewlines.REJECT) -> tuple[BodyState, bytes, bytes]:
    """The state, the text, and what follows the end; the state travels as bytes between the pieces."""
    state, text, rest = BodyState(policy), b"", b""
    for piece in pieces:
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=BodyState)
        found, stop = decode(state, piece, 0, LIMITS)
        text += found
        rest += piece[stop:]
    return state, text, rest


@pytest.mark.parametrize(
    ("data", "text", "rest"),
    [
        (b".\r\n", b"", b""),
        (b".\r\nQUIT\r\n", b"", b"QUIT\r\n"),
        (b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b".a\r\n.\r\n", b"a\r\n", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"a.\r\n.\r\n", b"a.\r\n", b""),
        (b"...\r\n.\r\n", b"..\r\n", b""),
    ],
)
def test_the_end_and_what_follows(data: bytes, text: bytes, rest: bytes) -> None:
    state, found, after = decoded(data)
    assert state.position is Position.END
    assert state.refusal is None
    assert (found, after) == (text, rest)
    assert state.size == len(text)


def test_a_start_in_the_middle_of_the_input() -> None:
    state = BodyState()
    assert decode(state, b"DATA\r\n.\r\nNOOP\r\n", 6, LIMITS) == (b"", 9)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\nb\rc\r\n.\r\n", b"a\r\nb\r\nc\r\n"),
        (b"\n\n\r\r\r\n.\r\n", b"\r\n" * 5),
        (b"a\n.\r\n.\r\n", b"a\r\n.\r\n"),
        (b"a\n..b\r\n.\r\n", b"a\r\n..b\r\n"),
        (b"a\r..b\r\n.\r\n", b"a\r\n..b\r\n"),
        (b"a\r\n..b\nc\r\n.\r\n", b"a\r\n.b\r\nc\r\n"),
        (b".\nb\r\n.\r\n", b"\r\nb\r\n"),
        (b".\rb\r\n.\r\n", b"\r\nb\r\n"),
        (b".\r\r\n.\r\n", b"\r\n\r\n"),
        (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
    ],
)
def test_normalized(data: bytes, text: bytes) -> None:
    """A line whose dots are undone begins after CR LF alone; behind a bare newline, all dots stay."""
    for cut in range(len(data)):
        state, found, rest = decoded(data[:cut], data[cut:], policy=BareNewlines.NORMALIZE)
        assert (state.position, state.refusal, found, rest) == (Position.END, None, text, b"")
        assert state.size == len(text)


@given(_INPUT, POLICIES, st.data())
def test_any_cut_gives_the_same_end_the_same_text_and_the_same_refusal(
    stream: bytes, policy: BareNewlines, data: st.DataObject
) -> None:
    marks = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    pieces = [stream[start:stop] for start, stop in zip([0, *marks], [*marks, len(stream)], strict=True)]
    whole, text, _ = decoded(stream, policy=policy)
    state, found, _ = decoded(*pieces, policy=policy)
    assert (state.position, state.size, state.refusal) == (whole.position, whole.size, whole.refusal)
    if not whole.defects:
        assert (found, state.column) == (text, whole.column)


@given(_INPUT, POLICIES)
def test_the_text_is_what_a_naive_reading_of_the_rfc_finds(stream: bytes, policy: BareNewlines) -> None:
    """Line by line, with the whole input at hand; CR LF `.` CR LF is looked for as such."""
    end = (b"\r\n" + stream).find(b"\r\n.\r\n")
    state, text, rest = decoded(stream, policy=policy)
    assert (state.position is Position.END) == (end >= 0)
    if end < 0:
        return
    raw = stream[:end]
    assert rest == stream[end + 3 :]
    lines = [line.removeprefix(b".") for line in raw.split(b"\r\n")]
    plain = b"\r\n".join(lines)
    if policy is BareNewlines.NORMALIZE:
        plain = re.sub(rb"\r\n|\r|\n", b"\r\n", plain)
        lines = plain.split(b"\r\n")
    sound = plain.replace(b"\r\n", b"")
    expected = None
    if len(plain) > LIMITS.message:
        expected = replies.MESSAGE_TOO_BIG
    elif b"\0" in plain:
        expected = replies.NUL_IN_TEXT
    elif b"\r" in sound or b"\n" in sound:
        expected = replies.BARE_NEWLINE_IN_TEXT
    elif any(len(line) + 2 > LIMITS.text_line for line in lines):
        # In a sound text only: where a bare newline is, the line is another matter, and refused already.
        expected = replies.TEXT_LINE_TOO_LONG
    assert state.refusal == expected
    if expected is None:
        assert text == plain


@given(st.lists(st.binary(max_size=17).filter(lambda line: not set(line) & set(b"\r\n\0")), max_size=9))
def test_what_a_client_stuffs_comes_out_as_it_was(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    state, text, rest = decoded(dot_stuffed(content))
    assert (state.position, text, rest) == (Position.END, content, b"")


LINES = [b"..\r\n", b"\r\n", b"a\r\n", b"x" * 998 + b"\r\n", b"\n", b".\n", b"\r", b"\r\n.\r", b"\0"]


@pytest.mark.parametrize("policy", BareNewlines)
@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line[:5]))
def test_four_times_the_bytes_take_no_sixteen_times_the_time(line: bytes, policy: BareNewlines) -> None:
    """A worker that takes too long over an event is killed, and every client that waits for it waits as long."""

    def seconds(size: int) -> float:
        """Of this process alone, the best of some tries: what else runs on the machine must not count."""
        data = line * (size // len(line))
        tries = []
        for _ in range(5):
            started = time.process_time()
            decode(BodyState(policy), data, 0, Limits())
            tries.append(time.process_time() - started)
        return min(tries)

    # 4, but that the larger one may not fit into the processor's caches
    assert seconds(4_000_000) < 8 * seconds(1_000_000), "with the square of the bytes it is sixteen times"


@pytest.mark.parametrize("policy", BareNewlines)
@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line[:5]))
def test_memory_is_that_of_the_bytes_whatever_the_lines(line: bytes, policy: BareNewlines) -> None:
    """Objects made of lines would take many times as much: a mail of the allowed size has millions."""
    data = line * (3_000_000 // len(line))
    tracemalloc.start()
    try:
        decode(BodyState(policy), data, 0, Limits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(data)


@given(st.lists(st.integers(0, 25), max_size=12), st.data())
def test_a_line_over_the_limit_is_found_wherever_pieces_end(lengths: list[int], data: st.DataObject) -> None:
    stream = b"".join(b"x" * length + b"\r\n" for length in lengths)
    marks = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    pieces = [stream[start:stop] for start, stop in zip([0, *marks], [*marks, len(stream)], strict=True)]
    state, _, _ = decoded(*pieces)
    too_big, too_long = len(stream) > LIMITS.message, max(lengths, default=0) + 2 > LIMITS.text_line
    assert (state.refusal is None) == (not too_big and not too_long)


@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\r\n"])
def test_a_text_is_measured_as_it_is_kept(newline: bytes) -> None:
    """SIZE and the limit of lines mean CR LF, whatever the client made of it; 18 + 2 and 10 x 20 bytes are the most."""

    def refusal(text: bytes) -> object:
        in_one, in_bytes = ([text], [bytes([byte]) for byte in text])
        (whole, _, _), (state, _, _) = (decoded(*cut, policy=BareNewlines.NORMALIZE) for cut in (in_one, in_bytes))
        assert (whole.size, whole.refusal) == (state.size, state.refusal)
        return whole.refusal

    line = b"x" * 18 + newline
    assert refusal(line * 10) is None
    assert refusal(line * 10 + b"x") == replies.MESSAGE_TOO_BIG
    assert refusal(line + b"x" + line) == replies.TEXT_LINE_TOO_LONG


def test_the_policy_is_that_of_the_mails_beginning() -> None:
    """Workers may be replaced by ones with other settings in the middle of a mail."""
    state = BodyState(BareNewlines.NORMALIZE)
    assert decode(state, b"a\r", 0, LIMITS).text == b"a\r\n"
    later = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=BodyState)
    assert decode(later, b"\nb\r", 0, LIMITS).text == b"b\r\n"


def test_the_state_is_small_whatever_was_read() -> None:
    state, _, _ = decoded(b"x" * 10_000 + b"\r\n\0\n\r" * 50)
    assert len(msgspec.msgpack.encode(state)) < 80
