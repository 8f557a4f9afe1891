"""serving.engine: which runtime serves a model, in which precision, and that they agree."""

import importlib.util
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor import artifact, scoring
from brain_tumor.artifact import CHECK_FILE, load_check, load_info, load_scores
from brain_tumor.errors import ArtifactError, NotAcceptableError, SettingsError
from brain_tumor.images import resize
from brain_tumor.resources import has_bfloat16, has_vnni
from brain_tumor.serving import engine as module
from brain_tumor.serving import first_look, openvino_engine, tensorflow_engine
from brain_tumor.serving.agreement import (
    SURELY_CLEAR,
    FirstLookAgreement,
    measure,
    measure_first_look,
)
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
    """Save an untrained network to which about half of the scans are clear."""
    keras.utils.set_random_seed(1)
    parameters = Hyperparameters(image_size=SIZE, backbone=backbone)
    network = build_network(parameters, len(NAMES))
    logits = np.asarray(network(SCANS[..., np.newaxis], training=False))
    network.layers[-1].bias.assign(-logits.mean(axis=0))
    ranked = np.sort(logits - logits.mean(axis=0), axis=1)
    # The gap that makes a probability of 0.95, had the best two classes all of it.
    temperature = float(np.median(ranked[:, -1] - ranked[:, -2]) / np.log(19))
    detector: Detector | None = fit_detector(network, SCANS, SCANS[:20], 0) if detect else None
    servable = Servable(network, temperature, SIZE, detector, quantised(watch(network), SCANS))
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


@pytest.fixture
def copied(watched: Path, tmp_path: Path) -> Path:
    """Give a copy of it that may be changed."""
    return Path(shutil.copytree(watched, tmp_path / "model"))


_VNNI = pytest.mark.skipif(not has_vnni(), reason="this processor has no VNNI")
_BFLOAT16 = pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
FAST = [
    pytest.param("openvino", "int8", marks=_VNNI),
    pytest.param("openvino", "bfloat16", marks=_BFLOAT16),
    pytest.param("tensorflow", "bfloat16", marks=_BFLOAT16),
]


def _first_look(model: Path) -> scoring.Scores:
    """Give TensorFlow's first look at the scans."""
    signature = tf.saved_model.load(str(model / "1")).signatures["serving_first_look"]
    return scoring.as_scores(signature)(SCANS)


@pytest.fixture
def recomputed(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.uint8]]:
    """Collect the images that are computed again exactly."""
    seen: list[NDArray[np.uint8]] = []
    original = first_look.exact_where_doubtful

    def watching(fast: scoring.ScoresFn, exact: scoring.ScoresFn, t: Any) -> scoring.ScoresFn:
        def watched_exact(images: NDArray[np.uint8]) -> scoring.Scores:
            seen.append(images)
            return exact(images)

        return original(fast, watched_exact, t)

    for engine in (openvino_engine, tensorflow_engine):
        monkeypatch.setattr(engine, "exact_where_doubtful", watching)
    return seen


def test_auto_takes_int8_where_the_check_holds(
    watched: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    engine = load_engine(watched, "openvino")
    assert engine.precision == "int8"
    # A label in /metrics: without what was measured, which differs from start to start.
    assert engine.why == "BRAIN_TUMOR_ENGINE asks for it; int8: holds the model's check"
    assert "First look in int8 against the model's check: log-odds off by 0." in caplog.text


@pytest.mark.parametrize(("name", "precision"), FAST)
def test_fast_arithmetic_decides_what_is_clear_as_tensorflow_does_in_float32(
    name: Any, precision: Any, watched: Path, recomputed: list[NDArray[np.uint8]]
) -> None:
    engine = load_engine(watched, name, precision)
    assert engine.precision == precision
    wanted, given = load_scores(watched)(SCANS), engine.scores(SCANS)
    # Some were decided by the first look, some were not.
    assert 5 <= len(recomputed) <= 35
    assert np.abs(given.probabilities - wanted.probabilities).max() <= 0.05
    threshold = load_info(watched).thresholds["foreign"]
    np.testing.assert_array_equal(given.foreign > threshold, wanted.foreign > threshold)
    again = np.concatenate(recomputed)
    decided = [not (scan == again).all(axis=(1, 2)).any() for scan in SCANS]
    difference = given.probabilities - _first_look(watched).probabilities
    assert np.abs(difference[decided]).max() > 1e-6  # not float32
    assert given.probabilities[decided].max(axis=1).min() >= SURELY_CLEAR


@pytest.mark.skipif(not has_vnni(), reason="this processor has no VNNI")
def test_where_int8_does_not_hold_the_check_auto_says_why(copied: Path) -> None:
    _another_first_look(copied)
    engine = load_engine(copied, "openvino")
    assert engine.precision == "float32"
    assert "int8: does not hold the model's check" in engine.why.split("; ")
    # Asked for, it is taken all the same.
    assert load_engine(copied, "openvino", "int8").precision == "int8"


def test_int8_is_not_taken_where_the_processor_would_overflow(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_engine, "has_vnni", lambda: False)
    engine = load_engine(watched, "openvino")
    assert engine.precision != "int8"
    assert "int8: the processor has no VNNI" in engine.why
    with pytest.raises(SettingsError, match="PRECISION=int8 cannot be had: int8: the processor"):
        load_engine(watched, "auto", "int8")


def test_a_model_without_a_first_look_is_served_in_float32_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "SIGNATURES", artifact.SIGNATURES[:3])
    folder = _save(tmp_path / "model", "small", detect=True)
    engine = load_engine(folder, "openvino")
    assert engine.precision == "float32"
    wanted = load_scores(folder)(SCANS).foreign
    np.testing.assert_allclose(engine.scores(SCANS).foreign, wanted, rtol=1e-3, atol=1e-3)
    with pytest.raises(SettingsError, match="has no signature serving_first_look_8bit"):
        load_engine(folder, "auto", "int8")


def test_a_check_of_an_earlier_version_lets_float32_serve(copied: Path) -> None:
    check = load_check(copied)
    assert check is not None
    np.savez(copied / CHECK_FILE, images=check.images, probabilities=check.probabilities)
    engine = load_engine(copied)
    assert engine.precision == "float32"
    assert "int8: no check of it is recorded with the model" in engine.why
    asked_for = load_engine(copied, "openvino", "int8")
    assert "asked for, not checked: none is recorded" in asked_for.why


def test_what_could_be_answered_otherwise_is_computed_again_exactly() -> None:
    best = np.array([0.99, 0.6, 0.94, 0.976, 0.99, np.nan, 0.99, 0.002], np.float32)
    foreign = np.array([1.9, 0, 0, 0, 2.1, 0, np.nan, 0], np.float32)
    doubtful = [1, 2, 3, 4, 5, 6]
    seen: list[NDArray[np.uint8]] = []

    def exact(images: NDArray[np.uint8]) -> scoring.Scores:
        seen.append(images)
        return scoring.Scores(np.full((1, 2), 0.5, np.float32), np.full(1, 7, np.float32))

    rows = np.stack([best, 1 - best], axis=1)
    scores = exact_where_doubtful(
        lambda _: scoring.Scores(rows.copy(), foreign.copy()),
        exact,
        {"foreign": 3.0, "confident": 0.975},
    )(SCANS[:8])
    rows[doubtful], foreign[doubtful] = 0.5, 7
    np.testing.assert_array_equal(scores.probabilities, rows)
    np.testing.assert_array_equal(scores.foreign, foreign)
    np.testing.assert_array_equal(np.concatenate(seen), SCANS[doubtful])


def test_a_model_without_a_check_is_served_in_float32(copied: Path) -> None:
    (copied / CHECK_FILE).unlink()
    engine = load_engine(copied)
    assert (engine.name, engine.precision) == ("openvino", "float32")
    assert "int8: no check of it is recorded with the model" in engine.why


def _another_first_look(folder: Path) -> None:
    check = load_check(folder)
    assert check is not None
    assert check.first_look is not None
    probabilities, foreign = check.first_look
    np.savez(
        folder / CHECK_FILE,
        images=check.images,
        probabilities=check.probabilities,
        first_look=np.roll(probabilities, 1, axis=1),
        first_look_foreign=foreign,
    )


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


# --- Heat maps ---


def test_openvino_gives_tensorflows_heat_maps(model: Path) -> None:
    wanted, given = (
        load_engine(model, name, "float32").heat_maps(SCANS) for name in ("tensorflow", "openvino")
    )
    assert wanted.maps.shape == (len(SCANS), SIZE // 32, SIZE // 32, len(NAMES))
    largest = np.abs(wanted.maps).max()
    np.testing.assert_allclose(given.maps, wanted.maps, rtol=1e-3, atol=1e-3 * float(largest))
    np.testing.assert_allclose(given.probabilities, wanted.probabilities, atol=1e-4)
    assert given.maps.dtype == given.probabilities.dtype == np.float32
    # What is compared is not the same of every scan, nor at every place.
    assert wanted.maps.std(axis=0).max() > 0.05 * largest
    assert wanted.maps.std(axis=(1, 2)).max() > 0.05 * largest


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_heat_maps_are_the_same_from_many_threads_while_scores_are_computed(
    name: Any, watched: Path
) -> None:
    engine = load_engine(watched, name)
    wanted, scores = engine.heat_maps(SCANS[:8]), engine.scores(SCANS[:8])

    def ask(scan: NDArray[np.uint8]) -> NDArray[np.float32]:
        return engine.heat_maps(scan[np.newaxis]).maps

    with ThreadPoolExecutor(8) as pool:
        beside = pool.submit(lambda: [engine.scores(SCANS[:8]) for _ in range(20)])
        maps = np.concatenate(list(pool.map(ask, np.tile(SCANS[:8], (5, 1, 1)))))
    np.testing.assert_allclose(maps, np.tile(wanted.maps, (5, 1, 1, 1)), rtol=1e-3, atol=1e-5)
    for again in beside.result():
        np.testing.assert_allclose(again.probabilities, scores.probabilities, atol=1e-5)


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_the_graph_of_heat_maps_is_not_loaded_before_one_is_asked_for(
    name: Any, copied: Path
) -> None:
    engine = load_engine(copied, name)
    shutil.rmtree(copied / "1")
    with pytest.raises(ArtifactError, match="cannot be read"):
        engine.heat_maps(SCANS[:1])
    assert engine.scores(SCANS[:1]).probabilities.shape == (1, len(NAMES))


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_a_model_of_an_earlier_version_has_no_heat_maps_and_is_served_all_the_same(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "SIGNATURES", artifact.SIGNATURES[:5])
    engine = load_engine(_save(tmp_path / "model", "small", detect=True), name)
    assert engine.scores(SCANS[:1]).probabilities.shape == (1, len(NAMES))
    for _ in range(2):
        with pytest.raises(NotAcceptableError, match="has no signature serving_heat_map"):
            engine.heat_maps(SCANS[:1])


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_heat_maps_of_another_model_are_found_out(name: Any, copied: Path) -> None:
    _another_first_look(copied)
    engine = load_engine(copied, name, "float32")
    with pytest.raises(ArtifactError, match=r"otherwise than TensorFlow.*two models"):
        engine.heat_maps(SCANS[:1])


def test_auto_falls_back_to_tensorflow_where_openvino_fails_and_says_so(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> NDArray[np.float32]:
        raise ArtifactError("an operation that it does not know")

    monkeypatch.setattr("brain_tumor.serving.openvino_engine.load", fail)
    with caplog.at_level(logging.WARNING):
        engine = load_engine(model)
    assert engine.name == "tensorflow"
    assert engine.why.startswith("OpenVINO does not serve this model; ")
    assert "an operation that it does not know" in caplog.text


def test_auto_takes_tensorflow_where_there_is_a_gpu(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GPU", tmp_path)
    engine = load_engine(model, precision="float32")
    assert (engine.name, engine.precision) == ("tensorflow", "float32")
    assert engine.why.startswith("there is a GPU; ")
    np.testing.assert_allclose(
        engine.scores(SCANS).probabilities, load_scores(model)(SCANS).probabilities, atol=1e-4
    )


def test_tensorflow_does_not_compute_in_bfloat16_where_the_processor_or_a_gpu_would_not(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorflow_engine, "has_bfloat16", lambda: False)
    engine = load_engine(watched, "tensorflow")
    assert engine.precision == "float32"
    assert "bfloat16: the processor has no bfloat16" in engine.why
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert "bfloat16: the GPU computes in float32" in load_engine(watched, "tensorflow").why


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


def test_int8_is_refused_where_tensorflow_is_asked_for(model: Path) -> None:
    with pytest.raises(SettingsError, match="PRECISION=int8 cannot be had: this engine has bfl"):
        load_engine(model, "tensorflow", "int8")


def test_a_nan_never_agrees(watched: Path) -> None:
    check = load_check(watched)
    assert check is not None
    assert check.first_look is not None
    scores = scoring.without_foreign(lambda images: np.full((len(images), 4), np.nan, np.float32))
    assert not measure(scores, check).holds(1e9)
    assert not measure_first_look(scores, check.images, check.first_look).holds


def test_a_first_look_holds_by_its_median_log_odds_and_by_how_far_the_foreign_score_fell() -> None:
    recorded = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], np.float32)
    odds = np.log(recorded / (1 - recorded))

    def agreement_of(errors: list[float], fall: float) -> FirstLookAgreement:
        given = 1 / (1 + np.exp(-(odds + np.array(errors)[:, np.newaxis])))
        rows = iter(given.astype(np.float32))
        return measure_first_look(
            lambda _: scoring.Scores(next(rows)[np.newaxis], np.full(1, 5 - fall, np.float32)),
            SCANS[:3],
            scoring.Scores(recorded, np.full(3, 5, np.float32)),
        )

    near = agreement_of([0.3, -0.6, 1.5], fall=0.5)
    assert (near.log_odds, near.foreign) == pytest.approx((0.6, 0.5), abs=1e-4)
    assert near.holds
    assert not agreement_of([0.3, -0.8, 1.5], fall=0.5).holds
    assert not agreement_of([0.3, -0.6, 1.5], fall=1.1).holds
    assert agreement_of([0.3, -0.6, 1.5], fall=-9).foreign == 0


def test_serving_with_openvino_loads_neither_tensorflow_nor_what_only_training_needs(
    model: Path,
) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from brain_tumor.serving.app import create_app\n"
        "from brain_tumor.serving.classifier import load_classifier\n"
        "from brain_tumor.settings import Settings\n"
        f"classifier = load_classifier(Path({str(model)!r}), Settings())\n"
        "scan = np.zeros((30, 20), np.uint8)\n"
        "assert classifier.classify([scan]) and classifier.evidence(scan)\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib', 'scipy', 'h5py'}\n"
        "heavy |= {'pydicom', 'nibabel', 'openjpeg', 'brain_tumor.dicom', 'brain_tumor.nifti'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_openvino_meets_numpy_before_two_threads_use_both(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[bool] = []
    meet = openvino_engine._meet_numpy

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            super().__init__(workers)
            assert met == [True]

    monkeypatch.setattr(openvino_engine, "_meet_numpy", lambda: met.append(meet() is None))
    monkeypatch.setattr(openvino_engine, "ThreadPoolExecutor", Pool)
    openvino_engine.load(model, "auto", cores=1)
    assert met == [True]
