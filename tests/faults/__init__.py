"""Faults that the stack must survive, each in a module of its own; `python -m tests.faults` provokes them."""
