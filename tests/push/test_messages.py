"""What build_and_push.sh says of refusals, of wrong arguments, and of what is missing."""

from pathlib import Path

import pytest

from tests.push.stand_ins import Push
from tests.test_scripts import minimal_path


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("The config profile (me) could not be found", "aws configure list-profiles"),
        (
            "Unable to locate credentials. You can",
            "run 'aws configure --profile me'",
        ),
        (
            "An error occurred (ExpiredTokenException) when",
            "run 'aws sso login --profile me'",
        ),
        (
            "Error when retrieving token: Token has expired",
            "run 'aws sso login --profile me'",
        ),
        ("An error occurred (UnrecognizedClientException) when", "another\n  partition"),
        ('Could not connect to the endpoint URL: "https://api.', "there is no region eu-central-1"),
        (
            "An error occurred (AccessDeniedException): User: x",
            "docs/push.md has the policy",
        ),
    ],
)
def test_what_aws_refuses_is_told_with_its_remedy_and_nothing_is_built(
    push: Push, words: str, remedy: str
) -> None:
    done = push("brain-tumor", "--profile", "me", REFUSAL=words)
    assert done.returncode == 1
    assert words in done.stderr
    assert remedy in done.stderr
    assert not [call for call in push.calls if "create-repository" in call or "build" in call]


@pytest.mark.parametrize(
    ("fails", "words", "remedy"),
    [
        ("build", "write /x: no space left on device", "'docker system prune' frees it"),
        ("build", "Cannot connect to the Docker daemon at unix", "no Docker engine answers"),
        ("build", "exec /bin/sh: exec format error", "does not run programs for linux/amd64"),
        ("login", "Error saving credentials: error storing credentials", "'credsStore'"),
        ("login", "x509: certificate signed by unknown authority", "a company's proxy"),
        ("login", "Error response from daemon: 401 Unauthorized", "the registry refuses the login"),
        ("push", "tag invalid: the repository is immutable.", "the tag latest is there"),
        ("push", "net/http: TLS handshake timeout", "run this again"),
    ],
)
def test_what_docker_refuses_is_told_with_its_remedy(
    push: Push, fails: str, words: str, remedy: str
) -> None:
    done = push("brain-tumor", FAILS=fails, WORDS=words)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert remedy in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("Brain-Tumor", "ECR takes no capital letters in 'Brain-Tumor': use 'brain-tumor'"),
        ("brain--_tumor", "'brain--_tumor' is no name for an ECR repository"),
        ("b", "'b' is no name for an ECR repository"),
        ("brain-tumor:.v1", "'.v1' is no tag"),
        ("brain-tumor:", "'' is no tag"),
        ("brain-tumor:" + "v" * 129, "is no tag"),
        ("brain-tumor --immutable", "an immutable tag can be pushed once: give the version a name"),
        ("brain-tumor --platform windows/amd64", "SageMaker runs linux/amd64 and"),
        ("brain-tumor --region frankfurt", "'frankfurt' is no region"),
        ("brain-tumor --keep-untagged all", "--keep-untagged takes a number, not 'all'"),
        ("brain-tumor:v1 --immutable --registry here:5000", "are rules of ECR, not of here:5000"),
        ("brain-tumor --context /dev", "there is no Dockerfile in /dev: see --context"),
        ("brain-tumor --uri-file /absent/uri", "no file can be written at /absent/uri"),
        ("brain-tumor --engine lxc", "--engine is docker or podman, not 'lxc'"),
        ("brain-tumor --profile", "--profile needs a value"),
        ("brain-tumor --fast", "unknown option --fast"),
        ("brain-tumor other", "one image at a time: brain-tumor or other?"),
    ],
)
def test_what_would_be_refused_later_is_refused_before_any_call(
    push: Push, arguments: str, sentence: str
) -> None:
    done = push(*arguments.split(" "))
    assert done.returncode == 1
    assert sentence in done.stderr
    assert push.calls == []


def test_a_missing_region_is_named(push: Push) -> None:
    del push.environment["AWS_REGION"]
    done = push("brain-tumor")
    assert done.returncode == 1
    assert "--region" in done.stderr


@pytest.mark.parametrize("tool", ["aws", "docker", "python3"])
def test_a_missing_tool_is_named(push: Push, tool: str, tmp_path: Path) -> None:
    path = minimal_path(tmp_path / "minimal")
    (push.tools / tool).unlink()
    (push.tools / "podman").unlink()
    done = push("brain-tumor", PATH=f"{push.tools}:{path}")
    assert done.returncode == 1
    assert f"{tool} is missing" in done.stderr
