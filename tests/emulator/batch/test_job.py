"""Transform jobs with a stub: parameters, retries, failures, outputs."""

import gzip
import sys
from pathlib import Path
from typing import Any

import pytest

from local_test.emulator.batch.describe import describe
from local_test.emulator.batch.job import Run, TransformRecord
from local_test.emulator.batch.processing import DataProcessing
from local_test.emulator.batch.specification import DEFAULTS, Parameters, TransformJob
from local_test.emulator.errors import EmulatorError
from tests.emulator.hosting.conftest import stub_server
from tests.emulator.shapes import assert_answer
from tests.jobs import ROOT

_STUB = f"env PYTHONPATH={ROOT} {sys.executable} -u -m tests.emulator.batch.batch_stub"
_TOLD = '{"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}'


def _transform(
    folder: Path,
    objects: dict[str, bytes],
    environment: dict[str, str] | None = None,
    **fields: Any,
) -> tuple[TransformRecord, list[str]]:
    """Run a job on objects; return what happened, and what the server was asked."""
    for key, content in objects.items():
        (folder / "data" / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / key).write_bytes(content)
    job = TransformJob(
        name="job", image="stub", data=folder / "data", environment=environment or {}, **fields
    )
    with stub_server(
        _STUB, environment=job.environment, platform=job.platform_environment
    ) as server:
        record = Run(job, folder / "out").lead(server)
        server.stop()
        asked = [line for line in server.log().splitlines() if line.startswith("asked")]
    return record, asked


def _out(folder: Path) -> dict[str, bytes]:
    out = folder / "out"
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_each_object_is_one_request_and_becomes_a_file_with_its_key_and_out(tmp_path: Path) -> None:
    objects = {"a.txt": b"one\ntwo", "deep/er/b.txt": b"three"}
    record, asked = _transform(tmp_path, objects, content_type="text/plain")
    assert record.status == "Completed"
    assert _out(tmp_path) == {"a.txt.out": b"ONE\nTWO", "deep/er/b.txt.out": b"THREE"}
    assert sorted(asked) == ["asked: 5 bytes, whole", "asked: 7 bytes, whole"]
    assert record.parameters == DEFAULTS


def test_lines_are_answered_in_their_order_whatever_is_at_once(tmp_path: Path) -> None:
    lines = b"".join(b"line %d\n" % n for n in range(12))
    record, _ = _transform(
        tmp_path,
        {"a": lines},
        split_type="Line",
        assemble_with="Line",
        parameters=Parameters(concurrent=4, strategy="SingleRecord"),
    )
    assert record.status == "Completed"
    assert _out(tmp_path) == {"a.out": lines.upper()}


def test_answers_are_put_together_as_bytes_without_assemble_with(tmp_path: Path) -> None:
    parameters = Parameters(strategy="SingleRecord")
    _transform(tmp_path, {"a": b"x\ny\n"}, split_type="Line", parameters=parameters)
    assert _out(tmp_path) == {"a.out": b"XY"}


@pytest.mark.parametrize(
    ("said", "told", "counted"),
    [
        (Parameters(), "", Parameters(1, "MultiRecord", 6)),
        (Parameters(), _TOLD, Parameters(3, "SingleRecord", 2)),
        (Parameters(payload_mb=5), _TOLD, Parameters(3, "SingleRecord", 5)),
        (Parameters(2, "MultiRecord", 0), _TOLD, Parameters(2, "MultiRecord", 0)),
        (Parameters(), '{"BatchStrategy": "MultiRecord"}', DEFAULTS),
    ],
)
def test_the_jobs_parameters_win_over_the_containers_and_these_over_the_defaults(
    tmp_path: Path, said: Parameters, told: str, counted: Parameters
) -> None:
    record, _ = _transform(
        tmp_path,
        {"a": b"x\ny\n"},
        {"EXECUTION_PARAMETERS": told},
        split_type="Line",
        parameters=said,
    )
    assert record.parameters == counted
    assert record.status == "Completed"


@pytest.mark.parametrize("told", ["<html>", '{"BatchStrategy": "ALL"}', "[]"])
def test_execution_parameters_that_cannot_be_read_fail_the_job(tmp_path: Path, told: str) -> None:
    record, asked = _transform(tmp_path, {"a": b"x"}, {"EXECUTION_PARAMETERS": told})
    assert record.status == "Failed"
    assert "GET /execution-parameters was answered with" in str(record.failure)
    assert asked == []


def test_only_what_the_job_says_is_in_the_environment() -> None:
    job = TransformJob("job", "stub", Path())
    assert job.platform_environment == {"SAGEMAKER_BATCH": "true"}
    parameters = Parameters(2, "SingleRecord", 6)
    job = TransformJob("job", "stub", Path(), split_type="Line", parameters=parameters)
    assert job.platform_environment == {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
    }


def test_payloads_of_any_size_are_sent_chunked(tmp_path: Path) -> None:
    parameters = Parameters(payload_mb=0)
    _, asked = _transform(tmp_path, {"a": b"x" * 100_000}, parameters=parameters)
    assert asked == ["asked: 100000 bytes, chunked"]
    assert _out(tmp_path) == {"a.out": b"X" * 100_000}


def test_gzip_is_unpacked_before_it_is_sent(tmp_path: Path) -> None:
    record, _ = _transform(
        tmp_path, {"a.gz": gzip.compress(b"x"), "b.gz": b"plain"}, compression="Gzip"
    )
    assert _out(tmp_path) == {"a.gz.out": b"X"}
    assert "CompressionType is Gzip, but it is not" in record.failures["b.gz"]


def test_a_server_that_is_overloaded_is_asked_again(tmp_path: Path) -> None:
    record, asked = _transform(tmp_path, {"a": b"x"}, {"FAILS_FIRST": "3"})
    assert record.status == "Completed"
    assert len(asked) == 4


def test_retries_end(tmp_path: Path) -> None:
    record, asked = _transform(tmp_path, {"a": b"x"}, {"FAILS_FIRST": "9"}, retries=1)
    assert len(asked) == 2
    assert record.failures["a"].startswith("Bad HTTP status received from algorithm: 503")


def test_a_bad_record_costs_its_object_alone_and_fails_the_job_with_its_reason(
    tmp_path: Path,
) -> None:
    objects = {"a": b"x\nbad\n", "b": b"y\n"}
    parameters = Parameters(strategy="SingleRecord")
    record, _ = _transform(tmp_path, objects, split_type="Line", parameters=parameters)
    assert record.status == "Failed"
    assert _out(tmp_path) == {"b.out": b"Y"}
    reason = "a: Bad HTTP status received from algorithm: 400: a bad record"
    assert record.failure == f"ClientError: {reason}"
    described = describe(record)
    assert described["FailureReason"] == record.failure
    assert_answer("DescribeTransformJob", described)


def test_an_object_above_the_payload_fails(tmp_path: Path) -> None:
    record, asked = _transform(
        tmp_path, {"a": bytes(1024**2 + 1)}, parameters=Parameters(payload_mb=1)
    )
    assert "MaxPayloadInMB allows 1048576" in str(record.failure)
    assert asked == []


def test_ids_of_rows_are_kept_and_not_sent(tmp_path: Path) -> None:
    _transform(
        tmp_path,
        {"a.csv": b"id-1,5,6\nid-2,7,8\n"},
        content_type="text/csv",
        accept="text/csv",
        split_type="Line",
        assemble_with="Line",
        processing=DataProcessing("text/csv", "$[1:]", "$[0,-1]", join=True),
    )
    assert _out(tmp_path) == {"a.csv.out": b"id-1,2\nid-2,2\n"}


def test_no_object_at_all_fails(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    record, _ = _transform(tmp_path, {})
    assert "There is no object in" in str(record.failure)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a_job"}, "no name for a transform job"),
        ({"parameters": Parameters(strategy="SingleRecord")}, "BatchStrategy needs SplitType"),
        ({"parameters": Parameters(20, None, 6)}, "may be 100 MB at most"),
        ({"parameters": Parameters(payload_mb=101)}, "may be 100 MB at most"),
        ({"timeout": 3601}, "InvocationsTimeoutInSeconds is 1 to 3600"),
        ({"retries": 4}, "InvocationsMaxRetries is 0 to 3"),
        ({"environment": {str(n): "" for n in range(17)}}, "SageMaker takes 16 at most"),
    ],
)
def test_what_create_transform_job_refuses_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(EmulatorError, match=message):
        TransformJob(**{"name": "job", "image": "stub", "data": Path(), **fields})


def test_the_description_is_that_of_describe_transform_job(tmp_path: Path) -> None:
    record, _ = _transform(tmp_path, {"a": b"x"}, content_type="text/plain")
    described = describe(record)
    assert_answer("DescribeTransformJob", described)
    assert described["TransformJobStatus"] == "Completed"
    assert described["TransformInput"]["ContentType"] == "text/plain"
    assert described["DataProcessing"]["JoinSource"] == "None"
    assert "FailureReason" not in described
    assert "MaxPayloadInMB" not in described
