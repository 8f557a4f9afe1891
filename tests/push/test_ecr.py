"""build_and_push.sh to ECR: moto's API, a registry under ECR's own name, the real aws command."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws import ECR, REGION, REGISTRY_PASSWORD, ecr_registry, no_ecr_registry
from tests.deploy import loopback
from tests.docker import docker, needs_docker_command
from tests.push.project import Project

KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@pytest.fixture
def ecr(project: Project, tmp_path: Path) -> Iterator[Project]:
    """Give a project on a machine where ECR's own name leads to a registry on loopback.

    The user is AWS, the password the one that moto's ECR gives out, the repositories moto's.
    """
    reason = no_ecr_registry()
    if reason:
        pytest.skip(reason)
    with loopback.moto_server() as url, ecr_registry(tmp_path):
        loopback.reset(url)
        project.environment["AWS_ENDPOINT_URL"] = url
        yield project


def test_a_push_to_ecr_makes_the_repository_and_logs_in(ecr: Project) -> None:
    done = ecr.push("team/push-test:v1", "--immutable")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{ECR}/team/push-test@sha256:")
    assert REGISTRY_PASSWORD not in done.stderr
    client = boto3.client("ecr", REGION, endpoint_url=ecr.environment["AWS_ENDPOINT_URL"], **KEYS)
    (made,) = client.describe_repositories()["repositories"]
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["imageTagMutability"] == "IMMUTABLE"
    tags = client.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "brain-tumor-project", "Value": "brain-tumor"}]
    assert _kept(client) == 10

    # The same again is no error; another image under the same tag is, before it is built.
    again = ecr.push("team/push-test:v1", "--keep-untagged", "3")
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr
    assert "nothing is pushed" in again.stderr
    assert _kept(client) == 3
    docker("rmi", "team/push-test:v1")
    refused = ecr.push("team/push-test:v1", "--build-arg", "changed=yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the tag v1 is there, and the tags of team/push-test are immutable" in refused.stderr
    assert "+ docker build" not in refused.stderr


def _kept(client: Any) -> int:
    """Give the number of untagged images that the one rule of the repository keeps."""
    held = client.get_lifecycle_policy(repositoryName="team/push-test")
    (rule,) = json.loads(held["lifecyclePolicyText"])["rules"]
    selection = rule["selection"]
    assert (selection["tagStatus"], rule["action"]) == ("untagged", {"type": "expire"})
    assert selection["countType"] == "imageCountMoreThan"
    return int(selection["countNumber"])


class _Refusal(BaseHTTPRequestHandler):
    """Answers as AWS does that refuses with the code that stands in the path."""

    def do_POST(self) -> None:
        code = self.path.strip("/")
        body = json.dumps({"__type": code, "message": "refused"}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """Give the URL of an AWS that refuses all."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@needs_docker_command
@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "run 'aws configure'"),
        ({"AWS_PROFILE": "absent"}, "'aws configure list-profiles' tells which there are"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, f"there is no region {REGION}, or no way"),
        ({"code": "ExpiredTokenException"}, "run 'aws sso login'"),
        ({"code": "UnrecognizedClientException"}, "AWS does not know these credentials"),
        ({"code": "AccessDeniedException"}, "docs/push.md has the policy that a push needs"),
    ],
)
def test_what_the_real_aws_command_complains_of_is_known(
    project: Project, refusing: str, changed: dict[str, str], remedy: str
) -> None:
    code = changed.get("code", "Other")
    project.environment |= {
        "AWS_ENDPOINT_URL": f"{refusing}/{code}",
        "AWS_MAX_ATTEMPTS": "1",
        **changed,
    }
    done = project.push("push-test:v1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ECR does not tell of push-test: " in done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr
