"""Mail goes on to a smarthost, through the stack, its mail store and the relay."""

from __future__ import annotations

import smtplib
import uuid

from tests.e2e.targets import Target
from tests.support.waiting import wait_until


def test_what_is_received_arrives_at_the_smarthost(stack: Target) -> None:
    recipients = [f"{name}-{uuid.uuid4().hex}@example.test" for name in ("one", "two")]
    with stack.relaying() as relaying:
        # A new queue begins with the next mail, so the relay has to be there first.
        wait_until(lambda: "relay" in {queue["group"] for queue in relaying.queues()}, "the relay")
        with smtplib.SMTP(stack.smtp.host, stack.smtp.port, timeout=30) as client:
            for recipient in recipients:
                client.sendmail("from@example.test", [recipient], f"Subject: for {recipient}\r\n\r\ntext\r\n")
        wait_until(lambda: all(queue["waiting"] == queue["open"] == 0 for queue in relaying.queues()), "an empty queue")
        subjects = [f"Subject: for {recipient}" for recipient in recipients]
        wait_until(
            lambda: all(subject in relaying.smarthost() for subject in subjects), "what Docker has of the output"
        )
        printed = relaying.smarthost()
    for recipient in recipients:
        assert printed.count(f"Subject: for {recipient}") == 1
        assert f"for <{recipient}>;" in printed, "the Received: line"
