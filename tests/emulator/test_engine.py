"""The Docker engine: what it refuses with a reason, and that nothing stays on it."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator

import pytest

from local_test.emulator import hosts
from local_test.emulator.engine import Engine
from local_test.emulator.errors import EmulatorError
from local_test.emulator.specification import TrainingJob
from tests.docker import needs_docker
from tests.emulator.conftest import left_of

pytestmark = needs_docker


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Give the engine; what a test makes goes with it."""
    with Engine() as engine:
        yield engine


def test_an_image_that_is_not_there_is_named_with_what_to_do(engine: Engine) -> None:
    with pytest.raises(EmulatorError, match=r"no image no-such-image on this engine.*docker build"):
        engine.check_image("no-such-image")


def test_an_image_for_another_processor_is_refused_before_it_fails_with_an_exec_format_error(
    engine: Engine,
) -> None:
    for image in engine.client.images.load(_image_for("s390x", "emulator-test:foreign")):
        try:
            with pytest.raises(
                EmulatorError, match=r"built for s390x, this engine runs .*--platform"
            ):
                engine.check_image("emulator-test:foreign")
        finally:
            engine.client.images.remove(image.id, force=True)


def _image_for(architecture: str, tag: str) -> bytes:
    """Make an image of one empty layer, as `docker save` writes it."""
    layer = _tar({})
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = {
        "architecture": architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "config.json": json.dumps(config).encode(),
            "manifest.json": json.dumps(manifest).encode(),
            "layer.tar": layer,
        }
    )


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_an_isolated_job_is_on_a_network_without_a_way_out(engine: Engine, image: str) -> None:
    for isolated in (True, False):
        job = TrainingJob(name="job", image=image, isolated=isolated)
        with hosts.containers(engine, job):
            (network,) = engine.client.networks.list(filters={"label": engine.label})
            assert network.attrs["Internal"] is isolated
            network.remove()


def test_whatever_ends_a_block_nothing_of_it_stays_on_the_engine(image: str) -> None:
    with pytest.raises(RuntimeError), Engine() as engine:  # noqa: PT012 - all of it may raise
        network = engine.network(internal=True)
        made = engine.container(
            image,
            ["sleep", "600"],
            files={"input/config/x.json": b"{}"},
            volumes=["/opt/ml/input", "/opt/ml/model"],
            alias=(network, "algo-1"),
        )
        made.start()
        # `docker rm -f` of somebody else's leaves the volume.
        removed = engine.container(image, ["sleep", "600"], volumes=["/opt/ml/model"])
        engine.client.containers.get(removed.id).remove(force=True)
        assert len(left_of(engine)) == 5
        raise RuntimeError
    assert left_of(engine) == []


def test_what_cannot_be_removed_is_told_and_does_not_keep_the_rest(
    engine: Engine, image: str
) -> None:
    names = {engine.network(internal=True) for _ in range(3)}
    first = engine.client.networks.list(filters={"label": engine.label})[0]
    # A container of somebody else keeps the one that is removed first.
    foreign = engine.client.containers.create(image, network=first.name, entrypoint=["sleep", "60"])
    foreign.start()
    try:
        with pytest.raises(EmulatorError, match=rf"Not all could be removed: .*{engine.label}"):
            engine.remove_all()
        assert left_of(engine) == [first.name]
        assert first.name in names
    finally:
        foreign.remove(force=True)


def test_containers_are_reached_where_their_gateway_is_this_machine(engine: Engine) -> None:
    assert engine.is_local
    assert engine.reaches(engine.network(internal=False))
    # A bridge without an address, as a rootless engine's or a virtual machine's is from here.
    elsewhere = engine.client.networks.create(
        "emulator-test-elsewhere",
        internal=True,
        labels=dict([engine.label.split("=")]),
        options={"com.docker.network.bridge.inhibit_ipv4": "true"},
    )
    assert not engine.reaches(elsewhere.name)
