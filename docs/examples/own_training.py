"""A training script of one's own: another network and other variation, served by the same image.

SageMaker's SDK 3 runs it in this image, in place of `train`:

    ModelTrainer(
        training_image=IMAGE,
        source_code=SourceCode(source_dir="docs/examples", entry_script="own_training.py"),
        hyperparameters={"epochs": 10, "image-size": 128},
        ...
    )

What it takes from `brain_tumor`: reading and checking the channels, the hyperparameters, batches,
calibration, the saved model with all its signatures, and the reports.
"""

import json
import math
import os
from pathlib import Path

import keras
import tensorflow as tf

from brain_tumor import artifact
from brain_tumor.data.table import label_indices
from brain_tumor.logs import configure_logging
from brain_tumor.training import assess, report
from brain_tumor.training.channels import Channels, read_channels
from brain_tumor.training.export import Servable, second_look_size
from brain_tumor.training.hyperparameter_parsing import parse_hyperparameters
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.learn import library_versions
from brain_tumor.training.network import FEATURES, LOGITS
from brain_tumor.training.pipeline import training_batches, validation_batches
from brain_tumor.training.sampling import Sampler


def main() -> None:
    """Train, save and evaluate as the variables say that the SDK sets."""
    configure_logging()
    given = json.loads(os.environ["SM_HPS"])
    filters = int(given.pop("filters", 16))  # one of our own; what is left is checked
    parameters = parse_hyperparameters({"backbone": "small", **given})
    folders = {
        name: Path(os.environ["SM_INPUT_DATA_DIR"], name)
        for name in json.loads(os.environ["SM_CHANNELS"])
    }
    channels = read_channels(folders, parameters)
    network = build(parameters.image_size, len(channels.class_names), filters)
    fit(network, channels, parameters)
    model_dir = Path(os.environ["SM_MODEL_DIR"])
    save(model_dir, network, channels, parameters)
    if "test" in folders:
        findings = assess.assess_model(model_dir, folders["test"])
        report.write_findings(findings, Path(os.environ["SM_OUTPUT_DATA_DIR"]))


def build(size: int, classes: int, filters: int) -> keras.Model:
    """Build any network from grey pixels 0-255 to logits whose last two layers are these.

    The mean over the last map and the linear head are what heat maps are read off.
    """
    images = keras.Input((size, size, 1))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    for stage in range(4):
        x = keras.layers.Conv2D(filters * 2**stage, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.GlobalAveragePooling2D(name=FEATURES)(x)
    return keras.Model(images, keras.layers.Dense(classes, name=LOGITS)(x))


def vary(images: tf.Tensor) -> tf.Tensor:
    """Vary a batch of (n, size, size, 1) in our own way: mirrored, and a little noise."""
    noise = tf.random.normal(tf.shape(images), stddev=8.0)
    return tf.clip_by_value(tf.image.random_flip_left_right(images) + noise, 0, 255)


def fit(network: keras.Model, channels: Channels, parameters: Hyperparameters) -> None:
    """Train with Keras alone, and print what SageMaker's metric definitions match."""
    scans = channels.train
    sampler = Sampler(scans.pictures, scans.groups, scans.labels, parameters.seed)
    labels = label_indices(scans, channels.class_names)
    # Seed None: not varied by the image's own recipe.
    batches = training_batches(scans.pixels, labels, sampler, parameters.batch_size, None)
    network.compile(
        keras.optimizers.AdamW(parameters.peak_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    network.fit(
        batches.map(lambda images, labels: (vary(images), labels)),
        epochs=parameters.most_epochs,
        steps_per_epoch=math.ceil(sampler.scans / parameters.batch_size),
        validation_data=validation_batches(channels),
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=print_metrics)],
    )


def print_metrics(epoch: int, logs: dict[str, float]) -> None:
    """Print an epoch's figures of validation."""
    line = f"val_loss={logs['val_loss']:.6g}; val_accuracy={logs['val_accuracy']:.6g};"
    print(f"epoch={epoch + 1}; {line}", flush=True)


def save(
    model_dir: Path, network: keras.Model, channels: Channels, parameters: Hyperparameters
) -> None:
    """Save what `serve` takes: calibrated, with a detector of what is no brain MRI."""
    detector = assess.fit_detector(network, channels, parameters)
    temperature = assess.calibrate(network, channels)
    servable = Servable(network, temperature, parameters.image_size, detector)
    threshold = assess.choose_threshold(servable, channels)
    info = artifact.ModelInfo(
        class_names=channels.class_names,
        image_size=parameters.image_size,
        second_look_size=second_look_size(parameters.image_size),
        temperature=temperature,
        thresholds={"confident": threshold, "foreign": detector.threshold},
        versions=library_versions(),
        data={"fingerprint": channels.fingerprint(), "scans": channels.counts()},
        hyperparameters={"backbone": "own_training.py", "epochs": parameters.most_epochs},
        metrics={},
    )
    check_images = assess.check_images(channels, parameters.seed)
    artifact.save(model_dir, servable, info, check_images)


if __name__ == "__main__":
    main()
