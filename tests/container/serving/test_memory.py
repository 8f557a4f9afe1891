"""serving.memory: whether another model fits in, told from what loads were seen to need."""

import pytest

from brain_tumor.errors import InsufficientMemoryError
from brain_tumor.serving import memory
from brain_tumor.serving.memory import FIRST_NEED, MARGIN, SHARE, MemoryBudget

MB = 1_000_000


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect no garbage: after other tests that takes long, and here there is none."""
    monkeypatch.setattr(memory, "release_memory", lambda: None)


class _Process:
    """A process whose memory grows as the test says, and its budget."""

    def __init__(self, allowed: float) -> None:
        self.resident = 50 * MB
        self.budget = MemoryBudget(int(allowed), lambda: self.resident)

    def load(self, grows: int, files: int = 20 * MB) -> None:
        self.budget.require_room(files)
        self.resident += grows
        self.budget.loaded(files)


def test_before_anything_was_measured_the_first_model_must_fit_by_a_guess() -> None:
    least = (50 * MB + FIRST_NEED) / SHARE
    _Process(least + MB).load(10 * MB)
    with pytest.raises(InsufficientMemoryError, match="needs about 300 MB"):
        _Process(least - MB).load(10 * MB)


def test_models_are_let_in_as_long_as_one_more_with_a_margin_fits() -> None:
    process = _Process(2000 * MB)
    process.load(250 * MB)
    for _ in range(8):
        process.load(160 * MB)
    with pytest.raises(InsufficientMemoryError, match="needs about 200 MB and") as refused:
        process.load(160 * MB)
    limit = 2000 * MB * SHARE
    assert process.resident + MARGIN * 160 * MB > limit
    assert process.resident <= limit
    assert f"of the {limit / MB:.0f} MB" in str(refused.value)


def test_memory_that_was_given_back_is_there_for_the_next_model() -> None:
    process = _Process(800 * MB)
    process.load(250 * MB)
    process.load(160 * MB)
    process.load(160 * MB)
    with pytest.raises(InsufficientMemoryError):
        process.load(160 * MB)
    process.resident -= 160 * MB
    process.load(160 * MB)


def test_of_a_model_with_larger_files_more_is_expected() -> None:
    process = _Process(1200 * MB)
    process.load(250 * MB)
    process.load(100 * MB)
    with pytest.raises(InsufficientMemoryError, match="needs about 1250 MB"):
        process.load(0, files=200 * MB)
    process.load(100 * MB, files=10 * MB)


def test_a_model_that_took_more_than_there_is_is_told_and_does_not_keep_out_others() -> None:
    process = _Process(1000 * MB)
    with pytest.raises(InsufficientMemoryError, match="took 900 MB, more than there is"):
        process.load(900 * MB)
    process.resident -= 900 * MB
    process.load(160 * MB)
