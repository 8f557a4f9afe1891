"""A rule: what is demanded, by which page of the developer guide, and the look at an image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from local_test.emulator.errors import EmulatorError

# ERROR: the fault is neither the image's nor the rule's, but the caller's or the engine's.
State = Literal["PASS", "FAIL", "N/A", "ERROR"]
T = TypeVar("T")
E = TypeVar("E", contravariant=True)
R = TypeVar("R")
Need = Literal["the image", "a training job", "an endpoint", "a multi-model endpoint"]


@dataclass(frozen=True)
class Outcome:
    """What came of one rule, and what was seen, in a sentence."""

    state: State
    seen: str


class NotTestedError(EmulatorError):
    """What a rule looks at could not be had; the text says why."""


def passed(seen: str) -> Outcome:
    """Return a pass."""
    return Outcome("PASS", seen)


def failed(seen: str) -> Outcome:
    """Return a fail."""
    return Outcome("FAIL", seen)


def not_applicable(why: str) -> Outcome:
    """Return that the rule does not apply, or cannot be tested."""
    return Outcome("N/A", why)


def judged(holds: bool, seen: str) -> Outcome:
    """Return a pass or a fail."""
    return Outcome("PASS" if holds else "FAIL", seen)


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


class Check(Protocol[E]):
    """Looks at evidence; raises NotTestedError where there is none."""

    def __call__(self, evidence: E, /) -> Outcome:
        """Judge it."""


@dataclass(frozen=True)
class Rule(Generic[T]):
    """One rule.

    Attributes:
        id: Stable: it is never used for another rule.
        title: What is demanded, in one sentence.
        source: The page of the developer guide (or of what else is named) that demands it.
        needs: What has to be there to test it.
        why: What the platform does otherwise, and how to mend it.
        check: The look at the evidence.
    """

    id: str
    title: str
    source: str
    needs: Need
    why: str
    check: Check[T]


class Rules(Generic[T]):
    """Rules of one kind, in the order in which they are written."""

    def __init__(self, needs: Need) -> None:
        self._needs = needs
        self.all: list[Rule[T]] = []

    def rule(
        self, identifier: str, title: str, *, source: str, why: str
    ) -> Callable[[Check[T]], Check[T]]:
        """Make a rule of the function that follows."""

        def add(check: Check[T]) -> Check[T]:
            self.all.append(Rule(identifier, title, source, self._needs, why, check))
            return check

        return add


def once(make: Callable[[T], R]) -> Callable[[T], R]:
    """Do an expensive thing once for each object: the same result, or the same error, again."""
    key = f"_{make.__name__}_once"

    def get(owner: T) -> R:
        kept = vars(owner)
        if key not in kept:
            try:
                kept[key] = (make(owner), None)
            except Exception as error:
                kept[key] = (None, error)
        result: R
        result, refusal = kept[key]
        if refusal:
            raise refusal
        return result

    get.__doc__ = make.__doc__
    return get
