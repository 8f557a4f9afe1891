"""The runtime behind the classifier: uint8 pixels in, scores out."""

from pathlib import Path
from typing import Literal

from brain_tumor import artifact

EngineName = Literal["auto", "tensorflow"]


def load_engine(model_dir: Path, name: EngineName) -> artifact.ScoresFn:
    """Load the SavedModel with the named engine; `auto` takes the fastest one there is.

    TensorFlow is the only one so far. It must be loaded in the process that predicts: its threads
    do not survive a fork.

    Raises:
        ArtifactError: the SavedModel cannot be read.
    """
    del name  # every name means TensorFlow today
    return artifact.load_scores(model_dir)
