"""The documentation's promises: its code blocks run, its tables name what exists."""
