"""Folders of this machine in place of S3: s3://BUCKET/KEY is the file FOLDER/BUCKET/KEY."""

from pathlib import Path, PurePosixPath

from local_test.emulator.errors import EmulatorError
from local_test.emulator.files import write_whole

_SCHEME = "s3://"


class Buckets:
    """A folder whose folders are buckets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, uri: str) -> Path:
        """Return the file that stands for an object.

        Raises:
            EmulatorError: It is no S3 URI, or leads out of the folder.
        """
        key = PurePosixPath(uri.removeprefix(_SCHEME))
        if not uri.startswith(_SCHEME) or key.is_absolute() or ".." in key.parts or not key.parts:
            raise EmulatorError(f"{uri} is no S3 URI: wanted s3://BUCKET/KEY.")
        return self._folder / key

    def write(self, uri: str, content: bytes) -> None:
        """Put an object; it is there whole or not at all, as in S3."""
        write_whole(self.path(uri), content)
