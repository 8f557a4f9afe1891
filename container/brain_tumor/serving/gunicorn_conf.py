"""gunicorn's settings, each with its reason; `serve` starts gunicorn with this file."""

import logging
from typing import Any

from brain_tumor.logs import log_config, quiet_libraries
from brain_tumor.settings import load_settings

_settings = load_settings()

bind = f"{_settings.host}:{_settings.port}"
# One process: TensorFlow uses all cores by itself, and a second one would hold a second model.
workers = 1
worker_class = "gthread"
# More threads than predictions that run at once: decoding and sending overlap with them. The
# application keeps one of them free for /ping.
threads = _settings.threads
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
# gunicorn's own events and ours in one form; set here, the worker inherits it.
logconfig_dict = log_config(logging.INFO, _settings.log_format)


def post_fork(server: Any, worker: Any) -> None:
    """Prepare the worker, before the application is built."""
    del server, worker
    quiet_libraries()
