"""training.schedule: how far a run has come, and how large its steps are."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_tumor.training.schedule import Deadline, Progress, learning_rate_at


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
    for _ in range(10):
        fractions.append(progress.fraction())
        progress.advance()
    assert fractions == [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8, 1, 1]


def test_with_a_time_budget_whichever_is_further_counts() -> None:
    now = [100.0]
    progress = Progress(10, 60.0, clock=lambda: now[0])
    progress.advance()
    now[0] += 30
    assert progress.fraction() == 0.5
    for _ in range(7):
        progress.advance()
    assert progress.fraction() == 0.8
    now[0] += 600
    assert progress.fraction() == 1


def test_a_slow_first_step_changes_no_learning_rate_of_a_run_that_fits_into_its_time() -> None:
    now = [0.0]
    progress = Progress(10, 60.0, clock=lambda: now[0])
    fractions = []
    for seconds in (30, 2, 2, 2, 2, 2, 2, 2, 2, 2):
        fractions.append(progress.fraction())
        now[0] += seconds
        progress.advance()
    assert fractions == [step / 10 for step in range(10)]


def test_a_first_step_that_takes_all_the_time_is_the_last() -> None:
    now = [0.0]
    progress = Progress(10, 60.0, clock=lambda: now[0])
    now[0] += 70
    progress.advance()
    assert progress.fraction() == 1


def test_a_deadline_keeps_time_for_what_follows_training() -> None:
    now = [1000.0]
    deadline = Deadline(1000, clock=lambda: now[0])
    now[0] += 100
    assert deadline.left() == 900
    assert deadline.for_training() == 750
    assert not deadline.is_near()
    now[0] += 870
    assert deadline.is_near()
    assert deadline.for_training() == 0
