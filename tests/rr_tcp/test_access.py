"""Access rules by address."""

from __future__ import annotations

import pytest

from rr_tcp import AccessRules, App, ConfigurationError, Request, Response, TcpEvent, TcpResponse


@pytest.mark.parametrize(
    ("allow", "deny", "host", "allowed"),
    [
        ([], [], "203.0.113.9", True),
        (["10.0.0.0/8"], [], "10.1.2.3", True),
        (["10.0.0.0/8"], [], "11.1.2.3", False),
        ([], ["10.0.0.0/8"], "10.1.2.3", False),
        ([], ["10.0.0.0/8"], "11.1.2.3", True),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.1.2.3", False),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.2.2.3", True),
        (["192.0.2.1"], [], "192.0.2.1", True),
        (["192.0.2.1"], [], "192.0.2.2", False),
        (["10.0.0.0/8"], [], "::ffff:10.1.2.3", True),
        ([], ["::ffff:192.0.2.1"], "::ffff:192.0.2.1", False),
        ([], ["::ffff:192.0.2.1"], "192.0.2.1", False),
        (["::ffff:192.0.2.0/120"], [], "192.0.2.9", True),
        (["::ffff:192.0.2.0/120"], [], "192.0.3.9", False),
        (["::/0"], [], "2001:db8::1", True),
        (["2001:db8::/32"], [], "2001:db8::1", True),
        (["fe80::/10"], [], "fe80::1%eth0", True),
        (["2001:db8::/32"], [], "10.1.2.3", False),
        (["10.0.0.0/8"], [], "", False),
        ([], ["10.0.0.0/8"], "", True),
    ],
)
def test_denied_networks_win_over_allowed_ones_and_those_over_the_rest(
    allow: list[str], deny: list[str], host: str, allowed: bool
) -> None:
    assert AccessRules(allow=allow, deny=deny).allows(host) is allowed


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33"])
def test_an_entry_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CIDR"):
        AccessRules(allow=[text])


def test_a_client_that_is_not_welcome_is_closed_before_the_handler_sees_it() -> None:
    app = App()
    seen = []
    app.on("clock", access=AccessRules(allow=["127.0.0.0/8"]))(lambda request: seen.append(request.remote_addr))

    def connected(remote_addr: str) -> Response:
        return app.handle(Request(remote_addr, TcpEvent.CONNECTED, b"", "u", "clock"))

    assert connected("192.0.2.1:1") == Response(TcpResponse.CLOSE)
    assert connected("127.0.0.1:1") == Response(TcpResponse.CONTINUE)
    assert seen == ["127.0.0.1:1"]
