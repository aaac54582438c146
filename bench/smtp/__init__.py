"""The mail service against aiosmtpd; docs/performance.md says what is measured."""
