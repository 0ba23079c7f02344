"""Models in shards (FSDP2): every device holds a part of each weight, of its gradient and of its moments.

Each decoder layer is a group of weights that devices put together for its forward and again for its backward pass, and
take apart after it. What is outside the layers (embeddings, last norm, head) is the root's group, which stays whole
from a forward pass to the end of its backward pass. So all ranks must make each forward pass together:
`TrainingModule.update` makes their numbers equal, and passes that learn nothing run inside `gathered`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.parallel import ParallelStrategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from dsmath.training.layers import decoder_layers
from dsmath.training.sharded_state import is_sharded_state, load_shards, mapped, save_shards


def shard(model: torch.nn.Module, mesh: DeviceMesh, precision: str) -> None:
    """Take a model apart over the devices of a mesh of one dimension; one that is in shards already stays as it is.

    With mixed precision its shards stay in their dtype, weights travel and compute in bfloat16, and gradients are added
    up in float32.
    """
    if isinstance(model, FSDPModule):
        return
    policy = MixedPrecisionPolicy()
    if precision.startswith("bf16"):
        kept = torch.bfloat16 if precision == "bf16-mixed" else None
        policy = MixedPrecisionPolicy(param_dtype=kept, reduce_dtype=torch.float32)
    for layer in decoder_layers(model):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


@contextmanager
def gathered(*models: torch.nn.Module | None) -> Iterator[None]:
    """Models whole on every device, so that forward passes inside need no other rank; parts again afterwards.

    Inside, weights are plain tensors, in the dtype in which they compute; do not change them, and do not ask for
    gradients. Every rank must enter together. Models that are not in shards, and None, stay as they are.
    """
    groups = [group for model in models if model is not None for group in _groups(model)]
    roots: list[Any] = [*models]
    with torch.no_grad():
        for group in groups:
            group.set_reshard_after_forward(False, recurse=False)
            group.unshard()
    try:
        yield
    finally:
        for group in groups:
            group.reshard()
            group.set_reshard_after_forward(group not in roots, recurse=False)


def on_first_rank() -> bool:
    """Whether this process is the only one, or rank 0, which writes what all have."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def full_weights(model: torch.nn.Module) -> dict[str, Tensor] | None:
    """The whole state of a model in shards, on rank 0's CPU; empty on the other ranks. None of a model without shards.

    Every rank must call it. One weight at a time is whole on the devices; tied weights are one tensor.
    """
    if not isinstance(model, FSDPModule):
        return None
    keep = on_first_rank()
    found: dict[str, Tensor] = {}
    known: dict[int, Tensor] = {}
    tied = {name: id(parameter) for name, parameter in model.named_parameters(remove_duplicate=False)}
    for name, value in model.state_dict().items():
        key = tied.get(name, id(value))
        if key not in known:
            whole = value.full_tensor() if isinstance(value, DTensor) else value
            known[key] = whole.cpu() if keep else torch.empty(0)
        if keep:
            found[name] = known[key]
    return found


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy for FSDP2, with states that any number of ranks and any strategy resumes from.

    A state is what another strategy's is, with the same keys, in a folder: each rank writes the shards that it has.
    """

    def __init__(self, ranks: int) -> None:
        super().__init__(data_parallel_size=ranks, tensor_parallel_size=1)

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        return ParallelStrategy.optimizer_state(self, optimizer)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        save_shards(checkpoint, Path(filepath), rank=self.global_rank)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """The checkpoint with each tensor in shards as the weight is that it belongs to."""
        targets, path = self._targets(), Path(checkpoint_path)
        if is_sharded_state(path):
            sharded: dict[str, Any] = load_shards(path, like=lambda where: _target(targets, where))
            return sharded
        whole = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found: dict[str, Any] = mapped(whole, lambda where, value: _taken_apart(value, _target(targets, where)))
        return found

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        self.lightning_module.load_state_dict(checkpoint["state_dict"], strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        ParallelStrategy.load_optimizer_state_dict(self, checkpoint)

    def _targets(self) -> dict[tuple[str, ...], Tensor]:
        """Weights by where the checkpoint has them and, without the last name, their moments."""
        assert self.lightning_module is not None
        found: dict[tuple[str, ...], Tensor] = {}
        for name, value in self.lightning_module.state_dict().items():
            found["state_dict", name] = value
        for number, optimizer in enumerate(self.optimizers):
            trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            for i, parameter in enumerate(trained):
                found["optimizer_states", str(number), "state", str(i)] = parameter
        return found


class WholeStates(TorchCheckpointIO):
    """For the strategies that keep models whole: reads a state in shards too."""

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        in_shards = is_sharded_state(Path(path))
        found: dict[str, Any] = (
            load_shards(Path(path), like=None)
            if in_shards
            else super().load_checkpoint(path, map_location=map_location, weights_only=weights_only)
        )
        return found


def _groups(model: torch.nn.Module) -> list[FSDPModule]:
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def _target(targets: Mapping[tuple[str, ...], Tensor], where: Sequence[str]) -> Tensor | None:
    return targets.get(tuple(where), targets.get(tuple(where[:-1])))


def _taken_apart(value: Any, target: Tensor | None) -> Any:
    """The rank's shard of a whole tensor, where its weight is in shards."""
    if not isinstance(value, Tensor) or not isinstance(target, DTensor) or value.shape != target.shape:
        return value
    mesh, placements = target.device_mesh, target.placements
    return distribute_tensor(value.to(mesh.device_type), mesh, placements, src_data_rank=None)
