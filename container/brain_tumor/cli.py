"""The `brain-tumor` command: thin, every part is somewhere else."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

import brain_tumor
from brain_tumor.errors import BrainTumorError
from brain_tumor.logs import configure_logging
from brain_tumor.settings import Settings, load_settings

if TYPE_CHECKING:
    from brain_tumor.images import Pixels

_SOURCE = click.argument("source", type=click.Path(path_type=Path))


class _Group(click.Group):
    """Turns our errors into one sentence on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        # OSError: a folder that cannot be written, a full disk; its text names the file.
        except (BrainTumorError, OSError) as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"This command needs {error.name}, which is not installed here. Usual cause: the "
                "image that only serves; the full one has all commands."
            ) from error


@click.group(cls=_Group, context_settings={"show_default": True})
@click.version_option(brain_tumor.__version__)
def main() -> None:
    """Prepare scans, train, evaluate and serve a brain-tumour MRI classifier.

    Not a medical device: no output of it is a diagnosis.
    """
    configure_logging()


@main.command()
@_SOURCE
@click.argument("out_dir", type=click.Path(path_type=Path))
@click.option("--val", default=0.15, help="Share of the scans for Val.zip; 0 writes none.")
@click.option("--test", default=0.15, help="Share of the scans for Test.zip; 0 writes none.")
@click.option("--seed", default=0, help="The same seed gives the same split.")
@click.option("--official", is_flag=True, help="Keep the archive's own Training and Testing.")
@click.option(
    "--duplicates",
    type=click.Choice(["drop", "keep"]),
    default="drop",
    help="Keep one file of each picture, or all of them on one side.",
)
def prepare(
    source: Path,
    out_dir: Path,
    val: float,
    test: float,
    seed: int,
    official: bool,
    duplicates: Literal["drop", "keep"],
) -> None:
    """Split SOURCE (a zip or folder) into Train.zip, Val.zip and Test.zip in OUT_DIR."""
    from brain_tumor.data import prepare as data

    report = data.prepare(
        source, out_dir, val=val, test=test, seed=seed, official=official, duplicates=duplicates
    )
    _print_summary(report.model_dump())
    zips = [name for side, name in data.ZIP_NAMES.items() if report.splits.get(side)]
    click.echo(f"Written to {out_dir}: {', '.join(zips)}, dataset_report.json and .html")


@main.command()
@_SOURCE
@click.option("--out", type=click.Path(path_type=Path), help="Write the report files here.")
def check(source: Path, out: Path | None) -> None:
    """Report on SOURCE (a zip or folder): damage, duplicates, leaks, conflicts, shortcuts."""
    from brain_tumor.data import prepare as data

    _print_summary(data.check(source, out).model_dump())


@main.command()
@_SOURCE
@click.argument("out_dir", type=click.Path(path_type=Path))
@click.option("--files", default=1, type=click.IntRange(1, 99_999), help="Files for each side.")
def records(source: Path, out_dir: Path, files: int) -> None:
    """Write SOURCE (a zip or folder) as TFRecord files to OUT_DIR, for channels that are streamed.

    Sides, such as the Train.zip, Val.zip and Test.zip of `prepare`, become folders.
    """
    from brain_tumor.data.archive import Archive
    from brain_tumor.data.records import write_records

    with Archive(source) as archive:
        for folder, count in write_records(archive, out_dir, files).items():
            click.echo(f"Written to {folder}: {count} scans. ContentType: application/x-tfrecord")


# Arguments are taken as they are, so that `launch` can say why there should be none.
@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def train(arguments: tuple[str, ...]) -> None:
    """Run a training job on /opt/ml, or on SAGEMAKER_BASE_DIR where that is set.

    It takes no ARGUMENTS: hyperparameters stand in input/config/hyperparameters.json.
    """
    from brain_tumor.training.launch import launch

    launch(load_settings().base_dir, arguments)


@main.command()
def serve() -> None:
    """Serve the model in /opt/ml/model on port 8080 (SAGEMAKER_BIND_TO_PORT, PORT)."""
    from brain_tumor.serving.serve import main as run_server

    run_server()


@main.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@_SOURCE
@click.argument("out_dir", type=click.Path(path_type=Path))
def evaluate(model_dir: Path, source: Path, out_dir: Path) -> None:
    """Evaluate MODEL_DIR on all scans of SOURCE; write the reports to OUT_DIR."""
    from brain_tumor.training import assess, report, summary

    findings = assess.assess_model(model_dir, source)
    report.write_findings(findings, out_dir)
    click.echo(summary.headline_sentence(findings))
    click.echo(summary.leak_sentence(findings.evaluation))
    click.echo(f"The reports are in {out_dir}; report.html is the one to read.")


@main.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
def predict(model_dir: Path, files: tuple[Path, ...]) -> None:
    """Print a JSON line of prediction for each scan in FILES; exit 1 if one could not be read.

    Images, DICOM (each frame a line) and NIfTI (each axial slice a line).
    """
    from brain_tumor.serving.classifier import load_classifier

    settings = load_settings()
    classifier = load_classifier(model_dir, settings)
    failed = False
    for file in files:
        for place, item in _scans(file, settings):
            if isinstance(item, Exception):
                failed, entry = True, {"error": str(item)}
            else:
                entry = classifier.classify([item])[0].as_json()
            click.echo(json.dumps({"file": str(file), **place, **entry}))
    sys.exit(int(failed))


@main.command("sample-payload")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("files", type=click.Path(path_type=Path), nargs=-1)
def sample_payload(out: Path, files: tuple[Path, ...]) -> None:
    """Write OUT.tar.gz for SageMaker's Inference Recommender: FILES, all of one type.

    Without FILES it holds the mean scans of the model in /opt/ml/model (SAGEMAKER_BASE_DIR).
    """
    from brain_tumor.serving import sample_payload as samples

    payload = samples.of_files(files) if files else samples.of_model(load_settings().model_dir)
    content_type = samples.write(out, payload)
    click.echo(f"Written to {out}: {len(payload)} files. SupportedContentTypes: {content_type}")


@main.command()
@click.option(
    "--json", "as_json", is_flag=True, help="JSON schema: types, ranges, defaults, tuning ranges."
)
def hyperparameters(as_json: bool) -> None:
    """List the hyperparameters of a training job."""
    from brain_tumor.training.hyperparameter_schema import flat_schema, wanted
    from brain_tumor.training.hyperparameters import Hyperparameters

    schema = flat_schema(Hyperparameters)
    if as_json:
        click.echo(json.dumps(schema, indent=2))
        return
    for name, field in schema["properties"].items():
        click.echo(f"{name} (default: {field['default']}): {wanted(field)}")
        click.echo(f"    {field['description']}")


@main.command("metric-definitions")
def metric_definitions() -> None:
    """Print SageMaker's MetricDefinitions for the lines that training prints, as JSON."""
    from brain_tumor.training.metrics import METRIC_DEFINITIONS

    click.echo(json.dumps(METRIC_DEFINITIONS, indent=2))


def _scans(file: Path, settings: Settings) -> Iterator[tuple[dict[str, int], "Pixels | Exception"]]:
    """Give each scan of a file, and where in a volume it lies; what could not be read as its error.

    A file is read as the body of a request without a telling type; old DICOM needs its suffix.
    """
    from brain_tumor.serving.bodies import Body
    from brain_tumor.serving.payloads import DICOM, read_body

    try:
        data = file.read_bytes()
        kind = DICOM if file.suffix.lower() == ".dcm" else ""
        scans = read_body(
            Body(io.BytesIO(data), len(data), kind, {}),
            settings.max_pixels,
            settings.max_images,
            dicom_frames=settings.dicom_frames,
        )
    except (BrainTumorError, OSError) as error:
        yield {}, error
        return
    for number, item in enumerate(scans.items):
        yield {"slice": number} if scans.is_volume else {}, item


def _print_summary(report: dict[str, Any]) -> None:
    click.echo(f"{report['files']} files, {report['distinct']} distinct pictures")
    for name, count in report["classes"].items():
        click.echo(f"  {name}: {count}")
    for key in ("damaged", "duplicate_groups", "near_groups", "conflicts", "leaks"):
        click.echo(f"  {key.replace('_', ' ')}: {len(report[key])}")
    for side, files in report["splits"].items():
        click.echo(f"  side {side}: {len(files)}")
