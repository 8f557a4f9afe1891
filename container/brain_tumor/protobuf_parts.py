"""Parts of TensorFlow's messages, without TensorFlow; what is not described passes through."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
STRING, BYTES, INT64 = _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES, _FIELD.TYPE_INT64
ONE, MANY = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED

Part = tuple[str, int, int | str, int]
"""A field: its name, its number, its type (or the name of a message here), ONE or MANY of it."""


def message_class(wanted: str, messages: Mapping[str, Sequence[Part]]) -> Any:
    """Make the class of the message `wanted` from a description of it and those it holds.

    A map of protobuf is a list of its entries: messages of a key 1 and a value 2.
    """
    file = descriptor_pb2.FileDescriptorProto(name=wanted, package="part", syntax="proto3")
    for message, parts in messages.items():
        added = file.message_type.add(name=message)
        for name, number, kind, label in parts:
            field = added.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".part.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"part.{wanted}"))
