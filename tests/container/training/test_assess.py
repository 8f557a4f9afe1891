"""training.assess: what follows training, with the real network."""

from dataclasses import replace

import numpy as np
import pytest

from brain_tumor import scoring
from brain_tumor.training import assess
from brain_tumor.training.export import Servable
from tests.learnt import PARAMETERS, Learnt


def test_the_saved_functions_are_evaluated_on_test_with_calibrated_probabilities(
    learnt: Learnt,
) -> None:
    temperature = assess.calibrate(learnt.network, learnt.channels)
    assert temperature > 0
    servable = Servable(learnt.network, temperature, 32)
    evaluation = assess.evaluate(servable, learnt.channels, 0.75)
    assert learnt.channels.test is not None
    assert (evaluation.channel, evaluation.files) == ("test", learnt.channels.test.files)
    assert (evaluation.accuracy, evaluation.threshold) == (1.0, 0.75)
    assert not evaluation.validated_on
    assert evaluation.leak_free() is evaluation
    # Twelve scans of validation, all right: no more can be promised than 13 of 14.
    assert np.mean(evaluation.probabilities.max(axis=1)) == pytest.approx(13 / 14, abs=0.05)


def test_without_a_test_channel_val_is_evaluated_and_the_log_says_so(
    learnt: Learnt, caplog: pytest.LogCaptureFixture
) -> None:
    servable = Servable(learnt.network, 1.0, 32)
    evaluation = assess.evaluate(servable, replace(learnt.channels, test=None), 0.0)
    assert (evaluation.channel, len(evaluation.files)) == ("val", 12)
    assert evaluation.leak_free() is evaluation
    assert evaluation.validated_on
    (warning,) = [record for record in caplog.records if record.name == assess.__name__]
    assert "No test channel: figures are on val" in warning.getMessage()


def test_a_picture_or_its_like_on_the_training_side_is_a_leak(learnt: Learnt) -> None:
    channels = learnt.channels
    assert channels.test is not None
    pictures, groups = channels.test.pictures.copy(), channels.test.groups.copy()
    pictures[0], groups[0] = channels.train.pictures[3], channels.train.groups[3]
    groups[1] = channels.val.groups[2]
    leaky = replace(channels, test=replace(channels.test, pictures=pictures, groups=groups))
    evaluation = assess.evaluate(Servable(learnt.network, 1.0, 32), leaky, 0.0)
    assert evaluation.leaks is not None
    assert evaluation.resembles is not None
    assert evaluation.leaks.nonzero()[0].tolist() == [0]
    assert evaluation.resembles.nonzero()[0].tolist() == [0, 1]


def test_the_threshold_leaves_most_of_val_confident(learnt: Learnt) -> None:
    servable = Servable(learnt.network, 1.0, 32)
    threshold = assess.choose_threshold(servable, learnt.channels)
    on_val = assess.evaluate(servable, replace(learnt.channels, test=None), threshold)
    assert 10 <= (on_val.confidence >= threshold).sum() <= 11


def test_the_saved_functions_are_stressed(learnt: Learnt) -> None:
    servable = Servable(learnt.network, 1.0, 32)
    evaluation = assess.evaluate(servable, learnt.channels, 0.0)
    found = assess.stress(servable, evaluation, lambda: False)
    assert (found.scans, found.clean_accuracy, found.skipped) == (10, 1.0, None)
    by_name = {condition.name: condition.accuracy for condition in found.conditions}
    # Brightness tells these scans apart, so that a black middle costs them something.
    assert by_name["mirrored"] == 1.0
    assert by_name["only the border left (outer 8 px)"] < 1.0


def test_the_detectors_figures_are_of_the_test_channel_at_its_own_threshold(
    learnt: Learnt,
) -> None:
    detector = assess.fit_detector(learnt.network, learnt.channels, PARAMETERS)
    servable = Servable(learnt.network, 1.0, 32, detector)
    figures = assess.evaluate_foreign(servable, detector.threshold, learnt.channels, PARAMETERS)
    assert learnt.channels.test is not None
    scores = scoring.as_scores(servable.serving_scores)(learnt.channels.test.pixels[:]).foreign
    assert figures.scans == 10
    assert figures.false_alarms == np.mean(scores > detector.threshold)
    # Most of the pictures are far from these scans, which are noise of a narrow range themselves.
    assert figures.auroc > 0.5
    without_test = replace(learnt.channels, test=None)
    assert assess.evaluate_foreign(servable, 0.0, without_test, PARAMETERS).scans == 12


def test_the_8_bit_copy_answers_as_the_network_does(learnt: Learnt) -> None:
    copy = assess.eight_bit_copy(learnt.network, learnt.channels, seed=0)
    assert copy is not None
    scans = learnt.channels.train.pixels[:][..., np.newaxis].astype(np.float32)
    given, wanted = copy(scans, training=False)[0], learnt.network(scans, training=False)
    np.testing.assert_array_equal(np.argmax(given, axis=1), np.argmax(wanted, axis=1))
    assert 0 < np.abs(given - wanted).max() < 0.2 * np.abs(wanted).max()


def test_the_images_of_the_check_are_means_of_many_scans_and_never_one_of_them(
    learnt: Learnt,
) -> None:
    train = learnt.channels.train
    images = assess.check_images(learnt.channels, seed=0)
    assert images is not None
    assert images.shape == (8, 32, 32)
    assert images.dtype == np.uint8
    for number, name in enumerate(learnt.channels.class_names):
        scans = train.pixels[np.array(train.labels) == name]
        np.testing.assert_allclose(images[number], scans.mean(axis=0), atol=0.5)
    for image in images:
        assert not (image == train.pixels[:]).all(axis=(1, 2)).any()
    again = assess.check_images(learnt.channels, seed=0)
    assert again is not None
    np.testing.assert_array_equal(again, images)


def test_a_class_of_few_scans_or_of_copies_gives_no_image_that_could_show_one(
    learnt: Learnt,
) -> None:
    train = learnt.channels.train
    dark = np.array(train.labels) == "dark"
    # Twenty scans of one class, all neighbouring slices of one another.
    alike = replace(train, groups=np.where(dark, train.groups[dark][0], train.groups))
    images = assess.check_images(replace(learnt.channels, train=alike), seed=0)
    assert images is not None
    assert len(images) == 4
    none = replace(train, groups=np.zeros_like(train.groups))
    assert assess.check_images(replace(learnt.channels, train=none), seed=0) is None
