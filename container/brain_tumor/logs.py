"""One logging set-up for training, serving and the command line."""

import json
import logging
import os
import sys
import time
import warnings
from contextvars import ContextVar
from typing import Literal

LogFormat = Literal["text", "json"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that this thread is answering; every event that is logged meanwhile has it."""

_NOISY = ("matplotlib", "botocore", "PIL", "absl", "tensorflow")
"""These log every font, AWS call and renamed tensor at INFO or DEBUG."""
_QUOTING = ("pydicom", "pylibjpeg", "openjpeg", "nibabel", "nibabel.global")
"""What these find odd in a file they quote, and a patient's name may stand there."""


# Control characters, C1 and Unicode's line ends among them.
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


class _TextLines(logging.Formatter):
    """For people: time, level, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write all but the traceback on one line, for a message may quote what a client sent."""
        return super().formatMessage(record).translate(_ESCAPES)


class _JsonLines(logging.Formatter):
    """For CloudWatch and the like, which find fields in JSON by themselves.

    An event's own fields are what its call gives as `extra={"fields": {...}}`.
    """

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Write an event as one JSON object on one line."""
        event = {
            "time": f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (answering := request_id.get()) is not None:
            event["request_id"] = answering
        event |= getattr(record, "fields", {})
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


_FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {"text": _TextLines, "json": _JsonLines}


def configure_logging(level: int = logging.INFO, form: LogFormat = "text") -> None:
    """Send one line an event to stderr, with the time in UTC; call it before there are threads."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[form]())
    root = logging.getLogger()
    # Not by dictConfig, which closes other libraries' handlers, and with absl's its stream.
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _QUOTING:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        logging.getLogger(name).propagate = False
    _quiet_what_does_not_log()


def _quiet_what_does_not_log() -> None:
    # TensorFlow's C++ part prints what its build can do, unless told before it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Readers of medical files quote them in warnings, Pillow warns of odd metadata and of large
    # images, and `warnings.catch_warnings` around a single read is not safe among threads.
    readers = r"PIL|pydicom|nibabel|brain_tumor\.(dicom|nifti|images)"
    warnings.filterwarnings("ignore", module=readers)
