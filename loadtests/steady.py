"""Whether a run was in a steady state, and from when on.

The rule, over the median latencies of whole seconds:

1. There is a right answer in every second.
2. The warm-up is cut off where MSER-5 says: the medians are averaged by fives, and so many of
   these are left out at the beginning that the squared standard error of the mean of the rest is
   least (K. P. White, An effective truncation heuristic for bias reduction in simulation output,
   Simulation 69, 1997). If that is more than half of the run, it was never steady.
3. What is left does not drift: its Theil-Sen slope, over the whole of it, makes at most 10 % of
   its median, or the slope's 95 % interval holds zero (P. K. Sen, Estimates of the regression
   coefficient based on Kendall's tau, JASA 63, 1968).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

MAX_DRIFT: Final = 0.1
BATCH_S: Final = 5
MINIMUM_S: Final = 30
"""Six averages of five: with fewer neither the cut nor the slope says anything."""

_MAX_POINTS: Final = 300
_Z: Final = 1.959964
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SteadyState:
    """What was found; ``drift`` is the change over the steady part as a part of its median."""

    verdict: Literal["steady", "not steady", "too short"]
    reason: str
    from_s: int | None = None
    drift: float | None = None
    drift_low: float | None = None
    drift_high: float | None = None


def detect(medians: Sequence[float | None]) -> SteadyState:
    """Apply the rule to the medians of consecutive seconds; None is a second without any."""
    if len(medians) < MINIMUM_S:
        return SteadyState("too short", f"{len(medians)} s, {MINIMUM_S} s are needed")
    silent = [second for second, one in enumerate(medians) if one is None]
    if silent:
        return SteadyState(
            "not steady", f"{len(silent)} s without a right answer, the first {silent[0]} s in"
        )
    values: _Floats = np.asarray(medians, dtype=np.float64)
    from_s = warm_up_s(values)
    if from_s > len(values) / 2:
        return SteadyState("not steady", "the warm-up takes more than half of the run", from_s)
    rest = values[from_s:]
    slope, low, high = slope_interval(rest)
    scale = (len(rest) - 1) / max(float(np.median(rest)), 1e-9)
    drift, drift_low, drift_high = slope * scale, low * scale, high * scale
    drifts = abs(drift) > MAX_DRIFT and not drift_low <= 0 <= drift_high
    return SteadyState(
        "not steady" if drifts else "steady",
        f"drifts by {drift:+.1%} of its median ({drift_low:+.1%} to {drift_high:+.1%}) "
        f"from {from_s} s on, allowed are {MAX_DRIFT:.0%}",
        from_s,
        drift,
        drift_low,
        drift_high,
    )


def warm_up_s(values: _Floats) -> int:
    """How many seconds MSER-5 leaves out at the beginning; the last five averages always stay."""
    batches = values[: len(values) // BATCH_S * BATCH_S].reshape(-1, BATCH_S).mean(axis=1)
    starts = range(max(1, len(batches) - 4))
    errors = [float(np.var(batches[start:])) / (len(batches) - start) for start in starts]
    return int(np.argmin(errors)) * BATCH_S


def slope_interval(values: _Floats) -> tuple[float, float, float]:
    """The Theil-Sen slope per step, and its 95 % interval; long rows are first thinned."""
    step = math.ceil(len(values) / _MAX_POINTS)
    whole = values[: len(values) // step * step].reshape(-1, step)
    points = np.median(whole, axis=1)
    first, second = np.triu_indices(len(points), k=1)
    slopes = np.sort((points[second] - points[first]) / ((second - first) * step))
    spread = _Z * math.sqrt(len(points) * (len(points) - 1) * (2 * len(points) + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return float(np.median(slopes)), float(slopes[low]), float(slopes[high])
