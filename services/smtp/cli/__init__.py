"""`python -m services.smtp`: looks at mail, waits for it, hands it on, removes it, and changes the users."""

from services.smtp.cli.command_line import main

__all__ = ["main"]
