"""serving.classifier: decoded scans to labelled predictions."""

import base64
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brain_tumor import images
from brain_tumor.artifact import MODEL_INFO_FILE, VERSION_FOLDER
from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import read_scans
from brain_tumor.errors import ArtifactError, NotAcceptableError
from brain_tumor.scoring import HeatMaps, Scores, without_foreign
from brain_tumor.serving import classifier as module
from brain_tumor.serving.classifier import Classifier, load_classifier
from brain_tumor.serving.engine import Engine
from brain_tumor.serving.payloads import JSON, NPY, read_body
from brain_tumor.settings import Settings
from tests.bodies import body_of
from tests.classifiers import CLASS_NAMES, Recorder, model_info, stand_in
from tests.scans import encode, jpeg, noise, png, write_folder


def _fixed(*row: float) -> Classifier:
    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array([row] * len(pixels), np.float32)

    return Classifier(without_foreign(predict), model_info(thresholds={"confident": 0.6}))


def test_a_prediction_names_the_most_probable_class_and_all_probabilities_in_order() -> None:
    (prediction,) = _fixed(0.125, 0.75, 0.125).classify([noise(0)])
    assert (prediction.label, prediction.probability) == ("meningioma", 0.75)
    assert list(prediction.probabilities.items()) == list(
        zip(CLASS_NAMES, (0.125, 0.75, 0.125), strict=True)
    )
    assert json.loads(json.dumps(prediction.as_json())) == {
        "label": "meningioma",
        "probability": 0.75,
        "probabilities": {"glioma": 0.125, "meningioma": 0.75, "notumor": 0.125},
        "decision": "confident",
    }


@pytest.mark.parametrize(
    ("probability", "decision"), [(0.59, "uncertain"), (0.625, "confident"), (0.99, "confident")]
)
def test_a_probability_below_the_threshold_is_uncertain(probability: float, decision: str) -> None:
    rest = (1 - probability) / 2
    (prediction,) = _fixed(probability, rest, rest).classify([noise(0)])
    assert prediction.decision == decision


def _scored(probability: float, score: float, **thresholds: float) -> str:
    """Give the decision on a picture with these scores."""
    row = [probability, 1 - probability, 0]

    def scores(pixels: NDArray[np.uint8]) -> Scores:
        return Scores(
            np.array([row] * len(pixels), np.float32), np.full(len(pixels), score, np.float32)
        )

    (prediction,) = Classifier(scores, model_info(thresholds=thresholds)).classify([noise(0)])
    assert prediction.probability == pytest.approx(probability)
    return prediction.decision


def test_a_score_above_the_threshold_is_no_brain_mri_however_probable_its_class() -> None:
    assert _scored(0.99, 3.1, confident=0.6, foreign=3.0) == "not_brain_mri"
    assert _scored(0.55, 3.1, confident=0.6, foreign=3.0) == "not_brain_mri"
    assert _scored(0.99, 3.0, confident=0.6, foreign=3.0) == "confident"
    assert _scored(0.55, 3.0, confident=0.6, foreign=3.0) == "uncertain"


def test_a_model_without_that_threshold_calls_nothing_foreign() -> None:
    assert _scored(0.99, 1e6, confident=0.6) == "confident"


@pytest.mark.parametrize("foreign", [np.array([np.nan]), np.array([])])
def test_a_graph_whose_foreign_score_is_no_number_is_refused(foreign: NDArray[np.float32]) -> None:
    def scores(_: NDArray[np.uint8]) -> Scores:
        return Scores(np.array([[0.5, 0.25, 0.25]], np.float32), foreign)

    with pytest.raises(ArtifactError, match="wanted one number"):
        Classifier(scores, model_info()).warm_up()


def test_scans_of_any_size_are_scaled_to_the_networks_and_answered_in_order() -> None:
    classifier, recorder = stand_in()
    shapes = [(10, 300), (32, 32), (1, 1), (500, 20)]
    scans = [np.full(shape, 50 * n, np.uint8) for n, shape in enumerate(shapes)]
    predictions = classifier.classify(scans)
    assert recorder.pixels.shape == (4, 32, 32)
    np.testing.assert_array_equal(recorder.pixels[:, 0, 0], [0, 50, 100, 150])
    alone = [classifier.classify([scan])[0] for scan in scans]
    assert predictions == alone
    assert len({prediction.probability for prediction in predictions}) == 4


def test_a_large_request_is_predicted_in_batches_and_in_order() -> None:
    classifier, recorder = stand_in()
    scans = [np.full((4, 4), n, np.uint8) for n in range(100)]
    predictions = classifier.classify(scans)
    np.testing.assert_array_equal(recorder.pixels[:, 0, 0], range(100))
    assert max(map(len, recorder.batches)) <= 32
    assert predictions == [classifier.classify([scan])[0] for scan in scans]


def test_no_scans_give_no_predictions() -> None:
    classifier, recorder = stand_in()
    assert classifier.classify([]) == []
    assert recorder.batches == []


# --- Heat maps ---


def test_evidence_is_in_log_odds_and_its_mean_is_the_logit_over_the_temperature() -> None:
    given: list[NDArray[np.uint8]] = []
    maps = np.random.default_rng(0).normal(size=(1, 2, 3, 3)).astype(np.float32)

    def heat_maps(pixels: NDArray[np.uint8]) -> HeatMaps:
        given.append(pixels)
        return HeatMaps(np.ones((1, 3), np.float32), maps)

    info = model_info(temperature=2.0)
    evidence = Classifier(without_foreign(Recorder()), info, heat_maps).evidence(noise(0))
    np.testing.assert_array_equal(given[0], images.resize(noise(0), 32)[np.newaxis])
    assert list(evidence) == CLASS_NAMES
    for number, label in enumerate(CLASS_NAMES):
        assert evidence[label].shape == (2, 3)
        np.testing.assert_allclose(evidence[label], maps[0, ..., number] * 6 / 2, rtol=1e-5)
        assert evidence[label].mean() == pytest.approx(maps[..., number].sum() / 2, abs=1e-5)


def test_a_classifier_without_heat_maps_says_so() -> None:
    with pytest.raises(NotAcceptableError, match="no signature serving_heat_map"):
        _fixed(0.5, 0.25, 0.25).evidence(noise(0))


# --- The same pixels in training and in serving ---


def _npy(array: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def _seen_by_the_network(body: bytes, content_type: str, size: int) -> NDArray[np.uint8]:
    """Give the pixels that a predict function gets for the only scan of a request."""
    classifier, recorder = stand_in(image_size=size)
    items = read_body(body_of(body, content_type), images.MAX_PIXELS, 100).items
    classifier.classify([item for item in items if isinstance(item, np.ndarray)])
    (batch,) = recorder.batches
    assert len(batch) == 1
    return batch.squeeze(axis=0)


def _trained_on(path: Path, size: int) -> dict[str, NDArray[np.uint8]]:
    with Archive(path) as archive:
        table = read_scans(archive, size)
    return dict(zip(table.files, table.pixels[:], strict=True))


@pytest.mark.parametrize("size", [32, 128, 300])
def test_a_scan_reaches_the_network_in_serving_as_it_did_in_training(
    size: int, phantoms: Path
) -> None:
    trained_on = _trained_on(phantoms, size)
    with zipfile.ZipFile(phantoms) as archive:
        for file, wanted in list(trained_on.items())[::6]:
            data = archive.read(file)
            encoded = {"instances": [{"b64": base64.b64encode(data).decode()}]}
            numbers = {"instances": [images.decode(data).tolist()]}
            for body, content_type in (
                (data, "image/jpeg"),
                (data, ""),
                (json.dumps(encoded).encode(), JSON),
                (json.dumps(numbers).encode(), JSON),
                (_npy(images.decode(data)), NPY),
            ):
                seen = _seen_by_the_network(body, content_type, size)
                np.testing.assert_array_equal(seen, wanted)


def test_odd_files_too_reach_the_network_in_serving_as_they_did_in_training(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    members = {
        "a/colour.jpg": jpeg(1, 100, "RGB"),
        "a/cmyk.jpg": jpeg(2, 100, "CMYK"),
        "a/turned.jpg": encode(noise(3, 100), "JPEG", exif=exif),
        "a/16-bit.png": encode(noise(4, 100).astype(np.uint16) * 200, "PNG"),
        "b/transparent.png": png(5, 100, "RGBA"),
        "b/palette.gif": encode(noise(6, 100), "GIF"),
        "b/lossy.webp": encode(noise(7, 100), "WEBP"),
        "b/scan.tif": encode(noise(8, 100), "TIFF"),
    }
    trained_on = _trained_on(write_folder(tmp_path / "scans", members), 64)
    assert set(trained_on) == set(members)
    for file, data in members.items():
        seen = _seen_by_the_network(data, "application/x-image", 64)
        np.testing.assert_array_equal(seen, trained_on[file])


# --- Loading ---


def test_loading_proves_the_model_and_warms_up_every_batch_size_with_black_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(
        module,
        "load_engine",
        lambda *_: Engine("stand-in", "float32", "a test", without_foreign(recorder)),
    )
    info = model_info(image_size=48)
    model = write_folder(
        tmp_path,
        {
            MODEL_INFO_FILE: info.model_dump_json().encode(),
            f"{VERSION_FOLDER}/saved_model.pb": b"read by the engine alone",
        },
    )
    assert load_classifier(model, Settings(cores=4)).info == info
    assert [batch.shape for batch in recorder.batches] == [
        (count, 48, 48) for count in (1, 1, 2, 4, 8)
    ]
    assert not recorder.pixels.any()


@pytest.mark.parametrize("row", [(0.5, 0.5), (0.5, 0.5, 0.5), (0.25,) * 4, (float("nan"),) * 3])
def test_a_graph_that_does_not_fit_its_model_json_is_refused(row: tuple[float, ...]) -> None:
    with pytest.raises(ArtifactError, match="wanted 3 probabilities that sum to 1"):
        _fixed(*row).warm_up()
