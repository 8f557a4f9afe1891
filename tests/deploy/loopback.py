"""AWS on loopback: moto's server over HTTP, and a server that refuses all."""

import hashlib
import json
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.aws import ACCOUNT, ECR, REGION
from tests.deploy.moto_updates import update_endpoint

__all__ = ["ACCOUNT", "REGION"]
SERVICES = {
    "application-auto-scaling": "application-autoscaling",
    "cloudwatch-logs": "logs",
    "resource-groups-tagging-api": "tag",
    "sagemaker-runtime": "sagemaker",
}
"""What IAM calls services that a dry run calls otherwise."""
BUCKET = f"brain-tumor-{ACCOUNT}-{REGION}"


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's server; give its URL."""
    from moto.server import ThreadedMotoServer

    _mend_moto()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def reset(url: str) -> None:
    """Let moto forget all that was made."""
    request = urllib.request.Request(f"{url}/moto-api/reset", method="POST")
    urllib.request.urlopen(request, timeout=10).close()


def environment(url: str, home: Path) -> dict[str, str]:
    """Give the variables with which any AWS tool talks to `url` alone, and reads no ~/.aws."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class _Refuses(BaseHTTPRequestHandler):
    requests: list[str]

    def handle_one_request(self) -> None:
        self.requests.append(self.rfile.readline().decode())
        self.wfile.write(b"HTTP/1.0 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def refusing_server() -> Iterator[tuple[str, list[str]]]:
    """Run a server that answers 403 to all; give its URL and the list of what it was asked."""
    asked: list[str] = []
    handler = type("Handler", (_Refuses,), {"requests": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _mend_moto() -> None:
    """Give moto the calls of SageMaker's API that it lacks, so that `delete` can be followed.

    Let it treat a scalable target as AWS does: tags are refused where it is there already, and its
    policies go with it.
    And keep it from judging bucket policies: it does not read their conditions, so that a refusal
    of what comes without TLS refuses all. On loopback there is no TLS.
    New buckets are closed to the public, as AWS's are since April 2023.
    """
    from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket
    from moto.sagemaker.responses import SageMakerResponse

    for stem, store in _DELETED.items():
        setattr(SageMakerResponse, f"delete_{stem}", _delete_from(stem, store))
    SageMakerResponse.update_endpoint = update_endpoint  # type: ignore[attr-defined]
    scaling: Any = ApplicationAutoScalingResponse
    scaling.register_scalable_target = _refuse_tags(scaling.register_scalable_target)
    scaling.deregister_scalable_target = _with_policies(scaling.deregister_scalable_target)
    FakeBucket.__init__ = _closed(FakeBucket.__init__)  # type: ignore[method-assign]
    FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL  # type: ignore[method-assign]


def _closed(make: Any) -> Any:
    """Let a new bucket be closed to the public."""

    def make_closed(bucket: Any, *given: Any, **named: Any) -> None:
        from moto.s3.models import PublicAccessBlock

        make(bucket, *given, **named)
        bucket.public_access_block = PublicAccessBlock("true", "true", "true", "true")

    return make_closed


_DELETED = {
    "training_job": "training_jobs",
    "processing_job": "processing_jobs",
    "model_package": "model_packages",
    "model_package_group": "model_package_groups",
}


def _delete_from(stem: str, store: str) -> Any:
    """Make the call `delete_STEM`; moto keeps things under what that takes, a name or an ARN."""

    def delete(response: Any) -> Any:
        from moto.core.responses import EmptyResult

        name = response._get_param(f"{stem.title().replace('_', '')}Name")
        del getattr(response.sagemaker_backend, store)[name]
        return EmptyResult()

    return delete


def _refuse_tags(register: Any) -> Any:
    """Refuse in AWS's words the tags of a scalable target that was registered before."""

    def checked(response: Any) -> Any:
        from moto.applicationautoscaling.exceptions import AWSValidationException

        place, dimension = (response._get_param(key) for key in ("ResourceId", "ScalableDimension"))
        there = place in response.applicationautoscaling_backend.targets.get(dimension, {})
        if there and response._get_param("Tags"):
            raise AWSValidationException(
                "The scalable target that you tried to tag already exists. To update tags on an "
                "existing scalable target, use the TagResource API."
            )
        return register(response)

    return checked


def _with_policies(deregister: Any) -> Any:
    """Delete a scalable target's policies with it."""

    def deregister_all(response: Any) -> Any:
        policies = response.applicationautoscaling_backend.policies
        place = response._get_param("ResourceId")
        for key in [key for key, policy in policies.items() if policy.resource_id == place]:
            del policies[key]
        return deregister(response)

    return deregister_all


def parameters(printed: str, call: str) -> list[dict[str, Any]]:
    """Give the parameters of each `service:Operation` that a dry run printed."""
    decoder = json.JSONDecoder()
    parts = printed.split(f"would call {call} ")[1:]
    return [decoder.raw_decode(part)[0] for part in parts]


def client(service: str) -> Any:
    """Give a client of boto3 for what is on loopback."""
    import boto3

    return boto3.client(service, region_name=REGION)


def sagemaker() -> Any:
    """Give moto's SageMaker, for its things to be in states that moto never brings about."""
    from moto.sagemaker.models import sagemaker_backends

    return sagemaker_backends[ACCOUNT][REGION]


def all_names() -> list[str]:
    """Give the names of all that moto holds in the services that the commands use."""
    made = client("sagemaker")
    names: list[str] = []
    for listing, field, key in (
        ("list_endpoints", "Endpoints", "EndpointName"),
        ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        ("list_models", "Models", "ModelName"),
        ("list_pipelines", "PipelineSummaries", "PipelineName"),
        ("list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName"),
        ("list_training_jobs", "TrainingJobSummaries", "TrainingJobName"),
        ("list_processing_jobs", "ProcessingJobSummaries", "ProcessingJobName"),
        (
            "list_hyper_parameter_tuning_jobs",
            "HyperParameterTuningJobSummaries",
            "HyperParameterTuningJobName",
        ),
    ):
        names += [item[key] for item in getattr(made, listing)()[field]]
    iam, scaling = client("iam"), client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    names += [target["ResourceId"] for target in targets]
    names += [
        alarm["AlarmName"] for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]
    ]
    names += [group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"]]
    names += [
        item["repositoryName"] for item in client("ecr").describe_repositories()["repositories"]
    ]
    names += [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]]
    names += [role["RoleName"] for role in iam.list_roles()["Roles"]]
    names += [policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]]
    return names + [user["UserName"] for user in iam.list_users()["Users"]]


def push_image() -> str:
    """Do what build_and_push.sh does to ECR; give the digest URI."""
    tags = [{"Key": "brain-tumor-project", "Value": "brain-tumor"}]
    client("ecr").create_repository(repositoryName="brain-tumor", tags=tags)
    return push_again("0")


def push_again(digit: str) -> str:
    """Push an image that differs from others by a digit; give its digest URI."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": "sha256:" + digit * 64, "size": 1},
        "layers": [],
    }
    return hold_image(json.dumps(manifest))


def hold_image(manifest: str) -> str:
    """Let the repository hold an image; give its digest URI. moto takes no layers."""
    # moto's own would be another hash than that of the manifest.
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    client("ecr").put_image(
        repositoryName="brain-tumor",
        imageManifest=manifest,
        imageTag="latest",
        imageDigest=digest,
    )
    return f"{ECR}/brain-tumor@{digest}"


def leave_artefacts(trained: Path, folder: Path, job: str) -> None:
    """Put what a real job made where SageMaker would; moto runs no job.

    `trained` is its /opt/ml; the archives are made in `folder`.
    """
    for name, made in (("model.tar.gz", "model"), ("output.tar.gz", "output/data")):
        with tarfile.open(folder / name, "w:gz") as tar:
            for path in (trained / made).iterdir():
                tar.add(path, path.name)
        client("s3").upload_file(str(folder / name), BUCKET, f"jobs/{job}/output/{name}")


def log(group: str, stream: str, *lines: str, begun: float | None = None) -> None:
    """Write lines into a log, as a container's are written; `begun` in seconds since 1970."""
    logs = client("logs")
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    begun = begun or time.time()
    streams(group)[stream].creation_time = datetime.fromtimestamp(begun, UTC).replace(tzinfo=None)
    now = int(begun * 1000)
    events = [{"timestamp": now + place, "message": line} for place, line in enumerate(lines)]
    if events:
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def streams(group: str) -> Any:
    """Give moto's streams of a group."""
    from moto.logs.models import logs_backends

    return logs_backends[ACCOUNT][REGION].groups[group].streams
