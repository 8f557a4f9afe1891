"""An image of the shape of AWS's classic sample: what is found in it, and what is said of it."""

from local_test.emulator.check.suite import Verdict
from tests.docker import needs_docker
from tests.emulator.check.conftest import CLASSIC, ids, of_state

_FOUND = {
    "TRAIN-05",  # opens hyperparameters.json without a look
    "TRAIN-16",  # no failure file
    "TRAIN-21",  # SIGTERM not handled
    "TRAIN-23",  # no checkpoint
    "SERVE-04",  # a line as the body of /ping
    "SERVE-05",  # GET alone
    "SERVE-06",  # two workers answer pings and predictions
    "SERVE-15",  # a broken body is 500
    "SERVE-16",  # an empty one, too
    "SERVE-17",  # with the traceback
    "SERVE-18",  # nginx's 5 MB
    "SERVE-22",  # a static 200
    "SERVERLESS-01",  # nginx's logs below /var/log
}


@needs_docker
def test_more_than_ten_real_faults_of_the_classic_sample_are_found(
    checked_images: dict[str, list[Verdict]],
) -> None:
    lines = [verdict.line for verdict in checked_images[CLASSIC]]
    found = set(ids(of_state("FAIL", checked_images[CLASSIC])))
    assert found >= _FOUND, [line for line in lines if line.split()[1] in _FOUND - found]
    assert len(_FOUND) > 10


@needs_docker
def test_what_is_found_is_what_the_samples_own_nginx_answers(
    checked_images: dict[str, list[Verdict]],
) -> None:
    (line,) = [line for line in of_state("FAIL", checked_images[CLASSIC]) if "SERVE-18" in line]
    assert "413 Request Entity Too Large" in line
    assert "nginx" in line


@needs_docker
def test_what_the_sample_does_right_passes(checked_images: dict[str, list[Verdict]]) -> None:
    passed = set(ids(of_state("PASS", checked_images[CLASSIC])))
    assert passed >= {"TRAIN-01", "TRAIN-02", "TRAIN-04", "SERVE-01", "SERVE-03", "SERVE-07"}
