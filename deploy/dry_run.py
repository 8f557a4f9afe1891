"""A dry run: calls are checked and printed, and answered here; nothing leaves this machine.

It hangs on botocore's own events, so no command can forget it: `before-call` comes after the
parameters were validated and before anything is signed or sent, and what a handler gives back is
taken for the server's answer.
"""

import json
from typing import Any

import click

_DEPTH = 4  # of the answers that are made up; shapes of some services contain themselves


def install(events: Any) -> None:
    """Let every client that is made of a session with these events print its calls."""
    events.register("before-parameter-build", _remember)
    events.register_first("before-call", _print_and_answer)


def _remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    # As the command gave them: later they are what goes over the wire.
    context["dry_run_params"] = dict(params)


def _print_and_answer(model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, Any]:
    from botocore.awsrequest import AWSResponse
    from botocore.exceptions import ClientError

    service = model.service_model.service_id.hyphenize()
    params = json.dumps(context["dry_run_params"], indent=2, default=_describe, ensure_ascii=False)
    click.echo(f"would call {service}:{model.name} {params}")
    if _asks_for_one_thing(model):
        error = {"Code": "ResourceNotFound", "Message": "in a dry run nothing exists"}
        raise ClientError({"Error": error}, model.name)
    return AWSResponse("", 200, {}, None), _placeholder(model.output_shape, "", _DEPTH) or {}


def _describe(value: Any) -> str:
    """Name what JSON cannot hold, such as the body of an upload."""
    return f"<{type(value).__name__}>"


def _asks_for_one_thing(model: Any) -> bool:
    """Whether a call reads a named thing: in a dry run nothing exists yet, so all is shown.

    Calls that list name what they list in the plural.
    """
    required = model.input_shape.required_members if model.input_shape else []
    reads = model.name.startswith(("Get", "Head", "Describe")) and not model.name.endswith("s")
    return bool(required) and reads


def _placeholder(shape: Any, name: str, depth: int) -> Any:
    """Make up an answer: names in capitals for strings, nothing in lists, no further page."""
    if shape is None or depth == 0:
        return None
    if shape.type_name == "structure":
        members = {
            member: _placeholder(inner, member, depth - 1)
            for member, inner in shape.members.items()
            if not member.endswith(("Token", "Marker"))
        }
        return {member: value for member, value in members.items() if value is not None}
    kinds = {"string": name.upper(), "list": [], "map": {}, "boolean": False, "integer": 0}
    return kinds.get(shape.type_name)
