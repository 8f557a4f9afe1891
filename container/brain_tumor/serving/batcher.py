"""One queue between all requests and the engine: images that wait together are predicted together.

Greedy: whatever waits when the engine is free becomes a batch, and nothing ever waits for company,
so that a lone request is as fast as without it. Timed batching adds its delay to every request.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_tumor.scoring import Scores, ScoresFn

LARGEST_BATCH = 16


def largest_batch(cores: int) -> int:
    """Return how many images are predicted together at most on so many cores.

    On two cores an image of the default network costs the same processor time alone and among 16,
    while each doubling costs memory for its feature maps and lets the first of a batch wait for
    the last (docs/serving.md). More cores were not measured; two images a core keep all busy.
    """
    return min(LARGEST_BATCH, max(4, 2 * cores))


class _Waiting(NamedTuple):
    pixels: NDArray[np.uint8]
    answer: "Future[tuple[NDArray[np.float32], np.float32]]"
    since: float


def batch_sizes(largest: int = LARGEST_BATCH) -> list[int]:
    """Return the sizes that batches have: powers of two, so that few shapes need warming up."""
    return [2**power for power in range(largest.bit_length()) if 2**power <= largest]


def _closed(_: NDArray[np.uint8]) -> Scores:
    raise RuntimeError("The batcher was closed.")


class Batcher:
    """Scores images as `scores` does, called from one thread of its own; safe for many callers."""

    def __init__(
        self,
        scores: ScoresFn,
        largest: int = LARGEST_BATCH,
        predicted: Callable[[int, float, float], None] = lambda *_: None,
    ) -> None:
        """Start the thread.

        Args:
            scores: the engine; it is never called twice at the same time.
            largest: the most images of a batch.
            predicted: called with the size of each batch that was scored, the seconds that its
                first image waited, and those that the engine took.
        """
        self._predicted = predicted
        self._scores = scores
        self._sizes = batch_sizes(largest)
        self._queue: deque[_Waiting] = deque()
        self._arrived = threading.Condition()
        self._closed = False
        self._began: float | None = None
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def __call__(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score (n, size, size) images; blocks until all are done.

        Raises:
            Exception: what the engine raised for the first image that it could not score.
            RuntimeError: it was closed.
        """
        now = time.monotonic()
        waiting = [_Waiting(image, Future(), now) for image in pixels]
        with self._arrived:
            if self._closed:
                raise RuntimeError("The batcher was closed.")
            self._queue.extend(waiting)
            self._arrived.notify()
        rows, foreign = zip(*(image.answer.result() for image in waiting), strict=True)
        return Scores(np.stack(rows), np.array(foreign, np.float32))

    @property
    def running_seconds(self) -> float:
        """How long the engine has been at work on the batch of now; 0 where there is none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def close(self) -> None:
        """Answer what waits, end the thread, and let go of the engine, so that it can be freed."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()
        self._thread.join()
        self._scores = _closed

    def _run(self) -> None:
        while batch := self._take():
            self._began = time.monotonic()
            self._predict(batch)
            self._began = None

    def _take(self) -> list[_Waiting]:
        """Wait for images and take a batch of them; it is empty after the last one of all."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return []
            size = max(size for size in self._sizes if size <= len(self._queue))
            return [self._queue.popleft() for _ in range(size)]

    def _predict(self, batch: list[_Waiting]) -> None:
        began = time.monotonic()
        try:
            scores = self._scores(np.stack([image.pixels for image in batch]))
        # Whatever it is, it must reach those who wait, and the thread must live on.
        except BaseException as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            # Each alone, so that an image that cannot be scored fails alone.
            for image in batch:
                self._predict([image])
            return
        self._predicted(len(batch), began - batch[0].since, time.monotonic() - began)
        for image, row, foreign in zip(batch, *scores, strict=True):
            image.answer.set_result((row, foreign))
