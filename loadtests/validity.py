"""Whether a record can be believed: *invalid* means that the generator was measured.

Rules, each with its bound; one that is broken makes the whole load invalid, whatever the server
did. Dropped requests are no such rule: they count as failed, and so against the server, which left
``in_flight_limit`` requests unanswered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from loadtests.recorder import RecordFile
from loadtests.spec import GeneratorStatus
from loadtests.statistics import Lateness

LATE_PART_OF_SLO: Final = 0.1
"""A request is late, by the generator's fault, when sent later than this part of the SLO.

Latency counts from the intended start, so less than that cannot change a verdict by much.
"""

MAX_LATE_RATIO: Final = 0.01
"""With a greater share of late requests the numbers are the generator's, not the server's."""

MAX_CPU_SHARE: Final = 0.9
"""A process that takes more of one core than this has requests waiting for itself."""

MAX_CEILING_SHARE: Final = 0.8
"""Above this part of its own ceiling a generator's queue, not the server's, makes the latency.

At 80 % the mean wait in a queue with random arrivals is already two services (M/D/1: rho / (2 -
2 rho)); the ceiling itself is measured at full use.
"""


@dataclass(frozen=True, slots=True)
class Validity:
    """Whether the record can be believed, and if not, why."""

    valid: bool
    reasons: tuple[str, ...]

    @property
    def word(self) -> Literal["valid", "invalid"]:
        """For reports."""
        return "valid" if self.valid else "invalid"


def judge(
    file: RecordFile,
    status: GeneratorStatus,
    lateness: Lateness,
    late_after_ms: float,
    busiest_per_s: float,
) -> Validity:
    """Hold a load against all rules; ``busiest_per_s`` is the most that was sent in a second."""
    reasons = tuple(_reasons(file, status, lateness, late_after_ms, busiest_per_s))
    return Validity(not reasons, reasons)


def _reasons(
    file: RecordFile,
    status: GeneratorStatus,
    lateness: Lateness,
    late_after_ms: float,
    busiest_per_s: float,
) -> Iterator[str]:
    records = file.records
    if not file.complete:
        yield "the record has no end: the generator was killed"
    if status.dispatched != len(records) or not np.array_equal(
        records.sequence, np.arange(len(records))
    ):
        yield f"{status.dispatched} requests were due, the record has {len(records)}"
    if lateness.late_ratio > MAX_LATE_RATIO:
        yield (
            f"{lateness.late_ratio:.1%} of the requests were sent more than "
            f"{late_after_ms:g} ms late, allowed are {MAX_LATE_RATIO:.0%}: "
            "the generator's machine is too slow or too busy"
        )
    if status.cpu_share > MAX_CPU_SHARE:
        yield (
            f"the generator took {status.cpu_share:.0%} of a core, allowed are "
            f"{MAX_CPU_SHARE:.0%}: more than one generator is needed"
        )
    share = ceiling_share(status, busiest_per_s)
    if share is not None and share > MAX_CEILING_SHARE:
        yield (
            f"{busiest_per_s:.0f} requests/s in the busiest second are {share:.0%} of the "
            f"{status.ceiling_per_s:.0f} requests/s that this generator reaches against a server "
            f"that does nothing, allowed are {MAX_CEILING_SHARE:.0%}"
        )


def ceiling_share(status: GeneratorStatus, busiest_per_s: float) -> float | None:
    """The busiest second as a part of the generator's ceiling; None if that was not measured."""
    return busiest_per_s / status.ceiling_per_s if status.ceiling_per_s > 0 else None
