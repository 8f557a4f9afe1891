"""Which scans an epoch shows: near-duplicate groups and classes evenly, copies in turn.

A series of neighbouring slices, or eighty copies of one picture, would otherwise be most of what a
class is learnt from.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_EVENNESS = 0.5
"""0 leaves shares as they are, 1 makes them equal; between groups and between classes."""


class Sampler:
    """Draws the rows of each epoch; an epoch has as many scans as there are distinct pictures."""

    def __init__(
        self,
        pictures: NDArray[np.int32],
        groups: NDArray[np.int32],
        labels: Sequence[str],
        seed: int,
    ) -> None:
        """Take the picture, the near-duplicate group and the class of each row."""
        self._seed = seed
        # The rows of a picture stand side by side.
        self._order = np.argsort(pictures, kind="stable")
        _, self._first = np.unique(pictures[self._order], return_index=True)
        self._end = np.append(self._first[1:], len(self._order))
        rows = self._order[self._first]
        self._shares = _shares(groups[rows], [labels[row] for row in rows])
        self.scans = len(rows)

    def epoch(self, number: int) -> NDArray[np.int32]:
        """Draw the rows of epoch `number`, (scans,), in random order; the same each time.

        Systematic sampling: a picture whose share is worth one scan or more is surely drawn.
        """
        rng = np.random.default_rng((self._seed, number))
        positions = (np.arange(self.scans) + rng.random()) / self.scans
        drawn = np.searchsorted(np.cumsum(self._shares), positions, side="right")
        pictures = rng.permutation(np.minimum(drawn, self.scans - 1))
        copies = (self._order[self._first[p] : self._end[p]] for p in pictures)
        return np.array([rng.choice(rows) for rows in copies], np.int32)


def _shares(groups: NDArray[np.int32], labels: Sequence[str]) -> NDArray[np.float64]:
    """Share of each picture, summing to 1."""
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shares = sizes[inverse] ** -_EVENNESS
    _, kinds, counts = np.unique(labels, return_inverse=True, return_counts=True)
    totals = np.bincount(kinds, shares)
    wanted = (counts / len(labels)) ** (1 - _EVENNESS)
    shares *= (wanted / totals)[kinds]
    result: NDArray[np.float64] = shares / shares.sum()
    return result
