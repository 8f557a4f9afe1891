"""Input channels: which objects S3 would list, and which of them a host gets.

A file stands for an S3 object, its path below the channel for the key below the prefix.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from local_test.emulator.errors import EmulatorError

Mode = Literal["File", "FastFile", "Pipe"]
Wrapper = Literal["None", "RecordIO"]

MAX_CHANNELS = 20
_NAME = re.compile(r"[A-Za-z0-9.\-_]{1,64}")


@dataclass(frozen=True)
class Channel:
    """One input channel of a training job."""

    name: str
    source: Path
    mode: Mode = "File"
    sharded: bool = False
    content_type: str | None = None
    record_wrapper: Wrapper = "None"

    def objects(self) -> dict[str, Path]:
        """Return the files by key, in S3's order: that of the keys' bytes.

        As in S3, there are no empty folders; links are followed, as by `aws s3 sync`.

        Raises:
            EmulatorError: A link leads nowhere, or back to a folder that it is in.
        """
        if self.source.is_file():
            return {self.source.name: self.source}
        found = {path.relative_to(self.source).as_posix(): path for path in _files(self.source)}
        return dict(sorted(found.items(), key=lambda item: item[0].encode()))

    def share(self, host: str, hosts: Sequence[str]) -> dict[str, Path]:
        """Return what one of the hosts gets: all, or with ShardedByS3Key every n-th object.

        Shares differ by one object at most; how the platform deals them out is not documented.
        """
        objects = self.objects()
        if not self.sharded:
            return objects
        rank = sorted(hosts).index(host)
        return {key: objects[key] for key in list(objects)[rank :: len(hosts)]}


def _files(folder: Path) -> Iterator[Path]:
    for name, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        parent = Path(name)
        for path in (parent / inside for inside in folders):
            if path.is_symlink() and parent.resolve().is_relative_to(path.resolve()):
                raise EmulatorError(f"{path} is a link to a folder that it is in: without end.")
        for path in (parent / inside for inside in files):
            if path.is_symlink() and not path.exists():
                raise EmulatorError(f"{path} is a link to {path.readlink()}, which is not there.")
            if path.is_file():
                yield path


def _refuse(error: OSError) -> None:
    """Let nothing vanish because it cannot be read; a folder that is not there is empty."""
    if not isinstance(error, FileNotFoundError):
        raise error


def find_channels(data: Sequence[str]) -> tuple[list[Channel], list[str]]:
    """Return the channels that words of the command line name, and files in none of them.

    A word is `channel=PATH`, or a folder whose folders are channels.

    Raises:
        EmulatorError: A path is absent, a channel is empty, or a name is not one for a channel.
    """
    channels: dict[str, Channel] = {}
    left_out: list[str] = []
    for word in data:
        name, equals, path = word.partition("=")
        if equals and not Path(word).exists():
            found = [Channel(name, Path(path))]
        else:
            found, files = _channel_folders(Path(word))
            left_out += files
        for channel in found:
            if channel.name in channels:
                raise EmulatorError(f"Channel {channel.name} is given twice in --data.")
            channels[channel.name] = _checked(channel)
    if len(channels) > MAX_CHANNELS:
        raise EmulatorError(f"{len(channels)} channels: SageMaker takes {MAX_CHANNELS} at most.")
    return list(channels.values()), left_out


def _channel_folders(folder: Path) -> tuple[list[Channel], list[str]]:
    if not folder.is_dir():
        raise EmulatorError(
            f"--data {folder}: there is no such folder. Give a folder whose folders are channels, "
            "or channel=PATH, once for each channel."
        )
    inside = sorted(folder.iterdir())
    found = [Channel(path.name, path) for path in inside if path.is_dir()]
    if not found:
        raise EmulatorError(
            f"--data {folder} holds no folder: each of its folders would be a channel, such as "
            f"{folder}/train. To give one channel alone: --data train={folder}"
        )
    return found, [str(path) for path in inside if path.is_file()]


def _checked(channel: Channel) -> Channel:
    if not _NAME.fullmatch(channel.name):
        raise EmulatorError(
            f"{channel.name!r} is no name for a channel: SageMaker takes 1 to 64 of A-Z, a-z, 0-9, "
            "'.', '-' and '_'."
        )
    channel = replace(channel, source=channel.source.absolute())
    if not channel.objects():
        what = "holds no file" if channel.source.exists() else "does not exist"
        raise EmulatorError(f"Channel {channel.name}: {channel.source} {what}.")
    return channel
