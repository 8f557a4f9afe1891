"""Fixtures of the training tests."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from brain_tumor.training import learn
from brain_tumor.training.channels import read_channels
from tests.learnt import PARAMETERS, Learnt, scans
from tests.scans import write_folder


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """Train the real network for a few seconds."""
    folder: Path = tmp_path_factory.mktemp("learn")
    folders = {
        name: write_folder(folder / name, scans(count, seed))
        for name, count, seed in (("train", 20, 0), ("val", 6, 1000), ("test", 5, 2000))
    }
    channels = read_channels(folders, PARAMETERS)
    printed = io.StringIO()
    with redirect_stdout(printed):
        network, training = learn.train_network(channels, PARAMETERS, lambda: False)
    return Learnt(channels, network, training, printed.getvalue())
