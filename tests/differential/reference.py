"""A simple model of an SMTP session: what class a reply must be of, and which mails must be stored.

It reads whole lines and whole texts, keeps everything it ever saw, and shares no code with the service. It knows the
service's policy (limits, what is refused), not how that is carried out.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import Final

from services.smtp import Limits
from tests.differential.recorder import FAULT, REFUSED
from tests.differential.reference_auth import RESPONSE, AuthReference
from tests.differential.rfc import Arguments, is_local_part, is_mailbox, read_arguments, read_path
from tests.differential.wire import ReceivedMail

COMMAND_LINES: Final = {"MAIL": 1175, "RCPT": 1042, "VRFY": 522, "AUTH": RESPONSE}
"""Bytes of a command line with its line end, where it is not 512."""

TEXT_LINE: Final = 998

UNIMPLEMENTED: Final = frozenset({"ETRN", "EXPN", "STARTTLS", "TURN"})
HTTP: Final = frozenset({"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
TOPICS: Final = frozenset(["HELO", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "HELP", "QUIT"])
WITH_ADDRESSES: Final = frozenset({"MAIL", "RCPT", "VRFY"})


class ModelError(AssertionError):
    """The service did what the model does not allow; the message says what and where."""


@dataclass
class Reference:
    """One session.

    Attributes:
        limits: the service's.
        hooked: whether it has the handler `Recorder`.
        store_fails: whether the mail store fails at present.
        mails: that must be in the store.
        refused: texts that must not be there, whole mails that were answered by 4xx or 5xx.
        closed: whether the server ended the connection.
    """

    limits: Limits
    hooked: bool = False
    store_fails: bool = False
    mails: list[ReceivedMail] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    closed: bool = False
    host_name: str = ""
    extended: bool = False
    mail: Arguments | None = None
    rcpt_tos: list[str] = field(default_factory=list)
    in_text: bool = False
    rcpt_options: list[str] = field(default_factory=list)
    auth: AuthReference = field(init=False)
    _buffer: bytes = b""
    _skip: int = 0
    _bad: int = 0
    _mails: int = 0
    _refused: bool = False

    def __post_init__(self) -> None:
        self.auth = AuthReference(self.limits)

    def would_store(self, data: bytes) -> list[ReceivedMail]:
        """Mails that end in a piece of input, if all commands before are accepted that may be, and the store works."""
        if b"\n" not in data:
            return []
        model = copy.deepcopy(self)
        model._buffer += data
        model.store_fails = False
        while not model.closed and (line := model._next_input()) is not None:
            model.closed |= model._line(line) == "close"
        return model.mails[len(self.mails) :]

    @property
    def text_has_begun(self) -> bool:
        """Whether a text is under way and has bytes of its own."""
        return self.in_text and self._buffer not in {b"", b".", b".\r"}

    def feed(self, data: bytes, codes: list[int], *, closed: bool | None) -> None:
        """A piece of input, what the service answered to it, and whether it closed the connection, None for unknown.

        Raises:
            ModelError: that is not what was due.
        """
        self._buffer += data
        answers = list(codes)
        while not self.closed and (line := self._next_input()) is not None:
            command, early = not self.in_text, self._follows_a_refusal(line)
            expected = self._line(line)
            if not answers:
                raise ModelError(f"{line!r} was not answered; {expected} was due")
            code = answers.pop(0)
            counts = command and not self.auth.judged and not (early and code == 503)
            self._settle(line, expected, code, counts=counts)
        if answers:
            raise ModelError(f"there are {len(answers)} replies more than commands: {answers}")
        if closed is not None and closed != self.closed:
            raise ModelError(f"the connection is {'closed' if closed else 'open'} after {data!r}")

    def _follows_a_refusal(self, line: bytes) -> bool:
        """Whether it is what a pipelining client had sent before it could know that MAIL was refused."""
        verb = line.rstrip(b"\r\n").partition(b" ")[0].upper()
        return self._refused and self.mail is None and verb in {b"RCPT", b"DATA"}

    def _next_input(self) -> bytes | None:
        """The next command line, or the whole text; None while its end has not come."""
        skipped = min(self._skip, len(self._buffer))
        self._buffer, self._skip = self._buffer[skipped:], self._skip - skipped
        if self.in_text:
            end = (b"\r\n" + self._buffer).find(b"\r\n.\r\n")
            stop = end + 3 if end >= 0 else -1
        else:
            stop = self._buffer.find(b"\n") + 1 or -1
        if stop < 0:
            return None
        found, self._buffer = self._buffer[:stop], self._buffer[stop:]
        return found

    def _settle(self, line: bytes, expected: str, code: int, *, counts: bool) -> None:
        """Compares a reply with what was due, and goes on."""
        if counts and expected == "5" and code == 421 and self._bad + 1 == self.limits.bad_commands:
            self.closed = True
            return
        self._bad += counts and 500 <= code <= 504
        if self._bad >= self.limits.bad_commands:
            raise ModelError(f"{line!r} is bad command {self._bad}, and the session goes on")
        if expected == "close":
            if code != 421:
                raise ModelError(f"{line!r} was answered {code}; 421 and the end were due")
            self.closed = True
        elif str(code)[0] != expected[0]:
            raise ModelError(f"{line!r} was answered {code}; {expected}xx was due")

    def _line(self, line: bytes) -> str:
        """The class of the reply that is due; the state is what it is once that was given."""
        self.auth.judged = False
        if self.auth.waits:
            return self.auth.respond(line)
        return self._end_of_text(line) if self.in_text else self._command(line)

    # Commands.

    def _command(self, line: bytes) -> str:
        if not line.endswith(b"\r\n"):
            return "close"
        verb, _, argument = line[:-2].partition(b" ")
        name = verb.upper().decode("latin-1")
        if len(line) > COMMAND_LINES.get(name[:4], 512):
            return "close" if name.startswith("BDAT") else "5"
        if re.match(rb"BDAT(?![A-Z])", line, re.IGNORECASE):
            return self._chunk(line[:-2])
        if any(byte == 127 or (byte < 32 and byte != 9) for byte in line[:-2]):
            return "5"
        if name in HTTP:
            return "close"
        if name in UNIMPLEMENTED or name not in self._commands or not (line.isascii() or name in WITH_ADDRESSES):
            return "5"
        try:
            return str(getattr(self, f"_{name.lower()}")(argument.decode().strip(" \t")))
        except UnicodeDecodeError:
            return "5"

    @property
    def _commands(self) -> frozenset[str]:
        return TOPICS | {"AUTH"} if self.hooked else TOPICS

    def _chunk(self, line: bytes) -> str:
        words = line.upper().split(b" ")
        words = [word for word in words if word]
        sized = words[0] == b"BDAT" and len(words) > 1 and words[1].isdigit() and words[2:] in ([], [b"LAST"])
        if not sized or int(words[1]) > self.limits.message:
            return "close"
        self._skip = int(words[1])
        return "5"

    def _helo(self, argument: str, *, extended: bool = False) -> str:
        if not argument or any(character in argument for character in " \t"):
            return "5"
        if self.hooked and REFUSED in argument:
            return "5"
        self.host_name, self.extended = argument, extended
        self._reset()
        return "2"

    def _ehlo(self, argument: str) -> str:
        return self._helo(argument, extended=True)

    def _mail(self, argument: str) -> str:
        if not self.host_name or self.mail is not None:
            return "5"
        self._mails += 1
        self._refused = True
        if self._mails > self.limits.mails:
            return "close"
        read = read_arguments(argument, "FROM:")
        if read is None or (read.parameters and not self.extended):
            return "5"
        if not read.ascii_only and "SMTPUTF8" not in read.parameters:
            return "5"
        if int(read.parameters.get("SIZE") or 0) > self.limits.message or not self._takes_submitter(read):
            return "5"
        if self.hooked and (FAULT in read.address or REFUSED in read.address):
            return "4" if FAULT in read.address else "5"
        self.mail, self._refused = read, False
        return "2"

    def _takes_submitter(self, read: Arguments) -> bool:
        """Whether the parameter AUTH is one that may be there; what anybody but a user says with it is `<>`."""
        submitter = read.parameters.get("AUTH")
        if submitter is None:
            return True
        mailbox = re.sub(r"\+(..)", lambda found: chr(int(found[1], 16)), submitter)
        if not self.auth.authenticated:
            read.parameters["AUTH"] = "<>"
        return self.hooked and (submitter == "<>" or is_mailbox(mailbox))

    def _rcpt(self, argument: str) -> str:
        if not self.host_name or self.mail is None:
            return "5"
        read = read_arguments(argument, "TO:")
        if read is None or (read.parameters and not self.extended):
            return "5"
        if not read.ascii_only and "SMTPUTF8" not in self.mail.parameters:
            return "5"
        if len(self.rcpt_tos) >= self.limits.recipients:
            return "4"
        if self.hooked and (FAULT in read.address or REFUSED in read.address):
            return "4"
        self.rcpt_tos.append(read.address)
        self.rcpt_options.append(" ".join(read.options))
        return "2"

    def _data(self, argument: str) -> str:
        if not self.host_name or self.mail is None or not self.rcpt_tos or argument:
            return "5"
        self.in_text = True
        return "3"

    def _rset(self, argument: str) -> str:
        if argument:
            return "5"
        self._reset()
        return "2"

    def _noop(self, argument: str) -> str:
        del argument
        return "2"

    def _help(self, argument: str) -> str:
        return "2" if not argument or argument.upper() in self._commands else "5"

    def _auth(self, argument: str) -> str:
        if not self.host_name or self.mail is not None or not self.extended:
            return "5"
        return self.auth.begin(argument)

    def _vrfy(self, argument: str) -> str:
        smtputf8 = re.fullmatch(r"(.*?)( +SMTPUTF8)?", argument, re.IGNORECASE | re.DOTALL)
        assert smtputf8 is not None
        asked, parameter = smtputf8.groups()
        known = read_path(asked) is not None if asked.startswith("<") else is_mailbox(asked) or is_local_part(asked)
        if not known or (parameter and not self.extended) or (not asked.isascii() and not parameter):
            return "5"
        return "2"

    def _quit(self, argument: str) -> str:
        if argument:
            return "5"
        self.closed = True
        return "2"

    # Texts.

    def _end_of_text(self, text: bytes) -> str:
        lines = text[:-3].split(b"\r\n")  # the last one is empty: the text ends in CR LF, or is none
        content = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
        bare = content.replace(b"\r\n", b"")
        too_long = any(len(line) > TEXT_LINE for line in content.split(b"\r\n"))
        sound = (
            not (b"\r" in bare or b"\n" in bare or b"\0" in bare or too_long) and len(content) <= self.limits.message
        )
        expected = (
            "5" if not sound or (self.hooked and REFUSED.encode() in content) else "4" if self.store_fails else "2"
        )
        assert self.mail is not None
        if expected == "2":
            options = tuple(self.rcpt_options)
            while options and not options[-1]:
                options = options[:-1]
            self.mails.append(
                ReceivedMail(self.mail.address, tuple(self.rcpt_tos), self.mail.options, options, content)
            )
        else:
            self.refused.append(content)
        self._reset()
        return expected

    def _reset(self) -> None:
        self.mail, self.rcpt_tos, self.rcpt_options, self.in_text, self._refused = None, [], [], False, False
