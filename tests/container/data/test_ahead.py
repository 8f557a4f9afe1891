"""data.ahead: work done ahead, within bounds."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from brain_tumor.data.ahead import map_ahead


def test_results_come_in_order_and_many_are_worked_on_at_the_same_time() -> None:
    together = threading.Barrier(4)

    def work(number: int) -> int:
        together.wait(timeout=30)
        return number * number

    with ThreadPoolExecutor(4) as pool:
        assert list(map_ahead(pool, work, range(20), 4)) == [n * n for n in range(20)]


def test_of_a_long_stream_only_so_many_are_taken_as_may_wait() -> None:
    taken = []

    def stream() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, abs, stream(), 5)
        for number in range(10):
            assert next(results) == number
            assert len(taken) <= number + 6


def test_an_error_is_raised_in_its_place() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, lambda n: 1 // n, [1, 0], 5)
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
