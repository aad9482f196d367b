"""The errors of the conformance package."""

from __future__ import annotations


class ConformanceError(Exception):
    """The catalogue, or a test of it, was not made or used as it must be."""


class CatalogueError(ConformanceError):
    """A requirement is badly written: the message names it, what was found and what is right."""


class AnswerError(ConformanceError):
    """An inference server gave no answer in time, an error, or a wrong answer."""
