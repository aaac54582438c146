"""The sample services and the stores that keep their connections' state."""
