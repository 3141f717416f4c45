"""Checks of data, networks and training: each verdict cites its numbers and its threshold."""
