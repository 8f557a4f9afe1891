"""training.evaluation: figures of a classifier on labelled scans."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.artifact import MODEL_INFO_FILE, VERSION_FOLDER
from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import read_scans
from brain_tumor.errors import ArtifactError, DataError
from brain_tumor.training.evaluation import (
    Evaluation,
    evaluate_model,
    evaluate_table,
    label_indices,
    model_quality,
)
from tests.classifiers import Recorder, model_info
from tests.scans import png, write_folder

NAMES = ["a", "b", "c"]


def _evaluation(labels: list[int], predicted: list[int]) -> Evaluation:
    probabilities = np.full((len(labels), 3), 0.1, np.float32)
    probabilities[np.arange(len(labels)), predicted] = 0.8
    return Evaluation(
        class_names=NAMES,
        files=[f"{n}.png" for n in range(len(labels))],
        labels=np.array(labels, np.int32),
        probabilities=probabilities,
        channel="test",
    )


# Eight of ten right: a 3 of 4, b 3 of 3, c 2 of 3.
EVALUATION = _evaluation([0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1, 1, 2, 2, 0])


def test_rows_of_the_confusion_matrix_are_labels_and_columns_predictions() -> None:
    np.testing.assert_array_equal(EVALUATION.confusion_matrix(), [[3, 1, 0], [0, 3, 0], [1, 0, 2]])
    assert EVALUATION.accuracy == pytest.approx(0.8)


def test_a_class_that_no_scan_has_keeps_its_row() -> None:
    np.testing.assert_array_equal(
        _evaluation([0, 2], [0, 2]).confusion_matrix(), [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    )


def test_the_figures_are_in_sagemakers_model_quality_form() -> None:
    quality = model_quality(EVALUATION)
    figures = quality["multiclass_classification_metrics"]
    assert quality["dataset"] == {"item_count": 10, "channel": "test"}
    assert figures["confusion_matrix"]["a"] == {"a": 3, "b": 1, "c": 0}
    assert figures["accuracy"]["value"] == pytest.approx(0.8)
    assert figures["accuracy_best_constant_classifier"]["value"] == pytest.approx(0.4)
    # By hand: precision a 3/4, b 3/4, c 1; recall a 3/4, b 1, c 2/3; weights 4, 3, 3.
    assert figures["weighted_precision"]["value"] == pytest.approx(0.825)
    assert figures["weighted_recall"]["value"] == pytest.approx(0.8)
    f1 = {"a": 3 / 4, "b": 6 / 7, "c": 4 / 5}
    assert figures["macro_f1"]["value"] == pytest.approx(sum(f1.values()) / 3)
    weighted = (4 * f1["a"] + 3 * f1["b"] + 3 * f1["c"]) / 10
    assert figures["weighted_f1"]["value"] == pytest.approx(weighted)
    recalls = {name: share["value"] for name, share in figures["recall"].items()}
    assert recalls == pytest.approx({"a": 0.75, "b": 1.0, "c": 2 / 3})


def test_shares_have_wilsons_interval_and_their_standard_deviation() -> None:
    accuracy = model_quality(EVALUATION)["multiclass_classification_metrics"]["accuracy"]
    # Wilson 1927 for 8 of 10, z = 1.96, by hand.
    assert accuracy["confidence_interval"] == {
        "level": 0.95,
        "lower": pytest.approx(0.4902, abs=1e-4),
        "upper": pytest.approx(0.9433, abs=1e-4),
    }
    assert accuracy["standard_deviation"] == pytest.approx(np.sqrt(0.8 * 0.2 / 10))


def test_all_right_is_not_reported_as_certain() -> None:
    figures = model_quality(_evaluation([0, 1, 2], [0, 1, 2]))["multiclass_classification_metrics"]
    interval = figures["accuracy"]["confidence_interval"]
    assert interval["lower"] < 0.5
    assert interval["upper"] == pytest.approx(1)


def test_a_class_without_scans_has_no_recall_instead_of_a_made_up_one() -> None:
    figures = model_quality(_evaluation([0, 0], [0, 1]))["multiclass_classification_metrics"]
    assert set(figures["recall"]) == {"a"}


def test_a_table_is_predicted_row_by_row_with_its_pixels_and_labels(tmp_path: Path) -> None:
    members = {f"{'ac'[n % 2]}/{n:03}.png": png(n, 16) for n in range(150)}
    with Archive(write_folder(tmp_path / "scans", members)) as archive:
        table = read_scans(archive, 16)
    predict = Recorder()
    evaluation = evaluate_table(predict, table, NAMES, "val")
    np.testing.assert_array_equal(predict.pixels, table.pixels)
    assert max(map(len, predict.batches)) < 150
    assert (evaluation.files, evaluation.channel) == (table.files, "val")
    np.testing.assert_array_equal(evaluation.labels, [0] * 75 + [2] * 75)
    np.testing.assert_array_equal(evaluation.labels, label_indices(table, NAMES))
    wanted: NDArray[np.float32] = Recorder()(table.pixels)
    np.testing.assert_array_equal(evaluation.probabilities, wanted)


def test_a_model_is_not_evaluated_on_classes_that_it_has_not(tmp_path: Path) -> None:
    model = write_folder(
        tmp_path / "model",
        {
            MODEL_INFO_FILE: model_info(class_names=["a", "b"]).model_dump_json().encode(),
            f"{VERSION_FOLDER}/saved_model.pb": b"not looked at before the classes are",
        },
    )
    scans = write_folder(tmp_path / "d", {"a/1.png": png(1), "z/1.png": png(2), "y/1.png": png(3)})
    with pytest.raises(DataError, match=r"the model has not: y, z \(the model has a, b\)"):
        evaluate_model(model, scans)


def test_a_missing_model_is_named_before_the_scans_are_read(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.json does not exist"):
        evaluate_model(tmp_path, tmp_path / "no-scans.zip")
