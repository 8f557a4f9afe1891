"""`train`: a training job on SageMaker, or the same job in the SDK's local mode."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from deploy import artefacts, jobs, names, watch
from deploy.job_options import job_options, make_job
from deploy.options import aws_command
from deploy.session import Aws


@aws_command(
    "train --dry-run",
    "train --spot -s epochs=10",
    "train --instance-type ml.c5.2xlarge --instance-count 2",
    "train --no-wait --name brain-tumor-1",
    "train --attach brain-tumor-1",
    "train --resume brain-tumor-1",
    "train --local prepared --image brain-tumor",
)
@job_options
@click.option("--name", help="Name of the job. [default: the project and the time]")
@click.option("--attach", metavar="JOB", help="Start nothing: watch a job that was started.")
@click.option("--resume", metavar="JOB", help="Go on from the checkpoints of an earlier job.")
@click.option("--wait/--no-wait", default=True, help="Watch the job and fetch its artefacts.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="jobs",
    show_default=True,
    help="A folder of the job's name below this one gets the model and the reports.",
)
@click.option(
    "--local",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Run it here on FOLDER's zips, by the SDK's local mode; needs Docker and no account.",
)
def train(
    aws: Aws,
    name: str | None,
    attach: str | None,
    resume: str | None,
    wait: bool,
    out: Path,
    local: Path | None,
    **chosen: Any,
) -> None:
    """Run a training job, watch it, and bring its artefacts home.

    It trains on what `upload` uploaded. Interrupted? The job goes on; --attach shows it again.
    Metric definitions and hyperparameters are asked of the image by `docker run`.
    """
    name = attach or name or f"{aws.project}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if local:
        from deploy import local_mode

        local_mode.train(aws, name, make_job(aws, chosen, local), out / name)
        return
    if attach:
        names.old_job(aws, "train", name)
    else:
        names.new_job(aws, "train", name)
        job = make_job(aws, chosen)
        aws.confirm(f"{job.cost(aws)}\nStart {name}?")
        jobs.start(aws, jobs.training_request(aws, name, job, resume or name))
        aws.tell(f"started {name}; to watch it: python -m deploy train --attach {name}")
    if wait and not aws.dry_run:
        artefacts.bring_home(aws, _watched(aws, name), out / name)


def _watched(aws: Aws, name: str) -> dict[str, Any]:
    try:
        return watch.watch(aws, name)
    except KeyboardInterrupt:
        stop = f"aws sagemaker stop-training-job --training-job-name {name}"
        click.echo(f"\n{name} goes on. To stop it: {stop}", err=True)
        raise click.Abort from None
