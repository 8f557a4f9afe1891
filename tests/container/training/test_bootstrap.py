"""training.bootstrap: intervals by resampling groups."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta, binom

from brain_tumor.training.bootstrap import (
    RESAMPLES,
    Interval,
    Weights,
    estimate,
    estimate_share,
    group_count,
    once_each,
    resample,
)


def _mean(values: NDArray[np.float64], groups: NDArray[np.int32]) -> Interval:
    def figures(weights: Weights) -> NDArray[np.float64]:
        means: NDArray[np.float64] = weights @ values / weights.sum(axis=1)
        return means

    found = estimate(float(values.mean()), resample(groups, figures), group_count(groups))
    assert found.confidence_interval is not None
    return found.confidence_interval


def test_a_group_is_drawn_as_a_whole_and_as_many_groups_as_there_are() -> None:
    groups = np.array([7, 7, 2, 9, 9, 9], np.int32)
    drawn = resample(groups, lambda weights: weights)
    assert drawn.shape == (RESAMPLES, 6)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])
    np.testing.assert_array_equal(drawn[:, 3], drawn[:, 5])
    np.testing.assert_array_equal(drawn[:, [0, 2, 3]].sum(axis=1), 3)
    assert set(drawn[:, 2]) == {0, 1, 2, 3}


def test_independent_scans_get_the_interval_of_the_binomial_distribution() -> None:
    right = (np.arange(400) < 340).astype(np.float64)
    interval = _mean(right, np.arange(400, dtype=np.int32))
    low, high = binom.interval(0.95, 400, 0.85)
    assert (interval.lower, interval.upper) == pytest.approx((low / 400, high / 400), abs=0.006)


def test_scans_that_go_wrong_together_get_a_wider_interval_than_single_ones() -> None:
    right = np.repeat(np.arange(40) < 34, 10).astype(np.float64)
    together = _mean(right, np.repeat(np.arange(40, dtype=np.int32), 10))
    single = _mean(right, np.arange(400, dtype=np.int32))
    # Ten alike count as one: the width grows by the root of ten.
    ratio = (together.upper - together.lower) / (single.upper - single.lower)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        groups = np.repeat(np.arange(60, dtype=np.int32), 3)
        right = np.repeat(random.random(60) < 0.8, 3).astype(np.float64)
        interval = _mean(right, groups)
        covered += interval.lower <= 0.8 <= interval.upper
    assert 86 <= covered <= 100


def test_the_same_scans_get_the_same_interval_every_time() -> None:
    right = (np.arange(50) < 40).astype(np.float64)
    groups = np.arange(50, dtype=np.int32)
    assert _mean(right, groups) == _mean(right, groups)


@pytest.mark.parametrize("groups", [1, 5, 60])
def test_a_share_of_all_or_none_has_the_exact_interval_of_its_groups(groups: int) -> None:
    every = estimate_share(1.0, np.ones(RESAMPLES), groups)
    none = estimate_share(0.0, np.zeros(RESAMPLES), groups)
    assert every.confidence_interval is not None
    assert none.confidence_interval is not None
    # Clopper and Pearson: the share at which so many hits have a chance of 2.5 %.
    lower = float(beta.ppf(0.025, groups, 1))
    assert every.confidence_interval.lower == pytest.approx(lower)
    assert every.confidence_interval.upper == 1
    assert none.confidence_interval.upper == pytest.approx(1 - lower)
    assert none.confidence_interval.lower == 0


def test_one_group_alone_gives_a_figure_without_an_interval() -> None:
    found = estimate_share(0.75, np.full(RESAMPLES, 0.75), 1)
    assert (found.value, found.standard_deviation, found.confidence_interval) == (0.75, None, None)


def test_resamples_without_the_scans_that_a_figure_needs_are_left_out() -> None:
    draws = np.array([np.nan, 0.2, 0.4, np.nan, 0.6])
    found = estimate(0.4, draws, 3)
    interval = found.confidence_interval
    assert interval is not None
    assert (interval.lower, interval.upper) == pytest.approx((0.21, 0.59))
    assert found.standard_deviation == pytest.approx(np.std([0.2, 0.4, 0.6]))


def test_as_they_are_every_scan_counts_once() -> None:
    np.testing.assert_array_equal(once_each(3), [[1, 1, 1]])


def test_a_thousand_resamples_of_many_scans_take_seconds_at_most() -> None:
    right = np.ones(20_000)
    start = time.process_time()
    _mean(right, np.arange(20_000, dtype=np.int32))
    assert time.process_time() - start < 30


def test_many_scans_are_resampled_a_few_at_a_time_and_in_the_same_way() -> None:
    groups = np.arange(5_000, dtype=np.int32)
    sizes: list[int] = []

    def first_scan(weights: Weights) -> NDArray[np.float64]:
        sizes.append(weights.size)
        return weights[:, 0]

    drawn = resample(groups, first_scan)
    at_once = np.random.default_rng(0).multinomial(5_000, np.full(5_000, 1 / 5_000), size=1_000)
    np.testing.assert_array_equal(drawn, at_once[:, 0])
    assert max(sizes) <= 100_000
