"""95 % intervals by resampling near-duplicate groups: slices of one head are not independent.

Field, C. A. and Welsh, A. H. 2007, "Bootstrapping clustered data": whole groups are drawn with
replacement, and every figure is computed anew for each draw. A draw is a weight for every scan, so
that all draws are computed at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

LEVEL = 0.95
RESAMPLES = 1000
SEED = 0
METHOD = (
    "percentile bootstrap over near-duplicate groups; a share of 0 or 1 has the exact binomial "
    "interval, with its groups as trials"
)
_AT_ONCE, _CELLS_AT_ONCE = 100, 100_000
"""Resamples in memory together, and scans in all of these: figures hold several times 8 bytes of
each."""

Weights = NDArray[np.float64]
"""(resamples, n): how often a resample holds each scan; whole numbers."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    level: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty, in the names of SageMaker's model-quality form."""

    value: float
    standard_deviation: float | None
    """None, as is the interval, where all scans are of one group: nothing can be resampled."""
    confidence_interval: Interval | None


def resample(
    groups: NDArray[np.int32], figures: Callable[[Weights], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Compute figures for every resample of the groups.

    Args:
        groups: (n,) group numbers.
        figures: weights (resamples, n) -> figures (resamples, ...).

    Returns:
        (RESAMPLES, ...).
    """
    return np.concatenate([figures(weights) for weights in _resamples(groups)])


def estimate(value: float, draws: NDArray[np.float64], groups: int) -> Estimate:
    """Give a figure the interval of its draws.

    Args:
        value: the figure on all scans.
        draws: (resamples,) of it; NaN where a resample lacks the scans that it needs.
        groups: how many groups the figure rests on.
    """
    if groups < 2:
        return Estimate(value, None, None)
    drawn = draws[np.isfinite(draws)]
    lower, upper = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(drawn.std()), Interval(LEVEL, float(lower), float(upper)))


def estimate_share(value: float, draws: NDArray[np.float64], groups: int) -> Estimate:
    """Give a share its interval, also where no scan, or every scan, counts.

    Resampling cannot show an error that did not happen, though it could have: a share of 0 or 1
    gets the exact binomial interval (Clopper and Pearson 1934) with its groups as trials.
    """
    if value not in (0, 1):
        return estimate(value, draws, groups)
    exact = binomtest(round(value) * groups, groups).proportion_ci(LEVEL, method="exact")
    return Estimate(value, 0.0, Interval(LEVEL, float(exact.low), float(exact.high)))


def once_each(count: int) -> Weights:
    """Return the weights (1, count) of the scans as they are."""
    return np.ones((1, count))


def group_count(groups: NDArray[np.int32]) -> int:
    """Return how many different groups there are."""
    return len(np.unique(groups))


def _resamples(groups: NDArray[np.int32]) -> Iterator[Weights]:
    number = np.unique(groups, return_inverse=True)[1]
    count = int(number.max()) + 1
    random = np.random.default_rng(SEED)
    at_once = min(_AT_ONCE, max(1, _CELLS_AT_ONCE // len(groups)))
    for first in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - first)
        drawn = random.multinomial(count, np.full(count, 1 / count), size=size)
        yield drawn.astype(np.float64)[:, number]
