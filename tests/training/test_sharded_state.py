"""States in folders: what is read back, by whom, and what is refused."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from dsmath.training.sharded_state import REST, is_sharded_state, load_rest, load_shards, save_shards

WEIGHT = torch.arange(10.0).view(5, 2)


@pytest.fixture
def state(tmp_path: Path) -> Any:
    """A state with one tensor in shards, as the only process of a group saves it."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        weight = distribute_tensor(WEIGHT, init_device_mesh("cpu", (1,)), [Shard(0)])
        yield {
            "state_dict": OrderedDict([("model.weight", weight), ("head", torch.ones(1))]),
            "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0), "exp_avg": 2 * weight}}}],
            "global_step": 3,
            "pair": (1, None),
        }
    finally:
        dist.destroy_process_group()


def test_a_state_comes_back_whole_with_its_keys_and_types(state: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "state"
    save_shards(state, folder, rank=0)
    found = load_shards(folder, like=None)
    assert list(found["state_dict"]) == ["model.weight", "head"]
    assert type(found["state_dict"]["model.weight"]) is torch.Tensor
    assert torch.equal(found["state_dict"]["model.weight"], WEIGHT)
    moments = found["optimizer_states"][0]["state"][0]
    assert torch.equal(moments["exp_avg"], 2 * WEIGHT)
    assert (float(moments["step"]), found["pair"], found["global_step"]) == (3.0, (1, None), 3)
    assert load_rest(folder)["global_step"] == 3


def test_a_tensor_takes_the_shards_of_what_it_belongs_to(state: dict[str, Any], tmp_path: Path) -> None:
    save_shards(state, tmp_path / "state", rank=0)
    weight = state["state_dict"]["model.weight"]
    found = load_shards(tmp_path / "state", like=lambda where: weight if where[-1] == "model.weight" else None)
    assert isinstance(found["state_dict"]["model.weight"], DTensor)
    assert torch.equal(found["state_dict"]["model.weight"].to_local(), WEIGHT)
    assert type(found["optimizer_states"][0]["state"][0]["exp_avg"]) is torch.Tensor


def test_a_folder_without_its_last_file_is_no_state(state: dict[str, Any], tmp_path: Path) -> None:
    save_shards(state, tmp_path / "state", rank=0)
    assert is_sharded_state(tmp_path / "state")
    (tmp_path / "state" / REST).unlink()
    assert not is_sharded_state(tmp_path / "state")
    assert not is_sharded_state(tmp_path / "nothing")


class Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("hostile",)


@pytest.mark.parametrize("name", [".metadata", REST])
def test_a_state_runs_no_code(
    state: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_shards(state, tmp_path / "state", rank=0)
    if name == REST:
        torch.save(Hostile(), tmp_path / "state" / name)
    else:
        (tmp_path / "state" / name).write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(pickle.UnpicklingError):
        load_shards(tmp_path / "state", like=None)
    assert not (tmp_path / "hostile").exists()
