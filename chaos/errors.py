"""The errors of the chaos package."""

from __future__ import annotations


class ChaosError(Exception):
    """An experiment could not be carried out as planned."""


class TargetNotFound(ChaosError):
    """What a fault was to act on is not there."""
