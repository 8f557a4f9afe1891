"""The commands that serve, in a process of their own, with stubs in place of images."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from local_test.emulator.cli import main
from tests.emulator.hosting.conftest import STUB, model_archive, runtime
from tests.jobs import ROOT

_COMMAND = (sys.executable, "-m", "local_test.emulator")
_MODELS = f"env PYTHONPATH={ROOT} {sys.executable} -m tests.emulator.hosting.models_stub"


@contextlib.contextmanager
def _emulated(*words: object) -> Iterator[str]:
    """Run a command that serves; give its URL, and end it with Ctrl-C."""
    with subprocess.Popen(
        [*_COMMAND, *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout
        url = running.stdout.readline().decode().strip()
        try:
            yield url
        finally:
            running.send_signal(signal.SIGINT)
            _, log = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGINT, log.decode()
    assert b"Traceback" not in log


def test_an_asynchronous_endpoint_writes_where_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "s3/bucket").mkdir(parents=True)
    (tmp_path / "s3/bucket/scan").write_bytes(b"x")
    words = ["--s3", tmp_path / "s3", "--notifications", tmp_path / "told", "--output", "s3://o"]
    with (
        _emulated("async", "--command", STUB, *words) as url,
        contextlib.closing(runtime(url)) as client,
    ):
        accepted = client.invoke_endpoint_async(
            EndpointName="emulator", InputLocation="s3://bucket/scan"
        )
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("told/success/*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert (tmp_path / "s3" / accepted["OutputLocation"].removeprefix("s3://")).is_file()


def test_a_multi_model_endpoint_serves_a_folder_of_archives(tmp_path: Path) -> None:
    model_archive(tmp_path, {"weights": b"north"}, "north.tar.gz")
    with (
        _emulated("multi-model", "--command", _MODELS, "--models", tmp_path) as url,
        contextlib.closing(runtime(url)) as client,
    ):
        answered = client.invoke_endpoint(
            EndpointName="emulator", TargetModel="north.tar.gz", Body=b"x"
        )
        assert json.loads(answered["Body"].read())["weights"] == "north"


def test_a_pipeline_of_two_commands() -> None:
    with (
        _emulated("pipeline", "--command", STUB, "--command", STUB) as url,
        contextlib.closing(runtime(url)) as client,
    ):
        answered = client.invoke_endpoint(EndpointName="emulator", Body=b"x")
        first = json.loads(answered["Body"].read())
        assert first["environment"]["SAGEMAKER_SAFE_PORT_RANGE"] == "22000-22999"


def test_a_container_that_ends_ends_the_endpoint_with_its_log() -> None:
    words = [*_COMMAND, "serve", "--command", STUB]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        url = running.stdout.readline().strip()
        with (
            contextlib.closing(runtime(url)) as client,
            pytest.raises(client.exceptions.ModelError),
        ):
            client.invoke_endpoint(EndpointName="emulator", Body=b'{"die": 5}')
        _, log = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "primary ended with exit code 5" in log


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["serve"], "Give an IMAGE, or --command"),
        (["serve", "image", "--command", "serve"], "Give an IMAGE, or --command"),
        (["serve", "--command", "serve", "--memory", "1g"], "no emulation of a memory limit"),
        (["serve", "--command", "serve", "--isolated"], "no emulation of network isolation"),
        (["serve", "--command", "no-such-program"], "no-such-program cannot be started"),
        (["serve", "--command", "serve '"], "--command serve ': No closing quotation"),
        (["pipeline", "--command", STUB, "--command", "'"], "--command ': No closing quotation"),
        (["serve", "--command", "serve", "--env", "K"], "--env K: wanted key=value"),
        (["serverless", "image", "--memory", "1g"], "No such option"),
        (["pipeline", "one"], "1 containers in a pipeline"),
        (["pipeline", "one", "--command", "two"], "Give images, or --command"),
        (["pipeline", "one", "two", "--model", str(ROOT)], "1 times --model for 2 containers"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_no_traceback(
    words: list[str], reason: str
) -> None:
    refused = CliRunner().invoke(main, words)
    # An exception that is no exit would be a traceback.
    assert isinstance(refused.exception, SystemExit)
    assert refused.exit_code in {1, 2}
    assert reason in refused.stderr
