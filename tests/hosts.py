"""Jobs on several hosts: an /opt/ml folder for each, and a `train` process for each."""

import json
import os
import queue
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brain_tumor.settings import Settings
from brain_tumor.training.cluster import Cluster, Hosts
from brain_tumor.training.exchange import HostError
from brain_tumor.training.meeting import join
from tests.jobs import BIN, UNMEASURED, describe_channels, make_ml_dir
from tests.ports import free_ports

Channels = Mapping[str, Path]
SMALL = {"epochs": "2", "image-size": "32", "batch-size": "8", "backbone": "small"}
_WAIT = 60


def make_hosts(
    base: Path,
    channels: Sequence[Channels],
    hyperparameters: Mapping[str, str],
    groups: Mapping[str, str] = MappingProxyType({"homogeneousCluster": "ml.c7i.large"}),
) -> dict[str, Path]:
    """Lay out /opt/ml for each host, algo-1 first, with its own channels.

    Hosts are dealt in turn to the instance groups: name -> instance type.
    """
    names = [f"algo-{number}" for number in range(1, len(channels) + 1)]
    # As jobs of today have it: the groups' hosts in any order, no topology.
    described = [
        {
            "instance_group_name": group,
            "instance_type": instance_type,
            "hosts": names[number :: len(groups)][::-1],
        }
        for number, (group, instance_type) in enumerate(groups.items())
    ]
    hosts = {}
    for number, (name, given) in enumerate(zip(names, channels, strict=True)):
        hosts[name] = make_ml_dir(base / name, given, hyperparameters)
        describe_channels(hosts[name], _entries(channels))
        own = described[number % len(groups)]
        config = {
            "current_host": name,
            "hosts": names,
            "current_instance_type": own["instance_type"],
            "current_group_name": own["instance_group_name"],
            "instance_groups": described,
            "network_interface_name": "eth0",
            "topology": None,
        }
        file = hosts[name] / "input" / "config" / "resourceconfig.json"
        file.write_text(json.dumps(config))
    return hosts


def _entries(channels: Sequence[Channels]) -> dict[str, dict[str, str]]:
    """Give what inputdataconfig.json says on every host: all channels, also those not given it."""
    entries = {}
    for name in sorted(set().union(*channels)):
        alike = len({given.get(name) for given in channels}) == 1
        distribution = "FullyReplicated" if alike else "ShardedByS3Key"
        entries[name] = {"TrainingInputMode": "File", "S3DistributionType": distribution}
    return entries


def shards(prepared: Path, folder: Path) -> list[Channels]:
    """Give what ShardedByS3Key may give two hosts: one of them has most of train, and all of test.

    Objects lie there as they are; val is with the other host.
    """
    channels: list[dict[str, Path]] = []
    for number, rows in enumerate((slice(0, 23), slice(23, None))):
        part = folder / f"shard-{number}"
        with zipfile.ZipFile(prepared / "Train.zip") as archive:
            archive.extractall(part, sorted(archive.namelist())[rows])
        channels.append({"train": part})
    channels[0]["test"], channels[1]["val"] = prepared / "Test.zip", prepared / "Val.zip"
    return list(channels)


@contextmanager
def start(hosts: Mapping[str, Path], **env: str) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Run `train` for each host on this machine, each on ports of its own; end what still runs."""
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(hosts, free_ports(), strict=False)}
    processes = {}
    try:
        for name, ml_dir in hosts.items():
            given = {
                "SAGEMAKER_BASE_DIR": str(ml_dir),
                "BRAIN_TUMOR_CLUSTER_ADDRESSES": json.dumps(addresses),
            }
            with (ml_dir / "stderr.log").open("w") as log:
                processes[name] = subprocess.Popen(
                    [BIN / "brain-tumor", "train"],
                    env={**os.environ, **UNMEASURED, **given, **env},
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def run(hosts: Mapping[str, Path], timeout: float = 300, **env: str) -> dict[str, int]:
    """Run `train` on every host and give the exit codes; the logs are left in the folders."""
    with start(hosts, **env) as processes:
        for name, process in processes.items():
            printed, _ = process.communicate(timeout=timeout)
            (hosts[name] / "stdout.log").write_text(printed)
        return {name: process.returncode for name, process in processes.items()}


def failure(ml_dir: Path) -> str:
    """Return what a host wrote into output/failure."""
    return (ml_dir / "output" / "failure").read_text()


def meet(names: tuple[str, ...], call: Callable[[Cluster], object], **settings: Any) -> list[Any]:
    """Let hosts meet, each in a thread, and call on each; give results or errors."""
    ports = islice(free_ports(), len(names))
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
    given = Settings(cluster_addresses=addresses, **settings)
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def host(name: str) -> object:
        try:
            with join(Hosts(names, name), given, lambda: False, ended.put) as cluster:
                return call(cluster)
        except HostError as error:
            return error

    with ThreadPoolExecutor(len(names)) as pool:
        return [each.result(_WAIT) for each in [pool.submit(host, name) for name in names]]
