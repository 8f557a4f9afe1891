"""serving.memory: whether another model fits in, told from what loads were seen to need."""

import pytest

from brain_tumor.errors import InsufficientMemoryError
from brain_tumor.serving import memory
from brain_tumor.serving.memory import (
    FIRST_NEED,
    HEAT_MAPS,
    LEAST_NEED,
    MARGIN,
    SHARE,
    MemoryBudget,
)

MB = 1_000_000


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect no garbage: after other tests that takes long, and here there is none."""
    monkeypatch.setattr(memory, "release_memory", lambda: None)


class _Process:
    """A process whose memory grows as the test says, and its budget."""

    def __init__(self, allowed: float) -> None:
        self.resident = 50 * MB
        self.models = 0
        self.budget = MemoryBudget(int(allowed), lambda: self.resident)

    def load(self, grows: int, files: int = 20 * MB, alone: bool = True) -> None:
        self.budget.require_room(files, self.models)
        self.resident += grows
        self.budget.loaded(files, alone)
        self.models += 1

    def unload(self, frees: int) -> None:
        self.resident -= frees
        self.models -= 1


def test_before_anything_was_measured_the_first_model_must_fit_by_a_guess() -> None:
    least = (50 * MB + FIRST_NEED + HEAT_MAPS) / SHARE
    _Process(least + MB).load(10 * MB)
    with pytest.raises(InsufficientMemoryError, match="needs about 350 MB"):
        _Process(least - MB).load(10 * MB)


def test_models_are_let_in_as_long_as_one_more_with_a_margin_fits() -> None:
    process = _Process(2600 * MB)
    process.load(250 * MB)
    for _ in range(8):
        process.load(160 * MB)
    with pytest.raises(InsufficientMemoryError, match="needs about 250 MB, 450 MB") as refused:
        process.load(160 * MB)
    limit = 2600 * MB * SHARE
    assert process.resident + MARGIN * 160 * MB + 10 * HEAT_MAPS > limit
    assert process.resident <= limit
    assert f"of the {limit / MB:.0f} MB" in str(refused.value)


def test_memory_that_was_given_back_is_there_for_the_next_model() -> None:
    process = _Process(960 * MB)
    process.load(250 * MB)
    process.load(160 * MB)
    process.load(160 * MB)
    with pytest.raises(InsufficientMemoryError):
        process.load(160 * MB)
    process.unload(160 * MB)
    process.load(160 * MB)


def test_of_a_model_with_larger_files_more_is_expected() -> None:
    process = _Process(1200 * MB)
    process.load(250 * MB)
    process.load(100 * MB)
    with pytest.raises(InsufficientMemoryError, match="needs about 1300 MB"):
        process.load(0, files=200 * MB)
    process.load(100 * MB, files=10 * MB)


def test_a_model_that_took_more_than_there_is_is_told_and_does_not_keep_out_others() -> None:
    process = _Process(1000 * MB)
    with pytest.raises(InsufficientMemoryError, match="took 900 MB, more than there is"):
        process.load(900 * MB)
    process.resident -= 900 * MB
    process.load(160 * MB)


def test_what_others_took_meanwhile_keeps_out_no_model_for_good() -> None:
    process = _Process(2000 * MB)
    process.load(250 * MB)
    process.load(1160 * MB, alone=False)
    # The gigabyte was that of requests.
    process.resident -= 1000 * MB
    process.load(160 * MB)
    process.load(160 * MB)


def test_what_others_gave_back_meanwhile_lets_in_no_model_that_does_not_fit() -> None:
    process = _Process(1100 * MB)
    process.resident = 500 * MB
    process.load(-100 * MB, alone=False)
    process.load(-100 * MB, alone=False)
    process.resident = 650 * MB
    with pytest.raises(InsufficientMemoryError, match="needs about 350 MB, 100 MB"):
        process.load(0)


def test_a_load_that_fitted_into_memory_not_yet_given_back_lets_in_no_model_of_no_size() -> None:
    process = _Process(1000 * MB)
    process.load(100 * MB)
    process.load(2 * MB)
    process.resident = int(1000 * MB * SHARE - LEAST_NEED - 3 * HEAT_MAPS) + MB
    with pytest.raises(InsufficientMemoryError, match="needs about 150 MB, 100 MB"):
        process.load(0)
