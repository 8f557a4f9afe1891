"""training.metrics: the lines that the platform's metric definitions match."""

import itertools
import re
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_tumor.training.metrics import (
    LEAK_FREE_ACCURACY,
    METRIC_DEFINITIONS,
    METRIC_NAMES,
    TEST_ACCURACY,
    Epoch,
    Validation,
)

EPOCH = Epoch(
    epoch=12,
    train_loss=0.41234567,
    train_accuracy=0.8125,
    val_loss=1.5,
    val_accuracy=1.0,
    learning_rate=3.2e-05,
    seconds=123.4,
)
figures = st.floats(min_value=0, max_value=1e30)
epochs = st.builds(
    Epoch,
    epoch=st.integers(1, 10_000),
    train_loss=figures,
    train_accuracy=figures,
    val_loss=figures,
    val_accuracy=figures,
    learning_rate=figures,
    seconds=figures,
)


def test_the_line_is_in_the_platforms_form() -> None:
    assert EPOCH.metric_line() == (
        "epoch=12; train_loss=0.412346; train_accuracy=0.8125; val_loss=1.5; val_accuracy=1; "
        "learning_rate=3.2e-05; seconds=123.4;"
    )


def test_the_finished_models_line_has_the_names_of_an_epochs_and_no_others() -> None:
    line = Validation(loss=3.2e-5, accuracy=0.9).metric_line()
    assert line == "val_loss=3.2e-05; val_accuracy=0.9;"
    matching = [d["Name"] for d in METRIC_DEFINITIONS if re.search(d["Regex"], line)]
    assert matching == ["val_loss", "val_accuracy"]


@pytest.mark.parametrize("figure", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_matched_by_no_definition(figure: str) -> None:
    line = replace(EPOCH, val_loss=float(figure)).metric_line()
    assert f"val_loss={figure};" in line
    matching = {d["Name"] for d in METRIC_DEFINITIONS if re.search(d["Regex"], line)}
    assert "val_loss" not in matching
    assert "train_loss" in matching


def test_no_name_ends_another_so_that_no_definition_matches_anothers_figure() -> None:
    for one, other in itertools.permutations((*METRIC_NAMES, "epoch"), 2):
        assert not one.endswith(other)


def test_every_definition_is_one_that_the_platform_takes() -> None:
    names = [definition["Name"] for definition in METRIC_DEFINITIONS]
    assert len(names) == len(set(names)) <= 20
    for definition in METRIC_DEFINITIONS:
        assert set(definition) == {"Name", "Regex"}
        assert len(definition["Name"]) <= 255
        assert len(definition["Regex"]) <= 500
        assert re.compile(definition["Regex"]).groups == 1


@given(epochs)
def test_each_definition_matches_exactly_its_own_figure(epoch: Epoch) -> None:
    line = epoch.metric_line()
    for definition in METRIC_DEFINITIONS:
        found = re.findall(definition["Regex"], line)
        if definition["Name"] in (TEST_ACCURACY, LEAK_FREE_ACCURACY):
            assert found == []
        else:
            wanted = asdict(epoch)[definition["Name"]]
            assert [float(figure) for figure in found] == [pytest.approx(wanted, rel=1e-5)]


@pytest.mark.parametrize("name", [TEST_ACCURACY, LEAK_FREE_ACCURACY])
def test_an_accuracy_line_is_matched_by_its_definition_alone(name: str) -> None:
    line = f"{name}=0.951;"
    matching = [d["Name"] for d in METRIC_DEFINITIONS if re.search(d["Regex"], line)]
    assert matching == [name]


@pytest.mark.parametrize(
    ("accuracy", "loss", "better"),
    [
        (0.9, 0.3, True),
        (0.7, 0.1, False),
        (0.8, 0.1, True),
        (0.8, 0.3, False),
        (0.8, 0.2, False),
    ],
)
def test_the_better_epoch_has_more_scans_right_and_the_loss_decides_only_where_as_many_are(
    accuracy: float, loss: float, better: bool
) -> None:
    kept = replace(EPOCH, val_accuracy=0.8, val_loss=0.2)
    assert replace(EPOCH, val_accuracy=accuracy, val_loss=loss).is_better_than(kept) is better
