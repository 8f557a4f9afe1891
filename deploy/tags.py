"""The tag that every resource carries, in the forms that AWS's services want it."""

KEY = "brain-tumor-project"
"""Its value is the project's name; build_and_push.sh gives it to the repository in ECR."""

OF_PIPELINE = {"Key": "brain-tumor-step", "Value": "pipeline"}
"""Of a training job that a pipeline starts, too: what it left may have failed the condition."""


def as_list(project: str) -> list[dict[str, str]]:
    """Give the tag as most services take it."""
    return [{"Key": KEY, "Value": project}]


def as_map(project: str) -> dict[str, str]:
    """Give the tag as the log service takes it."""
    return {KEY: project}


def marks(project: str, tags: list[dict[str, str]] | dict[str, str]) -> bool:
    """Whether these tags of a resource say that it belongs to the project."""
    if isinstance(tags, list):
        tags = {tag["Key"]: tag["Value"] for tag in tags}
    return tags.get(KEY) == project
