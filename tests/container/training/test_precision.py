"""training.precision: what the devices of a job suggest."""

import pytest

from brain_tumor.training.precision import UNKNOWN, Devices, candidates

PLAIN, BF16 = Devices([], bfloat16=False), Devices([], bfloat16=True)


def _gpus(*capabilities: tuple[int, int]) -> Devices:
    return Devices(capabilities, bfloat16=True)


@pytest.mark.parametrize(
    ("hosts", "chosen", "asked_for"),
    [
        ([PLAIN], "float32", "bfloat16"),
        ([BF16], "float32, perhaps bfloat16", "bfloat16"),
        ([BF16, BF16], "float32, perhaps bfloat16", "bfloat16"),
        # All compute in one type, which suits the weakest.
        ([BF16, PLAIN], "float32", "bfloat16"),
        # Blackwell, Ada, Ampere; Turing, Volta; Pascal; no GPU of NVIDIA's.
        ([_gpus((12, 0))], "bfloat16, perhaps bfloat16 with XLA", None),
        ([_gpus((8, 9))], "bfloat16, perhaps bfloat16 with XLA", None),
        ([_gpus((8, 0))], "bfloat16, perhaps bfloat16 with XLA", None),
        ([_gpus((7, 5))], "float16, perhaps float16 with XLA", None),
        ([_gpus((7, 0))], "float16, perhaps float16 with XLA", None),
        ([_gpus((6, 1))], "float32, perhaps float32 with XLA", "float16, perhaps float16 with XLA"),
        (
            [_gpus(UNKNOWN)],
            "float32, perhaps float32 with XLA",
            "float16, perhaps float16 with XLA",
        ),
        # What GPUs send each other cannot be compiled.
        ([_gpus((9, 0), (9, 0))], "bfloat16", None),
        ([_gpus((9, 0)), _gpus((9, 0))], "bfloat16", None),
        ([_gpus((9, 0)), _gpus((7, 5))], "float16", None),
    ],
)
def test_the_type_suits_the_devices_of_all_hosts(
    hosts: list[Devices], chosen: str, asked_for: str | None
) -> None:
    assert _named(None, hosts) == chosen
    assert _named(True, hosts) == (asked_for or chosen)
    assert _named(False, hosts).split(",")[0] == "float32"


def test_what_no_processor_computes_faster_in_bfloat16_is_not_compared_again() -> None:
    assert _named(None, [BF16], "lite0") == "float32"
    assert _named(True, [BF16], "lite0") == "bfloat16"
    assert _named(None, [_gpus((8, 0))], "lite0").startswith("bfloat16")


def _named(wanted: bool | None, hosts: list[Devices], backbone: str = "small") -> str:
    first, other = candidates(wanted, hosts, backbone)
    return f"{first}, perhaps {other}" if other else str(first)
