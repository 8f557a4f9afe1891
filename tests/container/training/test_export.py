"""training.export: the functions that a SavedModel offers."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import softmax

from brain_tumor import artifact, scoring
from brain_tumor.training.export import Servable
from brain_tumor.training.foreign.detector import fit_detector
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import build_network
from tests.scans import noise

SIZE, CLOSER, CLASSES = 32, 37, 4
SCANS = np.stack([noise(seed, SIZE)[:, :SIZE] for seed in range(40)])


class _Fixture(NamedTuple):
    servable: Servable
    first: NDArray[np.float32]
    """(n, classes) logits over the temperature, of the scans."""
    second: NDArray[np.float32]
    """The same of their mirror images, enlarged."""


@pytest.fixture(scope="module", params=["small", "lite0"])
def made(request: pytest.FixtureRequest) -> _Fixture:
    """Give an untrained network to which about half of the scans are clear."""
    keras.utils.set_random_seed(3)
    network = build_network(Hyperparameters(backbone=request.param, image_size=SIZE), CLASSES)

    closer = build_network(Hyperparameters(backbone=request.param, image_size=CLOSER), CLASSES)

    def logits(scans: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(network(scans[..., np.newaxis].astype(np.float32), training=False))

    network.layers[-1].bias.assign(-logits(SCANS).mean(axis=0))
    # The gap that makes a probability of 0.9, had the best two classes all of it.
    ranked = np.sort(logits(SCANS), axis=1)
    temperature = float(np.median(ranked[:, -1] - ranked[:, -2]) / np.log(9))
    servable = Servable(network, temperature, SIZE, fit_detector(network, SCANS, SCANS[:20], 0))
    closer.set_weights(network.get_weights())
    enlarged = tf.image.resize(SCANS[:, :, ::-1, np.newaxis], (CLOSER, CLOSER))
    second = np.asarray(closer(enlarged, training=False), np.float32)
    return _Fixture(servable, logits(SCANS) / temperature, second / np.float32(temperature))


def _wanted(made: _Fixture) -> NDArray[np.float32]:
    clear = softmax(made.first, axis=1).max(axis=1) >= artifact.CLEAR
    assert 5 <= clear.sum() <= 35
    both = np.where(clear[:, np.newaxis], made.first, (made.first + made.second) / 2)
    return np.asarray(softmax(both, axis=1), np.float32)


def test_a_scan_that_is_not_clear_gets_the_mean_of_its_own_and_its_enlarged_mirror_images_logits(
    made: _Fixture,
) -> None:
    wanted = _wanted(made)
    default = scoring.as_predict(made.servable.serving_default)
    np.testing.assert_allclose(default(SCANS), wanted, atol=1e-4)
    scores = scoring.as_scores(made.servable.serving_scores)
    np.testing.assert_allclose(scores(SCANS).probabilities, wanted, atol=1e-4)


def test_what_a_scan_gets_does_not_depend_on_its_neighbours_in_the_batch(made: _Fixture) -> None:
    default = scoring.as_predict(made.servable.serving_default)
    alone = np.concatenate([default(SCANS[n : n + 1]) for n in range(len(SCANS))])
    np.testing.assert_allclose(default(SCANS), alone, atol=1e-4)


def test_the_first_look_is_the_same_where_it_is_clear(made: _Fixture) -> None:
    first = scoring.as_scores(made.servable.serving_first_look)(SCANS)
    both = scoring.as_scores(made.servable.serving_scores)(SCANS)
    np.testing.assert_allclose(first.probabilities, softmax(made.first, axis=1), atol=1e-4)
    np.testing.assert_allclose(first.foreign, both.foreign, rtol=1e-4)
    clear = first.probabilities.max(axis=1) >= artifact.CLEAR
    np.testing.assert_array_equal(first.probabilities[clear], both.probabilities[clear])
