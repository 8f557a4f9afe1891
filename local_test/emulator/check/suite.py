"""All rules, in the order in which they are tested, and the going through them."""

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from local_test.emulator.check.image import Image
from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.rule import NotTestedError, Outcome, Rule, not_applicable
from local_test.emulator.check.rules_ends import ENDS
from local_test.emulator.check.rules_image import IMAGE
from local_test.emulator.check.rules_invocations import INVOCATIONS
from local_test.emulator.check.rules_kinds import KINDS
from local_test.emulator.check.rules_models import MODELS
from local_test.emulator.check.rules_serving import ENDING, SERVING
from local_test.emulator.check.rules_training import TRAINING
from local_test.emulator.check.serving import Serving
from local_test.emulator.errors import EmulatorError
from local_test.emulator.interrupts import interrupt_behind

# Those that end the server come last.
ALL: Sequence[Rule[Any]] = [
    *IMAGE.all,
    *TRAINING.all,
    *ENDS.all,
    *SERVING.all,
    *INVOCATIONS.all,
    *KINDS.all,
    *MODELS.all,
    *ENDING.all,
]


@dataclass(frozen=True)
class Evidence:
    """What rules look at.

    Attributes:
        image: Reads the image; raises NotTestedError where there is none.
        jobs: The training jobs.
        serving: The servers.
    """

    image: Callable[[], Image]
    jobs: Jobs
    serving: Serving

    def of(self, rule: Rule[Any]) -> Any:
        """Return what a rule looks at."""
        if rule.needs == "the image":
            return self.image()
        return self.jobs if rule.needs == "a training job" else self.serving


@dataclass(frozen=True)
class Verdict:
    """What came of one rule."""

    rule: Rule[Any]
    outcome: Outcome

    @property
    def line(self) -> str:
        """The one line of the report."""
        rule, seen = self.rule, " ".join(self.outcome.seen.split())
        return f"{self.outcome.state:5} {rule.id} {rule.title} [{seen}] ({rule.source})"


def select(patterns: Sequence[str]) -> list[Rule[Any]]:
    """Return the rules with these ids, which may have the wildcards of a shell; all without one.

    Raises:
        EmulatorError: No rule has such an id.
    """
    if not patterns:
        return list(ALL)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(rule.id, pattern.upper()) for rule in ALL):
            raise EmulatorError(f"--only {pattern}: there is no such rule. --list shows all.")
    wanted = [pattern.upper() for pattern in patterns]
    return [rule for rule in ALL if any(fnmatch.fnmatchcase(rule.id, one) for one in wanted)]


def judge(rules: Sequence[Rule[Any]], evidence: Evidence) -> Iterator[Verdict]:
    """Test the rules one after the other, and give what came of each."""
    for rule in rules:
        try:
            outcome = rule.check(evidence.of(rule))
        except NotTestedError as error:
            outcome = not_applicable(str(error))
        # A fault of the caller's, the engine's or our own: the image is not to blame, and the
        # other rules can still be tested.
        except Exception as error:
            if (interrupt := interrupt_behind(error)) is not None:
                raise interrupt from error
            outcome = Outcome("ERROR", f"{type(error).__name__}: {error}")
        yield Verdict(rule, outcome)
