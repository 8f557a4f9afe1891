"""Where things lie: the bucket with all versions of its objects, and the image's repository."""

from collections.abc import Iterator

from deploy import tags
from deploy.errors import or_none
from deploy.resources import Kind, Resource
from deploy.session import Aws


def _find_bucket(aws: Aws) -> Iterator[Resource]:
    owner = {"Bucket": aws.bucket, "ExpectedBucketOwner": aws.account}
    found = or_none(aws.client("s3").get_bucket_tagging, **owner)
    if found and tags.marks(aws.project, found["TagSet"]):
        yield Resource("bucket", aws.bucket, f"arn:aws:s3:::{aws.bucket}")


def _remove_bucket(aws: Aws, resource: Resource) -> None:
    """Delete every version of every object, then the bucket; a full one cannot be deleted."""
    client = aws.client("s3")
    for page in client.get_paginator("list_object_versions").paginate(Bucket=resource.name):
        held = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if held:
            objects = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in held]
            client.delete_objects(Bucket=resource.name, Delete={"Objects": objects, "Quiet": True})
    client.delete_bucket(Bucket=resource.name)


def _find_repositories(aws: Aws) -> Iterator[Resource]:
    client = aws.client("ecr")
    for page in client.get_paginator("describe_repositories").paginate():
        for repository in page["repositories"]:
            arn = repository["repositoryArn"]
            named = repository["repositoryName"].startswith(aws.project)
            if named and tags.marks(
                aws.project, client.list_tags_for_resource(resourceArn=arn)["tags"]
            ):
                yield Resource("repository", repository["repositoryName"], arn)


def _remove_repository(aws: Aws, resource: Resource) -> None:
    """Delete it with the images in it."""
    aws.client("ecr").delete_repository(repositoryName=resource.name, force=True)


KINDS = [
    Kind("repository", _find_repositories, _remove_repository),
    Kind("bucket", _find_bucket, _remove_bucket),
]
