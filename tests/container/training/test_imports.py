"""training.imports: what Keras imports in case somebody asks for it."""

import json
import subprocess
import sys

_PROGRAM = """
import json, sys
from brain_tumor.training.imports import without
with without("sklearn", "matplotlib", "json"):
    from brain_tumor.training import learn
    import json as known
before = [name for name in ("sklearn", "matplotlib") if name in sys.modules]
import sklearn.metrics, matplotlib.figure
print(json.dumps([before, known is json, sklearn.metrics.accuracy_score([1], [1])]))
"""


def test_training_waits_for_no_package_that_it_does_not_use_and_has_them_all_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [[], True, 1.0]
