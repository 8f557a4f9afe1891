"""Our own package behind the emulator, as a user runs it: the command line, boto3."""

import contextlib
import json
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator.hosting.conftest import runtime
from tests.jobs import BIN, ROOT


@contextlib.contextmanager
def emulated(*words: object) -> Iterator[str]:
    """Run a command of the emulator that serves; give its URL, and end it with Ctrl-C."""
    command = [sys.executable, "-m", "local_test.emulator", *map(str, words)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        assert running.stderr
        try:
            url = running.stdout.readline().strip()
            assert url, running.stderr.read()
            yield url
        finally:
            running.send_signal(signal.SIGINT)
            running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGINT


@pytest.fixture(scope="session")
def archive(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model.tar.gz of the trained phantoms."""
    path = tmp_path_factory.mktemp("archive") / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for member in sorted((trained / "model").iterdir()):
            tar.add(member, member.name)
    return path


def test_our_own_package_answers_boto3_and_ends_with_ctrl_c(archive: Path, prepared: Path) -> None:
    with zipfile.ZipFile(prepared / "Test.zip") as scans:
        scan = scans.read(min(scans.namelist()))
    with (
        emulated("serve", "--command", BIN / "serve", "--model", archive) as url,
        contextlib.closing(runtime(url)) as client,
    ):
        call = {"EndpointName": "emulator", "ContentType": "image/jpeg"}
        answered = client.invoke_endpoint(**call, Body=scan)
        (entry,) = json.loads(answered["Body"].read())["predictions"]
        assert entry["label"] in {"glioma", "meningioma", "notumor", "pituitary"}
        with pytest.raises(client.exceptions.ModelError) as refused:
            client.invoke_endpoint(**call, Body=scan[:600])
        assert refused.value.response["OriginalStatusCode"] == 400
        assert "truncated" in refused.value.response["OriginalMessage"]
