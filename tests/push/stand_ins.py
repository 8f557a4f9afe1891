"""Stand-ins for all that build_and_push.sh calls, which record what they are called with."""

import os
import subprocess
from pathlib import Path

from tests.jobs import ROOT

# Each stand-in writes its name and arguments as one line of the file that CALLS names.
AWS = """#!/bin/sh
echo "aws $*" >> "$CALLS"
case "$1 $2" in
  "configure get") exit 1 ;;
  "ecr get-login-password") echo secret ;;
  "ecr put-lifecycle-policy") [ -z "$NO_RULE" ] || { echo "$NO_RULE" >&2; exit 254; } ;;
  "ecr describe-repositories")
    [ -z "$REFUSAL" ] || { echo "$REFUSAL" >&2; exit 254; }
    printf '%s\\t%s\\n' "$URI" "$MUTABILITY" ;;
  "ecr create-repository") printf '%s\\tMUTABLE\\n' "$URI" ;;
esac
"""
ENGINE = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$1" in
  --version) echo "${VERSION:-Docker version 28.2.2}" ;;
  buildx) [ -n "$BUILDX" ] || exit 1 ;;
  build) echo "DOCKER_BUILDKIT=$DOCKER_BUILDKIT" >> "$CALLS" ;;
  image) echo sha256:id ;;
  info) echo "${STORE:-[[Backing Filesystem extfs]]}" ;;
  login) echo "password $(cat)" >> "$CALLS" ;;
esac
if [ -n "$FAILS" ] && [ "$1" = "$FAILS" ]; then echo "$WORDS" >&2; exit 1; fi
"""
# The one that reads the image back.
PYTHON = """#!/bin/sh
echo "python3 $*" >> "$CALLS"
echo "given $(cat)" >> "$CALLS"
case "$*" in
  *--existing*) echo "$EXISTING" ;;
  *) [ -z "$REFUSED" ] || exit 1; echo "$URI@sha256:abc" ;;
esac
"""
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
NOT_FOUND = "An error occurred (RepositoryNotFoundException) when calling DescribeRepositories: no"


class Push:
    """The script, and stand-ins for all that it calls."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "calls"
        self.tools = folder / "tools"
        self.tools.mkdir()
        for name, code in {
            "aws": AWS,
            "docker": ENGINE,
            "podman": ENGINE,
            "python3": PYTHON,
        }.items():
            (self.tools / name).write_text(code)
            (self.tools / name).chmod(0o755)
        self.environment = {
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "CALLS": str(self.log),
            "AWS_REGION": "eu-central-1",
            "URI": f"{REGISTRY}/brain-tumor",
            "MUTABILITY": "MUTABLE",
        }

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script with these arguments, in the environment and what is added to it."""
        return subprocess.run(
            [ROOT / "build_and_push.sh", *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        """The calls so far, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def call(self, beginning: str) -> str:
        """Give the one call that begins so."""
        (found,) = [call for call in self.calls if call.startswith(beginning)]
        return found
