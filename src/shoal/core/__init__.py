"""Typed records, errors, axis letters and keyed random numbers: what every other room stands on."""
