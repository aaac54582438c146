"""What tests of several kinds have in common."""
