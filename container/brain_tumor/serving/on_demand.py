"""Heat maps from a graph of its own, which is loaded when the first one is asked for.

Few requests ask for one, so that start and memory of all others stay what they are.
"""

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import NotAcceptableError
from brain_tumor.scoring import HeatMaps, HeatMapsFn


def unavailable(_: NDArray[np.uint8]) -> HeatMaps:
    """Answer for a model that has no heat maps.

    Raises:
        NotAcceptableError: always.
    """
    raise NotAcceptableError(
        "image/png cannot be given: the model has no signature serving_heat_map. Usual cause: it "
        "was saved by an earlier version. Train it again, or ask for application/json."
    )


class OnDemand:
    """Gives heat maps as the function does that `load` returns; safe for many callers."""

    def __init__(self, load: Callable[[], HeatMapsFn | None]) -> None:
        """Load nothing yet.

        Args:
            load: called at the first request, and again after it failed; None where the model has
                no heat maps.
        """
        self._load = load
        self._heat_maps: HeatMapsFn = self._first
        self._one_at_a_time = threading.Lock()
        self._began: float | None = None

    def __call__(self, pixels: NDArray[np.uint8]) -> HeatMaps:
        """Give the heat maps of (n, size, size) images.

        Raises:
            NotAcceptableError: the model has none.
            Exception: what loading it raised.
        """
        # Also when it is loaded: an inference request of OpenVINO serves one caller.
        with self._one_at_a_time:
            self._began = time.monotonic()
            try:
                return self._heat_maps(pixels)
            finally:
                self._began = None

    @property
    def running_seconds(self) -> float:
        """How long the heat maps of now, or their loading, have been running; 0 where none are."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def _first(self, pixels: NDArray[np.uint8]) -> HeatMaps:
        self._heat_maps = self._load() or unavailable
        return self._heat_maps(pixels)
