"""Short names for what a client was refused for: few of them, so that they can be counted by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.smtp import replies
from services.smtp.replies import Reply

HANDLER_TEMPORARY: Final = "handler_temporary"
HANDLER_PERMANENT: Final = "handler_permanent"
"""A handler's own reply of 4xx or 5xx; what it says is nobody's but the client's."""

_BY_REPLY: Final[Mapping[Reply, str]] = {
    **dict.fromkeys(replies.PARAMETER_SYNTAX.values(), "parameter_syntax"),
    **{reply: name.lower() for name, reply in vars(replies).items() if isinstance(reply, Reply) and reply.refuses},
}

REASONS: Final = (*dict.fromkeys(_BY_REPLY.values()), HANDLER_TEMPORARY, HANDLER_PERMANENT)
"""All of them: those of the service are the names of its replies."""

MAIL_REASONS: Final = (
    _BY_REPLY[replies.MESSAGE_TOO_BIG],
    _BY_REPLY[replies.NUL_IN_TEXT],
    _BY_REPLY[replies.BARE_NEWLINE_IN_TEXT],
    _BY_REPLY[replies.TEXT_LINE_TOO_LONG],
    _BY_REPLY[replies.NOT_STORED],
    _BY_REPLY[replies.STORE_FULL],
    _BY_REPLY[replies.TOO_MANY_AT_ONCE],
    _BY_REPLY[replies.HANDLER_FAILED],
    _BY_REPLY[replies.SERVER_ERROR],
    HANDLER_TEMPORARY,
    HANDLER_PERMANENT,
)
"""Those for which a mail can be refused at the end of its text."""


def reason(reply: Reply) -> str:
    """The name of a refusal."""
    known = _BY_REPLY.get(reply)
    if known is not None:
        return known
    return HANDLER_PERMANENT if reply.permanent else HANDLER_TEMPORARY
