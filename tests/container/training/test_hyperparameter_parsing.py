"""training.hyperparameter_parsing: strings of the platform to checked values."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_tumor.errors import HyperparameterError
from brain_tumor.training.hyperparameter_parsing import parse_hyperparameters
from brain_tumor.training.hyperparameter_schema import flat_schema, wanted
from brain_tumor.training.hyperparameters import Hyperparameters

FIELDS = Hyperparameters.model_fields
PROPERTIES = flat_schema(Hyperparameters)["properties"]

# What a user gives -> what the SDKs put into hyperparameters.json, as was seen: SDK 2's Estimator,
# the same with a script (it encodes each value), and SDK 3's ModelTrainer.
SDKS = [
    (10, "10", "10", "10"),
    (0.001, "0.001", "0.001", "0.001"),
    (1e-05, "1e-05", "1e-05", "1e-05"),
    ("10", "10", '"10"', "10"),
    ("small", "small", '"small"', "small"),
    (True, "True", "true", "true"),
    (False, "False", "false", "false"),
    (None, "None", "null", "null"),
    ([1, 2], "[1, 2]", "[1, 2]", "[1, 2]"),
    ({"a": 1}, "{'a': 1}", '{"a": 1}', '{"a": 1}'),
]
TAKEN = {
    "10": ("batch-size", 10),
    "0.001": ("learning-rate", 0.001),
    "1e-05": ("learning-rate", 1e-05),
    "small": ("backbone", "small"),
    "True": ("augment", True),
    "False": ("augment", False),
    # Left out: the default of the backbone.
    "None": ("epochs", 22),
}


def _toolkit(value: str) -> Any:
    """Decode a value as sagemaker-training does before it calls us."""
    try:
        return json.loads(value)
    except ValueError:
        return value


@pytest.mark.parametrize("row", SDKS, ids=lambda row: str(row[0]))
@pytest.mark.parametrize("sdk", [1, 2, 3])
@pytest.mark.parametrize("encoded", ["once", "twice"])
def test_what_each_sdk_makes_of_a_value_is_read_as_the_user_meant_it(
    row: tuple[Any, str, str, str], sdk: int, encoded: str
) -> None:
    written = str(row[sdk]) if encoded == "once" else json.dumps(row[sdk])
    for value in (written, _toolkit(written)):
        if str(row[0]) in TAKEN:
            name, meant = TAKEN[str(row[0])]
            read = parse_hyperparameters({name: value}).model_dump(by_alias=True)[name]
            assert (read, type(read)) == (meant, type(meant))
        else:
            # No hyperparameter is a list or a mapping.
            for name, field in PROPERTIES.items():
                with pytest.raises(HyperparameterError) as caught:
                    parse_hyperparameters({name: value})
                assert f"wanted {wanted(field)}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "field", "read"),
    [
        # As the platform stores them, and as the toolkit gives them after JSON-decoding.
        ("epochs", "3", "epochs", 3),
        ("epochs", '"3"', "epochs", 3),
        ("epochs", 3, "epochs", 3),
        ("epochs", 3.0, "epochs", 3),
        ("epochs", " 3 ", "epochs", 3),
        ("batch-size", "8", "batch_size", 8),
        ("batch_size", '"256"', "batch_size", 256),
        ("learning-rate", "9.8E-4", "learning_rate", 9.8e-4),
        ("learning_rate", "1e-05", "learning_rate", 1e-5),
        ("learning-rate", 1e-05, "learning_rate", 1e-5),
        ("learning-rate", "1", "learning_rate", 1.0),
        ("augment", "true", "augment", True),
        ("augment", "True", "augment", True),
        ("augment", '"true"', "augment", True),
        ("augment", True, "augment", True),
        ("augment", "False", "augment", False),
        ("augment", "false", "augment", False),
        ("augment", '"False"', "augment", False),
        ("augment", False, "augment", False),
        ("augment", "0", "augment", False),
        ("pretrained", "True", "pretrained", True),
        ("mixed_precision", "1", "mixed_precision", True),
        ("backbone", "small", "backbone", "small"),
        ("backbone", '"small"', "backbone", "small"),
        ("seed", "4294967295", "seed", 2**32 - 1),
        ("time-budget-minutes", "0.5", "time_budget_minutes", 0.5),
        ("mixed_precision", "None", "mixed_precision", None),
        ("mixed-precision", None, "mixed_precision", None),
        ("epochs", "null", "epochs", 22),
        # A whole number as a tuner may write it, and as it is after being encoded once more.
        ("batch-size", "32.0", "batch_size", 32),
        ("batch-size", "3.2e1", "batch_size", 32),
        ("batch-size", '"3.2E+1"', "batch_size", 32),
        ("image-size", '"\\"128\\""', "image_size", 128),
        ("backbone", '"\\"small\\""', "backbone", "small"),
        ("augment", "1.0", "augment", True),
        ("augment", "TRUE", "augment", True),
    ],
)
def test_a_value_is_read_however_the_platform_spells_it(
    name: str, value: Any, field: str, read: Any
) -> None:
    parsed = getattr(parse_hyperparameters({name: value}), field)
    assert (parsed, type(parsed)) == (read, type(read))


def test_all_are_optional() -> None:
    parsed = parse_hyperparameters({})
    defaults = {name: field.default for name, field in FIELDS.items()}
    of_the_backbone = {
        "pretrained": True,
        "epochs": 22,
        "members": 2,
        "lessons": 5,
        "learning_rate": 2.5e-4,
    }
    assert {name: getattr(parsed, name) for name in FIELDS} == {**defaults, **of_the_backbone}


@pytest.mark.parametrize("name", FIELDS)
def test_underscores_and_dashes_are_the_same(name: str) -> None:
    default = str(FIELDS[name].default)
    dashed = parse_hyperparameters({name.replace("_", "-"): default})
    assert dashed == parse_hyperparameters({name: default})


def test_what_the_platform_and_its_sdks_add_is_ignored() -> None:
    added = {
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": '"s3://x"',
        "sagemaker_region": '"eu-west-1"',
        "sagemaker_container_log_level": "20",
        "_tuning_objective_metric": "val_loss",
    }
    assert parse_hyperparameters({**added, "epochs": "7"}) == parse_hyperparameters({"epochs": 7})


def test_one_given_in_both_spellings_is_refused() -> None:
    with pytest.raises(HyperparameterError, match="'batch-size' is given twice"):
        parse_hyperparameters({"batch-size": "8", "batch_size": "16"})


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("epoch", "epochs"),
        ("learningrate", "learning-rate"),
        ("learning_rat", "learning-rate"),
        ("batchsize", "batch-size"),
        ("imagesize", "image-size"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(name: str, near: str) -> None:
    with pytest.raises(HyperparameterError, match=f"'{name}'; did you mean '{near}'"):
        parse_hyperparameters({name: "3"})


def test_an_unknown_name_near_none_is_answered_with_all_of_them() -> None:
    with pytest.raises(HyperparameterError, match="Unknown hyperparameter 'zzz'") as caught:
        parse_hyperparameters({"zzz": "3"})
    for name in FIELDS:
        assert name.replace("_", "-") in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "ten"),
        ("epochs", "0"),
        ("epochs", "-3"),
        ("epochs", "2.5"),
        ("epochs", "3.25e1"),
        ("epochs", "1e400"),
        ("epochs", "[" * 2500),
        ("epochs", ""),
        ("epochs", "10001"),
        ("epochs", [3]),
        ("epochs", True),
        ("learning-rate", True),
        ("batch-size", "0"),
        ("learning-rate", "0"),
        ("learning-rate", "-0.1"),
        ("learning-rate", "1.5"),
        ("learning-rate", "nan"),
        ("learning-rate", "inf"),
        ("label-smoothing", "1"),
        ("image-size", "31"),
        ("image-size", "513"),
        ("seed", "-1"),
        ("seed", "4294967296"),
        ("patience", "0"),
        ("backbone", "resnet"),
        ("augment", "perhaps"),
        ("time-budget-minutes", "0"),
        ("time-budget-minutes", "inf"),
        ("validation-share", "0"),
        ("validation-share", "0.9"),
        ("pretrained", "maybe"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(HyperparameterError) as caught:
        parse_hyperparameters({name: value})
    message = str(caught.value)
    reason = f"cannot be used: wanted {wanted(PROPERTIES[name])}"
    assert message.startswith(f"Hyperparameter {name}={value!r} {reason}")


def test_a_misspelt_choice_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(HyperparameterError, match=r"tiny; did you mean 'lite0'\?$"):
        parse_hyperparameters({"backbone": "lite-0"})


@pytest.mark.parametrize("value", ["true", "True", '"true"', True])
def test_pretrained_weights_are_refused_where_there_are_none(value: Any) -> None:
    with pytest.raises(HyperparameterError, match="'small' has no pretrained weights") as caught:
        parse_hyperparameters({"pretrained": value, "backbone": "small"})
    assert str(caught.value).startswith("Hyperparameter pretrained=")


def test_a_backbone_that_needs_its_weights_is_not_trained_from_scratch() -> None:
    with pytest.raises(HyperparameterError, match="backbone=small is the one"):
        parse_hyperparameters({"pretrained": "false"})


@pytest.mark.parametrize(
    ("given", "pretrained", "rate", "epochs", "members", "lessons"),
    [
        ({}, True, 2.5e-4, 22, 2, 5),
        ({"epochs": "6"}, True, 2.5e-4, 6, 2, 5),
        ({"epochs": "5"}, True, 2.5e-4, 5, 1, 0),
        ({"epochs": "4", "members": "4"}, True, 2.5e-4, 4, 4, 5),
        ({"members": "1"}, True, 2.5e-4, 22, 1, 0),
        ({"lessons": "0"}, True, 2.5e-4, 22, 2, 0),
        ({"lessons": "3", "members": "3"}, True, 2.5e-4, 22, 3, 3),
        ({"backbone": "small"}, False, 2e-3, 100, 1, 0),
        ({"backbone": "small", "members": "2"}, False, 2e-3, 100, 2, 5),
        ({"backbone": "convnext-tiny"}, True, 2.5e-4, 22, 2, 5),
        ({"backbone": "convnext-tiny", "pretrained": "false"}, False, 2e-3, 100, 1, 0),
        ({"backbone": "small", "learning-rate": "0.01", "epochs": "7"}, False, 0.01, 7, 1, 0),
    ],
)
def test_rate_epochs_members_and_lessons_follow_from_how_a_backbone_starts(
    given: dict[str, str], pretrained: bool, rate: float, epochs: int, members: int, lessons: int
) -> None:
    parameters = parse_hyperparameters(given)
    assert parameters.starts_pretrained is parameters.pretrained is pretrained
    assert parameters.peak_rate == parameters.learning_rate == rate
    assert parameters.most_epochs == parameters.epochs == epochs
    assert parameters.most_members == parameters.members == members
    assert parameters.most_lessons == parameters.lessons == lessons


def test_lessons_without_members_to_learn_from_are_refused() -> None:
    with pytest.raises(HyperparameterError, match="one member has no others") as caught:
        parse_hyperparameters({"members": "1", "lessons": "2"})
    assert str(caught.value).startswith("Hyperparameter lessons='2' cannot be used")


def test_more_members_than_epochs_are_refused() -> None:
    with pytest.raises(HyperparameterError, match="epochs is 2") as caught:
        parse_hyperparameters({"epochs": "2", "members": "3"})
    assert str(caught.value).startswith("Hyperparameter members='3' cannot be used")


@given(
    st.dictionaries(
        st.sampled_from([name.replace("_", "-") for name in FIELDS]),
        st.one_of(
            st.text(max_size=6),
            st.integers(),
            st.floats(),
            st.booleans(),
            st.none(),
            st.lists(st.integers(), max_size=2),
            st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
        ),
        max_size=4,
    )
)
@settings(deadline=None, max_examples=200)
def test_any_json_value_is_read_or_refused_but_never_a_crash(raw: dict[str, Any]) -> None:
    with suppress(HyperparameterError):
        parsed = parse_hyperparameters(raw)
        assert Hyperparameters.model_validate(parsed.model_dump(by_alias=True)) == parsed


@pytest.mark.parametrize(
    ("given", "epochs", "members", "rate"),
    [({}, 22, 2, 2.5e-4), ({"backbone": "small"}, 22, 2, 2.5e-4), ({"epochs": "3"}, 3, 1, 2.5e-4)],
)
def test_training_that_goes_on_from_a_former_model_has_the_defaults_of_fine_tuning(
    given: dict[str, str], epochs: int, members: int, rate: float
) -> None:
    parameters = parse_hyperparameters(given, continues=True)
    assert parameters.continues
    assert (parameters.epochs, parameters.members) == (epochs, members)
    assert parameters.learning_rate == rate
    # The head is not a new one, and no weights are ImageNet's.
    assert not parameters.starts_pretrained
