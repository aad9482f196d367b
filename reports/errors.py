"""The errors of the reports package."""

from __future__ import annotations


class ReportError(Exception):
    """A report could not be made: the message says what was found, what is expected, and where."""
