"""training.run: what only a job beside others does; tests of whole jobs are in tests/."""

import subprocess
import sys
from pathlib import Path

_ENDING = """
import sys
from pathlib import Path
from brain_tumor.training.failure import FailureFile
from brain_tumor.training.run import _end
_end(FailureFile(Path(sys.argv[1])), Path(sys.argv[2]), "Host algo-2 is gone.")
"""


def test_a_host_that_another_one_ends_tells_why_and_leaves_nothing_half_written(
    tmp_path: Path,
) -> None:
    model_dir = tmp_path / "model"
    (model_dir / ".incomplete-1" / "1").mkdir(parents=True)
    command = [sys.executable, "-c", _ENDING, str(tmp_path), str(model_dir)]
    assert subprocess.run(command, check=False).returncode == 1
    assert (tmp_path / "failure").read_text() == "Host algo-2 is gone.\n"
    assert list(model_dir.iterdir()) == []
