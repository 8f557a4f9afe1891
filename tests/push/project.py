"""A project whose image takes a second, and build_and_push.sh on it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.jobs import ROOT

DOCKERFILE = """\
FROM scratch
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \\
    com.amazonaws.sagemaker.capabilities.multi-models=true
COPY Dockerfile /
CMD ["train"]
"""


@dataclass
class Project:
    """A folder with a Dockerfile, and how it is pushed."""

    folder: Path
    environment: dict[str, str]

    def push(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the script on this folder."""
        command = [ROOT / "build_and_push.sh", *arguments, "--context", self.folder]
        return subprocess.run(
            [*map(str, command)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
