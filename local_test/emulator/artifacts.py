"""model.tar.gz and output.tar.gz: what all hosts left in a folder, merged into one archive."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

from local_test.emulator.errors import EmulatorError
from local_test.emulator.files import Tree


class ArtifactError(EmulatorError):
    """What the hosts left cannot be uploaded as one archive."""


def pack(hosts: Mapping[str, Tree], folder: str, target: Path) -> bool:
    """Write the hosts' trees into a .tar.gz without a leading folder; False if there is no file.

    Args:
        hosts: What each host left, by host.
        folder: Where that was, for messages.
        target: The archive to write; its folder is made.

    Raises:
        ArtifactError: Two hosts left files of the same name, or one left a link or special file.
    """
    owners = _owners(hosts, folder)
    if not any(hosts[host].members[name].isfile() for name, host in owners.items()):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        for name, host in owners.items():
            _copy(hosts[host], name, archive)
    return True


def _owners(hosts: Mapping[str, Tree], folder: str) -> dict[str, str]:
    """Return which host each name comes from; folders may be on several."""
    owners: dict[str, str] = {}
    for host, tree in hosts.items():
        for name, member in tree.members.items():
            if name == ".":
                continue
            if not (member.isreg() or member.isdir() or member.islnk()):
                kind = "a symbolic link" if member.issym() else "no file"
                raise ArtifactError(
                    f"{folder}/{name} on {host} is {kind}, which hosting refuses to unpack: "
                    "leave the file itself there."
                )
            other = owners.setdefault(name, host)
            if other != host and not (member.isdir() and hosts[other].members[name].isdir()):
                raise ArtifactError(
                    f"{folder}/{name} was left by {other} and by {host}, but all hosts go into one "
                    "archive: write it on one host, or under a name of its own on each."
                )
    return owners


def _copy(tree: Tree, name: str, archive: tarfile.TarFile) -> None:
    source = tree.members[name]
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = source.mode, source.mtime
    if source.isdir():
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
        return
    with tree.open(name) as stream:
        member.size = stream.seek(0, 2)
        stream.seek(0)
        archive.addfile(member, stream)
