"""How training steps are computed: in which number type, and whether XLA compiles them.

Whatever is chosen, weights, optimizer, logits and loss are float32 (Keras' mixed precision), and so
is the network that is validated and served. Nothing here knows TensorFlow; `trials` measures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

FLOAT32, BFLOAT16, FLOAT16 = "float32", "mixed_bfloat16", "mixed_float16"
"""Keras' names of the types."""

_TENSOR_CORES, _BFLOAT16_CORES = (7, 0), (8, 0)
"""NVIDIA's compute capabilities from which a GPU multiplies float16, and bfloat16 too, faster than
float32: Volta and Ampere (TensorFlow's guide "Mixed precision"; NVIDIA's Ampere tuning guide)."""

_NOT_FASTER = {"lite0"}
"""Backbones that gained nothing from bfloat16 on processors with AMX and with AVX512_BF16 alone:
depthwise convolutions are slower in it (docs/training.md). So their jobs do not wait for a
comparison, nor does what they learn depend on one."""

UNKNOWN = (0, 0)
"""The compute capability of a GPU that has none, such as AMD's."""


@dataclass(frozen=True)
class Precision:
    """How training steps are computed."""

    policy: str = FLOAT32
    """The types, by Keras' name."""
    xla: bool = False
    """Whether XLA compiles the step."""
    why: str = ""
    """For people."""

    def __str__(self) -> str:
        """Name it."""
        return self.policy.removeprefix("mixed_") + (" with XLA" if self.xla else "")


@dataclass(frozen=True)
class Devices:
    """What a host has to compute with."""

    gpus: Sequence[Sequence[int]]
    """The compute capability of each GPU."""
    bfloat16: bool
    """Whether the processor multiplies bfloat16 numbers."""


def candidates(
    wanted: bool | None, hosts: Sequence[Devices], backbone: str
) -> tuple[Precision, Precision | None]:
    """Return what to compute in, and what may turn out to be faster, where that is in doubt.

    Args:
        wanted: the hyperparameter `mixed-precision`; None leaves the choice to the devices.
        hosts: what each host has; all compute in the same type.
        backbone: which network is trained.
    """
    gpus = [(major, minor) for host in hosts for major, minor in host.gpus]
    if gpus:
        first = _on_gpu(wanted, min(gpus))
        # XLA cannot compile what GPUs send each other (tensorflow/tensorflow#48502).
        return first, replace(first, xla=True) if len(gpus) == len(hosts) == 1 else None
    if wanted is not None:
        policy = BFLOAT16 if wanted else FLOAT32
        return Precision(policy, why=f"mixed-precision={wanted}".lower()), None
    if not all(host.bfloat16 for host in hosts):
        return Precision(why="the processor has no bfloat16"), None
    if backbone in _NOT_FASTER:
        return Precision(why=f"{backbone} is no faster in bfloat16 on a processor"), None
    return Precision(), Precision(BFLOAT16)


def _on_gpu(wanted: bool | None, capability: tuple[int, int]) -> Precision:
    """Choose the type by the compute capability of the oldest GPU."""
    why = "compute capability {}.{}".format(*capability)
    if wanted is False:
        return Precision(why="mixed-precision=false")
    if capability >= _BFLOAT16_CORES:
        # It has the range of float32, so that no loss has to be scaled.
        return Precision(BFLOAT16, why=why)
    if wanted or capability >= _TENSOR_CORES:
        return Precision(FLOAT16, why=why)
    return Precision(why=why)
