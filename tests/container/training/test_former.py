"""training.former: the model of a former job, from which incremental training goes on."""

import io
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from brain_tumor.artifact import MODEL_INFO_FILE, load_info, load_signatures
from brain_tumor.errors import DataError
from brain_tumor.training import learn
from brain_tumor.training.former import FormerModel, read_former
from brain_tumor.training.hyperparameter_parsing import parse_hyperparameters
from brain_tumor.training.network import build_network, set_former_weights
from tests.classifiers import model_info
from tests.learnt import Learnt

NAMES = ["glioma", "meningioma", "notumor", "pituitary"]
SMALL = parse_hyperparameters({"backbone": "small", "image-size": "32"}, continues=True)


def _tarball(file: Path, model: Path, prefix: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as archive:
        for entry in sorted(model.iterdir()):
            archive.add(entry, prefix + entry.name)
    return file


def _evil(file: Path, member: tarfile.TarInfo) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        member.size = 1 if member.isreg() else 0
        archive.addfile(member, io.BytesIO(b"x"))
    return file


def test_the_network_with_the_former_weights_answers_as_the_former_model(trained: Path) -> None:
    former = read_former(trained / "model", SMALL, NAMES)
    network = build_network(SMALL, len(NAMES))
    set_former_weights(network, SMALL, former.weights)
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1)).astype(np.float32)
    saved = load_signatures(trained / "model")["serving_heat_map"](images=images)
    logits = np.asarray(network(images, training=False))
    answers = softmax(logits / former.info.temperature, axis=1)
    np.testing.assert_allclose(answers, saved["probabilities"].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("model.tar.gz", ""),
        ("model.tar.gz", "./"),
        ("job/output/model.tar.gz", ""),
        ("m.tgz", "m/"),
    ],
)
def test_a_tarball_is_read_wherever_it_lies_and_leaves_nothing_behind(
    name: str, prefix: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tarball(tmp_path / "channel" / name, trained / "model", prefix)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    former = read_former(tmp_path / "channel", SMALL, NAMES)
    assert former.info == load_info(trained / "model")
    unpacked = read_former(trained / "model", SMALL, NAMES)
    for one, other in zip(former.weights, unpacked.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert [file.name for file in (tmp_path / "channel").rglob("*.*")] == [Path(name).name]


def test_what_sagemakers_local_mode_puts_beside_a_model_is_not_taken_for_one(
    trained: Path, tmp_path: Path
) -> None:
    _tarball(tmp_path / "model.tar.gz", trained / "model", "")
    _tarball(tmp_path / "output.tar.gz", trained / "output", "")
    assert read_former(tmp_path, SMALL, NAMES).info.class_names == NAMES
    shutil.copytree(trained / "model", tmp_path / "unpacked")
    assert read_former(tmp_path, SMALL, NAMES).info.class_names == NAMES


@pytest.mark.parametrize("count", [0, 2])
def test_a_channel_of_no_model_or_of_several_is_refused(
    count: int, trained: Path, tmp_path: Path
) -> None:
    for number in range(count):
        shutil.copytree(trained / "model", tmp_path / f"job-{number}")
    with pytest.raises(DataError, match=f"Channel model: .* holds {count or 'no'} models"):
        read_former(tmp_path, SMALL, NAMES)


def test_a_channel_that_is_named_but_not_there_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Channel model: .*absent holds no models"):
        read_former(tmp_path / "absent", SMALL, NAMES)


@pytest.mark.parametrize("names", [NAMES[:3], [*NAMES[:3], "pituitary_tumor"], NAMES[::-1]])
def test_a_model_of_other_classes_is_refused_and_both_lists_are_named(
    names: list[str], trained: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read_former(trained / "model", SMALL, names)
    assert f"tells apart {', '.join(NAMES)}; " in str(caught.value)
    assert f"are of {', '.join(names)}." in str(caught.value)


def test_a_model_of_another_backbone_is_refused_and_both_are_named(trained: Path) -> None:
    lite0 = parse_hyperparameters({}, continues=True)
    with pytest.raises(DataError, match=r"backbone is small, this job's is lite0.*backbone=small"):
        read_former(trained / "model", lite0, NAMES)


def test_a_tarball_that_is_cut_off_is_named(trained: Path, tmp_path: Path) -> None:
    file = _tarball(tmp_path / "model.tar.gz", trained / "model", "")
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"Channel model: model\.tar\.gz cannot be unpacked"):
        read_former(tmp_path, SMALL, NAMES)


@pytest.mark.parametrize("kind", ["outside", "link", "device"])
def test_a_tarball_that_reaches_outside_of_its_folder_is_refused(kind: str, tmp_path: Path) -> None:
    member = tarfile.TarInfo("../../escaped" if kind == "outside" else "link")
    if kind == "link":
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    if kind == "device":
        member.type = tarfile.CHRTYPE
    (tmp_path / "channel").mkdir()
    _evil(tmp_path / "channel" / "model.tar.gz", member)
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_former(tmp_path / "channel", SMALL, NAMES)


def test_a_damaged_model_is_refused_with_the_channels_name(trained: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(trained / "model", tmp_path / "model")
    (damaged / "1" / "variables" / "variables.index").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"Channel model: The weights in .* cannot be read"):
        read_former(damaged, SMALL, NAMES)
    (damaged / MODEL_INFO_FILE).write_text("{")
    with pytest.raises(DataError, match=r"Channel model: .*model\.json cannot be read"):
        read_former(damaged, SMALL, NAMES)


def test_weights_of_another_network_are_refused(trained: Path) -> None:
    former = read_former(trained / "model", SMALL, NAMES)
    with pytest.raises(DataError, match="are not those of small"):
        set_former_weights(build_network(SMALL, 3), SMALL, former.weights)


def test_the_first_epoch_of_each_member_starts_from_the_former_accuracy(learnt: Learnt) -> None:
    # The smallest of steps, so that the epochs show what they began with.
    given = {"backbone": "small", "image-size": "32", "batch-size": "8", "learning-rate": "1e-7"}
    two = {"epochs": "2", "members": "2", "lessons": "0"}
    parameters = parse_hyperparameters({**given, **two}, continues=True)
    former = FormerModel(model_info(), learnt.network.get_weights())
    _, goes_on = learn.train_network(learnt.channels, parameters, lambda: False, former=former)
    anew = parse_hyperparameters({**given, "epochs": "1"})
    _, begins = learn.train_network(learnt.channels, anew, lambda: False)
    for epoch in goes_on.epochs:
        assert epoch.val_accuracy == learnt.training.validation.accuracy == 1.0
        assert epoch.val_loss < 0.1 < begins.epochs[0].val_loss
