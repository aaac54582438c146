"""The wheel, as somebody has it who never saw this repository."""
