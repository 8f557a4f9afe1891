"""serving.transforms: what Batch Transform is told."""

import pytest

from brain_tumor.serving.transforms import execution_parameters
from brain_tumor.settings import Settings

GB = 10**9


def _told(cores: int, memory: int, **settings: float) -> tuple[int, int]:
    reply = execution_parameters(Settings(**settings), cores, memory, GB // 3)  # type: ignore[arg-type]
    assert list(reply) == ["MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"]
    assert reply["BatchStrategy"] == "MultiRecord"
    concurrent, megabytes = reply["MaxConcurrentTransforms"], reply["MaxPayloadInMB"]
    assert isinstance(concurrent, int)
    assert isinstance(megabytes, int)
    return concurrent, megabytes


@pytest.mark.parametrize("cores", [1, 2, 3, 16, 96, 100, 192])
@pytest.mark.parametrize("memory", [GB // 10, GB, 4 * GB, 64 * GB, 1000 * GB])
def test_the_product_is_at_most_100_and_both_are_at_least_1(cores: int, memory: int) -> None:
    concurrent, megabytes = _told(cores, memory)
    assert 1 <= concurrent <= cores
    assert megabytes >= 1
    assert concurrent * megabytes <= 100


def test_a_core_takes_a_request_where_memory_is_plenty() -> None:
    assert _told(4, 64 * GB) == (4, 25)


def test_little_memory_takes_fewer_and_smaller_requests() -> None:
    told = [_told(8, memory) for memory in (32 * GB, 4 * GB, GB)]
    assert told[0][0] == 8
    assert [concurrent for concurrent, _ in told] == sorted((c for c, _ in told), reverse=True)
    assert told[-1][0] == 1
    assert _told(1, 3 * GB // 2)[1] < _told(1, 64 * GB)[1]


def test_smaller_images_leave_room_for_more_requests() -> None:
    assert _told(8, 2 * GB, max_megapixels=5)[0] > _told(8, 2 * GB)[0]


def test_no_more_is_asked_for_than_is_read() -> None:
    assert _told(1, 64 * GB, max_body_mb=20) == (1, 20)


def test_requests_hold_no_more_short_lines_than_images_are_read() -> None:
    assert _told(1, 64 * GB) == (1, 55)
    assert _told(1, 64 * GB, max_images=2000) == (1, 11)
