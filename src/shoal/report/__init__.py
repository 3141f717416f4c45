"""A run's events to figures and one HTML file that works without a network."""

from shoal.report.page import render

__all__ = ["render"]
