"""SageMaker's ModelTrainer, as docs/aws.md has one use it, starts the job of `train`."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy import jobs
from deploy.commands.upload import CHANNELS, channel_prefix
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import succeed
from tests.deploy.tools import TOOLS, needs_sdk, needs_tool
from tests.jobs import ROOT, SDK

_TRAINER = "model-trainer"
# The SDK reports from a daemon thread, which would end unheard with the snippet.
_LINGER = """
import threading
for thread in threading.enumerate():
    if thread.name == "sagemaker-telemetry":
        thread.join(30)
"""
_SECTION = (ROOT / "docs/aws.md").read_text().split("### With ModelTrainer all the same")[1]


def _block(language: str) -> str:
    """Give the section's block, filled in as its text says."""
    found = re.search(rf"^```{language}\n(.*?)^```$", _SECTION, re.M | re.S)
    assert found
    code = found[1].replace("ACCOUNT", loopback.ACCOUNT).replace("REGION", loopback.REGION)
    return code.replace("DIGEST", 64 * "0")


def _record(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give the list of what CreateTrainingJob gets.

    Of the role moto is let say what AWS says to an administrator: its boundary allows none of it.
    """
    from moto.core.responses import ActionResult
    from moto.iam.responses import IamResponse
    from moto.sagemaker.responses import SageMakerResponse

    made: list[dict[str, Any]] = []
    create = SageMakerResponse.create_training_job

    def record(response: Any) -> Any:
        made.append(json.loads(response.body))
        return create(response)

    def judge(response: Any) -> Any:
        denied = {
            "EvalDecision": "implicitDeny",
            "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False},
        }
        actions = response._get_param("ActionNames")
        results = [{"EvalActionName": action, **denied} for action in actions]
        return ActionResult({"EvaluationResults": results, "IsTruncated": False})

    monkeypatch.setattr(SageMakerResponse, "create_training_job", record)
    monkeypatch.setattr(IamResponse, "simulate_principal_policy", judge, raising=False)
    return made


def _run(code: str, folder: Path) -> list[str]:
    """Run code in the SDK's environment; give what was asked of servers outside of loopback."""
    (folder / "config.yaml").write_text(_block("yaml"))
    with loopback.refusing_server() as (proxy, asked):
        done = subprocess.run(
            [SDK, "-c", code + _LINGER],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(TOOLS / _TRAINER),
                "AWS_DEFAULT_REGION": loopback.REGION,
                "SAGEMAKER_USER_CONFIG_OVERRIDE": str(folder / "config.yaml"),
                "HTTPS_PROXY": proxy,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    return asked


def _of_train(metrics: list[dict[str, str]]) -> dict[str, Any]:
    """Give what `train --spot -s epochs=22` asks for."""
    (image,) = re.findall(r'^IMAGE = "(.*)"$', _block("python"), re.M)
    bucket = f"s3://{loopback.BUCKET}"
    job = jobs.Job(
        image=image,
        instance_type="ml.m5.xlarge",
        spot=True,
        hyperparameters={"epochs": "22"},
        metrics=metrics,
        channels={name: f"{bucket}/{channel_prefix(name)}" for name in CHANNELS},
    )
    aws = Aws(None, loopback.REGION)
    return jobs.training_request(aws, "brain-tumor-1", job, "brain-tumor-1")


@needs_sdk
@needs_tool(_TRAINER)
def test_model_trainer_as_documented_starts_the_job_of_train_and_reports_nothing(
    account: str, answers: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    succeed("setup", "--yes")
    metrics = Path(answers[1]).read_text()
    (tmp_path / "metrics.json").write_text(metrics)
    made = _record(monkeypatch)
    assert _run(_block("python"), tmp_path) == []
    (request,) = made
    assert re.fullmatch(r"brain-tumor-\d{14}", request["TrainingJobName"])
    wanted = _of_train(json.loads(metrics))
    # What the SDK spells out are the platform's defaults, and curves are drawn of any metrics.
    wanted["TrainingJobName"] = request["TrainingJobName"]
    wanted["OutputDataConfig"]["CompressionType"] = "GZIP"
    wanted["CheckpointConfig"]["LocalPath"] = "/opt/ml/checkpoints"
    for channel in wanted["InputDataConfig"]:
        channel["InputMode"] = "File"
    del wanted["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"]
    assert request == wanted
    assert re.search(r"^training job +brain-tumor-\d{14} ", succeed("status"), re.M)
