"""training.imagenet and lite0: ImageNet weights without a network and without PyTorch."""

import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.training import imagenet
from brain_tumor.training.fit import Trainer
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import build_network, set_pretrained_weights


@pytest.fixture(scope="module")
def tensors() -> dict[str, NDArray[np.float32]]:
    """Give the checkpoint of the installed package."""
    return imagenet.read_checkpoint(imagenet._packaged_checkpoint())


def test_the_checkpoint_holds_the_published_network(
    tensors: dict[str, NDArray[np.float32]],
) -> None:
    # 4.65 million weights of the paper's lite0, and what its batch normalisations count.
    weights = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    learnt = sum(t.size for n, t in weights.items() if "running" not in n)
    assert learnt == 4_652_008
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)


def test_folding_leaves_what_a_convolution_and_its_normalisation_compute(
    tensors: dict[str, NDArray[np.float32]],
) -> None:
    weights = imagenet.fold(tensors)
    inputs = np.random.default_rng(0).normal(size=(5, 320)).astype(np.float32)
    kernel = tensors["_conv_head.weight"][:, :, 0, 0]
    plain = inputs @ kernel.T
    mean, variance = tensors["_bn1.running_mean"], tensors["_bn1.running_var"]
    wanted = (plain - mean) / np.sqrt(variance + 1e-3) * tensors["_bn1.weight"]
    wanted += tensors["_bn1.bias"]
    folded = inputs @ weights["conv_head/kernel"][0, 0] + weights["conv_head/bias"]
    np.testing.assert_allclose(folded, wanted, atol=1e-3)


def test_every_weight_of_the_backbone_comes_from_imagenet() -> None:
    network = build_network(Hyperparameters(image_size=64), 4)
    random = network.get_weights()
    set_pretrained_weights(network, Hyperparameters(), None)
    unchanged = [
        weight.path
        for weight, before in zip(network.weights, random, strict=True)
        if np.array_equal(weight.numpy(), before)
    ]
    assert [path for path in unchanged if "seed_generator" not in path] == [
        "logits/kernel",
        "logits/bias",
    ]


def test_fine_tuning_leaves_the_first_blocks_as_imagenet_taught_them() -> None:
    parameters = Hyperparameters(image_size=64)
    network, averaged = build_network(parameters, 4), build_network(parameters, 4)
    set_pretrained_weights(network, parameters, None)
    trainer = Trainer(network, averaged, parameters)
    before = {weight.path: weight.numpy() for weight in network.weights}
    images = tf.random.stateless_uniform((8, 64, 64, 1), (0, 1), maxval=255.0)
    trainer.train_step(images, tf.constant([0, 1, 2, 3, 0, 1, 2, 3]))
    kept = {
        weight.path
        for weight in network.weights
        if np.array_equal(weight.numpy(), before[weight.path]) and "seed" not in weight.path
    }
    early = ("conv_stem", *(f"blocks_{number}_" for number in range(5)))
    assert kept == {path for path in before if path.startswith(early)}


def test_the_network_tells_pictures_apart_as_imagenet_taught_it(
    tensors: dict[str, NDArray[np.float32]],
) -> None:
    # scikit-learn ships two photographs: a temple in China and a dahlia.
    from PIL import Image
    from sklearn.datasets import load_sample_images

    network = build_network(Hyperparameters(image_size=224), 4)
    set_pretrained_weights(network, Hyperparameters(), None)
    features = keras.Model(network.input, network.get_layer("features").output)
    photographs = np.stack(
        [
            np.asarray(Image.fromarray(image).convert("L").resize((224, 224)))
            for image in load_sample_images().images
        ]
    ).astype(np.float32)
    pooled = np.asarray(features(photographs[..., np.newaxis], training=False))
    logits = pooled @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    best_five = np.argsort(-logits, axis=1)[:, :5]
    # ImageNet's classes: 663 monastery, 698 palace, 832 stupa; 985 daisy, 723 pinwheel.
    assert {663, 698, 832} & set(best_five[0].tolist())
    assert {985, 723} & set(best_five[1].tolist())


def test_a_checkpoint_that_names_anything_else_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return subprocess.getoutput, ("touch hacked",)

    file = tmp_path / "evil.pth"
    file.write_bytes(pickle.dumps(imagenet._MAGIC) + pickle.dumps(1001) + pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError, match="getoutput has no place"):
        imagenet.read_checkpoint(file)


def test_another_kind_of_pickle_is_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    file.write_bytes(b"".join(pickle.dumps(number) for number in (1, 2, 3)))
    with pytest.raises(pickle.UnpicklingError, match=r"other\.pth is no PyTorch checkpoint"):
        imagenet.read_checkpoint(file)


def test_the_converted_file_holds_the_same_weights_and_the_licence_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_package = imagenet.load_lite0()
    target = tmp_path / "share" / "efficientnet-lite0.npz"
    subprocess.run([sys.executable, imagenet.__file__, target], check=True)
    assert "Apache" in target.with_suffix(".LICENSE").read_text()
    monkeypatch.setattr(imagenet, "CONVERTED", target)
    monkeypatch.setattr(imagenet, "PACKAGE", "not-installed-at-all")
    converted = imagenet.load_lite0()
    assert converted.keys() == from_package.keys()
    for name, values in converted.items():
        np.testing.assert_array_equal(values, from_package[name])


def test_missing_weights_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "PACKAGE", "not-installed-at-all")
    with pytest.raises(FileNotFoundError, match="not-installed-at-all is installed"):
        imagenet.load_lite0()
