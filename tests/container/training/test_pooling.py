"""training.pooling: scans that are spread over hosts become one table on each."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import decode_scans
from brain_tumor.data.table import ScanTable
from brain_tumor.training import pooling
from brain_tumor.training.cluster import ALONE, Cluster, Hosts
from brain_tumor.training.pooling import Tables, pool
from tests.scans import jpeg, write_folder

SIZE = 32


class _InTurn(Cluster):
    """A host whose peers were asked before it: their answers are written down."""

    def __init__(self, index: int, count: int, said: list[list[bytes]]) -> None:
        names = tuple(f"algo-{number}" for number in range(1, count + 1))
        super().__init__(Hosts(names, names[index]))
        self._said, self._calls = said, 0

    def from_each(self, make: Callable[[], bytes]) -> list[bytes]:
        while len(self._said) <= self._calls:
            self._said.append([])
        answers = self._said[self._calls]
        self._calls += 1
        if len(answers) < self.size:
            answers.append(make())
            if len(answers) < self.size:
                raise _NotYetError
        return answers


class _NotYetError(Exception):
    """The hosts after this one have not spoken yet."""


def _pool(hosts: list[Tables]) -> list[Tables]:
    """Let all hosts pool, each as often as it takes until all have spoken."""
    said: list[list[bytes]] = []
    pooled: dict[int, Tables] = {}
    while len(pooled) < len(hosts):
        for index, tables in enumerate(hosts):
            cluster = _InTurn(index, len(hosts), said)
            with suppress(_NotYetError):
                pooled[index] = pool(tables, cluster)
    return [pooled[index] for index in range(len(hosts))]


@pytest.fixture(autouse=True)
def _small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let some rows stand for the many that are sent at once, so that there are several rounds."""
    monkeypatch.setattr(pooling, "ROUND", 2)


@pytest.fixture
def read(tmp_path: Path) -> Callable[[dict[str, int]], ScanTable]:
    """Give a function that reads scans: file name -> seed of what it shows."""
    count = iter(range(100))

    def table(files: dict[str, int]) -> ScanTable:
        folder = tmp_path / str(next(count))
        write_folder(folder, {name: jpeg(seed) for name, seed in files.items()})
        with Archive(folder) as archive:
            return decode_scans(archive, SIZE)

    return table


Read = Callable[[dict[str, int]], ScanTable]
FILES = {
    f"{label}/{n}.jpg": 10 * c + n
    for c, label in enumerate(("glioma", "notumor"))
    for n in range(4)
}


def _assert_same(tables: ScanTable, wanted: ScanTable) -> None:
    assert tables.scans == wanted.scans
    assert tables.digests == wanted.digests
    np.testing.assert_array_equal(tables.cues, wanted.cues)
    np.testing.assert_array_equal(tables.pixels[:], wanted.pixels[:])
    np.testing.assert_array_equal(tables.thumbnails.whole[:], wanted.thumbnails.whole[:])
    np.testing.assert_array_equal(tables.thumbnails.head[:], wanted.thumbnails.head[:])


def test_a_job_on_one_host_keeps_its_tables_as_they_are(read: Read) -> None:
    tables: Tables = {"train": read(FILES)}
    assert pool(tables, ALONE) is tables


def test_hosts_that_all_have_everything_send_no_scan(read: Read) -> None:
    table = read(FILES)
    said: list[list[bytes]] = []
    hosts: list[Tables] = [{"train": table}, {"train": table}]
    for index in range(2):
        try:
            pool(hosts[index], _InTurn(index, 2, said))
        except _NotYetError:
            continue
    assert pool(hosts[0], _InTurn(0, 2, said)) is hosts[0]
    assert len(said) == 1


@pytest.mark.parametrize("hosts", [2, 3])
def test_shards_of_any_size_give_every_host_the_table_of_one_host_with_all(
    read: Read, hosts: int
) -> None:
    whole = read(FILES)
    names = list(FILES)
    # The first host has most, the last of three has nothing at all.
    shards = [names[3:], names[:3], []][:hosts]
    tables: list[Tables] = [
        {"train": read({name: FILES[name] for name in shard})} if shard else {} for shard in shards
    ]
    for pooled in _pool(tables):
        assert list(pooled) == ["train"]
        _assert_same(pooled["train"], whole)


def test_a_channel_that_one_host_alone_has_reaches_all(read: Read) -> None:
    train, val = read(FILES), read({"glioma/v.jpg": 99, "notumor/v.jpg": 98})
    for pooled in _pool([{"val": val}, {"train": train}]):
        assert list(pooled) == ["train", "val"]
        _assert_same(pooled["val"], val)
        _assert_same(pooled["train"], train)


def test_a_scan_that_several_hosts_have_counts_once(read: Read) -> None:
    names = list(FILES)
    tables: list[Tables] = [
        {"train": read({name: FILES[name] for name in part})} for part in (names[:6], names[2:])
    ]
    for pooled in _pool(tables):
        _assert_same(pooled["train"], read(FILES))


def test_scans_of_one_name_that_differ_are_told_apart_alike_whichever_host_has_which(
    read: Read,
) -> None:
    # As when every host got a zip of one name with the same names in it.
    first = read({"glioma/1.jpg": 1, "notumor/1.jpg": 2})
    second = read({"glioma/1.jpg": 3, "notumor/1.jpg": 2})
    low, high = sorted([first.digests[0], second.digests[0]])
    for hosts in ([first, second], [second, first]):
        for pooled in _pool([{"train": table} for table in hosts]):
            names = dict(zip(pooled["train"].digests, pooled["train"].files, strict=True))
            assert (names[low], names[high]) == ("glioma/1.jpg", f"{high[:12]}/glioma/1.jpg")
            assert pooled["train"].files == sorted(names.values())
            assert sorted(pooled["train"].labels) == ["glioma", "glioma", "notumor"]


def test_what_is_damaged_anywhere_is_listed_everywhere(read: Read, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "damaged", {"glioma/a.jpg": jpeg(5), "glioma/b.jpg": b"no"})
    with Archive(folder) as archive:
        damaged = decode_scans(archive, SIZE)
    for pooled in _pool([{"train": read(FILES)}, {"train": damaged}]):
        assert [entry.file for entry in pooled["train"].damaged] == ["glioma/b.jpg"]
