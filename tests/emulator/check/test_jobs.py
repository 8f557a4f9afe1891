"""What a job that reaches the check's own limit tells."""

from pathlib import Path
from typing import Any, cast

import pytest

from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.rule import NotTestedError
from local_test.emulator.check.setting import Setting
from local_test.emulator.check.trained import Trained
from local_test.emulator.check.witness import Seen
from local_test.emulator.record import Record
from local_test.emulator.specification import TrainingJob


class Timed(Jobs):
    """Jobs with oddities that do not end within 240 s, beside an ordinary one that does."""

    def __init__(self, ordinary: float, folder: Path) -> None:
        nothing = cast(Any, None)
        setting = Setting(
            "image", nothing, True, lambda: [], {}, {}, (), 1, folder, folder, nothing
        )
        super().__init__(setting, Limits())
        self._ordinary_seconds = ordinary

    def _run(self, name: str, **_: Any) -> Trained:
        odd = name.startswith("odd")
        record = Record(TrainingJob(name=f"check-{name}", image="image"), lambda *_: None)
        record.enter("MaxRuntimeExceeded" if odd else "Completed")
        record.codes.append({"algo-1": 0})
        return Trained(record, [Seen(end=240.0 if odd else self._ordinary_seconds)], Path())


def test_a_job_with_an_oddity_that_is_only_slow_proves_nothing(tmp_path: Path) -> None:
    jobs = Timed(150.0, tmp_path)
    for name in ("sdk", "code"):
        with pytest.raises(NotTestedError, match="after 240 s, where the ordinary job took 150 s"):
            jobs.with_oddity(name)


def test_a_job_with_an_oddity_that_hangs_did_not_end_well(tmp_path: Path) -> None:
    job = Timed(20.0, tmp_path).with_oddity("code")
    assert job.timed_out
    assert not job.ended_well
