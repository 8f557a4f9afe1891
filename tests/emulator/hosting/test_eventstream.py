"""Event streams, read by botocore's own parser."""

import json

from botocore.eventstream import EventStreamBuffer

from local_test.emulator.hosting import eventstream
from local_test.emulator.hosting.api_errors import ModelStreamError


def test_a_part_and_a_failure_are_read_as_the_api_names_them() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.part(b"\x00" * 70_000))
    buffer.add_data(eventstream.failure(ModelStreamError("broken", "StreamBroken")))
    part, failure = buffer
    assert part.payload == b"\x00" * 70_000
    assert part.headers[":event-type"] == "PayloadPart"
    assert failure.headers[":exception-type"] == "ModelStreamError"
    assert json.loads(failure.payload)["ErrorCode"] == "StreamBroken"
