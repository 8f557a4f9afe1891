"""training.documents: the page and the model card."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brain_tumor.training.bootstrap import Estimate, Interval
from brain_tumor.training.cautions import GENERAL, IMAGENET, PUBLIC_DATA
from brain_tumor.training.documents import (
    decimals,
    points,
    worst_errors,
    write_model_card,
    write_page,
)
from brain_tumor.training.quality import Findings
from brain_tumor.training.robustness import Condition, Robustness
from tests.evaluations import FOREIGN, drawn_evaluation, evaluation_of, findings_of, mask

LEAKY = drawn_evaluation(90, leaks=mask(90, *range(40)), resembles=mask(90, *range(60)))
STRESSED = Robustness(
    scans=30,
    clean_accuracy=0.9,
    majority_share=0.4,
    conditions=[
        Condition("shortcut", "no border", 0.85, Estimate(-0.05, 0.01, Interval(0.95, -0.1, 0.0)))
    ],
)
PICTURES = ("confusion_matrix", "reliability", "risk_coverage", "roc_curves", "robustness")


class _Reader(HTMLParser):
    """Collects what a browser would load, and refuses tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _page(findings: Findings, folder: Path) -> str:
    picture = folder / "picture.png"
    Image.new("L", (8, 8)).save(picture)
    write_page(findings, dict.fromkeys(PICTURES, picture), folder / "report.html")
    return (folder / "report.html").read_text()


def _card(folder: Path, evaluation: Any = LEAKY, **changes: Any) -> str:
    write_model_card(findings_of(evaluation, **changes), folder / "MODEL_CARD.md")
    return (folder / "MODEL_CARD.md").read_text()


@pytest.fixture(scope="module")
def leaky_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the page of a leaky evaluation, once for all tests that only read it."""
    return _page(findings_of(LEAKY), tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def leaky_card(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the model card of a leaky evaluation."""
    return _card(tmp_path_factory.mktemp("card"))


def _words(text: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", text).replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_page_is_whole_in_itself_and_well_formed(tmp_path: Path) -> None:
    page = _page(findings_of(LEAKY, robustness=STRESSED, foreign=FOREIGN), tmp_path)
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    assert "<script" not in page
    for link in reader.loaded:
        assert link.startswith(("data:image/png;base64,", "#"))
    assert f'id="{next(link for link in reader.loaded if link[0] == "#")[1:]}"' in page


def test_the_page_says_first_that_this_is_no_medical_device_then_the_headline(
    tmp_path: Path,
) -> None:
    text = _words(_page(findings_of(LEAKY), tmp_path))
    device = text.index("Not a medical device")
    headline = text.index("on 30 scans of test that nothing in training resembles")
    assert device < headline < text.index("LEAK: 40 of the 90 scans") < text.index("Each class")


def test_leak_free_and_leaky_figures_stand_side_by_side_in_page_and_card(tmp_path: Path) -> None:
    findings = findings_of(LEAKY)
    accuracies = [
        f"{100 * part.accuracy:.1f} %" for part in LEAKY.subsets().values() if part is not None
    ]
    for text in (_page(findings, tmp_path), _card(tmp_path)):
        words = _words(text.replace("|", " "))
        assert "picture is not in training scans that nothing in training resembles" in words
        row = words[words.index(" Accuracy ", words.index("groups 90 50 30")) :]
        places = [row.index(accuracy) for accuracy in accuracies]
        assert places == sorted(places)
        assert places[-1] < row.index("Balanced accuracy")


def test_an_empty_set_is_shown_as_empty(tmp_path: Path) -> None:
    every = np.ones(90, np.bool_)
    findings = findings_of(drawn_evaluation(90, leaks=mask(90, 1), resembles=every))
    text = _words(_page(findings, tmp_path))
    assert "Scans 90 89 no scan" in text
    assert "no leak-free figure" in text


@pytest.mark.parametrize("caution", [*GENERAL, *PUBLIC_DATA], ids=lambda caution: caution.title)
def test_page_and_card_carry_every_warning(caution: Any, leaky_page: str, leaky_card: str) -> None:
    assert caution.text in _words(leaky_page)
    assert f"**{caution.title}.** {caution.text}" in leaky_card


@pytest.mark.parametrize(
    "words",
    [
        "No answer is a diagnosis",
        "two Chinese hospitals, 2005-2010",
        "No tumour is not healthy",
        "visible lesions",
        "about 5 % CT",
        "test of the source",
        "metastasis, lymphoma, abscess, multiple sclerosis",
        "Age, scanner and ethnicity are not known",
        "76 % of its official test images",
        "98.7 % of that test set, and on 78.8 %",
        "Patients are not known",
        "nothing like a clinic",
        "Four pictures stand in two classes",
        "calibrated on scans like those of training",
        "not where a lesion is",
        "A radiologist has to review a sample",
        "CC BY 4.0",
        "SARTAJ",
        "Br35H: no licence found",
        "Out of scope",
        "How it was measured",
        "do not pass the images on",
    ],
)
def test_the_card_says(words: str, leaky_card: str) -> None:
    assert words in _words(leaky_card)


def test_the_terms_of_imagenet_are_named_only_for_weights_that_come_from_there(
    tmp_path: Path,
) -> None:
    pretrained = {"hyperparameters": {"backbone": "lite0", "pretrained": True}}
    assert IMAGENET.text in _card(tmp_path, info=pretrained)
    assert "| Start of training | pretrained weights (ImageNet) |" in _card(
        tmp_path, info=pretrained
    )
    scratch = _card(tmp_path, info={"hyperparameters": {"backbone": "small"}})
    assert IMAGENET.title not in scratch
    assert "| Network | small, input 32 x 32" in scratch


def test_the_card_is_markdown_whose_tables_have_as_many_cells_in_every_row(
    tmp_path: Path,
) -> None:
    card = _card(tmp_path, robustness=STRESSED, foreign=FOREIGN)
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({line.rstrip().rstrip("|").count("|") for line in table.splitlines()}) == 1
    assert "&#39;" not in card
    assert "\n\n\n" not in card


def test_robustness_is_listed_or_its_absence_explained(tmp_path: Path) -> None:
    measured = findings_of(LEAKY, robustness=STRESSED)
    assert "no border 85.0 % -5.0 (-10.0 to +0.0)" in _words(_page(measured, tmp_path))
    assert "| no border |" in _card(tmp_path, robustness=STRESSED)
    skipped = findings_of(LEAKY, robustness=Robustness(skipped="the job was asked to stop"))
    assert "Not measured : the job was asked to stop" in _words(
        _page(skipped, tmp_path).replace(":", " :")
    )
    assert "not measured: the job was asked to stop" in _card(
        tmp_path, robustness=Robustness(skipped="the job was asked to stop")
    )


def test_foreign_pictures_are_listed_or_their_absence_explained(tmp_path: Path) -> None:
    text = _words(_page(findings_of(LEAKY, foreign=FOREIGN), tmp_path))
    for words in ("AUROC 0.991", "1.2 % of the scans", "0.4 % of the scans", "photograph 97.5 %"):
        assert words in text
    assert "AUROC 0.991" in _card(tmp_path, foreign=FOREIGN)
    assert "answers any picture with one of its classes" in _words(
        _page(findings_of(LEAKY), tmp_path)
    )


def test_figures_on_validation_are_said_to_be_too_high(tmp_path: Path) -> None:
    none = np.zeros(90, np.bool_)
    on_val = drawn_evaluation(90, channel="val", validated_on=True, leaks=none, resembles=none)
    assert "There was no test channel" in _words(_page(findings_of(on_val), tmp_path))
    assert "There was no test channel" in _words(_card(tmp_path, on_val))
    # An archive may be called val, too.
    assert "There was no test channel" not in _words(
        _card(tmp_path, drawn_evaluation(90, channel="val"))
    )


def test_abstention_is_told_with_what_it_leaves(tmp_path: Path) -> None:
    unsure = drawn_evaluation(90, threshold=0.6)
    findings = findings_of(unsure, info={"thresholds": {"confident": 0.6}})
    text = _words(_page(findings, tmp_path))
    assert "is below 0.600 is answered uncertain" in text
    assert f"That is {100 * (unsure.confidence < 0.6).mean():.1f} %" in text
    assert "This model has no threshold" in _words(_page(findings_of(LEAKY), tmp_path))


def test_the_gallery_shows_the_most_confident_errors_as_the_network_saw_them() -> None:
    evaluation = drawn_evaluation(90)
    errors = worst_errors(evaluation)
    wrong = ~evaluation.correct
    assert len(errors) == min(12, wrong.sum())
    assert errors[0].probability == evaluation.confidence[wrong].max()
    assert [e.probability for e in errors] == sorted((e.probability for e in errors), reverse=True)
    row = evaluation.files.index(errors[0].file)
    assert errors[0].label == evaluation.class_names[evaluation.labels[row]] != errors[0].predicted
    png = base64.b64decode(errors[0].picture.removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), evaluation.pixels[row])


def test_a_model_without_errors_has_none_to_show(tmp_path: Path) -> None:
    perfect = evaluation_of([0, 1, 2], [0, 1, 2])
    assert worst_errors(perfect) == []
    assert "There is no error among these scans" in _page(findings_of(perfect), tmp_path)


def test_names_from_an_archive_cannot_bring_markup_into_the_page(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", "b"]
    page = _page(findings_of(evaluation_of([0, 1], [1, 1], class_names=names)), tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_numbers_are_written_shortly() -> None:
    assert decimals(0.12345) == "0.123"
    assert decimals(None) not in ("", "None")
    assert points(Estimate(-0.051, None, None)) == "-5.1"
