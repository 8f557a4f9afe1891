"""What is sent to a server, and what came of it."""

import json
from dataclasses import dataclass
from pathlib import Path

from local_test.emulator.check.rule import Outcome, judged
from local_test.emulator.hosting import headers as rules
from local_test.emulator.hosting.exchange import Reply

_SAMPLE = Path(__file__).parents[2] / "payload.png"


@dataclass(frozen=True)
class Payload:
    """A body that the image is to answer, with its type."""

    body: bytes
    content_type: str

    @property
    def headers(self) -> dict[str, str]:
        """What the platform sends with it."""
        return rules.to_container({"content-type": self.content_type})


def guesses() -> list[Payload]:
    """Return what is tried where no payload is given."""
    return [
        Payload(_SAMPLE.read_bytes(), "image/png"),
        Payload(json.dumps({"instances": [[0.0] * 4]}).encode(), "application/json"),
        Payload(b"5.1,3.5,1.4,0.2\n", "text/csv"),
    ]


@dataclass(frozen=True)
class Asked:
    """One request: the answer, or why there was none."""

    reply: Reply | None
    error: str = ""

    @property
    def status(self) -> int:
        """The status; 0 if there was no answer."""
        return self.reply.status if self.reply else 0

    @property
    def broke(self) -> bool:
        """Whether the fault is the server's: 5xx, or no answer."""
        return not 100 <= self.status < 500

    @property
    def body(self) -> bytes:
        """What came."""
        return self.reply.body if self.reply else b""

    @property
    def seen(self) -> str:
        """What was seen, in words."""
        if not self.reply:
            return self.error
        text = self.reply.body[:150].decode(errors="replace")
        return f"status {self.status} after {self.reply.seconds:.1f} s: {text!r}"


def answered(asked: Asked) -> Outcome:
    """Judge that it was answered with 200."""
    return judged(asked.status == 200, asked.seen)


def refused(asked: Asked) -> Outcome:
    """Judge that it was refused as the caller's fault, 4xx."""
    return judged(400 <= asked.status < 500, asked.seen)
