"""training.evaluation: figures of a classifier on labelled scans."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor import artifact
from brain_tumor.artifact import MODEL_INFO_FILE, VERSION_FOLDER
from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import read_scans
from brain_tumor.data.table import label_indices
from brain_tumor.errors import ArtifactError, DataError
from brain_tumor.training.evaluation import (
    ALL,
    NEW_PICTURES,
    NOTHING_ALIKE,
    evaluate_model,
    evaluate_table,
    overlap,
)
from tests.classifiers import Recorder, model_info
from tests.evaluations import evaluation_of, mask
from tests.scans import encode, png, write_folder

NAMES = ["a", "b", "c"]

# Eight of ten right: a 3 of 4, b 3 of 3, c 2 of 3.
EVALUATION = evaluation_of([0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1, 1, 2, 2, 0])


def test_rows_of_the_confusion_matrix_are_labels_and_columns_predictions() -> None:
    np.testing.assert_array_equal(EVALUATION.confusion_matrix(), [[3, 1, 0], [0, 3, 0], [1, 0, 2]])
    assert EVALUATION.accuracy == pytest.approx(0.8)


def test_a_class_that_no_scan_has_keeps_its_row() -> None:
    np.testing.assert_array_equal(
        evaluation_of([0, 2], [0, 2]).confusion_matrix(), [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    )


def test_without_a_leak_there_is_one_set_and_it_is_the_headline() -> None:
    none = np.zeros(10, np.bool_)
    clean = replace(EVALUATION, leaks=none, resembles=none)
    for evaluation in (EVALUATION, clean):
        assert list(evaluation.subsets()) == [ALL]
        assert evaluation.headline() == (ALL, evaluation)
        assert not evaluation.leaky
    assert clean.leak_free() is clean


def test_without_knowledge_of_training_nothing_is_called_leak_free() -> None:
    assert EVALUATION.leak_free() is None


def test_with_a_leak_three_sets_stand_side_by_side_and_the_strictest_is_the_headline() -> None:
    leaky = replace(EVALUATION, leaks=mask(10, 0, 1, 2), resembles=mask(10, 0, 1, 2, 4, 5))
    sets = leaky.subsets()
    files = {name: part.files if part else None for name, part in sets.items()}
    assert files == {
        ALL: EVALUATION.files,
        NEW_PICTURES: [f"{n}.png" for n in range(3, 10)],
        NOTHING_ALIKE: [f"{n}.png" for n in (3, 6, 7, 8, 9)],
    }
    name, headline = leaky.headline()
    assert name == NOTHING_ALIKE
    assert headline.accuracy == pytest.approx(3 / 5)
    np.testing.assert_array_equal(headline.labels, [0, 1, 2, 2, 2])
    free = leaky.leak_free()
    assert free is not None
    assert free.files == headline.files


def test_a_copy_of_a_training_picture_is_never_leak_free_whatever_its_group() -> None:
    leaky = replace(EVALUATION, leaks=mask(10, 0), resembles=mask(10, 1))
    assert leaky.headline()[1].files == [f"{n}.png" for n in range(2, 10)]


@pytest.mark.parametrize(
    ("leaks", "resembles", "headline"),
    [
        (mask(10, 0, 1), np.ones(10, np.bool_), NEW_PICTURES),
        (np.ones(10, np.bool_), np.ones(10, np.bool_), ALL),
    ],
)
def test_when_no_scan_is_leak_free_the_next_strictest_set_is_the_headline(
    leaks: NDArray[np.bool_], resembles: NDArray[np.bool_], headline: str
) -> None:
    leaky = replace(EVALUATION, leaks=leaks, resembles=resembles)
    assert leaky.headline()[0] == headline
    assert leaky.subsets()[NOTHING_ALIKE] is None
    assert leaky.leak_free() is None


def test_rows_keep_what_belongs_to_them() -> None:
    part = replace(EVALUATION, leaks=mask(10, 4), resembles=mask(10, 4, 9)).rows(np.array([9, 4]))
    assert part.files == ["9.png", "4.png"]
    assert part.labels.tolist() == [2, 1]
    assert part.groups.tolist() == [9, 4]
    assert part.leaks is not None
    assert part.resembles is not None
    assert (part.leaks.tolist(), part.resembles.tolist()) == ([False, True], [True, True])
    assert len(part) == len(part.pixels) == len(part.probabilities) == 2


def test_a_seen_picture_and_a_seen_group_are_told_apart(tmp_path: Path) -> None:
    members = {f"a/{n}.png": png(n, 16) for n in range(6)}
    with Archive(write_folder(tmp_path / "scans", members)) as archive:
        table = read_scans(archive, 16)
    table = replace(
        table,
        pictures=np.array([0, 1, 2, 0, 3, 4], np.int32),
        groups=np.array([0, 1, 2, 0, 1, 3], np.int32),
    )
    leaks, resembles = overlap(table.rows([3, 4, 5]), [table.rows([0]), table.rows([1, 2])])
    assert leaks.tolist() == [True, False, False]
    assert resembles.tolist() == [True, True, False]


def test_a_table_is_predicted_row_by_row_with_its_pixels_and_labels(tmp_path: Path) -> None:
    members = {f"{'ac'[n % 2]}/{n:03}.png": png(n, 16) for n in range(150)}
    with Archive(write_folder(tmp_path / "scans", members)) as archive:
        table = read_scans(archive, 16)
    predict = Recorder()
    evaluation = evaluate_table(predict, table, NAMES, "val")
    np.testing.assert_array_equal(predict.pixels, table.pixels[:])
    assert max(map(len, predict.batches)) < 150
    assert (evaluation.files, evaluation.channel) == (table.files, "val")
    np.testing.assert_array_equal(evaluation.labels, [0] * 75 + [2] * 75)
    np.testing.assert_array_equal(evaluation.labels, label_indices(table, NAMES))
    wanted: NDArray[np.float32] = Recorder()(table.pixels[:])
    np.testing.assert_array_equal(evaluation.probabilities, wanted)
    np.testing.assert_array_equal(evaluation.groups, table.groups)
    assert evaluation.leaks is None


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


def test_an_archive_without_a_readable_scan_is_named_with_a_cause(tmp_path: Path) -> None:
    model = write_folder(
        tmp_path / "model",
        {
            MODEL_INFO_FILE: model_info(class_names=["a", "b"]).model_dump_json().encode(),
            f"{VERSION_FOLDER}/saved_model.pb": b"",
        },
    )
    scans = write_folder(tmp_path / "d", {"a/1.png": b"no image"})
    with pytest.raises(DataError, match=r"no scan that can be read; .* a/1\.png: The first bytes"):
        evaluate_model(model, scans)


def test_a_model_is_evaluated_with_its_own_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "load_predict", lambda _: Recorder())
    info = model_info(thresholds={"confident": 0.4})
    model = write_folder(
        tmp_path / "model",
        {
            MODEL_INFO_FILE: info.model_dump_json().encode(),
            f"{VERSION_FOLDER}/saved_model.pb": b"",
        },
    )
    black, white = (encode(np.full((20, 20), grey, np.uint8), "PNG") for grey in (0, 255))
    scans = write_folder(tmp_path / "d", {"glioma/1.png": black, "notumor/1.png": white})
    evaluation, read, _ = evaluate_model(model, scans)
    assert (evaluation.threshold, evaluation.accuracy, evaluation.channel) == (0.4, 1.0, "d")
    assert read == info
