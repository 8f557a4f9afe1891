"""A SavedModel under another default signature, without TensorFlow.

OpenVINO's reader takes the signature `serving_default` and no other (its TensorFlow frontend,
graph_iterator_saved_model). What `serve` needs are others, so a copy of the graph in which one of
those is the default is read instead; the weights stay where they are.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from brain_tumor.errors import ArtifactError
from brain_tumor.protobuf_parts import BYTES, MANY, ONE, STRING, message_class

_GRAPH, _WEIGHTS, _DEFAULT = "saved_model.pb", "variables", "serving_default"


@contextmanager
def default_signature(folder: Path, name: str) -> Iterator[Path | None]:
    """Give a folder that holds the SavedModel of `folder` with `name` as its default signature.

    It gives None where the SavedModel has no such signature.

    Raises:
        ArtifactError: the graph is damaged or gone.
    """
    graph = _parse(folder / _GRAPH)
    signatures = [{s.key: s for s in meta.signatures} for meta in graph.meta_graphs]
    if not all(name in by_name for by_name in signatures):
        yield None
        return
    for by_name in signatures:
        by_name[_DEFAULT].value = by_name[name].value
    # /tmp is the only folder that is writable everywhere.
    with tempfile.TemporaryDirectory(prefix="brain-tumor-") as copy:
        (Path(copy) / _GRAPH).write_bytes(graph.SerializeToString())
        (Path(copy) / _WEIGHTS).symlink_to((folder / _WEIGHTS).resolve())
        yield Path(copy)


def _parse(file: Path) -> Any:
    graph = _message_class()()
    try:
        graph.ParseFromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise ArtifactError(f"{file} cannot be read: {error}") from error
    return graph


def _message_class() -> Any:
    """Make the part of TensorFlow's saved_model.proto that is needed; the rest passes through.

    SavedModel { repeated MetaGraphDef meta_graphs = 2 },
    MetaGraphDef { map<string, SignatureDef> signature_def = 5 }; a map is a list of its entries.
    """
    return message_class(
        "SavedModel",
        {
            "Entry": [("key", 1, STRING, ONE), ("value", 2, BYTES, ONE)],
            "MetaGraph": [("signatures", 5, "Entry", MANY)],
            "SavedModel": [("meta_graphs", 2, "MetaGraph", MANY)],
        },
    )
