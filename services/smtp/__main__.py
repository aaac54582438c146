"""Runs the command line of the SMTP service."""

import sys

from services.smtp.cli import main

sys.exit(main())
