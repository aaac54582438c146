"""Mails and dialogues that servers got wrong, to be cut everywhere."""

from __future__ import annotations

MAILS: dict[str, bytes] = {
    "empty": b"",
    "one empty line": b"\r\n",
    "plain": b"Subject: hello\r\n\r\nHello,\r\nworld\r\n",
    "dots": b".\r\n..\r\n...\r\n.a\r\n..a\r\na.\r\na..b\r\n",
    "dot first and last": b".first\r\n\r\nlast\r\n.\r\n",
    "commands": b"QUIT\r\nRSET\r\nAUTH PLAIN AAAA\r\nMAIL FROM:<x@y.test>\r\nDATA\r\n.\r\nQUIT\r\n",
    "eight bits": "Subject: ü\r\n\r\n€\r\n".encode() + b"\xff\xfe\x80\r\n",
    "empty lines at the end": b"a\r\n\r\n\r\n",
}


def dot_stuffed(content: bytes) -> bytes:
    """The text as a client sends it, with the end of data (RFC 5321 4.5.2)."""
    lines = content.split(b"\r\n")
    assert not lines.pop(), "a mail ends in CR LF"
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


def envelope(number: int = 1) -> bytes:
    """MAIL to DATA of a mail, told from others by its number."""
    return b"MAIL FROM:<from%d@a.test>\r\nRCPT TO:<to%d@b.test>\r\nDATA\r\n" % (number, number)


def session(*contents: bytes) -> bytes:
    """A session that sends these mails, all in one go as PIPELINING allows, and nothing waits for a reply."""
    mails = (envelope(number) + dot_stuffed(content) for number, content in enumerate(contents, 1))
    return b"EHLO client.test\r\n" + b"".join(mails) + b"QUIT\r\n"


DIALOGUES: dict[str, bytes] = {
    "no mail": b"EHLO c\r\nnoop\r\nNOOP x y\r\nVRFY <a@b>\r\nHELP\r\nRSET\r\nQUIT\r\n",
    "errors": b"MAIL FROM:<a@b>\r\nEHLO\r\nXXXX\r\n\r\n \r\nDATA\r\nehlo c\r\nRCPT TO:<a@b>\r\nRSET x\r\nEXPN l\r\n",
    "long lines": b"HELO c\r\nNOOP "
    + b"x" * 505
    + b"\r\nNOOP "
    + b"x" * 506
    + b"\r\nNOOP\r\n"
    + b"y" * 1200
    + b"\r\nNOOP\r\n",
    "control characters": b"EHLO c\r\nNO\rOP\r\nNOOP\0\r\nNOOP \xff\r\nMAIL FROM:<\xc3\xa9@b>\r\nNOOP\r\r\nNOOP\r\n",
    "bare LF": b"EHLO c\r\nNOOP\r\nNOOP\nNOOP\r\n",
    "bare LF in a long line": b"EHLO c\r\n" + b"x" * 600 + b"\nNOOP\r\n",
    "HTTP": b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO c\r\nMAIL FROM:<a@b>\r\n",
    "too big": b"EHLO c\r\n" + envelope() + b"QUIT\r\n" * 400 + b".\r\nNOOP\r\n",
    "NUL": b"EHLO c\r\n" + envelope() + b"a\0b\r\n.\r\nNOOP\r\n",
    "long text line": b"EHLO c\r\n" + envelope() + b"x" * 999 + b"\r\n.\r\n" + envelope() + b"x" * 998 + b"\r\n.\r\n",
    "refused, then a mail": b"EHLO c\r\n" + envelope() + b"a\nb\r\n.\r\n" + envelope(2) + b"fine\r\n.\r\nQUIT\r\n",
    "refused senders and recipients": b"EHLO c\r\nMAIL FROM:<a@b> SIZE=9999\r\nRCPT TO:<c@d>\r\nDATA\r\n"
    b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d\r\nDATA\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n",
    "SMTPUTF8 and DSN": (
        "EHLO c\r\nMAIL FROM:<\u00e9@b>\r\nmail from:<\u00e9@b\u00fccher.test> smtputf8 envid=Q+2Bq ret=hdrs\r\n"
        "RCPT TO:<\u7528\u6237@d> NOTIFY=NEVER\r\nRCPT TO:<a@d> ORCPT=utf-8;\\x{E9}@d notify=delay,success\r\n"
        "RCPT TO:<a@d> NOTIFY=NEVER,DELAY\r\nVRFY \u00e9 SMTPUTF8\r\nVRFY \u00e9\r\nDATA\r\n.\r\n"
    ).encode(),
    "not UTF-8": b"EHLO c\r\nMAIL FROM:<\xe9@b> SMTPUTF8\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<\xc3\r\nRSET\r\n",
    "chunks": b"EHLO c\r\n"
    + envelope()
    + b".\r\nBDAT 12\r\nRSET\r\nQUIT\r\nNOOP\r\nBDAT 3 LAST\r\n\n\r\nHELP MAIL\r\nBDAT x\r\nNOOP\r\n",
    "all defects": b"EHLO c\r\n" + envelope() + b"\0\n\r" + b"x" * 2500 + b"\r\n.\r\nNOOP\r\n",
}
