"""A training state in a folder: what each rank has of the tensors in files of its own, and the rest in one file.

torch's distributed checkpoints hold the shards, so that another number of ranks finds its own in them. Their index is a
pickle that torch writes and reads; it is read here with the classes that it consists of, and no others.
"""

import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

REST = "rest.pt"  # all but the shards
SHARD = "shard of"  # the one key of what stands in a shard's place there
Where = tuple[str, ...]


def is_sharded_state(path: Path) -> bool:
    """Whether `save_shards` wrote it to its end."""
    return (path / REST).is_file()


def save_shards(state: Any, folder: Path, *, rank: int) -> None:
    """Write a nested state whose DTensors are in shards; every rank must call it. On disk when all have returned.

    The folder must not hold another state. The file that makes it one comes last.
    """
    shards: dict[str, Tensor] = {}

    def placeholder(where: Where, value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        shards[_name(where)] = value
        return {SHARD: _name(where)}

    rest = mapped(state, placeholder)
    save(shards, storage_writer=FileSystemWriter(folder, sync_files=True))
    if rank == 0:
        torch.save(rest, folder / REST)
        for path in (folder / REST, folder):
            synced(path)


def load_rest(folder: Path) -> Any:
    """The state with what stands in the shards' places."""
    return torch.load(folder / REST, map_location="cpu", weights_only=True)


def load_shards(folder: Path, *, like: Callable[[Where], Tensor | None] | None) -> Any:
    """The state that `save_shards` wrote, each tensor in shards as `like` is, or whole on the CPU without.

    With `like` every rank must call it.
    """
    rest, reader = load_rest(folder), _Reader(folder)
    described = reader.read_metadata().state_dict_metadata
    found: dict[str, Tensor] = {}

    def empty(where: Where, value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {SHARD}:
            about: Any = described[value[SHARD]]
            target = like(where) if like is not None else None
            size, dtype = about.size, about.properties.dtype
            same = isinstance(target, DTensor) and target.shape == size
            found[value[SHARD]] = torch.empty_like(target, dtype=dtype) if same else torch.empty(size, dtype=dtype)  # type: ignore[arg-type]
            return found[value[SHARD]]
        return value

    state = mapped(rest, empty)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # what `no_dist` asks for
        load(found, storage_reader=reader, no_dist=like is None)
    return state


def mapped(value: Any, change: Callable[[Where, Any], Any], where: Where = ()) -> Any:
    """A nested state with each part changed, given the names that lead to it; what stays is looked into."""
    changed = change(where, value)
    if changed is not value:
        return changed
    if isinstance(value, dict):
        return type(value)((key, mapped(part, change, (*where, str(key)))) for key, part in value.items())
    if type(value) in (list, tuple):
        return type(value)(mapped(part, change, (*where, str(i))) for i, part in enumerate(value))
    return value


def synced(path: Path) -> None:
    """What was written to a file, or a folder's names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(where: Where) -> str:
    return "/".join(where)


class _Reader(FileSystemReader):
    """Reads an index of nothing but tensors; torch's own would run what any pickle says."""

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        with (Path(self.path) / ".metadata").open("rb") as file:
            found: Metadata = _Index(file).load()
        found.storage_meta = found.storage_meta or StorageMeta()
        found.storage_meta.load_id = self.load_id
        return found


class _Index(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _OF_AN_INDEX.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into the index of a state")


_OF_AN_INDEX = {
    "torch": ("Size", *(name for name, value in vars(torch).items() if isinstance(value, torch.dtype))),
    "torch.serialization": ("_get_layout",),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "torch.distributed.checkpoint.metadata": (
        *("Metadata", "MetadataIndex", "StorageMeta", "TensorStorageMetadata", "ChunkStorageMetadata"),
        *("TensorProperties", "_MEM_FORMAT_ENCODING"),
    ),
    "pathlib": ("PosixPath", "PurePosixPath", "Path"),
    "pathlib._local": ("PosixPath",),  # Python 3.13
}
