"""A breakage that has to wait for its moment while a child pytest runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class Background:
    """Calls ``step`` again and again in a thread, until it gives True or the block ends.

    An exception of the step ends the thread and is raised on exit; ``done`` says whether the
    step's moment came, for a breakage that never happened would prove nothing.
    """

    def __init__(self, step: Callable[[], bool], interval_s: float = 0.2) -> None:
        self._step = step
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="breakage", daemon=True)
        self.done = False

    def _run(self) -> None:
        try:
            while not self.done and not self._stop.wait(self._interval_s):
                self.done = self._step()
        except BaseException as error:  # noqa: BLE001 - handed to the test on exit
            self._error = error

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
