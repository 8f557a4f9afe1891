"""Training jobs in real containers, from the start to what lies in the bucket."""

import json
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from local_test.emulator.channels import Channel
from local_test.emulator.metrics import MetricDefinition
from tests.docker import needs_docker
from tests.emulator.conftest import Train

pytestmark = needs_docker

# The host's own name, as a program has to find it.
ME = (
    'me=$(grep -o \'current_host": "[^"]*\' /opt/ml/input/config/resourceconfig.json'
    " | cut -d'\"' -f3)"
)

LISTEN = "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Listen=>1,LocalPort=>7000)->accept'"
CONNECT = "until bash -c 'exec 3<>/dev/tcp/algo-1/7000'; do sleep 0.1; done"


def log(tmp_path: Path, host: str = "algo-1") -> str:
    """Return what a host printed."""
    return (tmp_path / "logs" / f"{host}.log").read_text()


def members(archive: Path) -> dict[str, str]:
    """Return the text of the files in an archive, by name."""
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.isfile()]
        return {m.name: tar.extractfile(m).read().decode() for m in files}  # type: ignore[union-attr]


@pytest.fixture
def data(tmp_path: Path) -> Channel:
    """Give a channel of four objects."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "c", "sub/d"):
        (folder / name).write_text(f"{name}\n")
    return Channel("train", folder)


def test_two_hosts_find_each_other_by_name_and_their_folders_become_one_archive(
    train: Train, tmp_path: Path
) -> None:
    record = train(
        f"{ME}; if [ $me = algo-1 ]; then {LISTEN}; until getent hosts algo-2; do sleep 0.1; done\n"
        f"else {CONNECT}; fi\n"
        "mkdir -p /opt/ml/model/shared; echo $me > /opt/ml/model/shared/$me\n"
        "echo $me > /opt/ml/output/data/$me",
        instance_count=2,
    )
    assert record.status == "Completed", log(tmp_path)
    assert record.codes == [{"algo-1": 0, "algo-2": 0}]
    output = tmp_path / "output"
    assert members(output / "model.tar.gz") == {
        "shared/algo-1": "algo-1\n",
        "shared/algo-2": "algo-2\n",
    }
    assert members(output / "output.tar.gz") == {"algo-1": "algo-1\n", "algo-2": "algo-2\n"}


def test_the_folders_belong_to_root_and_hold_what_the_platform_lays_out(
    train: Train, tmp_path: Path, data: Channel
) -> None:
    train(
        "cd /opt/ml; find . -exec stat -c '%n %U:%G %a' {} +; env",
        channels=(data,),
        hyperparameters={"epochs": "3"},
        environment={"MINE": "yes"},
    )
    printed = log(tmp_path).splitlines()
    for line in (
        "./input/config/hyperparameters.json root:root 644",
        "./input/config/inputdataconfig.json root:root 644",
        "./input/config/resourceconfig.json root:root 644",
        "./input/data/train/sub/d root:root 644",
        "./model root:root 755",
        "./output/data root:root 755",
        "MINE=yes",
        "TRAINING_JOB_NAME=job",
        "TRAINING_JOB_ARN=arn:aws:sagemaker:us-east-1:123456789012:training-job/job",
    ):
        assert line in printed
    assert not [line for line in printed if line.startswith(("./checkpoints", "SM_", "AWS_"))]


def test_what_is_written_into_a_channel_never_reaches_the_callers_data(
    train: Train, tmp_path: Path, data: Channel
) -> None:
    record = train("echo spoilt > /opt/ml/input/data/train/a", channels=(data,))
    assert record.status == "Completed", log(tmp_path)
    assert (data.source / "a").read_text() == "a\n"


def test_fast_file_mode_is_a_mount_that_nobody_can_write(
    train: Train, tmp_path: Path, data: Channel
) -> None:
    channel = Channel("train", data.source, mode="FastFile")
    train("cd /opt/ml/input/data/train; cat a sub/d; touch new 2>&1", channels=(channel,))
    first, second, refusal = log(tmp_path).splitlines()
    assert (first, second) == ("a", "sub/d")
    assert "Read-only file system" in refusal


def test_pipe_mode_streams_all_objects_once_an_epoch(
    train: Train, tmp_path: Path, data: Channel
) -> None:
    channel = Channel("train", data.source, mode="Pipe")
    train("cd /opt/ml/input/data; cat train_0; echo next; head -n 1 train_1", channels=(channel,))
    assert log(tmp_path).split() == ["a", "b", "c", "sub/d", "next", "a"]


def test_sharding_gives_each_host_a_part_and_no_folder_where_there_is_none(
    train: Train, tmp_path: Path, data: Channel
) -> None:
    one = tmp_path / "one"
    one.write_text("")
    channels = (Channel("train", data.source), Channel("one", one))
    train(
        "cd /opt/ml/input/data; find . -type f | sort; ls",
        channels=tuple(replace(channel, mode="FastFile", sharded=True) for channel in channels),
        instance_count=2,
    )
    first, second = (log(tmp_path, host).split() for host in ("algo-1", "algo-2"))
    assert first == ["./one/one", "./train/a", "./train/c", "one", "train"]
    assert second == ["./train/b", "./train/sub/d", "train"]


def test_a_failed_job_gives_the_first_1024_characters_of_its_failure_file_and_no_model(
    train: Train, tmp_path: Path
) -> None:
    record = train(
        "echo x > /opt/ml/model/x; echo r > /opt/ml/output/data/r\n"
        "{ echo 'ValueError: the cause'; yes ü | head -n 2000; } > /opt/ml/output/failure; exit 7"
    )
    assert record.status == record.secondary_status == "Failed"
    assert record.codes == [{"algo-1": 7}]
    assert record.failure == ("ValueError: the cause\n" + "ü\n" * 1000)[:1024]
    assert not (tmp_path / "output/model.tar.gz").exists()
    assert members(tmp_path / "output/output.tar.gz") == {"r": "r\n"}


def test_a_job_without_a_failure_file_tells_its_exit_code(train: Train) -> None:
    assert train("exit 3").failure == "AlgorithmError: Exit Code: 3"


def test_an_image_without_the_program_fails_with_the_engines_reason(
    train: Train, tmp_path: Path
) -> None:
    record = train("", arguments=("no-such-program",))
    assert record.codes == [{"algo-1": 127}]
    assert record.status == "Failed"
    assert "no-such-program" in log(tmp_path)


def test_entrypoint_and_arguments_take_the_place_of_train(train: Train, tmp_path: Path) -> None:
    train("", entrypoint=("echo", "entry"), arguments=("argument",))
    assert log(tmp_path) == "entry argument\n"


def test_when_one_host_fails_the_other_is_stopped_and_the_first_gives_the_reason(
    train: Train,
) -> None:
    record = train(
        f"{ME}; trap 'exit 0' TERM\n"
        "[ $me = algo-1 ] || { echo the cause > /opt/ml/output/failure; exit 5; }\n"
        "while :; do sleep 0.1; done",
        instance_count=2,
    )
    assert record.codes == [{"algo-2": 5, "algo-1": 0}]
    assert (record.status, record.failure) == ("Failed", "the cause\n")


def test_a_symbolic_link_in_the_model_fails_the_upload_and_is_named(train: Train) -> None:
    record = train("echo x > /opt/ml/model/x; ln -s x /opt/ml/model/link")
    assert record.status == "Failed"
    assert "/opt/ml/model/link on algo-1 is a symbolic link" in str(record.failure)


def test_a_stop_is_sigterm_and_what_is_in_the_model_folder_then_is_uploaded(
    train: Train, tmp_path: Path
) -> None:
    record = train(
        "trap 'echo saved > /opt/ml/model/best; exit 0' TERM; while :; do sleep 0.1; done",
        stop_after=1,
    )
    assert [t.status for t in record.transitions][-4:] == [
        "Training",
        "Stopping",
        "Uploading",
        "Stopped",
    ]
    assert record.codes == [{"algo-1": 0}]
    assert members(tmp_path / "output/model.tar.gz") == {"best": "saved\n"}


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(train: Train) -> None:
    start = time.monotonic()
    record = train("trap '' TERM; sleep 60", max_runtime=1, grace=1)
    assert record.codes == [{"algo-1": 137}]
    assert (record.status, record.secondary_status) == ("Stopped", "MaxRuntimeExceeded")
    assert 2 <= time.monotonic() - start < 20


def test_after_a_spot_interruption_the_job_starts_anew_and_finds_its_checkpoints(
    train: Train, tmp_path: Path
) -> None:
    record = train(
        "cd /opt/ml/checkpoints; [ -e last ] && { cat last; ls; ls ../model; exit 0; }\n"
        "trap 'echo told > last' TERM; echo epoch-3 > last; touch ../model/half\n"
        "rm -f old; while :; do sleep 0.1; done",
        checkpoints=_folder_with(tmp_path / "checkpoints", "old"),
        spot_kill_after=1,
    )
    assert [t.status for t in record.transitions][1:7] == [
        "Downloading",
        "Training",
        "Interrupted",
        "Starting",
        "Downloading",
        "Training",
    ]
    assert record.status == "Completed"
    assert record.codes == [{"algo-1": 137}, {"algo-1": 0}]
    # Nothing but the checkpoints outlives it, and no signal announced it.
    assert log(tmp_path).split() == ["epoch-3", "last"]


def _folder_with(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / name).write_text("")
    return folder


def test_metrics_are_read_from_both_streams_and_the_last_value_counts(
    train: Train, tmp_path: Path
) -> None:
    train(
        "echo 'train_loss=0.9; val_loss=0.8;' >&2; echo 'val_acc=0.5;'; echo 'val_acc=1e-05;'",
        metric_definitions=tuple(
            MetricDefinition(name, f"{name}=([-+0-9.eE]+);") for name in ("train_loss", "val_acc")
        ),
    )
    described = json.loads((tmp_path / "description.json").read_text())
    metrics = {m["MetricName"]: m["Value"] for m in described["FinalMetricDataList"]}
    assert metrics == {"train_loss": 0.9, "val_acc": 1e-05}


def test_a_job_that_needs_more_memory_than_its_limit_is_killed(train: Train) -> None:
    # `tail` holds all of a file that has no line.
    record = train("exec tail < /dev/zero", memory="32m")
    assert record.codes == [{"algo-1": 137}]
    assert record.failure == "AlgorithmError: Exit Code: 137"
