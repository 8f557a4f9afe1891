"""The models of a multi-model endpoint, by the opaque names that the platform gives them.

A name is only ever compared. Files are read below one folder and never written. Knows no HTTP.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from brain_tumor.errors import (
    ArtifactError,
    InsufficientMemoryError,
    ModelLoadedError,
    ModelNotLoadedError,
    UnusableModelError,
)
from brain_tumor.resources import release_memory, resident_memory
from brain_tumor.serving.memory import MemoryBudget

log = logging.getLogger(__name__)

PAGE = 100
"""Models of a page of the list, as Multi Model Server gives them."""
_NAME_LENGTH = 1024


class Closable(Protocol):
    """What can be given back."""

    def close(self) -> None:
        """Let go of what takes memory once the work that was begun is done."""


M = TypeVar("M", bound=Closable)


@dataclass(frozen=True)
class Listed:
    """A loaded model as it is listed."""

    name: str
    url: str


class _Slot(Generic[M]):
    """A name that is taken: the model, and how many requests are using it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.model: M | None = None
        self.users = 0


class Models(Generic[M]):
    """Loads, lists, lends and unloads models; safe to call from many threads.

    Each name is free, loading, loaded or unloading, and other names do not wait for it, except
    that models are loaded one after the other: each load takes all cores, and what it adds to the
    memory can be told only of one.
    """

    def __init__(self, folder: Path, load: Callable[[Path], M], budget: MemoryBudget) -> None:
        """Begin without a model.

        Args:
            folder: the models' files lie below it.
            load: makes a model of its folder, or raises `ArtifactError`.
            budget: what memory they may take.
        """
        self._folder = folder
        self._load = load
        self._budget = budget
        self._slots: dict[str, _Slot[M]] = {}
        self._changed = threading.Condition()
        self._one_load = threading.Lock()
        self._at_work = 0
        self._begun = 0

    def load(self, name: str, url: str) -> None:
        """Load the model in the folder `url` under a name; returns once it can predict.

        Raises:
            ModelLoadedError: the name is taken; the model may still be loading or unloading.
            UnusableModelError: the name or folder is not allowed, or holds no model.
            InsufficientMemoryError: it does not fit in beside the others.
        """
        _check_name(name)
        folder = self._below(url)
        with self._changed:
            if name in self._slots:
                raise ModelLoadedError(f"The name {_short(name)} is taken; unload its model first.")
            slot = self._slots[name] = _Slot[M](url)
        try:
            with self._one_load:
                model = self._load_within_budget(folder)
        except BaseException:
            with self._changed:
                del self._slots[name]
            raise
        with self._changed:
            slot.model = model

    def page(self, after: str = "") -> tuple[list[Listed], str | None]:
        """List loaded models in the order of their names.

        Args:
            after: the token that came with the page before; empty for the first one.

        Returns:
            At most `PAGE` models, and the token of the next page, None after the last one. A model
            that is there all the time is listed once, whatever comes and goes meanwhile.
        """
        with self._changed:
            slots = self._slots.items()
            found = [Listed(n, slot.url) for n, slot in slots if slot.model and n > after]
        found.sort(key=lambda model: model.name)
        return found[:PAGE], found[PAGE - 1].name if len(found) > PAGE else None

    def describe(self, name: str) -> Listed:
        """Return a loaded model's name and folder.

        Raises:
            ModelNotLoadedError: it is not loaded.
        """
        with self._changed:
            slot, _ = self._loaded(name)
            return Listed(name, slot.url)

    def all(self) -> list[M]:
        """Return the loaded models."""
        with self._changed:
            return [slot.model for slot in self._slots.values() if slot.model]

    @contextmanager
    def use(self, name: str) -> Iterator[M]:
        """Lend a model; it stays loaded until the block ends.

        Raises:
            ModelNotLoadedError: it is not loaded.
        """
        with self._changed:
            slot, model = self._loaded(name)
            slot.users += 1
        try:
            with self._work():
                yield model
        finally:
            with self._changed:
                slot.users -= 1
                self._changed.notify_all()

    def unload(self, name: str) -> None:
        """Unload a model; returns once its memory is free.

        New requests for it are refused at once, those in flight are waited for.

        Raises:
            ModelNotLoadedError: it is not loaded.
        """
        with self._changed:
            slot, model = self._loaded(name)
            slot.model = None
            self._changed.wait_for(lambda: slot.users == 0)
        before = resident_memory()
        try:
            with self._work():
                model.close()
                release_memory()
        finally:
            with self._changed:
                del self._slots[name]
        freed = (before - resident_memory()) / 1e6
        log.info("Model %s unloaded: %.0f MB given back", _short(name), freed)

    @contextmanager
    def _work(self) -> Iterator[None]:
        """Note that memory comes and goes which is not that of a load."""
        with self._changed:
            self._at_work += 1
            self._begun += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1

    def _loaded(self, name: str) -> tuple[_Slot[M], M]:
        slot = self._slots.get(name)
        if slot is None or slot.model is None:
            raise ModelNotLoadedError(f"No model is loaded under the name {_short(name)}.")
        return slot, slot.model

    def _load_within_budget(self, folder: Path) -> M:
        start = time.monotonic()
        files = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        with self._changed:
            idle, begun = not self._at_work, self._begun
        self._budget.require_room(files, len(self.all()))
        try:
            model = self._load(folder)
        except ArtifactError as error:
            raise UnusableModelError(str(error)) from error
        except MemoryError as error:
            raise InsufficientMemoryError("Memory ran out while the model was loaded.") from error
        try:
            self._budget.loaded(files, alone=idle and begun == self._begun)
        except InsufficientMemoryError:
            model.close()
            release_memory()
            raise
        log.info("Model in %s ready after %.1f s", folder, time.monotonic() - start)
        return model

    def _below(self, url: str) -> Path:
        """Return the folder that a url names.

        Raises:
            UnusableModelError: it does not lie below the models' folder, symlinks resolved.
        """
        root = self._folder.resolve()
        # A zero byte, or symlinks in a circle.
        with suppress(ValueError, OSError, RuntimeError):
            folder = (root / url).resolve()
            if folder != root and folder.is_relative_to(root):
                return folder
        raise UnusableModelError(f"The url {_short(url)} does not lie below {self._folder}.")


def _check_name(name: str) -> None:
    # It comes back as a part of a path, where none of these can stand.
    if not 0 < len(name) <= _NAME_LENGTH or name in (".", "..") or not name.isprintable():
        raise UnusableModelError(
            f"The model_name {_short(name)} cannot be used; wanted 1 to {_NAME_LENGTH} printable "
            "characters."
        )
    if "/" in name or "\\" in name:
        raise UnusableModelError(f"The model_name {_short(name)} cannot be used: it is a path.")


def _short(text: str) -> str:
    return repr(text[:100])
