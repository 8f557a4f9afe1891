"""An image of the shape of AWS's classic sample: what is found in it, and what is said of it."""

from pathlib import Path

import pytest

from local_test.emulator.check.asking import Payload
from local_test.emulator.check.suite import Verdict
from tests.docker import build, docker, needs_docker
from tests.emulator.check.conftest import check_image

_DOCKERFILE = """FROM {base}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/program:$PATH
COPY classic /opt/program
RUN chmod 755 /opt/program/train /opt/program/serve
LABEL com.amazonaws.sagemaker.capabilities.multi-models=false \
    com.amazonaws.sagemaker.capabilities.accept-bind-to-port=false
"""
_TAG = "emulator-test:classic"
# The image itself is the matter of other tests.
_TESTED = ("TRAIN-*", "SERVE*")
_FOUND = {
    "TRAIN-05",  # opens hyperparameters.json without a look
    "TRAIN-16",  # no failure file
    "TRAIN-21",  # SIGTERM not handled
    "TRAIN-23",  # no checkpoint
    "SERVE-04",  # a line as the body of /ping
    "SERVE-05",  # GET alone
    "SERVE-06",  # two workers answer pings and predictions
    "SERVE-13",  # synchronous workers close connections
    "SERVE-15",  # a broken body is 500
    "SERVE-16",  # an empty one, too
    "SERVE-17",  # with the traceback
    "SERVE-18",  # nginx's 5 MB
    "SERVE-22",  # a static 200
    "SERVERLESS-01",  # logs below /var/log
}


@pytest.fixture(scope="module")
def verdicts(python_image: str, tmp_path_factory: pytest.TempPathFactory) -> list[Verdict]:
    folder = tmp_path_factory.mktemp("classic")
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(base=python_image))
    build(_TAG, "-f", folder / "Dockerfile", Path(__file__).parent)
    try:
        return check_image(_TAG, _TESTED, folder / "check", Payload(b"1,2,3\n", "text/csv"))
    finally:
        docker("rmi", "-f", _TAG)


@needs_docker
def test_more_than_ten_real_faults_of_the_classic_sample_are_found(verdicts: list[Verdict]) -> None:
    found = {v.rule.id for v in verdicts if v.outcome.state == "FAIL"}
    assert found >= _FOUND, _FOUND - found
    assert len(_FOUND) > 10


@needs_docker
def test_what_the_sample_does_right_passes(verdicts: list[Verdict]) -> None:
    passed = {v.rule.id for v in verdicts if v.outcome.state == "PASS"}
    assert passed >= {"TRAIN-01", "TRAIN-02", "TRAIN-04", "SERVE-01", "SERVE-03", "SERVE-07"}
