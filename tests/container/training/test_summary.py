"""training.summary: the result in sentences."""

import numpy as np
import pytest

from brain_tumor.training.bootstrap import Estimate, Interval
from brain_tumor.training.summary import (
    headline_sentence,
    leak_sentence,
    percent,
    with_interval,
)
from tests.evaluations import evaluation_of, findings_of, mask

LABELS, ANSWERS = [0, 1, 2, 0, 1], [0, 1, 2, 1, 0]
NONE = np.zeros(5, np.bool_)


def test_shares_are_written_in_per_cent_with_their_interval() -> None:
    interval = Interval(0.95, 0.8, 0.9512)
    assert with_interval(Estimate(0.9, 0.02, interval)) == "90.0 % (80.0 to 95.1)"
    assert with_interval(Estimate(0.9, None, None)) == "90.0 % (no interval)"
    assert with_interval(None) == percent(None)


def test_a_clean_result_is_called_leak_free() -> None:
    evaluation = evaluation_of(LABELS, ANSWERS, leaks=NONE, resembles=NONE)
    sentence = headline_sentence(findings_of(evaluation))
    assert sentence.startswith("Accuracy 60.0 % (95 % interval ")
    assert sentence.endswith(" on 5 scans of test.")
    assert leak_sentence(evaluation).endswith("the figures are leak-free.")


def test_a_leak_is_said_loudly_with_both_figures() -> None:
    evaluation = evaluation_of(
        LABELS, ANSWERS, leaks=mask(5, 0), resembles=mask(5, 0, 1), channel="test"
    )
    assert "on 3 scans of test that nothing in training resembles." in headline_sentence(
        findings_of(evaluation)
    )
    sentence = leak_sentence(evaluation)
    assert sentence.startswith("LEAK: 1 of the 5 scans of test show a picture")
    assert "2 resemble one. Accuracy on all 5 is 60.0 %" in sentence
    assert "Leak-free accuracy is 33.3 % on 3 scans" in sentence


def test_when_all_leaks_there_is_said_to_be_no_leak_free_figure() -> None:
    every = np.ones(5, np.bool_)
    evaluation = evaluation_of(LABELS, ANSWERS, leaks=every, resembles=every)
    assert "there is no leak-free figure" in leak_sentence(evaluation)
    assert "on 5 scans of test." in headline_sentence(findings_of(evaluation))


def test_new_pictures_that_all_resemble_training_are_not_called_leak_free() -> None:
    evaluation = evaluation_of(LABELS, ANSWERS, leaks=mask(5, 0), resembles=np.ones(5, np.bool_))
    assert "though something like it is" in headline_sentence(findings_of(evaluation))
    assert "no leak-free figure" in leak_sentence(evaluation)


@pytest.mark.parametrize("count", [1, 2])
def test_without_knowledge_of_training_nothing_is_promised(count: int) -> None:
    evaluation = evaluation_of(LABELS[:count], ANSWERS[:count], channel="other.zip")
    assert "not known whether these scans" in leak_sentence(evaluation)
    scans = "1 scan" if count == 1 else "2 scans"
    assert headline_sentence(findings_of(evaluation)).endswith(f" on {scans} of other.zip.")


def test_one_group_alone_is_said_to_have_no_interval() -> None:
    evaluation = evaluation_of(LABELS, ANSWERS, groups=np.zeros(5, np.int32))
    assert "interval not known, all are of one group" in headline_sentence(findings_of(evaluation))
