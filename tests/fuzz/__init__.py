"""Fuzz targets: functions that take any bytes and raise only when a rule of the code under test is broken."""
