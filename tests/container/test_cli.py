"""cli: the `brain-tumor` command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import brain_tumor
from brain_tumor import artifact, scoring
from brain_tumor.artifact import MODEL_INFO_FILE, VERSION_FOLDER
from brain_tumor.cli import main
from brain_tumor.serving import classifier, serve
from brain_tumor.serving.engine import Engine
from brain_tumor.training.hyperparameter_schema import flat_schema
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import METRIC_DEFINITIONS
from tests.classifiers import CLASS_NAMES, Recorder, model_info
from tests.scans import jpeg, png, write_folder

pytestmark = pytest.mark.usefixtures("restored_logging")

COMMANDS = (
    "prepare",
    "check",
    "train",
    "serve",
    "evaluate",
    "predict",
    "hyperparameters",
    "metric-definitions",
    "sample-payload",
    "records",
)

STAND_IN = scoring.without_foreign(Recorder())


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a model folder whose graph is a stand-in."""
    monkeypatch.setattr(artifact, "load_predict", lambda _: Recorder())
    engine = Engine("stand-in", "float32", "a test", STAND_IN)
    monkeypatch.setattr(classifier, "load_engine", lambda *_: engine)
    return write_folder(
        tmp_path / "model",
        {
            MODEL_INFO_FILE: model_info().model_dump_json().encode(),
            f"{VERSION_FOLDER}/saved_model.pb": b"",
        },
    )


def test_the_help_names_every_command_and_says_that_this_is_no_medical_device() -> None:
    result = _run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.output
    assert "Not a medical device" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command: str) -> None:
    result = _run(command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


def test_the_version_is_the_packages() -> None:
    assert brain_tumor.__version__ in _run("--version").output


def test_the_help_of_prepare_shows_its_defaults() -> None:
    unwrapped = " ".join(_run("prepare", "--help").output.split())
    assert unwrapped.count("[default: 0.15]") == 2


def test_prepare_writes_the_zips_and_says_what_it_found(phantoms: Path, tmp_path: Path) -> None:
    result = _run(
        "prepare", phantoms, tmp_path / "out", "--val", "0.25", "--test", "0", "--seed", 1
    )
    assert result.exit_code == 0, result.output
    assert "48 files, 48 distinct pictures" in result.output
    assert "glioma: 12" in result.output
    assert "side train: 36" in result.output
    assert "side val: 12" in result.output
    names = "Train.zip, Val.zip, dataset_report.json and .html"
    assert result.output.endswith(f"Written to {tmp_path / 'out'}: {names}\n")
    assert not (tmp_path / "out" / "Test.zip").exists()


def test_prepare_takes_official(phantoms: Path, tmp_path: Path) -> None:
    result = _run("prepare", phantoms, tmp_path / "out", "--official")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "dataset_report.json").read_text())
    assert all(file.startswith("Testing/") for file in report["splits"]["test"])


def test_check_only_reports_unless_told_where_to_write(phantoms: Path, tmp_path: Path) -> None:
    result = _run("check", phantoms)
    assert result.exit_code == 0
    assert "pituitary: 12" in result.output
    assert "conflicts: 0" in result.output
    # The log, on stderr, tells the time.
    assert _run("check", phantoms, "--out", tmp_path / "out").stdout == result.stdout
    assert (tmp_path / "out" / "dataset_report.json").is_file()


def test_check_exits_0_whatever_it_finds_as_long_as_the_archive_can_be_read(
    tmp_path: Path,
) -> None:
    scans = write_folder(
        tmp_path, {"a/1.jpg": jpeg(1), "a/2.jpg": b"junk", "a/3.jpg": jpeg(2), "b/1.jpg": jpeg(2)}
    )
    result = _run("check", scans)
    assert result.exit_code == 0
    for finding in ("damaged: 1", "duplicate groups: 1", "conflicts: 1"):
        assert finding in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("check", "missing.zip"), "missing.zip does not exist"),
        (("prepare", "missing.zip", "out"), "missing.zip does not exist"),
        (("evaluate", "missing", "missing.zip", "out"), "model.json does not exist"),
        (("predict", "missing", "scan.jpg"), "model.json does not exist"),
    ],
)
def test_our_errors_are_one_sentence_on_stderr_and_exit_code_1(
    arguments: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert sentence in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_predict_prints_a_json_line_a_file_in_order(model: Path, tmp_path: Path) -> None:
    scans = write_folder(tmp_path / "scans", {"b.png": png(1), "a.jpg": jpeg(2)})
    result = _run("predict", model, scans / "b.png", scans / "a.jpg")
    assert result.exit_code == 0, result.output
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert [first["file"], second["file"]] == [str(scans / "b.png"), str(scans / "a.jpg")]
    assert set(first) == {"file", "label", "probability", "probabilities", "decision"}
    assert list(first["probabilities"]) == CLASS_NAMES


def test_predict_goes_on_after_a_bad_file_and_exits_1(model: Path, tmp_path: Path) -> None:
    scans = write_folder(tmp_path / "scans", {"bad.png": b"junk", "good.png": png(1)})
    result = _run("predict", model, scans / "bad.png", scans / "none.png", scans / "good.png")
    assert result.exit_code == 1
    bad, missing, good = (json.loads(line) for line in result.stdout.splitlines())
    assert "no image" in bad["error"]
    assert "No such file" in missing["error"]
    assert good["label"] in CLASS_NAMES


def test_sample_payload_packs_files_and_names_their_content_type(tmp_path: Path) -> None:
    scans = write_folder(tmp_path / "scans", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    out = tmp_path / "payload.tar.gz"
    result = _run("sample-payload", out, scans / "a.jpg", scans / "b.jpg")
    assert result.exit_code == 0, result.output
    assert "2 files. SupportedContentTypes: image/jpeg" in result.output
    assert out.is_file()


def test_sample_payload_without_files_or_a_models_check_says_what_to_do(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(model.parent))
    result = _run("sample-payload", tmp_path / "payload.tar.gz")
    assert result.exit_code == 1
    assert "holds no check.npz" in result.stderr


def test_evaluate_writes_the_reports_of_all_scans(model: Path, tmp_path: Path) -> None:
    members = {f"{label}/{n}.png": png(n) for n, label in enumerate(CLASS_NAMES * 2)}
    scans = write_folder(tmp_path / "scans", members)
    result = _run("evaluate", model, scans, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "on 6 scans of scans." in result.output
    assert "not known whether these scans" in result.output
    quality = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert quality["dataset"] == {"item_count": 6, "channel": "scans"}
    assert not quality["leak"]["known"]
    assert len(quality["robustness"]["conditions"]) > 8
    for name in ("predictions.csv", "report.html", "MODEL_CARD.md"):
        assert (tmp_path / "out" / name).is_file()


def test_evaluate_resamples_copies_of_one_picture_together(model: Path, tmp_path: Path) -> None:
    members = {f"{label}/{n}.png": png(0) for n, label in enumerate(CLASS_NAMES)}
    scans = write_folder(tmp_path / "scans", {**members, "glioma/other.png": png(1)})
    assert _run("evaluate", model, scans, tmp_path / "out").exit_code == 0
    quality = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (quality["dataset"]["item_count"], quality["intervals"]["groups"]) == (4, 2)


def test_train_names_the_folder_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    result = _run("train")
    assert result.exit_code == 1
    assert f"{tmp_path}/input/config/resourceconfig.json does not exist" in result.stderr


def test_serve_does_what_the_bare_word_does(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(serve, "main", lambda: called.append("serve"))
    assert _run("serve").exit_code == 0
    assert called == ["serve"]


def test_train_refuses_arguments_with_where_hyperparameters_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    result = _run("train", "--epochs", "2")
    assert result.exit_code == 1
    assert "train takes no arguments, but was given: --epochs 2" in result.stderr
    assert "train takes no arguments" in (tmp_path / "output" / "failure").read_text()


def test_hyperparameters_are_listed_with_range_default_and_meaning() -> None:
    lines = _run("hyperparameters").output.splitlines()
    assert "batch-size (default: 32): a whole number from 1 to 4096" in lines
    for name, field in Hyperparameters.model_json_schema()["properties"].items():
        (row,) = (n for n, line in enumerate(lines) if line.startswith(f"{name} ("))
        assert f"(default: {field['default']})" in lines[row]
        assert lines[row + 1].strip() == field["description"]


def test_hyperparameters_are_a_json_schema_for_programs() -> None:
    schema = json.loads(_run("hyperparameters", "--json").output)
    assert schema == flat_schema(Hyperparameters)


def test_metric_definitions_are_json_for_sagemaker() -> None:
    assert json.loads(_run("metric-definitions").output) == METRIC_DEFINITIONS


def test_the_package_and_its_command_load_nothing_heavy() -> None:
    code = (
        "import sys, brain_tumor.cli, brain_tumor.serving.app, brain_tumor.training.run; "
        "print([name for name in ('tensorflow', 'keras', 'sklearn', 'matplotlib') "
        "if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"
