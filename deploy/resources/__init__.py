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


@dataclass(frozen=True)
class Kind:
    """A kind of resource: how those of the project are found, and how one is removed."""

    name: str
    find: Callable[[Aws], Iterator[Resource]]
    remove: Callable[[Aws, Resource], None]
    costs: bool = False
    """Whether it costs money by the hour for as long as it exists."""


def kinds(*, with_user: bool = True) -> list[Kind]:
    """Give all kinds, in the order in which they are removed.

    Args:
        with_user: also those that an administrator made with `iam`.
    """
    from deploy.resources import access, sagemaker, storage, watching

    return [
        *watching.KINDS,
        *sagemaker.KINDS,
        # After the endpoints, which write into them until they end.
        watching.LOG_GROUP,
        *storage.KINDS,
        access.ROLE,
        *([access.USER, access.POLICY] if with_user else []),
    ]
