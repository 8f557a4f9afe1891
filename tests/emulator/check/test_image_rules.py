"""Rules about the image itself: each finds its fault, and what is read of a real image."""

import dataclasses
import io
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from local_test.emulator.check.image import DOCKER_MANIFEST, Entry, Image, read_image
from local_test.emulator.check.rules_image import IMAGE
from local_test.emulator.engine import Engine
from tests.docker import build, docker, needs_docker
from tests.emulator.check.faults import FIELDS, FILES
from tests.emulator.conftest import BASE, RUN

_PROGRAM = b"#!/bin/sh\n"
_FILES = {
    "usr/local/bin/train": _PROGRAM,
    "usr/local/bin/serve": _PROGRAM,
    "usr/bin/bash": _PROGRAM,
    "usr/bin/python3.13": _PROGRAM,
    "usr/bin/pip3": _PROGRAM,
}
_LINKS = {"bin": "usr/bin", "usr/bin/python3": "python3.13"}
_PATH = "PATH=/usr/local/bin:/bin"
_NO_SECRETS = ["TOKENIZERS_PARALLELISM=false", "MAX_TOKENS=9", "KEYBOARD=x"]


def _image(files: Mapping[str, bytes | None], config: Mapping[str, object]) -> Image:
    """Return an image without a fault, but for these files and this configuration."""
    kept = {name: content for name, content in {**_FILES, **files}.items() if content is not None}
    layer = {f"/{n}": Entry(stat.S_IFREG | 0o755, len(content)) for n, content in kept.items()}
    layer |= {f"/{n}": Entry(stat.S_IFLNK | 0o777, 0, target) for n, target in _LINKS.items()}
    more = config.get("Env", [])
    assert isinstance(more, list)
    environment = {"Env": [_PATH, *_NO_SECRETS, *more]}
    size = sum(map(len, kept.values()))
    return Image("amd64", "linux", {**config, **environment}, size, DOCKER_MANIFEST, [layer])


def _failed(image: Image) -> list[str]:
    return [rule.id for rule in IMAGE.all if rule.check(image).state == "FAIL"]


@pytest.mark.parametrize(("broken", "files", "config"), FILES)
def test_exactly_the_rule_that_a_fault_breaks_fails(
    broken: str, files: Mapping[str, bytes | None], config: Mapping[str, object]
) -> None:
    assert _failed(_image(files, config)) == [broken]


@pytest.mark.parametrize(("broken", "fields"), FIELDS)
def test_what_else_is_told_of_an_image_is_looked_at(
    broken: str, fields: Mapping[str, object]
) -> None:
    image = _image({}, {"Entrypoint": ["/usr/local/bin/train"]})
    assert _failed(dataclasses.replace(image, **fields)) == [broken]  # type: ignore[arg-type]


def test_an_image_without_a_fault_passes_every_rule() -> None:
    image = _image({}, {})
    assert [rule.id for rule in IMAGE.all if rule.check(image).state != "PASS"] == []


def test_an_image_above_10_gb_is_refused_by_serverless_endpoints_alone() -> None:
    large = dataclasses.replace(_image({}, {}), size=10 * 1000**3 + 1)
    (size,) = [rule.check(large) for rule in IMAGE.all if rule.id == "IMAGE-08"]
    assert (size.state, "only serverless endpoints" in size.seen) == ("N/A", True)


@needs_docker
def test_all_that_rules_look_at_is_read_of_an_image_of_the_engine(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        for name, content in {**_FILES, "opt/ml/a": b"x"}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        for name, target in _LINKS.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    label = "LABEL com.amazonaws.sagemaker.capabilities.multi-models=yes"
    lines = [f"ENV {_PATH} HF_TOKEN=x", "ENTRYPOINT train", "USER 1000:1000", label]
    changes = [word for line in lines for word in ("-c", line)]
    tag = f"emulator-test:image-{RUN}"
    made = docker("import", *changes, tmp_path / "root.tar", tag)
    assert made.returncode == 0, made.stderr
    try:
        with Engine() as engine:
            image = read_image(engine, tag, tmp_path)
    finally:
        docker("rmi", "-f", tag)
    assert _failed(image) == ["IMAGE-02", "IMAGE-06", "IMAGE-09", "IMAGE-11", "IMAGE-13"]
    assert (image.system, image.architecture, image.manifest) == ("linux", "amd64", DOCKER_MANIFEST)
    assert image.size >= sum(map(len, _FILES.values()))
    assert image.find_program("python3") == "/bin/python3"
    assert not (tmp_path / "image.tar").exists()


@needs_docker
def test_a_secret_is_found_in_the_layer_that_a_later_one_hides(tmp_path: Path) -> None:
    if docker("image", "inspect", BASE).returncode:
        pytest.skip(f"there is no image {BASE} on this engine")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {BASE}\nCOPY id_rsa /root/.ssh/id_rsa\nRUN rm -r /root/.ssh\n"
    )
    (tmp_path / "id_rsa").write_text("secret")
    tag = build(f"emulator-test:secret-{RUN}", tmp_path)
    try:
        with Engine() as engine:
            image = read_image(engine, tag, tmp_path)
    finally:
        docker("rmi", "-f", tag)
    assert "/root/.ssh/id_rsa" not in image.root()
    assert "IMAGE-11" in _failed(image)
    assert image.find_program("bash") is not None
