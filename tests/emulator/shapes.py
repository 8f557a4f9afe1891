"""Descriptions held to the shapes that botocore has for the platform's answers."""

import re
from typing import Any

import botocore.session
from botocore.model import ListShape, Shape, StructureShape
from botocore.validate import ParamValidator


def assert_answer(operation: str, described: dict[str, Any]) -> None:
    """Compare with what an operation of SageMaker's API answers."""
    service = botocore.session.get_session().get_service_model("sagemaker")
    shape = service.operation_model(operation).output_shape
    assert isinstance(shape, StructureShape)
    report = ParamValidator().validate(described, shape)
    assert not report.has_errors(), report.generate_report()
    _check(described, shape, "")


def _check(value: object, shape: Shape, where: str) -> None:
    """Compare with what a shape says beyond types: enumerations and patterns."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for key, item in value.items():
            _check(item, shape.members[key], f"{where}.{key}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for item in value:
            _check(item, shape.member, where)
    elif isinstance(value, str):
        allowed = shape.metadata.get("enum")
        assert not allowed or value in allowed, where
        assert re.fullmatch(shape.metadata.get("pattern", ".*"), value, re.DOTALL), where
