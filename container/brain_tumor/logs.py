"""One logging set-up for training, serving and the command line."""

import json
import logging
import logging.config
import os
import time
import warnings
from contextvars import ContextVar
from typing import Any, Literal

LogFormat = Literal["text", "json"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that this thread is answering; every event that is logged meanwhile has it."""

_NOISY = ("matplotlib", "botocore", "PIL", "absl", "tensorflow")
"""These log every font, AWS call and renamed tensor at INFO or DEBUG."""
_QUOTING = ("pydicom", "pylibjpeg", "openjpeg", "nibabel", "nibabel.global")
"""What these find odd in a file they quote, and a patient's name may stand there."""


def configure_logging(level: int = logging.INFO, form: LogFormat = "text") -> None:
    """Send one line an event to stderr, with the time in UTC."""
    logging.config.dictConfig(log_config(level, form))
    quiet_libraries()


def quiet_libraries() -> None:
    """Keep what does not pass through logging from stderr; to be called before there are threads.

    TensorFlow's C++ part logs what its build can do, unless told before it is imported. Readers of
    medical files quote them in warnings, and `warnings.catch_warnings` around a single read is not
    safe among threads.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.filterwarnings("ignore", module=r"pydicom|nibabel|brain_tumor\.(dicom|nifti|images)")


def log_config(level: int, form: LogFormat) -> dict[str, Any]:
    """Return the set-up for `logging.config.dictConfig` and for gunicorn's `logconfig_dict`."""
    handlers = {"stderr": {"class": "logging.StreamHandler", "formatter": form}}
    quoting = {"level": "CRITICAL", "handlers": [], "propagate": False}
    # gunicorn gives its logger a handler of its own.
    gunicorn = {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"text": {"()": _TextLines}, "json": {"()": _JsonLines}},
        "handlers": handlers,
        "root": {"level": level, "handlers": list(handlers)},
        "loggers": {
            **{name: {"level": "WARNING"} for name in _NOISY},
            **dict.fromkeys(_QUOTING, quoting),
            **gunicorn,
        },
    }


class _TextLines(logging.Formatter):
    """For people: time, level, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime


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
