"""Tests against the real RoadRunner and the real Redis; a missing one fails a test, it never skips it."""
