"""What a user of a model must be warned of; the report and the model card carry all of it.

The figures about the public data set were measured on its 7,019 decodable files; docs/evaluation.md
says how.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caution:
    """One warning."""

    title: str
    text: str


GENERAL = (
    Caution(
        "Not a medical device",
        "No answer is a diagnosis, and nobody has checked the model on patients.",
    ),
    Caution(
        "Two-dimensional",
        "It sees one slice, scaled to a small grey square: no volume, no other sequence, no "
        "history, no millimetres.",
    ),
    Caution(
        "It knows its own classes only",
        "Whatever else a head can hold (metastasis, lymphoma, abscess, multiple sclerosis, "
        "bleeding) is forced into one of them.",
    ),
    Caution(
        "Patients are not known",
        "Image files carry no patient's name, so slices of one patient may stand on both sides of "
        "a split. Even the leak-free figures may be too high.",
    ),
    Caution(
        "Prevalence",
        "The classes are about as frequent as in the test set, which is nothing like a clinic. "
        "Precision is that of the test set; look at the predictive values at 1 % and 30 %.",
    ),
    Caution(
        "Confidence holds at home only",
        "Probabilities are calibrated on scans like those of training. On other scanners, "
        "hospitals or sequences they may be far too high.",
    ),
    Caution(
        "Heat maps prove nothing",
        "A heat map shows what moved the answer, not where a lesion is.",
    ),
    Caution(
        "Before any claim",
        "A radiologist has to review a sample of the no-tumour scans and all errors.",
    ),
)

PUBLIC_DATA = (
    Caution(
        "One source of tumours",
        "Its tumours are single slices, nearly all T1-weighted with contrast, from two Chinese "
        "hospitals, 2005-2010. Age, scanner and ethnicity are not known.",
    ),
    Caution(
        "No tumour is not healthy",
        "Its `notumor` images are T2, FLAIR, T1 and about 5 % CT from other sources on the web, "
        "visible lesions among them. Specificity is therefore in part a test of the source.",
    ),
    Caution(
        "Three kinds of tumour",
        "It holds glioma, meningioma and pituitary tumours, and no other kind.",
    ),
    Caution(
        "Its official split leaks",
        "76 % of its official test images stand in its Training folder too, most of them mirrored. "
        "The nearest neighbour of a 16 x 16 thumbnail is right on 98.7 % of that test set, and on "
        "78.8 % once the leak is out. A figure on that split measures memory.",
    ),
    Caution(
        "Labels are not always right",
        "Four pictures stand in two classes; there are more wrong labels than can be seen so.",
    ),
    Caution(
        "A quarter to a third each",
        "Every class is 23 to 29 % of its images, far more than among people who are scanned.",
    ),
)
"""If the model was trained on the public data set (Kaggle, masoudnickparvar, first edition)."""

IMAGENET = Caution(
    "Weights from ImageNet",
    "Training began with weights learnt on ImageNet, whose images are for non-commercial research; "
    "whether that binds a model which began with them is not settled.",
)
"""If training began with pretrained weights."""

STOPPED = Caution(
    "Stopped before its end",
    "Training was asked to stop, so the model knows less than it could have learnt: it is the best "
    "of what there was. `training_history.json` says how far training had come.",
)
"""If the job got SIGTERM while it trained."""
