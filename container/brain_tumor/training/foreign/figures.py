"""How well foreign pictures are told from scans, measured as it will be served."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from brain_tumor import scoring
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.images import Pixels
from brain_tumor.training.evaluation import ForeignFigures
from brain_tumor.training.foreign.bank import DRAWN, SPOILT, draw_bank, pictures_of_each

_BATCH = 64


def foreign_figures(
    scores: scoring.ScoresFn, threshold: float, scans: Pixels | StoredPixels, seed: int
) -> ForeignFigures:
    """Score scans and 6 to 20 pictures of every kind, more beside more scans.

    The kinds in `bank.UNSEEN` are among them: no detector was fitted on those.

    Args:
        scores: of the model that is served.
        threshold: a picture with a higher score is refused.
        scans: (n, size, size) scans that took no part in fitting.
        seed: of the pictures; another one than that of fitting.
    """
    each = pictures_of_each(len(scans))
    bank = draw_bank([*DRAWN, *SPOILT], each, scans.shape[1], seed, scans)

    def foreign(pixels: Pixels) -> NDArray[np.float32]:
        return scores(pixels).foreign

    ours = scoring.in_batches(foreign, scans, _BATCH)
    others = scoring.in_batches(foreign, bank.pixels, _BATCH)
    where_95_are_refused = np.quantile(others, 0.05, method="lower")
    kinds = np.array(bank.kinds)
    return ForeignFigures(
        pictures=len(others),
        scans=len(ours),
        auroc=float(
            roc_auc_score(
                np.repeat([0, 1], [len(ours), len(others)]), np.concatenate([ours, others])
            )
        ),
        false_alarms_at_95=float(np.mean(ours >= where_95_are_refused)),
        false_alarms=float(np.mean(ours > threshold)),
        refused={
            kind: float(np.mean(others[kinds == kind] > threshold)) for kind in (*DRAWN, *SPOILT)
        },
    )
