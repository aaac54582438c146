"""Deliberate differences in commands."""

from __future__ import annotations

import re
from typing import Final

from tests.differential.compare import Exchange
from tests.differential.rule import ANY, EHLO, MAIL, RCPT, Rule
from tests.differential.service import LIMITS


def _only_quotes_differ(exchange: Exchange) -> bool:
    """The same session and calls of hooks, but for quotes."""
    ours, theirs = (re.sub(r"[\"'\\\\]", "", repr(side[1:])) for side in (exchange.ours, exchange.theirs))
    return ours == theirs


IN_COMMANDS: Final = (
    Rule(
        "bare line feed",
        ours=r"421 4\.7\.0 Lines must end in CR LF",
        in_auth=None,
        theirs=ANY,
        line=rb"[^\n]*(?<!\r)\n",
        reason="A bare LF ends no command (RFC 5321 2.3.8). What follows it may be a command for one side and "
        "none for the other, so the session ends",
        example=(b"NOOP\n",),
    ),
    Rule(
        "too many bad commands",
        ours=r"421 4\.7\.0 Too many bad commands",
        in_auth=None,
        theirs=ANY,
        reason="Malformed and misplaced commands count too, not only unknown ones",
        example=tuple([b"DATA\r\n"] * LIMITS.bad_commands),
    ),
    Rule(
        "too many unknown commands",
        ours=r"500 |502 ",
        theirs=r"502 5\.5\.1 Too many unrecognized commands",
        reason="aiosmtpd ends the session with the fifth unknown command; the service counts all bad ones, and "
        "takes 20",
        example=tuple([b"XXXX\r\n"] * 5),
    ),
    Rule(
        "too many mails",
        ours=r"421 4\.7\.0 Too many mails in one session",
        theirs=ANY,
        line=rb"MAIL.*",
        reason="aiosmtpd has no limit",
        example=(EHLO, *([MAIL, RCPT, b"DATA\r\n", b".\r\n"] * LIMITS.mails), MAIL),
    ),
    Rule(
        "too many recipients",
        ours=r"452 4\.5\.3",
        theirs=r"250 |450 |500 Error: \(LookupError",
        line=rb"RCPT .*",
        reason="aiosmtpd has no limit (RFC 5321 4.5.3.1.10: 452, the rest comes in another mail)",
        example=(EHLO, MAIL, *[RCPT] * (LIMITS.recipients + 1)),
    ),
    Rule(
        "command line length",
        ours=r"500 5\.5\.2 Command line too long",
        theirs=r"[25]\d\d ",
        line=rb".{509,}",
        reason="512 bytes count the CR LF (RFC 5321 4.5.3.1.4), and for MAIL just what the announced extensions "
        "add. aiosmtpd does not count the line end, and adds to the limit of MAIL with every EHLO",
        example=(b"NOOP " + b"x" * 506 + b"\r\n",),
    ),
    Rule(
        "command line length, the other way",
        ours=r"[2-5]\d\d (?!5\.5\.2 Command line too long)",
        theirs=r"500 Command line too long",
        line=rb".{513,}",
        reason="The service has one limit for MAIL; in aiosmtpd it depends on EHLO",
        example=(b"MAIL FROM:<a@a.test> " + b"X" * 500 + b"\r\n",),
    ),
    Rule(
        "control characters",
        ours=r"500 5\.5\.2 (Commands are printable ASCII|Neither ASCII)",
        theirs=ANY,
        line=rb".*[\x00-\x08\x0b-\x1f\x7f-\xff].*\r\n",
        reason="A command holds printable ASCII, and where an address stands UTF-8 (RFC 5321 4.1.2, RFC 6531); "
        "what else there is may not look the same to every program that reads the log or the mail",
        example=(b"NOOP \x7f\r\n",),
    ),
    Rule(
        "addresses beyond ASCII",
        ours=r"55[03] 5\.6\.7|555 5\.5\.4 Parameters need",
        theirs=ANY,
        line=rb"(MAIL|RCPT|VRFY) .*[\x80-\xff].*",
        reason="They are for mails that said SMTPUTF8 (RFC 6531 3.1), as not every server on their way can take them",
        example=(EHLO, "MAIL FROM:<ü@a.test>\r\n".encode()),
    ),
    Rule(
        "HTTP",
        ours=r"421 4\.7\.0 This is an SMTP server",
        theirs=r"50[02] ",
        line=rb"(GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|TRACE|CONNECT)\b.*",
        reason="A browser can be made to send a request with SMTP commands in its body, so its first line ends "
        "the session",
        example=(b"GET / HTTP/1.1\r\n",),
    ),
    Rule(
        "commands that are known and not there",
        ours=r"502 ",
        theirs=r"500 Error: command \"(ETRN|TURN)\"|501 Syntax: STARTTLS|454 TLS not available",
        reason="502 is the reply to a command that is known and not implemented (RFC 5321 4.2.4)",
        example=(b"TURN\r\n",),
    ),
    Rule(
        "BDAT",
        ours=r"502 5\.5\.1 CHUNKING|421 4\.5\.4",
        theirs=r"500 Error: command|500 Command line too long|502 5\.5\.1 Too many unrecognized",
        line=rb"BDAT.*",
        reason="The bytes of the chunk follow, and are not to be taken for commands; where nobody can say how "
        "many they are, the session ends",
        example=(EHLO, b"BDAT 10\r\n"),
    ),
    Rule(
        "HELP",
        ours=r"214 |504 5\.5\.4 HELP",
        theirs=r"250 S|501 Supported",
        line=rb"HELP.*",
        reason="214 is the reply to HELP (RFC 5321 4.2.2), and 504 that to an argument that is not implemented",
        example=(b"HELP\r\n",),
    ),
    Rule(
        "VRFY of what is no address",
        ours=r"501 5\.5\.4 Syntax: VRFY",
        theirs=r"252 |502 Could not VRFY|500 Error: \(",
        line=rb"VRFY .*",
        reason="501 is the code for a syntax error; and what is neither a user's name nor an address is one",
        example=(b"VRFY a b\r\n",),
    ),
    Rule(
        "the argument of handle_NOOP",
        ours=r"250 ",
        theirs=r"250 ",
        line=rb"NOOP [ \t]+\r\n",
        hooked=True,
        reason="Nothing but spaces is no argument, None",
        example=(b"NOOP  \r\n",),
    ),
    Rule(
        "host names",
        ours=r"501 5\.5\.4 Syntax: HELO or EHLO",
        theirs=r"250 |550 ",
        line=rb"(HELO|EHLO) .*[ \t].*",
        reason="The client's name is one word (RFC 5321 4.1.1.1)",
        example=(b"EHLO two words\r\n",),
    ),
    Rule(
        "sequence before syntax",
        ours=r"503 |554 5\.5\.1 No valid",
        theirs=r"50[01] |55[235] ",
        line=rb"(MAIL|RCPT|DATA).*",
        reason="A command in the wrong place is answered 503 whatever its argument is",
        example=(EHLO, MAIL, b"MAIL FROM:\r\n"),
    ),
    Rule(
        "DATA without accepted recipients",
        ours=r"554 5\.5\.1 No valid recipients",
        theirs=r"503 Error: need RCPT",
        line=rb"DATA.*",
        reason="A client that pipelines sent it before it could know; 554 is what RFC 5321 3.3 and RFC 2920 3.1 "
        "have for it",
        example=(EHLO, MAIL, b"RCPT TO:<a@a..test>\r\n", b"DATA\r\n"),
    ),
    Rule(
        "strict paths",
        ours=r"501 5\.1\.[37]",
        theirs=r"250 |550 |450 |501 |552 |555 |500 Error: \(",
        line=rb"(MAIL|RCPT) .*",
        reason="A path is what RFC 5321 4.1.2 says, in angle brackets; aiosmtpd reads it as a header's address, "
        "with comments, without the brackets or with one of them, and with parameters glued to it",
        example=(EHLO, b"MAIL FROM:a@a.test\r\n"),
    ),
    Rule(
        "the code for malformed paths",
        ours=r"501 5\.1\.[37]",
        theirs=r"553 5\.1\.3 Error: malformed address",
        line=rb"(MAIL|RCPT) .*",
        reason="501 is the code for an argument with a syntax error (RFC 5321 4.2.4)",
        example=(EHLO, b"MAIL FROM:<a@a..test>\r\n"),
    ),
    Rule(
        "malformed and repeated parameters",
        ours=r"501 5\.5\.4 Malformed or repeated parameter",
        theirs=r"250 |55[0-5] |500 Error: \(",
        line=rb"(MAIL|RCPT) .*",
        reason="A parameter that is there twice, or is no `keyword[=value]`, is a syntax error; aiosmtpd takes "
        "the last one",
        example=(EHLO, b"MAIL FROM:<a@a.test> SIZE=1 SIZE=2\r\n"),
    ),
    Rule(
        "the code for unknown parameters",
        ours=r"555 5\.5\.4",
        theirs=r"501 |552 |250 |550 |500 Error: \(",
        line=rb"(MAIL|RCPT) .*",
        reason="555 is the code for a parameter that is not known, or not announced as after HELO (RFC 5321 4.1.1.11)",
        example=(EHLO, b"MAIL FROM:<a@a.test> X-A=1\r\n"),
    ),
    Rule(
        "values of parameters",
        ours=r"501 5\.5\.4 (SIZE|BODY|SMTPUTF8|RET|ENVID|NOTIFY|ORCPT|AUTH) ",
        theirs=r"250 |55[0-5] |500 Error: \(",
        line=rb"(MAIL|RCPT) .*",
        reason="A value that the parameter cannot have is a syntax error",
        example=(EHLO, b"MAIL FROM:<a@a.test> ENVID=a+zz\r\n"),
    ),
    Rule(
        "DSN",
        ours=r"[245]5[0-2] ",
        theirs=r"555 |501 Syntax",
        line=rb"(MAIL|RCPT) .* (RET|ENVID|NOTIFY|ORCPT)=.*",
        reason="aiosmtpd has no DSN (RFC 3461)",
        example=(EHLO, b"MAIL FROM:<a@a.test> RET=HDRS\r\n"),
    ),
    Rule(
        "quotes in local parts",
        ours=r"250 ",
        theirs=r"250 ",
        line=rb"(MAIL|RCPT) .*\".*",
        also=_only_quotes_differ,
        reason="An address is kept as the client sent it (RFC 5321 2.3.11: only its own host may take a local "
        "part apart); aiosmtpd takes quotes away that it holds for unneeded",
        example=(EHLO, b'MAIL FROM:<"simple"@a.test>\r\n'),
    ),
    Rule(
        "a hook that fails",
        ours=r"451 4\.3\.0",
        theirs=r"500 Error: \(LookupError\)",
        hooked=True,
        reason="The mail is not at fault, so the client may try again; and the exception's text is for the log, "
        "not for strangers. `handle_exception` has the last word on both",
        example=(EHLO, b"MAIL FROM:<fault@a.test>\r\n"),
    ),
    Rule(
        "a hook that refuses HELO or EHLO",
        ours=r"550 5?\.?0?\.?0? ?not you",
        theirs=r"550 not you",
        line=rb"(HELO|EHLO) .*",
        hooked=True,
        reason="A refused command changes nothing: neither the mail under way nor which of HELO and EHLO holds. "
        "aiosmtpd has ended the mail before it asks the hook",
        example=(EHLO, MAIL, b"EHLO refused\r\n"),
    ),
)
