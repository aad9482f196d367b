"""Something costly that several tests look at: made for the first, kept for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import pytest

T = TypeVar("T")


class Once(Generic[T]):
    """Holds what was made; a failure is kept as well, so that nobody tries for minutes again."""

    def __init__(self) -> None:
        self._made: T | None = None
        self._failure: str | None = None

    def get(self, make: Callable[[], T]) -> T:
        """What ``make`` gave when it was first called; its failure is everybody's."""
        if self._failure is not None:
            pytest.fail(f"what this test looks at could not be made: {self._failure}")
        if self._made is None:
            try:
                self._made = make()
            except (Exception, pytest.fail.Exception) as error:
                self._failure = f"{type(error).__name__}: {error}"
                raise
        return self._made
