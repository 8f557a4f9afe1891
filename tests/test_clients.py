"""The blocks of docs/clients.md, run as a reader would: curl, urllib, and boto3 on the emulator.

Those of a server on premises are run by tests/deploy/test_on_premises.py.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests import endpoints
from tests.jobs import ROOT
from tests.scans import encode, head, png
from tests.server import Server

_BLOCK = re.compile(
    r"^(?P<elsewhere><!-- tested: on premises -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.M | re.S,
)
_BLOCKS = [
    (match["language"], match["code"])
    for match in _BLOCK.finditer((ROOT / "docs/clients.md").read_text())
    if not match["elsewhere"]
]


@pytest.fixture(scope="module")
def environment(server: Server) -> Iterator[dict[str, str]]:
    """Give what lets boto3 find the emulator, and no AWS account of the machine's."""
    with endpoints.running(server, "brain-tumor") as url:
        yield {
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the two scans that the page names."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "scan.jpg").write_bytes(encode(head(0), "JPEG"))
    (folder / "scan.png").write_bytes(encode(head(0), "PNG"))
    return folder


@pytest.mark.parametrize(("language", "code"), _BLOCKS, ids=range(len(_BLOCKS)))
def test_every_block_of_the_page_works(
    server: Server, environment: dict[str, str], folder: Path, language: str, code: str
) -> None:
    command = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "python": [sys.executable, "-W", "ignore", "-c"],
    }[language]
    code = code.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    done = subprocess.run(
        [*command, code],
        cwd=folder,
        env={**os.environ, **environment, "NO_PROXY": "127.0.0.1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    scan = (folder / "scan.png").read_bytes()
    reply = server.request("POST", "/invocations", scan, {"Content-Type": "image/png"})
    (entry,) = json.loads(reply.body)["predictions"]
    if "no image" in code:
        assert "those of no image" in done.stdout
    elif "csv" in code or "npy" in code:
        numbers = [float(number) for number in re.findall(r"\d\.\d+(?:e-\d+)?", done.stdout)]
        expected = list(entry["probabilities"].values())
        assert numbers[:4] == pytest.approx(expected, abs=0.02)
    else:
        assert done.stdout.count(entry["label"]) >= 1 + code.count("scan.jpg scan.png")


def test_the_page_shows_every_request_and_reply_format_and_all_three_clients() -> None:
    page = "".join(code for _, code in _BLOCKS)
    for word in (
        *("image/jpeg", "application/json", "application/jsonlines", "application/x-npy"),
        *("-F file=", "text/csv", "curl", "urllib", "invoke_endpoint("),
    ):
        assert word in page, word


@pytest.fixture
def runtime(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give boto3's client of the emulator."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return boto3.client("sagemaker-runtime")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_boto3_gets_a_stream_in_parts(runtime: Any) -> None:
    reply = runtime.invoke_endpoint_with_response_stream(
        EndpointName="brain-tumor",
        ContentType="application/jsonlines",
        Accept="application/jsonlines",
        Body=b"[[0, 255], [100, 50]]\n" * 40,
    )
    parts = [event["PayloadPart"]["Bytes"].count(b"\n") for event in reply["Body"]]
    assert parts == [16, 16, 8]
    assert reply["ContentType"] == "application/jsonlines"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_boto3_is_told_that_there_are_no_sessions(runtime: Any) -> None:
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(
            EndpointName="brain-tumor",
            ContentType="image/png",
            SessionId="NEW_SESSION",
            Body=png(0),
        )
    assert caught.value.response["OriginalStatusCode"] == 400
    assert "keeps no sessions" in caught.value.response["OriginalMessage"]
