"""The SageMaker Pipeline: prepare, train, evaluate, and register what is good enough.

Plain JSON, made here: its steps are the requests of boto3, so botocore can check each of them, and
the SDK's builder, with 80 packages more, is not needed for five of them.
"""

from typing import Any

from deploy import jobs, places, prices, tags
from deploy.commands.register import package_request
from deploy.commands.upload import CHANNELS
from deploy.session import Aws

_HERE = "/opt/ml/processing"
_PROCESSING = "ml.m5.xlarge"
_MINUTES = 120
_PREPARED = "prepared"
# The lower end of the interval: a lucky draw of few test scans is not enough.
_ACCURACY = "multiclass_classification_metrics.accuracy.confidence_interval.lower"


def make(aws: Aws, job: jobs.Job, archive: str, group: str, least: float) -> dict[str, Any]:
    """Make the definition.

    Args:
        aws: who asks.
        job: image, machines and hyperparameters of the training; its channels are replaced.
        archive: S3 URI of the zip of class folders.
        group: model package group of what is registered.
        least: the lower end of the accuracy's interval that is wanted.
    """
    return {
        "Version": "2020-12-01",
        "Parameters": [
            {"Name": "Archive", "Type": "String", "DefaultValue": archive},
            {"Name": "InstanceType", "Type": "String", "DefaultValue": job.instance_type},
            {"Name": "LeastAccuracy", "Type": "Float", "DefaultValue": least},
        ],
        "Steps": [
            _prepare(aws, job),
            _train(aws, job),
            _evaluate(aws, job),
            _condition(job, group),
        ],
    }


def cost(aws: Aws, job: jobs.Job) -> str:
    """Say what an execution costs at most: training, and the two steps beside it."""
    beside = prices.sentence(aws, _PROCESSING, hours=2 * _MINUTES / 60)
    return f"Training: {job.cost(aws)}\nPreparing and evaluating: {beside}"


def _get(what: str) -> dict[str, str]:
    return {"Get": what}


def _join(*values: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": "/", "Values": list(values)}}


def _place(aws: Aws, name: str) -> dict[str, Any]:
    """Give an S3 prefix of this execution alone; what holds scans lies where they are forgotten."""
    execution = _get("Execution.PipelineExecutionId")
    top = places.PIPELINE_SCANS if name == _PREPARED else "pipelines"
    return _join(f"s3://{aws.bucket}/{top}", execution, name)


def _output(step: str, name: str) -> dict[str, str]:
    return _get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")


def _job_name(aws: Aws, step: str) -> str:
    """Give the first part of a job's name, by which `delete` finds it and the policies allow it.

    The platform puts it before what it makes up, and takes 38 characters: a project has up to 30.
    """
    return f"{aws.project}-{step}"


def _prepare(aws: Aws, job: jobs.Job) -> dict[str, Any]:
    command = ["brain-tumor", "prepare", f"{_HERE}/archive", f"{_HERE}/prepared"]
    inputs = {"archive": _get("Parameters.Archive")}
    return {
        "Name": "Prepare",
        "Type": "Processing",
        "Arguments": _processing(aws, job, "prepare", command, inputs, _PREPARED),
    }


def _train(aws: Aws, job: jobs.Job) -> dict[str, Any]:
    channels = {name: _join(_output("Prepare", _PREPARED), zip) for name, zip in CHANNELS.items()}
    request = jobs.definition(aws, job)
    request["InputDataConfig"] = jobs.channels(channels, sharded=False)
    request["ResourceConfig"]["InstanceType"] = _get("Parameters.InstanceType")
    return {
        "Name": "Train",
        "Type": "Training",
        "Arguments": {
            "TrainingJobName": _job_name(aws, "train"),
            **request,
            "HyperParameters": job.hyperparameters,
            "Tags": [*tags.as_list(aws.project), tags.OF_PIPELINE],
        },
    }


def _evaluate(aws: Aws, job: jobs.Job) -> dict[str, Any]:
    # The archive comes as it is, not unpacked as for an endpoint.
    command = (
        f"mkdir {_HERE}/unpacked && tar -xzf {_HERE}/model/model.tar.gz -C {_HERE}/unpacked && "
        f"exec brain-tumor evaluate {_HERE}/unpacked {_HERE}/test {_HERE}/evaluation"
    )
    inputs = {
        "model": _get("Steps.Train.ModelArtifacts.S3ModelArtifacts"),
        "test": _join(_output("Prepare", _PREPARED), CHANNELS["test"]),
    }
    return {
        "Name": "Evaluate",
        "Type": "Processing",
        "Arguments": _processing(
            aws, job, "eval", ["/bin/bash", "-c", command], inputs, "evaluation"
        ),
        "PropertyFiles": [
            {
                "PropertyFileName": "Evaluation",
                "OutputName": "evaluation",
                "FilePath": "evaluation.json",
            }
        ],
    }


def _processing(
    aws: Aws, job: jobs.Job, step: str, command: list[str], inputs: dict[str, Any], output: str
) -> dict[str, Any]:
    """Make the parameters of CreateProcessingJob: a command of the image between S3 folders."""
    return {
        "ProcessingJobName": _job_name(aws, step),
        "AppSpecification": {
            "ImageUri": job.image,
            "ContainerEntrypoint": command[:-1] if command[1] == "-c" else command[:1],
            "ContainerArguments": command[-1:] if command[1] == "-c" else command[1:],
        },
        "ProcessingInputs": [
            {
                "InputName": name,
                "S3Input": {
                    "S3Uri": uri,
                    "LocalPath": f"{_HERE}/{name}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for name, uri in inputs.items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": output,
                    "S3Output": {
                        "S3Uri": _place(aws, output),
                        "LocalPath": f"{_HERE}/{output}",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": _PROCESSING,
                "InstanceCount": 1,
                "VolumeSizeInGB": job.volume_gb,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 60 * _MINUTES},
        "NetworkConfig": {"EnableNetworkIsolation": True},
        "RoleArn": aws.role_arn,
        "Tags": tags.as_list(aws.project),
    }


def _condition(job: jobs.Job, group: str) -> dict[str, Any]:
    measured = {
        "Std:JsonGet": {
            "PropertyFile": _get("Steps.Evaluate.PropertyFiles.Evaluation"),
            "Path": _ACCURACY,
        }
    }
    enough = {
        "Type": "GreaterThanOrEqualTo",
        "LeftValue": measured,
        "RightValue": _get("Parameters.LeastAccuracy"),
    }
    return {
        "Name": "GoodEnough",
        "Type": "Condition",
        "Arguments": {"Conditions": [enough], "IfSteps": [_register(job, group)], "ElseSteps": []},
    }


def _register(job: jobs.Job, group: str) -> dict[str, Any]:
    container = {
        "Image": job.image,
        "ModelDataUrl": _get("Steps.Train.ModelArtifacts.S3ModelArtifacts"),
    }
    evaluation = _join(_output("Evaluate", "evaluation"), "evaluation.json")
    return {
        "Name": "Register",
        "Type": "RegisterModel",
        # A person approves it.
        "Arguments": package_request(group, container, evaluation, "PendingManualApproval"),
    }
