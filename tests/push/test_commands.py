"""build_and_push.sh with stand-ins that record: what it calls, and in which order.

The other modules here have the same with real engines and registries; this is for flags that must
not change, and for what cannot be had on purpose.
"""

from pathlib import Path

import pytest

from tests.jobs import ROOT
from tests.push.stand_ins import NOT_FOUND, REGISTRY, Push


def test_all_that_may_be_refused_comes_before_the_build_and_the_reading_last(push: Push) -> None:
    done = push("brain-tumor:v1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{REGISTRY}/brain-tumor@sha256:abc\n"
    remote = f"{REGISTRY}/brain-tumor:v1"
    reader = f"python3 -I {ROOT}/deploy/pushed_image.py {remote}"
    places = [
        push.calls.index(push.call(beginning))
        for beginning in (
            "aws ecr describe-repositories --repository-names brain-tumor",
            f"docker login --username AWS --password-stdin {REGISTRY}",
            f"{reader} --existing",
            f"docker build --platform linux/amd64 --tag brain-tumor:v1 {ROOT}",
            f"docker tag brain-tumor:v1 {remote}",
            f"docker push {remote}",
            f"{reader} --architecture amd64 --id sha256:id",
        )
    ]
    assert places == sorted(places)
    assert push.calls.count("given AWS:secret") == 2
    assert "password secret" in push.calls
    assert "secret" not in done.stderr


def test_a_repository_that_exists_stays_as_it_is(push: Push) -> None:
    assert push("brain-tumor").returncode == 0
    assert {call.split()[2] for call in push.calls if call.startswith("aws ")} == {
        "describe-repositories",
        "get-login-password",
    }


def test_tags_of_a_repository_that_exists_become_immutable_on_request(push: Push) -> None:
    assert push("brain-tumor:v1", "--immutable").returncode == 0
    assert "--image-tag-mutability IMMUTABLE" in push.call("aws ecr put-image-tag-mutability")


def test_every_call_of_aws_names_the_region_and_the_profile(push: Push) -> None:
    assert push("brain-tumor", "--profile", "me", REFUSAL=NOT_FOUND).returncode == 0
    calls = [call for call in push.calls if call.startswith("aws ")]
    assert len(calls) == 4
    assert all(call.endswith("--region eu-central-1 --profile me") for call in calls)


def test_a_push_without_the_right_to_set_a_rule_succeeds_and_says_so(push: Push) -> None:
    done = push("brain-tumor", REFUSAL=NOT_FOUND, NO_RULE="An error occurred (AccessDenied): no")
    assert done.returncode == 0
    assert (
        "untagged images will stay in brain-tumor: An error occurred (AccessDenied)" in done.stderr
    )


def test_the_registrys_name_is_ecrs_own_word_so_that_china_needs_no_table(push: Push) -> None:
    host = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"
    done = push("brain-tumor", "--region", "cn-north-1", URI=f"{host}/brain-tumor")
    assert (done.returncode, done.stdout) == (0, f"{host}/brain-tumor@sha256:abc\n")
    assert push.call("docker login").endswith(host)
    assert push.call("docker push") == f"docker push {host}/brain-tumor:latest"


@pytest.mark.parametrize("existing", ["sha256:digest sha256:id", "sha256:id sha256:other"])
def test_an_image_that_is_there_is_not_pushed_again(push: Push, existing: str) -> None:
    done = push("brain-tumor:v1", EXISTING=existing, MUTABILITY="IMMUTABLE")
    assert done.stdout == f"{REGISTRY}/brain-tumor@sha256:abc\n"
    assert not [call for call in push.calls if call.startswith(("docker push", "docker tag"))]


def test_a_spent_immutable_tag_is_told_before_the_build(push: Push) -> None:
    done = push("brain-tumor:v1", EXISTING="sha256:digest sha256:other", MUTABILITY="IMMUTABLE")
    assert done.returncode == 1
    assert "the tag v1 is there, and the tags of brain-tumor are immutable" in done.stderr
    assert "brain-tumor:v1-2" in done.stderr
    assert not [call for call in push.calls if " build" in call]


def test_an_image_that_is_refused_leaves_no_uri(push: Push, tmp_path: Path) -> None:
    file = tmp_path / "uri"
    file.write_text("of an earlier run")
    done = push("brain-tumor", "--uri-file", str(file), REFUSED="yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert not file.exists()


def test_buildx_is_asked_for_dockers_format_without_attestations_as_recorded(push: Push) -> None:
    done = push("brain-tumor", "--platform", "linux/arm64", "--target", "serve", BUILDX="yes")
    assert done.returncode == 0
    assert push.call("docker buildx build") == (
        "docker buildx build --provenance=false --sbom=false "
        "--output type=docker,oci-mediatypes=false "
        f"--platform linux/arm64 --target serve --tag brain-tumor:latest {ROOT}"
    )


def test_without_buildx_the_classic_builder_is_asked_for(push: Push) -> None:
    arguments = ("--build-arg", "A=b c", "--build-arg", "D=e")
    assert push("brain-tumor", *arguments).returncode == 0
    assert "DOCKER_BUILDKIT=0" in push.calls
    assert "--build-arg A=b c --build-arg D=e" in push.call("docker build --")


def test_the_classic_builder_is_refused_where_docker_keeps_images_in_ocis_format(
    push: Push,
) -> None:
    store = {"STORE": "[[driver-type io.containerd.snapshotter.v1]]"}
    done = push("brain-tumor", **store)
    assert done.returncode == 1
    assert "apt-get install docker-buildx" in done.stderr
    assert not [call for call in push.calls if call.startswith("docker build --")]
    assert push("brain-tumor", BUILDX="yes", **store).returncode == 0


def test_podman_is_asked_for_dockers_format_as_recorded(push: Push) -> None:
    assert push("brain-tumor", VERSION="podman version 5.4.2").returncode == 0
    assert "podman build --format docker --platform linux/amd64" in push.call("podman build")
    remote = f"{REGISTRY}/brain-tumor:latest"
    assert push.call("podman push") == f"podman push --format v2s2 {remote}"


def test_podman_is_told_that_a_registry_on_loopback_has_no_tls_as_recorded(push: Push) -> None:
    arguments = ("brain-tumor", "--engine", "podman", "--registry", "localhost:5000")
    assert push(*arguments, REGISTRY_USER="me", REGISTRY_PASSWORD="mine").returncode == 0  # noqa: S106
    assert "--tls-verify=false" in push.call("podman push")
    assert "--tls-verify=false --username me" in push.call("podman login")
    assert not [call for call in push.calls if call.startswith("aws")]


def test_a_dry_run_prints_each_command_and_runs_none(push: Push) -> None:
    done = push("brain-tumor", "--dry-run")
    assert done.returncode == 0, done.stderr
    remote = "ACCOUNT.dkr.ecr.eu-central-1.amazonaws.com/brain-tumor:latest"
    reader = f"+ python3 -I {ROOT}/deploy/pushed_image.py {remote}"
    beginnings = [
        "+ aws ecr describe-repositories",
        "+ aws ecr create-repository",
        "+ aws ecr put-lifecycle-policy",
        "+ aws ecr get-login-password",
        "+ docker login",
        f"{reader} --existing",
        "+ docker buildx build",
        f"+ docker tag brain-tumor:latest {remote}",
        f"+ docker push {remote}",
        f"{reader} --architecture amd64",
    ]
    lines = done.stdout.splitlines()
    assert len(lines) == len(beginnings)
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(beginning)
    assert push.calls == []


def test_every_push_of_the_documents_is_understood(push: Push) -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    found = [
        line.split()[1:]
        for page in pages
        for line in page.read_text().splitlines()
        if line.startswith("./build_and_push.sh")
    ]
    assert len(found) >= 7
    for arguments in found:
        done = push(*arguments, "--dry-run")
        assert done.returncode == 0, done.stderr


def test_no_push_builds_and_calls_no_aws(push: Push) -> None:
    done = push("brain-tumor", "--no-push")
    assert done.returncode == 0, done.stderr
    assert [call.split()[:2] for call in push.calls] == [
        ["docker", "--version"],
        ["docker", "buildx"],  # is there such a plugin?
        ["docker", "info"],
        ["docker", "build"],
        ["DOCKER_BUILDKIT=0"],
    ]
