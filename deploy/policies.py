"""The policies: who may do what, as IAM takes it, with the reason for each part.

Each names the project's own resources; `*` stands where AWS knows no narrower form.
"""

import json
from typing import Any

from deploy.session import Aws

Policy = dict[str, Any]

# SageMaker's kinds of resource that the commands make, as they stand in an ARN.
_KINDS = (
    "training-job",
    "hyper-parameter-tuning-job",
    "processing-job",
    "transform-job",
    "model",
    "model-package",
    "model-package-group",
    "endpoint",
    "endpoint-config",
    "pipeline",
)
# Those that the steps of a pipeline make.
_STEP_KINDS = ("training-job", "processing-job", "model-package", "model-package-group")
_OBJECTS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]


def _document(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(name: str, actions: list[str], resources: list[str] | str, **condition: Any) -> Policy:
    statement = {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}
    return statement | ({"Condition": condition} if condition else {})


def as_json(policy: Policy) -> str:
    """Give a policy as people review it, and as IAM takes it."""
    return json.dumps(policy, indent=2)


def bucket_policy(aws: Aws) -> Policy:
    """Refuse every request to the bucket that is not encrypted on its way."""
    bucket = _bucket_arn(aws, aws.bucket)
    return _document(
        {
            "Sid": "OnlyByTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket, f"{bucket}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def trust_policy(aws: Aws) -> Policy:
    """Let SageMaker take the role, for this account alone (or it would be a confused deputy)."""
    return _document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": aws.account}},
        }
    )


def execution_policy(aws: Aws) -> Policy:
    """What a job or an endpoint may do: read and write the bucket, pull the image, log.

    It is the role's permissions boundary too, so that nobody who may make the role may widen it.
    """
    bucket = _bucket_arn(aws, f"{aws.project}-{aws.account}-*")
    names = {"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*"]}
    return _document(
        _allow("ListBucket", ["s3:ListBucket", "s3:GetBucketLocation"], [bucket]),
        # Delete: checkpoints that the job removes are removed in the bucket too.
        _allow("ReadAndWriteObjects", _OBJECTS, [f"{bucket}/*"]),
        _allow(
            "PullImage",
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            [aws.arn("ecr", f"repository/{aws.project}*", region="*")],
        ),
        _allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], "*"),
        _allow(
            "WriteLogs",
            [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            [aws.arn("logs", "log-group:/aws/sagemaker/*", region="*")],
        ),
        _allow("WriteMetrics", ["cloudwatch:PutMetricData"], "*", StringLike=names),
        # As the role, SageMaker asks for the alarms that roll an update back.
        _allow(
            "WatchUpdate",
            ["cloudwatch:DescribeAlarms"],
            [aws.arn("cloudwatch", f"alarm:{aws.project}-*", region="*")],
        ),
        # What an asynchronous endpoint did.
        _allow("TellTopic", ["sns:Publish"], [aws.arn("sns", f"{aws.project}-*", region="*")]),
        # The platform names a pipeline's jobs after those of its definition.
        _allow(
            "RunPipelineSteps",
            [
                "sagemaker:AddTags",
                "sagemaker:Create*",
                "sagemaker:Describe*",
                "sagemaker:ListTags",
                "sagemaker:Stop*",
            ],
            _sagemaker_arns(aws, _STEP_KINDS),
        ),
        _pass_role(aws),
    )


def user_policy(aws: Aws) -> Policy:
    """What the person needs for this project, instead of an administrator's rights."""
    bucket = _bucket_arn(aws, f"{aws.project}-{aws.account}-*")
    role = aws.role_arn
    boundary = {"iam:PermissionsBoundary": policy_arn(aws, "execution")}
    return _document(
        # All but what could open it to the public.
        _allow(
            "Bucket",
            [
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:GetBucketLocation",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketTagging",
                "s3:ListBucket",
                "s3:ListBucketVersions",
                "s3:PutBucketPolicy",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
            ],
            [bucket],
        ),
        _allow("Objects", [*_OBJECTS, "s3:DeleteObjectVersion"], [f"{bucket}/*"]),
        _allow(
            "Repository",
            ["ecr:*"],
            [aws.arn("ecr", f"repository/{aws.project}*", region="*")],
        ),
        _allow("LogInToRegistry", ["ecr:GetAuthorizationToken", "ecr:DescribeRepositories"], "*"),
        _allow("Work", ["sagemaker:*"], _sagemaker_arns(aws, _KINDS)),
        # None of these can be narrowed to names.
        _allow("Look", ["sagemaker:List*", "s3:ListAllMyBuckets"], "*"),
        _allow(
            "ReadRole",
            ["iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRoleTags", "iam:TagRole"],
            [role],
        ),
        _allow(
            "MakeRoleWithinBoundary",
            ["iam:CreateRole", "iam:AttachRolePolicy", "iam:DetachRolePolicy"],
            [role],
            StringEquals=boundary,
        ),
        _allow("RemoveRole", ["iam:DeleteRole", "iam:UpdateAssumeRolePolicy"], [role]),
        _allow(
            "ReadPolicies",
            ["iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyTags"],
            [aws.arn("iam", f"policy/{aws.project}-*", region="")],
        ),
        _allow("Self", ["iam:GetUser"], [aws.arn("iam", f"user/{aws.project}-user", region="")]),
        _pass_role(aws),
        _allow(
            "EndpointLogs",
            [
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:GetLogEvents",
                "logs:ListTagsForResource",
                "logs:PutRetentionPolicy",
                "logs:TagResource",
            ],
            [aws.arn("logs", f"log-group:/aws/sagemaker/Endpoints/{aws.project}-*", region="*")],
        ),
        # The groups of jobs are shared by all of the account; a stream begins with its job's name.
        _allow(
            "JobLogs",
            ["logs:DeleteLogStream", "logs:GetLogEvents"],
            [aws.arn("logs", f"log-group:/aws/sagemaker/*:log-stream:{aws.project}-*", region="*")],
        ),
        _allow(
            "FindJobLogs",
            ["logs:DescribeLogStreams"],
            [aws.arn("logs", "log-group:/aws/sagemaker/*", region="*")],
        ),
        _allow("FindLogs", ["logs:DescribeLogGroups"], "*"),
        _allow("FindAlarms", ["cloudwatch:DescribeAlarms"], "*"),
        _allow(
            "Alarms",
            [
                "cloudwatch:DeleteAlarms",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:TagResource",
            ],
            [
                aws.arn("cloudwatch", f"alarm:{aws.project}-*", region="*"),
                # Application Auto Scaling makes those of a target-tracking policy.
                aws.arn("cloudwatch", f"alarm:TargetTracking-endpoint/{aws.project}-*", region="*"),
            ],
        ),
        _allow(
            "Autoscaling",
            [
                "application-autoscaling:DeleteScalingPolicy",
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:Describe*",
                "application-autoscaling:ListTagsForResource",
                "application-autoscaling:PutScalingPolicy",
                "application-autoscaling:RegisterScalableTarget",
                "application-autoscaling:TagResource",
            ],
            "*",
            **{"StringEqualsIfExists": {"application-autoscaling:service-namespace": "sagemaker"}},
        ),
        _allow(
            "AutoscalingRole",
            ["iam:CreateServiceLinkedRole"],
            "*",
            StringEquals={"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"},
        ),
        _allow("Prices", ["pricing:GetProducts"], "*"),
    )


def policy_arn(aws: Aws, part: str) -> str:
    """ARN of one of the project's two managed policies, `execution` or `user`."""
    return aws.arn("iam", f"policy/{aws.project}-{part}", region="")


def _pass_role(aws: Aws) -> Policy:
    to = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    return _allow("HandRoleToSageMaker", ["iam:PassRole"], [aws.role_arn], StringEquals=to)


def _bucket_arn(aws: Aws, name: str) -> str:
    return f"arn:{aws.session.get_partition_for_region(aws.region)}:s3:::{name}"


def _sagemaker_arns(aws: Aws, kinds: tuple[str, ...]) -> list[str]:
    return [aws.arn("sagemaker", f"{kind}/{aws.project}-*", region="*") for kind in kinds]
