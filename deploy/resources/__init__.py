"""All that the commands make, found by its tag and removed in an order that AWS allows.

Found service by service: AWS's one API for tags knows neither roles nor users, and no list of our
own can be lost this way. Names narrow the lists, tags decide.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deploy.session import Aws


@dataclass(frozen=True)
class Resource:
    """Something in the account that carries the project's tag."""

    kind: str
    name: str
    arn: str = ""
    status: str = ""
    costs: bool = False
    """Whether it costs money by the hour for as long as it is so."""


@dataclass(frozen=True)
class Kind:
    """A kind of resource: how those of the project are found, and how one is removed."""

    name: str
    find: Callable[[Aws], Iterator[Resource]]
    remove: Callable[[Aws, Resource], None]


def working_kinds() -> list[Kind]:
    """Give the kinds that work with the bucket, the image and the role, in order of removal."""
    from deploy.resources import sagemaker, watching

    return [*watching.KINDS, *sagemaker.KINDS]


def kinds(*, with_user: bool = True) -> list[Kind]:
    """Give all kinds, in the order in which they are removed.

    Args:
        with_user: also those that an administrator made with `iam`.
    """
    from deploy.resources import access, storage, watching

    return [
        *working_kinds(),
        # After the endpoints, which write into them until they end.
        watching.LOG_GROUP,
        *storage.KINDS,
        access.ROLE,
        *([access.USER, access.POLICY] if with_user else []),
    ]
