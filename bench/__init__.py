"""Benchmarks of the SDK against the real server; docs/performance.md says what they measure."""
