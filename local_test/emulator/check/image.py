"""What an image holds, read from its archive (`docker save`) without running it."""

import json
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from local_test.emulator.engine import Engine

_WHITEOUT = ".wh."
_MAX_LINKS = 40
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Entry:
    """One file of a layer."""

    mode: int
    size: int
    link: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file or a hard link to one."""
        return stat.S_ISREG(self.mode)


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        architecture: Such as amd64.
        system: Such as linux.
        config: The engine's `Config`: Entrypoint, Cmd, Env, User, Labels.
        size: Bytes of all layers, unpacked.
        manifest: The media type with which this engine pushes it; None if that is not known.
        layers: Files by absolute path, a mapping a layer, the lowest first.
    """

    architecture: str
    system: str
    config: Mapping[str, Any]
    size: int
    manifest: str | None
    layers: Sequence[Mapping[str, Entry]] = field(repr=False, default=())

    @property
    def entrypoint(self) -> list[str]:
        """ENTRYPOINT; empty if there is none."""
        return list(self.config.get("Entrypoint") or [])

    @property
    def labels(self) -> Mapping[str, str]:
        """LABELs."""
        return self.config.get("Labels") or {}

    @property
    def environment(self) -> dict[str, str]:
        """ENV."""
        pairs = (entry.partition("=") for entry in self.config.get("Env") or [])
        return {name: value for name, _, value in pairs}

    def all_files(self) -> dict[str, Entry]:
        """Return the files of all layers, also those that a later layer deletes or replaces."""
        return {
            path: entry
            for layer in self.layers
            for path, entry in layer.items()
            if not stat.S_ISDIR(entry.mode) and not PurePosixPath(path).name.startswith(_WHITEOUT)
        }

    def root(self) -> dict[str, Entry]:
        """Return what a container sees: layers on top of each other, deletions done."""
        merged: dict[str, Entry] = {}
        for layer in self.layers:
            for path in layer:
                name = PurePosixPath(path)
                if name.name.startswith(_WHITEOUT):
                    _delete(merged, name)
            merged |= {p: e for p, e in layer.items() if _WHITEOUT not in PurePosixPath(p).name}
        return merged

    def find_program(self, name: str) -> str | None:
        """Return the path of an executable file on PATH, links followed; None if there is none."""
        root = self.root()
        folders = self.environment.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")
        for folder in folders:
            entry = _resolve(root, f"{folder}/{name}")
            if entry and entry.is_file and entry.mode & 0o111:
                return f"{folder}/{name}"
        return None


def read_image(engine: Engine, name: str, scratch: Path) -> Image:
    """Read an image; its archive lies in a scratch folder meanwhile."""
    image = engine.client.images.get(name)
    archive = scratch / "image.tar"
    with archive.open("wb") as stream:
        stream.writelines(image.save())
    try:
        layers = _read_layers(archive)
    finally:
        archive.unlink()
    attributes = image.attrs
    return Image(
        architecture=attributes["Architecture"],
        system=attributes["Os"],
        config=attributes["Config"] or {},
        size=int(attributes["Size"]),
        manifest=_manifest(attributes, engine.client.info()),
        layers=layers,
    )


def _manifest(attributes: Mapping[str, Any], info: Mapping[str, Any]) -> str | None:
    """Return what a push sends: the classic store makes it anew, containerd's sends what it has."""
    if descriptor := attributes.get("Descriptor"):
        return str(descriptor["mediaType"])
    status = {str(entry[0]): str(entry[1]) for entry in info.get("DriverStatus") or []}
    return None if "containerd" in status.get("driver-type", "") else DOCKER_MANIFEST


def _read_layers(archive: Path) -> list[dict[str, Entry]]:
    with tarfile.open(archive) as tar:
        manifest = json.load(_opened(tar, "manifest.json"))
        return [_read_layer(_opened(tar, name)) for name in manifest[0]["Layers"]]


def _opened(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    stream = tar.extractfile(name)
    if stream is None:
        raise FileNotFoundError(name)
    return stream


def _read_layer(stream: IO[bytes]) -> dict[str, Entry]:
    with stream, tarfile.open(fileobj=stream) as layer:
        return {f"/{_clean(member.name)}": _entry(member) for member in layer}


def _clean(name: str) -> str:
    return name.removeprefix("./").strip("/")


def _entry(member: tarfile.TarInfo) -> Entry:
    if member.issym():
        return Entry(stat.S_IFLNK | member.mode, 0, member.linkname)
    kind = stat.S_IFDIR if member.isdir() else stat.S_IFREG
    if member.isdev():
        kind = stat.S_IFCHR
    return Entry(kind | member.mode, member.size)


def _delete(files: dict[str, Entry], whiteout: PurePosixPath) -> None:
    target = str(whiteout.parent / whiteout.name.removeprefix(_WHITEOUT))
    inside = f"{whiteout.parent}/" if whiteout.name == ".wh..wh..opq" else f"{target}/"
    for path in [p for p in files if p == target or p.startswith(inside)]:
        del files[path]


def _resolve(root: Mapping[str, Entry], path: str) -> Entry | None:
    """Follow links, also those of folders above, as /bin -> usr/bin."""
    for _ in range(_MAX_LINKS):
        parts = PurePosixPath(path).parts
        for count in range(2, len(parts) + 1):
            prefix = str(PurePosixPath(*parts[:count]))
            entry = root.get(prefix)
            if entry and entry.link is not None:
                target = PurePosixPath(prefix).parent / entry.link
                path = _normal(target.joinpath(*parts[count:]))
                break
        else:
            return root.get(path)
    return None


def _normal(path: PurePosixPath) -> str:
    kept: list[str] = []
    for part in path.parts[1:]:
        if part == "..":
            kept = kept[:-1]
        else:
            kept.append(part)
    return "/" + "/".join(kept)
