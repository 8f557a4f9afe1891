"""The hosts of a job: which there are, and what the chief tells the rest.

The chief is the first of the sorted hosts. It alone validates, evaluates and writes; the others
take the same training steps and wait for it. Nothing here knows TensorFlow.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from brain_tumor.errors import DataError
from brain_tumor.training.exchange import Exchange, HostError
from brain_tumor.training.failure import cause_of

log = logging.getLogger(__name__)

_Value = TypeVar("_Value")
_RETRY_SECONDS = 0.5
_WORD_SECONDS = 5.0
_BROKEN_COLLECTIVE = {
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
    "InternalError",
    "UnavailableError",
}
"""What TensorFlow raises on a host when another one is gone or frozen, often before its silence has
lasted long enough to be sure; none of them says which host it is."""


@dataclass(frozen=True)
class Hosts:
    """The hosts of a job, in the order that all of them agree on, and this one."""

    names: tuple[str, ...]
    """Sorted."""
    current: str

    @property
    def chief(self) -> str:
        """The first host."""
        return self.names[0]

    @property
    def index(self) -> int:
        """The place of this host."""
        return self.names.index(self.current)


def read_hosts(config: Mapping[str, Any]) -> Hosts:
    """Read resourceconfig.json.

    `hosts` is what counts, sorted here: the hosts in `instance_groups` are in any order, and these
    and `topology` may be missing or null.

    Raises:
        DataError: this host is not among the hosts.
    """
    current = str(config["current_host"])
    names = sorted(set(config.get("hosts") or [current]))
    if current not in names:
        raise DataError(
            f"resourceconfig.json: current_host {current!r} is not among the hosts "
            f"{', '.join(names)}. Usual cause: a file edited by hand."
        )
    return Hosts(tuple(names), current)


class Cluster:
    """The hosts as one of them sees them; use it in a `with` block, which ends for all together.

    A job on one host has one too, which sends nothing and waits for nobody.
    """

    def __init__(
        self,
        hosts: Hosts,
        addresses: Mapping[str, tuple[str, int]] | None = None,
        exchange: Exchange | None = None,
        silence_seconds: float = 0,
    ) -> None:
        self.hosts = hosts
        self._addresses = addresses or {}
        self._exchange = exchange
        self._silence_seconds = silence_seconds

    @property
    def size(self) -> int:
        """How many hosts there are."""
        return len(self.hosts.names)

    @property
    def is_chief(self) -> bool:
        """Whether this host validates, evaluates and writes."""
        return self.hosts.current == self.hosts.chief

    def tf_config(self) -> str:
        """Return the value of TF_CONFIG for MultiWorkerMirroredStrategy."""
        workers = ["{}:{}".format(*self._addresses[name]) for name in self.hosts.names]
        task = {"type": "worker", "index": self.hosts.index}
        return json.dumps({"cluster": {"worker": workers}, "environment": "cloud", "task": task})

    def told_by_chief(self, make: Callable[[], _Value]) -> _Value:
        """Return on every host what `make` returns on the chief, which JSON must be able to hold.

        All hosts call this in the same order; `make` runs on the chief alone.

        Raises:
            HostError: a connection is lost.
        """
        loads: Callable[[bytes], _Value] = json.loads
        return self.given_by_chief(make, lambda value: json.dumps(value).encode(), loads)

    def given_by_chief(
        self,
        make: Callable[[], _Value],
        pack: Callable[[_Value], bytes],
        unpack: Callable[[bytes], _Value],
    ) -> _Value:
        """Return on every host what `make` returns on the chief, sent as `pack` writes it."""
        if self._exchange is None:
            return make()
        return unpack(self._exchange.share(self.hosts.chief, lambda: pack(make())))

    def from_each(self, make: Callable[[], bytes]) -> list[bytes]:
        """Return on every host what `make` returned on each, in the order of the hosts."""
        if self._exchange is None:
            return [make()]
        return [self._exchange.share(name, make) for name in self.hosts.names]

    def clock(self) -> float:
        """Return the chief's monotonic time, in seconds; a call that all hosts make."""
        return self.told_by_chief(time.monotonic)

    def agreed(self, stop_asked: Callable[[], bool]) -> Callable[[], bool]:
        """Return a question that all hosts ask together, and that has one answer for all.

        It is yes once any host was asked to stop, so that all end with the same step.
        """
        return lambda: self.told_by_chief(self.anywhere(stop_asked))

    def anywhere(self, stop_asked: Callable[[], bool]) -> Callable[[], bool]:
        """Return a question to the chief alone: was any host asked to stop?"""
        exchange = self._exchange
        if exchange is None:
            return stop_asked
        return lambda: stop_asked() or exchange.stop_wanted

    def go_alone(self) -> None:
        """Let the chief finish the job on its own from now on, also where other hosts are lost."""
        if self._exchange is not None:
            self._exchange.go_alone()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the chief to be done, or tell all others why this host fails.

        Raises:
            HostError: in place of what was raised here, with the name of this host.
        """
        if self._exchange is None:
            return
        if error is None:
            self._exchange.finish()
            return
        # The exchange ends this process as soon as it has heard the cause.
        if type(error).__name__ in _BROKEN_COLLECTIVE:
            time.sleep(self._silence_seconds + _WORD_SECONDS)
        elif isinstance(error, HostError):
            time.sleep(_WORD_SECONDS)
        sentence = str(error) if isinstance(error, HostError) else self._sentence(error)
        self._exchange.fail(sentence)
        raise HostError(sentence) from error

    def _sentence(self, error: BaseException) -> str:
        return f"Host {self.hosts.current}: {cause_of(error)}"


ALONE = Cluster(Hosts(("localhost",), "localhost"))
"""A job on one host."""
