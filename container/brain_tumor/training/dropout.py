"""Dropout that does not depend on how many processors a batch is spread over."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("brain_tumor")
class WholeBatchDropout(keras.layers.Dropout):  # type: ignore[misc]
    """Leaves out of a replica's part of a batch what one replica would leave out of the whole.

    Keras' own has the same seed on each replica, so that all would leave out the same. Where parts
    of a batch differ by a scan, what is left out is as much at random, but other than on one.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Leave out a share of the features of (n, features), and enlarge the others."""
        context = tf.distribute.get_replica_context()
        if not training or context is None or context.num_replicas_in_sync == 1:
            return super().call(inputs, training=training)
        scans = tf.shape(inputs)[0]
        first = scans * context.replica_id_in_sync_group
        everything = tf.ones((scans * context.num_replicas_in_sync, inputs.shape[1]), inputs.dtype)
        kept: Any = super().call(everything, training=True)
        return inputs * kept[first : first + scans]
