"""Event files for TensorBoard: the figures of each epoch, and at the end the confusion matrix.

They are written with TensorFlow's own `tf.summary.write`: `tf.summary.scalar` and `image` want the
package tensorboard, which nothing else here needs. What they would add is a word of metadata.
"""

from functools import cached_property
from pathlib import Path

import tensorflow as tf
from PIL import Image

from brain_tumor.training.failure import writing_to
from brain_tumor.training.metrics import Epoch

FOLDER = "tensorboard"
"""Below output/: the platform's default for TensorBoardOutputConfig.LocalPath."""


class EventLog:
    """One run of TensorBoard's; a job that is resumed adds a file to it."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made with the first file in it."""
        self._folder = folder

    @cached_property
    def _writer(self) -> tf.summary.SummaryWriter:
        # Not before it is needed: nothing may be computed before the strategy is chosen by which
        # several hosts train.
        return tf.summary.create_file_writer(str(self._folder))

    def add(self, epoch: Epoch) -> None:
        """Write the figures of an epoch, and see that they are on disk: the platform reads on.

        Raises:
            DiskFullError: they cannot be; TensorFlow's own words sound like too little memory.
        """
        figures = {
            "loss/train": epoch.train_loss,
            "loss/val": epoch.val_loss,
            "accuracy/train": epoch.train_accuracy,
            "accuracy/val": epoch.val_accuracy,
            "learning_rate": epoch.learning_rate,
            "seconds": epoch.seconds,
        }
        with writing_to(self._folder):
            with self._writer.as_default(step=epoch.epoch):
                for tag, value in figures.items():
                    tf.summary.write(tag, tf.constant(value, tf.float32), metadata=_of("scalars"))
            self._writer.flush()

    def add_picture(self, tag: str, png: Path, step: int) -> None:
        """Write a picture, which stands at the epoch `step`."""
        with Image.open(png) as picture:
            size = [str(side) for side in picture.size]
        with self._writer.as_default(step=step):
            content = tf.constant([*size, png.read_bytes()], tf.string)
            tf.summary.write(tag, content, metadata=_of("images"))
        self._writer.flush()


def _of(plugin: str) -> tf.compat.v1.SummaryMetadata:
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = plugin
    return metadata
