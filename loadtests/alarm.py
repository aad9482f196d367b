"""Waking up on time under gevent: a timer of the kernel instead of the event loop's own.

gevent's timers come to whole milliseconds of its poll, so a request would leave up to one late.
A timerfd (timerfd_create(2)) wakes the loop as the hardware's timer fires. Python has no wrapper
for it before 3.13.
"""

from __future__ import annotations

import ctypes
import os
import time
from types import TracebackType
from typing import Final, Self

import gevent
from gevent.event import Event

from loadtests.errors import GeneratorFailed

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1
_READABLE: Final = 1
_NS_PER_S: Final = 1_000_000_000


class _Spec(ctypes.Structure):
    """struct itimerspec: the interval of a periodic timer, and when it first fires."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """Waits until moments of the monotonic clock, or until told to stop; for one greenlet."""

    def __init__(self, stop: Event) -> None:
        """``stop`` ends every wait once it is set.

        Raises:
            GeneratorFailed: the kernel gives no timer.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = int(self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        if self._fd < 0:
            raise GeneratorFailed(f"timerfd_create: {os.strerror(ctypes.get_errno())}")
        self._stop = stop
        self._woken = Event()
        self._watcher = gevent.get_hub().loop.io(self._fd, _READABLE)
        self._watcher.start(self._fired)
        stop.rawlink(self._stopped)

    def wait_until(self, moment_ns: int) -> bool:
        """Wait; True if told to stop. A moment that has passed only gives others their turn."""
        if time.monotonic_ns() >= moment_ns:
            gevent.sleep(0)
        elif not self._stop.is_set():
            self._woken.clear()
            spec = _Spec(0, 0, *divmod(moment_ns, _NS_PER_S))
            if self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None):
                raise GeneratorFailed(f"timerfd_settime: {os.strerror(ctypes.get_errno())}")
            self._woken.wait()
        return bool(self._stop.is_set())

    def close(self) -> None:
        """Give the timer back."""
        self._stop.unlink(self._stopped)
        self._watcher.stop()
        self._watcher.close()
        os.close(self._fd)

    def _fired(self) -> None:
        os.read(self._fd, 8)
        self._woken.set()

    def _stopped(self, _: Event) -> None:
        self._woken.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
