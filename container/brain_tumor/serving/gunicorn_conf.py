"""gunicorn's settings, each with its reason; `serve` starts gunicorn with this file."""

import sys
from typing import Any

from gunicorn.glogging import Logger

from brain_tumor.logs import configure_logging
from brain_tumor.settings import load_settings

_settings = load_settings()

bind = f"{_settings.host}:{_settings.port}"
# One process: TensorFlow uses all cores by itself, and a second one would hold a second model.
workers = 1
worker_class = "brain_tumor.serving.gunicorn_worker.Worker"
# More threads than predictions that run at once: decoding and sending overlap with them. Those to
# spare read heads, refuse what the application has no place for, and take what a refused client
# still sends (10 s at most) and wait for it to hang up (2 s), while /ping is answered.
threads = _settings.threads + 32
# TensorFlow hangs in a process forked after it was loaded (gunicorn #2369).
preload_app = False
# The platform gives 60 s, batch and async jobs more; a worker's heartbeat does not wait for
# requests, so this only ends a worker that hangs as a whole.
timeout = 120
# `docker stop` waits 10 s, SageMaker 30 s, before SIGKILL. It ends sooner when all are answered.
graceful_timeout = _settings.drain_seconds
# Longer than the idle time of the platform's front end, so that it is never the one hung up on.
keepalive = 75
# The control socket (gunicorn 25) would be written to $HOME, which may be read-only.
control_socket_disable = True
# The default place of the heartbeat file is /tmp, the only folder that is writable everywhere.
worker_tmp_dir = None
# Our own log has the requests, without /ping.
accesslog = None


class _Log(Logger):  # type: ignore[misc]
    """Logs gunicorn's own events as ours are; the worker inherits it."""

    def setup(self, cfg: Any) -> None:
        """Set up the logging of the whole process."""
        super().setup(cfg)
        configure_logging(form=_settings.log_format)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log an error with its traceback; a client that stalled is none of ours."""
        if isinstance(sys.exception(), BlockingIOError):
            seconds = _settings.stall_seconds
            self.warning("Hung up on a client that neither sent nor took for %g s", seconds)
        else:
            super().exception(msg, *args, **kwargs)


logger_class = _Log
