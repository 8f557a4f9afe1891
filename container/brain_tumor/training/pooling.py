"""Scans that are spread over the hosts of a job: each host gets those that only others have.

With FullyReplicated channels all hosts hold the same scans and nothing but lists are sent. With
ShardedByS3Key each has some, perhaps none; decoded scans are small, and the search for copies and
leaks has to see all of them together. What a host really has is compared, so it does not matter
what inputdataconfig.json calls it, which in local mode says nothing.
"""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.archive import Folders, Scan, Side
from brain_tumor.data.neighbours import NO_PAIRS
from brain_tumor.data.scans import Classes
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.table import Cues, Damaged, ScanTable
from brain_tumor.data.thumbnails import Thumbnails
from brain_tumor.training.cluster import Cluster

log = logging.getLogger(__name__)

Tables = dict[Side, ScanTable]
_SIDES: tuple[Side, ...] = ("train", "val", "test")
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
    # The first host that has a scan sends it.
    known = {key for before in keys[: cluster.hosts.index] for key in before}
    sent = {
        side: table.rows([row for row, key in enumerate(_keys({side: table})) if key not in known])
        for side, table in tables.items()
    }
    parts = [unpack(payload) for payload in cluster.from_each(lambda: pack(sent))]
    _log_counts(parts, cluster.hosts.names)
    sides = {side: [part[side] for part in parts if side in part] for side in _SIDES}
    return {side: _joined(shares) for side, shares in sides.items() if shares}


def _keys(tables: Mapping[Side, ScanTable]) -> list[_Key]:
    return [
        (side, scan.file, digest)
        for side, table in tables.items()
        for scan, digest in zip(table.scans, table.digests, strict=True)
    ]


def _log_counts(parts: Sequence[Tables], hosts: Sequence[str]) -> None:
    counts = {
        host: {str(side): len(table) for side, table in part.items()}
        for host, part in zip(hosts, parts, strict=True)
    }
    log.info("Scans that each host adds to those of the hosts before it: %s", counts)


def _joined(tables: Sequence[ScanTable]) -> ScanTable:
    digests = [digest for table in tables for digest in table.digests]
    scans = _told_apart([scan for table in tables for scan in table.scans], digests)
    order = sorted(range(len(scans)), key=lambda row: scans[row].file)
    cues = [cue for table in tables for cue in table.cues]
    return ScanTable(
        scans=[scans[row] for row in order],
        digests=[digests[row] for row in order],
        pixels=StoredPixels.of(*(table.pixels for table in tables)).rows(order),
        damaged=sorted(
            {entry for table in tables for entry in table.damaged},
            key=lambda entry: (entry.file, entry.reason),
        ),
        pictures=np.arange(len(order), dtype=np.int32),
        groups=np.arange(len(order), dtype=np.int32),
        thumbnails=Thumbnails.joined([table.thumbnails for table in tables]).rows(order),
        cues=[cues[row] for row in order],
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
    arrays: dict[str, NDArray[np.uint8]] = {}
    for side, table in tables.items():
        rows = {
            "scans": [asdict(scan) for scan in table.scans],
            "digests": table.digests,
            "damaged": [asdict(entry) for entry in table.damaged],
            "cues": [asdict(cue) for cue in table.cues],
        }
        arrays[f"{side}.rows"] = np.frombuffer(json.dumps(rows).encode(), np.uint8)
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
                cues=[Cues(**cue) for cue in rows["cues"]],
                pairs=NO_PAIRS,
            )
    return tables
