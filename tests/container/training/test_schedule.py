"""training.schedule: how far a run has come, and how large its steps are."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_tumor.training.schedule import Progress, learning_rate_at


@given(st.floats(0, 1), st.floats(1e-6, 1))
def test_the_learning_rate_stays_between_a_hundredth_and_the_peak(
    fraction: float, peak: float
) -> None:
    assert peak / 100 <= learning_rate_at(fraction, peak) * (1 + 1e-9)
    assert learning_rate_at(fraction, peak) <= peak * (1 + 1e-9)


def test_the_learning_rate_rises_for_a_twentieth_of_the_run_and_falls_after() -> None:
    rates = [learning_rate_at(step / 1000, 0.1) for step in range(1001)]
    assert rates[50] == pytest.approx(0.1)
    assert all(a <= b for a, b in itertools.pairwise(rates[:51]))
    assert all(a >= b for a, b in itertools.pairwise(rates[50:]))
    assert rates[25] == pytest.approx(0.05)
    assert rates[525] == pytest.approx(0.05)
    assert [rates[0], rates[-1]] == pytest.approx([0.001, 0.001])


def test_without_a_time_budget_only_steps_count() -> None:
    progress = Progress(8, None, clock=itertools.count(0, 1000).__next__)
    fractions = []
    for progress.step in range(10):
        fractions.append(progress.fraction())
    assert fractions == [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8, 1, 1]


def test_with_a_time_budget_whichever_is_further_counts() -> None:
    now = [100.0]
    progress = Progress(10, 60.0, clock=lambda: now[0])
    assert progress.fraction() == 0
    now[0] += 30
    assert (progress.seconds(), progress.fraction()) == (30, 0.5)
    progress.step = 8
    assert progress.fraction() == 0.8
    now[0] += 600
    assert progress.fraction() == 1
