"""Scans that are spread over the hosts of a job: each host gets those that only others have.

With FullyReplicated channels all hosts hold the same scans and nothing but lists are sent. With
ShardedByS3Key each has some, perhaps none; decoded scans are small, and the search for copies and
leaks has to see all of them together. What a host really has is compared, so it does not matter
what inputdataconfig.json calls it, which in local mode says nothing.
"""

import io
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.archive import Folders, Scan, Side
from brain_tumor.data.neighbours import NO_PAIRS
from brain_tumor.data.scans import Classes
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.table import Damaged, ScanTable
from brain_tumor.data.thumbnails import Thumbnails
from brain_tumor.training.cluster import Cluster

log = logging.getLogger(__name__)

Tables = dict[Side, ScanTable]
_SIDES: tuple[Side, ...] = ("train", "val", "test")
ROUND = 128
"""Rows of a side that a host sends at once: 6 MB at 208 pixels, however large the data set is."""
_Rows = dict[str, list[int]]
"""Side -> numbers of the rows of a host's table."""
_Key = tuple[str, str, str]
"""Side, file and digest of a scan: the same on two hosts is the same scan."""


def pool_folders(own: Folders, cluster: Cluster) -> Folders:
    """Return the folders of all hosts as one; every host calls this, and gets the same."""
    names = {name: sorted(folders) for name, folders in own.items()}
    together: dict[str, set[tuple[str, ...]]] = {}
    for answer in cluster.from_each(lambda: json.dumps(names).encode()):
        for name, folders in json.loads(answer).items():
            together.setdefault(name, set()).update(map(tuple, folders))
    return together


def pool_classes(own: Classes, cluster: Cluster) -> list[Classes]:
    """Return which classes each host has, in the order of the hosts; every host calls this."""
    answers = cluster.from_each(lambda: json.dumps(asdict(own)).encode())
    return [Classes(**json.loads(answer)) for answer in answers]


def pool(tables: Tables, cluster: Cluster) -> Tables:
    """Return the tables of all hosts as one; every host calls this, and gets the same.

    Args:
        tables: what this host has read; none of a side that it was given nothing of.
        cluster: the hosts.

    Returns:
        Rows in the order of their file names, as one host that has all would read them.
    """
    if cluster.size == 1:
        return tables
    own = _keys(tables)
    keys = [
        [(side, file, digest) for side, file, digest in json.loads(summary)]
        for summary in cluster.from_each(lambda: json.dumps(own).encode())
    ]
    if all(each == keys[0] for each in keys):
        return tables
    shares = _shares(keys)
    _log_counts(shares, cluster.hosts.names)
    incoming: dict[Side, _Incoming] = {}
    for start in range(0, max(map(_longest, shares)), ROUND):
        sent = _slice(tables, shares[cluster.hosts.index], start)
        for payload in cluster.from_each(partial(pack, sent)):
            for side, part in unpack(payload).items():
                incoming.setdefault(side, _Incoming()).add(part)
    return {side: incoming[side].table() for side in _SIDES if side in incoming}


def _keys(tables: Tables) -> list[_Key]:
    return [
        (side, scan.file, digest)
        for side, table in tables.items()
        for scan, digest in zip(table.scans, table.digests, strict=True)
    ]


def _shares(keys: Sequence[Sequence[_Key]]) -> list[_Rows]:
    """Say which rows each host sends: the first that has a scan sends it."""
    known: set[_Key] = set()
    shares = []
    for own in keys:
        rows: _Rows = {}
        counts: Counter[str] = Counter()
        for key in own:
            if key not in known:
                rows.setdefault(key[0], []).append(counts[key[0]])
            counts[key[0]] += 1
        known.update(own)
        shares.append(rows)
    return shares


def _longest(share: _Rows) -> int:
    # A host that sends no scan may still tell what is damaged.
    return max(map(len, share.values()), default=1)


def _log_counts(shares: Sequence[_Rows], hosts: Sequence[str]) -> None:
    counts = {
        host: {side: len(rows) for side, rows in share.items()}
        for host, share in zip(hosts, shares, strict=True)
    }
    log.info("Scans that each host adds to those of the hosts before it: %s", counts)


def _slice(tables: Tables, share: _Rows, start: int) -> Tables:
    """Pick what a host sends in one round; what is damaged goes with the first."""
    return {
        side: replace(
            table.rows(share.get(side, [])[start : start + ROUND]),
            damaged=[] if start else table.damaged,
        )
        for side, table in tables.items()
    }


class _Incoming:
    """The rows of a side as they come in from the hosts."""

    def __init__(self) -> None:
        self._scans: list[Scan] = []
        self._digests: list[str] = []
        self._damaged: set[Damaged] = set()
        self._cues: list[NDArray[np.void]] = []
        self._stores: list[StoredPixels] = []

    def add(self, part: ScanTable) -> None:
        """Take some rows; their pictures go behind those that are there, into the same files."""
        self._scans += part.scans
        self._digests += part.digests
        self._damaged.update(part.damaged)
        self._cues.append(part.cues)
        pictures = [part.pixels, part.thumbnails.whole, part.thumbnails.head]
        self._stores = self._stores or [StoredPixels(*store.shape[1:]) for store in pictures]
        for store, more in zip(self._stores, pictures, strict=True):
            store.append(more[:])

    def table(self) -> ScanTable:
        """Put them into the order of their file names."""
        scans = _told_apart(self._scans, self._digests)
        order = sorted(range(len(scans)), key=lambda row: scans[row].file)
        pixels, whole, head = (store.rows(order) for store in self._stores)
        return ScanTable(
            scans=[scans[row] for row in order],
            digests=[self._digests[row] for row in order],
            pixels=pixels,
            damaged=sorted(self._damaged, key=lambda entry: (entry.file, entry.reason)),
            pictures=np.arange(len(order), dtype=np.int32),
            groups=np.arange(len(order), dtype=np.int32),
            thumbnails=Thumbnails(whole, head),
            cues=np.concatenate(self._cues)[order],
            pairs=NO_PAIRS,
        )


def _told_apart(scans: Sequence[Scan], digests: Sequence[str]) -> list[Scan]:
    """Put the digest before a name that another scan has too, whichever hosts they came from."""
    first: dict[str, str] = {}
    for scan, digest in zip(scans, digests, strict=True):
        first[scan.file] = min(digest, first.get(scan.file, digest))
    return [
        scan if first[scan.file] == digest else replace(scan, file=f"{digest[:12]}/{scan.file}")
        for scan, digest in zip(scans, digests, strict=True)
    ]


def pack(tables: Mapping[Side, ScanTable]) -> bytes:
    """Write tables, with nothing numbered in them, as bytes that numpy reads without pickles."""
    arrays: dict[str, NDArray[Any]] = {}
    for side, table in tables.items():
        rows = {
            "scans": [asdict(scan) for scan in table.scans],
            "digests": table.digests,
            "damaged": [asdict(entry) for entry in table.damaged],
        }
        arrays[f"{side}.rows"] = np.frombuffer(json.dumps(rows).encode(), np.uint8)
        arrays[f"{side}.cues"] = table.cues
        arrays[f"{side}.pixels"] = table.pixels[:]
        arrays[f"{side}.whole"] = table.thumbnails.whole[:]
        arrays[f"{side}.head"] = table.thumbnails.head[:]
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack(payload: bytes) -> Tables:
    """Read what `pack` wrote."""
    tables: Tables = {}
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        for side in _SIDES:
            if f"{side}.rows" not in arrays:
                continue
            rows = json.loads(arrays[f"{side}.rows"].tobytes())
            count = len(rows["digests"])
            tables[side] = ScanTable(
                scans=[Scan(**scan) for scan in rows["scans"]],
                digests=rows["digests"],
                pixels=StoredPixels.of(arrays[f"{side}.pixels"]),
                damaged=[Damaged(**entry) for entry in rows["damaged"]],
                pictures=np.arange(count, dtype=np.int32),
                groups=np.arange(count, dtype=np.int32),
                thumbnails=Thumbnails(
                    *(StoredPixels.of(arrays[f"{side}.{kind}"]) for kind in ("whole", "head"))
                ),
                cues=arrays[f"{side}.cues"],
                pairs=NO_PAIRS,
            )
    return tables
