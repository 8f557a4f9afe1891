"""A detector of what is no brain MRI, on statistics of the trained network's feature maps.

Fitted after training, in seconds, on training scans and on drawn foreign pictures. It must not
read the network's last features: those are trained to tell tumours apart and forget the rest.
"""

import logging
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.images import Pixels
from brain_tumor.training.foreign.bank import DRAWN, SPOILT, UNSEEN, draw_bank, pictures_of_each
from brain_tumor.training.foreign.feature_maps import read_statistics, watch
from brain_tumor.training.foreign.sketch import vary

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]

_SCANS, _VALIDATION_SCANS = 800, 300
_AXES = 100
_FARTHEST = 6.0
_TINY = 1e-6
_ALLOWED = 0.995
_MARGIN = 0.1
# Of fewer scans, the 99.5th percentile is no more than their largest score.
_FEW, _MARGIN_OF_FEW = 200, 0.5


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of projected statistics."""

    mean: Floats
    """(axes,)."""
    root: Floats
    """(axes, axes): root @ root.T is the inverse of the covariance."""

    def log_distance(self, points: tf.Tensor) -> tf.Tensor:
        """Give the logarithm of the squared Mahalanobis distance: (n, axes) -> (n,)."""
        turned = tf.matmul(points - self.mean, self.root)
        return tf.math.log(tf.reduce_sum(tf.square(turned), axis=1) + _TINY)


@dataclass(frozen=True)
class Detector:
    """Constants of the score; it needs no state and lives inside the saved graph."""

    centre: Floats
    """(statistics,) what is subtracted from each statistic."""
    scale: Floats
    """(statistics,) what each is divided by."""
    axes: Floats
    """(statistics, axes) principal axes, scaled so that each has variance 1."""
    weights: Floats
    """(axes,) of the logistic regression."""
    scans: Gaussian
    foreign: Gaussian
    parts_mean: Floats
    """(2,) mean of the two parts of the score on validation scans."""
    parts_spread: Floats
    """(2,) their standard deviation."""
    threshold: float = 0.0
    """A picture with a higher score is refused."""

    def project(self, statistics: tf.Tensor) -> tf.Tensor:
        """(n, statistics) -> (n, axes)."""
        # Far out, one odd statistic alone would decide: nothing is known there.
        far = tf.clip_by_value((statistics - self.centre) / self.scale, -_FARTHEST, _FARTHEST)
        return tf.matmul(far, self.axes)

    def parts(self, statistics: tf.Tensor) -> tf.Tensor:
        """Give the logit of being foreign and the relative Mahalanobis distance: (n, 2)."""
        points = self.project(statistics)
        logit = tf.linalg.matvec(points, self.weights)
        relative = self.scans.log_distance(points) - self.foreign.log_distance(points)
        return tf.stack([logit, relative], axis=1)

    def score(self, statistics: tf.Tensor) -> tf.Tensor:
        """Score pictures, (n, statistics) float32 -> (n,): the higher, the more foreign.

        The sum of two parts, each in standard deviations of validation scans: the logit of a
        logistic regression of scans against drawn foreign pictures (outlier exposure, Hendrycks
        et al. 2019, arXiv 1812.04606), and the relative Mahalanobis distance (Ren et al. 2021,
        arXiv 2106.09022) on Ledoit-Wolf covariances, which also speaks where nothing was drawn.
        """
        return tf.reduce_sum((self.parts(statistics) - self.parts_mean) / self.parts_spread, axis=1)


def fit_detector(
    network: keras.Model, train: Pixels | StoredPixels, val: Pixels | StoredPixels, seed: int
) -> Detector:
    """Fit a detector on a trained network.

    The threshold is the 99.5th percentile of the scores of the val scans and of a varied copy of
    each. Where drawn pictures of another seed begin above it (their 5th percentile), it moves up
    by a tenth of the gap, and by half of it when val holds fewer than 200 scans.

    Args:
        network: as for `watch`.
        train: (n, size, size) scans that the network was trained on; 800 of them are used.
        val: (m, size, size) scans that it was not trained on; 300 of them are used.
        seed: of the pictures, and of the choice of scans.
    """
    random = np.random.default_rng(seed)
    size, watched = train.shape[1], watch(network)
    some, held = _some(train, _SCANS, random), _some(val, _VALIDATION_SCANS, random)
    kinds = [kind for kind in (*DRAWN, *SPOILT) if kind not in UNSEEN]
    # Varied as the drawn pictures are: else a rotated or a dim scan would look drawn.
    scans = read_statistics(watched, some, _varied(some[::2], random))
    held_back = read_statistics(watched, held, _varied(held, random))

    def drawn_from(scans: Pixels, each: int, seed: int) -> Floats:
        # No picture is held longer than it takes to read it.
        return read_statistics(watched, draw_bank(kinds, each, size, seed, scans).pixels)

    foreign = drawn_from(some, pictures_of_each(len(some)), seed)
    detector = _fit(scans, foreign, held_back)
    others = drawn_from(held, pictures_of_each(len(held)) // 2, seed + 1)
    known, drawn = (np.asarray(detector.score(values)) for values in (held_back, others))
    highest, lowest = float(np.quantile(known, _ALLOWED)), float(np.quantile(drawn, 1 - 0.95))
    margin = _MARGIN if len(held) >= _FEW else _MARGIN_OF_FEW
    threshold = highest + margin * max(0.0, lowest - highest)
    limits = (threshold, highest, lowest)
    log.info("Foreign pictures: refused above %.2f (scans %.2f, drawn %.2f)", *limits)
    return Detector(**{**vars(detector), "threshold": threshold})


def _fit(scans: Floats, foreign: Floats, held_back: Floats) -> Detector:
    both = np.concatenate([scans, foreign])
    scaler = StandardScaler().fit(both)
    far = scaler.transform(both).clip(-_FARTHEST, _FARTHEST)
    pca = PCA(min(_AXES, len(far) - 1, far.shape[1]), random_state=0).fit(far)
    axes = pca.components_.T / np.sqrt(pca.explained_variance_ + _TINY)
    points = far @ axes
    labels = np.repeat([0, 1], [len(scans), len(foreign)])
    regression = LogisticRegression(C=0.01, class_weight="balanced", max_iter=300)
    regression.fit(points, labels)
    constants: dict[str, Any] = {
        "centre": _float(scaler.mean_),
        "scale": _float(scaler.scale_),
        "axes": _float(axes),
        "weights": _float(regression.coef_[0]),
        "scans": _gaussian(points[labels == 0]),
        "foreign": _gaussian(points[labels == 1]),
    }
    raw = Detector(**constants, parts_mean=np.zeros(2, np.float32), parts_spread=np.ones(2, "f4"))
    parts = np.asarray(raw.parts(held_back))
    mean, spread = parts.mean(axis=0), parts.std(axis=0) + _TINY
    return Detector(**constants, parts_mean=_float(mean), parts_spread=_float(spread))


def _gaussian(points: NDArray[np.float64]) -> Gaussian:
    fitted = LedoitWolf().fit(points)
    return Gaussian(_float(fitted.location_), _float(np.linalg.cholesky(fitted.precision_)))


def _float(values: NDArray[Any]) -> Floats:
    return np.asarray(values, np.float32)


def _some(scans: Pixels | StoredPixels, most: int, random: np.random.Generator) -> Pixels:
    return scans[np.sort(random.permutation(len(scans))[:most])]


def _varied(scans: Pixels, random: np.random.Generator) -> Pixels:
    return np.stack([vary(scan, random) for scan in scans])
