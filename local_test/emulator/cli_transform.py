"""The command `transform`: its options become a job; the description is its output."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from local_test.emulator import cli_hosting
from local_test.emulator.batch.describe import describe
from local_test.emulator.batch.job import Run, TransformRecord
from local_test.emulator.batch.processing import DataProcessing
from local_test.emulator.batch.specification import Parameters, TransformJob
from local_test.emulator.cli_hosting import COMMAND, FOLDER, IMAGE, MODEL, PATH, Hosting
from local_test.emulator.console import Console
from local_test.emulator.hosting.definition import model_folder
from local_test.emulator.hosting.health import NotHealthyError


@click.command(context_settings={"show_default": True})
@IMAGE
@COMMAND
@MODEL
@click.option("--data", required=True, type=PATH, help="A folder of objects, or one file.")
@click.option("--out", required=True, type=FOLDER, help="KEY.out comes into it for each KEY.")
@click.option("--content-type", help="ContentType of all objects.")
@click.option("--accept", help="Accept of all requests.")
@click.option(
    "--split-type",
    default="None",
    type=click.Choice(["None", "Line", "RecordIO", "TFRecord"]),
    help="Where an object is cut.",
)
@click.option("--strategy", type=click.Choice(["MultiRecord", "SingleRecord"]))
@click.option("--assemble-with", default="None", type=click.Choice(["None", "Line"]))
@click.option("--gzip", is_flag=True, help="CompressionType Gzip: objects are unpacked.")
@click.option("--max-payload-mb", type=int, help="MaxPayloadInMB; 0: any, sent chunked.")
@click.option("--max-concurrent", type=int, help="MaxConcurrentTransforms.")
@click.option("--timeout", default=600.0, help="InvocationsTimeoutInSeconds.")
@click.option("--retries", default=3, help="InvocationsMaxRetries.")
@click.option("--input-filter", default="$", help="JSONPath: what of a record is sent.")
@click.option("--output-filter", default="$", help="JSONPath: what is kept.")
@click.option("--join-source", default="None", type=click.Choice(["None", "Input"]))
@click.option("--job-name", default="transform", help="The job's name.")
@cli_hosting.options
def transform(
    image: str | None,
    command: str | None,
    model: Path | None,
    out: Path,
    hosting: Hosting,
    **fields: Any,
) -> None:
    """Run a transform job with IMAGE; print DescribeTransformJob's answer.

    The log and all notes go to stderr. The exit code is 1 when the job failed.
    """
    job = _job(image or str(command), hosting, fields)
    console = Console()
    with ExitStack() as stack:
        launcher = stack.enter_context(
            cli_hosting.launched(image, command, hosting, hosting.lifecycle(console), console)
        )
        folders = stack.enter_context(model_folder(model))
        definition = hosting.definition(
            launcher, folders=folders, platform=job.platform_environment
        )
        run = Run(job, out, console.note)
        try:
            with launcher.make(definition) as server:
                record = run.lead(server)
        except NotHealthyError as error:
            run.fail(str(error))
            record = run.record
        _tell(record, console)
    raise SystemExit(1 if record.failure else 0)


def _job(image: str, hosting: Hosting, fields: dict[str, Any]) -> TransformJob:
    content_type = fields["content_type"]
    return TransformJob(
        name=fields["job_name"],
        image=image,
        data=fields["data"],
        content_type=content_type,
        accept=fields["accept"],
        split_type=fields["split_type"],
        compression="Gzip" if fields["gzip"] else "None",
        assemble_with=fields["assemble_with"],
        parameters=Parameters(
            fields["max_concurrent"], fields["strategy"], fields["max_payload_mb"]
        ),
        processing=DataProcessing(
            content_type,
            fields["input_filter"],
            fields["output_filter"],
            join=fields["join_source"] == "Input",
        ),
        environment=hosting.environment,
        timeout=fields["timeout"],
        retries=fields["retries"],
    )


def _tell(record: TransformRecord, console: Console) -> None:
    counted = record.parameters
    console.note(
        f"{len(record.outputs)} objects transformed, {len(record.failures)} failed; "
        f"{counted.concurrent} requests at once, {counted.strategy}, {counted.payload_mb} MB"
    )
    if record.failure:
        console.note(record.failure)
    click.echo(json.dumps(describe(record), indent=2))
