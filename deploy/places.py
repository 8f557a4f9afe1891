"""Places in S3: which of them the execution role may read, and which are forgotten, and when."""

import re

from deploy.errors import DeployError
from deploy.session import Aws

PIPELINE_SCANS = "pipeline-scans"
COPIES = ("async/", "transforms/", f"{PIPELINE_SCANS}/")
"""Prefixes below which copies of scans lie, and answers that were fetched home; never a model."""
COPIES_DAYS = 30
"""For how long they are kept."""
# What this project reads; with another ending a name may as well be a folder's, such as v1.2.
_FILE = re.compile(
    r"\.(zip|t?gz|jsonl?|csv|npy|jpe?g|png|bmp|gif|webp|tiff?|dcm|nii|h5|keras)$", re.IGNORECASE
)


def readable(aws: Aws, uri: str) -> str:
    """Give the S3 URI of what a job or an endpoint is to read as it is.

    Raises:
        DeployError: it is none, or the role may not read there, which AWS would tell only once the
            machines have started.
    """
    found = re.fullmatch(r"s3://([^/]+)/*(.*)", uri)
    if not found:
        raise DeployError(f"{uri!r} is no S3 URI: wanted s3://{aws.bucket}/…")
    bucket, key = found.groups()
    # A dry run does not know the account.
    account = "[^-]+" if aws.dry_run else aws.account
    if re.fullmatch(f"{re.escape(aws.project)}-{account}-.+", bucket):
        return uri
    home = f"s3://{aws.bucket}/copies/{bucket}/{key}"
    several = "" if _FILE.search(key) else "--recursive "
    raise DeployError(
        f"{uri} lies in a bucket that the role {aws.role_name} may not read. Copy it as somebody "
        f"who may read it, by `aws s3 cp {several}{uri} {home}`, and name {home} instead."
    )
