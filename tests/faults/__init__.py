"""Faults that the stack must survive, each in a module of its own; `python -m tests.faults` provokes them.

A module `fNN_what.py` has a `FAULT`, which `__main__` lists. Its cases start stacks of their own (`stacks`), have
clients talk to them (`clients`, `bystanders`), do harm, and compare what was told with what is there (`ledger`,
`leftovers`).
"""
