"""inputdataconfig.json: in which mode each channel comes, and what its ContentType says."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from brain_tumor.data.archive import Archive, Folders
from brain_tumor.data.fifo import never, open_fifo
from brain_tumor.data.members import walk
from brain_tumor.data.records import Records
from brain_tumor.data.scans import Source
from brain_tumor.errors import DataError

_ARCHIVE_TYPES = ("application/zip", "application/x-zip-compressed")
_RECORD_TYPES = ("application/x-tfrecord", "application/x-recordio")
_IMAGE_TYPES = ("application/x-image", "image/*")
# Channels that hold no scans, and of which types they may be.
_FILES = {
    "model": (
        "application/x-sagemaker-model",
        "application/x-tar",
        "application/gzip",
        "application/x-gzip",
    ),
    "pretrained": ("application/octet-stream", "application/x-hdf5", "application/x-hdf"),
}
# What im2rec and others put beside the records.
_NO_RECORDS = frozenset({".idx", ".lst", ".json", ".txt", ".csv"})
_PIPE_SECONDS = 300.0


class ChannelConfig(BaseModel):
    """One channel's entry; the SDK's local mode gives TrainingInputMode alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    mode: Literal["File", "FastFile", "Pipe"] = Field(default="File", alias="TrainingInputMode")
    distribution: Literal["FullyReplicated", "ShardedByS3Key"] = Field(
        default="FullyReplicated", alias="S3DistributionType"
    )
    wrapper: Literal["None", "RecordIO"] = Field(default="None", alias="RecordWrapperType")
    content_type: str = Field(default="", alias="ContentType")
    """In lower case and without parameters; empty where none is given."""

    @field_validator("content_type")
    @classmethod
    def _bare(cls, value: str) -> str:
        return value.partition(";")[0].strip().lower()


def read_input_data_config(config: Mapping[str, Any]) -> dict[str, ChannelConfig]:
    """Read the entries of inputdataconfig.json by channel; what they do not say has its default.

    Raises:
        DataError: a value that the platform does not have, or a ContentType that a channel of this
            name cannot be read as.
    """
    channels = {name: _read_entry(name, entry) for name, entry in config.items()}
    for name in _FILES.keys() & channels.keys():
        try:
            _require_files(channels[name], _FILES[name])
        except DataError as error:
            raise DataError(f"Channel {name}: {error}") from error
    return channels


def _read_entry(name: str, entry: Any) -> ChannelConfig:
    given = entry if isinstance(entry, dict) else {}
    try:
        # A null stands for what was left out.
        return ChannelConfig.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"Channel {name}: inputdataconfig.json says {first['loc'][0]}={first['input']!r}: "
            f"{first['msg']}."
        ) from error


def _require_files(channel: ChannelConfig, types: tuple[str, ...]) -> None:
    """Make sure that a channel which holds no scans comes as files of these types."""
    if channel.mode == "Pipe":
        raise DataError("input mode Pipe streams scans; wanted File or FastFile for this channel.")
    _require_type(channel, types)


def _here(own: Folders) -> Folders:
    return own


@contextmanager
def open_channel(
    folder: Path,
    channel: ChannelConfig,
    everywhere: Callable[[Folders], Folders] = _here,
    stop_asked: Callable[[], bool] = never,
) -> Iterator[Source]:
    """Open the scans of a channel in its mode: an archive, records in files, or records in a pipe.

    Args:
        folder: input/data/<channel>; in Pipe mode the first pipe is <channel>_0 beside it.
        channel: its entry in inputdataconfig.json.
        everywhere: called once with the folders that are here, it returns those of all hosts.
        stop_asked: True once a pipe that does not come is waited for no more.

    Raises:
        DataError: not there, not readable, a ContentType that cannot be read in this mode, or a
            stop while a pipe is waited for.
    """
    if channel.mode == "Pipe":
        # Decoded scans are kept, so the pipes of later epochs (_1, ...) are never asked for.
        pipe = folder.with_name(f"{folder.name}_0")
        _require_type(channel, (*_RECORD_TYPES, *_IMAGE_TYPES))
        _require_wrapper(channel)
        # Records have no folders, but hosts that have nothing of the channel wait for an answer.
        everywhere({})
        yield Records(pipe, [partial(open_fifo, pipe, _PIPE_SECONDS, stop_asked)])
        return
    _require_type(channel, (*_IMAGE_TYPES, *_ARCHIVE_TYPES, *_RECORD_TYPES))
    if channel.content_type in _RECORD_TYPES:
        everywhere({})
        yield Records(folder, _files(folder))
        return
    with Archive(folder, everywhere) as archive:
        yield archive


def _files(folder: Path) -> Iterator[Callable[[], BinaryIO]]:
    """Give what opens each file of a folder, in the order of their names."""
    for parts, path, is_folder in walk(folder):
        if not is_folder and PurePath(parts[-1]).suffix.lower() not in _NO_RECORDS:
            yield partial(_open, path)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _require_wrapper(channel: ChannelConfig) -> None:
    if channel.content_type not in ("", *_RECORD_TYPES) and channel.wrapper != "RecordIO":
        raise DataError(
            f"ContentType {channel.content_type!r} in input mode Pipe without a wrapper: nothing "
            "says where an image ends. Wanted RecordWrapperType=RecordIO and an augmented manifest "
            "with AttributeNames of the image and its label."
        )


def _require_type(channel: ChannelConfig, wanted: tuple[str, ...]) -> None:
    given = channel.content_type
    if given and given not in wanted and f"{given.partition('/')[0]}/*" not in wanted:
        raise DataError(
            f"ContentType {given!r} cannot be read in input mode {channel.mode}; "
            f"wanted one of {', '.join(wanted)}, or none. Usual cause: the ContentType of another "
            "algorithm's job."
        )
