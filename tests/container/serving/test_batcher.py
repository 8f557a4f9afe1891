"""serving.batcher: one queue between all requests and the engine."""

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.scoring import Scores
from brain_tumor.serving.batcher import Batcher, batch_sizes, largest_batch

Images = NDArray[np.uint8]


def _image(number: int) -> Images:
    """Give an image that tells its number."""
    return np.frombuffer(number.to_bytes(4, "big"), np.uint8).reshape(2, 2)


def _number(pixels: Images) -> int:
    return int.from_bytes(pixels.tobytes(), "big")


def _answers(images: Images) -> Scores:
    numbers = np.array([_number(image) for image in images], np.float32)
    return Scores(np.stack([numbers, numbers + 1], axis=1), -numbers)


class _Gate:
    """An engine that notes its batches and waits until it may answer."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.busy = threading.Event()
        self.batches: list[int] = []

    def __call__(self, images: Images) -> Scores:
        self.batches.append(len(images))
        self.busy.set()
        assert self.open.wait(30)
        return _answers(images)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads for requests."""
    with ThreadPoolExecutor(64) as threads:
        yield threads


def test_thousands_of_concurrent_requests_each_get_their_own_answer(
    pool: ThreadPoolExecutor,
) -> None:
    batches: list[int] = []

    def engine(images: Images) -> Scores:
        batches.append(len(images))
        return _answers(images)

    batcher = Batcher(engine)

    def request(number: int) -> None:
        numbers = range(number * 8, number * 8 + 1 + number % 5)
        scores = batcher(np.stack([_image(n) for n in numbers]))
        np.testing.assert_array_equal(scores.foreign, [-n for n in numbers])
        np.testing.assert_array_equal(scores.probabilities, [[n, n + 1] for n in numbers])

    list(pool.map(request, range(5000)))
    assert sum(batches) == sum(1 + number % 5 for number in range(5000))
    assert set(batches) <= {1, 2, 4, 8, 16}


def test_a_lone_request_does_not_wait_for_company() -> None:
    gate, told = _Gate(), list[tuple[int, float, float]]()
    gate.open.set()
    Batcher(gate, predicted=lambda *batch: told.append(batch))(np.stack([_image(1)]))
    assert gate.batches == [1]
    ((images, waited, took),) = told
    assert images == 1
    assert 0 <= waited <= 30
    assert 0 <= took <= 30


def test_what_waits_while_the_engine_works_is_predicted_together(
    pool: ThreadPoolExecutor,
) -> None:
    gate = _Gate()
    batcher = Batcher(gate)
    first = pool.submit(batcher, np.stack([_image(0)]))
    assert gate.busy.wait(30)
    others = [pool.submit(batcher, np.stack([_image(n)])) for n in range(1, 21)]
    while len(batcher._queue) < 20:
        pass
    gate.open.set()
    for number, answer in enumerate([first, *others]):
        assert answer.result(30).foreign == [-number]
    assert gate.batches == [1, 16, 4]


def test_an_image_that_cannot_be_scored_fails_alone(pool: ThreadPoolExecutor) -> None:
    gate = _Gate()

    def engine(images: Images) -> Scores:
        scores = gate(images)
        if any(_number(image) == 13 for image in images):
            raise ValueError("thirteen")
        return scores

    batcher = Batcher(engine)
    first = pool.submit(batcher, np.stack([_image(0)]))
    assert gate.busy.wait(30)
    others = {n: pool.submit(batcher, np.stack([_image(n)])) for n in range(10, 18)}
    while len(batcher._queue) < 8:
        pass
    gate.open.set()
    assert first.result(30).foreign == [0]
    for number, answer in others.items():
        if number == 13:
            with pytest.raises(ValueError, match="thirteen"):
                answer.result(30)
        else:
            assert answer.result(30).foreign == [-number]


@pytest.mark.parametrize("error", [RuntimeError("the cause"), SystemExit(1), MemoryError()])
def test_after_any_error_of_the_engine_the_next_request_is_answered(error: BaseException) -> None:
    errors = [error]

    def engine(images: Images) -> Scores:
        if errors:
            raise errors.pop()
        return _answers(images)

    batcher = Batcher(engine)
    with pytest.raises(type(error)):
        batcher(np.stack([_image(1)]))
    assert batcher(np.stack([_image(2)])).foreign == [-2]


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, [1]), (2, [1, 2]), (3, [1, 2]), (16, [1, 2, 4, 8, 16])]
)
def test_batches_have_few_sizes_so_that_all_can_be_warmed_up(
    largest: int, sizes: list[int]
) -> None:
    assert batch_sizes(largest) == sizes


@pytest.mark.parametrize(("cores", "largest"), [(1, 4), (2, 4), (4, 8), (8, 16), (96, 16)])
def test_every_core_has_two_images_of_the_largest_batch_within_bounds(
    cores: int, largest: int
) -> None:
    assert largest_batch(cores) == largest


# --- Its end, and how long it has been at work ---


def test_closing_answers_what_waits_ends_the_thread_and_lets_go_of_the_engine(
    pool: ThreadPoolExecutor,
) -> None:
    gate = _Gate()
    batcher = Batcher(gate)
    answers = [pool.submit(batcher, np.stack([_image(0)]))]
    assert gate.busy.wait(30)
    answers += [pool.submit(batcher, np.stack([_image(n)])) for n in range(1, 4)]
    while len(batcher._queue) < 3:
        pass
    closing = pool.submit(batcher.close)
    gate.open.set()
    closing.result(30)
    assert [float(answer.result(30).foreign[0]) for answer in answers] == [0, -1, -2, -3]
    assert not batcher._thread.is_alive()
    freed = weakref.ref(gate)
    del gate
    gc.collect()
    assert freed() is None
    with pytest.raises(RuntimeError, match="was closed"):
        batcher(np.stack([_image(1)]))


def test_it_tells_how_long_the_batch_of_now_has_been_running(pool: ThreadPoolExecutor) -> None:
    gate = _Gate()
    batcher = Batcher(gate)
    assert batcher.running_seconds == 0
    answer = pool.submit(batcher, np.stack([_image(0)]))
    assert gate.busy.wait(30)
    before = batcher.running_seconds
    while batcher.running_seconds <= before:
        pass
    gate.open.set()
    answer.result(30)
    batcher.close()
    assert batcher.running_seconds == 0
