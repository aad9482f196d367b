"""The errors of the loadtests package."""

from __future__ import annotations


class LoadError(Exception):
    """A load could not be offered, or its record could not be kept or read."""


class SpecError(LoadError):
    """A load specification is not valid: the message says what was found and what is expected."""


class RecordError(LoadError):
    """A load record is not one, or is damaged beyond a truncated end."""


class GeneratorFailed(LoadError):
    """The generator's process ended, or did not get ready, when it should have run."""
