"""What the tests of shards run in two processes: `python sharded_cases.py RANK STORE FOLDER` leaves FOLDER/RANK.pt."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor
from torch.utils.data import DataLoader

from dsmath.config.schema import Schedule
from dsmath.models.load import tiny
from dsmath.rl.log_probs import sequence_terms
from dsmath.training.layers import checkpoint_activations
from dsmath.training.module import NonFiniteError, TrainingModule
from dsmath.training.sharding import ShardedStrategy, gathered

PROMPT, RESPONSE = 5, 4
CONSTANT = Schedule("constant", 0, [], [], 1.0)
ROWS = torch.randint(10, 200, (4, PROMPT + RESPONSE), generator=torch.Generator().manual_seed(0))
SHARE = {0: [0], 1: [1, 2, 3]}  # the rows of each rank, each a micro-batch of its own


class Tiny(TrainingModule):
    """Learns `ROWS`, in micro-batches of a row, with a value head that is never in shards."""

    stage = "sft"

    def __init__(self, *, tied: bool = True, fails_on: int | None = None, dtype: Any = None) -> None:
        model = tiny(hidden_size=16, intermediate_size=32, layers=2, heads=2, context_length=64, seed=0,
                     initializer_range=0.2).model  # fmt: skip
        if not tied:
            model.config.tie_word_embeddings = False
            head = model.get_output_embeddings()
            head.weight = torch.nn.Parameter(head.weight.detach().clone())
        super().__init__(model=model.to(dtype or torch.float32), optim=partial(torch.optim.AdamW, lr=0.01, fused=True),
                         schedule=CONSTANT, steps=2, gradient_clip=0.3, seed=0)  # fmt: skip
        self.value_head = torch.nn.Linear(16, 1)
        torch.nn.init.ones_(self.value_head.weight)
        torch.nn.init.zeros_(self.value_head.bias)
        self._fails_on = fails_on
        self.found: list[dict[str, float]] = []

    def parts(self) -> list[Any]:
        from dsmath.training.module import Part

        return [*super().parts(), Part("value", list(self.value_head.parameters()))]

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.model.train()
        own = range(4) if self.trainer.world_size == 1 else SHARE[self.global_rank]
        self.found.append(self.update(self._losses(list(own)), ["a row"], count=len(own)))

    def _losses(self, rows: list[int]) -> Iterator[Tensor]:
        for row in rows:
            terms = sequence_terms(
                self.model, ROWS[row : row + 1], torch.ones(1, PROMPT + RESPONSE, dtype=torch.bool),
                response_length=RESPONSE, temperature=1.0, with_entropy=True, value_head=self.value_head,
            )  # fmt: skip
            loss = (terms.values.square().sum() / 100 - terms.log_probs.sum()) * self.trainer.world_size / 4
            yield loss * (float("nan") if self.global_rank == self._fails_on else 1)


def trained(module: Tiny, strategy: Any, devices: int, precision: str = "32-true") -> Tiny:
    trainer = L.Trainer(
        accelerator="cpu", strategy=strategy, devices=devices, max_steps=2, plugins=[LightningEnvironment()],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, precision=precision,
    )  # fmt: skip
    trainer.fit(module, DataLoader([0, 0]))
    return module


def weights(module: Tiny) -> dict[str, Tensor]:
    return {
        name: (value.full_tensor() if hasattr(value, "full_tensor") else value).detach().clone()
        for name, value in module.state_dict().items()
    }


def outcome(module: Tiny) -> dict[str, Any]:
    return {"weights": weights(module), "metrics": module.found}


def failure(module: Tiny, strategy: Any) -> dict[str, Any]:
    before = weights(module)
    try:
        trained(module, strategy, 2)
    except NonFiniteError as error:
        return {"error": str(error), "before": before, "after": weights(module)}
    return {}


def logits_inside_gathered() -> dict[str, Any]:
    """Each rank makes another number of forward passes."""
    module = trained(Tiny(), ShardedStrategy(2), 2)
    kinds = [{type(p).__name__ for p in module.model.parameters()}]
    module.model.eval()
    with gathered(module.model), torch.no_grad():
        kinds.append({type(p).__name__ for p in module.model.parameters()})
        for row in SHARE[module.global_rank]:
            logits = module.model(ROWS[row : row + 1]).logits
    kinds.append({type(p).__name__ for p in module.model.parameters()})
    return {"logits": logits, "kinds": kinds, **outcome(module)}


def checkpointed() -> Tiny:
    module = Tiny()
    checkpoint_activations(module.model)
    return module


def main(rank: int, store: str, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    found = {
        "ddp": outcome(trained(Tiny(), "ddp", 2)),
        "shards": outcome(trained(Tiny(), ShardedStrategy(2), 2)),
        "untied": outcome(trained(Tiny(tied=False), ShardedStrategy(2), 2)),
        "checkpointed": outcome(trained(checkpointed(), ShardedStrategy(2), 2)),
        "mixed": outcome(trained(Tiny(), ShardedStrategy(2), 2, "bf16-mixed")),
        "bf16": outcome(trained(Tiny(), ShardedStrategy(2), 2, "bf16-true")),
        "gathered": logits_inside_gathered(),
        "fails": failure(Tiny(fails_on=1), ShardedStrategy(2)),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
