"""artifact: the model folder, written whole or not at all, and read back."""

import io
import json
import re
import subprocess
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from brain_tumor import artifact, images, scoring
from brain_tumor.artifact import ModelInfo, load_info, load_predict
from brain_tumor.errors import ArtifactError
from brain_tumor.scoring import PredictFn, in_batches
from brain_tumor.serving.classifier import load_classifier
from brain_tumor.settings import Settings
from brain_tumor.training.export import Servable, second_look_size
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import FEATURES, LOGITS, at_size, build_network
from tests.classifiers import Recorder, model_info
from tests.jobs import BIN
from tests.scans import encode, write_folder

SIZE = 64
NAMES = ["glioma", "meningioma", "notumor", "pituitary"]


@pytest.fixture(scope="module")
def scans(phantoms: Path) -> list[bytes]:
    """Give a phantom of each class."""
    with zipfile.ZipFile(phantoms) as archive:
        return [archive.read(f"Testing/{label}/phantom-0000.jpg") for label in NAMES]


def _decoded(scans: list[bytes]) -> NDArray[np.uint8]:
    return np.stack([images.resize(images.decode(scan), SIZE) for scan in scans])


@pytest.fixture(scope="module")
def servable(scans: list[bytes]) -> Servable:
    """Give an untrained network as it is saved.

    It says nearly the same of every image; bias and temperature draw its answers apart.
    """
    keras.utils.set_random_seed(1)
    network = build_network(Hyperparameters(image_size=SIZE, augment=False), len(NAMES))
    pixels, closer = _decoded(scans)[..., np.newaxis], second_look_size(SIZE)
    enlarged = tf.image.resize(pixels[:, :, ::-1], (closer, closer))
    # None is clear to it, so that each answer is the mean of two looks.
    looks = network(pixels, training=False), at_size(network, closer)(enlarged, training=False)
    logits = np.mean(looks, axis=0)
    network.layers[-1].bias.assign(-logits.mean(axis=0))
    return Servable(network, 1.5 * float(logits.std(axis=0).max()), SIZE)


@pytest.fixture(scope="module")
def info() -> ModelInfo:
    """Give a model.json that suits that network."""
    return model_info(class_names=NAMES, image_size=SIZE)


@pytest.fixture(scope="module")
def saved(servable: Servable, info: ModelInfo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a model folder that was saved over a former one."""
    folder = tmp_path_factory.mktemp("artifact") / "model"
    write_folder(
        folder, {"1/variables/of-a-former-model": b"", "class_names.json": b"[]", "mine.txt": b""}
    )
    artifact.save(folder, servable, info)
    return folder


@pytest.fixture(scope="module")
def signatures(saved: Path) -> Mapping[str, Any]:
    """Give what plain TensorFlow loads."""
    loaded = tf.saved_model.load(str(saved / "1"))
    # Signatures hold the variables weakly.
    return {name: partial(_call, loaded, name) for name in loaded.signatures}


def _call(loaded: Any, name: str, **inputs: tf.Tensor) -> dict[str, NDArray[np.float32]]:
    outputs = loaded.signatures[name](**inputs)
    return {key: output.numpy() for key, output in outputs.items()}


@pytest.fixture(scope="module")
def predict(saved: Path) -> PredictFn:
    """Give what our own loader makes of the folder."""
    return load_predict(saved)


def test_the_folder_holds_what_is_promised_and_nothing_half_done(
    saved: Path, info: ModelInfo
) -> None:
    assert {path.name for path in saved.iterdir()} == {
        "1",
        "class_names.json",
        "model.json",
        "mine.txt",
    }
    assert (saved / "1" / "saved_model.pb").is_file()
    assert {path.name.split(".")[0] for path in (saved / "1" / "variables").iterdir()} == {
        "variables"
    }
    assert json.loads((saved / "class_names.json").read_text()) == NAMES
    assert load_info(saved) == info


def test_files_are_readable_and_folders_open_to_every_user(saved: Path) -> None:
    # The folder itself belongs to the platform, and one file was there before.
    for path in saved.rglob("*"):
        if path.name != "mine.txt":
            mode = path.stat().st_mode & 0o777
            assert mode == (0o755 if path.is_dir() else 0o644), path


def test_plain_tensorflow_loads_both_signatures_in_the_promised_shapes(
    signatures: Mapping[str, Any], scans: list[bytes]
) -> None:
    assert set(signatures) == {"serving_default", "serving_bytes", "serving_heat_map"}
    pixels = tf.constant(_decoded(scans)[..., np.newaxis], tf.float32)
    for name, inputs in (
        ("serving_default", {"images": pixels}),
        ("serving_bytes", {"image_bytes": tf.constant(scans)}),
    ):
        outputs = signatures[name](**inputs)
        assert list(outputs) == ["probabilities"]
        probabilities = outputs["probabilities"]
        assert probabilities.shape == (len(scans), len(NAMES))
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_tensorflows_own_command_shows_what_each_signature_takes(saved: Path) -> None:
    shown = subprocess.run(
        [BIN / "saved_model_cli", "show", "--dir", saved / "1", "--all"],
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    pattern = (
        r"signature_def\['(serving\w+)'\].*?inputs\['(\w+)'\].*?dtype: (\w+)\s+shape: (\(.*?\))"
    )
    pixels = ("images", "DT_FLOAT", f"(-1, {SIZE}, {SIZE}, 1)")
    assert set(re.findall(pattern, shown.stdout, re.S)) == {
        ("serving_default", *pixels),
        ("serving_heat_map", *pixels),
        # A string is what TensorFlow Serving's REST API fills from {"b64": ...}.
        ("serving_bytes", "image_bytes", "DT_STRING", "(-1)"),
    }


def test_plain_tensorflow_loads_heat_maps_that_are_in_logits_and_of_the_first_look(
    signatures: Mapping[str, Any], servable: Servable, scans: list[bytes]
) -> None:
    pixels = tf.constant(_decoded(scans)[..., np.newaxis], tf.float32)
    outputs = signatures["serving_heat_map"](images=pixels)
    assert set(outputs) == {"probabilities", "heat_maps"}
    assert outputs["heat_maps"].shape == (len(scans), SIZE // 32, SIZE // 32, len(NAMES))
    assert outputs["heat_maps"].dtype == np.float32
    # The head's kernel and bias are the last weights of the network.
    logits = outputs["heat_maps"].sum(axis=(1, 2)) + servable.weights[-1].numpy()
    wanted = softmax(logits / servable._temperature, axis=1)
    np.testing.assert_allclose(outputs["probabilities"], wanted, atol=1e-5)
    # None is clear to the network, and so the answer is another one.
    both = signatures["serving_default"](images=pixels)["probabilities"]
    assert np.abs(both - wanted).max() > 1e-3


def _colour_png(scan: bytes) -> bytes:
    with Image.open(io.BytesIO(scan)) as image:
        red = image.resize((150, 210))
    green, blue = red.point(lambda grey: grey // 2), red.point(lambda grey: 255 - grey)
    return encode(Image.merge("RGB", (red, green, blue)), "PNG")


def test_serving_bytes_agrees_with_serving_default(
    signatures: Mapping[str, Any], predict: PredictFn, scans: list[bytes]
) -> None:
    for files in (scans, [_colour_png(scan) for scan in scans]):
        wanted = predict(_decoded(files))
        # The answers differ enough for an agreement to mean something.
        assert np.ptp(wanted, axis=0).max() > 0.2
        given = signatures["serving_bytes"](image_bytes=tf.constant(files))["probabilities"]
        np.testing.assert_allclose(given, wanted, atol=0.05)
        np.testing.assert_array_equal(given.argmax(axis=1), wanted.argmax(axis=1))


def test_what_is_loaded_predicts_what_was_saved(
    predict: PredictFn, servable: Servable, scans: list[bytes]
) -> None:
    pixels = _decoded(scans)
    before = scoring.as_predict(servable.serving_default)(pixels)
    np.testing.assert_allclose(predict(pixels), before, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_probabilities_are_the_softmax_of_logits_divided_by_the_temperature(
    temperature: float,
) -> None:
    images = keras.Input((2, 2, 1))
    pooled = keras.layers.GlobalAveragePooling2D(name=FEATURES)
    head = keras.layers.Dense(4, kernel_initializer="identity", name=LOGITS)
    of_one_place = keras.layers.Reshape((1, 1, 4))(images)
    logits_are_pixels = keras.Model(images, head(pooled(of_one_place)))
    predict = scoring.as_predict(Servable(logits_are_pixels, temperature, 2).serving_default)
    # Its own mirror image, so that a second look changes nothing.
    pixels = np.array([[[1, 1], [3, 3]]], np.uint8)
    wanted = softmax(np.array([1, 1, 3, 3]) / temperature)
    np.testing.assert_allclose(predict(pixels), [wanted], atol=1e-6)


def test_tensorflow_serving_gives_our_loaders_answers(
    saved: Path, predict: PredictFn, scans: list[bytes]
) -> None:
    # Its C++ loader does what a session of TensorFlow 1 does: it runs the graph's own restore
    # operation and knows nothing of Python's objects.
    pixels = _decoded(scans)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(saved / "1"))
        signature = graph.signature_def["serving_default"]
        probabilities = session.run(
            signature.outputs["probabilities"].name,
            {signature.inputs["images"].name: pixels[..., np.newaxis].astype(np.float32)},
        )
    np.testing.assert_allclose(probabilities, predict(pixels), atol=1e-5)


def test_each_weight_is_declared_and_stored_once(saved: Path, servable: Servable) -> None:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(saved / "1"))
        declared = [node for node in graph.graph_def.node if node.op == "VarHandleOp"]
    assert len(declared) == len(servable.weights)
    stored = (saved / "1/variables/variables.data-00000-of-00001").stat().st_size
    weights = sum(weight.numpy().nbytes for weight in servable.weights)
    assert weights <= stored < 1.1 * weights + 100_000


def test_a_saved_model_is_served_by_the_classifier(
    saved: Path, predict: PredictFn, scans: list[bytes]
) -> None:
    classifier = load_classifier(saved, Settings())
    predictions = classifier.classify([images.decode(scan) for scan in scans])
    rows = predict(_decoded(scans))
    assert [prediction.label for prediction in predictions] == [NAMES[n] for n in rows.argmax(1)]


def test_a_model_json_of_another_model_is_found_out_while_loading(
    saved: Path, info: ModelInfo, tmp_path: Path
) -> None:
    (tmp_path / "1").symlink_to(saved / "1")
    other = info.model_copy(update={"class_names": ["glioma", "notumor"]})
    (tmp_path / "model.json").write_text(other.model_dump_json())
    with pytest.raises(ArtifactError, match="of two models"):
        load_classifier(tmp_path, Settings())


class _Unsavable(tf.Module):  # type: ignore[misc]
    """Has one of the two functions, so that saving fails once it has begun."""

    def __init__(self) -> None:
        self.variable = tf.Variable(1.0)
        self.serving_bytes = "not a function"
        self.serving_default = tf.function(
            lambda images: {"probabilities": images * self.variable},
            input_signature=[tf.TensorSpec((None,), tf.float32)],
        )


def _content(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_failure_while_saving_leaves_nothing_in_the_folder(
    info: ModelInfo, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="not a function"):
        artifact.save(tmp_path / "model", _Unsavable(), info)
    assert _content(tmp_path / "model") == {}


def test_a_failure_after_the_graph_is_written_leaves_the_former_model_whole(
    servable: Servable, info: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = write_folder(tmp_path / "model", {"1/saved_model.pb": b"former", "model.json": b"{}"})
    before = _content(former)

    def no_space(_: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(artifact, "_make_readable", no_space)
    with pytest.raises(OSError, match="No space left"):
        artifact.save(former, servable, info)
    assert _content(former) == before


# --- Reading model.json ---


def _model(tmp_path: Path, content: bytes) -> Path:
    return write_folder(tmp_path / "model", {"model.json": content, "1/saved_model.pb": b""})


def test_model_json_is_read_back_as_it_was_written(tmp_path: Path, info: ModelInfo) -> None:
    assert load_info(_model(tmp_path, info.model_dump_json().encode())) == info


def test_keys_of_a_later_version_are_ignored(tmp_path: Path, info: ModelInfo) -> None:
    content = {**info.model_dump(mode="json"), "of_a_later_version": 1}
    assert load_info(_model(tmp_path, json.dumps(content).encode())) == info


@pytest.mark.parametrize(
    ("members", "missing", "found"),
    [
        ({}, "model.json", "nothing"),
        ({"model.tar.gz": b""}, "model.json", "model.tar.gz"),
        ({"model.json": b"{}"}, "1/saved_model.pb", "model.json"),
        ({"1/saved_model.pb": b""}, "model.json", "'1'"),
    ],
)
def test_a_folder_that_is_no_model_is_named_with_what_it_holds(
    members: dict[str, bytes], missing: str, found: str, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "model", members)
    with pytest.raises(ArtifactError, match=f"{missing} does not exist") as caught:
        load_info(folder)
    assert f"{folder} holds: " in str(caught.value)
    assert found in str(caught.value).split("holds: ")[1].split(")")[0]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none/model\.json does not exist .*holds: nothing"):
        load_info(tmp_path / "none")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"class_names": "glioma"}']
)
def test_a_broken_model_json_is_named_with_its_cause(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.json cannot be read: .*edited by hand"):
        load_info(_model(tmp_path, content))


def test_a_model_of_another_format_is_refused_with_both_numbers(
    tmp_path: Path, info: ModelInfo
) -> None:
    other = info.model_copy(update={"format": 2}).model_dump_json().encode()
    with pytest.raises(ArtifactError, match="has format 2; this version reads 1"):
        load_info(_model(tmp_path, other))
    with pytest.raises(ArtifactError, match="has format 2; this version reads 1"):
        load_info(_model(tmp_path, b'{"format": 2, "other_fields": true}'))


@pytest.mark.parametrize("graph", [b"", b"no graph", bytes(1000)])
def test_a_graph_that_cannot_be_read_is_named(graph: bytes, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", {"1/saved_model.pb": graph})
    with pytest.raises(ArtifactError, match=f"SavedModel in {folder}/1 cannot be read"):
        load_predict(folder)


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (8, [8]), (9, [8, 1]), (24, [8, 8, 8])])
def test_batches_are_of_bounded_size_and_keep_the_order(count: int, sizes: list[int]) -> None:
    predict = Recorder()
    pixels = np.repeat(np.arange(count, dtype=np.uint8), 4).reshape(count, 2, 2)
    answers = in_batches(predict, pixels, 8)
    assert [len(batch) for batch in predict.batches] == sizes
    np.testing.assert_array_equal(answers, Recorder()(pixels))
