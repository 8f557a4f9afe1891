"""DescribeTransformJob's own JSON."""

from typing import Any

from local_test.emulator.batch.job import TransformRecord
from local_test.emulator.batch.specification import TransformJob
from local_test.emulator.describe import BUCKET, timestamp, without_none
from local_test.emulator.specification import arn


def describe(record: TransformRecord) -> dict[str, Any]:
    """Return what DescribeTransformJob answers for a job; fields that do not apply are left out."""
    job, said = record.job, record.job.parameters
    described = {
        "TransformJobName": job.name,
        "TransformJobArn": arn("transform-job", job.name),
        "TransformJobStatus": record.status,
        "FailureReason": record.failure,
        "ModelName": job.name,
        "MaxConcurrentTransforms": said.concurrent,
        "ModelClientConfig": {
            "InvocationsTimeoutInSeconds": round(job.timeout),
            "InvocationsMaxRetries": job.retries,
        },
        "MaxPayloadInMB": said.payload_mb,
        "BatchStrategy": said.strategy,
        "Environment": dict(job.environment),
        **_data(job),
        "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        "CreationTime": timestamp(record.created),
        "TransformStartTime": timestamp(record.started),
        "TransformEndTime": timestamp(record.ended),
    }
    cleaned: dict[str, Any] = without_none(described)
    return cleaned


def _data(job: TransformJob) -> dict[str, Any]:
    return {
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{BUCKET}/{job.name}/input/"}
            },
            "ContentType": job.content_type,
            "CompressionType": job.compression,
            "SplitType": job.split_type,
        },
        "TransformOutput": {
            "S3OutputPath": f"{BUCKET}/{job.name}/output",
            "Accept": job.accept,
            "AssembleWith": job.assemble_with,
        },
        "DataProcessing": {
            "InputFilter": job.processing.input_filter,
            "OutputFilter": job.processing.output_filter,
            "JoinSource": "Input" if job.processing.join else "None",
        },
    }
