"""Rules about the image itself: each finds its fault in a tiny image."""

import dataclasses
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from local_test.emulator.check.image import Entry, Image, read_image
from local_test.emulator.check.rules_image import IMAGE
from local_test.emulator.engine import Engine
from tests.docker import build, docker, needs_docker
from tests.emulator.conftest import BASE

_PROGRAM = b"#!/bin/sh\n"
_FILES = {
    "usr/local/bin/train": _PROGRAM,
    "usr/local/bin/serve": _PROGRAM,
    "usr/bin/bash": _PROGRAM,
    "usr/bin/python3.13": _PROGRAM,
    "usr/bin/pip3": _PROGRAM,
}
_LINKS = {"bin": "usr/bin", "usr/bin/python3": "python3.13"}
_CONFIG = ("ENV PATH=/usr/local/bin:/bin", 'CMD ["train"]')
_LABEL = "LABEL com.amazonaws.sagemaker.capabilities"

# The rule, files that are put in (None takes one out), and lines of a Dockerfile.
_FAULTS: Sequence[tuple[str, Mapping[str, bytes | None], Sequence[str]]] = [
    ("IMAGE-02", {}, ["ENTRYPOINT train"]),
    ("IMAGE-03", {}, ['ENTRYPOINT ["/usr/bin/tini", "--"]']),
    ("IMAGE-04", {"usr/local/bin/train": None}, []),
    ("IMAGE-05", {"usr/local/bin/serve": None}, []),
    ("IMAGE-06", {}, [f"{_LABEL}.multi-model=true"]),
    ("IMAGE-06", {}, [f"{_LABEL}.multi-models=yes"]),
    ("IMAGE-09", {"opt/ml/code/train.py": b""}, []),
    ("IMAGE-10", {"usr/lib/x86_64-linux-gnu/libcuda.so.1": b""}, []),
    ("IMAGE-11", {"root/.aws/credentials": b"[default]"}, []),
    ("IMAGE-11", {}, ["ENV AWS_SECRET_ACCESS_KEY=x"]),
    ("IMAGE-12", {"root/.cache/pip/http/0": bytes(2 << 20)}, []),
    ("IMAGE-13", {}, ["USER 1000:1000"]),
    ("IMAGE-14", {"usr/bin/pip3": None}, []),
]

Make = Callable[[Mapping[str, bytes | None], Sequence[str]], Image]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    tags: list[str] = []
    with Engine() as engine:

        def import_image(files: Mapping[str, bytes | None], config: Sequence[str]) -> Image:
            folder = tmp_path_factory.mktemp("image")
            _write(folder / "root.tar", {**_FILES, **files})
            changes = [word for line in (*_CONFIG, *config) for word in ("-c", line)]
            tags.append(f"emulator-test:image-{len(tags)}")
            made = docker("import", *changes, folder / "root.tar", tags[-1])
            assert made.returncode == 0, made.stderr
            return read_image(engine, tags[-1], folder)

        yield import_image
    for tag in tags:
        docker("rmi", "-f", tag)


def _write(path: Path, files: Mapping[str, bytes | None]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            if content is None:
                continue
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        for name, target in _LINKS.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)


def _failed(image: Image) -> list[str]:
    return [rule.id for rule in IMAGE.all if rule.check(image).state == "FAIL"]


@needs_docker
@pytest.mark.parametrize(("broken", "files", "config"), _FAULTS)
def test_exactly_the_rule_that_a_fault_breaks_fails(
    make: Make, broken: str, files: Mapping[str, bytes | None], config: Sequence[str]
) -> None:
    assert _failed(make(files, config)) == [broken]


@needs_docker
def test_an_image_without_a_fault_passes_every_rule(make: Make) -> None:
    image = make({}, [])
    assert [rule.id for rule in IMAGE.all if rule.check(image).state != "PASS"] == []


@needs_docker
@pytest.mark.parametrize(
    ("broken", "other"),
    [
        ("IMAGE-01", {"architecture": "arm64"}),
        ("IMAGE-07", {"manifest": "application/vnd.oci.image.index.v1+json"}),
        ("IMAGE-08", {"size": 10 * 1000**3 + 1}),
        ("IMAGE-08", {"layers": [{"/x": Entry(0o100644, 52_001 * 1024**2)}]}),
    ],
)
def test_what_this_engine_cannot_build_is_found_as_well(
    make: Make, broken: str, other: dict[str, object]
) -> None:
    image = make({}, ['ENTRYPOINT ["/usr/local/bin/train"]'])
    assert _failed(dataclasses.replace(image, **other)) == [broken]  # type: ignore[arg-type]


@needs_docker
def test_a_secret_is_found_in_the_layer_that_a_later_one_hides(tmp_path: Path) -> None:
    if docker("image", "inspect", BASE).returncode:
        pytest.skip(f"there is no image {BASE} on this engine")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {BASE}\nCOPY id_rsa /root/.ssh/id_rsa\nRUN rm -r /root/.ssh\n"
    )
    (tmp_path / "id_rsa").write_text("secret")
    tag = build("emulator-test:secret", tmp_path)
    try:
        with Engine() as engine:
            image = read_image(engine, tag, tmp_path)
    finally:
        docker("rmi", "-f", tag)
    assert "/root/.ssh/id_rsa" not in image.root()
    assert "IMAGE-11" in _failed(image)
    assert image.find_program("bash") is not None
