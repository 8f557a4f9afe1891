"""One logging set-up for training, serving and the command line."""

import logging
import os
import sys
import time


def configure_logging(level: int = logging.INFO) -> None:
    """Send one plain line an event to stderr, with the time in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # TensorFlow's C++ part logs what its build can do at each start; it must be told before import.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # These log every font, AWS call and renamed tensor at INFO or DEBUG.
    for noisy in ("matplotlib", "botocore", "PIL", "absl", "tensorflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
