"""deploy/on_premises in a folder of its own, run by Docker Compose."""

import http.client
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.server import Reply


@dataclass(frozen=True)
class Stack:
    """A folder that was unpacked, and how to talk to what runs there."""

    folder: Path
    port: int
    env: dict[str, str]

    def here(self, code: str) -> str:
        """Let a page's code ask at this stack's port."""
        return code.replace("//localhost", f"//localhost:{self.port}")

    def compose(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` there."""
        return subprocess.run(
            ["docker", "compose", *words],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=200,
        )

    def container(self, service: str) -> str:
        """Give the id of a service's container."""
        return self.compose("ps", "-q", service).stdout.strip()

    def token(self) -> str:
        """Read the token that the proxy wants."""
        return (self.folder / "token").read_text().strip()

    def request(self, path: str, authorization: str | None = None, body: bytes = b"") -> Reply:
        """Ask the proxy by TLS."""
        context = ssl.create_default_context(cafile=self.folder / "tls.crt")
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=60, context=context
        )
        headers = {"Content-Type": "image/jpeg"}
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            connection.request("POST" if body else "GET", path, body or None, headers)
            reply = connection.getresponse()
            return Reply(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()
