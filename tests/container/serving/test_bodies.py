"""serving.bodies: bodies in memory and on disk."""

import errno
import io
import resource
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from brain_tumor.errors import OverloadedError, PayloadError, PayloadTooLargeError
from brain_tumor.serving import bodies
from brain_tumor.serving.bodies import IN_MEMORY_BYTES, Body, receive


class _Counted(io.BytesIO):
    """A connection that tells how much was read, and in what pieces."""

    def __init__(self, size: int) -> None:
        super().__init__(bytes(size))
        self.pieces: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.pieces.append(len(data))
        return data


def _receive(source: io.BytesIO, length: int | None = None, max_mb: float = 100) -> Any:
    return receive(source, length, max_mb, "image/png", {})


def test_a_small_body_is_never_written_to_disk_and_not_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "_file", lambda: pytest.fail("a file was made"))
    data = bytes(range(256)) * 100
    with _receive(io.BytesIO(data), len(data)) as body:
        assert body.whole() == data
        assert body.whole() is body.whole()


@pytest.mark.parametrize("size", [IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1, 3 * IN_MEMORY_BYTES])
@pytest.mark.parametrize("named", [True, False])
def test_a_body_of_any_size_is_what_was_sent_and_can_be_read_twice(size: int, named: bool) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with _receive(io.BytesIO(data), size if named else None) as body:
        assert body.size == size
        assert body.whole() == data
        assert body.whole() == data


def test_a_large_body_is_taken_in_small_pieces_and_its_file_goes_with_the_block() -> None:
    source = _Counted(5 * IN_MEMORY_BYTES)
    with _receive(source) as body:
        assert max(source.pieces) <= IN_MEMORY_BYTES + 1
        assert body.stream.fileno() > 0
    assert body.stream.closed


def test_a_length_above_the_limit_is_refused_unread() -> None:
    source = _Counted(2_000_000)
    with pytest.raises(PayloadTooLargeError, match="larger than 1 MB"), _receive(source, 10**15, 1):
        pass
    assert source.pieces == []


@pytest.mark.parametrize("max_mb", [0.01, 5])
def test_a_chunked_body_is_read_no_further_than_the_limit(max_mb: float) -> None:
    source = _Counted(50_000_000)
    with pytest.raises(PayloadTooLargeError), _receive(source, None, max_mb):
        pass
    assert source.tell() == int(max_mb * 1e6) + 1


def test_a_connection_that_breaks_in_a_large_body_is_the_clients_fault() -> None:
    class Broken(_Counted):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > IN_MEMORY_BYTES:
                raise ConnectionResetError
            return super().read(size)

    with pytest.raises(PayloadError, match="cannot be read"), _receive(Broken(9_000_000)):
        pass


class _Full(io.BytesIO):
    def write(self, _: Any, /) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_a_503_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", _Full)
    with pytest.raises(OverloadedError, match="No space left") as caught, _receive(_Counted(10**7)):
        pass
    assert caught.value.status == 503


@pytest.fixture
def small_disk() -> Iterator[int]:
    """Let files grow to no more than so many bytes, as on a disk that fills."""
    room = IN_MEMORY_BYTES + 1 + bodies._STEP
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    yield room
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("above", [1, 100, 10**6, 10**7])
def test_a_disk_that_fills_at_any_time_is_a_503(small_disk: int, above: int) -> None:
    larger = _receive(_Counted(small_disk + above))
    with pytest.raises(OverloadedError, match="No room for a body"), larger:
        pass
    with _receive(_Counted(small_disk)) as body:
        assert len(body.whole()) == small_disk


def test_no_folder_that_is_writable_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with pytest.raises(OverloadedError, match="No usable"), _receive(_Counted(10**7)):
        pass


def test_one_thing_above_what_memory_is_meant_for_is_refused_with_the_way_out() -> None:
    body = Body(io.BytesIO(), bodies.WHOLE_BYTES + 1, "application/json", {})
    with pytest.raises(PayloadTooLargeError, match=r"at most 100 MB.*application/jsonlines"):
        body.whole()
