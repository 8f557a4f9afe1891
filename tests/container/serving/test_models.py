"""serving.models: names, folders and the order of loads and unloads, with stand-ins for models."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from brain_tumor.errors import (
    ArtifactError,
    InsufficientMemoryError,
    ModelLoadedError,
    ModelNotLoadedError,
    UnusableModelError,
)
from brain_tumor.serving import memory
from brain_tumor.serving import models as module
from brain_tumor.serving.memory import MemoryBudget
from brain_tumor.serving.models import Models

GB = 1_000_000_000


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect no garbage: after other tests that takes long, and here there is none."""
    monkeypatch.setattr(memory, "release_memory", lambda: None)
    monkeypatch.setattr(module, "release_memory", lambda: None)


class _Model:
    """A stand-in that tells its folder and whether it was closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.closed = False

    def close(self) -> None:
        self.closed = True


def _models(
    folder: Path, load: Callable[[Path], _Model] = _Model, budget: MemoryBudget | None = None
) -> Models[_Model]:
    return Models(folder, load, budget or MemoryBudget(10 * GB, lambda: 0))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads for requests."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_a_model_is_loaded_used_listed_and_unloaded_by_its_name(tmp_path: Path) -> None:
    models = _models(tmp_path)
    url = str(tmp_path / "a1b2" / "model")
    models.load("a1b2", url)
    with models.use("a1b2") as model:
        assert model.folder == (tmp_path / "a1b2" / "model").resolve()
    assert [(m.name, m.url) for m in models.page()[0]] == [("a1b2", url)]
    assert models.describe("a1b2").url == url
    models.unload("a1b2")
    assert model.closed
    assert models.page() == ([], None)


def test_what_is_not_loaded_is_told_apart_from_all_other_faults(tmp_path: Path) -> None:
    models = _models(tmp_path)
    for ask in (models.describe, models.unload, lambda name: models.use(name).__enter__()):
        with pytest.raises(ModelNotLoadedError, match="'none'"):
            ask("none")


def test_a_name_that_is_taken_is_refused_and_its_model_stays(tmp_path: Path) -> None:
    models = _models(tmp_path)
    models.load("a", str(tmp_path / "one"))
    with pytest.raises(ModelLoadedError, match="'a' is taken"):
        models.load("a", str(tmp_path / "two"))
    assert models.describe("a").url == str(tmp_path / "one")


def test_of_two_loads_of_one_name_at_once_one_wins_while_other_models_answer(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def load(folder: Path) -> _Model:
        if folder.name == "slow":
            begun.set()
            assert may_end.wait(30)
        return _Model(folder)

    models = _models(tmp_path, load)
    models.load("other", str(tmp_path / "fast"))
    first = pool.submit(models.load, "a", str(tmp_path / "slow"))
    assert begun.wait(30)
    with pytest.raises(ModelLoadedError):
        models.load("a", str(tmp_path / "slow"))
    with models.use("other") as other:
        assert not other.closed
    with pytest.raises(ModelNotLoadedError), models.use("a"):
        pass
    models.unload("other")
    may_end.set()
    first.result(30)
    assert [model.name for model in models.page()[0]] == ["a"]


def test_unloading_waits_for_requests_in_flight_and_refuses_new_ones_at_once(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    models = _models(tmp_path)
    models.load("a", str(tmp_path / "a"))
    with models.use("a") as model:
        unloading = pool.submit(models.unload, "a")
        while models.page()[0]:
            pass
        with pytest.raises(ModelNotLoadedError), models.use("a"):
            pass
        with pytest.raises(ModelLoadedError):
            models.load("a", str(tmp_path / "a"))
        assert not model.closed
        assert not unloading.done()
    unloading.result(30)
    assert model.closed
    models.load("a", str(tmp_path / "a"))


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "a\\b", "a\nb", "a\0", "x" * 1025])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableModelError, match="cannot be used"):
        _models(tmp_path).load(name, str(tmp_path / "a"))


@pytest.mark.parametrize(
    "url",
    ["{root}", "{root}/", "{root}/../model", "{root}/a/../../model", "/etc", "", ".", "..", "a\0"],
)
def test_a_url_that_does_not_lie_below_the_models_folder_is_refused(
    url: str, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    root.mkdir()
    with pytest.raises(UnusableModelError, match="does not lie below"):
        _models(root).load("a", url.format(root=root))


def test_symlinks_are_followed_before_a_url_is_judged(tmp_path: Path) -> None:
    root, real = tmp_path / "models", tmp_path / "real"
    (real / "a" / "model").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    root.symlink_to(real)
    (real / "out").symlink_to(tmp_path / "outside")
    (real / "circle").symlink_to(real / "circle")
    models = _models(root)
    models.load("a", str(root / "a" / "model"))
    for url in (root / "out", root / "circle" / "model"):
        with pytest.raises(UnusableModelError, match="does not lie below"):
            models.load("b", str(url))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ArtifactError("holds no model"), UnusableModelError),
        (MemoryError(), InsufficientMemoryError),
        (RuntimeError("our own fault"), RuntimeError),
    ],
)
def test_after_a_load_that_failed_the_name_is_free(
    fault: Exception, told: type[Exception], tmp_path: Path
) -> None:
    faults = [fault]

    def load(folder: Path) -> _Model:
        if faults:
            raise faults.pop()
        return _Model(folder)

    models = _models(tmp_path, load)
    with pytest.raises(told):
        models.load("a", str(tmp_path / "a"))
    models.load("a", str(tmp_path / "a"))
    assert len(models.all()) == 1


def test_every_model_is_listed_once_page_by_page_whatever_comes_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    models = _models(tmp_path)
    for number in range(6):
        models.load(f"m{number:04}", "m")
    names, token = [], ""
    for _ in range(2):
        page, following = models.page(token)
        names += [model.name for model in page]
        # What was listed goes, so that all the others move up.
        models.unload(page[0].name)
        token = following or ""
    assert names == [f"m{number:04}" for number in range(6)]
    assert following is None


def test_a_model_that_takes_more_memory_than_there_is_is_closed_again(tmp_path: Path) -> None:
    resident = iter([0, 2 * GB])
    made: list[_Model] = []

    def load(folder: Path) -> _Model:
        made.append(_Model(folder))
        return made[0]

    models = _models(tmp_path, load, MemoryBudget(GB, lambda: next(resident, 2 * GB)))
    with pytest.raises(InsufficientMemoryError, match="took 2000 MB, more than there is"):
        models.load("a", str(tmp_path / "a"))
    assert made[0].closed
    assert models.all() == []


class _Watched(MemoryBudget):
    """A budget that tells which loads were alone."""

    def __init__(self) -> None:
        super().__init__(10 * GB, lambda: 0)
        self.alone: list[bool] = []

    def loaded(self, files: int, alone: bool) -> None:
        self.alone.append(alone)


def test_a_load_during_which_anything_is_used_or_unloaded_does_not_count_as_alone(
    tmp_path: Path,
) -> None:
    meanwhile: list[Callable[[], None]] = []

    def load(folder: Path) -> _Model:
        for act in meanwhile:
            act()
        return _Model(folder)

    budget = _Watched()
    models = _models(tmp_path, load, budget)
    names = (str(number) for number in count())

    def load_one() -> str:
        name = next(names)
        models.load(name, str(tmp_path / name))
        return name

    def use(name: str) -> None:
        with models.use(name):
            pass

    first, second = load_one(), load_one()
    with models.use(first):
        load_one()
    meanwhile.append(partial(use, first))
    load_one()
    meanwhile[:] = [partial(models.unload, second)]
    load_one()
    meanwhile.clear()
    load_one()
    assert budget.alone == [True, True, False, False, False, True]
