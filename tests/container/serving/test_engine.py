"""serving.engine: which runtime serves a model, in which precision, and that they agree."""

import importlib.util
import logging
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from brain_tumor import artifact
from brain_tumor.artifact import CHECK_FILE, Check, load_check, load_info, load_scores
from brain_tumor.errors import ArtifactError, SettingsError
from brain_tumor.images import resize
from brain_tumor.serving import agreement, first_look
from brain_tumor.serving import engine as module
from brain_tumor.serving.agreement import first_look_error, measure
from brain_tumor.serving.engine import load_engine
from brain_tumor.serving.first_look import exact_where_doubtful
from brain_tumor.training.export import Servable
from brain_tumor.training.foreign.detector import Detector, fit_detector
from brain_tumor.training.foreign.feature_maps import watch
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import build_network
from brain_tumor.training.quantisation import quantised
from tests.classifiers import model_info
from tests.scans import noise

SIZE, NAMES = 64, ["glioma", "meningioma", "notumor", "pituitary"]
SCANS = np.stack([resize(noise(seed), SIZE) for seed in range(40)])


def _save(folder: Path, backbone: str, detect: bool, check: bool = True) -> Path:
    """Save an untrained network whose answers are drawn apart."""
    keras.utils.set_random_seed(1)
    parameters = Hyperparameters(image_size=SIZE, backbone=backbone)
    network = build_network(parameters, len(NAMES))
    logits = np.asarray(network(SCANS[..., np.newaxis], training=False))
    network.layers[-1].bias.assign(-logits.mean(axis=0))
    detector: Detector | None = fit_detector(network, SCANS, SCANS[:20], 0) if detect else None
    eight_bit = quantised(watch(network), SCANS)
    servable = Servable(network, float(logits.std(axis=0).max()), SIZE, detector, eight_bit)
    thresholds = {"confident": 0.0} | ({"foreign": detector.threshold} if detector else {})
    info = model_info(class_names=NAMES, image_size=SIZE, thresholds=thresholds)
    artifact.save(folder, servable, info, SCANS[:6] if check else None)
    return folder


@pytest.fixture(scope="module", params=[("lite0", False), ("small", True)], ids=str)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a model folder."""
    backbone, detect = request.param
    return _save(tmp_path_factory.mktemp("engine") / "model", backbone, detect)


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """Give a copy of it that may be spoilt."""
    return Path(shutil.copytree(model, tmp_path / "model"))


def _has_bfloat16() -> bool:
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_openvino_gives_tensorflows_answers_in_float32(model: Path) -> None:
    wanted = load_scores(model)(SCANS)
    engine = load_engine(model, "openvino", "float32")
    assert (engine.name, engine.precision) == ("openvino", "float32")
    scores = engine.scores(SCANS)
    np.testing.assert_allclose(scores.probabilities, wanted.probabilities, atol=1e-4)
    np.testing.assert_allclose(scores.foreign, wanted.foreign, rtol=1e-3, atol=1e-3)
    assert scores.probabilities.dtype == scores.foreign.dtype == np.float32
    # What is compared is not the same of every scan.
    assert wanted.probabilities.std(axis=0).max() > 0.01


def test_every_batch_size_gives_the_same_answers_and_earlier_ones_are_left_alone(
    model: Path,
) -> None:
    scores = load_engine(model, "openvino", "float32").scores
    whole = scores(SCANS)
    kept = whole.probabilities.copy()
    for count in (1, 2, 3, 8, 16):
        part = scores(SCANS[:count])
        np.testing.assert_allclose(part.probabilities, kept[:count], atol=1e-5)
        np.testing.assert_allclose(part.foreign, whole.foreign[:count], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(whole.probabilities, kept)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a model folder whose model tells what is foreign, so that it has first looks."""
    return _save(tmp_path_factory.mktemp("engine") / "model", "small", detect=True)


FAST = [
    "int8",
    pytest.param(
        "bfloat16",
        marks=pytest.mark.skipif(not _has_bfloat16(), reason="this processor has no bfloat16"),
    ),
]


def _answers_as_tensorflow(scores: artifact.ScoresFn, model: Path) -> None:
    wanted, given = load_scores(model)(SCANS), scores(SCANS)
    assert np.abs(given.probabilities - wanted.probabilities).max() <= 0.05
    threshold = load_info(model).thresholds["foreign"]
    np.testing.assert_array_equal(given.foreign > threshold, wanted.foreign > threshold)


def test_auto_takes_int8_where_the_check_holds_and_stays_within_its_bound(watched: Path) -> None:
    engine = load_engine(watched, "openvino")
    assert engine.precision == "int8"
    assert "log-odds off by 0." in engine.why
    _answers_as_tensorflow(engine.scores, watched)


@pytest.mark.parametrize("precision", FAST)
def test_fast_arithmetic_computes_otherwise_and_still_tells_what_tensorflow_tells(
    precision: Any, watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(watched, "openvino", precision)
    assert engine.precision == precision
    _answers_as_tensorflow(engine.scores, watched)
    # Everything is clear: nothing is computed again in float32.
    monkeypatch.setattr(agreement, "SURELY_CLEAR", -1.0)
    monkeypatch.setattr(first_look, "_FOREIGN_MARGIN", -math.inf)
    alone = load_engine(watched, "openvino", precision).scores(SCANS).probabilities
    difference = np.abs(alone - load_scores(watched)(SCANS).probabilities).max()
    assert difference > 1e-5


def test_where_fast_arithmetic_does_not_hold_the_check_float32_serves_and_says_why(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "FIRST_LOOK_BOUND", -1.0)
    engine = load_engine(watched, "openvino")
    assert engine.precision == "float32"
    assert "not int8: does not hold the model's check" in engine.why
    # Asked for, it is taken all the same.
    assert load_engine(watched, "openvino", "int8").precision == "int8"


def test_a_model_without_a_first_look_is_served_in_float32_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "SIGNATURES", artifact.SIGNATURES[:3])
    folder = _save(tmp_path / "model", "small", detect=True)
    engine = load_engine(folder, "openvino")
    assert engine.precision == "float32"
    assert "not int8: the model was saved without it" in engine.why
    wanted = load_scores(folder)(SCANS).foreign
    np.testing.assert_allclose(engine.scores(SCANS).foreign, wanted, rtol=1e-3, atol=1e-3)
    with pytest.raises(ArtifactError, match="PRECISION=int8, but not int8: the model was saved"):
        load_engine(folder, "openvino", "int8")


def test_what_is_perhaps_not_clear_or_foreign_is_computed_again_exactly() -> None:
    rows = np.array([[0.96, 0.04], [0.6, 0.4], [0.94, 0.06], [0.01, 0.99]], np.float32)
    foreign = np.array([1.9, 0, 0, 2.1], np.float32)
    seen: list[NDArray[np.uint8]] = []

    def exact(images: NDArray[np.uint8]) -> artifact.Scores:
        seen.append(images)
        return artifact.Scores(np.full((1, 2), 0.5, np.float32), np.full(1, 7, np.float32))

    def fast(images: NDArray[np.uint8]) -> artifact.Scores:
        return artifact.Scores(rows[: len(images)].copy(), foreign[: len(images)].copy())

    scores = exact_where_doubtful(fast, exact, foreign_threshold=3)(SCANS[:4])
    again = [0.5, 0.5]
    np.testing.assert_array_equal(
        scores.probabilities, np.array([rows[0], again, again, again], np.float32)
    )
    np.testing.assert_array_equal(scores.foreign, np.array([1.9, 7, 7, 7], np.float32))
    np.testing.assert_array_equal(np.concatenate(seen), SCANS[1:4])


def test_a_model_without_a_check_is_served_in_float32(watched: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(watched, tmp_path / "model"))
    (copy / CHECK_FILE).unlink()
    engine = load_engine(copy)
    assert (engine.name, engine.precision) == ("openvino", "float32")
    assert "not int8: no check is recorded with the model" in engine.why


def _another_models_check(folder: Path) -> None:
    check = load_check(folder)
    assert check is not None
    others = np.roll(check.probabilities, 1, axis=1)
    np.savez(folder / CHECK_FILE, images=check.images, probabilities=others)


@pytest.mark.parametrize("engine", ["auto", "openvino", "tensorflow"])
def test_no_engine_serves_a_model_that_it_does_not_answer_as_recorded(
    engine: Any, copy: Path
) -> None:
    _another_models_check(copy)
    with pytest.raises(ArtifactError, match=r"otherwise than TensorFlow.*two models"):
        load_engine(copy, engine, "float32")


def _damaged_graph(folder: Path) -> None:
    (folder / "1/saved_model.pb").write_bytes(b"\xff no protocol buffer")


def _no_weights(folder: Path) -> None:
    shutil.rmtree(folder / "1/variables")


def _damaged_check(folder: Path) -> None:
    (folder / CHECK_FILE).write_bytes(b"no zip")


@pytest.mark.parametrize("spoil", [_damaged_graph, _no_weights, _damaged_check])
@pytest.mark.parametrize("engine", ["auto", "openvino", "tensorflow"])
def test_a_damaged_model_is_refused_with_a_sentence_by_every_engine(
    engine: Any, spoil: Callable[[Path], None], copy: Path
) -> None:
    spoil(copy)
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_engine(copy, engine)


def test_auto_falls_back_to_tensorflow_where_openvino_fails_and_says_so(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> NDArray[np.float32]:
        raise ArtifactError("an operation that it does not know")

    monkeypatch.setattr("brain_tumor.serving.openvino_engine.load", fail)
    with caplog.at_level(logging.WARNING):
        engine = load_engine(model)
    assert (engine.name, engine.why) == ("tensorflow", "OpenVINO does not serve this model")
    assert "an operation that it does not know" in caplog.text


def test_auto_takes_tensorflow_where_there_is_a_gpu(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GPU", tmp_path)
    engine = load_engine(model)
    assert (engine.name, engine.precision, engine.why) == (
        "tensorflow",
        "float32",
        "there is a GPU",
    )
    np.testing.assert_array_equal(
        engine.scores(SCANS).probabilities, load_scores(model)(SCANS).probabilities
    )


@pytest.mark.parametrize(
    ("missing", "taken"), [("openvino", "tensorflow"), ("tensorflow", "openvino")]
)
def test_auto_takes_the_engine_that_is_installed(
    missing: str, taken: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == missing else find(n))
    engine = load_engine(model)
    assert engine.name == taken
    assert "is not installed" in engine.why


def test_the_image_that_only_serves_uses_openvino_also_beside_a_gpu(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: find(n) if n != "tensorflow" else None
    )
    monkeypatch.setattr(module, "_GPU", tmp_path)
    assert load_engine(model).name == "openvino"


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_an_engine_that_is_asked_for_and_not_installed_is_named(
    name: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=f"BRAIN_TUMOR_ENGINE={name}, which is not installed"):
        load_engine(model, name)


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_fast_arithmetic_is_refused_where_tensorflow_is_asked_for(
    precision: Any, model: Path
) -> None:
    with pytest.raises(SettingsError, match=f"BRAIN_TUMOR_PRECISION={precision}"):
        load_engine(model, "tensorflow", precision)


def test_a_nan_never_agrees(watched: Path) -> None:
    check = load_check(watched)
    assert check is not None
    scores = artifact.without_foreign(lambda images: np.full((len(images), 4), np.nan, np.float32))
    assert not measure(scores, check).holds(1e9)
    assert not first_look_error(scores, check) <= 1e9


def test_the_error_of_a_first_look_is_the_median_of_how_far_log_odds_are_off() -> None:
    recorded = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], np.float32)
    check = Check(SCANS[:3], recorded, recorded)
    error = 0.3 * np.array([1, 2, 5])[:, np.newaxis]
    given = 1 / (1 + np.exp(-(np.log(recorded / (1 - recorded)) + error)))
    rows = iter(given.astype(np.float32))
    off = artifact.without_foreign(lambda _: next(rows)[np.newaxis])
    assert first_look_error(off, check) == pytest.approx(0.6, abs=1e-4)
    assert first_look_error(off, check._replace(first_look=None)) == math.inf


def test_serving_with_openvino_loads_neither_tensorflow_nor_what_only_training_needs(
    model: Path,
) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from brain_tumor.serving.app import create_app\n"
        "from brain_tumor.serving.classifier import load_classifier\n"
        "from brain_tumor.settings import Settings\n"
        f"classifier = load_classifier(Path({str(model)!r}), Settings())\n"
        "assert classifier.classify([np.zeros((30, 20), np.uint8)])\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib', 'scipy', 'h5py'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
