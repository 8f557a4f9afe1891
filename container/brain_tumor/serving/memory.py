"""How much memory loaded models may take together, and whether another one fits in."""

from collections.abc import Callable
from dataclasses import dataclass

from brain_tumor.errors import InsufficientMemoryError
from brain_tumor.resources import release_memory, resident_memory

SHARE = 0.85
"""Part of the allowed memory that models may fill: the rest is for bodies, decoded scans and
gunicorn's own process, for at the limit the kernel ends the container."""
FIRST_NEED = 300_000_000
"""Bytes that a model is taken to need before any was measured; the first one of the default network
took 244 MB, the runtime among them."""
LEAST_NEED = 100_000_000
"""Bytes that a model is taken to need at least: one of the default network took 172 MB."""
HEAT_MAPS = 50_000_000
"""Bytes that are kept for the heat maps of each model, which come later, and may come for each of
them; 47 MB were measured (docs/heat_map.md)."""
MARGIN = 1.25
"""How much more than the largest load so far the next one is taken to need."""

_MB = 1_000_000


@dataclass(frozen=True)
class _Load:
    grew: int
    """Bytes that the process grew by."""
    files: int
    """Bytes of the model's files."""


class MemoryBudget:
    """What is allowed, and what loads were seen to need; for one load at a time.

    Learnt is what the process grew by while nothing else was at work: what requests to other models
    take or give back meanwhile would count as the model's, and stay learnt for good. The first load
    also loads the runtime, so the second one is the first that tells what a model needs.
    """

    def __init__(self, allowed: int, resident: Callable[[], int] = resident_memory) -> None:
        """Begin without knowledge.

        Args:
            allowed: bytes that the container may use.
            resident: gives the bytes that this process holds.
        """
        self._limit = int(allowed * SHARE)
        self._resident = resident
        self._before = 0
        self._first: _Load | None = None
        self._largest: _Load | None = None

    def require_room(self, files: int, others: int) -> None:
        """Make sure that a model fits in, then note from where its load starts.

        Args:
            files: bytes of the model's files; of a larger one than was seen, more is expected.
            others: how many models are loaded.

        Raises:
            InsufficientMemoryError: it would not.
        """
        release_memory()
        self._before = self._resident()
        need, kept = self._need(files) + HEAT_MAPS, others * HEAT_MAPS
        if self._before + need + kept > self._limit:
            raise InsufficientMemoryError(
                f"The model needs about {need / _MB:.0f} MB, {kept / _MB:.0f} MB are kept for the "
                f"others' heat maps and {self._in_use()}. Unload another one first."
            )

    def loaded(self, files: int, alone: bool) -> None:
        """Learn from the load that `require_room` let in.

        Args:
            files: bytes of the model's files.
            alone: nothing else was at work meanwhile.

        Raises:
            InsufficientMemoryError: it took more than there is; the model must be unloaded again.
        """
        resident = self._resident()
        load = _Load(resident - self._before, files)
        # Nothing is learnt from one that does not stay: it would keep out smaller ones for ever.
        if resident > self._limit:
            raise InsufficientMemoryError(
                f"The model took {load.grew / _MB:.0f} MB, more than there is: {self._in_use()}."
            )
        if alone and self._first is None:
            self._first = load
        elif alone and (self._largest is None or load.grew > self._largest.grew):
            self._largest = load
        # To read and compile a graph takes a fifth more than to keep it.
        release_memory()

    def _need(self, files: int) -> float:
        known = self._largest or self._first
        if known is None:
            return FIRST_NEED
        return max(LEAST_NEED, MARGIN * known.grew * max(1.0, files / max(1, known.files)))

    def _in_use(self) -> str:
        return (
            f"{self._resident() / _MB:.0f} of the {self._limit / _MB:.0f} MB that models may fill "
            "are in use"
        )
