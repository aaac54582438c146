"""Hands stored mails on: a relay to a smarthost, and a webhook. Each is a consumer of a queue of the mail store."""
