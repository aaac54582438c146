"""`python -m services.smtp relay` and `webhook`: the consumers as programs in the foreground."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import httpx

from rr_tcp import log_to_stderr
from services.smtp.forward.consumer import Consumer
from services.smtp.forward.handling import Surroundings
from services.smtp.forward.interface import Forwarder
from services.smtp.forward.notification import Reporter
from services.smtp.forward.relay import Relay
from services.smtp.forward.settings import QueueSettings, RelaySettings, WebhookSettings
from services.smtp.forward.smarthost import Connections
from services.smtp.forward.store_thread import StoreThread
from services.smtp.forward.webhook import Webhook
from services.smtp.mailstore import Start, open_mail_store
from services.smtp.settings import SmtpSettings

log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["relay", "webhook"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        kind: what hands the mails on.
        store: URL of the mail store.
        group: the name of the queue.
        start: what a queue that is new begins with.
        once: whether to end when nothing is due.
    """

    kind: Kind
    store: str
    group: str
    start: Start
    once: bool


def run(options: Options, env: Mapping[str, str]) -> None:
    """Hands mails on until SIGTERM or SIGINT, or until nothing is due.

    Args:
        options: what the command line says.
        env: the settings.

    Raises:
        ConfigurationError: a setting cannot be used.
        MailStoreError: the store fails, and there is to be but one round.
    """
    log_to_stderr(env)
    for name in ("httpx", "httpcore"):  # they log URLs
        logging.getLogger(name).setLevel(logging.WARNING)
    asyncio.run(_run(options, env))


async def _run(options: Options, env: Mapping[str, str]) -> None:
    settings = QueueSettings.from_env(env)
    forwarder, where = _forwarder(options.kind, env)
    store = open_mail_store(options.store)
    queue = store.queue(options.group, start=options.start)
    async with StoreThread(store) as thread:
        around = Surroundings(thread, queue, forwarder, settings.schedule, settings.lease)
        consumer = Consumer(around, concurrency=settings.concurrency)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, consumer.stop)
        log.info("queue %s: mails are handed on to %s", options.group, where)
        await consumer.run(once=options.once)
        log.info("queue %s: ended", options.group)


def _forwarder(kind: Kind, env: Mapping[str, str]) -> tuple[Forwarder, str]:
    """What hands mails on, and where to, as the log names it."""
    hostname = SmtpSettings.from_env(env).hostname
    if kind == "relay":
        relay = RelaySettings.from_env(env)
        host = relay.smarthost
        connections = Connections(host, hostname=hostname, timeout=relay.timeout)
        return Relay(connections, reporter=Reporter(hostname, host.host), timeout=relay.timeout), str(host)
    webhook = WebhookSettings.from_env(env)
    # Without the environment's proxies and .netrc: mail goes where the settings say, and nowhere else.
    client = httpx.AsyncClient(timeout=webhook.timeout, trust_env=False, verify=ssl.create_default_context())
    hook = Webhook(webhook.url, key=webhook.key, hostname=hostname, timeout=webhook.timeout, client=client)
    return hook, httpx.URL(webhook.url).netloc.decode()
