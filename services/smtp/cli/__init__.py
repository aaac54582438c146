"""`python -m services.smtp`: looks at the mail that was received, waits for it, removes it, and changes the users."""

from services.smtp.cli.command_line import main

__all__ = ["main"]
