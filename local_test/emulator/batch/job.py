"""A transform job's life: objects in, requests to the container, `.out` objects out."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from local_test.emulator.batch.records import requests, split
from local_test.emulator.batch.specification import DEFAULTS, Parameters, TransformJob, effective
from local_test.emulator.channels import Channel
from local_test.emulator.errors import EmulatorError
from local_test.emulator.files import write_whole
from local_test.emulator.hosting.exchange import (
    Body,
    Connections,
    NoReplyError,
    Reply,
    exchange,
)
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.targets import listening
from local_test.emulator.specification import MAX_FAILURE

_CHUNK_BYTES = 65536


@dataclass
class TransformRecord:
    """What happened: `failures` tells by key why an object has no output."""

    job: TransformJob
    created: datetime
    parameters: Parameters = DEFAULTS
    started: datetime | None = None
    ended: datetime | None = None
    outputs: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    failure: str | None = None

    @property
    def status(self) -> str:
        """TransformJobStatus."""
        if not self.ended:
            return "InProgress"
        return "Failed" if self.failure else "Completed"


class Run:
    """One run of a job with a healthy server; objects go from `job.data` to `out`."""

    def __init__(
        self, job: TransformJob, out: Path, note: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._job = job
        self._out = out
        self._note = note
        self._connections = Connections()
        self.record = TransformRecord(job, datetime.now(UTC))

    def lead(self, server: Server) -> TransformRecord:
        """Transform all objects; those that can be, also when others fail."""
        record = self.record
        record.started = datetime.now(UTC)
        try:
            record.parameters = effective(self._job, listening(server))
            self._all(server)
        except EmulatorError as error:
            self.fail(str(error))
        if record.failures and not record.failure:
            key, reason = next(iter(record.failures.items()))
            self.fail(f"{key}: {reason}")
        record.ended = datetime.now(UTC)
        return record

    def fail(self, reason: str) -> None:
        """Fail the job for this reason."""
        self.record.failure = f"ClientError: {reason}"[:MAX_FAILURE]
        self.record.ended = datetime.now(UTC)

    def _all(self, server: Server) -> None:
        """Send all objects, as many requests at once as there may be; an object stays in order."""
        objects = Channel("data", self._job.data).objects()
        if not objects:
            raise EmulatorError(f"There is no object in {self._job.data}.")
        at_once = self.record.parameters.concurrent or 1
        # Two pools, as a request must not wait for an object that waits for it.
        sending, reading = ThreadPoolExecutor(at_once), ThreadPoolExecutor(at_once)
        try:
            running = {
                key: reading.submit(self._one, key, path, server, sending)
                for key, path in objects.items()
            }
            for key, future in running.items():
                self._finished(key, future)
        finally:
            # All is done by now, or the job is given up: then no answer is waited for.
            for pool in (reading, sending):
                pool.shutdown(wait=False, cancel_futures=True)
            self._connections.close()

    def _finished(self, key: str, future: Future[None]) -> None:
        try:
            future.result()
        except (EmulatorError, OSError) as error:
            self.record.failures[key] = str(error)
            self._note(f"{key} failed: {error}")
        else:
            self.record.outputs.append(f"{key}.out")
            self._note(f"{key}.out is there")

    def _one(self, key: str, path: Path, server: Server, sending: ThreadPoolExecutor) -> None:
        """Transform one object; its output is there whole or not at all."""
        parameters = self.record.parameters
        records = split(self._content(path), self._job.split_type)
        bodies = requests(records, parameters.strategy or "MultiRecord", parameters.most_bytes)
        futures = [sending.submit(self._answered, body, server) for body in bodies]
        try:
            answers = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
        write_whole(self._out / f"{key}.out", b"".join(map(self._assembled, answers)))

    def _content(self, path: Path) -> bytes:
        content = path.read_bytes()
        if self._job.compression == "None":
            return content
        try:
            return gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise EmulatorError(f"CompressionType is Gzip, but it is not: {error}") from error

    def _assembled(self, answer: bytes) -> bytes:
        if self._job.assemble_with == "None" or answer.endswith(b"\n"):
            return answer
        return answer + b"\n"

    def _answered(self, body: bytes, server: Server) -> bytes:
        """Return what is kept of the answer to one request."""
        processing = self._job.processing
        reply = self._asked(processing.sent(body), server)
        if reply.status // 100 != 2:
            raise EmulatorError(
                f"Bad HTTP status received from algorithm: {reply.status}: "
                f"{reply.body[:400].decode(errors='replace')}"
            )
        return processing.kept(body, reply.body)

    def _asked(self, body: bytes, server: Server) -> Reply:
        """Ask until there is an answer that is not the server's own fault, or retries are spent."""
        job = self._job
        named = {"Content-Type": job.content_type, "Accept": job.accept}
        headers = {name: value for name, value in named.items() if value}
        # 0 MB: any size, and so without a length.
        unlimited = self.record.parameters.most_bytes is None
        for left in range(job.retries, -1, -1):
            sent: Body = _chunks(body) if unlimited else body
            try:
                reply = exchange(
                    listening(server),
                    "POST",
                    "/invocations",
                    body=sent,
                    headers=headers,
                    seconds=job.timeout,
                    connections=self._connections,
                )
            except NoReplyError as error:
                if not left:
                    raise
                self._note(f"asked again: {error}")
                continue
            if reply.status < 500 or not left:
                return reply
            self._note(f"asked again after status {reply.status}")
        raise AssertionError


def _chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _CHUNK_BYTES):
        yield body[start : start + _CHUNK_BYTES]
