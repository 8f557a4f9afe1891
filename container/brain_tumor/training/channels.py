"""The data channels of a training job: which scans are trained on, validated on and tested on."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from brain_tumor.data.archive import Side
from brain_tumor.data.duplicates import conflicting, find_duplicates, near_groups
from brain_tumor.data.fifo import never
from brain_tumor.data.neighbours import find_pairs
from brain_tumor.data.pair_cache import FindPairs
from brain_tumor.data.report import DatasetReport, describe, log_findings
from brain_tumor.data.scans import Classes, classes_of, decode_scans, require_classes
from brain_tumor.data.split import split_groups
from brain_tumor.data.table import ScanTable, join
from brain_tumor.errors import DataError
from brain_tumor.training.cluster import ALONE, Cluster
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.input_data import ChannelConfig, open_channel
from brain_tumor.training.pooling import pool, pool_classes, pool_folders

log = logging.getLogger(__name__)

_NAMES: dict[Side, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "validation"),
    "test": ("test",),
}


@dataclass(frozen=True)
class Channels:
    """The scans of a job, with pixels at the network's size."""

    class_names: list[str]
    """In output order: sorted."""
    train: ScanTable
    val: ScanTable
    test: ScanTable | None
    report: DatasetReport

    def counts(self) -> dict[str, int]:
        """Return the number of scans of each side."""
        test = 0 if self.test is None else len(self.test)
        return {"train": len(self.train), "val": len(self.val), "test": test}

    def fingerprint(self) -> str:
        """SHA-256 over the pixels of the training scans, whatever their order and names."""
        return hashlib.sha256("".join(sorted(self.train.digests)).encode()).hexdigest()


def read_channels(
    folders: Mapping[str, Path],
    parameters: Hyperparameters,
    configs: Mapping[str, ChannelConfig] = MappingProxyType({}),
    search: FindPairs = find_pairs,
    cluster: Cluster = ALONE,
    stop_asked: Callable[[], bool] = never,
) -> Channels:
    """Read the channels and search them together for copies.

    Pictures with conflicting labels are left out of all sides. Without `val` it is split off
    `train`, whole near-duplicate groups to one side; a `val` that is given loses what also stands
    in `train`, since the epoch and the temperature would be chosen by memory. `test` keeps such
    scans: `evaluation.overlap` tells which they are.

    Args:
        folders: channel name -> its folder. Channels of other names are not looked at.
        parameters: image size, seed and validation share.
        configs: channel name -> its entry in inputdataconfig.json; one without comes as files.
        search: finds the pairs of scans that resemble each other.
        cluster: the hosts; where they are several, each reads what it has, perhaps nothing of a
            channel, and all get all.
        stop_asked: True once a pipe that does not come is waited for no more.

    Raises:
        DataError: `train` is missing, a channel cannot be read, fewer than two classes, a class in
            `val` or `test` that `train` has not, or a stop while a pipe is waited for.
    """
    found = {side: _find(folders, configs, side, cluster) for side in _NAMES}
    read = {
        side: _read(side, channel, parameters.image_size, cluster, stop_asked)
        for side, channel in found.items()
    }
    tables = pool({side: table for side, table in read.items() if table is not None}, cluster)
    if "train" not in tables:
        given = ", ".join(sorted(folders)) or "no channel at all"
        raise DataError(
            f"There is no training data: wanted a channel named train, found {given}. Usual "
            "cause: the job has no InputDataConfig, or its channel has another name."
        )
    together, tables = _searched(tables, search)
    train = tables["train"]
    class_names = sorted(set(train.labels))
    if len(class_names) < 2:
        raise DataError(
            f"Channel train holds one class only, {class_names[0]!r}; a classifier needs at least "
            "two. Usual cause: the channel points into one class folder's parent by mistake."
        )
    for side in ("val", "test"):
        _require_known_classes(side, tables.get(side), class_names)
    used = _without_conflicts(together, tables)
    _require_classes_left(used["train"], class_names)
    if "val" in used:
        used["val"] = _without_leak(used["val"], used["train"])
    else:
        used["train"], used["val"] = _split_off_validation(used["train"], parameters)
    splits = {
        str(side): [f"{side if side in tables else 'train'}/{file}" for file in table.files]
        for side, table in used.items()
    }
    report = describe(together, splits)
    log_findings(report)
    return Channels(class_names, used["train"], used["val"], used.get("test"), report)


def _find(
    folders: Mapping[str, Path],
    configs: Mapping[str, ChannelConfig],
    side: Side,
    cluster: Cluster,
) -> tuple[Path, ChannelConfig] | None:
    name = next((name for name in _NAMES[side] if name in folders), None)
    if name is None:
        return None
    folder, config = folders[name], configs.get(name, ChannelConfig())
    if config.mode == "Pipe" or (cluster.size == 1 and side == "train"):
        return folder, config
    # inputdataconfig.json names it, but a host may have been given none of it.
    if not folder.exists():
        log.warning("Channel %s: %s does not exist; it is taken for not given", side, folder)
        return None
    return folder, config


def _read(
    side: Side,
    channel: tuple[Path, ChannelConfig] | None,
    size: int,
    cluster: Cluster,
    stop_asked: Callable[[], bool],
) -> ScanTable | None:
    """Read what this host was given of a channel; what is a class, all hosts say together.

    Hosts that were given nothing of it are asked too: any may have it.
    """
    everywhere = partial(pool_folders, cluster=cluster)
    table, classes = None, Classes()
    try:
        if channel is None:
            everywhere({})
        else:
            with open_channel(*channel, everywhere, stop_asked) as source:
                table = decode_scans(source, size)
                classes = classes_of(source, table)
        require_classes(pool_classes(classes, cluster))
    except DataError as error:
        raise DataError(f"Channel {side}: {error}") from error
    if table is None:
        return None
    for damaged in table.damaged:
        log.warning("Channel %s: left out %s: %s", side, damaged.file, damaged.reason)
    log.info("Channel %s: %d scans, %d left out", side, len(table), len(table.damaged))
    return table


def _split_off_validation(
    table: ScanTable, parameters: Hyperparameters
) -> tuple[ScanTable, ScanTable]:
    share = parameters.validation_share
    shares: dict[Side, float] = {"train": 1 - share, "val": share}
    sides = split_groups(near_groups(table), table.labels, shares, parameters.seed)
    log.info("No val channel: %d of the training scans are set aside", len(sides["val"]))
    return table.rows(sides["train"]), table.rows(sides["val"])


def _require_known_classes(side: str, table: ScanTable | None, class_names: list[str]) -> None:
    unknown = sorted(set(table.labels) - set(class_names)) if table else []
    if unknown:
        raise DataError(
            f"Channel {side} holds classes that train has not: {', '.join(unknown)} (train has "
            f"{', '.join(class_names)}). Usual cause: a class folder spelt differently."
        )


def _searched(
    tables: Mapping[Side, ScanTable], search: FindPairs
) -> tuple[ScanTable, dict[Side, ScanTable]]:
    """Number pictures and groups over all channels; the joined table names files with theirs."""
    joined = join([_with_channel(side, table) for side, table in tables.items()])
    together = find_duplicates(joined, search)
    ends = np.cumsum([len(table) for table in tables.values()])[:-1]
    pictures, groups = np.split(together.pictures, ends), np.split(together.groups, ends)
    numbered = {
        side: replace(table, pictures=pictures[place], groups=groups[place])
        for place, (side, table) in enumerate(tables.items())
    }
    return together, numbered


def _without_conflicts(
    together: ScanTable, tables: Mapping[Side, ScanTable]
) -> dict[Side, ScanTable]:
    disputed = np.unique(together.pictures[conflicting(together)])
    kept = {}
    for side, table in tables.items():
        rows = np.flatnonzero(~np.isin(table.pictures, disputed)).tolist()
        if len(rows) < len(table):
            log.warning(
                "Channel %s: left out %d scans whose picture stands in several classes; "
                "dataset_report.json lists them",
                side,
                len(table) - len(rows),
            )
        kept[side] = table if len(rows) == len(table) else table.rows(rows)
    return kept


def _require_classes_left(train: ScanTable, class_names: list[str]) -> None:
    lost = sorted(set(class_names) - set(train.labels))
    if lost:
        raise DataError(
            f"Every picture of class {', '.join(lost)} in channel train stands in another class "
            "too, so none can be used. Usual cause: one class folder copied under two names."
        )


def _without_leak(val: ScanTable, train: ScanTable) -> ScanTable:
    leaks = np.isin(val.pictures, train.pictures)
    if not leaks.any():
        return val
    rows = np.flatnonzero(~leaks).tolist()
    if {val.labels[row] for row in rows} != set(val.labels):
        log.warning(
            "Channel val: without the %d of %d scans that also stand in train a class would be "
            "missing, so they are kept; the epoch and the temperature are chosen by memory",
            leaks.sum(),
            len(val),
        )
        return val
    log.warning(
        "LEAK: %d of the %d val scans also stand in train; they are left out of val",
        leaks.sum(),
        len(val),
    )
    return val.rows(rows)


def _with_channel(channel: Side, table: ScanTable) -> ScanTable:
    return replace(
        table,
        scans=[replace(s, file=f"{channel}/{s.file}", side=channel) for s in table.scans],
        damaged=[replace(entry, file=f"{channel}/{entry.file}") for entry in table.damaged],
    )
