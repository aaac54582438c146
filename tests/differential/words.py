"""What dialogues are made of: names, addresses, parameters, commands and texts, plausible, odd and hostile."""

from __future__ import annotations

from typing import Final

from tests.differential.service import LIMITS

HOSTS: Final = (
    *("client.test", "c", "[127.0.0.1]", "[IPv6:::1]", "under_score.test", "-", "x" * 255, "refused.test"),
    *("", " ", "two words", "tab\there", "<angle>", "a.b.", "münchen.test", "x" * 490),
)

GOOD_PATHS: Final = (
    *("<>", "<a@a.test>", "<b@b.test>", "<c@c.test>", "<postmaster>", "<Post.Master+tag@sub.Domain.TEST>"),
    *("<a@[127.0.0.1]>", "<a@[IPv6:::1]>", "<!#$%&'*+/=?^_`{|}~-@a.test>", "<a@under_score.test>", "<1@2>"),
    *("<refused@a.test>", "<fault@a.test>", '<"quoted local"@a.test>', '<"a\\"b"@a.test>', '<"simple"@a.test>'),
    "<@relay.test:a@a.test>",
    "<@r1.test,@r2.test:a@a.test>",
    f"<{'l' * 64}@a.test>",
)

ODD_PATHS: Final = (
    *("a@a.test", "<a@a.test", "a@a.test>", "<<a@a.test>>", "< a@a.test >", "<a@a.test> ", "<a>", "<@a.test>"),
    *(
        "<a@>",
        "<a@b@c.test>",
        "<a..b@a.test>",
        "<.a@a.test>",
        "<a.@a.test>",
        "<a@a..test>",
        "<a@-a.test>",
        "<a@a.test.>",
    ),
    *(
        "<a(comment)@a.test>",
        "<a b@a.test>",
        '<"a@a.test>',
        "<a@[256.0.0.1]>",
        "<a@[]>",
        "<a@b c>",
        "",
        " ",
        "Name <a@a.test>",
    ),
    *("<ü@a.test>", "<a@münchen.test>", "<a\t@a.test>", "<a\\@a.test>", "<a,b@a.test>", "<a;b@a.test>", "<>x", "<> x"),
    *("<a@a.test>SIZE=1", "<a@a.test>,<b@b.test>", "<a@a.test> <b@b.test>", "<a@[127.0.0.1>", "<a@%>", "<a@a.test>>"),
    f"<{'l' * 65}@a.test>",
    f"<a@{'d' * 252}.test>",
    f"<{'l' * 60}@{'d.' * 98}test>",
)

MAIL_PARAMETERS: Final = (
    *("SIZE=1", "size=100", f"SIZE={LIMITS.message}", "BODY=7BIT", "BODY=8BITMIME", "body=8bitmime"),
    *(f"SIZE={LIMITS.message + 1}", "SIZE=99999999999999999999", "SIZE=", "SIZE", "SIZE=x", "SIZE=-1", "SIZE=0"),
    *("BODY=BINARYMIME", "BODY", "BODY=", "SMTPUTF8", "SMTPUTF8=1", "X=1", "X", "=", "=1", "AUTH=<>", "X-A=1", "A=b=c"),
    *("RET=HDRS", "RET=FULL", "RET=x", "ENVID=QQ314159", "ENVID=a+2Bb", "ENVID=a+zz", "SIZE=1 SIZE=2", "ü=1"),
)

RCPT_PARAMETERS: Final = (
    *("NOTIFY=NEVER", "NOTIFY=SUCCESS,FAILURE", "NOTIFY=DELAY", "NOTIFY=NEVER,DELAY", "NOTIFY=", "NOTIFY"),
    *("ORCPT=rfc822;a@a.test", "ORCPT=rfc822;a+2Bb@a.test", "ORCPT=x", "X=1", "SIZE=1", "=", "ü"),
)

STRAYS: Final = (
    *(
        "NOOP",
        "noop",
        "NoOp x y",
        "NOOP ",
        "NOOP   ",
        "NOOP  spaced  ",
        "RSET",
        "RSET x",
        "RSET ",
        "HELP",
        "HELP MAIL",
        "HELP XXXX",
    ),
    *(
        "VRFY a@a.test",
        "VRFY <a@a.test>",
        "VRFY",
        "VRFY a",
        "VRFY a@",
        "VRFY <a",
        "VRFY a b",
        "VRFY refused@a.test",
        "VRFY ",
        "VRFY ü@a.test SMTPUTF8",
        "VRFY ü",
    ),
    *("EXPN list", "EXPN", "TURN", "ETRN x", "STARTTLS", "STARTTLS x", "BDAT 10", "BDAT 0 LAST", "XXXX", "XYZZY 1"),
    *(
        "AUTH",
        "AUTH PLAIN",
        "AUTH LOGIN",
        "AUTH PLAIN AGEAYg==",
        "auth plain AGEAYg==",
        "AUTH X x",
        "AUTH PLAIN a b c",
        "*",
    ),
    *(
        "",
        " ",
        "  ",
        " NOOP",
        "\tNOOP",
        "NOOP\tx",
        ".",
        "..",
        "DATA",
        "DATA ",
        "DATA x",
        "data",
        "LHLO c",
        "SEND",
        "MAIL",
        "RCPT",
    ),
    *(
        "MAIL FROM",
        "MAIL FROM:",
        "MAIL TO:<a@a.test>",
        "RCPT TO",
        "RCPT TO:",
        "RCPT FROM:<a@a.test>",
        "MAILFROM:<a@a.test>",
    ),
    *(
        "GET / HTTP/1.1",
        "POST / HTTP/1.1",
        "Host: a.test",
        "250 OK",
        "NOOP-X",
        "NOOP;",
        "QUIT x",
        "ünï",
        "\x16\x03\x01",
        "N\0OP",
    ),
    *("NO\rOP", "NOOP\r", "NOOP \x7f", "NOOP ü", "NOOP \r x", "NOOP " + "x" * 505, "NOOP " + "x" * 506, "x" * 600),
    *(
        "NOOP " + "x" * 510,
        "x" * 1200,
        "NOOP " + "y" * 2500,
        "RCPT TO:<a@a.test> " + "X" * 500,
        "MAIL FROM:<a@a.test> " + "X" * 520,
    ),
)

TEXT_LINES: Final = (
    *(
        b"Subject: hello",
        b"",
        b"Hello,",
        b".",
        b"..",
        b"...",
        b".a",
        b"..a",
        b"a.",
        b"QUIT",
        b"RSET",
        b"DATA",
        b". ",
        b" .",
    ),
    *(b"MAIL FROM:<x@y.test>", b"\xff\xfe\x80", "€".encode(), b"refused", b"x" * 76, b".x" * 30, b"\t", b".\t"),
)

ODD_TEXTS: Final = (
    *(
        b"a\nb",
        b"a\rb",
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r.\r",
        b"a\0b",
        b"\0.\r\n",
        b".\0",
        b"\r\r\n",
    ),
    *(
        b"a\n.\r\nMAIL FROM:<evil@a.test>\r\nRCPT TO:<evil@b.test>\r\nDATA\r\nsmuggled",
        b"\n..\r\n",
        b".\r",
        b".\n",
        b"\n",
        b"\r",
    ),
    *(
        b"x" * 998,
        b"x" * 999,
        b"x" * 1000,
        b"." + b"x" * 998,
        b"." + b"x" * 999,
        b"x" * 1001,
        b"x" * 1002,
        b"x" * 3100,
        b"." + b"x" * 4000,
        b"x" * 2500,
    ),
    *(b"x" * 1500 + b"\r\n." + b"y" * 1200, b"\xff" * 999, b"x" * 999 + b"\r", b"x" * 1000 + b"\n"),
)

MECHANISMS: Final = ("plain", "Login", "X", "CRAM-MD5", "TWO__QUESTIONS", "two-questions", "", "PLAIN LOGIN")

RESPONSES: Final = (
    *(
        "*",
        "",
        "=",
        "====",
        "not base64",
        "bm8=",
        "bm8",
        "AA==",
        "AAA=",
        "AHVzZXIAd3Jvbmc=",
        "dXNlcgB1c2VyAHBhc3N3b3Jk",
    ),
    *("b3RoZXIAdXNlcgBwYXNzd29yZA==", "AP8A/w==", "YQBiAGMAZA==", " dXNlcg== ", "dXNlcg==\t", "ü", "QUIT", "x" * 600),
    "A" * 1000,
    "A" * 2000,
)

INITIALS: Final = ("=", "bm8", "AP8A/w==", "b3RoZXIAdXNlcgBwYXNzd29yZA==")
"""Initial responses: the empty one, no base64, no UTF-8, and a user who acts for somebody else."""

GUESSES: Final = ("AGEAYg==", "AHVzZXIAd3Jvbmc=", "AABwYXNzd29yZA==")
"""Messages of PLAIN with wrong names or passwords."""

LINE_ENDS: Final = (b"\n", b"\r", b"\r\r\n", b"\r\n\n", b" \r\n", b"\t\r\n", b"\0\r\n", b"\n\r\n")
