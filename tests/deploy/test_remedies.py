"""Each thing that a person can mend is one sentence with the command that mends it."""

import botocore.exceptions as boto
import pytest

from deploy.errors import explain, explain_failure
from tests.deploy.answers import answer

# (what AWS or its SDK says, what the sentence must name, the command that mends it)
TABLE = [
    (
        answer(
            "ValidationError", "Endpoint brain-tumor-endpoint of account 123456789012 not found."
        ),
        "no endpoint brain-tumor-endpoint",
        "python -m deploy endpoint",
    ),
    (
        answer(
            "ValidationException",
            'Could not find endpoint "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/a".',
        ),
        "no endpoint arn:aws:sagemaker:eu-central-1:123456789012:endpoint/a",
        "python -m deploy endpoint",
    ),
    (boto.NoCredentialsError(), "No AWS credentials", "aws configure"),
    (
        boto.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"),
        "aws_secret_access_key",
        "aws configure",
    ),
    (boto.ProfileNotFound(profile="lab"), "no profile lab", "aws configure --profile lab"),
    (boto.UnauthorizedSSOTokenError(), "expired", "aws sso login"),
    (boto.SSOTokenLoadError(error_msg="Token for x does not exist"), "expired", "aws sso login"),
    (answer("ExpiredToken", "The provided token has expired."), "expired", "aws sso login"),
    (answer("ExpiredTokenException", "expired"), "expired", "aws sso login"),
    (
        answer("InvalidClientTokenId", "The security token included in the request is invalid."),
        "made seconds ago",
        "aws configure",
    ),
    (answer("UnrecognizedClientException"), "access key", "aws configure"),
    (answer("InvalidAccessKeyId"), "access key", "aws configure"),
    (answer("SignatureDoesNotMatch", "The request signature"), "secret key", "aws configure"),
    (
        answer("SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier"),
        "clock",
        "timedatectl",
    ),
    (
        answer("RequestTimeTooSkewed", "The difference between the request time and"),
        "clock",
        "time",
    ),
    (boto.NoRegionError(), "No region", "aws configure set region"),
    (boto.InvalidRegionError(region_name="eu central"), "eu central", "describe-regions"),
    (
        boto.EndpointConnectionError(endpoint_url="https://s3.eu-cental-1.amazonaws.com/"),
        "https://s3.eu-cental-1.amazonaws.com/",
        "aws configure get region",
    ),
    (boto.SSLError(endpoint_url="https://x", error="CERTIFICATE"), "certificate", "AWS_CA_BUNDLE"),
    (
        answer(
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region 'us-east-1' is wrong; expecting "
            "'eu-west-1'",
        ),
        "(eu-west-1)",
        "get-bucket-location",
    ),
    (
        answer(
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified "
            "endpoint.",
        ),
        "another region",
        "get-bucket-location",
    ),
    (
        answer(
            "IllegalLocationConstraintException",
            "The eu-west-1 location constraint is incompatible for the region specific endpoint.",
        ),
        "another region",
        "--region",
    ),
    (
        answer(
            "ValidationException",
            "S3 bucket b is in region us-east-1, must be in the same region as the training job",
        ),
        "another region",
        "--region",
    ),
    (answer("BucketAlreadyExists"), "another account", "--project"),
    (
        answer("OperationAborted", "A conflicting conditional operation is in progress"),
        "not finished",
        "wait some minutes",
    ),
    (
        answer(
            "ValidationException",
            "Could not access model data at s3://hospital/model.tar.gz. Please ensure that the "
            'role "arn:aws:iam::1:role/x" exists and that its trust relationship policy allows',
        ),
        "cannot read s3://hospital/model.tar.gz:",
        "aws s3 cp",
    ),
    (
        answer(
            "AccessDenied",
            "User: arn:aws:iam::1:user/x is not authorized to perform: "
            "s3:PutBucketPublicAccessBlock on resource: y because no identity-based policy allows",
        ),
        "nobody but an administrator",
        "python -m deploy setup",
    ),
    (
        answer(
            "AccessDenied",
            "User: x is not authorized to perform: s3:ListBucket on resource: "
            "arn:aws:s3:::my-bucket-not-in-this-region because no identity-based policy allows",
        ),
        "may not do s3:ListBucket",
        "python -m deploy iam",
    ),
    (
        answer("DeleteConflict", "Cannot delete entity, must delete login profile first."),
        "must delete login profile first",
        "aws iam delete-login-profile",
    ),
    (answer("NoSuchBucket", "The specified bucket does not exist"), "bucket", "deploy setup"),
    (
        answer("ValidationException", "No S3 objects found under S3 URL s3://b/data/train/"),
        "no scans",
        "deploy upload",
    ),
    (
        answer("ValidationException", "Could not assume role arn:aws:iam::1:role/x. Please ensure"),
        "role",
        "deploy setup",
    ),
    (
        answer("NoSuchEntity", "The role with name brain-tumor-execution cannot be found."),
        "role",
        "deploy setup",
    ),
    (
        answer(
            "ValidationException",
            "Unsupported manifest media type application/vnd.oci.image.manifest.v1+json",
        ),
        "manifest",
        "./build_and_push.sh",
    ),
    (
        answer("RepositoryNotFoundException", "The repository with name 'x' does not exist in the"),
        "not in ECR",
        "./build_and_push.sh",
    ),
    (
        answer("ValidationException", "Requested image 1.dkr.ecr.eu-central-1/x:1 not found."),
        "not in ECR",
        "./build_and_push.sh",
    ),
    (
        answer(
            "ResourceLimitExceeded",
            "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, "
            "with current utilization of 0 Instances and a request delta of 1 Instances.",
        ),
        "is 0: let an administrator ask for more",
        "aws service-quotas request-service-quota-increase",
    ),
    (answer("LimitExceededException", "Too many buckets."), "Too many buckets", "deploy delete"),
    (answer("ThrottlingException", "Rate exceeded"), "too many calls", "again"),
    (
        answer(
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/x is not authorized to perform: sagemaker:CreateModel on "
            "resource: y because no identity-based policy allows the sagemaker:CreateModel action",
        ),
        "sagemaker:CreateModel",
        "deploy iam",
    ),
    (
        answer(
            "AccessDenied",
            "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: "
            "iam:CreatePolicyVersion on resource: policy brain-tumor-execution because no "
            "identity-based policy allows the iam:CreatePolicyVersion action",
        ),
        "nobody but an administrator",
        "deploy iam --no-user",
    ),
    (
        answer(
            "AccessDeniedException",
            "User: x is not authorized to perform: ecr:CreateRepository on resource: y with an "
            "explicit deny in a service control policy",
        ),
        "ecr:CreateRepository",
        "aws organizations",
    ),
    (answer("AccessDenied", "Access Denied", "PutObject"), "PutObject", "deploy iam"),
    (answer("403", "Forbidden", "HeadObject"), "HeadObject", "deploy iam"),
    (
        answer("ResourceInUse", "Training job names must be unique"),
        "names must be unique",
        "--name",
    ),
    (
        answer("ValidationException", 'Cannot create already existing endpoint "x".'),
        "already existing",
        "deploy delete",
    ),
    (
        boto.ParamValidationError(report="Invalid type for parameter X, value: 3"),
        "parameter X",
        "--help",
    ),
    (
        ModuleNotFoundError("No module named 'boto3'", name="boto3"),
        "boto3",
        "pip install",
    ),
]


@pytest.mark.parametrize(("error", "named", "command"), TABLE, ids=lambda value: str(value)[:60])
def test_an_error_is_one_sentence_that_names_the_thing_and_the_remedy(
    error: Exception, named: str, command: str
) -> None:
    sentence = explain(error)
    assert sentence is not None
    assert named in sentence
    assert command in sentence
    assert "{" not in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "message",
    [
        "Training job names must be unique within an AWS account",
        "Job name must be unique within an AWS account and region, and a job with this name "
        "already exists (arn:aws:sagemaker:eu-central-1:1:transform-job/brain-tumor-1)",
    ],
)
def test_nobody_is_told_to_delete_a_job_whose_name_is_taken(message: str) -> None:
    sentence = explain(answer("ResourceInUse", message)) or ""
    assert "choose another by --name" in sentence
    assert "delete" not in sentence


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("AlgorithmError: exec /opt/venv/bin/train: exec format error", "--platform linux/amd64"),
        ("CapacityError: Unable to provision requested ML compute capacity.", "--spot"),
        ("ClientError: Data download failed:AccessDenied (403): Access Denied", "aws s3 cp"),
        ("Access denied when calling S3: s3://hospital/scans", "aws s3 cp"),
        ("ClientError: Unsupported manifest media type application/vnd.oci", "build_and_push.sh"),
    ],
)
def test_the_reason_why_a_job_failed_is_explained_too(reason: str, command: str) -> None:
    assert command in (explain_failure(reason) or "")
